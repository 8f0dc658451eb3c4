//! What a simulation looks like from outside: regions with the room that is left, machines, load balancers and clock.

mod load_balancer;

use std::collections::BTreeMap;

use jiff::Timestamp;
use scaleset_crds::spot::Price;
use serde::Serialize;

use super::Simulation;
use super::address::AddressPool;
use super::fault::{Fault, Outage};
use super::load::Load;
use super::placement::{Host, HostCondition};
use super::quota::QuotaUse;
use super::spot::SpotPressure;
use super::store::JournalPage;
use super::vm::Record;
use super::world::{ControlCode, ControlError, Region, World};
use crate::catalog::Catalog;
use crate::machine::Machine;
use crate::reservation::ReservationGroup;

pub(crate) use load_balancer::LoadBalancerView;

/// The clock of a simulation.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClockView {
    scenario_time: Timestamp,
    wall_time: Timestamp,
    /// Scenario seconds in one second of wall time.
    time_scale: f64,
    /// When something next changes by itself, scenario time.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_event_at: Option<Timestamp>,
}

/// A region with what is left of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RegionView {
    name: String,
    zones: Vec<String>,
    fault_domain_count: i32,
    machines: u32,
    hosts_up: usize,
    hosts_down: usize,
    vcpus: i64,
    free_vcpus: i64,
    quotas: Vec<QuotaUse>,
    subnets: Vec<SubnetView>,
    public_addresses: SubnetView,
    load_balancers: Vec<String>,
}

/// A region with everything that it offers and each of its hosts.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RegionDetail {
    #[serde(flatten)]
    summary: RegionView,
    sizes: Vec<String>,
    images: BTreeMap<String, Vec<String>>,
    hosts: Vec<HostView>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HostView {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    fault_domain: i32,
    condition: HostCondition,
    machines: u32,
    vcpus: i32,
    free_vcpus: i32,
    /// vCPUs of reserved slots that nobody uses.
    #[serde(skip_serializing_if = "is_none")]
    set_aside_vcpus: i32,
    #[serde(rename = "memoryMiB")]
    memory_mib: i64,
    #[serde(rename = "freeMemoryMiB")]
    free_memory_mib: i64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SubnetView {
    name: String,
    address_prefix: String,
    used: u32,
    free: u32,
}

impl Simulation {
    pub(crate) fn clock_view(&self) -> ClockView {
        let (world, now) = self.inner.settled();
        ClockView {
            scenario_time: now,
            wall_time: Timestamp::now(),
            time_scale: self.inner.clock.time_scale(),
            next_event_at: world.next_event_at(),
        }
    }

    pub(crate) fn region_views(&self) -> Vec<RegionView> {
        let (world, _) = self.inner.settled();
        world.regions().values().map(|region| region_view(&world, region)).collect()
    }

    pub(crate) fn region_detail(&self, location: &str) -> Result<RegionDetail, ControlError> {
        let (world, _) = self.inner.settled();
        let region = find_region(&world, location)?;
        let catalog: &Catalog = &world.catalog();
        let offered = catalog.regions.get(location).cloned().unwrap_or_default();
        Ok(RegionDetail {
            summary: region_view(&world, region),
            sizes: offered.sizes.into_keys().collect(),
            images: offered.images,
            hosts: region.hosts.iter().map(|(name, host)| host_view(name, host)).collect(),
        })
    }

    /// Machines behind a uid, in the order of their uids.
    pub(crate) fn machines_after(&self, after: &str, limit: usize, keep: impl Fn(&Machine) -> bool) -> Vec<Machine> {
        let (world, now) = self.inner.settled();
        let behind = world.records().filter(|record| record.uid.as_str() > after);
        behind.filter_map(|record| world.view(&record.uid, now)).filter(|machine| keep(machine)).take(limit).collect()
    }

    /// One machine as it is now.
    pub(crate) fn machine_view(&self, uid: &str) -> Option<Machine> {
        let (world, now) = self.inner.settled();
        world.view(uid, now)
    }

    /// A page of the journal, of one machine or of all. A machine that is gone is named by its uid.
    pub(crate) async fn journal_page(
        &self,
        after: u64,
        limit: usize,
        machine: Option<&str>,
    ) -> Result<JournalPage, ControlError> {
        let uid = machine.map(|name| self.machine_uid(name).unwrap_or_else(|_| name.to_owned()));
        let simulation = self.clone();
        let read = move || simulation.inner.store.journal(after, limit.max(1), uid.as_deref());
        let page = tokio::task::spawn_blocking(read).await.expect("reading the journal does not panic");
        page.map_err(|error| ControlError { code: ControlCode::Unavailable, field: "", message: error.to_string() })
    }

    /// The uid that `reference` names: a uid, or `namespace:name` of the machine's owner.
    pub(crate) fn machine_uid(&self, reference: &str) -> Result<String, ControlError> {
        let (world, _) = self.inner.settled();
        if world.record(reference).is_some() {
            return Ok(reference.to_owned());
        }
        let named = reference.split_once(':').map(|(namespace, name)| {
            let named = |record: &&Record| record.owner.namespace == namespace && record.owner.name == name;
            world.records().filter(named).map(|record| record.uid.clone()).collect::<Vec<_>>()
        });
        match named.unwrap_or_default().as_slice() {
            [uid] => Ok(uid.clone()),
            [] => Err(not_found("machine", format!("no machine {reference}, neither a uid nor namespace:name"))),
            several => Err(ControlError {
                code: ControlCode::Conflict,
                field: "machine",
                message: format!("{reference} names {} machines: {}", several.len(), several.join(", ")),
            }),
        }
    }

    /// Every group, in the order of their uids.
    pub(crate) fn group_views(&self) -> Vec<ReservationGroup> {
        let (world, _) = self.inner.settled();
        world.groups().keys().filter_map(|uid| world.group_view(uid)).collect()
    }

    /// The group that `reference` names: a uid, or `namespace:name`.
    pub(crate) fn group_named(&self, reference: &str) -> Result<ReservationGroup, ControlError> {
        let named = |group: &ReservationGroup| {
            group.uid == reference || reference.split_once(':') == Some((&group.namespace, &group.name))
        };
        let missing = || not_found("group", format!("no group {reference}, neither a uid nor namespace:name"));
        self.group_views().into_iter().find(named).ok_or_else(missing)
    }

    pub(crate) fn load_views(&self) -> BTreeMap<String, Load> {
        self.inner.settled().0.loads()
    }

    pub(crate) fn fault_views(&self) -> BTreeMap<String, Fault> {
        self.inner.settled().0.faults().clone()
    }

    pub(crate) fn spot_pressure_views(&self) -> BTreeMap<String, SpotPressure> {
        self.inner.settled().0.spot_pressures().clone()
    }

    /// What Spot machines of each size cost now in a region.
    pub(crate) fn spot_price_views(&self, location: &str) -> Result<BTreeMap<String, Price>, ControlError> {
        let (world, _) = self.inner.settled();
        find_region(&world, location)?;
        let catalog = world.catalog();
        let sizes = catalog.regions.get(location).into_iter().flat_map(|region| &region.sizes);
        Ok(sizes.filter_map(|(name, size)| Some((name.clone(), size.spot_price?))).collect())
    }

    pub(crate) fn outage_views(&self) -> BTreeMap<String, Outage> {
        self.inner.settled().0.outages().clone()
    }
}

fn find_region<'a>(world: &'a World, location: &str) -> Result<&'a Region, ControlError> {
    let known = || world.regions().keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let regions = world.regions();
    regions.get(location).ok_or_else(|| not_found("location", format!("no region {location}, there are: {}", known())))
}

fn not_found(field: &'static str, message: String) -> ControlError {
    ControlError { code: ControlCode::NotFound, field, message }
}

fn region_view(world: &World, region: &Region) -> RegionView {
    let Region { definition, hosts, quota, subnets, public } = region;
    let up = hosts.iter().filter(|(_, host)| host.condition == HostCondition::Up).count();
    RegionView {
        name: definition.name.clone(),
        zones: definition.zones.clone(),
        fault_domain_count: definition.fault_domain_count,
        machines: hosts.iter().map(|(_, host)| host.machines).sum(),
        hosts_up: up,
        hosts_down: hosts.iter().count() - up,
        vcpus: hosts.iter().map(|(_, host)| i64::from(host.vcpus)).sum(),
        free_vcpus: hosts.iter().map(|(_, host)| i64::from(host.free_vcpus)).sum(),
        quotas: quota.uses(world.spot_usage(&definition.name)),
        subnets: subnets.iter().map(|(name, pool)| subnet_view(name, pool)).collect(),
        public_addresses: subnet_view("public", public),
        load_balancers: definition.load_balancers.iter().map(|balancer| balancer.name.clone()).collect(),
    }
}

fn host_view(name: &str, host: &Host) -> HostView {
    let Host {
        domain,
        families: _,
        vcpus,
        memory_mib,
        free_vcpus,
        free_memory_mib,
        set_aside_vcpus,
        machines,
        condition,
    } = host;
    HostView {
        name: name.to_owned(),
        zone: domain.zone.clone(),
        fault_domain: domain.fault_domain,
        condition: *condition,
        machines: *machines,
        vcpus: *vcpus,
        free_vcpus: *free_vcpus,
        set_aside_vcpus: *set_aside_vcpus,
        memory_mib: *memory_mib,
        free_memory_mib: *free_memory_mib,
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_none(vcpus: &i32) -> bool {
    *vcpus == 0
}

fn subnet_view(name: &str, pool: &AddressPool) -> SubnetView {
    SubnetView {
        name: name.to_owned(),
        address_prefix: pool.prefix().to_string(),
        used: pool.used(),
        free: pool.free(),
    }
}
