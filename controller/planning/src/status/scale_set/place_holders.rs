//! Which members the counts of a status are about: those that hold a place of the set.
//!
//! An autoscaler takes `status.replicas` for the count that there is, and wishes for just that while its metric is within a tolerance of
//! the target (Kubernetes: "Horizontal Pod Autoscaling", algorithm details). What is there for a moment only must not become a
//! wish: not a VM of a surge, not one on its way out.

use std::collections::{BTreeMap, BTreeSet};

use scaleset_crds::vocabulary::Surplus;

use crate::plan::{Action, NewMember, ScaleSetPlan};
use crate::snapshot::{Member, Protection, ScaleSetSnapshot};

/// The members that are not going, in the order of the snapshot, without those that stand beside the one that they are to replace:
/// of two in one place the old one holds it until it goes. Where the members that the set makes do not outnumber its target, as
/// where an old one stays for good, the new one has a place of its own; no more are left out than outnumber it. The snapshot has
/// no extras of a scale-out.
pub(super) fn place_holders<'pass>(snapshot: &'pass ScaleSetSnapshot, plan: &ScaleSetPlan) -> Vec<&'pass Member> {
    let live = || snapshot.members.iter().filter(|member| member.is_live());
    let made = || live().filter(|member| member.is_made());
    let named: BTreeSet<&str> = made().flat_map(predecessors).collect();
    let stay = made().filter(|member| named.contains(member.name.as_str()));
    let stay: BTreeMap<&str, Protection> = stay.map(|old| (old.name.as_str(), old.protection)).collect();
    let beside = |new: &'pass Member| {
        let old = predecessors(new).find_map(|name| stay.get(name))?;
        Some((*old, new.name.as_str()))
    };
    let mut beside: Vec<(Protection, &str)> = made().filter_map(beside).collect();
    // An old one that may not go is the first to keep a place beside its new one.
    beside.sort_unstable();
    let target = usize::try_from(plan.effective.target).unwrap_or(0);
    beside.truncate((made().count() + missing(plan)).saturating_sub(target));
    let left_out: BTreeSet<&str> = beside.into_iter().map(|(_, name)| name).collect();
    live().filter(|member| !left_out.contains(member.name.as_str())).collect()
}

/// Whom a member was made to replace, by an upgrade or by a repair.
fn predecessors(member: &Member) -> impl Iterator<Item = &str> {
    let upgraded = member.roll.as_ref().and_then(|mark| mark.replaces.as_deref());
    let repaired = member.repair.as_ref().and_then(|mark| mark.replaces.as_deref());
    upgraded.into_iter().chain(repaired)
}

/// Members that the pass makes in nobody's place: they are there in a moment.
fn missing(plan: &ScaleSetPlan) -> usize {
    let in_own_place = |new: &&NewMember| {
        let replaces = new.roll.as_ref().and_then(|mark| mark.replaces.as_ref());
        let replaces = replaces.or(new.repair.as_ref().and_then(|mark| mark.replaces.as_ref()));
        replaces.is_none() && new.surplus != Some(Surplus::Overprovisioned)
    };
    plan.actions.iter().filter_map(Action::creation).filter(in_own_place).count()
}
