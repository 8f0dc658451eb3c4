//! Automatic OS image upgrade: the policy that a person writes, and what became of the last attempts.
//!
//! Source: Azure's "Azure Virtual Machine Scale Set automatic OS image upgrades" and the REST reference of
//! `AutomaticOSUpgradePolicy` and `UpgradeOperationHistoricalStatusInfo`, whose names these are.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::profile::ImageReference;
use crate::rolling_upgrade::{RollingUpgradeError, RollingUpgradeProgress};
use crate::vocabulary::{OsUpgradeStarter, RollingUpgradeCode};

/// Whether and how VMs follow newer versions of their image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutomaticOsUpgradePolicy {
    /// Whether VMs are brought to a newer version of their image when one is published, in batches, in every upgrade mode,
    /// default false. It needs the image version `latest` and a health source.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "enableAutomaticOSUpgrade")]
    pub enable_automatic_os_upgrade: Option<bool>,
    /// Whether a VM that is not healthy after its upgrade keeps the new OS disk, default false: it gets the one back that it
    /// had before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disable_automatic_rollback: Option<bool>,
    /// Whether the batches follow rollingUpgradePolicy, default false: 20 % at a time, without a pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_rolling_upgrade_policy: Option<bool>,
}

/// What an OS image upgrade brings VMs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OsUpgradeTarget {
    /// The image, with the exact version.
    pub target_image_reference: ImageReference,
    /// Platform: a newer version was published. User: the operation `StartRollingUpgrade`.
    pub started_by: OsUpgradeStarter,
}

/// One attempt to bring the VMs of a set to a version of their image. Times are of the scenario clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OsUpgradeHistoryEntry {
    /// Number of the rolling upgrade.
    pub number: i64,
    /// State, and from when to when.
    pub running_status: OsUpgradeRunningStatus,
    /// How many VMs stand where; the four always sum to the VMs that it is about.
    pub progress: RollingUpgradeProgress,
    /// Platform: a newer version was published. User: the operation `StartRollingUpgrade`.
    pub started_by: OsUpgradeStarter,
    /// The image, with the exact version.
    pub target_image_reference: ImageReference,
    /// VMs that were given their former OS disk back.
    pub rollback_info: RollbackInfo,
    /// Why it stopped, or what went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RollingUpgradeError>,
}

/// State of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OsUpgradeRunningStatus {
    /// State.
    pub code: RollingUpgradeCode,
    /// When it began.
    pub start_time: Time,
    /// When it ended; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
}

/// VMs that were given their former OS disk back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollbackInfo {
    /// They have it, and are well.
    pub successfully_rolledback_instance_count: i32,
    /// They are not well, or have not got it, in time.
    pub failed_rolledback_instance_count: i32,
}

/// A version of an image that an upgrade has proved bad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedImageVersion {
    /// The version.
    #[schemars(length(max = 64))]
    pub version: String,
    /// The model with which it failed, as the name of its `ControllerRevision`.
    #[schemars(length(max = 253))]
    pub revision: String,
    /// Azure's code of the failure.
    #[schemars(length(max = 128))]
    pub code: String,
}
