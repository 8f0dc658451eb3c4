//! What a person asked a VM for once: when it is passed on to the hardware, and what is recorded of it.
//!
//! The hardware does an operation once for each uid and remembers the last, so a call that is repeated because nobody
//! knows what became of it changes nothing. A power operation wishes a state and is done when it is reached; that wish
//! stays in the spec, where anybody may change it again.

use scaleset_crds::condition::Reason;
use scaleset_crds::operation::{InstanceOperation, OperationState as RecordState};
use scaleset_crds::scheduled_event::EventApproval;
use scaleset_crds::vocabulary::{PowerState, PowerWish};

use super::precedence::chosen;
use super::scheduled_event::{approved, disruption_said};
use super::{Decision, Perform, Step, decide, seat};
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
    let RequestedOperation { uid, request, event_id: _, asked_by } = chosen(snapshot)?;
    if view.last_operation.as_ref() == Some(uid) {
        return None;
    }
    let policy = &snapshot.scheduled_events_policy;
    let step = match request {
        InstanceRequest::Start | InstanceRequest::PowerOff(_) | InstanceRequest::Deallocate => {
            let wish = request.power_wish().filter(|wish| *wish == snapshot.power_wish)?;
            if record_of(snapshot, uid).is_some() || is_reached(wish, view.power) {
                return None;
            }
            seat::set_power(snapshot, wish, shutdown_rule(snapshot))
        }
        InstanceRequest::Restart => Step::Perform(uid.clone(), Perform::Restart(approval(*asked_by, policy.reboot()))),
        InstanceRequest::Redeploy => {
            Step::Perform(uid.clone(), Perform::Redeploy(approval(*asked_by, policy.redeploy())))
        }
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

/// Repairs wait for nobody: the application is not well.
const fn approval(asked_by: Asker, of_operations: EventApproval) -> EventApproval {
    match asked_by {
        Asker::Operation => of_operations,
        Asker::Repair => EventApproval::Automatic,
    }
}

/// How a guest that is to stop is stopped now.
pub(super) fn shutdown_rule(snapshot: &InstanceSnapshot) -> ShutdownRule {
    match chosen(snapshot).map(|requested| requested.request) {
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
    let Some(requested) = chosen(snapshot) else { return records };
    let RequestedOperation { uid, request, event_id: _, asked_by: _ } = requested;
    let Some((state, failure)) = state(snapshot, requested, step, outcome) else { return records };
    let (code, message) = failure.map(|failure| (failure.reason.as_str().to_owned(), failure.message)).unzip();
    let message =
        message.or_else(|| waits_for(snapshot, requested, outcome).filter(|_| state == RecordState::InProgress));
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

/// The event that holds a request back.
fn waits_for(snapshot: &InstanceSnapshot, requested: &RequestedOperation, outcome: &InstanceOutcome) -> Option<String> {
    let HardwareView::Present(view) = &outcome.hardware else { return None };
    let policy = &snapshot.scheduled_events_policy;
    let of_operation =
        |of_operations| view.awaited_operation(&requested.uid, approval(requested.asked_by, of_operations));
    let notice = match requested.request {
        InstanceRequest::Restart => of_operation(policy.reboot()),
        InstanceRequest::Redeploy => of_operation(policy.redeploy()),
        InstanceRequest::Reimage | InstanceRequest::ReimageAll => view.awaited_replacement(),
        InstanceRequest::Start
        | InstanceRequest::PowerOff(_)
        | InstanceRequest::Deallocate
        | InstanceRequest::SimulateEviction
        | InstanceRequest::ApproveScheduledEvent => None,
    };
    notice.map(disruption_said)
}

pub(super) type State = (RecordState, Option<Failure>);

pub(super) const fn in_progress() -> State {
    (RecordState::InProgress, None)
}

/// Whether a request has been begun to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// By the step of this pass.
    Now,
    /// By an earlier pass, which has recorded it.
    Before,
    /// Not yet.
    Never,
}

impl Tried {
    fn of(snapshot: &InstanceSnapshot, requested: &RequestedOperation, step: &Step) -> Self {
        let now = match requested.request {
            InstanceRequest::Start | InstanceRequest::PowerOff(_) | InstanceRequest::Deallocate => {
                matches!(step, Step::SetPower(_, _) | Step::StartAt(_))
            }
            InstanceRequest::Restart
            | InstanceRequest::Redeploy
            | InstanceRequest::Reimage
            | InstanceRequest::ReimageAll
            | InstanceRequest::SimulateEviction => matches!(step, Step::Perform(_, _)),
            InstanceRequest::ApproveScheduledEvent => matches!(step, Step::ApproveEvent(_)),
        };
        match (now, record_of(snapshot, &requested.uid)) {
            (true, _) => Self::Now,
            (false, Some(_)) => Self::Before,
            (false, None) => Self::Never,
        }
    }

    /// What is recorded while nothing more is known.
    const fn state(self) -> Option<State> {
        match self {
            Self::Now | Self::Before => Some(in_progress()),
            Self::Never => None,
        }
    }
}

/// How far a request is after a step; `None` where it has not been tried.
fn state(
    snapshot: &InstanceSnapshot,
    requested: &RequestedOperation,
    step: &Step,
    outcome: &InstanceOutcome,
) -> Option<State> {
    let tried = Tried::of(snapshot, requested, step);
    if requested.request == InstanceRequest::ApproveScheduledEvent {
        return approved(tried, outcome);
    }
    match requested.request.power_wish() {
        Some(wish) => powered(snapshot, requested, wish, tried, outcome),
        None => performed(snapshot, requested, tried, outcome),
    }
}

fn powered(
    snapshot: &InstanceSnapshot,
    requested: &RequestedOperation,
    wish: PowerWish,
    tried: Tried,
    outcome: &InstanceOutcome,
) -> Option<State> {
    if snapshot.power_wish != wish {
        let message = format!("powerState was changed to {:?} since", snapshot.power_wish);
        let preempted = Failure { reason: Reason::OperationPreempted, message };
        let written = snapshot.power_operation.as_ref() == Some(&requested.uid);
        return written.then_some((RecordState::Failed, Some(preempted)));
    }
    let failed = |failure: Failure| Some((RecordState::Failed, Some(failure)));
    match (tried, outcome.failure.as_ref().filter(|failure| is_final(failure))) {
        (Tried::Now | Tried::Before, Some(failure)) => return failed(failure.clone()),
        (Tried::Never, Some(_)) | (Tried::Now | Tried::Before | Tried::Never, None) => {}
    }
    let HardwareView::Present(view) = &outcome.hardware else { return tried.state() };
    let reached = is_reached(wish, view.power);
    match (&view.operation, tried) {
        (OperationState::Failed { code, message, attempts: _ }, Tried::Now | Tried::Before) => {
            failed(coded(code, message))
        }
        (OperationState::Succeeded, Tried::Now | Tried::Before | Tried::Never)
        | (OperationState::Failed { .. }, Tried::Never)
            if reached =>
        {
            Some((RecordState::Succeeded, None))
        }
        (
            OperationState::Succeeded
            | OperationState::Failed { .. }
            | OperationState::Creating
            | OperationState::Updating
            | OperationState::Deleting,
            Tried::Now | Tried::Before | Tried::Never,
        ) => tried.state(),
    }
}

fn performed(
    snapshot: &InstanceSnapshot,
    requested: &RequestedOperation,
    tried: Tried,
    outcome: &InstanceOutcome,
) -> Option<State> {
    if let Some(failure) = outcome.operation_failure.as_ref().filter(|failure| is_final(failure)) {
        return Some((RecordState::Failed, Some(failure.clone())));
    }
    let HardwareView::Present(view) = &outcome.hardware else { return tried.state() };
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
        ) => tried.state(),
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
