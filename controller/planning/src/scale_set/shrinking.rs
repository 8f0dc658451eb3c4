//! A set that has more members than its target, and who would be next.
//!
//! One rule says who goes and who is announced: what a surge has left over first, then the order of scale-in, and nobody of a
//! pair that goes on.

use std::borrow::Cow;

use scaleset_crds::condition::Reason;
use scaleset_crds::rolling_upgrade::RollingUpgradeStatus;
use scaleset_crds::vocabulary::RollingUpgradeCode;

use super::{hold, leaving, remove, surge_of_target};
use crate::plan::{RemovalCause, ScaleSetPlan};
use crate::scale_in::{self, ScaleInOrder};
use crate::snapshot::{Member, Protection, ScaleSetSnapshot};
use crate::upgrade::rolling::surge::Surge;
use crate::zone_balance;

/// Members that the status announces.
const ANNOUNCED: usize = 5;

/// Removes `excess` of the members that `staying` has, as far as protection and a strict balance let it.
pub(super) fn scale_in(
    snapshot: &ScaleSetSnapshot,
    plan: &mut ScaleSetPlan,
    staying: &[Member],
    surge: &Surge<'_>,
    excess: usize,
) {
    let going = departures(staying, surge, &order(snapshot, plan), excess);
    let short = excess - going.len();
    let names: Vec<&str> = going.iter().map(|(member, _)| member.name.as_str()).collect();
    let left = staying.iter().filter(|member| member.is_live() && !names.contains(&member.name.as_str()));
    let left = left.map(|member| member.zone.clone());
    if let Some(refusal) = zone_balance::refusal(&snapshot.set, left, Reason::OperationNotAllowed) {
        hold(plan, refusal.reason, excess, &refusal.message);
        return;
    }
    // A member that goes is not brought up to date first.
    plan.actions.retain(|action| action.upgraded().is_none_or(|name| !names.contains(&name)));
    plan.actions.extend(going.into_iter().map(|(member, why)| remove(member, RemovalCause::ScaleIn, why)));
    if short > 0 {
        let message = format!("{short} more than the target {}, protected from scale-in", plan.effective.target);
        hold(plan, Reason::Protected, short, &message);
    }
}

/// Who would go if the target was lowered after this plan, with what chooses them. Whoever the plan removes goes anyway.
pub(super) fn announced(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan) -> Vec<(String, String)> {
    let gone = leaving(plan);
    let staying = without(&snapshot.members, |member| gone.contains(&member.name));
    let target = usize::try_from(plan.effective.target).unwrap_or(0).saturating_sub(ANNOUNCED);
    let surge = surge_of_target(snapshot, plan, &staying, target);
    let going = departures(&staying, &surge, &order(snapshot, plan), ANNOUNCED);
    going.into_iter().map(|(member, why)| (member.name.clone(), why)).collect()
}

/// The first `count` that go, fewer where protection leaves no more.
fn departures<'pass>(
    staying: &'pass [Member],
    surge: &Surge<'_>,
    order: &ScaleInOrder<'_>,
    count: usize,
) -> Vec<(&'pass Member, String)> {
    let leftovers: Vec<&str> = surge.leftovers.iter().take(count).map(|member| member.name.as_str()).collect();
    let mut others = without(staying, |member| leftovers.contains(&member.name.as_str()));
    if !surge.pairs.is_empty() {
        for member in others.to_mut() {
            if surge.pairs.iter().any(|pair| [&pair.new.name, &pair.old.name].contains(&&member.name)) {
                member.protection = member.protection.max(Protection::FromScaleIn);
            }
        }
    }
    let victims = scale_in::victims(&others, order, count - leftovers.len());
    let left = leftovers.into_iter().map(|name| (name, "more than the target, the surge has ended".to_owned()));
    let going = left.chain(victims.iter().map(|victim| (victim.member.name.as_str(), victim.rank.clone())));
    going.filter_map(|(name, why)| Some((staying.iter().find(|member| member.name == name)?, why))).collect()
}

/// The members without some, who are mostly none.
fn without(members: &[Member], out: impl Fn(&Member) -> bool) -> Cow<'_, [Member]> {
    if members.iter().any(&out) {
        Cow::Owned(members.iter().filter(|member| !out(member)).cloned().collect())
    } else {
        Cow::Borrowed(members)
    }
}

fn order<'pass>(snapshot: &'pass ScaleSetSnapshot, plan: &'pass ScaleSetPlan) -> ScaleInOrder<'pass> {
    ScaleInOrder {
        zones: &snapshot.set.zones,
        rule: snapshot.set.scale_in_rule,
        unhealthy: snapshot.set.scale_in_unhealthy,
        upgrading_to: upgrading_to(plan),
        mix: snapshot.set.mix,
    }
}

/// The revision that a running rolling upgrade brings members to.
fn upgrading_to(plan: &ScaleSetPlan) -> Option<&str> {
    let running = |record: &&RollingUpgradeStatus| record.running_status.code == RollingUpgradeCode::RollingForward;
    plan.rolling_upgrade.as_ref().filter(running).map(|record| record.target_revision.as_str())
}
