//! The world at the start: made from the region file, filled with what the store holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::spot::Price;

use super::{CallCount, Offer, Region, World, claim_of, priority_of};
use crate::catalog::Catalog;
use crate::sim::agenda::Agenda;
use crate::sim::clock::Anchor;
use crate::sim::fault::{Fault, Outage};
use crate::sim::journal::Call;
use crate::sim::load::{LoadEra, Loads, RunHistory};
use crate::sim::maintenance::Ongoing;
use crate::sim::model::{ModelKey, Models};
use crate::sim::promise::Promise;
use crate::sim::random::Chance;
use crate::sim::region::{ImageDefinition, RegionFile};
use crate::sim::requests::RequestLoad;
use crate::sim::reservation::GroupRecord;
use crate::sim::spot::SpotPressure;
use crate::sim::store::Write;
use crate::sim::vm::Record;

/// What a store holds; all empty when it is new.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) machines: Vec<Record>,
    pub(crate) groups: Vec<GroupRecord>,
    pub(crate) models: BTreeMap<ModelKey, VirtualMachineModel>,
    pub(crate) instance_numbers: BTreeMap<String, i64>,
    pub(crate) faults: BTreeMap<String, Fault>,
    pub(crate) outages: BTreeMap<String, Outage>,
    pub(crate) host_changes: BTreeMap<String, Timestamp>,
    pub(crate) spot_prices: BTreeMap<String, BTreeMap<String, Price>>,
    pub(crate) spot_pressures: BTreeMap<String, SpotPressure>,
    pub(crate) maintenances: BTreeMap<String, Ongoing>,
    pub(crate) request_loads: BTreeMap<String, BTreeMap<String, Option<RequestLoad>>>,
    pub(crate) loads: BTreeMap<String, Vec<LoadEra>>,
    pub(crate) promises: BTreeMap<String, Promise>,
    pub(crate) published: BTreeMap<String, Vec<String>>,
    pub(crate) calls: BTreeMap<Call, CallCount>,
    pub(crate) anchor: Option<Anchor>,
    /// Highest epoch of a leader that has called.
    pub(crate) epoch: u64,
    /// Number of the last journalled call.
    pub(crate) sequence: u64,
    /// Scenario time of that call.
    pub(crate) latest: Option<Timestamp>,
}

impl World {
    /// The world of a region file with what a store holds. An error says what of the store does not fit the file.
    pub(crate) fn restore(file: RegionFile, stored: Stored, now: Timestamp) -> Result<Self, String> {
        let Stored {
            machines,
            groups,
            models,
            instance_numbers,
            faults,
            outages,
            host_changes,
            spot_prices,
            spot_pressures,
            maintenances,
            request_loads,
            loads,
            promises,
            published,
            calls,
            anchor: _,
            epoch,
            sequence,
            latest: _,
        } = stored;
        let RegionFile { seed, latencies, sizes, images, regions, applications, loads: scripted } = file;
        let mut world = Self {
            chance: Chance::new(seed),
            latencies,
            sizes: sizes.into_iter().map(|size| (size.name.clone(), size)).collect(),
            images: images.into_iter().map(|image| (image.family(), Offer::from(image))).collect(),
            published,
            script: applications,
            regions: regions.into_iter().map(|region| (region.name.clone(), Region::new(region))).collect(),
            machines: BTreeMap::new(),
            groups: BTreeMap::new(),
            models: Models::default(),
            instance_numbers,
            faults,
            outages,
            spot_prices,
            spot_pressures,
            maintenances,
            request_loads,
            requests: BTreeMap::new(),
            loads: Loads::new(scripted, loads),
            runs: RunHistory::default(),
            host_changes,
            due: Agenda::default(),
            rounds: Agenda::default(),
            releases: Agenda::default(),
            catalog: Arc::new(Catalog::default()),
            sequence,
            epoch,
            calls,
            writes: Vec::new(),
            announcements: Vec::new(),
        };
        for (key, model) in models {
            world.models.restore(key, model);
        }
        world.republish();
        world.renew_promises(promises);
        for group in groups {
            world.readmit_group(group)?;
        }
        for record in machines {
            world.readmit(record, now)?;
        }
        world.resume(now);
        Ok(world)
    }

    /// Goes on with what was under way.
    fn resume(&mut self, now: Timestamp) {
        self.resume_reservations(now);
        self.resume_maintenances();
        let unused = self.models.drop_unused();
        self.writes.extend(unused.into_iter().map(Write::RemoveModel));
        self.apply_outages();
        // Another script than the last time is heard from now on.
        let watched = self.records().filter(|record| record.watch.is_some() || !record.pools.is_empty());
        let watched: Vec<String> = watched.map(|record| record.uid.clone()).collect();
        for uid in &watched {
            self.listen_again(uid, now);
        }
        self.resume_requests(now);
        for record in self.machines.values() {
            self.runs.note(record, self.models.get(record.model), now);
        }
    }

    /// Adds the versions that came through the control endpoint to those of the region file.
    fn republish(&mut self) {
        for (family, versions) in &self.published {
            if let Some(offer) = self.images.get_mut(family) {
                let missing = versions.iter().filter(|version| !offer.versions.contains(version));
                let missing: Vec<String> = missing.cloned().collect();
                offer.versions.extend(missing);
            }
        }
    }

    /// Takes a stored machine back into the world, as it is now.
    fn readmit(&mut self, mut record: Record, now: Timestamp) -> Result<(), String> {
        let uid = record.uid.clone();
        // What is reserved was given back in a certain order, see `resume_reservations`.
        let reserved = record.reservation.is_some() && record.host.is_some();
        if record.is_gone(now) && !reserved {
            self.writes.push(Write::RemoveMachine(uid));
            return Ok(());
        }
        if !reserved && (record.has_released_host(now) || record.is_deleted(now)) {
            record.host = None;
        }
        if record.is_deleted(now) {
            record.interfaces.clear();
        }
        if !self.models.reuse(record.model) {
            return Err(format!("machine {uid} has a model that is not there"));
        }
        let model = self.models.get(record.model);
        let (size, probe) = (&model.vm_size, &model.network_profile.health_probe);
        let location = &record.placement.location;
        let region =
            self.regions.get_mut(location).ok_or_else(|| format!("machine {uid} is in location {location}"))?;
        if let Some(probe) = probe.as_ref().filter(|probe| !region.has_balancer(probe)) {
            return Err(format!("machine {uid} is probed by load balancer {}", probe.load_balancer));
        }
        if let Some(pool) = region.unknown_pool(&model.network_profile.network_interfaces) {
            return Err(format!("machine {uid} is in the backend pool of load balancer {pool}"));
        }
        if let Some(host) = &record.host {
            let size = self.sizes.get(size).ok_or_else(|| format!("machine {uid} has size {size}"))?;
            let claim = claim_of(size, priority_of(model));
            if !region.hosts.take(host, &claim, record.owner.set_uid.as_deref()) {
                return Err(format!("machine {uid} is on host {host}, which has no room for it"));
            }
            if record.reservation.is_none() && record.quota.is_counted() {
                region.quota.take(&claim);
            }
        }
        for interface in &record.interfaces {
            let claimed = region.subnets.get_mut(&interface.subnet).is_some_and(|pool| pool.claim(interface.private));
            let public = interface.public.is_none_or(|address| region.public.claim(address));
            if !claimed || !public {
                return Err(format!("machine {uid} has address {} of subnet {}", interface.private, interface.subnet));
            }
        }
        let associated = record.reservation.clone().map(|association| (association, record.host.clone()));
        self.machines.insert(uid.clone(), Box::new(record));
        if let Some((association, host)) = associated {
            return self.readmit_member(&uid, association, host);
        }
        self.follow(&uid, now);
        Ok(())
    }
}

impl From<ImageDefinition> for Offer {
    fn from(image: ImageDefinition) -> Self {
        let ImageDefinition { publisher: _, offer: _, sku: _, id: _, os_name, os_version, versions } = image;
        Self { os_name, os_version, versions }
    }
}
