//! Rules of automatic instance repairs, and of the operation that suspends and resumes them.
//!
//! Sources: Azure's "Automatic instance repairs for Azure Virtual Machine Scale Sets" (a health source, the grace period, how
//! the action is changed), REST reference of `SetOrchestrationServiceState`.

use kube::core::{Reason, Rule};

use super::{Code, require};

const IS_SERVICE: &str = "self.type == 'SetOrchestrationServiceState'";

/// Somebody must say who is unhealthy.
pub(crate) fn needs_health() -> Rule {
    require(
        "!has(self.automaticRepairsPolicy) || !self.automaticRepairsPolicy.enabled || \
         !has(self.virtualMachineProfile) || has(self.virtualMachineProfile.networkProfile.healthProbe) || \
         (has(self.virtualMachineProfile.extensions) && self.virtualMachineProfile.extensions.exists(extension, \
         extension.type in ['ApplicationHealthLinux', 'ApplicationHealthWindows']))",
        Code::BadRequest,
        ".automaticRepairsPolicy.enabled",
        "automatic repairs are not supported for this set because a health probe or health extension was not provided; \
         add an application-health extension, or a healthProbe (Uniform)",
    )
}

fn range(field: &str, low: i32, high: i32) -> Rule {
    let expression = format!("!has(self.{field}) || (self.{field} >= {low} && self.{field} <= {high})");
    let message = format!("{field} must be {low} to {high}");
    require(&expression, Code::InvalidParameter, &format!(".{field}"), &message)
}

/// How long a VM has to come up.
pub(crate) fn grace_period_range() -> Rule {
    range("gracePeriodSeconds", 600, 5400)
}

/// How many repairs of one VM may fail.
pub(crate) fn failed_repairs_range() -> Rule {
    range("maxConsecutiveFailedRepairs", 1, 10)
}

/// What is under way is not turned into something else.
pub(crate) fn action_stays_while_enabled() -> Rule {
    let of = |object: &str| format!("(has({object}.repairAction) ? {object}.repairAction : 'Replace')");
    require(
        &format!("!self.enabled || !oldSelf.enabled || {} == {}", of("self"), of("oldSelf")),
        Code::PropertyChangeNotAllowed,
        ".repairAction",
        "repairAction must not change while automatic repairs are enabled; set enabled to false first, then enable them \
         with the new action",
    )
}

/// Services are of sets.
pub(crate) fn service_of_sets() -> Rule {
    require(
        &format!("!({IS_SERVICE}) || self.target.kind == 'ScaleSet'"),
        Code::OperationNotAllowed,
        ".type",
        "SetOrchestrationServiceState must have a target of kind ScaleSet",
    )
}

/// A service works on the whole set.
pub(crate) fn service_names_no_instances() -> Rule {
    require(
        &format!("!({IS_SERVICE}) || !has(self.instanceIds) || size(self.instanceIds) == 0"),
        Code::InvalidParameter,
        ".instanceIds",
        "instanceIds must be absent where type is SetOrchestrationServiceState, which is about the set",
    )
}

/// Which service, and what of it.
pub(crate) fn service_parameters_required() -> Rule {
    require(
        &format!(
            "!({IS_SERVICE}) || \
             (has(self.parameters) && has(self.parameters.serviceName) && has(self.parameters.action))"
        ),
        Code::InvalidParameter,
        ".parameters",
        "parameters.serviceName and parameters.action must be set where type is SetOrchestrationServiceState",
    )
    .reason(Reason::FieldValueRequired)
}

/// Nothing else is about a service.
pub(crate) fn service_parameters_of_services() -> Rule {
    require(
        &format!(
            "{IS_SERVICE} || !has(self.parameters) || \
             (!has(self.parameters.serviceName) && !has(self.parameters.action))"
        ),
        Code::InvalidParameter,
        ".parameters",
        "serviceName and action must only be set where type is SetOrchestrationServiceState",
    )
}
