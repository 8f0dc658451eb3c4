//! Surge: members of a batch that are replaced by new ones, which must be well before the old ones go.
//!
//! Source: Azure's "Rolling upgrades with `MaxSurge` on Virtual Machine Scale Sets": new VMs of the latest model first, old
//! ones removed when the new ones are healthy, quota looked at before each batch, in place where it does not suffice. What
//! is ours (`docs/decisions/0010`): a number or a share of the batch, and everything below.
//!
//! The mark on a new member names the old one, so that both are a *pair* for as long as both are there, and nothing has to
//! be remembered. A pair counts as one member. Invariants: no batch begins while anything of an earlier surge is there, so
//! that there are never more members than target and surge; an old member goes only when its new one is well; whatever
//! ends a pair otherwise leaves the new member to scale-in.

use std::collections::BTreeMap;

use scaleset_crds::condition::Reason;
use scaleset_crds::rolling_upgrade::RollingUpgradeStatus;
use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::{Impact, RollingUpgradeCode};

use super::standing::Census;
use super::{RollingDecision, RollingInput};
use crate::budget::was_healthy;
use crate::limits::PLACEMENT_GROUP_MAX;
use crate::plan::{Action, Hold, Marking, Removal, RemovalCause};
use crate::remedy::is_capacity;
use crate::snapshot::{Headroom, Member, Protection, Quota, RollMark};
use crate::upgrade::Outdated;

/// What a surge is decided from, beside the batch.
#[derive(Clone, Copy, Debug)]
pub struct SurgeInput<'pass> {
    /// Members that the set is to have.
    pub target: usize,
    /// What is left of the region; `None` where nobody told.
    pub headroom: Option<&'pass Headroom>,
    /// The same for the regular ones of a mix; `None` where nothing is mixed.
    pub regular_headroom: Option<&'pass Headroom>,
    /// How many placement groups there may be.
    pub groups: PlacementGroups,
}

/// How many placement groups a set may have in each zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacementGroups {
    /// One.
    Single,
    /// As many as it needs.
    Many,
}

/// A new member and the one that it was made to replace; both are there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'pass> {
    pub(crate) new: &'pass Member,
    pub(crate) old: &'pass Member,
}

/// The surge that is under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surge<'pass> {
    /// Pairs of the running upgrade.
    pub(crate) pairs: Vec<Pair<'pass>>,
    /// New members that outnumber the target and are no longer to replace anybody; the first to be scaled in first.
    pub(crate) leftovers: Vec<&'pass Member>,
}

impl<'pass> Surge<'pass> {
    /// The surge among `members`; `upgrade` is the latest rolling upgrade of a set in that mode.
    pub(crate) fn of(members: &'pass [Member], surge: SurgeInput<'_>, upgrade: Option<&RollingUpgradeStatus>) -> Self {
        let live: BTreeMap<&str, &Member> = live_made(members).map(|member| (member.name.as_str(), member)).collect();
        let together: Vec<Pair<'pass>> =
            live.values().filter_map(|new| Some(Pair { new, old: live.get(replaced_by(new)?)? })).collect();
        let shrinks = live.len() - together.len() > surge.target;
        let goes_on = |pair: &Pair<'_>| {
            upgrade.is_some_and(|upgrade| is_of(pair, upgrade))
                && (!shrinks || pair.new.is_settled())
                && !is_starved(pair.new, surge)
                && !is_stopped_untried(pair.new)
        };
        let (pairs, ended): (Vec<_>, Vec<_>) = together.into_iter().partition(goes_on);
        let excess = (live.len() - pairs.len()).saturating_sub(surge.target);
        let mut leftovers: Vec<&Member> =
            ended.iter().map(|pair| pair.new).filter(|new| new.protection == Protection::None).collect();
        leftovers.sort_by_key(|new| (new.is_settled(), new.sequence, &new.name));
        leftovers.truncate(excess);
        Self { pairs, leftovers }
    }

    /// Whether a member is not counted by itself: the new one speaks for its pair, and what is left over for nobody.
    pub(crate) fn hides(&self, member: &Member) -> bool {
        self.pairs.iter().any(|pair| pair.old.name == member.name)
            || self.leftovers.iter().any(|leftover| leftover.name == member.name)
    }

    pub(crate) fn pair_of(&self, new: &Member) -> Option<&Pair<'pass>> {
        self.pairs.iter().find(|pair| pair.new.name == new.name)
    }
}

fn live_made(members: &[Member]) -> impl Iterator<Item = &Member> {
    members.iter().filter(|member| member.is_made() && member.is_live())
}

/// The member that this one was made to replace.
pub(crate) fn replaced_by(member: &Member) -> Option<&str> {
    member.roll.as_ref()?.replaces.as_deref()
}

/// An upgrade tries each old member once: the mark on it says that the new one in its place has failed.
fn is_of(pair: &Pair<'_>, upgrade: &RollingUpgradeStatus) -> bool {
    let marked = |member: &Member| member.roll.as_ref().is_some_and(|mark| mark.number == upgrade.number);
    upgrade.running_status.code == RollingUpgradeCode::RollingForward
        && marked(pair.new)
        && !marked(pair.old)
        && pair.new.assigned_revision.as_deref() == Some(upgrade.target_revision.as_str())
        && pair.old.assigned_revision != pair.new.assigned_revision
        && pair.old.protection != Protection::FromSetActions
}

/// A person has stopped it before it was well: nobody can tell whether it would be, so that it is no failure and replaces
/// nobody.
fn is_stopped_untried(new: &Member) -> bool {
    new.is_stopped_by_wish() && !was_healthy(new)
}

/// Somebody else took the room that there was: that is no failure of the model.
fn is_starved(new: &Member, surge: SurgeInput<'_>) -> bool {
    lacks_room(new) && surge.headroom.is_none_or(|headroom| shortage(surge, headroom, 0, &[new]).is_some())
}

/// A member that has no VM because there was no room for one.
pub(super) fn lacks_room(member: &Member) -> bool {
    let report = &member.report;
    member.has_failed()
        && report.running_revision.is_none()
        && report.failure.as_ref().is_some_and(|failure| is_capacity(failure.reason))
}

/// Names of those that an earlier surge waits for before another batch may begin: members on their way out, old ones that go in
/// this very pass, and new ones that still outnumber the target.
pub(super) fn unfinished<'pass>(input: &RollingInput<'pass>, census: &Census<'pass>) -> Vec<&'pass str> {
    let members = input.upgrade.members;
    let outnumbered = live_made(members).count() > input.surge.target;
    let pending = |new: &'pass Member| {
        let old = members.iter().find(|old| replaced_by(new) == Some(old.name.as_str()));
        let goes = if new.is_live() { old.filter(|old| !old.is_live()) } else { Some(new) };
        let surplus = (outnumbered && old.is_some() && new.protection == Protection::None).then_some(new);
        goes.or(surplus).map(|member| member.name.as_str())
    };
    let new = members.iter().filter(|member| member.is_made() && replaced_by(member).is_some());
    let pending: Vec<&str> = new.filter_map(pending).collect();
    // Where a set grows meanwhile, nobody outnumbers the target, and the old ones are live for whoever chooses a batch.
    if pending.is_empty() { census.replaced().iter().map(|pair| pair.old.name.as_str()).collect() } else { pending }
}

/// Which of a batch are replaced by new members first; else why none.
pub(super) fn choose<'pass>(input: &RollingInput<'_>, batch: &[Outdated<'pass>]) -> Result<Vec<&'pass Member>, String> {
    // One that a person has changed goes in place: that it was tried could not be told from its being changed again.
    let known = |member: &Member| member.assigned_revision.is_some() && !member.is_stopped_by_wish();
    let fit = batch.iter().filter(|outdated| !outdated.is_harmless() && known(outdated.member));
    let members: Vec<&Member> =
        fit.take(input.policy.max_surge.of(batch.len())).map(|outdated| outdated.member).collect();
    if members.is_empty() {
        return Ok(members);
    }
    match refusal(input, &members) {
        Some(why) => Err(format!("surge of {} {why}: the batch goes in place", members.len())),
        None => Ok(members),
    }
}

fn refusal(input: &RollingInput<'_>, members: &[&Member]) -> Option<String> {
    let SurgeInput { target, headroom, regular_headroom: _, groups } = input.surge;
    let live = live_made(input.upgrade.members).count();
    if live > target {
        return Some(format!("needs the target, {live} of {target} are there"));
    }
    let ceiling = input.upgrade.max_disruption;
    if !ceiling.allows(Impact::Replace) {
        return Some(format!("needs maxDisruption Replace, it is {}", ceiling.as_str()));
    }
    let Some(headroom) = headroom else { return Some("needs to know what is left of the region".to_owned()) };
    shortage(input.surge, headroom, target - live, members)
        .or_else(|| address_shortage(input, headroom, members.len()))
        .or_else(|| if groups == PlacementGroups::Single { full_group(input, members) } else { None })
}

/// Why VMs in the places of `members` are too many, beside `missing` ones that the target comes first with. Of a mix each
/// priority has quotas and a market of its own, and all stand on the same hosts.
fn shortage(surge: SurgeInput<'_>, headroom: &Headroom, missing: usize, members: &[&Member]) -> Option<String> {
    let Some(regular_headroom) = surge.regular_headroom else { return lacking(headroom, missing, members) };
    let (regular, spot): (Vec<&Member>, Vec<&Member>) =
        members.iter().copied().partition(|member| member.priority == Priority::Regular);
    [(headroom, spot), (regular_headroom, regular)]
        .into_iter()
        .filter(|(_, members)| !members.is_empty())
        .find_map(|(headroom, members)| lacking(headroom, missing, &members))
        .or_else(|| full_place(regular_headroom, members))
}

fn lacking(headroom: &Headroom, missing: usize, members: &[&Member]) -> Option<String> {
    if let Some((price, most)) = &headroom.above_max_price {
        return Some(format!("needs a price of at most maxPrice {most}, an hour costs {price}"));
    }
    let vcpus = (number(members.len()) + number(missing)) * headroom.vcpus;
    let exhausted = headroom.quotas.iter().find(|quota| quota.usage + vcpus > quota.limit);
    if let Some(Quota { name, limit, usage }) = exhausted {
        let also = if missing > 0 { format!(" with {missing} missing") } else { String::new() };
        let left = (limit - usage).max(0);
        return Some(format!("needs {vcpus} vCPUs{also}, {left} of {limit} left ({name})"));
    }
    full_place(headroom, members)
}

fn full_place(headroom: &Headroom, members: &[&Member]) -> Option<String> {
    let mut places: BTreeMap<(Option<&str>, Option<i32>), i64> = BTreeMap::new();
    for member in members {
        *places.entry((member.zone.as_deref(), member.fault_domain)).or_default() += 1;
    }
    let full = places.into_iter().find(|((zone, domain), wanted)| headroom.machines_in(*zone, *domain) < *wanted);
    full.map(|((zone, domain), wanted)| {
        let place = zone.map_or_else(|| "the region".to_owned(), |zone| format!("zone {zone}"));
        let place = domain.map_or(place.clone(), |domain| format!("{place} fault domain {domain}"));
        format!("needs room for {wanted} in {place}, there is room for {}", headroom.machines_in(zone, domain))
    })
}

fn address_shortage(input: &RollingInput<'_>, headroom: &Headroom, count: usize) -> Option<String> {
    let mut subnets: BTreeMap<&str, i64> = BTreeMap::new();
    for interface in &input.upgrade.newest.profile.network_profile.network_interfaces {
        *subnets.entry(&interface.subnet).or_default() += number(count);
    }
    let free = |subnet: &str| headroom.free_addresses.get(subnet).copied().unwrap_or(0);
    let full = subnets.into_iter().find(|(subnet, wanted)| free(subnet) < *wanted);
    full.map(|(subnet, wanted)| format!("needs {wanted} addresses, {} left in subnet {subnet}", free(subnet)))
}

fn full_group(input: &RollingInput<'_>, members: &[&Member]) -> Option<String> {
    members.iter().find_map(|member| {
        let of_group = |other: &&&Member| other.zone == member.zone && other.placement_group == member.placement_group;
        let live: Vec<&Member> = live_made(input.upgrade.members).collect();
        let (there, wanted) = (live.iter().filter(of_group).count(), members.iter().filter(of_group).count());
        let group = member.placement_group.as_deref()?;
        (there + wanted > PLACEMENT_GROUP_MAX).then(|| {
            format!("needs {wanted} places, {there} of {PLACEMENT_GROUP_MAX} taken in placement group {group}")
        })
    })
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The mark of a member that is made to replace `old`.
pub(crate) fn mark(upgrade: i64, since: jiff::Timestamp, old: &Member) -> RollMark {
    RollMark { number: upgrade, since, replaces: Some(old.name.clone()) }
}

/// An old member goes when the new one in its place is well. Where the new one has failed it stays, with the mark that says
/// so, and the new one is no longer to replace it.
pub(super) fn end_pairs(
    input: &RollingInput<'_>,
    census: &Census<'_>,
    record: &RollingUpgradeStatus,
    decision: &mut RollingDecision,
) {
    let actions = &mut decision.decision.actions;
    for pair in census.replaced() {
        actions.push(replace(pair.old, format!("{} is healthy in its place", pair.new.name)));
    }
    for pair in census.not_replaced() {
        let Member { kind, name, uid, resource_version, .. } = pair.old.clone();
        let roll = RollMark { number: record.number, since: input.now, replaces: None };
        let reason = format!("{} in its place has failed, it stays as it is", pair.new.name);
        actions.push(Action::MarkMember(Marking { kind, name, uid, resource_version, roll, reason }));
    }
}

/// Says why the batch goes in place, as long as it runs.
pub(super) fn hold_refusal(record: &RollingUpgradeStatus, decision: &mut RollingDecision) {
    let batch = record.batch.as_ref().filter(|batch| batch.end_time.is_none());
    if let Some((batch, message)) = batch.and_then(|batch| Some((batch, batch.surge_unavailable.clone()?))) {
        let count = usize::try_from(batch.size).unwrap_or(0);
        decision.decision.holds.push(Hold { reason: Reason::SurgeUnavailable, count, message });
    }
}

fn replace(member: &Member, reason: String) -> Action {
    Action::DeleteMember(Removal {
        kind: member.kind,
        name: member.name.clone(),
        uid: member.uid.clone(),
        resource_version: member.resource_version.clone(),
        cause: RemovalCause::Replace,
        reason,
    })
}
