//! Room that is set aside for reservations: where new slots go, and which of the free ones a machine takes.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Domain, Host, HostCondition, Hosts, Need, Room};
use crate::error::{HardwareError, code};
use crate::sim::quota::Claim;

/// Slots that are wanted: so many, each of one claim, in one place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotNeed<'a> {
    /// Name of the size, for messages.
    pub(crate) size: &'a str,
    pub(crate) claim: &'a Claim,
    /// Zone; none where any will do.
    pub(crate) zone: Option<&'a str>,
    /// Slots are spread over so many fault domains; over all hosts where it is 1.
    pub(crate) fault_domain_count: i32,
    pub(crate) count: usize,
}

impl Hosts {
    /// Sets room on a host aside. False when there is no such host or not enough room.
    pub(crate) fn set_aside(&mut self, name: &str, claim: &Claim) -> bool {
        let Some(host) = self.by_name.get_mut(name).filter(|host| host.has_room(claim)) else {
            return false;
        };
        host.free_vcpus -= claim.vcpus;
        host.free_memory_mib -= claim.memory_mib;
        host.set_aside_vcpus += claim.vcpus;
        *self.free.entry(host.domain.clone()).or_default() -= claim.vcpus;
        true
    }

    /// Makes room that was set aside general again.
    pub(crate) fn put_back(&mut self, name: &str, claim: &Claim) {
        let Some(host) = self.by_name.get_mut(name) else {
            return;
        };
        host.free_vcpus += claim.vcpus;
        host.free_memory_mib += claim.memory_mib;
        host.set_aside_vcpus -= claim.vcpus;
        *self.free.entry(host.domain.clone()).or_default() += claim.vcpus;
    }

    /// Hosts for new slots, one for each: spread over fault domains, those counted that there are already in `held`; packed
    /// inside a domain. All of them or none.
    pub(crate) fn spread(
        &self,
        need: &SlotNeed<'_>,
        mut held: BTreeMap<Domain, u32>,
    ) -> Result<Vec<String>, HardwareError> {
        let SlotNeed { size: _, claim, zone: _, fault_domain_count: _, count } = need;
        let mut suited: BTreeMap<&String, Host> = self.suited(need);
        let mut free: BTreeMap<Domain, i32> = BTreeMap::new();
        for host in suited.values() {
            *free.entry(host.domain.clone()).or_default() += host.free_vcpus;
        }
        let mut chosen = Vec::with_capacity((*count).min(suited.len()));
        while chosen.len() < *count {
            let best = suited.iter_mut().filter(|(_, host)| host.has_room(claim)).min_by_key(|(name, host)| {
                let slots = held.get(&host.domain).copied().unwrap_or(0);
                (slots, Reverse(free.get(&host.domain).copied()), host.domain.clone(), host.free_vcpus, **name)
            });
            let Some((name, host)) = best else {
                return Err(self.no_room_for(need, chosen.len()));
            };
            host.free_vcpus -= claim.vcpus;
            host.free_memory_mib -= claim.memory_mib;
            *held.entry(host.domain.clone()).or_default() += 1;
            *free.entry(host.domain.clone()).or_default() -= claim.vcpus;
            chosen.push((*name).clone());
        }
        Ok(chosen)
    }

    /// The free slot that a machine takes: one on a host where the machine may be, in the domain with fewest machines of
    /// its set.
    pub(crate) fn choose_slot(
        &self,
        need: &Need<'_>,
        free: &BTreeMap<String, u32>,
        avoided: Option<&str>,
    ) -> Option<String> {
        let spread = need.set_uid.and_then(|uid| self.spread.get(uid));
        let hosts = free.keys().filter(|name| Some(name.as_str()) != avoided);
        let hosts = hosts.filter_map(|name| Some((name, self.get(name)?)));
        hosts
            .filter(|(_, host)| self.suits(host, need))
            .min_by_key(|(name, host)| {
                let of_set = spread.and_then(|domains| domains.get(&host.domain)).copied().unwrap_or(0);
                (of_set, &host.domain, *name)
            })
            .map(|(name, _)| name.clone())
    }

    /// The free slot that goes when a machine that is on `near` has one of its own: one there, else one that nobody can
    /// use since its host is down, else one of the same domain, else one of the domain with most of them.
    pub(crate) fn slot_to_drop(&self, free: &BTreeMap<String, u32>, near: Option<&str>) -> Option<String> {
        let mut by_domain: BTreeMap<&Domain, u32> = BTreeMap::new();
        let known = || free.iter().filter_map(|(name, slots)| Some((name, *slots, self.get(name)?)));
        known().for_each(|(_, slots, host)| *by_domain.entry(&host.domain).or_default() += slots);
        let domain = near.and_then(|name| self.get(name)).map(|host| &host.domain);
        known()
            .min_by_key(|(name, _, host)| {
                let here = Some(name.as_str()) == near;
                let down = host.condition == HostCondition::Down;
                let slots = by_domain.get(&host.domain).copied();
                (!here, !down, Some(&host.domain) != domain, Reverse(slots), Reverse(&host.domain), Reverse(*name))
            })
            .map(|(name, _, _)| name.clone())
    }

    /// The domain of a host.
    pub(crate) fn domain_of(&self, name: &str) -> Option<Domain> {
        self.get(name).map(|host| host.domain.clone())
    }

    /// The hosts that new slots can be on, with the room that nobody was promised.
    fn suited(&self, need: &SlotNeed<'_>) -> BTreeMap<&String, Host> {
        let SlotNeed { size: _, claim, zone, fault_domain_count, count: _ } = need;
        let suits = |host: &Host| {
            self.works_for(host, &claim.family)
                && zone.is_none_or(|zone| host.domain.zone.as_deref() == Some(zone))
                && (*fault_domain_count == 1 || host.domain.fault_domain < *fault_domain_count)
        };
        let suited = self.by_name.iter().filter(|(_, host)| suits(host));
        let beside_promises = suited.map(|(name, host)| {
            let Room { vcpus, memory_mib } = self.free_for(name, host, "");
            (name, Host { free_vcpus: vcpus, free_memory_mib: memory_mib, ..host.clone() })
        });
        beside_promises.collect()
    }

    fn no_room_for(&self, need: &SlotNeed<'_>, fit: usize) -> HardwareError {
        let SlotNeed { size, claim: Claim { family, vcpus, memory_mib, priority: _ }, zone, count, .. } = need;
        let hosts = self.suited(need).len();
        let place = zone.map(|zone| format!("{} zone {zone}", self.location));
        let place = place.unwrap_or_else(|| self.location.clone());
        HardwareError::NoCapacity {
            code: code::of_allocation(*zone),
            message: format!(
                "{count} more {size} are to be reserved, {vcpus} vcpus and {memory_mib} mib each; {place} has {hosts} hosts up for {family} with room for {fit}"
            ),
        }
    }
}
