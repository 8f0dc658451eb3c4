//! Tests.

pub mod local;
