//! Load balancers that a profile names: whether the region has them, and whether they serve such a set.
//!
//! Sources: Azure's "Networking for Azure Virtual Machine Scale Sets" (a Basic load balancer serves neither several
//! placement groups nor zones, nor Flexible sets), "Load Balancer health probes" (its probe tells no set's health).

use scaleset_crds::VirtualMachineProfile;
use scaleset_crds::condition::Reason;
use scaleset_crds::load_balancing::{LoadBalancerSku, drain_timeouts};
use scaleset_crds::vocabulary::OrchestrationMode;

use crate::snapshot::{Failure, RegionFacts, SetFacts};

/// Why the region's load balancers do not do what `profile` asks of them.
pub(crate) fn refusal(
    set: &SetFacts,
    single_placement_group: Option<bool>,
    region: &RegionFacts,
    profile: &VirtualMachineProfile,
) -> Option<Failure> {
    probe_refusal(region, profile).or_else(|| pool_refusal(set, single_placement_group, region, profile))
}

fn probe_refusal(region: &RegionFacts, profile: &VirtualMachineProfile) -> Option<Failure> {
    let name = &profile.network_profile.health_probe.as_ref()?.load_balancer;
    let path = "spec.virtualMachineProfile.networkProfile.healthProbe.loadBalancer";
    let message = match region.load_balancers.get(name) {
        Some(LoadBalancerSku::Standard) => return None,
        Some(LoadBalancerSku::Basic) => {
            format!("{path}: {name} is Basic, and its probe tells the health of no set; use a Standard one")
        }
        None => unknown(path, name, region),
    };
    Some(Failure { reason: Reason::InvalidParameter, message })
}

fn pool_refusal(
    set: &SetFacts,
    single_placement_group: Option<bool>,
    region: &RegionFacts,
    profile: &VirtualMachineProfile,
) -> Option<Failure> {
    let path = "spec.virtualMachineProfile.networkProfile.networkInterfaces[].loadBalancerBackendPools";
    let too_large = match (set.mode, single_placement_group) {
        (OrchestrationMode::Flexible, _) => Some("a Flexible set"),
        (OrchestrationMode::Uniform, _) if !set.zones.is_empty() => Some("a set over zones"),
        (OrchestrationMode::Uniform, Some(false) | None) => Some("a set with several placement groups"),
        (OrchestrationMode::Uniform, Some(true)) => None,
    };
    drain_timeouts(&profile.network_profile.network_interfaces).into_keys().find_map(|name| {
        match (region.load_balancers.get(name), too_large) {
            (Some(LoadBalancerSku::Standard), _) | (Some(LoadBalancerSku::Basic), None) => None,
            (Some(LoadBalancerSku::Basic), Some(what)) => Some(Failure {
                reason: Reason::VMScaleSetCannotReferenceLoadbalancerWhenLargeScaleOrCrossAZ,
                message: format!("{path}: {name} is Basic and does not serve {what}; use a Standard one"),
            }),
            (None, _) => Some(Failure { reason: Reason::InvalidParameter, message: unknown(path, name, region) }),
        }
    })
}

fn unknown(path: &str, name: &str, region: &RegionFacts) -> String {
    let known: Vec<&str> = region.load_balancers.keys().map(String::as_str).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("{path}: {name} does not exist; there are {known}")
}
