//! What a person asks for once: done once for each request, by the rules of each action.

use std::sync::Arc;
use std::time::Duration;

use scaleset_crds::scheduled_event::EventApproval;
use scaleset_crds::vocabulary::{PowerState, PowerWish};
use scaleset_hardware::sim::{Call, Fault, FaultEffect, Outcome, Selector, VirtualClock};
use scaleset_hardware::{Hardware, Machine, OperationAction, OperationRequest, Provisioning, ReimagedDisks, Shutdown};

use crate::durable::open;
use crate::fixture::{Fixture, disk, model, refusal, request, request_in, request_of, target};

fn restart(uid: &str) -> OperationRequest {
    OperationRequest { uid: uid.to_owned(), action: OperationAction::Restart(EventApproval::Automatic) }
}

fn redeploy(uid: &str) -> OperationRequest {
    OperationRequest { uid: uid.to_owned(), action: OperationAction::Redeploy(EventApproval::Automatic) }
}

fn reimage(uid: &str, disks: ReimagedDisks, machine: &Machine) -> OperationRequest {
    let (model_revision, model) = (machine.model_revision.clone(), Arc::clone(&machine.model));
    OperationRequest { uid: uid.to_owned(), action: OperationAction::Reimage { disks, model_revision, model } }
}

fn performed(fixture: &Fixture) -> Vec<Outcome> {
    let entries = fixture.simulation.journal().unwrap().into_iter();
    entries.filter(|entry| entry.call == Call::Perform).map(|entry| entry.outcome).collect()
}

#[tokio::test]
async fn a_request_is_carried_out_once_and_another_again() {
    let fixture = Fixture::new();
    fixture.running("a").await;
    for _ in 0..2 {
        let machine = fixture.simulation.perform(target("a", 1), restart("first")).await.unwrap();
        assert_eq!(machine.provisioning, Provisioning::Updating);
        assert_eq!(machine.last_operation.as_deref(), Some("first"));
    }
    fixture.finish();
    let after = fixture.simulation.perform(target("a", 1), restart("first")).await.unwrap();
    assert_eq!((after.provisioning, after.power), (Provisioning::Succeeded, PowerState::Running));
    fixture.simulation.perform(target("a", 1), restart("second")).await.unwrap();
    let expected = [Outcome::Accepted, Outcome::Unchanged, Outcome::Unchanged, Outcome::Accepted];
    assert_eq!(performed(&fixture), expected);
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_is_not_carried_out_again() {
    let fixture = Fixture::new();
    fixture.running("a").await;
    let lose = Fault {
        selector: Selector::default(),
        effect: FaultEffect::LoseAnswers { calls: vec![Call::Perform] },
        rate_percent: 100.0,
        remaining: Some(1),
    };
    fixture.simulation.set_fault("lose", lose).await.unwrap();
    fixture.simulation.perform(target("a", 1), redeploy("move")).await.unwrap_err();
    let host = fixture.machine("a").await.host;
    fixture.finish();
    let machine = fixture.simulation.perform(target("a", 1), redeploy("move")).await.unwrap();
    assert_eq!(machine.host, host);
    assert_eq!(performed(&fixture), [Outcome::AnswerLost, Outcome::Unchanged]);
}

#[tokio::test]
async fn the_last_request_is_remembered_by_the_next_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hardware.redb");
    let clock = VirtualClock::default();
    let simulation = open(&path, &clock);
    simulation.create(request("a")).await.unwrap();
    clock.advance(Duration::from_mins(2));
    simulation.perform(target("a", 1), restart("first")).await.unwrap();
    drop(simulation);
    let reopened = open(&path, &clock);
    clock.advance(Duration::from_mins(2));
    let machine = reopened.perform(target("a", 1), restart("first")).await.unwrap();
    assert_eq!(machine.provisioning, Provisioning::Succeeded);
    assert_eq!(reopened.calls()[&Call::Perform].unchanged, 1);
}

#[tokio::test]
async fn a_restart_stays_on_its_host_and_a_redeployment_leaves_it() {
    let fixture = Fixture::new();
    let before = fixture.running_as(request_in("a", Some("1"), Some(0))).await;
    fixture.simulation.perform(target("a", 1), restart("restart")).await.unwrap();
    fixture.finish();
    assert_eq!(fixture.machine("a").await.host, before.host);
    fixture.simulation.perform(target("a", 1), redeploy("move")).await.unwrap();
    fixture.finish();
    let moved = fixture.machine("a").await;
    assert_ne!(moved.host, before.host);
    assert_eq!(moved.placement, before.placement, "zone and fault domain are kept");
    assert_eq!((moved.power, moved.disks), (PowerState::Running, before.disks));
}

#[tokio::test]
async fn what_needs_a_running_machine_or_hardware_is_refused_without() {
    let fixture = Fixture::new();
    fixture.running("a").await;
    let refused = |operation: OperationRequest| {
        let simulation = &fixture.simulation;
        async move { refusal(simulation.perform(target("a", 1), operation).await) }
    };
    fixture.simulation.set_power(target("a", 1), PowerWish::Stopped, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    let stopped = "OperationNotAllowed: a machine whose power is stopped cannot be restarted, it must run";
    assert_eq!(refused(restart("restart")).await, stopped);
    fixture.simulation.perform(target("a", 1), redeploy("move")).await.unwrap();
    fixture.finish();
    assert_eq!(fixture.machine("a").await.power, PowerState::Stopped, "a stopped machine stays stopped");
    fixture.simulation.set_power(target("a", 1), PowerWish::Deallocated, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    let released = "OperationNotAllowed: a machine whose power is deallocated cannot be redeployed, it must hold hardware: start it";
    assert_eq!(refused(redeploy("again")).await, released);
    assert_eq!(fixture.machine("a").await.last_operation.as_deref(), Some("move"), "what is refused is not remembered");
}

#[tokio::test]
async fn a_reimage_replaces_the_disks_that_it_names() {
    let fixture = Fixture::new();
    let mut wanted = model();
    wanted.storage_profile.data_disks.push(disk(0, 32));
    let before = fixture.running_as(request_of("a", wanted)).await;
    fixture.simulation.perform(target("a", 1), reimage("os", ReimagedDisks::Os, &before)).await.unwrap();
    fixture.finish();
    let fresh = fixture.machine("a").await;
    assert_ne!(fresh.disks[0], before.disks[0]);
    assert_eq!(fresh.disks[1], before.disks[1]);
    assert_eq!((&fresh.vm_id, &fresh.private_ip_address), (&before.vm_id, &before.private_ip_address));
    fixture.simulation.perform(target("a", 1), reimage("all", ReimagedDisks::All, &before)).await.unwrap();
    fixture.finish();
    let all = fixture.machine("a").await;
    assert!(all.disks[0] != fresh.disks[0] && all.disks[1] != fresh.disks[1], "{:?}", all.disks);
}

#[tokio::test]
async fn cutting_the_power_is_faster_than_shutting_down() {
    let fixture = Fixture::new();
    let mut seconds = Vec::new();
    for shutdown in [Shutdown::Graceful, Shutdown::Skip] {
        let uid = format!("{shutdown:?}");
        fixture.running(&uid).await;
        let begun = fixture.clock.now();
        fixture.simulation.set_power(target(&uid, 1), PowerWish::Stopped, shutdown).await.unwrap();
        fixture.finish();
        let stopped = fixture.machine(&uid).await;
        assert_eq!(stopped.power, PowerState::Stopped);
        seconds.push(stopped.changed_at.duration_since(begun).as_secs_f64());
    }
    assert!(seconds[1] < seconds[0] / 2.0, "{seconds:?}");
}
