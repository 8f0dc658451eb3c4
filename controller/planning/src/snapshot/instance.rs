//! One instance, as its own pass sees it.

use std::time::Duration;

use jiff::Timestamp;
use scaleset_crds::InstanceStatus;
use scaleset_crds::scheduled_event::ScheduledEventsPolicy;
use scaleset_crds::vocabulary::PowerWish;

use super::{
    Failure, FinalizerState, MemberKind, MemberLife, OsDiskWish, RepairMark, RequestedOperation, ShutdownRule,
};
use crate::view::{HardwareView, ModelView, QuotaRule};

/// Everything that a pass over one instance may look at.
#[derive(Clone, Debug)]
pub struct InstanceSnapshot {
    /// Scenario time.
    pub now: Timestamp,
    /// Wall time.
    pub wall_now: Timestamp,
    /// Kind.
    pub kind: MemberKind,
    /// Name.
    pub name: String,
    /// Generation.
    pub generation: i64,
    /// Life.
    pub life: MemberLife,
    /// Whether our finalizer is on it.
    pub finalizer: FinalizerState,
    /// Whether the object may go although the hardware does not answer.
    pub release: ReleaseRule,
    /// How its guest is stopped when it is deleted.
    pub shutdown: ShutdownRule,
    /// Power that is wished for.
    pub power_wish: PowerWish,
    /// What it is to be, by the revision that it follows.
    pub assigned: Assigned,
    /// What the newest model says; the assigned one for a VM that stands alone.
    pub newest: Option<ModelView>,
    /// What it gets when it is created and keeps for its life.
    pub birth: Birth,
    /// Where it is to be.
    pub zone: Option<String>,
    /// Fault domain that it is to be in.
    pub fault_domain: Option<i32>,
    /// Who decides on a difference that needs a new VM.
    pub belonging: Belonging,
    /// Why it stays where it is although its reference says otherwise.
    pub kept: Option<Failure>,
    /// Why it cannot use the capacity reservation group that its model names while it is a member of its set.
    pub group_refusal: Option<Failure>,
    /// The set that the marks on its object name.
    pub enrolled: Option<String>,
    /// The fault domain that the mark on its object names.
    pub marked_fault_domain: Option<i32>,
    /// The capacity reservation group that the mark on its object names.
    pub marked_group: Option<String>,
    /// The OS disk that its set wishes for.
    pub os_disk_wish: Option<OsDiskWish>,
    /// The mark of its last repair.
    pub repair: Option<RepairMark>,
    /// What it is asked for and has not ended: operations that have begun, the earliest first, then the repair of its mark.
    pub requests: Vec<RequestedOperation>,
    /// Whether restarts and redeployments that operations ask for wait for an approval.
    pub scheduled_events_policy: ScheduledEventsPolicy,
    /// Uid of the operation that wrote the wish for power last.
    pub power_operation: Option<String>,
    /// For how long since its eviction its set tries to get it back; none where nobody does.
    pub restore_for: Option<Duration>,
    /// Whether its set has to know of an eviction that deletes before the object goes.
    pub eviction_note: EvictionNote,
    /// What the hardware reports.
    pub hardware: HardwareView,
    /// The status that was read, for its records and its times.
    pub status: InstanceStatus,
}

/// What a VM gets when it is created, beside its place. All but its set and its quota it keeps for its life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Birth {
    /// Name that the guest calls itself.
    pub computer_name: String,
    /// Region.
    pub location: String,
    /// Uid of the set that it is a member of; follows attaching and detaching.
    pub set_uid: Option<String>,
    /// Number that the set made it at.
    pub number: Option<i64>,
    /// Update domain, Uniform only.
    pub update_domain: Option<i32>,
    /// Placement group, Uniform only.
    pub placement_group: Option<String>,
    /// Whether it is to count against the quotas; what it does not at first it may later.
    pub quota: QuotaRule,
}

/// What an instance is to be.
#[derive(Clone, Debug)]
pub enum Assigned {
    /// The revision is there.
    Known(ModelView),
    /// The revision that it names is not (yet) to be found.
    Missing {
        /// Its name.
        revision: String,
    },
}

/// Whether an instance belongs to a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Belonging {
    /// It stands alone.
    Alone,
    /// It is a member that the set made.
    Made {
        /// The set.
        scale_set: String,
    },
    /// It is a member that a person made.
    HandMade {
        /// The set.
        scale_set: String,
    },
    /// It was a member and is let go.
    Leaving {
        /// The set.
        scale_set: String,
    },
    /// Its reference is not accepted.
    Refused {
        /// The set that it names.
        scale_set: String,
        /// Why.
        refusal: Failure,
    },
}

/// Whether a set knows that an eviction has deleted a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictionNote {
    /// It has to, and does not.
    Awaited,
    /// It does, or there is no set that has to.
    Settled,
}

/// `compute.scaleset.io/abandon-hardware`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseRule {
    /// The hardware must be gone first.
    HardwareFirst,
    /// The object may go while the hardware does not answer.
    MayAbandon,
}
