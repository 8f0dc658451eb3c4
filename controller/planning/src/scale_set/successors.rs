//! New members in the places of others: beside those that are to go when the new one is well, and after those that go at
//! once. Each stands in the zone and the fault domain of its predecessor.

use scaleset_crds::vocabulary::{Surplus, UpgradeMode};

use super::{names, removed};
use crate::placement::{Groups, placement_groups};
use crate::plan::{Action, NewMember, RemovalCause, ScaleSetPlan};
use crate::snapshot::{Member, Revision, RollMark, ScaleSetSnapshot};
use crate::upgrade::rolling::SurgeInput;
use crate::upgrade::rolling::surge::{Surge, mark, replaced_by};

/// What a rolling upgrade wants of the members that are made.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// Names of the members that get a new one beside them.
    pub(super) surged: Vec<String>,
    /// How many of those that the target misses belong to the upgrade.
    pub(super) missing: usize,
}

/// What a surge depends on.
pub(super) fn surge_input<'pass>(snapshot: &'pass ScaleSetSnapshot, plan: &ScaleSetPlan) -> SurgeInput<'pass> {
    let target = usize::try_from(plan.effective.target).unwrap_or(0);
    surge_input_of(snapshot, target, plan.effective.single_placement_group)
}

fn surge_input_of(snapshot: &ScaleSetSnapshot, target: usize, single_placement_group: Option<bool>) -> SurgeInput<'_> {
    SurgeInput {
        target,
        headroom: snapshot.headroom.as_ref(),
        regular_headroom: snapshot.regular_headroom.as_ref(),
        groups: placement_groups(snapshot.set.mode, single_placement_group),
    }
}

/// The surge among `members`, as it goes on after the plan.
pub(crate) fn surge_of<'pass>(
    snapshot: &ScaleSetSnapshot,
    plan: &ScaleSetPlan,
    members: &'pass [Member],
) -> Surge<'pass> {
    surge_of_target(snapshot, plan, members, usize::try_from(plan.effective.target).unwrap_or(0))
}

/// The same if the set was to have `target` members.
pub(super) fn surge_of_target<'pass>(
    snapshot: &ScaleSetSnapshot,
    plan: &ScaleSetPlan,
    members: &'pass [Member],
    target: usize,
) -> Surge<'pass> {
    let rolling = plan.rolling_upgrade.as_ref().filter(|_| snapshot.set.upgrade_mode == UpgradeMode::Rolling);
    Surge::of(members, surge_input_of(snapshot, target, plan.effective.single_placement_group), rolling)
}

/// How many pairs there are among `members` before the plan, of a set that is to have `target`.
pub(crate) fn pairs_among(snapshot: &ScaleSetSnapshot, target: usize, members: &[Member]) -> usize {
    let rolling = snapshot.status.rolling_upgrade.as_ref();
    let rolling = rolling.filter(|_| snapshot.set.upgrade_mode == UpgradeMode::Rolling);
    Surge::of(members, surge_input_of(snapshot, target, None), rolling).pairs.len()
}

/// In a rolling upgrade a member that needs a new VM is followed at once by one in its place, which the batch waits for;
/// a set that shrinks makes none. One that is `to_surge` gets it beside it, and stays until the new one is well.
pub(super) fn take_places(
    snapshot: &ScaleSetSnapshot,
    plan: &mut ScaleSetPlan,
    newest: &Revision,
    to_surge: &[String],
) {
    let Some(number) = plan.rolling_upgrade.as_ref().map(|record| record.number) else { return };
    let gone = removed(plan, |cause| cause == RemovalCause::Replace);
    let live = || snapshot.members.iter().filter(|member| member.is_made() && member.is_live());
    let paired: Vec<&str> = live().filter_map(replaced_by).collect();
    let alone = live().filter(|member| !paired.contains(&member.name.as_str()));
    let target = usize::try_from(plan.effective.target).unwrap_or(0);
    let surplus = alone.clone().count().saturating_sub(target);
    let followers = RollMark { number, since: snapshot.now, replaces: None };
    let followed = alone.filter(|member| gone.contains(&member.name)).skip(surplus).map(|old| (old, followers.clone()));
    let joined = live().filter(|member| to_surge.contains(&member.name));
    let successors: Vec<(&Member, RollMark)> =
        followed.chain(joined.map(|old| (old, mark(number, snapshot.now, old)))).collect();
    create_successors(snapshot, plan, newest, successors);
}

/// Puts the mark of the running upgrade on so many of the members that are made because the target misses them: those
/// whose places they take were deleted by a pass that did not come to its end.
pub(super) fn mark_successors(snapshot: &ScaleSetSnapshot, plan: &mut ScaleSetPlan, missing: usize) {
    let Some(number) = plan.rolling_upgrade.as_ref().map(|record| record.number) else { return };
    let made = plan.actions.iter_mut().filter_map(Action::creation_mut);
    let made = made.filter(|member| member.roll.is_none() && member.surplus != Some(Surplus::Overprovisioned));
    for member in made.take(missing) {
        member.roll = Some(RollMark { number, since: snapshot.now, replaces: None });
    }
}

fn create_successors(
    snapshot: &ScaleSetSnapshot,
    plan: &mut ScaleSetPlan,
    newest: &Revision,
    successors: Vec<(&Member, RollMark)>,
) {
    if successors.is_empty() {
        return;
    }
    let first = plan.effective.next_number;
    let next = first + i64::try_from(successors.len()).expect("a set has at most 1,000 members");
    plan.effective.next_number = next;
    // With the numbers the upgrade is recorded: it must know of those that go before they are gone.
    let before_removals = plan.actions.iter().position(|action| matches!(action, Action::DeleteMember(_)));
    plan.actions.insert(before_removals.unwrap_or(plan.actions.len()), Action::ReserveNumbers { next });
    let mut groups = Groups::count(&snapshot.members);
    for (number, (old, roll)) in (first..next).zip(successors) {
        let (kind, name, computer_name) = names(snapshot, &newest.profile, number);
        let (placement_group, update_domain) = match roll.replaces {
            Some(_) => groups.beside(old),
            None => (old.placement_group.clone(), old.update_domain),
        };
        plan.actions.push(Action::CreateMember(NewMember {
            kind,
            name,
            number,
            computer_name,
            revision: newest.name.clone(),
            priority: old.priority,
            repair: None,
            surplus: None,
            zone: old.zone.clone(),
            fault_domain: old.fault_domain,
            placement_group,
            update_domain,
            reason: match roll.replaces {
                Some(_) => format!("is to be healthy before {} goes", old.name),
                None => format!("takes the place of {}", old.name),
            },
            roll: Some(roll),
        }));
    }
}
