//! Backend pools: who is in them, who drains, and what becomes of the requests that come through them.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::health::HealthProbe;
use scaleset_crds::load_balancing::{BackendPoolReference, LoadBalancerSku, PoolMemberState};
use scaleset_crds::scheduled_event::EventApproval;
use scaleset_crds::vocabulary::{PowerWish, ProbeProtocol};
use scaleset_hardware::sim::{
    ControlCode, MachineFault, Maintenance, MaintenanceKind, Outage, RegionFile, RequestCounts, RequestLoad,
    Simulation, SimulationOptions, VirtualClock,
};
use scaleset_hardware::{
    Ahead, Deletion, Hardware, HardwareError, Health, NoticeStage, OperationAction, OperationRequest, OsDiskWish,
    Shutdown, UpdateMethod,
};

use crate::fixture::{Fixture, REGION, interface, model, refusal, request_of, target};

/// A model in the pool of `front`, which drains for so long.
fn pooled(drain_timeout_seconds: i32) -> VirtualMachineModel {
    let mut wanted = model();
    wanted.network_profile.network_interfaces[0].load_balancer_backend_pools =
        vec![BackendPoolReference { name: "front".to_owned(), drain_timeout_seconds }];
    wanted
}

fn of_size(size: &str) -> VirtualMachineModel {
    VirtualMachineModel { vm_size: size.to_owned(), ..pooled(40) }
}

/// Machines that run in the pool, and whose probe has answered.
async fn pool(uids: &[&str], drain_timeout_seconds: i32) -> Fixture {
    let fixture = Fixture::new();
    for uid in uids {
        fixture.simulation.create(request_of(uid, pooled(drain_timeout_seconds))).await.unwrap();
    }
    fixture.finish();
    for uid in uids {
        assert_eq!(state(&fixture, uid).await, Some(PoolMemberState::Healthy), "{uid}");
    }
    fixture
}

async fn state(fixture: &Fixture, uid: &str) -> Option<PoolMemberState> {
    let machine = fixture.machine(uid).await;
    machine.backend_pools.iter().find(|member| member.load_balancer == "front").map(|member| member.state)
}

async fn send(fixture: &Fixture, per_second: u32, each_seconds: u32) {
    let load = RequestLoad { per_second, each_seconds };
    fixture.simulation.set_requests("testland", "front", Some(load)).await.unwrap();
}

fn counts(fixture: &Fixture) -> RequestCounts {
    fixture.simulation.request_counts("testland", "front").unwrap()
}

#[tokio::test]
async fn a_machine_joins_when_it_runs_and_its_probe_answers() {
    let fixture = Fixture::new();
    fixture.simulation.create(request_of("a", pooled(30))).await.unwrap();
    let mut seen = vec![(0, state(&fixture, "a").await.unwrap())];
    while let Some(next) = fixture.simulation.next_event_at() {
        fixture.clock.advance_to(next);
        let now = state(&fixture, "a").await.unwrap();
        if seen.last().is_some_and(|(_, last)| *last != now) {
            seen.push((fixture.seconds(next), now));
        }
    }
    let runs = fixture.seconds(fixture.machine("a").await.changed_at);
    assert_eq!(seen, [(0, PoolMemberState::Unhealthy), (runs + 5, PoolMemberState::Healthy)]);
}

#[tokio::test]
async fn a_machine_drains_for_the_time_of_its_model_and_comes_back_when_it_has_been_down() {
    let fixture = pool(&["a"], 40).await;
    let begun = fixture.simulation.drain(target("a", 2), None).await.unwrap();
    let drain = begun.drain.unwrap();
    assert_eq!(drain.drained_at.duration_since(drain.since).as_secs(), 40);
    assert_eq!(state(&fixture, "a").await, Some(PoolMemberState::Draining));
    // The same call again changes nothing.
    fixture.advance(10);
    assert_eq!(fixture.simulation.drain(target("a", 3), None).await.unwrap().drain, Some(drain));
    assert_eq!(fixture.simulation.next_event_at(), Some(drain.drained_at), "somebody is told when it has drained");
    fixture.advance(100);
    assert_eq!(state(&fixture, "a").await, Some(PoolMemberState::Draining), "it waits for what it drained for");

    let restart = OperationRequest { uid: "r".to_owned(), action: OperationAction::Restart(EventApproval::Automatic) };
    let restarting = fixture.simulation.perform(target("a", 4), restart).await.unwrap();
    assert_eq!(restarting.drain, None);
    assert_eq!(state(&fixture, "a").await, Some(PoolMemberState::Unhealthy));
    fixture.finish();
    assert_eq!(state(&fixture, "a").await, Some(PoolMemberState::Healthy));
}

#[tokio::test]
async fn a_drain_can_be_undone() {
    let fixture = pool(&["a"], 40).await;
    fixture.simulation.drain(target("a", 1), None).await.unwrap();
    assert_eq!(fixture.simulation.undrain(target("a", 1)).await.unwrap().drain, None);
    assert_eq!(state(&fixture, "a").await, Some(PoolMemberState::Healthy));
    let again = fixture.simulation.undrain(target("a", 1)).await.unwrap();
    assert_eq!(again.drain, None);
}

#[tokio::test]
async fn a_machine_does_not_drain_for_what_would_be_refused() {
    let fixture = pool(&["a"], 40).await;
    let simulation = &fixture.simulation;
    let mut unknown = pooled(40);
    unknown.storage_profile.image_reference.version = Some("99.1.1".to_owned());
    let unknown = Arc::new(unknown);
    let disk = OsDiskWish::Former { disk: "none".to_owned() };
    for (ahead, code) in [
        (Ahead::Update { model: Arc::new(of_size("Rare")) }, "SkuNotAvailable"),
        (Ahead::Reimage { model: Arc::new(of_size("Rare")) }, "SkuNotAvailable"),
        (Ahead::Reimage { model: Arc::clone(&unknown) }, "ImageNotFound"),
        (Ahead::ReplaceOsDisk { model: Arc::new(of_size("Small")), wish: disk }, "OperationNotAllowed"),
    ] {
        let error = simulation.drain(target("a", 1), Some(ahead.clone())).await.unwrap_err();
        assert_eq!(error.code(), code, "{ahead:?}");
        assert_eq!(state(&fixture, "a").await, Some(PoolMemberState::Healthy), "{ahead:?}");
    }
    // A restart keeps the image that is there: the same model can be had by an update.
    let begun = simulation.drain(target("a", 2), Some(Ahead::Update { model: unknown })).await.unwrap();
    assert!(begun.drain.is_some());
    // Once it is out, nothing is asked any more.
    let same =
        simulation.drain(target("a", 3), Some(Ahead::Update { model: Arc::new(of_size("Rare")) })).await.unwrap();
    assert_eq!(same.drain, begun.drain);
}

#[tokio::test]
async fn a_drain_is_refused_as_the_call_would_be() {
    let fixture = pool(&["a"], 40).await;
    let simulation = &fixture.simulation;
    // They fill the three other hosts of the zone, and the quota of their family.
    for uid in ["b", "c", "d"] {
        simulation.create(request_of(uid, of_size("Large"))).await.unwrap();
    }
    fixture.finish();
    let large = Arc::new(of_size("Large"));
    let called = simulation.update(target("a", 1), "r2", Arc::clone(&large), UpdateMethod::Restart).await.unwrap_err();
    let ahead = Ahead::Update { model: Arc::clone(&large) };
    let drained = simulation.drain(target("a", 1), Some(ahead)).await.unwrap_err();
    assert_eq!((drained.code(), &drained), ("QuotaExceeded", &called));
    let redeploy =
        OperationRequest { uid: "r".to_owned(), action: OperationAction::Redeploy(EventApproval::Automatic) };
    let called = simulation.perform(target("a", 1), redeploy).await.unwrap_err();
    let drained = simulation.drain(target("a", 1), Some(Ahead::Redeploy)).await.unwrap_err();
    assert_eq!((drained.code(), &drained), ("ZonalAllocationFailed", &called));
    assert_eq!(state(&fixture, "a").await, Some(PoolMemberState::Healthy));
    // Once there is room, it drains.
    simulation.delete(target("b", 1), Shutdown::Skip).await.unwrap();
    assert!(simulation.drain(target("a", 1), Some(Ahead::Update { model: large })).await.unwrap().drain.is_some());
}

#[tokio::test]
async fn nobody_waits_for_a_machine_that_cannot_be_reached() {
    for case in ["booting", "crashed", "hangs", "host down", "in no pool"] {
        let fixture = if case == "booting" { Fixture::new() } else { pool(&["a"], 40).await };
        let simulation = &fixture.simulation;
        match case {
            "booting" => drop(simulation.create(request_of("a", pooled(40))).await.unwrap()),
            "crashed" => simulation.fail_machine("a", MachineFault::Crash).await.unwrap(),
            "hangs" => simulation.fail_machine("a", MachineFault::Hang).await.unwrap(),
            "host down" => {
                let host = fixture.machine("a").await.host;
                let outage = Outage { location: "testland".to_owned(), zone: None, fault_domain: None, host };
                simulation.set_outage("host", outage).await.unwrap();
            }
            _ => {
                drop(simulation.update(target("a", 1), "none", Arc::new(model()), UpdateMethod::Online).await.unwrap());
            }
        }
        let drained = simulation.drain(target("a", 2), None).await.unwrap();
        match drained.drain {
            Some(drain) => assert_eq!(drain.drained_at, drain.since, "{case}"),
            None => assert_eq!(case, "in no pool"),
        }
    }
}

#[tokio::test]
async fn one_that_answers_badly_has_got_no_requests_since_and_drains_for_the_rest_of_its_time() {
    let fixture = pool(&["a"], 40).await;
    fixture.simulation.set_health("a", scaleset_hardware::Health::Unhealthy).await.unwrap();
    fixture.advance(10);
    assert_eq!(state(&fixture, "a").await, Some(PoolMemberState::Unhealthy), "after two bad answers");
    fixture.advance(15);
    let drain = fixture.simulation.drain(target("a", 1), None).await.unwrap().drain.unwrap();
    assert_eq!(drain.drained_at.duration_since(drain.since).as_secs(), 25);
}

/// Seconds of good answers until a machine is back that has just dropped out.
async fn back_after(simulation: &Simulation, clock: &VirtualClock) -> u64 {
    let healthy = async || {
        let machine = simulation.observe("a").await.unwrap().unwrap();
        machine.backend_pools[0].state == PoolMemberState::Healthy
    };
    simulation.set_health("a", Health::Unhealthy).await.unwrap();
    clock.advance(Duration::from_secs(10));
    assert!(!healthy().await, "after two bad answers");
    simulation.set_health("a", Health::Healthy).await.unwrap();
    for seconds in 1..=200 {
        clock.advance(Duration::from_secs(1));
        if healthy().await {
            return seconds;
        }
    }
    panic!("it never comes back");
}

#[tokio::test]
async fn a_machine_whose_answers_go_to_and_fro_stays_out_for_longer_each_time() {
    let fixture = pool(&["a"], 40).await;
    let Fixture { simulation, clock, start: _ } = &fixture;
    let mut seconds = Vec::new();
    for _ in 0..6 {
        seconds.push(back_after(simulation, clock).await);
    }
    assert_eq!(seconds, [5, 10, 20, 40, 80, 80], "1, 2, 4, 8, 16 good answers, 5 s apart");
    // Ten quiet minutes are calm.
    fixture.advance(600);
    assert_eq!((back_after(simulation, clock).await, back_after(simulation, clock).await), (5, 10));

    // Whoever drains and restarts does not flap: neither by the restart nor by what was before.
    simulation.drain(target("a", 2), None).await.unwrap();
    fixture.advance(40);
    let restart = OperationRequest { uid: "r".to_owned(), action: OperationAction::Restart(EventApproval::Automatic) };
    simulation.perform(target("a", 3), restart).await.unwrap();
    fixture.finish();
    let machine = fixture.machine("a").await;
    let probed = machine.changed_at + SignedDuration::from_secs(5);
    assert_eq!((clock.now(), state(&fixture, "a").await), (probed, Some(PoolMemberState::Healthy)));
    assert_eq!(back_after(simulation, clock).await, 5);
}

#[tokio::test]
async fn who_flapped_is_known_after_a_restart_of_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hardware.redb");
    let clock = VirtualClock::default();
    let simulation = crate::durable::open(&path, &clock);
    simulation.create(request_of("a", pooled(40))).await.unwrap();
    clock.advance(Duration::from_mins(2));
    for expected in [5, 10] {
        assert_eq!(back_after(&simulation, &clock).await, expected);
    }
    drop(simulation);
    assert_eq!(back_after(&crate::durable::open(&path, &clock), &clock).await, 20);
}

#[tokio::test]
async fn a_drained_machine_loses_nothing_and_one_that_is_taken_down_at_once_does() {
    for (drains, lost) in [(true, 0), (false, 15)] {
        let fixture = pool(&["a", "b"], 30).await;
        send(&fixture, 2, 6).await;
        fixture.advance(60);
        if drains {
            fixture.simulation.drain(target("a", 2), None).await.unwrap();
            fixture.advance(30);
        }
        fixture.simulation.set_power(target("a", 3), PowerWish::Stopped, Shutdown::Graceful).await.unwrap();
        fixture.advance(100);
        let counts = counts(&fixture);
        // One request a second hits the machine for the ten seconds until its probe has failed twice, and five of its own
        // were under way.
        assert_eq!((counts.lost(), counts.unrouted), (lost, 0), "{counts:?}");
        assert_eq!(counts.sent, counts.answered + counts.lost() + counts.under_way, "{counts:?}");
    }
}

#[tokio::test]
async fn a_failure_of_a_host_is_counted_until_the_probe_has_found_it_out() {
    let fixture = pool(&["a", "b"], 30).await;
    send(&fixture, 2, 0).await;
    fixture.advance(20);
    let host = fixture.machine("a").await.host;
    let outage = Outage { location: "testland".to_owned(), zone: None, fault_domain: None, host: host.clone() };
    fixture.simulation.set_outage("host", outage).await.unwrap();
    fixture.advance(60);
    let other = fixture.machine("b").await.host;
    let expected = if other == host { 20 } else { 10 };
    assert_eq!(counts(&fixture).hit_down, expected, "{:?}", counts(&fixture));
}

#[tokio::test]
async fn what_lasts_longer_than_the_drain_is_cut() {
    let fixture = pool(&["a", "b"], 5).await;
    send(&fixture, 2, 60).await;
    fixture.advance(100);
    fixture.simulation.drain(target("a", 2), None).await.unwrap();
    fixture.advance(5);
    assert_eq!(fixture.simulation.delete(target("a", 3), Shutdown::Graceful).await.unwrap(), Deletion::InProgress);
    fixture.advance(1);
    assert_eq!((counts(&fixture).cut, counts(&fixture).hit_down), (54, 0), "{:?}", counts(&fixture));
}

#[tokio::test]
async fn a_pool_without_healthy_members_routes_nothing() {
    let fixture = pool(&["a"], 0).await;
    fixture.simulation.drain(target("a", 2), None).await.unwrap();
    send(&fixture, 1, 0).await;
    fixture.advance(10);
    assert_eq!((counts(&fixture).sent, counts(&fixture).unrouted), (10, 10));
    fixture.simulation.set_requests("testland", "front", None).await.unwrap();
    assert_eq!(fixture.simulation.request_counts("testland", "front"), None);
}

#[tokio::test]
async fn the_probe_of_the_model_decides_where_it_is_one_of_that_load_balancer() {
    let mut wanted = pooled(30);
    wanted.network_profile.health_probe = Some(HealthProbe {
        load_balancer: "front".to_owned(),
        protocol: ProbeProtocol::Http,
        port: 80,
        request_path: Some("/".to_owned()),
        interval_seconds: 20,
        number_of_probes: 3,
    });
    let fixture = Fixture::new();
    fixture.running_as(request_of("a", wanted)).await;
    assert_eq!(state(&fixture, "a").await, Some(PoolMemberState::Healthy));
    fixture.simulation.fail_machine("a", MachineFault::Hang).await.unwrap();
    fixture.advance(59);
    assert_eq!(state(&fixture, "a").await, Some(PoolMemberState::Healthy));
    fixture.advance(1);
    assert_eq!(state(&fixture, "a").await, Some(PoolMemberState::Unhealthy));
}

#[tokio::test]
async fn a_deallocated_machine_is_in_no_pool_and_one_that_starts_again_is() {
    let fixture = pool(&["a"], 30).await;
    fixture.simulation.set_power(target("a", 2), PowerWish::Deallocated, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    assert_eq!(state(&fixture, "a").await, None);
    fixture.simulation.set_power(target("a", 3), PowerWish::Running, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    assert_eq!(state(&fixture, "a").await, Some(PoolMemberState::Healthy));
}

#[tokio::test]
async fn a_pool_of_an_unknown_load_balancer_is_refused() {
    let fixture = Fixture::new();
    let mut wanted = model();
    wanted.network_profile.network_interfaces = vec![interface("nic01", "default")];
    wanted.network_profile.network_interfaces[0].load_balancer_backend_pools =
        vec![BackendPoolReference { name: "back".to_owned(), drain_timeout_seconds: 30 }];
    let refused: Result<_, HardwareError> = fixture.simulation.create(request_of("a", wanted)).await;
    assert_eq!(
        refusal(refused),
        "InvalidParameter: testland has no load balancer back for a backend pool, there are: front"
    );
}

#[tokio::test]
async fn a_drain_and_the_load_survive_a_restart_of_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let options = |clock| SimulationOptions {
        region: scaleset_hardware::sim::RegionSource::Given(Box::new(RegionFile::parse("the test's", REGION).unwrap())),
        storage: scaleset_hardware::sim::Storage::File(directory.path().join("region.redb")),
        clock: scaleset_hardware::sim::ClockSource::Virtual(clock),
        latency: scaleset_hardware::sim::LatencySource::RegionFile,
    };
    let clock = scaleset_hardware::sim::VirtualClock::default();
    let start = clock.now();
    let simulation = Simulation::open(options(clock.clone())).unwrap();
    let fixture = Fixture { simulation, clock, start };
    fixture.running_as(request_of("a", pooled(40))).await;
    send(&fixture, 1, 0).await;
    let before = fixture.simulation.drain(target("a", 2), None).await.unwrap();
    let Fixture { simulation, clock, start } = fixture;
    drop(simulation);
    clock.advance(std::time::Duration::from_secs(10));
    let fixture = Fixture { simulation: Simulation::open(options(clock.clone())).unwrap(), clock, start };
    assert_eq!(fixture.machine("a").await.drain, before.drain);
    assert_eq!(state(&fixture, "a").await, Some(PoolMemberState::Draining));
    fixture.advance(10);
    assert_eq!(counts(&fixture).unrouted, 10);
}

#[tokio::test]
async fn loads_out_of_range_and_unknown_load_balancers_are_refused() {
    let fixture = Fixture::new();
    for (name, per_second, each_seconds, field) in [
        ("front", 0, 0, "perSecond"),
        ("front", 101, 0, "perSecond"),
        ("front", 1, 601, "eachSeconds"),
        ("back", 1, 0, "name"),
    ] {
        let load = RequestLoad { per_second, each_seconds };
        let refused = fixture.simulation.set_requests("testland", name, Some(load)).await.unwrap_err();
        let code = if name == "back" { ControlCode::NotFound } else { ControlCode::InvalidParameter };
        assert_eq!((refused.field, refused.code), (field, code), "{load:?}");
    }
    let catalog = fixture.simulation.catalog().await.unwrap();
    assert_eq!(catalog.regions["testland"].load_balancers["front"], LoadBalancerSku::Standard);
}

/// Maintenance of the host of `a`, while requests come to three machines.
async fn maintained(kind: MaintenanceKind) -> Fixture {
    let fixture = pool(&["a", "b", "c"], 40).await;
    // Not all of them, so that somebody is left who answers.
    let host = fixture.machine("a").await.host;
    let maintenance = Maintenance { kind, location: "testland".to_owned(), zone: None, fault_domain: None, host };
    send(&fixture, 5, 20).await;
    fixture.simulation.begin_maintenance("m", maintenance).await.unwrap();
    fixture
}

async fn not_before(fixture: &Fixture, uid: &str) -> Timestamp {
    fixture.machine(uid).await.disruption_notice.expect("it was told").not_before
}

#[tokio::test]
async fn a_machine_leaves_its_pools_in_time_before_maintenance_restarts_it() {
    for kind in [MaintenanceKind::Reboot, MaintenanceKind::Redeploy] {
        let fixture = maintained(kind).await;
        let begins = not_before(&fixture, "a").await;
        fixture.clock.advance_to(begins - SignedDuration::from_secs(41));
        assert_eq!(state(&fixture, "a").await, Some(PoolMemberState::Healthy), "it serves until then");
        fixture.advance(1);
        let drain = fixture.machine("a").await.drain.expect("it drains");
        assert_eq!((drain.since, drain.drained_at), (begins - SignedDuration::from_secs(40), begins));
        fixture.finish();
        assert_eq!(state(&fixture, "a").await, Some(PoolMemberState::Healthy), "it is back");
        assert_eq!(counts(&fixture).lost(), 0, "{kind:?}");
    }
}

#[tokio::test]
async fn an_approved_restart_begins_when_the_machine_has_drained() {
    let fixture = maintained(MaintenanceKind::Reboot).await;
    let approved = fixture.simulation.now();
    fixture.simulation.approve_event(target("a", 5), None).await.unwrap();
    let told = fixture.machine("a").await.disruption_notice.expect("it was told");
    assert_eq!((told.stage, told.not_before), (NoticeStage::Approved, approved + SignedDuration::from_secs(40)));
    assert_eq!(state(&fixture, "a").await, Some(PoolMemberState::Draining));
    fixture.advance(10);
    fixture.simulation.approve_event(target("a", 6), None).await.unwrap();
    assert_eq!(not_before(&fixture, "a").await, told.not_before, "twice is as good as once");
    fixture.finish();
    assert_eq!(counts(&fixture).lost(), 0);
}

#[tokio::test]
async fn a_pause_leaves_a_machine_in_its_pools() {
    let fixture = maintained(MaintenanceKind::Freeze).await;
    fixture.clock.advance_to(not_before(&fixture, "a").await - SignedDuration::from_secs(1));
    assert_eq!(fixture.machine("a").await.drain, None);
}
