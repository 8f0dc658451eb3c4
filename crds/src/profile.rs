//! The VM profile: what a VM should be. Shared by `ScaleSet` (under `virtualMachineProfile`) and `FlexVM` (at the top
//! of its spec), and spoken to the hardware as [`VirtualMachineModel`].
//!
//! What a change of each field costs on existing VMs stands in [`crate::impact`]; the generated schema adds it to each
//! field's description.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::health::HealthProbe;
use crate::load_balancing::BackendPoolReference;
use crate::reservation::CapacityReservationGroupReference;
use crate::rules::{self, health, profile as refuse, reservation, scheduled_event};
use crate::scheduled_event::{OsImageNotification, ScheduledEventsProfile, TerminateNotification};
use crate::spot::{Priority, SpotProfile, SpotTerms};
use crate::vocabulary::{ApplicationProtocol, OsType, StorageAccountType};

/// What each VM that the set makes should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = refuse::windows_admin_username(),
    validation = refuse::windows_computer_name_prefix(),
    validation = refuse::unique_extension_names(),
    validation = refuse::extensions_wait_for_known(),
    validation = refuse::extensions_wait_for_others(),
    validation = health::one_health_extension(),
    validation = health::health_extension_of_os(),
    validation = health::one_health_source(),
    validation = scheduled_event::no_terminate_notification_of_spot(),
    validation = reservation::no_spot()
)]
pub struct VirtualMachineProfile {
    /// Size of the VM, as in Azure's `sku.name`, for example `Standard_D2s_v3`. Required.
    #[schemars(length(min = 1, max = 64))]
    pub vm_size: String,
    /// Priority, and what Spot VMs agree to.
    #[serde(flatten)]
    pub spot: SpotProfile,
    /// Capacity reservation group that the VM draws on, none by default. A full reservation does not hold a VM back: it is
    /// allocated beyond what is reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_reservation_group_ref: Option<CapacityReservationGroupReference>,
    /// Computer name, administrator and credentials. Required.
    pub os_profile: OsProfile,
    /// Image and disks. Required.
    pub storage_profile: StorageProfile,
    /// Network interfaces. Required.
    pub network_profile: NetworkProfile,
    /// Extensions that run in the guest; at most 32, each name once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub extensions: Vec<Extension>,
    /// Events that a VM is told of before they come about; only Spot VMs are told of anything by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_events_profile: Option<ScheduledEventsProfile>,
    /// Tags of the VM; at most 50, names of up to 512 characters, values of up to 256.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 50), schema_with = "rules::tag_map")]
    pub tags: BTreeMap<String, String>,
}

/// Names and credentials of the operating system of a set's VMs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::immutable_optional("computerNamePrefix"),
    validation = refuse::computer_name_prefix_characters()
)]
pub struct OsProfile {
    /// First part of each computer name: letters, digits and hyphens, 1 to 15 (9 and not all digits for Windows); the
    /// default is the set's name, cut to that. Six letters or digits follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15))]
    pub computer_name_prefix: Option<String>,
    /// Administrator and secrets.
    #[serde(flatten)]
    pub credentials: Credentials,
}

/// The administrator of a VM and the secrets that the hardware hands to it. Secrets are referenced, never inlined, and
/// never read by the controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::immutable("adminUsername"), validation = refuse::admin_username_not_reserved())]
pub struct Credentials {
    /// Name of the administrator, 1 to 64 characters (20 for Windows), none of the names that Azure reserves, such as
    /// `root` and `admin`. Required.
    #[schemars(length(min = 1, max = 64))]
    pub admin_username: String,
    /// Secret key that holds the administrator's password; none by default. A changed content is no change of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_password_secret_ref: Option<SecretKeyRef>,
    /// SSH public keys of the administrator; at most 16, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 2048)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub ssh_public_keys: Vec<String>,
    /// Secret key that holds the cloud-init data; none by default. A changed content is no change of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_data_secret_ref: Option<SecretKeyRef>,
}

/// One key of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key inside the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// Image and disks of a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = refuse::image_is_named_once(),
    validation = refuse::image_is_named_wholly(),
    validation = refuse::unique_luns()
)]
pub struct StorageProfile {
    /// The image of the OS disk: either publisher, offer, sku and version, or id. Required.
    pub image_reference: ImageReference,
    /// The OS disk: 30 GiB of `Premium_LRS` for Linux by default.
    #[serde(default)]
    pub os_disk: OsDisk,
    /// Empty data disks that each VM gets; at most 64, each lun once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["lun".into()]))]
    pub data_disks: Vec<DataDisk>,
}

/// An image: either the parts of a marketplace image, or the id of an own image.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageReference {
    /// Publisher of a marketplace image, for example `Canonical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub publisher: Option<String>,
    /// Offer of the publisher, for example `ubuntu-server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub offer: Option<String>,
    /// Plan of the offer, for example `22_04-lts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub sku: Option<String>,
    /// Version, or `latest` (default): the newest at the time of creation or reimage; a newer one moves a running VM only
    /// with upgradePolicy.automaticOSUpgradePolicy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub version: Option<String>,
    /// Id of an own image, instead of the four parts above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub id: Option<String>,
}

/// The disk that the operating system starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::immutable("osType"), validation = rules::immutable("storageAccountType"))]
pub struct OsDisk {
    /// Linux (default) or Windows.
    #[serde(default)]
    pub os_type: OsType,
    /// Size in GiB, 1 to 4095, default 30.
    #[serde(default = "default_os_disk_size_gb", rename = "diskSizeGB")]
    #[schemars(range(min = 1, max = 4095))]
    pub disk_size_gb: i32,
    /// Kind of storage, default `Premium_LRS`.
    #[serde(default)]
    pub storage_account_type: StorageAccountType,
}

/// One empty data disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataDisk {
    /// Logical unit number, 0 to 63, unique in the profile. Required.
    #[schemars(range(min = 0, max = 63))]
    pub lun: i32,
    /// Size in GiB, 1 to 32767. Required.
    #[serde(rename = "diskSizeGB")]
    #[schemars(range(min = 1, max = 32767))]
    pub disk_size_gb: i32,
    /// Kind of storage, default `Premium_LRS`.
    #[serde(default)]
    pub storage_account_type: StorageAccountType,
}

/// Network of a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = refuse::unique_interface_names(), validation = refuse::one_primary_interface())]
pub struct NetworkProfile {
    /// Network interfaces, 1 to 8, each name once, exactly one of them primary.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub network_interfaces: Vec<NetworkInterface>,
    /// Probe of a load balancer that tells the VMs' health, none by default; Uniform only, and not beside an
    /// application-health extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_probe: Option<HealthProbe>,
}

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkInterface {
    /// Name, unique in the profile. Required.
    #[schemars(length(min = 1, max = 80))]
    pub name: String,
    /// Whether this interface carries the VM's primary address, default false. True for exactly one.
    #[serde(default)]
    pub primary: bool,
    /// Subnet that gives the private address. Required.
    #[schemars(length(min = 1, max = 80))]
    pub subnet: String,
    /// Network security group, none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 80))]
    pub network_security_group: Option<String>,
    /// Whether the interface gets a public address, default false.
    #[serde(default, rename = "publicIPAddress")]
    pub public_ip_address: bool,
    /// Backend pools of load balancers that the interface joins, at most 8, each load balancer once, none by default. The
    /// VM gets requests while it runs and the load balancer's probe answers, and leaves the pools before it is taken down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub load_balancer_backend_pools: Vec<BackendPoolReference>,
}

/// One extension: a program that the VM's agent runs in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = health::protocol_required(),
    validation = health::health_settings_of_health_only(),
    validation = health::tcp_needs_port(),
    validation = health::http_needs_path(),
    validation = health::tcp_has_no_path(),
    validation = health::port_range(),
    validation = health::interval_range(),
    validation = health::probes_range(),
    validation = health::grace_period_range(),
    validation = health::grace_period_needs_rich_states(),
    validation = health::handler_version()
)]
pub struct Extension {
    /// Name, unique in the profile. Required.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Publisher, for example `Microsoft.Azure.Extensions`. Required.
    #[schemars(length(min = 1, max = 128))]
    pub publisher: String,
    /// Type, for example `CustomScript`. Required.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 128))]
    pub extension_type: String,
    /// Version of the handler, for example `2.0`. Required.
    #[schemars(length(min = 1, max = 16))]
    pub type_handler_version: String,
    /// Settings handed to the extension.
    #[serde(default)]
    pub settings: ExtensionSettings,
    /// Names of extensions of this profile that must have succeeded before this one starts; at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 64)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub provision_after_extensions: Vec<String>,
    /// Any text; a change runs the extension again although nothing else changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub force_update_tag: Option<String>,
    /// Whether a failure of this extension leaves the VM's provisioning succeeded, default false.
    #[serde(default)]
    pub suppress_failures: bool,
}

/// Settings of an extension: the keys of the custom-script and application-health extensions, and plain values for any
/// other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExtensionSettings {
    /// Files that the custom-script extension loads; at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 1024)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub file_uris: Vec<String>,
    /// Command that the custom-script extension runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub command_to_execute: Option<String>,
    /// What the application-health extension speaks to the application: http, https or tcp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<ApplicationProtocol>,
    /// Port that the application-health extension asks, 1 to 65535; required for tcp, default 80 for http and 443 for
    /// https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub port: Option<i32>,
    /// Path that the application-health extension asks for; required for http and https, not for tcp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub request_path: Option<String>,
    /// Seconds of scenario time between two questions of the application-health extension, 5 (default) to 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub interval_in_seconds: Option<i32>,
    /// Equal answers in a row that change the health state, 1 (default) to 24.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub number_of_probes: Option<i32>,
    /// Seconds of scenario time within which an application may come up, 5 to 14400; version 2.0 of the
    /// application-health extension only; the default is intervalInSeconds times numberOfProbes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub grace_period: Option<i32>,
    /// Settings of other extensions; at most 32, names and values of up to 256 characters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32), schema_with = "rules::settings_map")]
    pub values: BTreeMap<String, String>,
}

/// What one VM should be, or is: the profile without what only a set knows. The diff engine compares two of these, and
/// the hardware is told and reports one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VirtualMachineModel {
    /// Size of the VM.
    pub vm_size: String,
    /// What it agrees to as a Spot VM; none of regular priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot: Option<SpotTerms>,
    /// Capacity reservation group that it draws on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_reservation_group_ref: Option<CapacityReservationGroupReference>,
    /// Administrator and secrets.
    pub credentials: Credentials,
    /// Image and disks.
    pub storage_profile: StorageProfile,
    /// Network interfaces.
    pub network_profile: NetworkProfile,
    /// Extensions, in the order of the profile.
    #[serde(default)]
    pub extensions: Vec<Extension>,
    /// Notice of a deletion; none where it comes without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminate_notification: Option<TerminateNotification>,
    /// Notice before the OS disk is replaced; none where that comes without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_image_notification: Option<OsImageNotification>,
    /// Tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl VirtualMachineProfile {
    /// The part of the profile that one VM has.
    pub fn model(&self) -> VirtualMachineModel {
        let Self {
            vm_size,
            spot,
            capacity_reservation_group_ref,
            os_profile,
            storage_profile,
            network_profile,
            extensions,
            scheduled_events_profile,
            tags,
        } = self.clone();
        let OsProfile { computer_name_prefix: _, credentials } = os_profile;
        let spot = spot.terms();
        VirtualMachineModel {
            vm_size,
            spot,
            capacity_reservation_group_ref,
            credentials,
            storage_profile,
            network_profile,
            extensions,
            terminate_notification: scheduled_events_profile
                .as_ref()
                .and_then(super::scheduled_event::ScheduledEventsProfile::terminate_notification),
            os_image_notification: scheduled_events_profile.and_then(|events| events.os_image_notification()),
            tags,
        }
    }

    /// The same of a VM of `priority`: a set that mixes priorities makes regular VMs of a Spot profile.
    pub fn model_of(&self, priority: Priority) -> VirtualMachineModel {
        match priority {
            Priority::Spot => self.model(),
            Priority::Regular => VirtualMachineModel { spot: None, ..self.model() },
        }
    }
}

impl ImageReference {
    /// The image without its version, as `publisher:offer:sku` or the id: what a catalogue of images is keyed by.
    pub fn family(&self) -> String {
        self.id.clone().unwrap_or_else(|| {
            let part = |value: &Option<String>| value.clone().unwrap_or_default();
            format!("{}:{}:{}", part(&self.publisher), part(&self.offer), part(&self.sku))
        })
    }

    /// The version that is asked for; `latest` when none is named.
    pub fn requested_version(&self) -> &str {
        self.version.as_deref().unwrap_or("latest")
    }
}

impl Default for OsDisk {
    fn default() -> Self {
        Self {
            os_type: OsType::default(),
            disk_size_gb: default_os_disk_size_gb(),
            storage_account_type: StorageAccountType::default(),
        }
    }
}

const fn default_os_disk_size_gb() -> i32 {
    30
}
