//! What VMs were told of: who waits, what an approval does, what the set says of them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleset_crds::InstanceStatus;
use scaleset_crds::condition::{InstanceCondition, Reason, ScaleSetCondition, find};
use scaleset_crds::operation::{OperationParameters, OperationState as RecordState, OperationType};
use scaleset_crds::scheduled_event::{EventSource, EventStatus, EventType, ResourceType, ScheduledEvent};
use scaleset_crds::vocabulary::{PowerState, ProvisioningState};
use scaleset_planning::instance::{Step, Wait, plan};
use scaleset_planning::operation::OperationStep;
use scaleset_planning::snapshot::{
    Asker, Failure, InstanceRequest, InstanceSnapshot, Member, MemberLife, OperationSnapshot, OperationTargetFacts,
    Protection, ReleaseRule, RequestedOperation, ScaleSetSnapshot, SetLife, ShutdownRule,
};
use scaleset_planning::status::instance::{InstanceOutcome, instance_status};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};
use scaleset_planning::view::{HardwareView, InstanceView, NoticeStage, OperationState, TerminateNotice};

use crate::fleet::{audited, created, newest, spread};
use crate::instance::{old, snapshot, view};
use crate::operation::{after, asked, earlier, refused, settled_on, these, with};

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn told(stage: NoticeStage, operation: OperationState) -> InstanceSnapshot {
    let notice = TerminateNotice { event_id: "e".to_owned(), not_before: at(300), stage };
    let view = InstanceView { terminate_notice: Some(notice), ..view(&old(), operation, PowerState::Running) };
    InstanceSnapshot { life: MemberLife::Terminating, ..snapshot(HardwareView::Present(Box::new(view))) }
}

fn approving(event_id: Option<&str>) -> RequestedOperation {
    let event_id = event_id.map(str::to_owned);
    let (request, asked_by) = (InstanceRequest::ApproveScheduledEvent, Asker::Operation);
    RequestedOperation { uid: "o".to_owned(), request, event_id, asked_by }
}

fn outcome(snapshot: &InstanceSnapshot, operation_failure: Option<Reason>) -> InstanceOutcome {
    let operation_failure = operation_failure.map(|reason| Failure { reason, message: "no".to_owned() });
    InstanceOutcome { hardware: snapshot.hardware.clone(), failure: None, operation_failure, restore_refusal: None }
}

fn status(snapshot: &InstanceSnapshot) -> InstanceStatus {
    instance_status(snapshot, &plan(snapshot).step, &outcome(snapshot, None))
}

#[test]
fn a_deletion_that_was_announced_is_waited_for() {
    use NoticeStage::{Approved, Scheduled, Started};
    let (notice, busy) = (Step::Wait(Wait::DeletionNotice), Step::Wait(Wait::HardwareBusy));
    let table = [
        (told(Scheduled, OperationState::Succeeded), notice.clone()),
        (told(Approved, OperationState::Succeeded), notice.clone()),
        (told(Scheduled, OperationState::Updating), notice.clone()),
        (told(Started, OperationState::Deleting), busy),
    ];
    for (snapshot, step) in table {
        let mut live = snapshot.clone();
        live.life = MemberLife::Live;
        assert_eq!(plan(&snapshot).step, step, "{:?}", snapshot.hardware);
        assert_eq!(plan(&live).step, step, "one that is to be made anew: {:?}", snapshot.hardware);
    }
    let mut waits = told(Scheduled, OperationState::Succeeded);
    waits.now = at(100);
    assert_eq!(plan(&waits).wake_after, Some(Duration::from_secs(200)), "what the hardware says may be missed");
    waits.release = ReleaseRule::MayAbandon;
    assert_eq!(plan(&waits).step, notice, "its hardware answers");
    waits.hardware = HardwareView::Unknown { message: "no answer".to_owned() };
    assert_eq!(plan(&waits).step, Step::Release(ReleaseRule::MayAbandon, ShutdownRule::Graceful));
}

#[test]
fn the_status_names_the_event_and_what_ends_the_wait() {
    let waits = status(&told(NoticeStage::Scheduled, OperationState::Succeeded));
    let event = ScheduledEvent {
        event_id: "e".to_owned(),
        event_type: EventType::Terminate,
        resource_type: ResourceType::VirtualMachine,
        event_status: EventStatus::Scheduled,
        not_before: Some(Time(at(300))),
        event_source: EventSource::User,
        duration_in_seconds: -1,
        description: None,
        approved: false,
    };
    assert_eq!(waits.scheduled_events, std::slice::from_ref(&event));
    assert_eq!(waits.provisioning_state, Some(ProvisioningState::Deleting));
    let ready = find(&waits.conditions, InstanceCondition::Ready.as_str()).expect("every condition is written");
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str(), ready.message.as_str()),
        (
            "False",
            "Deleting",
            "notice of deletion: event e, until 1970-01-01T00:05:00Z scenario time; approve it with the operation \
             ApproveScheduledEvent"
        )
    );
    let begun = status(&told(NoticeStage::Started, OperationState::Deleting));
    let started = ScheduledEvent { event_status: EventStatus::Started, not_before: None, ..event };
    assert_eq!(begun.scheduled_events, [started]);
    let mut anew = told(NoticeStage::Scheduled, OperationState::Succeeded);
    anew.life = MemberLife::Live;
    assert_eq!(status(&anew).provisioning_state, Some(ProvisioningState::Deleting));
}

#[test]
fn an_approval_overtakes_everything_and_is_recorded() {
    let approve = Step::ApproveEvent(Some("e".to_owned()));
    let records = |snapshot: &InstanceSnapshot, failure| {
        let status = instance_status(snapshot, &plan(snapshot).step, &outcome(snapshot, failure));
        status.operations.first().map(|record| record.state)
    };
    for life in [MemberLife::Terminating, MemberLife::Live] {
        for operation in [OperationState::Succeeded, OperationState::Updating] {
            let mut snapshot = told(NoticeStage::Scheduled, operation);
            (snapshot.life, snapshot.requests) = (life, vec![approving(Some("e"))]);
            assert_eq!(plan(&snapshot).step, approve, "{life:?}");
            assert_eq!(records(&snapshot, None), Some(RecordState::Succeeded));
            assert_eq!(records(&snapshot, Some(Reason::InvalidParameter)), Some(RecordState::Failed));
            assert_eq!(records(&snapshot, Some(Reason::HardwareUnavailable)), Some(RecordState::InProgress));
        }
    }
    let mut gone = told(NoticeStage::Scheduled, OperationState::Succeeded);
    (gone.hardware, gone.requests) = (HardwareView::Absent, vec![approving(None)]);
    assert_eq!(
        plan(&gone).step,
        Step::Release(ReleaseRule::HardwareFirst, ShutdownRule::Graceful),
        "there is nothing to approve any more"
    );
}

fn approval(ids: &[&str], event_id: Option<&str>) -> OperationSnapshot {
    let mut snapshot = with(asked(OperationType::ApproveScheduledEvent, ids), |set| {
        set.members[1].scheduled_events = vec!["e".to_owned()];
        set.members[1].life = MemberLife::Terminating;
        set.members[1].protection = Protection::FromSetActions;
        set.life = MemberLife::Terminating;
    });
    let event_id = event_id.map(str::to_owned);
    snapshot.spec.parameters = Some(OperationParameters { event_id, ..OperationParameters::default() });
    snapshot
}

#[test]
fn an_approval_is_about_those_that_have_the_event_going_or_not() {
    let table: [(&[&str], Option<&str>, &[&str]); 5] = [
        (&["*"], None, &["1"]),
        (&[], Some("e"), &["1"]),
        (&["*"], Some("e"), &["1"]),
        (&["0", "1"], None, &["0", "1"]),
        (&["0", "1"], Some("e"), &["1"]),
    ];
    for (ids, event_id, expected) in table {
        assert_eq!(settled_on(&after(approval(ids, event_id))), expected, "{ids:?} {event_id:?}");
    }
}

#[test]
fn an_approval_waits_for_nobody_and_nobody_for_it() {
    let waits = |snapshot: &OperationSnapshot| {
        matches!(scaleset_planning::operation::plan(snapshot).step, OperationStep::Wait { .. })
    };
    let mut behind = approval(&["1"], None);
    behind.earlier = vec![earlier(OperationType::Delete, these(&["1"]))];
    assert!(!waits(&behind));
    let mut other = asked(OperationType::Restart, &["1"]);
    other.earlier = vec![earlier(OperationType::ApproveScheduledEvent, these(&["1"]))];
    assert!(!waits(&other));
}

#[test]
fn an_event_that_nobody_has_is_refused_once_it_had_time_to_be_seen() {
    let late = |mut snapshot: OperationSnapshot| {
        snapshot.wall_now += SignedDuration::from_secs(6);
        snapshot
    };
    for ids in [&[][..], &["*"], &["0"]] {
        let unknown = approval(ids, Some(if ids == ["0"] { "e" } else { "other" }));
        let step = scaleset_planning::operation::plan(&unknown).step;
        assert!(matches!(step, OperationStep::Wait { .. }), "{ids:?}: {step:?}");
        let (reason, message) = refused(late(unknown));
        assert_eq!(reason, "InvalidParameter", "{ids:?}");
        assert!(
            message.starts_with("spec.parameters.eventId: no VM that is meant has the scheduled event"),
            "{message}"
        );
    }
    let (reason, message) = refused(late(approval(&["9"], None)));
    assert_eq!(reason, "InvalidParameter", "{message}");
}

#[test]
fn an_approval_has_ended_on_a_vm_that_is_gone() {
    let mut snapshot = after(approval(&["1"], None));
    match &mut snapshot.target {
        OperationTargetFacts::ScaleSet(set) => set.members.retain(|member| member.instance_id != "1"),
        OperationTargetFacts::Missing | OperationTargetFacts::FlexVM(_) => panic!("it is about a set"),
    }
    let ended = after(snapshot);
    assert_eq!((ended.status.succeeded, ended.status.failed), (Some(1), Some(0)));
    assert!(ended.status.completion_time.is_some());
}

fn leaves(member: &mut Member, seconds: i64) {
    member.life = MemberLife::Terminating;
    member.report.provisioning = ProvisioningState::Deleting;
    member.report.scheduled_events = vec![ScheduledEvent {
        event_id: format!("e-{}", member.name),
        event_type: EventType::Terminate,
        resource_type: ResourceType::VirtualMachine,
        event_status: EventStatus::Scheduled,
        not_before: Some(Time(at(seconds))),
        event_source: EventSource::User,
        duration_in_seconds: -1,
        description: None,
        approved: false,
    }];
}

fn fleet() -> ScaleSetSnapshot {
    let mut snapshot = crate::fleet::snapshot(&[], 3);
    snapshot.members = spread(&[(None, 3)], &newest(&snapshot));
    leaves(&mut snapshot.members[0], 300);
    leaves(&mut snapshot.members[2], 200);
    snapshot
}

#[test]
fn a_set_makes_successors_at_once_and_names_who_waits() {
    let plan = audited(&fleet());
    assert_eq!(created(&plan).len(), 2, "{plan}");
    let hold = plan.blockers().find(|hold| hold.reason == Reason::DeletionNotice).expect("somebody waits");
    assert_eq!(
        (hold.count, hold.message.as_str()),
        (
            2,
            "2 told of their deletion (web-0, web-2), wait for the operation ApproveScheduledEvent, or until \
             1970-01-01T00:03:20Z scenario time for the first"
        )
    );
    let mut deleted = fleet();
    deleted.set.life = SetLife::Terminating;
    let plan = audited(&deleted);
    assert!(plan.blockers().any(|hold| hold.reason == Reason::DeletionNotice), "{plan}");
}

#[test]
fn a_lack_of_room_says_who_still_holds_it() {
    let mut lacking = fleet();
    let mut new = crate::fleet::member(3, None, None, &newest(&lacking));
    new.report.provisioning = ProvisioningState::Failed;
    new.report.failure = Some(Failure { reason: Reason::QuotaExceeded, message: "limit 8".to_owned() });
    lacking.members.push(new);
    let plan = audited(&lacking);
    let status = scale_set_status(&lacking, &plan, &ScaleSetOutcome::default());
    let lack = find(&status.conditions, ScaleSetCondition::CapacitySatisfied.as_str()).expect("it is written");
    assert_eq!(lack.reason, "QuotaExceeded");
    assert!(lack.message.contains("limit 8; 2 told of their deletion (web-0, web-2)"), "{}", lack.message);
    assert!(lack.message.ends_with("and hold their room and quota"), "{}", lack.message);
}

#[test]
fn the_incarnation_rises_with_each_change_of_the_events() {
    let counted = |snapshot: &ScaleSetSnapshot| {
        let plan = audited(snapshot);
        scale_set_status(snapshot, &plan, &ScaleSetOutcome::default()).scheduled_events
    };
    let mut snapshot = crate::fleet::snapshot(&[], 3);
    snapshot.members = spread(&[(None, 3)], &newest(&snapshot));
    assert_eq!(counted(&snapshot), None, "nobody was ever told of anything");
    let mut seen = Vec::new();
    let steps: [fn(&mut ScaleSetSnapshot); 5] = [
        |snapshot| leaves(&mut snapshot.members[0], 300),
        |_| {},
        |snapshot| leaves(&mut snapshot.members[1], 300),
        |snapshot| snapshot.members[0].report.scheduled_events[0].event_status = EventStatus::Started,
        |snapshot| snapshot.members.retain(Member::is_live),
    ];
    for step in steps {
        step(&mut snapshot);
        snapshot.status.scheduled_events = counted(&snapshot);
        let summary = snapshot.status.scheduled_events.clone().expect("somebody was told");
        seen.push((summary.document_incarnation, summary.count));
    }
    assert_eq!(seen, [(1, 1), (1, 1), (2, 2), (3, 2), (4, 0)]);
}
