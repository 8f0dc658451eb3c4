//! Tests.

pub mod chart;
pub mod local;
pub mod simulation;
