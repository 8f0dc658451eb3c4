//! From raw objects to the planner's snapshot of a group, and to what a set has to know of one.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::ControllerRevision;
use scaleset_crds::condition::Reason;
use scaleset_crds::reservation::CapacityReservationGroupReference;
use scaleset_crds::reservation_group::{CapacityReservation, CapacityReservationStatus};
use scaleset_crds::{CapacityReservationGroup, ScaleSet};
use scaleset_hardware::{AssociatedMachine, HardwareError, Reservation, ReservationGroup, ReservationProvisioning};
use scaleset_planning::reservation::{ReservedGroup, ReservedRoom};
use scaleset_planning::snapshot::{
    AssociatedVm, Failure, GroupFacts, GroupView, MemberLife, ReservationFacts, ReservationGroupSnapshot,
    ReservationWish,
};

use super::observe::Observed;
use crate::cluster::ObjectKey;
use crate::error::told;
use crate::scale_set::finalizer;

pub(super) fn validate(observed: &Observed) -> ReservationGroupSnapshot {
    let group = &observed.group;
    let (metadata, spec) = (&group.metadata, &group.spec);
    let mut reservations: Vec<ReservationWish> = spec.reservations.iter().map(wish).collect();
    reservations.sort_by(|one, two| one.name.cmp(&two.name));
    ReservationGroupSnapshot {
        now: observed.now,
        wall_now: observed.wall_now,
        namespace: observed.id.key.namespace.clone(),
        name: observed.id.key.name.clone(),
        generation: metadata.generation.unwrap_or_default(),
        life: if metadata.deletion_timestamp.is_some() { MemberLife::Terminating } else { MemberLife::Live },
        finalizer: finalizer(metadata),
        location: spec.location.clone(),
        zones: sorted(spec.zones.clone().unwrap_or_default()),
        reservations,
        shared_with: sorted(spec.shared_with.clone().unwrap_or_default().namespaces),
        hardware: group_view(&observed.hardware),
        status: group.status.clone().unwrap_or_default(),
    }
}

fn wish(reservation: &CapacityReservation) -> ReservationWish {
    let CapacityReservation { name, vm_size, zone, capacity } = reservation.clone();
    ReservationWish { name, vm_size, zone, capacity }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names.dedup();
    names
}

/// Unknown where the hardware did not answer, absent only where it is sure.
pub(super) fn group_view(observed: &Result<Option<ReservationGroup>, HardwareError>) -> GroupView {
    match observed {
        Ok(Some(group)) => GroupView::Present(facts(group)),
        Ok(None) => GroupView::Absent,
        Err(error) => GroupView::Unknown { message: told(error) },
    }
}

fn facts(group: &ReservationGroup) -> GroupFacts {
    let mut reservations: Vec<ReservationFacts> = group.reservations.iter().map(reservation_facts).collect();
    reservations.sort_by(|one, two| one.name.cmp(&two.name));
    GroupFacts { shared_with: sorted(group.shared_with.clone()), reservations }
}

fn reservation_facts(reservation: &Reservation) -> ReservationFacts {
    let Reservation {
        name,
        reservation_id,
        vm_size,
        zone,
        platform_fault_domain_count,
        capacity,
        current_capacity,
        provisioning,
        provisioning_time,
        machines,
    } = reservation.clone();
    let mut vms: Vec<AssociatedVm> = machines.into_iter().map(associated).collect();
    vms.sort();
    ReservationFacts {
        name,
        id: reservation_id,
        vm_size,
        zone,
        fault_domain_count: platform_fault_domain_count,
        asked: capacity,
        current_capacity,
        failure: match provisioning {
            ReservationProvisioning::Succeeded => None,
            ReservationProvisioning::Failed { code, message } => {
                Some(Failure { reason: Reason::from_code(&code), message })
            }
        },
        decided_at: provisioning_time,
        vms,
    }
}

fn associated(machine: AssociatedMachine) -> AssociatedVm {
    let AssociatedMachine { uid: _, owner, state } = machine;
    AssociatedVm { namespace: owner.namespace, kind: owner.kind, name: owner.name, state }
}

/// The groups that a set's profile or one of its revisions names.
pub(crate) fn referenced<'objects>(
    set: &ScaleSet,
    revisions: impl IntoIterator<Item = &'objects ControllerRevision>,
) -> BTreeSet<ObjectKey> {
    let own = set.metadata.namespace.as_deref().unwrap_or_default();
    let profile = set.spec.virtual_machine_profile.as_ref();
    let wished = profile.and_then(|profile| profile.capacity_reservation_group_ref.clone());
    let kept = revisions.into_iter().filter_map(|revision| {
        let reference = revision.data.as_ref()?.0.get("capacityReservationGroupRef")?;
        serde_json::from_value::<CapacityReservationGroupReference>(reference.clone()).ok()
    });
    wished
        .into_iter()
        .chain(kept)
        .map(|reference| ObjectKey { namespace: reference.namespace_for(own).to_owned(), name: reference.name.clone() })
        .collect()
}

/// The group as a set of `namespace` may know it; `None` where it may not use it. One that is being deleted is shared with
/// nobody any more.
pub(crate) fn reserved_group(group: &CapacityReservationGroup, namespace: &str) -> Option<ReservedGroup> {
    let (metadata, spec) = (&group.metadata, &group.spec);
    let shared = spec.shared_with.as_ref().is_some_and(|shared| shared.namespaces.iter().any(|name| name == namespace));
    if metadata.namespace.as_deref() != Some(namespace) && (!shared || metadata.deletion_timestamp.is_some()) {
        return None;
    }
    let known = group.status.iter().flat_map(|status| &status.capacity_reservations);
    let mut reservations: Vec<ReservedRoom> = known.filter_map(room).collect();
    reservations.sort_by(|one, two| one.name.cmp(&two.name));
    let is_there = |wish: &&CapacityReservation| reservations.iter().any(|room| room.name == wish.name);
    let pending = spec.reservations.iter().filter(|wish| !is_there(wish));
    Some(ReservedGroup {
        pending: pending.map(|wish| (wish.vm_size.clone(), wish.zone.clone())).collect(),
        location: spec.location.clone(),
        zones: sorted(spec.zones.clone().unwrap_or_default()),
        reservations,
    })
}

/// One that is not reserved as yet, or is going, is nobody's.
fn room(reservation: &CapacityReservationStatus) -> Option<ReservedRoom> {
    reservation.reservation_id.as_ref()?;
    Some(ReservedRoom {
        name: reservation.name.clone(),
        vm_size: reservation.vm_size.clone(),
        zone: reservation.zone.clone(),
        current_capacity: i64::from(reservation.current_capacity),
        allocated: i64::from(reservation.allocated),
        fault_domain_count: reservation.platform_fault_domain_count.unwrap_or(1),
    })
}
