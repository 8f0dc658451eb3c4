//! What a caller gets is what it would get from hardware in its own process.

use std::sync::Arc;

use scaleset_crds::scheduled_event::EventApproval;
use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::{PowerState, PowerWish};
use scaleset_hardware::sim::{Fault, FaultEffect, Selector};
use scaleset_hardware::{
    Deletion, DisruptionCause, Hardware, HardwareError, OperationAction, OperationRequest, OsDiskWish,
    ReservationGroupRequest, ReservationRequest, Seat, Shutdown, UpdateMethod,
};
use scaleset_hardware_wire::client::{Overtaken, RemoteHardware};

use crate::fixture::{Server, model, request, simulation, target, until};

/// Machines in the largest answer.
const MANY: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn every_call_arrives_and_its_answer_comes_back() {
    let (simulation, clock) = simulation();
    let server = Server::start(&simulation);
    let remote = server.client(0).await;
    let finish = || {
        while let Some(next) = simulation.next_event_at() {
            clock.advance_to(next);
        }
    };
    let created = remote.create(request("a")).await.unwrap();
    assert_eq!(Some(&created), simulation.observe("a").await.unwrap().as_ref());
    finish();
    let mut other = model();
    other.tags.insert("tier".to_owned(), "web".to_owned());
    let updated = remote.update(target("a", 2), "revision-2", Arc::new(other), UpdateMethod::Online).await.unwrap();
    assert_eq!((updated.model_revision.as_str(), updated.generation), ("revision-2", 2));
    finish();
    remote.set_power(target("a", 2), PowerWish::Deallocated, Shutdown::Skip).await.unwrap();
    finish();
    assert_eq!(remote.observe("a").await.unwrap().unwrap().power, PowerState::Deallocated);
    let seat = Seat { platform_fault_domain: None, update_domain: Some(1), placement_group: Some("1".to_owned()) };
    assert_eq!(remote.start_at(target("a", 2), seat).await.unwrap().placement.update_domain, Some(1));
    finish();
    remote.count(target("a", 2)).await.unwrap();
    let joined = remote.set_membership(target("a", 2), Some("other")).await.unwrap();
    assert_eq!((joined.owner.set_uid.as_deref(), joined.owner.instance_number), (Some("other"), None));
    assert_eq!(remote.set_membership(target("a", 2), None).await.unwrap().owner.set_uid, None);
    let restart =
        OperationRequest { uid: "operation".to_owned(), action: OperationAction::Restart(EventApproval::Automatic) };
    assert_eq!(remote.perform(target("a", 2), restart).await.unwrap().last_operation.as_deref(), Some("operation"));
    finish();
    let redeploy =
        OperationRequest { uid: "announced".to_owned(), action: OperationAction::Redeploy(EventApproval::Awaited) };
    let told = remote.perform(target("a", 2), redeploy).await.unwrap();
    let notice = told.disruption_notice.expect("it is told");
    assert_eq!((notice.operation.as_deref(), notice.cause), (Some("announced"), DisruptionCause::Operation));
    finish();
    remote.reimage(target("a", 2), "revision-3", Arc::new(model())).await.unwrap();
    finish();
    let disk = remote.observe("a").await.unwrap().unwrap().disks[0].clone();
    let fresh = OsDiskWish::Fresh { version: "1".to_owned(), after: disk.clone() };
    let replaced = remote.replace_os_disk(target("a", 2), "revision-3", Arc::new(model()), fresh).await.unwrap();
    assert_ne!(replaced.disks[0], disk);
    finish();
    let approved = remote.approve_event(target("a", 2), None).await;
    assert_eq!(approved, simulation.approve_event(target("a", 2), None).await);
    assert_eq!(*remote.catalog().await.unwrap(), *simulation.catalog().await.unwrap());
    let headroom = remote.headroom("testland", "Small", Priority::Regular).await.unwrap();
    assert_eq!(headroom, simulation.headroom("testland", "Small", Priority::Regular).await.unwrap());
    assert_eq!(remote.headroom("testland", "Other", Priority::Regular).await, Ok(None));
    assert_eq!(remote.delete(target("a", 2), Shutdown::Graceful).await, Ok(Deletion::InProgress));
    finish();
    assert_eq!(remote.delete(target("a", 2), Shutdown::Graceful).await, Ok(Deletion::Gone));
    assert_eq!(remote.observe("a").await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn reservations_travel_too() {
    let (simulation, _) = simulation();
    let server = Server::start(&simulation);
    let remote = server.client(0).await;
    let group = ReservationGroupRequest {
        namespace: "default".to_owned(),
        name: "group".to_owned(),
        location: "testland".to_owned(),
        zones: vec!["1".to_owned()],
        shared_with: Vec::new(),
    };
    remote.put_reservation_group(target("g", 1), group).await.unwrap();
    let reservation = ReservationRequest {
        name: "small".to_owned(),
        vm_size: "Small".to_owned(),
        zone: Some("1".to_owned()),
        capacity: 3,
    };
    remote.reserve(target("g", 1), reservation).await.unwrap();
    let seen = remote.observe_reservation_group("g").await.unwrap();
    assert_eq!(seen, simulation.observe_reservation_group("g").await.unwrap());
    assert_eq!(seen.unwrap().reservations[0].current_capacity, 3);
    let refused = remote.delete_reservation_group(target("g", 1)).await.unwrap_err();
    assert_eq!(refused.code(), "OperationNotAllowed");
    assert_eq!(remote.release_reservation(target("g", 1), "small").await, Ok(Deletion::Gone));
    assert_eq!(remote.delete_reservation_group(target("g", 1)).await, Ok(Deletion::Gone));
    assert_eq!(remote.observe_reservation_group("g").await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_the_same_refusal() {
    let (simulation, _) = simulation();
    let server = Server::start(&simulation);
    let remote = server.client(0).await;
    let not_found = HardwareError::NotFound { uid: "a".to_owned() };
    assert_eq!(remote.count(target("a", 1)).await.unwrap_err(), not_found);
    let mut elsewhere = request("a");
    elsewhere.placement.location = "nowhere".to_owned();
    let refused = remote.create(elsewhere.clone()).await.unwrap_err();
    assert_eq!(refused, simulation.create(elsewhere).await.unwrap_err());
    remote.create(request("a")).await.unwrap();
    let older = remote.set_power(target("a", 0), PowerWish::Running, Shutdown::Graceful).await.unwrap_err();
    assert_eq!(older, HardwareError::Stale { uid: "a".to_owned(), generation: 0, seen: 1 });
    let throttle = Fault {
        selector: Selector::default(),
        effect: FaultEffect::ThrottleCalls { calls: Vec::new(), retry_after_seconds: 1.5 },
        rate_percent: 100.0,
        remaining: None,
    };
    simulation.set_fault("slow", throttle).await.unwrap();
    let throttled = remote.observe("a").await.unwrap_err();
    assert_eq!(throttled, HardwareError::Throttled { retry_after: std::time::Duration::from_millis(1_500) });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_leader_keeps_the_earlier_one_out() {
    let (simulation, _) = simulation();
    let server = Server::start(&simulation);
    let old = server.client(3).await;
    old.create(request("a")).await.unwrap();
    let new = server.client(4).await;
    let stale = HardwareError::StaleEpoch { epoch: 3, seen: 4 };
    assert_eq!(old.create(request("b")).await.unwrap_err(), stale);
    assert_eq!(old.observe_all().await.unwrap_err(), stale);
    assert_eq!(new.observe_all().await.unwrap().machines.len(), 1);
    for (epoch, who) in [(3, "an old leader that comes back"), (0, "a controller that no election made leader")] {
        let connected = RemoteHardware::connect(&server.options(), epoch, |_| ()).await.unwrap();
        assert_eq!(connected.err(), Some(Overtaken { seen: 4 }), "{who}");
    }
    let journal = simulation.journal().unwrap();
    let told: Vec<String> = journal.iter().map(|it| format!("{:?} {:?} {:?}", it.call, it.epoch, it.uid)).collect();
    assert_eq!(
        told,
        [r#"Lead Some(3) """#, r#"Create Some(3) "a""#, r#"Lead Some(4) """#, r#"Create Some(3) "b""#],
        "the refused call is told too"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_there_is_fits_however_much_it_is() {
    let (simulation, _) = simulation();
    for number in 0..MANY {
        simulation.create(request(&format!("machine-{number:05}"))).await.unwrap();
    }
    let server = Server::start(&simulation);
    let remote = server.client(0).await;
    let inventory = remote.observe_all().await.unwrap();
    assert_eq!(inventory, simulation.observe_all().await.unwrap());
    assert_eq!(inventory.machines.len(), MANY);
    let first = &inventory.machines["machine-00000"].model;
    let shared = inventory.machines.values().filter(|machine| Arc::ptr_eq(&machine.model, first)).count();
    assert_eq!(shared, MANY, "one model in memory");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_waiting_has_not_undone_the_call() {
    let (simulation, _) = simulation();
    let server = Server::start(&simulation);
    let remote = server.client(0).await;
    // Sent and let go of: it may have arrived or not, and the same call again has the effect of one.
    drop(tokio::time::timeout(std::time::Duration::from_millis(1), remote.create(request("a"))).await);
    remote.create(request("a")).await.unwrap();
    until("one machine", async || (simulation.observe_all().await.unwrap().machines.len() == 1).then_some(())).await;
}
