//! Tells decisions as events and numbers, says when to look again. The status is written by then: a decision is on record
//! before it is carried out.

use std::time::Duration;

use scaleset_crds::AutoscaleSettingStatus;
use scaleset_crds::autoscale_setting::ScaleActionState;
use scaleset_crds::condition::{AutoscaleCondition, Reason, find};
use scaleset_planning::autoscale::AutoscalePlan;
use scaleset_planning::snapshot::AutoscaleSnapshot;
use tracing::warn;

use super::execute::{Executed, Record, Told};
use super::observe::Observed;
use crate::cluster::{ClusterError, EventType, Notice};
use crate::context::{Context, Wake};
use crate::error::PassError;
use crate::metrics::Autoscaled;

/// A setting is evaluated at most this often, wall time, however fast scenario time runs.
const SPACING: Duration = Duration::from_millis(100);

pub(super) async fn report(
    context: &Context,
    observed: &Observed,
    snapshot: &AutoscaleSnapshot,
    plan: &AutoscalePlan<'_>,
    executed: Executed,
) -> Result<Wake, PassError> {
    context.metrics.autoscaled(&observed.id.key, numbers(plan, &executed).as_ref());
    for notice in notices(observed, snapshot, plan, &executed) {
        if let Err(error) = context.cluster.publish(notice).await {
            warn!(setting = %observed.id.key.name, %error, "event lost");
        }
    }
    let wake =
        plan.wake_after.map_or(Wake::OnChange, |after| Wake::After(context.hardware.wall_duration(after).max(SPACING)));
    match executed.failure {
        Some(ClusterError::Gone { kind: _, namespace: _, name: _ }) | None => {}
        Some(error) => return Err(error.into()),
    }
    Ok(match executed.told {
        // What the set was told goes on record in the next pass.
        Told::Count => wake.sooner(Wake::After(SPACING)),
        Told::Nothing | Told::Refused => wake,
    })
}

fn numbers(plan: &AutoscalePlan<'_>, executed: &Executed) -> Option<Autoscaled> {
    let (profile, current) = (plan.profile?, plan.current?);
    let begun = plan.decision.as_ref().filter(|_| executed.record == Record::Written);
    Some(Autoscaled {
        current,
        minimum: profile.minimum,
        maximum: profile.maximum,
        decided: begun.map(|decision| (decision.record.from, decision.record.to)),
    })
}

/// What is news goes by what is on record: what could not be written is told when it is.
fn notices(
    observed: &Observed,
    snapshot: &AutoscaleSnapshot,
    plan: &AutoscalePlan<'_>,
    executed: &Executed,
) -> Vec<Notice> {
    let notice = |event_type, reason: &str, action: &str, note: String| Notice {
        regarding: observed.id.clone(),
        event_type,
        reason: reason.to_owned(),
        action: action.to_owned(),
        note,
    };
    let mut notices = Vec::new();
    if executed.record == Record::Written {
        if let Some(ended) = &plan.ended {
            let counts = format!("{} -> {}", ended.from, ended.to);
            notices.push(match ended.state {
                ScaleActionState::Succeeded => notice(EventType::Normal, "ScaleSucceeded", "Scale", counts),
                ScaleActionState::Failed => {
                    let why = ended.message.clone().unwrap_or_default();
                    notice(EventType::Warning, "ScaleFailed", "Scale", format!("{counts}: {why}"))
                }
            });
        }
        if let Some(decision) = &plan.decision {
            let record = &decision.record;
            let note = format!("{} -> {}: {}", record.from, record.to, record.cause);
            notices.push(notice(EventType::Normal, "ScaleInitiated", "Scale", note));
        }
        if let Some(otherwise) = &plan.adjusted {
            notices.push(notice(EventType::Normal, "FlappingOccurred", "Scale", otherwise.clone()));
        }
        for (event_type, reason, note) in turned(&snapshot.status, &executed.status) {
            notices.push(notice(event_type, reason, "Evaluate", note));
        }
    }
    if let (Told::Refused, Some(error), Some(count)) = (executed.told, &executed.failure, plan.told) {
        let note = format!("{} -> {count}: {error}; it is tried again", plan.current.unwrap_or_default());
        notices.push(notice(EventType::Warning, "ScaleFailed", "Scale", note));
    }
    notices
}

/// Metrics that are lost or back, a scale-in that would flap, and what keeps the setting from acting.
fn turned(before: &AutoscaleSettingStatus, now: &AutoscaleSettingStatus) -> Vec<(EventType, &'static str, String)> {
    let mut news = Vec::new();
    let of = |status: &AutoscaleSettingStatus, condition: AutoscaleCondition| {
        let found = find(&status.conditions, condition.as_str());
        found.map(|found| (found.status.clone(), found.reason.clone(), found.message.clone()))
    };
    let reason = |status, condition| of(status, condition).map(|(_, reason, _)| reason);
    let lost = Some(Reason::MetricsLost.as_str().to_owned());
    let (was, is) = (reason(before, AutoscaleCondition::Active), reason(now, AutoscaleCondition::Active));
    // What has never been read is not lost yet: VMs that have just been made have measured nothing.
    let looked_before = was.as_deref().is_some_and(|was| was != Reason::Pending.as_str());
    if is == lost && was != lost && looked_before {
        let message = of(now, AutoscaleCondition::Active).map(|(_, _, message)| message).unwrap_or_default();
        news.push((EventType::Warning, "MetricsLost", message));
    }
    if was == lost && is.as_deref() == Some(Reason::Active.as_str()) {
        news.push((
            EventType::Normal,
            "MetricsRecovered",
            "every metric of the profile in force can be read".to_owned(),
        ));
    }
    let flaps = |status: &AutoscaleSettingStatus| {
        status.blocker.clone().filter(|blocker| blocker.code == "Flapping").map(|blocker| blocker.message)
    };
    if let (None, Some(message)) = (flaps(before), flaps(now)) {
        news.push((EventType::Normal, "Flapping", message));
    }
    let refused = |status| of(status, AutoscaleCondition::Stalled).filter(|(truth, _, _)| truth == "True");
    if let Some((_, code, message)) = refused(now)
        && refused(before).map(|(_, code, _)| code).as_ref() != Some(&code)
    {
        let known = Reason::from_code(&code).as_str();
        news.push((EventType::Warning, known, message));
    }
    news
}
