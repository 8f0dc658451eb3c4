//! Rules of Spot VMs and of sets that mix priorities.
//!
//! Sources: Azure's "Azure Spot Virtual Machines for Virtual Machine Scale Sets", "Error messages for Azure Spot Virtual
//! Machines and scale sets" (the codes), "Use Spot Priority Mix".

use kube::core::Rule;

use super::{Code, require};
use crate::spot::PRICE_PATTERN;

const IS_SPOT: &str = "(has(self.priority) && self.priority == 'Spot')";
const SET_IS_SPOT: &str = "(has(self.virtualMachineProfile) && has(self.virtualMachineProfile.priority) && \
     self.virtualMachineProfile.priority == 'Spot')";

/// A field that means `default` while it is absent keeps its value.
fn keeps(field: &str, default: &str, code: Code) -> Rule {
    let of = |object: &str| format!("(has({object}.{field}) ? {object}.{field} : '{default}')");
    let message = format!("{field} cannot be changed after creation");
    require(&format!("{} == {}", of("self"), of("oldSelf")), code, &format!(".{field}"), &message)
}

/// A VM is of one priority for life.
pub(crate) fn priority_stays() -> Rule {
    keeps("priority", "Regular", Code::VMPriorityCannotBeApplied)
}

/// What an eviction does is agreed at creation.
pub(crate) fn eviction_policy_stays() -> Rule {
    keeps("evictionPolicy", "Deallocate", Code::PropertyChangeNotAllowed)
}

/// Only Spot VMs are evicted.
pub(crate) fn eviction_policy_of_spot() -> Rule {
    require(
        &format!("!has(self.evictionPolicy) || {IS_SPOT}"),
        Code::EvictionPolicyCanBeSetOnlyOnAzureSpotVirtualMachines,
        ".evictionPolicy",
        "evictionPolicy must be absent where priority is not Spot",
    )
}

/// Only Spot VMs have a price that changes.
pub(crate) fn max_price_of_spot() -> Rule {
    require(
        &format!("!has(self.maxPrice) || {IS_SPOT}"),
        Code::MaxPriceIsSupportedOnlyForAzureSpotVirtualMachines,
        ".maxPrice",
        "maxPrice must be absent where priority is not Spot",
    )
}

/// No limit, or a price.
pub(crate) fn max_price_value() -> Rule {
    require(
        &format!(
            "!has(self.maxPrice) || self.maxPrice == '-1' || \
             (self.maxPrice.matches('{PRICE_PATTERN}') && self.maxPrice.matches('[1-9]'))"
        ),
        Code::MaxPriceValueInvalid,
        ".maxPrice",
        "maxPrice must be -1, or above 0 US dollars with at most five digits before and after the point",
    )
}

/// Only Spot VMs come back from an eviction.
pub(crate) fn restore_of_spot() -> Rule {
    require(
        &format!("!has(self.spotRestorePolicy) || {SET_IS_SPOT}"),
        Code::SpotRestorationIsSupportedOnlyForAzureSpotScaleSets,
        ".spotRestorePolicy",
        "spotRestorePolicy must be absent where virtualMachineProfile.priority is not Spot",
    )
}

/// How long a restoration is tried.
pub(crate) fn restore_timeout_range() -> Rule {
    range("restoreTimeoutSeconds", 60, 86_400)
}

/// The base of a mix.
pub(crate) fn base_count_range() -> Rule {
    range("baseRegularPriorityCount", 0, 1_000)
}

/// The share above the base.
pub(crate) fn percentage_range() -> Rule {
    range("regularPriorityPercentageAboveBase", 0, 100)
}

fn range(field: &str, least: i32, most: i32) -> Rule {
    require(
        &format!("!has(self.{field}) || (self.{field} >= {least} && self.{field} <= {most})"),
        Code::InvalidParameter,
        &format!(".{field}"),
        &format!("{field} must be {least} to {most}"),
    )
}

/// A Uniform set is Spot as a whole or not at all.
pub(crate) fn mix_of_flexible() -> Rule {
    require(
        "!has(self.priorityMixPolicy) || self.orchestrationMode == 'Flexible'",
        Code::OperationNotAllowed,
        ".priorityMixPolicy",
        "priorityMixPolicy must be absent where orchestrationMode is not Flexible",
    )
}

/// What a mix makes regular is made from a Spot profile.
pub(crate) fn mix_of_spot() -> Rule {
    require(
        &format!("!has(self.priorityMixPolicy) || {SET_IS_SPOT}"),
        Code::OperationNotAllowed,
        ".priorityMixPolicy",
        "priorityMixPolicy must be absent where virtualMachineProfile.priority is not Spot",
    )
}

/// One placement group holds VMs of one priority.
pub(crate) fn mix_needs_many_groups() -> Rule {
    require(
        "!has(self.priorityMixPolicy) || !has(self.singlePlacementGroup) || !self.singlePlacementGroup",
        Code::OperationNotAllowed,
        ".priorityMixPolicy",
        "priorityMixPolicy must be absent where singlePlacementGroup is true",
    )
}
