//! Notices before deletions: what they hold, what ends them, how those of one set are coupled, and what survives of them.

use std::path::Path;

use scaleset_crds::VirtualMachineModel;
use scaleset_crds::scheduled_event::{EventApproval, TerminateNotification};
use scaleset_crds::spot::{EvictionPolicy, SpotTerms};
use scaleset_crds::vocabulary::{PowerState, PowerWish};
use scaleset_hardware::sim::{MachineFault, Simulation, VirtualClock};
use scaleset_hardware::{
    CreateRequest, Deletion, Hardware, HardwareError, Machine, NoticeStage, OperationAction, OperationRequest,
    Provisioning, Shutdown, UpdateMethod,
};

use crate::durable::open;
use crate::fixture::{Fixture, model, refusal, request_of, target};

fn told_model(seconds: i32) -> VirtualMachineModel {
    let notification = TerminateNotification { not_before_timeout_seconds: seconds };
    VirtualMachineModel { terminate_notification: Some(notification), ..model() }
}

fn told(uid: &str, seconds: i32) -> CreateRequest {
    request_of(uid, told_model(seconds))
}

fn stage(machine: &Machine) -> Option<NoticeStage> {
    machine.terminate_notice.as_ref().map(|notice| notice.stage)
}

fn event_id(machine: &Machine) -> String {
    machine.terminate_notice.as_ref().expect("it has a notice").event_id.clone()
}

async fn delete(simulation: &Simulation, uid: &str) -> Deletion {
    simulation.delete(target(uid, 2), Shutdown::Graceful).await.unwrap()
}

async fn approve(simulation: &Simulation, uid: &str) -> Option<NoticeStage> {
    stage(&simulation.approve_event(target(uid, 2), None).await.unwrap())
}

/// Machines that run and were then told of their deletion, in that order.
async fn told_to_go(fixture: &Fixture, requests: Vec<CreateRequest>) {
    let uids: Vec<String> = requests.iter().map(|request| request.target.uid.clone()).collect();
    for request in requests {
        fixture.running_as(request).await;
    }
    for uid in &uids {
        delete(&fixture.simulation, uid).await;
    }
}

#[tokio::test]
async fn a_machine_runs_on_until_its_notice_is_over() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    let before = fixture.running_as(told("a", 300)).await;
    let room = simulation.headroom("testland", "Small", scaleset_crds::spot::Priority::Regular).await.unwrap();
    assert_eq!(delete(simulation, "a").await, Deletion::InProgress);
    let machine = fixture.machine("a").await;
    let notice = machine.terminate_notice.clone().expect("it is told before");
    assert_eq!(
        (notice.stage, notice.not_before),
        (NoticeStage::Scheduled, simulation.now() + jiff::SignedDuration::from_secs(300))
    );
    assert_eq!((machine.power, machine.provisioning.clone()), (PowerState::Running, Provisioning::Succeeded));
    assert_eq!((machine.host, machine.private_ip_address), (before.host, before.private_ip_address));
    let then = simulation.headroom("testland", "Small", scaleset_crds::spot::Priority::Regular).await.unwrap();
    assert_eq!(then, room, "it holds its room and its quota");

    fixture.advance(100);
    assert_eq!(delete(simulation, "a").await, Deletion::InProgress);
    assert_eq!(fixture.machine("a").await.terminate_notice, Some(notice), "asked again, it keeps its time");
    fixture.advance(199);
    assert_eq!(fixture.machine("a").await.power, PowerState::Running);
    fixture.advance(1);
    let going = fixture.machine("a").await;
    assert_eq!((stage(&going), going.provisioning), (Some(NoticeStage::Started), Provisioning::Deleting));
    fixture.finish();
    assert_eq!(simulation.observe("a").await, Ok(None));
    assert_eq!(delete(simulation, "a").await, Deletion::Gone);
}

#[tokio::test]
async fn an_approval_ends_the_wait_and_may_be_repeated() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    fixture.running_as(told("a", 900)).await;
    let early = refusal(simulation.approve_event(target("a", 1), None).await);
    assert_eq!(early, "InvalidParameter: the VM has no scheduled event to approve, it has: none");
    delete(simulation, "a").await;
    let id = event_id(&fixture.machine("a").await);
    let unknown = refusal(simulation.approve_event(target("a", 2), Some("other")).await);
    assert_eq!(unknown, format!("InvalidParameter: the VM has no scheduled event other to approve, it has: {id}"));
    let stale = simulation.approve_event(target("a", 1), Some(&id)).await;
    assert!(matches!(stale, Err(HardwareError::Stale { .. })), "{stale:?}");
    assert_eq!(stage(&fixture.machine("a").await), Some(NoticeStage::Scheduled), "what was refused changes nothing");

    let approved = simulation.approve_event(target("a", 2), Some(&id)).await.unwrap();
    assert_eq!((stage(&approved), approved.provisioning), (Some(NoticeStage::Started), Provisioning::Deleting));
    assert_eq!(approve(simulation, "a").await, Some(NoticeStage::Started), "twice is as good as once");
    fixture.finish();
    assert_eq!(simulation.observe("a").await, Ok(None));
}

#[tokio::test]
async fn who_is_approved_waits_for_those_of_its_set_whose_notice_ends_no_later() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    let mut alone = told("alone", 300);
    alone.owner.set_uid = Some("another".to_owned());
    told_to_go(&fixture, vec![told("first", 300), told("second", 300), told("late", 900), alone]).await;
    let stage_of = async |uid: &str| stage(&fixture.machine(uid).await);

    assert_eq!(approve(simulation, "second").await, Some(NoticeStage::Approved), "first ends before");
    assert_eq!(approve(simulation, "alone").await, Some(NoticeStage::Started), "another set is another matter");
    assert_eq!(stage_of("second").await, Some(NoticeStage::Approved));
    assert_eq!(approve(simulation, "first").await, Some(NoticeStage::Started));
    assert_eq!(stage_of("second").await, Some(NoticeStage::Started), "then both go");
    assert_eq!(stage_of("late").await, Some(NoticeStage::Scheduled), "nobody has approved it");
}

#[tokio::test]
async fn who_was_waited_for_times_out_or_vanishes_and_both_go() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    told_to_go(&fixture, vec![told("a", 300), told("b", 600), told("c", 900), told("d", 900)]).await;
    approve(simulation, "b").await;
    approve(simulation, "d").await;
    let over = fixture.machine("a").await.terminate_notice.unwrap().not_before;
    fixture.clock.advance_to(over);
    let stage_of = async |uid: &str| stage(&fixture.machine(uid).await);
    assert_eq!(stage_of("b").await, Some(NoticeStage::Started), "a is over");
    assert_eq!(stage_of("d").await, Some(NoticeStage::Approved), "c is not");
    simulation.vanish("c").await.unwrap();
    assert_eq!(stage_of("d").await, Some(NoticeStage::Started));
}

#[tokio::test]
async fn who_cannot_hear_goes_at_once() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    for (uid, wish) in [("stopped", PowerWish::Stopped), ("deallocated", PowerWish::Deallocated)] {
        fixture.running_as(told(uid, 300)).await;
        simulation.set_power(target(uid, 1), wish, Shutdown::Graceful).await.unwrap();
        fixture.finish();
    }
    fixture.running_as(told("crashed", 300)).await;
    simulation.fail_machine("crashed", MachineFault::Crash).await.unwrap();
    fixture.running_as(told("hangs", 300)).await;
    simulation.fail_machine("hangs", MachineFault::Hang).await.unwrap();
    simulation.create(told("creating", 300)).await.unwrap();
    for uid in ["stopped", "deallocated", "crashed", "creating"] {
        delete(simulation, uid).await;
        let going = simulation.observe(uid).await.unwrap();
        assert!(going.is_none_or(|going| going.provisioning == Provisioning::Deleting), "{uid}");
    }
    delete(simulation, "hangs").await;
    assert_eq!(
        stage(&fixture.machine("hangs").await),
        Some(NoticeStage::Scheduled),
        "a guest that hangs may come back"
    );
}

#[tokio::test]
async fn nothing_is_changed_of_a_machine_that_was_told() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    fixture.running_as(told("a", 300)).await;
    delete(simulation, "a").await;
    let notice = fixture.machine("a").await.terminate_notice;
    let update = simulation.update(target("a", 3), "revision-2", told_model(900).into(), UpdateMethod::Online).await;
    let power = simulation.set_power(target("a", 3), PowerWish::Stopped, Shutdown::Graceful).await;
    let operation =
        OperationRequest { uid: "o".to_owned(), action: OperationAction::Restart(EventApproval::Automatic) };
    let restart = simulation.perform(target("a", 3), operation).await;
    for result in [update, power, restart] {
        assert_eq!(refusal(result), "machine a is busy: about to be deleted, its notice is out");
    }
    assert_eq!(simulation.delete(target("a", 1), Shutdown::Graceful).await.map_err(|error| error.code()), Err("Stale"));
    assert_eq!(fixture.machine("a").await.terminate_notice, notice);
}

#[tokio::test]
async fn the_model_that_was_applied_decides() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    fixture.running_as(told("on", 300)).await;
    fixture.running_as(request_of("off", model())).await;
    for (uid, wanted) in [("on", model()), ("off", told_model(600))] {
        simulation.update(target(uid, 1), "revision-2", wanted.into(), UpdateMethod::Online).await.unwrap();
    }
    fixture.finish();
    for uid in ["on", "off"] {
        delete(simulation, uid).await;
    }
    assert_eq!(stage(&fixture.machine("on").await), None);
    let left = fixture.machine("off").await.terminate_notice.unwrap().not_before.duration_since(simulation.now());
    assert_eq!(left.as_secs(), 600);
}

#[tokio::test]
async fn an_approved_eviction_comes_at_once() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    let terms = SpotTerms { eviction_policy: EvictionPolicy::Deallocate, max_price: "-1".parse().unwrap() };
    fixture.running_as(request_of("a", VirtualMachineModel { spot: Some(terms), ..model() })).await;
    let operation = OperationRequest { uid: "o".to_owned(), action: OperationAction::SimulateEviction };
    let told = simulation.perform(target("a", 1), operation).await.unwrap();
    let id = told.preempt_notice.expect("it is told").event_id;
    let evicted = simulation.approve_event(target("a", 1), Some(&id)).await.unwrap();
    assert_eq!((evicted.power, evicted.preempt_notice), (PowerState::Deallocating, None));
    assert_eq!(evicted.eviction.map(|eviction| eviction.time), Some(simulation.now()));
    for event in [Some(id.as_str()), None] {
        assert!(simulation.approve_event(target("a", 1), event).await.is_ok(), "twice is as good as once");
    }
    let other = refusal(simulation.approve_event(target("a", 1), Some("other")).await);
    assert_eq!(other, "InvalidParameter: the VM has no scheduled event other to approve, it has: none");
}

/// The store is copied while it is open: that is what a process that was killed leaves behind.
#[tokio::test]
async fn notices_survive_and_what_came_meanwhile_comes_about_as_if_nothing_had_happened() {
    let directory = tempfile::tempdir().unwrap();
    let clock = VirtualClock::default();
    let simulation = open(&directory.path().join("first"), &clock);
    for (uid, seconds) in [("a", 300), ("b", 600), ("c", 900)] {
        simulation.create(told(uid, seconds)).await.unwrap();
    }
    while let Some(next) = simulation.next_event_at() {
        clock.advance_to(next);
    }
    for uid in ["a", "b", "c"] {
        delete(&simulation, uid).await;
    }
    approve(&simulation, "b").await;
    let copied = directory.path().join("second");
    copy(&directory.path().join("first"), &copied);
    let notice = async |simulation: &Simulation, uid: &str| {
        simulation.observe(uid).await.unwrap().map(|machine| (machine.terminate_notice, machine.changed_at))
    };
    let killed = open(&copied, &clock);
    for uid in ["a", "b", "c"] {
        assert_eq!(notice(&killed, uid).await, notice(&simulation, uid).await, "{uid}");
    }
    drop(killed);
    clock.advance(std::time::Duration::from_secs(301));
    let later = open(&copied, &clock);
    for uid in ["b", "c", "a"] {
        assert_eq!(
            notice(&later, uid).await,
            notice(&simulation, uid).await,
            "{uid}, which went while nobody was there"
        );
    }
    assert_eq!(
        notice(&later, "c").await.and_then(|(notice, _)| notice).map(|it| it.stage),
        Some(NoticeStage::Scheduled)
    );
}

fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap();
}
