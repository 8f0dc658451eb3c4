//! Which of several requests a VM carries out.

use scaleset_crds::InstanceStatus;
use scaleset_crds::scheduled_event::EventApproval;
use scaleset_crds::vocabulary::PowerState;
use scaleset_planning::instance::{Perform, Step, plan};
use scaleset_planning::snapshot::{Asker, InstanceRequest, InstanceSnapshot, RequestedOperation};
use scaleset_planning::status::instance::{InstanceOutcome, instance_status};
use scaleset_planning::view::{HardwareView, InstanceView, OperationState};

use crate::instance::{old, snapshot, view};

fn operation(uid: &str, request: InstanceRequest) -> RequestedOperation {
    RequestedOperation { uid: uid.to_owned(), request, event_id: None, asked_by: Asker::Operation }
}

fn repair() -> RequestedOperation {
    RequestedOperation { asked_by: Asker::Repair, ..operation("repair", InstanceRequest::Restart) }
}

/// A VM that runs, whose hardware has taken that request last.
fn asked(requests: &[RequestedOperation], last: Option<&str>) -> InstanceSnapshot {
    let running = view(&old(), OperationState::Succeeded, PowerState::Running);
    let hardware = InstanceView { last_operation: last.map(str::to_owned), ..running };
    InstanceSnapshot { requests: requests.to_vec(), ..snapshot(HardwareView::Present(Box::new(hardware))) }
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
fn an_approval_goes_first_then_what_people_ask_for_by_age_and_a_repair_last() {
    let (redeploy, approval) = (InstanceRequest::Redeploy, InstanceRequest::ApproveScheduledEvent);
    let first = operation("first", InstanceRequest::Restart);
    let second = operation("second", redeploy);
    let approves = operation("approves", approval);
    let perform = |uid: &str, perform: Perform| Step::Perform(uid.to_owned(), perform);
    let table = [
        (vec![], Step::None),
        (vec![repair()], perform("repair", Perform::Restart(EventApproval::Automatic))),
        (vec![first.clone(), second.clone()], perform("first", Perform::Restart(EventApproval::Automatic))),
        (vec![second.clone(), repair()], perform("second", Perform::Redeploy(EventApproval::Automatic))),
        (vec![first.clone(), approves.clone()], Step::ApproveEvent(None)),
        (vec![first, second, approves, repair()], Step::ApproveEvent(None)),
    ];
    for (requests, step) in table {
        assert_eq!(plan(&asked(&requests, None)).step, step, "{requests:?}");
    }
}

#[test]
fn a_repair_that_the_hardware_is_at_is_recorded_before_anything_else_is_done() {
    let requests = [operation("first", InstanceRequest::Redeploy), repair()];
    let at_it = asked(&requests, Some("repair"));
    assert_eq!(plan(&at_it).step, Step::None, "the other waits its turn");
    let recorded: Vec<String> = status(&at_it).operations.into_iter().map(|record| record.uid).collect();
    assert_eq!(recorded, ["repair"]);
    let another = asked(&requests, Some("earlier"));
    assert_eq!(plan(&another).step, Step::Perform("first".to_owned(), Perform::Redeploy(EventApproval::Automatic)));
    let recorded: Vec<String> = status(&another).operations.into_iter().map(|record| record.uid).collect();
    assert_eq!(recorded, ["first"]);
}
