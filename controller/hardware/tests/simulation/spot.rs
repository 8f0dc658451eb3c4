//! Spot machines: price, pressure, notice, eviction, quota, and what survives of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use scaleset_crds::VirtualMachineModel;
use scaleset_crds::spot::{EvictionPolicy, EvictionReason, MaxPrice, Price, Priority, SpotTerms};
use scaleset_crds::vocabulary::{PowerState, PowerWish};
use scaleset_hardware::sim::{Simulation, SpotPressure, VirtualClock};
use scaleset_hardware::{
    CreateRequest, Deletion, Eviction, ExtensionState, Hardware, Machine, OperationAction, OperationRequest,
    Provisioning, Shutdown, UpdateMethod,
};

use crate::durable::open;
use crate::fixture::{Fixture, extension, model, refusal, request_of, target};

fn spot_model(eviction_policy: EvictionPolicy, max_price: &str) -> VirtualMachineModel {
    let max_price: MaxPrice = max_price.parse().unwrap();
    VirtualMachineModel { spot: Some(SpotTerms { eviction_policy, max_price }), ..model() }
}

fn spot(uid: &str, policy: EvictionPolicy, max_price: &str) -> CreateRequest {
    request_of(uid, spot_model(policy, max_price))
}

fn price(text: &str) -> Price {
    text.parse().unwrap()
}

fn pressure(evict: Option<u32>) -> SpotPressure {
    SpotPressure { location: "testland".to_owned(), zone: Some("1".to_owned()), vm_size: None, evict }
}

async fn start(simulation: &Simulation, uid: &str) -> Result<PowerState, scaleset_hardware::HardwareError> {
    let started = simulation.set_power(target(uid, 1), PowerWish::Running, Shutdown::Graceful).await;
    started.map(|machine| machine.power)
}

#[tokio::test]
async fn a_price_above_the_maximum_evicts_after_thirty_seconds_and_keeps_out() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    let dear = simulation.create(spot("dear", EvictionPolicy::Deallocate, "0.01")).await;
    assert_eq!(refusal(dear), "SpotPriceGreaterThanProvidedMaxPrice: Small costs 0.02 in testland, maxPrice is 0.01");
    fixture.running_as(spot("a", EvictionPolicy::Deallocate, "0.02")).await;
    fixture.running_as(spot("any", EvictionPolicy::Deallocate, "-1")).await;

    simulation.set_spot_price("testland", "Small", Some(price("0.021"))).await.unwrap();
    let told = fixture.machine("a").await;
    let notice = told.preempt_notice.clone().expect("it is told before");
    assert_eq!((told.power, told.provisioning.clone()), (PowerState::Running, Provisioning::Succeeded));
    assert_eq!(
        (notice.not_before, notice.reason),
        (simulation.now() + jiff::SignedDuration::from_secs(30), EvictionReason::Price)
    );
    assert_eq!(fixture.machine("any").await.preempt_notice, None, "it pays any price");

    fixture.advance(29);
    assert_eq!(fixture.machine("a").await.power, PowerState::Running);
    fixture.advance(1);
    assert_eq!(fixture.machine("a").await.power, PowerState::Deallocating);
    fixture.finish();
    let gone = fixture.machine("a").await;
    let eviction = Eviction { time: notice.not_before, reason: EvictionReason::Price };
    assert_eq!((gone.power, gone.eviction, gone.preempt_notice), (PowerState::Deallocated, Some(eviction), None));
    assert_eq!((gone.host, gone.provisioning), (None, Provisioning::Succeeded));

    let refused = refusal(start(simulation, "a").await);
    assert_eq!(refused, "SpotPriceGreaterThanProvidedMaxPrice: Small costs 0.021 in testland, maxPrice is 0.02");
    assert_eq!(fixture.machine("a").await.eviction, Some(eviction), "a refused start changes nothing");
    simulation.set_spot_price("testland", "Small", None).await.unwrap();
    assert_eq!(start(simulation, "a").await, Ok(PowerState::Starting));
    assert_eq!(fixture.machine("a").await.eviction, None);
}

#[tokio::test]
async fn an_eviction_that_deletes_is_told_until_somebody_asks_for_the_deletion() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    let before = fixture.running_as(spot("a", EvictionPolicy::Delete, "-1")).await;
    simulation.set_spot_pressure("need", pressure(None)).await.unwrap();
    fixture.finish();
    let machine = fixture.machine("a").await;
    assert_eq!((machine.provisioning, machine.host), (Provisioning::Deleting, None));
    assert_eq!(machine.eviction.map(|eviction| eviction.reason), Some(EvictionReason::Capacity));

    simulation.clear_spot_pressure("need").await.unwrap();
    let next = fixture.running_as(spot("b", EvictionPolicy::Delete, "-1")).await;
    assert_eq!(next.private_ip_address, before.private_ip_address, "its address was free again");
    assert_eq!(simulation.delete(target("a", 1), Shutdown::Graceful).await, Ok(Deletion::Gone));
    assert_eq!(simulation.observe("a").await, Ok(None));
}

#[tokio::test]
async fn one_that_is_evicted_while_it_comes_up_runs_its_extensions_when_it_is_started() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    let model =
        VirtualMachineModel { extensions: vec![extension("app", &[])], ..spot_model(EvictionPolicy::Deallocate, "-1") };
    simulation.create(request_of("a", model)).await.unwrap();
    simulation.set_spot_pressure("need", pressure(None)).await.unwrap();
    fixture.finish();
    let evicted = fixture.machine("a").await;
    let state = |machine: &Machine| machine.extensions["app"];
    assert_eq!((evicted.power, evicted.os_name.clone()), (PowerState::Deallocated, None));
    assert_eq!(state(&evicted), ExtensionState::Transitioning);
    simulation.clear_spot_pressure("need").await.unwrap();
    assert_eq!(start(simulation, "a").await, Ok(PowerState::Starting));
    fixture.finish();
    let runs = fixture.machine("a").await;
    assert_eq!((runs.provisioning.clone(), state(&runs)), (Provisioning::Succeeded, ExtensionState::Succeeded));
    assert!(runs.os_name.is_some(), "its guest has booted");
}

#[tokio::test]
async fn pressure_evicts_the_oldest_and_lets_nobody_in() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    fixture.running("regular").await;
    for uid in ["b", "a"] {
        fixture.running_as(spot(uid, EvictionPolicy::Deallocate, "-1")).await;
    }
    simulation.set_spot_pressure("need", pressure(Some(1))).await.unwrap();
    fixture.finish();
    let evicted = |uid: &'static str| async { fixture.machine(uid).await.eviction.is_some() };
    assert_eq!((evicted("b").await, evicted("a").await, evicted("regular").await), (true, false, false));
    let refused = refusal(simulation.create(spot("c", EvictionPolicy::Deallocate, "-1")).await);
    assert_eq!(
        refused,
        "ZonalAllocationFailed: no Spot capacity for Small in testland zone 1: it is needed by others (need)"
    );
    assert_eq!(refusal(start(simulation, "b").await), refused);
    fixture.running("another").await;
    simulation.clear_spot_pressure("need").await.unwrap();
    assert_eq!(start(simulation, "b").await, Ok(PowerState::Starting));
}

#[tokio::test]
async fn spot_machines_have_a_quota_of_their_own_which_deallocated_ones_keep() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    for uid in ["a", "b", "c"] {
        fixture.running_as(spot(uid, EvictionPolicy::Deallocate, "-1")).await;
    }
    simulation.set_power(target("a", 1), PowerWish::Deallocated, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    let refused = refusal(simulation.create(spot("d", EvictionPolicy::Deallocate, "-1")).await);
    assert_eq!(refused, "QuotaExceeded: spot vcpu quota: limit 3, usage 3, additional required 1, minimum new limit 4");
    assert_eq!(start(simulation, "a").await, Ok(PowerState::Starting), "it has kept its part");
    fixture.running("regular").await;
    simulation.delete(target("b", 1), Shutdown::Graceful).await.unwrap();
    fixture.finish();
    fixture.running_as(spot("d", EvictionPolicy::Deallocate, "-1")).await;
}

#[tokio::test]
async fn a_size_without_a_spot_price_is_not_offered_as_one() {
    let fixture = Fixture::new();
    let large = VirtualMachineModel { vm_size: "Large".to_owned(), ..spot_model(EvictionPolicy::Delete, "-1") };
    let refused = refusal(fixture.simulation.create(request_of("a", large)).await);
    assert_eq!(refused, "AzureSpotIsNotSupportedForThisVMSize: size Large is not offered as Spot VM");
}

#[tokio::test]
async fn a_simulated_eviction_is_done_once_and_on_spot_machines_only() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    fixture.running("regular").await;
    fixture.running_as(spot("a", EvictionPolicy::Deallocate, "-1")).await;
    let ask = |uid: &'static str| {
        let operation = OperationRequest { uid: "o".to_owned(), action: OperationAction::SimulateEviction };
        simulation.perform(target(uid, 1), operation)
    };
    assert_eq!(
        refusal(ask("regular").await),
        "OperationNotAllowed: a machine of priority Regular cannot be evicted, only Spot ones are"
    );
    let told = ask("a").await.unwrap();
    fixture.advance(10);
    assert_eq!(ask("a").await.unwrap().preempt_notice, told.preempt_notice, "the same request changes nothing");
    fixture.finish();
    let machine = fixture.machine("a").await;
    assert_eq!(machine.eviction.map(|eviction| eviction.reason), Some(EvictionReason::Simulated));
    ask("a").await.unwrap();
    fixture.finish();
    assert_eq!(fixture.machine("a").await, machine);
}

#[tokio::test]
async fn who_wishes_an_evicted_machine_down_has_taken_it_over() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    fixture.running_as(spot("a", EvictionPolicy::Deallocate, "-1")).await;
    simulation.set_spot_pressure("need", pressure(None)).await.unwrap();
    fixture.finish();
    simulation.set_power(target("a", 2), PowerWish::Deallocated, Shutdown::Graceful).await.unwrap();
    let machine = fixture.machine("a").await;
    assert_eq!((machine.eviction, machine.power), (None, PowerState::Deallocated));
}

#[tokio::test]
async fn another_maximum_price_is_taken_only_while_the_machine_is_deallocated() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    fixture.running_as(spot("a", EvictionPolicy::Deallocate, "0.02")).await;
    let wanted = Arc::new(spot_model(EvictionPolicy::Deallocate, "0.05"));
    let dearer = wanted.spot.clone();
    for method in [UpdateMethod::Online, UpdateMethod::Restart] {
        simulation.update(target("a", 1), "revision-2", Arc::clone(&wanted), method).await.unwrap();
        fixture.finish();
        assert_ne!(fixture.machine("a").await.model.spot, dearer, "{method:?}");
    }
    simulation.reimage(target("a", 1), "revision-2", Arc::clone(&wanted)).await.unwrap();
    fixture.finish();
    let reimaged = fixture.machine("a").await;
    assert_ne!(reimaged.model.spot, dearer);
    let again = simulation.reimage(target("a", 1), "revision-2", Arc::clone(&wanted)).await.unwrap();
    assert_eq!(again.disks, reimaged.disks, "the same call again changes nothing");

    simulation.set_power(target("a", 1), PowerWish::Deallocated, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    simulation.update(target("a", 1), "revision-2", wanted, UpdateMethod::Online).await.unwrap();
    assert_eq!(fixture.machine("a").await.model.spot, dearer);
}

#[tokio::test]
async fn headroom_tells_the_price_and_has_no_place_under_a_pressure() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    let left = async |priority: Priority| {
        let headroom = simulation.headroom("testland", "Small", priority).await.unwrap().expect("it is offered");
        let empty = headroom.places.iter().filter(|room| room.machines == 0).map(|room| room.zone.clone());
        (headroom.spot_price, empty.collect::<BTreeSet<Option<String>>>())
    };
    let nowhere = BTreeSet::new();
    assert_eq!(left(Priority::Spot).await, (Some(price("0.02")), nowhere.clone()));
    simulation.set_spot_price("testland", "Small", Some(price("0.03"))).await.unwrap();
    simulation.set_spot_pressure("need", pressure(Some(0))).await.unwrap();
    assert_eq!(left(Priority::Spot).await, (Some(price("0.03")), [Some("1".to_owned())].into()));
    assert_eq!(left(Priority::Regular).await, (None, nowhere));
}

/// Opens the store at `path` anew, as after a kill.
fn reopened(path: &Path, clock: &VirtualClock) -> Simulation {
    let simulation = open(path, clock);
    simulation.settle();
    simulation
}

#[tokio::test]
async fn an_eviction_goes_on_over_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hardware.redb");
    let clock = VirtualClock::default();
    let simulation = open(&path, &clock);
    for (uid, policy) in [("a", EvictionPolicy::Deallocate), ("b", EvictionPolicy::Delete)] {
        simulation.create(spot(uid, policy, "0.02")).await.unwrap();
    }
    clock.advance(std::time::Duration::from_mins(1));
    simulation.set_spot_price("testland", "Small", Some(price("0.03"))).await.unwrap();
    simulation.set_spot_pressure("need", pressure(Some(0))).await.unwrap();
    let told = simulation.observe_all().await.unwrap();
    drop(simulation);

    let simulation = reopened(&path, &clock);
    assert_eq!(simulation.observe_all().await.unwrap(), told, "the notice is kept");
    drop(simulation);
    clock.advance(std::time::Duration::from_mins(5));

    let simulation = reopened(&path, &clock);
    let evicted = simulation.observe_all().await.unwrap();
    let seen = |uid: &str| {
        let machine = &evicted.machines[uid];
        let since = machine.eviction.map(|eviction| Some(eviction.time));
        (
            machine.host.clone(),
            since == Some(told.machines[uid].preempt_notice.as_ref().map(|notice| notice.not_before)),
        )
    };
    assert_eq!((seen("a"), seen("b")), ((None, true), (None, true)));
    assert_eq!(evicted.machines["b"].provisioning, Provisioning::Deleting);
    drop(simulation);

    let simulation = reopened(&path, &clock);
    assert_eq!(simulation.observe_all().await.unwrap(), evicted);
    assert!(refusal(start(&simulation, "a").await).starts_with("SpotPriceGreater"), "the price is kept");
    simulation.set_spot_price("testland", "Small", None).await.unwrap();
    assert!(refusal(start(&simulation, "a").await).starts_with("ZonalAllocationFailed"), "the pressure is kept");
    assert_eq!(simulation.delete(target("b", 1), Shutdown::Graceful).await, Ok(Deletion::Gone));
}
