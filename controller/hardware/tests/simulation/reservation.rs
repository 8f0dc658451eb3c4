//! Capacity reservations: Azure's timelines, refusals, who gets which slot, quotas.

use std::sync::Arc;

use scaleset_crds::VirtualMachineModel;
use scaleset_crds::reservation::{CapacityReservationGroupReference, ReservationState};
use scaleset_crds::scheduled_event::EventApproval;
use scaleset_crds::vocabulary::PowerWish;
use scaleset_hardware::sim::{Outage, RegionFile, Simulation, VirtualClock};
use scaleset_hardware::{
    CreateRequest, Deletion, Hardware, HardwareError, Machine, OperationAction, OperationRequest, Placement,
    Reservation, ReservationGroup, ReservationGroupRequest, ReservationProvisioning, ReservationRequest, Shutdown,
    UpdateMethod,
};

use crate::fixture::{Fixture, REGION, model, placement, refusal, request, request_of, target};

pub const GROUP: &str = "group-uid";

/// The group `reserved` of the namespace `default` over both zones of the test's region.
pub fn group_request() -> ReservationGroupRequest {
    ReservationGroupRequest {
        namespace: "default".to_owned(),
        name: "reserved".to_owned(),
        location: "testland".to_owned(),
        zones: vec!["1".to_owned(), "2".to_owned()],
        shared_with: Vec::new(),
    }
}

/// `capacity` times `size` in a zone, named by both.
pub fn reservation_of(size: &str, zone: Option<&str>, capacity: i32) -> ReservationRequest {
    ReservationRequest {
        name: format!("{}-{}", size.to_lowercase(), zone.unwrap_or("any")),
        vm_size: size.to_owned(),
        zone: zone.map(str::to_owned),
        capacity,
    }
}

pub fn small(capacity: i32) -> ReservationRequest {
    reservation_of("Small", Some("1"), capacity)
}

pub fn reference(namespace: Option<&str>) -> CapacityReservationGroupReference {
    CapacityReservationGroupReference { name: "reserved".to_owned(), namespace: namespace.map(str::to_owned) }
}

/// The model of a machine that draws on the group.
pub fn reserved_model(size: &str) -> VirtualMachineModel {
    VirtualMachineModel { vm_size: size.to_owned(), capacity_reservation_group_ref: Some(reference(None)), ..model() }
}

/// A machine in zone 1 that draws on the group.
pub fn reserved(uid: &str) -> CreateRequest {
    request_of(uid, reserved_model("Small"))
}

pub fn in_domain(uid: &str, domain: i32) -> CreateRequest {
    CreateRequest { placement: placement(Some("1"), Some(domain)), ..reserved(uid) }
}

pub async fn with_group(region: &str) -> Fixture {
    let fixture = Fixture::with(region);
    fixture.simulation.put_reservation_group(target(GROUP, 1), group_request()).await.unwrap();
    fixture
}

pub async fn with_reservation(capacity: i32) -> Fixture {
    let fixture = with_group(REGION).await;
    fixture.simulation.reserve(target(GROUP, 1), small(capacity)).await.unwrap();
    fixture
}

pub async fn group(simulation: &Simulation) -> ReservationGroup {
    simulation.observe_reservation_group(GROUP).await.unwrap().unwrap()
}

pub async fn first(simulation: &Simulation) -> Reservation {
    group(simulation).await.reservations.remove(0)
}

pub fn in_state(reservation: &Reservation, state: ReservationState) -> usize {
    reservation.machines.iter().filter(|machine| machine.state == state).count()
}

/// Associated, holding hardware, beyond what is reserved, and reserved but unused: as Azure counts them.
pub async fn counts(simulation: &Simulation) -> (usize, usize, usize, usize) {
    let reservation = first(simulation).await;
    let guaranteed = in_state(&reservation, ReservationState::Allocated);
    let over = in_state(&reservation, ReservationState::Overallocated);
    let unused = usize::try_from(reservation.current_capacity).unwrap() - guaranteed;
    (reservation.machines.len(), guaranteed + over, over, unused)
}

pub async fn state_of(fixture: &Fixture, uid: &str) -> Option<ReservationState> {
    fixture.machine(uid).await.capacity_reservation.map(|reservation| reservation.state)
}

pub async fn power(fixture: &Fixture, uid: &str, wish: PowerWish) -> Result<Machine, HardwareError> {
    let done = fixture.simulation.set_power(target(uid, 1), wish, Shutdown::Graceful).await;
    fixture.finish();
    done
}

pub async fn draws_on(
    fixture: &Fixture,
    uid: &str,
    reference: Option<CapacityReservationGroupReference>,
) -> Result<Machine, HardwareError> {
    let current = fixture.machine(uid).await;
    let wanted =
        VirtualMachineModel { capacity_reservation_group_ref: reference, ..VirtualMachineModel::clone(&current.model) };
    let target = target(uid, current.generation);
    let done = fixture.simulation.update(target, "revision-2", Arc::new(wanted), UpdateMethod::Online).await;
    fixture.finish();
    done
}

/// vCPUs that count against a quota.
pub async fn usage(fixture: &Fixture, quota: &str) -> i64 {
    let headroom = fixture.simulation.headroom("testland", "Large", scaleset_crds::spot::Priority::Regular).await;
    let quotas = headroom.unwrap().unwrap().quotas;
    quotas.into_iter().find(|other| other.name == quota).unwrap().usage
}

/// Azure's "Overallocate capacity reservation": two are reserved, three come, one goes, all leave.
#[tokio::test]
async fn the_timeline_of_two_reserved() {
    let fixture = with_reservation(2).await;
    assert_eq!(counts(&fixture.simulation).await, (0, 0, 0, 2));
    for (uid, expected) in [("a", (1, 1, 0, 1)), ("b", (2, 2, 0, 0)), ("c", (3, 3, 1, 0))] {
        fixture.running_as(reserved(uid)).await;
        assert_eq!(counts(&fixture.simulation).await, expected, "{uid}");
    }
    assert_eq!(state_of(&fixture, "c").await, Some(ReservationState::Overallocated));
    power(&fixture, "a", PowerWish::Deallocated).await.unwrap();
    assert_eq!(counts(&fixture.simulation).await, (3, 2, 0, 0), "the two that run are covered");
    assert_eq!(state_of(&fixture, "a").await, Some(ReservationState::Associated));
    assert_eq!(state_of(&fixture, "c").await, Some(ReservationState::Allocated));
    assert_eq!(
        refusal(fixture.simulation.release_reservation(target(GROUP, 1), "small-1").await),
        "OperationNotAllowed: 3 machines are associated with reservation small-1 of capacity reservation group default/reserved, 2 of them with hardware; disassociate or delete them first"
    );
    for uid in ["a", "b", "c"] {
        power(&fixture, uid, PowerWish::Deallocated).await.unwrap();
        draws_on(&fixture, uid, None).await.unwrap();
    }
    assert_eq!(counts(&fixture.simulation).await, (0, 0, 0, 2));
    assert_eq!(
        refusal(fixture.simulation.delete_reservation_group(target(GROUP, 1)).await),
        "OperationNotAllowed: capacity reservation group default/reserved has 1 reservations with 0 machines associated; release them first"
    );
    assert_eq!(fixture.simulation.release_reservation(target(GROUP, 1), "small-1").await, Ok(Deletion::Gone));
    assert_eq!(fixture.simulation.delete_reservation_group(target(GROUP, 1)).await, Ok(Deletion::Gone));
    assert_eq!(fixture.simulation.observe_reservation_group(GROUP).await, Ok(None));
    assert_eq!(usage(&fixture, "regional total").await, 0);
}

/// Azure's example of zones: 40, 20 and 15 are reserved, 75 machines are spread evenly.
#[tokio::test]
async fn seventy_five_machines_over_forty_twenty_and_fifteen() {
    let simulation = Simulation::in_memory_with(RegionFile::embedded().without_latency(), VirtualClock::default());
    let zones = ["1", "2", "3"].map(str::to_owned);
    let location = "eastus".to_owned();
    let wanted = ReservationGroupRequest { location, zones: zones.to_vec(), ..group_request() };
    simulation.put_reservation_group(target(GROUP, 1), wanted).await.unwrap();
    for (zone, capacity) in zones.iter().zip([40, 20, 15]) {
        let wanted = reservation_of("Standard_D2s_v3", Some(zone), capacity);
        simulation.reserve(target(GROUP, 1), wanted).await.unwrap();
    }
    for number in 0..75 {
        let uid = format!("web-{number}");
        let placement =
            Placement { location: "eastus".to_owned(), zone: Some(zones[number % 3].clone()), ..placement(None, None) };
        let wanted = CreateRequest { placement, ..request_of(&uid, reserved_model("Standard_D2s_v3")) };
        simulation.create(wanted).await.unwrap();
    }
    let seen = group(&simulation).await.reservations.into_iter().map(|reservation| {
        let over = in_state(&reservation, ReservationState::Overallocated);
        let guaranteed = i32::try_from(in_state(&reservation, ReservationState::Allocated)).unwrap();
        (reservation.current_capacity - guaranteed, over, reservation.platform_fault_domain_count)
    });
    assert_eq!(seen.collect::<Vec<_>>(), [(15, 0, 3), (0, 5, 3), (0, 10, 3)]);
}

/// Azure's "Modify a capacity reservation": 5 → 10 is refused, the reservation is Failed, 5 mends it.
#[tokio::test]
async fn a_raise_that_fails_leaves_it_failed_until_the_capacity_is_put_back() {
    let fixture = with_reservation(5).await;
    fixture.running_as(reserved("a")).await;
    fixture.advance(100);
    let refused = "ZonalAllocationFailed: 35 more Small are to be reserved, 1 vcpus and 1024 mib each; testland zone 1 has 4 hosts up for standardA with room for 27";
    assert_eq!(refusal(fixture.simulation.reserve(target(GROUP, 2), small(40)).await), refused);
    let failed = first(&fixture.simulation).await;
    assert_eq!((failed.capacity, failed.current_capacity), (40, 5));
    let cause =
        ReservationProvisioning::Failed { code: "ZonalAllocationFailed".to_owned(), message: refused.to_owned() };
    assert_eq!(failed.provisioning, cause);
    assert_eq!(fixture.seconds(failed.provisioning_time), 145);
    fixture.advance(300);
    assert_eq!(refusal(fixture.simulation.reserve(target(GROUP, 2), small(40)).await), refused);
    let again = first(&fixture.simulation).await;
    assert_eq!(fixture.seconds(again.provisioning_time), 445, "whoever waits between tries counts from the last one");
    assert_eq!(again.provisioning, failed.provisioning);
    assert_eq!(state_of(&fixture, "a").await, Some(ReservationState::Allocated), "what runs is left alone");
    assert_eq!(
        refusal(fixture.simulation.create(reserved("b")).await),
        "OperationNotAllowed: reservation small-1 is Failed (ZonalAllocationFailed: 40 asked for, 5 reserved): no machine is allocated from it until its capacity is 5 again"
    );
    fixture.simulation.reserve(target(GROUP, 3), small(5)).await.unwrap();
    assert_eq!(first(&fixture.simulation).await.provisioning, ReservationProvisioning::Succeeded);
    assert_eq!(group(&fixture.simulation).await.generation, 3);
    fixture.running_as(reserved("b")).await;
    assert_eq!(counts(&fixture.simulation).await, (2, 2, 0, 3));
}

#[tokio::test]
async fn a_reservation_is_created_whole_or_not_at_all() {
    let fixture = with_group(REGION).await;
    let table = [
        (
            reservation_of("Small", Some("1"), 33),
            "ZonalAllocationFailed: 33 more Small are to be reserved, 1 vcpus and 1024 mib each; testland zone 1 has 4 hosts up for standardA with room for 32",
        ),
        (
            reservation_of("Large", Some("1"), 4),
            "QuotaExceeded: standardB vcpu quota: limit 24, usage 0, additional required 32, minimum new limit 32",
        ),
        (reservation_of("Rare", Some("2"), 1), "NotSupported: capacity of size Rare cannot be reserved"),
        (
            reservation_of("Rare", Some("1"), 1),
            "SkuNotAvailable: size Rare is not offered in testland zone 1, there are: Gpu, Huge, Large, Medium, Small",
        ),
        (
            reservation_of("Small", None, 1),
            "InvalidParameter: a reservation of capacity reservation group default/reserved must be in one of its zones: 1, 2",
        ),
        (
            reservation_of("Small", Some("3"), 1),
            "InvalidParameter: a reservation of capacity reservation group default/reserved must be in one of its zones: 1, 2",
        ),
        (reservation_of("Small", Some("1"), -1), "InvalidParameter: capacity -1 is out of range: 0 and up"),
    ];
    for (wanted, refused) in table {
        assert_eq!(refusal(fixture.simulation.reserve(target(GROUP, 1), wanted).await), refused);
        assert_eq!(group(&fixture.simulation).await.reservations, []);
        assert_eq!(usage(&fixture, "regional total").await, 0);
    }
    fixture.simulation.reserve(target(GROUP, 1), small(2)).await.unwrap();
    let twin = ReservationRequest { name: "twin".to_owned(), ..small(1) };
    assert_eq!(
        refusal(fixture.simulation.reserve(target(GROUP, 1), twin).await),
        "OperationNotAllowed: reservation small-1 is for Small in zone 1 already; raise its capacity instead"
    );
    let other = ReservationRequest { vm_size: "Medium".to_owned(), ..small(2) };
    assert_eq!(
        refusal(fixture.simulation.reserve(target(GROUP, 1), other).await),
        "PropertyChangeNotAllowed: vmSize and zone of reservation small-1 cannot be changed after creation"
    );
    let moved = ReservationGroupRequest { zones: vec!["1".to_owned()], ..group_request() };
    assert_eq!(
        refusal(fixture.simulation.put_reservation_group(target(GROUP, 1), moved).await),
        "PropertyChangeNotAllowed: location and zones of capacity reservation group default/reserved cannot be changed after creation"
    );
    assert_eq!(
        refusal(fixture.simulation.reserve(target("other", 1), small(1)).await),
        "ResourceNotFound: there is no capacity reservation group other"
    );
}

#[tokio::test]
async fn calls_are_idempotent_fenced_and_journalled() {
    let fixture = with_reservation(2).await;
    let before = group(&fixture.simulation).await;
    fixture.simulation.put_reservation_group(target(GROUP, 1), group_request()).await.unwrap();
    fixture.simulation.reserve(target(GROUP, 1), small(2)).await.unwrap();
    assert_eq!(group(&fixture.simulation).await, before);
    fixture.simulation.reserve(target(GROUP, 5), small(2)).await.unwrap();
    let stale = "stale call for group-uid: generation 4, it has seen 5";
    assert_eq!(refusal(fixture.simulation.reserve(target(GROUP, 4), small(9)).await), stale);
    assert_eq!(refusal(fixture.simulation.release_reservation(target(GROUP, 4), "small-1").await), stale);
    assert_eq!(refusal(fixture.simulation.delete_reservation_group(target(GROUP, 4)).await), stale);
    assert_eq!(refusal(fixture.simulation.put_reservation_group(target(GROUP, 4), group_request()).await), stale);
    assert_eq!(fixture.simulation.release_reservation(target(GROUP, 5), "none").await, Ok(Deletion::Gone));
    let journal = fixture.simulation.journal().unwrap();
    let told = journal.iter().map(|entry| (entry.owner.as_str(), entry.detail.as_str())).take(2);
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            ("default/CapacityReservationGroup/reserved", "in testland zones 1, 2 shared with 0 namespaces"),
            ("default/CapacityReservationGroup/reserved", "small-1: 2 x Small in zone 1"),
        ]
    );
}

/// What running machines do when a reservation of 0 is raised: Azure's way to convert them.
#[tokio::test]
async fn running_machines_come_under_a_reservation_of_none_that_is_then_raised() {
    let fixture = Fixture::new();
    for number in 0..32 {
        fixture.running_as(CreateRequest { ..request(&format!("m{number:02}")) }).await;
    }
    fixture.simulation.put_reservation_group(target(GROUP, 1), group_request()).await.unwrap();
    fixture.simulation.reserve(target(GROUP, 1), small(0)).await.unwrap();
    for number in 0..32 {
        draws_on(&fixture, &format!("m{number:02}"), Some(reference(None))).await.unwrap();
    }
    assert_eq!(counts(&fixture.simulation).await, (32, 32, 32, 0));
    assert_eq!(usage(&fixture, "regional total").await, 32, "as before");
    // The zone is full: the room of each machine becomes its slot.
    fixture.simulation.reserve(target(GROUP, 1), small(32)).await.unwrap();
    assert_eq!(counts(&fixture.simulation).await, (32, 32, 0, 0));
    assert_eq!(usage(&fixture, "regional total").await, 32);
    assert!(fixture.simulation.reserve(target(GROUP, 1), small(33)).await.is_err());
}

#[tokio::test]
async fn a_reduction_always_succeeds_and_uncovers_the_youngest() {
    let fixture = with_reservation(4).await;
    for uid in ["c", "b", "a"] {
        fixture.running_as(reserved(uid)).await;
    }
    fixture.simulation.reserve(target(GROUP, 2), small(1)).await.unwrap();
    assert_eq!(counts(&fixture.simulation).await, (3, 3, 2, 0));
    assert_eq!(state_of(&fixture, "c").await, Some(ReservationState::Allocated), "the oldest allocation");
    assert_eq!(usage(&fixture, "regional total").await, 3);
    assert!(power(&fixture, "c", PowerWish::Deallocated).await.is_ok());
    assert_eq!(state_of(&fixture, "b").await, Some(ReservationState::Allocated), "the next oldest");
    assert_eq!(state_of(&fixture, "a").await, Some(ReservationState::Overallocated));
    // Who comes back is the youngest.
    power(&fixture, "c", PowerWish::Running).await.unwrap();
    assert_eq!(state_of(&fixture, "c").await, Some(ReservationState::Overallocated));
}

/// A reservation counts for its capacity or for what is associated, whichever is more; the excess needs quota.
#[tokio::test]
async fn quota_counts_what_is_reserved_or_associated() {
    let fixture = with_group(REGION).await;
    fixture.simulation.reserve(target(GROUP, 1), reservation_of("Large", Some("1"), 2)).await.unwrap();
    assert_eq!(usage(&fixture, "standardB").await, 16);
    let large = |uid: &str| request_of(uid, reserved_model("Large"));
    for (uid, used) in [("a", 16), ("b", 16), ("c", 24)] {
        fixture.running_as(large(uid)).await;
        assert_eq!(usage(&fixture, "standardB").await, used, "{uid}");
    }
    let exceeded =
        "QuotaExceeded: standardB vcpu quota: limit 24, usage 24, additional required 8, minimum new limit 32";
    assert_eq!(refusal(fixture.simulation.create(large("d")).await), exceeded);
    power(&fixture, "a", PowerWish::Deallocated).await.unwrap();
    assert_eq!(usage(&fixture, "standardB").await, 24, "a deallocated machine that is associated counts");
    assert_eq!(refusal(fixture.simulation.create(large("d")).await), exceeded);
    draws_on(&fixture, "a", None).await.unwrap();
    assert_eq!(usage(&fixture, "standardB").await, 16, "one that has left does not");
    assert_eq!(
        refusal(fixture.simulation.reserve(target(GROUP, 1), reservation_of("Large", Some("1"), 4)).await),
        "QuotaExceeded: standardB vcpu quota: limit 24, usage 16, additional required 16, minimum new limit 32"
    );
    assert_eq!(usage(&fixture, "standardB").await, 16);
}

#[tokio::test]
async fn what_is_set_aside_is_never_promised_twice() {
    let fixture = with_reservation(30).await;
    assert_eq!(usage(&fixture, "regional total").await, 30);
    fixture.simulation.create(request("a")).await.unwrap();
    fixture.simulation.create(request("b")).await.unwrap();
    assert_eq!(
        refusal(fixture.simulation.create(request("c")).await),
        "ZonalAllocationFailed: Small needs 1 vcpus and 1024 mib on one host, testland zone 1 has 4 hosts up for standardA with 0 vcpus free, at most 0 on one"
    );
    for number in 0..30 {
        fixture.simulation.create(reserved(&format!("m{number}"))).await.unwrap();
    }
    assert_eq!(counts(&fixture.simulation).await, (30, 30, 0, 0));
    assert!(refusal(fixture.simulation.create(reserved("over")).await).starts_with("ZonalAllocationFailed: "));
    fixture.simulation.reserve(target(GROUP, 1), small(29)).await.unwrap();
    fixture.finish();
    power(&fixture, "m29", PowerWish::Deallocated).await.unwrap();
    assert!(fixture.simulation.create(request("c")).await.is_ok(), "its room was general");
    assert!(power(&fixture, "m29", PowerWish::Running).await.is_err(), "nothing was promised to it any more");
}

#[tokio::test]
async fn a_machine_takes_a_slot_of_its_fault_domain_or_a_slot_moves_there() {
    let fixture = with_reservation(4).await;
    for (uid, domain) in [("a", 0), ("b", 0), ("c", 0), ("d", 1), ("e", 1)] {
        fixture.simulation.create(in_domain(uid, domain)).await.unwrap();
    }
    // Two slots in each domain: the third of domain 0 takes general room there, for a slot of domain 1 that is given up.
    fixture.finish();
    for (uid, state) in
        [("a", "Allocated"), ("b", "Allocated"), ("c", "Allocated"), ("d", "Allocated"), ("e", "Overallocated")]
    {
        let machine = fixture.machine(uid).await;
        assert_eq!(format!("{:?}", machine.capacity_reservation.unwrap().state), state, "{uid}");
        assert!(machine.host.unwrap().contains(&format!("fd{}", machine.placement.platform_fault_domain.unwrap())));
    }
    let places = fixture.simulation.headroom("testland", "Small", scaleset_crds::spot::Priority::Regular).await;
    let free: Vec<i64> = places.unwrap().unwrap().places.iter().map(|room| room.machines).collect();
    assert_eq!(free, [13, 14, 16, 16], "no room is lost");
}

#[tokio::test]
async fn slots_of_a_host_that_is_down_move_away() {
    let fixture = with_reservation(2).await;
    let outage =
        Outage { location: "testland".to_owned(), zone: Some("1".to_owned()), fault_domain: Some(0), host: None };
    fixture.simulation.set_outage("rack", outage).await.unwrap();
    for uid in ["a", "b", "c"] {
        fixture.running_as(reserved(uid)).await;
    }
    assert_eq!(counts(&fixture.simulation).await, (3, 3, 1, 0));
    fixture.simulation.clear_outage("rack").await.unwrap();
    fixture.simulation.reserve(target(GROUP, 1), small(32)).await.unwrap();
    assert_eq!(counts(&fixture.simulation).await, (3, 3, 0, 29));
}

#[tokio::test]
async fn restarts_moves_and_deletions_keep_slots_where_they_belong() {
    let fixture = with_reservation(1).await;
    let a = fixture.running_as(reserved("a")).await;
    fixture.running_as(reserved("b")).await;
    for (number, action) in
        [OperationAction::Restart(EventApproval::Automatic), OperationAction::Redeploy(EventApproval::Automatic)]
            .into_iter()
            .enumerate()
    {
        let operation = OperationRequest { uid: format!("operation-{number}"), action };
        fixture.simulation.perform(target("a", 1), operation).await.unwrap();
        fixture.finish();
        assert_eq!(state_of(&fixture, "a").await, Some(ReservationState::Allocated), "operation {number}");
        assert_eq!(state_of(&fixture, "b").await, Some(ReservationState::Overallocated));
    }
    assert_ne!(fixture.machine("a").await.host, a.host);
    power(&fixture, "a", PowerWish::Stopped).await.unwrap();
    assert_eq!(state_of(&fixture, "a").await, Some(ReservationState::Allocated), "a stopped machine holds hardware");
    // A deletion gives the slot back when it is over.
    fixture.simulation.delete(target("a", 1), Shutdown::Graceful).await.unwrap();
    assert_eq!(state_of(&fixture, "b").await, Some(ReservationState::Overallocated));
    fixture.advance(9);
    assert_eq!(counts(&fixture.simulation).await, (2, 2, 1, 0));
    fixture.advance(1);
    assert_eq!(counts(&fixture.simulation).await, (1, 1, 0, 0));
    fixture.simulation.vanish("b").await.unwrap();
    assert_eq!(counts(&fixture.simulation).await, (0, 0, 0, 1));
}
