//! Rolling: outdated members are brought to the newest model in batches, each of which must be well before the next.
//!
//! Source: Azure's "Configure rolling upgrades on Virtual Machine Scale Sets": gate, batch arithmetic, order, thresholds
//! and their codes, state machine. What is ours (`docs/upgrades.md`): members that were never well on their outdated
//! model do not count against the gate and go first; failed members can be brought back in both modes; an upgrade that
//! was cancelled or stopped begins anew only when the model changes or somebody asks for it.
//!
//! The record in the status is read back, since no fact tells what was decided before: which upgrade runs, where its last
//! batch stands, why it stopped. Who belongs to it is told by a mark on each member that it touched.

mod batch;
mod ending;
mod holds;
mod image;
mod overtaken;
mod policy;
mod record;
mod standing;
pub(crate) mod surge;

use std::time::Duration;

use jiff::Timestamp;
use scaleset_crds::condition::Reason;
use scaleset_crds::os_upgrade::{FailedImageVersion, RollbackInfo};
use scaleset_crds::rolling_upgrade::{
    FailedRevision, RollingUpgradeBatch, RollingUpgradeError, RollingUpgradePolicy, RollingUpgradeStatus,
};
use scaleset_crds::vocabulary::{Impact, RollingUpgradeAction, RollingUpgradeCode};

use super::{Outdated, UpgradeDecision, UpgradeInput, maintenance};
use crate::plan::{Action, Assignment};
use crate::snapshot::{BreachRule, Member, Protection, RollMark, RollingPolicy, UpgradeSwitch};
use crate::wording::some_names;
use ending::{cancel, end_former, why_stopped, wind_down};
use holds::{hold, hold_paused, hold_unseen, refuse};
pub use image::{ImageTarget, Scope, Target};
use record::{between, count, new_record, time};
use standing::Census;
pub use surge::{PlacementGroups, SurgeInput};

/// What a rolling upgrade decides from, beside what every policy does.
#[derive(Clone, Debug)]
pub struct RollingInput<'pass> {
    /// What every policy decides from.
    pub upgrade: UpgradeInput<'pass>,
    /// What members are brought to.
    pub target: Target<'pass>,
    /// What a surge depends on.
    pub surge: SurgeInput<'pass>,
    /// Scenario time.
    pub now: Timestamp,
    /// Policy in force.
    pub policy: &'pass RollingPolicy,
    /// The latest upgrade, as recorded.
    pub record: Option<&'pass RollingUpgradeStatus>,
    /// Revisions that are not started again.
    pub failed: &'pass [FailedRevision],
    /// The last revision on which every member was well.
    pub last_healthy: Option<&'pass str>,
    /// What a person asks for.
    pub request: Option<RollRequest>,
}

/// How holds call members that a new model waits for.
const OUTDATED: &str = "outdated";

/// What a person asks of rolling upgrades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollRequest {
    /// Begin one, if the latest has this number (0: none); a later one is that which was asked for.
    Start {
        /// The number.
        after: i64,
    },
    /// Cancel the one of this number.
    Cancel {
        /// The number.
        number: i64,
    },
}

/// What a rolling upgrade decides.
#[derive(Clone, Debug, Default)]
pub struct RollingDecision {
    /// Actions and holds.
    pub decision: UpgradeDecision,
    /// Names of the members that get a new one beside them.
    pub surged: Vec<String>,
    /// How many of the members that are to be made belong to it: those in whose places they come are gone.
    pub missing: usize,
    /// The record after this pass.
    pub record: Option<RollingUpgradeStatus>,
    /// A revision that has just been proved bad.
    pub failed: Option<FailedRevision>,
    /// A version of the image that has just been proved bad.
    pub failed_version: Option<FailedImageVersion>,
    /// How members stand that go back to their former OS disk; none where nothing is known anew.
    pub rollback: Option<RollbackInfo>,
    /// When to look again although nothing changes, scenario time.
    pub wake_after: Option<Duration>,
}

/// Where the latest upgrade stands, as far as the next step depends on it.
enum Phase {
    /// Everybody is up to date.
    Idle,
    /// A new upgrade is to begin.
    Start,
    /// Batches go on.
    Forward(RollingUpgradeStatus),
    /// Failed members go back.
    Back(RollingUpgradeStatus),
    /// It was stopped, and a person decides.
    Stopped(RollingUpgradeStatus),
    /// It is stopped: a person asks for it, or what it was for has gone.
    Cancel(RollingUpgradeStatus),
}

/// The next step of a rolling upgrade.
pub fn decide(input: &RollingInput<'_>) -> RollingDecision {
    let (protected, waiting): (Vec<_>, Vec<_>) =
        input.outdated().into_iter().partition(|outdated| outdated.member.protection == Protection::FromSetActions);
    let (tried, waiting): (Vec<_>, Vec<_>) =
        waiting.into_iter().partition(|outdated| was_tried(input, outdated.member));
    let mut decision = RollingDecision { record: input.record.cloned(), ..RollingDecision::default() };
    let outdated = input.target.outdated_text();
    hold(&mut decision, Reason::Protected, protected.len(), &format!("{outdated}, protected from scale set actions"));
    match phase(input, &waiting) {
        Phase::Idle => {
            let (reason, message) = input.target.why_not_again();
            hold(&mut decision, reason, tried.len(), &message);
        }
        Phase::Start => start(input, &waiting, &mut decision),
        Phase::Forward(record) => forward(input, &waiting, record, &mut decision),
        Phase::Back(record) => back(input, record, &mut decision),
        Phase::Cancel(record) => cancel(input, &waiting, record, &mut decision),
        Phase::Stopped(record) => {
            let (reason, message) = why_stopped(input, &record);
            hold(&mut decision, reason, waiting.len(), &format!("{outdated}: {message}"));
            wind_down(input, record, &mut decision);
        }
    }
    let image = decision.record.as_ref().filter(|record| record.os_upgrade.is_some() && input.target.is_image());
    decision.rollback = image.map(|record| Census::of(input, record).rollback_info());
    decision
}

/// Whether this very upgrade has touched it in vain. What follows no known model was changed by a person since.
fn was_tried(input: &RollingInput<'_>, member: &Member) -> bool {
    let number = input.record.map_or(0, |record| record.number);
    // A person asks for it to be tried again.
    let again = input.request == Some(RollRequest::Start { after: number });
    if again || member.assigned_revision.is_none() {
        return false;
    }
    let goes_on = |record: &&RollingUpgradeStatus| match record.running_status.code {
        RollingUpgradeCode::RollingForward | RollingUpgradeCode::Completed => input.is_target(record),
        RollingUpgradeCode::RollingBack | RollingUpgradeCode::Cancelled | RollingUpgradeCode::Faulted => false,
    };
    let record = input.record.filter(goes_on);
    record.is_some_and(|record| member.roll.as_ref().is_some_and(|mark| mark.number == record.number))
}

fn phase(input: &RollingInput<'_>, waiting: &[Outdated<'_>]) -> Phase {
    if let Some(phase) = asked_for(input) {
        return phase;
    }
    let Some(record) = input.record.filter(|record| input.target.owns(record)).cloned() else {
        return if waiting.is_empty() { Phase::Idle } else { Phase::Start };
    };
    let changed = !input.is_target(&record);
    let under_way = record.progress.in_progress_instance_count > 0;
    match record.running_status.code {
        RollingUpgradeCode::RollingForward if input.is_withdrawn(&record, waiting) => Phase::Cancel(record),
        RollingUpgradeCode::RollingForward | RollingUpgradeCode::RollingBack
            if changed && (!waiting.is_empty() || !input.target.is_image()) =>
        {
            Phase::Start
        }
        RollingUpgradeCode::RollingForward => Phase::Forward(record),
        RollingUpgradeCode::RollingBack => Phase::Back(record),
        RollingUpgradeCode::Completed if waiting.is_empty() => Phase::Idle,
        RollingUpgradeCode::Cancelled | RollingUpgradeCode::Faulted
            if waiting.is_empty() && (changed || !under_way) =>
        {
            Phase::Idle
        }
        RollingUpgradeCode::Completed => Phase::Start,
        RollingUpgradeCode::Cancelled | RollingUpgradeCode::Faulted if changed => Phase::Start,
        // Nobody has asked for it to be cancelled: what it was for had gone, and is there again.
        RollingUpgradeCode::Cancelled
            if record.running_status.last_action == RollingUpgradeAction::Start && !waiting.is_empty() =>
        {
            Phase::Start
        }
        RollingUpgradeCode::Cancelled | RollingUpgradeCode::Faulted => Phase::Stopped(record),
    }
}

/// What a person asks for, as long as it is about the latest upgrade.
fn asked_for(input: &RollingInput<'_>) -> Option<Phase> {
    let number = input.record.map_or(0, |record| record.number);
    let code = input.record.map(|record| record.running_status.code);
    let ended = !matches!(code, Some(RollingUpgradeCode::RollingForward | RollingUpgradeCode::RollingBack));
    match input.request? {
        RollRequest::Cancel { number: asked }
            if asked == number && code == Some(RollingUpgradeCode::RollingForward) =>
        {
            input.record.filter(|record| input.target.owns(record)).cloned().map(Phase::Cancel)
        }
        RollRequest::Start { after } if after == number && ended && !input.target.waits() => Some(Phase::Start),
        RollRequest::Cancel { number: _ } | RollRequest::Start { after: _ } => None,
    }
}

/// A new upgrade begins, unless something holds it, or too many are unhealthy already.
fn start(input: &RollingInput<'_>, waiting: &[Outdated<'_>], decision: &mut RollingDecision) {
    let outdated = input.target.outdated_text();
    if let Some((reason, message)) = input.failed_before() {
        hold(decision, reason, waiting.len(), &format!("{outdated}, {message}"));
        end_former(input, decision);
        return;
    }
    if refuse(input, waiting, decision) || hold_paused(input, waiting.len(), decision) {
        end_former(input, decision);
        return;
    }
    let mut record = new_record(input);
    let census = Census::of(input, &record);
    if hold_unseen(&census, waiting.len(), decision) {
        end_former(input, decision);
        return;
    }
    record.progress = census.progress();
    if let Some(breach) = census.too_many_unhealthy(Reason::MaxUnhealthyInstancePercentExceededBeforeRollingUpgrade) {
        if image::begins_by_itself(&record) {
            let message = format!("{outdated}: {}", breach.message);
            hold(decision, Reason::OSUpgradeWaits, waiting.len(), &message);
        } else {
            fault(input, record, breach, waiting.len(), decision);
        }
        return;
    }
    forward(input, waiting, record, decision);
}

/// Waits for the batch, judges it, and begins the next.
fn forward(
    input: &RollingInput<'_>,
    waiting: &[Outdated<'_>],
    mut record: RollingUpgradeStatus,
    decision: &mut RollingDecision,
) {
    let census = Census::of(input, &record);
    (record.progress, decision.missing) = (census.progress(), census.missing());
    record.policy = RollingUpgradePolicy::from(input.policy);
    surge::end_pairs(input, &census, &record, decision);
    let restoring = image::restore(input, &census, &record, decision);
    let outdated = input.target.outdated_text();
    if census.is_waiting() {
        record.batch.get_or_insert_with(|| census.batch_begun());
        surge::hold_refusal(&record, decision);
        let made_up = overtaken::make_up(input, waiting, &mut record, &census.in_progress());
        let message = format!("{outdated}, wait for {}", census.waited_for());
        hold(decision, Reason::BatchInProgress, waiting.len() - made_up.len(), &message);
        decision.decision.actions.extend(made_up);
        decision.wake_after = census.wake_after();
        decision.record = Some(record);
        return;
    }
    let begins_again = overtaken::nobody_began(input, &record) && !waiting.is_empty();
    if let Some(batch) = record.batch.as_mut().filter(|_| !begins_again) {
        batch.end_time.get_or_insert(time(input.now));
    }
    record.error = census.failures_so_far(waiting.len());
    if let Some(breach) = census.too_many_upgraded_unhealthy() {
        breach_policy(input, record, breach, waiting.len(), decision);
    } else if restoring > 0 {
        hold(decision, Reason::RollingBack, restoring, "going back to their former OS disk");
        decision.wake_after = Some(input.policy.health_timeout);
        decision.record = Some(record);
    } else if waiting.is_empty() {
        record.running_status.code = RollingUpgradeCode::Completed;
        decision.record = Some(record);
    } else if let leaving = surge::unfinished(input, &census)
        && !leaving.is_empty()
    {
        let message = format!("{outdated}, wait for {} to go", some_names(&leaving));
        hold(decision, Reason::BatchInProgress, waiting.len(), &message);
        decision.record = Some(record);
    } else {
        next_batch(input, waiting, record, &census, decision);
    }
}

fn next_batch(
    input: &RollingInput<'_>,
    waiting: &[Outdated<'_>],
    mut record: RollingUpgradeStatus,
    census: &Census<'_>,
    decision: &mut RollingDecision,
) {
    if hold_unseen(census, waiting.len(), decision) {
        decision.record = Some(record);
        return;
    }
    if let Some(breach) = census.too_many_unhealthy(Reason::MaxUnhealthyInstancePercentExceededInRollingUpgrade) {
        breach_policy(input, record, breach, waiting.len(), decision);
        return;
    }
    if refuse(input, waiting, decision) || hold_paused(input, waiting.len(), decision) {
        decision.record = Some(record);
        return;
    }
    let outdated = input.target.outdated_text();
    let ended = record.batch.as_ref().and_then(|batch| batch.end_time.as_ref()).map(|time| time.0);
    if let Some(resume) = ended.map(|ended| ended + input.policy.pause).filter(|resume| *resume > input.now) {
        let message = format!("{outdated}, {} s between batches", input.policy.pause.as_secs());
        hold(decision, Reason::PauseBetweenBatches, waiting.len(), &message);
        decision.wake_after = Some(between(input.now, resume));
        decision.record = Some(record);
        return;
    }
    let (ready, disturbed) = maintenance::apart(waiting);
    decision.decision.holds.extend(maintenance::hold(&disturbed, outdated));
    let chosen = batch::choose(input, &ready);
    let rest = ready.len() - chosen.len();
    if chosen.is_empty() {
        let why = format!("{outdated}, {}{}", input.upgrade.allowance, input.upgrade.broken_on_newest());
        hold(decision, Reason::AllowanceSpent, rest, &why);
        decision.record = Some(record);
        return;
    }
    let number = record.batch.as_ref().map_or(1, |batch| batch.number + i32::from(batch.end_time.is_some()));
    let (size, mark) = (count(chosen.len()), RollMark { number: record.number, since: input.now, replaces: None });
    let (surged, surge_unavailable) = match surge::choose(input, &chosen) {
        Ok(surged) => (surged, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    record.batch =
        Some(RollingUpgradeBatch { number, size, start_time: time(input.now), end_time: None, surge_unavailable });
    record.progress.in_progress_instance_count += size;
    record.progress.pending_instance_count -= size;
    hold(decision, Reason::BatchInProgress, rest, &format!("{outdated}, wait for batch {number} (size {size})"));
    let why = format!("batch {number}; {}", input.upgrade.allowance);
    surge::hold_refusal(&record, decision);
    decision.surged = surged.iter().map(|member| member.name.clone()).collect();
    let in_place = chosen.iter().filter(|outdated| !decision.surged.contains(&outdated.member.name));
    let actions: Vec<Action> = in_place.map(|outdated| upgrade(input, outdated, mark.clone(), &why)).collect();
    decision.decision.actions.extend(actions);
    decision.wake_after = Some(input.policy.health_timeout);
    decision.record = Some(record);
}

fn upgrade(input: &RollingInput<'_>, outdated: &Outdated<'_>, mark: RollMark, why: &str) -> Action {
    outdated.bring_to_newest(&input.upgrade, Some(mark), format!("{}; {why}", outdated.describe()))
}

fn assign(member: &Member, revision: &str, impact: Impact, mark: RollMark, reason: String) -> Action {
    Action::AssignRevision(Assignment {
        kind: member.kind,
        name: member.name.clone(),
        uid: member.uid.clone(),
        resource_version: member.resource_version.clone(),
        revision: revision.to_owned(),
        impact,
        roll: Some(mark),
        reason,
    })
}

/// Too many are unhealthy: failed members go back where the policy wishes it, otherwise the upgrade stops.
fn breach_policy(
    input: &RollingInput<'_>,
    mut record: RollingUpgradeStatus,
    breach: RollingUpgradeError,
    waiting: usize,
    decision: &mut RollingDecision,
) {
    let goes_back = match input.target {
        Target::Model => input.policy.on_breach == BreachRule::RollBack,
        Target::Image(target) => target.restores(&record),
    };
    match (input.target, goes_back) {
        (Target::Image(target), _) => decision.failed_version = Some(target.failed(&record, &breach)),
        (Target::Model, true) => {
            decision.failed = Some(FailedRevision { name: record.target_revision.clone(), code: breach.code.clone() });
        }
        (Target::Model, false) => {}
    }
    if goes_back {
        record.running_status.code = RollingUpgradeCode::RollingBack;
        record.error = Some(breach);
        match input.target {
            Target::Model => back(input, record, decision),
            Target::Image(_) => image::wait_for_return(input, record, decision),
        }
    } else {
        fault(input, record, breach, waiting, decision);
    }
}

/// Brings failed members back to the model, or the OS disk, on which they were well, and stops when they are.
fn back(input: &RollingInput<'_>, mut record: RollingUpgradeStatus, decision: &mut RollingDecision) {
    let census = Census::of(input, &record);
    record.progress = census.progress();
    let mark = RollMark { number: record.number, since: input.now, replaces: None };
    let restoring = image::restore(input, &census, &record, decision);
    let mut going = census.going_back().max(restoring);
    let to_bring_back = if input.target.is_image() { Vec::new() } else { census.to_bring_back() };
    if input.upgrade.switch == UpgradeSwitch::Paused && !to_bring_back.is_empty() {
        hold(decision, Reason::Paused, to_bring_back.len(), "to go back, upgradePolicy.paused is true");
        decision.record = Some(record);
        return;
    }
    for (member, revision) in to_bring_back {
        let reason = format!("it failed on {}, it was well on {revision}", record.target_revision);
        decision.decision.actions.push(assign(member, revision, Impact::Reimage, mark.clone(), reason));
        going += 1;
    }
    if going == 0 {
        record.running_status.code = RollingUpgradeCode::Faulted;
    } else {
        hold(decision, Reason::RollingBack, going, input.target.going_back_text());
        decision.wake_after = Some(input.policy.health_timeout);
    }
    decision.record = Some(record);
}

fn fault(
    input: &RollingInput<'_>,
    mut record: RollingUpgradeStatus,
    error: RollingUpgradeError,
    waiting: usize,
    decision: &mut RollingDecision,
) {
    record.running_status.code = RollingUpgradeCode::Faulted;
    record.error = Some(error);
    let outdated = if record.os_upgrade.is_some() { image::OUTDATED } else { OUTDATED };
    let (reason, message) = why_stopped(input, &record);
    hold(decision, reason, waiting, &format!("{outdated}: {message}"));
    decision.record = Some(record);
}
