//! One operation's next step: its turn, its beginning, what it writes itself, how far it came.
//!
//! ```text
//! ended ──► time to live over? ──► delete the object
//! not begun ──► earlier ones on the same VMs? ──► wait
//!           ──► impossible? ──► fail, nothing changed
//!           ──► settle which VMs, and record it: from here on it is under way
//! under way ──► write what is its own to write (power wishes, the lowered count, a lone VM's deletion)
//!           ──► count what its VMs and its set have recorded ──► all ended? ──► end
//! ```
//!
//! Nothing is written before the record of the beginning is, so an operation is carried out once, whoever dies when.
//! What instances do is decided in [`crate::instance`], what sets do in [`crate::scale_set`].
//!
//! Sources: Azure's REST reference of Virtual Machine Scale Sets; queueing, time to live and failures that change nothing
//! are ours (`docs/operations.md`).

mod approval;
mod progress;
mod refusal;
mod service;

use std::time::Duration;

use scaleset_crds::condition::Reason;
use scaleset_crds::operation::{ALL_INSTANCES, OperationInstance, OperationType};
use scaleset_crds::vocabulary::PowerWish;

use crate::snapshot::{
    Confirmation, Failure, InstanceRequest, MemberLife, Observation, OperationMember, OperationScope, OperationSet,
    OperationSnapshot, OperationTargetFacts, Origin, Protection, SpotHardware,
};
use crate::sudden_drop::is_sudden;
pub use progress::{InstanceProgress, Progress, RollOutcome};

/// How long a target may be unknown: its cache may lag behind that of operations.
const TARGET_GRACE: Duration = Duration::from_secs(5);
/// How often one that waits for another looks whether it has ended.
const QUEUE_LOOK: Duration = Duration::from_secs(5);

/// What one pass over an operation does.
#[derive(Clone, Debug)]
#[must_use]
pub struct OperationPlan {
    /// The step.
    pub step: OperationStep,
    /// When to look again although nothing changes, wall time.
    pub wake_after: Option<Duration>,
}

/// The next step of an operation.
#[derive(Clone, Debug)]
pub enum OperationStep {
    /// It has ended, or is being deleted.
    None,
    /// It has not begun.
    Wait {
        /// Why.
        reason: Reason,
        /// For what.
        message: String,
    },
    /// It cannot be carried out; nothing has been changed.
    Refuse(Failure),
    /// Its turn has come.
    Begin(Beginning),
    /// It is under way.
    GoOn {
        /// What is to be written now.
        writes: Vec<OperationWrite>,
        /// How far it came.
        progress: Progress,
    },
    /// Its time to live is over.
    Expire,
}

/// What is settled when an operation begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beginning {
    /// The VMs, sorted by name.
    pub instances: Vec<OperationInstance>,
    /// `ManualUpgrade`: the newest revision.
    pub model_revision: Option<String>,
    /// Rolling upgrades: number of the latest one, 0 without.
    pub rolling_upgrade_number: Option<i64>,
}

/// A write that is the operation's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationWrite {
    /// Wish another power state for a VM, with the mark that this operation did.
    SetPower {
        /// The VM.
        member: MemberId,
        /// The wish.
        wish: PowerWish,
    },
    /// Lower the count of a set, with the mark that this operation did.
    LowerReplicas {
        /// Uid of the set.
        uid: String,
        /// Resource version that the decision was made at.
        resource_version: String,
        /// The new count.
        replicas: i32,
        /// Whether the drop must be confirmed, which who names the VMs does.
        confirmation: Confirmation,
    },
    /// Delete a VM that stands alone.
    DeleteVm(MemberId),
}

/// A VM's object, guarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberId {
    /// Kind.
    pub kind: crate::snapshot::MemberKind,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Resource version that the decision was made at.
    pub resource_version: String,
}

impl MemberId {
    fn of(member: &OperationMember) -> Self {
        let OperationMember { kind, name, uid, resource_version, .. } = member;
        let (name, uid, resource_version) = (name.clone(), uid.clone(), resource_version.clone());
        Self { kind: *kind, name, uid, resource_version }
    }
}

/// Plans one pass over an operation.
pub fn plan(snapshot: &OperationSnapshot) -> OperationPlan {
    let at_once = |step| OperationPlan { step, wake_after: None };
    if snapshot.life == MemberLife::Terminating {
        return at_once(OperationStep::None);
    }
    match (&snapshot.status.completion_time, &snapshot.status.start_time) {
        (Some(ended), _) => ended_at(snapshot, ended.0),
        (None, None) => not_begun(snapshot),
        (None, Some(_)) => at_once(under_way(snapshot)),
    }
}

fn ended_at(snapshot: &OperationSnapshot, ended: jiff::Timestamp) -> OperationPlan {
    let left = snapshot.spec.ttl_seconds_after_finished.map(|seconds| {
        let until = ended + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        Duration::try_from(until.duration_since(snapshot.wall_now)).unwrap_or(Duration::ZERO)
    });
    match left {
        Some(left) if left.is_zero() => OperationPlan { step: OperationStep::Expire, wake_after: None },
        wake_after => OperationPlan { step: OperationStep::None, wake_after },
    }
}

fn not_begun(snapshot: &OperationSnapshot) -> OperationPlan {
    let age = Duration::try_from(snapshot.wall_now.duration_since(snapshot.created)).unwrap_or(Duration::ZERO);
    if let (Some(message), Some(left)) = (not_seen_yet(snapshot), TARGET_GRACE.checked_sub(age)) {
        let step = OperationStep::Wait { reason: Reason::ResourceNotFound, message };
        return OperationPlan { step, wake_after: Some(left.max(Duration::from_millis(100))) };
    }
    let step = turn(snapshot);
    // Who is waited for may be about another object, whose end wakes nobody here.
    let queued = matches!(step, OperationStep::Wait { reason: Reason::Queued, .. });
    OperationPlan { step, wake_after: queued.then_some(QUEUE_LOOK) }
}

/// What it is about and is not known (yet).
fn not_seen_yet(snapshot: &OperationSnapshot) -> Option<String> {
    match &snapshot.target {
        OperationTargetFacts::Missing => {
            let target = &snapshot.spec.target;
            Some(format!("there is no {:?} {} in this namespace yet", target.kind, target.name))
        }
        OperationTargetFacts::ScaleSet(_) | OperationTargetFacts::FlexVM(_) => {
            approval::unknown_event(snapshot).map(|unknown| format!("{unknown} yet"))
        }
    }
}

fn turn(snapshot: &OperationSnapshot) -> OperationStep {
    let scope = scope(snapshot);
    let conflicting = |earlier: &&crate::snapshot::EarlierOperation| conflicts(snapshot, &scope, earlier);
    if let Some(earlier) = snapshot.earlier.iter().find(conflicting) {
        let message = format!("waits for {:?} {}, which came first", earlier.operation_type, earlier.name);
        return OperationStep::Wait { reason: Reason::Queued, message };
    }
    if let Some(message) = unseen_spec(snapshot) {
        return OperationStep::Wait { reason: Reason::Waiting, message };
    }
    match refusal::refusal(snapshot) {
        Some(refusal) => OperationStep::Refuse(refusal),
        None => OperationStep::Begin(beginning(snapshot)),
    }
}

/// What depends on the set's records waits until they speak of its present spec.
fn unseen_spec(snapshot: &OperationSnapshot) -> Option<String> {
    let OperationTargetFacts::ScaleSet(set) = &snapshot.target else { return None };
    let depends = InstanceRequest::of_spec(&snapshot.spec).is_none();
    let behind = set.observation != Observation::Current && set.life == MemberLife::Live;
    (depends && behind).then(|| "the set's last change has not been looked at yet".to_owned())
}

/// The VMs that an operation of this spec is about.
fn scope(snapshot: &OperationSnapshot) -> OperationScope {
    match &snapshot.target {
        OperationTargetFacts::FlexVM(vm) => OperationScope::These([vm.instance_id.clone()].into()),
        OperationTargetFacts::Missing | OperationTargetFacts::ScaleSet(_) => {
            scope_of_ids(snapshot.spec.operation_type, &snapshot.spec.instance_ids)
        }
    }
}

/// The VMs that `instance_ids` mean. Rolling upgrades are about the set and stand in nobody's way.
pub fn scope_of_ids(operation_type: OperationType, instance_ids: &[String]) -> OperationScope {
    match operation_type {
        OperationType::StartRollingUpgrade
        | OperationType::CancelRollingUpgrade
        | OperationType::SetOrchestrationServiceState => OperationScope::These([].into()),
        OperationType::Start
        | OperationType::PowerOff
        | OperationType::Restart
        | OperationType::Deallocate
        | OperationType::Redeploy
        | OperationType::Reimage
        | OperationType::ReimageAll
        | OperationType::SimulateEviction
        | OperationType::ApproveScheduledEvent
        | OperationType::ManualUpgrade
        | OperationType::Delete => {
            if instance_ids.is_empty() || instance_ids.iter().any(|id| id == ALL_INSTANCES) {
                OperationScope::All
            } else {
                OperationScope::These(instance_ids.iter().cloned().collect())
            }
        }
    }
}

/// An approval waits for nobody, and nobody for it: what it lets begin may be what others wait for. Two deletions of one
/// set are kept apart although their VMs differ: the set has one mark for the lowered count. So are two that set the state
/// of a service.
fn conflicts(
    snapshot: &OperationSnapshot,
    scope: &OperationScope,
    earlier: &crate::snapshot::EarlierOperation,
) -> bool {
    if approval::is_approval(snapshot) || earlier.operation_type == OperationType::ApproveScheduledEvent {
        return false;
    }
    let own = snapshot.spec.operation_type;
    let one_at_a_time = [OperationType::Delete, OperationType::SetOrchestrationServiceState].contains(&own);
    (one_at_a_time && own == earlier.operation_type) || scope.overlaps(&earlier.scope)
}

fn beginning(snapshot: &OperationSnapshot) -> Beginning {
    let named = |member: &OperationMember| OperationInstance {
        name: member.name.clone(),
        instance_id: member.instance_id.clone(),
        uid: member.uid.clone(),
    };
    let operation_type = snapshot.spec.operation_type;
    match &snapshot.target {
        OperationTargetFacts::Missing => Beginning::default(),
        OperationTargetFacts::FlexVM(vm) => Beginning { instances: vec![named(vm)], ..Beginning::default() },
        OperationTargetFacts::ScaleSet(set) => {
            let number = set.rolling_upgrade.as_ref().map_or(0, |record| record.number);
            Beginning {
                instances: chosen(set, snapshot).map(named).collect(),
                model_revision: (operation_type == OperationType::ManualUpgrade)
                    .then(|| set.newest_revision.clone())
                    .flatten(),
                rolling_upgrade_number: matches!(
                    operation_type,
                    OperationType::StartRollingUpgrade | OperationType::CancelRollingUpgrade
                )
                .then_some(number),
            }
        }
    }
}

/// Named VMs, or all that are neither protected nor, where the set is to change them, made by hand; an eviction of all is one
/// of the Spot VMs that hold hardware.
fn chosen<'pass>(
    set: &'pass OperationSet,
    snapshot: &'pass OperationSnapshot,
) -> impl Iterator<Item = &'pass OperationMember> {
    let operation_type = snapshot.spec.operation_type;
    let scope = scope_of_ids(operation_type, &snapshot.spec.instance_ids);
    set.members.iter().filter(move |member| {
        if approval::is_approval(snapshot) {
            return approval::is_meant(snapshot, &scope, member);
        }
        let wanted = match &scope {
            OperationScope::All => {
                let foreign = operation_type == OperationType::ManualUpgrade && member.origin == Origin::Hand;
                let spared =
                    operation_type == OperationType::SimulateEviction && member.spot_hardware == SpotHardware::None;
                member.protection != Protection::FromSetActions && !foreign && !spared
            }
            OperationScope::These(ids) => ids.contains(&member.instance_id),
        };
        wanted && member.life == MemberLife::Live
    })
}

fn under_way(snapshot: &OperationSnapshot) -> OperationStep {
    let progress = progress::of(snapshot);
    let writes = match (&snapshot.target, InstanceRequest::of_spec(&snapshot.spec)) {
        (OperationTargetFacts::Missing, _) => Vec::new(),
        (OperationTargetFacts::ScaleSet(set), Some(request)) => power_writes(snapshot, request, &set.members),
        (OperationTargetFacts::FlexVM(vm), Some(request)) => {
            power_writes(snapshot, request, std::slice::from_ref(vm.as_ref()))
        }
        (OperationTargetFacts::ScaleSet(set), None) => lowered(snapshot, set).into_iter().collect(),
        (OperationTargetFacts::FlexVM(vm), None) => {
            let there = vm.life == MemberLife::Live && is_named(snapshot, vm);
            if there { vec![OperationWrite::DeleteVm(MemberId::of(vm))] } else { Vec::new() }
        }
    };
    OperationStep::GoOn { writes, progress }
}

fn is_named(snapshot: &OperationSnapshot, member: &OperationMember) -> bool {
    snapshot.status.instances.iter().any(|instance| instance.uid == member.uid)
}

/// A wish that carries this operation's mark has been written, and may have been changed by somebody since.
fn power_writes(
    snapshot: &OperationSnapshot,
    request: InstanceRequest,
    members: &[OperationMember],
) -> Vec<OperationWrite> {
    let Some(wish) = request.power_wish() else { return Vec::new() };
    let unwritten = |member: &&OperationMember| {
        let ended = member.operations.iter().any(|operation| operation.uid == snapshot.uid);
        let marked = member.power_operation.as_deref() == Some(snapshot.uid.as_str());
        member.life == MemberLife::Live && !ended && !marked && is_named(snapshot, member)
    };
    let write = |member| OperationWrite::SetPower { member: MemberId::of(member), wish };
    members.iter().filter(unwritten).map(write).collect()
}

/// The count goes down by the named members that the set made. Hand-made ones are outside it, and who was evicted for good
/// has left it already.
fn lowered(snapshot: &OperationSnapshot, set: &OperationSet) -> Option<OperationWrite> {
    if snapshot.spec.operation_type != OperationType::Delete || progress::is_lowered(snapshot, set) {
        return None;
    }
    let named = |member: &&OperationMember| member.life == MemberLife::Live && is_named(snapshot, member);
    let counted =
        |member: &&OperationMember| member.origin == Origin::Set && !set.noted_evictions.contains(&member.uid);
    let made = set.members.iter().filter(named).filter(counted).count();
    let replicas = (set.target - i32::try_from(made).unwrap_or(i32::MAX)).max(0);
    let sudden = set.confirmation != Confirmation::Any && is_sudden(set.target_in_force, replicas);
    Some(OperationWrite::LowerReplicas {
        uid: set.uid.clone(),
        resource_version: set.resource_version.clone(),
        replicas,
        confirmation: if sudden { Confirmation::Target(replicas) } else { Confirmation::None },
    })
}
