//! A machine as a member of backend pools: what the probe of each load balancer hears of it, and its drain.
//!
//! ```text
//! Unhealthy ──► Healthy      the probe has heard one good answer; `numberOfProbes` others lead back
//!     ▲            │
//!     │            │ drain, the notice of an eviction, or maintenance that is near
//!     │            ▼
//!     └──────── Draining     until what it drained for begins: its probe starts anew then; or until the drain is undone
//! ```
//!
//! A load balancer asks as long as the machine holds hardware, whether it is up or not: that a machine went down without
//! having drained is found out by the probe only, and until then requests hit it.
//!
//! Source: Azure's "Load Balancer health probes". That members drain is ours.

use jiff::{SignedDuration, Timestamp};
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::health::{HealthProbe, HealthSource};
use scaleset_crds::load_balancing::{PoolMemberState, drain_timeouts, longest_drain_seconds};
use scaleset_crds::vocabulary::{HealthState, PowerState};
use serde::{Deserialize, Serialize};

use crate::machine::{ApplicationHealthReport, PoolMember};
use crate::sim::health::Watch;
use crate::sim::vm::{HostState, Record};

/// What a load balancer hears of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PoolWatch {
    /// What it asks, and how often.
    pub(crate) probe: HealthProbe,
    pub(crate) watch: Watch,
}

impl PoolWatch {
    pub(crate) fn report(&self, now: Timestamp) -> Option<ApplicationHealthReport> {
        self.watch.report(HealthSource::Probe(&self.probe), now)
    }

    fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        self.watch.next_change(HealthSource::Probe(&self.probe), now)
    }
}

impl Record {
    /// Its state in the pool of a load balancer that its model names.
    pub(crate) fn pool_state(&self, pool: &str, now: Timestamp) -> PoolMemberState {
        let said = self.pools.get(pool).and_then(|watch| watch.report(now)).map(|report| report.state);
        match said {
            _ if self.drain.is_some() => PoolMemberState::Draining,
            Some(HealthState::Healthy) => PoolMemberState::Healthy,
            Some(HealthState::Initializing | HealthState::Unhealthy | HealthState::Unknown) | None => {
                PoolMemberState::Unhealthy
            }
        }
    }

    /// The pools that it is a member of: those that its model names, while it holds hardware.
    pub(crate) fn pool_members(&self, model: &VirtualMachineModel, now: Timestamp) -> Vec<PoolMember> {
        let named = drain_timeouts(&model.network_profile.network_interfaces);
        let held = named.into_keys().filter(|_| self.host.is_some());
        held.map(|pool| PoolMember { load_balancer: pool.to_owned(), state: self.pool_state(pool, now) }).collect()
    }

    /// The next instant after `now` at which it has drained, or a probe says something else.
    pub(crate) fn next_change_in_pools(&self, now: Timestamp) -> Option<Timestamp> {
        let drained = self.drain.map(|drain| drain.drained_at).filter(|at| *at > now);
        self.pools.values().filter_map(|pool| pool.next_change(now)).chain(drained).min()
    }

    /// When it leaves its pools for maintenance that it was told of; none where it is in no pool, or has left them.
    pub(crate) fn leaves_pools_at(&self, model: &VirtualMachineModel) -> Option<Timestamp> {
        let stays = self.drain.is_none() && !self.pools.is_empty();
        let told = self.announced.as_ref().filter(|told| stays && told.drains())?;
        let longest = longest_drain_seconds(&model.network_profile.network_interfaces)?;
        Some(told.begins_at(&self.operation) - SignedDuration::from_secs(i64::from(longest)))
    }

    /// Since when a request that reaches it finds its guest up; none while it does not.
    pub(crate) fn up_since(&self, now: Timestamp, host: HostState) -> Option<Timestamp> {
        let reached = self.hangs_since.is_none() && !matches!(host, HostState::Down(_));
        let runs = self.power(now) == PowerState::Running && self.guest_is_known(now);
        self.runs_from.filter(|from| reached && runs && *from <= now)
    }

    /// What it drained for has begun: it gets requests again once its probes have heard it anew. One that has been told of
    /// its eviction does not come back before.
    pub(crate) fn end_drain(&mut self) {
        if self.preemption.is_none() && self.drain.take().is_some() {
            self.pools.clear();
        }
    }
}
