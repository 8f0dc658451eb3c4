//! What happens to Spot machines: prices that rise, capacity that is needed, notices, evictions.
//!
//! An eviction is decided once and stored as an instant 30 s ahead; when it has come, the machine's operation is replaced
//! by the eviction's own, whatever it was. That follows from what is stored, so it happens just so after a restart.
//!
//! A machine that an eviction has deleted has given everything back, and its record stays until somebody asks for its
//! deletion: otherwise nobody could tell an eviction from a loss.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::spot::{EvictionPolicy, EvictionReason, Price, Priority, SpotTerms};
use scaleset_crds::vocabulary::{PowerState, PowerWish};

use super::World;
use super::change::Transformation;
use super::control::{ControlCode, ControlError};
use super::disturb::{Boot, Risk};
use super::offer::refused;
use crate::error::{HardwareError, code};
use crate::headroom::Room;
use crate::machine::{Change, Drain, Placement, QuotaRule};
use crate::sim::extension::ExtensionRun;
use crate::sim::quota::Claim;
use crate::sim::spot::{Evicted, NOTICE, Preemption, SpotPressure};
use crate::sim::store::Write;
use crate::sim::vm::{Mark, OperationKind, Record};

type Controlled = Result<(), ControlError>;

impl World {
    /// What an hour of a Spot machine of a size costs; `None` where it is not offered as one.
    pub(super) fn spot_price(&self, location: &str, size: &str) -> Option<Price> {
        let set = self.spot_prices.get(location).and_then(|prices| prices.get(size)).copied();
        let usual = self.sizes.get(size)?.spot_price?;
        Some(set.unwrap_or(usual))
    }

    /// Whether a machine may be allocated as far as the Spot market is concerned.
    pub(super) fn check_market(&self, model: &VirtualMachineModel, placement: &Placement) -> Result<(), HardwareError> {
        let Some(terms) = &model.spot else { return Ok(()) };
        let (location, size) = (&placement.location, &model.vm_size);
        let Some(price) = self.spot_price(location, size) else {
            let message = format!("size {size} is not offered as Spot VM");
            return Err(refused("AzureSpotIsNotSupportedForThisVMSize", message));
        };
        if !terms.max_price.allows(price) {
            return Err(HardwareError::NoCapacity {
                code: "SpotPriceGreaterThanProvidedMaxPrice",
                message: format!("{size} costs {price} in {location}, maxPrice is {}", terms.max_price),
            });
        }
        let under = self.spot_pressures.iter().find(|(_, pressure)| pressure.covers(placement, size));
        let Some((name, _)) = under else { return Ok(()) };
        let place = placement.zone.as_ref().map(|zone| format!(" zone {zone}")).unwrap_or_default();
        Err(HardwareError::NoCapacity {
            code: code::of_allocation(placement.zone.as_deref()),
            message: format!("no Spot capacity for {size} in {location}{place}: it is needed by others ({name})"),
        })
    }

    /// Of the room in the hosts what machines of a claim can have as far as pressures are concerned.
    pub(super) fn room_beside_pressures(
        &self,
        location: &str,
        size: &str,
        claim: &Claim,
        mut places: Vec<Room>,
    ) -> Vec<Room> {
        let pressed = |room: &Room| {
            let mut pressures = self.spot_pressures.values();
            pressures.any(|pressure| pressure.covers_place(location, room.zone.as_deref(), size))
        };
        for room in &mut places {
            if claim.priority == Priority::Spot && pressed(room) {
                room.machines = 0;
            }
        }
        places
    }

    /// Whether the quotas have room for `wanted` once `given_up` is given back. A Spot machine counts against the Spot
    /// quota alone, from its creation to its end, deallocated or not. What is exempt always fits.
    pub(super) fn check_quota(
        &self,
        rule: QuotaRule,
        location: &str,
        wanted: &Claim,
        given_up: Option<&Claim>,
    ) -> Result<(), HardwareError> {
        match rule {
            QuotaRule::Exempt => return Ok(()),
            QuotaRule::Counted => {}
        }
        let quota = &self.region(location)?.quota;
        match wanted.priority {
            Priority::Regular => quota.check(wanted, given_up),
            Priority::Spot => quota.check_spot(self.spot_usage(location), wanted, given_up),
        }
    }

    /// vCPUs of the Spot machines of a region.
    pub(crate) fn spot_usage(&self, location: &str) -> i64 {
        let here = self.machines.values().filter(|record| {
            let deleted = record.evicted.is_some() && record.operation.mark.kind == OperationKind::Delete;
            let counts = record.quota.is_counted() && !(deleted && record.host.is_none());
            record.placement.location == location && counts
        });
        let models = here.map(|record| self.models.get(record.model)).filter(|model| model.spot.is_some());
        models.filter_map(|model| self.sizes.get(&model.vm_size)).map(|size| i64::from(size.vcpus)).sum()
    }

    /// Sets what Spot machines of a size cost in a region; `None` goes back to the usual price. Who has agreed to less is
    /// evicted.
    pub(crate) fn set_spot_price(
        &mut self,
        location: &str,
        size: &str,
        price: Option<Price>,
        now: Timestamp,
    ) -> Controlled {
        if !self.regions.contains_key(location) {
            return Err(not_found("location", format!("there is no region {location}")));
        }
        if self.sizes.get(size).and_then(|size| size.spot_price).is_none() {
            return Err(not_found("size", format!("{size} is not offered as Spot VM")));
        }
        let prices = self.spot_prices.entry(location.to_owned()).or_default();
        match price {
            Some(price) => prices.insert(size.to_owned(), price),
            None => prices.remove(size),
        };
        self.writes.push(Write::state("spotPrices", &self.spot_prices));
        self.refresh_catalog();
        self.announcements.push(Change::Catalog);
        let dearer = |record: &&Record| {
            let model = self.models.get(record.model);
            let price = self.spot_price(location, size);
            let refuses = model.spot.as_ref().zip(price).is_some_and(|(terms, price)| !terms.max_price.allows(price));
            refuses && record.placement.location == location && model.vm_size == size
        };
        let struck: Vec<String> = self.allocated(now).filter(dearer).map(|record| record.uid.clone()).collect();
        for uid in struck {
            self.preempt(&uid, EvictionReason::Price, now);
        }
        Ok(())
    }

    /// Puts a place under pressure, and tells those who must go.
    pub(crate) fn set_spot_pressure(&mut self, name: &str, pressure: SpotPressure, now: Timestamp) -> Controlled {
        super::control::room_for(name, &self.spot_pressures)?;
        if !self.regions.contains_key(&pressure.location) {
            return Err(not_found("location", format!("there is no region {}", pressure.location)));
        }
        let covered = |record: &&Record| {
            let model = self.models.get(record.model);
            model.spot.is_some() && pressure.covers(&record.placement, &model.vm_size)
        };
        let mut struck: Vec<(Timestamp, String, String)> = self
            .allocated(now)
            .filter(covered)
            .filter(|record| record.preemption.is_none())
            .map(|record| (record.created_at, record.owner.name.clone(), record.uid.clone()))
            .collect();
        struck.sort();
        let most = pressure.evict.map_or(struck.len(), |most| usize::try_from(most).unwrap_or(usize::MAX));
        for (_, _, uid) in struck.into_iter().take(most) {
            self.preempt(&uid, EvictionReason::Capacity, now);
        }
        self.spot_pressures.insert(name.to_owned(), pressure);
        self.writes.push(Write::state("spotPressures", &self.spot_pressures));
        Ok(())
    }

    /// Takes a pressure away.
    pub(crate) fn clear_spot_pressure(&mut self, name: &str) -> Controlled {
        let known = self.spot_pressures.remove(name);
        known.ok_or_else(|| super::control::missing("spot pressure", name, self.spot_pressures.keys()))?;
        self.writes.push(Write::state("spotPressures", &self.spot_pressures));
        self.announcements.push(Change::Catalog);
        Ok(())
    }

    /// What a machine agrees to once it takes `wanted`: another maximum price only while it has no host, anything else
    /// never (Azure: `MaxPriceChangeNotAllowedForAllocatedVMs`).
    pub(super) fn terms_after(&self, record: &Record, wanted: &VirtualMachineModel) -> Option<SpotTerms> {
        let terms = self.models.get(record.model).spot.clone()?;
        let max_price = wanted.spot.as_ref().map(|wanted| wanted.max_price).filter(|_| record.host.is_none());
        Some(SpotTerms { max_price: max_price.unwrap_or(terms.max_price), ..terms })
    }

    /// The same change at the terms that are in force.
    pub(super) fn at_price_in_force(&self, record: &Record, mut transformation: Transformation) -> Transformation {
        let spot = self.terms_after(record, &transformation.model);
        if spot != transformation.model.spot {
            Arc::make_mut(&mut transformation.model).spot = spot;
        }
        transformation
    }

    fn allocated(&self, now: Timestamp) -> impl Iterator<Item = &Record> {
        self.records().filter(move |record| can_be_evicted(record, now))
    }

    /// Tells a Spot machine that it goes in 30 s. One that has been told already goes when it was told.
    pub(super) fn preempt(&mut self, uid: &str, reason: EvictionReason, now: Timestamp) {
        let event_id = self.guid("preempt", uid, "").hyphenated().to_string();
        let Some(record) = self.machines.get_mut(uid) else { return };
        if record.preemption.is_none() {
            record.preemption = Some(Box::new(Preemption { event_id, reason, at: now + NOTICE }));
            if !record.pools.is_empty() {
                record.drain.get_or_insert(Drain { since: now, drained_at: now + NOTICE });
            }
        }
        self.save(uid);
        self.follow(uid, now);
        self.announce(uid);
    }

    /// Evicts a machine whose time has come.
    pub(super) fn evict_due(&mut self, uid: &str, now: Timestamp) {
        let Some(record) = self.machines.get_mut(uid) else { return };
        let Some(preemption) = record.preemption.take_if(|preemption| preemption.at <= now) else { return };
        let Preemption { event_id: _, reason, at } = *preemption;
        if !can_be_evicted(record, at) {
            return;
        }
        record.evicted = Some(Evicted { at, reason });
        interrupt(record, at);
        let (generation, power) = (record.generation, record.power(at));
        let terms = self.models.get(record.model).spot.as_ref();
        let kind = match terms.map(|terms| terms.eviction_policy) {
            Some(EvictionPolicy::Delete) => OperationKind::Delete,
            Some(EvictionPolicy::Deallocate) | None => OperationKind::Power(PowerWish::Deallocated),
        };
        let nothing = BTreeSet::new();
        let risk = Risk { boot: Boot::None, extensions: &nothing };
        let drawn = self.draw_for(uid, at, risk, |scheduler| match kind {
            OperationKind::Delete => scheduler.delete(power),
            OperationKind::Power(_)
            | OperationKind::Create
            | OperationKind::Update(_)
            | OperationKind::Reimage
            | OperationKind::Restart
            | OperationKind::Redeploy
            | OperationKind::Freeze => scheduler.deallocate(),
        });
        let mark = Mark { kind, generation, model_revision: String::new(), wanted: 0 };
        self.begin_at(uid, mark, drawn, (at, now));
    }

    /// Gives back what a machine that an eviction has deleted still holds.
    pub(super) fn release_evicted(&mut self, uid: &str) {
        self.release_host(uid);
        let Some(record) = self.machines.get_mut(uid) else { return };
        let interfaces = std::mem::take(&mut record.interfaces);
        if let Some(region) = self.regions.get_mut(&record.placement.location) {
            for interface in &interfaces {
                region.release(interface);
            }
        }
    }
}

/// What was still to come of the operation that an eviction breaks off does not come: extensions wait for the next start,
/// and a guest that had not booted is not known.
pub(super) fn interrupt(record: &mut Record, at: Timestamp) {
    for run in record.extensions.values_mut().filter(|run| run.ends_at().is_some_and(|ends| ends > at)) {
        *run = ExtensionRun::Waiting;
    }
    record.guest_known_from = record.guest_known_from.filter(|from| *from <= at);
}

/// Whether there is something to take from a machine.
pub(super) fn can_be_evicted(record: &Record, now: Timestamp) -> bool {
    let going = record.operation.mark.kind == OperationKind::Delete;
    let released = matches!(record.power(now), PowerState::Deallocating | PowerState::Deallocated);
    record.host.is_some() && !going && !released
}

fn not_found(field: &'static str, message: String) -> ControlError {
    ControlError { code: ControlCode::NotFound, field, message }
}
