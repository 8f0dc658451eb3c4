//! A plan: ordered actions, each with its reason, and what is held back, each with the numbers compared.
//!
//! Execution obeys it and chooses nothing: names, places, revisions and order are settled here.

mod new_member;
mod place;
mod repair;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use scaleset_crds::VirtualMachineProfile;
use scaleset_crds::condition::Reason;
use scaleset_crds::os_upgrade::{FailedImageVersion, OsUpgradeHistoryEntry};
use scaleset_crds::repairs::OrchestrationService;
use scaleset_crds::rolling_upgrade::{FailedRevision, RollingUpgradeStatus};
use scaleset_crds::spot::{EvictedMember, Priority};
use scaleset_crds::vocabulary::{Impact, Surplus};

use crate::budget::Allowance;
use crate::remedy::{is_capacity, needs_a_person};
use crate::snapshot::{MemberKind, OsDiskWish, RepairMark, RollMark, ShutdownRule};
use crate::wording::some_names;
pub use place::{Keeping, Seating};
pub use repair::Repairing;

/// What one pass over a set does and does not do.
#[derive(Clone, Debug)]
#[must_use]
pub struct ScaleSetPlan {
    /// What is in force, whether by wish, by default or by record.
    pub effective: Effective,
    /// Actions, in order; neighbours of one kind are independent of each other.
    pub actions: Vec<Action>,
    /// What is held back.
    pub holds: Vec<Hold>,
    /// What members wait for that are not as they should be although nothing is under way on them. They tell it
    /// themselves, too.
    pub unsettled: Vec<Hold>,
    /// The next members that scale-in would take, with what chose them.
    pub next_victims: Vec<(String, String)>,
    /// Members that were evicted for good, after this plan.
    pub evictions: Vec<EvictedMember>,
    /// The latest rolling upgrade, after this plan.
    pub rolling_upgrade: Option<RollingUpgradeStatus>,
    /// Revisions that are not started again, after this plan.
    pub failed_revisions: Vec<FailedRevision>,
    /// Versions of the newest revision's image that are not started again, after this plan.
    pub failed_image_versions: Vec<FailedImageVersion>,
    /// The last upgrades of the OS image, after this plan, the newest first.
    pub os_upgrade_history: Vec<OsUpgradeHistoryEntry>,
    /// What may be disturbed; `None` where no upgrade is to be decided.
    pub allowance: Option<Allowance>,
    /// What works on the set by itself, after this plan.
    pub orchestration_services: Vec<OrchestrationService>,
    /// When to look again although nothing changes, scenario time.
    pub wake_after: Option<Duration>,
}

/// The values in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Members that the set is to make.
    pub target: i32,
    /// Fault domains; 1 is max spreading.
    pub fault_domain_count: i32,
    /// `None` while a Flexible set has not been decided by its first VM.
    pub single_placement_group: Option<bool>,
    /// Number of the next member, after this plan.
    pub next_number: i64,
    /// The newest revision; `None` without a profile.
    pub newest_revision: Option<String>,
    /// The revision that new members take; `None` where the region can make none.
    pub current_revision: Option<String>,
}

/// One thing to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Put our finalizer on the set, so that no member is left behind.
    AddFinalizer,
    /// Keep the profile as a revision.
    CreateRevision {
        /// Name.
        name: String,
        /// Running number.
        number: i64,
        /// The profile.
        profile: Arc<VirtualMachineProfile>,
    },
    /// Make a revision the newest again.
    RenumberRevision {
        /// Name.
        name: String,
        /// Uid.
        uid: String,
        /// Resource version.
        resource_version: String,
        /// Its new running number.
        number: i64,
    },
    /// Record who was evicted for good before their objects go.
    NoteEvictions {
        /// Their names.
        names: Vec<String>,
    },
    /// Record the number of the next member before the members that come before it are created.
    ReserveNumbers {
        /// The next number.
        next: i64,
    },
    /// Make a member.
    CreateMember(NewMember),
    /// Let a member follow another revision.
    AssignRevision(Assignment),
    /// Let a member have another OS disk.
    ReplaceOsDisk(OsDiskAssignment),
    /// Put the mark of a rolling upgrade on a member that stays as it is.
    MarkMember(Marking),
    /// Say on a member how its guest is stopped when it is deleted.
    MarkForDeletion(DeletionMark),
    /// Let a member be repaired, or end its repair.
    RepairMember(Repairing),
    /// Let a member of a scale-out stay.
    KeepMember(Keeping),
    /// Give a member without hardware another place in its zone.
    SeatMember(Seating),
    /// Delete a member.
    DeleteMember(Removal),
    /// Delete a revision that nobody follows and that is older than the ten kept.
    DeleteRevision {
        /// Name.
        name: String,
        /// Uid.
        uid: String,
        /// Resource version.
        resource_version: String,
    },
    /// Let the set go.
    RemoveFinalizer,
}

impl Action {
    /// What it removes, where it removes a member.
    pub fn removal(&self) -> Option<&Removal> {
        if let Self::DeleteMember(removal) = self { Some(removal) } else { None }
    }

    /// Whether a member goes by it, at once or in the next pass.
    pub fn lets_go(&self) -> bool {
        match self {
            // Extras were never counted, and whoever is repaired has another in its place.
            Self::DeleteMember(removal) => !matches!(removal.cause, RemovalCause::Surplus | RemovalCause::Repair),
            Self::MarkForDeletion(mark) => mark.shutdown == ShutdownRule::Skip,
            Self::AddFinalizer
            | Self::CreateRevision { .. }
            | Self::RenumberRevision { .. }
            | Self::NoteEvictions { .. }
            | Self::ReserveNumbers { .. }
            | Self::CreateMember(_)
            | Self::AssignRevision(_)
            | Self::ReplaceOsDisk(_)
            | Self::MarkMember(_)
            | Self::RepairMember(_)
            | Self::KeepMember(_)
            | Self::SeatMember(_)
            | Self::DeleteRevision { .. }
            | Self::RemoveFinalizer => false,
        }
    }

    /// What it makes, where it makes a member.
    pub fn creation(&self) -> Option<&NewMember> {
        if let Self::CreateMember(member) = self { Some(member) } else { None }
    }

    /// The same, to be changed.
    pub fn creation_mut(&mut self) -> Option<&mut NewMember> {
        if let Self::CreateMember(member) = self { Some(member) } else { None }
    }

    /// Name of the member that it makes, changes or removes.
    pub fn member(&self) -> Option<&str> {
        match self {
            Self::CreateMember(NewMember { name, .. })
            | Self::AssignRevision(Assignment { name, .. })
            | Self::ReplaceOsDisk(OsDiskAssignment { name, .. })
            | Self::MarkMember(Marking { name, .. })
            | Self::RepairMember(Repairing { name, .. })
            | Self::MarkForDeletion(DeletionMark { name, .. })
            | Self::KeepMember(Keeping { name, .. })
            | Self::SeatMember(Seating { name, .. })
            | Self::DeleteMember(Removal { name, .. }) => Some(name),
            Self::AddFinalizer
            | Self::CreateRevision { .. }
            | Self::RenumberRevision { .. }
            | Self::NoteEvictions { .. }
            | Self::ReserveNumbers { .. }
            | Self::DeleteRevision { .. }
            | Self::RemoveFinalizer => None,
        }
    }

    /// Name of the member that it gives another model or OS disk.
    pub fn upgraded(&self) -> Option<&str> {
        if let Self::AssignRevision(Assignment { name, .. }) | Self::ReplaceOsDisk(OsDiskAssignment { name, .. }) = self
        {
            Some(name)
        } else {
            None
        }
    }
}

/// A member to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMember {
    /// Kind.
    pub kind: MemberKind,
    /// Name of the object.
    pub name: String,
    /// Number in the set.
    pub number: i64,
    /// Name that the guest calls itself.
    pub computer_name: String,
    /// The revision that it follows.
    pub revision: String,
    /// Priority.
    pub priority: Priority,
    /// Zone; none: regional.
    pub zone: Option<String>,
    /// Fault domain; none where the hardware spreads.
    pub fault_domain: Option<i32>,
    /// Placement group, Uniform only.
    pub placement_group: Option<String>,
    /// Update domain, Uniform only.
    pub update_domain: Option<i32>,
    /// The mark of the rolling upgrade in which it takes the place of another.
    pub roll: Option<RollMark>,
    /// The mark of the repair in which it takes the place of another.
    pub repair: Option<RepairMark>,
    /// Where it stands in a scale-out that makes more than was asked for.
    pub surplus: Option<Surplus>,
    /// What chose the place, numbers included.
    pub reason: String,
}

/// A member that is to follow another revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Kind.
    pub kind: MemberKind,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Resource version that the decision was made at.
    pub resource_version: String,
    /// The revision.
    pub revision: String,
    /// The dearest difference.
    pub impact: Impact,
    /// The mark of the rolling upgrade that does it; none leaves the mark that is there.
    pub roll: Option<RollMark>,
    /// Why now, numbers included.
    pub reason: String,
}

/// A member that is to have another OS disk, its model being the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsDiskAssignment {
    /// Kind.
    pub kind: MemberKind,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Resource version that the decision was made at.
    pub resource_version: String,
    /// The disk.
    pub wish: OsDiskWish,
    /// The mark of the rolling upgrade that does it.
    pub roll: RollMark,
    /// Why now, numbers included.
    pub reason: String,
}

/// A member that is only marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marking {
    /// Kind.
    pub kind: MemberKind,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Resource version that the decision was made at.
    pub resource_version: String,
    /// The mark.
    pub roll: RollMark,
    /// What it says.
    pub reason: String,
}

/// A member that is told how its guest is stopped when it is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletionMark {
    /// Kind.
    pub kind: MemberKind,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Resource version that the decision was made at.
    pub resource_version: String,
    /// How; the mark for [`ShutdownRule::Graceful`] is that there is none.
    pub shutdown: ShutdownRule,
    /// Why, numbers included.
    pub reason: String,
}

/// A member to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Kind.
    pub kind: MemberKind,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Resource version that the decision was made at.
    pub resource_version: String,
    /// What it is for.
    pub cause: RemovalCause,
    /// What chose it, numbers included.
    pub reason: String,
}

/// Why a member is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RemovalCause {
    /// The set shrinks.
    ScaleIn,
    /// The new model needs a new VM.
    Replace,
    /// It is unhealthy, and a new one takes its place.
    Repair,
    /// An eviction has deleted its hardware.
    Evicted,
    /// The scale-out has made more than the set keeps.
    Surplus,
    /// A person asked for it, and the target was lowered with it.
    Requested,
    /// The set is being deleted.
    SetDeleted,
}

/// Something that is held back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hold {
    /// Why, as a code.
    pub reason: Reason,
    /// How many members it concerns.
    pub count: usize,
    /// In words, with the numbers compared.
    pub message: String,
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddFinalizer => write!(formatter, "add finalizer"),
            Self::CreateRevision { name, number, profile: _ } => {
                write!(formatter, "create revision {name} (number {number})")
            }
            Self::RenumberRevision { name, number, uid: _, resource_version: _ } => {
                write!(formatter, "renumber revision {name} to {number}")
            }
            Self::NoteEvictions { names } => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                write!(formatter, "note evictions x{}: {}", names.len(), some_names(&names))
            }
            Self::ReserveNumbers { next } => write!(formatter, "reserve numbers below {next}"),
            Self::CreateMember(member) => write!(formatter, "{member}"),
            Self::AssignRevision(assignment) => {
                let Assignment { name, revision, impact, reason, roll: _, kind: _, uid: _, resource_version: _ } =
                    assignment;
                write!(formatter, "assign {revision} to {name} ({impact:?}): {reason}")
            }
            Self::ReplaceOsDisk(assignment) => {
                let OsDiskAssignment { name, wish, reason, roll: _, kind: _, uid: _, resource_version: _ } = assignment;
                match wish {
                    OsDiskWish::Fresh { version, after: _ } => {
                        write!(formatter, "upgrade OS image of {name} to {version}: {reason}")
                    }
                    OsDiskWish::Former { disk: _ } => write!(formatter, "restore OS disk of {name}: {reason}"),
                }
            }
            Self::MarkMember(marking) => {
                let Marking { name, roll, reason, kind: _, uid: _, resource_version: _ } = marking;
                write!(formatter, "mark {name} (upgrade {}): {reason}", roll.number)
            }
            Self::MarkForDeletion(mark) => {
                let DeletionMark { name, shutdown, reason, kind: _, uid: _, resource_version: _ } = mark;
                match shutdown {
                    ShutdownRule::Graceful => write!(formatter, "unmark {name}: {reason}"),
                    ShutdownRule::Skip => write!(formatter, "mark {name} for a forced deletion: {reason}"),
                }
            }
            Self::RepairMember(repairing) => write!(formatter, "{repairing}"),
            Self::KeepMember(keeping) => write!(formatter, "{keeping}"),
            Self::SeatMember(seating) => write!(formatter, "{seating}"),
            Self::DeleteMember(removal) => {
                let Removal { name, cause, reason, kind: _, uid: _, resource_version: _ } = removal;
                write!(formatter, "delete {name} ({cause:?}): {reason}")
            }
            Self::DeleteRevision { name, uid: _, resource_version: _ } => write!(formatter, "delete revision {name}"),
            Self::RemoveFinalizer => write!(formatter, "remove finalizer"),
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, count, message } = self;
        write!(formatter, "hold {reason} x{count}: {message}")
    }
}

impl fmt::Display for ScaleSetPlan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            effective: _,
            actions,
            holds,
            unsettled: _,
            next_victims: _,
            evictions: _,
            rolling_upgrade: _,
            failed_revisions: _,
            failed_image_versions: _,
            os_upgrade_history: _,
            allowance: _,
            orchestration_services: _,
            wake_after: _,
        } = self;
        for action in actions {
            writeln!(formatter, "{action}")?;
        }
        for hold in holds {
            writeln!(formatter, "{hold}")?;
        }
        Ok(())
    }
}

impl ScaleSetPlan {
    /// Everything for which the set is not as it is wished: its own decisions first, then what members wait for.
    pub fn blockers(&self) -> impl Iterator<Item = &Hold> {
        self.holds.iter().chain(&self.unsettled)
    }
}

impl Hold {
    /// Whether a person or the region must act, rather than time.
    pub fn needs_attention(&self) -> bool {
        needs_a_person(self.reason) || is_capacity(self.reason)
    }
}
