//! Who must act before what a [`Reason`] tells of can end: one line for each reason.

use scaleset_crds::condition::Reason;

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
        | Reason::NotSupported
        | Reason::AzureSpotIsNotSupportedForThisVMSize
        | Reason::ImageNotFound
        | Reason::SubnetNotFound
        | Reason::MaxUnhealthyInstancePercentExceededBeforeRollingUpgrade
        | Reason::MaxUnhealthyInstancePercentExceededInRollingUpgrade
        | Reason::MaxUnhealthyUpgradedInstancePercentExceededInRollingUpgrade
        | Reason::RollingUpgradeInProgressWithFailedUpgradedVMs
        | Reason::RevisionFailed
        | Reason::UpdateRefused
        | Reason::RepairsSuspended
        | Reason::ScaleInNotConfirmed
        | Reason::VmssDoesNotSupportAttachingExistingVMMultiFD
        | Reason::VmssDoesNotSupportAttachingWithSpg
        | Reason::VMScaleSetCannotReferenceLoadbalancerWhenLargeScaleOrCrossAZ
        | Reason::RollingUpgradeCancelled => Remedy::Person,
        Reason::AllocationFailed
        | Reason::ZonalAllocationFailed
        | Reason::OverconstrainedAllocationRequest
        | Reason::OverconstrainedZonalAllocationRequest
        | Reason::QuotaExceeded
        | Reason::SpotPriceGreaterThanProvidedMaxPrice
        | Reason::SubnetIsFull
        | Reason::PublicIPCountLimitReached => Remedy::Room,
        Reason::Pending
        | Reason::Ready
        | Reason::MinimumAvailable
        | Reason::ModelApplied
        | Reason::Converged
        | Reason::AllHealthy
        | Reason::Healthy
        | Reason::Allocated
        | Reason::Available
        | Reason::Consumed
        | Reason::Overallocated
        | Reason::Accepted
        | Reason::NoScaleSet
        | Reason::Active
        | Reason::Disabled
        | Reason::MetricsLost
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
        | Reason::RepairsWait
        | Reason::RepairBreakerOpen
        | Reason::RepairsSuspendedByUser
        | Reason::Protected
        | Reason::HandMadeMember
        | Reason::PendingReimage
        | Reason::Evicted
        | Reason::MaxPriceChangeNotAllowedForAllocatedVMs
        | Reason::DeletionNotice
        | Reason::HostMaintenance
        | Reason::ImageNotice
        | Reason::Draining
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ALERTS: &str = include_str!("../../../charts/scaleset-controller/alerts/scaleset.yaml");

    /// The codes of the blockers that an alert is about.
    fn codes(alert: &str) -> BTreeSet<&'static str> {
        let (_, rule) = ALERTS.split_once(&format!("- alert: {alert}\n")).expect("there is such an alert");
        let (_, pattern) = rule.split_once(r#"scaleset_blocked{code=~""#).expect("it goes by codes");
        let (pattern, _) = pattern.split_once('"').expect("the pattern ends");
        pattern.split('|').collect()
    }

    fn reasons(remedy_is: Remedy) -> impl Iterator<Item = &'static str> {
        Reason::ALL.iter().filter(move |reason| remedy(**reason) == remedy_is).map(|reason| reason.as_str())
    }

    #[test]
    fn whatever_waits_for_a_person_or_for_room_is_alerted() {
        let (person, room) = (codes("ScaleSetWaitsForAPerson"), codes("ScaleSetWithoutRoom"));
        let unheard: Vec<&str> =
            reasons(Remedy::Person).filter(|code| !person.contains(code) && !room.contains(code)).collect();
        assert!(unheard.is_empty(), "no alert tells of {unheard:?}");
        let unheard: Vec<&str> = reasons(Remedy::Room).filter(|code| !room.contains(code)).collect();
        assert!(unheard.is_empty(), "ScaleSetWithoutRoom does not tell of {unheard:?}");
    }

    #[test]
    fn nothing_else_is_alerted_as_such() {
        // A newer version of the image ends it as well, but only its publisher makes one.
        let expected: BTreeSet<&str> = reasons(Remedy::Person).chain(["OSImageFailed"]).collect();
        let strange: Vec<&str> = codes("ScaleSetWaitsForAPerson").difference(&expected).copied().collect();
        assert!(strange.is_empty(), "{strange:?} need nobody");
        let expected: BTreeSet<&str> = reasons(Remedy::Room).chain(["SkuNotAvailable"]).collect();
        assert_eq!(codes("ScaleSetWithoutRoom"), expected);
    }
}
