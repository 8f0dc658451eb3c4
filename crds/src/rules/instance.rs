//! Rules of `ScaleSetVM` and `FlexVM`.
//!
//! Sources: Azure's "Attach or detach a Virtual Machine to or from a Virtual Machine Scale Set", the REST reference of
//! Virtual Machines (`platformFaultDomain` needs a scale set), "Instance IDs of Virtual Machine Scale Sets".

use kube::core::Rule;

use super::{Code, require};

/// The object of an instance is named after the instance, so that nobody can make two of one.
pub(crate) fn name_is_set_and_id() -> Rule {
    require(
        "self.metadata.name == self.spec.scaleSetRef.name + '-' + self.spec.instanceId",
        Code::InvalidParameter,
        ".metadata.name",
        "the name must be {spec.scaleSetRef.name}-{spec.instanceId}",
    )
}

/// A member belongs to its set for life.
pub(crate) fn set_of_instance_stays() -> Rule {
    require(
        "self.scaleSetRef.name == oldSelf.scaleSetRef.name",
        Code::PropertyChangeNotAllowed,
        ".scaleSetRef",
        "scaleSetRef cannot be changed after creation",
    )
}

/// Moving between sets is a detach and an attach.
pub(crate) fn no_move_between_sets() -> Rule {
    require(
        "!has(self.scaleSetRef) || !has(oldSelf.scaleSetRef) || self.scaleSetRef.name == oldSelf.scaleSetRef.name",
        Code::PropertyChangeNotAllowed,
        ".scaleSetRef",
        "scaleSetRef cannot change from one set to another; set it to null first, then to the other set",
    )
}

/// Protection from all of the set's actions includes scale-in.
pub(crate) fn protection_from_actions_includes_scale_in() -> Rule {
    require(
        "!has(self.protectFromScaleSetActions) || !self.protectFromScaleSetActions || \
         !has(self.protectFromScaleIn) || self.protectFromScaleIn",
        Code::InvalidParameter,
        ".protectFromScaleIn",
        "protectFromScaleIn must not be false where protectFromScaleSetActions is true, which includes it",
    )
}

/// A set whose VMs have fault domains has more than one, and lets none go.
pub(crate) fn no_detach_from_fault_domain() -> Rule {
    require(
        "has(self.scaleSetRef) || !has(oldSelf.scaleSetRef) || !has(self.platformFaultDomain)",
        Code::VmssDoesNotSupportAttachingExistingVMMultiFD,
        ".scaleSetRef",
        "a VM in a fault domain cannot be detached: its set has more than one",
    )
}

/// Fault domains are numbered inside a set.
pub(crate) fn fault_domain_needs_set() -> Rule {
    require(
        "!has(self.platformFaultDomain) || has(self.scaleSetRef)",
        Code::InvalidParameter,
        ".platformFaultDomain",
        "platformFaultDomain must be absent in a VM without scaleSetRef",
    )
}

/// Without `computerName` the VM's own name is used, which Windows may not take.
pub(crate) fn windows_name_as_computer_name() -> Rule {
    require(
        "self.spec.storageProfile.osDisk.osType != 'Windows' || has(self.spec.osProfile.computerName) || \
         (size(self.metadata.name) <= 15 && !self.metadata.name.matches('^[0-9]+$'))",
        Code::InvalidParameter,
        ".spec.osProfile.computerName",
        "computerName must be set where osType is Windows and the VM's name has more than 15 characters or only digits",
    )
}
