//! A real Kubernetes control plane on this machine: etcd, kube-apiserver and kube-controller-manager as plain
//! processes, for tests and for the local run, and what both need to work with one.
//!
//! Everything listens on loopback only. The processes belong to a watchdog that ends them when the process that started
//! them ends, however it ends; those that `make up` keeps are found again by their process ids.

mod address;
pub mod binaries;
mod cargo;
mod certificates;
mod error;
mod image;
mod kubeconfig;
mod kubectl;
mod log;
mod module;
mod node;
mod plane;
mod process;
mod state;
mod workspace;

pub use address::free_addresses;
pub use cargo::cargo;
pub use error::ControlPlaneError;
pub use image::{Image, ImageFile, WrittenImage};
pub use kubectl::Kubectl;
pub use log::{log_length_bytes, log_tail};
pub use module::{Module, VERSION_VARIABLE};
pub use node::{Link, Node, NodeOptions, NodePrograms};
pub use plane::{ControlPlane, Durability, Options};
pub use process::{ProcessId, Supervisor};
pub use state::TakenPort;
pub use workspace::workspace_root;
