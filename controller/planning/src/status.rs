//! Status as a function of snapshot, plan and outcome: computed whole, written once.

pub mod instance;
pub mod operation;
pub mod scale_set;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use scaleset_crds::condition::Reason;

/// Longest message in a blocker or an instance view.
const MESSAGE_CHARACTERS_MAX: usize = 1_024;

/// Three-valued status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// `True`.
    True,
    /// `False`.
    False,
    /// `Unknown`.
    Unknown,
}

impl Truth {
    /// The spelling in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// What a condition says, before time and generation are added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Status.
    pub truth: Truth,
    /// Reason.
    pub reason: Reason,
    /// In words, with numbers, stable while nothing changes.
    pub message: String,
}

impl Verdict {
    fn new(truth: Truth, reason: Reason, message: impl Into<String>) -> Self {
        Self { truth, reason, message: message.into() }
    }

    fn into_condition(self, condition_type: &str, generation: i64, now: Timestamp) -> Condition {
        Condition {
            type_: condition_type.to_owned(),
            status: self.truth.as_str().to_owned(),
            reason: self.reason.as_str().to_owned(),
            message: self.message,
            observed_generation: Some(generation),
            last_transition_time: Time(whole_seconds(now)),
        }
    }
}

/// The API keeps whole seconds; anything finer would make an equal status look different.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).expect("a timestamp's second is a timestamp")
}

/// Who must act before a hold or a failure can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    /// A person: the same try can only fail again.
    Person,
    /// The hardware must have room.
    Room,
    /// Time, or nobody.
    Time,
}

#[expect(clippy::too_many_lines, reason = "a line for each reason")]
const fn remedy(reason: Reason) -> Remedy {
    match reason {
        Reason::InvalidParameter
        | Reason::OperationNotAllowed
        | Reason::OperationPreempted
        | Reason::ResourceNotFound
        | Reason::ResourceOperationFailure
        | Reason::PropertyChangeNotAllowed
        | Reason::SkuNotAvailable
        | Reason::ImageNotFound
        | Reason::SubnetNotFound
        | Reason::MaxUnhealthyInstancePercentExceededBeforeRollingUpgrade
        | Reason::MaxUnhealthyInstancePercentExceededInRollingUpgrade
        | Reason::MaxUnhealthyUpgradedInstancePercentExceededInRollingUpgrade
        | Reason::RollingUpgradeInProgressWithFailedUpgradedVMs
        | Reason::RevisionFailed
        | Reason::UpdateRefused
        | Reason::ScaleInNotConfirmed
        | Reason::RollingUpgradeCancelled => Remedy::Person,
        Reason::AllocationFailed
        | Reason::ZonalAllocationFailed
        | Reason::OverconstrainedZonalAllocationRequest
        | Reason::QuotaExceeded
        | Reason::SubnetIsFull => Remedy::Room,
        Reason::Pending
        | Reason::Ready
        | Reason::MinimumAvailable
        | Reason::ModelApplied
        | Reason::Converged
        | Reason::AllHealthy
        | Reason::Healthy
        | Reason::Allocated
        | Reason::Accepted
        | Reason::NoScaleSet
        | Reason::Succeeded
        | Reason::Queued
        | Reason::InProgress
        | Reason::ScalingOut
        | Reason::ScalingIn
        | Reason::Upgrading
        | Reason::Creating
        | Reason::Updating
        | Reason::Starting
        | Reason::Stopping
        | Reason::Deleting
        | Reason::Provisioning
        | Reason::Waiting
        | Reason::Initializing
        | Reason::Paused
        | Reason::NotPaused
        | Reason::ManualUpgradePolicy
        | Reason::AllowanceSpent
        | Reason::BatchInProgress
        | Reason::SurgeUnavailable
        | Reason::PauseBetweenBatches
        | Reason::RollingBack
        | Reason::OSUpgradeWaits
        | Reason::OSImageFailed
        | Reason::Protected
        | Reason::HandMadeMember
        | Reason::PendingReimage
        | Reason::StoppedByWish
        | Reason::NoHealthSource
        | Reason::Orphaning
        | Reason::Unhealthy
        | Reason::HealthUnknown
        | Reason::HealthMissing
        | Reason::OSProvisioningTimedOut
        | Reason::VMStartTimedOut
        | Reason::VMExtensionProvisioningError
        | Reason::TooManyRequests
        | Reason::HardwareUnavailable
        | Reason::InternalExecutionError
        | Reason::RevisionNotFound
        | Reason::MachineVanished => Remedy::Time,
    }
}

/// Reasons that wait for a person: the same try can only fail again.
pub(crate) fn needs_a_person(reason: Reason) -> bool {
    remedy(reason) == Remedy::Person
}

/// Reasons that say the hardware has no room.
pub(crate) fn is_capacity(reason: Reason) -> bool {
    remedy(reason) == Remedy::Room
}

fn cut(text: &str) -> String {
    if text.chars().count() <= MESSAGE_CHARACTERS_MAX {
        return text.to_owned();
    }
    let kept: String = text.chars().take(MESSAGE_CHARACTERS_MAX - 1).collect();
    format!("{kept}…")
}
