//! Rules of what names a capacity reservation group.
//!
//! Sources: Azure's "Associate a Virtual Machine Scale Set with a Capacity Reservation group" (single placement groups and
//! fixed spreading over zones are not supported), "On-demand Capacity Reservation" (limitations: Spot, fault domains).

use kube::core::Rule;

use super::scale_set::SINGLE_PLACEMENT_GROUP;
use super::{Code, require};

const SET_REFERS: &str =
    "(has(self.virtualMachineProfile) && has(self.virtualMachineProfile.capacityReservationGroupRef))";

/// What can be evicted has no promise.
pub(crate) fn no_spot() -> Rule {
    require(
        "!has(self.capacityReservationGroupRef) || !has(self.priority) || self.priority != 'Spot'",
        Code::OperationNotAllowed,
        ".capacityReservationGroupRef",
        "capacityReservationGroupRef must be absent where priority is Spot",
    )
}

/// More is not reserved over fault domains.
pub(crate) fn few_fault_domains() -> Rule {
    require(
        &format!(
            "!{SET_REFERS} || !has(self.platformFaultDomainCount) || self.platformFaultDomainCount <= \
             (has(self.zones) && size(self.zones) > 0 ? 1 : 3)"
        ),
        Code::InvalidParameter,
        ".platformFaultDomainCount",
        "platformFaultDomainCount must be at most 3, and 1 with zones, where the profile has a capacityReservationGroupRef",
    )
}

/// On the root, since the value in force may be the one in status.
pub(crate) fn many_placement_groups() -> Rule {
    require(
        &format!(
            "!has(self.spec.virtualMachineProfile) || !has(self.spec.virtualMachineProfile.capacityReservationGroupRef) || \
             !(self.spec.orchestrationMode == 'Uniform' ? {SINGLE_PLACEMENT_GROUP} : \
             has(self.spec.singlePlacementGroup) && self.spec.singlePlacementGroup)"
        ),
        Code::OperationNotAllowed,
        ".spec.singlePlacementGroup",
        "singlePlacementGroup must be false where the profile has a capacityReservationGroupRef; absent means true in a \
         Uniform set without zones and with more than one fault domain",
    )
}
