//! Capacity reservation groups: making, changing and deleting them, and what they look like.
//!
//! Source: Azure's "Create a capacity reservation" and "Modify a capacity reservation".

use std::collections::BTreeMap;

use jiff::Timestamp;
use scaleset_crds::reservation::ReservationState;
use scaleset_crds::spot::Priority;

use super::offer::refused;
use super::{Effect, World};
use crate::error::HardwareError;
use crate::machine::{Change, Placement, QuotaRule};
use crate::reservation::{
    AssociatedMachine, Reservation, ReservationGroup, ReservationGroupRequest, ReservationProvisioning,
    ReservationRequest,
};
use crate::sim::placement::SlotNeed;
use crate::sim::quota::Claim;
use crate::sim::reservation::{GroupRecord, ReservationKey, Reserved};
use crate::sim::store::Write;
use crate::sim::vm::Failure;
use crate::{Deletion, Target};

impl World {
    /// Creates a group, or changes with whom it is shared.
    pub(crate) fn put_reservation_group(
        &mut self,
        target: &Target,
        request: ReservationGroupRequest,
    ) -> Result<Effect, HardwareError> {
        let ReservationGroupRequest { namespace, name, location, zones, shared_with } = request;
        if let Some(group) = self.groups.get(&target.uid) {
            fence_group(group, target)?;
            if (&group.namespace, &group.name) != (&namespace, &name)
                || group.location != location
                || group.zones != zones
            {
                let message = format!(
                    "location and zones of capacity reservation group {namespace}/{name} cannot be changed after creation"
                );
                return Err(refused("PropertyChangeNotAllowed", message));
            }
            let changed = group.shared_with != shared_with;
            self.change_group(target, |group| group.shared_with = shared_with);
            return Ok(if changed { Effect::Changed } else { Effect::Unchanged });
        }
        self.check_group(&namespace, &name, &location, &zones)?;
        let group = GroupRecord {
            uid: target.uid.clone(),
            namespace,
            name,
            generation: target.generation,
            location,
            zones,
            shared_with,
            reservations: BTreeMap::new(),
            sequence: 0,
        };
        self.groups.insert(target.uid.clone(), group);
        self.save_group(&target.uid);
        Ok(Effect::Changed)
    }

    /// Creates a reservation, or changes its capacity.
    pub(crate) fn reserve(
        &mut self,
        target: &Target,
        request: &ReservationRequest,
        now: Timestamp,
    ) -> Result<Effect, HardwareError> {
        let ReservationRequest { name, vm_size, zone, capacity } = request;
        let group = self.groups.get(&target.uid).ok_or_else(|| no_group(&target.uid))?;
        fence_group(group, target)?;
        if *capacity < 0 {
            return Err(refused("InvalidParameter", format!("capacity {capacity} is out of range: 0 and up")));
        }
        let Some(reserved) = group.reservations.get(name) else {
            return self.create_reservation(target, request, now);
        };
        if reserved.vm_size != *vm_size || reserved.zone != *zone {
            let message = format!("vmSize and zone of reservation {name} cannot be changed after creation");
            return Err(refused("PropertyChangeNotAllowed", message));
        }
        let as_wished = reserved.failure.is_none() && reserved.capacity == *capacity;
        self.change_group(target, |_| ());
        if as_wished {
            return Ok(Effect::Unchanged);
        }
        let key = ReservationKey { group: target.uid.clone(), reservation: name.clone() };
        self.change_capacity(&key, *capacity, now)?;
        Ok(Effect::Changed)
    }

    /// Gives a reservation up that nobody of a namespace with access is associated with.
    pub(crate) fn release_reservation(
        &mut self,
        target: &Target,
        name: &str,
    ) -> Result<(Deletion, Effect), HardwareError> {
        let Some(group) = self.groups.get(&target.uid) else {
            return Ok((Deletion::Gone, Effect::Unchanged));
        };
        fence_group(group, target)?;
        let Some(reserved) = group.reservations.get(name) else {
            return Ok((Deletion::Gone, Effect::Unchanged));
        };
        let namespace = |uid: &String| self.machines.get(uid).map(|record| record.owner.namespace.as_str());
        let counts = |uid: &&String| namespace(uid).is_some_and(|namespace| group.admits(namespace));
        let held: Vec<&String> = reserved.members.keys().filter(counts).collect();
        if !held.is_empty() {
            let with_hardware = held.iter().filter(|uid| reserved.members[**uid].host.is_some()).count();
            let message = format!(
                "{} machines are associated with reservation {name} of capacity reservation group {}/{}, {with_hardware} of them with hardware; disassociate or delete them first",
                held.len(),
                group.namespace,
                group.name
            );
            return Err(refused("OperationNotAllowed", message));
        }
        let let_go: Vec<String> = reserved.members.keys().cloned().collect();
        let key = ReservationKey { group: target.uid.clone(), reservation: name.to_owned() };
        for uid in let_go {
            self.leave_reservation(&uid);
            self.save(&uid);
            self.announce(&uid);
        }
        self.with_reservation(&key, |reserved, hosts, claim| reserved.shrink(hosts, claim, 0));
        self.recharge(&key);
        self.change_group(target, |group| drop(group.reservations.remove(name)));
        Ok((Deletion::Gone, Effect::Changed))
    }

    /// Deletes a group without reservations.
    pub(crate) fn delete_reservation_group(&mut self, target: &Target) -> Result<(Deletion, Effect), HardwareError> {
        let Some(group) = self.groups.get(&target.uid) else {
            return Ok((Deletion::Gone, Effect::Unchanged));
        };
        fence_group(group, target)?;
        if !group.reservations.is_empty() {
            let associated: usize = group.reservations.values().map(|reserved| reserved.members.len()).sum();
            let message = format!(
                "capacity reservation group {}/{} has {} reservations with {associated} machines associated; release them first",
                group.namespace,
                group.name,
                group.reservations.len()
            );
            return Err(refused("OperationNotAllowed", message));
        }
        self.groups.remove(&target.uid);
        self.writes.push(Write::RemoveReservationGroup(target.uid.clone()));
        Ok((Deletion::Gone, Effect::Changed))
    }

    /// A group as it is now.
    pub(crate) fn group_view(&self, uid: &str) -> Option<ReservationGroup> {
        let GroupRecord { uid, namespace, name, generation, location, zones, shared_with, reservations, sequence: _ } =
            self.groups.get(uid)?.clone();
        let reservations = reservations.into_iter().map(|(name, reserved)| self.reservation_view(name, reserved));
        let reservations = reservations.collect();
        Some(ReservationGroup { uid, namespace, name, generation, location, zones, shared_with, reservations })
    }

    pub(crate) fn groups(&self) -> &BTreeMap<String, GroupRecord> {
        &self.groups
    }

    fn reservation_view(&self, name: String, reserved: Reserved) -> Reservation {
        let current_capacity = i32::try_from(reserved.current_capacity()).unwrap_or(i32::MAX);
        let Reserved {
            id,
            vm_size,
            zone,
            picked_zone: _,
            fault_domain_count,
            capacity,
            failure,
            decided_at,
            free: _,
            members,
            charged: _,
        } = reserved;
        let machine = |(uid, member): (String, crate::sim::reservation::Member)| {
            let owner = self.machines.get(&uid)?.owner.clone();
            Some(AssociatedMachine { uid, owner, state: member.state })
        };
        Reservation {
            name,
            reservation_id: id,
            vm_size,
            zone,
            platform_fault_domain_count: fault_domain_count,
            capacity,
            current_capacity,
            provisioning: match failure {
                Some(Failure { code, message }) => ReservationProvisioning::Failed { code, message },
                None => ReservationProvisioning::Succeeded,
            },
            provisioning_time: decided_at,
            machines: members.into_iter().filter_map(machine).collect(),
        }
    }

    fn create_reservation(
        &mut self,
        target: &Target,
        request: &ReservationRequest,
        now: Timestamp,
    ) -> Result<Effect, HardwareError> {
        let ReservationRequest { name, vm_size, zone, capacity } = request;
        let group = self.groups.get(&target.uid).ok_or_else(|| no_group(&target.uid))?;
        let (claim, fault_domain_count) = self.reservable(group, vm_size, zone.as_ref())?;
        let twin = group.reservations.iter().find(|(_, other)| other.vm_size == *vm_size && other.zone == *zone);
        if let Some((twin, _)) = twin {
            let place = zone.as_ref().map(|zone| format!(" in zone {zone}")).unwrap_or_default();
            let message = format!("reservation {twin} is for {vm_size}{place} already; raise its capacity instead");
            return Err(refused("OperationNotAllowed", message));
        }
        let mut reserved = Reserved {
            id: self.guid("reservation", &target.uid, name).hyphenated().to_string(),
            vm_size: vm_size.clone(),
            zone: zone.clone(),
            picked_zone: None,
            fault_domain_count,
            capacity: *capacity,
            failure: None,
            decided_at: now,
            free: BTreeMap::new(),
            members: BTreeMap::new(),
            charged: 0,
        };
        let location = group.location.clone();
        self.check_quota(QuotaRule::Counted, &location, &times(&claim, i64::from(*capacity)), None)?;
        let (zone, slots) = self.new_slots(&location, &reserved, &claim, i64::from(*capacity))?;
        reserved.picked_zone = zone;
        if let Some(region) = self.regions.get_mut(&location) {
            reserved.add_slots(&mut region.hosts, &claim, slots);
        }
        self.change_group(target, |group| drop(group.reservations.insert(name.clone(), reserved)));
        self.recharge(&ReservationKey { group: target.uid.clone(), reservation: name.clone() });
        Ok(Effect::Changed)
    }

    /// Gives a reservation another capacity. A raise that fails is noted on it.
    fn change_capacity(&mut self, key: &ReservationKey, capacity: i32, now: Timestamp) -> Result<(), HardwareError> {
        let raised = self.raise(key, i64::from(capacity));
        let (failure, answer) = match raised {
            Ok(()) => (None, Ok(())),
            Err(error) => (Some(Failure { code: error.code().to_owned(), message: error.to_string() }), Err(error)),
        };
        let failed = failure.is_some();
        if let Some(reserved) = self.reservation_mut(key) {
            // Also where the same is refused again: the next try is due so long after the last one.
            reserved.decided_at = now;
            (reserved.capacity, reserved.failure) = (capacity, failure);
        }
        if !failed {
            let changed =
                self.with_reservation(key, |reserved, hosts, claim| reserved.shrink(hosts, claim, i64::from(capacity)));
            self.recharge(key);
            self.settle_members(key, &changed);
        }
        self.save_group(&key.group);
        answer
    }

    /// Makes sure that there are slots for so many machines: overallocated ones bring their own room.
    fn raise(&mut self, key: &ReservationKey, capacity: i64) -> Result<(), HardwareError> {
        let group = self.groups.get(&key.group).ok_or_else(|| no_group(&key.group))?;
        let reserved = &group.reservations[&key.reservation];
        let more = capacity - reserved.current_capacity();
        if more <= 0 {
            return Ok(());
        }
        let (location, claim) = (group.location.clone(), self.reservable_claim(reserved, group)?);
        let associated = i64::try_from(reserved.members.len()).unwrap_or(i64::MAX);
        let units = capacity.max(associated) - reserved.units();
        self.check_quota(QuotaRule::Counted, &location, &times(&claim, units), None)?;
        let over = reserved.overallocated();
        let covered = over.into_iter().take(usize::try_from(more).unwrap_or(usize::MAX)).collect::<Vec<_>>();
        let fresh = more - i64::try_from(covered.len()).unwrap_or(0);
        let (zone, slots) = self.new_slots(&location, reserved, &claim, fresh)?;
        if let Some(reserved) = self.reservation_mut(key) {
            reserved.picked_zone = zone;
            for uid in &covered {
                if let Some(member) = reserved.members.get_mut(uid) {
                    member.state = ReservationState::Allocated;
                }
            }
        }
        self.with_reservation(key, |reserved, hosts, claim| reserved.add_slots(hosts, claim, slots));
        self.settle_members(key, &covered);
        Ok(())
    }

    /// Hosts for new slots, and the zone that they are in where the region picks one: the slots of a regional group stay
    /// in the zone of the first.
    fn new_slots(
        &self,
        location: &str,
        reserved: &Reserved,
        claim: &Claim,
        count: i64,
    ) -> Result<(Option<String>, Vec<String>), HardwareError> {
        let region = self.region(location)?;
        let picked = reserved.picked_zone.clone();
        let candidates: Vec<Option<String>> = match (&reserved.zone, &picked) {
            _ if count == 0 => return Ok((picked, Vec::new())),
            (Some(zone), _) | (None, Some(zone)) => vec![Some(zone.clone())],
            (None, None) if region.definition.zones.is_empty() => vec![None],
            (None, None) => region.definition.zones.iter().cloned().map(Some).collect(),
        };
        let mut refusal = None;
        for zone in candidates {
            let need = SlotNeed {
                size: &reserved.vm_size,
                claim,
                zone: zone.as_deref(),
                fault_domain_count: reserved.fault_domain_count,
                count: usize::try_from(count).unwrap_or(0),
            };
            match region.hosts.spread(&need, reserved.slots_by_domain(&region.hosts)) {
                Ok(slots) => return Ok((if reserved.zone.is_some() { None } else { zone }, slots)),
                Err(error) => refusal = Some(error),
            }
        }
        Err(refusal.expect("a region has zones or is one place itself"))
    }

    fn check_group(&self, namespace: &str, name: &str, location: &str, zones: &[String]) -> Result<(), HardwareError> {
        let region = self.region(location)?;
        if let Some(zone) = zones.iter().find(|zone| !region.definition.zones.contains(zone)) {
            return Err(refused("InvalidParameter", format!("{location} has no zone {zone}")));
        }
        let other = self.groups.values().find(|group| group.namespace == namespace && group.name == name);
        match other {
            Some(GroupRecord { uid, .. }) => {
                let message = format!("capacity reservation group {namespace}/{name} is still there under uid {uid}");
                Err(refused("OperationNotAllowed", message))
            }
            None => Ok(()),
        }
    }

    /// What a slot of a size takes, and how many fault domains a reservation of it knows.
    fn reservable(
        &self,
        group: &GroupRecord,
        vm_size: &str,
        zone: Option<&String>,
    ) -> Result<(Claim, i32), HardwareError> {
        let fits = match zone {
            Some(zone) => group.zones.contains(zone),
            None => group.zones.is_empty(),
        };
        if !fits {
            let message = format!(
                "a reservation of capacity reservation group {}/{} must be in one of its zones: {}",
                group.namespace,
                group.name,
                if group.zones.is_empty() { "none, it is regional".to_owned() } else { group.zones.join(", ") }
            );
            return Err(refused("InvalidParameter", message));
        }
        let claim = self.claim(vm_size, Priority::Regular, &place(&group.location, zone))?;
        let offer = self.sizes.get(vm_size).and_then(|size| self.region(&group.location).ok()?.offer_of(size));
        match offer.and_then(|offer| offer.reservation_fault_domain_count) {
            Some(count) => Ok((claim, count)),
            None => Err(refused("NotSupported", format!("capacity of size {vm_size} cannot be reserved"))),
        }
    }

    fn reservable_claim(&self, reserved: &Reserved, group: &GroupRecord) -> Result<Claim, HardwareError> {
        self.claim(&reserved.vm_size, Priority::Regular, &place(&group.location, reserved.zone.as_ref()))
    }

    /// Changes a group for a call, and notes the call's generation.
    fn change_group(&mut self, target: &Target, change: impl FnOnce(&mut GroupRecord)) {
        if let Some(group) = self.groups.get_mut(&target.uid) {
            change(group);
            group.generation = group.generation.max(target.generation);
        }
        self.save_group(&target.uid);
    }

    pub(super) fn reservation_mut(&mut self, key: &ReservationKey) -> Option<&mut Reserved> {
        self.groups.get_mut(&key.group)?.reservations.get_mut(&key.reservation)
    }

    /// Collects the write of a group that the current call has changed.
    pub(super) fn save_group(&mut self, uid: &str) {
        if let Some(group) = self.groups.get_mut(uid) {
            group.sequence = self.sequence;
            self.writes.push(Write::reservation_group(group));
        }
    }

    pub(super) fn announce_group(&mut self, uid: &str) {
        let change = self.groups.get(uid).map(change_of_group);
        if let Some(change) = change.filter(|change| self.announcements.last() != Some(change)) {
            self.announcements.push(change);
        }
    }
}

pub(super) fn change_of_group(group: &GroupRecord) -> Change {
    Change::ReservationGroup { uid: group.uid.clone(), namespace: group.namespace.clone(), name: group.name.clone() }
}

/// So many claims as one.
pub(super) fn times(claim: &Claim, count: i64) -> Claim {
    let vcpus = i64::from(claim.vcpus).saturating_mul(count);
    Claim { vcpus: i32::try_from(vcpus).unwrap_or(i32::MAX), ..claim.clone() }
}

fn place(location: &str, zone: Option<&String>) -> Placement {
    Placement {
        location: location.to_owned(),
        zone: zone.cloned(),
        platform_fault_domain: None,
        update_domain: None,
        placement_group: None,
    }
}

fn no_group(uid: &str) -> HardwareError {
    refused("ResourceNotFound", format!("there is no capacity reservation group {uid}"))
}

fn fence_group(group: &GroupRecord, target: &Target) -> Result<(), HardwareError> {
    let GroupRecord { uid, generation: seen, .. } = group;
    if target.generation < *seen {
        return Err(HardwareError::Stale { uid: uid.clone(), generation: target.generation, seen: *seen });
    }
    Ok(())
}
