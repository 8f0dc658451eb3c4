//! Rules of `ScaleSetOperation`.
//!
//! Source: Azure's REST reference of Virtual Machine Scale Sets: updating and deleting instances require a list of
//! instance ids, the power actions take a missing list for all; a single VM has no counterpart of reimage-all.

use kube::core::Rule;

use super::{Code, require};

/// Who approves an event by its id need not say whose it is.
const APPROVES_A_NAMED_EVENT: &str =
    "(self.type == 'ApproveScheduledEvent' && has(self.parameters) && has(self.parameters.eventId))";

/// What was asked for is not asked for otherwise later: that is another operation.
pub(crate) fn stays() -> Rule {
    require(
        "self == oldSelf",
        Code::PropertyChangeNotAllowed,
        ".target",
        "the spec of an operation cannot be changed after creation; create another operation",
    )
}

/// A list that came out empty by mistake is not meant for all.
pub(crate) fn no_empty_list() -> Rule {
    require(
        "!has(self.instanceIds) || size(self.instanceIds) > 0",
        Code::InvalidParameter,
        ".instanceIds",
        "instanceIds must not be empty; leave it out, or write [\"*\"], for all VMs",
    )
}

/// A `FlexVM` is one VM.
pub(crate) fn flex_vm_is_the_instance() -> Rule {
    require(
        "self.target.kind != 'FlexVM' || !has(self.instanceIds) || size(self.instanceIds) == 0",
        Code::InvalidParameter,
        ".instanceIds",
        "instanceIds must be absent where target.kind is FlexVM, which is one VM",
    )
}

/// What only a set can be asked for.
pub(crate) fn of_sets_only() -> Rule {
    require(
        "self.target.kind != 'FlexVM' || \
         !(self.type in ['ManualUpgrade', 'ReimageAll', 'StartRollingUpgrade', 'CancelRollingUpgrade'])",
        Code::OperationNotAllowed,
        ".type",
        "ManualUpgrade, ReimageAll, StartRollingUpgrade and CancelRollingUpgrade need a target of kind ScaleSet",
    )
}

/// What changes VMs for good says which.
pub(crate) fn names_its_instances() -> Rule {
    require(
        &format!(
            "self.target.kind != 'ScaleSet' || \
             !(self.type in ['ManualUpgrade', 'Delete', 'SimulateEviction', 'ApproveScheduledEvent']) || \
             (has(self.instanceIds) && size(self.instanceIds) > 0) || {APPROVES_A_NAMED_EVENT}"
        ),
        Code::InvalidParameter,
        ".instanceIds",
        "instanceIds must name the VMs of a ManualUpgrade, a Delete, a SimulateEviction and an ApproveScheduledEvent \
         without parameters.eventId, or be [\"*\"] for all",
    )
}

/// All, or these.
pub(crate) fn all_stands_alone() -> Rule {
    require(
        "!has(self.instanceIds) || size(self.instanceIds) <= 1 || !('*' in self.instanceIds)",
        Code::InvalidParameter,
        ".instanceIds",
        "instanceIds must be [\"*\"] alone or a list of ids without *",
    )
}

/// A rolling upgrade is of the whole set.
pub(crate) fn rolling_upgrades_name_none() -> Rule {
    require(
        "!(self.type in ['StartRollingUpgrade', 'CancelRollingUpgrade']) || !has(self.instanceIds) || \
         size(self.instanceIds) == 0",
        Code::InvalidParameter,
        ".instanceIds",
        "instanceIds must be absent where type is StartRollingUpgrade or CancelRollingUpgrade, which are about the set",
    )
}

/// Nothing else shuts a guest down.
pub(crate) fn skip_shutdown_of_power_off() -> Rule {
    require(
        "self.type == 'PowerOff' || !has(self.parameters) || !has(self.parameters.skipShutdown)",
        Code::InvalidParameter,
        ".parameters.skipShutdown",
        "skipShutdown must only be set where type is PowerOff",
    )
}

/// Nothing else is about an event.
pub(crate) fn event_id_of_approvals() -> Rule {
    require(
        &format!("!has(self.parameters) || !has(self.parameters.eventId) || {APPROVES_A_NAMED_EVENT}"),
        Code::InvalidParameter,
        ".parameters.eventId",
        "eventId must only be set where type is ApproveScheduledEvent",
    )
}
