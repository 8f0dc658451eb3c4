//! Tests.

pub mod local;
pub mod simulation;
