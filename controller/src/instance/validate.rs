//! From raw objects to the planner's snapshot of one instance.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use scaleset_crds::condition::Reason;
use scaleset_crds::operation::OperationState;
use scaleset_crds::repairs::RepairAction;
use scaleset_crds::scheduled_event::ScheduledEventsPolicy;
use scaleset_crds::spot::{EvictionPolicy, Priority, SpotRestorePolicy};
use scaleset_crds::vocabulary::Surplus;
use scaleset_crds::{FlexVM, ScaleSet, ScaleSetVM, labels};
use scaleset_planning::membership::{
    Applicant, NamedGroup, SetShape, detach_refusal, fault_domain_among, group_refusal, move_refusal, refusal_among,
};
use scaleset_planning::scale_set::prefix;
use scaleset_planning::snapshot::{
    Asker, Assigned, Belonging, Birth, EvictionNote, Failure, InstanceRequest, InstanceSnapshot, MemberKind,
    MemberLife, Origin, OsDiskWish, ReleaseRule, RequestedOperation, SizeMaintenance,
};
use scaleset_planning::view::{HardwareView, ModelView, QuotaRule};
use scaleset_planning::{naming, revision};

use super::machine_view::hardware_view;
use super::observe::{Applicants, Instance, Observed, OtherApplicant, Scaled, owning_set};
use crate::error::told;
use crate::scale_set::{
    fault_domain_on, finalizer, is_owned_by, member_shape, origin, profile_of, repair_of, set_shape, shutdown_of,
};

/// How long a restoration is tried where the policy does not say.
const RESTORE_TIMEOUT_SECONDS: i32 = 3_600;

pub(super) fn validate(observed: &Observed) -> InstanceSnapshot {
    let metadata = observed.instance.metadata();
    let annotation = |name: &str| metadata.annotations.as_ref().and_then(|all| all.get(name));
    let abandon = annotation(labels::ABANDON_HARDWARE).is_some_and(|value| value == "true");
    let wish = match &observed.instance {
        Instance::ScaleSetVM(vm) => uniform(observed, vm),
        Instance::FlexVM(vm) => flexible(observed, vm),
    };
    let scheduled_events_policy = scheduled_events_policy(observed, &wish.belonging);
    InstanceSnapshot {
        now: observed.now,
        wall_now: observed.wall_now,
        kind: wish.kind,
        name: observed.id.key.name.clone(),
        generation: metadata.generation.unwrap_or_default(),
        life: if metadata.deletion_timestamp.is_some() { MemberLife::Terminating } else { MemberLife::Live },
        finalizer: finalizer(metadata),
        release: if abandon { ReleaseRule::MayAbandon } else { ReleaseRule::HardwareFirst },
        shutdown: shutdown_of(metadata),
        power_wish: wish.power,
        assigned: wish.assigned,
        newest: wish.newest,
        birth: wish.birth,
        zone: wish.zone,
        fault_domain: wish.fault_domain,
        belonging: wish.belonging,
        kept: wish.kept,
        group_refusal: wish.group_refusal,
        enrolled: wish.enrolled,
        marked_fault_domain: fault_domain_on(metadata),
        marked_group: metadata.labels.as_ref().and_then(|all| all.get(labels::CAPACITY_RESERVATION_GROUP)).cloned(),
        os_disk_wish: annotation(labels::OS_DISK).and_then(|wish| OsDiskWish::parse(wish)),
        repair: repair_of(metadata),
        requests: requests(observed),
        scheduled_events_policy,
        power_operation: annotation(labels::POWER_OPERATION).cloned(),
        restore_for: restore_for(observed),
        eviction_note: eviction_note(observed),
        hardware: match (&observed.machine, &observed.silence) {
            // Nobody is made while the region does not tell who may join, and where.
            (Ok(None), Some(silence)) if metadata.deletion_timestamp.is_none() => {
                HardwareView::Unknown { message: told(silence) }
            }
            (machine, _) => hardware_view(machine),
        },
        status: observed.instance.status().cloned().unwrap_or_default(),
    }
}

/// What it is asked for: operations that have begun, are for this very object to carry out and are not recorded as ended here,
/// the earliest first; then the repair of its mark.
fn requests(observed: &Observed) -> Vec<RequestedOperation> {
    under_way(observed).chain(repair(observed)).collect()
}

/// What the mark of its set asks for, until it is recorded as ended.
fn repair(observed: &Observed) -> Option<RequestedOperation> {
    let mark = repair_of(observed.instance.metadata())?;
    let request = match mark.action {
        RepairAction::Replace => return None,
        RepairAction::Reimage => InstanceRequest::Reimage,
        RepairAction::Restart => InstanceRequest::Restart,
    };
    let uid = mark.key();
    let records = observed.instance.status().map(|status| status.operations.as_slice()).unwrap_or_default();
    let ended = records.iter().any(|record| record.uid == uid && record.state != OperationState::InProgress);
    (!ended).then_some(RequestedOperation { uid, request, event_id: None, asked_by: Asker::Repair })
}

fn under_way(observed: &Observed) -> impl Iterator<Item = RequestedOperation> {
    let records = observed.instance.status().map(|status| status.operations.as_slice()).unwrap_or_default();
    observed.operations.iter().filter_map(move |operation| {
        let status = operation.status.as_ref()?;
        let uid = operation.metadata.uid.clone()?;
        let under_way = status.start_time.is_some()
            && status.completion_time.is_none()
            && operation.metadata.deletion_timestamp.is_none();
        let meant = status.instances.iter().any(|instance| instance.uid == observed.id.uid);
        let ended = records.iter().any(|record| record.uid == uid && record.state != OperationState::InProgress);
        let request = InstanceRequest::of_spec(&operation.spec)?;
        let event_id = operation.spec.parameters.as_ref().and_then(|parameters| parameters.event_id.clone());
        (under_way && meant && !ended).then_some(RequestedOperation {
            uid,
            request,
            event_id,
            asked_by: Asker::Operation,
        })
    })
}

/// Its own policy, else that of the set whose member it is.
fn scheduled_events_policy(observed: &Observed, belonging: &Belonging) -> ScheduledEventsPolicy {
    let own = match &observed.instance {
        Instance::ScaleSetVM(_) => None,
        Instance::FlexVM(vm) => vm.spec.scheduled_events_policy.clone(),
    };
    let set = match belonging {
        Belonging::Made { scale_set: _ } | Belonging::HandMade { scale_set: _ } => observed.set.as_ref(),
        Belonging::Alone | Belonging::Leaving { scale_set: _ } | Belonging::Refused { scale_set: _, refusal: _ } => {
            None
        }
    };
    own.or_else(|| set?.spec.scheduled_events_policy.clone()).unwrap_or_default()
}

/// For how long since its eviction a set tries to get a VM back; autoscale makes another one instead.
fn restore_for(observed: &Observed) -> Option<Duration> {
    let set = owner(observed).filter(|_| observed.scaled == Scaled::ByHand)?;
    let SpotRestorePolicy { enabled, restore_timeout_seconds } = set.spec.spot_restore_policy.as_ref()?;
    let seconds = restore_timeout_seconds.unwrap_or(RESTORE_TIMEOUT_SECONDS);
    enabled.then(|| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// A set that is there to stay has to know of an eviction that deletes before the object goes.
fn eviction_note(observed: &Observed) -> EvictionNote {
    let set = owner(observed).filter(|set| set.metadata.deletion_timestamp.is_none());
    let agreed = match &observed.instance {
        // An extra counts nowhere: nobody has to know why it went.
        Instance::ScaleSetVM(vm) if vm.spec.surplus == Some(Surplus::Overprovisioned) => None,
        Instance::ScaleSetVM(_) => {
            set.and_then(|set| set.spec.virtual_machine_profile.as_ref()).and_then(|profile| profile.spot.terms())
        }
        Instance::FlexVM(vm) => vm.spec.spot.terms(),
    };
    let can_be_deleted = agreed.is_some_and(|terms| terms.eviction_policy == EvictionPolicy::Delete);
    let noted = |set: &&Arc<ScaleSet>| {
        let notes = set.status.iter().flat_map(|status| &status.evictions);
        notes.into_iter().any(|note| note.uid == observed.id.uid)
    };
    match set {
        Some(set) if can_be_deleted && !noted(&set) => EvictionNote::Awaited,
        Some(_) | None => EvictionNote::Settled,
    }
}

/// What the object and its set wish.
struct Wish {
    kind: MemberKind,
    power: scaleset_crds::vocabulary::PowerWish,
    assigned: Assigned,
    newest: Option<ModelView>,
    birth: Birth,
    zone: Option<String>,
    fault_domain: Option<i32>,
    belonging: Belonging,
    kept: Option<Failure>,
    group_refusal: Option<Failure>,
    enrolled: Option<String>,
}

/// The owner by uid: a set that was made again under the same name is not the one that made this instance.
fn owner(observed: &Observed) -> Option<&Arc<ScaleSet>> {
    let set = observed.set.as_ref()?;
    is_owned_by(observed.instance.metadata(), set.metadata.uid.as_deref()?).then_some(set)
}

fn uniform(observed: &Observed, vm: &ScaleSetVM) -> Wish {
    let name = vm.spec.model_revision.clone();
    let set = owner(observed);
    // A revision that cannot be read holds the VM as one that is not there would; the set says so.
    let profile = observed.revision.as_deref().and_then(|revision| profile_of(revision).ok());
    let number = vm.spec.instance_id.parse().ok();
    let birth = Birth {
        computer_name: match (set, &profile, number) {
            (Some(set), Some(profile), Some(number)) => {
                naming::uniform_computer_name(prefix(&set.name_any(), profile), number)
            }
            // Nothing is created without its set, its revision and its number.
            (_, _, _) => vm.name_any(),
        },
        location: set.map(|set| set.spec.location.clone()).unwrap_or_default(),
        set_uid: set.and_then(|set| set.uid()),
        number,
        update_domain: vm.spec.update_domain,
        placement_group: vm.spec.placement_group.clone(),
        quota: match vm.spec.surplus {
            Some(Surplus::Overprovisioned) => QuotaRule::Exempt,
            Some(Surplus::Undecided) | None => QuotaRule::Counted,
        },
    };
    let assigned = match (profile, set) {
        (Some(profile), Some(set)) if number.is_some() => {
            let mut model = profile.model();
            if extensions_wait(set, vm) {
                model.extensions.clear();
            }
            Assigned::Known(ModelView { revision: name, model: Arc::new(model) })
        }
        // Without its set a VM runs on as it is: where it would be created anew is not known.
        (_, _) => Assigned::Missing { revision: name },
    };
    Wish {
        kind: MemberKind::ScaleSetVM,
        power: vm.spec.power_state.unwrap_or_default(),
        assigned,
        newest: set.and_then(|set| newest(set, Priority::Spot)),
        birth,
        zone: vm.spec.zone.clone(),
        fault_domain: vm.spec.platform_fault_domain,
        belonging: Belonging::Made { scale_set: vm.spec.scale_set_ref.name.clone() },
        kept: None,
        // A model of the set is asked as a whole.
        group_refusal: None,
        enrolled: Some(vm.spec.scale_set_ref.name.clone()),
    }
}

/// Extensions run only once it is settled that the VM stays, where its set says so.
fn extensions_wait(set: &ScaleSet, vm: &ScaleSetVM) -> bool {
    set.spec.do_not_run_extensions_on_overprovisioned_vms == Some(true) && vm.spec.surplus.is_some()
}

fn flexible(observed: &Observed, vm: &FlexVM) -> Wish {
    let (belonging, kept) = belonging(observed, vm);
    let model = Arc::new(vm.spec.model());
    let own_name = || revision::model_name(&vm.name_any(), &model);
    let (revision, newest) = match (&belonging, owner(observed)) {
        (Belonging::Made { .. }, Some(set)) => {
            let revision = vm.labels().get(labels::MODEL_REVISION).cloned().unwrap_or_else(own_name);
            (revision, newest(set, vm.spec.spot.priority))
        }
        (
            Belonging::Made { .. }
            | Belonging::Alone
            | Belonging::HandMade { .. }
            | Belonging::Leaving { .. }
            | Belonging::Refused { .. },
            _,
        ) => (own_name(), None),
    };
    let assigned = ModelView { revision, model };
    Wish {
        kind: MemberKind::FlexVM,
        group_refusal: withheld_group(observed, vm, &belonging),
        power: vm.spec.power_state.unwrap_or_default(),
        newest: newest.or_else(|| Some(assigned.clone())),
        birth: Birth {
            computer_name: vm.spec.os_profile.computer_name.clone().unwrap_or_else(|| vm.name_any()),
            location: vm.spec.location.clone(),
            set_uid: match &belonging {
                Belonging::Made { .. } | Belonging::HandMade { .. } => observed.set.as_ref().and_then(|set| set.uid()),
                Belonging::Alone | Belonging::Leaving { .. } | Belonging::Refused { .. } => None,
            },
            number: vm.annotations().get(labels::INSTANCE_NUMBER).and_then(|number| number.parse().ok()),
            update_domain: None,
            placement_group: None,
            quota: QuotaRule::Counted,
        },
        assigned: Assigned::Known(assigned),
        zone: vm.spec.zone.clone(),
        fault_domain: fault_domain(observed, vm, &belonging),
        belonging,
        kept,
        enrolled: vm.labels().get(labels::SCALE_SET).cloned().or_else(|| owning_set(&vm.metadata).map(str::to_owned)),
    }
}

/// Why a member cannot use the capacity reservation group that its model names.
fn withheld_group(observed: &Observed, vm: &FlexVM, belonging: &Belonging) -> Option<Failure> {
    match belonging {
        Belonging::Made { scale_set: _ } | Belonging::HandMade { scale_set: _ } => {}
        Belonging::Alone | Belonging::Leaving { scale_set: _ } | Belonging::Refused { scale_set: _, refusal: _ } => {
            return None;
        }
    }
    let set = observed.set.as_deref().map(set_shape)?;
    group_refusal(&set, &member_shape(vm, observed.applicants.own, observed.group.clone()))
}

/// To whom a `FlexVM` belongs, and why it stays there where its reference says otherwise. Its set is the one that has
/// accepted or made it, until it has let it go.
fn belonging(observed: &Observed, vm: &FlexVM) -> (Belonging, Option<Failure>) {
    let wished = vm.spec.scale_set_ref.as_ref().map(|reference| reference.name.as_str());
    let accepted = vm.status.as_ref().and_then(|status| status.scale_set.as_deref());
    let accepted = accepted.or_else(|| owner(observed)?.metadata.name.as_deref());
    let shape = observed.set.as_deref().map(|set| shape(observed, set));
    let Some(accepted) = accepted.filter(|accepted| wished != Some(accepted)) else {
        let belonging = wished.map_or(Belonging::Alone, |wished| joining(observed, vm, shape.as_ref(), wished));
        return (belonging, None);
    };
    // Whoever wishes for another set by now leaves this one first.
    match (detach_refusal(shape.as_ref()), wished) {
        (None, _) => (Belonging::Leaving { scale_set: accepted.to_owned() }, None),
        (Some(_), Some(other)) => (of_member(observed, vm, accepted), Some(move_refusal(accepted, other))),
        (Some(refusal), None) => (of_member(observed, vm, accepted), Some(refusal)),
    }
}

/// The set with the members that it has.
fn shape<'set>(observed: &Observed, set: &'set ScaleSet) -> SetShape<'set> {
    SetShape { members: observed.applicants.members, ..set_shape(set) }
}

fn joining(observed: &Observed, vm: &FlexVM, shape: Option<&SetShape<'_>>, set_name: &str) -> Belonging {
    let scale_set = set_name.to_owned();
    match of_origin(observed, vm) {
        Some(Origin::Set) => return Belonging::Made { scale_set },
        Some(Origin::Hand) => {}
        None => {
            let message = format!("scale set {scale_set} made this VM and left it behind; it runs on alone");
            return Belonging::Refused { scale_set, refusal: Failure { reason: Reason::OperationNotAllowed, message } };
        }
    }
    let (own, others) = applicants(observed, vm);
    match refusal_among(shape, &scale_set, &own, &others) {
        Some(refusal) => Belonging::Refused { scale_set, refusal },
        None => Belonging::HandMade { scale_set },
    }
}

/// The fault domain that a VM is to be in: the one that it names, else the one where it is. One that joins is given the
/// emptiest of its set, and keeps it by the mark on it.
fn fault_domain(observed: &Observed, vm: &FlexVM, belonging: &Belonging) -> Option<i32> {
    let named = vm.spec.platform_fault_domain;
    let shape = observed.set.as_deref().map(|set| shape(observed, set))?;
    let joined = matches!(belonging, Belonging::HandMade { scale_set: _ }) && shape.fault_domain_count > 1;
    if named.is_some() || !joined {
        return named;
    }
    let marked = fault_domain_on(&vm.metadata).filter(|domain| (0..shape.fault_domain_count).contains(domain));
    match &observed.machine {
        Ok(Some(machine)) => machine.placement.platform_fault_domain,
        Ok(None) if observed.silence.is_some() => marked,
        Ok(None) => marked.or_else(|| {
            let (own, others) = applicants(observed, vm);
            fault_domain_among(&shape, &Applicant { placed: None, ..own }, &others)
        }),
        Err(_) => marked,
    }
}

fn applicants<'pass>(observed: &'pass Observed, vm: &'pass FlexVM) -> (Applicant<'pass>, Vec<Applicant<'pass>>) {
    let Applicants { own, others, members: _ } = &observed.applicants;
    let others = others
        .iter()
        .map(|OtherApplicant { vm, maintenance, group }| applicant(observed, vm, *maintenance, group.clone()))
        .collect();
    (applicant(observed, vm, *own, observed.group.clone()), others)
}

fn applicant<'vm>(
    observed: &Observed,
    vm: &'vm FlexVM,
    maintenance: SizeMaintenance,
    group: Option<NamedGroup>,
) -> Applicant<'vm> {
    Applicant {
        created: vm.metadata.creation_timestamp.as_ref().map(|time| time.0).unwrap_or_default(),
        name: vm.metadata.name.as_deref().unwrap_or_default(),
        origin: of_origin(observed, vm).unwrap_or(Origin::Hand),
        shape: member_shape(vm, maintenance, group),
        placed: vm.spec.platform_fault_domain.or_else(|| fault_domain_on(&vm.metadata)),
    }
}

fn of_member(observed: &Observed, vm: &FlexVM, set_name: &str) -> Belonging {
    let scale_set = set_name.to_owned();
    match of_origin(observed, vm) {
        Some(Origin::Set) => Belonging::Made { scale_set },
        Some(Origin::Hand) | None => Belonging::HandMade { scale_set },
    }
}

fn of_origin(observed: &Observed, vm: &FlexVM) -> Option<Origin> {
    let set_uid = observed.set.as_ref().and_then(|set| set.metadata.uid.as_deref()).unwrap_or_default();
    origin(&vm.metadata, set_uid)
}

/// The set's newest model for a VM of that priority, straight from its spec: no need to wait until its revision is kept.
fn newest(set: &ScaleSet, priority: Priority) -> Option<ModelView> {
    let profile = set.spec.virtual_machine_profile.as_ref()?;
    let name = revision::name(&set.name_any(), &set.uid().unwrap_or_default(), profile);
    Some(ModelView { revision: name, model: Arc::new(profile.model_of(priority)) })
}
