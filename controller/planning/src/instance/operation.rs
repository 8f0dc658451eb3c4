//! What a person asked a VM for once: when it is passed on to the hardware, and what is recorded of it.
//!
//! The hardware does an operation once for each uid and remembers the last, so a call that is repeated because nobody
//! knows what became of it changes nothing. A power operation wishes a state and is done when it is reached; that wish
//! stays in the spec, where anybody may change it again.

use scaleset_crds::condition::Reason;
use scaleset_crds::operation::{InstanceOperation, OperationState as RecordState};
use scaleset_crds::vocabulary::{PowerState, PowerWish};

use super::scheduled_event::{RecordedBefore, approved};
use super::{Decision, Perform, Step, decide};
use crate::snapshot::{
    Asker, Assigned, Failure, InstanceRequest, InstanceSnapshot, RepairMark, RequestedOperation, ShutdownRule,
};
use crate::status::instance::InstanceOutcome;
use crate::view::{HardwareView, InstanceView, ModelView, OperationState};

/// Operations that an instance remembers.
const RECORDS_MAX: usize = 5;

/// The step that an operation asks for, of a VM that nothing is being done to.
pub(super) fn requested(
    snapshot: &InstanceSnapshot,
    model: Option<&ModelView>,
    view: &InstanceView,
) -> Option<Decision> {
    let RequestedOperation { uid, request, event_id: _, asked_by } = snapshot.operation.as_ref()?;
    if view.last_operation.as_ref() == Some(uid) {
        return None;
    }
    let step = match request {
        InstanceRequest::Start | InstanceRequest::PowerOff(_) | InstanceRequest::Deallocate => {
            let wish = request.power_wish().filter(|wish| *wish == snapshot.power_wish)?;
            if record_of(snapshot, uid).is_some() || is_reached(wish, view.power) {
                return None;
            }
            Step::SetPower(wish, shutdown_rule(snapshot))
        }
        InstanceRequest::Restart => Step::Perform(uid.clone(), Perform::Restart),
        InstanceRequest::Redeploy => Step::Perform(uid.clone(), Perform::Redeploy),
        InstanceRequest::Reimage => Step::Perform(uid.clone(), Perform::Reimage(model?.clone())),
        InstanceRequest::ReimageAll => Step::Perform(uid.clone(), Perform::ReimageAll(model?.clone())),
        InstanceRequest::SimulateEviction => Step::Perform(uid.clone(), Perform::SimulateEviction),
        InstanceRequest::ApproveScheduledEvent => return None,
    };
    let reason = match asked_by {
        Asker::Operation => format!("operation {:?} asks for it", request.operation_type()),
        Asker::Repair => "automatic repair: its application is not well".to_owned(),
    };
    Some(decide(step, &reason))
}

/// How a guest that is to stop is stopped now.
pub(super) fn shutdown_rule(snapshot: &InstanceSnapshot) -> ShutdownRule {
    match snapshot.operation.as_ref().map(|operation| operation.request) {
        Some(InstanceRequest::PowerOff(rule)) => rule,
        Some(
            InstanceRequest::Start
            | InstanceRequest::Deallocate
            | InstanceRequest::Restart
            | InstanceRequest::Redeploy
            | InstanceRequest::Reimage
            | InstanceRequest::ReimageAll
            | InstanceRequest::SimulateEviction
            | InstanceRequest::ApproveScheduledEvent,
        )
        | None => ShutdownRule::Graceful,
    }
}

/// The records of operations after a step, the latest last.
pub(crate) fn records(snapshot: &InstanceSnapshot, step: &Step, outcome: &InstanceOutcome) -> Vec<InstanceOperation> {
    let mut records = snapshot.status.operations.clone();
    let Some(RequestedOperation { uid, request, event_id: _, asked_by: _ }) = &snapshot.operation else {
        return records;
    };
    let Some((state, failure)) = state(snapshot, step, outcome) else { return records };
    let (code, message) = failure.map(|failure| (failure.reason.as_str().to_owned(), failure.message)).unzip();
    let record = InstanceOperation { uid: uid.clone(), operation_type: request.operation_type(), state, code, message };
    match records.iter_mut().find(|known| known.uid == *uid) {
        Some(known) => *known = record,
        None => records.push(record),
    }
    // Nothing else says that the repair of its mark was carried out.
    let repair = snapshot.repair.as_ref().map(RepairMark::key);
    while records.len() > RECORDS_MAX {
        let oldest = records.iter().position(|record| Some(&record.uid) != repair.as_ref()).unwrap_or(0);
        records.remove(oldest);
    }
    records
}

pub(super) type State = (RecordState, Option<Failure>);

const fn in_progress() -> State {
    (RecordState::InProgress, None)
}

/// How far the requested operation is after a step; `None` where it has not been tried.
fn state(snapshot: &InstanceSnapshot, step: &Step, outcome: &InstanceOutcome) -> Option<State> {
    let requested = snapshot.operation.as_ref()?;
    let tried = record_of(snapshot, &requested.uid).is_some();
    if requested.request == InstanceRequest::ApproveScheduledEvent {
        let tried = if tried { RecordedBefore::Yes } else { RecordedBefore::No };
        return approved(step, tried, outcome);
    }
    match requested.request.power_wish() {
        Some(wish) => powered(snapshot, wish, tried || matches!(step, Step::SetPower(_, _)), outcome),
        None => performed(snapshot, requested, tried || matches!(step, Step::Perform(_, _)), outcome),
    }
}

fn powered(snapshot: &InstanceSnapshot, wish: PowerWish, tried: bool, outcome: &InstanceOutcome) -> Option<State> {
    let uid = snapshot.operation.as_ref().map(|operation| operation.uid.as_str());
    if snapshot.power_wish != wish {
        let message = format!("powerState was changed to {:?} since", snapshot.power_wish);
        let preempted = Failure { reason: Reason::OperationPreempted, message };
        let written = snapshot.power_operation.as_deref() == uid;
        return written.then_some((RecordState::Failed, Some(preempted)));
    }
    if let (true, Some(failure)) = (tried, outcome.failure.as_ref().filter(|failure| is_final(failure))) {
        return Some((RecordState::Failed, Some(failure.clone())));
    }
    let HardwareView::Present(view) = &outcome.hardware else { return tried.then(in_progress) };
    let reached = is_reached(wish, view.power);
    match &view.operation {
        OperationState::Failed { code, message, attempts: _ } if tried => {
            Some((RecordState::Failed, Some(coded(code, message))))
        }
        OperationState::Succeeded | OperationState::Failed { .. } if reached => Some((RecordState::Succeeded, None)),
        OperationState::Succeeded
        | OperationState::Failed { .. }
        | OperationState::Creating
        | OperationState::Updating
        | OperationState::Deleting => tried.then(in_progress),
    }
}

fn performed(
    snapshot: &InstanceSnapshot,
    requested: &RequestedOperation,
    tried: bool,
    outcome: &InstanceOutcome,
) -> Option<State> {
    if let Some(failure) = outcome.operation_failure.as_ref().filter(|failure| is_final(failure)) {
        return Some((RecordState::Failed, Some(failure.clone())));
    }
    let HardwareView::Present(view) = &outcome.hardware else { return tried.then(in_progress) };
    if view.last_operation.as_ref() == Some(&requested.uid) {
        return Some(match &view.operation {
            OperationState::Succeeded => (RecordState::Succeeded, None),
            OperationState::Failed { code, message, attempts: _ } => (RecordState::Failed, Some(coded(code, message))),
            OperationState::Creating | OperationState::Updating | OperationState::Deleting => in_progress(),
        });
    }
    match (requested.request, &snapshot.assigned) {
        (InstanceRequest::Reimage | InstanceRequest::ReimageAll, Assigned::Missing { revision }) => {
            let message = format!("there is no revision {revision} to reimage it from");
            Some((RecordState::Failed, Some(Failure { reason: Reason::RevisionNotFound, message })))
        }
        (
            InstanceRequest::Start
            | InstanceRequest::PowerOff(_)
            | InstanceRequest::Deallocate
            | InstanceRequest::Restart
            | InstanceRequest::Redeploy
            | InstanceRequest::Reimage
            | InstanceRequest::ReimageAll
            | InstanceRequest::SimulateEviction
            | InstanceRequest::ApproveScheduledEvent,
            _,
        ) => tried.then(in_progress),
    }
}

fn coded(code: &str, message: &str) -> Failure {
    Failure { reason: Reason::from_code(code), message: message.to_owned() }
}

/// Whether trying again is not the hardware's to mend in a moment: the operation has then failed.
pub fn is_final(failure: &Failure) -> bool {
    failure.reason != Reason::TooManyRequests && failure.reason != Reason::HardwareUnavailable
}

fn record_of<'pass>(snapshot: &'pass InstanceSnapshot, uid: &str) -> Option<&'pass InstanceOperation> {
    snapshot.status.operations.iter().find(|operation| operation.uid == uid)
}

const fn is_reached(wish: PowerWish, power: PowerState) -> bool {
    match wish {
        PowerWish::Running => matches!(power, PowerState::Running),
        PowerWish::Stopped => matches!(power, PowerState::Stopped | PowerState::Deallocated),
        PowerWish::Deallocated => matches!(power, PowerState::Deallocated),
    }
}
