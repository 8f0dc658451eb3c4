//! A real Kubernetes control plane on this machine: etcd, kube-apiserver and kube-controller-manager as plain
//! processes, for tests and for the local run.
//!
//! Everything listens on loopback only. In tests the processes belong to a watchdog that ends them when the test
//! process ends, however it ends; in the local run they are detached and found again by their process ids.

pub mod binaries;
mod certificates;
mod error;
mod kubeconfig;
mod plane;
mod process;
mod state;
mod workspace;

pub use error::ControlPlaneError;
pub use plane::{ControlPlane, Durability, Options};
pub use process::{Lifetime, ProcessId, Supervisor};
pub use workspace::workspace_root;
