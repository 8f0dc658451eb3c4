//! Backend pools that a VM is a member of.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleset_crds::load_balancing::{PoolMemberState, PoolMembership};

use crate::status::whole_seconds;
use crate::view::InstanceView;

/// Pools that are told: as many as eight interfaces can name.
const POOLS_MAX: usize = 64;

pub(super) fn memberships(view: &InstanceView) -> Vec<PoolMembership> {
    let drained_at = view.drained_at.map(|at| Time(whole_seconds(at)));
    let pools = view.pools.iter().take(POOLS_MAX);
    let membership = |(name, state): (&String, &PoolMemberState)| PoolMembership {
        name: name.clone(),
        state: *state,
        drained_at: drained_at.clone().filter(|_| *state == PoolMemberState::Draining),
    };
    pools.map(membership).collect()
}
