//! Which members go when a set shrinks.
//!
//! Source: Azure's "Use custom scale-in policies with Virtual Machine Scale Sets", policy Default: protected members
//! never; zoneless members of a set that has zones first; then, one at a time and counted anew after each, from the
//! zones with most members, in them the fault domains with most members, the highest instance id (Uniform) or the
//! newest member (Flexible). While a set is being upgraded, outdated members go before the others of their zone (ours).
//! Members made by hand are never candidates, but they count for the balance.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::snapshot::{Member, Protection};

/// Rank of the best candidate of a group; the greatest goes first. The order of the fields is the policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct VictimRank<'member> {
    regional_in_zonal_set: bool,
    members_in_zone: usize,
    outdated: bool,
    members_in_fault_domain: usize,
    number: Option<i64>,
    created: Timestamp,
    /// Unique last key: of equals, the first in alphabetical order goes first.
    name: Reverse<&'member str>,
}

/// A member that goes, with what chose it.
#[derive(Clone, Debug)]
pub struct Victim<'member> {
    /// The member.
    pub member: &'member Member,
    /// What chose it, numbers included.
    pub rank: String,
}

/// The first `count` victims among `members` (live ones), fewer where protection leaves no more. `zones` are the set's;
/// members that do not follow `upgrading_to` go first inside a zone.
pub fn victims<'member>(
    members: &'member [Member],
    zones: &[String],
    upgrading_to: Option<&str>,
    count: usize,
) -> Vec<Victim<'member>> {
    let mut candidates = Candidates::of(members, zones, upgrading_to);
    (0..count).map_while(|_| candidates.take_next()).collect()
}

type GroupKey<'member> = (Option<&'member str>, Option<i32>);

/// Members by zone and fault domain: how many there are, and which of them may go.
struct Candidates<'member> {
    zonal_set: bool,
    upgrading_to: Option<String>,
    members_in_zone: BTreeMap<Option<&'member str>, usize>,
    groups: BTreeMap<GroupKey<'member>, Group<'member>>,
}

#[derive(Default)]
struct Group<'member> {
    members: usize,
    /// The one to go next is last.
    candidates: Vec<&'member Member>,
}

impl<'member> Candidates<'member> {
    fn of(members: &'member [Member], zones: &[String], upgrading_to: Option<&str>) -> Self {
        let mut all = Self {
            zonal_set: !zones.is_empty(),
            upgrading_to: upgrading_to.map(str::to_owned),
            members_in_zone: BTreeMap::new(),
            groups: BTreeMap::new(),
        };
        for member in members.iter().filter(|member| member.is_live()) {
            *all.members_in_zone.entry(member.zone.as_deref()).or_default() += 1;
            let group = all.groups.entry((member.zone.as_deref(), member.fault_domain)).or_default();
            group.members += 1;
            if member.is_made() && member.protection == Protection::None {
                group.candidates.push(member);
            }
        }
        let Self { groups, upgrading_to, .. } = &mut all;
        for group in groups.values_mut() {
            group.candidates.sort_by_key(|member| {
                let outdated = is_outdated(member, upgrading_to.as_deref());
                (outdated, member.number, member.created, Reverse(member.name.as_str()))
            });
        }
        all
    }

    fn take_next(&mut self) -> Option<Victim<'member>> {
        let key = self.groups.keys().copied().max_by_key(|key| self.rank(*key))?;
        let rank = self.describe(key);
        let group = self.groups.get_mut(&key)?;
        let member = group.candidates.pop()?;
        group.members -= 1;
        *self.members_in_zone.get_mut(&key.0)? -= 1;
        Some(Victim { member, rank })
    }

    /// `None`, the smallest, for a group in which nobody may go.
    fn rank(&self, key: GroupKey<'member>) -> Option<VictimRank<'member>> {
        let group = &self.groups[&key];
        let member = group.candidates.last()?;
        Some(VictimRank {
            regional_in_zonal_set: self.zonal_set && key.0.is_none(),
            members_in_zone: self.members_in_zone[&key.0],
            outdated: is_outdated(member, self.upgrading_to.as_deref()),
            members_in_fault_domain: group.members,
            number: member.number,
            created: member.created,
            name: Reverse(&member.name),
        })
    }

    fn describe(&self, key: GroupKey<'member>) -> String {
        let group = &self.groups[&key];
        let outdated = group.candidates.last().is_some_and(|member| is_outdated(member, self.upgrading_to.as_deref()));
        let newest = if outdated {
            "outdated"
        } else if group.candidates.last().is_some_and(|member| member.number.is_some()) {
            "highest instance id"
        } else {
            "newest"
        };
        match key {
            (None, _) if self.zonal_set => "regional member of a set with zones".to_owned(),
            (Some(zone), Some(domain)) => format!(
                "zone {zone} has most members ({}), in it fault domain {domain} ({}), {newest}",
                self.members_in_zone[&key.0], group.members
            ),
            (Some(zone), None) => format!("zone {zone} has most members ({}), {newest}", self.members_in_zone[&key.0]),
            (None, Some(domain)) => format!("fault domain {domain} has most members ({}), {newest}", group.members),
            (None, None) => newest.to_owned(),
        }
    }
}

fn is_outdated(member: &Member, upgrading_to: Option<&str>) -> bool {
    upgrading_to.is_some() && member.assigned_revision.as_deref() != upgrading_to
}
