//! One reservation: its slots, the machines that are associated with it, and how slots change hands.
//!
//! A slot is room for one machine on one host. A free one is set aside there; one that is used is the room of the machine
//! that holds it. While a slot is free nobody is overallocated: it would have been handed over.
//!
//! Source: Azure's "On-demand capacity reservation" and "Overallocate capacity reservation". Who gets a slot that becomes
//! free is ours: the oldest allocation, then the smallest uid; who loses one is the last in that order.

use std::collections::BTreeMap;

use jiff::Timestamp;
use scaleset_crds::reservation::{CapacityReservationGroupReference, ReservationState};
use serde::{Deserialize, Serialize};

use crate::sim::placement::{Domain, Hosts};
use crate::sim::quota::Claim;
use crate::sim::vm::Failure;

/// What is kept of a group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct GroupRecord {
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) generation: i64,
    pub(crate) location: String,
    pub(crate) zones: Vec<String>,
    pub(crate) shared_with: Vec<String>,
    pub(crate) reservations: BTreeMap<String, Reserved>,
    /// Number of the journal entry that wrote it last.
    #[serde(skip)]
    pub(crate) sequence: u64,
}

/// What is kept of a reservation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reserved {
    pub(crate) id: String,
    pub(crate) vm_size: String,
    pub(crate) zone: Option<String>,
    /// Zone that the slots of a regional group went to first, where the region has zones.
    pub(crate) picked_zone: Option<String>,
    pub(crate) fault_domain_count: i32,
    /// Capacity that was asked for last.
    pub(crate) capacity: i32,
    /// Why that could not be had.
    pub(crate) failure: Option<Failure>,
    pub(crate) decided_at: Timestamp,
    /// Slots that nobody uses, by host.
    pub(crate) free: BTreeMap<String, u32>,
    /// Machines that are associated with it; kept with the machines.
    #[serde(skip)]
    pub(crate) members: BTreeMap<String, Member>,
    /// Machines that it counts against the quotas for.
    #[serde(skip)]
    pub(crate) charged: i64,
}

/// A machine as the reservation sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) state: ReservationState,
    /// Number of the call that allocated it; 0 while it has no hardware.
    pub(crate) allocated_by: u64,
    /// Host that it holds room on.
    pub(crate) host: Option<String>,
}

/// What a machine knows of its reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Association {
    pub(crate) key: ReservationKey,
    pub(crate) state: ReservationState,
    pub(crate) allocated_by: u64,
}

/// Names a reservation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ReservationKey {
    /// Uid of the group.
    pub(crate) group: String,
    /// Name inside the group.
    pub(crate) reservation: String,
}

/// What becomes of the slot of a machine that leaves its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freed {
    /// The next overallocated machine gets it.
    ForOthers,
    /// The machine itself takes one again at once.
    ForItself,
}

/// A machine that takes room on a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taking<'a> {
    pub(crate) uid: &'a str,
    pub(crate) host: &'a str,
    pub(crate) set_uid: Option<&'a str>,
    /// Number of the call that allocates it.
    pub(crate) number: u64,
}

impl GroupRecord {
    /// Whether a reference from the namespace `own` means this group.
    pub(crate) fn is_named(&self, reference: &CapacityReservationGroupReference, own: &str) -> bool {
        self.name == reference.name && self.namespace == reference.namespace_for(own)
    }

    /// Whether machines of a namespace may draw on it.
    pub(crate) fn admits(&self, namespace: &str) -> bool {
        self.namespace == namespace || self.shared_with.iter().any(|shared| shared == namespace)
    }
}

impl Reserved {
    pub(crate) fn free_slots(&self) -> i64 {
        self.free.values().map(|slots| i64::from(*slots)).sum()
    }

    pub(crate) fn in_state(&self, state: ReservationState) -> i64 {
        self.members.values().map(|member| i64::from(member.state == state)).sum()
    }

    /// Machines that there is room for, used or not.
    pub(crate) fn current_capacity(&self) -> i64 {
        self.free_slots() + self.in_state(ReservationState::Allocated)
    }

    /// Machines that count against the quotas: those that there is room for, or those that are associated, whichever are
    /// more.
    pub(crate) fn units(&self) -> i64 {
        self.units_with(0)
    }

    /// The same with so many more machines.
    pub(crate) fn units_with(&self, more: i64) -> i64 {
        let associated = i64::try_from(self.members.len()).unwrap_or(i64::MAX);
        self.current_capacity().max(associated.saturating_add(more))
    }

    /// Slots in each domain, used or not.
    pub(crate) fn slots_by_domain(&self, hosts: &Hosts) -> BTreeMap<Domain, u32> {
        let mut slots: BTreeMap<Domain, u32> = BTreeMap::new();
        let used = self.members.values().filter(|member| member.state == ReservationState::Allocated);
        let used = used.filter_map(|member| Some((member.host.as_deref()?, 1)));
        let free = self.free.iter().map(|(host, slots)| (host.as_str(), *slots));
        for (host, count) in used.chain(free) {
            if let Some(domain) = hosts.domain_of(host) {
                *slots.entry(domain).or_default() += count;
            }
        }
        slots
    }

    /// Adds slots on hosts that have room for them.
    pub(crate) fn add_slots(&mut self, hosts: &mut Hosts, claim: &Claim, on: Vec<String>) {
        for host in on {
            let set_aside = hosts.set_aside(&host, claim);
            debug_assert!(set_aside, "room was counted before");
            *self.free.entry(host).or_default() += 1;
        }
    }

    /// Takes room for a machine: a free slot of its host, else general room there, with a free slot elsewhere given up for
    /// it, or beyond what is reserved.
    pub(crate) fn occupy(&mut self, hosts: &mut Hosts, claim: &Claim, taking: Taking<'_>) {
        let Taking { uid, host, set_uid, number } = taking;
        let slot_here = self.free.contains_key(host);
        if slot_here {
            self.drop_slot(hosts, claim, host);
        }
        let taken = hosts.take(host, claim, set_uid);
        debug_assert!(taken, "room was looked for before");
        let Some(member) = self.members.get_mut(uid) else {
            return;
        };
        member.host = Some(host.to_owned());
        if member.allocated_by == 0 {
            member.allocated_by = number;
        }
        if slot_here {
            member.state = ReservationState::Allocated;
        } else {
            self.cover(hosts, claim, uid);
        }
    }

    /// Makes the room that a machine holds a slot, if there is a free one elsewhere, whose room becomes general for it.
    pub(crate) fn cover(&mut self, hosts: &mut Hosts, claim: &Claim, uid: &str) {
        let Some(member) = self.members.get_mut(uid) else {
            return;
        };
        let dropped = hosts.slot_to_drop(&self.free, member.host.as_deref());
        member.state = if dropped.is_some() { ReservationState::Allocated } else { ReservationState::Overallocated };
        if let Some(host) = dropped {
            self.drop_slot(hosts, claim, &host);
        }
    }

    /// Gives the room of a machine back: a slot stays a slot, anything else becomes general. Names the machines whose
    /// state has changed by it, besides this one.
    pub(crate) fn vacate(
        &mut self,
        hosts: &mut Hosts,
        claim: &Claim,
        (uid, set_uid): (&str, Option<&str>),
        freed: Freed,
    ) -> Vec<String> {
        let Some(member) = self.members.get_mut(uid) else {
            return Vec::new();
        };
        let Some(host) = member.host.take() else {
            return Vec::new();
        };
        hosts.give_back(&host, claim, set_uid);
        if freed == Freed::ForOthers {
            member.allocated_by = 0;
        }
        let former = std::mem::replace(&mut member.state, ReservationState::Associated);
        if former == ReservationState::Allocated {
            self.add_slots(hosts, claim, vec![host]);
        }
        match freed {
            Freed::ForOthers => self.hand_over(hosts, claim),
            Freed::ForItself => Vec::new(),
        }
    }

    /// Hands free slots over to overallocated machines, and names those.
    pub(crate) fn hand_over(&mut self, hosts: &mut Hosts, claim: &Claim) -> Vec<String> {
        let mut covered = Vec::new();
        while !self.free.is_empty() {
            let Some(uid) = self.overallocated().into_iter().next() else {
                break;
            };
            self.cover(hosts, claim, &uid);
            covered.push(uid);
        }
        covered
    }

    /// Overallocated machines, the next to get a slot first.
    pub(crate) fn overallocated(&self) -> Vec<String> {
        self.ordered(ReservationState::Overallocated)
    }

    /// Gives slots up until there are `capacity` left: free ones first, then those of the youngest allocations, which run
    /// on as overallocated. Names those.
    pub(crate) fn shrink(&mut self, hosts: &mut Hosts, claim: &Claim, capacity: i64) -> Vec<String> {
        let mut too_many = self.current_capacity() - capacity;
        while too_many > 0
            && let Some(host) = hosts.slot_to_drop(&self.free, None)
        {
            self.drop_slot(hosts, claim, &host);
            too_many -= 1;
        }
        let holders = self.ordered(ReservationState::Allocated).into_iter().rev();
        let uncovered: Vec<String> = holders.take(usize::try_from(too_many).unwrap_or(0)).collect();
        for uid in &uncovered {
            if let Some(member) = self.members.get_mut(uid) {
                member.state = ReservationState::Overallocated;
            }
        }
        uncovered
    }

    fn ordered(&self, state: ReservationState) -> Vec<String> {
        let mut members: Vec<(u64, &String)> = self
            .members
            .iter()
            .filter(|(_, member)| member.state == state)
            .map(|(uid, member)| (member.allocated_by, uid))
            .collect();
        members.sort();
        members.into_iter().map(|(_, uid)| uid.clone()).collect()
    }

    /// Gives one free slot of a host up: its room becomes general.
    fn drop_slot(&mut self, hosts: &mut Hosts, claim: &Claim, host: &str) {
        if let Some(slots) = self.free.get_mut(host) {
            *slots -= 1;
            if *slots == 0 {
                self.free.remove(host);
            }
            hosts.put_back(host, claim);
        }
    }
}
