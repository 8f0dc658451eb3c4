//! The conditions of a `ScaleSet`: one method each, covering true, false and unknown.

use scaleset_crds::condition::{Reason, ScaleSetCondition};
use scaleset_crds::labels;
use scaleset_crds::vocabulary::{HealthState, PowerWish, ProvisioningState, UpgradeMode};

use super::super::{Truth, Verdict};
use super::{ScaleSetOutcome, is_ready, is_updated};
use crate::budget::Allowance;
use crate::notice;
use crate::plan::{Hold, ScaleSetPlan};
use crate::remedy::{is_capacity, needs_a_person};
use crate::reservation::{forecast_told, own_use};
use crate::scale_set::surge_of;
use crate::snapshot::{Availability, Failure, Member, Pending, Protection, ScaleSetSnapshot, SetLife, UpgradeSwitch};
use crate::view::Health;
use crate::wording::some_names;

/// Holds in the condition `Progressing`.
const TOP_HOLDS: usize = 3;

/// What the conditions are made from.
pub(crate) struct Verdicts<'pass> {
    snapshot: &'pass ScaleSetSnapshot,
    plan: &'pass ScaleSetPlan,
    outcome: &'pass ScaleSetOutcome,
}

impl<'pass> Verdicts<'pass> {
    pub(crate) const fn new(
        snapshot: &'pass ScaleSetSnapshot,
        plan: &'pass ScaleSetPlan,
        outcome: &'pass ScaleSetOutcome,
    ) -> Self {
        Self { snapshot, plan, outcome }
    }

    pub(crate) fn verdict(&self, condition: ScaleSetCondition) -> Verdict {
        match condition {
            ScaleSetCondition::Ready => self.ready(),
            ScaleSetCondition::Available => self.available(),
            ScaleSetCondition::UpToDate => self.up_to_date(),
            ScaleSetCondition::Progressing => self.progressing(),
            ScaleSetCondition::Healthy => self.healthy(),
            ScaleSetCondition::CapacitySatisfied => self.capacity_satisfied(),
            ScaleSetCondition::Paused => self.paused(),
            ScaleSetCondition::Reconciling => self.reconciling(),
            ScaleSetCondition::Stalled => self.stalled(),
        }
    }

    fn ready(&self) -> Verdict {
        let stalled = self.stalled();
        if stalled.truth == Truth::True {
            return Verdict::new(Truth::False, stalled.reason, stalled.message);
        }
        match self.unfinished() {
            Some(unfinished) => Verdict::new(Truth::False, unfinished.reason, unfinished.message),
            None => Verdict::new(Truth::True, Reason::Ready, self.counts()),
        }
    }

    /// The first thing that keeps the set from being Ready, the most telling first.
    fn unfinished(&self) -> Option<Failure> {
        if self.snapshot.set.life != SetLife::Live {
            return unfinished(Reason::Deleting, self.what_is_left());
        }
        if let Some(failure) = self.outcome.failures.first() {
            return Some(failure.clone());
        }
        self.capacity_failure()
            .or_else(|| self.failed_members())
            .or_else(|| self.off_target())
            .or_else(|| self.not_settled())
            .or_else(|| self.outdated())
    }

    /// How many of those that leave were told of it, and wait.
    fn after_notice(&self) -> String {
        match notice::count_of_deletions(&self.snapshot.members) {
            0 => String::new(),
            told => format!(", {told} after a notice of deletion"),
        }
    }

    /// How many members are left, and what holds them up.
    fn what_is_left(&self) -> String {
        let members = &self.snapshot.members;
        let left = format!("{} members are left{}", members.len(), self.after_notice());
        let stuck: Vec<&Member> = members.iter().filter(|member| member.report.failure.is_some()).collect();
        let names: Vec<&str> = stuck.iter().map(|member| member.name.as_str()).collect();
        match stuck.first().and_then(|member| member.report.failure.as_ref()) {
            None => left,
            Some(failure) => format!(
                "{left}, {} cannot go ({}): {}; the annotation {}=true leaves hardware behind",
                stuck.len(),
                some_names(&names),
                failure.message,
                labels::ABANDON_HARDWARE
            ),
        }
    }

    /// Members with a new one beside them that is to replace them: both count as one.
    fn pairs(&self) -> usize {
        surge_of(self.snapshot, self.plan, &self.snapshot.members).pairs.len()
    }

    fn failed_members(&self) -> Option<Failure> {
        let failed: Vec<&Member> = self.made().filter(|member| member.has_failed()).collect();
        let first = failed.first()?;
        let names: Vec<&str> = failed.iter().map(|member| member.name.as_str()).collect();
        let (reason, said) = first
            .report
            .failure
            .as_ref()
            .map_or((Reason::InternalExecutionError, ""), |failure| (failure.reason, failure.message.as_str()));
        unfinished(reason, format!("{} failed ({}): {said}", failed.len(), some_names(&names)))
    }

    fn off_target(&self) -> Option<Failure> {
        let pairs = self.pairs();
        let live = self.made().count() - pairs;
        let leaving = self.snapshot.members.iter().filter(|member| !member.is_live()).count();
        let target = usize::try_from(self.plan.effective.target).unwrap_or(0);
        let planned = self.plan.actions.iter().filter(|action| action.lets_go()).count();
        if live < target {
            return unfinished(Reason::ScalingOut, format!("{live} of {target} made"));
        }
        let protected = self.plan.holds.iter().find(|hold| hold.reason == Reason::Protected);
        if let Some(hold) = protected
            && live > target
            && leaving + planned == 0
        {
            return unfinished(Reason::Protected, hold.message.clone());
        }
        if live > target || leaving > 0 {
            let message = format!("{target} are to stay, {} leaving{}", leaving + planned, self.after_notice());
            return unfinished(Reason::ScalingIn, message);
        }
        if planned > 0 { unfinished(Reason::Upgrading, self.update_counts()) } else { None }
    }

    fn not_settled(&self) -> Option<Failure> {
        let wished: Vec<&Member> = self.wished().collect();
        let ready = wished.iter().filter(|member| is_ready(member)).count();
        if ready == wished.len() {
            return None;
        }
        let waiting: Vec<&Member> = wished.iter().copied().filter(|member| !is_ready(member)).collect();
        let reason = self.not_settled_reason(&waiting);
        let names: Vec<&str> = waiting.iter().map(|member| member.name.as_str()).collect();
        let message = format!("{ready} of {} that are to run are ready, not {}", wished.len(), some_names(&names));
        unfinished(reason, message)
    }

    /// Upgrading: a member that was healthy on an earlier model is being brought to the newest.
    fn not_settled_reason(&self, waiting: &[&Member]) -> Reason {
        let newest = self.plan.effective.newest_revision.as_deref();
        let unseen =
            |member: &&Member| member.report.running_revision.is_some() && member.running() == Availability::Unknown;
        let upgrading = |member: &&Member| {
            let healthy_on = member.report.healthy_on_revision.as_deref();
            member.assigned_revision.as_deref() == newest && healthy_on.is_some() && healthy_on != newest
        };
        if waiting.iter().any(unseen) {
            Reason::HardwareUnavailable
        } else if waiting.iter().any(|member| member.report.health.is_unhealthy()) {
            Reason::Unhealthy
        } else if waiting.iter().any(upgrading) {
            Reason::Upgrading
        } else {
            Reason::Provisioning
        }
    }

    /// In Automatic and not paused, every member that may be upgraded must run the newest revision; what waits for the next
    /// reimage does not count.
    fn outdated(&self) -> Option<Failure> {
        let newest = self.plan.effective.newest_revision.as_deref()?;
        match (self.snapshot.set.upgrade_mode, self.snapshot.set.upgrades) {
            (UpgradeMode::Manual, _) | (_, UpgradeSwitch::Paused) => return None,
            (UpgradeMode::Automatic | UpgradeMode::Rolling, UpgradeSwitch::On) => {}
        }
        let behind = |member: &Member| {
            member.protection != Protection::FromSetActions && member.report.running_revision.as_deref() != Some(newest)
        };
        if self.made().any(behind) { unfinished(Reason::Upgrading, self.update_counts()) } else { None }
    }

    /// Of the members that the set makes.
    fn available(&self) -> Verdict {
        let made = || self.made().filter(|member| !member.is_stopped_by_wish());
        let pairs = self.pairs();
        let wished = made().count().saturating_sub(pairs);
        let available = made().filter(|member| member.is_available()).count();
        let target = usize::try_from(self.plan.effective.target).unwrap_or(0);
        let stopped = self.made().filter(|member| member.is_stopped_by_wish()).count();
        let percent = self.snapshot.set.rolling_policy.max_batch_percent;
        let needed = wished.max(target.saturating_sub(stopped));
        let allowance = Allowance::new(target.max(1), percent, needed.saturating_sub(available));
        let available = if pairs > 0 { available.min(needed) } else { available };
        let message = format!("{available} of {needed} are available, {} may be missing", allowance.total);
        if needed == available || (available > 0 && allowance.spent <= allowance.total) {
            Verdict::new(Truth::True, Reason::MinimumAvailable, message)
        } else {
            Verdict::new(Truth::False, Reason::Provisioning, message)
        }
    }

    fn up_to_date(&self) -> Verdict {
        let message = self.update_counts();
        if self.snapshot.set.life != SetLife::Live {
            return Verdict::new(Truth::Unknown, Reason::Deleting, "nobody is upgraded any more");
        }
        if !self.made().any(|member| self.is_outdated(member)) {
            return Verdict::new(Truth::True, Reason::ModelApplied, message);
        }
        let withheld = [Reason::Paused, Reason::ManualUpgradePolicy, Reason::Protected, Reason::AllowanceSpent];
        // That repairs are suspended keeps nobody from the model.
        let of_upgrades = |hold: &&Hold| hold.reason != Reason::RepairsSuspended && needs_a_person(hold.reason);
        let waits_for_a_person = self.plan.holds.iter().find(of_upgrades);
        let newest = self.plan.effective.newest_revision.as_deref();
        // What else is withheld, a newer image for instance, does not keep anybody from the model.
        let waits = self.made().any(|member| member.assigned_revision.as_deref() != newest);
        let withheld = self.plan.holds.iter().find(|hold| waits && withheld.contains(&hold.reason));
        let hold = waits_for_a_person.or(withheld);
        let pending_reimage = self.made().filter(|member| self.is_outdated(member)).all(|member| {
            let waits = matches!(member.report.pending, Pending::NextReimage | Pending::NextDeallocation);
            member.report.running_revision.as_deref() == newest && waits
        });
        match hold {
            Some(hold) if hold.reason != Reason::AllowanceSpent => {
                Verdict::new(Truth::False, hold.reason, format!("{message}: {}", hold.message))
            }
            Some(_) | None if pending_reimage => Verdict::new(Truth::False, self.waits_for(), message),
            None if self.made().filter(|member| self.is_outdated(member)).all(|member| self.is_new(member)) => {
                Verdict::new(Truth::False, Reason::Provisioning, message)
            }
            Some(_) | None => Verdict::new(Truth::False, Reason::Upgrading, message),
        }
    }

    /// What members wait for that run the newest revision.
    fn waits_for(&self) -> Reason {
        let mut outdated = self.made().filter(|member| self.is_outdated(member));
        if outdated.all(|member| member.report.pending == Pending::NextDeallocation) {
            Reason::MaxPriceChangeNotAllowedForAllocatedVMs
        } else {
            Reason::PendingReimage
        }
    }

    fn progressing(&self) -> Verdict {
        match self.unfinished() {
            Some(unfinished) if self.stalled().truth != Truth::True && unfinished.reason != Reason::Protected => {
                Verdict::new(Truth::True, unfinished.reason, self.with_top_holds(unfinished.message))
            }
            Some(unfinished) => Verdict::new(Truth::False, unfinished.reason, self.with_top_holds(unfinished.message)),
            None => Verdict::new(Truth::False, Reason::Converged, self.with_top_holds(self.counts())),
        }
    }

    /// The first things that are held back, those that wait for a person before the others; all of them are blockers.
    fn with_top_holds(&self, message: String) -> String {
        let mut holds: Vec<&Hold> = self.plan.blockers().collect();
        holds.sort_by_key(|hold| !hold.needs_attention());
        let said = holds.iter().filter(|hold| hold.message != message).take(TOP_HOLDS);
        let said: Vec<String> = said.map(|hold| format!("{}: {}", hold.reason, hold.message)).collect();
        if said.is_empty() { message } else { format!("{message}; held back: {}", said.join("; ")) }
    }

    /// Of the members that are to run; one that says nothing is not unhealthy.
    fn healthy(&self) -> Verdict {
        let named = |is: fn(Health) -> bool| -> Vec<&str> {
            let chosen = self.wished().filter(|member| is(member.report.health));
            chosen.map(|member| member.name.as_str()).collect()
        };
        let asked = named(|health| health != Health::NoSource);
        let unhealthy = named(Health::is_unhealthy);
        let coming_up = named(|health| health == Health::Known(HealthState::Initializing));
        let missing = named(|health| health == Health::Missing);
        let said =
            |what: &str, names: &[&str]| format!("{} of {} {what}: {}", names.len(), asked.len(), some_names(names));
        if asked.is_empty() {
            let message = "the model names no health source, no member is known to be unhealthy";
            Verdict::new(Truth::True, Reason::NoHealthSource, message)
        } else if !unhealthy.is_empty() {
            Verdict::new(Truth::False, Reason::Unhealthy, said("unhealthy", &unhealthy))
        } else if !coming_up.is_empty() {
            Verdict::new(Truth::Unknown, Reason::Initializing, said("coming up", &coming_up))
        } else if !missing.is_empty() {
            Verdict::new(Truth::Unknown, Reason::HealthMissing, said("say nothing", &missing))
        } else {
            Verdict::new(Truth::True, Reason::AllHealthy, format!("{0} of {0} healthy", asked.len()))
        }
    }

    fn capacity_satisfied(&self) -> Verdict {
        if let Some(failure) = self.capacity_failure() {
            return Verdict::new(Truth::False, failure.reason, failure.message);
        }
        let reserved = forecast_told(self.snapshot, self.plan, &own_use(self.snapshot));
        let reserved = reserved.map_or_else(String::new, |told| format!("; {told}"));
        Verdict::new(Truth::True, Reason::Allocated, format!("nothing waits for room{reserved}"))
    }

    /// What is lacking; members that wait for their notice of deletion hold theirs until then.
    fn capacity_failure(&self) -> Option<Failure> {
        let Failure { reason, message } = self.lack_of_room()?;
        let told = notice::of_deletions(&self.snapshot.members);
        let told = told.map(|hold| format!("; {}, and hold their room and quota", hold.message)).unwrap_or_default();
        unfinished(reason, format!("{message}{told}"))
    }

    fn lack_of_room(&self) -> Option<Failure> {
        if let Some(hold) = self.plan.holds.iter().find(|hold| is_capacity(hold.reason)) {
            return unfinished(hold.reason, hold.message.clone());
        }
        let lacking =
            |member: &&Member| member.report.failure.as_ref().is_some_and(|failure| is_capacity(failure.reason));
        let members: Vec<&Member> = self.made().filter(lacking).collect();
        let first = members.first()?.report.failure.as_ref()?;
        let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        unfinished(first.reason, format!("{} without room ({}): {}", members.len(), some_names(&names), first.message))
    }

    fn paused(&self) -> Verdict {
        match self.snapshot.set.upgrades {
            UpgradeSwitch::Paused => Verdict::new(Truth::True, Reason::Paused, "spec.upgradePolicy.paused is true"),
            UpgradeSwitch::On => Verdict::new(Truth::False, Reason::NotPaused, "upgrades are not held"),
        }
    }

    fn reconciling(&self) -> Verdict {
        if self.stalled().truth == Truth::True {
            return Verdict::new(Truth::False, Reason::Waiting, "a person must act first");
        }
        match self.unfinished() {
            Some(unfinished) => Verdict::new(Truth::True, unfinished.reason, unfinished.message),
            None => Verdict::new(Truth::False, Reason::Converged, "nothing to do"),
        }
    }

    fn stalled(&self) -> Verdict {
        let waiting = self.plan.holds.iter().find(|hold| needs_a_person(hold.reason));
        let failed = self.outcome.failures.iter().find(|failure| needs_a_person(failure.reason));
        let member = self.failed_members().filter(|failure| needs_a_person(failure.reason));
        match (waiting, failed.cloned().or(member)) {
            (Some(hold), _) => Verdict::new(Truth::True, hold.reason, hold.message.clone()),
            (None, Some(failure)) => Verdict::new(Truth::True, failure.reason, failure.message),
            (None, None) => Verdict::new(Truth::False, Reason::Converged, "nothing is known to wait for a person"),
        }
    }

    fn made(&self) -> impl Iterator<Item = &'pass Member> {
        self.snapshot.members.iter().filter(|member| member.is_made() && member.is_live())
    }

    /// Members that are not going, made by hand or not.
    fn staying(&self) -> impl Iterator<Item = &'pass Member> {
        self.snapshot.members.iter().filter(|member| member.is_live())
    }

    /// Members that are to run.
    fn wished(&self) -> impl Iterator<Item = &'pass Member> {
        self.staying().filter(|member| !member.is_stopped_by_wish())
    }

    fn is_outdated(&self, member: &Member) -> bool {
        !is_updated(member, self.plan)
    }

    /// Made at the newest model, and not up as yet.
    fn is_new(&self, member: &Member) -> bool {
        let newest = self.plan.effective.newest_revision.as_deref();
        member.assigned_revision.as_deref() == newest
            && (member.report.running_revision.is_none() || member.report.provisioning == ProvisioningState::Creating)
    }

    fn update_counts(&self) -> String {
        let outdated = self.made().filter(|member| self.is_outdated(member)).count();
        let made = self.made().count();
        format!("{} of {made} have the newest model", made - outdated)
    }

    fn counts(&self) -> String {
        let members = &self.snapshot.members;
        let ready = members.iter().filter(|member| is_ready(member)).count();
        match members.iter().filter(|member| member.is_live() && member.is_stopped_by_wish()).count() {
            0 => format!("{ready} of {} ready", members.len()),
            stopped => match members.iter().filter(|member| member.is_live() && is_evicted(member)).count() {
                0 => format!("{ready} of {} ready, {stopped} stopped by wish", members.len()),
                evicted => {
                    let stopped = stopped - evicted;
                    format!("{ready} of {} ready, {evicted} evicted, {stopped} stopped by wish", members.len())
                }
            },
        }
    }
}

/// Whether it would run, had it not been evicted.
fn is_evicted(member: &Member) -> bool {
    member.power_wish == PowerWish::Running && member.is_stopped_by_wish()
}

#[expect(clippy::unnecessary_wraps, reason = "it is the answer of functions that may have none")]
fn unfinished(reason: Reason, message: String) -> Option<Failure> {
    Some(Failure { reason, message })
}
