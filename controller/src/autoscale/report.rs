//! Tells decisions as events and numbers, says when to look again. The status is written by then: a decision is on record
//! before it is carried out.

use std::time::Duration;

use scaleset_crds::AutoscaleSettingStatus;
use scaleset_crds::autoscale_setting::ScaleActionState;
use scaleset_crds::condition::{AutoscaleBlock, AutoscaleCondition, Reason, find};
use scaleset_crds::event::{EventReason, Occurrence};
use scaleset_planning::autoscale::{AutoscalePlan, is_uncounted};
use scaleset_planning::snapshot::{AutoscaleSnapshot, Switch};
use tracing::warn;

use super::execute::{Executed, Record, Told};
use super::observe::Observed;
use crate::cluster::{ClusterError, EventType, Notice};
use crate::context::{Context, Wake};
use crate::error::PassError;
use crate::metrics::{Autoscaled, Evaluated};

/// A setting is evaluated at most this often, wall time, however fast scenario time runs.
const SPACING: Duration = Duration::from_millis(100);

pub(super) async fn report(
    context: &Context,
    observed: &Observed,
    snapshot: &AutoscaleSnapshot,
    plan: &AutoscalePlan<'_>,
    executed: Executed,
) -> Result<Wake, PassError> {
    context.metrics.autoscaled(&observed.id.key, numbers(snapshot, plan, &executed));
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

fn numbers(snapshot: &AutoscaleSnapshot, plan: &AutoscalePlan<'_>, executed: &Executed) -> Autoscaled {
    let waits = snapshot.switch == Switch::On && is_uncounted(snapshot);
    let Some((profile, current)) = plan.profile.zip(plan.current) else {
        return if waits { Autoscaled::Waiting } else { Autoscaled::Idle };
    };
    let begun = plan.decision.as_ref().filter(|_| executed.record == Record::Written);
    Autoscaled::Evaluated(Evaluated {
        current,
        minimum: profile.minimum,
        maximum: profile.maximum,
        decided: begun.map(|decision| (decision.record.from, decision.record.to)),
    })
}

/// The events of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    ScaleInitiated,
    ScaleSucceeded,
    ScaleFailed,
    Flapping,
    FlappingOccurred,
    MetricsLost,
    MetricsRecovered,
    /// What keeps the setting from acting, and waits for a person.
    Refused(Reason),
}

impl News {
    const fn reason(self) -> EventReason {
        let occurrence = match self {
            Self::ScaleInitiated => Occurrence::ScaleInitiated,
            Self::ScaleSucceeded => Occurrence::ScaleSucceeded,
            Self::ScaleFailed => Occurrence::ScaleFailed,
            Self::Flapping => Occurrence::Flapping,
            Self::FlappingOccurred => Occurrence::FlappingOccurred,
            Self::MetricsRecovered => Occurrence::MetricsRecovered,
            Self::MetricsLost => return EventReason::Condition(Reason::MetricsLost),
            Self::Refused(reason) => return EventReason::Condition(reason),
        };
        EventReason::Occurrence(occurrence)
    }

    const fn event_type(self) -> EventType {
        match self {
            Self::ScaleInitiated
            | Self::ScaleSucceeded
            | Self::Flapping
            | Self::FlappingOccurred
            | Self::MetricsRecovered => EventType::Normal,
            Self::ScaleFailed | Self::MetricsLost | Self::Refused(_) => EventType::Warning,
        }
    }

    const fn action(self) -> &'static str {
        match self {
            Self::ScaleInitiated | Self::ScaleSucceeded | Self::ScaleFailed | Self::FlappingOccurred => "Scale",
            Self::Flapping | Self::MetricsLost | Self::MetricsRecovered | Self::Refused(_) => "Evaluate",
        }
    }
}

/// Whether a count that the set did not take is news. Somebody else was quicker, or the set is gone: that is what the next
/// pass begins with, and no failure.
const fn is_news(error: &ClusterError) -> bool {
    match error {
        ClusterError::Gone { kind: _, namespace: _, name: _ }
        | ClusterError::Conflict { kind: _, namespace: _, name: _ } => false,
        ClusterError::AlreadyExists { kind: _, namespace: _, name: _ }
        | ClusterError::Refused { status: _, message: _ }
        | ClusterError::Unavailable { message: _ } => true,
    }
}

/// What is news goes by what is on record: what could not be written is told when it is.
fn notices(
    observed: &Observed,
    snapshot: &AutoscaleSnapshot,
    plan: &AutoscalePlan<'_>,
    executed: &Executed,
) -> Vec<Notice> {
    let notice = |news: News, note: String| Notice {
        regarding: observed.id.clone(),
        event_type: news.event_type(),
        reason: news.reason(),
        action: news.action().to_owned(),
        note,
    };
    let mut notices = Vec::new();
    if executed.record == Record::Written {
        if let Some(ended) = &plan.ended {
            let counts = format!("{} -> {}", ended.from, ended.to);
            notices.push(match ended.state {
                ScaleActionState::Succeeded => notice(News::ScaleSucceeded, counts),
                ScaleActionState::Failed => {
                    let why = ended.message.clone().unwrap_or_default();
                    notice(News::ScaleFailed, format!("{counts}: {why}"))
                }
            });
        }
        if let Some(decision) = &plan.decision {
            let record = &decision.record;
            let note = format!("{} -> {}: {}", record.from, record.to, record.cause);
            notices.push(notice(News::ScaleInitiated, note));
        }
        if let Some(otherwise) = &plan.adjusted {
            notices.push(notice(News::FlappingOccurred, otherwise.clone()));
        }
        let turned = turned(&snapshot.status, &executed.status);
        notices.extend(turned.into_iter().map(|(news, note)| notice(news, note)));
    }
    let failure = executed.failure.as_ref().filter(|error| is_news(error));
    if let (Told::Refused, Some(error), Some(count)) = (executed.told, failure, plan.told) {
        let note = format!("{} -> {count}: {error}; it is tried again", plan.current.unwrap_or_default());
        notices.push(notice(News::ScaleFailed, note));
    }
    notices
}

/// Metrics that are lost or back, a scale-in that would flap, and what keeps the setting from acting.
fn turned(before: &AutoscaleSettingStatus, now: &AutoscaleSettingStatus) -> Vec<(News, String)> {
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
        news.push((News::MetricsLost, message));
    }
    if was == lost && is.as_deref() == Some(Reason::Active.as_str()) {
        news.push((News::MetricsRecovered, "every metric of the profile in force can be read".to_owned()));
    }
    let flaps = |status: &AutoscaleSettingStatus| {
        let flaps = status.blocker.clone().filter(|blocker| blocker.code == AutoscaleBlock::Flapping.as_str());
        flaps.map(|blocker| blocker.message)
    };
    if let (None, Some(message)) = (flaps(before), flaps(now)) {
        news.push((News::Flapping, message));
    }
    let refused = |status| of(status, AutoscaleCondition::Stalled).filter(|(truth, _, _)| truth == "True");
    if let Some((_, code, message)) = refused(now)
        && refused(before).map(|(_, code, _)| code).as_ref() != Some(&code)
    {
        news.push((News::Refused(Reason::from_code(&code)), message));
    }
    news
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Kind;

    #[test]
    fn only_what_the_api_refuses_is_a_failure() {
        let (kind, namespace, name) = (Kind::ScaleSet, || "default".to_owned(), || "web".to_owned());
        for (error, expected) in [
            (ClusterError::Conflict { kind, namespace: namespace(), name: name() }, false),
            (ClusterError::Gone { kind, namespace: namespace(), name: name() }, false),
            (ClusterError::Refused { status: 403, message: "no".to_owned() }, true),
            (ClusterError::Unavailable { message: "no answer".to_owned() }, true),
        ] {
            assert_eq!(is_news(&error), expected, "{error}");
        }
    }
}
