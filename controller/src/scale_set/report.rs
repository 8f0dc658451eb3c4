//! Writes the status once, tells decisions as events, says when to look again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use scaleset_crds::ScaleSetStatus;
use scaleset_crds::condition::Reason;
use scaleset_crds::event::{EventReason, Occurrence};
use scaleset_crds::os_upgrade::OsUpgradeHistoryEntry;
use scaleset_crds::rolling_upgrade::{RollingUpgradeProgress, RollingUpgradeStatus};
use scaleset_planning::plan::ScaleSetPlan;
use scaleset_planning::snapshot::ScaleSetSnapshot;
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};
use scaleset_planning::wording::some_names;
use tracing::warn;

use super::decisions::{Decision, counts, decisions};
use super::execute::{Executed, StatusSoFar};
use super::observe::Observed;
use crate::cluster::{ClusterError, EventType, Notice};
use crate::context::{Context, Wake};
use crate::error::PassError;
use crate::metrics::SetNumbers;

/// Writes what has changed. Counters alone wait for the pace; a condition that turns does not.
pub(super) async fn report(
    context: &Context,
    observed: &Observed,
    snapshot: &ScaleSetSnapshot,
    plan: &ScaleSetPlan,
    executed: Executed,
) -> Result<Wake, PassError> {
    let status_after = scale_set_status(snapshot, plan, &executed.outcome);
    measure(context, observed, &status_after, plan, &executed);
    for notice in notices(observed, plan, &executed) {
        if let Err(error) = context.cluster.publish(notice).await {
            warn!(set = %snapshot.set.name, error = %error, "event lost");
        }
    }
    let Executed { outcome, retry, status, created: _, deleted: _, assigned: _, os_disks: _, repairs: _ } = executed;
    let mut wake = plan.wake_after.map_or(Wake::OnChange, |after| Wake::After(context.hardware.wall_duration(after)));
    let said_already = match status {
        StatusSoFar::LetGo => true,
        StatusSoFar::Written => outcome.failures.is_empty(),
        StatusSoFar::Unwritten => status_after == snapshot.status,
    };
    if !said_already {
        let wait = context.pace.wait(&observed.id.uid, Instant::now());
        if wait.is_zero() || turned(&status_after, &snapshot.status) {
            write(context, observed, snapshot, plan, &outcome).await?;
        } else {
            wake = wake.sooner(Wake::After(wait));
        }
    }
    // Hardware that did not answer is asked again with backoff.
    let silence = observed.offer.as_ref().err().cloned().map(PassError::from);
    retry.map(PassError::from).or(silence).map_or(Ok(wake), Err)
}

/// The numbers of the pass, for whoever scrapes them.
fn measure(context: &Context, observed: &Observed, status: &ScaleSetStatus, plan: &ScaleSetPlan, executed: &Executed) {
    let (key, metrics) = (&observed.id.key, &context.metrics);
    if executed.status == StatusSoFar::LetGo {
        return metrics.forget_set(key);
    }
    metrics.blocked(key, &held(plan));
    metrics.counted(
        key,
        &SetNumbers {
            desired: status.capacity.unwrap_or_default(),
            replicas: status.replicas.unwrap_or_default(),
            ready: status.ready_replicas.unwrap_or_default(),
            available: status.available_replicas.unwrap_or_default(),
            updated: status.updated_replicas.unwrap_or_default(),
            allowance: plan.allowance.map(|allowance| allowance.total),
            allowance_spent: plan.allowance.map(|allowance| allowance.spent),
        },
    );
    for (decision, members) in counts(plan.effective.newest_revision.as_deref(), executed) {
        metrics.decided(key, decision, members);
    }
    let before = observed.set.status.as_ref().and_then(|status| status.rolling_upgrade.as_ref());
    if let Some(took) = batch_that_ended(before, plan.rolling_upgrade.as_ref()) {
        metrics.batch_ended(key, took);
    }
}

/// How long the batch took that ended since `before`. Without a pause the next one begins in the same pass, which is when
/// the former has ended.
fn batch_that_ended(before: Option<&RollingUpgradeStatus>, now: Option<&RollingUpgradeStatus>) -> Option<Duration> {
    let before = before.and_then(|roll| roll.batch.as_ref());
    let now = now.and_then(|roll| roll.batch.as_ref())?;
    let (begin, end) = match (before, &now.end_time) {
        (Some(before), Some(_)) if before.end_time.is_some() && before.start_time == now.start_time => return None,
        (Some(_) | None, Some(end)) => (&now.start_time, end),
        (Some(before), None) if before.end_time.is_none() && before.number < now.number => {
            (&before.start_time, &now.start_time)
        }
        (Some(_) | None, None) => return None,
    };
    Some(end.0.duration_since(begin.0).unsigned_abs())
}

/// Members that are held back, by code.
fn held(plan: &ScaleSetPlan) -> BTreeMap<&'static str, usize> {
    let mut held = BTreeMap::new();
    for blocker in plan.blockers() {
        *held.entry(blocker.reason.as_str()).or_default() += blocker.count;
    }
    held
}

/// Writes the whole status.
pub(super) async fn write(
    context: &Context,
    observed: &Observed,
    snapshot: &ScaleSetSnapshot,
    plan: &ScaleSetPlan,
    outcome: &ScaleSetOutcome,
) -> Result<(), ClusterError> {
    let status = scale_set_status(snapshot, plan, outcome);
    let value = serde_json::to_value(&status).expect("a status is plain data");
    context.cluster.apply_status(&observed.id.uid, &observed.id, value).await?;
    context.pace.note(&observed.id.uid, Instant::now());
    Ok(())
}

/// Whether more than counters changed: a condition has turned, or something was decided that no fact could tell the next
/// pass. That is never put off.
fn turned(status: &ScaleSetStatus, before: &ScaleSetStatus) -> bool {
    let condition = |status: &ScaleSetStatus| -> Vec<(String, String)> {
        status.conditions.iter().map(|condition| (condition.type_.clone(), condition.status.clone())).collect()
    };
    status.observed_generation != before.observed_generation
        || condition(status) != condition(before)
        || records(status) != records(before)
}

/// What is read back from the status, and nothing else.
fn records(status: &ScaleSetStatus) -> ScaleSetStatus {
    let uncounted = |mut record: RollingUpgradeStatus| {
        record.progress = RollingUpgradeProgress::default();
        record
    };
    let attempt = |mut attempt: OsUpgradeHistoryEntry| {
        attempt.progress = RollingUpgradeProgress::default();
        attempt
    };
    ScaleSetStatus {
        target_replicas: status.target_replicas,
        reached_replicas: status.reached_replicas,
        next_instance_id: status.next_instance_id,
        platform_fault_domain_count: status.platform_fault_domain_count,
        single_placement_group: status.single_placement_group,
        evictions: status.evictions.clone(),
        scheduled_events: status.scheduled_events.clone(),
        revisions: status.revisions.clone(),
        orchestration_services: status.orchestration_services.clone(),
        rolling_upgrade: status.rolling_upgrade.clone().map(uncounted),
        os_upgrade_history: status.os_upgrade_history.iter().cloned().map(attempt).collect(),
        ..ScaleSetStatus::default()
    }
}

fn notices(observed: &Observed, plan: &ScaleSetPlan, executed: &Executed) -> Vec<Notice> {
    let notice = |event_type, reason: EventReason, action: &str, note: String| Notice {
        regarding: observed.id.clone(),
        event_type,
        reason,
        action: action.to_owned(),
        note,
    };
    let mut notices = Vec::new();
    for Decision { reason, action, words, names } in decisions(plan.effective.newest_revision.as_deref(), executed) {
        if !names.is_empty() {
            let why = executed.deleted.iter().find(|removal| removal.name == names[0]);
            let why = why.map_or_else(String::new, |removal| format!(": {}", removal.reason));
            let restores = reason == EventReason::Occurrence(Occurrence::RestoringOSDisk);
            let event_type = if restores { EventType::Warning } else { EventType::Normal };
            notices.push(notice(event_type, reason, action, format!("{words} {}{why}", list(&names))));
        }
    }
    for repairing in &executed.repairs {
        let Some(mark) = &repairing.mark else { continue };
        let note =
            format!("{} of {}, attempt {}: {}", mark.action.as_str(), repairing.name, mark.attempt, repairing.reason);
        notices.push(notice(EventType::Normal, Occurrence::Repairing.into(), mark.action.as_str(), note));
    }
    let before = observed.set.status.as_ref();
    let known = |code: &str| before.is_some_and(|status| status.blockers.iter().any(|blocker| blocker.code == code));
    for hold in plan.holds.iter().filter(|hold| !known(hold.reason.as_str())) {
        let failed = matches!(hold.reason, Reason::OSImageFailed | Reason::RollingBack);
        let event_type = if failed || hold.needs_attention() { EventType::Warning } else { EventType::Normal };
        notices.push(notice(event_type, hold.reason.into(), "Hold", hold.message.clone()));
    }
    for failure in &executed.outcome.failures {
        notices.push(notice(EventType::Warning, failure.reason.into(), "Execute", failure.message.clone()));
    }
    notices
}

/// How many, and the first by name.
fn list(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [_, ..] => {
            let all: Vec<&str> = names.iter().map(String::as_str).collect();
            format!("{} members: {}", names.len(), some_names(&all))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(changes: &[(&str, serde_json::Value)]) -> ScaleSetStatus {
        let mut status = json!({
            "targetReplicas": 3, "nextInstanceId": 3, "readyReplicas": 3, "evictions": [],
            "rollingUpgrade": {
                "number": 1, "targetRevision": "web-1",
                "runningStatus": {
                    "code": "RollingForward", "startTime": "2026-01-01T00:00:00Z", "lastAction": "Start",
                    "lastActionTime": "2026-01-01T00:00:00Z",
                },
                "progress": {
                    "successfulInstanceCount": 0, "failedInstanceCount": 0, "inProgressInstanceCount": 1,
                    "pendingInstanceCount": 2,
                },
                "policy": {},
            },
        });
        for (pointer, value) in changes {
            *status.pointer_mut(pointer).expect("it is there") = value.clone();
        }
        serde_json::from_value(status).expect("a status")
    }

    fn rolling(batch: serde_json::Value) -> Option<RollingUpgradeStatus> {
        let mut whole = serde_json::to_value(status(&[]).rolling_upgrade).expect("plain data");
        whole["batch"] = batch;
        serde_json::from_value(whole).expect("a rolling upgrade")
    }

    #[test]
    fn a_batch_is_counted_once_when_it_ends_also_when_the_next_begins_at_once() {
        let batch = |number: i32, start: &str, end: Option<&str>| {
            let time = |minutes: &str| format!("2026-01-01T00:{minutes}:00Z");
            rolling(json!({"number": number, "size": 2, "startTime": time(start), "endTime": end.map(time)}))
        };
        let first = || batch(1, "01", None);
        let first_ended = || batch(1, "01", Some("03"));
        for (before, now, minutes) in [
            (None, first(), None),
            (first(), first(), None),
            (first(), first_ended(), Some(2)),
            (first_ended(), first_ended(), None),
            (first_ended(), batch(2, "09", None), None),
            (first(), batch(2, "04", None), Some(3)),
            (batch(2, "04", None), batch(2, "04", Some("08")), Some(4)),
            (first_ended(), batch(2, "04", Some("05")), Some(1)),
            (batch(2, "04", None), batch(1, "09", None), None),
            (first(), None, None),
        ] {
            let took = batch_that_ended(before.as_ref(), now.as_ref());
            assert_eq!(took, minutes.map(|minutes| Duration::from_secs(60 * minutes)), "{before:?}, then {now:?}");
        }
    }

    #[test]
    fn what_was_decided_is_written_at_once_and_counts_may_wait() {
        let before = status(&[]);
        let counts = [
            ("/readyReplicas", json!(2)),
            ("/rollingUpgrade/progress/successfulInstanceCount", json!(1)),
            ("/rollingUpgrade/progress/inProgressInstanceCount", json!(0)),
        ];
        assert!(!turned(&status(&counts), &before));
        for (pointer, value) in [
            ("/targetReplicas", json!(4)),
            ("/nextInstanceId", json!(4)),
            ("/evictions", json!([{"uid": "a", "replicas": 4}])),
            ("/rollingUpgrade/number", json!(2)),
            ("/rollingUpgrade/runningStatus/code", json!("Completed")),
            ("/rollingUpgrade/targetRevision", json!("web-2")),
        ] {
            assert!(turned(&status(&[(pointer, value)]), &before), "{pointer}");
        }
        let begun = ScaleSetStatus { rolling_upgrade: None, ..before.clone() };
        assert!(turned(&before, &begun), "an upgrade that has just begun");
    }
}
