//! Whether a FlexVM's reference to a set is accepted.
//!
//! Rules: Azure's "Attach VMs to a Virtual Machine Scale Set" and "Orchestration modes": the set is Flexible and in
//! the same region; a zonal VM's zone is one of the set's, a regional VM needs a regional set; a fault domain may be
//! named only in a set with more than one. `None` means accepted.

use scaleset_crds::condition::Reason;
use scaleset_crds::vocabulary::OrchestrationMode;

use crate::snapshot::{Failure, MemberLife};

/// The set, as far as membership depends on it.
#[derive(Clone, Debug)]
pub struct SetShape<'set> {
    /// Name.
    pub name: &'set str,
    /// Mode.
    pub mode: OrchestrationMode,
    /// Region.
    pub location: &'set str,
    /// Zones.
    pub zones: &'set [String],
    /// Fault domains in force.
    pub fault_domain_count: i32,
    /// Single placement group in force.
    pub single_placement_group: Option<bool>,
    /// Whether it is there to stay.
    pub life: MemberLife,
}

/// The VM, as far as membership depends on it.
#[derive(Clone, Debug)]
pub struct MemberShape<'vm> {
    /// Region.
    pub location: &'vm str,
    /// Zone.
    pub zone: Option<&'vm str>,
    /// Fault domain that it names.
    pub fault_domain: Option<i32>,
    /// Whether its set has taken it before.
    pub standing: MemberStanding,
}

/// Whether a set has taken a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberStanding {
    /// Not yet.
    Applicant,
    /// It has.
    Accepted,
}

/// Why the reference is not accepted.
pub fn refusal(set: Option<&SetShape<'_>>, set_name: &str, vm: &MemberShape<'_>) -> Option<Failure> {
    let Some(set) = set else {
        return refused(
            Reason::InvalidParameter,
            format!("spec.scaleSetRef.name: scale set {set_name} does not exist"),
        );
    };
    if set.life == MemberLife::Terminating && vm.standing == MemberStanding::Applicant {
        let message = format!("spec.scaleSetRef.name: scale set {set_name} is being deleted and takes no VM any more");
        return refused(Reason::OperationNotAllowed, message);
    }
    if set.mode != OrchestrationMode::Flexible {
        let message =
            format!("spec.scaleSetRef.name: scale set {set_name} is Uniform; only a Flexible set takes FlexVMs");
        return refused(Reason::OperationNotAllowed, message);
    }
    if set.location != vm.location {
        let message =
            format!("spec.location: {} is not {}, the location of scale set {set_name}", vm.location, set.location);
        return refused(Reason::InvalidParameter, message);
    }
    zone_refusal(set, vm).or_else(|| fault_domain_refusal(set, vm))
}

fn zone_refusal(set: &SetShape<'_>, vm: &MemberShape<'_>) -> Option<Failure> {
    let name = set.name;
    match vm.zone {
        None if set.zones.is_empty() => None,
        None => {
            let zones = set.zones.join(", ");
            refused(
                Reason::InvalidParameter,
                format!("spec.zone: scale set {name} spans zones {zones}; name one of them"),
            )
        }
        Some(zone) if set.zones.iter().any(|of_set| of_set == zone) => None,
        Some(zone) if set.zones.is_empty() => {
            refused(Reason::InvalidParameter, format!("spec.zone: {zone} is given, but scale set {name} is regional"))
        }
        Some(zone) => {
            let zones = set.zones.join(", ");
            refused(
                Reason::InvalidParameter,
                format!("spec.zone: {zone} is not one of the zones {zones} of scale set {name}"),
            )
        }
    }
}

fn fault_domain_refusal(set: &SetShape<'_>, vm: &MemberShape<'_>) -> Option<Failure> {
    let domain = vm.fault_domain?;
    let count = set.fault_domain_count;
    let name = set.name;
    if count <= 1 {
        let message =
            format!("spec.platformFaultDomain: scale set {name} has platformFaultDomainCount 1; leave the field out");
        return refused(Reason::InvalidParameter, message);
    }
    if set.single_placement_group == Some(true) {
        let message =
            format!("spec.platformFaultDomain: scale set {name} has a single placement group; leave the field out");
        return refused(Reason::OperationNotAllowed, message);
    }
    if domain >= count {
        let last = count - 1;
        let message =
            format!("spec.platformFaultDomain: {domain} is not in 0 to {last}, the fault domains of scale set {name}");
        return refused(Reason::InvalidParameter, message);
    }
    None
}

#[expect(clippy::unnecessary_wraps, reason = "it is the answer of functions that may have none")]
fn refused(reason: Reason, message: String) -> Option<Failure> {
    Some(Failure { reason, message })
}
