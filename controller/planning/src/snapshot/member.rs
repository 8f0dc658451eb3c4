//! One member of a set, as the set sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use scaleset_crds::condition::Reason;
use scaleset_crds::load_balancing::{PoolMemberState, PoolMembership};
use scaleset_crds::reservation_group::InstanceReservation;
use scaleset_crds::scheduled_event::ScheduledEvent;
use scaleset_crds::spot::{EvictionReason, Priority};
use scaleset_crds::vocabulary::{HealthState, PowerState, PowerWish, ProvisioningState, Surplus};

use super::{RepairMark, RepairUptake, ShutdownRule};
use crate::view::Health;

/// What a rolling upgrade leaves on each member that it touches, so that it is known after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollMark {
    /// Number of the upgrade.
    pub number: i64,
    /// When it touched the member, scenario time.
    pub since: Timestamp,
    /// The member that it was made to replace once it is well.
    pub replaces: Option<String>,
}

impl RollMark {
    /// The mark as the annotation spells it; `None` for text that is no mark.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(3, ' ');
        let (number, since) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { number, since, replaces: words.next().map(str::to_owned) })
    }
}

impl std::fmt::Display for RollMark {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { number, since, replaces } = self;
        write!(formatter, "{number} {since}")?;
        replaces.iter().try_for_each(|name| write!(formatter, " {name}"))
    }
}

/// The OS disk that a set wishes a member to have. It names disks, so that it says nothing once the disk was replaced
/// otherwise, and can be fulfilled once only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OsDiskWish {
    /// A fresh one of that version in the place of the disk `after`.
    Fresh {
        /// Version of the image.
        version: String,
        /// Name of the disk.
        after: String,
    },
    /// The disk that it had before.
    Former {
        /// Name of the disk.
        disk: String,
    },
}

impl OsDiskWish {
    /// The wish as the annotation spells it; `None` for text that is none.
    pub fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        match words.as_slice() {
            ["restore", disk] => Some(Self::Former { disk: (*disk).to_owned() }),
            [version, "after", disk] => Some(Self::Fresh { version: (*version).to_owned(), after: (*disk).to_owned() }),
            _ => None,
        }
    }
}

impl std::fmt::Display for OsDiskWish {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fresh { version, after } => write!(formatter, "{version} after {after}"),
            Self::Former { disk } => write!(formatter, "restore {disk}"),
        }
    }
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

/// What differs between the newest model and a member's hardware, by what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// Nothing.
    Nothing,
    /// Only the maximum price of an allocated Spot VM, which it takes while it is deallocated.
    NextDeallocation,
    /// Only what is taken with the next reimage.
    NextReimage,
    /// More than that.
    More,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// The running number that it was made at, in both modes.
    pub sequence: Option<i64>,
    /// Life.
    pub life: MemberLife,
    /// When the object was created.
    pub created: Timestamp,
    /// Size that a `FlexVM` is to have; none where only its revision says it.
    pub vm_size: Option<String>,
    /// Zone; none: regional.
    pub zone: Option<String>,
    /// Fault domain that it was placed in.
    pub fault_domain: Option<i32>,
    /// Placement group.
    pub placement_group: Option<String>,
    /// Update domain.
    pub update_domain: Option<i32>,
    /// Where it stands in a scale-out that makes more than was asked for; none once it stays.
    pub surplus: Option<Surplus>,
    /// The revision that it is to follow.
    pub assigned_revision: Option<String>,
    /// Protection.
    pub protection: Protection,
    /// Mark of the last rolling upgrade that touched it.
    pub roll: Option<RollMark>,
    /// The OS disk that its set wishes for.
    pub os_disk_wish: Option<OsDiskWish>,
    /// Mark of the last repair that is not known to have mended it.
    pub repair: Option<RepairMark>,
    /// How its guest is stopped if it is deleted now, by the mark that is on it.
    pub shutdown: ShutdownRule,
    /// Priority.
    pub priority: Priority,
    /// Power that is wished for.
    pub power_wish: PowerWish,
    /// What its instance reconciler reported.
    pub report: MemberReport,
}

/// Who has looked at a member last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// This process, for the first time then, in scenario time: the report is as new as it can be.
    SinceStart(Timestamp),
    /// A former one: nobody knows what has become of the member since.
    BeforeStart,
}

/// How long a member may take until this process has looked at it, before somebody asks again; scenario time.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl Looked {
    /// When to look again although nothing changes: a first look that finds nothing new calls nobody.
    pub(crate) const fn again_after(self) -> Option<Duration> {
        match self {
            Self::BeforeStart => Some(LOOK_AGAIN),
            Self::SinceStart(_) => None,
        }
    }
}

/// What a member's instance reconciler reported: facts that come up.
#[derive(Clone, Debug)]
pub struct MemberReport {
    /// Whether the report speaks of the present spec.
    pub observation: Observation,
    /// Whether this process has confirmed it.
    pub looked: Looked,
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
    /// Name of the last OS disk with which it was seen as it should be.
    pub healthy_on_os_disk: Option<String>,
    /// What differs from the newest model.
    pub pending: Pending,
    /// Why it is not provisioned, or not changed as it should be, where it is not.
    pub failure: Option<Failure>,
    /// `ProvisioningState/…` of each extension.
    pub extensions: BTreeMap<String, String>,
    /// What is known of its application.
    pub health: Health,
    /// Its OS disk, while its hardware is there.
    pub os_disk: Option<OsDiskReport>,
    /// The capacity reservation that it is associated with.
    pub reservation: Option<InstanceReservation>,
    /// How far it has come with the repair that its mark asks for.
    pub repair: RepairUptake,
    /// When its last operation or its power changed last, scenario time, in whole seconds; none where nobody has seen it.
    pub changed_at: Option<Timestamp>,
    /// What an eviction has left of it.
    pub evicted: Evicted,
    /// Events that it was told of.
    pub scheduled_events: Vec<ScheduledEvent>,
    /// Backend pools that it is a member of.
    pub pools: Vec<PoolMembership>,
}

/// What an eviction has left of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evicted {
    /// It was not evicted.
    No,
    /// It is there without hardware, until somebody starts it.
    Deallocated(EvictionReason),
    /// Nothing but its object.
    Deleted,
}

/// The OS disk that a member has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsDiskReport {
    /// Name of the disk.
    pub name: String,
    /// Version of the image that it was made from.
    pub version: String,
}

/// Why a member is not provisioned, or not changed.
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

    /// Whether it is not to run for now, since a person wished so or it was evicted: it is then neither unhealthy nor
    /// unavailable.
    pub fn is_stopped_by_wish(&self) -> bool {
        match (self.power_wish, self.report.evicted) {
            (PowerWish::Running, Evicted::No | Evicted::Deleted) => false,
            (PowerWish::Stopped | PowerWish::Deallocated, _) | (PowerWish::Running, Evicted::Deallocated(_)) => true,
        }
    }

    /// Whether it does its work, as far as its hardware was seen; a spec that has changed since does not stop it. A running
    /// VM that is changed in place goes on working; one that has left its backend pools, or on which a scheduled event runs,
    /// does not. Its health source, where it has one, has the last word.
    pub fn availability(&self) -> Availability {
        match (self.running(), self.report.health) {
            (Availability::Available, _) if self.is_disturbed() => Availability::Unavailable,
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

    /// Whether it has left its backend pools, to be taken down.
    pub fn is_draining(&self) -> bool {
        self.report.pools.iter().any(|pool| pool.state == PoolMemberState::Draining)
    }

    /// Whether a scheduled event runs on it: it pauses or restarts, with its host or by itself.
    pub fn is_disturbed(&self) -> bool {
        self.report.scheduled_events.iter().any(ScheduledEvent::disturbs_now)
    }

    /// The same without what its health source says, and without the events that run on it.
    pub fn running(&self) -> Availability {
        let MemberReport { observation, provisioning, power, agent, .. } = &self.report;
        match (provisioning, power) {
            _ if *observation == Observation::Unseen => Availability::Unknown,
            _ if self.is_draining() => Availability::Unavailable,
            (ProvisioningState::Unknown, _)
            | (ProvisioningState::Succeeded | ProvisioningState::Updating, PowerState::Unknown) => {
                Availability::Unknown
            }
            (ProvisioningState::Succeeded, PowerState::Running) => Availability::Available,
            (ProvisioningState::Updating, PowerState::Running) if *agent == GuestAgent::Reports => {
                Availability::Available
            }
            (ProvisioningState::Creating | ProvisioningState::Failed | ProvisioningState::Deleting, _)
            | (
                ProvisioningState::Succeeded | ProvisioningState::Updating,
                PowerState::Creating
                | PowerState::Starting
                | PowerState::Running
                | PowerState::Stopping
                | PowerState::Stopped
                | PowerState::Deallocating
                | PowerState::Deallocated,
            ) => Availability::Unavailable,
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

    /// Whether the hardware runs `revision` with nothing pending and nothing under way.
    pub fn runs(&self, revision: &str) -> bool {
        let report = &self.report;
        let under_way = match report.provisioning {
            ProvisioningState::Creating | ProvisioningState::Updating => true,
            ProvisioningState::Succeeded
            | ProvisioningState::Failed
            | ProvisioningState::Deleting
            | ProvisioningState::Unknown => false,
        };
        report.running_revision.as_deref() == Some(revision) && report.pending == Pending::Nothing && !under_way
    }
}
