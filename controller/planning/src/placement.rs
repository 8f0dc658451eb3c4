//! Where a new member goes: the emptiest usable zone, in it the first placement group with room, in that the emptiest fault
//! domain, lowest names on a tie. Fault domains are those of a group: two VMs are surely apart only where they share it.
//!
//! Sources: Azure's "Use zone balance in Virtual Machine Scale Sets" (best effort: one zone down is worked around, with two or
//! more down nothing is scaled) and "Choosing the right number of fault domains". The order of the score's fields is
//! the policy. A set of Spot VMs alone stays in one fault domain ("Azure Spot Virtual Machines for Virtual Machine Scale
//! Sets"), in each zone its own. Placement groups of 100 with five update domains: "Working with large Virtual Machine Scale Sets".

use std::cmp::Reverse;
use std::collections::BTreeMap;

use scaleset_crds::condition::Reason;
use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::OrchestrationMode;

use crate::limits::{self, PLACEMENT_GROUP_MAX, UPDATE_DOMAIN_COUNT};
use crate::plan::NewMember;
use crate::snapshot::{Failure, Member, ScaleSetSnapshot, ZoneFacts};
use crate::upgrade::rolling::PlacementGroups;

/// A place for one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Zone; none: regional.
    pub zone: Option<String>,
    /// Fault domain; none where the hardware spreads.
    pub fault_domain: Option<i32>,
    /// Placement group, Uniform only.
    pub placement_group: Option<String>,
    /// Update domain, Uniform only.
    pub update_domain: Option<i32>,
    /// What chose it.
    pub reason: String,
}

/// Rank of a candidate place; the smallest wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PlaceScore {
    members_in_zone: usize,
    zone: Option<String>,
    members_in_fault_domain: usize,
    fault_domain: Option<i32>,
}

type ZoneAndDomain = (Option<String>, Option<i32>);

/// A placement group of a Uniform set, or a zone of a Flexible one, and a fault domain in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seat {
    zone: Option<String>,
    group: Option<GroupKey>,
    fault_domain: Option<i32>,
}

impl Seat {
    fn of(member: &Member) -> Self {
        Self { zone: member.zone.clone(), group: GroupKey::of(member), fault_domain: member.fault_domain }
    }
}

/// The members of a set by place, kept up to date while new ones are placed.
#[derive(Clone, Debug)]
pub struct Occupancy {
    mode: OrchestrationMode,
    places: BTreeMap<Seat, usize>,
    candidates: Vec<ZoneAndDomain>,
    spreading: Spreading,
    groups: Groups,
    how_many: PlacementGroups,
}

/// How the members of a zone, or of a region, go over its fault domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spreading {
    /// The emptiest gets the next one.
    Even,
    /// All into one.
    OneForSpot,
}

/// A placement group: groups do not span zones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct GroupKey {
    zone: Option<String>,
    number: usize,
}

impl GroupKey {
    fn of(member: &Member) -> Option<Self> {
        Self::parse(member.zone.as_ref(), member.placement_group.as_ref()?)
    }

    /// The group named `name` in `zone`.
    fn parse(zone: Option<&String>, name: &str) -> Option<Self> {
        let number = match zone {
            Some(zone) => name.strip_prefix(zone.as_str())?.strip_prefix('-')?,
            None => name,
        };
        Some(Self { zone: zone.cloned(), number: number.parse().ok()? })
    }
}

impl std::fmt::Display for GroupKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.zone {
            Some(zone) => write!(formatter, "{zone}-{}", self.number),
            None => write!(formatter, "{}", self.number),
        }
    }
}

impl Occupancy {
    /// Counts `members`, all that exist and are not going, deallocated ones included. Why nothing can be placed, where
    /// nothing can.
    pub fn count(snapshot: &ScaleSetSnapshot, fault_domain_count: i32) -> Result<Self, Failure> {
        let zones = usable_zones(snapshot)?;
        let spreading = spreading(snapshot);
        let domains = |zone: &Option<String>| -> Vec<Option<i32>> {
            match (fault_domain_count, spreading) {
                (1, _) => vec![None],
                (_, Spreading::Even) => (0..fault_domain_count).map(Some).collect(),
                (_, Spreading::OneForSpot) => vec![Some(domain_of_spot(snapshot, zone.as_ref()))],
            }
        };
        let candidates = zones.iter().flat_map(|zone| domains(zone).into_iter().map(|domain| (zone.clone(), domain)));
        let mut occupancy = Self {
            mode: snapshot.set.mode,
            places: BTreeMap::new(),
            candidates: candidates.collect(),
            spreading,
            groups: Groups::default(),
            how_many: placement_groups(snapshot.set.mode, limits::single_placement_group(snapshot, fault_domain_count)),
        };
        for member in snapshot.members.iter().filter(|member| member.is_live()) {
            occupancy.add(member);
        }
        Ok(occupancy)
    }

    /// Placement groups are full of extras, too, which count in no zone and no fault domain.
    pub fn crowd(&mut self, extras: &[Member]) {
        extras.iter().filter(|extra| extra.is_live()).for_each(|extra| self.groups.add(extra));
    }

    fn add(&mut self, member: &Member) {
        *self.places.entry(Seat::of(member)).or_default() += 1;
        self.groups.add(member);
    }

    /// Counts these in no zone and no fault domain, for they share the place of another or are about to go. As long as they
    /// are there, placement groups are full of them, too.
    pub(crate) fn overlook(&mut self, members: &[&Member]) {
        for member in members {
            if let Some(count) = self.places.get_mut(&Seat::of(member)) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// Counts in their placement groups those that are made already.
    pub(crate) fn make_room_for<'new>(&mut self, new: impl Iterator<Item = &'new NewMember>) {
        for member in new {
            let key = member.placement_group.as_ref().and_then(|group| GroupKey::parse(member.zone.as_ref(), group));
            if let (Some(group), Some(domain)) = (key, member.update_domain) {
                *self.groups.0.entry(group).or_default().entry(domain).or_default() += 1;
            }
        }
    }

    /// The best place for one more member, which is counted from now on; none where every single placement group is full.
    pub fn place_next(&mut self) -> Option<Place> {
        let open = self.candidates.iter().filter(|(zone, _)| self.has_room(zone.as_ref()));
        let PlaceScore { members_in_zone, zone, members_in_fault_domain, fault_domain } =
            open.map(|candidate| self.score(candidate)).min()?;
        let reason = match (&zone, fault_domain) {
            (zone, Some(domain)) if self.spreading == Spreading::OneForSpot => {
                let zone =
                    zone.as_ref().map(|zone| format!("zone {zone} has the fewest members ({members_in_zone}), "));
                format!("{}Spot VMs share fault domain {domain} ({members_in_fault_domain})", zone.unwrap_or_default())
            }
            (Some(zone), Some(domain)) => {
                format!(
                    "zone {zone} has the fewest members ({members_in_zone}), in it fault domain {domain} ({members_in_fault_domain})"
                )
            }
            (Some(zone), None) => format!("zone {zone} has the fewest members ({members_in_zone})"),
            (None, Some(domain)) => format!("fault domain {domain} has the fewest members ({members_in_fault_domain})"),
            (None, None) => "the region spreads by itself".to_owned(),
        };
        let group = self.open_group(zone.as_ref());
        *self.places.entry(Seat { zone: zone.clone(), group, fault_domain }).or_default() += 1;
        let (placement_group, update_domain) = match self.mode {
            OrchestrationMode::Uniform => self.groups.join(zone.as_ref()),
            OrchestrationMode::Flexible => (None, None),
        };
        Some(Place { zone, fault_domain, placement_group, update_domain, reason })
    }

    fn has_room(&self, zone: Option<&String>) -> bool {
        match self.how_many {
            PlacementGroups::Single => !self.groups.is_full(&GroupKey { zone: zone.cloned(), number: 0 }),
            PlacementGroups::Many => true,
        }
    }

    /// Why `rest` members have found no place.
    pub(crate) fn full(&self, rest: usize) -> Failure {
        let mut zones: Vec<&str> = self.candidates.iter().filter_map(|(zone, _)| zone.as_deref()).collect();
        zones.dedup();
        let (reason, place) = match zones.as_slice() {
            [] => (Reason::AllocationFailed, "the region".to_owned()),
            zones => (Reason::ZonalAllocationFailed, format!("zones {}", zones.join(", "))),
        };
        let message = format!(
            "{rest} more than single placement groups of {PLACEMENT_GROUP_MAX} have room for in {place}; \
             spec.singlePlacementGroup is true"
        );
        Failure { reason, message }
    }

    fn score(&self, candidate: &ZoneAndDomain) -> PlaceScore {
        let (zone, fault_domain) = candidate;
        let group = self.open_group(zone.as_ref());
        let seat = Seat { zone: zone.clone(), group, fault_domain: *fault_domain };
        let in_zone = self.places.iter().filter(|(seat, _)| seat.zone == *zone);
        PlaceScore {
            members_in_zone: in_zone.map(|(_, count)| count).sum(),
            zone: zone.clone(),
            members_in_fault_domain: self.places.get(&seat).copied().unwrap_or(0),
            fault_domain: *fault_domain,
        }
    }

    /// The placement group that the next member of a zone joins; a Flexible set has none.
    fn open_group(&self, zone: Option<&String>) -> Option<GroupKey> {
        match self.mode {
            OrchestrationMode::Uniform => Some(self.groups.open(zone)),
            OrchestrationMode::Flexible => None,
        }
    }
}

/// How many placement groups a set may have in each zone.
pub(crate) const fn placement_groups(mode: OrchestrationMode, single: Option<bool>) -> PlacementGroups {
    match (mode, single) {
        (OrchestrationMode::Uniform, Some(true)) => PlacementGroups::Single,
        (OrchestrationMode::Uniform, Some(false) | None) | (OrchestrationMode::Flexible, _) => PlacementGroups::Many,
    }
}

/// Placement groups, each with its members by update domain, kept up to date while new ones are placed.
#[derive(Clone, Debug, Default)]
pub struct Groups(BTreeMap<GroupKey, BTreeMap<i32, usize>>);

impl Groups {
    /// Counts `members`, all that are not going.
    pub fn count(members: &[Member]) -> Self {
        let mut groups = Self::default();
        members.iter().filter(|member| member.is_live()).for_each(|member| groups.add(member));
        groups
    }

    pub(crate) fn add(&mut self, member: &Member) {
        if let (Some(group), Some(domain)) = (GroupKey::of(member), member.update_domain) {
            *self.0.entry(group).or_default().entry(domain).or_default() += 1;
        }
    }

    /// The group and update domain of a member for one beside it, which is counted from now on; another group of its zone
    /// where its own is full. None in a Flexible set.
    pub fn beside(&mut self, member: &Member) -> (Option<String>, Option<i32>) {
        let (Some(group), Some(domain)) = (GroupKey::of(member), member.update_domain) else { return (None, None) };
        if self.is_full(&group) {
            return self.join(member.zone.as_ref());
        }
        self.add(member);
        (Some(group.to_string()), Some(domain))
    }

    /// The first group of the zone with room, and in it the update domain with the fewest members.
    pub(crate) fn join(&mut self, zone: Option<&String>) -> (Option<String>, Option<i32>) {
        let key = self.open(zone);
        let name = key.to_string();
        let group = self.0.entry(key).or_default();
        let domain = (0..UPDATE_DOMAIN_COUNT)
            .min_by_key(|domain| (group.get(domain).copied().unwrap_or(0), *domain))
            .expect("there are update domains");
        *group.entry(domain).or_default() += 1;
        (Some(name), Some(domain))
    }

    /// The first group of the zone with room.
    fn open(&self, zone: Option<&String>) -> GroupKey {
        (0..=self.0.len())
            .map(|number| GroupKey { zone: zone.cloned(), number })
            .find(|key| !self.is_full(key))
            .expect("one more number than groups is free")
    }

    fn is_full(&self, key: &GroupKey) -> bool {
        self.0.get(key).is_some_and(|group| group.values().sum::<usize>() >= PLACEMENT_GROUP_MAX)
    }
}

fn spreading(snapshot: &ScaleSetSnapshot) -> Spreading {
    let is_spot = snapshot.set.profile.as_ref().is_some_and(|profile| profile.spot.priority == Priority::Spot);
    if is_spot && snapshot.set.mix.is_none() { Spreading::OneForSpot } else { Spreading::Even }
}

/// The fault domain where most VMs are that the set has made in a zone, the lowest on a tie and without any.
fn domain_of_spot(snapshot: &ScaleSetSnapshot, zone: Option<&String>) -> i32 {
    let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
    let made = snapshot.members.iter().filter(|member| member.is_live() && member.is_made());
    for domain in made.filter(|member| member.zone.as_ref() == zone).filter_map(|member| member.fault_domain) {
        *counts.entry(domain).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(domain, count)| (*count, Reverse(*domain))).map_or(0, |(domain, _)| domain)
}

/// Zones that can take members; `[None]` for a regional set.
fn usable_zones(snapshot: &ScaleSetSnapshot) -> Result<Vec<Option<String>>, Failure> {
    let zones = &snapshot.set.zones;
    if zones.is_empty() {
        return Ok(vec![None]);
    }
    if let Some(refusal) = outage(snapshot) {
        return Err(refusal);
    }
    let down = zones_down(snapshot);
    if down.len() == zones.len() {
        return Err(unavailable(&down, "there is no zone left to place members in"));
    }
    Ok(zones.iter().filter(|zone| !down.contains(&zone.as_str())).cloned().map(Some).collect())
}

/// Why nothing is scaled, neither out nor in: two or more of the set's zones are down.
pub fn outage(snapshot: &ScaleSetSnapshot) -> Option<Failure> {
    let down = zones_down(snapshot);
    (down.len() >= 2).then(|| unavailable(&down, "with two or more zones down nothing is scaled"))
}

/// Zones that the region knows to be down; one that it does not know at all is another refusal's matter.
fn zones_down(snapshot: &ScaleSetSnapshot) -> Vec<&str> {
    let state = |zone: &str| snapshot.region.as_ref().and_then(|region| region.zones.get(zone)).copied();
    let zones = snapshot.set.zones.iter().map(String::as_str);
    zones.filter(|zone| state(zone) == Some(ZoneFacts::Unavailable)).collect()
}

fn unavailable(zones: &[&str], consequence: &str) -> Failure {
    let message = format!("zones that are unavailable: {}; {consequence}", zones.join(", "));
    Failure { reason: Reason::ZonalAllocationFailed, message }
}
