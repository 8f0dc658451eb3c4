//! A load balancer as it looks from outside: what its probe hears, who is in its pool, what becomes of its requests.

use jiff::Timestamp;
use scaleset_crds::load_balancing::{LoadBalancerSku, PoolMemberState};
use serde::Serialize;

use super::{find_region, not_found};
use crate::machine::Health;
use crate::sim::Simulation;
use crate::sim::region::{LoadBalancerDefinition, ProbeDefinition};
use crate::sim::requests::{RequestCounts, RequestLoad};
use crate::sim::vm::Record;
use crate::sim::world::{ControlError, World};

/// A load balancer and what its probe hears.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoadBalancerView {
    name: String,
    sku: LoadBalancerSku,
    subnet: String,
    probe: ProbeDefinition,
    up: usize,
    down: usize,
    backends: Vec<Backend>,
    pool: PoolView,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<RequestsView>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Backend {
    uid: String,
    owner: String,
    #[serde(rename = "privateIPAddress")]
    private_ip_address: String,
    state: ProbeState,
}

/// What a probe hears of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum ProbeState {
    Up,
    Down,
}

/// The machines whose models name the load balancer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PoolView {
    healthy: usize,
    draining: usize,
    unhealthy: usize,
    members: Vec<MemberView>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberView {
    uid: String,
    owner: String,
    state: PoolMemberState,
    #[serde(skip_serializing_if = "Option::is_none")]
    drained_at: Option<Timestamp>,
}

/// What is sent, and what has become of it since the process started.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestsView {
    #[serde(flatten)]
    load: RequestLoad,
    #[serde(flatten)]
    counts: RequestCounts,
    lost: u64,
}

impl Simulation {
    pub(crate) fn load_balancer(&self, location: &str, name: &str) -> Result<LoadBalancerView, ControlError> {
        let (world, now) = self.inner.settled();
        let region = find_region(&world, location)?;
        let definition = region.definition.load_balancers.iter().find(|balancer| balancer.name == name);
        let LoadBalancerDefinition { name, sku, subnet, probe, requests: _ } =
            definition.cloned().ok_or_else(|| not_found("name", format!("{location} has no load balancer {name}")))?;
        let here = |record: &&Record| record.placement.location == location;
        let backend = |record: &Record| backend(&world, record, &subnet, now);
        let backends: Vec<Backend> = world.records().filter(here).filter_map(backend).collect();
        let up = backends.iter().filter(|backend| backend.state == ProbeState::Up).count();
        let members = world.records().filter(here).filter_map(|record| member(&world, record, &name, now));
        let pool = pool(members.collect());
        let requests = world.requests_of(location, &name);
        let requests = requests.map(|(load, counts)| RequestsView { load, counts, lost: counts.lost() });
        Ok(LoadBalancerView { name, sku, probe, up, down: backends.len() - up, backends, subnet, pool, requests })
    }
}

/// The machine as a backend of a load balancer in `subnet`, if its primary interface is in it.
fn backend(world: &World, record: &Record, subnet: &str, now: Timestamp) -> Option<Backend> {
    let primary = record.primary_interface(world.model(record))?;
    let healthy = record.visible_health(now, world.surroundings(record)) == Health::Healthy;
    (primary.subnet == subnet).then(|| Backend {
        uid: record.uid.clone(),
        owner: record.owner.to_string(),
        private_ip_address: primary.private.to_string(),
        state: if healthy { ProbeState::Up } else { ProbeState::Down },
    })
}

fn member(world: &World, record: &Record, name: &str, now: Timestamp) -> Option<MemberView> {
    let member = record.pool_members(world.model(record), now).into_iter().find(|one| one.load_balancer == name)?;
    Some(MemberView {
        uid: record.uid.clone(),
        owner: record.owner.to_string(),
        state: member.state,
        drained_at: record.drain.map(|drain| drain.drained_at),
    })
}

fn pool(members: Vec<MemberView>) -> PoolView {
    let count = |state: PoolMemberState| members.iter().filter(|member| member.state == state).count();
    PoolView {
        healthy: count(PoolMemberState::Healthy),
        draining: count(PoolMemberState::Draining),
        unhealthy: count(PoolMemberState::Unhealthy),
        members,
    }
}
