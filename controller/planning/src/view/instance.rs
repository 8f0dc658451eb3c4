//! What the hardware reports of one VM.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::load_balancing::PoolMemberState;
use scaleset_crds::reservation_group::InstanceReservation;
use scaleset_crds::scheduled_event::{EventApproval, EventType};
use scaleset_crds::spot::EvictionReason;
use scaleset_crds::vocabulary::{HealthState, PowerState};

use super::disruption::{DisruptionCause, DisruptionNotice};

/// What is known of a VM's hardware. Unknown is not absent: nothing is created or released on an unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HardwareView {
    /// The hardware did not answer.
    Unknown {
        /// What it said instead.
        message: String,
    },
    /// The hardware is sure that there is none.
    Absent,
    /// It is there.
    Present(Box<InstanceView>),
}

/// Whether a VM counts against the quotas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuotaRule {
    /// It does.
    #[default]
    Counted,
    /// It does not: it is an extra of a scale-out.
    Exempt,
}

/// Result of the last operation on a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationState {
    /// First boot under way.
    Creating,
    /// Another operation under way.
    Updating,
    /// Succeeded.
    Succeeded,
    /// Failed, `attempts` times in a row.
    Failed {
        /// Azure's code.
        code: String,
        /// What happened.
        message: String,
        /// How often in a row.
        attempts: u32,
    },
    /// Being deleted.
    Deleting,
}

/// What is known of a VM's application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The model that the VM runs names no source.
    NoSource,
    /// The source says nothing, which is not the same as unhealthy (Azure: Application Health extension).
    Missing,
    /// What it says.
    Known(HealthState),
}

impl Health {
    /// Whether the source says so; what it does not say is not bad news.
    pub fn is_unhealthy(self) -> bool {
        match self {
            Self::NoSource | Self::Missing | Self::Known(HealthState::Initializing | HealthState::Healthy) => false,
            Self::Known(HealthState::Unhealthy | HealthState::Unknown) => true,
        }
    }
}

/// What the health source of a VM's model says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportedHealth {
    /// The state.
    pub state: HealthState,
    /// Since when, scenario time.
    pub since: Timestamp,
}

/// One VM as the hardware reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceView {
    /// The VM's own id.
    pub vm_id: String,
    /// Name that the guest calls itself.
    pub computer_name: String,
    /// Revision that was applied last.
    pub revision: String,
    /// What the VM is.
    pub model: Arc<VirtualMachineModel>,
    /// Last operation.
    pub operation: OperationState,
    /// Uid of the operation that a person asked for last, as far as the hardware knows.
    pub last_operation: Option<String>,
    /// Power.
    pub power: PowerState,
    /// When operation or power changed last, scenario time.
    pub changed_at: Timestamp,
    /// Zone.
    pub zone: Option<String>,
    /// Fault domain.
    pub platform_fault_domain: Option<i32>,
    /// Update domain.
    pub update_domain: Option<i32>,
    /// Placement group.
    pub placement_group: Option<String>,
    /// Uid of the set that the hardware takes it for a member of.
    pub set_uid: Option<String>,
    /// Whether it counts against the quotas.
    pub quota: QuotaRule,
    /// Host.
    pub host: Option<String>,
    /// Sizes that it takes only while it is deallocated: its host has no room for them, another has.
    pub sizes_after_deallocation: Vec<String>,
    /// Operating system.
    pub os_name: Option<String>,
    /// Version of the operating system.
    pub os_version: Option<String>,
    /// Version of the agent.
    pub vm_agent_version: Option<String>,
    /// Version of the image that the OS disk was made from.
    pub image_version: String,
    /// Disks, OS disk first.
    pub disks: Vec<String>,
    /// The OS disk that it had before, where it is kept.
    pub former_os_disk: Option<String>,
    /// `ProvisioningState/…` by name of extension.
    pub extensions: BTreeMap<String, &'static str>,
    /// What the health source says; none without a source, and while it says nothing.
    pub reported_health: Option<ReportedHealth>,
    /// Private address.
    pub private_ip_address: Option<String>,
    /// Public address.
    pub public_ip_address: Option<String>,
    /// The capacity reservation that it is associated with.
    pub capacity_reservation: Option<InstanceReservation>,
    /// Its state in backend pools, by load balancer; none while it has no hardware.
    pub pools: BTreeMap<String, PoolMemberState>,
    /// When requests under way have had their time, scenario time, where it has left its pools.
    pub drained_at: Option<Timestamp>,
    /// The notice that it is about to be evicted.
    pub preempt_notice: Option<PreemptNotice>,
    /// The notice that it is about to pause or to restart.
    pub disruption_notice: Option<DisruptionNotice>,
    /// The notice that it is deleted.
    pub terminate_notice: Option<TerminateNotice>,
    /// The eviction that has taken its hardware.
    pub eviction: Option<Eviction>,
}

/// The notice of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminateNotice {
    /// Id of the event.
    pub event_id: String,
    /// When the deletion begins at the latest, scenario time.
    pub not_before: Timestamp,
    /// How far it is.
    pub stage: NoticeStage,
}

/// How far what was announced is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeStage {
    /// Nobody has approved it, and its time is not over.
    Scheduled,
    /// A deletion: it was approved, and waits for another VM of the set whose notice ends no later. Anything else may begin.
    Approved,
    /// It is being done.
    Started,
}

impl NoticeStage {
    /// Whether what was announced, other than a deletion, may be done now.
    const fn may_begin(self) -> bool {
        match self {
            Self::Scheduled => false,
            Self::Approved | Self::Started => true,
        }
    }
}

/// The notice of an eviction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreemptNotice {
    /// Id of the event.
    pub event_id: String,
    /// When the VM is evicted, scenario time.
    pub not_before: Timestamp,
    /// Why.
    pub reason: EvictionReason,
}

/// An eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// When, scenario time.
    pub time: Timestamp,
    /// Why.
    pub reason: EvictionReason,
}

impl InstanceView {
    /// Whether an eviction has deleted it: only its record is left.
    pub fn is_deleted_by_eviction(&self) -> bool {
        self.eviction.is_some() && self.operation == OperationState::Deleting
    }

    /// The notice of its deletion, while the deletion has not begun.
    pub fn awaited_notice(&self) -> Option<&TerminateNotice> {
        self.terminate_notice.as_ref().filter(|notice| match notice.stage {
            NoticeStage::Scheduled | NoticeStage::Approved => true,
            NoticeStage::Started => false,
        })
    }

    /// The notice of a replacement of its OS disk, while that may not begin.
    pub fn awaited_replacement(&self) -> Option<&DisruptionNotice> {
        let notice = self.disruption_notice.as_ref().filter(|notice| notice.stage == NoticeStage::Scheduled);
        notice.filter(|notice| notice.cause == DisruptionCause::OsImage)
    }

    /// Whether a replacement of its OS disk is told to it first, and may not begin yet. After a failure nobody works there who
    /// would have to be told.
    pub fn is_told_of_replacements(&self) -> bool {
        let announced = self.disruption_notice.as_ref().filter(|notice| notice.cause == DisruptionCause::OsImage);
        let may_begin = announced.is_some_and(|notice| notice.stage.may_begin());
        let works = self.power == PowerState::Running && !matches!(self.operation, OperationState::Failed { .. });
        self.model.os_image_notification.is_some() && works && !may_begin
    }

    /// The notice that holds back what the operation of that uid asks for: its own while it may not begin, and, of one that
    /// is to be announced, that of maintenance which comes first.
    pub fn awaited_operation(&self, uid: &str, approval: EventApproval) -> Option<&DisruptionNotice> {
        self.disruption_notice.as_ref().filter(|notice| match (notice.cause, notice.stage) {
            (DisruptionCause::Operation, NoticeStage::Scheduled) => notice.operation.as_deref() == Some(uid),
            (DisruptionCause::Maintenance, NoticeStage::Scheduled | NoticeStage::Approved) => {
                approval == EventApproval::Awaited
            }
            (DisruptionCause::Operation, NoticeStage::Approved | NoticeStage::Started)
            | (DisruptionCause::Maintenance, NoticeStage::Started)
            | (DisruptionCause::HardwareFailure | DisruptionCause::OsImage, _) => false,
        })
    }

    /// Whether what that operation asks for was announced, and may begin.
    pub fn may_begin(&self, uid: &str) -> bool {
        let own = self.disruption_notice.as_ref().filter(|notice| notice.operation.as_deref() == Some(uid));
        own.is_some_and(|notice| notice.stage.may_begin())
    }

    /// The notice of a restart by maintenance of its host, while that has not begun: the hardware takes the VM out of its
    /// backend pools before.
    pub fn awaited_maintenance(&self) -> Option<&DisruptionNotice> {
        let notice = self.disruption_notice.as_ref().filter(|notice| notice.cause == DisruptionCause::Maintenance);
        notice.filter(|notice| match (notice.stage, notice.event_type) {
            (NoticeStage::Scheduled | NoticeStage::Approved, EventType::Reboot | EventType::Redeploy) => true,
            (NoticeStage::Started, _) | (_, EventType::Freeze | EventType::Preempt | EventType::Terminate) => false,
        })
    }

    /// What is done to it although nobody has wished for it: its host is maintained, or has failed.
    pub fn disturbance(&self) -> Option<&DisruptionNotice> {
        let notice = self.disruption_notice.as_ref().filter(|notice| notice.stage == NoticeStage::Started);
        notice.filter(|notice| match notice.cause {
            DisruptionCause::Maintenance | DisruptionCause::HardwareFailure => true,
            DisruptionCause::OsImage | DisruptionCause::Operation => false,
        })
    }

    /// What is known of its application.
    pub fn health(&self) -> Health {
        match (self.model.health_source(), self.reported_health) {
            (None, _) => Health::NoSource,
            (Some(_), None) => Health::Missing,
            (Some(_), Some(reported)) => Health::Known(reported.state),
        }
    }
}
