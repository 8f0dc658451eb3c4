//! Rolling upgrades: the policy that a person writes, and how far the latest one came.
//!
//! Source: Azure's "Configure rolling upgrades on Virtual Machine Scale Sets" and the REST reference of
//! `RollingUpgradePolicy` and `RollingUpgradeStatusInfo`, whose names these are.
#![expect(clippy::struct_field_names, reason = "Azure's names")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::os_upgrade::OsUpgradeTarget;
use crate::vocabulary::{RollingUpgradeAction, RollingUpgradeCode};

/// How a rolling upgrade goes: how many at once, when it stops.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollingUpgradePolicy {
    /// Most VMs that one batch upgrades, in percent of the set, 5 to 100, default 20, rounded down, at least one VM; not
    /// more than maxUnhealthyInstancePercent. It is the allowance of the other modes as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub max_batch_instance_percent: Option<i32>,
    /// Most VMs that may be unhealthy, in percent of the set, 5 to 100, default 20; with more no batch starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub max_unhealthy_instance_percent: Option<i32>,
    /// Most upgraded VMs that may be unhealthy after a batch, in percent of those upgraded so far, 0 to 100, default 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub max_unhealthy_upgraded_instance_percent: Option<i32>,
    /// Seconds of scenario time between the end of one batch and the start of the next, 0 (default) to 86400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub pause_time_between_batches_seconds: Option<i32>,
    /// Whether a batch may mix zones, default false: zone by zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_cross_zone_upgrade: Option<bool>,
    /// Whether unhealthy VMs are upgraded before healthy ones, default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prioritize_unhealthy_instances: Option<bool>,
    /// Whether failed VMs go back to the model on which they were healthy when a threshold is exceeded, default false. The
    /// new model is then marked failed and not started again until it is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_failed_instances_on_policy_breach: Option<bool>,
    /// How many VMs of a batch are replaced by new ones that must be healthy before the old ones go, instead of being
    /// upgraded in place: a number of VMs, 0 (default) to 1000, or percent of the batch, "0%" to "100%", rounded up;
    /// never above the batch. Azure's `true` is "100%".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::rules::int_or_percent")]
    pub max_surge: Option<IntOrString>,
    /// Seconds of scenario time within which a VM must be healthy after its upgrade, 10 to 86400, default 300; later it
    /// counts as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub health_timeout_seconds: Option<i32>,
}

/// The latest rolling upgrade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollingUpgradeStatus {
    /// Running number of the upgrade within the set.
    pub number: i64,
    /// The revision that it brings VMs to.
    #[schemars(length(max = 253))]
    pub target_revision: String,
    /// The image version that it brings VMs of that revision to; absent for an upgrade to the revision itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_upgrade: Option<OsUpgradeTarget>,
    /// State, and what led to it.
    pub running_status: RollingUpgradeRunningStatus,
    /// How many VMs stand where; the four always sum to the VMs that the upgrade is about.
    pub progress: RollingUpgradeProgress,
    /// The batch that runs or ran last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<RollingUpgradeBatch>,
    /// The policy in force, defaults filled in.
    #[serde(default)]
    pub policy: RollingUpgradePolicy,
    /// Why it stopped, or what went wrong so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RollingUpgradeError>,
}

/// State of a rolling upgrade. Times are of the scenario clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollingUpgradeRunningStatus {
    /// State.
    pub code: RollingUpgradeCode,
    /// When it began.
    pub start_time: Time,
    /// The last thing that was asked of it.
    pub last_action: RollingUpgradeAction,
    /// When that was asked.
    pub last_action_time: Time,
}

/// How many VMs stand where in a rolling upgrade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollingUpgradeProgress {
    /// Upgraded and well.
    pub successful_instance_count: i32,
    /// Upgraded and not well, or not well in time, or brought back.
    pub failed_instance_count: i32,
    /// Being upgraded.
    pub in_progress_instance_count: i32,
    /// Not upgraded yet.
    pub pending_instance_count: i32,
}

/// One batch of a rolling upgrade. Times are of the scenario clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollingUpgradeBatch {
    /// Running number within the upgrade, from 1.
    pub number: i32,
    /// How many VMs it has.
    pub size: i32,
    /// When it began.
    pub start_time: Time,
    /// When its last VM was well or had failed; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
    /// Why it goes in place although the policy wishes new VMs before old ones go, with the numbers compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub surge_unavailable: Option<String>,
}

/// Why a rolling upgrade stopped, or what went wrong so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollingUpgradeError {
    /// Azure's code.
    #[schemars(length(max = 128))]
    pub code: String,
    /// In words, with the numbers compared.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// A revision that an upgrade has proved bad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedRevision {
    /// Name of the `ControllerRevision`.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Azure's code of the failure.
    #[schemars(length(max = 128))]
    pub code: String,
}
