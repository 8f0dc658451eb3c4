//! Which members go when a set shrinks.
//!
//! Source: Azure's "Use custom scale-in policies with Virtual Machine Scale Sets": protected members never; zoneless
//! members of a set that has zones first; then, one at a time and counted anew after each, from the zones with most
//! members. Inside them the rule decides: `Default` takes from the fault domains with most members the highest instance
//! id (Uniform) or the newest member (Flexible), `NewestVM` and `OldestVM` go by age alone. Where unhealthy members go
//! first, they do inside those zones and before the rule, so that zones stay balanced. While a set is being upgraded,
//! outdated members go before the others of their zone (ours). In a set that mixes priorities the priority comes before all
//! of that: the long side gives the next one (Azure: Spot Priority Mix). Members made by hand are never candidates, but they count
//! for the balance.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::ScaleInRule;

use crate::priority_mix::{PriorityMix, Split};
use crate::snapshot::{Availability, Member, Protection, UnhealthyRule};

/// What decides who goes.
#[derive(Clone, Copy, Debug)]
pub struct ScaleInOrder<'pass> {
    /// Zones of the set.
    pub zones: &'pass [String],
    /// The rule inside the zones.
    pub rule: ScaleInRule,
    /// Whether unhealthy and stopped members go before the others of their zones.
    pub unhealthy: UnhealthyRule,
    /// The revision that a running upgrade brings members to.
    pub upgrading_to: Option<&'pass str>,
    /// How priorities are to be mixed.
    pub mix: Option<PriorityMix>,
}

/// Rank of a candidate; the greatest goes first. The order of the fields is the policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct VictimRank<'member> {
    regional_in_zonal_set: bool,
    members_in_zone: usize,
    unhealthy: bool,
    outdated: bool,
    members_in_fault_domain: usize,
    seniority: Seniority,
    /// Unique last key: of equals, the first in alphabetical order goes first.
    name: Reverse<&'member str>,
}

/// Whose turn it is by id or age; all of one choice are of the same kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seniority {
    HighestId(Option<i64>, Timestamp, Option<i64>),
    Newest(Timestamp, Option<i64>),
    Oldest(Reverse<(Timestamp, Option<i64>)>),
}

impl ScaleInOrder<'_> {
    /// What ranks members of one fault domain among themselves.
    fn inside<'member>(&self, member: &'member Member) -> (bool, bool, Seniority, Reverse<&'member str>) {
        let seniority = match self.rule {
            // An object's time of creation is told in whole seconds: of one second, the later number is the newer.
            ScaleInRule::Default => Seniority::HighestId(member.number, member.created, member.sequence),
            ScaleInRule::NewestVM => Seniority::Newest(member.created, member.sequence),
            ScaleInRule::OldestVM => Seniority::Oldest(Reverse((member.created, member.sequence))),
        };
        (self.prefers(member), self.is_outdated(member), seniority, Reverse(&member.name))
    }

    fn prefers(&self, member: &Member) -> bool {
        match self.unhealthy {
            UnhealthyRule::First => member.is_stopped_by_wish() || member.availability() == Availability::Unavailable,
            UnhealthyRule::InOrder => false,
        }
    }

    fn is_outdated(&self, member: &Member) -> bool {
        self.upgrading_to.is_some() && member.assigned_revision.as_deref() != self.upgrading_to
    }

    fn balances_fault_domains(&self) -> bool {
        match self.rule {
            ScaleInRule::Default => true,
            ScaleInRule::NewestVM | ScaleInRule::OldestVM => false,
        }
    }
}

/// A member that goes, with what chose it.
#[derive(Clone, Debug)]
pub struct Victim<'member> {
    /// The member.
    pub member: &'member Member,
    /// What chose it, numbers included.
    pub rank: String,
}

/// The first `count` victims among `members` (live ones), fewer where protection leaves no more.
pub fn victims<'member>(members: &'member [Member], order: &ScaleInOrder<'_>, count: usize) -> Vec<Victim<'member>> {
    let mut candidates = Candidates::of(members, *order);
    (0..count).map_while(|_| candidates.take_next()).collect()
}

type GroupKey<'member> = (Option<&'member str>, Option<i32>);

/// Members by zone and fault domain: how many there are, and which of them may go.
struct Candidates<'member, 'order> {
    order: ScaleInOrder<'order>,
    /// Made members by priority.
    split: Split,
    members_in_zone: BTreeMap<Option<&'member str>, usize>,
    groups: BTreeMap<GroupKey<'member>, Group<'member>>,
}

#[derive(Default)]
struct Group<'member> {
    members: usize,
    /// By priority where those are mixed; of each the one to go next is last.
    candidates: BTreeMap<Option<Priority>, Vec<&'member Member>>,
}

impl<'member> Group<'member> {
    fn next(&self, side: Option<Priority>) -> Option<&'member Member> {
        self.candidates.get(&side)?.last().copied()
    }
}

impl<'member, 'order> Candidates<'member, 'order> {
    fn of(members: &'member [Member], order: ScaleInOrder<'order>) -> Self {
        let live = || members.iter().filter(|member| member.is_live());
        let split = Split::count(live().filter(|member| member.is_made()).map(|member| member.priority));
        let mut all = Self { order, split, members_in_zone: BTreeMap::new(), groups: BTreeMap::new() };
        for member in live() {
            *all.members_in_zone.entry(member.zone.as_deref()).or_default() += 1;
            let group = all.groups.entry((member.zone.as_deref(), member.fault_domain)).or_default();
            group.members += 1;
            if member.is_made() && member.protection == Protection::None {
                let side = order.mix.map(|_| member.priority);
                group.candidates.entry(side).or_default().push(member);
            }
        }
        for candidates in all.groups.values_mut().flat_map(|group| group.candidates.values_mut()) {
            candidates.sort_by_cached_key(|member| order.inside(member));
        }
        all
    }

    /// Where nobody of the long side may go, the other side gives the next one.
    fn take_next(&mut self) -> Option<Victim<'member>> {
        let Some(mix) = self.order.mix else { return self.take_from(None) };
        let (long, short) = match mix.next_to_go(self.split) {
            Priority::Regular => (Priority::Regular, Priority::Spot),
            Priority::Spot => (Priority::Spot, Priority::Regular),
        };
        let target = mix.target(self.split.total().saturating_sub(1));
        let victim = self.take_from(Some(long)).or_else(|| self.take_from(Some(short)))?;
        let Split { regular, spot } = self.split;
        self.split = self.split.without(victim.member.priority);
        let rank = format!(
            "{regular} regular and {spot} Spot, to be {} and {}: {:?}, {}",
            target.regular, target.spot, victim.member.priority, victim.rank
        );
        Some(Victim { rank, ..victim })
    }

    fn take_from(&mut self, side: Option<Priority>) -> Option<Victim<'member>> {
        let key = self.groups.keys().copied().max_by_key(|key| self.rank(*key, side))?;
        let rank = self.describe(key, side);
        let group = self.groups.get_mut(&key)?;
        let member = group.candidates.get_mut(&side)?.pop()?;
        group.members -= 1;
        *self.members_in_zone.get_mut(&key.0)? -= 1;
        Some(Victim { member, rank })
    }

    fn is_regional_in_zonal_set(&self, key: GroupKey<'member>) -> bool {
        !self.order.zones.is_empty() && key.0.is_none()
    }

    /// `None`, the smallest, for a group in which nobody may go.
    fn rank(&self, key: GroupKey<'member>, side: Option<Priority>) -> Option<VictimRank<'member>> {
        let group = &self.groups[&key];
        let (unhealthy, outdated, seniority, name) = self.order.inside(group.next(side)?);
        Some(VictimRank {
            regional_in_zonal_set: self.is_regional_in_zonal_set(key),
            members_in_zone: self.members_in_zone[&key.0],
            unhealthy,
            outdated,
            members_in_fault_domain: if self.order.balances_fault_domains() { group.members } else { 0 },
            seniority,
            name,
        })
    }

    fn describe(&self, key: GroupKey<'member>, side: Option<Priority>) -> String {
        let group = &self.groups[&key];
        let Some(member) = group.next(side) else { return String::new() };
        let why = if self.order.prefers(member) {
            "unhealthy or stopped"
        } else if self.order.is_outdated(member) {
            "outdated"
        } else {
            match (self.order.rule, member.number) {
                (ScaleInRule::Default, Some(_)) => "highest instance id",
                (ScaleInRule::Default, None) | (ScaleInRule::NewestVM, _) => "newest",
                (ScaleInRule::OldestVM, _) => "oldest",
            }
        };
        let zone = key.0.map(|zone| format!("zone {zone} has most members ({})", self.members_in_zone[&key.0]));
        let domain = key.1.filter(|_| self.order.balances_fault_domains());
        match (zone, domain) {
            (None, _) if self.is_regional_in_zonal_set(key) => "regional member of a set with zones".to_owned(),
            (Some(zone), Some(domain)) => format!("{zone}, in it fault domain {domain} ({}), {why}", group.members),
            (Some(zone), None) => format!("{zone}, {why}"),
            (None, Some(domain)) => format!("fault domain {domain} has most members ({}), {why}", group.members),
            (None, None) => why.to_owned(),
        }
    }
}
