//! All inputs of a pass, total and typed: raw specs end before this.

mod autoscale;
mod headroom;
mod instance;
mod member;
mod operation;
mod os_upgrade_policy;
mod overprovision;
mod repair;
mod reservation_group;
mod rolling_policy;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use scaleset_crds::load_balancing::LoadBalancerSku;
use scaleset_crds::vocabulary::{MaxDisruption, OrchestrationMode, ScaleInRule, UpgradeMode};
use scaleset_crds::{ScaleSetStatus, VirtualMachineProfile};

use crate::priority_mix::PriorityMix;
use crate::reservation::ReservedGroup;

pub use autoscale::{
    AutoscaleSnapshot, MetricPoint, MetricsView, RecordedScaling, Rival, ScaleTarget, SetCount, Switch,
};
pub use headroom::{Headroom, Quota};
pub use instance::{Assigned, Belonging, Birth, EvictionNote, InstanceSnapshot, ReleaseRule};
pub use member::{
    Availability, Evicted, Failure, GuestAgent, Looked, Member, MemberKind, MemberLife, MemberReport, Observation,
    Origin, OsDiskReport, OsDiskWish, Pending, Protection, RollMark,
};
pub use operation::{
    Asker, EarlierOperation, ImageVersions, InstanceRequest, OperationMember, OperationScope, OperationSet,
    OperationSnapshot, OperationTargetFacts, RequestedOperation, SetOperation, SetRequest, ShutdownRule, SpotHardware,
};
pub use os_upgrade_policy::{NewImages, OsUpgradePolicy, RollbackRule};
pub use overprovision::Overprovision;
pub use repair::{RepairMark, RepairPolicy, RepairSwitch, RepairUptake};
pub use reservation_group::{
    AssociatedVm, GroupFacts, GroupView, ReservationFacts, ReservationGroupSnapshot, ReservationWish,
};
pub use rolling_policy::{BreachRule, MaxSurge, RollingPolicy, UnhealthyRule, ZoneRule};

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
    /// Names of those that were members, wish to leave and may, and do not count any more; its marks are still on them.
    pub leaving: Vec<String>,
    /// Revisions that the set owns, sorted by number, then name.
    pub revisions: Vec<Revision>,
    /// Operations that have begun and have not ended, the earliest first.
    pub operations: Vec<SetOperation>,
    /// Revisions that the set owns and nobody can read: name, and what is wrong.
    pub unreadable_revisions: Vec<(String, String)>,
    /// What the region offers; `None` where the location is not known.
    pub region: Option<RegionFacts>,
    /// What is left for VMs of the profile's size and priority; looked up only where an upgrade may need more VMs than the
    /// target.
    pub headroom: Option<Headroom>,
    /// The same for the regular VMs of a set that mixes priorities.
    pub regular_headroom: Option<Headroom>,
    /// The capacity reservation groups that its revisions name and that it may use, by namespace and name.
    pub reservation_groups: BTreeMap<(String, String), ReservedGroup>,
    /// Whether a sudden drop of the target must be confirmed, and what has confirmed one.
    pub scale_in_guard: ScaleInGuard,
    /// Names of the locations that there are.
    pub locations: Vec<String>,
    /// Highest number that the hardware ever allocated for this set.
    pub highest_hardware_number: Option<i64>,
    /// What the hardware said instead of telling the region and that number; nothing is then made or upgraded.
    pub hardware_silence: Option<String>,
    /// The status that was read, for its records and its times.
    pub status: ScaleSetStatus,
}

/// The guard against a sudden drop of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScaleInGuard {
    /// Every target is taken as it is.
    Off,
    /// A sudden drop waits.
    On {
        /// What a person has confirmed.
        confirmation: Confirmation,
        /// What an autoscaler of the set wishes.
        autoscaler: Autoscaler,
        /// What settings of autoscale have on record about the set.
        recorded: Vec<RecordedScaling>,
    },
}

/// What a person has confirmed on the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// Nothing.
    None,
    /// Every drop.
    Any,
    /// A drop to this target.
    Target(i32),
}

/// What a `HorizontalPodAutoscaler` of the set wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Autoscaler {
    /// There is none, or it has wished nothing yet.
    None,
    /// So many.
    Wishes(i32),
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
    /// Whether zones may differ by more than one member.
    pub zone_balance: ZoneBalance,
    /// As in the spec; the one in force is pinned in the status.
    pub platform_fault_domain_count: Option<i32>,
    /// As in the spec.
    pub single_placement_group: Option<bool>,
    /// As in the spec.
    pub replicas: Option<i32>,
    /// Whether the set makes more members than it is asked for when it grows.
    pub overprovision: Overprovision,
    /// Policy.
    pub upgrade_mode: UpgradeMode,
    /// Whether upgrades are held.
    pub upgrades: UpgradeSwitch,
    /// The most that an upgrade may cost a VM.
    pub max_disruption: MaxDisruption,
    /// How upgrades go, defaults filled in.
    pub rolling_policy: RollingPolicy,
    /// Who goes first when the set shrinks.
    pub scale_in_rule: ScaleInRule,
    /// Whether unhealthy members go before the others then.
    pub scale_in_unhealthy: UnhealthyRule,
    /// How the guests of those who go then are stopped.
    pub scale_in_shutdown: ShutdownRule,
    /// Whether and how members follow newer versions of their image.
    pub os_upgrades: OsUpgradePolicy,
    /// Whether and how unhealthy members are repaired.
    pub repairs: RepairPolicy,
    /// How members of a Spot profile are mixed with regular ones; none where they are not.
    pub mix: Option<PriorityMix>,
    /// The profile.
    pub profile: Option<Arc<VirtualMachineProfile>>,
}

/// `spec.zoneBalance`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneBalance {
    /// The emptiest zone first; a zone that is down is worked around.
    BestEffort,
    /// Nothing is scaled whose result would differ by more than one member between two zones.
    Strict,
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
    /// When the object was created.
    pub created: Timestamp,
    /// The profile.
    pub profile: Arc<VirtualMachineProfile>,
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
    /// Network security groups.
    pub network_security_groups: Vec<String>,
    /// Load balancers.
    pub load_balancers: BTreeMap<String, LoadBalancerSku>,
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
    /// Whether Spot VMs can have it.
    pub spot: SpotOffer,
}

/// Whether a size is offered as Spot VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpotOffer {
    /// It is.
    Offered,
    /// It is not.
    NotOffered,
}

/// Azure's distinction of sizes in Flexible sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maintenance {
    /// B, D, E, F series.
    MemoryPreserving,
    /// G, H, L, M, N series.
    NotMemoryPreserving,
}

/// What is known of how a size is maintained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SizeMaintenance {
    /// The region has told.
    Known(Maintenance),
    /// The region has no such size.
    NotOffered,
    /// The region has not answered yet.
    #[default]
    Unseen,
}
