//! `CapacityReservationGroup`: reservations of capacity that VMs draw on which name the group.
//!
//! Source: Azure's "On-demand Capacity Reservation", "Create a Capacity Reservation", "Modify a Capacity Reservation" and
//! "Share a Capacity Reservation Group".

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::condition::{ReservationGroupCondition, unknown_conditions};
use crate::instance::InstanceViewStatus;
use crate::reservation::ReservationState;
use crate::rules::{self, reservation_group as refuse};
use crate::vocabulary::ProvisioningState;

/// Names of VMs that a list of the status holds; all are counted.
pub const NAMES_MAX: usize = 1_000;

/// Capacity that is set aside for VMs which name the group, by size and zone. The capacity of a reservation is there for
/// them whatever else the region runs; VMs beyond it take what is free, without the promise.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "compute.scaleset.io",
    version = "v1alpha1",
    kind = "CapacityReservationGroup",
    plural = "capacityreservationgroups",
    singular = "capacityreservationgroup",
    shortname = "crg",
    category = "vmss",
    namespaced,
    status = "ReservationGroupStatus",
    derive = "PartialEq",
    validation = rules::dns_label_name(63),
    printcolumn(name = "RESERVED", type_ = "integer", json_path = ".status.totals.currentCapacity"),
    printcolumn(name = "ASSOCIATED", type_ = "integer", json_path = ".status.totals.associated"),
    printcolumn(name = "ALLOCATED", type_ = "integer", json_path = ".status.totals.allocated"),
    printcolumn(name = "UNUSED", type_ = "integer", json_path = ".status.totals.unused"),
    printcolumn(name = "OVERALLOCATED", type_ = "integer", json_path = ".status.totals.overallocated"),
    printcolumn(name = "STATUS", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "LOCATION", type_ = "string", json_path = ".spec.location", priority = 1),
    printcolumn(name = "ZONES", type_ = "string", json_path = ".spec.zones", priority = 1),
    printcolumn(name = "SHARED-WITH", type_ = "string", json_path = ".spec.sharedWith.namespaces", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::immutable("location"),
    validation = refuse::zones_stay(),
    validation = refuse::one_for_each_size_and_zone(),
    validation = refuse::zone_of_the_group()
)]
pub struct CapacityReservationGroupSpec {
    /// Region. Required. Immutable.
    #[schemars(length(min = 1, max = 63))]
    pub location: String,
    /// Zones that reservations may be in, at most 3, for example `["1", "2", "3"]`; none by default: a regional group, for
    /// VMs without a zone. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 3), inner(length(min = 1, max = 8)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub zones: Option<Vec<String>>,
    /// What is reserved, at most 100, each name once and each size once in each zone; none by default: the group reserves
    /// nothing. One can be added at any time; one that is taken out goes once no VM is associated with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub reservations: Vec<CapacityReservation>,
    /// Who else may use the group; nobody by default. From anywhere else it looks like a group that does not exist. Taking a
    /// namespace out stops new use; VMs that are associated stay so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_with: Option<SharedWith>,
}

/// Capacity for VMs of one size, in one zone or without zones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::immutable("vmSize"),
    validation = rules::immutable_optional("zone"),
    validation = refuse::capacity_range()
)]
pub struct CapacityReservation {
    /// Name in the group, a DNS label of at most 63 characters. Required.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Size of the VMs, for example `Standard_D2s_v3`; it must be one that can be reserved. Required. Immutable.
    #[schemars(length(min = 1, max = 64))]
    pub vm_size: String,
    /// Zone, one of the group's; required in a group with zones, absent in one without. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    pub zone: Option<String>,
    /// Number of VMs that there is always room for, 0 to 10000. Required. It is reserved as a whole or not at all, and counts
    /// against the vCPU quota. Lowering it always succeeds; raising it needs room and quota: if it fails, the reservation is
    /// `Failed` and takes no further VM until the capacity is put back or the raise succeeds. Running VMs stay untouched.
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub capacity: i32,
}

/// Who may use the group beside its own namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SharedWith {
    /// Other namespaces whose sets and VMs may name the group, at most 100; none by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        inner(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub namespaces: Vec<String>,
}

/// The reservation that a VM is associated with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceReservation {
    /// The group: its name, or `NAMESPACE/NAME` where it is of another namespace.
    #[schemars(length(max = 127))]
    pub group: String,
    /// Name of the reservation in the group.
    #[schemars(length(max = 63))]
    pub reservation: String,
    /// `Associated`: the VM holds no hardware. `Allocated`: it holds a slot of the reservation. `Overallocated`: it holds
    /// hardware beyond the reservation's capacity, without the promise.
    pub state: ReservationState,
}

/// What is reserved, and who uses it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReservationGroupStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The reservations taken together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totals: Option<ReservationTotals>,
    /// Reservations, those included that the spec does not name any more and that are still in use. At most 200.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub capacity_reservations: Vec<CapacityReservationStatus>,
    /// VMs that are configured to use the group, those without hardware included, as `NAMESPACE/KIND/NAME`; the first 1,000,
    /// sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), inner(length(max = 191)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub virtual_machines_associated: Vec<String>,
    /// How many more there are than `virtualMachinesAssociated` holds; absent where it holds all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omitted: Option<i32>,
    /// Run-time details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_view: Option<ReservationGroupInstanceView>,
    /// Conditions; all are written on the first pass.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Numbers of VMs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReservationTotals {
    /// VMs that there is room for.
    pub current_capacity: i32,
    /// VMs that are configured to use it, those without hardware included.
    pub associated: i32,
    /// VMs that hold hardware.
    pub allocated: i32,
    /// Capacity that nobody uses.
    pub unused: i32,
    /// VMs that hold hardware beyond the capacity.
    pub overallocated: i32,
}

/// One reservation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapacityReservationStatus {
    /// Name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Its own id, a GUID; none before it is reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reservation_id: Option<String>,
    /// Size of its VMs.
    #[schemars(length(max = 64))]
    pub vm_size: String,
    /// Zone; none: regional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub zone: Option<String>,
    /// `Creating`, `Succeeded`, `Failed`, or `Deleting` where the spec does not name it any more.
    pub provisioning_state: ProvisioningState,
    /// When that changed last, scenario time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning_time: Option<Time>,
    /// Fault domains that a set may spread over which uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_fault_domain_count: Option<i32>,
    /// VMs that there really is room for.
    pub current_capacity: i32,
    /// VMs that are configured to use it, those without hardware included.
    pub associated: i32,
    /// VMs that hold hardware.
    pub allocated: i32,
    /// Capacity that nobody uses: `currentCapacity` minus `allocated`, at least 0.
    pub unused: i32,
    /// VMs that hold hardware beyond the capacity: `allocated` minus `currentCapacity`, at least 0.
    pub overallocated: i32,
}

/// Run-time details of a group, as Azure's instance view has them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReservationGroupInstanceView {
    /// Reservations. At most 200.
    #[serde(default)]
    #[schemars(length(max = 200))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub capacity_reservations: Vec<CapacityReservationInstanceView>,
}

/// Run-time details of one reservation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapacityReservationInstanceView {
    /// Name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Who holds its capacity.
    pub utilization_info: CapacityReservationUtilization,
    /// Provisioning as a code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub statuses: Vec<InstanceViewStatus>,
}

/// Who holds the capacity of a reservation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapacityReservationUtilization {
    /// VMs that there really is room for.
    pub current_capacity: i32,
    /// VMs that hold hardware, as `NAMESPACE/KIND/NAME`, sorted; of all reservations of the group together the first 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), inner(length(max = 191)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub virtual_machines_allocated: Vec<String>,
    /// How many more there are than `virtualMachinesAllocated` holds; absent where it holds all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omitted: Option<i32>,
}

/// The default of `status` in the schema.
pub(crate) fn default_status() -> serde_json::Value {
    let names = ReservationGroupCondition::ALL.iter().map(|name| name.as_str());
    serde_json::json!({"conditions": unknown_conditions(names)})
}
