//! Machines that draw on capacity reservations: which reservation a machine is associated with, which host it goes to, and
//! what becomes of its slot.
//!
//! Source: Azure's "Associate a virtual machine scale set to a capacity reservation group" and "Remove a virtual machine
//! association from a capacity reservation group".

use scaleset_crds::VirtualMachineModel;
use scaleset_crds::reservation::{CapacityReservationGroupReference, ReservationState};

use super::offer::refused;
use super::{World, claim_of, priority_of};
use crate::error::HardwareError;
use crate::machine::{Owner, Placement, QuotaRule};
use crate::reservation::MachineReservation;
use crate::sim::placement::Need;
use crate::sim::quota::Claim;
use crate::sim::reservation::{Association, GroupRecord, ReservationKey, Reserved};
use crate::sim::vm::Record;

impl World {
    /// The reservation that a machine of this model draws on: by size and zone in the group that the model names. A group
    /// that the machine is associated with is not asked for its consent again.
    pub(super) fn reservation_for(
        &self,
        model: &VirtualMachineModel,
        placement: &Placement,
        (owner, current): (&Owner, Option<&ReservationKey>),
    ) -> Result<Option<ReservationKey>, HardwareError> {
        let Some(reference) = &model.capacity_reservation_group_ref else {
            return Ok(None);
        };
        if model.spot.is_some() {
            let message = "a Spot VM cannot draw on a capacity reservation group".to_owned();
            return Err(refused("OperationNotAllowed", message));
        }
        let current = current.and_then(|key| self.groups.get(&key.group));
        let current = current.filter(|group| group.is_named(reference, &owner.namespace));
        let group = match current {
            Some(group) => group,
            None => self.resolve(reference, &owner.namespace)?,
        };
        let found = group.reservations.iter().find(|(_, reserved)| {
            group.location == placement.location && reserved.vm_size == model.vm_size && reserved.zone == placement.zone
        });
        let Some((name, _)) = found else {
            let of = |zone: &Option<String>| zone.as_ref().map(|zone| format!(" zone {zone}")).unwrap_or_default();
            let reserves: Vec<String> = group
                .reservations
                .values()
                .map(|reserved| format!("{} in {}{}", reserved.vm_size, group.location, of(&reserved.zone)))
                .collect();
            let message = format!(
                "capacity reservation group {}/{} has no reservation of {} in {}{}, it reserves: {}",
                group.namespace,
                group.name,
                model.vm_size,
                placement.location,
                of(&placement.zone),
                if reserves.is_empty() { "nothing".to_owned() } else { reserves.join(", ") }
            );
            return Err(refused("OperationNotAllowed", message));
        };
        Ok(Some(ReservationKey { group: group.uid.clone(), reservation: name.clone() }))
    }

    /// The reservation that a machine draws on once it is `model`; refused where it cannot change now.
    pub(super) fn reservation_after(
        &self,
        record: &Record,
        model: &VirtualMachineModel,
    ) -> Result<Option<ReservationKey>, HardwareError> {
        let current = record.reservation.as_ref().map(|association| &association.key);
        let now = self.models.get(record.model);
        let same_size = now.vm_size == model.vm_size;
        if same_size && now.capacity_reservation_group_ref == model.capacity_reservation_group_ref {
            return Ok(current.cloned());
        }
        let wanted = self.reservation_for(model, &record.placement, (&record.owner, current))?;
        if wanted.as_ref() == current {
            return Ok(wanted);
        }
        let same_group = current.zip(wanted.as_ref()).is_some_and(|(now, then)| now.group == then.group);
        if record.host.is_some() && !same_group {
            self.may_leave_allocated(current)?;
            may_join_allocated(record, wanted.as_ref())?;
        }
        if let Some(key) = &wanted {
            if record.host.is_some() {
                self.usable(key)?;
            }
            let claim = self.claim(&model.vm_size, priority_of(model), &record.placement)?;
            let freed = self.given_up(record)?;
            self.check_membership(key, &claim, freed.as_ref())?;
        }
        Ok(wanted)
    }

    /// The host of a machine that is allocated: where a slot is free for it, else where there is general room.
    pub(super) fn host_for(&self, key: Option<&ReservationKey>, need: &Need<'_>) -> Result<String, HardwareError> {
        let region = self.region(&need.placement.location)?;
        let Some(key) = key else {
            return region.hosts.choose(need);
        };
        let reserved = self.usable(key)?;
        match region.hosts.choose_slot(need, &reserved.free, None) {
            Some(host) => Ok(host),
            None => region.hosts.choose(need),
        }
    }

    /// Another host than `current`, by the same rule.
    pub(super) fn other_host_for(
        &self,
        record: &Record,
        need: &Need<'_>,
        current: &str,
    ) -> Result<String, HardwareError> {
        let region = self.region(&need.placement.location)?;
        let reserved = record.reservation.as_ref().and_then(|association| self.reserved(&association.key));
        let slot = reserved.and_then(|reserved| region.hosts.choose_slot(need, &reserved.free, Some(current)));
        slot.map_or_else(|| region.hosts.choose_other(need, current), Ok)
    }

    /// The host that a machine keeps when its size changes: where a slot of the new size is free, nothing more is needed.
    pub(super) fn kept_host_for(
        &self,
        (record, host): (&Record, &str),
        key: Option<&ReservationKey>,
        need: &Need<'_>,
    ) -> Result<String, HardwareError> {
        let slot_here = key.and_then(|key| self.reserved(key)).is_some_and(|reserved| reserved.free.contains_key(host));
        if slot_here {
            return Ok(host.to_owned());
        }
        let hosts = &self.region(&need.placement.location)?.hosts;
        let current = need.current.map(|(host, held)| (host, self.given_back(record, held.clone())));
        hosts.resize(&Need { current: current.as_ref().map(|(host, given_back)| (*host, given_back)), ..*need })
    }

    /// What a machine that leaves its place gives back on its host as general room, of what it holds there: nothing where
    /// its slot stays, since nobody else brings room for it.
    pub(super) fn given_back(&self, record: &Record, held: Claim) -> Claim {
        if self.leaves_a_slot(record) { Claim { vcpus: 0, memory_mib: 0, ..held } } else { held }
    }

    /// Sizes of the group that an associated machine can take only after it was deallocated.
    pub(super) fn reserved_sizes_after_deallocation(&self, record: &Record) -> Option<Vec<String>> {
        let key = &record.reservation.as_ref()?.key;
        let group = self.groups.get(&key.group)?;
        let Some(host) = record.host.as_deref() else {
            return Some(Vec::new());
        };
        let held = self.claim(&self.model(record).vm_size, priority_of(self.model(record)), &record.placement).ok()?;
        let must_leave = |(name, reserved): (&String, &Reserved)| {
            let other = ReservationKey { group: key.group.clone(), reservation: name.clone() };
            let size = self
                .sizes
                .get(&reserved.vm_size)
                .filter(|_| other != *key && reserved.zone == record.placement.zone)?;
            let claim = claim_of(size, priority_of(self.model(record)));
            let need = Need {
                asks: &record.uid,
                size: &size.name,
                claim: &claim,
                placement: &record.placement,
                set_uid: None,
                current: Some((host, &held)),
            };
            let stays = self.kept_host_for((record, host), Some(&other), &need).is_ok();
            let moves = self.host_for(Some(&other), &Need { current: None, ..need }).is_ok();
            (!stays && moves).then(|| size.name.clone())
        };
        let mut sizes: Vec<String> = group.reservations.iter().filter_map(must_leave).collect();
        sizes.sort();
        Some(sizes)
    }

    /// Whether the quotas have room for another machine of a reservation once `given_up` is given back: up to what is
    /// reserved, machines need no quota of their own.
    pub(super) fn check_membership(
        &self,
        key: &ReservationKey,
        claim: &Claim,
        given_up: Option<&Claim>,
    ) -> Result<(), HardwareError> {
        let (Some(reserved), Some(group)) = (self.reserved(key), self.groups.get(&key.group)) else {
            return Ok(());
        };
        if reserved.units_with(1) == reserved.units() {
            return Ok(());
        }
        self.check_quota(QuotaRule::Counted, &group.location, claim, given_up)
    }

    /// What a machine shows of its reservation.
    pub(super) fn reservation_of(&self, record: &Record) -> Option<MachineReservation> {
        let Association { key, state, allocated_by: _ } = record.reservation.as_ref()?;
        let group = self.groups.get(&key.group)?;
        Some(MachineReservation {
            group_namespace: group.namespace.clone(),
            group: group.name.clone(),
            reservation: key.reservation.clone(),
            state: *state,
        })
    }

    /// A group that exists and is shared with the namespace. Who asks from elsewhere cannot tell one that is missing from
    /// one that is not shared.
    fn resolve(&self, reference: &CapacityReservationGroupReference, own: &str) -> Result<&GroupRecord, HardwareError> {
        let found = self.groups.values().find(|group| group.is_named(reference, own) && group.admits(own));
        found.ok_or_else(|| {
            let (namespace, name) = (reference.namespace_for(own), &reference.name);
            let message = format!(
                "capacity reservation group {namespace}/{name} does not exist, or is not shared with namespace {own}"
            );
            refused("ResourceNotFound", message)
        })
    }

    pub(super) fn reserved(&self, key: &ReservationKey) -> Option<&Reserved> {
        self.groups.get(&key.group)?.reservations.get(&key.reservation)
    }

    /// A reservation that machines can be allocated from.
    fn usable(&self, key: &ReservationKey) -> Result<&Reserved, HardwareError> {
        let missing = || refused("ResourceNotFound", format!("reservation {} is gone", key.reservation));
        let reserved = self.reserved(key).ok_or_else(missing)?;
        match &reserved.failure {
            None => Ok(reserved),
            Some(failure) => {
                let message = format!(
                    "reservation {} is Failed ({}: {} asked for, {} reserved): no machine is allocated from it until its capacity is {} again",
                    key.reservation,
                    failure.code,
                    reserved.capacity,
                    reserved.current_capacity(),
                    reserved.current_capacity()
                );
                Err(refused("OperationNotAllowed", message))
            }
        }
    }

    /// Nobody leaves a reservation with hardware, unless nothing is reserved.
    fn may_leave_allocated(&self, current: Option<&ReservationKey>) -> Result<(), HardwareError> {
        let Some((key, reserved)) = current.and_then(|key| Some((key, self.reserved(key)?))) else {
            return Ok(());
        };
        if reserved.current_capacity() == 0 && reserved.capacity == 0 {
            return Ok(());
        }
        let message = format!(
            "a machine with hardware cannot leave reservation {} of {}: deallocate it, or reduce the capacity to 0 first",
            key.reservation,
            reserved.current_capacity()
        );
        Err(refused("OperationNotAllowed", message))
    }

    /// What a machine that goes to another reservation no longer counts for.
    fn given_up(&self, record: &Record) -> Result<Option<Claim>, HardwareError> {
        let model = self.model(record);
        let held = self.claim(&model.vm_size, priority_of(model), &record.placement)?;
        let counts = match record.reservation.as_ref().and_then(|association| self.reserved(&association.key)) {
            Some(reserved) => reserved.units_with(-1) < reserved.units(),
            None => record.host.is_some() && record.quota.is_counted(),
        };
        Ok(counts.then_some(held))
    }

    /// Whether a machine that goes leaves a free slot on its host.
    fn leaves_a_slot(&self, record: &Record) -> bool {
        record.reservation.as_ref().is_some_and(|association| {
            let others = self.reserved(&association.key).is_some_and(|reserved| !reserved.overallocated().is_empty());
            association.state == ReservationState::Allocated && !others
        })
    }
}

/// A regional machine of a Uniform set is associated only while it has no hardware.
fn may_join_allocated(record: &Record, wanted: Option<&ReservationKey>) -> Result<(), HardwareError> {
    let regional = record.placement.zone.is_none() && record.owner.kind == "ScaleSetVM";
    match wanted {
        Some(_) if regional => {
            let message = "a regional machine of a Uniform set with hardware cannot be associated with a capacity reservation group: deallocate it first";
            Err(refused("OperationNotAllowed", message.to_owned()))
        }
        Some(_) | None => Ok(()),
    }
}
