//! A Uniform set that is deallocated as a whole is spread anew, so that it starts evenly.
//!
//! Source: Azure's frequently asked questions on scale sets: stop-deallocate followed by a start of the whole set spreads
//! its VMs evenly over fault domains and update domains, after deletions or overprovisioning left a skew. Zones stay.
//!
//! The places are given while everybody is wished down and nobody has hardware: whoever is started afterwards is started at
//! its new place. As soon as one is wished up, or is not known to be down, nobody is moved any more. A member that is
//! protected from the set's actions keeps its place, and the others are spread around it.

use std::collections::BTreeMap;

use scaleset_crds::vocabulary::{OrchestrationMode, PowerState, PowerWish, ProvisioningState};

use crate::limits::{PLACEMENT_GROUP_MAX, UPDATE_DOMAIN_COUNT};
use crate::placement::Groups;
use crate::plan::{Action, Seating};
use crate::snapshot::{Evicted, Member, MemberLife, Observation, Protection, ScaleSetSnapshot};

type Zone = Option<String>;

/// The new places of a set whose members are all without hardware and unevenly spread; nothing otherwise.
pub(crate) fn decide(snapshot: &ScaleSetSnapshot, fault_domain_count: i32) -> Vec<Action> {
    let members = &snapshot.members;
    let uniform = snapshot.set.mode == OrchestrationMode::Uniform;
    if !uniform || members.is_empty() || !members.iter().all(is_down) {
        return Vec::new();
    }
    let Some(skew) = skew(members, fault_domain_count) else { return Vec::new() };
    let stays = |member: &&Member| member.protection == Protection::FromSetActions;
    let mut room = Room::new(fault_domain_count);
    members.iter().filter(stays).for_each(|member| room.add(member));
    let mut free: Vec<&Member> = members.iter().filter(|member| !stays(member)).collect();
    free.sort_by_key(|member| (member.number, &member.name));
    free.into_iter().filter_map(|member| room.seat(member, &skew)).collect()
}

/// Whether nobody wants it up, and it is known to be without hardware.
fn is_down(member: &Member) -> bool {
    let report = &member.report;
    member.life == MemberLife::Live
        && member.power_wish == PowerWish::Deallocated
        && report.power == PowerState::Deallocated
        && report.provisioning == ProvisioningState::Succeeded
        && report.observation == Observation::Current
        && report.evicted == Evicted::No
}

/// What is uneven, in words: fault domains or update domains of a placement group that are more than one member apart, or more
/// placement groups than needed.
fn skew(members: &[Member], fault_domain_count: i32) -> Option<String> {
    let mut domains: BTreeMap<(&Zone, &Option<String>), BTreeMap<i32, usize>> = BTreeMap::new();
    let mut groups: BTreeMap<&Zone, BTreeMap<&str, BTreeMap<i32, usize>>> = BTreeMap::new();
    for member in members {
        if let Some(domain) = member.fault_domain {
            *domains.entry((&member.zone, &member.placement_group)).or_default().entry(domain).or_default() += 1;
        }
        if let (Some(group), Some(domain)) = (&member.placement_group, member.update_domain) {
            *groups.entry(&member.zone).or_default().entry(group).or_default().entry(domain).or_default() += 1;
        }
    }
    let uneven = |counts: &BTreeMap<i32, usize>, count: i32| {
        let all: Vec<usize> = (0..count).map(|domain| counts.get(&domain).copied().unwrap_or(0)).collect();
        let (most, fewest) = (all.iter().max()?, all.iter().min()?);
        let listed = || all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        (most - fewest > 1).then(listed)
    };
    let of_domains = domains.values().find_map(|counts| uneven(counts, fault_domain_count));
    if let Some(counts) = of_domains {
        return Some(format!("the whole set is deallocated, its fault domains had {counts}"));
    }
    let of_groups = groups.values().find_map(|groups| {
        let members: usize = groups.values().flat_map(BTreeMap::values).sum();
        let needed = members.div_ceil(PLACEMENT_GROUP_MAX);
        (groups.len() > needed).then(|| format!("it had {} placement groups, {needed} are enough", groups.len()))
    });
    let of_updates = || groups.values().flat_map(BTreeMap::values).find_map(|it| uneven(it, UPDATE_DOMAIN_COUNT));
    let said = of_groups.or_else(|| Some(format!("its update domains had {}", of_updates()?)))?;
    Some(format!("the whole set is deallocated, {said}"))
}

/// The places that are taken so far.
struct Room {
    fault_domain_count: i32,
    domains: BTreeMap<(Zone, Option<String>, i32), usize>,
    groups: Groups,
}

impl Room {
    fn new(fault_domain_count: i32) -> Self {
        Self { fault_domain_count, domains: BTreeMap::new(), groups: Groups::default() }
    }

    fn add(&mut self, member: &Member) {
        if let Some(domain) = member.fault_domain {
            let seat = (member.zone.clone(), member.placement_group.clone(), domain);
            *self.domains.entry(seat).or_default() += 1;
        }
        self.groups.add(member);
    }

    /// The first placement group of its zone with room, and in it the emptiest fault domain; nothing where it has just that.
    fn seat(&mut self, member: &Member, skew: &str) -> Option<Action> {
        let (placement_group, update_domain) = self.groups.join(member.zone.as_ref());
        let seat = |domain: i32| (member.zone.clone(), placement_group.clone(), domain);
        let taken = |domain: i32| self.domains.get(&seat(domain)).copied().unwrap_or(0);
        let fault_domain = if self.fault_domain_count == 1 {
            None
        } else {
            (0..self.fault_domain_count).min_by_key(|domain| (taken(*domain), *domain))
        };
        if let Some(domain) = fault_domain {
            *self.domains.entry(seat(domain)).or_default() += 1;
        }
        let had = (member.fault_domain, &member.placement_group, member.update_domain);
        (had != (fault_domain, &placement_group, update_domain)).then(|| {
            Action::SeatMember(Seating {
                kind: member.kind,
                name: member.name.clone(),
                uid: member.uid.clone(),
                resource_version: member.resource_version.clone(),
                fault_domain,
                placement_group,
                update_domain,
                reason: skew.to_owned(),
            })
        })
    }
}
