//! What every pass is given.

use std::sync::Arc;
use std::time::Duration;

use scaleset_hardware::Hardware;

use crate::cluster::Cluster;

/// The two doors.
#[derive(Clone)]
pub struct Context {
    /// The Kubernetes API.
    pub cluster: Arc<dyn Cluster>,
    /// The hardware.
    pub hardware: Arc<dyn Hardware>,
}

/// When a pass wants to be called again although nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Not before something changes.
    OnChange,
    /// After this long, wall time.
    After(Duration),
}
