//! Members as their objects and their own passes tell them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use scaleset_crds::condition::{InstanceCondition, Reason, find};
use scaleset_crds::instance::{PendingChange, ProtectionPolicy};
use scaleset_crds::operation::OperationState;
use scaleset_crds::repairs::RepairAction;
use scaleset_crds::spot::{EvictionPolicy, SpotProfile};
use scaleset_crds::vocabulary::{HealthState, Impact, OrchestrationMode, PowerState, ProvisioningState};
use scaleset_crds::{FlexVM, InstanceStatus, ScaleSet, ScaleSetVM, labels};
use scaleset_planning::membership::{MemberShape, MemberStanding, NamedGroup, detach_refusal};
use scaleset_planning::snapshot::{
    Evicted, Failure, GuestAgent, Looked, Member, MemberKind, MemberLife, MemberReport, Observation, Origin,
    OsDiskReport, OsDiskWish, Pending, Protection, RepairMark, RepairUptake, Revision, RollMark, ShutdownRule,
    SizeMaintenance,
};
use scaleset_planning::view::Health;

use super::set_shape;
use crate::scale_set::observe::Observed;

pub(super) fn members(observed: &Observed, revisions: &[Revision]) -> Vec<Member> {
    let set_uid = &observed.id.uid;
    // The owner counts, not the name: an instance that was left behind with cascade=orphan still names its set.
    let owned = observed.members.scale_set_vms.iter().filter(|vm| is_owned_by(&vm.metadata, set_uid));
    let uniform = owned.map(|vm| uniform_member(&observed.set, vm));
    let flexible = observed.members.flex_vms.iter().filter_map(|vm| flexible_member(&observed.set, revisions, vm));
    let mut members: Vec<Member> = match observed.set.spec.orchestration_mode {
        OrchestrationMode::Uniform => uniform.collect(),
        OrchestrationMode::Flexible => flexible.collect(),
    };
    members.sort_by(|one, two| one.name.cmp(&two.name));
    if let Some(looked_at) = &observed.looked_at {
        for member in &mut members {
            member.report.looked =
                looked_at.get(&member.uid).map_or(Looked::BeforeStart, |first| Looked::SinceStart(*first));
        }
    }
    members
}

fn uniform_member(set: &ScaleSet, vm: &ScaleSetVM) -> Member {
    let spec = &vm.spec;
    let placed = Placed {
        zone: spec.zone.clone(),
        fault_domain: spec.platform_fault_domain,
        placement_group: spec.placement_group.clone(),
        update_domain: spec.update_domain,
    };
    Member {
        number: spec.instance_id.parse().ok(),
        sequence: spec.instance_id.parse().ok(),
        surplus: spec.surplus,
        assigned_revision: Some(spec.model_revision.clone()),
        protection: protection(spec.protection_policy.as_ref()),
        power_wish: spec.power_state.unwrap_or_default(),
        ..member(MemberKind::ScaleSetVM, Origin::Set, (&vm.metadata, vm.status.as_ref()), &spot_of(set), placed)
    }
}

/// Names of the FlexVMs that wish to leave the set and may, sorted: they count no more, although its marks are on them.
pub(super) fn leaving(observed: &Observed) -> Vec<String> {
    let set = &observed.set;
    let leaving = observed.members.flex_vms.iter().filter(|vm| enrolled(set, vm).is_some() && is_leaving(set, vm));
    let mut names: Vec<String> = leaving.map(|vm| vm.name_any()).collect();
    names.sort();
    names
}

/// Who made a FlexVM that the set has, until the record and the marks of that are off it: those that the set made, and those
/// made by hand that were accepted. One that another set made and left behind is nobody's.
fn enrolled(set: &ScaleSet, vm: &FlexVM) -> Option<Origin> {
    let origin = origin(&vm.metadata, set.metadata.uid.as_deref()?)?;
    let accepted = vm.status.as_ref().and_then(|status| status.scale_set.as_ref());
    (origin == Origin::Set || accepted == set.metadata.name.as_ref()).then_some(origin)
}

/// Whether it is a person's wish that a FlexVM is no member, and nothing speaks against it.
fn is_leaving(set: &ScaleSet, vm: &FlexVM) -> bool {
    let wished = vm.spec.scale_set_ref.as_ref().map(|reference| &reference.name);
    wished != set.metadata.name.as_ref() && detach_refusal(Some(&set_shape(set))).is_none()
}

/// How many of these are members, those of a surge and those on their way out included: each takes the room of one.
pub(crate) fn member_count(set: &ScaleSet, vms: &[Arc<FlexVM>]) -> usize {
    vms.iter().filter(|vm| member_origin(set, vm).is_some()).count()
}

/// Members are the FlexVMs that the set has and that do not leave it.
fn member_origin(set: &ScaleSet, vm: &FlexVM) -> Option<Origin> {
    enrolled(set, vm).filter(|_| !is_leaving(set, vm))
}

fn flexible_member(set: &ScaleSet, revisions: &[Revision], vm: &FlexVM) -> Option<Member> {
    let spec = &vm.spec;
    let origin = member_origin(set, vm)?;
    let placed = Placed {
        zone: spec.zone.clone(),
        fault_domain: spec.platform_fault_domain.or_else(|| fault_domain_on(&vm.metadata)),
        placement_group: None,
        update_domain: None,
    };
    Some(Member {
        number: None,
        vm_size: Some(spec.vm_size.clone()),
        sequence: vm.annotations().get(labels::INSTANCE_NUMBER).and_then(|number| number.parse().ok()),
        assigned_revision: followed(vm, origin, revisions),
        protection: protection(spec.protection_policy.as_ref()),
        power_wish: spec.power_state.unwrap_or_default(),
        ..member(MemberKind::FlexVM, origin, (&vm.metadata, vm.status.as_ref()), &spec.spot, placed)
    })
}

/// The revision that a member follows. One that the set made and a person has edited since follows none: it is outdated.
fn followed(vm: &FlexVM, origin: Origin, revisions: &[Revision]) -> Option<String> {
    let named = vm.labels().get(labels::MODEL_REVISION)?;
    let revision = revisions.iter().find(|revision| revision.name == *named);
    let edited = revision.is_some_and(|revision| revision.profile.model_of(vm.spec.spot.priority) != vm.spec.model());
    if origin == Origin::Set && edited { None } else { Some(named.clone()) }
}

/// The VM, as far as membership depends on it.
pub(crate) fn member_shape(vm: &FlexVM, maintenance: SizeMaintenance, group: Option<NamedGroup>) -> MemberShape<'_> {
    let spec = &vm.spec;
    let wished = spec.scale_set_ref.as_ref().map(|reference| reference.name.as_str());
    let accepted = vm.status.as_ref().and_then(|status| status.scale_set.as_deref());
    MemberShape {
        location: &spec.location,
        zone: spec.zone.as_deref(),
        fault_domain: spec.platform_fault_domain,
        size: &spec.vm_size,
        maintenance,
        priority: spec.spot.priority,
        group,
        standing: match vm.status.as_ref().and_then(|status| status.vm_id.as_ref()) {
            _ if accepted.is_some() && accepted == wished => MemberStanding::Accepted,
            Some(_) => MemberStanding::Attaching,
            None => MemberStanding::Newcomer,
        },
    }
}

/// The fault domain that is marked on a VM: of one made by hand that names none, the one that it was given when it joined.
pub(crate) fn fault_domain_on(metadata: &ObjectMeta) -> Option<i32> {
    metadata.labels.as_ref()?.get(labels::FAULT_DOMAIN)?.parse().ok()
}

/// Who made a member of the set with `set_uid`; `None` for one that a set made and left behind when it was deleted with
/// cascade=orphan: it runs on alone.
pub(crate) fn origin(metadata: &ObjectMeta, set_uid: &str) -> Option<Origin> {
    let made_by_a_set =
        metadata.labels.iter().flatten().any(|(label, value)| label == labels::MADE_BY && value == labels::MADE_BY_SET);
    match (is_owned_by(metadata, set_uid), made_by_a_set) {
        (true, _) => Some(Origin::Set),
        (false, false) => Some(Origin::Hand),
        (false, true) => None,
    }
}

/// Whether the object's controller is the one with `uid`.
pub(crate) fn is_owned_by(metadata: &ObjectMeta, uid: &str) -> bool {
    metadata.owner_references.iter().flatten().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

struct Placed {
    zone: Option<String>,
    fault_domain: Option<i32>,
    placement_group: Option<String>,
    update_domain: Option<i32>,
}

fn member(
    kind: MemberKind,
    origin: Origin,
    (metadata, status): (&ObjectMeta, Option<&InstanceStatus>),
    spot: &SpotProfile,
    placed: Placed,
) -> Member {
    let Placed { zone, fault_domain, placement_group, update_domain } = placed;
    let annotation = |name: &str| metadata.annotations.as_ref().and_then(|all| all.get(name));
    Member {
        kind,
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
        origin,
        number: None,
        vm_size: None,
        sequence: None,
        life: if metadata.deletion_timestamp.is_some() { MemberLife::Terminating } else { MemberLife::Live },
        created: metadata.creation_timestamp.as_ref().map(|time| time.0).unwrap_or_default(),
        zone,
        fault_domain,
        placement_group,
        update_domain,
        surplus: None,
        assigned_revision: None,
        protection: Protection::None,
        roll: annotation(labels::ROLLING_UPGRADE).and_then(|mark| RollMark::parse(mark)),
        os_disk_wish: annotation(labels::OS_DISK).and_then(|wish| OsDiskWish::parse(wish)),
        repair: repair_of(metadata),
        shutdown: shutdown_of(metadata),
        priority: spot.priority,
        power_wish: scaleset_crds::vocabulary::PowerWish::Running,
        report: MemberReport { evicted: evicted(spot, status), ..report(metadata, status) },
    }
}

/// The mark that a repair has left on a VM.
pub(crate) fn repair_of(metadata: &ObjectMeta) -> Option<RepairMark> {
    let mark = metadata.annotations.as_ref().and_then(|all| all.get(labels::REPAIR));
    mark.and_then(|mark| RepairMark::parse(mark))
}

/// How far a VM has come with what its mark asks for, as its own record of it says.
fn repair_uptake(metadata: &ObjectMeta, status: Option<&InstanceStatus>) -> RepairUptake {
    let Some(mark) = repair_of(metadata) else { return RepairUptake::Done };
    match mark.action {
        RepairAction::Replace => return RepairUptake::Done,
        RepairAction::Reimage | RepairAction::Restart => {}
    }
    let records = status.map(|status| status.operations.as_slice()).unwrap_or_default();
    match records.iter().find(|record| record.uid == mark.key()).map(|record| record.state) {
        Some(OperationState::Succeeded) => RepairUptake::Done,
        Some(OperationState::Failed) => RepairUptake::Failed,
        Some(OperationState::InProgress) | None => RepairUptake::Awaited,
    }
}

/// How the guest of a VM is stopped when it is deleted, by the mark that its set has put on it.
pub(crate) fn shutdown_of(metadata: &ObjectMeta) -> ShutdownRule {
    match metadata.annotations.as_ref().and_then(|all| all.get(labels::FORCE_DELETION)) {
        Some(value) if value == "true" => ShutdownRule::Skip,
        Some(_) | None => ShutdownRule::Graceful,
    }
}

/// What instances of a Uniform set agree to, for which they are all made from one profile: it never changes.
fn spot_of(set: &ScaleSet) -> SpotProfile {
    set.spec.virtual_machine_profile.as_ref().map(|profile| profile.spot.clone()).unwrap_or_default()
}

/// What is left of a VM that tells of an eviction follows from what it has agreed to.
fn evicted(spot: &SpotProfile, status: Option<&InstanceStatus>) -> Evicted {
    let Some(eviction) = status.and_then(|status| status.eviction.as_ref()) else { return Evicted::No };
    match spot.terms().map(|terms| terms.eviction_policy) {
        Some(EvictionPolicy::Delete) => Evicted::Deleted,
        Some(EvictionPolicy::Deallocate) | None => Evicted::Deallocated(eviction.reason),
    }
}

/// What holds the set's hand from a VM.
pub(crate) fn protection(policy: Option<&ProtectionPolicy>) -> Protection {
    let Some(ProtectionPolicy { protect_from_scale_in, protect_from_scale_set_actions }) = policy else {
        return Protection::None;
    };
    match (protect_from_scale_set_actions, protect_from_scale_in) {
        (Some(true), _) => Protection::FromSetActions,
        (_, Some(true)) => Protection::FromScaleIn,
        (_, Some(false) | None) => Protection::None,
    }
}

/// What is known of the application of a VM; that its source says nothing is told by the condition alone.
fn health(status: Option<&InstanceStatus>) -> Health {
    let Some(status) = status else { return Health::NoSource };
    let said = status.instance_view.as_ref().and_then(|view| view.vm_health.as_ref());
    let condition = find(&status.conditions, InstanceCondition::ApplicationHealthy.as_str());
    let missing = condition.is_some_and(|condition| condition.reason == Reason::HealthMissing.as_str());
    match said.and_then(|health| HealthState::from_code(&health.status.code)) {
        Some(state) => Health::Known(state),
        None if missing => Health::Missing,
        None => Health::NoSource,
    }
}

fn report(metadata: &ObjectMeta, status: Option<&InstanceStatus>) -> MemberReport {
    let observed = status.and_then(|status| status.observed_generation);
    let provisioning = status.and_then(|status| status.provisioning_state).unwrap_or(ProvisioningState::Unknown);
    let view = status.and_then(|status| status.instance_view.as_ref());
    let extensions: BTreeMap<String, String> = view
        .map(|view| view.extensions.iter().map(|state| (state.name.clone(), state.code.clone())).collect())
        .unwrap_or_default();
    let seen = status.is_none_or(|status| {
        find(&status.conditions, InstanceCondition::Provisioned.as_str())
            .is_none_or(|provisioned| provisioned.status != "Unknown")
    });
    MemberReport {
        observation: match (observed.is_some() && observed == metadata.generation, seen) {
            (true, true) => Observation::Current,
            (true, false) => Observation::Unseen,
            (false, _) => Observation::Behind,
        },
        looked: Looked::SinceStart(Timestamp::MIN),
        provisioning,
        power: status.and_then(|status| status.power_state).unwrap_or(PowerState::Unknown),
        agent: match view.and_then(|view| view.vm_agent.as_ref()) {
            Some(_) => GuestAgent::Reports,
            None => GuestAgent::Silent,
        },
        running_revision: status.and_then(|status| status.model_revision.clone()),
        healthy_on_revision: status.and_then(|status| status.healthy_on_revision.clone()),
        healthy_on_os_disk: status.and_then(|status| status.healthy_on_os_disk.clone()),
        pending: pending(status),
        failure: match provisioning {
            ProvisioningState::Failed => status.and_then(failure_of),
            ProvisioningState::Succeeded => status.and_then(withheld),
            // Hardware that does not let go.
            ProvisioningState::Deleting => {
                status.and_then(failure_of).filter(|failure| failure.reason != Reason::Deleting)
            }
            ProvisioningState::Creating | ProvisioningState::Updating | ProvisioningState::Unknown => None,
        },
        extensions,
        health: health(status),
        os_disk: view.and_then(|view| {
            let (name, version) = (view.disks.first()?.clone(), view.image_version.clone()?);
            Some(OsDiskReport { name, version })
        }),
        reservation: status.and_then(|status| status.capacity_reservation.clone()),
        repair: repair_uptake(metadata, status),
        changed_at: view.and_then(|view| view.statuses.first()?.time.as_ref()).map(|time| time.0),
        evicted: Evicted::No,
        scheduled_events: status.map(|status| status.scheduled_events.clone()).unwrap_or_default(),
        pools: status.map(|status| status.load_balancer_pools.clone()).unwrap_or_default(),
    }
}

fn pending(status: Option<&InstanceStatus>) -> Pending {
    let changes = status.map(|status| status.pending_changes.as_slice());
    let only_price = |changes: &[PendingChange]| changes.iter().all(|change| change.path == "maxPrice");
    match changes.map(|changes| changes.iter().map(|change| change.impact).max()) {
        Some(Some(Impact::NextReimage)) if changes.is_some_and(only_price) => Pending::NextDeallocation,
        Some(None) => Pending::Nothing,
        Some(Some(Impact::None | Impact::NextReimage)) => Pending::NextReimage,
        Some(Some(Impact::Online | Impact::Restart | Impact::Reimage | Impact::Replace | Impact::Immutable)) | None => {
            Pending::More
        }
    }
}

/// Why a VM is not provisioned, in its own words.
pub(crate) fn failure_of(status: &InstanceStatus) -> Option<Failure> {
    let provisioned = find(&status.conditions, InstanceCondition::Provisioned.as_str())?;
    Some(Failure { reason: Reason::from_code(&provisioned.reason), message: provisioned.message.clone() })
}

/// Why a machine that is well is not changed as it should be: the last call was refused, or a person must act.
fn withheld(status: &InstanceStatus) -> Option<Failure> {
    let said = |condition: InstanceCondition, expected: &str| {
        find(&status.conditions, condition.as_str()).filter(|condition| condition.status == expected)
    };
    let said = said(InstanceCondition::Provisioned, "False").or_else(|| said(InstanceCondition::Stalled, "True"))?;
    Some(Failure { reason: Reason::from_code(&said.reason), message: said.message.clone() })
}
