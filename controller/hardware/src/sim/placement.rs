//! Which host a machine goes to: zones → fault domains → hosts.
//!
//! A named zone and a named fault domain are kept to. Without a fault domain the machines of one set are spread over
//! as many domains as there are (Azure: fault domains, max spreading); without a zone every host of the region will
//! do. Inside the chosen domain hosts are packed: the fullest host with enough room is taken, so that large machines
//! still find a host. Hosts that are down, and hosts of other families, are left out.

mod slots;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::{HardwareError, code};
use crate::headroom;
use crate::machine::Placement;
use crate::sim::promise::Promises;
use crate::sim::quota::Claim;
use crate::sim::region::{HostGroup, RegionDefinition};

pub(crate) use slots::SlotNeed;

/// A zone (none in a region without) and a fault domain in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Domain {
    pub(crate) zone: Option<String>,
    pub(crate) fault_domain: i32,
}

/// One host.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) domain: Domain,
    pub(crate) families: Vec<String>,
    pub(crate) vcpus: i32,
    pub(crate) memory_mib: i64,
    pub(crate) free_vcpus: i32,
    pub(crate) free_memory_mib: i64,
    /// vCPUs that are set aside for reservations and not used: they are not free.
    pub(crate) set_aside_vcpus: i32,
    pub(crate) machines: u32,
    pub(crate) condition: HostCondition,
}

/// Whether a host works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) enum HostCondition {
    Up,
    Down,
}

/// The hosts of one region, with the room that is left on them.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    location: String,
    by_name: BTreeMap<String, Host>,
    /// Families that have hosts of their own.
    dedicated: BTreeSet<String>,
    /// vCPUs that are free in each domain.
    free: BTreeMap<Domain, i32>,
    /// Machines by set and domain: what spreading looks at.
    spread: BTreeMap<String, BTreeMap<Domain, u32>>,
    /// Room that is kept for machines that wait for it.
    pub(crate) promises: Promises,
}

/// What a machine needs of a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need<'a> {
    /// Uid of the machine.
    pub(crate) asks: &'a str,
    /// Name of its size, for messages.
    pub(crate) size: &'a str,
    pub(crate) claim: &'a Claim,
    pub(crate) placement: &'a Placement,
    pub(crate) set_uid: Option<&'a str>,
    /// The host that it is on now and the claim that it would give back there.
    pub(crate) current: Option<(&'a str, &'a Claim)>,
}

/// Room on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Room {
    pub(crate) vcpus: i32,
    pub(crate) memory_mib: i64,
}

impl Room {
    /// What is left of it without `others`.
    pub(crate) fn less(self, others: impl Iterator<Item = Self>) -> Self {
        others.fold(self, |left, other| Self {
            vcpus: left.vcpus - other.vcpus,
            memory_mib: left.memory_mib - other.memory_mib,
        })
    }

    const fn of(claim: &Claim) -> Self {
        Self { vcpus: claim.vcpus, memory_mib: claim.memory_mib }
    }

    /// How many machines of this claim it takes.
    fn fits(self, claim: &Claim) -> i64 {
        let by_vcpus = i64::from(self.vcpus / claim.vcpus.max(1));
        by_vcpus.min(self.memory_mib / claim.memory_mib.max(1)).max(0)
    }

    /// Whether it is none at all.
    pub(crate) const fn is_nothing(self) -> bool {
        self.vcpus <= 0 && self.memory_mib <= 0
    }
}

impl Hosts {
    pub(crate) fn new(region: &RegionDefinition) -> Self {
        let zones: Vec<Option<String>> =
            if region.zones.is_empty() { vec![None] } else { region.zones.iter().cloned().map(Some).collect() };
        let mut hosts: BTreeMap<String, Host> = BTreeMap::new();
        for zone in zones {
            for fault_domain in 0..region.fault_domain_count {
                let domain = Domain { zone: zone.clone(), fault_domain };
                for group in &region.hosts {
                    let named = |number| (host_name(&region.name, &domain, group, number), Host::new(&domain, group));
                    hosts.extend((0..group.count).map(named));
                }
            }
        }
        let dedicated = region.hosts.iter().flat_map(|group| group.families.iter().cloned()).collect();
        let mut free = BTreeMap::new();
        for host in hosts.values() {
            *free.entry(host.domain.clone()).or_default() += host.free_vcpus;
        }
        Self {
            location: region.name.clone(),
            by_name: hosts,
            dedicated,
            free,
            spread: BTreeMap::new(),
            promises: Promises::default(),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Host> {
        self.by_name.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Host)> {
        self.by_name.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&String, &mut Host)> {
        self.by_name.iter_mut()
    }

    /// The host that a machine with this need goes to.
    pub(crate) fn choose(&self, need: &Need<'_>) -> Result<String, HardwareError> {
        let suited: Vec<(&String, &Host)> = self.by_name.iter().filter(|(_, host)| self.suits(host, need)).collect();
        let stays = suited.iter().find(|(name, _)| {
            self.has_room_after(name, need) && need.current.is_some_and(|(current, _)| current == name.as_str())
        });
        if let Some((name, _)) = stays {
            return Ok((*name).clone());
        }
        let spread = need.set_uid.and_then(|uid| self.spread.get(uid));
        suited
            .iter()
            .filter(|(name, _)| self.has_room_after(name, need))
            .min_by_key(|(name, host)| {
                let of_set = spread.and_then(|domains| domains.get(&host.domain)).copied().unwrap_or(0);
                (of_set, Reverse(self.free.get(&host.domain)), &host.domain, host.free_vcpus, *name)
            })
            .map(|(name, _)| (*name).clone())
            .ok_or_else(|| self.refusal(need, &suited))
    }

    /// The host that a machine keeps when its size changes: its own, since it does not leave it while it is allocated
    /// (Azure: resize a virtual machine).
    pub(crate) fn resize(&self, need: &Need<'_>) -> Result<String, HardwareError> {
        let chosen = self.choose(need)?;
        let Some((current, _)) = need.current.filter(|(current, _)| *current != chosen) else {
            return Ok(chosen);
        };
        let free = self.get(current).map_or(0, |host| host.free_vcpus);
        Err(HardwareError::NoCapacity {
            code: code::of_allocation(need.placement.zone.as_deref()),
            message: format!(
                "host {current} has {free} vcpus free beside the machine and cannot hold {}; deallocate the machine first, another host has room",
                need.size
            ),
        })
    }

    /// Whether an allocated machine finds no room for this need on its own host and finds it on another.
    pub(crate) fn must_leave(&self, need: &Need<'_>) -> bool {
        let Some((current, _)) = need.current else { return false };
        !self.has_room_after(current, need) && self.by_name.keys().any(|name| self.has_room_after(name, need))
    }

    /// Another host than `current` for a machine that is moved.
    pub(crate) fn choose_other(&self, need: &Need<'_>, current: &str) -> Result<String, HardwareError> {
        let mut others = self.clone();
        others.by_name.remove(current);
        others.choose(&Need { current: None, ..*need })
    }

    /// Takes room on a host, whether it is up or not. False when there is no such host or not enough room.
    pub(crate) fn take(&mut self, name: &str, claim: &Claim, set_uid: Option<&str>) -> bool {
        let Some(host) = self.by_name.get_mut(name).filter(|host| host.has_room(claim)) else {
            return false;
        };
        host.free_vcpus -= claim.vcpus;
        host.free_memory_mib -= claim.memory_mib;
        host.machines += 1;
        *self.free.entry(host.domain.clone()).or_default() -= claim.vcpus;
        let domain = host.domain.clone();
        self.spread_in(&domain, set_uid);
        true
    }

    /// Gives room on a host back.
    pub(crate) fn give_back(&mut self, name: &str, claim: &Claim, set_uid: Option<&str>) {
        let Some(host) = self.by_name.get_mut(name) else {
            return;
        };
        host.free_vcpus += claim.vcpus;
        host.free_memory_mib += claim.memory_mib;
        host.machines -= 1;
        *self.free.entry(host.domain.clone()).or_default() += claim.vcpus;
        let domain = host.domain.clone();
        self.spread_out(&domain, set_uid);
    }

    /// A machine on a host goes over from one set to another, or to none.
    pub(crate) fn regroup(&mut self, name: &str, from: Option<&str>, to: Option<&str>) {
        let Some(domain) = self.domain_of(name) else { return };
        self.spread_out(&domain, from);
        self.spread_in(&domain, to);
    }

    fn spread_in(&mut self, domain: &Domain, set_uid: Option<&str>) {
        if let Some(uid) = set_uid {
            *self.spread.entry(uid.to_owned()).or_default().entry(domain.clone()).or_default() += 1;
        }
    }

    fn spread_out(&mut self, domain: &Domain, set_uid: Option<&str>) {
        let Some((uid, domains)) = set_uid.and_then(|uid| Some((uid, self.spread.get_mut(uid)?))) else {
            return;
        };
        if let Some(machines) = domains.get_mut(domain) {
            *machines -= 1;
            if *machines == 0 {
                domains.remove(domain);
            }
        }
        if domains.is_empty() {
            self.spread.remove(uid);
        }
    }

    /// Fault domains in each zone, or in the region without zones.
    pub(crate) fn fault_domain_count(&self) -> i32 {
        self.by_name.values().map(|host| host.domain.fault_domain + 1).max().unwrap_or(0)
    }

    /// How many more machines of this claim each domain can take, fullest packing.
    pub(crate) fn room(&self, claim: &Claim) -> Vec<headroom::Room> {
        let mut rooms: BTreeMap<Domain, i64> = BTreeMap::new();
        for (name, host) in &self.by_name {
            let fits = self.free_for(name, host, "").fits(claim);
            let machines = if self.works_for(host, &claim.family) { fits } else { 0 };
            *rooms.entry(host.domain.clone()).or_default() += machines;
        }
        let room = |(Domain { zone, fault_domain }, machines)| headroom::Room { zone, fault_domain, machines };
        rooms.into_iter().map(room).collect()
    }

    /// What a host lacks for a machine with this need once that has given back what it holds there; `None` where the host
    /// does not suit it.
    pub(crate) fn short(&self, name: &str, need: &Need<'_>) -> Option<Room> {
        let host = self.by_name.get(name).filter(|host| self.suits(host, need))?;
        let free = self.free_for(name, host, need.asks);
        let held = match need.current {
            Some((current, claim)) if current == name => Room::of(claim),
            Some(_) | None => Room { vcpus: 0, memory_mib: 0 },
        };
        Some(Room::of(need.claim).less([free, held].into_iter()))
    }

    /// Whether a host that suits has room once the machine has given back what it holds there.
    fn has_room_after(&self, name: &str, need: &Need<'_>) -> bool {
        self.short(name, need).is_some_and(Room::is_nothing)
    }

    /// What is free for a machine: not what others were promised.
    fn free_for(&self, name: &str, host: &Host, asks: &str) -> Room {
        let free = Room { vcpus: host.free_vcpus, memory_mib: host.free_memory_mib };
        let (vcpus, memory_mib) = self.promises.to_others(name, asks);
        free.less(std::iter::once(Room { vcpus, memory_mib }))
    }

    fn works_for(&self, host: &Host, family: &String) -> bool {
        let dedicated = self.dedicated.contains(family);
        host.condition == HostCondition::Up
            && if dedicated { host.families.contains(family) } else { host.families.is_empty() }
    }

    fn suits(&self, host: &Host, need: &Need<'_>) -> bool {
        let Placement { location: _, zone, platform_fault_domain, update_domain: _, placement_group: _ } =
            need.placement;
        self.works_for(host, &need.claim.family)
            && zone.as_ref().is_none_or(|zone| host.domain.zone.as_ref() == Some(zone))
            && platform_fault_domain.is_none_or(|domain| host.domain.fault_domain == domain)
    }

    fn refusal(&self, need: &Need<'_>, suited: &[(&String, &Host)]) -> HardwareError {
        let Claim { family, vcpus, memory_mib, priority: _ } = need.claim;
        let place = self.describe(need.placement);
        let large_enough = |host: &Host| host.vcpus >= *vcpus && host.memory_mib >= *memory_mib;
        if !suited.is_empty() && !suited.iter().any(|(_, host)| large_enough(host)) {
            let largest = suited.iter().map(|(_, host)| host.vcpus).max().unwrap_or(0);
            return HardwareError::NoCapacity {
                code: code::of_constraints(need.placement.zone.as_deref()),
                message: format!(
                    "{} needs {vcpus} vcpus and {memory_mib} mib on one host, no host in {place} is as large: the largest has {largest} vcpus",
                    need.size
                ),
            };
        }
        let free_vcpus = |(name, host): &(&String, &Host)| self.free_for(name, host, need.asks).vcpus.max(0);
        let free: i32 = suited.iter().map(free_vcpus).sum();
        let most = suited.iter().map(free_vcpus).max().unwrap_or(0);
        HardwareError::NoCapacity {
            code: code::of_allocation(need.placement.zone.as_deref()),
            message: format!(
                "{} needs {vcpus} vcpus and {memory_mib} mib on one host, {place} has {} hosts up for {family} with {free} vcpus free, at most {most} on one",
                need.size,
                suited.len()
            ),
        }
    }

    fn describe(&self, placement: &Placement) -> String {
        let zone = placement.zone.as_ref().map(|zone| format!(" zone {zone}")).unwrap_or_default();
        let domain =
            placement.platform_fault_domain.map(|domain| format!(" fault domain {domain}")).unwrap_or_default();
        format!("{}{zone}{domain}", self.location)
    }
}

impl Host {
    fn new(domain: &Domain, group: &HostGroup) -> Self {
        let HostGroup { name: _, count: _, vcpus, memory_mib, families } = group;
        Self {
            domain: domain.clone(),
            families: families.clone(),
            vcpus: *vcpus,
            memory_mib: *memory_mib,
            free_vcpus: *vcpus,
            free_memory_mib: *memory_mib,
            set_aside_vcpus: 0,
            machines: 0,
            condition: HostCondition::Up,
        }
    }

    fn has_room(&self, claim: &Claim) -> bool {
        self.free_vcpus >= claim.vcpus && self.free_memory_mib >= claim.memory_mib
    }
}

fn host_name(location: &str, domain: &Domain, group: &HostGroup, number: u32) -> String {
    let zone = domain.zone.as_ref().map(|zone| format!("-z{zone}")).unwrap_or_default();
    format!("{location}{zone}-fd{}-{}-{number:02}", domain.fault_domain, group.name)
}
