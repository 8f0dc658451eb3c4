//! Capacity reservations as a set uses them: whether its model may name a group, and what the group's reservations leave
//! unused and uncovered.
//!
//! Sources: Azure's "Associate a Virtual Machine Scale Set with a Capacity Reservation group" (preconditions), "Remove a
//! Virtual Machine Scale Set association", "Overallocate Capacity Reservation"; "Create a Virtual Machine Scale Set that uses
//! Availability Zones" (no reserved capacity while VMs without a zone remain).

mod forecast;

pub use forecast::{Forecast, forecast, forecast_told};

use std::collections::BTreeMap;

use scaleset_crds::VirtualMachineProfile;
use scaleset_crds::condition::Reason;
use scaleset_crds::reservation::{CapacityReservationGroupReference, ReservationState};
use scaleset_crds::reservation_group::InstanceReservation;
use scaleset_crds::vocabulary::{OrchestrationMode, PowerState};

use crate::limits;
use crate::snapshot::{Failure, Member, ScaleSetSnapshot, SetFacts};
use crate::wording::some_names;

const PATH: &str = "spec.virtualMachineProfile.capacityReservationGroupRef";

/// A group that exists and that the set may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReservedGroup {
    /// Region.
    pub location: String,
    /// Zones, sorted; none for a regional group.
    pub zones: Vec<String>,
    /// Its reservations, sorted by name.
    pub reservations: Vec<ReservedRoom>,
    /// Sizes and zones of those that are wished for and are not reserved as yet.
    pub pending: Vec<(String, Option<String>)>,
}

/// A reservation of such a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservedRoom {
    /// Name.
    pub name: String,
    /// Size of its VMs.
    pub vm_size: String,
    /// Zone; none: regional.
    pub zone: Option<String>,
    /// VMs that there is room for.
    pub current_capacity: i64,
    /// VMs that hold hardware, of this set and of others.
    pub allocated: i64,
    /// Fault domains that a set may spread over which uses it.
    pub fault_domain_count: i32,
}

/// What a reservation is to a set, as far as the set needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Zone; none: regional.
    pub zone: Option<String>,
    /// VMs that there is room for.
    pub reserved: i64,
    /// VMs of others that use it.
    pub others: i64,
    /// VMs of the set that are to hold hardware there.
    pub wished: i64,
}

impl Coverage {
    /// Capacity that nobody would use.
    pub fn unused(&self) -> i64 {
        (self.reserved - self.others - self.wished).max(0)
    }

    /// VMs of the set that would run without the promise.
    pub fn uncovered(&self) -> i64 {
        self.wished - self.wished.min((self.reserved - self.others).max(0))
    }
}

impl std::fmt::Display for Coverage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { zone, reserved, others, wished } = self;
        zone.iter().try_for_each(|zone| write!(formatter, "zone {zone}: "))?;
        write!(formatter, "{reserved} reserved, ")?;
        if *others > 0 {
            write!(formatter, "{others} used by others, ")?;
        }
        write!(formatter, "{wished} wished, {} unused, {} uncovered", self.unused(), self.uncovered())
    }
}

/// The name of a group as members tell it: with its namespace where that is not their own.
pub fn group_name(reference: &CapacityReservationGroupReference, own_namespace: &str) -> String {
    match reference.namespace_for(own_namespace) {
        own if own == own_namespace => reference.name.clone(),
        other => format!("{other}/{}", reference.name),
    }
}

/// Per zone of the group what is reserved for `vm_size`, and what of it `wished` VMs would use; a zone where VMs are wished
/// and nothing is reserved has its line too. `own` is how many of the set's VMs already hold hardware in each reservation.
pub fn coverage(
    group: &ReservedGroup,
    vm_size: &str,
    wished: &BTreeMap<Option<String>, i64>,
    own: &BTreeMap<String, i64>,
) -> Vec<Coverage> {
    let mut zones: BTreeMap<&Option<String>, Coverage> = BTreeMap::new();
    for (zone, count) in wished {
        zones.insert(zone, Coverage { zone: zone.clone(), reserved: 0, others: 0, wished: *count });
    }
    for room in group.reservations.iter().filter(|room| room.vm_size == vm_size) {
        let nothing = Coverage { zone: room.zone.clone(), reserved: 0, others: 0, wished: 0 };
        let coverage = zones.entry(&room.zone).or_insert(nothing);
        coverage.reserved += room.current_capacity;
        coverage.others += (room.allocated - own.get(&room.name).copied().unwrap_or(0)).max(0);
    }
    zones.into_values().collect()
}

/// How many VMs of the set hold hardware in each reservation of the group that its model names.
pub fn own_use(snapshot: &ScaleSetSnapshot) -> BTreeMap<String, i64> {
    let mut own: BTreeMap<String, i64> = BTreeMap::new();
    let profile = snapshot.set.profile.as_deref();
    let Some(reference) = profile.and_then(|profile| profile.capacity_reservation_group_ref.as_ref()) else {
        return own;
    };
    let name = group_name(reference, &snapshot.set.namespace);
    let made = snapshot.members.iter().filter(|member| member.is_made());
    for reservation in made.filter_map(|member| member.report.reservation.as_ref()) {
        if reservation.group == name && reservation.state != ReservationState::Associated {
            *own.entry(reservation.reservation.clone()).or_default() += 1;
        }
    }
    own
}

fn group_of<'pass>(
    snapshot: &'pass ScaleSetSnapshot,
    reference: &CapacityReservationGroupReference,
) -> Option<&'pass ReservedGroup> {
    let namespace = reference.namespace_for(&snapshot.set.namespace).to_owned();
    snapshot.reservation_groups.get(&(namespace, reference.name.clone()))
}

/// Why members cannot follow `profile` for what it says of a reservation group; `None` when they can.
pub(crate) fn refusal(snapshot: &ScaleSetSnapshot, profile: &VirtualMachineProfile) -> Option<Failure> {
    still_held(snapshot, profile).or_else(|| {
        let reference = profile.capacity_reservation_group_ref.as_ref()?;
        let Some(group) = group_of(snapshot, reference) else { return Some(not_found(snapshot, reference)) };
        placement_groups(snapshot)
            .or_else(|| place(&snapshot.set, reference, group))
            .or_else(|| zoneless_members(snapshot, reference))
            .or_else(|| reserved_size(snapshot, profile, reference, group))
            .or_else(|| must_be_deallocated(snapshot, profile, reference))
    })
}

/// One that does not exist and one that is not shared are told alike: a name says nothing to whoever may not use it.
fn not_found(snapshot: &ScaleSetSnapshot, reference: &CapacityReservationGroupReference) -> Failure {
    let own = &snapshot.set.namespace;
    let namespace = reference.namespace_for(own);
    let message = format!(
        "{PATH}: capacity reservation group {namespace}/{} does not exist, or is not shared with namespace {own}",
        reference.name
    );
    Failure { reason: Reason::ResourceNotFound, message }
}

fn placement_groups(snapshot: &ScaleSetSnapshot) -> Option<Failure> {
    let count = limits::fault_domain_count(snapshot);
    let single = limits::single_placement_group(snapshot, count) == Some(true);
    single.then(|| Failure {
        reason: Reason::OperationNotAllowed,
        message: format!("{PATH}: spec.singlePlacementGroup is true; it must be false to use reserved capacity"),
    })
}

fn place(set: &SetFacts, reference: &CapacityReservationGroupReference, group: &ReservedGroup) -> Option<Failure> {
    let name = &reference.name;
    let invalid = |message: String| Some(Failure { reason: Reason::InvalidParameter, message });
    if group.location != set.location {
        return invalid(format!("{PATH}: group {name} is in {}, the set in {}", group.location, set.location));
    }
    let told = |zones: &[String]| {
        if zones.is_empty() { "no zones".to_owned() } else { format!("zones {}", zones.join(", ")) }
    };
    let fits =
        set.zones.is_empty() == group.zones.is_empty() && set.zones.iter().all(|zone| group.zones.contains(zone));
    if fits {
        return None;
    }
    invalid(format!("{PATH}: group {name} has {}, the set {}", told(&group.zones), told(&set.zones)))
}

/// A set that was given zones uses no reserved capacity before its VMs without a zone have gone.
fn zoneless_members(snapshot: &ScaleSetSnapshot, reference: &CapacityReservationGroupReference) -> Option<Failure> {
    if snapshot.set.zones.is_empty() {
        return None;
    }
    let made: Vec<&Member> = snapshot.members.iter().filter(|member| member.is_made() && member.is_live()).collect();
    let zoneless = made.iter().filter(|member| member.zone.is_none());
    let names: Vec<&str> = zoneless.map(|member| member.name.as_str()).collect();
    (!names.is_empty()).then(|| Failure {
        reason: Reason::OperationNotAllowed,
        message: format!(
            "{PATH}: {} of {} VMs have no zone ({}); they must be deleted, or scaled in, before the set uses the zonal group \
             {}",
            names.len(),
            made.len(),
            some_names(&names),
            group_name(reference, &snapshot.set.namespace)
        ),
    })
}

/// Every zone of the set needs a reservation of the size, be it of capacity 0, that spreads as far as the set does.
fn reserved_size(
    snapshot: &ScaleSetSnapshot,
    profile: &VirtualMachineProfile,
    reference: &CapacityReservationGroupReference,
    group: &ReservedGroup,
) -> Option<Failure> {
    let set = &snapshot.set;
    let (size, name) = (&profile.vm_size, &reference.name);
    let zones: Vec<Option<String>> =
        if set.zones.is_empty() { vec![None] } else { set.zones.iter().cloned().map(Some).collect() };
    let count = limits::fault_domain_count(snapshot);
    for zone in zones {
        let place = zone.as_ref().map_or_else(String::new, |zone| format!(" in zone {zone}"));
        let Some(room) = group.reservations.iter().find(|room| room.vm_size == *size && room.zone == zone) else {
            if group.pending.contains(&(size.clone(), zone.clone())) {
                let message = format!("{PATH}: group {name} has not reserved {size}{place} yet");
                return Some(Failure { reason: Reason::Waiting, message });
            }
            let message = format!("{PATH}: group {name} has no reservation of {size}{place}; add one, 0 is enough");
            return Some(Failure { reason: Reason::OperationNotAllowed, message });
        };
        if count > 1 && (zone.is_some() || count > room.fault_domain_count) {
            let most = if zone.is_some() { 1 } else { room.fault_domain_count };
            let message = format!(
                "spec.platformFaultDomainCount: {count} is more than {most}, the most with reservation {} of group {name}",
                room.name
            );
            return Some(Failure { reason: Reason::InvalidParameter, message });
        }
    }
    None
}

/// VMs of a Uniform set without zones are associated while they hold no hardware.
fn must_be_deallocated(
    snapshot: &ScaleSetSnapshot,
    profile: &VirtualMachineProfile,
    reference: &CapacityReservationGroupReference,
) -> Option<Failure> {
    if snapshot.set.mode != OrchestrationMode::Uniform || !snapshot.set.zones.is_empty() {
        return None;
    }
    let wished = profile.capacity_reservation_group_ref.as_ref();
    let name = group_name(reference, &snapshot.set.namespace);
    let follows = |member: &Member| {
        let assigned =
            snapshot.revisions.iter().find(|revision| Some(&revision.name) == member.assigned_revision.as_ref());
        assigned.is_some_and(|revision| revision.profile.capacity_reservation_group_ref.as_ref() == wished)
    };
    let associated = |member: &Member| member.report.reservation.as_ref().is_some_and(|there| there.group == name);
    let allocated =
        |member: &Member| member.report.running_revision.is_some() && member.report.power != PowerState::Deallocated;
    let made: Vec<&Member> = snapshot.members.iter().filter(|member| member.is_made() && member.is_live()).collect();
    let holding = made.iter().filter(|member| allocated(member) && !associated(member) && !follows(member));
    let names: Vec<&str> = holding.map(|member| member.name.as_str()).collect();
    (!names.is_empty()).then(|| Failure {
        reason: Reason::OperationNotAllowed,
        message: format!(
            "{PATH}: {} of {} VMs hold hardware ({}); a Uniform set without zones must be deallocated before it uses \
             group {name}",
            names.len(),
            made.len(),
            some_names(&names)
        ),
    })
}

/// Whether nothing is set aside any more in the reservation that a member draws on, as far as its group can be seen.
fn is_reduced_to_nothing(snapshot: &ScaleSetSnapshot, there: &InstanceReservation) -> bool {
    let (namespace, group) = there.group.split_once('/').unwrap_or((&snapshot.set.namespace, &there.group));
    let group = snapshot.reservation_groups.get(&(namespace.to_owned(), group.to_owned()));
    let room = group.and_then(|group| group.reservations.iter().find(|room| room.name == there.reservation));
    room.is_some_and(|room| room.current_capacity == 0)
}

/// A VM that holds hardware leaves its group only when it is deallocated, or when its reservation is known to be reduced to
/// nothing.
fn still_held(snapshot: &ScaleSetSnapshot, profile: &VirtualMachineProfile) -> Option<Failure> {
    let wished =
        profile.capacity_reservation_group_ref.as_ref().map(|reference| group_name(reference, &snapshot.set.namespace));
    let mut holding: Vec<(&str, &str)> = Vec::new();
    for member in snapshot.members.iter().filter(|member| member.is_made() && member.is_live()) {
        let Some(there) = &member.report.reservation else { continue };
        let has_hardware = match there.state {
            ReservationState::Allocated | ReservationState::Overallocated => true,
            ReservationState::Associated => false,
        };
        if has_hardware && Some(&there.group) != wished.as_ref() && !is_reduced_to_nothing(snapshot, there) {
            holding.push((&member.name, &there.group));
        }
    }
    let (_, group) = holding.first()?;
    let names: Vec<&str> = holding.iter().map(|(name, _)| *name).collect();
    let message = format!(
        "{PATH}: {} VMs of group {group} run ({}); deallocate them, or reduce its capacity to 0, before they leave it",
        names.len(),
        some_names(&names)
    );
    Some(Failure { reason: Reason::OperationNotAllowed, message })
}
