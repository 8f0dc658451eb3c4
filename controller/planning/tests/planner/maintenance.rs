//! Events that run on members, or are to come: what upgrades leave alone meanwhile, who waits for a notice of a new OS disk.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleset_crds::condition::{InstanceCondition, Reason, find};
use scaleset_crds::scheduled_event::{
    EventSource, EventStatus, EventType, OsImageNotificationProfile, ResourceType, ScheduledEvent,
    ScheduledEventsProfile,
};
use scaleset_crds::vocabulary::{HealthState, PowerState, PowerWish, UpgradeMode};
use scaleset_planning::instance::{Step, Wait, plan};
use scaleset_planning::snapshot::{Assigned, InstanceSnapshot, Member, MemberLife, OsDiskWish, ScaleSetSnapshot};
use scaleset_planning::status::instance::{InstanceOutcome, instance_status};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};
use scaleset_planning::view::{
    DisruptionCause, DisruptionNotice, HardwareView, InstanceView, ModelView, NoticeStage, OperationState,
};

use crate::fleet::{assigned, audited, change_profile, newest, profile, snapshot, spread};
use crate::instance::{old, snapshot as instance, view};
use crate::rolling::{pass, progress, resized, settle};

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn event(event_type: EventType, event_status: EventStatus, event_source: EventSource) -> ScheduledEvent {
    ScheduledEvent {
        event_id: "e".to_owned(),
        event_type,
        resource_type: ResourceType::VirtualMachine,
        event_status,
        not_before: (event_status == EventStatus::Scheduled).then(|| Time(at(900))),
        event_source,
        duration_in_seconds: 20,
        description: Some("its host is maintained".to_owned()),
        approved: false,
    }
}

fn disturbed(member: &mut Member) {
    member.report.scheduled_events = vec![event(EventType::Freeze, EventStatus::Started, EventSource::Platform)];
}

fn holds(snapshot: &ScaleSetSnapshot) -> Vec<(Reason, usize, String)> {
    audited(snapshot).blockers().map(|hold| (hold.reason, hold.count, hold.message.clone())).collect()
}

/// Ten members in Automatic mode, and a changed size.
fn automatic() -> ScaleSetSnapshot {
    let mut snapshot = snapshot(&[], 10);
    snapshot.members = spread(&[(None, 10)], &newest(&snapshot));
    change_profile(&mut snapshot, profile("Standard_D4s_v3"));
    snapshot
}

#[test]
fn a_member_whose_event_runs_spends_and_no_upgrade_starts_on_it() {
    let mut snapshot = automatic();
    disturbed(&mut snapshot.members[0]);
    assert_eq!(assigned(&audited(&snapshot)), ["web-5"], "two of ten are allowed, and one is down already");
    let told = holds(&snapshot);
    assert!(
        told.contains(&(Reason::HostMaintenance, 1, "1 outdated, a scheduled event runs on them: web-0".to_owned())),
        "{told:?}"
    );
    let spent = "8 outdated, 2 in flight or unavailable of 2 allowed (20 % of 10)".to_owned();
    assert!(told.contains(&(Reason::AllowanceSpent, 8, spent)), "{told:?}");
    disturbed(&mut snapshot.members[1]);
    assert_eq!(assigned(&audited(&snapshot)), Vec::<&str>::new());
    for status in [
        event(EventType::Reboot, EventStatus::Scheduled, EventSource::Platform),
        event(EventType::Terminate, EventStatus::Started, EventSource::User),
    ] {
        snapshot.members[0].report.scheduled_events = vec![status.clone()];
        snapshot.members[1].report.scheduled_events = vec![status];
        assert_eq!(assigned(&audited(&snapshot)), ["web-0", "web-5"], "nothing is done to them yet");
    }
}

#[test]
fn batches_go_around_members_whose_event_runs_and_take_them_later() {
    let mut snapshot = resized(&[(None, 5)]);
    disturbed(&mut snapshot.members[0]);
    assert_eq!(pass(&mut snapshot), Vec::<String>::new(), "one of five may be down, and is");
    assert!(holds(&snapshot).iter().any(|(reason, _, _)| *reason == Reason::HostMaintenance), "{:?}", holds(&snapshot));
    snapshot.members[0].report.scheduled_events.clear();
    assert_eq!(pass(&mut snapshot), ["web-0"]);
    disturbed(&mut snapshot.members[1]);
    settle(&mut snapshot, &["web-0"], HealthState::Healthy);
    assert_eq!(pass(&mut snapshot), Vec::<String>::new());
    assert_eq!(progress(&snapshot), [1, 0, 0, 4]);
    snapshot.members[1].report.scheduled_events.clear();
    assert_eq!(pass(&mut snapshot), ["web-1"]);
}

#[test]
fn an_event_of_several_members_counts_once() {
    let mut snapshot = snapshot(&[], 3);
    snapshot.members = spread(&[(None, 3)], &newest(&snapshot));
    let told = event(EventType::Reboot, EventStatus::Scheduled, EventSource::Platform);
    snapshot.members.iter_mut().for_each(|member| member.report.scheduled_events = vec![told.clone()]);
    let plan = audited(&snapshot);
    let status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
    let summary = status.scheduled_events.clone().expect("they were told");
    assert_eq!((summary.count, summary.document_incarnation), (1, 1));
    assert_eq!(status.available_replicas, Some(3), "they work on");
    snapshot.members.iter_mut().for_each(disturbed);
    snapshot.status = status;
    let status = scale_set_status(&snapshot, &audited(&snapshot), &ScaleSetOutcome::default());
    let summary = status.scheduled_events.expect("they were told");
    assert_eq!((summary.count, summary.document_incarnation), (1, 2));
    assert_eq!(status.available_replicas, Some(0));
}

fn announcing() -> Arc<scaleset_crds::VirtualMachineProfile> {
    let enabled = OsImageNotificationProfile { enable: true, not_before_timeout_seconds: 900 };
    let mut profile = profile("Standard_D2s_v3");
    profile.scheduled_events_profile = Some(ScheduledEventsProfile {
        terminate_notification_profile: None,
        os_image_notification_profile: Some(enabled),
    });
    Arc::new(profile)
}

#[test]
fn members_that_wait_for_their_notice_are_named_and_do_not_fail() {
    let mut snapshot = resized(&[(None, 5)]);
    snapshot.set.profile = Some(announcing());
    assert_eq!(pass(&mut snapshot), ["web-0"]);
    snapshot.members[0].report.health = scaleset_planning::view::Health::Known(HealthState::Healthy);
    let of_disk = event(EventType::Reboot, EventStatus::Scheduled, EventSource::User);
    let of_operation = Some(DisruptionCause::Operation.describe().to_owned());
    snapshot.members[0].report.scheduled_events = vec![ScheduledEvent { description: of_operation, ..of_disk.clone() }];
    let of_disk = ScheduledEvent { description: Some(DisruptionCause::OsImage.describe().to_owned()), ..of_disk };
    assert!(holds(&snapshot).iter().all(|(reason, _, _)| *reason != Reason::ImageNotice), "{:?}", holds(&snapshot));
    snapshot.members[0].report.scheduled_events = vec![of_disk];
    snapshot.now = at(1_100);
    assert_eq!(pass(&mut snapshot), Vec::<String>::new());
    assert_eq!(progress(&snapshot), [0, 0, 1, 4], "its timeout begins with the end of the notice");
    let told = holds(&snapshot);
    let said = "1 told that their OS disk is replaced (web-0), wait for the operation ApproveScheduledEvent, or until \
                1970-01-01T00:15:00Z scenario time for the first";
    assert!(told.contains(&(Reason::ImageNotice, 1, said.to_owned())), "{told:?}");
    snapshot.now = at(1_201);
    pass(&mut snapshot);
    assert_eq!(progress(&snapshot)[1], 1, "900 and 300 seconds are over");
}

fn told(stage: NoticeStage, cause: DisruptionCause, operation: OperationState) -> InstanceSnapshot {
    let notice = DisruptionNotice {
        event_id: "e".to_owned(),
        event_type: EventType::Reboot,
        cause,
        not_before: at(900),
        stage,
        operation: None,
        duration_seconds: Some(20),
    };
    let view = InstanceView { disruption_notice: Some(notice), ..view(&old(), operation, PowerState::Running) };
    instance(HardwareView::Present(Box::new(view)))
}

/// The same size with another image.
fn reimaged() -> ModelView {
    let mut profile = profile("Standard_D2s_v3");
    profile.storage_profile.image_reference.version = Some("22.04.9".to_owned());
    ModelView { revision: "r2".to_owned(), model: Arc::new(profile.model()) }
}

#[test]
fn only_what_replaces_the_os_disk_waits_for_its_notice() {
    let waits = Step::Wait(Wait::ImageNotice);
    let reimage = Step::Reimage(reimaged());
    for (stage, cause, step) in [
        (NoticeStage::Scheduled, DisruptionCause::OsImage, &waits),
        (NoticeStage::Approved, DisruptionCause::OsImage, &reimage),
        (NoticeStage::Scheduled, DisruptionCause::Maintenance, &reimage),
    ] {
        let mut snapshot = told(stage, cause, OperationState::Succeeded);
        snapshot.assigned = Assigned::Known(reimaged());
        assert_eq!(plan(&snapshot).step, *step, "{stage:?} {cause:?}");
    }
    let mut snapshot = told(NoticeStage::Scheduled, DisruptionCause::OsImage, OperationState::Succeeded);
    snapshot.now = at(300);
    let wishes = [
        (OsDiskWish::Fresh { version: "22.04.2".to_owned(), after: "web-0_disk1_a".to_owned() }, true),
        (OsDiskWish::Former { disk: "web-0_disk1_b".to_owned() }, false),
    ];
    for (wish, announced) in wishes {
        snapshot.os_disk_wish = Some(wish);
        let planned = plan(&snapshot);
        assert_eq!(planned.step == waits, announced, "{:?}", planned.step);
        assert_eq!(planned.wake_after == Some(Duration::from_mins(10)), announced);
    }
    snapshot.os_disk_wish = None;
    assert_eq!(plan(&snapshot).step, Step::None, "nobody wishes for it any more");
    snapshot.power_wish = PowerWish::Stopped;
    assert!(matches!(plan(&snapshot).step, Step::SetPower(PowerWish::Stopped, _)), "{:?}", plan(&snapshot).step);
    snapshot.life = MemberLife::Terminating;
    assert!(matches!(plan(&snapshot).step, Step::Release(_, _)), "a deletion has a notice of its own");
}

#[test]
fn the_status_says_what_is_done_and_why() {
    let status = |snapshot: &InstanceSnapshot| {
        let outcome = InstanceOutcome {
            hardware: snapshot.hardware.clone(),
            failure: None,
            operation_failure: None,
            restore_refusal: None,
        };
        let status = instance_status(snapshot, &plan(snapshot).step, &outcome);
        let ready = find(&status.conditions, InstanceCondition::Ready.as_str()).expect("every condition is written");
        (status.scheduled_events.clone(), ready.reason.clone(), ready.message.clone())
    };
    let scheduled = told(NoticeStage::Scheduled, DisruptionCause::Maintenance, OperationState::Succeeded);
    let (events, reason, _) = status(&scheduled);
    assert_eq!(events, [event(EventType::Reboot, EventStatus::Scheduled, EventSource::Platform)]);
    assert_eq!(reason, "Ready", "it runs on");
    let begun = told(NoticeStage::Started, DisruptionCause::HardwareFailure, OperationState::Updating);
    let (events, reason, message) = status(&begun);
    assert_eq!((events[0].event_status, events[0].not_before.clone()), (EventStatus::Started, None));
    assert_eq!(
        (reason.as_str(), message.as_str()),
        ("HostMaintenance", "Reboot, its hardware has failed: event e has begun")
    );
    let mut waits = told(NoticeStage::Scheduled, DisruptionCause::OsImage, OperationState::Succeeded);
    waits.assigned = Assigned::Known(reimaged());
    let (events, reason, message) = status(&waits);
    assert_eq!((events[0].event_source, reason.as_str()), (EventSource::User, "Updating"));
    assert_eq!(
        message,
        "Reboot, its OS disk is replaced: event e, not before 1970-01-01T00:15:00Z scenario time; approve it with the \
         operation ApproveScheduledEvent"
    );
}

#[test]
fn manual_upgrades_hold_nothing_for_maintenance() {
    let mut snapshot = automatic();
    snapshot.set.upgrade_mode = UpgradeMode::Manual;
    disturbed(&mut snapshot.members[0]);
    assert!(holds(&snapshot).iter().all(|(reason, _, _)| *reason != Reason::HostMaintenance));
}
