//! Maintenance of hosts, hardware that fails, and notices before an OS disk is replaced: who is told when, together with
//! whom, what an approval does, and what survives of it.

use std::path::Path;
use std::sync::Arc;

use scaleset_crds::VirtualMachineModel;
use scaleset_crds::scheduled_event::{EventApproval, OsImageNotification};
use scaleset_crds::vocabulary::{PowerState, PowerWish};
use scaleset_hardware::sim::{ControlCode, Maintenance, MaintenanceKind, Simulation, VirtualClock};
use scaleset_hardware::{
    CreateRequest, Disruption, DisruptionCause, DisruptionNotice, Hardware, HardwareError, NoticeStage,
    OperationAction, OperationRequest, Provisioning, ReimagedDisks, Shutdown,
};

use crate::durable::open;
use crate::fixture::{Fixture, image, model, refusal, request, request_in, request_of, target};

fn everywhere(kind: MaintenanceKind) -> Maintenance {
    Maintenance { kind, location: "testland".to_owned(), zone: None, fault_domain: None, host: None }
}

/// A machine of a Uniform set in that update domain.
fn in_update_domain(uid: &str, update_domain: i32) -> CreateRequest {
    let mut request = request(uid);
    request.placement.update_domain = Some(update_domain);
    request
}

/// A machine of a Flexible set, or of none.
fn flexible(uid: &str, set: Option<&str>, fault_domain: i32) -> CreateRequest {
    let mut request = request_in(uid, Some("1"), Some(fault_domain));
    "FlexVM".clone_into(&mut request.owner.kind);
    request.owner.set_uid = set.map(str::to_owned);
    request
}

async fn notice(simulation: &Simulation, uid: &str) -> Option<DisruptionNotice> {
    simulation.observe(uid).await.unwrap().unwrap_or_else(|| panic!("there is no {uid}")).disruption_notice
}

async fn stages(fixture: &Fixture, uids: &[&str]) -> Vec<Option<NoticeStage>> {
    let mut stages = Vec::new();
    for uid in uids {
        stages.push(notice(&fixture.simulation, uid).await.map(|notice| notice.stage));
    }
    stages
}

async fn begin(fixture: &Fixture, kind: MaintenanceKind) {
    fixture.simulation.begin_maintenance("m", everywhere(kind)).await.unwrap();
}

const SCHEDULED: Option<NoticeStage> = Some(NoticeStage::Scheduled);
const STARTED: Option<NoticeStage> = Some(NoticeStage::Started);

#[tokio::test]
async fn one_update_domain_is_told_and_maintained_after_the_other() {
    let fixture = Fixture::new();
    for (uid, domain) in [("a", 0), ("b", 0), ("c", 1), ("d", 3)] {
        fixture.running_as(in_update_domain(uid, domain)).await;
    }
    let began = fixture.simulation.now();
    begin(&fixture, MaintenanceKind::Reboot).await;
    let all = ["a", "b", "c", "d"];
    assert_eq!(stages(&fixture, &all).await, [SCHEDULED, SCHEDULED, None, None]);
    let told = notice(&fixture.simulation, "a").await.expect("it is told");
    assert_eq!(notice(&fixture.simulation, "b").await, Some(told.clone()), "one event for both");
    assert_eq!((told.disruption, told.cause), (Disruption::Reboot, DisruptionCause::Maintenance));
    let seconds = told.not_before.duration_since(began).as_secs();
    assert!((900..=901).contains(&seconds), "a quarter of an hour before, not {seconds} s");

    fixture.clock.advance_to(told.not_before);
    assert_eq!(stages(&fixture, &all).await, [STARTED, STARTED, None, None]);
    let restarting = fixture.machine("a").await;
    assert_eq!((restarting.power, restarting.provisioning), (PowerState::Stopping, Provisioning::Updating));
    fixture.advance(60);
    assert_eq!(stages(&fixture, &all).await, [None; 4], "it is over, and vanishes");
    let after = fixture.machine("a").await;
    assert_eq!((after.power, after.provisioning), (PowerState::Running, Provisioning::Succeeded));

    fixture.advance(1_700);
    assert_eq!(stages(&fixture, &all).await, [None; 4], "half an hour has not gone by");
    fixture.advance(100);
    assert_eq!(stages(&fixture, &all).await, [None, None, SCHEDULED, None]);
    fixture.finish();
    assert_eq!(stages(&fixture, &all).await, [None; 4]);
    let (third, last) = (fixture.machine("c").await.changed_at, fixture.machine("d").await.changed_at);
    let between = last.duration_since(third).as_secs();
    assert!(between >= 1_800, "{between} s between two domains");
}

#[tokio::test]
async fn an_approval_is_for_every_machine_of_the_event_and_shortens_no_pause() {
    let fixture = Fixture::new();
    for (uid, domain) in [("a", 0), ("b", 0), ("c", 1)] {
        fixture.running_as(in_update_domain(uid, domain)).await;
    }
    begin(&fixture, MaintenanceKind::Reboot).await;
    let simulation = &fixture.simulation;
    let id = notice(simulation, "a").await.expect("it is told").event_id;
    let unknown = refusal(simulation.approve_event(target("c", 2), Some(&id)).await);
    assert_eq!(unknown, format!("InvalidParameter: the VM has no scheduled event {id} to approve, it has: none"));

    let approved = simulation.approve_event(target("a", 2), Some(&id)).await.unwrap();
    assert_eq!(approved.disruption_notice.map(|notice| notice.stage), STARTED);
    assert_eq!(stages(&fixture, &["b", "c"]).await, [STARTED, None], "b goes with a");
    let again = simulation.approve_event(target("b", 2), Some(&id)).await;
    assert!(again.is_ok(), "twice is as good as once: {again:?}");
    fixture.advance(60);
    assert!(simulation.approve_event(target("b", 2), Some(&id)).await.is_ok(), "also when it is over");
    assert!(simulation.approve_event(target("a", 2), None).await.is_ok());

    fixture.advance(1_700);
    assert_eq!(stages(&fixture, &["c"]).await, [None]);
    fixture.advance(100);
    assert_eq!(stages(&fixture, &["c"]).await, [SCHEDULED]);
}

#[tokio::test]
async fn a_flexible_set_goes_by_fault_domain_and_a_machine_alone_by_itself() {
    let fixture = Fixture::new();
    for request in [flexible("x0", Some("x"), 0), flexible("x1", Some("x"), 1), flexible("y1", Some("y"), 1)] {
        fixture.running_as(request).await;
    }
    fixture.running_as(flexible("alone", None, 1)).await;
    begin(&fixture, MaintenanceKind::Redeploy).await;
    let all = ["x0", "x1", "y1", "alone"];
    assert_eq!(stages(&fixture, &all).await, [SCHEDULED, None, SCHEDULED, SCHEDULED]);
    let [one, other] = [notice(&fixture.simulation, "x0").await, notice(&fixture.simulation, "y1").await];
    assert_ne!(one.clone().map(|notice| notice.event_id), other.map(|notice| notice.event_id), "another set");
    let host = fixture.machine("x0").await.host;
    fixture.clock.advance_to(one.expect("it is told").not_before);
    assert_ne!(fixture.machine("x0").await.host, host, "it is on another host");
    fixture.advance(1_900);
    assert_eq!(stages(&fixture, &all).await, [None, SCHEDULED, None, None]);
}

#[tokio::test]
async fn each_sort_of_maintenance_is_told_as_long_before_as_azure_says() {
    for (kind, disruption, seconds) in [
        (MaintenanceKind::Freeze, Disruption::Freeze, 900),
        (MaintenanceKind::Reboot, Disruption::Reboot, 900),
        (MaintenanceKind::Redeploy, Disruption::Redeploy, 600),
    ] {
        let fixture = Fixture::new();
        fixture.running("a").await;
        let began = fixture.simulation.now();
        begin(&fixture, kind).await;
        let told = notice(&fixture.simulation, "a").await.expect("it is told");
        let before = told.not_before.duration_since(began).as_secs();
        assert_eq!(told.disruption, disruption);
        assert!((seconds..=seconds + 1).contains(&before), "{kind:?}: {before} s before");
    }
}

#[tokio::test]
async fn a_pause_disturbs_the_guest_alone_and_waits_for_what_is_under_way() {
    let fixture = Fixture::new();
    fixture.running("a").await;
    begin(&fixture, MaintenanceKind::Freeze).await;
    let at = notice(&fixture.simulation, "a").await.expect("it is told").not_before;
    fixture.clock.advance_to(at - jiff::SignedDuration::from_secs(5));
    let restart = OperationRequest { uid: "r".to_owned(), action: OperationAction::Restart(EventApproval::Automatic) };
    fixture.simulation.perform(target("a", 2), restart).await.unwrap();
    fixture.clock.advance_to(at);
    assert_eq!(stages(&fixture, &["a"]).await, [Some(NoticeStage::Approved)], "the restart is under way");
    while stages(&fixture, &["a"]).await != [STARTED] {
        fixture.clock.advance_to(fixture.simulation.next_event_at().expect("it is still to come"));
    }
    let frozen = fixture.machine("a").await;
    assert_eq!((frozen.power, frozen.provisioning), (PowerState::Running, Provisioning::Updating));
    let busy = fixture.simulation.set_power(target("a", 2), PowerWish::Stopped, Shutdown::Graceful).await;
    assert!(matches!(busy, Err(HardwareError::Busy { .. })), "{busy:?}");
    fixture.finish();
    assert_eq!(stages(&fixture, &["a"]).await, [None]);
}

#[tokio::test]
async fn who_is_down_is_left_out() {
    let fixture = Fixture::new();
    for uid in ["on", "off", "stops", "goes"] {
        fixture.running(uid).await;
    }
    let simulation = &fixture.simulation;
    let stop = async |uid: &str| simulation.set_power(target(uid, 2), PowerWish::Stopped, Shutdown::Graceful).await;
    stop("off").await.unwrap();
    fixture.finish();
    begin(&fixture, MaintenanceKind::Reboot).await;
    assert_eq!(stages(&fixture, &["on", "off", "stops", "goes"]).await, [SCHEDULED, None, SCHEDULED, SCHEDULED]);
    stop("stops").await.unwrap();
    simulation.delete(target("goes", 2), Shutdown::Graceful).await.unwrap();
    fixture.finish();
    assert_eq!(fixture.machine("stops").await.power, PowerState::Stopped, "nothing is done to it");
    assert_eq!((stages(&fixture, &["stops"]).await, simulation.observe("goes").await), (vec![None], Ok(None)));
}

#[tokio::test]
async fn what_is_asked_for_is_checked_and_can_be_ended() {
    let fixture = Fixture::new();
    for (uid, domain) in [("a", 0), ("b", 1)] {
        fixture.running_as(in_update_domain(uid, domain)).await;
    }
    let simulation = &fixture.simulation;
    for (wrong, field) in [
        (Maintenance { location: "nowhere".to_owned(), ..everywhere(MaintenanceKind::Freeze) }, "location"),
        (Maintenance { zone: Some("9".to_owned()), ..everywhere(MaintenanceKind::Freeze) }, "zone"),
    ] {
        let error = simulation.begin_maintenance("m", wrong).await.unwrap_err();
        assert_eq!((error.code, error.field), (ControlCode::InvalidParameter, field));
    }
    let zone = Maintenance { zone: Some("2".to_owned()), ..everywhere(MaintenanceKind::Freeze) };
    simulation.begin_maintenance("elsewhere", zone).await.unwrap();
    assert_eq!(stages(&fixture, &["a", "b"]).await, [None, None], "they are in zone 1");
    begin(&fixture, MaintenanceKind::Freeze).await;
    let twice = simulation.begin_maintenance("m", everywhere(MaintenanceKind::Freeze)).await.unwrap_err();
    assert_eq!(twice.code, ControlCode::Conflict);
    simulation.end_maintenance("m").await.unwrap();
    assert_eq!(stages(&fixture, &["a", "b"]).await, [None, None]);
    assert_eq!(simulation.end_maintenance("m").await.unwrap_err().code, ControlCode::NotFound);
    assert_eq!(simulation.next_event_at(), None, "nothing is left of it");
}

#[tokio::test]
async fn hardware_fails_without_a_notice() {
    let fixture = Fixture::new();
    for uid in ["a", "b"] {
        fixture.running(uid).await;
    }
    let simulation = &fixture.simulation;
    let before = fixture.machine("a").await.host;
    let failure = Maintenance { host: before.clone(), ..everywhere(MaintenanceKind::HardwareFailure) };
    simulation.begin_maintenance("broken", failure).await.unwrap();
    let struck = fixture.machine("a").await;
    let told = struck.disruption_notice.expect("it has begun");
    assert_eq!(
        (told.disruption, told.cause, told.stage),
        (Disruption::Reboot, DisruptionCause::HardwareFailure, NoticeStage::Started)
    );
    assert_eq!((struck.power, struck.host == before), (PowerState::Stopping, false));
    fixture.finish();
    let after = fixture.machine("a").await;
    assert_eq!((after.power, after.disruption_notice), (PowerState::Running, None));
}

fn told_of_images() -> VirtualMachineModel {
    let notification = OsImageNotification { not_before_timeout_seconds: 900 };
    VirtualMachineModel { os_image_notification: Some(notification), ..model() }
}

/// Another version of the image.
fn newer() -> Arc<VirtualMachineModel> {
    let mut newer = told_of_images();
    newer.storage_profile.image_reference = image("22.04.1");
    Arc::new(newer)
}

#[tokio::test]
async fn an_os_disk_is_replaced_once_its_notice_is_approved_or_over() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    for uid in ["approved", "over", "late"] {
        fixture.running_as(request_of(uid, told_of_images())).await;
    }
    fixture.running("untold").await;
    let wanted = newer();
    let reimage =
        async |uid: &str| simulation.reimage(target(uid, 2), "revision-2", Arc::clone(&wanted)).await.unwrap();
    assert_eq!(reimage("untold").await.provisioning, Provisioning::Updating);
    for uid in ["approved", "over", "late"] {
        let told = reimage(uid).await;
        assert_eq!((&told.provisioning, told.power), (&Provisioning::Succeeded, PowerState::Running), "{uid}");
        let notice = told.disruption_notice.expect("it is told");
        assert_eq!((notice.disruption, notice.cause), (Disruption::Reboot, DisruptionCause::OsImage));
        assert_eq!(reimage(uid).await.disruption_notice, Some(notice), "asked again, it keeps its time");
    }
    simulation.approve_event(target("approved", 2), None).await.unwrap();
    assert_eq!(stages(&fixture, &["approved"]).await, [Some(NoticeStage::Approved)], "it is for the call to do");
    let begun = reimage("approved").await;
    assert_eq!(begun.provisioning, Provisioning::Updating);
    assert_eq!(begun.disruption_notice.map(|notice| notice.stage), STARTED);
    fixture.advance(901);
    assert_eq!(stages(&fixture, &["approved", "over"]).await, [None, Some(NoticeStage::Approved)]);
    assert_eq!(reimage("over").await.provisioning, Provisioning::Updating);
    fixture.advance(3_600);
    assert_eq!(stages(&fixture, &["over", "late"]).await, [None, None], "nobody has made use of it");
    assert_eq!(reimage("late").await.disruption_notice.map(|notice| notice.stage), SCHEDULED, "it is told anew");
}

#[tokio::test]
async fn a_reimage_that_a_person_asks_for_is_done_once_after_its_notice() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    fixture.running_as(request_of("a", told_of_images())).await;
    let action = OperationAction::Reimage {
        disks: ReimagedDisks::Os,
        model_revision: "revision-1".to_owned(),
        model: Arc::new(told_of_images()),
    };
    let reimage = OperationRequest { uid: "o".to_owned(), action };
    let told = simulation.perform(target("a", 1), reimage.clone()).await.unwrap();
    assert_eq!((told.last_operation, told.disruption_notice.is_some()), (None, true));
    fixture.advance(961);
    let begun = simulation.perform(target("a", 1), reimage.clone()).await.unwrap();
    assert_eq!((begun.last_operation.as_deref(), begun.provisioning), (Some("o"), Provisioning::Updating));
    fixture.finish();
    let again = simulation.perform(target("a", 1), reimage).await.unwrap();
    assert_eq!((again.provisioning, again.disruption_notice), (Provisioning::Succeeded, None));
}

#[tokio::test]
async fn machines_that_are_told_of_one_reimage_have_one_event_and_one_approval_is_for_all() {
    let fixture = Fixture::new();
    let simulation = &fixture.simulation;
    for uid in ["a", "b", "c", "d"] {
        fixture.running_as(request_of(uid, told_of_images())).await;
    }
    let asked = async |uid: &str, operation: &str| {
        let (model_revision, model) = ("revision-1".to_owned(), Arc::new(told_of_images()));
        let action = OperationAction::Reimage { disks: ReimagedDisks::Os, model_revision, model };
        let request = OperationRequest { uid: operation.to_owned(), action };
        simulation.perform(target(uid, 1), request).await.unwrap()
    };
    let told = async |uid: &str, operation: &str| asked(uid, operation).await.disruption_notice.expect("it is told");
    let first = told("a", "o").await;
    let before = first.not_before.duration_since(simulation.now()).as_secs();
    assert!((900..=960).contains(&before) && first.not_before.as_second() % 60 == 0, "{before} s before");
    assert_eq!(told("b", "o").await, first);
    assert_ne!(told("c", "another").await.event_id, first.event_id);
    fixture.advance(60);
    assert_ne!(told("d", "o").await.event_id, first.event_id, "it is told a minute later");
    simulation.approve_event(target("b", 1), Some(&first.event_id)).await.unwrap();
    let approved = Some(NoticeStage::Approved);
    assert_eq!(stages(&fixture, &["a", "b", "c", "d"]).await, [approved, approved, SCHEDULED, SCHEDULED]);
    for uid in ["a", "b"] {
        let begun = asked(uid, "o").await;
        assert_eq!((begun.last_operation.as_deref(), begun.provisioning), (Some("o"), Provisioning::Updating), "{uid}");
    }
}

#[tokio::test]
async fn maintenance_and_notices_survive_a_restart_of_the_hardware() {
    let directory = tempfile::tempdir().unwrap();
    let path: &Path = &directory.path().join("region.redb");
    let clock = VirtualClock::default();
    let seen = {
        let simulation = open(path, &clock);
        for (uid, domain) in [("a", 0), ("b", 1), ("c", 2)] {
            simulation.create(in_update_domain(uid, domain)).await.unwrap();
        }
        while let Some(next) = simulation.next_event_at() {
            clock.advance_to(next);
        }
        simulation.begin_maintenance("m", everywhere(MaintenanceKind::Reboot)).await.unwrap();
        notice(&simulation, "a").await.expect("it is told")
    };
    let simulation = open(path, &clock);
    assert_eq!(notice(&simulation, "a").await, Some(seen.clone()));
    drop(simulation);
    // The second domain is told while nobody is there, and nobody who sees it writes it down.
    clock.advance_to(seen.not_before + jiff::SignedDuration::from_secs(2_000));
    let told = notice(&open(path, &clock), "b").await.expect("it is told");
    let simulation = open(path, &clock);
    assert_eq!(notice(&simulation, "b").await, Some(told), "the same event at the same time");
    assert_eq!(notice(&simulation, "c").await, None);
    while let Some(next) = simulation.next_event_at() {
        clock.advance_to(next);
    }
    for uid in ["a", "b", "c"] {
        assert_eq!(notice(&simulation, uid).await, None);
    }
}
