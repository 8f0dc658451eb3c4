//! How far an operation came, counted from what its VMs and its set have recorded.

use scaleset_crds::condition::Reason;
use scaleset_crds::operation::{OperationInstance, OperationState, OperationType};
use scaleset_crds::rolling_upgrade::RollingUpgradeStatus;
use scaleset_crds::vocabulary::{ProvisioningState, RollingUpgradeCode, UpgradeMode};

use super::approval;
use super::refusal::is_running;
use super::service;
use crate::snapshot::{
    Failure, ImageVersions, MemberLife, Observation, OperationMember, OperationSet, OperationSnapshot,
    OperationTargetFacts,
};

/// How far an operation came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// On VMs, each with how far it came there.
    Instances(Vec<(OperationInstance, InstanceProgress)>),
    /// In a rolling upgrade.
    RollingUpgrade {
        /// VMs that it is about.
        total: i32,
        /// Upgraded and well.
        succeeded: i32,
        /// Upgraded and not well.
        failed: i32,
        /// How the upgrade stands.
        outcome: RollOutcome,
    },
    /// In the state of a service of the set, which is of no VM.
    Service(RollOutcome),
}

/// How what the set does as a whole stands: a rolling upgrade, or the state of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RollOutcome {
    /// What was asked for has not come about yet.
    UnderWay(String),
    /// It has.
    Succeeded(String),
    /// It never will.
    Failed(Failure),
}

/// How far an operation came on one VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceProgress {
    /// It has not ended; what is known of why not.
    UnderWay(Option<String>),
    /// It has succeeded.
    Succeeded,
    /// It has failed.
    Failed(Failure),
}

pub(super) fn of(snapshot: &OperationSnapshot) -> Progress {
    match (&snapshot.target, snapshot.spec.operation_type) {
        (OperationTargetFacts::ScaleSet(set), OperationType::StartRollingUpgrade) => started_roll(snapshot, set),
        (OperationTargetFacts::ScaleSet(set), OperationType::CancelRollingUpgrade) => cancelled_roll(snapshot, set),
        (OperationTargetFacts::ScaleSet(set), OperationType::SetOrchestrationServiceState) => {
            Progress::Service(service::progress(snapshot, set))
        }
        (OperationTargetFacts::Missing, OperationType::SetOrchestrationServiceState) => {
            Progress::Service(RollOutcome::Failed(gone("the set")))
        }
        (OperationTargetFacts::Missing, OperationType::StartRollingUpgrade | OperationType::CancelRollingUpgrade) => {
            let outcome = RollOutcome::Failed(gone("the set"));
            Progress::RollingUpgrade { total: 0, succeeded: 0, failed: 0, outcome }
        }
        (OperationTargetFacts::Missing | OperationTargetFacts::ScaleSet(_) | OperationTargetFacts::FlexVM(_), _) => {
            let instances = snapshot.status.instances.iter();
            let each = instances.map(|instance| (instance.clone(), of_instance(snapshot, instance)));
            Progress::Instances(each.collect())
        }
    }
}

pub(super) fn gone(what: &str) -> Failure {
    Failure { reason: Reason::ResourceNotFound, message: format!("{what} is gone") }
}

fn of_instance(snapshot: &OperationSnapshot, instance: &OperationInstance) -> InstanceProgress {
    let members = match &snapshot.target {
        OperationTargetFacts::Missing => &[],
        OperationTargetFacts::ScaleSet(set) => set.members.as_slice(),
        OperationTargetFacts::FlexVM(vm) => std::slice::from_ref(vm.as_ref()),
    };
    let member = members.iter().find(|member| member.uid == instance.uid);
    match snapshot.spec.operation_type {
        OperationType::Delete => deleted(member),
        OperationType::ManualUpgrade => upgraded(snapshot, member),
        OperationType::ApproveScheduledEvent => approval::progress(snapshot, member),
        OperationType::Start
        | OperationType::PowerOff
        | OperationType::Restart
        | OperationType::Deallocate
        | OperationType::Redeploy
        | OperationType::Reimage
        | OperationType::ReimageAll
        | OperationType::SimulateEviction
        | OperationType::StartRollingUpgrade
        | OperationType::CancelRollingUpgrade
        | OperationType::SetOrchestrationServiceState => recorded(snapshot, member),
    }
}

fn deleted(member: Option<&OperationMember>) -> InstanceProgress {
    match member {
        None => InstanceProgress::Succeeded,
        Some(member) => InstanceProgress::UnderWay(trouble(member)),
    }
}

fn trouble(member: &OperationMember) -> Option<String> {
    member.trouble.as_ref().map(|trouble| trouble.message.clone())
}

/// What the instance itself has recorded.
fn recorded(snapshot: &OperationSnapshot, member: Option<&OperationMember>) -> InstanceProgress {
    let Some(member) = member.filter(|member| member.life == MemberLife::Live) else {
        return InstanceProgress::Failed(gone("the VM"));
    };
    let record = member.operations.iter().find(|operation| operation.uid == snapshot.uid);
    match record.map(|record| (record.state, record)) {
        None => InstanceProgress::UnderWay(trouble(member)),
        Some((OperationState::InProgress, record)) => {
            InstanceProgress::UnderWay(record.message.clone().or_else(|| trouble(member)))
        }
        Some((OperationState::Succeeded, _)) => InstanceProgress::Succeeded,
        Some((OperationState::Failed, record)) => InstanceProgress::Failed(Failure {
            reason: Reason::from_code(record.code.as_deref().unwrap_or_default()),
            message: record.message.clone().unwrap_or_default(),
        }),
    }
}

/// One that is gone was replaced by a VM of the newest model, or removed by somebody: either way none is outdated.
fn upgraded(snapshot: &OperationSnapshot, member: Option<&OperationMember>) -> InstanceProgress {
    let revision = snapshot.status.model_revision.as_deref();
    let Some(member) = member.filter(|member| member.life == MemberLife::Live) else {
        return InstanceProgress::Succeeded;
    };
    if member.assigned_revision.as_deref() != revision {
        let (newest, refusal) = match &snapshot.target {
            OperationTargetFacts::ScaleSet(set) => (set.newest_revision.as_deref(), set.upgrade_refusal.clone()),
            OperationTargetFacts::Missing | OperationTargetFacts::FlexVM(_) => (None, None),
        };
        if newest == revision {
            return refusal.map_or(InstanceProgress::UnderWay(None), InstanceProgress::Failed);
        }
        let message = format!("the model has changed since, the newest is {}", newest.unwrap_or("none"));
        return InstanceProgress::Failed(Failure { reason: Reason::OperationPreempted, message });
    }
    let taken = member.running_revision.as_deref() == revision && member.observation == Observation::Current;
    match (taken, member.provisioning) {
        (true, ProvisioningState::Succeeded) => InstanceProgress::Succeeded,
        (_, ProvisioningState::Failed) if member.observation == Observation::Current => {
            let unknown =
                || Failure { reason: Reason::InternalExecutionError, message: "its update failed".to_owned() };
            InstanceProgress::Failed(member.trouble.clone().unwrap_or_else(unknown))
        }
        (
            true | false,
            ProvisioningState::Succeeded
            | ProvisioningState::Failed
            | ProvisioningState::Creating
            | ProvisioningState::Updating
            | ProvisioningState::Deleting
            | ProvisioningState::Unknown,
        ) => InstanceProgress::UnderWay(trouble(member)),
    }
}

/// Whether the count has been lowered: the mark says so, and when nobody who was named is left there is nothing to do.
pub(super) fn is_lowered(snapshot: &OperationSnapshot, set: &OperationSet) -> bool {
    let live = |uid: &str| set.members.iter().any(|member| member.uid == uid && member.life == MemberLife::Live);
    set.last_delete.as_deref() == Some(snapshot.uid.as_str())
        || !snapshot.status.instances.iter().any(|instance| live(&instance.uid))
}

/// The upgrade that a start began is the first after the one that it found, or a later one towards a newer model.
fn started_roll(snapshot: &OperationSnapshot, set: &OperationSet) -> Progress {
    let found = snapshot.status.rolling_upgrade_number.unwrap_or(0);
    let record = set.rolling_upgrade.as_ref().filter(|record| record.number > found);
    let outcome = match record {
        None if set.life == MemberLife::Terminating => RollOutcome::Failed(gone("the set")),
        // The set was changed before it could begin: nothing there rolls any more.
        None if set.upgrade_mode != UpgradeMode::Rolling && set.image == ImageVersions::Exact => {
            RollOutcome::Failed(Failure {
                reason: Reason::OperationPreempted,
                message: format!(
                    "the set was changed before it began: upgradePolicy.mode is {:?}, and the model names an exact image version",
                    set.upgrade_mode
                ),
            })
        }
        None => {
            let held = set.holds_upgrades.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            RollOutcome::UnderWay(format!("the set has not begun it yet{held}"))
        }
        Some(record) => match record.running_status.code {
            RollingUpgradeCode::RollingForward | RollingUpgradeCode::RollingBack => {
                RollOutcome::UnderWay(format!("rolling upgrade {} is running", record.number))
            }
            RollingUpgradeCode::Completed if record.progress.failed_instance_count > 0 => {
                RollOutcome::Failed(fault(record))
            }
            RollingUpgradeCode::Completed => {
                RollOutcome::Succeeded(format!("rolling upgrade {} is complete", record.number))
            }
            RollingUpgradeCode::Cancelled => RollOutcome::Failed(Failure {
                reason: Reason::RollingUpgradeCancelled,
                message: format!("rolling upgrade {} was cancelled", record.number),
            }),
            RollingUpgradeCode::Faulted => RollOutcome::Failed(fault(record)),
        },
    };
    counted(record, outcome)
}

fn fault(record: &RollingUpgradeStatus) -> Failure {
    let stopped = || format!("rolling upgrade {} stopped", record.number);
    Failure {
        reason: record.error.as_ref().map_or(Reason::InternalExecutionError, |error| Reason::from_code(&error.code)),
        message: record.error.as_ref().map_or_else(stopped, |error| error.message.clone()),
    }
}

fn cancelled_roll(snapshot: &OperationSnapshot, set: &OperationSet) -> Progress {
    let number = snapshot.status.rolling_upgrade_number.unwrap_or(0);
    let record = set.rolling_upgrade.as_ref().filter(|record| record.number == number);
    let outcome = match record {
        Some(record) if record.running_status.code == RollingUpgradeCode::Cancelled => {
            RollOutcome::Succeeded(format!("rolling upgrade {number} is cancelled"))
        }
        Some(record) if is_running(record.running_status.code) && set.life == MemberLife::Live => {
            RollOutcome::UnderWay(format!("rolling upgrade {number} is running"))
        }
        Some(_) | None => RollOutcome::Failed(Failure {
            reason: Reason::OperationNotAllowed,
            message: format!("rolling upgrade {number} ended before it could be cancelled"),
        }),
    };
    counted(record, outcome)
}

fn counted(record: Option<&RollingUpgradeStatus>, outcome: RollOutcome) -> Progress {
    let progress = record.map(|record| record.progress).unwrap_or_default();
    Progress::RollingUpgrade {
        total: progress.successful_instance_count
            + progress.failed_instance_count
            + progress.in_progress_instance_count
            + progress.pending_instance_count,
        succeeded: progress.successful_instance_count,
        failed: progress.failed_instance_count,
        outcome,
    }
}
