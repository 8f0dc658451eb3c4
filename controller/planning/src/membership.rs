//! Whether a FlexVM's reference to a set is accepted, and whether a member may leave.
//!
//! Rules: Azure's "Attach or detach a Virtual Machine to or from a Virtual Machine Scale Set" and "Orchestration modes": the
//! set is Flexible and in the same region; a zonal VM's zone is one of the set's, a regional VM needs a regional set; a fault
//! domain may be named only in a set with more than one; a VM that runs already joins, and a member leaves, only where
//! there is one fault domain and `singlePlacementGroup: false` is written; VMs of a size without memory-preserving maintenance
//! over several fault domains are all regular or all Spot; what its capacity reservation group asks of the set is a rule of
//! its own. `None` means accepted.
//!
//! VMs that would join in the same moment are judged as if the older had joined before: by time of creation, then name, and after
//! what the set is to make. So
//! every pass comes to the same judgement, whichever is first, and no two are accepted that do not go together.

mod fault_domain;
mod reservation;

pub use reservation::{NamedGroup, NamedReservation, group_refusal};

use jiff::Timestamp;
use scaleset_crds::condition::Reason;
use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::OrchestrationMode;

use crate::limits;
use crate::priority_mix::Split;
use crate::snapshot::{Failure, MemberLife, Origin, SizeMaintenance};

pub use fault_domain::fault_domain_among;

/// The set, as far as membership depends on it.
#[derive(Clone, Debug)]
pub struct SetShape<'set> {
    /// Name.
    pub name: &'set str,
    /// Mode.
    pub mode: OrchestrationMode,
    /// Region.
    pub location: &'set str,
    /// Zones.
    pub zones: &'set [String],
    /// Fault domains in force.
    pub fault_domain_count: i32,
    /// Single placement group in force.
    pub single_placement_group: Option<bool>,
    /// Single placement group as the spec says it.
    pub wished_single_placement_group: Option<bool>,
    /// Members that it has.
    pub members: usize,
    /// The most members that the image of its profile allows.
    pub image_members_max: usize,
    /// Members by priority, beside the others that are judged with a VM.
    pub priorities: Split,
    /// Members that it is to have: what it is to make, with those that a person made.
    pub wished: usize,
    /// Whether it is there to stay.
    pub life: MemberLife,
}

/// The VM, as far as membership depends on it.
#[derive(Clone, Debug)]
pub struct MemberShape<'vm> {
    /// Region.
    pub location: &'vm str,
    /// Zone.
    pub zone: Option<&'vm str>,
    /// Fault domain that it names.
    pub fault_domain: Option<i32>,
    /// Size.
    pub size: &'vm str,
    /// How its size is maintained.
    pub maintenance: SizeMaintenance,
    /// Priority.
    pub priority: Priority,
    /// The capacity reservation group that its model names.
    pub group: Option<NamedGroup>,
    /// Whether its set has taken it before.
    pub standing: MemberStanding,
}

/// A VM that refers to a set, among others that do.
#[derive(Clone, Debug)]
pub struct Applicant<'vm> {
    /// When its object was created.
    pub created: Timestamp,
    /// Its name.
    pub name: &'vm str,
    /// Who made it.
    pub origin: Origin,
    /// The VM.
    pub shape: MemberShape<'vm>,
    /// The fault domain that it has, whoever chose it; none where that is not settled yet.
    pub placed: Option<i32>,
}

impl Applicant<'_> {
    /// Whose turn it is.
    fn age(&self) -> (Timestamp, &str) {
        (self.created, self.name)
    }
}

/// Whether a set has taken a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberStanding {
    /// Not yet, and it has no hardware.
    Newcomer,
    /// Not yet, and it runs alone.
    Attaching,
    /// It has.
    Accepted,
}

/// Why the reference of a VM is not accepted, judged against the set with all that it has taken, and with `others` that
/// are older and would be taken too.
pub fn refusal_among(
    set: Option<&SetShape<'_>>,
    set_name: &str,
    applicant: &Applicant<'_>,
    others: &[Applicant<'_>],
) -> Option<Failure> {
    let Some(set) = set else { return refusal(None, set_name, &applicant.shape) };
    let (set, _) = joined_before(set, applicant, others);
    refusal(Some(&set), set_name, &applicant.shape)
}

/// The set as it is once those have joined who are before `applicant`, and these, the older first.
fn joined_before<'set, 'pass, 'vm>(
    set: &SetShape<'set>,
    applicant: &Applicant<'_>,
    others: &'pass [Applicant<'vm>],
) -> (SetShape<'set>, Vec<&'pass Applicant<'vm>>) {
    let (mut taken, mut waiting): (Vec<&Applicant<'_>>, Vec<&Applicant<'_>>) = others
        .iter()
        .filter(|other| other.name != applicant.name)
        .partition(|other| other.shape.standing == MemberStanding::Accepted);
    taken.sort_by_key(|other| other.age());
    waiting.retain(|other| other.age() < applicant.age());
    waiting.sort_by_key(|other| other.age());
    // What the set is to make has its place as well, made or not: in the same moment it may be made.
    let by_hand = taken.iter().filter(|other| other.origin == Origin::Hand).count();
    let mut set = SetShape { members: set.members.max(taken.len()), wished: set.wished + by_hand, ..set.clone() };
    for other in &taken {
        set.takes(&other.shape);
    }
    for other in waiting {
        if refusal(Some(&set), set.name, &other.shape).is_none() {
            set.takes(&other.shape);
            set.members += 1;
            set.wished += 1;
            taken.push(other);
        }
    }
    (set, taken)
}

impl SetShape<'_> {
    /// The first VM decides whether there is a single placement group; every one has a priority.
    fn takes(&mut self, vm: &MemberShape<'_>) {
        self.priorities = self.priorities.with(vm.priority);
        let needs_one = match vm.maintenance {
            SizeMaintenance::Known(maintenance) => {
                Some(limits::needs_single_group(maintenance, self.fault_domain_count))
            }
            SizeMaintenance::NotOffered | SizeMaintenance::Unseen => None,
        };
        self.single_placement_group = self.single_placement_group.or(needs_one);
    }
}

/// Why the reference is not accepted.
pub fn refusal(set: Option<&SetShape<'_>>, set_name: &str, vm: &MemberShape<'_>) -> Option<Failure> {
    let Some(set) = set else {
        return refused(
            Reason::InvalidParameter,
            format!("spec.scaleSetRef.name: scale set {set_name} does not exist"),
        );
    };
    if set.life == MemberLife::Terminating && vm.standing != MemberStanding::Accepted {
        let message = format!("spec.scaleSetRef.name: scale set {set_name} is being deleted and takes no VM any more");
        return refused(Reason::OperationNotAllowed, message);
    }
    if set.mode != OrchestrationMode::Flexible {
        let message =
            format!("spec.scaleSetRef.name: scale set {set_name} is Uniform; only a Flexible set takes FlexVMs");
        return refused(Reason::OperationNotAllowed, message);
    }
    if set.location != vm.location {
        let message =
            format!("spec.location: {} is not {}, the location of scale set {set_name}", vm.location, set.location);
        return refused(Reason::InvalidParameter, message);
    }
    let joins = || {
        zone_refusal(set, vm)
            .or_else(|| fault_domain_refusal(set, vm))
            .or_else(|| joining_refusal(set, vm))
            .or_else(|| group_refusal(set, vm))
    };
    match vm.standing {
        // Where the set is by now is no matter for a VM that is there: it stays.
        MemberStanding::Accepted => None,
        MemberStanding::Newcomer => joins(),
        MemberStanding::Attaching => joins().or_else(|| attachment_refusal(set, "attached to")),
    }
}

/// There is room for one more, and its size goes with the others'.
fn joining_refusal(set: &SetShape<'_>, vm: &MemberShape<'_>) -> Option<Failure> {
    let SetShape { name, members, wished, fault_domain_count: count, single_placement_group: single, .. } = set;
    let by_shape = limits::members_max(set.mode, *single);
    let most = by_shape.min(set.image_members_max);
    if *members.max(wished) >= most {
        let what = if most < by_shape { " of an own image (imageReference.id)" } else { "" };
        let to_come = if wished > members { format!(" and is to have {wished}") } else { String::new() };
        let message = format!(
            "spec.scaleSetRef.name: scale set {name} has {members} members{to_come}, the most{what} are {most}"
        );
        return refused(Reason::OperationNotAllowed, message);
    }
    let MemberShape { size, maintenance, location, .. } = vm;
    let maintenance = match maintenance {
        SizeMaintenance::Known(maintenance) => *maintenance,
        SizeMaintenance::NotOffered => {
            return refused(Reason::SkuNotAvailable, format!("spec.vmSize: {size} is not offered in {location}"));
        }
        SizeMaintenance::Unseen => {
            let message = format!("spec.vmSize: {location} has not told yet what {size} needs, wait until it answers");
            return refused(Reason::HardwareUnavailable, message);
        }
    };
    let needs_one = limits::needs_single_group(maintenance, *count);
    let message = match (needs_one, single) {
        (true, _) if vm.fault_domain.is_some() => format!(
            "spec.platformFaultDomain: a VM of size {size} does not choose its fault domain in a set with several; leave the \
             field out"
        ),
        (true, Some(false)) => format!(
            "spec.vmSize: {size} over {count} fault domains needs a single placement group, which scale set {name} does not \
             have; choose a memory-preserving size"
        ),
        (false, Some(true)) => format!(
            "spec.vmSize: scale set {name} has a single placement group, for sizes without memory-preserving maintenance \
             only; {size} has it"
        ),
        (true, Some(true) | None) => return priority_refusal(set, vm),
        (false, Some(false) | None) => return None,
    };
    refused(Reason::OperationNotAllowed, message)
}

/// A size that needs a single placement group is there in one priority only.
fn priority_refusal(set: &SetShape<'_>, vm: &MemberShape<'_>) -> Option<Failure> {
    let SetShape { name, fault_domain_count: count, priorities: Split { regular, spot }, .. } = set;
    let (others, needed) = match vm.priority {
        Priority::Regular => (spot, Priority::Spot),
        Priority::Spot => (regular, Priority::Regular),
    };
    let message = format!(
        "spec.priority: {:?}, and scale set {name} has {regular} regular and {spot} Spot members; with {} over {count} fault \
         domains, a size without memory-preserving maintenance, they are not mixed; only {needed:?} joins",
        vm.priority, vm.size
    );
    (*others > 0).then_some(Failure { reason: Reason::OperationNotAllowed, message })
}

/// Why a member may not leave. A set that is gone holds nobody.
pub fn detach_refusal(set: Option<&SetShape<'_>>) -> Option<Failure> {
    attachment_refusal(set?, "detached from")
}

/// Why a member may not go to another set at once.
pub fn move_refusal(from: &str, to: &str) -> Failure {
    let message =
        format!("spec.scaleSetRef.name: still a member of scale set {from}, cannot join {to}; detach it first");
    Failure { reason: Reason::PropertyChangeNotAllowed, message }
}

fn attachment_refusal(set: &SetShape<'_>, done: &str) -> Option<Failure> {
    let SetShape { name, fault_domain_count: count, .. } = set;
    if *count > 1 {
        let message = format!(
            "spec.scaleSetRef: scale set {name} has platformFaultDomainCount {count}; a VM is {done} one with 1 only"
        );
        return refused(Reason::VmssDoesNotSupportAttachingExistingVMMultiFD, message);
    }
    let said = match set.wished_single_placement_group {
        Some(false) => return None,
        Some(true) => "true",
        None => "absent",
    };
    let message = format!(
        "spec.scaleSetRef: singlePlacementGroup of scale set {name} is {said}; a VM is {done} a set where it is false only"
    );
    refused(Reason::VmssDoesNotSupportAttachingWithSpg, message)
}

fn zone_refusal(set: &SetShape<'_>, vm: &MemberShape<'_>) -> Option<Failure> {
    let name = set.name;
    match vm.zone {
        None if set.zones.is_empty() => None,
        None => {
            let zones = set.zones.join(", ");
            refused(
                Reason::InvalidParameter,
                format!("spec.zone: scale set {name} spans zones {zones}; name one of them"),
            )
        }
        Some(zone) if set.zones.iter().any(|of_set| of_set == zone) => None,
        Some(zone) if set.zones.is_empty() => {
            refused(Reason::InvalidParameter, format!("spec.zone: {zone} is given, but scale set {name} is regional"))
        }
        Some(zone) => {
            let zones = set.zones.join(", ");
            refused(
                Reason::InvalidParameter,
                format!("spec.zone: {zone} is not one of the zones {zones} of scale set {name}"),
            )
        }
    }
}

fn fault_domain_refusal(set: &SetShape<'_>, vm: &MemberShape<'_>) -> Option<Failure> {
    let domain = vm.fault_domain?;
    let count = set.fault_domain_count;
    let name = set.name;
    if count <= 1 {
        let message =
            format!("spec.platformFaultDomain: scale set {name} has platformFaultDomainCount 1; leave the field out");
        return refused(Reason::InvalidParameter, message);
    }
    if set.single_placement_group == Some(true) {
        let message =
            format!("spec.platformFaultDomain: scale set {name} has a single placement group; leave the field out");
        return refused(Reason::OperationNotAllowed, message);
    }
    if domain >= count {
        let last = count - 1;
        let message =
            format!("spec.platformFaultDomain: {domain} is not in 0 to {last}, the fault domains of scale set {name}");
        return refused(Reason::InvalidParameter, message);
    }
    None
}

#[expect(clippy::unnecessary_wraps, reason = "it is the answer of functions that may have none")]
fn refused(reason: Reason, message: String) -> Option<Failure> {
    Some(Failure { reason, message })
}
