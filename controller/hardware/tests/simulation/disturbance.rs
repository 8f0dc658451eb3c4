//! What goes wrong on request: outages, scripted faults, machines that fail, drift from below, and who hears of it.

use std::collections::BTreeMap;

use futures::{FutureExt, StreamExt};
use scaleset_crds::vocabulary::{PowerState, PowerWish};
use scaleset_hardware::catalog::ZoneState;
use scaleset_hardware::sim::{BootFailure, Call, Drift, Fault, FaultEffect, MachineFault, Outage, Outcome, Selector};
use scaleset_hardware::{Change, Deletion, Hardware, Health, Provisioning, Shutdown, UpdateMethod};

use crate::fixture::{Fixture, model, refusal, request, request_in, target};

fn outage(zone: Option<&str>, fault_domain: Option<i32>, host: Option<&str>) -> Outage {
    Outage {
        location: "testland".to_owned(),
        zone: zone.map(str::to_owned),
        fault_domain,
        host: host.map(str::to_owned),
    }
}

fn fault(effect: FaultEffect) -> Fault {
    Fault { selector: Selector::default(), effect, rate_percent: 100.0, remaining: None }
}

#[tokio::test]
async fn machines_in_an_outage_are_out_of_sight_until_it_ends() {
    let fixture = Fixture::new();
    for (uid, zone, domain) in [("a", "1", 0), ("b", "1", 1), ("c", "2", 0)] {
        fixture.running_as(request_in(uid, Some(zone), Some(domain))).await;
    }
    let host = fixture.machine("a").await.host.unwrap();
    let table = [
        (outage(None, None, None), "abc"),
        (outage(Some("1"), None, None), "ab"),
        (outage(None, Some(0), None), "ac"),
        (outage(Some("1"), Some(1), None), "b"),
        (outage(None, None, Some(&host)), "a"),
    ];
    for (outage, struck) in table {
        fixture.simulation.set_outage("test", outage.clone()).await.unwrap();
        for uid in ["a", "b", "c"] {
            let expected = if struck.contains(uid) { PowerState::Unknown } else { PowerState::Running };
            let machine = fixture.machine(uid).await;
            assert_eq!(machine.power, expected, "{uid} in {outage:?}");
            assert_eq!(machine.provisioning, Provisioning::Succeeded);
        }
        fixture.simulation.clear_outage("test").await.unwrap();
        assert_eq!(fixture.machine("a").await.power, PowerState::Running);
    }
}

#[tokio::test]
async fn nothing_is_placed_in_an_outage_and_the_catalogue_says_so() {
    let fixture = Fixture::new();
    fixture.running_as(request_in("a", Some("1"), Some(0))).await;
    fixture.simulation.set_outage("zone", outage(Some("1"), None, None)).await.unwrap();
    let zones = fixture.simulation.catalog().await.unwrap().regions["testland"].zones.clone();
    assert_eq!(
        zones,
        BTreeMap::from([("1".to_owned(), ZoneState::Unavailable), ("2".to_owned(), ZoneState::Available)])
    );
    let refused = refusal(fixture.simulation.create(request("b")).await);
    assert!(refused.starts_with("ZonalAllocationFailed: Small needs 1 vcpus"), "{refused}");
    assert!(refused.contains("has 0 hosts up"), "{refused}");
    let elsewhere = fixture.simulation.create(request_in("b", None, None)).await.unwrap();
    assert!(elsewhere.host.unwrap().starts_with("testland-z2"));

    let power = fixture.simulation.set_power(target("a", 1), PowerWish::Stopped, Shutdown::Graceful).await;
    assert_eq!(refusal(power), "hardware unavailable: host testland-z1-fd0-general-00 of machine a is down");
    let update = fixture.simulation.update(target("a", 1), "r", model().into(), UpdateMethod::Restart).await;
    assert_eq!(update.unwrap_err().code(), "InternalExecutionError");
    assert_eq!(fixture.simulation.delete(target("a", 1), Shutdown::Graceful).await.unwrap(), Deletion::InProgress);
}

#[tokio::test]
async fn a_machine_that_hangs_comes_back_by_healing_or_by_a_restart() {
    let fixture = Fixture::new();
    fixture.running("a").await;
    let hang = || fixture.simulation.fail_machine("a", MachineFault::Hang);
    hang().await.unwrap();
    let hanging = fixture.machine("a").await;
    assert_eq!((hanging.power, hanging.health), (PowerState::Unknown, Health::Unknown));
    fixture.simulation.heal_machine("a").await.unwrap();
    assert_eq!(fixture.machine("a").await.power, PowerState::Running);

    hang().await.unwrap();
    let mut wanted = model();
    wanted.tags.insert("tier".to_owned(), "web".to_owned());
    let update = |method| fixture.simulation.update(target("a", 1), "r", wanted.clone().into(), method);
    assert_eq!(refusal(update(UpdateMethod::Online).await), "hardware unavailable: machine a does not answer");
    update(UpdateMethod::Restart).await.unwrap();
    fixture.finish();
    assert_eq!(fixture.machine("a").await.power, PowerState::Running);
}

#[tokio::test]
async fn a_machine_changes_when_it_is_out_of_reach_and_reached_again_and_not_when_its_application_does() {
    let fixture = Fixture::new();
    fixture.running("a").await;
    let simulation = &fixture.simulation;
    let changed = async || fixture.seconds(fixture.machine("a").await.changed_at);
    fixture.advance(1_000);
    simulation.set_health("a", Health::Unhealthy).await.unwrap();
    assert_eq!(changed().await, 45, "its application answers otherwise");
    let tags = [("tier".to_owned(), "web".to_owned())].into();
    simulation.drift("a", Drift { vm_size: None, tags: Some(tags), remove_extension: None }).await.unwrap();
    simulation.clear_health("a").await.unwrap();
    simulation.heal_machine("a").await.unwrap();
    assert_eq!(changed().await, 45, "nothing of this is a change of its power or of its state");
    simulation.fail_machine("a", MachineFault::Hang).await.unwrap();
    assert_eq!(changed().await, 1_045, "nobody knows its power any more");
    fixture.advance(1_000);
    simulation.heal_machine("a").await.unwrap();
    assert_eq!(changed().await, 2_045, "its power is known again");
}

#[tokio::test]
async fn a_machine_that_crashes_is_stopped_and_can_be_started() {
    let fixture = Fixture::new();
    fixture.running("a").await;
    fixture.advance(10);
    fixture.simulation.fail_machine("a", MachineFault::Crash).await.unwrap();
    let crashed = fixture.machine("a").await;
    assert_eq!((crashed.power, crashed.provisioning), (PowerState::Stopped, Provisioning::Succeeded));
    assert_eq!(crashed.changed_at, fixture.at(55));
    fixture.simulation.set_power(target("a", 1), PowerWish::Running, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    assert_eq!(fixture.machine("a").await.power, PowerState::Running);
}

#[tokio::test]
async fn health_is_what_it_was_set_to_as_long_as_the_machine_answers() {
    let fixture = Fixture::new();
    fixture.simulation.create(request("a")).await.unwrap();
    assert_eq!(fixture.machine("a").await.health, Health::Unknown, "it has not booted");
    fixture.finish();
    assert_eq!(fixture.machine("a").await.health, Health::Healthy);
    fixture.simulation.set_health("a", Health::Unhealthy).await.unwrap();
    assert_eq!(fixture.machine("a").await.health, Health::Unhealthy);
    fixture.simulation.set_power(target("a", 1), PowerWish::Stopped, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    assert_eq!(fixture.machine("a").await.health, Health::Unknown);
}

#[tokio::test]
async fn machines_drift_and_vanish_behind_the_callers_back() {
    let fixture = Fixture::new();
    fixture.running("a").await;
    let drift = Drift {
        vm_size: Some("Medium".to_owned()),
        tags: Some(BTreeMap::from([("owner".to_owned(), "nobody".to_owned())])),
        remove_extension: None,
    };
    fixture.simulation.drift("a", drift).await.unwrap();
    let drifted = fixture.machine("a").await;
    assert_eq!((drifted.model.vm_size.as_str(), drifted.model_revision.as_str()), ("Medium", "revision-1"));
    assert_eq!(drifted.model.tags["owner"], "nobody");
    let restored = fixture.simulation.update(target("a", 1), "revision-1", model().into(), UpdateMethod::Restart);
    assert_eq!(*restored.await.unwrap().model, model());
    fixture.finish();

    let refused = fixture.simulation.drift("a", Drift { vm_size: Some("Tiny".to_owned()), ..Drift::default() }).await;
    assert_eq!(refused.unwrap_err().field, "vmSize");
    fixture.simulation.vanish("a").await.unwrap();
    assert_eq!(fixture.simulation.observe("a").await.unwrap(), None);
    assert_eq!(fixture.simulation.observe_all().await.unwrap().machines.len(), 0);
    assert_eq!(fixture.simulation.next_event_at(), None);
}

#[tokio::test]
async fn calls_are_throttled_failed_or_lose_their_answers() {
    let fixture = Fixture::new();
    let set = |effect| fixture.simulation.set_fault("calls", fault(effect));
    set(FaultEffect::ThrottleCalls { calls: vec![Call::Create], retry_after_seconds: 0.25 }).await.unwrap();
    assert_eq!(refusal(fixture.simulation.create(request("a")).await), "throttled, try again in 250 ms");
    assert!(fixture.simulation.observe("a").await.unwrap().is_none());

    set(FaultEffect::FailCalls { calls: Vec::new() }).await.unwrap();
    assert_eq!(
        refusal(fixture.simulation.create(request("a")).await),
        "hardware unavailable: the call failed on request"
    );
    assert_eq!(refusal(fixture.simulation.observe_all().await), "hardware unavailable: the call failed on request");
    assert_eq!(refusal(fixture.simulation.catalog().await), "hardware unavailable: the call failed on request");

    set(FaultEffect::LoseAnswers { calls: vec![Call::Create] }).await.unwrap();
    assert_eq!(
        refusal(fixture.simulation.create(request("a")).await),
        "hardware unavailable: the answer was lost on request"
    );
    assert!(fixture.simulation.observe("a").await.unwrap().is_some(), "the call took effect");
    fixture.simulation.clear_fault("calls").await.unwrap();
    fixture.simulation.create(request("a")).await.unwrap();
    let journal = fixture.simulation.journal().unwrap();
    let of_create = journal.iter().filter(|entry| entry.call == Call::Create).map(|entry| &entry.outcome);
    let refused = |code: &str, message: &str| Outcome::Refused { code: code.to_owned(), message: message.to_owned() };
    let expected = [
        refused("TooManyRequests", "throttled, try again in 250 ms"),
        refused("InternalExecutionError", "hardware unavailable: the call failed on request"),
        Outcome::AnswerLost,
        Outcome::Unchanged,
    ];
    assert_eq!(of_create.cloned().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_fault_strikes_at_its_rate_and_only_whom_it_selects() {
    let fixture = Fixture::new();
    let half = Fault { rate_percent: 50.0, ..fault(FaultEffect::FailCalls { calls: vec![Call::Observe] }) };
    fixture.simulation.set_fault("half", half).await.unwrap();
    let mut failed = 0;
    for _ in 0..400 {
        failed += u32::from(fixture.simulation.observe("a").await.is_err());
    }
    assert!((150..250).contains(&failed), "{failed} of 400 at 50 %");
    fixture.simulation.clear_fault("half").await.unwrap();

    let selector = Selector { name_prefix: Some("web-".to_owned()), ..Selector::default() };
    let slow = Fault { selector, ..fault(FaultEffect::SlowBoot { factor: 3.0 }) };
    fixture.simulation.set_fault("slow", slow).await.unwrap();
    for uid in ["web-1", "db-1"] {
        fixture.simulation.create(request(uid)).await.unwrap();
    }
    fixture.finish();
    assert_eq!(fixture.seconds(fixture.machine("db-1").await.changed_at), 45);
    assert_eq!(fixture.seconds(fixture.machine("web-1").await.changed_at), 125);
}

#[tokio::test]
async fn a_fault_that_strikes_a_number_of_times_is_over_then() {
    let fixture = Fixture::new();
    let twice =
        Fault { remaining: Some(2), ..fault(FaultEffect::FailBoot { code: BootFailure::OSProvisioningTimedOut }) };
    fixture.simulation.set_fault("boot", twice).await.unwrap();
    let mut failed = Vec::new();
    for uid in ["a", "b", "c"] {
        failed.push(fixture.running(uid).await.provisioning != Provisioning::Succeeded);
    }
    assert_eq!(failed, [true, true, false]);
    assert_eq!(fixture.simulation.clear_fault("boot").await.unwrap_err().message, "no fault boot, there are: none");
}

/// Uid and owner of an announced machine.
fn told_of(change: Option<Change>) -> Option<String> {
    match change? {
        Change::Machine { uid, owner } => Some(format!("{uid} of {}", owner.name)),
        Change::Catalog | Change::Everything | Change::ReservationGroup { .. } => None,
    }
}

#[tokio::test]
async fn a_published_version_is_announced() {
    let fixture = Fixture::new();
    let mut changes = fixture.simulation.changes();
    fixture.simulation.publish_image("golden", "2").await.unwrap();
    assert_eq!(changes.next().now_or_never().flatten(), Some(Change::Catalog));
    assert!(changes.next().now_or_never().is_none());
}

#[tokio::test]
async fn what_is_due_is_announced_with_its_owner_and_calls_are_not() {
    let fixture = Fixture::new();
    let mut changes = fixture.simulation.changes();
    fixture.simulation.create(request("a")).await.unwrap();
    assert!(changes.next().now_or_never().is_none(), "the caller has the answer");
    fixture.advance(5);
    fixture.simulation.settle();
    let change = changes.next().now_or_never().flatten().unwrap();
    assert_eq!(told_of(Some(change)).unwrap(), "a of a");
    assert!(changes.next().now_or_never().is_none());
    fixture.advance(40);
    assert_eq!(told_of(changes.next().await).unwrap(), "a of a", "the task announces it by itself");
    fixture.simulation.set_outage("all", outage(None, None, None)).await.unwrap();
    assert_eq!(told_of(changes.next().await).unwrap(), "a of a");
    fixture.simulation.vanish("a").await.unwrap();
    assert_eq!(told_of(changes.next().await).unwrap(), "a of a");
}

#[tokio::test]
async fn a_listener_that_falls_behind_is_told_of_every_machine() {
    let fixture = Fixture::new();
    fixture.running("a").await;
    fixture.running("b").await;
    let mut changes = fixture.simulation.changes();
    for _ in 0..1_100 {
        fixture.simulation.set_health("a", Health::Unhealthy).await.unwrap();
    }
    let told: Vec<String> = [changes.next().await, changes.next().await].into_iter().filter_map(told_of).collect();
    assert_eq!(told, ["a of a", "b of b"]);
    assert_eq!(changes.next().await, Some(Change::Catalog));
}

#[tokio::test]
async fn latencies_depend_on_the_machine_and_not_on_the_order_of_calls() {
    let file = crate::fixture::REGION.replace(
        "boot: {distribution: constant, seconds: 40}",
        "boot: {distribution: logNormal, medianSeconds: 40, sigma: 0.3}",
    );
    let mut booted = Vec::new();
    for order in [["a", "b", "c"], ["c", "b", "a"]] {
        let fixture = Fixture::with(&file);
        for uid in order {
            fixture.simulation.create(request(uid)).await.unwrap();
        }
        fixture.finish();
        let inventory = fixture.simulation.observe_all().await.unwrap();
        booted.push(inventory.machines.into_values().map(|machine| machine.changed_at).collect::<Vec<_>>());
    }
    assert_eq!(booted[0], booted[1]);
    assert!(booted[0][0] != booted[0][1] && booted[0][1] != booted[0][2], "{booted:?}");
}
