//! Reserved capacity is promised once: what must hold of every reservation at every moment, read from the machines as they
//! are and from what the groups say of them.

use std::collections::BTreeMap;

use scaleset_controller::cluster::Kind;
use scaleset_crds::reservation::ReservationState;
use scaleset_hardware::{Hardware, Machine, Reservation, ReservationGroup, ReservationProvisioning};
use serde_json::Value;

use super::seen::{text, uid};
use crate::simulation::stage::Stage;

/// Groups as the hardware has them, beside their objects; only those of which it tells now.
fn groups(stage: &Stage) -> Vec<(Value, Option<ReservationGroup>)> {
    let objects = stage.cluster.all(Kind::CapacityReservationGroup).into_iter();
    let told = objects.filter_map(|object| {
        let group = stage.block_on(stage.hardware.observe_reservation_group(&uid(&object))).ok()?;
        Some((object, group))
    });
    told.collect()
}

/// Every reservation whose numbers do not fit its machines.
pub(super) fn overpromised(stage: &Stage, machines: &BTreeMap<String, Machine>) -> Vec<String> {
    let mut findings = Vec::new();
    for (_, group) in groups(stage) {
        for (group, reservation) in
            group.iter().flat_map(|group| group.reservations.iter().map(move |one| (group, one)))
        {
            findings.extend(unfit(group, reservation, machines));
        }
    }
    findings
}

fn unfit(group: &ReservationGroup, reservation: &Reservation, machines: &BTreeMap<String, Machine>) -> Vec<String> {
    let name = format!("{}/{}", group.name, reservation.name);
    let mut findings = Vec::new();
    let count = |state: ReservationState| {
        let of_state = reservation.machines.iter().filter(|machine| machine.state == state).count();
        i32::try_from(of_state).unwrap_or(i32::MAX)
    };
    let (guaranteed, beyond) = (count(ReservationState::Allocated), count(ReservationState::Overallocated));
    let capacity = reservation.current_capacity;
    if guaranteed > capacity {
        findings.push(format!("{name} promises {guaranteed} slots and has {capacity}"));
    }
    let usable = reservation.provisioning == ReservationProvisioning::Succeeded;
    if usable && beyond > 0 && guaranteed < capacity {
        findings.push(format!("{name} has {} slots free and {beyond} machines beyond it", capacity - guaranteed));
    }
    for associated in &reservation.machines {
        let Some(machine) = machines.get(&associated.uid) else {
            findings.push(format!("{name} names {}, which is no machine", associated.owner));
            continue;
        };
        let own = machine.capacity_reservation.as_ref();
        let agrees = own.is_some_and(|own| {
            (&own.group, &own.reservation, own.state) == (&group.name, &reservation.name, associated.state)
        });
        if !agrees {
            findings.push(format!("{name} says {:?} of {}, which says {own:?}", associated.state, associated.owner));
        }
        if (associated.state == ReservationState::Associated) != machine.host.is_none() {
            findings.push(format!("{} is {:?} on host {:?}", associated.owner, associated.state, machine.host));
        }
    }
    let says = |machine: &&Machine| {
        let own = machine.capacity_reservation.as_ref();
        own.is_some_and(|own| (&own.group, &own.reservation) == (&group.name, &reservation.name))
    };
    let saying = machines.values().filter(says).count();
    if saying != reservation.machines.len() {
        findings.push(format!("{name} names {} machines, {saying} name it", reservation.machines.len()));
    }
    findings
}

/// Once everything is healed and at rest: what is wished is reserved, and what the objects say is so.
pub(super) fn unlike_their_objects(stage: &Stage, machines: &BTreeMap<String, Machine>) -> Vec<String> {
    let mut findings = Vec::new();
    for (object, group) in groups(stage) {
        let name = text(&object["metadata"]["name"]);
        let Some(group) = group else {
            findings.push(format!("group {name} is not at the hardware"));
            continue;
        };
        if object["status"]["observedGeneration"] != object["metadata"]["generation"] {
            findings.push(format!("group {name}: its status is of an older generation"));
        }
        for wish in object["spec"]["reservations"].as_array().into_iter().flatten() {
            let there = group.reservations.iter().find(|there| {
                let zone = there.zone.as_deref();
                there.name == text(&wish["name"])
                    && there.vm_size == text(&wish["vmSize"])
                    && zone == wish["zone"].as_str()
            });
            if there.map(|there| i64::from(there.current_capacity)) != wish["capacity"].as_i64() {
                findings.push(format!("group {name}: {wish} is wished, there is {there:?}"));
            }
        }
        for there in &group.reservations {
            findings.extend(told_otherwise(&object, there, machines));
        }
    }
    for object in [Kind::ScaleSetVM, Kind::FlexVM].into_iter().flat_map(|kind| stage.cluster.all(kind)) {
        let own = machines.get(&uid(&object)).and_then(|machine| machine.capacity_reservation.as_ref());
        let said = text(&object["status"]["capacityReservation"]["state"]);
        if own.map_or_else(String::new, |own| format!("{:?}", own.state)) != said {
            findings.push(format!("{}: says {said:?}, has {own:?}", text(&object["metadata"]["name"])));
        }
    }
    findings
}

fn told_otherwise(object: &Value, there: &Reservation, machines: &BTreeMap<String, Machine>) -> Option<String> {
    let mut told = object["status"]["capacityReservations"].as_array().into_iter().flatten();
    let told = told.find(|told| told["name"] == there.name.as_str())?;
    let has_host = |uid: &String| machines.get(uid).is_some_and(|machine| machine.host.is_some());
    let allocated = there.machines.iter().filter(|machine| has_host(&machine.uid)).count() as u64;
    let numbers = [
        ("associated", there.machines.len() as u64),
        ("allocated", allocated),
        ("unused", u64::try_from(there.current_capacity).unwrap_or(0).saturating_sub(allocated)),
        ("overallocated", allocated.saturating_sub(u64::try_from(there.current_capacity).unwrap_or(0))),
    ];
    let wrong = numbers.iter().find(|(name, number)| told[*name].as_u64() != Some(*number))?;
    Some(format!("{}: {} is told as {}, it is {}", there.name, wrong.0, told[wrong.0], wrong.1))
}
