//! The status that `ScaleSetVM` and `FlexVM` share: the instance view and what differs from the model view.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;

use serde::{Deserialize, Serialize};

use crate::load_balancing::PoolMembership;
use crate::operation::InstanceOperation;
use crate::reservation_group::InstanceReservation;
use crate::rules::instance as refuse;
use crate::scheduled_event::ScheduledEvent;
use crate::spot::EvictionStatus;
use crate::vocabulary::{Impact, PowerState, ProvisioningState, StatusLevel};

/// Protection of one instance from its set. A person's own action on the instance is never held back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = refuse::protection_from_actions_includes_scale_in())]
pub struct ProtectionPolicy {
    /// Scale-in never chooses this instance, default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protect_from_scale_in: Option<bool>,
    /// The set starts no upgrade, reimage, repair or scale-in on this instance, default false; it includes
    /// protectFromScaleIn, which must then not be false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protect_from_scale_set_actions: Option<bool>,
}

/// A set in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleSetReference {
    /// Name of the set.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
}

/// What the hardware reports, and how it differs from the newest model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The machine's own id, a GUID; a machine created anew has a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub vm_id: Option<String>,
    /// Name that the guest calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub computer_name: Option<String>,
    /// The set that this `FlexVM` has been accepted into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub scale_set: Option<String>,
    /// The model revision that the hardware runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub model_revision: Option<String>,
    /// Whether the hardware is what the newest model says, in every field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_model_applied: Option<bool>,
    /// The last model revision on which the VM was seen as it should be; none once it has left one on which it failed
    /// without ever having been so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub healthy_on_revision: Option<String>,
    /// Name of the last OS disk with which the VM was seen as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub healthy_on_os_disk: Option<String>,
    /// Differences between the newest model and the hardware; the first 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub pending_changes: Vec<PendingChange>,
    /// Size that the hardware has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub vm_size: Option<String>,
    /// Update domain inside the placement group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_domain: Option<i32>,
    /// Result of the last operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning_state: Option<ProvisioningState>,
    /// Power that the hardware reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_state: Option<PowerState>,
    /// Run-time details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_view: Option<InstanceView>,
    /// Private address of the primary interface.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "privateIPAddress")]
    #[schemars(length(max = 45))]
    pub private_ip_address: Option<String>,
    /// Public address of the primary interface.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "publicIPAddress")]
    #[schemars(length(max = 45))]
    pub public_ip_address: Option<String>,
    /// The latest operations on this VM, at most 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["uid".into()]))]
    pub operations: Vec<InstanceOperation>,
    /// The eviction that has left it without hardware; none once it is started, or wished down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eviction: Option<EvictionStatus>,
    /// The capacity reservation that it is associated with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_reservation: Option<InstanceReservation>,
    /// What is about to be done to it; at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["eventId".into()]))]
    pub scheduled_events: Vec<ScheduledEvent>,
    /// Backend pools that it is a member of, by load balancer; none while it has no hardware.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub load_balancer_pools: Vec<PoolMembership>,
    /// Conditions; all are written on the first pass.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// One difference between the newest model and the hardware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingChange {
    /// Path of the field inside the profile.
    #[schemars(length(max = 256))]
    pub path: String,
    /// What the hardware has, cut at 256 characters.
    #[schemars(length(max = 256))]
    pub from: String,
    /// What the model says, cut at 256 characters.
    #[schemars(length(max = 256))]
    pub to: String,
    /// What it costs to apply.
    pub impact: Impact,
}

/// Run-time details of one VM, as Azure's instance view has them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceView {
    /// Fault domain that the VM is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_fault_domain: Option<i32>,
    /// Placement group that the VM is in; none while deallocated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub placement_group_id: Option<String>,
    /// Host that the VM runs on; none while deallocated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub assigned_host: Option<String>,
    /// Operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub os_name: Option<String>,
    /// Version of the operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub os_version: Option<String>,
    /// Version of the image that the OS disk was made from (Azure: the image reference's exact version).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub image_version: Option<String>,
    /// The agent in the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_agent: Option<VirtualMachineAgent>,
    /// What the health source of the model that the VM runs says; absent without a source, and while it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_health: Option<VirtualMachineHealth>,
    /// Names of the disks: the OS disk first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 65), inner(length(max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub disks: Vec<String>,
    /// Extensions with the code of their state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub extensions: Vec<ExtensionView>,
    /// Provisioning and power as codes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub statuses: Vec<InstanceViewStatus>,
}

/// The agent in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VirtualMachineAgent {
    /// Version of the agent.
    #[schemars(length(max = 64))]
    pub version: String,
}

/// What a health source says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VirtualMachineHealth {
    /// `HealthState/healthy`, `/unhealthy`, `/unknown` or `/initializing`, since when.
    pub status: InstanceViewStatus,
}

/// State of one extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExtensionView {
    /// Name of the extension.
    #[schemars(length(max = 64))]
    pub name: String,
    /// `ProvisioningState/succeeded`, `/transitioning` or `/failed`.
    #[schemars(length(max = 64))]
    pub code: String,
}

/// One line of an instance view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceViewStatus {
    /// `Category/value`, for example `PowerState/running`.
    #[schemars(length(max = 128))]
    pub code: String,
    /// Severity.
    pub level: StatusLevel,
    /// For people, for example `VM running`.
    #[schemars(length(max = 128))]
    pub display_status: String,
    /// What happened, where there is more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// When it became so, scenario time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
}
