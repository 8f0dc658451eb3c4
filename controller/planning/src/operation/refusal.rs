//! What cannot be carried out, found before anything is changed.

use std::collections::BTreeSet;

use scaleset_crds::condition::Reason;
use scaleset_crds::operation::OperationType;
use scaleset_crds::vocabulary::{OrchestrationMode, RollingUpgradeCode, UpgradeMode};

use super::{approval, scope_of_ids, service};
use crate::snapshot::{
    Failure, ImageVersions, MemberLife, OperationMember, OperationScope, OperationSet, OperationSnapshot,
    OperationTargetFacts, Origin, UpgradeSwitch,
};
use crate::wording::some_names;

/// Why the operation cannot begin; it then fails.
pub(super) fn refusal(snapshot: &OperationSnapshot) -> Option<Failure> {
    let target = &snapshot.spec.target;
    let not_there =
        |what: &str| refuse(Reason::ResourceNotFound, format!("spec.target: {:?} {} {what}", target.kind, target.name));
    match &snapshot.target {
        OperationTargetFacts::Missing => Some(not_there("does not exist in this namespace")),
        OperationTargetFacts::FlexVM(_) if approval::is_approval(snapshot) => approval::refusal(snapshot),
        OperationTargetFacts::FlexVM(vm) if vm.life == MemberLife::Terminating => Some(not_there("is being deleted")),
        OperationTargetFacts::FlexVM(_) => None,
        OperationTargetFacts::ScaleSet(set) if approval::is_approval(snapshot) => {
            of_ids(snapshot, set).or_else(|| approval::refusal(snapshot))
        }
        OperationTargetFacts::ScaleSet(set) if set.life == MemberLife::Terminating => {
            Some(not_there("is being deleted"))
        }
        OperationTargetFacts::ScaleSet(set) => of_ids(snapshot, set).or_else(|| of_type(snapshot, set)),
    }
}

const fn refuse(reason: Reason, message: String) -> Failure {
    Failure { reason, message }
}

/// Every id names a member that is there.
fn of_ids(snapshot: &OperationSnapshot, set: &OperationSet) -> Option<Failure> {
    let OperationScope::These(ids) = scope_of_ids(snapshot.spec.operation_type, &snapshot.spec.instance_ids) else {
        return None;
    };
    let there = |member: &&OperationMember| member.life == MemberLife::Live || approval::is_approval(snapshot);
    let known: BTreeSet<&str> = set.members.iter().filter(there).map(|member| member.instance_id.as_str()).collect();
    let unknown: Vec<&str> = ids.iter().map(String::as_str).filter(|id| !known.contains(id)).collect();
    if unknown.is_empty() {
        return None;
    }
    let spelling = match set.mode {
        OrchestrationMode::Uniform => "of a Uniform set they are numbers, as in the column ID",
        OrchestrationMode::Flexible => "of a Flexible set they are the names of its VMs",
    };
    let message = format!("spec.instanceIds: the set has no instance {}; {spelling}", some_names(&unknown));
    Some(refuse(Reason::InvalidParameter, message))
}

fn of_type(snapshot: &OperationSnapshot, set: &OperationSet) -> Option<Failure> {
    match snapshot.spec.operation_type {
        OperationType::ReimageAll if set.mode == OrchestrationMode::Flexible => {
            let message = "spec.type: ReimageAll is for Uniform sets only; use Reimage".to_owned();
            Some(refuse(Reason::OperationNotAllowed, message))
        }
        OperationType::ManualUpgrade => manual_upgrade(snapshot, set),
        OperationType::StartRollingUpgrade => start_rolling_upgrade(set),
        OperationType::CancelRollingUpgrade => cancel_rolling_upgrade(set),
        OperationType::SetOrchestrationServiceState => service::refusal(set),
        OperationType::Start
        | OperationType::PowerOff
        | OperationType::Restart
        | OperationType::Deallocate
        | OperationType::Redeploy
        | OperationType::Reimage
        | OperationType::ReimageAll
        | OperationType::SimulateEviction
        | OperationType::ApproveScheduledEvent
        | OperationType::Delete => None,
    }
}

fn manual_upgrade(snapshot: &OperationSnapshot, set: &OperationSet) -> Option<Failure> {
    if set.newest_revision.is_none() {
        let message = "the set has no virtualMachineProfile to upgrade to".to_owned();
        return Some(refuse(Reason::OperationNotAllowed, message));
    }
    if let Some(refusal) = held(set) {
        return Some(refusal);
    }
    let ids = &snapshot.spec.instance_ids;
    let named = |member: &&OperationMember| ids.contains(&member.instance_id) && member.origin == Origin::Hand;
    let by_hand: Vec<&str> = set.members.iter().filter(named).map(|member| member.name.as_str()).collect();
    if by_hand.is_empty() {
        return None;
    }
    let message = format!("spec.instanceIds: {} made by hand, change their own specs", some_names(&by_hand));
    Some(refuse(Reason::HandMadeMember, message))
}

/// What holds every upgrade.
fn held(set: &OperationSet) -> Option<Failure> {
    if set.upgrades == UpgradeSwitch::Paused {
        return Some(refuse(Reason::OperationNotAllowed, "upgradePolicy.paused of the set is true".to_owned()));
    }
    set.upgrade_refusal.clone()
}

fn start_rolling_upgrade(set: &OperationSet) -> Option<Failure> {
    if set.upgrade_mode != UpgradeMode::Rolling && set.image == ImageVersions::Exact {
        let message = "an upgrade of the OS image would need the image version latest";
        return Some(not_rolling(set, message));
    }
    if let Some(refusal) = held(set) {
        return Some(refusal);
    }
    if let Some(record) = &set.rolling_upgrade
        && is_running(record.running_status.code)
    {
        let message = format!("rolling upgrade {} is running, cancel it first", record.number);
        return Some(refuse(Reason::OperationNotAllowed, message));
    }
    if set.upgrade_mode != UpgradeMode::Rolling {
        return None;
    }
    let newest = set.newest_revision.as_deref().unwrap_or_default();
    let failed = set.failed_revisions.iter().find(|failed| failed.name == newest)?;
    let message = format!("an upgrade to {newest} failed and was rolled back ({}); change the model", failed.code);
    Some(refuse(Reason::RevisionFailed, message))
}

fn cancel_rolling_upgrade(set: &OperationSet) -> Option<Failure> {
    let of_image = set.rolling_upgrade.as_ref().is_some_and(|record| record.os_upgrade.is_some());
    if set.upgrade_mode != UpgradeMode::Rolling && !of_image {
        return Some(not_rolling(set, "no upgrade of the OS image is running"));
    }
    match &set.rolling_upgrade {
        Some(record) if record.running_status.code == RollingUpgradeCode::RollingForward => None,
        Some(record) => {
            let code = record.running_status.code;
            let message = format!("rolling upgrade {} is {code:?}, there is none to cancel", record.number);
            Some(refuse(Reason::OperationNotAllowed, message))
        }
        None => Some(refuse(Reason::OperationNotAllowed, "no rolling upgrade is running".to_owned())),
    }
}

fn not_rolling(set: &OperationSet, otherwise: &str) -> Failure {
    let message = format!("upgradePolicy.mode of the set is {:?}, it must be Rolling; {otherwise}", set.upgrade_mode);
    refuse(Reason::OperationNotAllowed, message)
}

pub(super) const fn is_running(code: RollingUpgradeCode) -> bool {
    match code {
        RollingUpgradeCode::RollingForward | RollingUpgradeCode::RollingBack => true,
        RollingUpgradeCode::Completed | RollingUpgradeCode::Cancelled | RollingUpgradeCode::Faulted => false,
    }
}
