//! All inputs of a pass, total and typed: raw specs end before this.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use scaleset_crds::condition::Reason;
use scaleset_crds::vocabulary::{
    HealthState, OrchestrationMode, PowerState, PowerWish, ProvisioningState, UpgradeMode,
};
use scaleset_crds::{InstanceStatus, ScaleSetStatus, VirtualMachineProfile};

use crate::view::{HardwareView, Health, ModelView};

/// Everything that a pass over a set may look at.
#[derive(Clone, Debug)]
pub struct ScaleSetSnapshot {
    /// Scenario time.
    pub now: Timestamp,
    /// Wall time, for the time stamps of status.
    pub wall_now: Timestamp,
    /// The set.
    pub set: SetFacts,
    /// Members, sorted by name.
    pub members: Vec<Member>,
    /// Revisions that the set owns, sorted by number, then name.
    pub revisions: Vec<Revision>,
    /// What the region offers; `None` where the location is not known.
    pub region: Option<RegionFacts>,
    /// Names of the locations that there are.
    pub locations: Vec<String>,
    /// Highest number that the hardware ever allocated for this set.
    pub highest_hardware_number: Option<i64>,
    /// The status that was read, for its records and its times.
    pub status: ScaleSetStatus,
}

/// The set as its spec and metadata say.
#[derive(Clone, Debug)]
pub struct SetFacts {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Generation.
    pub generation: i64,
    /// Whether it is being deleted, and how.
    pub life: SetLife,
    /// Whether our finalizer is on it.
    pub finalizer: FinalizerState,
    /// Mode.
    pub mode: OrchestrationMode,
    /// Region.
    pub location: String,
    /// Zones, sorted; empty: regional.
    pub zones: Vec<String>,
    /// As in the spec; the one in force is pinned in the status.
    pub platform_fault_domain_count: Option<i32>,
    /// As in the spec.
    pub single_placement_group: Option<bool>,
    /// As in the spec.
    pub replicas: Option<i32>,
    /// Policy.
    pub upgrade_mode: UpgradeMode,
    /// Whether upgrades are held.
    pub upgrades: UpgradeSwitch,
    /// The profile.
    pub profile: Option<Arc<VirtualMachineProfile>>,
}

/// Life of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetLife {
    /// Not being deleted.
    Live,
    /// Being deleted; members go with it.
    Terminating,
    /// Being deleted with `--cascade=orphan`: nothing may be touched until the garbage collector is done.
    Orphaning,
}

/// Whether our finalizer is on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalizerState {
    /// It is.
    Held,
    /// It is not.
    Absent,
}

/// `spec.upgradePolicy.paused`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeSwitch {
    /// Upgrades go on.
    On,
    /// Upgrades are held.
    Paused,
}

/// A revision of the set's profile.
#[derive(Clone, Debug)]
pub struct Revision {
    /// Name.
    pub name: String,
    /// Uid; empty for one that is yet to be created.
    pub uid: String,
    /// Resource version; empty for one that is yet to be created.
    pub resource_version: String,
    /// Running number.
    pub number: i64,
    /// The profile.
    pub profile: Arc<VirtualMachineProfile>,
}

/// Which kind of object a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberKind {
    /// `ScaleSetVM`.
    ScaleSetVM,
    /// `FlexVM`.
    FlexVM,
}

/// Who made a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The set, from its profile.
    Set,
    /// A person.
    Hand,
}

/// Life of a member's object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberLife {
    /// Not being deleted.
    Live,
    /// Being deleted.
    Terminating,
}

/// Whether an instance's status speaks of its present spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It does.
    Current,
    /// The instance has not been looked at since its spec changed.
    Behind,
    /// The hardware did not answer when the instance was looked at last.
    Unseen,
}

/// Whether the agent in a guest reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestAgent {
    /// It does: the guest is up.
    Reports,
    /// It does not, or not yet.
    Silent,
}

/// Whether a member does its work. Unknown is not unavailable, and not available either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It runs.
    Available,
    /// It does not.
    Unavailable,
    /// Nobody can tell at present.
    Unknown,
}

/// What holds the set's hand from a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nothing.
    None,
    /// Scale-in leaves it.
    FromScaleIn,
    /// Scale-in, upgrades and repairs leave it.
    FromSetActions,
}

/// One member of a set.
#[derive(Clone, Debug)]
pub struct Member {
    /// Kind.
    pub kind: MemberKind,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Resource version.
    pub resource_version: String,
    /// Who made it.
    pub origin: Origin,
    /// The Uniform instance id.
    pub number: Option<i64>,
    /// Life.
    pub life: MemberLife,
    /// When the object was created.
    pub created: Timestamp,
    /// Zone; none: regional.
    pub zone: Option<String>,
    /// Fault domain that it was placed in.
    pub fault_domain: Option<i32>,
    /// Placement group.
    pub placement_group: Option<String>,
    /// Update domain.
    pub update_domain: Option<i32>,
    /// The revision that it is to follow.
    pub assigned_revision: Option<String>,
    /// Protection.
    pub protection: Protection,
    /// Power that is wished for.
    pub power_wish: PowerWish,
    /// What its instance reconciler reported.
    pub report: MemberReport,
}

/// What a member's instance reconciler reported: facts that come up.
#[derive(Clone, Debug)]
pub struct MemberReport {
    /// Whether the report speaks of the present spec.
    pub observation: Observation,
    /// Last operation.
    pub provisioning: ProvisioningState,
    /// Power.
    pub power: PowerState,
    /// Whether its guest is up.
    pub agent: GuestAgent,
    /// The revision that the hardware runs.
    pub running_revision: Option<String>,
    /// The last revision on which it was seen as it should be.
    pub healthy_on_revision: Option<String>,
    /// Whether nothing is pending on that revision.
    pub nothing_pending: bool,
    /// Why it is not provisioned, where it is not.
    pub failure: Option<Failure>,
    /// `ProvisioningState/…` of each extension.
    pub extensions: BTreeMap<String, String>,
    /// What is known of its application.
    pub health: Health,
}

/// Why a member is not provisioned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Code.
    pub reason: Reason,
    /// In words.
    pub message: String,
}

impl Member {
    /// Whether it exists and is not going.
    pub fn is_live(&self) -> bool {
        self.life == MemberLife::Live
    }

    /// Whether the set made it.
    pub fn is_made(&self) -> bool {
        self.origin == Origin::Set
    }

    /// Whether a person wished it not to run: it is then neither unhealthy nor unavailable.
    pub fn is_stopped_by_wish(&self) -> bool {
        match self.power_wish {
            PowerWish::Running => false,
            PowerWish::Stopped | PowerWish::Deallocated => true,
        }
    }

    /// Whether it does its work, as far as its hardware was seen; a spec that has changed since does not stop it. A running
    /// VM that is changed in place goes on working. Its health source, where it has one, has the last word.
    pub fn availability(&self) -> Availability {
        match (self.running(), self.report.health) {
            (Availability::Available, Health::NoSource | Health::Known(HealthState::Healthy)) => {
                Availability::Available
            }
            (Availability::Available, Health::Missing) => Availability::Unknown,
            (
                Availability::Available,
                Health::Known(HealthState::Initializing | HealthState::Unhealthy | HealthState::Unknown),
            ) => Availability::Unavailable,
            (otherwise @ (Availability::Unavailable | Availability::Unknown), _) => otherwise,
        }
    }

    /// The same without what its health source says.
    pub fn running(&self) -> Availability {
        let MemberReport { observation, provisioning, power, agent, .. } = &self.report;
        match (observation, provisioning, power, agent) {
            (Observation::Unseen, _, _, _)
            | (_, ProvisioningState::Unknown, _, _)
            | (_, ProvisioningState::Succeeded | ProvisioningState::Updating, PowerState::Unknown, _) => {
                Availability::Unknown
            }
            (_, ProvisioningState::Succeeded, PowerState::Running, _)
            | (_, ProvisioningState::Updating, PowerState::Running, GuestAgent::Reports) => Availability::Available,
            (_, _, _, _) => Availability::Unavailable,
        }
    }

    /// Whether it is there to stay and is known to do its work.
    pub fn is_available(&self) -> bool {
        self.is_live() && self.availability() == Availability::Available
    }

    /// Whether it is available and nothing is being done to it.
    pub fn is_settled(&self) -> bool {
        self.is_available() && self.report.provisioning == ProvisioningState::Succeeded
    }

    /// Whether its last operation failed.
    pub fn has_failed(&self) -> bool {
        self.report.observation == Observation::Current && self.report.provisioning == ProvisioningState::Failed
    }

    /// Whether the hardware runs `revision` with nothing pending.
    pub fn runs(&self, revision: &str) -> bool {
        self.report.running_revision.as_deref() == Some(revision) && self.report.nothing_pending
    }
}

/// What a region offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegionFacts {
    /// Zones with whether each can take VMs now.
    pub zones: BTreeMap<String, ZoneFacts>,
    /// Fault domains of a regional placement.
    pub fault_domain_count: i32,
    /// Sizes.
    pub sizes: BTreeMap<String, SizeFacts>,
    /// Versions by image family.
    pub images: BTreeMap<String, Vec<String>>,
    /// Subnets.
    pub subnets: Vec<String>,
}

/// Whether a zone can take VMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneFacts {
    /// It can.
    Available,
    /// It is down.
    Unavailable,
}

/// What placement has to know of a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizeFacts {
    /// Zones that offer it.
    pub zones: Vec<String>,
    /// Whether maintenance preserves memory.
    pub maintenance: Maintenance,
}

/// Azure's distinction of sizes in Flexible sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maintenance {
    /// B, D, E, F series.
    MemoryPreserving,
    /// G, H, L, M, N series.
    NotMemoryPreserving,
}

/// Everything that a pass over one instance may look at.
#[derive(Clone, Debug)]
pub struct InstanceSnapshot {
    /// Scenario time.
    pub now: Timestamp,
    /// Wall time.
    pub wall_now: Timestamp,
    /// Kind.
    pub kind: MemberKind,
    /// Name.
    pub name: String,
    /// Generation.
    pub generation: i64,
    /// Life.
    pub life: MemberLife,
    /// Whether our finalizer is on it.
    pub finalizer: FinalizerState,
    /// Whether the object may go although the hardware does not answer.
    pub release: ReleaseRule,
    /// Power that is wished for.
    pub power_wish: PowerWish,
    /// What it is to be, by the revision that it follows.
    pub assigned: Assigned,
    /// What the newest model says; the assigned one for a VM that stands alone.
    pub newest: Option<ModelView>,
    /// Where it is to be.
    pub zone: Option<String>,
    /// Fault domain that it is to be in.
    pub fault_domain: Option<i32>,
    /// Who decides on a difference that needs a new VM.
    pub belonging: Belonging,
    /// What the hardware reports.
    pub hardware: HardwareView,
    /// The status that was read, for its records and its times.
    pub status: InstanceStatus,
}

/// What an instance is to be.
#[derive(Clone, Debug)]
pub enum Assigned {
    /// The revision is there.
    Known(ModelView),
    /// The revision that it names is not (yet) to be found.
    Missing {
        /// Its name.
        revision: String,
    },
}

/// Whether an instance belongs to a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Belonging {
    /// It stands alone.
    Alone,
    /// It is a member that the set made.
    Made {
        /// The set.
        scale_set: String,
    },
    /// It is a member that a person made.
    HandMade {
        /// The set.
        scale_set: String,
    },
    /// Its reference is not accepted.
    Refused {
        /// The set that it names.
        scale_set: String,
        /// Why.
        refusal: Failure,
    },
}

/// `compute.scaleset.io/abandon-hardware`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseRule {
    /// The hardware must be gone first.
    HardwareFirst,
    /// The object may go while the hardware does not answer.
    MayAbandon,
}
