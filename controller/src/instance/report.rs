//! Writes the status once, tells decisions as events, says when to look again.

use jiff::Timestamp;
use scaleset_crds::condition::{FlexVMCondition, InstanceCondition, find};
use scaleset_crds::scheduled_event::EventType as ScheduledEventType;
use scaleset_planning::instance::{Enrolment, InstancePlan, Step, disruption_said, said};
use scaleset_planning::snapshot::{Belonging, Failure, InstanceSnapshot};
use scaleset_planning::status::instance::instance_status;
use scaleset_planning::view::HardwareView;
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
    if let Some(notice) = notice(observed, snapshot, plan, &executed)
        && let Err(error) = context.cluster.publish(notice).await
    {
        warn!(vm = %snapshot.name, error = %error, "event lost");
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

/// One event for a decision that a person would ask about, none for the ordinary course of creation: those are told
/// once for all by the set.
fn notice(
    observed: &Observed,
    snapshot: &InstanceSnapshot,
    plan: &InstancePlan,
    executed: &Executed,
) -> Option<Notice> {
    let notice = |event_type, reason: &str, note: String| {
        Some(Notice {
            regarding: observed.id.clone(),
            event_type,
            reason: reason.to_owned(),
            action: name(&plan.step).to_owned(),
            note,
        })
    };
    if executed.object == ObjectAfter::LetGoWithHardware {
        let note = format!("let go as the annotation asks; its hardware {} may still be there", observed.id.uid);
        return notice(EventType::Warning, "HardwareAbandoned", note);
    }
    if let Some((event_type, reason, note)) = news(snapshot, executed) {
        return notice(event_type, reason, note);
    }
    let told = |code: &str| is_known(snapshot, code);
    if let Some(failure) = &executed.outcome.failure {
        let reason = failure.reason.as_str();
        return if told(reason) { None } else { notice(EventType::Warning, reason, failure.message.clone()) };
    }
    if let Some(refusal) = unheeded(snapshot) {
        return notice(EventType::Warning, refusal.reason.as_str(), refusal.message.clone());
    }
    match &plan.step {
        Step::Hold(failure) if !told(failure.reason.as_str()) => {
            notice(EventType::Warning, failure.reason.as_str(), failure.message.clone())
        }
        // Hardware that was there all the time, although it was told that there is none, answers as it is.
        Step::Create(_) if snapshot.status.vm_id.is_some() && is_another(snapshot, executed) => {
            notice(EventType::Warning, "MachineVanished", format!("{}, created anew", plan.reason))
        }
        Step::UpdateWithRestart(_)
        | Step::Reimage(_)
        | Step::ReplaceOsDisk(_, _)
        | Step::Recreate
        | Step::StartAt(_)
        | Step::SetPower(_, _)
        | Step::Drain
        | Step::Undrain
        | Step::Discard
        | Step::Restore
        | Step::Perform(_, _)
        | Step::ApproveEvent(_)
        | Step::Enroll(Enrolment::Leave)
            if executed.went_well() =>
        {
            notice(EventType::Normal, name(&plan.step), plan.reason.clone())
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
        | Step::Drain
        | Step::Undrain
        | Step::Perform(_, _)
        | Step::ApproveEvent(_)
        | Step::Release(_, _)
        | Step::Forget => None,
    }
}

/// Whether the hardware is there, and is not the one that was known.
fn is_another(snapshot: &InstanceSnapshot, executed: &Executed) -> bool {
    let HardwareView::Present(view) = &executed.outcome.hardware else { return false };
    snapshot.status.vm_id.as_ref() != Some(&view.vm_id)
}

/// What is told of a VM, how, and under which reason.
type News = (EventType, &'static str, String);

/// What a VM was told of since the last pass, told once.
fn news(snapshot: &InstanceSnapshot, executed: &Executed) -> Option<News> {
    let market = market_news(snapshot, executed);
    market.or_else(|| leaving(snapshot, executed)).or_else(|| disturbed(snapshot, executed))
}

/// Whole seconds, as the API has them.
fn second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).expect("a timestamp's second is a timestamp")
}

/// That a Spot VM is about to be evicted, or was, told once.
fn market_news(snapshot: &InstanceSnapshot, executed: &Executed) -> Option<News> {
    let HardwareView::Present(view) = &executed.outcome.hardware else { return None };
    match (&view.preempt_notice, view.eviction) {
        (Some(notice), _) if !is_told(snapshot, &notice.event_id) => {
            let note = format!("is evicted at {} scenario time: {:?}", second(notice.not_before), notice.reason);
            Some((EventType::Warning, "Preempt", note))
        }
        (_, Some(eviction)) if snapshot.status.eviction.is_none() => {
            let note = format!("evicted at {} scenario time: {:?}", second(eviction.time), eviction.reason);
            Some((EventType::Warning, "Evicted", note))
        }
        (Some(_) | None, Some(_) | None) => None,
    }
}

/// That a VM is about to be deleted, told once.
fn leaving(snapshot: &InstanceSnapshot, executed: &Executed) -> Option<News> {
    let HardwareView::Present(view) = &executed.outcome.hardware else { return None };
    let notice = view.awaited_notice().filter(|notice| !is_told(snapshot, &notice.event_id))?;
    Some((EventType::Normal, "Terminate", said(notice)))
}

/// That a VM is about to pause or to restart, or that it does without having been told, told once.
fn disturbed(snapshot: &InstanceSnapshot, executed: &Executed) -> Option<News> {
    let HardwareView::Present(view) = &executed.outcome.hardware else { return None };
    let notice = view.disruption_notice.as_ref().filter(|notice| !is_told(snapshot, &notice.event_id))?;
    let reason = match notice.event_type {
        ScheduledEventType::Freeze => "Freeze",
        ScheduledEventType::Reboot => "Reboot",
        ScheduledEventType::Redeploy => "Redeploy",
        ScheduledEventType::Preempt => "Preempt",
        ScheduledEventType::Terminate => "Terminate",
    };
    Some((EventType::Warning, reason, disruption_said(notice)))
}

fn is_told(snapshot: &InstanceSnapshot, event_id: &str) -> bool {
    snapshot.status.scheduled_events.iter().any(|event| event.event_id == event_id)
}
