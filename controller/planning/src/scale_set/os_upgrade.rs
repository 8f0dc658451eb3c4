//! Newer versions of the image: rolled by the same engine as a new model, after it, and remembered.
//!
//! There is one rolling upgrade at a time and one record of it. The model comes first: as long as a member that the set may
//! touch waits for it, no upgrade of the image begins, and one that runs ends with its batch. In Manual nobody waits for
//! the model but a person; members on the newest model then follow its image.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleset_crds::condition::Reason;
use scaleset_crds::os_upgrade::{
    FailedImageVersion, OsUpgradeHistoryEntry, OsUpgradeRunningStatus, OsUpgradeTarget, RollbackInfo,
};
use scaleset_crds::profile::ImageReference;
use scaleset_crds::rolling_upgrade::RollingUpgradeStatus;
use scaleset_crds::vocabulary::{OsUpgradeStarter, RollingUpgradeCode, UpgradeMode};

use super::{hold, requests, surge_input};
use crate::plan::ScaleSetPlan;
use crate::repair;
use crate::snapshot::{NewImages, Protection, Revision, ScaleSetSnapshot};
use crate::status::whole_seconds;
use crate::upgrade::rolling::{self, ImageTarget, RollRequest, RollingDecision, RollingInput, Scope, Target};
use crate::upgrade::{UpgradeInput, os_image, outdated};

/// Attempts that the history keeps (Azure: the last five).
const HISTORY_MAX: usize = 5;
/// Azure: within two months.
const HISTORY_AGE: SignedDuration = SignedDuration::from_hours(60 * 24);
/// Failed versions that the record keeps.
const FAILED_VERSIONS_MAX: usize = 10;

/// The next step of an upgrade of the image, whose record goes into the plan.
pub(super) fn plan_os_upgrade(snapshot: &ScaleSetSnapshot, plan: &mut ScaleSetPlan, input: &UpgradeInput<'_>) {
    plan.failed_image_versions.retain(|failed| failed.revision == input.newest.name);
    let mut rollback = None;
    if let Some(target) = target(snapshot, plan, input) {
        let percent = snapshot.set.os_upgrades.rolling.max_batch_percent;
        let allowance = repair::allowance(snapshot, plan.effective.target, input.newest, percent, input.requested);
        let RollingDecision {
            decision,
            surged: _,
            missing: _,
            record,
            failed: _,
            failed_version,
            rollback: info,
            wake_after,
        } = rolling::decide(&RollingInput {
            upgrade: UpgradeInput { allowance, ..input.clone() },
            target: Target::Image(&target),
            surge: surge_input(snapshot, plan),
            now: snapshot.now,
            policy: &snapshot.set.os_upgrades.rolling,
            record: plan.rolling_upgrade.as_ref(),
            failed: &[],
            last_healthy: None,
            request: requests::roll(snapshot).filter(|request| is_for_image(snapshot, plan, input, *request)),
        });
        plan.actions.extend(decision.actions);
        plan.holds.extend(decision.holds);
        plan.rolling_upgrade = record;
        plan.wake_after = plan.wake_after.into_iter().chain(wake_after).min();
        remember(&mut plan.failed_image_versions, failed_version);
        rollback = info;
    }
    tell(&mut plan.os_upgrade_history, plan.rolling_upgrade.as_ref(), rollback, snapshot.now);
}

fn remember(failed: &mut Vec<FailedImageVersion>, version: Option<FailedImageVersion>) {
    if let Some(version) = version {
        failed.retain(|known| known.version != version.version);
        failed.push(version);
        let beyond = failed.len().saturating_sub(FAILED_VERSIONS_MAX);
        failed.drain(..beyond);
    }
}

/// What members are brought to; `None` where nobody wishes it and nothing is under way.
fn target(snapshot: &ScaleSetSnapshot, plan: &mut ScaleSetPlan, input: &UpgradeInput<'_>) -> Option<ImageTarget> {
    let record = plan.rolling_upgrade.as_ref().filter(|record| record.os_upgrade.is_some());
    let latest = record.and_then(|record| record.os_upgrade.as_ref());
    let offered = offered(snapshot, input.newest);
    let by_policy = snapshot.set.os_upgrades.new_images == NewImages::Roll;
    let by_person = is_started_by_hand(snapshot, plan, input);
    let goes_on = record.is_some_and(|record| is_running(record) && is_by_person(latest));
    let wished = offered.is_some() && (by_policy || by_person || goes_on);
    if !wished && latest.is_none() {
        return None;
    }
    let image = offered.or_else(|| latest.map(|target| target.target_image_reference.clone()))?;
    let started_by = if by_policy && !by_person { OsUpgradeStarter::Platform } else { OsUpgradeStarter::User };
    let waits = waits_for_model(snapshot, plan, input);
    let scope = if wished && !waits { Scope::Everybody } else { Scope::Nobody };
    if wished && waits {
        let count = os_image::outdated(input, image.requested_version()).len();
        let message = format!("{count} on an older OS image: the upgrade to the newest model comes first");
        if count > 0 {
            hold(plan, Reason::OSUpgradeWaits, count, &message);
        }
    }
    let on_failure = snapshot.set.os_upgrades.on_failure;
    Some(ImageTarget { image, started_by, scope, on_failure, failed: plan.failed_image_versions.clone() })
}

fn offered(snapshot: &ScaleSetSnapshot, newest: &Revision) -> Option<ImageReference> {
    snapshot.region.as_ref().and_then(|region| os_image::newest(&newest.profile, region))
}

fn is_by_person(target: Option<&OsUpgradeTarget>) -> bool {
    target.is_some_and(|target| target.started_by == OsUpgradeStarter::User)
}

fn is_running(record: &RollingUpgradeStatus) -> bool {
    match record.running_status.code {
        RollingUpgradeCode::RollingForward | RollingUpgradeCode::RollingBack => true,
        RollingUpgradeCode::Completed | RollingUpgradeCode::Cancelled | RollingUpgradeCode::Faulted => false,
    }
}

/// Whether members wait for the newest model, or a batch of them is on its way to it.
fn waits_for_model(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, input: &UpgradeInput<'_>) -> bool {
    let rolls = plan.rolling_upgrade.as_ref().is_some_and(|record| record.os_upgrade.is_none() && is_running(record));
    match snapshot.set.upgrade_mode {
        UpgradeMode::Manual => false,
        UpgradeMode::Automatic => waits_for_upgrade(input),
        UpgradeMode::Rolling => rolls || waits_for_upgrade(input),
    }
}

fn waits_for_upgrade(input: &UpgradeInput<'_>) -> bool {
    outdated(input).iter().any(|outdated| outdated.member.protection != Protection::FromSetActions)
}

/// Whether a person's wish about rolling upgrades is one about the image: to start one where nobody waits for the model,
/// to cancel the one that runs.
pub(super) fn is_for_image(
    snapshot: &ScaleSetSnapshot,
    plan: &ScaleSetPlan,
    input: &UpgradeInput<'_>,
    request: RollRequest,
) -> bool {
    match request {
        RollRequest::Cancel { number: _ } => {
            plan.rolling_upgrade.as_ref().is_some_and(|record| record.os_upgrade.is_some())
        }
        RollRequest::Start { after: _ } => offered(snapshot, input.newest).is_some_and(|image| {
            let older = || !os_image::outdated(input, image.requested_version()).is_empty();
            snapshot.set.upgrade_mode != UpgradeMode::Rolling || (!waits_for_upgrade(input) && older())
        }),
    }
}

/// Whether a person asks for an upgrade of the image that has not begun.
fn is_started_by_hand(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, input: &UpgradeInput<'_>) -> bool {
    let number = plan.rolling_upgrade.as_ref().map_or(0, |record| record.number);
    match requests::roll(snapshot) {
        Some(request @ RollRequest::Start { after }) => after == number && is_for_image(snapshot, plan, input, request),
        Some(RollRequest::Cancel { number: _ }) | None => false,
    }
}

/// Writes the history on: what is told of an attempt that has ended stays, except that members may still go back.
fn tell(
    history: &mut Vec<OsUpgradeHistoryEntry>,
    record: Option<&RollingUpgradeStatus>,
    rollback: Option<RollbackInfo>,
    now: Timestamp,
) {
    let ended = Time(whole_seconds(now));
    let record = record.and_then(|record| Some((record, record.os_upgrade.as_ref()?)));
    for entry in history.iter_mut().filter(|entry| record.is_none_or(|(record, _)| record.number != entry.number)) {
        if entry.running_status.end_time.is_none() {
            entry.running_status.code = RollingUpgradeCode::Cancelled;
            entry.running_status.end_time = Some(ended.clone());
        }
    }
    if let Some((record, target)) = record {
        let index = history.iter().position(|entry| entry.number == record.number);
        let before = index.map(|index| history.remove(index));
        history.push(entry(record, target, before.as_ref(), (rollback, &ended)));
    }
    history.sort_by_key(|entry| std::cmp::Reverse(entry.number));
    history.retain(|entry| entry.running_status.start_time.0 + HISTORY_AGE > now);
    history.truncate(HISTORY_MAX);
}

fn entry(
    record: &RollingUpgradeStatus,
    target: &OsUpgradeTarget,
    before: Option<&OsUpgradeHistoryEntry>,
    (rollback, now): (Option<RollbackInfo>, &Time),
) -> OsUpgradeHistoryEntry {
    let known = before.map(|before| before.rollback_info).unwrap_or_default();
    let settled = known.successfully_rolledback_instance_count + known.failed_rolledback_instance_count;
    let open = settled < record.progress.failed_instance_count;
    let ended_before = before.and_then(|before| before.running_status.end_time.clone());
    OsUpgradeHistoryEntry {
        number: record.number,
        running_status: OsUpgradeRunningStatus {
            code: record.running_status.code,
            start_time: record.running_status.start_time.clone(),
            end_time: if is_running(record) { None } else { Some(ended_before.unwrap_or_else(|| now.clone())) },
        },
        progress: record.progress,
        started_by: target.started_by,
        target_image_reference: target.target_image_reference.clone(),
        rollback_info: rollback.filter(|_| open).unwrap_or(known),
        error: record.error.clone(),
    }
}
