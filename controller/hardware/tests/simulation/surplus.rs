//! Machines that do not count against the quotas until they are kept, and machines that start on another seat.

use scaleset_crds::vocabulary::{PowerState, PowerWish};
use scaleset_hardware::sim::VirtualClock;
use scaleset_hardware::{CreateRequest, Hardware, QuotaRule, Seat, Shutdown};

use crate::durable::open;
use crate::fixture::{Fixture, REGION, refusal, request, request_in, target};

fn extra(uid: &str) -> CreateRequest {
    CreateRequest { quota: QuotaRule::Exempt, ..request(uid) }
}

/// Room for two of the smallest size.
fn tight() -> String {
    REGION.replace("regionalTotal: 200", "regionalTotal: 2")
}

#[tokio::test]
async fn an_extra_needs_no_quota_and_enters_it_when_it_is_kept() {
    let fixture = Fixture::with(&tight());
    let simulation = &fixture.simulation;
    for uid in ["a", "b"] {
        fixture.running(uid).await;
    }
    let extras = [fixture.running_as(extra("c")).await, fixture.running_as(extra("d")).await];
    assert_eq!(extras.map(|machine| machine.quota), [QuotaRule::Exempt; 2], "the quota is full, and they run");
    let full = "QuotaExceeded: regional total vcpu quota: limit 2, usage 2, additional required 1, minimum new limit 3";
    assert_eq!(refusal(simulation.create(request("e")).await), full);

    // An extra that goes gives nothing back.
    simulation.delete(target("d", 1), Shutdown::Graceful).await.unwrap();
    fixture.finish();
    assert_eq!(refusal(simulation.create(request("e")).await), full);

    // One that is kept counts, also where that is more than the limit; what comes after it is refused.
    let kept = simulation.count(target("c", 2)).await.unwrap();
    assert_eq!((kept.quota, kept.power), (QuotaRule::Counted, PowerState::Running), "nothing else is done to it");
    simulation.count(target("c", 2)).await.unwrap();
    simulation.delete(target("a", 1), Shutdown::Graceful).await.unwrap();
    fixture.finish();
    assert_eq!(refusal(simulation.create(request("e")).await), full);
    simulation.delete(target("b", 1), Shutdown::Graceful).await.unwrap();
    fixture.finish();
    simulation.create(request("e")).await.unwrap();
}

#[tokio::test]
async fn an_extra_is_deallocated_and_started_without_quota() {
    let fixture = Fixture::with(&tight());
    for uid in ["a", "b"] {
        fixture.running(uid).await;
    }
    fixture.running_as(extra("c")).await;
    let power = |wish| fixture.simulation.set_power(target("c", 1), wish, Shutdown::Graceful);
    power(PowerWish::Deallocated).await.unwrap();
    fixture.finish();
    // One that is kept while it has no hardware takes its quota when it is started.
    power(PowerWish::Running).await.unwrap();
    fixture.finish();
    power(PowerWish::Deallocated).await.unwrap();
    fixture.finish();
    fixture.simulation.count(target("c", 1)).await.unwrap();
    let refused = power(PowerWish::Running).await.unwrap_err();
    assert_eq!(refused.code(), "QuotaExceeded", "{refused}");
}

#[tokio::test]
async fn who_counts_survives_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hardware.redb");
    let clock = VirtualClock::default();
    let simulation = open(&path, &clock);
    for uid in ["a", "b"] {
        simulation.create(extra(uid)).await.unwrap();
    }
    simulation.count(target("b", 1)).await.unwrap();
    drop(simulation);
    let simulation = open(&path, &clock);
    let quota = async |uid: &str| simulation.observe(uid).await.unwrap().unwrap().quota;
    assert_eq!([quota("a").await, quota("b").await], [QuotaRule::Exempt, QuotaRule::Counted]);
    let small = simulation.headroom("testland", "Small", scaleset_crds::spot::Priority::Regular).await.unwrap();
    assert_eq!(small.unwrap().quotas[0].usage, 1);
}

#[tokio::test]
async fn a_deallocated_machine_starts_where_it_is_told_to_and_an_allocated_one_where_it_is() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    fixture.running_as(request_in("a", Some("1"), Some(0))).await;
    let seat = Seat { platform_fault_domain: Some(1), update_domain: Some(3), placement_group: Some("1-1".to_owned()) };
    simulation.set_power(target("a", 1), PowerWish::Stopped, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    simulation.start_at(target("a", 2), seat.clone()).await.unwrap();
    fixture.finish();
    let stayed = fixture.machine("a").await;
    assert_eq!((stayed.placement.platform_fault_domain, stayed.power), (Some(0), PowerState::Running));

    simulation.set_power(target("a", 3), PowerWish::Deallocated, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    let started = simulation.start_at(target("a", 4), seat.clone()).await.unwrap();
    assert!(started.host.unwrap().starts_with("testland-z1-fd1-"), "it never is at its old place again");
    simulation.start_at(target("a", 4), seat).await.unwrap();
    fixture.finish();
    let moved = fixture.machine("a").await;
    let placement = moved.placement;
    let place = (placement.platform_fault_domain, placement.update_domain, placement.placement_group.as_deref());
    assert_eq!((place, moved.power), ((Some(1), Some(3), Some("1-1")), PowerState::Running));
    assert_eq!(placement.zone.as_deref(), Some("1"));

    let nowhere = Seat { platform_fault_domain: Some(2), update_domain: None, placement_group: None };
    let refused = simulation.start_at(target("a", 5), nowhere).await.unwrap_err();
    assert_eq!(refused.code(), "InvalidParameter", "{refused}");
}
