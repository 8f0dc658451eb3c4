//! What the hardware reports of a machine.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::load_balancing::PoolMemberState;
use scaleset_crds::spot::EvictionReason;
use scaleset_crds::vocabulary::{HealthState, PowerState};
use serde::{Deserialize, Serialize};

use crate::reservation::MachineReservation;

/// The object that a machine belongs to, so that a change of the machine finds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// `ScaleSetVM` or `FlexVM`.
    pub kind: String,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Uid of the set that it is a member of, if it is; follows attaching and detaching.
    pub set_uid: Option<String>,
    /// Number at which that set made it: the Uniform instance id, or the running number of a Flexible member.
    pub instance_number: Option<i64>,
}

impl fmt::Display for Owner {
    /// `namespace/kind/name`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name, set_uid: _, instance_number: _ } = self;
        write!(formatter, "{namespace}/{kind}/{name}")
    }
}

/// Where a machine goes, or is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Region.
    pub location: String,
    /// Zone; `None` leaves the choice to the hardware (a regional VM).
    pub zone: Option<String>,
    /// Fault domain to be in; `None` lets the hardware spread over as many as it can (max spreading).
    pub platform_fault_domain: Option<i32>,
    /// Update domain inside the placement group, Uniform only.
    pub update_domain: Option<i32>,
    /// Placement group, Uniform only.
    pub placement_group: Option<String>,
}

/// Where in its zone a machine gets its hardware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// Fault domain to be in; `None` lets the hardware spread.
    pub platform_fault_domain: Option<i32>,
    /// Update domain inside the placement group, Uniform only.
    pub update_domain: Option<i32>,
    /// Placement group, Uniform only.
    pub placement_group: Option<String>,
}

/// Whether a machine counts against the vCPU quotas (Azure: overprovisioned VMs do not).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuotaRule {
    /// It does.
    #[default]
    Counted,
    /// It does not, until [`Hardware::count`](crate::Hardware::count).
    Exempt,
}

impl QuotaRule {
    /// Whether it counts, for what is told in the usual case only by its absence.
    pub fn is_counted(&self) -> bool {
        *self == Self::Counted
    }
}

/// The last control-plane operation on a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Provisioning {
    /// First boot under way.
    Creating,
    /// An update, power action or reimage under way.
    Updating,
    /// The last operation succeeded.
    Succeeded,
    /// The last operation failed.
    Failed {
        /// Azure's code, for example `OSProvisioningTimedOut`, `VMExtensionProvisioningError`.
        code: String,
        /// What happened.
        message: String,
    },
    /// Being deleted.
    Deleting,
}

/// One machine as the hardware knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// Uid of the Kubernetes object that it belongs to.
    pub uid: String,
    /// The machine's own id, a GUID; a machine created anew has a new one.
    pub vm_id: String,
    /// The object that it belongs to.
    pub owner: Owner,
    /// Highest generation that a call carried.
    pub generation: i64,
    /// Name that the guest calls itself.
    pub computer_name: String,
    /// Where it is. A deallocated machine has no placement group.
    pub placement: Placement,
    /// Whether it counts against the quotas.
    #[serde(default, skip_serializing_if = "QuotaRule::is_counted")]
    pub quota: QuotaRule,
    /// Host that it runs on; none while deallocated.
    pub host: Option<String>,
    /// Sizes that its host has no room for and another host has: it takes them only while it is deallocated. Sorted; none
    /// for a machine without a host.
    pub sizes_after_deallocation: Vec<String>,
    /// Name of the model revision that was last applied.
    pub model_revision: String,
    /// What the machine really is.
    pub model: Arc<VirtualMachineModel>,
    /// Version of the image that the OS disk was made from.
    pub image_version: String,
    /// State of the last operation.
    pub provisioning: Provisioning,
    /// Power, independent of `provisioning`.
    pub power: PowerState,
    /// Uid of the request that [`Hardware::perform`](crate::Hardware::perform) carried out last.
    pub last_operation: Option<String>,
    /// Failed attempts in a row to provision it; 0 after a success.
    pub failed_attempts: u32,
    /// When `provisioning` or `power` changed last, scenario time.
    pub changed_at: Timestamp,
    /// When it was created, scenario time.
    pub created_at: Timestamp,
    /// Private address of the primary interface.
    #[serde(rename = "privateIPAddress")]
    pub private_ip_address: Option<String>,
    /// Public address of the primary interface, if it has one.
    #[serde(rename = "publicIPAddress")]
    pub public_ip_address: Option<String>,
    /// Operating system, for example `ubuntu`; known once the guest has booted.
    pub os_name: Option<String>,
    /// Version of the operating system.
    pub os_version: Option<String>,
    /// Version of the VM agent; known once the guest has booted.
    pub vm_agent_version: Option<String>,
    /// Disks: the OS disk first, then data disks by lun.
    pub disks: Vec<String>,
    /// Name of the OS disk that it had before, where it is kept.
    pub former_os_disk: Option<String>,
    /// Extensions by name.
    pub extensions: BTreeMap<String, ExtensionState>,
    /// What the application in the guest answers to whoever asks for its health.
    pub health: Health,
    /// What the model's health source says of the application. None without a source, and while the source says nothing
    /// (yet, or any more): the guest does not run, or the extension has not succeeded, has not asked often enough or
    /// hangs with its guest. Missing is not unhealthy.
    pub application_health: Option<ApplicationHealthReport>,
    /// The reservation that it is associated with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub capacity_reservation: Option<MachineReservation>,
    /// The backend pools that it is a member of; none while it has no hardware.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub backend_pools: Vec<PoolMember>,
    /// That it has left them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub drain: Option<Drain>,
    /// The notice that it is about to be evicted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub preempt_notice: Option<PreemptNotice>,
    /// The notice that it is about to pause or to restart, until that is over.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disruption_notice: Option<DisruptionNotice>,
    /// The notice that it is deleted, from the wish to delete it until it is gone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub terminate_notice: Option<TerminateNotice>,
    /// The eviction that has taken its hardware, until somebody starts it or wishes it down. One that an eviction has
    /// deleted is told, as being deleted, until somebody asks for its deletion.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub eviction: Option<Eviction>,
}

/// A machine in a backend pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolMember {
    /// The load balancer.
    pub load_balancer: String,
    /// Whether it gets requests.
    pub state: PoolMemberState,
}

/// That a machine has left its backend pools ([`Hardware::drain`](crate::Hardware::drain)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// Since when it gets no new requests, scenario time.
    pub since: Timestamp,
    /// When those under way have had their time, scenario time.
    pub drained_at: Timestamp,
}

/// The notice of an eviction (Azure: scheduled events, `Preempt`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreemptNotice {
    /// Id of the event.
    pub event_id: String,
    /// When the machine is evicted, scenario time.
    pub not_before: Timestamp,
    /// Why.
    pub reason: EvictionReason,
}

/// The notice of a deletion (Azure: scheduled events, `Terminate`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TerminateNotice {
    /// Id of the event.
    pub event_id: String,
    /// When the deletion begins at the latest, scenario time.
    pub not_before: Timestamp,
    /// How far it is.
    pub stage: NoticeStage,
}

/// How far what was announced is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoticeStage {
    /// Nobody has approved it, and its time is not over.
    Scheduled,
    /// A deletion: it was approved, and waits for another machine of its set, whose notice ends no later. A disruption: it
    /// may begin, and waits for the end of another operation, or for the call that it was announced for.
    Approved,
    /// It is being done.
    Started,
}

/// The notice of a disruption that leaves the machine what it is (Azure: scheduled events, `Freeze`, `Reboot`, `Redeploy`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DisruptionNotice {
    /// Id of the event; machines that are disturbed together have the same.
    pub event_id: String,
    /// What is done.
    pub disruption: Disruption,
    /// Why.
    pub cause: DisruptionCause,
    /// When it begins at the earliest without an approval, scenario time.
    pub not_before: Timestamp,
    /// How far it is.
    pub stage: NoticeStage,
    /// Uid of the request that it was announced for; none where nobody has asked for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operation: Option<String>,
    /// Seconds of scenario time that the machine is expected to be interrupted; none where that is not known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration_seconds: Option<i32>,
}

/// What is done to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Disruption {
    /// It pauses for some seconds.
    Freeze,
    /// It restarts.
    Reboot,
    /// It restarts on another host, where one has room.
    Redeploy,
}

/// Why a machine is disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DisruptionCause {
    /// Its host is maintained.
    Maintenance,
    /// Its hardware has failed: it was not told before.
    HardwareFailure,
    /// Its OS disk is to be replaced, as somebody has asked for.
    OsImage,
    /// A person has asked for it.
    Operation,
}

/// An eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Eviction {
    /// When, scenario time.
    pub time: Timestamp,
    /// Why.
    pub reason: EvictionReason,
}

/// What a health source says of an application.
///
/// Source: Azure's "Using Application Health extension with Virtual Machine Scale Sets", or "Load Balancer health
/// probes".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationHealthReport {
    /// The state.
    pub state: HealthState,
    /// Since when the source says so, scenario time.
    pub since: Timestamp,
}

/// What the application in a guest answers to whoever asks for its health. Whether anybody asks is the model's matter,
/// what is made of it stands in [`Machine::application_health`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// It answers well.
    #[default]
    Healthy,
    /// It answers badly.
    Unhealthy,
    /// It does not answer: the guest does not run, nobody can reach it, or the application is not up.
    Unknown,
    /// It does not answer because the guest hangs: nothing in it reports anything any more.
    Hangs,
}

/// How far an extension came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExtensionState {
    /// Not finished.
    Transitioning,
    /// Finished well.
    Succeeded,
    /// Finished badly.
    Failed,
}

/// Something has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A machine.
    Machine {
        /// The machine.
        uid: String,
        /// The object that it belongs to.
        owner: Owner,
    },
    /// A capacity reservation group: what is reserved, or who draws on it.
    ReservationGroup {
        /// The group.
        uid: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// What the regions offer: a version of an image was published.
    Catalog,
    /// Announcements may have been missed: anything may have changed.
    Everything,
}

/// Everything there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Machines by uid.
    pub machines: BTreeMap<String, Machine>,
    /// Highest `instance_number` ever allocated, by set uid; also of machines long gone.
    pub highest_instance_numbers: BTreeMap<String, i64>,
}
