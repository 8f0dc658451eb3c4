//! Restarts and redeployments that a person asks for and that wait for an approval: who is told, together with whom, what
//! begins them, and that they are done once.

use std::path::Path;

use scaleset_crds::VirtualMachineModel;
use scaleset_crds::scheduled_event::{EventApproval, OsImageNotification};
use scaleset_crds::vocabulary::{PowerState, PowerWish};
use scaleset_hardware::sim::{Maintenance, MaintenanceKind, Simulation, VirtualClock};
use scaleset_hardware::{
    Disruption, DisruptionCause, DisruptionNotice, Hardware, HardwareError, Machine, NoticeStage, OperationAction,
    OperationRequest, Provisioning, ReimagedDisks, Shutdown,
};

use crate::durable::open;
use crate::fixture::{Fixture, model, refusal, request, request_of, target};

fn restart(operation: &str, approval: EventApproval) -> OperationRequest {
    OperationRequest { uid: operation.to_owned(), action: OperationAction::Restart(approval) }
}

fn redeploy(operation: &str) -> OperationRequest {
    OperationRequest { uid: operation.to_owned(), action: OperationAction::Redeploy(EventApproval::Awaited) }
}

async fn announced(simulation: &Simulation, uid: &str, operation: &str) -> Machine {
    simulation.perform(target(uid, 1), restart(operation, EventApproval::Awaited)).await.unwrap()
}

fn everywhere(kind: MaintenanceKind) -> Maintenance {
    Maintenance { kind, location: "testland".to_owned(), zone: None, fault_domain: None, host: None }
}

fn notice(machine: &Machine) -> DisruptionNotice {
    machine.disruption_notice.clone().expect("it is told")
}

#[tokio::test]
async fn the_first_call_tells_and_the_same_call_restarts_once_the_notice_is_over() {
    let fixture = Fixture::new();
    fixture.running("a").await;
    let simulation = &fixture.simulation;
    let asked = simulation.now();
    let told = announced(simulation, "a", "o").await;
    let notice = notice(&told);
    assert_eq!((&told.provisioning, told.power), (&Provisioning::Succeeded, PowerState::Running), "it runs on");
    assert_eq!((told.last_operation.as_deref(), notice.operation.as_deref()), (None, Some("o")));
    assert_eq!(
        (notice.disruption, notice.cause, notice.stage),
        (Disruption::Reboot, DisruptionCause::Operation, NoticeStage::Scheduled)
    );
    let before = notice.not_before.duration_since(asked).as_secs();
    assert!((900..=960).contains(&before) && notice.not_before.as_second() % 60 == 0, "{before} s before");
    fixture.advance(300);
    assert_eq!(self::notice(&announced(simulation, "a", "o").await), notice, "asked again, it keeps its time");

    fixture.clock.advance_to(notice.not_before);
    let waits = fixture.machine("a").await;
    assert_eq!((self::notice(&waits).stage, waits.power), (NoticeStage::Approved, PowerState::Running));
    let begun = announced(simulation, "a", "o").await;
    assert_eq!((begun.last_operation.as_deref(), begun.power), (Some("o"), PowerState::Stopping));
    assert_eq!(self::notice(&begun).stage, NoticeStage::Started);
    fixture.finish();
    let after = fixture.machine("a").await;
    assert_eq!((after.power, after.disruption_notice), (PowerState::Running, None), "it is over, and vanishes");
    let again = announced(simulation, "a", "o").await;
    assert_eq!((again.power, again.disruption_notice), (PowerState::Running, None), "once");
}

#[tokio::test]
async fn machines_that_are_told_together_have_one_event_and_one_approval_is_for_all() {
    let fixture = Fixture::new();
    for uid in ["a", "b", "c"] {
        fixture.running(uid).await;
    }
    let simulation = &fixture.simulation;
    let first = notice(&announced(simulation, "a", "o").await);
    assert_eq!(notice(&announced(simulation, "b", "o").await), first);
    assert_ne!(notice(&announced(simulation, "c", "another").await).event_id, first.event_id);
    simulation.approve_event(target("b", 1), Some(&first.event_id)).await.unwrap();
    for uid in ["a", "b"] {
        let released = fixture.machine(uid).await;
        assert_eq!((notice(&released).stage, released.power), (NoticeStage::Approved, PowerState::Running), "{uid}");
        assert_eq!(announced(simulation, uid, "o").await.power, PowerState::Stopping, "{uid}");
    }
    assert_eq!(notice(&fixture.machine("c").await).stage, NoticeStage::Scheduled);
    let twice = simulation.approve_event(target("a", 1), Some(&first.event_id)).await;
    assert!(twice.is_ok(), "twice is as good as once: {twice:?}");
}

#[tokio::test]
async fn a_redeployment_is_told_ten_minutes_before_and_moves_then() {
    let fixture = Fixture::new();
    let host = fixture.running("a").await.host;
    let simulation = &fixture.simulation;
    let asked = simulation.now();
    let told = simulation.perform(target("a", 1), redeploy("o")).await.unwrap();
    let not_before = notice(&told).not_before;
    let before = not_before.duration_since(asked).as_secs();
    assert!((600..=660).contains(&before), "{before} s before");
    assert_eq!((notice(&told).disruption, &told.host), (Disruption::Redeploy, &host));
    fixture.clock.advance_to(not_before);
    let moved = simulation.perform(target("a", 1), redeploy("o")).await.unwrap();
    assert_ne!(moved.host, host);
}

#[tokio::test]
async fn who_cannot_hear_and_who_need_not_wait_is_not_told() {
    let fixture = Fixture::new();
    for uid in ["automatic", "off"] {
        fixture.running(uid).await;
    }
    let simulation = &fixture.simulation;
    let at_once = simulation.perform(target("automatic", 1), restart("o", EventApproval::Automatic)).await.unwrap();
    assert_eq!((at_once.power, at_once.disruption_notice), (PowerState::Stopping, None));
    simulation.set_power(target("off", 1), PowerWish::Stopped, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    let host = fixture.machine("off").await.host;
    let moved = simulation.perform(target("off", 1), redeploy("o")).await.unwrap();
    assert!(moved.disruption_notice.is_none() && moved.host != host, "a stopped one moves at once");
    fixture.finish();
    let refused = refusal(simulation.perform(target("off", 1), restart("p", EventApproval::Awaited)).await);
    assert!(refused.contains("cannot be restarted, it must run"), "{refused}");
}

#[tokio::test]
async fn a_notice_that_is_out_keeps_its_time_when_nobody_has_to_approve_any_more() {
    let fixture = Fixture::new();
    fixture.running("a").await;
    let simulation = &fixture.simulation;
    let told = notice(&announced(simulation, "a", "o").await);
    let automatic = async || simulation.perform(target("a", 1), restart("o", EventApproval::Automatic)).await.unwrap();
    assert_eq!(notice(&automatic().await), told);
    fixture.clock.advance_to(told.not_before);
    let begun = automatic().await;
    assert_eq!((begun.power, notice(&begun).stage), (PowerState::Stopping, NoticeStage::Started));
    fixture.finish();
    assert_eq!(fixture.machine("a").await.disruption_notice, None);
}

#[tokio::test]
async fn what_nobody_asks_for_any_more_gives_way_and_vanishes() {
    let fixture = Fixture::new();
    for uid in ["next", "nobody"] {
        fixture.running(uid).await;
    }
    let simulation = &fixture.simulation;
    let given_up = notice(&announced(simulation, "next", "given-up").await);
    announced(simulation, "nobody", "given-up").await;
    let next = notice(&announced(simulation, "next", "o").await);
    assert_eq!((next.operation.as_deref(), next.event_id == given_up.event_id), (Some("o"), false));
    fixture.clock.advance_to(given_up.not_before + jiff::SignedDuration::from_secs(3_599));
    assert_eq!(notice(&fixture.machine("nobody").await).stage, NoticeStage::Approved);
    fixture.advance(1);
    let forgotten = fixture.machine("nobody").await;
    assert_eq!((forgotten.power, forgotten.disruption_notice), (PowerState::Running, None), "nothing is done to it");
}

#[tokio::test]
async fn who_goes_down_meanwhile_is_told_nothing_any_more() {
    let fixture = Fixture::new();
    fixture.running("a").await;
    let simulation = &fixture.simulation;
    announced(simulation, "a", "o").await;
    let stopping = simulation.set_power(target("a", 1), PowerWish::Stopped, Shutdown::Graceful).await.unwrap();
    assert_eq!((stopping.power, stopping.disruption_notice), (PowerState::Stopping, None));
    fixture.finish();
    let refused = refusal(simulation.perform(target("a", 1), restart("o", EventApproval::Awaited)).await);
    assert!(refused.contains("cannot be restarted, it must run"), "{refused}");
    simulation.set_power(target("a", 1), PowerWish::Running, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    let anew = notice(&announced(simulation, "a", "o").await);
    assert_eq!(anew.stage, NoticeStage::Scheduled, "it is told anew");
}

#[tokio::test]
async fn maintenance_comes_first_and_a_new_os_disk_is_announced_anew() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    fixture.running("a").await;
    simulation.begin_maintenance("m", everywhere(MaintenanceKind::Freeze)).await.unwrap();
    let busy = simulation.perform(target("a", 1), restart("o", EventApproval::Awaited)).await;
    assert!(matches!(busy, Err(HardwareError::Busy { .. })), "{busy:?}");
    fixture.finish();
    assert_eq!(notice(&announced(simulation, "a", "o").await).cause, DisruptionCause::Operation);

    let notification = OsImageNotification { not_before_timeout_seconds: 900 };
    let told_of_images = VirtualMachineModel { os_image_notification: Some(notification), ..model() };
    fixture.running_as(request_of("b", told_of_images.clone())).await;
    let action = OperationAction::Reimage {
        disks: ReimagedDisks::Os,
        model_revision: "revision-1".to_owned(),
        model: std::sync::Arc::new(told_of_images),
    };
    let reimage = OperationRequest { uid: "disk".to_owned(), action };
    let of_disk = notice(&simulation.perform(target("b", 1), reimage.clone()).await.unwrap());
    let of_restart = notice(&announced(simulation, "b", "o").await);
    assert_eq!((of_disk.cause, of_restart.cause), (DisruptionCause::OsImage, DisruptionCause::Operation));
    assert_eq!(of_disk.duration_seconds, Some(40));
    simulation.approve_event(target("b", 1), None).await.unwrap();
    announced(simulation, "b", "o").await;
    fixture.finish();
    let anew = notice(&simulation.perform(target("b", 1), reimage).await.unwrap());
    assert_eq!((anew.cause, anew.stage), (DisruptionCause::OsImage, NoticeStage::Scheduled));
}

#[tokio::test]
async fn each_event_says_how_long_it_is_expected_to_take() {
    // Times of the test's region are constant.
    let fixture = Fixture::new();
    fixture.running("a").await;
    assert_eq!(notice(&announced(&fixture.simulation, "a", "o").await).duration_seconds, Some(20), "a restart");
    for (kind, seconds) in
        [(MaintenanceKind::Freeze, 4), (MaintenanceKind::Redeploy, 20), (MaintenanceKind::HardwareFailure, 20)]
    {
        let fixture = Fixture::new();
        fixture.running("a").await;
        fixture.simulation.begin_maintenance("m", everywhere(kind)).await.unwrap();
        assert_eq!(notice(&fixture.machine("a").await).duration_seconds, Some(seconds), "{kind:?}");
    }
}

#[tokio::test]
async fn a_notice_survives_a_restart_of_the_hardware_and_is_acted_on_once() {
    let directory = tempfile::tempdir().unwrap();
    let path: &Path = &directory.path().join("region.redb");
    let clock = VirtualClock::default();
    let finish = |simulation: &Simulation| {
        while let Some(next) = simulation.next_event_at() {
            clock.advance_to(next);
        }
    };
    let told = {
        let simulation = open(path, &clock);
        simulation.create(request("a")).await.unwrap();
        finish(&simulation);
        notice(&announced(&simulation, "a", "o").await)
    };
    {
        let simulation = open(path, &clock);
        assert_eq!(notice(&announced(&simulation, "a", "o").await), told, "the same call tells nothing new");
        simulation.approve_event(target("a", 1), Some(&told.event_id)).await.unwrap();
    }
    {
        let simulation = open(path, &clock);
        assert_eq!(announced(&simulation, "a", "o").await.power, PowerState::Stopping);
    }
    let simulation = open(path, &clock);
    finish(&simulation);
    let after = announced(&simulation, "a", "o").await;
    assert_eq!((after.power, after.disruption_notice), (PowerState::Running, None), "it is done once");
}
