//! What a VM was told of: an approval is passed on at once, and what was announced is waited for: a deletion before
//! anything else, the replacement of an OS disk and what an operation asks for where nothing else is to be done.
//!
//! Sources: Azure's "Scheduled Events", "Terminate notification for Azure Virtual Machine Scale Set instances". An approval
//! overtakes whatever else is done to the VM: it is about what happens next.

use std::time::Duration;

use jiff::Timestamp;
use scaleset_crds::operation::OperationState as RecordState;
use scaleset_crds::scheduled_event::EventApproval;

use super::operation::{State, Tried, in_progress, requested};
use super::precedence::chosen;
use super::{Decision, Perform, Step, Wait, is_final};
use crate::snapshot::{InstanceRequest, InstanceSnapshot, OsDiskWish, RequestedOperation};
use crate::status::instance::InstanceOutcome;
use crate::status::whole_seconds;
use crate::view::{
    DisruptionCause, DisruptionNotice, HardwareView, InstanceView, ModelView, NoticeStage, TerminateNotice,
};

/// Events are approved, and a deletion begins, for the hardware to do: nothing else is done meanwhile.
pub(super) fn awaited(snapshot: &InstanceSnapshot) -> Option<Decision> {
    let HardwareView::Present(view) = &snapshot.hardware else { return None };
    if let Some(RequestedOperation { uid: _, request: InstanceRequest::ApproveScheduledEvent, event_id, asked_by: _ }) =
        chosen(snapshot)
    {
        let reason = "operation ApproveScheduledEvent asks for it".to_owned();
        return Some((Step::ApproveEvent(event_id.clone()), reason, None));
    }
    let notice = view.awaited_notice()?;
    Some((Step::Wait(Wait::DeletionNotice), said(notice), Some(left(snapshot.now, notice.not_before))))
}

/// A step that a VM was told of waits: another OS disk, or what an operation asks for. Every other step is taken.
pub(super) fn told_first(snapshot: &InstanceSnapshot, decision: Decision) -> Decision {
    let HardwareView::Present(view) = &snapshot.hardware else { return decision };
    let Some(notice) = awaited_by(&decision.0, view) else { return decision };
    let wait = match notice.cause {
        DisruptionCause::OsImage => Wait::ImageNotice,
        DisruptionCause::Operation | DisruptionCause::Maintenance | DisruptionCause::HardwareFailure => {
            Wait::OperationNotice
        }
    };
    (Step::Wait(wait), disruption_said(notice), Some(left(snapshot.now, notice.not_before)))
}

/// What an operation asks for and may be done now: while its notice is out, whatever else is to be done to the VM goes on.
pub(super) fn requested_now(
    snapshot: &InstanceSnapshot,
    model: Option<&ModelView>,
    view: &InstanceView,
) -> Option<Decision> {
    requested(snapshot, model, view).filter(|(step, _, _)| awaited_by(step, view).is_none())
}

/// Where nothing else is to be done, it is waited for.
pub(super) fn or_requested(
    snapshot: &InstanceSnapshot,
    model: Option<&ModelView>,
    view: &InstanceView,
    decision: Decision,
) -> Decision {
    if decision.0 == Step::None { requested(snapshot, model, view).unwrap_or(decision) } else { decision }
}

/// Whether a step is only announced by the hardware, and leaves the VM as it is until whoever may has approved it.
pub(super) fn is_announced(step: &Step, view: &InstanceView) -> bool {
    match step {
        Step::Perform(uid, Perform::Restart(EventApproval::Awaited) | Perform::Redeploy(EventApproval::Awaited)) => {
            !view.may_begin(uid)
        }
        Step::Reimage(_)
        | Step::ReplaceOsDisk(_, OsDiskWish::Fresh { .. })
        | Step::Perform(_, Perform::Reimage(_) | Perform::ReimageAll(_)) => view.is_told_of_replacements(),
        Step::Perform(
            _,
            Perform::Restart(EventApproval::Automatic)
            | Perform::Redeploy(EventApproval::Automatic)
            | Perform::SimulateEviction,
        )
        | Step::None
        | Step::Wait(_)
        | Step::Hold(_)
        | Step::AddFinalizer
        | Step::Enroll(_)
        | Step::Create(_)
        | Step::UpdateOnline(_)
        | Step::UpdateWithRestart(_)
        | Step::ReplaceOsDisk(_, OsDiskWish::Former { .. })
        | Step::Recreate
        | Step::Restore
        | Step::Discard
        | Step::Count
        | Step::SetMembership(_)
        | Step::Drain(_)
        | Step::Undrain
        | Step::StartAt(_)
        | Step::SetPower(_, _)
        | Step::ApproveEvent(_)
        | Step::Release(_, _)
        | Step::Forget => false,
    }
}

/// The notice that a step has to wait for. Hardware that answers a step with such a notice has announced it, and not done it.
pub fn awaited_by<'view>(step: &Step, view: &'view InstanceView) -> Option<&'view DisruptionNotice> {
    match step {
        Step::Reimage(_)
        | Step::ReplaceOsDisk(_, OsDiskWish::Fresh { .. })
        | Step::Perform(_, Perform::Reimage(_) | Perform::ReimageAll(_)) => view.awaited_replacement(),
        Step::Perform(uid, Perform::Restart(approval) | Perform::Redeploy(approval)) => {
            view.awaited_operation(uid, *approval)
        }
        Step::None
        | Step::Wait(_)
        | Step::Hold(_)
        | Step::AddFinalizer
        | Step::Enroll(_)
        | Step::Create(_)
        | Step::UpdateOnline(_)
        | Step::UpdateWithRestart(_)
        | Step::ReplaceOsDisk(_, OsDiskWish::Former { .. })
        | Step::Recreate
        | Step::Restore
        | Step::Discard
        | Step::Count
        | Step::SetMembership(_)
        | Step::Drain(_)
        | Step::Undrain
        | Step::StartAt(_)
        | Step::SetPower(_, _)
        | Step::Perform(_, Perform::SimulateEviction)
        | Step::ApproveEvent(_)
        | Step::Release(_, _)
        | Step::Forget => None,
    }
}

/// The hardware says when it begins; this is for what it says in vain.
fn left(now: Timestamp, not_before: Timestamp) -> Duration {
    let left = Duration::try_from(not_before.duration_since(now)).unwrap_or(Duration::ZERO);
    left.max(Duration::from_secs(1))
}

/// What a VM waits for that was told of its deletion, and what ends the wait.
pub fn said(notice: &TerminateNotice) -> String {
    let TerminateNotice { event_id, not_before, stage } = notice;
    let until = whole_seconds(*not_before);
    match stage {
        NoticeStage::Scheduled => {
            format!(
                "notice of deletion: event {event_id}, until {until} scenario time; approve it with the operation ApproveScheduledEvent"
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

/// What is about to be done to a VM, or is being done, and why; and what ends the wait.
pub fn disruption_said(notice: &DisruptionNotice) -> String {
    let DisruptionNotice { event_id, event_type, cause, not_before, stage, operation: _, duration_seconds: _ } = notice;
    let (until, why) = (whole_seconds(*not_before), cause.describe());
    match stage {
        NoticeStage::Scheduled => format!(
            "{event_type:?}, {why}: event {event_id}, not before {until} scenario time; approve it with the operation \
             ApproveScheduledEvent"
        ),
        NoticeStage::Approved => format!("{event_type:?}, {why}: event {event_id}, about to begin"),
        NoticeStage::Started => format!("{event_type:?}, {why}: event {event_id} has begun"),
    }
}

/// How far an approval is: it is done once the hardware has taken it.
pub(super) fn approved(tried: Tried, outcome: &InstanceOutcome) -> Option<State> {
    match (tried, &outcome.operation_failure) {
        (Tried::Now | Tried::Before | Tried::Never, Some(failure)) if is_final(failure) => {
            Some((RecordState::Failed, Some(failure.clone())))
        }
        (Tried::Now, None) => Some((RecordState::Succeeded, None)),
        (Tried::Now | Tried::Before, Some(_)) | (Tried::Before, None) => Some(in_progress()),
        (Tried::Never, Some(_) | None) => None,
    }
}
