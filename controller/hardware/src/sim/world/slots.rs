//! Slots that change hands: machines that join and leave a reservation, take room and give it back.
//!
//! What a reservation and a machine say of each other is changed here only. What happens by itself, a slot that is given
//! back when a deallocation or a deletion is over and the machine that gets it, follows from what is stored, so it happens
//! just so after a restart.

use jiff::Timestamp;
use scaleset_crds::reservation::ReservationState;
use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::PowerWish;

use super::reservation::times;
use super::{World, claim_of, priority_of};
use crate::sim::placement::Hosts;
use crate::sim::quota::Claim;
use crate::sim::reservation::{Association, Freed, GroupRecord, Member, ReservationKey, Reserved, Taking};
use crate::sim::vm::OperationKind;

/// Whose room it was that was taken or given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Reserved,
    General,
}

/// Which way a quota moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charge {
    Taken,
    Back,
}

impl World {
    /// Associates a machine with a reservation, or with none. What it runs on it keeps.
    pub(super) fn associate(&mut self, uid: &str, wanted: Option<ReservationKey>) {
        let current = self.machines.get(uid).and_then(|record| record.reservation.as_ref());
        if current.map(|association| &association.key) == wanted.as_ref() {
            return;
        }
        self.leave_reservation(uid);
        let Some(key) = wanted else { return };
        let number = self.sequence;
        let Some(record) = self.machines.get_mut(uid) else { return };
        let host = record.host.clone();
        let allocated_by = if host.is_some() { number } else { 0 };
        let state = ReservationState::Associated;
        record.reservation = Some(Association { key: key.clone(), state, allocated_by });
        let covers = host.is_some();
        if let Some(reserved) = self.reservation_mut(&key) {
            reserved.members.insert(uid.to_owned(), Member { state, allocated_by, host });
        }
        if covers {
            self.charge_machine(uid, Charge::Back);
            self.with_reservation(&key, |reserved, hosts, claim| reserved.cover(hosts, claim, uid));
        }
        self.recharge(&key);
        self.settle_members(&key, &[]);
        self.mirror(uid);
    }

    /// Ends the association of a machine. A machine with hardware keeps it as general room.
    pub(super) fn leave_reservation(&mut self, uid: &str) {
        let Some(record) = self.machines.get_mut(uid) else { return };
        let Some(Association { key, state: _, allocated_by: _ }) = record.reservation.take() else { return };
        if let Some(reserved) = self.reservation_mut(&key) {
            reserved.members.remove(uid);
        }
        self.recharge(&key);
        self.charge_machine(uid, Charge::Taken);
        self.settle_members(&key, &[]);
    }

    /// Takes room for an associated machine on a host.
    pub(super) fn occupy(&mut self, uid: &str, host: &str) -> Room {
        let number = self.sequence;
        let Some(record) = self.machines.get_mut(uid) else { return Room::General };
        let set_uid = record.owner.set_uid.clone();
        let Some(key) = record.reservation.as_ref().map(|association| association.key.clone()) else {
            return Room::General;
        };
        record.host = Some(host.to_owned());
        let taking = Taking { uid, host, set_uid: set_uid.as_deref(), number };
        self.with_reservation(&key, |reserved, hosts, claim| reserved.occupy(hosts, claim, taking));
        self.settle_members(&key, &[]);
        self.mirror(uid);
        Room::Reserved
    }

    /// Gives the room of an associated machine back.
    pub(super) fn vacate(&mut self, uid: &str, freed: Freed) -> Room {
        let Some(record) = self.machines.get_mut(uid) else { return Room::General };
        let set_uid = record.owner.set_uid.clone();
        let Some(key) = record.reservation.as_ref().map(|association| association.key.clone()) else {
            return Room::General;
        };
        record.host = None;
        let machine = (uid, set_uid.as_deref());
        let changed =
            self.with_reservation(&key, |reserved, hosts, claim| reserved.vacate(hosts, claim, machine, freed));
        self.settle_members(&key, &changed);
        self.mirror(uid);
        // Written at once: who takes the slot depends on what the machine gave back before it.
        self.save(uid);
        Room::Reserved
    }

    /// Notes when the machine will give its room back by itself: slots change hands in that order, however late it is
    /// looked at.
    pub(super) fn note_release(&mut self, uid: &str) {
        let at = self.machines.get(uid).and_then(|record| {
            let gives = matches!(
                record.operation.mark.kind,
                OperationKind::Delete | OperationKind::Power(PowerWish::Deallocated)
            );
            let holds = record.reservation.is_some() && record.host.is_some();
            (gives && holds).then_some(record.operation.ends_at)
        });
        self.releases.set(uid, at);
    }

    /// Lets machines that are due give their slots back, in the order in which they were due.
    pub(super) fn settle_releases(&mut self, now: Timestamp) {
        while let Some(uid) = self.releases.pop_due(now) {
            self.announce(&uid);
            self.follow(&uid, now);
        }
    }

    /// Takes a stored group back into the world: its free slots are set aside again.
    pub(super) fn readmit_group(&mut self, group: GroupRecord) -> Result<(), String> {
        let GroupRecord { uid, namespace, name, location, .. } = &group;
        let unfit = |what: String| format!("capacity reservation group {namespace}/{name} has {what}");
        let region = self.regions.get_mut(location).ok_or_else(|| unfit(format!("location {location}")))?;
        for reserved in group.reservations.values() {
            let size = self.sizes.get(&reserved.vm_size).ok_or_else(|| unfit(format!("size {}", reserved.vm_size)))?;
            let claim = claim_of(size, Priority::Regular);
            for (host, slots) in &reserved.free {
                if !(0..*slots).all(|_| region.hosts.set_aside(host, &claim)) {
                    return Err(unfit(format!("{slots} slots on host {host}, which has no room for them")));
                }
            }
        }
        self.groups.insert(uid.clone(), group);
        Ok(())
    }

    /// The same of a machine that is associated.
    pub(super) fn readmit_member(
        &mut self,
        uid: &str,
        association: Association,
        host: Option<String>,
    ) -> Result<(), String> {
        let Association { key, state, allocated_by } = association;
        let reserved = self.reservation_mut(&key);
        let reserved = reserved.ok_or_else(|| format!("machine {uid} draws on a reservation that is not there"))?;
        reserved.members.insert(uid.to_owned(), Member { state, allocated_by, host });
        Ok(())
    }

    /// Goes on with what is reserved: what was due while nobody looked happens in its order.
    pub(super) fn resume_reservations(&mut self, now: Timestamp) {
        let keys = self.groups.values().flat_map(|group| {
            let key = |name: &String| ReservationKey { group: group.uid.clone(), reservation: name.clone() };
            group.reservations.keys().map(key)
        });
        let keys: Vec<ReservationKey> = keys.collect();
        let members = |key: &ReservationKey| {
            let reserved = self.reserved(key);
            reserved.map(|reserved| reserved.members.keys().cloned().collect::<Vec<_>>()).unwrap_or_default()
        };
        let members: Vec<String> = keys.iter().flat_map(members).collect();
        for key in &keys {
            self.recharge(key);
        }
        for uid in &members {
            self.note_release(uid);
        }
        self.settle_releases(now);
        for uid in &members {
            self.follow(uid, now);
        }
    }

    /// Does something to a reservation and the hosts of its region. Whoever waits for general room is told where it makes
    /// some.
    pub(super) fn with_reservation<T: Default>(
        &mut self,
        key: &ReservationKey,
        change: impl FnOnce(&mut Reserved, &mut Hosts, &Claim) -> T,
    ) -> T {
        let Some(location) = self.groups.get(&key.group).map(|group| group.location.clone()) else {
            return T::default();
        };
        let before = self.awaited_room(&location);
        let Some(group) = self.groups.get_mut(&key.group) else { return T::default() };
        let region = self.regions.get_mut(&location);
        let Some((region, reserved)) = region.zip(group.reservations.get_mut(&key.reservation)) else {
            return T::default();
        };
        let Some(size) = self.sizes.get(&reserved.vm_size) else { return T::default() };
        let done = change(reserved, &mut region.hosts, &claim_of(size, Priority::Regular));
        self.announce_more_than(&before, &location);
        done
    }

    /// Brings what a reservation counts against the quotas up to date.
    pub(super) fn recharge(&mut self, key: &ReservationKey) {
        let Some(group) = self.groups.get_mut(&key.group) else { return };
        let Some(region) = self.regions.get_mut(&group.location) else { return };
        let Some(reserved) = group.reservations.get_mut(&key.reservation) else { return };
        let Some(size) = self.sizes.get(&reserved.vm_size) else { return };
        let claim = claim_of(size, Priority::Regular);
        let more = reserved.units() - reserved.charged;
        reserved.charged += more;
        if more >= 0 {
            region.quota.take(&times(&claim, more));
        } else {
            region.quota.give_back(&times(&claim, -more));
        }
    }

    /// Writes and announces a group whose slots have changed hands, and the machines that have changed by it.
    pub(super) fn settle_members(&mut self, key: &ReservationKey, changed: &[String]) {
        for uid in changed {
            self.mirror(uid);
            self.save(uid);
            self.announce(uid);
        }
        self.save_group(&key.group);
        self.announce_group(&key.group);
    }

    /// Copies what the reservation says of a machine to the machine.
    fn mirror(&mut self, uid: &str) {
        let Some(association) = self.machines.get_mut(uid).and_then(|record| record.reservation.as_mut()) else {
            return;
        };
        let group = self.groups.get(&association.key.group);
        let reserved = group.and_then(|group| group.reservations.get(&association.key.reservation));
        if let Some(member) = reserved.and_then(|reserved| reserved.members.get(uid)) {
            association.state = member.state;
            association.allocated_by = member.allocated_by;
        }
    }

    /// Counts a machine with hardware against the quotas by itself, or no more; one that is exempt never counts so.
    fn charge_machine(&mut self, uid: &str, charge: Charge) {
        let record = self.machines.get(uid).filter(|record| record.host.is_some() && record.quota.is_counted());
        let Some(record) = record else { return };
        let model = self.models.get(record.model);
        let Some(size) = self.sizes.get(&model.vm_size) else { return };
        let claim = claim_of(size, priority_of(model));
        if let Some(region) = self.regions.get_mut(&record.placement.location) {
            match charge {
                Charge::Taken => region.quota.take(&claim),
                Charge::Back => region.quota.give_back(&claim),
            }
        }
    }
}
