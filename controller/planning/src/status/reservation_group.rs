//! Status of a `CapacityReservationGroup`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleset_crds::ReservationGroupStatus;
use scaleset_crds::condition::{ReservationGroupCondition, keep_transition_times};
use scaleset_crds::instance::InstanceViewStatus;
use scaleset_crds::reservation_group::{
    CapacityReservationInstanceView, CapacityReservationStatus, CapacityReservationUtilization, NAMES_MAX,
    ReservationGroupInstanceView, ReservationTotals,
};
use scaleset_crds::vocabulary::{ProvisioningState, StatusLevel};

use super::{cut, whole_seconds};
use crate::reservation_group::ReservationGroupPlan;
use crate::snapshot::{
    AssociatedVm, Failure, GroupFacts, GroupView, MemberLife, ReservationFacts, ReservationGroupSnapshot,
};
use verdicts::Verdicts;

mod verdicts;

/// What came of a plan.
#[derive(Clone, Debug)]
pub struct ReservationGroupOutcome {
    /// The group after the actions.
    pub hardware: GroupView,
    /// What the hardware refused, by the name of the reservation; what was about the group as a whole is under an empty name.
    pub refusals: BTreeMap<String, Failure>,
}

/// The whole status after a pass.
pub fn reservation_group_status(
    snapshot: &ReservationGroupSnapshot,
    plan: &ReservationGroupPlan,
    outcome: &ReservationGroupOutcome,
) -> ReservationGroupStatus {
    let nothing = GroupFacts::default();
    let mut status = match &outcome.hardware {
        GroupView::Present(facts) => of_hardware(snapshot, facts, outcome),
        GroupView::Absent => of_hardware(snapshot, &nothing, outcome),
        // What was last known stays; the conditions say that it is not known now.
        GroupView::Unknown { message: _ } => snapshot.status.clone(),
    };
    let verdicts = Verdicts { snapshot, plan, outcome };
    status.observed_generation = Some(snapshot.generation);
    status.conditions = ReservationGroupCondition::ALL
        .iter()
        .map(|condition| {
            verdicts.verdict(*condition).into_condition(condition.as_str(), snapshot.generation, snapshot.wall_now)
        })
        .collect();
    keep_transition_times(&mut status.conditions, &snapshot.status.conditions);
    status
}

fn of_hardware(
    snapshot: &ReservationGroupSnapshot,
    facts: &GroupFacts,
    outcome: &ReservationGroupOutcome,
) -> ReservationGroupStatus {
    let reservations = reservations(snapshot, facts, outcome);
    let all: BTreeSet<String> = facts.reservations.iter().flat_map(|one| &one.vms).map(AssociatedVm::path).collect();
    let omitted = count(all.len().saturating_sub(NAMES_MAX));
    ReservationGroupStatus {
        observed_generation: None,
        totals: Some(totals(&reservations)),
        virtual_machines_associated: all.into_iter().take(NAMES_MAX).collect(),
        omitted: (omitted > 0).then_some(omitted),
        instance_view: Some(instance_view(facts, &reservations, outcome)),
        capacity_reservations: reservations,
        conditions: Vec::new(),
    }
}

/// Those that are there and those that are wished for, sorted by name.
fn reservations(
    snapshot: &ReservationGroupSnapshot,
    facts: &GroupFacts,
    outcome: &ReservationGroupOutcome,
) -> Vec<CapacityReservationStatus> {
    let mut found: BTreeMap<&str, CapacityReservationStatus> = BTreeMap::new();
    for wish in &snapshot.reservations {
        let refused = outcome.refusals.contains_key(&wish.name);
        let state = if refused { ProvisioningState::Failed } else { ProvisioningState::Creating };
        let waiting = CapacityReservationStatus {
            name: wish.name.clone(),
            reservation_id: None,
            vm_size: wish.vm_size.clone(),
            zone: wish.zone.clone(),
            provisioning_state: state,
            provisioning_time: None,
            platform_fault_domain_count: None,
            current_capacity: 0,
            associated: 0,
            allocated: 0,
            unused: 0,
            overallocated: 0,
        };
        found.insert(&wish.name, waiting);
    }
    for there in &facts.reservations {
        found.insert(&there.name, reservation(snapshot, there));
    }
    found.into_values().collect()
}

fn reservation(snapshot: &ReservationGroupSnapshot, there: &ReservationFacts) -> CapacityReservationStatus {
    let wished = snapshot.reservations.iter().any(|wish| wish.is_for(there));
    let provisioning_state = match (&there.failure, snapshot.life) {
        (_, MemberLife::Terminating) => ProvisioningState::Deleting,
        (_, MemberLife::Live) if !wished => ProvisioningState::Deleting,
        (Some(_), MemberLife::Live) => ProvisioningState::Failed,
        (None, MemberLife::Live) => ProvisioningState::Succeeded,
    };
    // A raise that fails again is no news.
    let before = snapshot.status.capacity_reservations.iter().find(|before| {
        before.reservation_id.as_ref() == Some(&there.id) && before.provisioning_state == provisioning_state
    });
    let since = before.and_then(|before| before.provisioning_time.clone());
    CapacityReservationStatus {
        name: there.name.clone(),
        reservation_id: Some(there.id.clone()),
        vm_size: there.vm_size.clone(),
        zone: there.zone.clone(),
        provisioning_state,
        provisioning_time: Some(since.unwrap_or(Time(whole_seconds(there.decided_at)))),
        platform_fault_domain_count: Some(there.fault_domain_count),
        current_capacity: there.current_capacity,
        associated: there.associated(),
        allocated: there.allocated(),
        unused: there.unused(),
        overallocated: there.overallocated(),
    }
}

fn totals(reservations: &[CapacityReservationStatus]) -> ReservationTotals {
    let sum = |of: fn(&CapacityReservationStatus) -> i32| reservations.iter().map(of).fold(0, i32::saturating_add);
    ReservationTotals {
        current_capacity: sum(|one| one.current_capacity),
        associated: sum(|one| one.associated),
        allocated: sum(|one| one.allocated),
        unused: sum(|one| one.unused),
        overallocated: sum(|one| one.overallocated),
    }
}

/// One object holds the names of the first thousand VMs of all reservations together.
fn instance_view(
    facts: &GroupFacts,
    reservations: &[CapacityReservationStatus],
    outcome: &ReservationGroupOutcome,
) -> ReservationGroupInstanceView {
    let vms = || facts.reservations.iter().flat_map(|one| &one.vms).filter(|vm| vm.is_allocated());
    let told: BTreeSet<&AssociatedVm> = vms().collect::<BTreeSet<_>>().into_iter().take(NAMES_MAX).collect();
    let of = |reservation: &CapacityReservationStatus| {
        let there = facts.reservations.iter().find(|there| there.name == reservation.name);
        let allocated: Vec<&AssociatedVm> =
            there.into_iter().flat_map(|there| &there.vms).filter(|vm| vm.is_allocated()).collect();
        let names: Vec<String> = allocated.iter().filter(|vm| told.contains(*vm)).map(|vm| vm.path()).collect();
        let omitted = count(allocated.len() - names.len());
        let failure = there.and_then(|there| there.failure.as_ref()).or(outcome.refusals.get(&reservation.name));
        CapacityReservationInstanceView {
            name: reservation.name.clone(),
            utilization_info: CapacityReservationUtilization {
                current_capacity: reservation.current_capacity,
                virtual_machines_allocated: names,
                omitted: (omitted > 0).then_some(omitted),
            },
            statuses: vec![line(reservation, failure)],
        }
    };
    ReservationGroupInstanceView { capacity_reservations: reservations.iter().map(of).collect() }
}

/// Provisioning as Azure tells it.
fn line(reservation: &CapacityReservationStatus, failure: Option<&Failure>) -> InstanceViewStatus {
    let state = reservation.provisioning_state;
    let level = if state == ProvisioningState::Failed { StatusLevel::Error } else { StatusLevel::Info };
    InstanceViewStatus {
        code: format!("ProvisioningState/{}", state.code()),
        level,
        display_status: format!("Provisioning {}", state.code()),
        message: failure.map(|failure| cut(&format!("{}: {}", failure.reason, failure.message))),
        time: reservation.provisioning_time.clone(),
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
