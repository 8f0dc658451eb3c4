//! Automatic: every outdated member is brought to the newest model by the cheapest action that the difference allows,
//! within the allowance (Azure: upgrade policy modes; that an allowance bounds it is ours, `docs/decisions`).
//!
//! Order: differences that disturb nothing, members whose VMs have the newest model still (the one that they follow was refused,
//! or is taken back in time) and members stopped by wish are free and go at once; then members that are
//! not available anyway, at most one allowance of them on their way at a time; then the others, as far as the allowance
//! reaches. A member that nobody can see may be running: it is one of the others. Inside: those that follow the oldest
//! model, so that a member that was tried and failed, or was just served, does not come before one that has waited longer
//! when the model changes again and again; then zone, update domain, fault domain, number, name. Members protected from the
//! set's actions are left.

use scaleset_crds::condition::Reason;

use super::{Outdated, UpgradeDecision, UpgradeInput, maintenance, only_unborn, outdated, refusal};
use crate::budget::{Allowance, was_healthy};
use crate::plan::{Action, Hold};
use crate::snapshot::{Availability, Member, Protection, Revision, UpgradeSwitch};

/// What an upgrade of a member spends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Price {
    /// Nothing: the VM does not notice, or a person has stopped it.
    Free,
    /// Nothing more than it costs already: it is not available.
    AlreadyPaid,
    /// One of the allowance.
    One,
}

/// Upgrades as far as the allowance reaches.
pub fn decide(input: &UpgradeInput<'_>) -> UpgradeDecision {
    let (protected, waiting): (Vec<_>, Vec<_>) =
        outdated(input).into_iter().partition(|outdated| outdated.member.protection == Protection::FromSetActions);
    let mut decision = UpgradeDecision::default();
    hold_some(&mut decision, Reason::Protected, protected.len(), "outdated, protected from scale set actions");
    if let Some(refusal) = refusal(input, &waiting) {
        decision.actions = only_unborn(input, &waiting);
        decision.holds.push(refusal);
        return decision;
    }
    if input.switch == UpgradeSwitch::Paused {
        hold_some(&mut decision, Reason::Paused, waiting.len(), "outdated, upgradePolicy.paused is true");
        return decision;
    }
    let (mut waiting, disturbed) = maintenance::apart(&waiting);
    decision.holds.extend(maintenance::hold(&disturbed, "outdated"));
    waiting.sort_by_key(|outdated| (price(outdated), last_served(input, outdated.member), order(outdated.member)));
    let mut left = input.allowance.left();
    let mut paid_left = input.allowance.total.saturating_sub(input.allowance.in_flight);
    let mut held = 0;
    for outdated in &waiting {
        let granted = match price(outdated) {
            Price::Free => true,
            Price::AlreadyPaid => take(&mut paid_left),
            Price::One => take(&mut left),
        };
        if granted && begins_to_spend(outdated.member) {
            left = left.saturating_sub(1);
        }
        if granted {
            decision.actions.push(action(input, outdated));
        } else {
            held += 1;
        }
    }
    let granted = input.allowance.left() - left;
    let spent = Allowance { spent: input.allowance.spent + granted, ..input.allowance };
    hold_some(&mut decision, Reason::AllowanceSpent, held, &format!("outdated, {spent}{}", input.broken_on_newest()));
    decision
}

fn take(left: &mut usize) -> bool {
    let granted = *left > 0;
    *left = left.saturating_sub(1);
    granted
}

fn price(outdated: &Outdated<'_>) -> Price {
    if outdated.is_harmless() || outdated.member.is_stopped_by_wish() {
        return Price::Free;
    }
    match outdated.member.availability() {
        Availability::Available | Availability::Unknown => Price::One,
        Availability::Unavailable => Price::AlreadyPaid,
    }
}

/// It is down and did not spend, since it was not healthy on its outdated model, perhaps because it is on its way to it; on
/// the newest one it does, whatever the step from the one to the other costs.
fn begins_to_spend(member: &Member) -> bool {
    let down = member.availability() == Availability::Unavailable && !member.is_stopped_by_wish();
    down && !was_healthy(member)
}

/// Running number of the model that it follows: the lower, the longer ago the set gave it one.
fn last_served(input: &UpgradeInput<'_>, member: &Member) -> Option<i64> {
    let follows = |revision: &&Revision| member.assigned_revision.as_ref() == Some(&revision.name);
    input.revisions.iter().find(follows).map(|revision| revision.number)
}

type Order<'member> = (&'member Option<String>, Option<i32>, Option<i32>, Option<i64>, &'member str);

fn order(member: &Member) -> Order<'_> {
    (&member.zone, member.update_domain, member.fault_domain, member.number, &member.name)
}

fn action(input: &UpgradeInput<'_>, outdated: &Outdated<'_>) -> Action {
    outdated.bring_to_newest(input, None, format!("{}; {}", outdated.describe(), input.allowance))
}

fn hold_some(decision: &mut UpgradeDecision, reason: Reason, count: usize, message: &str) {
    if count > 0 {
        decision.holds.push(Hold { reason, count, message: format!("{count} {message}") });
    }
}
