//! Every condition type and every reason, as closed enums: what a script may match on.
//!
//! Reasons that Azure has a code for are spelled like it (Azure: error codes of Virtual Machine Scale Sets).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::{Value, json};

/// Declares a closed enum whose names are also its wire spelling.
macro_rules! closed_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The spelling in the API.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use closed_enum;

closed_enum! {
    /// Conditions of a `ScaleSet`.
    ScaleSetCondition {
        /// This generation observed, the target reached, every member as it should be.
        Ready,
        /// Enough members are provisioned and running.
        Available,
        /// Every member that the set made has the newest model.
        UpToDate,
        /// Something is being created, changed or removed.
        Progressing,
        /// No member is known to be unhealthy.
        Healthy,
        /// The hardware has room for every member.
        CapacitySatisfied,
        /// `spec.upgradePolicy.paused`.
        Paused,
        /// kstatus: the controller is at work.
        Reconciling,
        /// kstatus: a person must act.
        Stalled,
    }
}

closed_enum! {
    /// Conditions of a `ScaleSetVM` and a `FlexVM`.
    InstanceCondition {
        /// As its model and its power state wish it to be.
        Ready,
        /// The hardware exists and its last operation succeeded.
        Provisioned,
        /// Nothing is pending between the newest model and the hardware.
        UpToDate,
        /// What the health source says; `Unknown` without one.
        ApplicationHealthy,
        /// kstatus: the controller is at work.
        Reconciling,
        /// kstatus: a person must act.
        Stalled,
    }
}

closed_enum! {
    /// The condition that only a `FlexVM` has.
    FlexVMCondition {
        /// Whether its `scaleSetRef` is accepted.
        Member,
    }
}

closed_enum! {
    /// Conditions of a `ScaleSetOperation`.
    OperationCondition {
        /// It has succeeded on every VM.
        Ready,
        /// It has succeeded on every VM; what to wait for.
        Complete,
        /// It has ended, and not on every VM well.
        Failed,
        /// kstatus: the controller is at work.
        Reconciling,
        /// kstatus: it has failed.
        Stalled,
    }
}

closed_enum! {
    /// Conditions of a `CapacityReservationGroup`.
    ReservationGroupCondition {
        /// This generation observed, everything reserved as wished, nothing in the way of what goes.
        Ready,
        /// Every reservation has the capacity that is wished for.
        Reserved,
        /// More VMs hold hardware than a reservation has room for: legal, without the promise.
        Overallocated,
        /// kstatus: the controller is at work.
        Reconciling,
        /// kstatus: a person must act.
        Stalled,
    }
}

closed_enum! {
    /// Conditions of an `AutoscaleSetting`.
    AutoscaleCondition {
        /// This generation observed, the set found, nothing wrong with the setting.
        Ready,
        /// The setting decides: it is enabled, alone on its set, and can read what its rules compare.
        Active,
        /// kstatus: a decision is being carried out, or something is waited for.
        Reconciling,
        /// kstatus: a person must act.
        Stalled,
    }
}

closed_enum! {
    /// Why a condition is as it is.
    Reason {
        // Nothing has been decided yet.
        /// The default of the schema: no pass has been made.
        Pending,
        // Good news.
        /// As it should be.
        Ready,
        /// Enough members are available.
        MinimumAvailable,
        /// Every member has the newest model.
        ModelApplied,
        /// Nothing to do.
        Converged,
        /// No member is known to be unhealthy.
        AllHealthy,
        /// The health source says so.
        Healthy,
        /// There was room for everything.
        Allocated,
        /// The group has capacity that nobody uses.
        Available,
        /// The group has no capacity that nobody uses.
        Consumed,
        /// More VMs hold hardware than are reserved for.
        Overallocated,
        /// The reference to the set is accepted.
        Accepted,
        /// No reference to a set is made.
        NoScaleSet,
        /// The setting decides.
        Active,
        /// The operation has succeeded on every VM.
        Succeeded,
        // At work.
        /// The operation waits for an earlier one on the same VMs.
        Queued,
        /// The operation is being carried out.
        InProgress,
        /// Members are being created.
        ScalingOut,
        /// Members are being removed.
        ScalingIn,
        /// Members are being brought to the newest model.
        Upgrading,
        /// The machine is being created.
        Creating,
        /// The machine is being changed.
        Updating,
        /// The machine is being started.
        Starting,
        /// The machine is being stopped or deallocated.
        Stopping,
        /// The object and its hardware are being removed.
        Deleting,
        /// Members are not provisioned yet.
        Provisioning,
        /// The cache or the hardware has not shown the last change yet.
        Waiting,
        /// The application is coming up.
        Initializing,
        // Held back.
        /// The setting is not enabled.
        Disabled,
        /// Metrics that rules compare cannot be read.
        MetricsLost,
        /// `spec.upgradePolicy.paused` holds upgrades.
        Paused,
        /// Nothing is paused.
        NotPaused,
        /// The policy is Manual: outdated members stay as they are.
        ManualUpgradePolicy,
        /// The change needs more than `spec.upgradePolicy.maxDisruption` allows: it is started on no existing member.
        UpdateRefused,
        /// The target dropped below half of the one in force; nobody has confirmed that this is meant.
        ScaleInNotConfirmed,
        /// The allowance is used up.
        AllowanceSpent,
        /// The health source has not yet said of the last batch that it is well.
        BatchInProgress,
        /// There is no quota or no room for the new VMs of a batch, which therefore goes in place.
        SurgeUnavailable,
        /// The pause between two batches.
        PauseBetweenBatches,
        /// The rolling upgrade was cancelled; a changed model or a start operation begins a new one.
        RollingUpgradeCancelled,
        /// Failed members are going back to the model on which they were well.
        RollingBack,
        /// A rolling upgrade to this revision was rolled back; it is not started again until the model is changed.
        RevisionFailed,
        /// A newer image waits: the upgrade to the newest model comes first, or too many members are unhealthy.
        OSUpgradeWaits,
        /// An upgrade to the newest version of the image failed; it is not started again until a newer one is published or
        /// the model changes.
        OSImageFailed,
        /// Unhealthy members wait for their repair: their grace is not over, or others come first.
        RepairsWait,
        /// Most members of a zone, a size and an image are down: one repair there proves first that others make sense.
        RepairBreakerOpen,
        /// Automatic repairs have suspended themselves, since they did not help; the operation
        /// `SetOrchestrationServiceState` resumes them.
        RepairsSuspended,
        /// A person has suspended automatic repairs.
        RepairsSuspendedByUser,
        /// Protected members are left as they are.
        Protected,
        /// Members made by hand are left as they are.
        HandMadeMember,
        /// The difference is taken with the next reimage.
        PendingReimage,
        /// Spot VMs were evicted and stay without hardware until they are started.
        Evicted,
        /// Members that go were told of it, and go when their notice is approved or its time is over.
        DeletionNotice,
        /// Members were told that their OS disk is replaced, which comes when it is approved or its time is over.
        ImageNotice,
        /// A scheduled event runs on VMs: their hosts are maintained or have failed, or they restart. No upgrade starts on them.
        HostMaintenance,
        /// Members have left their backend pools and wait for what is under way before they are taken down.
        Draining,
        /// The VM is stopped or deallocated as wished.
        StoppedByWish,
        /// The model names no health source.
        NoHealthSource,
        /// The object is orphaned or is being collected: nothing is touched.
        Orphaning,
        // What a health source says.
        /// The application answers badly, or the load balancer cannot reach it.
        Unhealthy,
        /// The application does not answer: counts as unhealthy.
        HealthUnknown,
        /// The health source says nothing: not the same as unhealthy.
        HealthMissing,
        // Refusals and failures, in Azure's words.
        /// The size cannot be reserved.
        NotSupported,
        /// A value is out of range, or names what does not exist.
        InvalidParameter,
        /// The operation is not allowed in this state.
        OperationNotAllowed,
        /// Somebody has wished otherwise since the operation began.
        OperationPreempted,
        /// The operation failed on some VMs.
        ResourceOperationFailure,
        /// What the operation is about does not exist.
        ResourceNotFound,
        /// An immutable property differs.
        PropertyChangeNotAllowed,
        /// The rolling upgrade found too many members unhealthy before it began.
        MaxUnhealthyInstancePercentExceededBeforeRollingUpgrade,
        /// The rolling upgrade found too many members unhealthy between two batches.
        MaxUnhealthyInstancePercentExceededInRollingUpgrade,
        /// Too many of the members that the rolling upgrade has changed are unhealthy.
        MaxUnhealthyUpgradedInstancePercentExceededInRollingUpgrade,
        /// Some upgraded members failed, and the rolling upgrade goes on.
        RollingUpgradeInProgressWithFailedUpgradedVMs,
        /// The size is not offered here.
        SkuNotAvailable,
        /// The size is not offered as Spot VM.
        AzureSpotIsNotSupportedForThisVMSize,
        /// The price of a Spot VM is above its maximum.
        SpotPriceGreaterThanProvidedMaxPrice,
        /// The maximum price of a Spot VM changes only while it is deallocated.
        MaxPriceChangeNotAllowedForAllocatedVMs,
        /// The image is not offered here.
        ImageNotFound,
        /// The subnet does not exist.
        SubnetNotFound,
        /// The subnet has no free address.
        SubnetIsFull,
        /// The region has no free public address.
        PublicIPCountLimitReached,
        /// Azure: a Basic load balancer serves no set over zones, with several placement groups or of the mode Flexible.
        VMScaleSetCannotReferenceLoadbalancerWhenLargeScaleOrCrossAZ,
        /// Azure: a set with several fault domains takes no existing VM, and lets none go.
        VmssDoesNotSupportAttachingExistingVMMultiFD,
        /// Azure: a set takes an existing VM, and lets one go, only where `singlePlacementGroup` is false explicitly.
        VmssDoesNotSupportAttachingWithSpg,
        /// No room in the region.
        AllocationFailed,
        /// No room in the zone.
        ZonalAllocationFailed,
        /// No hardware of the region meets all constraints.
        OverconstrainedAllocationRequest,
        /// No hardware of the zone meets all constraints.
        OverconstrainedZonalAllocationRequest,
        /// A vCPU quota is exhausted.
        QuotaExceeded,
        /// The guest did not come up in time.
        OSProvisioningTimedOut,
        /// The machine did not start in time.
        VMStartTimedOut,
        /// An extension failed.
        VMExtensionProvisioningError,
        /// The hardware throttles.
        TooManyRequests,
        /// The hardware does not answer.
        HardwareUnavailable,
        /// A failure without a code of its own.
        InternalExecutionError,
        /// The model revision that the instance is to follow does not exist.
        RevisionNotFound,
        /// The machine had vanished.
        MachineVanished,
    }
}

closed_enum! {
    /// What keeps an `AutoscaleSetting` from what a rule asks for: the codes of its `status.blocker`.
    AutoscaleBlock {
        /// The cooldown of the rule that fired last runs.
        CoolingDown,
        /// A rule that asks for more would undo it.
        Flapping,
        /// There are as many VMs as there may be.
        AtMaximum,
        /// There are as few VMs as there may be.
        AtMinimum,
        /// A metric cannot be read.
        MetricsLost,
    }
}

impl Reason {
    /// The reason spelled `code`, or [`Reason::InternalExecutionError`] where a backend invents one.
    pub fn from_code(code: &str) -> Self {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == code).unwrap_or(Self::InternalExecutionError)
    }
}

/// The default of a status in the schema: every condition `Unknown` until the first pass, so that no tool takes an
/// object that nobody has looked at for finished.
pub(crate) fn unknown_conditions(types: impl IntoIterator<Item = &'static str>) -> Value {
    let conditions: Vec<Value> = types
        .into_iter()
        .map(|condition_type| {
            json!({
                "type": condition_type,
                "status": "Unknown",
                "reason": Reason::Pending.as_str(),
                "message": "waiting for controller",
                "lastTransitionTime": "1970-01-01T00:00:00Z",
            })
        })
        .collect();
    Value::Array(conditions)
}

/// The condition of `condition_type` in a list.
pub fn find<'list>(conditions: &'list [Condition], condition_type: &str) -> Option<&'list Condition> {
    conditions.iter().find(|condition| condition.type_ == condition_type)
}

/// Carries `lastTransitionTime` over from `previous` wherever the status of a condition stays what it was, so that
/// nothing is written when nothing changed.
pub fn keep_transition_times(conditions: &mut [Condition], previous: &[Condition]) {
    for condition in conditions {
        if let Some(before) = find(previous, &condition.type_)
            && before.status == condition.status
            && before.reason != Reason::Pending.as_str()
        {
            condition.last_transition_time = Time(before.last_transition_time.0);
        }
    }
}
