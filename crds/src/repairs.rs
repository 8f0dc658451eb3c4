//! Automatic instance repairs: the policy that a person writes, and the state of the service that carries it out.
//!
//! Source: Azure's "Automatic instance repairs for Azure Virtual Machine Scale Sets" and the REST reference of
//! `AutomaticRepairsPolicy` and `OrchestrationServiceSummary`, whose names these are. How many failed repairs suspend the
//! service is not documented there; that it can be set is ours.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules::repairs as refuse;

/// Seconds of grace where the policy does not say.
pub const GRACE_PERIOD_SECONDS: i32 = 600;
/// Repairs of one VM in a row that may fail where the policy does not say.
pub const FAILED_REPAIRS_MAX: i32 = 3;

/// Whether and how unhealthy VMs are repaired.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = refuse::grace_period_range(),
    validation = refuse::failed_repairs_range(),
    validation = refuse::action_stays_while_enabled()
)]
pub struct AutomaticRepairsPolicy {
    /// Whether unhealthy VMs are repaired, default false. It needs a health source in the profile.
    #[serde(default)]
    pub enabled: bool,
    /// Seconds of scenario time, 600 (default) to 5400, since the end of the last change of a VM, and since it was made, in
    /// which it is not repaired. A repair that has not made the VM healthy in that time has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub grace_period_seconds: Option<i32>,
    /// Replace (default): a new VM of the newest model takes its place. Reimage: a fresh OS disk of the model that it
    /// follows; id, addresses and data disks stay. Restart: everything stays. Changes only while enabled is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair_action: Option<RepairAction>,
    /// Repairs of one VM, and of those in its place, that may fail in a row, 1 to 10, default 3: the service then suspends
    /// itself, until a person resumes it. Azure does not say its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub max_consecutive_failed_repairs: Option<i32>,
}

/// State of a service that works on a set by itself. It is read back: that it is suspended no fact can tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrchestrationService {
    /// `AutomaticRepairs`.
    pub service_name: OrchestrationServiceName,
    /// Running: the policy is enabled. `NotRunning`: it is not. Suspended: it is, and nothing is begun until it is resumed.
    pub service_state: OrchestrationServiceState,
    /// User: the operation `SetOrchestrationServiceState`. Platform: too many repairs have failed. Only while suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_by: Option<ServiceSuspender>,
    /// When it came into this state, scenario time. Repairs that failed before are not counted.
    pub last_status_change_time: Time,
    /// Why it was suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// State of a service, as Azure's instance view of a set has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrchestrationServiceSummary {
    /// `AutomaticRepairs`.
    pub service_name: OrchestrationServiceName,
    /// Running, `NotRunning` or Suspended.
    pub service_state: OrchestrationServiceState,
}

// No doc comments on the variants, see `vocabulary`.
#[expect(missing_docs, reason = "documented at the field")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum RepairAction {
    #[default]
    Replace,
    Reimage,
    Restart,
}

#[expect(missing_docs, reason = "documented at the field")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum OrchestrationServiceName {
    AutomaticRepairs,
}

#[expect(missing_docs, reason = "documented at the field")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum OrchestrationServiceState {
    Running,
    NotRunning,
    Suspended,
}

#[expect(missing_docs, reason = "documented at the field")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ServiceSuspender {
    User,
    Platform,
}

#[expect(missing_docs, reason = "documented at the field")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ServiceAction {
    Suspend,
    Resume,
}

impl RepairAction {
    /// Every action.
    pub const ALL: &[Self] = &[Self::Replace, Self::Reimage, Self::Restart];

    /// The spelling in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "Replace",
            Self::Reimage => "Reimage",
            Self::Restart => "Restart",
        }
    }
}
