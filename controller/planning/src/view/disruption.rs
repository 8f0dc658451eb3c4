//! What a VM was told of that leaves it what it is: a pause, a restart, a restart elsewhere.

use jiff::Timestamp;
use scaleset_crds::scheduled_event::EventType;

use super::instance::NoticeStage;

/// The notice of a disruption. VMs that are disturbed together have the same event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisruptionNotice {
    /// Id of the event.
    pub event_id: String,
    /// What is done: `Freeze`, `Reboot` or `Redeploy`.
    pub event_type: EventType,
    /// Why.
    pub cause: DisruptionCause,
    /// When it begins at the earliest without an approval, scenario time.
    pub not_before: Timestamp,
    /// How far it is.
    pub stage: NoticeStage,
    /// Uid of the operation that it was announced for; none where nobody has asked for it.
    pub operation: Option<String>,
    /// Seconds of scenario time that the VM is expected to be interrupted; none where that is not known.
    pub duration_seconds: Option<i32>,
}

/// Why a VM is disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisruptionCause {
    /// Its host is maintained.
    Maintenance,
    /// Its hardware has failed.
    HardwareFailure,
    /// Its OS disk is to be replaced, as its model or somebody's operation wishes.
    OsImage,
    /// An operation asks for it.
    Operation,
}

impl DisruptionCause {
    /// In a few words.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Maintenance => "its host is maintained",
            Self::HardwareFailure => "its hardware has failed",
            Self::OsImage => "its OS disk is replaced",
            Self::Operation => "an operation asks for it",
        }
    }
}
