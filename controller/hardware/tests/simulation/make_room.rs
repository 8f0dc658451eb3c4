//! Regular machines that push Spot machines off full hosts, and deletions that do not ask the guest.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::reservation::ReservationState;
use scaleset_crds::spot::{EvictionPolicy, EvictionReason, MaxPrice, SpotTerms};
use scaleset_crds::vocabulary::{PowerState, PowerWish};
use scaleset_hardware::sim::{Call, ClockSource, JournalEntry, Outcome, Simulation, VirtualClock};
use scaleset_hardware::{Change, CreateRequest, Deletion, Hardware, HardwareError, Machine, Shutdown, UpdateMethod};

use crate::durable::open_with;
use crate::fixture::{Fixture, REGION, model, placement, refusal, request, request_of, target};
use crate::reservation::{GROUP, group_request, power, reservation_of, reserved_model, state_of};

/// One host of 8 vCPUs in the zone; Small (1 vCPU) and Medium (4) can be Spot.
fn narrow() -> String {
    let host = "{name: general, count: 2, vcpus: 8, memoryMiB: 16384}";
    let medium = "{name: Medium, family: standardA, vcpus: 4, memoryMiB: 4096, memoryPreserving: true, reservationFaultDomainCount: 2}";
    assert!(REGION.contains(host) && REGION.contains(medium));
    REGION
        .replace(host, "{name: general, count: 1, vcpus: 8, memoryMiB: 16384}")
        .replace(
            medium,
            "{name: Medium, family: standardA, vcpus: 4, memoryMiB: 4096, memoryPreserving: true, reservationFaultDomainCount: 2, spotPrice: \"0.08\"}",
        )
        .replace("spot: 3", "spot: 100")
}

fn sized(uid: &str, size: &str) -> CreateRequest {
    let model = VirtualMachineModel { vm_size: size.to_owned(), ..model() };
    CreateRequest { placement: placement(Some("1"), Some(0)), ..request_of(uid, model) }
}

fn spot(uid: &str, size: &str) -> CreateRequest {
    let mut request = sized(uid, size);
    let max_price: MaxPrice = "-1".parse().unwrap();
    let terms = SpotTerms { eviction_policy: EvictionPolicy::Deallocate, max_price };
    request.model = Arc::new(VirtualMachineModel { spot: Some(terms), ..(*request.model).clone() });
    request
}

/// A zone whose host is full: two regular Small ones, a Medium and two Small Spot ones.
async fn full() -> Fixture {
    let fixture = Fixture::with(&narrow());
    for number in 0..2 {
        fixture.running_as(sized(&format!("regular-{number}"), "Small")).await;
    }
    fixture.running_as(spot("medium", "Medium")).await;
    for number in 0..2 {
        fixture.running_as(spot(&format!("small-{number}"), "Small")).await;
    }
    fixture
}

async fn told(simulation: &Simulation) -> Vec<String> {
    let inventory = simulation.observe_all().await.unwrap();
    let told = inventory.machines.into_values().filter(|machine| machine.preempt_notice.is_some());
    told.map(|machine| machine.uid).collect()
}

async fn start(simulation: &Simulation, uid: &str) -> Result<Machine, HardwareError> {
    simulation.set_power(target(uid, 1), PowerWish::Running, Shutdown::Graceful).await
}

const ONE: &str = "ZonalAllocationFailed: Small needs 1 vcpus and 1024 mib on one host, testland zone 1 fault domain 0 has 1 hosts up for standardA with 0 vcpus free, at most 0 on one; 1 Spot VM is being evicted on testland-z1-fd0-general-00 to make room";

#[tokio::test]
async fn a_regular_machine_pushes_off_the_smallest_spot_machine_that_does_and_asking_again_no_other() {
    let fixture = full().await;
    let simulation = &fixture.simulation;
    assert_eq!(refusal(simulation.create(sized("new", "Small")).await), ONE);
    assert_eq!(told(simulation).await, ["small-0"], "the smallest, of equals the oldest");
    let notice = fixture.machine("small-0").await.preempt_notice.unwrap();
    assert_eq!(
        (notice.reason, notice.not_before),
        (EvictionReason::Capacity, simulation.now() + jiff::SignedDuration::from_secs(30))
    );
    fixture.advance(10);
    assert_eq!(refusal(simulation.create(sized("new", "Small")).await), ONE, "asking again evicts nobody");
    fixture.advance(25);
    assert_eq!(refusal(simulation.create(sized("new", "Small")).await), ONE, "while it is being deallocated");
    assert_eq!(told(simulation).await, Vec::<String>::new());

    fixture.finish();
    let spot_refusal = refusal(simulation.create(spot("greedy", "Small")).await);
    assert!(spot_refusal.starts_with("ZonalAllocationFailed: Small needs 1 vcpus"), "{spot_refusal}");
    assert!(!spot_refusal.contains("evicted"), "Spot machines push nobody off: {spot_refusal}");
    assert!(start(simulation, "small-0").await.is_err(), "nor does the evicted one come back");
    let other = refusal(simulation.create(sized("other", "Small")).await);
    assert_eq!((other.as_str(), told(simulation).await), (ONE, vec!["small-1".to_owned()]), "each asks for its own");

    assert!(simulation.create(sized("new", "Small")).await.is_ok(), "the room was kept for it");
    fixture.finish();
    assert!(simulation.create(sized("other", "Small")).await.is_ok());
    fixture.finish();
    for uid in ["regular-0", "regular-1", "new", "other", "medium"] {
        let machine = fixture.machine(uid).await;
        assert_eq!((machine.power, machine.eviction), (PowerState::Running, None), "{uid}");
    }
}

#[tokio::test]
async fn the_fewest_go_and_where_they_would_not_do_nobody_does() {
    let fixture = full().await;
    let simulation = &fixture.simulation;
    let large = refusal(simulation.create(sized("large", "Large")).await);
    assert!(!large.contains("evicted"), "6 of 8 vcpus are not enough: {large}");
    assert_eq!(told(simulation).await, Vec::<String>::new());
    let medium = refusal(simulation.create(sized("new", "Medium")).await);
    assert!(medium.ends_with("; 1 Spot VM is being evicted on testland-z1-fd0-general-00 to make room"), "{medium}");
    assert_eq!(told(simulation).await, ["medium"], "one of 4 rather than two of 1");
    let overconstrained = refusal(simulation.create(sized("huge", "Huge")).await);
    assert!(
        overconstrained.starts_with("Overconstrained") || overconstrained.starts_with("Quota"),
        "{overconstrained}"
    );
}

#[tokio::test]
async fn a_start_and_a_larger_size_push_off_too() {
    let fixture = Fixture::with(&narrow());
    let simulation = &fixture.simulation;
    fixture.running_as(sized("grows", "Small")).await;
    fixture.running_as(sized("sleeps", "Small")).await;
    simulation.set_power(target("sleeps", 1), PowerWish::Deallocated, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    fixture.running_as(spot("medium", "Medium")).await;
    for number in 0..3 {
        fixture.running_as(spot(&format!("small-{number}"), "Small")).await;
    }
    assert_eq!(start(simulation, "sleeps").await.map_err(|error| error.to_string()).unwrap_err(), ONE);
    fixture.finish();
    start(simulation, "sleeps").await.unwrap();
    fixture.finish();

    let larger = Arc::new(VirtualMachineModel { vm_size: "Medium".to_owned(), ..model() });
    let resize = || simulation.update(target("grows", 1), "revision-2", Arc::clone(&larger), UpdateMethod::Restart);
    let refused = refusal(resize().await);
    assert!(refused.ends_with("; 1 Spot VM is being evicted on testland-z1-fd0-general-00 to make room"), "{refused}");
    assert_eq!(told(simulation).await, ["medium"], "3 more are missing, of those that run");
    fixture.finish();
    resize().await.unwrap();
    fixture.finish();
    let grown = fixture.machine("grows").await;
    assert_eq!((grown.model.vm_size.as_str(), grown.power), ("Medium", PowerState::Running));
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_free_for_all() {
    let fixture = full().await;
    let simulation = &fixture.simulation;
    simulation.create(sized("new", "Small")).await.unwrap_err();
    fixture.finish();
    assert!(start(simulation, "small-0").await.is_err());
    assert_eq!(simulation.delete(target("new", 1), Shutdown::Graceful).await, Ok(Deletion::Gone));
    start(simulation, "small-0").await.unwrap();
    fixture.finish();

    simulation.create(sized("newer", "Small")).await.unwrap_err();
    fixture.finish();
    assert!(start(simulation, "small-0").await.is_err());
    fixture.advance(3_600);
    start(simulation, "small-0").await.unwrap();
}

#[tokio::test]
async fn new_slots_take_no_room_that_was_promised() {
    let fixture = full().await;
    let simulation = &fixture.simulation;
    simulation.create(sized("new", "Medium")).await.unwrap_err();
    fixture.finish();
    simulation.put_reservation_group(target(GROUP, 1), group_request()).await.unwrap();
    // The host of the other fault domain is empty: both slots go there, although one in each would be spread better.
    let reserve = |capacity| simulation.reserve(target(GROUP, 1), reservation_of("Medium", Some("1"), capacity));
    reserve(2).await.unwrap();
    assert_eq!(
        refusal(reserve(3).await),
        "ZonalAllocationFailed: 1 more Medium are to be reserved, 4 vcpus and 4096 mib each; testland zone 1 has 2 hosts up for standardA with room for 0"
    );
    simulation.create(sized("new", "Medium")).await.unwrap();
}

/// A machine in the first fault domain of zone 1 that draws on the group.
fn reserved(uid: &str) -> CreateRequest {
    CreateRequest { placement: placement(Some("1"), Some(0)), ..request_of(uid, reserved_model("Small")) }
}

/// A slot that a machine leaves behind is no room for its new size: with it the Spot machine's room would be enough.
#[tokio::test]
async fn nobody_goes_for_a_size_that_the_slot_left_behind_makes_impossible() {
    let fixture = Fixture::with(&narrow());
    let simulation = &fixture.simulation;
    simulation.put_reservation_group(target(GROUP, 1), group_request()).await.unwrap();
    for (size, capacity) in [("Small", 1), ("Large", 0)] {
        simulation.reserve(target(GROUP, 1), reservation_of(size, Some("1"), capacity)).await.unwrap();
    }
    fixture.running_as(reserved("grows")).await;
    fixture.running_as(spot("medium", "Medium")).await;
    let larger = Arc::new(reserved_model("Large"));
    let resize = || simulation.update(target("grows", 1), "revision-2", Arc::clone(&larger), UpdateMethod::Restart);
    assert_eq!(
        refusal(resize().await),
        "ZonalAllocationFailed: Large needs 8 vcpus and 8192 mib on one host, testland zone 1 fault domain 0 has 1 hosts up for standardB with 3 vcpus free, at most 3 on one"
    );
    assert_eq!(told(simulation).await, Vec::<String>::new());

    // Where nothing is reserved it leaves no slot behind: its room and the Spot machine's are enough.
    simulation.reserve(target(GROUP, 1), reservation_of("Small", Some("1"), 0)).await.unwrap();
    let refused = refusal(resize().await);
    assert!(refused.ends_with("; 1 Spot VM is being evicted on testland-z1-fd0-general-00 to make room"), "{refused}");
    fixture.finish();
    resize().await.unwrap();
}

/// Who was told that it has changed since this was asked last.
fn announced(simulation: &Simulation, changes: &mut BoxStream<'static, Change>) -> Vec<String> {
    simulation.settle();
    let mut told = Vec::new();
    while let Some(Some(change)) = changes.next().now_or_never() {
        if let Change::Machine { uid, owner: _ } = change {
            told.push(uid);
        }
    }
    told
}

#[tokio::test]
async fn whoever_waits_for_room_is_told_when_reserved_machines_and_slots_give_some_back() {
    let fixture = Fixture::with(&narrow());
    let simulation = &fixture.simulation;
    simulation.put_reservation_group(target(GROUP, 1), group_request()).await.unwrap();
    let reserve = |capacity| simulation.reserve(target(GROUP, 1), reservation_of("Small", Some("1"), capacity));
    reserve(1).await.unwrap();
    for uid in ["first", "beyond"] {
        fixture.running_as(reserved(uid)).await;
    }
    assert_eq!(state_of(&fixture, "beyond").await, Some(ReservationState::Overallocated));
    fixture.running_as(spot("medium", "Medium")).await;
    simulation.create(sized("regular", "Small")).await.unwrap();
    let refused = refusal(simulation.create(sized("waits", "Medium")).await);
    assert!(refused.contains("1 Spot VM is being evicted"), "{refused}");
    fixture.finish();

    let mut changes = simulation.changes();
    announced(simulation, &mut changes);
    let is_told = |told: Vec<String>| told.iter().any(|uid| uid == "waits");
    power(&fixture, "first", PowerWish::Deallocated).await.unwrap();
    assert!(is_told(announced(simulation, &mut changes)), "its slot went to the one beyond it, whose room is general");
    power(&fixture, "beyond", PowerWish::Deallocated).await.unwrap();
    assert!(!is_told(announced(simulation, &mut changes)), "a slot that stays free is nobody's room");
    reserve(0).await.unwrap();
    assert!(is_told(announced(simulation, &mut changes)), "the slot was given up");
    power(&fixture, "beyond", PowerWish::Running).await.unwrap();
    announced(simulation, &mut changes);
    simulation.delete(target("beyond", 1), Shutdown::Skip).await.unwrap();
    assert!(is_told(announced(simulation, &mut changes)), "it held general room");
    reserve(1).await.unwrap();
    simulation.delete(target("first", 1), Shutdown::Skip).await.unwrap();
    announced(simulation, &mut changes);
    simulation.release_reservation(target(GROUP, 1), "small-1").await.unwrap();
    assert!(!is_told(announced(simulation, &mut changes)), "the slot was on the emptier host, where nobody waits");
}

#[tokio::test]
async fn notices_and_the_room_that_is_kept_survive_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hardware.redb");
    let clock = VirtualClock::default();
    let open = || open_with(&path, ClockSource::Virtual(clock.clone()), &narrow()).unwrap();
    let simulation = open();
    simulation.create(sized("regular", "Medium")).await.unwrap();
    simulation.create(spot("medium", "Medium")).await.unwrap();
    clock.advance(Duration::from_mins(2));
    let refused = refusal(simulation.create(sized("new", "Small")).await);
    assert!(refused.contains("1 Spot VM is being evicted"), "{refused}");
    drop(simulation);

    let simulation = open();
    assert_eq!(told(&simulation).await, ["medium"]);
    clock.advance(Duration::from_mins(2));
    drop(simulation);

    let simulation = open();
    simulation.settle();
    // 4 vCPUs are free and one of them is kept: a Spot machine of 4 does not fit, one of 1 does.
    assert!(start(&simulation, "medium").await.is_err());
    simulation.create(spot("small", "Small")).await.unwrap();
    simulation.create(sized("new", "Small")).await.unwrap();
}

#[tokio::test]
async fn a_deletion_that_does_not_ask_the_guest_is_done_when_the_call_returns() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    let before = fixture.running("a").await;
    assert_eq!(simulation.delete(target("a", 0), Shutdown::Skip).await.map_err(|error| error.code()), Err("Stale"));
    assert_eq!(simulation.delete(target("a", 1), Shutdown::Skip).await, Ok(Deletion::Gone));
    assert_eq!(simulation.observe("a").await, Ok(None));
    assert_eq!(simulation.delete(target("a", 1), Shutdown::Skip).await, Ok(Deletion::Gone));
    let journal = simulation.journal().unwrap();
    let done = |entry: &&JournalEntry| entry.call == Call::Delete && entry.outcome == Outcome::Accepted;
    let told = journal.iter().find(done).map(|entry| (entry.owner.as_str(), entry.detail.as_str()));
    assert_eq!(told, Some(("default/ScaleSetVM/a", "without shutdown")), "its owner is told although it is gone");
    let next = fixture.running("b").await;
    assert_eq!((next.private_ip_address, next.host), (before.private_ip_address, before.host), "its place was free");
    // One that is under way is cut short.
    assert_eq!(simulation.delete(target("b", 1), Shutdown::Graceful).await, Ok(Deletion::InProgress));
    assert_eq!(simulation.delete(target("b", 1), Shutdown::Skip).await, Ok(Deletion::Gone));
    simulation.create(request("b")).await.unwrap();
}
