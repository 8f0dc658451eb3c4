//! How many more members than it was asked for a set makes when it grows, and who of them stays.
//!
//! Sources: Azure's "Design considerations for Virtual Machine Scale Sets" (overprovisioning: the extras are deleted once
//! the requested number is provisioned; they are not charged and count against no quota). How many, and who goes, is not
//! public: a fifth, at least two, so that two make four as Azure's own example shows, and the first to come up stay, in each
//! zone as many as it would have had (`docs/decisions`).
//!
//! A member that was lost is made one for one. Which members are new and which were lost, no fact can tell; the record
//! `reachedReplicas` does: the target for which the set had all its members once. It is raised only when they are seen, so
//! that a pass that did not come to its end is followed by one that still knows.

use std::cmp::Reverse;

use scaleset_crds::condition::Reason;
use scaleset_crds::vocabulary::{PowerState, ProvisioningState, Surplus};
use scaleset_crds::{ScaleSetStatus, VirtualMachineProfile};

use crate::limits;
use crate::scale_set::pairs_among;
use crate::snapshot::{Evicted, Member, Overprovision, Protection, ScaleSetSnapshot};

/// Fewest extras of a growth.
const EXTRAS_MIN: usize = 2;
/// Extras in percent of the growth, rounded up.
const EXTRAS_PERCENT: usize = 20;

/// Extras of a growth by `asked` members.
pub fn extras_for(asked: usize) -> usize {
    if asked == 0 { 0 } else { (asked * EXTRAS_PERCENT).div_ceil(100).max(EXTRAS_MIN) }
}

/// The target that was reached last, after a look at the members that count; none where the set does not overprovision.
pub(crate) fn reached(counted: &ScaleSetSnapshot, target: i32) -> Option<i32> {
    match counted.set.overprovision {
        Overprovision::Off => return None,
        Overprovision::On | Overprovision::ExtensionsOnKept => {}
    }
    let made = counted.members.iter().filter(|member| member.is_made() && member.is_live());
    let made: Vec<Member> = made.cloned().collect();
    // A pair of a surge has one place.
    let all = |target| made.len() - pairs_among(counted, target, &made) >= target;
    let all = usize::try_from(target).is_ok_and(all);
    Some(if all { target } else { reached_before(&counted.status).min(target) })
}

/// A set that has just begun to overprovision has reached what it was to have.
fn reached_before(status: &ScaleSetStatus) -> i32 {
    status.reached_replicas.or(status.target_replicas).unwrap_or(0)
}

/// How many extras a set that is to have `target` members makes now beside the `there` that it has. Every limit of the set
/// holds for members and extras together.
pub(crate) fn extras_to_make(
    counted: &ScaleSetSnapshot,
    target: i32,
    there: usize,
    profile: &VirtualMachineProfile,
    single_placement_group: Option<bool>,
) -> usize {
    match counted.set.overprovision {
        Overprovision::Off => return 0,
        Overprovision::On | Overprovision::ExtensionsOnKept => {}
    }
    if profile.capacity_reservation_group_ref.is_some() {
        // An extra would take a slot that is set aside for a member that counts.
        return 0;
    }
    let asked = usize::try_from(target - reached_before(&counted.status)).unwrap_or(0);
    let most = limits::uniform_members_max(&counted.set, profile, single_placement_group);
    let room = most.saturating_sub(usize::try_from(target).unwrap_or(0));
    extras_for(asked).min(room).saturating_sub(there)
}

/// The mark of a new member that was asked for, where `extras` are made beside it or are there.
pub(crate) fn mark_of_asked(counted: &ScaleSetSnapshot, extras: usize) -> Option<Surplus> {
    match counted.set.overprovision {
        Overprovision::ExtensionsOnKept if extras > 0 => Some(Surplus::Undecided),
        Overprovision::ExtensionsOnKept | Overprovision::On | Overprovision::Off => None,
    }
}

/// One zone of a set whose members are coming up.
#[derive(Clone, Debug, Default)]
pub(crate) struct ZoneRace<'member> {
    /// Members that count, have not come up, and may lose their place to an extra.
    pub(crate) pending: Vec<&'member Member>,
    /// Places that members leave, for which nobody else is made.
    pub(crate) vacant: usize,
    /// Extras that are not going.
    pub(crate) extras: Vec<&'member Member>,
}

/// What becomes of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ZoneOutcome<'member> {
    /// Extras that stay, in the places of those that go.
    pub(crate) kept: Vec<&'member Member>,
    /// Members that lose their place.
    pub(crate) losers: Vec<&'member Member>,
    /// Extras that go.
    pub(crate) surplus: Vec<&'member Member>,
}

impl<'member> ZoneRace<'member> {
    /// An extra that has failed goes at once; one that is up takes a place that is left. The race is over when so many extras
    /// are up as members are not: the first to come up are then as many as the zone is to have. Without anybody who could
    /// lose there is none.
    pub(crate) fn outcome(self) -> ZoneOutcome<'member> {
        let Self { pending, vacant, extras } = self;
        let (failed, racing): (Vec<&Member>, Vec<&Member>) = extras.into_iter().partition(|extra| is_out(extra));
        let (mut up, coming): (Vec<&Member>, Vec<&Member>) = racing.into_iter().partition(|extra| has_come_up(extra));
        // One that may not be deleted is the first to be kept.
        up.sort_by_key(|extra| (Reverse(extra.protection), extra.number));
        let filled = vacant.min(up.len());
        let mut up = up.into_iter();
        let mut outcome = ZoneOutcome { kept: up.by_ref().take(filled).collect(), losers: Vec::new(), surplus: failed };
        if filled < vacant || up.len() < pending.len() {
            return outcome;
        }
        outcome.kept.extend(up.by_ref().take(pending.len()));
        outcome.losers = pending;
        outcome.surplus.extend(up.chain(coming));
        outcome
    }
}

/// Whether it has ever been up, as far as anybody knows.
pub(crate) fn has_come_up(member: &Member) -> bool {
    let report = &member.report;
    let was_well = report.healthy_on_revision.is_some() || report.healthy_on_os_disk.is_some();
    was_well || (report.provisioning == ProvisioningState::Succeeded && report.power == PowerState::Running)
}

/// Whether an extra has no part in the race any more: it failed, found no room, was evicted or is wished down.
fn is_out(extra: &Member) -> bool {
    extra.has_failed() || extra.is_stopped_by_wish() || extra.report.evicted != Evicted::No
}

/// Whether a member that has not come up may lose its place to an extra: not where it is protected, wished down or made by an
/// upgrade; nor where a quota refuses it, which an extra would only evade. Where extensions are to run on those alone that
/// are kept, nobody loses who may have run them.
pub(crate) fn may_lose(member: &Member, rule: Overprovision) -> bool {
    let over_quota = member.report.failure.as_ref().is_some_and(|failure| failure.reason == Reason::QuotaExceeded);
    let in_race = match rule {
        Overprovision::Off => false,
        Overprovision::On => true,
        Overprovision::ExtensionsOnKept => member.is_undecided(),
    };
    in_race
        && member.is_made()
        && member.is_live()
        && member.protection == Protection::None
        && member.roll.is_none()
        && !member.is_stopped_by_wish()
        && !over_quota
        && !has_come_up(member)
}

#[cfg(test)]
mod tests {
    use super::extras_for;

    #[test]
    fn a_fifth_more_are_made_and_never_fewer_than_two() {
        for (asked, extras) in [(0, 0), (1, 2), (2, 2), (10, 2), (11, 3), (75, 15), (999, 200)] {
            assert_eq!(extras_for(asked), extras, "{asked} asked for");
        }
    }
}
