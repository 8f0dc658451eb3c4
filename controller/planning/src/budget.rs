//! The one disruption allowance of a set, computed first and spent by everything that disturbs members.
//!
//! A = max(1, floor(N x percent / 100)), N = members that the set made. Azure's rolling-upgrade policy gives the
//! percentage (maxBatchInstancePercent) and the rounding; that every mode shares it is ours
//! (`docs/decisions`).
//!
//! Spent by: members that the target still misses; members that are being brought to the newest model; members that
//! are not available, or of whom nobody can tell. Not by members that a person stopped, nor by those that have not been
//! healthy on the outdated model that they follow, nor, once they failed on the newest, by those that were not healthy on
//! the model that they had before: they were lost already, and do not starve the rest. One that was well and fails on the
//! newest model spends, so that a bad model stops at the first few; and so does one that was made on the newest model,
//! since it may stand in the place of a member that was well.

use std::collections::BTreeSet;

use scaleset_crds::vocabulary::ProvisioningState;

use crate::snapshot::{Availability, Member, MemberReport, Observation, Revision};

/// What may be disturbed, and what of it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Members that the set made.
    pub made: usize,
    /// Percentage in force.
    pub percent: i32,
    /// A.
    pub total: usize,
    /// Members that spend of it already: being changed, or not available.
    pub spent: usize,
    /// Those of them that are on their way to the newest model, or whose successors are yet to be made.
    pub in_flight: usize,
}

/// The allowance of a set that is to have `target` members and whose newest revision is `newest`, `percent` of it.
/// Members that a person has `requested` to be brought to it are on their way from now on.
pub fn of_set(
    members: &[Member],
    target: i32,
    newest: &Revision,
    percent: i32,
    requested: &BTreeSet<String>,
) -> Allowance {
    let live: Vec<&Member> = members.iter().filter(|member| member.is_made() && member.is_live()).collect();
    let target = usize::try_from(target).unwrap_or(0);
    let missing = target.saturating_sub(live.len());
    let begins = |member: &Member| requested.contains(&member.uid) && !member.is_stopped_by_wish();
    let spent = live.iter().filter(|member| spends(member, newest) || begins(member)).count();
    let on_its_way = |member: &Member| begins(member) || (follows(member, &newest.name) && spends(member, newest));
    let in_flight = live.iter().filter(|member| on_its_way(member)).count();
    Allowance { in_flight: in_flight + missing, ..Allowance::new(live.len().max(target), percent, missing + spent) }
}

fn follows(member: &Member, revision: &str) -> bool {
    member.assigned_revision.as_deref() == Some(revision)
}

/// Whether a member spends of the allowance by what it is.
pub(crate) fn spends(member: &Member, newest: &Revision) -> bool {
    let Revision { name, created, uid: _, resource_version: _, number: _, profile: _ } = newest;
    if member.is_stopped_by_wish() {
        return false;
    }
    let on_its_way = member.report.running_revision.as_deref() != Some(name) || !member.is_settled();
    match (member.availability(), follows(member, name)) {
        (Availability::Available, true) => on_its_way,
        (Availability::Available, false) => is_about_to_change(member),
        (Availability::Unknown, _) => true,
        (Availability::Unavailable, true) => {
            // Object times have whole seconds: as old as the model counts as made on it.
            let made_on_it = member.created >= *created;
            !has_failed_on(member, name) || member.report.healthy_on_revision.is_some() || made_on_it
        }
        (Availability::Unavailable, false) => was_healthy(member),
    }
}

/// Whether it was given a model that its hardware has not begun to take: it is about to go down, although the set wishes
/// another model by now. What was refused is not about to do anything.
fn is_about_to_change(member: &Member) -> bool {
    let MemberReport { running_revision, failure, .. } = &member.report;
    member.assigned_revision.is_some() && *running_revision != member.assigned_revision && failure.is_none()
}

/// Whether the model has been applied without success: the last operation failed, or the application is unwell and is not
/// coming up either.
fn has_failed_on(member: &Member, revision: &str) -> bool {
    let report = &member.report;
    let applied = report.observation == Observation::Current
        && report.provisioning == ProvisioningState::Succeeded
        && report.running_revision.as_deref() == Some(revision);
    member.has_failed() || (applied && report.health.is_unhealthy())
}

/// Whether it has been healthy since it took the model that it follows.
pub(crate) fn was_healthy(member: &Member) -> bool {
    member.assigned_revision.is_some() && member.report.healthy_on_revision == member.assigned_revision
}

impl Allowance {
    /// The allowance of a set of `made` members, of whom `spent` spend already.
    pub fn new(made: usize, percent: i32, spent: usize) -> Self {
        let share = made * usize::try_from(percent).unwrap_or(0) / 100;
        Self { made, percent, total: share.max(1), spent, in_flight: 0 }
    }

    /// How many more may be disturbed now; 0 when more are unavailable than allowed.
    pub const fn left(&self) -> usize {
        self.total.saturating_sub(self.spent)
    }
}

impl std::fmt::Display for Allowance {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { made, percent, total, spent, in_flight: _ } = self;
        write!(formatter, "{spent} in flight or unavailable of {total} allowed ({percent} % of {made})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_rounded_down_and_never_below_one() {
        for (made, percent, total) in
            [(0, 20, 1), (3, 20, 1), (5, 20, 1), (9, 20, 1), (10, 20, 2), (1_000, 20, 200), (7, 100, 7)]
        {
            assert_eq!(Allowance::new(made, percent, 0).total, total, "{percent} % of {made}");
        }
    }

    #[test]
    fn an_overdrawn_allowance_moves_nothing() {
        assert_eq!(Allowance::new(10, 20, 5).left(), 0);
        assert_eq!(Allowance::new(10, 20, 1).left(), 1);
    }
}
