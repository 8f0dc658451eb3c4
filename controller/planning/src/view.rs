//! The model view (what a VM should be), the instance view (what the hardware reports) and their difference.

pub mod diff;
pub mod disruption;
pub mod instance;
pub mod model;

pub use diff::{Difference, ViewDiff, diff, diff_models};
pub use disruption::{DisruptionCause, DisruptionNotice};
pub use instance::{
    Eviction, HardwareView, Health, InstanceView, NoticeStage, OperationState, PreemptNotice, QuotaRule,
    ReportedHealth, TerminateNotice,
};
pub use model::ModelView;
