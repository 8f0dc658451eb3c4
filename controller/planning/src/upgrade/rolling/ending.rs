//! Upgrades that stop before everybody has had a turn: what had begun goes on to its end and is counted, nothing more
//! begins.

use scaleset_crds::condition::Reason;
use scaleset_crds::rolling_upgrade::RollingUpgradeStatus;
use scaleset_crds::vocabulary::{RollingUpgradeAction, RollingUpgradeCode};

use super::record::time;
use super::standing::Census;
use super::{RollRequest, RollingDecision, RollingInput, hold, image};
use crate::upgrade::Outdated;

/// What has begun goes on, nothing more begins.
pub(super) fn cancel(
    input: &RollingInput<'_>,
    waiting: &[Outdated<'_>],
    mut record: RollingUpgradeStatus,
    decision: &mut RollingDecision,
) {
    if let Some(RollRequest::Cancel { number: _ }) = input.request {
        record.running_status.last_action = RollingUpgradeAction::Cancel;
        record.running_status.last_action_time = time(input.now);
    }
    let record = end(input, record, decision);
    let (reason, message) = why_stopped(input, &record);
    hold(decision, reason, waiting.len(), &format!("{}: {message}", input.target.outdated_text()));
    decision.record = Some(record);
}

fn end(
    input: &RollingInput<'_>,
    mut record: RollingUpgradeStatus,
    decision: &mut RollingDecision,
) -> RollingUpgradeStatus {
    let census = Census::of(input, &record);
    (record.progress, decision.missing) = (census.progress(), census.missing());
    record.running_status.code = RollingUpgradeCode::Cancelled;
    decision.wake_after = census.wake_after();
    record
}

/// What had begun when it was stopped goes on to its end.
pub(super) fn wind_down(input: &RollingInput<'_>, mut record: RollingUpgradeStatus, decision: &mut RollingDecision) {
    if record.progress.in_progress_instance_count > 0 {
        let census = Census::of(input, &record);
        image::restore(input, &census, &record, decision);
        (record.progress, decision.missing) = (census.progress(), census.missing());
        decision.wake_after = census.wake_after();
        decision.record = Some(record);
    }
}

/// The upgrade before one that is to begin and is held: another one's batches do not go on, and nobody forgets its last.
pub(super) fn end_former(input: &RollingInput<'_>, decision: &mut RollingDecision) {
    let Some(record) = input.record.filter(|record| input.target.owns(record)).cloned() else { return };
    match record.running_status.code {
        RollingUpgradeCode::RollingForward | RollingUpgradeCode::RollingBack => {
            decision.record = Some(end(input, record, decision));
        }
        RollingUpgradeCode::Cancelled | RollingUpgradeCode::Faulted => wind_down(input, record, decision),
        RollingUpgradeCode::Completed => {}
    }
}

/// With the way out. What was rolled back is not started again.
pub(super) fn why_stopped(input: &RollingInput<'_>, record: &RollingUpgradeStatus) -> (Reason, String) {
    let rolled_back = input.failed.iter().any(|failed| failed.name == record.target_revision);
    let way_out = if rolled_back { "change the model" } else { "change the model, or start it again" };
    let cancelled = || format!("rolling upgrade {} was cancelled; start it again, or change the model", record.number);
    if let Some(target) = &record.os_upgrade {
        return image::why_stopped(record, target, cancelled);
    }
    match (&record.running_status.code, &record.error) {
        (RollingUpgradeCode::Faulted, Some(error)) => {
            // What is told is of then: the VMs that it names may be well by now, or gone.
            let message = format!("rolling upgrade {} stopped with {}; {way_out}", record.number, error.message);
            (Reason::from_code(&error.code), message)
        }
        (RollingUpgradeCode::Faulted, None) => {
            (Reason::InternalExecutionError, format!("rolling upgrade {} stopped", record.number))
        }
        (
            RollingUpgradeCode::Cancelled
            | RollingUpgradeCode::RollingForward
            | RollingUpgradeCode::RollingBack
            | RollingUpgradeCode::Completed,
            _,
        ) => (Reason::RollingUpgradeCancelled, cancelled()),
    }
}
