//! A capacity reservation group, as its own pass sees it.

use jiff::Timestamp;
use scaleset_crds::ReservationGroupStatus;
use scaleset_crds::reservation::ReservationState;

use super::{Failure, FinalizerState, MemberLife};

/// Everything that a pass over a group may look at.
#[derive(Clone, Debug)]
pub struct ReservationGroupSnapshot {
    /// Scenario time.
    pub now: Timestamp,
    /// Wall time, for the time stamps of conditions.
    pub wall_now: Timestamp,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Generation.
    pub generation: i64,
    /// Life.
    pub life: MemberLife,
    /// Whether our finalizer is on it.
    pub finalizer: FinalizerState,
    /// Region.
    pub location: String,
    /// Zones, sorted; none for a regional group.
    pub zones: Vec<String>,
    /// What is wished, sorted by name.
    pub reservations: Vec<ReservationWish>,
    /// Other namespaces that may use it, sorted.
    pub shared_with: Vec<String>,
    /// What the hardware reports.
    pub hardware: GroupView,
    /// The status that was read, for its times.
    pub status: ReservationGroupStatus,
}

/// A reservation that is wished for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationWish {
    /// Name.
    pub name: String,
    /// Size of its VMs.
    pub vm_size: String,
    /// Zone; none: regional.
    pub zone: Option<String>,
    /// VMs that there is to be room for.
    pub capacity: i32,
}

impl ReservationWish {
    /// Whether a reservation is the one that is wished for: one of the same name, size and zone. These never change, but a
    /// name can be taken out of the spec and come back for something else.
    pub fn is_for(&self, there: &ReservationFacts) -> bool {
        self.name == there.name && self.vm_size == there.vm_size && self.zone == there.zone
    }
}

/// What is known of a group at the hardware. Unknown is not absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupView {
    /// The hardware did not answer.
    Unknown {
        /// What it said instead.
        message: String,
    },
    /// The hardware is sure that there is none.
    Absent,
    /// It is there.
    Present(GroupFacts),
}

/// A group as the hardware reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupFacts {
    /// Other namespaces that may use it, sorted.
    pub shared_with: Vec<String>,
    /// Reservations, sorted by name.
    pub reservations: Vec<ReservationFacts>,
}

/// A reservation as the hardware reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationFacts {
    /// Name.
    pub name: String,
    /// Its own id.
    pub id: String,
    /// Size of its VMs.
    pub vm_size: String,
    /// Zone; none: regional.
    pub zone: Option<String>,
    /// Fault domains that its room is spread over.
    pub fault_domain_count: i32,
    /// VMs that room was asked for last.
    pub asked: i32,
    /// VMs that there really is room for.
    pub current_capacity: i32,
    /// Why the last request was refused, where it was: nobody is allocated from it then.
    pub failure: Option<Failure>,
    /// When the last request was decided, scenario time.
    pub decided_at: Timestamp,
    /// VMs that are associated with it, sorted by namespace, kind and name.
    pub vms: Vec<AssociatedVm>,
}

/// A VM that is associated with a reservation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AssociatedVm {
    /// Namespace.
    pub namespace: String,
    /// Kind of its object.
    pub kind: String,
    /// Name.
    pub name: String,
    /// What it has of the reservation.
    pub state: ReservationState,
}

impl AssociatedVm {
    /// `NAMESPACE/KIND/NAME`.
    pub fn path(&self) -> String {
        let Self { namespace, kind, name, state: _ } = self;
        format!("{namespace}/{kind}/{name}")
    }

    /// Whether it holds hardware.
    pub const fn is_allocated(&self) -> bool {
        match self.state {
            ReservationState::Associated => false,
            ReservationState::Allocated | ReservationState::Overallocated => true,
        }
    }
}

impl ReservationFacts {
    /// VMs that hold hardware.
    pub fn allocated(&self) -> i32 {
        count(self.vms.iter().filter(|vm| vm.is_allocated()).count())
    }

    /// VMs that are configured to use it.
    pub fn associated(&self) -> i32 {
        count(self.vms.len())
    }

    /// Capacity that nobody uses.
    pub fn unused(&self) -> i32 {
        (self.current_capacity - self.allocated()).max(0)
    }

    /// VMs that hold hardware beyond the capacity.
    pub fn overallocated(&self) -> i32 {
        (self.allocated() - self.current_capacity).max(0)
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
