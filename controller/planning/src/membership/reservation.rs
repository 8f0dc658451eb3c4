//! What a member's capacity reservation group asks of its set: no single placement group, and no more fault domains than the
//! reservation is spread over. A model that a set makes its VMs from is asked the same where the set is planned.
//!
//! Source: Azure's "On-demand capacity reservation" (what is not supported) and "Associate a Virtual Machine Scale Set with
//! flexible orchestration to a Capacity Reservation group" (each VM names the group).

use scaleset_crds::condition::Reason;

use super::{MemberShape, SetShape};
use crate::limits;
use crate::snapshot::{Failure, SizeMaintenance};

const PATH: &str = "spec.capacityReservationGroupRef";

/// The capacity reservation group that the model of a VM names, as far as the VM may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedGroup {
    /// Name, with the namespace where that is not the VM's own.
    pub name: String,
    /// The reservation of the VM's size and zone; none where there is none yet.
    pub reservation: Option<NamedReservation>,
}

/// A reservation that a VM is to draw on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedReservation {
    /// Name.
    pub name: String,
    /// Fault domains that a set may spread over which uses it.
    pub fault_domain_count: i32,
}

/// Why a VM cannot be a member of the set and use the group that its model names; `None` when it can.
pub fn group_refusal(set: &SetShape<'_>, vm: &MemberShape<'_>) -> Option<Failure> {
    let NamedGroup { name: group, reservation } = vm.group.as_ref()?;
    let (set_name, count) = (set.name, set.fault_domain_count);
    if set.single_placement_group.or_else(|| needs_single_group(set, vm)) == Some(true) {
        let message = format!(
            "{PATH}: {} in scale set {set_name} of {count} fault domains is in a single placement group, which uses no reserved \
             capacity (group {group}); leave the field out, or choose a set with platformFaultDomainCount 1",
            vm.size
        );
        return Some(Failure { reason: Reason::OperationNotAllowed, message });
    }
    let NamedReservation { name: reservation, fault_domain_count: most } = reservation.as_ref()?;
    if count <= *most {
        return None;
    }
    let message = format!(
        "{PATH}: scale set {set_name} has {count} fault domains, more than {most}, the most with reservation {reservation} of \
         group {group}"
    );
    Some(Failure { reason: Reason::InvalidParameter, message })
}

/// What the VM decides for a set that nothing has decided yet.
fn needs_single_group(set: &SetShape<'_>, vm: &MemberShape<'_>) -> Option<bool> {
    match vm.maintenance {
        SizeMaintenance::Known(maintenance) => Some(limits::needs_single_group(maintenance, set.fault_domain_count)),
        SizeMaintenance::NotOffered | SizeMaintenance::Unseen => None,
    }
}
