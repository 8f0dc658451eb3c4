//! Members by backend pool.

use std::collections::BTreeMap;

use scaleset_crds::load_balancing::{PoolMemberState, PoolMembership, PoolSummary};

use crate::snapshot::Member;

/// Pools that are told.
const POOLS_MAX: usize = 64;

pub(super) fn summaries(members: &[Member]) -> Vec<PoolSummary> {
    let mut pools: BTreeMap<&str, PoolSummary> = BTreeMap::new();
    for PoolMembership { name, state, drained_at: _ } in members.iter().flat_map(|member| &member.report.pools) {
        let empty = || PoolSummary { name: name.clone(), healthy: 0, draining: 0, total: 0 };
        let pool = pools.entry(name).or_insert_with(empty);
        pool.total += 1;
        match state {
            PoolMemberState::Healthy => pool.healthy += 1,
            PoolMemberState::Draining => pool.draining += 1,
            PoolMemberState::Unhealthy => {}
        }
    }
    pools.into_values().take(POOLS_MAX).collect()
}
