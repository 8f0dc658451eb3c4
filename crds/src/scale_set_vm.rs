//! `ScaleSetVM`: one Uniform instance. Made and removed by the controller; people edit power and protection.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::condition::{InstanceCondition, unknown_conditions};
use crate::instance::{InstanceStatus, ProtectionPolicy, ScaleSetReference};
use crate::rules::{self, instance as refuse};
use crate::vocabulary::{PowerWish, Surplus};

/// One instance of a Uniform scale set. The controller makes and removes it; people may change `powerState`,
/// `protectionPolicy`, labels and annotations. Deleting one asks for a replacement.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "compute.scaleset.io",
    version = "v1alpha1",
    kind = "ScaleSetVM",
    plural = "scalesetvms",
    singular = "scalesetvm",
    shortname = "ssvm",
    category = "vmss",
    namespaced,
    status = "InstanceStatus",
    derive = "PartialEq",
    validation = refuse::name_is_set_and_id(),
    selectable = ".spec.scaleSetRef.name",
    selectable = ".spec.zone",
    selectable = ".spec.powerState",
    printcolumn(name = "SET", type_ = "string", json_path = ".spec.scaleSetRef.name"),
    printcolumn(name = "ID", type_ = "string", json_path = ".spec.instanceId"),
    printcolumn(name = "SIZE", type_ = "string", json_path = ".status.vmSize"),
    printcolumn(name = "ZONE", type_ = "string", json_path = ".spec.zone"),
    printcolumn(name = "FD", type_ = "integer", json_path = ".status.instanceView.platformFaultDomain"),
    printcolumn(name = "POWER", type_ = "string", json_path = ".status.powerState"),
    printcolumn(name = "PROVISIONING", type_ = "string", json_path = ".status.provisioningState"),
    printcolumn(
        name = "HEALTH",
        type_ = "string",
        json_path = ".status.instanceView.vmHealth.status.displayStatus"
    ),
    printcolumn(name = "LATEST", type_ = "boolean", json_path = ".status.latestModelApplied"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "COMPUTER-NAME", type_ = "string", json_path = ".status.computerName", priority = 1),
    printcolumn(name = "HOST", type_ = "string", json_path = ".status.instanceView.assignedHost", priority = 1),
    printcolumn(name = "PRIVATE-IP", type_ = "string", json_path = ".status.privateIPAddress", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = refuse::set_of_instance_stays(),
    validation = rules::immutable("instanceId"),
    validation = rules::immutable_optional("zone")
)]
pub struct ScaleSetVMSpec {
    /// The set that this instance belongs to. Required. Immutable.
    pub scale_set_ref: ScaleSetReference,
    /// The instance id: a decimal number, unique in the set and never reused. Required. Immutable.
    #[schemars(length(min = 1, max = 10), regex(pattern = "^(0|[1-9][0-9]*)$"))]
    pub instance_id: String,
    /// Name of the `ControllerRevision` that this instance is to follow. Required. Written by the controller only.
    #[schemars(length(min = 1, max = 253))]
    pub model_revision: String,
    /// Zone that the instance is placed in; none for a regional set. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    pub zone: Option<String>,
    /// Fault domain that the instance is placed in; none where the hardware chooses. Written by the controller only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4))]
    pub platform_fault_domain: Option<i32>,
    /// Update domain inside the placement group, 0 to 4. Written by the controller only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4))]
    pub update_domain: Option<i32>,
    /// Placement group inside the set. Written by the controller only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub placement_group: Option<String>,
    /// Overprovisioned: an extra of a scale-out, which counts nowhere and may yet go. Undecided: one that was asked for and
    /// whose extensions wait until it is settled that it stays. Absent (default): it stays. Written by the controller only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surplus: Option<Surplus>,
    /// The power state that is wished for: Running (default), Stopped (hardware kept) or Deallocated (hardware
    /// released). Absent means Running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PowerWish", extend("default" = "Running"))]
    pub power_state: Option<PowerWish>,
    /// Protection from the set's own actions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection_policy: Option<ProtectionPolicy>,
}

/// The default of `status` in the schema.
pub(crate) fn default_status() -> serde_json::Value {
    serde_json::json!({"conditions": unknown_conditions(InstanceCondition::ALL.iter().map(|name| name.as_str()))})
}
