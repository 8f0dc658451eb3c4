//! Room for regular machines: where no host has any, Spot machines of one host go.
//!
//! The call that finds no room is refused as ever, and says how many Spot machines are leaving for it; the same call finds
//! the room once they have gone. Meanwhile the room is promised to it: nobody else takes it, and asking again evicts nobody.
//!
//! Source: Azure's "Azure Spot Virtual Machines for Virtual Machine Scale Sets": Spot machines are evicted whenever the
//! capacity is needed. Which of them go is ours: the fewest that do, and of those the smallest, on the host where that
//! costs least.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use scaleset_crds::spot::{EvictionReason, Priority};
use scaleset_crds::vocabulary::PowerWish;

use super::spot::can_be_evicted;
use super::{World, claim_of, priority_of};
use crate::error::HardwareError;
use crate::machine::{Change, Owner, Placement};
use crate::sim::placement::{Domain, Need, Room};
use crate::sim::promise::{HELD_FOR, Promise};
use crate::sim::quota::Claim;
use crate::sim::store::Write;
use crate::sim::vm::{OperationKind, Record};

/// A machine that found no room.
pub(super) struct Asked {
    pub(super) uid: String,
    pub(super) owner: Owner,
    pub(super) size: String,
    pub(super) claim: Claim,
    pub(super) placement: Placement,
    /// The host that it is on and what it would give back there.
    pub(super) current: Option<(String, Claim)>,
}

/// What it takes to make room on one host; the least is the best.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Relief {
    /// A machine that has hardware keeps its host if it can.
    elsewhere: bool,
    machines: usize,
    vcpus: i32,
    domain: Domain,
    host: String,
    victims: Vec<String>,
}

/// A Spot machine on a host.
#[derive(Clone, Debug)]
struct Guest {
    uid: String,
    room: Room,
    created_at: Timestamp,
}

/// The Spot machines of a host: those that leave it already, and those that can be made to.
#[derive(Clone, Debug, Default)]
struct Guests {
    leaving: Vec<Guest>,
    staying: Vec<Guest>,
}

impl Asked {
    fn need(&self) -> Need<'_> {
        let Self { uid, owner, size, claim, placement, current } = self;
        Need {
            asks: uid,
            size,
            claim,
            placement,
            set_uid: owner.set_uid.as_deref(),
            current: current.as_ref().map(|(host, held)| (host.as_str(), held)),
        }
    }
}

impl World {
    /// What a machine that there is asks for, if it is to have that size.
    pub(super) fn asked_by(&self, uid: &str, size: &str) -> Option<Asked> {
        let record = self.machines.get(uid)?;
        let model = self.models.get(record.model);
        let priority = priority_of(model);
        let held = claim_of(self.sizes.get(&model.vm_size)?, priority);
        Some(Asked {
            uid: uid.to_owned(),
            owner: record.owner.clone(),
            size: size.to_owned(),
            claim: claim_of(self.sizes.get(size)?, priority),
            placement: record.placement.clone(),
            current: record.host.clone().map(|host| (host, self.given_back(record, held))),
        })
    }

    /// Sees to it that the same call finds room later, where Spot machines can make some; the refusal then says so.
    pub(super) fn short_of_room(
        &mut self,
        refusal: HardwareError,
        asked: Option<Asked>,
        now: Timestamp,
    ) -> HardwareError {
        let HardwareError::NoCapacity { code: code @ ("AllocationFailed" | "ZonalAllocationFailed"), message } =
            refusal
        else {
            return refusal;
        };
        let leaving = asked.filter(|asked| asked.claim.priority == Priority::Regular).and_then(|asked| {
            let (host, leaving) = self.relieve(&asked, now)?;
            Some(format!("; {} on {host} to make room", being_evicted(leaving)))
        });
        HardwareError::NoCapacity { code, message: message + &leaving.unwrap_or_default() }
    }

    /// The host on which room is being made, and how many Spot machines leave it.
    fn relieve(&mut self, asked: &Asked, now: Timestamp) -> Option<(String, usize)> {
        let region = self.regions.get(&asked.placement.location)?;
        let need = asked.need();
        if region.hosts.choose(&need).is_ok() {
            return None;
        }
        let guests = self.guests(&asked.placement.location, now);
        let none = Guests::default();
        let relief = |name: &String| {
            let Guests { leaving, staying } = guests.get(name).unwrap_or(&none);
            let short = region.hosts.short(name, &need)?.less(leaving.iter().map(|guest| guest.room));
            let victims = fewest(short, staying)?;
            Some(Relief {
                elsewhere: asked.current.as_ref().is_some_and(|(current, _)| current != name),
                machines: victims.len(),
                vcpus: victims.iter().map(|guest| guest.room.vcpus).sum(),
                domain: region.hosts.get(name)?.domain.clone(),
                host: name.clone(),
                victims: victims.into_iter().map(|guest| guest.uid).collect(),
            })
        };
        // What it was promised before holds, as long as that is enough.
        let promised = region.hosts.promises.to(&asked.uid).filter(|promise| promise.is_for(&asked.claim));
        let kept = promised.and_then(|promise| relief(&promise.host)).filter(|relief| relief.victims.is_empty());
        let Relief { host, victims, .. } =
            kept.or_else(|| region.hosts.iter().filter_map(|(name, _)| relief(name)).min())?;
        let leaving = victims.len() + guests.get(&host).map_or(0, |guests| guests.leaving.len());
        for uid in &victims {
            self.preempt(uid, EvictionReason::Capacity, now);
        }
        self.promise(asked, &host, now);
        Some((host, leaving))
    }

    /// The Spot machines of a location by host.
    fn guests(&self, location: &str, now: Timestamp) -> BTreeMap<String, Guests> {
        let mut by_host: BTreeMap<String, Guests> = BTreeMap::new();
        for record in self.records().filter(|record| record.placement.location == location) {
            let model = self.models.get(record.model);
            let size = model.spot.as_ref().and_then(|_| self.sizes.get(&model.vm_size));
            let Some((host, size)) = record.host.as_ref().zip(size) else { continue };
            let room = Room { vcpus: size.vcpus, memory_mib: size.memory_mib };
            let guest = Guest { uid: record.uid.clone(), room, created_at: record.created_at };
            let guests = by_host.entry(host.clone()).or_default();
            if is_leaving(record) {
                guests.leaving.push(guest);
            } else if can_be_evicted(record, now) {
                guests.staying.push(guest);
            }
        }
        by_host
    }

    fn promise(&mut self, asked: &Asked, host: &str, now: Timestamp) {
        let Asked { uid, owner, claim, placement, size: _, current: _ } = asked;
        let Some(region) = self.regions.get_mut(&placement.location) else { return };
        let before = region.hosts.promises.to(uid).filter(|promise| promise.host == host && promise.is_for(claim));
        let promise = Promise {
            number: before.map_or(self.sequence, |promise| promise.number),
            host: host.to_owned(),
            vcpus: claim.vcpus,
            memory_mib: claim.memory_mib,
            owner: owner.clone(),
            until: now + HELD_FOR,
        };
        region.hosts.promises.give(uid, promise);
        self.save_promises();
    }

    /// A machine has its place, or is gone: nothing is kept for it any more.
    pub(super) fn end_promise(&mut self, uid: &str) {
        let mut ended = self.regions.values_mut().map(|region| region.hosts.promises.take_back(uid));
        if ended.any(|promise| promise.is_some()) {
            self.save_promises();
        }
    }

    fn save_promises(&mut self) {
        let all: BTreeMap<&String, &Promise> =
            self.regions.values().flat_map(|region| region.hosts.promises.iter()).collect();
        self.writes.push(Write::state("promises", &all));
    }

    /// What was promised before a restart; what is on no host of the region file any more is forgotten.
    pub(super) fn renew_promises(&mut self, promises: BTreeMap<String, Promise>) {
        for (uid, promise) in promises {
            let region = self.regions.values_mut().find(|region| region.hosts.get(&promise.host).is_some());
            if let Some(region) = region {
                region.hosts.promises.give(&uid, promise);
            }
        }
    }

    /// What is free on the hosts of a location that somebody waits for.
    pub(super) fn awaited_room(&self, location: &str) -> BTreeMap<String, Room> {
        let Some(region) = self.regions.get(location) else { return BTreeMap::new() };
        let room = |(_, promise): (&String, &Promise)| {
            let host = region.hosts.get(&promise.host)?;
            Some((promise.host.clone(), Room { vcpus: host.free_vcpus, memory_mib: host.free_memory_mib }))
        };
        region.hosts.promises.iter().filter_map(room).collect()
    }

    /// Whoever waits for room on hosts where more is free than `before` is told so.
    pub(super) fn announce_more_than(&mut self, before: &BTreeMap<String, Room>, location: &str) {
        for (host, now) in self.awaited_room(location) {
            let more = |before: &Room| now.vcpus > before.vcpus || now.memory_mib > before.memory_mib;
            if before.get(&host).is_some_and(more) {
                self.announce_room(location, &host);
            }
        }
    }

    /// Whoever waits for room on a host is told that some has come.
    pub(super) fn announce_room(&mut self, location: &str, host: &str) {
        let Some(region) = self.regions.get(location) else { return };
        let waiting = region.hosts.promises.iter().filter(|(_, promise)| promise.host == host);
        let told = waiting.map(|(uid, promise)| Change::Machine { uid: uid.clone(), owner: promise.owner.clone() });
        self.announcements.extend(told);
    }
}

/// Whether a Spot machine gives its room back before long.
fn is_leaving(record: &Record) -> bool {
    let given_up = match record.operation.mark.kind {
        OperationKind::Delete | OperationKind::Power(PowerWish::Deallocated) => true,
        OperationKind::Create
        | OperationKind::Update(_)
        | OperationKind::Power(PowerWish::Running | PowerWish::Stopped)
        | OperationKind::Reimage
        | OperationKind::Restart
        | OperationKind::Redeploy
        | OperationKind::Freeze => false,
    };
    record.preemption.is_some() || given_up
}

/// The fewest guests whose room covers `short`, and of those small ones; `None` where all together do not.
fn fewest(short: Room, guests: &[Guest]) -> Option<Vec<Guest>> {
    let mut largest_first = guests.to_vec();
    largest_first.sort_by(|one, two| {
        let key = |guest: &Guest| (Reverse(guest.room), guest.created_at, guest.uid.clone());
        key(one).cmp(&key(two))
    });
    let covers = |chosen: &[Guest]| short.less(chosen.iter().map(|guest| guest.room)).is_nothing();
    let enough = (0..=largest_first.len()).find(|count| covers(&largest_first[..*count]))?;
    let mut spared = largest_first.split_off(enough);
    let mut chosen = largest_first;
    for index in (0..chosen.len()).rev() {
        // The smallest that does in its place, the oldest of equals.
        let does = |other: &usize| {
            let mut swapped = chosen.clone();
            swapped[index] = spared[*other].clone();
            spared[*other].room < chosen[index].room && covers(&swapped)
        };
        let key = |other: &usize| (spared[*other].room, spared[*other].created_at, spared[*other].uid.clone());
        if let Some(other) = (0..spared.len()).filter(does).min_by_key(key) {
            std::mem::swap(&mut chosen[index], &mut spared[other]);
        }
    }
    Some(chosen)
}

fn being_evicted(count: usize) -> String {
    match count {
        1 => "1 Spot VM is being evicted".to_owned(),
        more => format!("{more} Spot VMs are being evicted"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guests(vcpus: &[i32]) -> Vec<Guest> {
        let guest = |(number, vcpus): (usize, &i32)| Guest {
            uid: format!("{number}"),
            room: Room { vcpus: *vcpus, memory_mib: 1_024 },
            created_at: Timestamp::UNIX_EPOCH,
        };
        vcpus.iter().enumerate().map(guest).collect()
    }

    /// vCPUs that are missing, those of the Spot machines that there are, and of those that go.
    type Case = (i32, &'static [i32], Option<&'static [i32]>);

    #[test]
    fn the_fewest_go_and_of_those_the_smallest() {
        let table: [Case; 8] = [
            (0, &[1, 2], Some(&[])),
            (1, &[4, 1, 2], Some(&[1])),
            (2, &[4, 1, 2], Some(&[2])),
            (3, &[4, 1, 2], Some(&[4])),
            (4, &[1, 1, 2, 3], Some(&[1, 3])),
            (5, &[1, 4, 2, 4], Some(&[4, 1])),
            (7, &[1, 2, 4], Some(&[1, 2, 4])),
            (8, &[1, 2, 4], None),
        ];
        for (missing, there, expected) in table {
            let chosen = fewest(Room { vcpus: missing, memory_mib: 0 }, &guests(there));
            let sorted = |mut vcpus: Vec<i32>| {
                vcpus.sort_unstable();
                vcpus
            };
            let chosen = chosen.map(|chosen| sorted(chosen.iter().map(|guest| guest.room.vcpus).collect()));
            assert_eq!(chosen, expected.map(|vcpus| sorted(vcpus.to_vec())), "{missing} of {there:?}");
        }
        let memory = fewest(Room { vcpus: 1, memory_mib: 2_048 }, &guests(&[1, 1, 1]));
        assert_eq!(memory.map(|chosen| chosen.len()), Some(2), "memory counts too");
    }
}
