//! Rules of the rolling-upgrade policy.
//!
//! Source: Azure's REST reference of `RollingUpgradePolicy` (ranges), "Configure rolling upgrades on Virtual Machine
//! Scale Sets" (a health source is required).

use kube::core::Rule;

use super::{Code, require};

/// The rules stand above the policy, since the status shows a policy too.
const POLICY: &str = "rollingUpgradePolicy";

fn range(field: &str, low: i32, high: i32) -> Rule {
    let value = format!("self.{POLICY}.{field}");
    let expression = format!("!has(self.{POLICY}) || !has({value}) || ({value} >= {low} && {value} <= {high})");
    let path = format!(".{POLICY}.{field}");
    require(&expression, Code::InvalidParameter, &path, &format!("{field} must be {low} to {high}"))
}

/// How many at once.
pub(crate) fn batch_range() -> Rule {
    range("maxBatchInstancePercent", 5, 100)
}

/// How many may be unwell.
pub(crate) fn unhealthy_range() -> Rule {
    range("maxUnhealthyInstancePercent", 5, 100)
}

/// How many of the upgraded ones may be unwell.
pub(crate) fn unhealthy_upgraded_range() -> Rule {
    range("maxUnhealthyUpgradedInstancePercent", 0, 100)
}

/// How long to wait between batches.
pub(crate) fn pause_range() -> Rule {
    range("pauseTimeBetweenBatchesSeconds", 0, 86_400)
}

/// How many VMs a batch makes before the old ones go. The schema leaves the range to the rule, so that the answer has a
/// code.
pub(crate) fn surge_range() -> Rule {
    let value = format!("self.{POLICY}.maxSurge");
    require(
        &format!(
            "!has(self.{POLICY}) || !has({value}) || (type({value}) == int ? {value} >= 0 && {value} <= 1000 : \
             {value}.matches('^([0-9]|[1-9][0-9]|100)%$'))"
        ),
        Code::InvalidParameter,
        &format!(".{POLICY}.maxSurge"),
        "maxSurge must be 0 to 1000, or 0% to 100%",
    )
}

/// How long an upgraded VM may take to be well.
pub(crate) fn health_timeout_range() -> Rule {
    range("healthTimeoutSeconds", 10, 86_400)
}

/// A batch takes down what the other threshold counts.
pub(crate) fn batch_not_above_unhealthy() -> Rule {
    require(
        "!has(self.rollingUpgradePolicy) || !has(self.rollingUpgradePolicy.maxBatchInstancePercent) || \
         !has(self.rollingUpgradePolicy.maxUnhealthyInstancePercent) || \
         self.rollingUpgradePolicy.maxBatchInstancePercent <= self.rollingUpgradePolicy.maxUnhealthyInstancePercent",
        Code::InvalidParameter,
        ".rollingUpgradePolicy.maxBatchInstancePercent",
        "maxBatchInstancePercent must not exceed maxUnhealthyInstancePercent where both are set",
    )
}

/// A roll waits for each batch to be well, so somebody must say whether it is.
pub(crate) fn rolling_needs_health() -> Rule {
    require(
        "!has(self.upgradePolicy) || self.upgradePolicy.mode != 'Rolling' || !has(self.virtualMachineProfile) || \
         has(self.virtualMachineProfile.networkProfile.healthProbe) || \
         (has(self.virtualMachineProfile.extensions) && self.virtualMachineProfile.extensions.exists(extension, \
         extension.type in ['ApplicationHealthLinux', 'ApplicationHealthWindows']))",
        Code::BadRequest,
        ".upgradePolicy.mode",
        "rolling upgrade mode is not supported for this set because no health probe or health extension was provided; \
         add an application-health extension, or a healthProbe (Uniform)",
    )
}
