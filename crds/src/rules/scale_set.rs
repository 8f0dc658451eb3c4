//! Rules of a `ScaleSet`.
//!
//! Sources: Azure's "Orchestration modes for Virtual Machine Scale Sets", "Choosing the right number of fault domains",
//! "Working with large Virtual Machine Scale Sets" (100 VMs in a placement group), "Create a Virtual Machine Scale Set
//! that uses Availability Zones".

use kube::core::{Reason, Rule};

use super::{Code, require};

/// The fault-domain count in force: the spec's, else the one pinned in status, else the default by shape.
const FAULT_DOMAINS: &str = "(has(self.spec.platformFaultDomainCount) ? self.spec.platformFaultDomainCount : \
     has(self.status) && has(self.status.platformFaultDomainCount) ? self.status.platformFaultDomainCount : \
     has(self.spec.zones) && size(self.spec.zones) > 0 ? 1 : 5)";

/// Whether a Uniform set has a single placement group: the spec's word, else the one pinned in status, else the default
/// by shape.
pub(super) const SINGLE_PLACEMENT_GROUP: &str = "(has(self.spec.singlePlacementGroup) ? self.spec.singlePlacementGroup : \
     has(self.status) && has(self.status.singlePlacementGroup) ? self.status.singlePlacementGroup : \
     !(has(self.spec.zones) && size(self.spec.zones) > 0) && \
     !(has(self.spec.platformFaultDomainCount) && self.spec.platformFaultDomainCount == 1))";

/// Zones come, they never go. An absent list and an empty one are the same.
pub(crate) fn zones_add_only() -> Rule {
    require(
        "!has(oldSelf.zones) || oldSelf.zones.all(zone, has(self.zones) && zone in self.zones)",
        Code::PropertyChangeNotAllowed,
        ".zones",
        "zones can be added, but not removed or replaced",
    )
}

/// There is nothing to balance over one zone, or none.
pub(crate) fn zone_balance_needs_zones() -> Rule {
    require(
        "!has(self.zoneBalance) || !self.zoneBalance || (has(self.zones) && size(self.zones) > 1)",
        Code::InvalidParameter,
        ".zoneBalance",
        "zoneBalance must be false or absent in a set with fewer than two zones",
    )
}

/// False and absent are the same.
pub(crate) fn zone_balance_stays() -> Rule {
    require(
        "(has(self.zoneBalance) && self.zoneBalance) == (has(oldSelf.zoneBalance) && oldSelf.zoneBalance)",
        Code::PropertyChangeNotAllowed,
        ".zoneBalance",
        "zoneBalance cannot be changed after creation",
    )
}

/// True goes to false or to unset; nothing leads back to true. Unset keeps what is in force.
pub(crate) fn single_placement_group_one_way() -> Rule {
    require(
        "!has(self.singlePlacementGroup) || !self.singlePlacementGroup || \
         (has(oldSelf.singlePlacementGroup) && oldSelf.singlePlacementGroup)",
        Code::PropertyChangeNotAllowed,
        ".singlePlacementGroup",
        "singlePlacementGroup can go from true to false, but neither false nor unset can go to true",
    )
}

/// The profile of a set with instances has no successor that is nothing; it also keeps the rules inside it in force.
pub(crate) fn profile_stays() -> Rule {
    require(
        "!has(oldSelf.virtualMachineProfile) || has(self.virtualMachineProfile)",
        Code::PropertyChangeNotAllowed,
        ".virtualMachineProfile",
        "virtualMachineProfile cannot be removed once it is set",
    )
}

/// Uniform instances come from the profile and nowhere else.
pub(crate) fn profile_required() -> Rule {
    require(
        "self.orchestrationMode != 'Uniform' || has(self.virtualMachineProfile)",
        Code::InvalidParameter,
        ".virtualMachineProfile",
        "virtualMachineProfile is required where orchestrationMode is Uniform",
    )
    .reason(Reason::FieldValueRequired)
}

/// A Flexible set without a profile only groups VMs that are made by hand.
pub(crate) fn replicas_need_profile() -> Rule {
    require(
        "has(self.virtualMachineProfile) || !has(self.replicas) || self.replicas == 0",
        Code::OperationNotAllowed,
        ".replicas",
        "replicas must be 0 or absent in a set without virtualMachineProfile: it has nothing to make VMs from",
    )
}

/// How many VMs a set can make.
pub(crate) fn replicas_range() -> Rule {
    require(
        "!has(self.replicas) || (self.replicas >= 0 && self.replicas <= 1000)",
        Code::InvalidParameter,
        ".replicas",
        "replicas must be 0 to 1000",
    )
}

/// Fault domains of a Uniform set without zones.
pub(crate) fn uniform_regional_fault_domains() -> Rule {
    fault_domains("Uniform", Shape::Regional, "count >= 1 && count <= 5", "1 to 5 in a Uniform set without zones")
}

/// Fault domains of a Uniform set with zones.
pub(crate) fn uniform_zonal_fault_domains() -> Rule {
    fault_domains("Uniform", Shape::Zonal, "count == 1 || count == 5", "1 or 5 in a Uniform set with zones")
}

/// Zones that come later suit the fault domains in force, also where only status has them. On the root for that, and asked
/// only when zones come: of a set that has them already the controller can always report.
pub(crate) fn zones_suit_pinned_fault_domains() -> Rule {
    require(
        "self.spec.orchestrationMode != 'Uniform' || has(self.spec.platformFaultDomainCount) || \
         !has(self.spec.zones) || size(self.spec.zones) == 0 || \
         (has(oldSelf.spec.zones) && size(oldSelf.spec.zones) > 0) || \
         !has(self.status) || !has(self.status.platformFaultDomainCount) || \
         self.status.platformFaultDomainCount == 1 || self.status.platformFaultDomainCount == 5",
        Code::InvalidParameter,
        ".spec.platformFaultDomainCount",
        "platformFaultDomainCount must be 1 or 5 in a Uniform set with zones",
    )
}

/// Fault domains of a Flexible set without zones.
pub(crate) fn flexible_regional_fault_domains() -> Rule {
    fault_domains("Flexible", Shape::Regional, "count >= 1 && count <= 3", "1 to 3 in a Flexible set without zones")
}

/// Fault domains of a Flexible set with zones.
pub(crate) fn flexible_zonal_fault_domains() -> Rule {
    fault_domains("Flexible", Shape::Zonal, "count == 1", "1 in a Flexible set with zones")
}

#[derive(Clone, Copy)]
enum Shape {
    Regional,
    Zonal,
}

fn fault_domains(mode: &str, shape: Shape, range: &str, legal: &str) -> Rule {
    let zonal = "has(self.zones) && size(self.zones) > 0";
    let other_shape = match shape {
        Shape::Regional => zonal.to_owned(),
        Shape::Zonal => format!("!({zonal})"),
    };
    let range = range.replace("count", "self.platformFaultDomainCount");
    let expression = format!(
        "!has(self.platformFaultDomainCount) || self.orchestrationMode != '{mode}' || {other_shape} || {range}"
    );
    let message = format!("platformFaultDomainCount must be {legal}");
    require(&expression, Code::InvalidParameter, ".platformFaultDomainCount", &message)
}

/// Max spreading uses as many fault domains as there are, which one placement group does not have. On the root, since
/// the count in force may be the one in status.
pub(crate) fn max_spreading_needs_many_groups() -> Rule {
    require(
        &format!(
            "self.spec.orchestrationMode != 'Uniform' || !has(self.spec.singlePlacementGroup) || \
             !self.spec.singlePlacementGroup || {FAULT_DOMAINS} != 1"
        ),
        Code::InvalidParameter,
        ".spec.singlePlacementGroup",
        "singlePlacementGroup must be false where platformFaultDomainCount is 1 (max spreading; the default with zones)",
    )
}

/// One placement group holds 100 VMs. On the root, since the value in force may be the one in status.
pub(crate) fn single_placement_group_limit() -> Rule {
    require(
        &format!(
            "self.spec.orchestrationMode != 'Uniform' || !has(self.spec.replicas) || self.spec.replicas <= 100 || \
             (has(self.spec.zones) && size(self.spec.zones) > 0) || !{SINGLE_PLACEMENT_GROUP}"
        ),
        Code::OperationNotAllowed,
        ".spec.replicas",
        "replicas must be at most 100 in a single placement group, the default without zones; \
         set singlePlacementGroup to false for more",
    )
}

/// With zones there is one placement group in each.
pub(crate) fn zonal_placement_group_limit() -> Rule {
    require(
        &format!(
            "self.spec.orchestrationMode != 'Uniform' || !has(self.spec.replicas) || \
             !has(self.spec.zones) || size(self.spec.zones) == 0 || \
             self.spec.replicas <= 100 * size(self.spec.zones) || !{SINGLE_PLACEMENT_GROUP}"
        ),
        Code::OperationNotAllowed,
        ".spec.replicas",
        "replicas must be at most 100 for each zone in single placement groups; set singlePlacementGroup to false for more",
    )
}

/// A single placement group of a Flexible set is for sizes that are not memory-preserving, of which a set holds 200.
pub(crate) fn flexible_placement_group_limit() -> Rule {
    require(
        "self.orchestrationMode != 'Flexible' || !has(self.replicas) || self.replicas <= 200 || \
         !has(self.singlePlacementGroup) || !self.singlePlacementGroup",
        Code::OperationNotAllowed,
        ".replicas",
        "replicas must be at most 200 in a Flexible set with a single placement group; \
         set singlePlacementGroup to false for more",
    )
}
