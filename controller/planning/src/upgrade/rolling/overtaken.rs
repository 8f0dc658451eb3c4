//! Members of a batch that somebody else changed between the pass that chose them and its write. The record counts them, no
//! mark is on them: while the batch is open they are made up for, so that it is as large as it was to be.

use super::{RollingInput, batch, count, upgrade};
use crate::plan::Action;
use crate::snapshot::{Member, RollMark, UpgradeSwitch, ZoneRule};
use crate::upgrade::{Outdated, refusal};
use scaleset_crds::rolling_upgrade::{RollingUpgradeBatch, RollingUpgradeStatus};

/// Whether the open batch has reached nobody: it is then begun again, under its number and without a pause.
pub(super) fn nobody_began(input: &RollingInput<'_>, record: &RollingUpgradeStatus) -> bool {
    open_batch(record).is_some_and(|batch| begun(input, record.number, batch).next().is_none())
}

/// Upgrades for the open batch in the places of those that it did not reach, beside those of `in_progress`. Never in a
/// surge, whose batches begin with everybody gone that is to go.
pub(super) fn make_up(
    input: &RollingInput<'_>,
    waiting: &[Outdated<'_>],
    record: &mut RollingUpgradeStatus,
    in_progress: &[&Member],
) -> Vec<Action> {
    let Some(batch) = open_batch(record) else { return Vec::new() };
    let reached = begun(input, record.number, batch).count();
    let missing = usize::try_from(batch.size).unwrap_or(0).saturating_sub(reached);
    let surges = input.policy.max_surge.of(usize::try_from(batch.size).unwrap_or(0)) > 0;
    if missing == 0 || surges || input.upgrade.switch == UpgradeSwitch::Paused {
        return Vec::new();
    }
    let beside = |outdated: &&Outdated<'_>| match input.policy.zones {
        ZoneRule::Mixed => true,
        ZoneRule::OneByOne => in_progress.iter().all(|member| member.zone == outdated.member.zone),
    };
    let candidates: Vec<Outdated<'_>> = waiting.iter().filter(beside).cloned().collect();
    if refusal(&input.upgrade, &candidates).is_some() {
        return Vec::new();
    }
    let mark = RollMark { number: record.number, since: input.now, replaces: None };
    let why = format!("batch {}; {}", batch.number, input.upgrade.allowance);
    let chosen = batch::choose(input, &candidates);
    let actions: Vec<Action> =
        chosen.iter().take(missing).map(|outdated| upgrade(input, outdated, mark.clone(), &why)).collect();
    record.progress.in_progress_instance_count += count(actions.len());
    record.progress.pending_instance_count -= count(actions.len());
    actions
}

fn open_batch(record: &RollingUpgradeStatus) -> Option<&RollingUpgradeBatch> {
    record.batch.as_ref().filter(|batch| batch.end_time.is_none())
}

/// Members whose mark is of the batch.
fn begun<'pass>(
    input: &RollingInput<'pass>,
    upgrade: i64,
    batch: &RollingUpgradeBatch,
) -> impl Iterator<Item = &'pass Member> {
    let since = batch.start_time.0;
    let of_batch = move |mark: &RollMark| mark.number == upgrade && mark.since >= since;
    input.upgrade.members.iter().filter(move |member| member.roll.as_ref().is_some_and(of_batch))
}
