//! The simulated world: every region, host, machine and fault, as one value behind one lock.
//!
//! Calls check everything before they change anything, so that a refused call leaves no trace. What a call changes is
//! collected as writes for the store, in the order in which it took effect. Room on hosts, quota use, addresses and the
//! catalogue are derived from the machines and are not stored.
//!
//! Time does not write: [`World::settle`] gives room back and announces what has become due, and would do the same
//! again after a restart.

mod ahead;
mod asked;
mod association;
mod calls;
mod change;
mod control;
mod disturb;
mod health;
mod load;
mod maintenance;
mod make_room;
mod membership;
mod offer;
mod operation;
mod perform;
mod pool;
mod requests;
mod reservation;
mod restore;
mod slots;
mod spot;
mod termination;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::spot::{Price, Priority};

use crate::catalog::{Catalog, ZoneState};
use crate::error::HardwareError;
use crate::machine::{Change, Inventory, Machine};
use crate::sim::address::AddressPool;
use crate::sim::agenda::Agenda;
use crate::sim::application::ApplicationRule;
use crate::sim::fault::{Fault, Outage};
use crate::sim::journal::Call;
use crate::sim::latency::Latencies;
use crate::sim::load::{Loads, RunHistory};
use crate::sim::maintenance::Ongoing;
use crate::sim::model::{ModelKey, Models, Usage};
use crate::sim::placement::{HostCondition, Hosts};
use crate::sim::quota::{Claim, QuotaLedger};
use crate::sim::random::Chance;
use crate::sim::region::{RegionDefinition, SizeDefinition};
use crate::sim::requests::{RequestLoad, Requests};
use crate::sim::reservation::{Freed, GroupRecord};
use crate::sim::spot::SpotPressure;
use crate::sim::store::Write;
use crate::sim::vm::{HostState, Image, Record, Surroundings};

pub(crate) use change::Wanted;
pub use control::{ControlCode, ControlError, Drift, MachineFault};
pub(crate) use disturb::About;
pub(crate) use load::check_load;
pub(crate) use restore::Stored;

/// What an accepted call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Changed,
    Unchanged,
}

/// Everything there is.
#[derive(Debug)]
pub(crate) struct World {
    chance: Chance,
    latencies: Latencies,
    sizes: BTreeMap<String, SizeDefinition>,
    images: BTreeMap<String, Offer>,
    /// Versions that came through the control endpoint, by image family.
    published: BTreeMap<String, Vec<String>>,
    /// What applications are made to answer.
    script: Vec<ApplicationRule>,
    regions: BTreeMap<String, Region>,
    machines: BTreeMap<String, Box<Record>>,
    /// Capacity reservation groups by uid.
    groups: BTreeMap<String, GroupRecord>,
    models: Models,
    instance_numbers: BTreeMap<String, i64>,
    faults: BTreeMap<String, Fault>,
    outages: BTreeMap<String, Outage>,
    /// Prices that came through the control endpoint, by location and size.
    spot_prices: BTreeMap<String, BTreeMap<String, Price>>,
    spot_pressures: BTreeMap<String, SpotPressure>,
    /// Maintenance of hosts that goes on, by name.
    maintenances: BTreeMap<String, Ongoing>,
    /// Loads that came through the control endpoint, by location and load balancer.
    request_loads: BTreeMap<String, BTreeMap<String, Option<RequestLoad>>>,
    /// What is sent, by location and load balancer.
    requests: BTreeMap<(String, String), Requests>,
    loads: Loads,
    /// Who ran when.
    runs: RunHistory,
    /// When a host last went down or came back.
    host_changes: BTreeMap<String, Timestamp>,
    /// When which machine changes by itself next.
    due: Agenda,
    /// When which maintenance is looked at next.
    rounds: Agenda,
    /// When which machine gives a reserved slot back.
    releases: Agenda,
    catalog: Arc<Catalog>,
    /// Number of the last journalled call.
    sequence: u64,
    /// Highest epoch of a leader that has called.
    epoch: u64,
    /// Calls by kind and result, since the store was made.
    calls: BTreeMap<Call, CallCount>,
    writes: Vec<Write>,
    announcements: Vec<Change>,
}

/// How often a call was made, and how often it was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallCount {
    /// Calls that took effect, or read.
    pub accepted: u64,
    /// Calls that asked for what was there or under way.
    pub unchanged: u64,
    /// Calls that were refused, or whose answer was lost.
    pub failed: u64,
}

/// An image with its versions, oldest first.
#[derive(Clone, Debug)]
struct Offer {
    os_name: String,
    os_version: String,
    versions: Vec<String>,
}

/// One region with what is left of it.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) definition: RegionDefinition,
    pub(crate) hosts: Hosts,
    pub(crate) quota: QuotaLedger,
    pub(crate) subnets: BTreeMap<String, AddressPool>,
    pub(crate) public: AddressPool,
}

impl World {
    /// Lets what is due until `now` take effect, one instant after the other, and announces it. Nothing changes in between.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        self.regions.values_mut().for_each(|region| region.hosts.promises.forget_old(now));
        self.settle_releases(now);
        loop {
            let (machine, round) = (self.due.next(), self.rounds.next());
            // What machines do comes first: the next group is told of it once the one before is done.
            if let Some(round) = round.filter(|round| *round <= now && machine.is_none_or(|machine| *round < machine)) {
                self.pass_requests(round);
                self.maintain_due(now);
                continue;
            }
            let Some(at) = machine.filter(|at| *at <= now) else { break };
            self.pass_requests(at);
            if let Some(uid) = self.due.pop_due(at) {
                self.announce(&uid);
                self.terminate_due(&uid, at);
                self.disrupt_due(&uid, at);
                self.follow(&uid, at);
            }
        }
        self.pass_requests(now);
    }

    /// The next instant at which something changes by itself.
    pub(crate) fn next_event_at(&self) -> Option<Timestamp> {
        self.due.next().into_iter().chain(self.rounds.next()).min()
    }

    /// The machine as it is now.
    pub(crate) fn view(&self, uid: &str, now: Timestamp) -> Option<Machine> {
        self.machines.get(uid).map(|record| self.view_of(record, now))
    }

    fn view_of(&self, record: &Record, now: Timestamp) -> Machine {
        let capacity_reservation = self.reservation_of(record);
        let sizes = self.sizes_after_deallocation(record);
        Machine { capacity_reservation, ..record.view(now, self.surroundings(record), sizes) }
    }

    /// The machine as it is after a call about it.
    pub(crate) fn answer(&self, uid: &str, now: Timestamp) -> Result<Machine, HardwareError> {
        self.view(uid, now).ok_or_else(|| not_found(uid))
    }

    pub(crate) fn record(&self, uid: &str) -> Option<&Record> {
        self.machines.get(uid).map(Box::as_ref)
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.machines.values().map(Box::as_ref)
    }

    pub(crate) fn model(&self, record: &Record) -> &Arc<VirtualMachineModel> {
        self.models.get(record.model)
    }

    pub(crate) fn inventory(&self, now: Timestamp) -> Inventory {
        let machines = self.machines.values().map(|record| {
            let machine = self.view_of(record, now);
            (machine.uid.clone(), machine)
        });
        Inventory { machines: machines.collect(), highest_instance_numbers: self.instance_numbers.clone() }
    }

    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog)
    }

    pub(crate) fn regions(&self) -> &BTreeMap<String, Region> {
        &self.regions
    }

    pub(crate) fn faults(&self) -> &BTreeMap<String, Fault> {
        &self.faults
    }

    pub(crate) fn outages(&self) -> &BTreeMap<String, Outage> {
        &self.outages
    }

    pub(crate) fn spot_pressures(&self) -> &BTreeMap<String, SpotPressure> {
        &self.spot_pressures
    }

    pub(crate) fn calls(&self) -> &BTreeMap<Call, CallCount> {
        &self.calls
    }

    /// Number of the last journalled call.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Gives the next journalled call its number.
    pub(crate) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Highest epoch of a leader that has called.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A leader of a higher epoch has called.
    pub(crate) fn raise_epoch(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.writes.push(Write::state("epoch", &epoch));
    }

    /// Counts a call.
    pub(crate) fn count(&mut self, call: Call) -> &mut CallCount {
        self.calls.entry(call).or_default()
    }

    /// Collects the write of a journal entry, and of the counts.
    pub(crate) fn log(&mut self, entry: Write) {
        self.writes.push(entry);
        self.writes.push(Write::state("calls", &self.calls));
    }

    /// `namespace/kind/name` of a machine's owner, or of a group; empty where there is neither.
    pub(crate) fn described_owner(&self, uid: &str) -> String {
        let group = self.groups.get(uid);
        let group =
            group.map(|GroupRecord { namespace, name, .. }| format!("{namespace}/CapacityReservationGroup/{name}"));
        self.machines.get(uid).map(|record| record.owner.to_string()).or(group).unwrap_or_default()
    }

    /// What has to be written since the last time, oldest first.
    pub(crate) fn take_writes(&mut self) -> Vec<Write> {
        std::mem::take(&mut self.writes)
    }

    /// What has to be announced since the last time.
    pub(crate) fn take_announcements(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.announcements)
    }

    /// Every machine, every group and the catalog, as if each had changed.
    pub(crate) fn everything(&self) -> Vec<Change> {
        let groups = self.groups.values().map(reservation::change_of_group);
        self.records().map(change_of).chain(groups).chain([Change::Catalog]).collect()
    }

    /// The state of the host that a machine is on.
    pub(crate) fn host_state(&self, record: &Record) -> HostState {
        let Some(name) = &record.host else {
            return HostState::Up(None);
        };
        let changed_at = self.host_changes.get(name).copied();
        let host = self.regions.get(&record.placement.location).and_then(|region| region.hosts.get(name));
        match host.map(|host| host.condition) {
            Some(HostCondition::Down) => HostState::Down(changed_at.unwrap_or(record.created_at)),
            Some(HostCondition::Up) | None => HostState::Up(changed_at),
        }
    }

    /// What a machine's looks depend on besides its record.
    pub(crate) fn surroundings<'a>(&'a self, record: &Record) -> Surroundings<'a> {
        Surroundings { model: self.models.get(record.model), host: self.host_state(record), script: &self.script }
    }

    fn announce(&mut self, uid: &str) {
        if let Some(record) = self.machines.get(uid) {
            self.announcements.push(change_of(record));
        }
    }

    /// Does what a machine's operation does to its surroundings once it is over, and notes when it changes next.
    fn follow(&mut self, uid: &str, now: Timestamp) {
        self.evict_due(uid, now);
        let Some(record) = self.machines.get(uid) else {
            return;
        };
        self.runs.note(record, self.models.get(record.model), now);
        if record.is_gone(now) {
            self.remove(uid, now);
            return;
        }
        if record.announced.as_ref().is_some_and(|announced| announced.is_over(record, now)) {
            self.machines.entry(uid.to_owned()).and_modify(|record| record.announced = None);
        }
        let Some(record) = self.machines.get(uid) else { return };
        if record.is_deleted(now) {
            self.release_evicted(uid);
        } else if record.has_released_host(now) {
            self.release_host(uid);
        }
        self.note_release(uid);
        let next = |record: &Record| record.next_transition(now, self.models.get(record.model));
        self.due.set(uid, self.record(uid).and_then(next));
    }

    /// Takes a machine out of the world, with all that it holds.
    fn remove(&mut self, uid: &str, now: Timestamp) {
        self.release_host(uid);
        self.end_promise(uid);
        self.leave_reservation(uid);
        self.due.set(uid, None);
        self.releases.set(uid, None);
        let Some(record) = self.machines.remove(uid) else {
            return;
        };
        self.runs.gone(&record, now);
        if let Some(region) = self.regions.get_mut(&record.placement.location) {
            record.interfaces.iter().for_each(|interface| region.release(interface));
        }
        self.release_model(record.model);
        self.writes.push(Write::RemoveMachine(uid.to_owned()));
    }

    /// Gives the room and the quota of a machine back; it keeps its addresses and disks.
    fn release_host(&mut self, uid: &str) {
        if self.vacate(uid, Freed::ForOthers) == slots::Room::Reserved {
            return;
        }
        let Some(record) = self.machines.get_mut(uid) else {
            return;
        };
        let Some(host) = record.host.take() else {
            return;
        };
        let model = self.models.get(record.model);
        let claim = self.sizes.get(&model.vm_size).map(|size| claim_of(size, priority_of(model)));
        if let Some((claim, region)) = claim.zip(self.regions.get_mut(&record.placement.location)) {
            region.hosts.give_back(&host, &claim, record.owner.set_uid.as_deref());
            if record.quota.is_counted() {
                region.quota.give_back(&claim);
            }
        }
        let location = record.placement.location.clone();
        self.announce_room(&location, &host);
    }

    fn acquire_model(&mut self, model: &Arc<VirtualMachineModel>) -> ModelKey {
        let key = self.models.acquire(model);
        if self.models.is_new(key) {
            self.writes.push(Write::model(key, model));
        }
        key
    }

    fn release_model(&mut self, key: ModelKey) {
        match self.models.release(key) {
            Usage::InUse => {}
            Usage::Unused => self.writes.push(Write::RemoveModel(key)),
        }
    }

    /// Collects the write of a machine that the current call has changed.
    fn save(&mut self, uid: &str) {
        if let Some(record) = self.machines.get_mut(uid) {
            record.sequence = self.sequence;
            self.writes.push(Write::machine(record));
        }
    }

    /// Puts the outages into effect on the hosts and brings the catalogue up to date; names the hosts that changed.
    fn apply_outages(&mut self) -> Vec<String> {
        let mut changed = Vec::new();
        for (location, region) in &mut self.regions {
            for (name, host) in region.hosts.iter_mut() {
                let down = self.outages.values().any(|outage| outage.covers(location, &host.domain, name));
                let condition = if down { HostCondition::Down } else { HostCondition::Up };
                if host.condition != condition {
                    host.condition = condition;
                    changed.push(name.clone());
                }
            }
        }
        self.refresh_catalog();
        changed
    }

    fn refresh_catalog(&mut self) {
        let regions = self.regions.iter().map(|(name, region)| (name.clone(), self.catalog_of(region)));
        self.catalog = Arc::new(Catalog { regions: regions.collect() });
    }

    /// A size as a region offers it now.
    fn offer(&self, region: &Region, size: &SizeDefinition) -> Option<crate::catalog::Size> {
        let spot_price = self.spot_price(&region.definition.name, &size.name);
        Some(crate::catalog::Size { spot_price, ..region.offer_of(size)? })
    }

    fn catalog_of(&self, region: &Region) -> crate::catalog::Region {
        let zone_state = |zone: &String| {
            let up = |(_, host): (&String, &crate::sim::placement::Host)| {
                host.domain.zone.as_ref() == Some(zone) && host.condition == HostCondition::Up
            };
            if region.hosts.iter().any(up) { ZoneState::Available } else { ZoneState::Unavailable }
        };
        let definition = &region.definition;
        crate::catalog::Region {
            zones: definition.zones.iter().map(|zone| (zone.clone(), zone_state(zone))).collect(),
            fault_domain_count: definition.fault_domain_count,
            sizes: self
                .sizes
                .values()
                .filter_map(|size| Some((size.name.clone(), self.offer(region, size)?)))
                .collect(),
            images: self.images.iter().map(|(family, offer)| (family.clone(), offer.versions.clone())).collect(),
            subnets: definition.subnets.iter().map(|subnet| subnet.name.clone()).collect(),
            network_security_groups: definition.network_security_groups.clone(),
            load_balancers: definition.load_balancers.iter().map(|one| (one.name.clone(), one.sku)).collect(),
        }
    }
}

fn change_of(record: &Record) -> Change {
    Change::Machine { uid: record.uid.clone(), owner: record.owner.clone() }
}

fn claim_of(size: &SizeDefinition, priority: Priority) -> Claim {
    let SizeDefinition {
        name: _,
        family,
        vcpus,
        memory_mib,
        memory_preserving: _,
        spot_price: _,
        reservation_fault_domain_count: _,
    } = size;
    Claim { family: family.clone(), vcpus: *vcpus, memory_mib: *memory_mib, priority }
}

fn priority_of(model: &VirtualMachineModel) -> Priority {
    if model.spot.is_some() { Priority::Spot } else { Priority::Regular }
}

fn not_found(uid: &str) -> HardwareError {
    HardwareError::NotFound { uid: uid.to_owned() }
}

impl Offer {
    fn image(&self, version: &str) -> Image {
        Image { version: version.to_owned(), os_name: self.os_name.clone(), os_version: self.os_version.clone() }
    }
}
