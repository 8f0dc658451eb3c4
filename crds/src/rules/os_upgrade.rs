//! Rules of automatic OS image upgrade.
//!
//! Source: Azure's "Azure Virtual Machine Scale Set automatic OS image upgrades" (image version `latest`, a health source),
//! "Rolling upgrades with `MaxSurge` on Virtual Machine Scale Sets" (not in Flexible sets).

use kube::core::Rule;

use super::{Code, require};

const ENABLED: &str = "has(self.upgradePolicy) && has(self.upgradePolicy.automaticOSUpgradePolicy) && \
     has(self.upgradePolicy.automaticOSUpgradePolicy.enableAutomaticOSUpgrade) && \
     self.upgradePolicy.automaticOSUpgradePolicy.enableAutomaticOSUpgrade && has(self.virtualMachineProfile)";
const PATH: &str = ".upgradePolicy.automaticOSUpgradePolicy.enableAutomaticOSUpgrade";

/// An upgrade waits for each batch to be well, so somebody must say whether it is.
pub(crate) fn needs_health() -> Rule {
    require(
        &format!(
            "!({ENABLED}) || has(self.virtualMachineProfile.networkProfile.healthProbe) || \
             (has(self.virtualMachineProfile.extensions) && self.virtualMachineProfile.extensions.exists(extension, \
             extension.type in ['ApplicationHealthLinux', 'ApplicationHealthWindows']))"
        ),
        Code::BadRequest,
        PATH,
        "automatic OS upgrade is not supported for this set because a health probe or health extension was not \
         specified; add an application-health extension, or a healthProbe (Uniform)",
    )
}

/// An exact version has no newer one.
pub(crate) fn needs_latest() -> Rule {
    let version = "self.virtualMachineProfile.storageProfile.imageReference.version";
    require(
        &format!("!({ENABLED}) || !has({version}) || {version} == 'latest'"),
        Code::BadRequest,
        PATH,
        "automatic OS upgrade is not supported for this set because its image version is not latest",
    )
}

/// Azure has it in Uniform sets only.
pub(crate) fn no_surge_in_flexible() -> Rule {
    let policy = "self.upgradePolicy.automaticOSUpgradePolicy";
    let surge = "self.upgradePolicy.rollingUpgradePolicy.maxSurge";
    require(
        &format!(
            "self.orchestrationMode != 'Flexible' || !({ENABLED}) || !has({policy}.useRollingUpgradePolicy) || \
             !{policy}.useRollingUpgradePolicy || !has(self.upgradePolicy.rollingUpgradePolicy) || !has({surge}) || \
             (type({surge}) == int ? {surge} == 0 : {surge} == '0%')"
        ),
        Code::BadRequest,
        ".upgradePolicy.automaticOSUpgradePolicy.useRollingUpgradePolicy",
        "automatic OS upgrade with maxSurge is not supported where orchestrationMode is Flexible; \
         set useRollingUpgradePolicy to false or maxSurge to 0",
    )
}
