//! What one pass may do to a VM.

use scaleset_crds::scheduled_event::EventApproval;
use scaleset_crds::vocabulary::PowerWish;

use super::Seat;
use crate::snapshot::{Failure, OsDiskWish, ReleaseRule, ShutdownRule};
use crate::view::ModelView;

/// The next step of one VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// As wished.
    None,
    /// Something must happen first that is not ours to do.
    Wait(Wait),
    /// A person must act, or something else must change.
    Hold(Failure),
    /// Put our finalizer on the object, before there is hardware to lose.
    AddFinalizer,
    /// Put the marks of membership on the object, or take them off.
    Enroll(Enrolment),
    /// Create the hardware.
    Create(ModelView),
    /// Apply the model to the running VM.
    UpdateOnline(ModelView),
    /// Apply the model with a restart.
    UpdateWithRestart(ModelView),
    /// Replace the OS disk.
    Reimage(ModelView),
    /// Replace the OS disk by the one that the set wishes for.
    ReplaceOsDisk(ModelView, OsDiskWish),
    /// Delete the hardware, so that the next pass creates it anew.
    Recreate,
    /// Start it again after an eviction, if there is room: a refusal is no failure.
    Restore,
    /// Delete the object of a VM that an eviction has deleted, where no set does.
    Discard,
    /// Count it against the quotas from now on: it was an extra, and is kept.
    Count,
    /// Tell the hardware of which set it is a member by now, by uid; of none.
    SetMembership(Option<String>),
    /// Start it where it has its place.
    StartAt(Seat),
    /// Start it wherever there is room, stop or deallocate it.
    SetPower(PowerWish, ShutdownRule),
    /// Take it out of its backend pools, so that requests under way end before that step takes it down.
    Drain(Box<Step>),
    /// Put it back into its backend pools: it stays up after all.
    Undrain,
    /// Do what the operation of that uid asks for.
    Perform(String, Perform),
    /// Approve the scheduled event of that id, or all that it has.
    ApproveEvent(Option<String>),
    /// Delete the hardware where there is any, then let the object go.
    Release(ReleaseRule, ShutdownRule),
    /// The object is gone or is nobody's business here.
    Forget,
}

impl Step {
    /// Why a person must act, where one must.
    pub const fn held(&self) -> Option<&Failure> {
        match self {
            Self::Hold(failure) => Some(failure),
            Self::None
            | Self::Wait(_)
            | Self::AddFinalizer
            | Self::Enroll(_)
            | Self::Create(_)
            | Self::UpdateOnline(_)
            | Self::UpdateWithRestart(_)
            | Self::Reimage(_)
            | Self::ReplaceOsDisk(_, _)
            | Self::Recreate
            | Self::Restore
            | Self::Discard
            | Self::Count
            | Self::SetMembership(_)
            | Self::StartAt(_)
            | Self::SetPower(_, _)
            | Self::Drain(_)
            | Self::Undrain
            | Self::Perform(_, _)
            | Self::ApproveEvent(_)
            | Self::Release(_, _)
            | Self::Forget => None,
        }
    }
}

/// The marks of membership: labels, and of a member that a set made its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// It has joined that set.
    Join {
        /// The set.
        scale_set: String,
        /// Name of the capacity reservation group that it is to use.
        group: Option<String>,
    },
    /// It has left its set, and keeps its hardware.
    Leave,
}

/// What the hardware does at the request of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Perform {
    /// Restart the guest; one that awaits an approval is announced first.
    Restart(EventApproval),
    /// Move to another host, announced likewise.
    Redeploy(EventApproval),
    /// Replace the OS disk.
    Reimage(ModelView),
    /// Replace every disk.
    ReimageAll(ModelView),
    /// Evict it.
    SimulateEviction,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The hardware is in the middle of an operation.
    HardwareBusy,
    /// The hardware does not answer.
    HardwareUnknown,
    /// The revision that it follows has not been seen yet.
    Revision,
    /// The backoff after a failure.
    Backoff,
    /// Somebody starts it again after an eviction.
    Evicted,
    /// The time of the next try to restore it after an eviction.
    Restore,
    /// Its set notes that an eviction has deleted it, and lets it go.
    EvictionNote,
    /// The notice of its deletion is approved, or its time is over.
    DeletionNotice,
    /// The same before its OS disk is replaced.
    ImageNotice,
    /// The same before it is restarted or redeployed as an operation asks.
    OperationNotice,
    /// Requests under way have had their time.
    Draining,
}
