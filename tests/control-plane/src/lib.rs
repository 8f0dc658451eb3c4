//! A real Kubernetes control plane on this machine: etcd, kube-apiserver and kube-controller-manager as plain
//! processes, for tests and for the local run, and what both need to work with one.
//!
//! Everything listens on loopback only. In tests the processes belong to a watchdog that ends them when the test
//! process ends, however it ends; in the local run they are detached and found again by their process ids.

mod address;
pub mod binaries;
mod cargo;
mod certificates;
mod error;
mod kubeconfig;
mod kubectl;
mod log;
mod plane;
mod process;
mod state;
mod workspace;

pub use address::free_addresses;
pub use cargo::cargo;
pub use error::ControlPlaneError;
pub use kubectl::Kubectl;
pub use log::log_tail;
pub use plane::{ControlPlane, Durability, Options};
pub use process::{Lifetime, ProcessId, Supervisor};
pub use state::TakenPort;
pub use workspace::workspace_root;
