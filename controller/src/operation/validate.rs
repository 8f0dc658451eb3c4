//! From raw objects to the planner's snapshot of one operation, and to what a set's pass has to know of operations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use scaleset_crds::condition::{Reason, ScaleSetCondition, find};
use scaleset_crds::operation::{OperationTargetKind, OperationType};
use scaleset_crds::scale_set::Blocker;
use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::{OrchestrationMode, ProvisioningState, Surplus};
use scaleset_crds::{FlexVM, InstanceStatus, ScaleSet, ScaleSetOperation, ScaleSetVM, labels};
use scaleset_planning::operation::scope_of_ids;
use scaleset_planning::scale_set::lowered;
use scaleset_planning::snapshot::{
    EarlierOperation, Failure, ImageVersions, MemberKind, MemberLife, Observation, OperationMember, OperationScope,
    OperationSet, OperationSnapshot, OperationTargetFacts, Origin, RepairSwitch, SetOperation, SetRequest,
    SpotHardware, UpgradeSwitch,
};

use super::observe::{Observed, Target};
use crate::cluster::Members;
use crate::scale_set::{confirmation, failure_of, is_owned_by, origin, protection};

pub(super) fn validate(observed: &Observed) -> OperationSnapshot {
    let operation = &observed.operation;
    let metadata = &operation.metadata;
    let target = match &observed.target {
        Target::Missing => OperationTargetFacts::Missing,
        Target::ScaleSet { set, members } => OperationTargetFacts::ScaleSet(Box::new(set_facts(set, members))),
        Target::FlexVM(vm) => OperationTargetFacts::FlexVM(Box::new(flexible(vm, Origin::Hand))),
    };
    OperationSnapshot {
        wall_now: observed.wall_now,
        uid: observed.id.uid.clone(),
        generation: metadata.generation.unwrap_or_default(),
        life: life(metadata),
        created: created(metadata),
        spec: operation.spec.clone(),
        target,
        earlier: earlier(observed),
        status: operation.status.clone().unwrap_or_default(),
    }
}

fn life(metadata: &ObjectMeta) -> MemberLife {
    if metadata.deletion_timestamp.is_some() { MemberLife::Terminating } else { MemberLife::Live }
}

fn created(metadata: &ObjectMeta) -> Timestamp {
    metadata.creation_timestamp.as_ref().map(|time| time.0).unwrap_or_default()
}

/// Operations take their turns by time of creation, then by name.
pub(crate) fn order(operation: &ScaleSetOperation) -> (Timestamp, &str) {
    (created(&operation.metadata), operation.metadata.name.as_deref().unwrap_or_default())
}

/// Those before this one that have not ended, whether or not they are about the same VMs. One that has begun is before all
/// that have not: of the same second, the name would decide otherwise.
fn earlier(observed: &Observed) -> Vec<EarlierOperation> {
    let own = order(&observed.operation);
    let has_begun =
        |operation: &ScaleSetOperation| operation.status.as_ref().is_some_and(|status| status.start_time.is_some());
    let is_before = |other: &ScaleSetOperation| match (has_begun(other), has_begun(&observed.operation)) {
        (true, false) => true,
        (false, true) => false,
        (true, true) | (false, false) => order(other) < own,
    };
    let before: BTreeMap<(Timestamp, &str), &Arc<ScaleSetOperation>> = observed
        .others
        .iter()
        .filter(|other| is_before(other) && has_not_ended(other))
        .filter(|other| is_about_members(observed, other))
        .map(|other| (order(other), other))
        .collect();
    before
        .into_iter()
        .map(|((_, name), other)| EarlierOperation {
            name: name.to_owned(),
            operation_type: other.spec.operation_type,
            scope: scope(other),
        })
        .collect()
}

/// A set and a `FlexVM` may have the same name, and what is asked of the one is not asked of the other.
fn is_about_members(observed: &Observed, other: &ScaleSetOperation) -> bool {
    let (own, theirs) = (&observed.operation.spec.target, &other.spec.target);
    own == theirs
        || match (own.kind, theirs.kind, &observed.target) {
            (OperationTargetKind::ScaleSet, OperationTargetKind::FlexVM, Target::ScaleSet { members, .. }) => {
                members.flex_vms.iter().any(|vm| vm.metadata.name.as_deref() == Some(theirs.name.as_str()))
            }
            (OperationTargetKind::FlexVM, OperationTargetKind::ScaleSet, Target::FlexVM(vm)) => {
                vm.spec.scale_set_ref.as_ref().is_some_and(|reference| reference.name == theirs.name)
            }
            (_, _, _) => false,
        }
}

fn has_not_ended(operation: &ScaleSetOperation) -> bool {
    let ended = operation.status.as_ref().is_some_and(|status| status.completion_time.is_some());
    !ended && operation.metadata.deletion_timestamp.is_none()
}

/// One that has begun is about what it settled on.
fn scope(operation: &ScaleSetOperation) -> OperationScope {
    let spec = &operation.spec;
    match (&operation.status, spec.target.kind) {
        (Some(status), _) if status.start_time.is_some() => {
            OperationScope::These(status.instances.iter().map(|instance| instance.instance_id.clone()).collect())
        }
        (_, OperationTargetKind::ScaleSet) => scope_of_ids(spec.operation_type, &spec.instance_ids),
        (_, OperationTargetKind::FlexVM) => OperationScope::These([spec.target.name.clone()].into()),
    }
}

fn set_facts(set: &ScaleSet, members: &Members) -> OperationSet {
    let (spec, status) = (&set.spec, set.status.clone().unwrap_or_default());
    let metadata = &set.metadata;
    let uid = metadata.uid.clone().unwrap_or_default();
    let seen = status.observed_generation == metadata.generation;
    OperationSet {
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
        life: life(metadata),
        mode: spec.orchestration_mode,
        observation: if seen { Observation::Current } else { Observation::Behind },
        image: match &spec.virtual_machine_profile {
            Some(profile) if profile.storage_profile.image_reference.requested_version() == "latest" => {
                ImageVersions::Latest
            }
            Some(_) | None => ImageVersions::Exact,
        },
        upgrade_mode: spec.upgrade_policy.mode,
        upgrades: if spec.upgrade_policy.paused { UpgradeSwitch::Paused } else { UpgradeSwitch::On },
        target: match spec.replicas {
            Some(replicas) => (replicas - lowered(&status.evictions, replicas)).max(0),
            None => status.target_replicas.unwrap_or(0),
        },
        target_in_force: status.target_replicas.or(spec.replicas).unwrap_or(0),
        confirmation: confirmation(metadata),
        last_delete: annotation(metadata, labels::LAST_DELETE),
        newest_revision: spec.virtual_machine_profile.as_ref().and(status.model_revision.clone()),
        failed_revisions: status.revisions.clone().unwrap_or_default().failed,
        upgrade_refusal: upgrade_refusal(&status.conditions),
        holds_upgrades: holds_upgrades(&status.blockers),
        rolling_upgrade: status.rolling_upgrade.clone(),
        repairs: match &spec.automatic_repairs_policy {
            None => RepairSwitch::Absent,
            Some(policy) if policy.enabled => RepairSwitch::On,
            Some(_) => RepairSwitch::Off,
        },
        orchestration_services: status.orchestration_services.clone(),
        noted_evictions: status.evictions.iter().map(|note| note.uid.clone()).collect(),
        members: members_of(set, &uid, members),
        uid,
    }
}

/// What the set says that keeps a rolling upgrade from beginning.
fn holds_upgrades(blockers: &[Blocker]) -> Option<String> {
    let reasons = [
        Reason::Paused,
        Reason::UpdateRefused,
        Reason::OSUpgradeWaits,
        Reason::OSImageFailed,
        Reason::BatchInProgress,
        Reason::AllowanceSpent,
        Reason::HardwareUnavailable,
    ];
    let holds = |blocker: &&Blocker| reasons.iter().any(|reason| reason.as_str() == blocker.code);
    blockers.iter().find(holds).map(|blocker| blocker.message.clone())
}

/// What the set says that a person must change before anything is upgraded.
fn upgrade_refusal(conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition]) -> Option<Failure> {
    let up_to_date = find(conditions, ScaleSetCondition::UpToDate.as_str())?;
    let reason = Reason::from_code(&up_to_date.reason);
    let refusals = [
        Reason::UpdateRefused,
        Reason::InvalidParameter,
        Reason::SkuNotAvailable,
        Reason::ImageNotFound,
        Reason::SubnetNotFound,
    ];
    (up_to_date.status == "False" && refusals.contains(&reason))
        .then(|| Failure { reason, message: up_to_date.message.clone() })
}

fn members_of(set: &ScaleSet, uid: &str, members: &Members) -> Vec<OperationMember> {
    let mut found: Vec<OperationMember> = match set.spec.orchestration_mode {
        OrchestrationMode::Uniform => {
            // Extras of a scale-out are nobody's to operate on: they count nowhere, and go by themselves.
            let counts = |vm: &&Arc<ScaleSetVM>| vm.spec.surplus != Some(Surplus::Overprovisioned);
            let owned = members.scale_set_vms.iter().filter(|vm| is_owned_by(&vm.metadata, uid));
            owned.filter(counts).map(|vm| uniform(set, vm)).collect()
        }
        OrchestrationMode::Flexible => members
            .flex_vms
            .iter()
            .filter_map(|vm| match origin(&vm.metadata, uid)? {
                Origin::Set => Some(flexible(vm, Origin::Set)),
                Origin::Hand => {
                    let accepted = vm.status.as_ref().and_then(|status| status.scale_set.as_deref());
                    (accepted == set.metadata.name.as_deref()).then(|| flexible(vm, Origin::Hand))
                }
            })
            .collect(),
    };
    found.sort_by(|one, two| one.name.cmp(&two.name));
    found
}

fn uniform(set: &ScaleSet, vm: &ScaleSetVM) -> OperationMember {
    let priority = set.spec.virtual_machine_profile.as_ref().map(|profile| profile.spot.priority);
    OperationMember {
        spot_hardware: spot_hardware(priority.unwrap_or_default(), vm.status.as_ref()),
        instance_id: vm.spec.instance_id.clone(),
        protection: protection(vm.spec.protection_policy.as_ref()),
        power_wish: vm.spec.power_state.unwrap_or_default(),
        assigned_revision: Some(vm.spec.model_revision.clone()),
        ..member(MemberKind::ScaleSetVM, Origin::Set, &vm.metadata, vm.status.as_ref())
    }
}

fn flexible(vm: &FlexVM, origin: Origin) -> OperationMember {
    OperationMember {
        spot_hardware: spot_hardware(vm.spec.spot.priority, vm.status.as_ref()),
        protection: protection(vm.spec.protection_policy.as_ref()),
        power_wish: vm.spec.power_state.unwrap_or_default(),
        assigned_revision: vm.metadata.labels.as_ref().and_then(|labels| labels.get(labels::MODEL_REVISION)).cloned(),
        ..member(MemberKind::FlexVM, origin, &vm.metadata, vm.status.as_ref())
    }
}

fn member(kind: MemberKind, origin: Origin, metadata: &ObjectMeta, status: Option<&InstanceStatus>) -> OperationMember {
    let name = metadata.name.clone().unwrap_or_default();
    let seen = status.is_some_and(|status| status.observed_generation == metadata.generation);
    OperationMember {
        kind,
        instance_id: name.clone(),
        name,
        uid: metadata.uid.clone().unwrap_or_default(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
        life: life(metadata),
        origin,
        protection: protection(None),
        spot_hardware: SpotHardware::None,
        power_wish: scaleset_crds::vocabulary::PowerWish::Running,
        power_operation: annotation(metadata, labels::POWER_OPERATION),
        assigned_revision: None,
        running_revision: status.and_then(|status| status.model_revision.clone()),
        observation: if seen { Observation::Current } else { Observation::Behind },
        provisioning: status.and_then(|status| status.provisioning_state).unwrap_or(ProvisioningState::Unknown),
        trouble: status.and_then(failure_of).filter(|failure| is_trouble(failure.reason)),
        operations: status.map(|status| status.operations.clone()).unwrap_or_default(),
        scheduled_events: status
            .into_iter()
            .flat_map(|status| status.scheduled_events.iter().map(|event| event.event_id.clone()))
            .collect(),
    }
}

fn spot_hardware(priority: Priority, status: Option<&InstanceStatus>) -> SpotHardware {
    let host = status.and_then(|status| status.instance_view.as_ref()?.assigned_host.as_ref());
    match (priority, host) {
        (Priority::Spot, Some(_)) => SpotHardware::Held,
        (Priority::Spot, None) | (Priority::Regular, _) => SpotHardware::None,
    }
}

/// What is worth telling whoever waits: not that something is simply under way.
fn is_trouble(reason: Reason) -> bool {
    let ordinary = [Reason::Ready, Reason::Pending, Reason::Creating, Reason::Updating, Reason::Deleting];
    !ordinary.contains(&reason)
}

fn annotation(metadata: &ObjectMeta, name: &str) -> Option<String> {
    metadata.annotations.as_ref().and_then(|annotations| annotations.get(name)).cloned()
}

/// What a set's pass carries out of an operation: it has begun, has not ended, and is the set's to do.
pub(crate) fn set_operation(set: &ScaleSet, operation: &ScaleSetOperation) -> Option<SetOperation> {
    let status = operation.status.as_ref()?;
    let theirs = operation.spec.target.kind == OperationTargetKind::ScaleSet && status.start_time.is_some();
    if !theirs || !has_not_ended(operation) {
        return None;
    }
    let uids = || status.instances.iter().map(|instance| instance.uid.clone()).collect::<BTreeSet<String>>();
    let lowered = || annotation(&set.metadata, labels::LAST_DELETE) == operation.metadata.uid;
    let request = match operation.spec.operation_type {
        OperationType::ManualUpgrade => {
            SetRequest::ManualUpgrade { revision: status.model_revision.clone()?, instances: uids() }
        }
        OperationType::Delete if lowered() => SetRequest::Delete { instances: uids() },
        OperationType::StartRollingUpgrade => SetRequest::StartRollingUpgrade { after: status.rolling_upgrade_number? },
        OperationType::CancelRollingUpgrade => {
            SetRequest::CancelRollingUpgrade { number: status.rolling_upgrade_number? }
        }
        OperationType::SetOrchestrationServiceState => {
            SetRequest::SetServiceState(operation.spec.parameters.as_ref()?.action?)
        }
        OperationType::Delete
        | OperationType::Start
        | OperationType::PowerOff
        | OperationType::Restart
        | OperationType::Deallocate
        | OperationType::Redeploy
        | OperationType::Reimage
        | OperationType::ReimageAll
        | OperationType::SimulateEviction
        | OperationType::ApproveScheduledEvent => return None,
    };
    Some(SetOperation { name: operation.metadata.name.clone().unwrap_or_default(), request })
}
