//! Who is in the next batch.
//!
//! Source: Azure's "Configure rolling upgrades on Virtual Machine Scale Sets": unhealthy first if asked, zone by zone
//! unless zones may be mixed, update domain by update domain; at most maxBatchInstancePercent of the set, rounded down,
//! at least one; unhealthy members elsewhere make a batch smaller. That members which were never well on their outdated
//! model go before all others is ours (`docs/upgrades.md`).

use super::RollingInput;
use crate::budget::was_healthy;
use crate::snapshot::{Availability, Member, UnhealthyRule, ZoneRule};
use crate::upgrade::Outdated;

/// Members that can share a batch, in the order in which batches come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Never well on the outdated model: costs nothing.
    NeverWell,
    /// Unhealthy, where those go first.
    Unhealthy,
    /// Everybody else.
    Rest,
}

/// Order among all that wait; the last keys are unique.
type Rank<'member> =
    (Class, Option<&'member str>, Option<i32>, Option<&'member str>, Option<i32>, Option<i64>, &'member str);

/// The members of the next batch; none where the allowance is spent.
pub(super) fn choose<'pass>(input: &RollingInput<'_>, waiting: &[Outdated<'pass>]) -> Vec<Outdated<'pass>> {
    let mut sorted: Vec<&Outdated<'pass>> = waiting.iter().collect();
    sorted.sort_by_key(|outdated| rank(input, outdated.member));
    let Some(first) = sorted.first().map(|outdated| outdated.member) else { return Vec::new() };
    let together = |member: &Member| match input.policy.zones {
        ZoneRule::Mixed => class(input, member) == class(input, first),
        ZoneRule::OneByOne => class(input, member) == class(input, first) && member.zone == first.zone,
    };
    let mut left = input.upgrade.allowance.left();
    let batch = sorted.into_iter().take_while(|outdated| together(outdated.member)).filter(|outdated| {
        let free = costs_nothing(outdated.member);
        let granted = free || left > 0;
        left = if free { left } else { left.saturating_sub(1) };
        granted
    });
    batch.take(input.upgrade.allowance.total).cloned().collect()
}

fn rank<'member>(input: &RollingInput<'_>, member: &'member Member) -> Rank<'member> {
    let zone = match input.policy.zones {
        ZoneRule::Mixed => None,
        ZoneRule::OneByOne => member.zone.as_deref(),
    };
    let class = class(input, member);
    (class, zone, member.update_domain, member.zone.as_deref(), member.fault_domain, member.number, &member.name)
}

fn class(input: &RollingInput<'_>, member: &Member) -> Class {
    let unwell = member.availability() == Availability::Unavailable && !member.is_stopped_by_wish();
    match (unwell, input.policy.unhealthy) {
        (true, _) if !was_healthy(member) || input.has_bad_image(member) => Class::NeverWell,
        (true, UnhealthyRule::First) => Class::Unhealthy,
        (_, UnhealthyRule::First | UnhealthyRule::InOrder) => Class::Rest,
    }
}

/// It is not available, so that nothing more is lost; or a person stopped it.
fn costs_nothing(member: &Member) -> bool {
    member.is_stopped_by_wish() || member.availability() == Availability::Unavailable
}
