//! Random histories of reservations: what must hold at every step, judged from outside with nothing of the simulation's
//! own arithmetic; and that a simulation that is closed and opened again, at any instant, goes on as one that was not.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::reservation::ReservationState;
use scaleset_crds::scheduled_event::EventApproval;
use scaleset_crds::vocabulary::{PowerState, PowerWish};
use scaleset_hardware::sim::control::router;
use scaleset_hardware::sim::{Outage, RegionFile, Simulation, VirtualClock};
use scaleset_hardware::{
    CreateRequest, Hardware, HardwareError, Inventory, Machine, OperationAction, OperationRequest, Placement,
    Provisioning, ReservationGroup, ReservationProvisioning, Shutdown, UpdateMethod,
};
use serde_json::Value;
use tower::ServiceExt;

use crate::durable;
use crate::fixture::{REGION, model, placement, request_of, target};
use crate::reservation::{GROUP, group_request, reference, reservation_of};

const SIZES: [(&str, i64); 3] = [("Small", 1), ("Medium", 4), ("Large", 8)];
/// Most machines are alike, so that they compete.
const USUAL_SIZES: [&str; 6] = ["Small", "Small", "Small", "Small", "Medium", "Large"];
const MACHINES: u64 = 10;

/// Draws that follow from a seed (splitmix64).
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Create { uid: String, size: &'static str, zone: &'static str, domain: Option<i32>, reserved: bool },
    Power { uid: String, wish: PowerWish },
    Update { uid: String, size: &'static str, reserved: bool, method: UpdateMethod },
    Redeploy { uid: String, number: u64 },
    Delete { uid: String },
    Vanish { uid: String },
    Reserve { size: &'static str, zone: &'static str, capacity: i32 },
    Release { size: &'static str, zone: &'static str },
    Outage { domain: i32 },
    NoOutage,
    Wait { seconds: u64 },
}

fn step(draws: &mut Draws, number: u64) -> Step {
    let uid = format!("m{:02}", draws.below(MACHINES));
    let size = draws.one_of(&USUAL_SIZES);
    let zone = draws.one_of(&["1", "1", "1", "2"]);
    let reserved = draws.below(6) > 0;
    match draws.below(24) {
        0..=5 => Step::Create { uid, size, zone, domain: draws.one_of(&[None, None, Some(0), Some(1)]), reserved },
        6..=9 => {
            let wish = draws.one_of(&[PowerWish::Running, PowerWish::Deallocated, PowerWish::Stopped]);
            Step::Power { uid, wish }
        }
        10..=12 => {
            let method = draws.one_of(&[UpdateMethod::Online, UpdateMethod::Restart]);
            Step::Update { uid, size, reserved, method }
        }
        13 => Step::Redeploy { uid, number },
        14..=15 => Step::Delete { uid },
        16 => Step::Vanish { uid },
        17..=18 => Step::Reserve { size, zone, capacity: i32::try_from(draws.below(5)).unwrap() },
        19 => Step::Release { size, zone },
        20 if draws.below(2) == 0 => Step::Outage { domain: draws.one_of(&[0, 1]) },
        20 => Step::NoOutage,
        _ => Step::Wait { seconds: draws.below(30) },
    }
}

fn wanted(size: &str, reserved: bool) -> VirtualMachineModel {
    VirtualMachineModel {
        vm_size: size.to_owned(),
        capacity_reservation_group_ref: reserved.then(|| reference(None)),
        ..model()
    }
}

async fn take(simulation: &Simulation, step: &Step) -> Result<(), HardwareError> {
    let generation = |uid: &str| target(uid, 1);
    match step.clone() {
        Step::Create { uid, size, zone, domain, reserved } => {
            let placement = Placement { ..placement(Some(zone), domain) };
            let request = CreateRequest { placement, ..request_of(&uid, wanted(size, reserved)) };
            simulation.create(request).await.map(drop)
        }
        Step::Power { uid, wish } => simulation.set_power(generation(&uid), wish, Shutdown::Graceful).await.map(drop),
        Step::Update { uid, size, reserved, method } => {
            let model = Arc::new(wanted(size, reserved));
            simulation.update(generation(&uid), "revision-2", model, method).await.map(drop)
        }
        Step::Redeploy { uid, number } => {
            let operation = OperationRequest {
                uid: number.to_string(),
                action: OperationAction::Redeploy(EventApproval::Automatic),
            };
            simulation.perform(generation(&uid), operation).await.map(drop)
        }
        Step::Delete { uid } => simulation.delete(generation(&uid), Shutdown::Graceful).await.map(drop),
        Step::Vanish { uid } => {
            simulation.vanish(&uid).await.ok();
            Ok(())
        }
        Step::Reserve { size, zone, capacity } => {
            simulation.reserve(target(GROUP, 1), reservation_of(size, Some(zone), capacity)).await
        }
        Step::Release { size, zone } => {
            let name = reservation_of(size, Some(zone), 0).name;
            simulation.release_reservation(target(GROUP, 1), &name).await.map(drop)
        }
        Step::Outage { domain } => {
            let outage = Outage { location: "testland".to_owned(), zone: None, fault_domain: Some(domain), host: None };
            simulation.set_outage("rack", outage).await.unwrap();
            Ok(())
        }
        Step::NoOutage => {
            simulation.clear_outage("rack").await.ok();
            Ok(())
        }
        Step::Wait { seconds: _ } => Ok(()),
    }
}

type Seen = (Inventory, ReservationGroup);

async fn seen(simulation: &Simulation) -> Seen {
    let group = simulation.observe_reservation_group(GROUP).await.unwrap().unwrap();
    (simulation.observe_all().await.unwrap(), group)
}

async fn region(simulation: &Simulation) -> Value {
    let request = Request::builder().uri("/regions/testland").body(Body::empty()).unwrap();
    let response = router(simulation.clone()).oneshot(request).await.unwrap();
    serde_json::from_slice(&to_bytes(response.into_body(), 1 << 20).await.unwrap()).unwrap()
}

fn vcpus(size: &str) -> i64 {
    SIZES.iter().find(|(name, _)| *name == size).unwrap().1
}

/// Everything that must hold whatever has happened.
fn judge(history: &str, (inventory, group): &Seen, region: &Value) {
    let machines: Vec<&Machine> = inventory.machines.values().collect();
    let (mut set_aside, mut counted) = (0, 0);
    let mut listed: BTreeMap<&str, (&str, ReservationState)> = BTreeMap::new();
    for reservation in &group.reservations {
        let of = |state| i64::try_from(reservation.machines.iter().filter(|it| it.state == state).count()).unwrap();
        let (guaranteed, over) = (of(ReservationState::Allocated), of(ReservationState::Overallocated));
        let current = i64::from(reservation.current_capacity);
        let name = &reservation.name;
        assert!(guaranteed <= current, "{history}: {name} guarantees {guaranteed} of {current}");
        assert!(over == 0 || guaranteed == current, "{history}: {name} has a free slot and an overallocated machine");
        match reservation.provisioning {
            ReservationProvisioning::Succeeded => assert_eq!(reservation.capacity, reservation.current_capacity),
            ReservationProvisioning::Failed { .. } => assert!(reservation.capacity > reservation.current_capacity),
        }
        let associated = i64::try_from(reservation.machines.len()).unwrap();
        set_aside += (current - guaranteed) * vcpus(&reservation.vm_size);
        counted += current.max(associated) * vcpus(&reservation.vm_size);
        for machine in &reservation.machines {
            let told = inventory.machines.get(&machine.uid).unwrap();
            assert_eq!(told.model.vm_size, reservation.vm_size, "{history}: {}", machine.uid);
            assert_eq!(told.placement.zone, reservation.zone, "{history}: {}", machine.uid);
            let twice = listed.insert(&machine.uid, (name, machine.state));
            assert_eq!(twice, None, "{history}: {} is in two reservations", machine.uid);
        }
    }
    let mut used: BTreeMap<&str, i64> = BTreeMap::new();
    for machine in &machines {
        let own = machine.capacity_reservation.as_ref().map(|own| (own.reservation.as_str(), own.state));
        assert_eq!(own, listed.get(machine.uid.as_str()).copied(), "{history}: {} and its group differ", machine.uid);
        let associated = machine.model.capacity_reservation_group_ref.is_some();
        assert_eq!(associated, own.is_some(), "{history}: {}", machine.uid);
        if let Some((_, state)) = own {
            let without = state == ReservationState::Associated;
            assert_eq!(without, machine.host.is_none(), "{history}: {} {state:?}", machine.uid);
        }
        if let Some(host) = &machine.host {
            *used.entry(host).or_default() += vcpus(&machine.model.vm_size);
            counted += if own.is_none() { vcpus(&machine.model.vm_size) } else { 0 };
        }
    }
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let mut told_set_aside = 0;
    for host in region["hosts"].as_array().unwrap() {
        let name = host["name"].as_str().unwrap();
        let (free, aside) = (number(&host["freeVcpus"]), number(&host["setAsideVcpus"]));
        let used = used.get(name).copied().unwrap_or(0);
        assert!(free >= 0 && aside >= 0, "{history}: {name} has {free} free, {aside} set aside");
        assert_eq!(used + aside + free, number(&host["vcpus"]), "{history}: {name} used {used} aside {aside}");
        told_set_aside += aside;
    }
    assert_eq!(told_set_aside, set_aside, "{history}: what is reserved and not used is set aside");
    assert_eq!(number(&region["quotas"][0]["usage"]), counted, "{history}: quota");
}

/// Whether the group promises this machine that it can start now.
fn is_promised((inventory, group): &Seen, uid: &str, outage: bool) -> bool {
    let Some(machine) = inventory.machines.get(uid) else { return false };
    let settled = matches!(machine.provisioning, Provisioning::Succeeded | Provisioning::Failed { .. });
    let name = machine.capacity_reservation.as_ref().map(|own| own.reservation.as_str());
    let reservation = group.reservations.iter().find(|reservation| Some(reservation.name.as_str()) == name);
    let free = reservation.is_some_and(|reservation| {
        let held = reservation.machines.iter().filter(|it| it.state == ReservationState::Allocated).count();
        let succeeded = reservation.provisioning == ReservationProvisioning::Succeeded;
        succeeded && usize::try_from(reservation.current_capacity).unwrap() > held
    });
    let anywhere = machine.placement.platform_fault_domain.is_none();
    settled && free && anywhere && !outage && machine.power == PowerState::Deallocated
}

#[tokio::test]
async fn what_is_reserved_is_conserved_whatever_happens() {
    for seed in 0..100 {
        let clock = VirtualClock::default();
        let region_file = RegionFile::parse("the test's", REGION).unwrap();
        let simulation = Simulation::in_memory_with(region_file, clock.clone());
        simulation.put_reservation_group(target(GROUP, 1), group_request()).await.unwrap();
        let mut draws = Draws(seed);
        let (mut outage, mut history) = (false, format!("seed {seed}"));
        for number in 0..60 {
            let next = step(&mut draws, number);
            history = format!("{history}\n{next:?}");
            let before = seen(&simulation).await;
            let promised =
                matches!(&next, Step::Power { uid, wish: PowerWish::Running } if is_promised(&before, uid, outage));
            let outcome = take(&simulation, &next).await;
            assert!(!promised || outcome.is_ok(), "{history}: a free slot was refused: {outcome:?}");
            let after = seen(&simulation).await;
            match (&outcome, &next) {
                (Err(_), Step::Reserve { .. }) | (Ok(()), _) => {}
                (Err(error), _) => assert!(before == after, "{history}: refused, and changed: {error}"),
            }
            judge(&history, &after, &region(&simulation).await);
            outage = matches!(next, Step::Outage { .. }) || (outage && !matches!(next, Step::NoOutage));
            if let Step::Wait { seconds } = next {
                clock.advance(Duration::from_secs(seconds));
                judge(&history, &seen(&simulation).await, &region(&simulation).await);
            }
        }
    }
}

/// The one is looked at after each step, the other is closed and opened again at some steps and looked at then only.
#[tokio::test]
async fn a_simulation_that_is_opened_again_goes_on_as_if_it_had_not_been() {
    for seed in 0..25 {
        let directory = tempfile::tempdir().unwrap();
        let path: &Path = &directory.path().join("hardware.redb");
        let (clock, other_clock) = (VirtualClock::default(), VirtualClock::default());
        let region_file = RegionFile::parse("the test's", REGION).unwrap();
        let steady = Simulation::in_memory_with(region_file, clock.clone());
        let mut broken = durable::open(path, &other_clock);
        for simulation in [&steady, &broken] {
            simulation.put_reservation_group(target(GROUP, 1), group_request()).await.unwrap();
        }
        let mut draws = Draws(1_000 + seed);
        let mut history = format!("seed {seed}");
        for number in 0..60 {
            let next = step(&mut draws, number);
            history = format!("{history}\n{next:?}");
            let outcomes = (take(&steady, &next).await, take(&broken, &next).await);
            assert_eq!(outcomes.0, outcomes.1, "{history}");
            if let Step::Wait { seconds } = next {
                for _ in 0..seconds {
                    clock.advance(Duration::from_secs(1));
                    steady.settle();
                }
                other_clock.advance(Duration::from_secs(seconds));
            }
            if draws.below(4) == 0 {
                drop(broken);
                broken = durable::open(path, &other_clock);
                assert!(seen(&steady).await == seen(&broken).await, "{history}\nopened again");
                let hosts = (region(&steady).await["hosts"].take(), region(&broken).await["hosts"].take());
                assert_eq!(hosts.0, hosts.1, "{history}\nopened again");
            }
        }
    }
}

/// `b` gives its slot back before `a`, and `x` gets the slot of `b`, whether somebody looks in between or not, also when the
/// process was down meanwhile.
#[tokio::test]
async fn slots_change_hands_in_the_order_in_which_they_were_given_back() {
    let mut ends = Vec::new();
    for looks in ["at each second", "late", "after a restart"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hardware.redb");
        let clock = VirtualClock::default();
        let mut simulation = durable::open(&path, &clock);
        simulation.put_reservation_group(target(GROUP, 1), group_request()).await.unwrap();
        simulation.reserve(target(GROUP, 1), reservation_of("Small", Some("1"), 2)).await.unwrap();
        for (uid, domain) in [("a", 0), ("b", 1), ("x", 0)] {
            let placement = placement(Some("1"), Some(domain));
            let request = CreateRequest { placement, ..request_of(uid, wanted("Small", true)) };
            simulation.create(request).await.unwrap();
        }
        clock.advance(Duration::from_mins(1));
        simulation.set_power(target("a", 1), PowerWish::Deallocated, Shutdown::Graceful).await.unwrap();
        simulation.delete(target("b", 1), Shutdown::Graceful).await.unwrap();
        match looks {
            "at each second" => {
                for _ in 0..20 {
                    clock.advance(Duration::from_secs(1));
                    simulation.settle();
                }
            }
            "late" => clock.advance(Duration::from_secs(20)),
            _ => {
                drop(simulation);
                clock.advance(Duration::from_secs(20));
                simulation = durable::open(&path, &clock);
            }
        }
        let told = region(&simulation).await;
        let hosts = told["hosts"].as_array().unwrap().iter();
        let set_aside = hosts.filter(|host| host["setAsideVcpus"] == 1).map(|host| host["name"].clone());
        ends.push(set_aside.collect::<Vec<_>>());
        let (inventory, _) = seen(&simulation).await;
        let state = inventory.machines["x"].capacity_reservation.as_ref().map(|own| own.state);
        assert_eq!(state, Some(ReservationState::Allocated), "{looks}");
    }
    assert_eq!(ends[0], ["testland-z1-fd0-general-00"], "the slot of a is free, the one of b has moved to x");
    assert_eq!((&ends[1], &ends[2]), (&ends[0], &ends[0]));
}
