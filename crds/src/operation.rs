//! `ScaleSetOperation`: one imperative action on a set, on some of its VMs, or on one `FlexVM`.
//!
//! Source: Azure's REST reference of Virtual Machine Scale Sets and of its VMs (start, power off, restart, deallocate,
//! redeploy, reimage, reimage all, update instances, delete instances, rolling upgrades).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::{OperationCondition, unknown_conditions};
use crate::repairs::{OrchestrationServiceName, ServiceAction};
use crate::rules::{operation as refuse, repairs};

/// The instance id that names every VM of a set.
pub const ALL_INSTANCES: &str = "*";
/// VMs that one operation can name: as many as a set can have.
pub const INSTANCES_MAX: usize = 1_000;
/// Failures that the status lists; all are counted.
pub const FAILURES_MAX: usize = 32;

/// One action that a person asks for once: on a scale set, on some of its VMs, or on one `FlexVM`. It is carried out once,
/// reports its progress, and is kept to be read until it is deleted or its time to live is over.
#[expect(clippy::duplicated_attributes, reason = "columns have types, and several have the same")]
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "compute.scaleset.io",
    version = "v1alpha1",
    kind = "ScaleSetOperation",
    plural = "scalesetoperations",
    singular = "scalesetoperation",
    shortname = "ssop",
    category = "vmss",
    namespaced,
    status = "OperationStatus",
    derive = "PartialEq",
    selectable = ".spec.target.kind",
    selectable = ".spec.target.name",
    selectable = ".spec.type",
    printcolumn(name = "KIND", type_ = "string", json_path = ".spec.target.kind"),
    printcolumn(name = "TARGET", type_ = "string", json_path = ".spec.target.name"),
    printcolumn(name = "TYPE", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "TOTAL", type_ = "integer", json_path = ".status.total"),
    printcolumn(name = "SUCCEEDED", type_ = "integer", json_path = ".status.succeeded"),
    printcolumn(name = "FAILED", type_ = "integer", json_path = ".status.failed"),
    printcolumn(name = "STATUS", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "MESSAGE",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = refuse::stays(),
    validation = refuse::no_empty_list(),
    validation = refuse::flex_vm_is_the_instance(),
    validation = refuse::of_sets_only(),
    validation = refuse::names_its_instances(),
    validation = refuse::all_stands_alone(),
    validation = refuse::rolling_upgrades_name_none(),
    validation = refuse::skip_shutdown_of_power_off(),
    validation = refuse::event_id_of_approvals(),
    validation = repairs::service_of_sets(),
    validation = repairs::service_names_no_instances(),
    validation = repairs::service_parameters_required(),
    validation = repairs::service_parameters_of_services()
)]
pub struct ScaleSetOperationSpec {
    /// What it is about, in the same namespace. Required. Immutable.
    pub target: OperationTarget,
    /// What is to be done. Required. Immutable. On VMs: `Start`, `PowerOff` (hardware kept), `Restart`, `Deallocate`
    /// (hardware released), `Redeploy` (on another host), `Reimage` (fresh OS disk of the model that the VM follows),
    /// `ReimageAll` (data disks too; Uniform only), `ManualUpgrade` (to the newest model), `Delete` (the count is
    /// lowered with them), `SimulateEviction` (of Spot VMs) and `ApproveScheduledEvent` (what was announced begins at once;
    /// also on VMs that are going). On a set in mode Rolling: `StartRollingUpgrade` (also after one that was cancelled or has
    /// faulted) and `CancelRollingUpgrade`. On any set: `SetOrchestrationServiceState` (automatic repairs are suspended or
    /// resumed).
    #[serde(rename = "type")]
    pub operation_type: OperationType,
    /// VMs of the set by instance id: the number of a Uniform instance, the name of a Flexible VM. A list of only `*`
    /// means all of them, and so does no list; `ManualUpgrade`, `Delete`, `SimulateEviction` and, without parameters.eventId,
    /// `ApproveScheduledEvent` require one. VMs that are named are not skipped for
    /// their protection, those meant by `*` or by no list are. At most 1000. Immutable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 1000),
        inner(length(min = 1, max = 63), regex(pattern = r"^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub instance_ids: Vec<String>,
    /// Details of some types. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<OperationParameters>,
    /// Seconds of wall time after its end when the object is deleted, 0 to 2592000. Absent: it is kept. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_592_000))]
    pub ttl_seconds_after_finished: Option<i32>,
}

/// What an operation is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationTarget {
    /// `ScaleSet` or `FlexVM`. Required.
    pub kind: OperationTargetKind,
    /// Name. Required.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
}

/// Details of some types.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationParameters {
    /// `PowerOff` only: cut the power without asking the guest to shut down, default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_shutdown: Option<bool>,
    /// `ApproveScheduledEvent` only: id of the event, as in status.scheduledEvents of a VM. Absent: every event that the
    /// named VMs have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub event_id: Option<String>,
    /// `SetOrchestrationServiceState` only: `AutomaticRepairs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<OrchestrationServiceName>,
    /// `SetOrchestrationServiceState` only: Suspend or Resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ServiceAction>,
}

// No doc comments on the variants, see `vocabulary`.
#[expect(missing_docs, reason = "documented at the field")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum OperationTargetKind {
    ScaleSet,
    FlexVM,
}

#[expect(missing_docs, reason = "documented at the field")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum OperationType {
    Start,
    PowerOff,
    Restart,
    Deallocate,
    Redeploy,
    Reimage,
    ReimageAll,
    ManualUpgrade,
    Delete,
    StartRollingUpgrade,
    CancelRollingUpgrade,
    SimulateEviction,
    ApproveScheduledEvent,
    SetOrchestrationServiceState,
}

#[expect(missing_docs, reason = "documented at the field")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum OperationState {
    InProgress,
    Succeeded,
    Failed,
}

/// How far an operation came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When its turn came, wall time. Until then it waits for earlier operations on the same VMs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it had succeeded or failed, wall time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// The VMs that it is carried out on, settled when its turn came, sorted by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub instances: Vec<OperationInstance>,
    /// `ManualUpgrade`: the revision that it brings VMs to, the newest when its turn came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub model_revision: Option<String>,
    /// Rolling upgrades: number of the rolling upgrade that was the latest when its turn came, 0
    /// where there had been none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_upgrade_number: Option<i64>,
    /// VMs that it is carried out on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i32>,
    /// VMs on which it has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<i32>,
    /// VMs on which it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<i32>,
    /// VMs on which it has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_progress: Option<i32>,
    /// Failures by VM, the first 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub failures: Vec<OperationFailure>,
    /// Conditions; all are written on the first pass.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// A VM that an operation is carried out on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationInstance {
    /// Name of its object.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Its instance id.
    #[schemars(length(max = 63))]
    pub instance_id: String,
    /// Uid of its object: one that is made anew under the same name is another.
    #[schemars(length(max = 64))]
    pub uid: String,
}

/// Why an operation failed on one VM.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationFailure {
    /// The instance id.
    #[schemars(length(max = 63))]
    pub instance_id: String,
    /// Azure's code.
    #[schemars(length(max = 128))]
    pub code: String,
    /// What happened.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// How far an operation came on one VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceOperation {
    /// Uid of the `ScaleSetOperation`.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// What is done.
    #[serde(rename = "type")]
    pub operation_type: OperationType,
    /// `InProgress`, Succeeded or Failed.
    pub state: OperationState,
    /// Azure's code, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub code: Option<String>,
    /// What happened, where it failed; which event is waited for, where that is announced and has not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// The default of `status` in the schema.
pub(crate) fn default_status() -> serde_json::Value {
    serde_json::json!({"conditions": unknown_conditions(OperationCondition::ALL.iter().map(|name| name.as_str()))})
}
