//! One operation, as its own pass sees it, and as the passes that carry it out do.

use std::collections::BTreeSet;

use jiff::Timestamp;
use scaleset_crds::operation::{InstanceOperation, OperationType};
use scaleset_crds::repairs::{OrchestrationService, ServiceAction};
use scaleset_crds::rolling_upgrade::{FailedRevision, RollingUpgradeStatus};
use scaleset_crds::vocabulary::{OrchestrationMode, PowerWish, ProvisioningState, UpgradeMode};
use scaleset_crds::{OperationStatus, ScaleSetOperationSpec};

use super::{
    Confirmation, Failure, MemberKind, MemberLife, Observation, Origin, Protection, RepairSwitch, UpgradeSwitch,
};

/// Everything that a pass over an operation may look at.
#[derive(Clone, Debug)]
pub struct OperationSnapshot {
    /// Wall time.
    pub wall_now: Timestamp,
    /// Uid.
    pub uid: String,
    /// Generation.
    pub generation: i64,
    /// Life.
    pub life: MemberLife,
    /// When the object was created, wall time.
    pub created: Timestamp,
    /// What was asked for.
    pub spec: ScaleSetOperationSpec,
    /// What it is about.
    pub target: OperationTargetFacts,
    /// Operations that were created earlier and have not ended, the earliest first.
    pub earlier: Vec<EarlierOperation>,
    /// The status that was read, for its records and its times.
    pub status: OperationStatus,
}

/// What an operation is about.
#[derive(Clone, Debug)]
pub enum OperationTargetFacts {
    /// There is none of that name.
    Missing,
    /// A set.
    ScaleSet(Box<OperationSet>),
    /// One VM.
    FlexVM(Box<OperationMember>),
}

/// Which versions of an image a model names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageVersions {
    /// `latest`: there may be a newer one than a VM has.
    Latest,
    /// An exact one, or none where there is no model.
    Exact,
}

/// A set, as far as operations depend on it.
#[derive(Clone, Debug)]
pub struct OperationSet {
    /// Uid.
    pub uid: String,
    /// Resource version.
    pub resource_version: String,
    /// Life.
    pub life: MemberLife,
    /// Mode.
    pub mode: OrchestrationMode,
    /// Whether its status speaks of its present spec.
    pub observation: Observation,
    /// Which versions its model names.
    pub image: ImageVersions,
    /// Policy.
    pub upgrade_mode: UpgradeMode,
    /// Whether upgrades are held.
    pub upgrades: UpgradeSwitch,
    /// Members that the set is to make.
    pub target: i32,
    /// Members that it makes now: a sudden drop of the target waits for a confirmation.
    pub target_in_force: i32,
    /// What a person has confirmed.
    pub confirmation: Confirmation,
    /// Uid of the operation Delete that lowered `spec.replicas` last.
    pub last_delete: Option<String>,
    /// The newest revision.
    pub newest_revision: Option<String>,
    /// Revisions that an upgrade has proved bad.
    pub failed_revisions: Vec<FailedRevision>,
    /// Why no upgrade may begin, where a person must change something first.
    pub upgrade_refusal: Option<Failure>,
    /// What the set itself says that holds its upgrades.
    pub holds_upgrades: Option<String>,
    /// The latest rolling upgrade.
    pub rolling_upgrade: Option<RollingUpgradeStatus>,
    /// Whether automatic repairs are enabled.
    pub repairs: RepairSwitch,
    /// What works on it by itself.
    pub orchestration_services: Vec<OrchestrationService>,
    /// Uids of members that it has noted as evicted with policy Delete; they are no part of its target any more.
    pub noted_evictions: BTreeSet<String>,
    /// Members, sorted by name.
    pub members: Vec<OperationMember>,
}

/// A VM, as far as operations depend on it.
#[derive(Clone, Debug)]
pub struct OperationMember {
    /// Kind.
    pub kind: MemberKind,
    /// Name of its object.
    pub name: String,
    /// Its instance id.
    pub instance_id: String,
    /// Uid.
    pub uid: String,
    /// Resource version.
    pub resource_version: String,
    /// Life.
    pub life: MemberLife,
    /// Who made it.
    pub origin: Origin,
    /// Protection.
    pub protection: Protection,
    /// Whether there is a Spot VM's hardware that could be taken from it.
    pub spot_hardware: SpotHardware,
    /// Power that is wished for.
    pub power_wish: PowerWish,
    /// Uid of the operation that wrote that wish last.
    pub power_operation: Option<String>,
    /// The revision that it is to follow.
    pub assigned_revision: Option<String>,
    /// The revision that its hardware runs.
    pub running_revision: Option<String>,
    /// Whether its status speaks of its present spec.
    pub observation: Observation,
    /// Result of the last operation on its hardware.
    pub provisioning: ProvisioningState,
    /// Why it is not as it should be, where it is not.
    pub trouble: Option<Failure>,
    /// What it recorded of operations.
    pub operations: Vec<InstanceOperation>,
    /// Ids of the events that it was told of.
    pub scheduled_events: Vec<String>,
}

/// Whether a VM is a Spot VM that holds hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpotHardware {
    /// It does.
    Held,
    /// It is of regular priority, or without hardware.
    None,
}

/// An operation that comes before another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierOperation {
    /// Name.
    pub name: String,
    /// What it does.
    pub operation_type: OperationType,
    /// The VMs that it is about, by instance id.
    pub scope: OperationScope,
}

/// The VMs that an operation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationScope {
    /// All of the set.
    All,
    /// These instance ids.
    These(BTreeSet<String>),
}

/// A started operation that a set's pass carries out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetOperation {
    /// Name, for reasons.
    pub name: String,
    /// What is to be done.
    pub request: SetRequest,
}

/// What a set is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetRequest {
    /// Bring these to the newest revision.
    ManualUpgrade {
        /// The revision that was the newest when the operation began; another is not this operation's business.
        revision: String,
        /// Uids.
        instances: BTreeSet<String>,
    },
    /// Remove these; the target has been lowered with them.
    Delete {
        /// Uids.
        instances: BTreeSet<String>,
    },
    /// Begin a rolling upgrade.
    StartRollingUpgrade {
        /// Number of the latest one when the operation began, 0 without: a later one is that which it began.
        after: i64,
    },
    /// Cancel a rolling upgrade.
    CancelRollingUpgrade {
        /// Its number.
        number: i64,
    },
    /// Suspend automatic repairs, or resume them.
    SetServiceState(ServiceAction),
}

/// A started operation that an instance's pass carries out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedOperation {
    /// Uid of the operation, the key under which the hardware does it once.
    pub uid: String,
    /// What is to be done.
    pub request: InstanceRequest,
    /// `ApproveScheduledEvent`: the event; none for all that the VM has.
    pub event_id: Option<String>,
    /// Who asks.
    pub asked_by: Asker,
}

/// Who asks a VM for something once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A person, by an operation.
    Operation,
    /// Its set, which repairs it.
    Repair,
}

/// What an instance is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceRequest {
    /// Start.
    Start,
    /// Stop, hardware kept.
    PowerOff(ShutdownRule),
    /// Release the hardware.
    Deallocate,
    /// Restart the guest.
    Restart,
    /// Move to another host.
    Redeploy,
    /// A fresh OS disk.
    Reimage,
    /// Fresh disks.
    ReimageAll,
    /// Evict a Spot VM.
    SimulateEviction,
    /// Let what was announced begin.
    ApproveScheduledEvent,
}

/// How a guest is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownRule {
    /// The guest is asked.
    Graceful,
    /// The power is cut.
    Skip,
}

impl InstanceRequest {
    /// The power state that is wished for; `None` where the wish stays.
    pub const fn power_wish(self) -> Option<PowerWish> {
        match self {
            Self::Start => Some(PowerWish::Running),
            Self::PowerOff(_) => Some(PowerWish::Stopped),
            Self::Deallocate => Some(PowerWish::Deallocated),
            Self::Restart
            | Self::Redeploy
            | Self::Reimage
            | Self::ReimageAll
            | Self::SimulateEviction
            | Self::ApproveScheduledEvent => None,
        }
    }

    /// The type in the API.
    pub const fn operation_type(self) -> OperationType {
        match self {
            Self::Start => OperationType::Start,
            Self::PowerOff(_) => OperationType::PowerOff,
            Self::Deallocate => OperationType::Deallocate,
            Self::Restart => OperationType::Restart,
            Self::Redeploy => OperationType::Redeploy,
            Self::Reimage => OperationType::Reimage,
            Self::ReimageAll => OperationType::ReimageAll,
            Self::SimulateEviction => OperationType::SimulateEviction,
            Self::ApproveScheduledEvent => OperationType::ApproveScheduledEvent,
        }
    }

    /// What a spec asks an instance for; `None` for what its set or the operation's own pass does.
    pub fn of_spec(spec: &ScaleSetOperationSpec) -> Option<Self> {
        let skip = spec.parameters.as_ref().and_then(|parameters| parameters.skip_shutdown);
        match spec.operation_type {
            OperationType::Start => Some(Self::Start),
            OperationType::PowerOff => {
                Some(Self::PowerOff(if skip == Some(true) { ShutdownRule::Skip } else { ShutdownRule::Graceful }))
            }
            OperationType::Deallocate => Some(Self::Deallocate),
            OperationType::Restart => Some(Self::Restart),
            OperationType::Redeploy => Some(Self::Redeploy),
            OperationType::Reimage => Some(Self::Reimage),
            OperationType::ReimageAll => Some(Self::ReimageAll),
            OperationType::SimulateEviction => Some(Self::SimulateEviction),
            OperationType::ApproveScheduledEvent => Some(Self::ApproveScheduledEvent),
            OperationType::ManualUpgrade
            | OperationType::Delete
            | OperationType::StartRollingUpgrade
            | OperationType::CancelRollingUpgrade
            | OperationType::SetOrchestrationServiceState => None,
        }
    }
}

impl OperationScope {
    /// Whether some VM is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, Self::All) => true,
            (Self::All, Self::These(ids)) | (Self::These(ids), Self::All) => !ids.is_empty(),
            (Self::These(one), Self::These(two)) => one.intersection(two).next().is_some(),
        }
    }
}
