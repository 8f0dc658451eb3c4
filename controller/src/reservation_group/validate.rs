//! From raw objects to the planner's snapshot of a group, and to what a set has to know of one.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::ControllerRevision;
use scaleset_crds::condition::Reason;
use scaleset_crds::reservation::CapacityReservationGroupReference;
use scaleset_crds::reservation_group::{CapacityReservation, CapacityReservationStatus};
use scaleset_crds::{CapacityReservationGroup, FlexVM, ScaleSet};
use scaleset_hardware::{AssociatedMachine, HardwareError, Reservation, ReservationGroup, ReservationProvisioning};
use scaleset_planning::membership::{NamedGroup, NamedReservation};
use scaleset_planning::reservation::{ReservedGroup, ReservedRoom, group_name};
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

/// The group that the model of a VM names, as far as the VM may know it.
pub(crate) fn named_group(vm: &FlexVM, group: Option<&CapacityReservationGroup>) -> Option<NamedGroup> {
    let reference = vm.spec.capacity_reservation_group_ref.as_ref()?;
    let own = vm.metadata.namespace.as_deref().unwrap_or_default();
    let rooms = group.and_then(|group| reserved_group(group, own)).unwrap_or_default().reservations;
    let room = rooms.into_iter().find(|room| room.vm_size == vm.spec.vm_size && room.zone == vm.spec.zone);
    let reservation =
        room.map(|room| NamedReservation { name: room.name, fault_domain_count: room.fault_domain_count });
    Some(NamedGroup { name: group_name(reference, own), reservation })
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A group of the namespace `owner` with one reservation that is there and one that is not yet.
    fn group(shared_with: &Value, deleted: &Value) -> CapacityReservationGroup {
        let reservation = |name: &str, size: &str| json!({"name": name, "vmSize": size, "zone": "1", "capacity": 3});
        serde_json::from_value(json!({
            "apiVersion": scaleset_crds::API_VERSION,
            "kind": "CapacityReservationGroup",
            "metadata": {"name": "kept", "namespace": "owner", "deletionTimestamp": deleted},
            "spec": {
                "location": "eastus", "zones": ["2", "1"], "sharedWith": shared_with,
                "reservations": [reservation("room", "Standard_D2s_v3"), reservation("later", "Standard_D4s_v3")],
            },
            "status": {"capacityReservations": [{
                "name": "room", "reservationId": "id", "vmSize": "Standard_D2s_v3", "zone": "1",
                "provisioningState": "Succeeded", "platformFaultDomainCount": 3, "currentCapacity": 3, "associated": 2,
                "allocated": 1, "unused": 2, "overallocated": 0,
            }]},
        }))
        .expect("it is a group")
    }

    #[test]
    fn a_group_is_known_where_it_is_and_where_it_is_shared() {
        let (nobody, tenant, others) =
            (Value::Null, json!({"namespaces": ["tenant", "team-b"]}), json!({"namespaces": ["team-b"]}));
        let (stays, goes) = (Value::Null, json!("2026-01-01T00:00:00Z"));
        for (case, shared_with, deleted, namespace, known) in [
            ("its own", &nobody, &stays, "owner", true),
            ("its own, going", &nobody, &goes, "owner", true),
            ("not shared", &nobody, &stays, "tenant", false),
            ("shared", &tenant, &stays, "tenant", true),
            ("shared with others", &others, &stays, "tenant", false),
            ("shared, by the beginning of the name", &tenant, &stays, "ten", false),
            ("shared, and going", &tenant, &goes, "tenant", false),
            ("shared with nobody by an empty list", &json!({"namespaces": []}), &stays, "tenant", false),
        ] {
            let found = reserved_group(&group(shared_with, deleted), namespace);
            assert_eq!(found.is_some(), known, "{case}");
        }
    }

    #[test]
    fn what_is_not_reserved_yet_is_pending() {
        let found = reserved_group(&group(&Value::Null, &Value::Null), "owner").expect("it is its own");
        let ReservedGroup { location, zones, reservations, pending } = found;
        assert_eq!((location.as_str(), zones), ("eastus", vec!["1".to_owned(), "2".to_owned()]));
        let names: Vec<(&str, i64, i64, i32)> = reservations
            .iter()
            .map(|room| (room.name.as_str(), room.current_capacity, room.allocated, room.fault_domain_count))
            .collect();
        assert_eq!(names, [("room", 3, 1, 3)]);
        assert_eq!(pending, [("Standard_D4s_v3".to_owned(), Some("1".to_owned()))]);
    }

    #[test]
    fn a_vm_knows_the_reservation_of_its_size_and_zone_in_a_group_that_it_may_use() {
        let vm = |namespace: &str, zone: &str| -> FlexVM {
            let reference = json!({"name": "kept", "namespace": "owner"});
            serde_json::from_value(json!({
                "apiVersion": scaleset_crds::API_VERSION,
                "kind": "FlexVM",
                "metadata": {"name": "one", "namespace": namespace},
                "spec": {
                    "location": "eastus", "zone": zone, "vmSize": "Standard_D2s_v3",
                    "capacityReservationGroupRef": reference, "osProfile": {"adminUsername": "azureuser"},
                    "storageProfile": {"imageReference": {"id": "golden"}}, "networkProfile": {"networkInterfaces": []},
                },
            }))
            .expect("it is a VM")
        };
        let shared = group(&json!({"namespaces": ["tenant"]}), &Value::Null);
        let room = NamedReservation { name: "room".to_owned(), fault_domain_count: 3 };
        let own = Some(NamedGroup { name: "kept".to_owned(), reservation: Some(room.clone()) });
        let of_others = |reservation| Some(NamedGroup { name: "owner/kept".to_owned(), reservation });
        assert_eq!(named_group(&vm("owner", "1"), Some(&shared)), own);
        assert_eq!(named_group(&vm("tenant", "1"), Some(&shared)), of_others(Some(room)));
        assert_eq!(named_group(&vm("tenant", "2"), Some(&shared)), of_others(None));
        assert_eq!(named_group(&vm("stranger", "1"), Some(&shared)), of_others(None));
        assert_eq!(named_group(&vm("tenant", "1"), None), of_others(None));
    }
}
