//! What a VM was told of: an approval is passed on at once, and a deletion that was announced is waited for.
//!
//! Sources: Azure's "Scheduled Events", "Terminate notification for Azure Virtual Machine Scale Set instances". An approval
//! overtakes whatever else is done to the VM: it is about what happens next.

use std::time::Duration;

use jiff::Timestamp;
use scaleset_crds::operation::OperationState as RecordState;

use super::operation::State;
use super::{Decision, Step, Wait, is_final};
use crate::snapshot::{InstanceRequest, InstanceSnapshot, RequestedOperation};
use crate::status::instance::InstanceOutcome;
use crate::status::whole_seconds;
use crate::view::{HardwareView, NoticeStage, TerminateNotice};

/// Events are approved, and a deletion begins, for the hardware to do: nothing else is done meanwhile.
pub(super) fn awaited(snapshot: &InstanceSnapshot) -> Option<Decision> {
    let HardwareView::Present(view) = &snapshot.hardware else { return None };
    if let Some(RequestedOperation { uid: _, request: InstanceRequest::ApproveScheduledEvent, event_id, asked_by: _ }) =
        &snapshot.operation
    {
        let reason = "operation ApproveScheduledEvent asks for it".to_owned();
        return Some((Step::ApproveEvent(event_id.clone()), reason, None));
    }
    let notice = view.awaited_notice()?;
    Some((Step::Wait(Wait::DeletionNotice), said(notice), Some(left(snapshot.now, notice))))
}

/// The hardware says when the deletion begins; this is for what it says in vain.
fn left(now: Timestamp, notice: &TerminateNotice) -> Duration {
    let left = Duration::try_from(notice.not_before.duration_since(now)).unwrap_or(Duration::ZERO);
    left.max(Duration::from_secs(1))
}

/// What a VM waits for that was told of its deletion, and what ends the wait.
pub fn said(notice: &TerminateNotice) -> String {
    let TerminateNotice { event_id, not_before, stage } = notice;
    let until = whole_seconds(*not_before);
    match stage {
        NoticeStage::Scheduled => {
            format!(
                "notice of deletion: event {event_id}, until {until}; approve it with the operation ApproveScheduledEvent"
            )
        }
        NoticeStage::Approved => {
            format!(
                "notice of deletion: event {event_id}, approved; waits for VMs of its set whose notice ends no later"
            )
        }
        NoticeStage::Started => format!("notice of deletion: event {event_id}, the deletion has begun"),
    }
}

/// How far an approval is: it is done once the hardware has taken it.
pub(super) fn approved(step: &Step, tried: RecordedBefore, outcome: &InstanceOutcome) -> Option<State> {
    match (step, &outcome.operation_failure) {
        (_, Some(failure)) if is_final(failure) => Some((RecordState::Failed, Some(failure.clone()))),
        (Step::ApproveEvent(_), None) => Some((RecordState::Succeeded, None)),
        (Step::ApproveEvent(_), Some(_)) => Some((RecordState::InProgress, None)),
        (_, _) => match tried {
            RecordedBefore::Yes => Some((RecordState::InProgress, None)),
            RecordedBefore::No => None,
        },
    }
}

/// Whether an operation was tried before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordedBefore {
    Yes,
    No,
}
