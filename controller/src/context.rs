//! What every pass is given.

use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;

use scaleset_hardware::Hardware;

use crate::cluster::Cluster;
use crate::looked_at::LookedAt;
use crate::metrics::Metrics;
use crate::pace::StatusPace;

/// The two doors, and the pace of set status.
#[derive(Clone)]
pub struct Context {
    /// The Kubernetes API.
    pub cluster: Arc<dyn Cluster>,
    /// The hardware.
    pub hardware: Arc<dyn Hardware>,
    /// Where what is held back is counted.
    pub metrics: Arc<Metrics>,
    /// How often the counters of a set are written.
    pub pace: Arc<StatusPace>,
    /// How often the numbers of a capacity reservation group are written.
    pub group_pace: Arc<StatusPace>,
    /// Which instances this process has looked at.
    pub looked: Arc<LookedAt>,
    /// What becomes of a sudden drop of a set's target.
    pub sudden_scale_in: SuddenScaleIn,
}

/// What becomes of a sudden drop of a set's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SuddenScaleIn {
    /// It waits until it is confirmed.
    Hold,
    /// It is done like any other.
    Allow,
}

/// When a pass wants to be called again although nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Not before something changes.
    OnChange,
    /// After this long, wall time.
    After(Duration),
}

impl Wake {
    /// The sooner of two.
    #[must_use]
    pub fn sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::OnChange, wake) | (wake, Self::OnChange) => wake,
            (Self::After(one), Self::After(two)) => Self::After(one.min(two)),
        }
    }
}
