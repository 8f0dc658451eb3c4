//! The controller: reconcilers for scale sets, instances and operations, each as observe → validate → plan → execute → report.
//!
//! Two doors lead out of a pass, [`cluster::Cluster`] and [`scaleset_hardware::Hardware`]; everything between them is
//! in `scaleset-planning`, which cannot reach either.

pub mod args;
pub mod autoscale;
pub mod backoff;
pub mod check;
pub mod cluster;
pub mod context;
pub mod error;
pub mod health;
pub mod instance;
pub mod leader;
pub mod looked_at;
pub mod merge_patch;
pub mod metered;
pub mod metrics;
pub mod operation;
pub mod pace;
pub mod region_maps;
pub mod reservation_group;
pub mod runtime;
pub mod scale_set;
pub mod start;
pub mod telemetry;
