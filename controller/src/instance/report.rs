//! Writes the status once, tells decisions as events, says when to look again.

use scaleset_crds::condition::{FlexVMCondition, InstanceCondition, Reason, find};
use scaleset_crds::event::{EventReason, Occurrence};
use scaleset_crds::scheduled_event::EventType as ScheduledEventType;
use scaleset_planning::instance::{Enrolment, InstancePlan, Perform, Step, awaited_by, disruption_said, said};
use scaleset_planning::snapshot::{Belonging, Failure, InstanceSnapshot, OsDiskWish};
use scaleset_planning::status::instance::instance_status;
use scaleset_planning::status::whole_seconds;
use scaleset_planning::view::{HardwareView, InstanceView, ModelView};
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
        context.looked.note(&observed.id.uid, context.hardware.now());
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
    reason: EventReason,
    note: String,
}

impl News {
    fn new(event_type: EventType, reason: impl Into<EventReason>, note: impl Into<String>) -> Self {
        Self { event_type, reason: reason.into(), note: note.into() }
    }

    fn of_failure(failure: &Failure) -> Self {
        Self::new(EventType::Warning, failure.reason, failure.message.as_str())
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
        return vec![News::new(EventType::Warning, Occurrence::HardwareAbandoned, note)];
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
    if let Step::Hold(failure) = &plan.step {
        return (!is_known(snapshot, failure.reason.as_str())).then(|| News::of_failure(failure));
    }
    if matches!(plan.step, Step::Create(_)) {
        // Hardware that was there all the time, although it was told that there is none, answers as it is.
        let vanished = snapshot.status.vm_id.is_some() && is_another(snapshot, executed);
        let note = || format!("{}, created anew", plan.reason);
        return vanished.then(|| News::new(EventType::Warning, Reason::MachineVanished, note()));
    }
    let occurrence = occurrence(&plan.step, snapshot)?;
    let done = executed.went_well() && !is_put_off(&plan.step, executed);
    done.then(|| News::new(EventType::Normal, occurrence, plan.reason.as_str()))
}

/// Whether an online change is one that nobody else tells: of a member that a set made, the set has told it for all.
/// Where only the name of the revision is another one, nothing has changed.
fn is_change(model: &ModelView, snapshot: &InstanceSnapshot) -> bool {
    let is_made = matches!(snapshot.belonging, Belonging::Made { .. });
    let differs = match &snapshot.hardware {
        HardwareView::Present(view) => view.model != model.model,
        HardwareView::Absent | HardwareView::Unknown { message: _ } => true,
    };
    differs && !is_made
}

/// What a step that was taken is told as.
fn occurrence(step: &Step, snapshot: &InstanceSnapshot) -> Option<Occurrence> {
    Some(match step {
        Step::UpdateOnline(model) if is_change(model, snapshot) => Occurrence::Update,
        Step::UpdateWithRestart(_) | Step::Perform(_, Perform::Restart(_)) => Occurrence::Restart,
        Step::Reimage(_) | Step::Perform(_, Perform::Reimage(_)) => Occurrence::Reimage,
        Step::Perform(_, Perform::ReimageAll(_)) => Occurrence::ReimageAll,
        Step::ReplaceOsDisk(_, OsDiskWish::Fresh { .. }) => Occurrence::UpgradeOSImage,
        Step::ReplaceOsDisk(_, OsDiskWish::Former { .. }) => Occurrence::RestoreOSDisk,
        Step::Recreate => Occurrence::Replace,
        Step::Restore => Occurrence::Restore,
        Step::Drain(_) => Occurrence::Drain,
        Step::Undrain => Occurrence::Undrain,
        Step::Discard => Occurrence::Delete,
        Step::StartAt(_) | Step::SetPower(_, _) => Occurrence::SetPower,
        Step::Perform(_, Perform::Redeploy(_)) => Occurrence::Redeploy,
        Step::Perform(_, Perform::SimulateEviction) => Occurrence::SimulateEviction,
        Step::ApproveEvent(_) => Occurrence::ApproveScheduledEvent,
        Step::Enroll(Enrolment::Leave) => Occurrence::Detach,
        // A member is marked anew where its group or its fault domain has changed.
        Step::Enroll(Enrolment::Join { scale_set, group: _ }) if snapshot.enrolled.as_ref() != Some(scale_set) => {
            Occurrence::Join
        }
        Step::None
        | Step::Wait(_)
        | Step::Hold(_)
        | Step::AddFinalizer
        | Step::Enroll(Enrolment::Join { .. })
        | Step::Create(_)
        | Step::UpdateOnline(_)
        | Step::Count
        | Step::SetMembership(_)
        | Step::Release(_, _)
        | Step::Forget => return None,
    })
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
    Some(News::new(EventType::Warning, Occurrence::Preempt, note))
}

/// That it was.
fn evicted(snapshot: &InstanceSnapshot, view: &InstanceView) -> Option<News> {
    let eviction = view.eviction.filter(|_| snapshot.status.eviction.is_none())?;
    let note = format!("evicted at {} scenario time: {:?}", whole_seconds(eviction.time), eviction.reason);
    Some(News::new(EventType::Warning, Reason::Evicted, note))
}

/// That a VM is about to be deleted.
fn leaving(snapshot: &InstanceSnapshot, view: &InstanceView) -> Option<News> {
    let notice = view.awaited_notice().filter(|notice| !is_told(snapshot, &notice.event_id))?;
    Some(News::new(EventType::Normal, Occurrence::Terminate, said(notice)))
}

/// That a VM is about to pause or to restart, or that it does without having been told.
fn disturbed(snapshot: &InstanceSnapshot, view: &InstanceView) -> Option<News> {
    let notice = view.disruption_notice.as_ref().filter(|notice| !is_told(snapshot, &notice.event_id))?;
    let reason = match notice.event_type {
        ScheduledEventType::Freeze => Occurrence::Freeze,
        ScheduledEventType::Reboot => Occurrence::Reboot,
        ScheduledEventType::Redeploy => Occurrence::Redeploy,
        ScheduledEventType::Preempt => Occurrence::Preempt,
        ScheduledEventType::Terminate => Occurrence::Terminate,
    };
    Some(News::new(EventType::Warning, reason, disruption_said(notice)))
}

fn is_told(snapshot: &InstanceSnapshot, event_id: &str) -> bool {
    snapshot.status.scheduled_events.iter().any(|event| event.event_id == event_id)
}

#[cfg(test)]
mod tests;
