//! `FlexVM`: an ordinary VM that stands alone or joins a Flexible set by reference.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::condition::{FlexVMCondition, InstanceCondition, unknown_conditions};
use crate::instance::{InstanceStatus, ProtectionPolicy, ScaleSetReference};
use crate::profile::{Credentials, Extension, NetworkInterface, NetworkProfile, StorageProfile, VirtualMachineModel};
use crate::reservation::CapacityReservationGroupReference;
use crate::rules::{self, health, instance, profile as refuse, reservation, scheduled_event};
use crate::scheduled_event::{ScheduledEventsPolicy, ScheduledEventsProfile};
use crate::spot::SpotProfile;
use crate::vocabulary::PowerWish;

/// An ordinary VM. It works alone, or joins a Flexible scale set by reference when it is created.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "compute.scaleset.io",
    version = "v1alpha1",
    kind = "FlexVM",
    plural = "flexvms",
    singular = "flexvm",
    shortname = "fvm",
    category = "vmss",
    namespaced,
    status = "InstanceStatus",
    derive = "PartialEq",
    validation = rules::dns_label_name(63),
    validation = instance::windows_name_as_computer_name(),
    selectable = ".spec.scaleSetRef.name",
    selectable = ".spec.zone",
    selectable = ".spec.powerState",
    printcolumn(name = "SET", type_ = "string", json_path = ".status.scaleSet"),
    printcolumn(name = "ID", type_ = "string", json_path = ".metadata.name", priority = 1),
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
    validation = rules::immutable("location"),
    validation = rules::immutable_optional("zone"),
    validation = rules::immutable_optional("platformFaultDomain"),
    validation = instance::fault_domain_needs_set(),
    validation = instance::no_move_between_sets(),
    validation = instance::no_detach_from_fault_domain(),
    validation = refuse::windows_admin_username(),
    validation = refuse::windows_computer_name(),
    validation = refuse::unique_extension_names(),
    validation = refuse::extensions_wait_for_known(),
    validation = refuse::extensions_wait_for_others(),
    validation = health::one_health_extension(),
    validation = health::health_extension_of_os(),
    validation = scheduled_event::no_terminate_notification_of_spot(),
    validation = reservation::no_spot()
)]
pub struct FlexVMSpec {
    /// The Flexible set that this VM joins, in the same namespace; none by default: the VM stands alone. A VM that exists is
    /// attached by setting it and detached by removing it, where the set has platformFaultDomainCount 1 and says
    /// singlePlacementGroup false; it cannot go from one set to another at once. Costs no downtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_set_ref: Option<ScaleSetReference>,
    /// Region. Required. Immutable.
    #[schemars(length(min = 1, max = 63))]
    pub location: String,
    /// Zone; none leaves the choice to the region. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    pub zone: Option<String>,
    /// Fault domain, 0 to the set's count minus 1; only for a member of a set with more than one. None by default: such a set
    /// gives the VM the one with the fewest VMs, which stands on the label `fault-domain`. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4))]
    pub platform_fault_domain: Option<i32>,
    /// The power state that is wished for: Running (default), Stopped (hardware kept) or Deallocated (hardware
    /// released). Absent means Running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PowerWish", extend("default" = "Running"))]
    pub power_state: Option<PowerWish>,
    /// Protection from the set's own actions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection_policy: Option<ProtectionPolicy>,
    /// Whether restarts and redeployments that an operation asks for wait until the VM's event is approved. Absent means the
    /// policy of its set, and without one that they wait for nobody. A change costs the VM nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_events_policy: Option<ScheduledEventsPolicy>,
    /// Size of the VM, for example `Standard_B1s`. Required.
    #[schemars(length(min = 1, max = 64))]
    pub vm_size: String,
    /// Priority, and what a Spot VM agrees to.
    #[serde(flatten)]
    pub spot: SpotProfile,
    /// Capacity reservation group that the VM draws on, none by default. A full reservation does not hold a VM back: it is
    /// allocated beyond what is reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_reservation_group_ref: Option<CapacityReservationGroupReference>,
    /// Computer name, administrator and credentials. Required.
    pub os_profile: FlexOsProfile,
    /// Image and disks. Required.
    pub storage_profile: StorageProfile,
    /// Network interfaces. Required.
    pub network_profile: FlexVMNetworkProfile,
    /// Extensions that run in the guest; at most 32, each name once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub extensions: Vec<Extension>,
    /// Events that the VM is told of before they come about; only Spot VMs are told of anything by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_events_profile: Option<ScheduledEventsProfile>,
    /// Tags of the VM; at most 50, names of up to 512 characters, values of up to 256.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 50), schema_with = "rules::tag_map")]
    pub tags: BTreeMap<String, String>,
}

/// Names and credentials of the operating system of one VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::immutable_optional("computerName"), validation = refuse::computer_name_characters())]
pub struct FlexOsProfile {
    /// Name that the guest calls itself: letters, digits and hyphens, at most 64 (15 and not all digits for Windows);
    /// the default is the VM's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub computer_name: Option<String>,
    /// Administrator and secrets.
    #[serde(flatten)]
    pub credentials: Credentials,
}

impl FlexVMSpec {
    /// What the VM should be.
    pub fn model(&self) -> VirtualMachineModel {
        VirtualMachineModel {
            vm_size: self.vm_size.clone(),
            spot: self.spot.terms(),
            capacity_reservation_group_ref: self.capacity_reservation_group_ref.clone(),
            credentials: self.os_profile.credentials.clone(),
            storage_profile: self.storage_profile.clone(),
            network_profile: self.network_profile.clone().into(),
            extensions: self.extensions.clone(),
            terminate_notification: self
                .scheduled_events_profile
                .as_ref()
                .and_then(ScheduledEventsProfile::terminate_notification),
            os_image_notification: self
                .scheduled_events_profile
                .as_ref()
                .and_then(ScheduledEventsProfile::os_image_notification),
            tags: self.tags.clone(),
        }
    }
}

/// The default of `status` in the schema.
pub(crate) fn default_status() -> serde_json::Value {
    let names = InstanceCondition::ALL.iter().map(|name| name.as_str());
    let names = names.chain(FlexVMCondition::ALL.iter().map(|name| name.as_str()));
    serde_json::json!({"conditions": unknown_conditions(names)})
}

/// Network of a `FlexVM`: without the probe of a load balancer, which only Uniform sets have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = refuse::unique_interface_names(), validation = refuse::one_primary_interface())]
pub struct FlexVMNetworkProfile {
    /// Network interfaces, 1 to 8, each name once, exactly one of them primary.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub network_interfaces: Vec<NetworkInterface>,
}

impl From<FlexVMNetworkProfile> for NetworkProfile {
    fn from(FlexVMNetworkProfile { network_interfaces }: FlexVMNetworkProfile) -> Self {
        Self { network_interfaces, health_probe: None }
    }
}

/// Leaves out the probe: a Flexible set has none.
impl From<NetworkProfile> for FlexVMNetworkProfile {
    fn from(NetworkProfile { network_interfaces, health_probe: _ }: NetworkProfile) -> Self {
        Self { network_interfaces }
    }
}
