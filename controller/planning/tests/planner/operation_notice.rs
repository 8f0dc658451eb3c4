//! Restarts and redeployments that operations ask for and that wait for an approval: who waits, what goes on meanwhile, what
//! the VM and the operation say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use scaleset_crds::InstanceStatus;
use scaleset_crds::condition::{InstanceCondition, find};
use scaleset_crds::load_balancing::{BackendPoolReference, PoolMemberState};
use scaleset_crds::operation::{InstanceOperation, OperationState as RecordState, OperationType};
use scaleset_crds::scheduled_event::{
    EventApproval, EventSource, EventStatus, EventType, ResourceType, ScheduledEventsPolicy, UserInitiatedEvent,
};
use scaleset_crds::vocabulary::{PowerState, PowerWish};
use scaleset_planning::instance::{Perform, Step, Wait, awaited_by, plan};
use scaleset_planning::snapshot::{
    Asker, Assigned, InstanceRequest, InstanceSnapshot, MemberLife, OperationTargetFacts, RequestedOperation,
};
use scaleset_planning::status::instance::{InstanceOutcome, instance_status};
use scaleset_planning::view::{
    DisruptionCause, DisruptionNotice, HardwareView, InstanceView, ModelView, NoticeStage, OperationState,
};

use crate::fleet::profile;
use crate::instance::{old, snapshot, view};
use crate::operation::{after, asked as operation};

const AWAITED: Option<UserInitiatedEvent> = Some(UserInitiatedEvent { automatically_approve: false });
const AUTOMATIC: Option<UserInitiatedEvent> = Some(UserInitiatedEvent { automatically_approve: true });

fn at(seconds: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn policy(reboot: Option<UserInitiatedEvent>, redeploy: Option<UserInitiatedEvent>) -> ScheduledEventsPolicy {
    ScheduledEventsPolicy { user_initiated_reboot: reboot, user_initiated_redeploy: redeploy }
}

fn asked(request: InstanceRequest, view: InstanceView) -> InstanceSnapshot {
    let mut snapshot = snapshot(HardwareView::Present(Box::new(view)));
    snapshot.scheduled_events_policy = policy(AWAITED, AWAITED);
    snapshot.requests =
        vec![RequestedOperation { uid: "o".to_owned(), request, event_id: None, asked_by: Asker::Operation }];
    snapshot.now = at(300);
    snapshot
}

fn runs() -> InstanceView {
    view(&old(), OperationState::Succeeded, PowerState::Running)
}

fn told(cause: DisruptionCause, stage: NoticeStage, operation: Option<&str>) -> InstanceView {
    let notice = DisruptionNotice {
        event_id: "e".to_owned(),
        event_type: EventType::Reboot,
        cause,
        not_before: at(900),
        stage,
        operation: operation.map(str::to_owned),
        duration_seconds: Some(20),
    };
    InstanceView { disruption_notice: Some(notice), ..runs() }
}

fn own(stage: NoticeStage) -> InstanceView {
    told(DisruptionCause::Operation, stage, Some("o"))
}

fn restart(approval: EventApproval) -> Step {
    Step::Perform("o".to_owned(), Perform::Restart(approval))
}

#[test]
fn the_policy_says_which_operations_await_an_approval() {
    use EventApproval::{Automatic, Awaited};
    let table = [
        (policy(None, None), Automatic, Automatic),
        (policy(AUTOMATIC, AUTOMATIC), Automatic, Automatic),
        (policy(AWAITED, None), Awaited, Automatic),
        (policy(AUTOMATIC, AWAITED), Automatic, Awaited),
    ];
    for (policy, reboot, redeploy) in table {
        let mut restarts = asked(InstanceRequest::Restart, runs());
        restarts.scheduled_events_policy = policy.clone();
        assert_eq!(plan(&restarts).step, restart(reboot), "{policy:?}");
        let mut moves = asked(InstanceRequest::Redeploy, runs());
        moves.scheduled_events_policy = policy.clone();
        let step = Step::Perform("o".to_owned(), Perform::Redeploy(redeploy));
        assert_eq!(plan(&moves).step, step, "{policy:?}");
    }
    let mut repaired = asked(InstanceRequest::Restart, runs());
    repaired.requests[0].asked_by = Asker::Repair;
    assert_eq!(plan(&repaired).step, restart(Automatic), "a repair waits for nobody");
}

#[test]
fn what_was_announced_waits_until_it_is_approved_or_over() {
    use NoticeStage::{Approved, Scheduled, Started};
    let (waits, acts) = (Step::Wait(Wait::OperationNotice), restart(EventApproval::Awaited));
    let table = [
        ("it was not announced", runs(), &acts),
        ("its notice is out", own(Scheduled), &waits),
        ("it was approved, or its time is over", own(Approved), &acts),
        ("another operation was given up", told(DisruptionCause::Operation, Scheduled, Some("p")), &acts),
        ("its host is to be maintained first", told(DisruptionCause::Maintenance, Scheduled, None), &waits),
        ("which is about to begin", told(DisruptionCause::Maintenance, Approved, None), &waits),
        ("its OS disk is to be replaced later", told(DisruptionCause::OsImage, Scheduled, None), &acts),
    ];
    for (why, view, step) in table {
        let snapshot = asked(InstanceRequest::Restart, view);
        let planned = plan(&snapshot);
        assert_eq!(planned.step, *step, "{why}");
        assert_eq!(planned.wake_after, (*step == waits).then(|| Duration::from_mins(10)), "{why}");
    }
    let mut taken = own(Started);
    (taken.operation, taken.last_operation) = (OperationState::Updating, Some("o".to_owned()));
    assert_eq!(plan(&asked(InstanceRequest::Restart, taken)).step, Step::Wait(Wait::HardwareBusy));
    let announced = asked(InstanceRequest::Restart, own(Scheduled));
    let HardwareView::Present(answer) = &announced.hardware else { panic!("it is there") };
    assert!(awaited_by(&acts, answer).is_some(), "an answer with a notice is no restart");
    let mut later = announced.clone();
    later.scheduled_events_policy = policy(AUTOMATIC, None);
    assert_eq!(plan(&later).step, waits, "a notice that is out keeps its time");
    later.hardware = HardwareView::Present(Box::new(told(DisruptionCause::Maintenance, Scheduled, None)));
    assert_eq!(plan(&later).step, restart(EventApproval::Automatic), "what is not announced goes before maintenance");
}

#[test]
fn a_notice_holds_nothing_else_up() {
    let waits = || asked(InstanceRequest::Restart, own(NoticeStage::Scheduled));
    let mut stopped = waits();
    stopped.power_wish = PowerWish::Stopped;
    assert!(matches!(plan(&stopped).step, Step::SetPower(PowerWish::Stopped, _)), "{:?}", plan(&stopped).step);
    let mut resized = waits();
    let model = Arc::new(profile("Standard_D4s_v3").model());
    resized.assigned = Assigned::Known(ModelView { revision: "r2".to_owned(), model });
    assert!(matches!(plan(&resized).step, Step::UpdateWithRestart(_)), "{:?}", plan(&resized).step);
    let mut deleted = waits();
    deleted.life = MemberLife::Terminating;
    assert!(matches!(plan(&deleted).step, Step::Release(_, _)), "{:?}", plan(&deleted).step);
    let mut given_up = waits();
    given_up.requests.clear();
    assert_eq!(plan(&given_up).step, Step::None, "nobody asks for it any more");
}

#[test]
fn a_vm_is_told_in_its_pools_and_leaves_them_before_it_restarts() {
    use PoolMemberState::{Draining, Healthy};

    let mut model = profile("Standard_D2s_v3").model();
    model.network_profile.network_interfaces[0].load_balancer_backend_pools =
        vec![BackendPoolReference { name: "web-lb".to_owned(), drain_timeout_seconds: 40 }];
    let model = ModelView { revision: "r1".to_owned(), model: Arc::new(model) };
    let in_pool = |state: PoolMemberState, drained_at: Option<u64>, of: InstanceView| {
        let pools = BTreeMap::from([("web-lb".to_owned(), state)]);
        let view = InstanceView { pools, drained_at: drained_at.map(at), model: Arc::clone(&model.model), ..of };
        let mut snapshot = asked(InstanceRequest::Restart, view);
        (snapshot.assigned, snapshot.newest) = (Assigned::Known(model.clone()), Some(model.clone()));
        plan(&snapshot).step
    };
    let acts = restart(EventApproval::Awaited);
    assert_eq!(in_pool(Healthy, None, runs()), acts, "it is told while it works");
    assert_eq!(in_pool(Healthy, None, own(NoticeStage::Scheduled)), Step::Wait(Wait::OperationNotice));
    assert_eq!(in_pool(Draining, Some(340), own(NoticeStage::Scheduled)), Step::Undrain, "it works on until then");
    assert_eq!(in_pool(Healthy, None, own(NoticeStage::Approved)), Step::Drain(Box::new(acts.clone())));
    assert_eq!(in_pool(Draining, Some(340), own(NoticeStage::Approved)), Step::Wait(Wait::Draining));
    assert_eq!(in_pool(Draining, Some(300), own(NoticeStage::Approved)), acts);
}

fn status(snapshot: &InstanceSnapshot) -> InstanceStatus {
    let outcome = InstanceOutcome {
        hardware: snapshot.hardware.clone(),
        failure: None,
        operation_failure: None,
        restore_refusal: None,
    };
    instance_status(snapshot, &plan(snapshot).step, &outcome)
}

#[test]
fn vm_and_operation_say_what_is_waited_for() {
    let mut waits = asked(InstanceRequest::Restart, own(NoticeStage::Scheduled));
    waits.status.operations = vec![InstanceOperation {
        uid: "o".to_owned(),
        operation_type: OperationType::Restart,
        state: RecordState::InProgress,
        code: None,
        message: None,
    }];
    let status = status(&waits);
    let [event] = status.scheduled_events.as_slice() else { panic!("{:?}", status.scheduled_events) };
    assert_eq!(
        (event.event_type, event.event_status, event.event_source, event.resource_type, event.duration_in_seconds),
        (EventType::Reboot, EventStatus::Scheduled, EventSource::User, ResourceType::VirtualMachine, 20)
    );
    assert_eq!(event.description.as_deref(), Some("an operation asks for it"));
    let ready = find(&status.conditions, InstanceCondition::Ready.as_str()).expect("it is written");
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", "Ready"), "it runs on");
    let said = "Reboot, an operation asks for it: event e, not before 1970-01-01T00:15:00Z scenario time; approve it with \
                the operation ApproveScheduledEvent";
    let record = status.operations.first().expect("it is on record");
    assert_eq!((record.state, record.message.as_deref()), (RecordState::InProgress, Some(said)));

    let mut begun = after(operation(OperationType::Restart, &["0"]));
    match &mut begun.target {
        OperationTargetFacts::ScaleSet(set) => {
            set.members[0].operations = vec![InstanceOperation { uid: begun.uid.clone(), ..record.clone() }];
        }
        OperationTargetFacts::Missing | OperationTargetFacts::FlexVM(_) => panic!("it is about a set"),
    }
    let waiting = after(begun);
    let message = find(&waiting.status.conditions, "Reconciling").expect("it is written").message.clone();
    assert_eq!(message, format!("0 of 1 done, waits for web-0 ({said})"));

    let mut approved = waits;
    approved.hardware = HardwareView::Present(Box::new(own(NoticeStage::Approved)));
    let record = self::status(&approved).operations.remove(0);
    assert_eq!((record.state, record.message), (RecordState::InProgress, None), "nobody is waited for any more");
}
