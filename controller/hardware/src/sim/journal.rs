//! The journal: one entry for each call that could have changed something, in the order in which they took effect.
//!
//! It lives in the store and only grows; calls that only read are counted, not journalled.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A call to the hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Call {
    /// `Hardware::create`.
    Create,
    /// `Hardware::update`.
    Update,
    /// `Hardware::set_power` and `Hardware::start_at`.
    SetPower,
    /// `Hardware::count`.
    Count,
    /// `Hardware::set_membership`.
    SetMembership,
    /// `Hardware::reimage`.
    Reimage,
    /// `Hardware::replace_os_disk`.
    ReplaceOsDisk,
    /// `Hardware::perform`.
    Perform,
    /// `Hardware::drain`.
    Drain,
    /// `Hardware::undrain`.
    Undrain,
    /// `Hardware::approve_event`.
    ApproveEvent,
    /// `Hardware::delete`.
    Delete,
    /// `Hardware::observe`.
    Observe,
    /// `Hardware::observe_all`.
    ObserveAll,
    /// `Hardware::catalog`.
    Catalog,
    /// `Hardware::headroom`.
    Headroom,
    /// `Hardware::metrics`.
    Metrics,
    /// `Hardware::put_reservation_group`.
    PutReservationGroup,
    /// `Hardware::reserve`.
    Reserve,
    /// `Hardware::release_reservation`.
    ReleaseReservation,
    /// `Hardware::delete_reservation_group`.
    DeleteReservationGroup,
    /// `Hardware::observe_reservation_group`.
    ObserveReservationGroup,
    /// The first call of a leader whose epoch is higher than every one before.
    Lead,
    /// A change of the world through the control endpoint.
    Control,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "camelCase")]
pub enum Outcome {
    /// It took effect.
    Accepted,
    /// It asked for what was there or under way.
    Unchanged,
    /// It was refused and changed nothing.
    Refused {
        /// Kind of the error.
        code: String,
        /// The error.
        message: String,
    },
    /// It took effect, but the caller was told otherwise.
    AnswerLost,
}

/// One entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JournalEntry {
    /// Number of the call, from 1, without gaps.
    pub sequence: u64,
    /// Scenario time.
    pub scenario_time: Timestamp,
    /// Wall time.
    pub wall_time: Timestamp,
    /// The call.
    pub call: Call,
    /// Uid of the machine or of the reservation group; empty where the call is about neither.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// `namespace/kind/name` of the machine's owner, as far as it is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// Generation that the call carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Epoch of the leader that made the call; absent where no election has made it leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// What was asked for, in a few words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}
