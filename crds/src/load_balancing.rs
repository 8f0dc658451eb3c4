//! Backend pools of load balancers: which interfaces belong to one, how long a VM drains before it goes down, and what is
//! told of the members.
//!
//! Sources: Azure's "Load Balancer health probes", "Networking for Azure Virtual Machine Scale Sets". That a VM leaves its
//! pools before it is taken down, and waits for what is under way, is ours: see `docs/load-balancing.md`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile::NetworkInterface;
use crate::rules::load_balancing as refuse;

/// Seconds that a VM drains, where the profile does not say.
const DRAIN_TIMEOUT_SECONDS: i32 = 30;

/// The backend pool of one load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = refuse::drain_timeout_range())]
pub struct BackendPoolReference {
    /// Load balancer of the region whose backend pool the interface joins. Required.
    #[schemars(length(min = 1, max = 80))]
    pub name: String,
    /// Seconds of scenario time, 0 to 3600, default 30, that a VM stays up after it has left the pool and before it is
    /// restarted, stopped, reimaged, redeployed or deleted: no new requests come, those under way end. With 0 it goes at
    /// once.
    #[serde(default = "drain_timeout_seconds")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub drain_timeout_seconds: i32,
}

const fn drain_timeout_seconds() -> i32 {
    DRAIN_TIMEOUT_SECONDS
}

// No doc comments on variants, see `vocabulary`.
#[expect(missing_docs, reason = "documented at the field")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum PoolMemberState {
    Healthy,
    Draining,
    Unhealthy,
}

/// A VM as a member of a backend pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolMembership {
    /// The load balancer.
    #[schemars(length(max = 80))]
    pub name: String,
    /// Healthy: it gets requests. Draining: it has left the pool, and what is under way ends. Unhealthy: the probe hears
    /// nothing good of it.
    pub state: PoolMemberState,
    /// When it has drained, scenario time; while it is draining only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained_at: Option<Time>,
}

/// The members of a set in one backend pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolSummary {
    /// The load balancer.
    #[schemars(length(max = 80))]
    pub name: String,
    /// Members that get requests.
    pub healthy: i32,
    /// Members that have left the pool, to be taken down.
    pub draining: i32,
    /// All members, those that the probe hears nothing good of included.
    pub total: i32,
}

// What a load balancer can do (Azure: Basic and Standard Load Balancer).
#[expect(missing_docs, reason = "the names are Azure's")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LoadBalancerSku {
    Basic,
    #[default]
    Standard,
}

/// The pools of a VM with the seconds that it drains from each; of a pool that several interfaces name, the longest.
pub fn drain_timeouts(interfaces: &[NetworkInterface]) -> BTreeMap<&str, i32> {
    let mut timeouts = BTreeMap::new();
    for BackendPoolReference { name, drain_timeout_seconds } in
        interfaces.iter().flat_map(|interface| &interface.load_balancer_backend_pools)
    {
        let longest = timeouts.entry(name.as_str()).or_insert(*drain_timeout_seconds);
        *longest = (*longest).max(*drain_timeout_seconds);
    }
    timeouts
}

/// The seconds that a VM drains for: the longest of its pools; `None` where it is in none.
pub fn longest_drain_seconds(interfaces: &[NetworkInterface]) -> Option<i32> {
    drain_timeouts(interfaces).into_values().max()
}
