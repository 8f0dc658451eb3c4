//! Writes the status once, tells decisions as events, says when to look again.

use scaleset_crds::condition::{FlexVMCondition, InstanceCondition, find};
use scaleset_crds::scheduled_event::EventType as ScheduledEventType;
use scaleset_planning::instance::{Enrolment, InstancePlan, Step, awaited_by, disruption_said, said};
use scaleset_planning::snapshot::{Belonging, Failure, InstanceSnapshot};
use scaleset_planning::status::instance::instance_status;
use scaleset_planning::status::whole_seconds;
use scaleset_planning::view::{HardwareView, InstanceView};
use tracing::warn;

use super::execute::{Executed, ObjectAfter, name};
use super::observe::Observed;
use crate::cluster::{ClusterError, EventType, Notice};
use crate::context::{Context, Wake};
use crate::error::PassError;

pub(super) async fn report(
    context: &Context,
    observed: &Observed,
    snapshot: &InstanceSnapshot,
    plan: &InstancePlan,
    executed: Executed,
) -> Result<Wake, PassError> {
    for notice in notices(observed, snapshot, plan, &executed) {
        if let Err(error) = context.cluster.publish(notice).await {
            warn!(vm = %snapshot.name, error = %error, "event lost");
        }
    }
    let Executed { outcome, retry, object } = executed;
    if object == ObjectAfter::Kept {
        let status = instance_status(snapshot, &plan.step, &outcome);
        if status != snapshot.status {
            let value = serde_json::to_value(&status).expect("a status is plain data");
            match context.cluster.apply_status(&observed.id.uid, &observed.id, value).await {
                Ok(()) | Err(ClusterError::Gone { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        context.looked.note(&observed.id.uid);
    } else {
        context.looked.forget(&observed.id.uid);
    }
    match retry {
        Some(error) => Err(error),
        None => Ok(plan.wake_after.map_or(Wake::OnChange, |after| Wake::After(context.hardware.wall_duration(after)))),
    }
}

/// Why the reference of a VM that runs is not followed, where that was not told yet.
fn unheeded(snapshot: &InstanceSnapshot) -> Option<&Failure> {
    let refusal = match &snapshot.belonging {
        Belonging::Refused { scale_set: _, refusal } if matches!(snapshot.hardware, HardwareView::Present(_)) => {
            Some(refusal)
        }
        Belonging::Alone
        | Belonging::Made { .. }
        | Belonging::HandMade { .. }
        | Belonging::Leaving { .. }
        | Belonging::Refused { .. } => snapshot.kept.as_ref(),
    };
    let told = find(&snapshot.status.conditions, FlexVMCondition::Member.as_str());
    refusal.filter(|refusal| told.is_none_or(|before| before.reason != refusal.reason.as_str()))
}

/// Whether a condition has told that reason already.
fn is_known(snapshot: &InstanceSnapshot, code: &str) -> bool {
    let conditions = &snapshot.status.conditions;
    [InstanceCondition::Provisioned, InstanceCondition::Stalled]
        .iter()
        .any(|condition| find(conditions, condition.as_str()).is_some_and(|before| before.reason == code))
}

/// What is told of a VM, how, and under which reason.
struct News {
    event_type: EventType,
    reason: String,
    note: String,
}

impl News {
    fn new(event_type: EventType, reason: &str, note: impl Into<String>) -> Self {
        Self { event_type, reason: reason.to_owned(), note: note.into() }
    }

    fn of_failure(failure: &Failure) -> Self {
        Self::new(EventType::Warning, failure.reason.as_str(), failure.message.as_str())
    }
}

/// One event for each thing that a person would ask about, none for the ordinary course of creation: those are told once for
/// all by the set. What the status records after this pass is not told again, so nothing waits for a later one.
fn notices(observed: &Observed, snapshot: &InstanceSnapshot, plan: &InstancePlan, executed: &Executed) -> Vec<Notice> {
    let notice = |News { event_type, reason, note }| Notice {
        regarding: observed.id.clone(),
        event_type,
        reason,
        action: name(&plan.step).to_owned(),
        note,
    };
    news(observed, snapshot, plan, executed).into_iter().map(notice).collect()
}

fn news(observed: &Observed, snapshot: &InstanceSnapshot, plan: &InstancePlan, executed: &Executed) -> Vec<News> {
    if executed.object == ObjectAfter::LetGoWithHardware {
        let note = format!("let go as the annotation asks; its hardware {} may still be there", observed.id.uid);
        return vec![News::new(EventType::Warning, "HardwareAbandoned", note)];
    }
    let failed = executed.outcome.failure.as_ref();
    let failed = failed.filter(|failure| !is_known(snapshot, failure.reason.as_str()));
    let mut news = announced(snapshot, executed);
    news.extend(failed.map(News::of_failure));
    news.extend(unheeded(snapshot).map(News::of_failure));
    news.extend(decided(snapshot, plan, executed));
    news
}

/// What was decided and done, or is held.
fn decided(snapshot: &InstanceSnapshot, plan: &InstancePlan, executed: &Executed) -> Option<News> {
    match &plan.step {
        Step::Hold(failure) if !is_known(snapshot, failure.reason.as_str()) => Some(News::of_failure(failure)),
        // Hardware that was there all the time, although it was told that there is none, answers as it is.
        Step::Create(_) if snapshot.status.vm_id.is_some() && is_another(snapshot, executed) => {
            Some(News::new(EventType::Warning, "MachineVanished", format!("{}, created anew", plan.reason)))
        }
        Step::UpdateWithRestart(_)
        | Step::Reimage(_)
        | Step::ReplaceOsDisk(_, _)
        | Step::Recreate
        | Step::StartAt(_)
        | Step::SetPower(_, _)
        | Step::Drain(_)
        | Step::Undrain
        | Step::Discard
        | Step::Restore
        | Step::Perform(_, _)
        | Step::ApproveEvent(_)
        | Step::Enroll(Enrolment::Leave)
            if executed.went_well() && !is_put_off(&plan.step, executed) =>
        {
            Some(News::new(EventType::Normal, name(&plan.step), plan.reason.as_str()))
        }
        Step::None
        | Step::Wait(_)
        | Step::Hold(_)
        | Step::AddFinalizer
        | Step::Enroll(_)
        | Step::Create(_)
        | Step::UpdateOnline(_)
        | Step::UpdateWithRestart(_)
        | Step::Reimage(_)
        | Step::ReplaceOsDisk(_, _)
        | Step::Recreate
        | Step::Restore
        | Step::Count
        | Step::Discard
        | Step::StartAt(_)
        | Step::SetPower(_, _)
        | Step::Drain(_)
        | Step::Undrain
        | Step::Perform(_, _)
        | Step::ApproveEvent(_)
        | Step::Release(_, _)
        | Step::Forget => None,
    }
}

/// Whether the hardware has only announced the step: it is taken, and told, when the notice is over.
fn is_put_off(step: &Step, executed: &Executed) -> bool {
    match &executed.outcome.hardware {
        HardwareView::Present(view) => awaited_by(step, view).is_some(),
        HardwareView::Absent | HardwareView::Unknown { message: _ } => false,
    }
}

/// Whether the hardware is there, and is not the one that was known.
fn is_another(snapshot: &InstanceSnapshot, executed: &Executed) -> bool {
    let HardwareView::Present(view) = &executed.outcome.hardware else { return false };
    snapshot.status.vm_id.as_ref() != Some(&view.vm_id)
}

/// What a VM was told of since the last pass, each told once.
fn announced(snapshot: &InstanceSnapshot, executed: &Executed) -> Vec<News> {
    let HardwareView::Present(view) = &executed.outcome.hardware else { return Vec::new() };
    let news = [preempted(snapshot, view), evicted(snapshot, view), leaving(snapshot, view), disturbed(snapshot, view)];
    news.into_iter().flatten().collect()
}

/// That a Spot VM is about to be evicted.
fn preempted(snapshot: &InstanceSnapshot, view: &InstanceView) -> Option<News> {
    let notice = view.preempt_notice.as_ref().filter(|notice| !is_told(snapshot, &notice.event_id))?;
    let note = format!("is evicted at {} scenario time: {:?}", whole_seconds(notice.not_before), notice.reason);
    Some(News::new(EventType::Warning, "Preempt", note))
}

/// That it was.
fn evicted(snapshot: &InstanceSnapshot, view: &InstanceView) -> Option<News> {
    let eviction = view.eviction.filter(|_| snapshot.status.eviction.is_none())?;
    let note = format!("evicted at {} scenario time: {:?}", whole_seconds(eviction.time), eviction.reason);
    Some(News::new(EventType::Warning, "Evicted", note))
}

/// That a VM is about to be deleted.
fn leaving(snapshot: &InstanceSnapshot, view: &InstanceView) -> Option<News> {
    let notice = view.awaited_notice().filter(|notice| !is_told(snapshot, &notice.event_id))?;
    Some(News::new(EventType::Normal, "Terminate", said(notice)))
}

/// That a VM is about to pause or to restart, or that it does without having been told.
fn disturbed(snapshot: &InstanceSnapshot, view: &InstanceView) -> Option<News> {
    let notice = view.disruption_notice.as_ref().filter(|notice| !is_told(snapshot, &notice.event_id))?;
    let reason = match notice.event_type {
        ScheduledEventType::Freeze => "Freeze",
        ScheduledEventType::Reboot => "Reboot",
        ScheduledEventType::Redeploy => "Redeploy",
        ScheduledEventType::Preempt => "Preempt",
        ScheduledEventType::Terminate => "Terminate",
    };
    Some(News::new(EventType::Warning, reason, disruption_said(notice)))
}

fn is_told(snapshot: &InstanceSnapshot, event_id: &str) -> bool {
    snapshot.status.scheduled_events.iter().any(|event| event.event_id == event_id)
}

#[cfg(test)]
mod tests;
