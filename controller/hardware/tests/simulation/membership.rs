//! Whose set a machine is of: what follows it when it is attached or detached, and what does not.

use std::time::Duration;

use scaleset_crds::VirtualMachineModel;
use scaleset_crds::scheduled_event::TerminateNotification;
use scaleset_hardware::sim::{
    Call, Load, LoadSharing, LoadStep, Maintenance, MaintenanceKind, Outcome, Selector, Simulation, VirtualClock,
};
use scaleset_hardware::{
    Among, CreateRequest, Hardware, HardwareError, MetricsQuery, NoticeStage, Provisioning, SeriesQuery, Shutdown,
};

use crate::durable::open;
use crate::fixture::{Fixture, model, request, request_in, target};

fn of(set: Option<&str>, mut request: CreateRequest) -> CreateRequest {
    "FlexVM".clone_into(&mut request.owner.kind);
    request.owner.set_uid = set.map(str::to_owned);
    request
}

/// A set of two machines and one that is of none, all of which run.
async fn fixture() -> Fixture {
    let fixture = Fixture::new();
    for (uid, set) in [("a", Some("set")), ("b", Some("set")), ("c", None)] {
        fixture.running_as(of(set, request_in(uid, Some("1"), Some(0)))).await;
    }
    fixture
}

/// Ninety per cent of everybody's processor.
fn busy() -> Load {
    Load {
        selector: Selector::default(),
        namespace: None,
        metric: "Percentage CPU".to_owned(),
        sharing: LoadSharing::Each,
        course: vec![LoadStep { after_seconds: 0, value: 90 }],
        repeat_seconds: None,
    }
}

/// How many machines of the set have measured, minute by minute.
async fn measured(simulation: &Simulation, set: &str, window_seconds: i32) -> Vec<i64> {
    let name = "Percentage CPU".to_owned();
    let series = SeriesQuery { namespace: None, name, among: Among::All, grain_seconds: 60, window_seconds };
    let query = MetricsQuery { set_uid: set.to_owned(), series: vec![series] };
    let answer = simulation.metrics(&query).await.unwrap().remove(0);
    answer.grains.iter().map(|grain| grain.count).collect()
}

#[tokio::test]
async fn who_is_attached_is_measured_with_its_set_from_then_on() {
    let fixture = fixture().await;
    fixture.simulation.set_load("web", Some(busy())).await.unwrap();
    fixture.advance(120);
    assert_eq!(measured(&fixture.simulation, "set", 60).await, [2]);
    fixture.simulation.set_membership(target("c", 1), Some("set")).await.unwrap();
    fixture.advance(120);
    assert_eq!(measured(&fixture.simulation, "set", 60).await, [3]);
    fixture.simulation.set_membership(target("a", 1), None).await.unwrap();
    fixture.advance(120);
    assert_eq!(measured(&fixture.simulation, "set", 60).await, [2]);
    let course = measured(&fixture.simulation, "set", 420).await;
    assert!(course.contains(&2) && course.contains(&3), "what was before stays: {course:?}");
    assert!(course[..2].iter().all(|count| *count < 3), "it did not measure for the set before it joined: {course:?}");
    assert_eq!(measured(&fixture.simulation, "other", 60).await, [0_i64; 0]);
    fixture.simulation.set_membership(target("a", 1), Some("set")).await.unwrap();
    fixture
        .simulation
        .set_power(target("b", 1), scaleset_crds::vocabulary::PowerWish::Stopped, Shutdown::Skip)
        .await
        .unwrap();
    fixture.advance(180);
    assert_eq!(measured(&fixture.simulation, "set", 60).await, [2], "it comes back, and who stops measures no more");
}

#[tokio::test]
async fn it_is_maintained_with_the_set_that_has_it() {
    let fixture = fixture().await;
    fixture.simulation.set_membership(target("c", 1), Some("set")).await.unwrap();
    fixture.simulation.set_membership(target("a", 1), None).await.unwrap();
    let everywhere = Maintenance {
        kind: MaintenanceKind::Reboot,
        location: "testland".to_owned(),
        zone: None,
        fault_domain: None,
        host: None,
    };
    fixture.simulation.begin_maintenance("m", everywhere).await.unwrap();
    let event = async |uid: &str| fixture.machine(uid).await.disruption_notice.map(|notice| notice.event_id);
    let (alone, member, joined) = (event("a").await, event("b").await, event("c").await);
    assert!(
        joined.is_some() && joined == member,
        "one event of the set for those of one domain: {joined:?}, {member:?}"
    );
    assert!(alone.is_some() && alone != member, "and one of its own for who has left: {alone:?}");
}

#[tokio::test]
async fn its_deletion_is_coupled_with_those_of_the_set_that_has_it() {
    let fixture = Fixture::new();
    let told = |seconds: i32| VirtualMachineModel {
        terminate_notification: Some(TerminateNotification { not_before_timeout_seconds: seconds }),
        ..model()
    };
    for (uid, seconds) in [("a", 300), ("b", 600)] {
        let request = CreateRequest { model: std::sync::Arc::new(told(seconds)), ..request(uid) };
        fixture.running_as(of((uid == "a").then_some("set"), request)).await;
    }
    let simulation = &fixture.simulation;
    simulation.set_membership(target("b", 1), Some("set")).await.unwrap();
    for uid in ["a", "b"] {
        simulation.delete(target(uid, 1), Shutdown::Graceful).await.unwrap();
    }
    let stage = |machine: scaleset_hardware::Machine| machine.terminate_notice.map(|notice| notice.stage);
    let waits = simulation.approve_event(target("b", 1), None).await.unwrap();
    assert_eq!(stage(waits), Some(NoticeStage::Approved), "that of a ends earlier and is open");
    let told = simulation.set_membership(target("b", 1), None).await;
    assert!(matches!(told, Err(HardwareError::Busy { .. })), "from its notice on nothing is changed of it: {told:?}");
    simulation.approve_event(target("a", 1), None).await.unwrap();
    for uid in ["a", "b"] {
        assert_eq!(stage(fixture.machine(uid).await), Some(NoticeStage::Started), "{uid}");
    }
}

#[tokio::test]
async fn others_of_its_set_are_spread_around_it() {
    let fixture = Fixture::new();
    let domain_of = |host: Option<String>| host.unwrap()[.."testland-z1-fd0".len()].to_owned();
    let first = fixture.running_as(of(None, request_in("first", Some("1"), Some(0)))).await;
    fixture.simulation.set_membership(target("first", 1), Some("set")).await.unwrap();
    let next = fixture.running_as(of(Some("set"), request_in("next", Some("1"), None))).await;
    assert_ne!(domain_of(next.host.clone()), domain_of(first.host.clone()));
    // Who has left leaves no trace in what its set is spread over.
    fixture.simulation.set_membership(target("next", 1), None).await.unwrap();
    fixture.simulation.delete(target("next", 1), Shutdown::Skip).await.unwrap();
    let third = fixture.running_as(of(Some("set"), request_in("third", Some("1"), None))).await;
    assert_ne!(domain_of(third.host), domain_of(first.host));
}

#[tokio::test]
async fn it_is_told_once_is_fenced_and_lasts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hardware.redb");
    let clock = VirtualClock::default();
    let simulation = open(&path, &clock);
    let mut request = request("a");
    request.owner.instance_number = Some(4);
    simulation.create(request).await.unwrap();
    let moved = simulation.set_membership(target("a", 3), Some("other")).await.unwrap();
    assert_eq!((moved.owner.set_uid.as_deref(), moved.owner.instance_number), (Some("other"), None));
    assert_eq!(moved.provisioning, Provisioning::Creating, "whatever it is doing");
    assert_eq!(simulation.set_membership(target("a", 3), Some("other")).await, Ok(moved));
    let stale = simulation.set_membership(target("a", 2), None).await;
    assert!(matches!(stale, Err(HardwareError::Stale { .. })), "{stale:?}");
    let missing = simulation.set_membership(target("b", 1), None).await;
    assert!(matches!(missing, Err(HardwareError::NotFound { .. })), "{missing:?}");
    let journal = simulation.journal().unwrap();
    let told: Vec<&Outcome> =
        journal.iter().filter(|entry| entry.call == Call::SetMembership).map(|entry| &entry.outcome).collect();
    assert!(
        matches!(told[..], [Outcome::Accepted, Outcome::Unchanged, Outcome::Refused { .. }, Outcome::Refused { .. }]),
        "{told:?}"
    );
    drop(simulation);

    let simulation = open(&path, &clock);
    let inventory = simulation.observe_all().await.unwrap();
    assert_eq!(inventory.machines["a"].owner.set_uid.as_deref(), Some("other"));
    assert_eq!(inventory.highest_instance_numbers["set"], 4, "the number is not given again");
}

#[tokio::test]
async fn what_it_measured_before_it_joined_is_not_the_sets_after_a_restart_either() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hardware.redb");
    let clock = VirtualClock::default();
    let simulation = open(&path, &clock);
    simulation.set_load("web", Some(busy())).await.unwrap();
    simulation.create(of(None, request("a"))).await.unwrap();
    clock.advance(Duration::from_mins(10));
    simulation.set_membership(target("a", 1), Some("set")).await.unwrap();
    clock.advance(Duration::from_mins(2));
    let minutes = |counts: Vec<i64>| counts.into_iter().filter(|count| *count > 0).count();
    let before = minutes(measured(&simulation, "set", 600).await);
    drop(simulation);
    let simulation = open(&path, &clock);
    let after = minutes(measured(&simulation, "set", 600).await);
    assert!((1..=3).contains(&before) && after == before, "{before} minutes, and {after} after the restart");
}
