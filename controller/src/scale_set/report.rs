//! Writes the status once, tells decisions as events, says when to look again.

use std::collections::BTreeMap;
use std::time::Instant;

use scaleset_crds::ScaleSetStatus;
use scaleset_crds::condition::Reason;
use scaleset_crds::os_upgrade::OsUpgradeHistoryEntry;
use scaleset_crds::rolling_upgrade::{RollingUpgradeProgress, RollingUpgradeStatus};
use scaleset_planning::plan::{RemovalCause, ScaleSetPlan};
use scaleset_planning::snapshot::{OsDiskWish, ScaleSetSnapshot};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};
use tracing::warn;

use super::execute::{Executed, StatusSoFar};
use super::observe::Observed;
use crate::cluster::{ClusterError, EventType, Notice};
use crate::context::{Context, Wake};
use crate::error::PassError;

/// Writes what has changed. Counters alone wait for the pace; a condition that turns does not.
pub(super) async fn report(
    context: &Context,
    observed: &Observed,
    snapshot: &ScaleSetSnapshot,
    plan: &ScaleSetPlan,
    executed: Executed,
) -> Result<Wake, PassError> {
    context.metrics.blocked(&observed.id.key, &held(plan));
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
        StatusSoFar::Unwritten => scale_set_status(snapshot, plan, &outcome) == snapshot.status,
    };
    if !said_already {
        let wait = context.pace.wait(&observed.id.uid, Instant::now());
        if wait.is_zero() || turned(&scale_set_status(snapshot, plan, &outcome), &snapshot.status) {
            write(context, observed, snapshot, plan, &outcome).await?;
        } else {
            wake = wake.sooner(Wake::After(wait));
        }
    }
    // Hardware that did not answer is asked again with backoff.
    let silence = observed.offer.as_ref().err().cloned().map(PassError::from);
    retry.map(PassError::from).or(silence).map_or(Ok(wake), Err)
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
    let notice = |event_type, reason: &str, action: &str, note: String| Notice {
        regarding: observed.id.clone(),
        event_type,
        reason: reason.to_owned(),
        action: action.to_owned(),
        note,
    };
    let mut notices = Vec::new();
    let removed = |cause| -> Vec<String> {
        let of_cause = executed.deleted.iter().filter(|removal| removal.cause == cause);
        of_cause.map(|removal| removal.name.clone()).collect()
    };
    let with_disk = |is: fn(&OsDiskWish) -> bool| -> Vec<String> {
        executed.os_disks.iter().filter(|(_, wish)| is(wish)).map(|(name, _)| name.clone()).collect()
    };
    let upgraded = with_disk(|wish| matches!(wish, OsDiskWish::Fresh { .. }));
    let restored = with_disk(|wish| matches!(wish, OsDiskWish::Former { .. }));
    let decisions = [
        ("ScaledOut", "Create", "made", executed.created.clone()),
        ("ScaledIn", "Delete", "removing", removed(RemovalCause::ScaleIn)),
        ("Replacing", "Delete", "the newest model needs new VMs, removing", removed(RemovalCause::Replace)),
        ("Repairing", "Delete", "a new VM takes its place, removing", removed(RemovalCause::Repair)),
        ("Evicted", "Delete", "Spot VMs were evicted, removing", removed(RemovalCause::Evicted)),
        ("Overprovisioned", "Delete", "more were made than are kept, removing", removed(RemovalCause::Surplus)),
        ("Deleting", "Delete", "removing", removed(RemovalCause::SetDeleted)),
        ("Upgrading", "Upgrade", "bringing to the newest model", executed.assigned.clone()),
        ("UpgradingOSImage", "Upgrade", "upgrading the OS image of", upgraded),
        ("RestoringOSDisk", "Restore", "not well on the new OS image, restoring the former OS disk of", restored),
    ];
    for (reason, action, verb, names) in decisions {
        if !names.is_empty() {
            let why = executed.deleted.iter().find(|removal| removal.name == names[0]);
            let why = why.map_or_else(String::new, |removal| format!(": {}", removal.reason));
            let event_type = if reason == "RestoringOSDisk" { EventType::Warning } else { EventType::Normal };
            notices.push(notice(event_type, reason, action, format!("{verb} {}{why}", list(&names))));
        }
    }
    for repairing in &executed.repairs {
        let Some(mark) = &repairing.mark else { continue };
        let note =
            format!("{} of {}, attempt {}: {}", mark.action.as_str(), repairing.name, mark.attempt, repairing.reason);
        notices.push(notice(EventType::Normal, "Repairing", mark.action.as_str(), note));
    }
    let before = observed.set.status.as_ref();
    let known = |code: &str| before.is_some_and(|status| status.blockers.iter().any(|blocker| blocker.code == code));
    for hold in plan.holds.iter().filter(|hold| !known(hold.reason.as_str())) {
        let failed = matches!(hold.reason, Reason::OSImageFailed | Reason::RollingBack);
        let event_type = if failed || hold.needs_attention() { EventType::Warning } else { EventType::Normal };
        notices.push(notice(event_type, hold.reason.as_str(), "Hold", hold.message.clone()));
    }
    for failure in &executed.outcome.failures {
        notices.push(notice(EventType::Warning, failure.reason.as_str(), "Execute", failure.message.clone()));
    }
    notices
}

/// How many, and the first and the last.
fn list(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first, .., last] => format!("{} members: {first} … {last}", names.len()),
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
