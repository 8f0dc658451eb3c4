//! What a pass over a capacity reservation group does: the hardware's group is brought to what is wished.
//!
//! ```text
//! going? ──► sharing is revoked ──► reservations that nobody uses are given up ──► the group goes ──► the object goes
//!   │ no
//! finalizer ──► the group, and whom it is shared with ──► what the spec does not name any more is given up, unless it is
//!               in use ──► every reservation gets the capacity that is wished for
//! ```
//!
//! What is given up comes before what is reserved: a reservation can take the place of another of the same size and zone.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use scaleset_crds::condition::Reason;

use crate::plan::Hold;
use crate::snapshot::{
    AssociatedVm, FinalizerState, GroupFacts, GroupView, MemberLife, ReservationFacts, ReservationGroupSnapshot,
    ReservationWish,
};
use crate::wording::some_names;

/// How long after a raise that failed it is tried again, scenario time. VMs that run lose nothing meanwhile; who wants the
/// reservation usable again at once puts its capacity back.
pub const RETRY_AFTER: Duration = Duration::from_mins(5);

/// What one pass over a group does and does not do.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ReservationGroupPlan {
    /// Actions, in order; a failure of one that others need ends the pass.
    pub actions: Vec<GroupAction>,
    /// What is held back.
    pub holds: Vec<Hold>,
    /// When to look again although nothing changes, scenario time.
    pub wake_after: Option<Duration>,
}

impl ReservationGroupPlan {
    fn releases(&self, reservation: &str) -> bool {
        let is_it = |action: &GroupAction| matches!(action, GroupAction::Release { name } if name == reservation);
        self.actions.iter().any(is_it)
    }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupAction {
    /// Put our finalizer on the object, before there is anything reserved to lose.
    AddFinalizer,
    /// Create the group, or change with whom it is shared.
    Put {
        /// Other namespaces that may use it.
        shared_with: Vec<String>,
    },
    /// Give a reservation up.
    Release {
        /// Its name.
        name: String,
    },
    /// Create a reservation, or change its capacity.
    Reserve(ReservationWish),
    /// Delete the group at the hardware.
    DeleteGroup,
    /// Let the object go, once the hardware's group is gone.
    RemoveFinalizer,
}

impl fmt::Display for GroupAction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddFinalizer => write!(formatter, "add finalizer"),
            Self::Put { shared_with } if shared_with.is_empty() => write!(formatter, "put group, shared with nobody"),
            Self::Put { shared_with } => write!(formatter, "put group, shared with {}", shared_with.join(", ")),
            Self::Release { name } => write!(formatter, "release reservation {name}"),
            Self::Reserve(ReservationWish { name, vm_size, zone, capacity }) => {
                write!(formatter, "reserve {name}: {capacity} x {vm_size}")?;
                zone.iter().try_for_each(|zone| write!(formatter, " in zone {zone}"))
            }
            Self::DeleteGroup => write!(formatter, "delete group"),
            Self::RemoveFinalizer => write!(formatter, "remove finalizer"),
        }
    }
}

/// Plans one pass over a group.
pub fn plan(snapshot: &ReservationGroupSnapshot) -> ReservationGroupPlan {
    let mut plan = ReservationGroupPlan::default();
    match (snapshot.life, &snapshot.hardware) {
        (_, GroupView::Unknown { message: _ }) => {}
        (MemberLife::Terminating, view) => plan_deletion(snapshot, view, &mut plan),
        (MemberLife::Live, view) => plan_live(snapshot, view, &mut plan),
    }
    plan
}

/// From then on nobody of another namespace is in the way.
fn plan_deletion(snapshot: &ReservationGroupSnapshot, view: &GroupView, plan: &mut ReservationGroupPlan) {
    if snapshot.finalizer == FinalizerState::Absent {
        return;
    }
    if let GroupView::Present(facts) = view {
        if !facts.shared_with.is_empty() {
            plan.actions.push(GroupAction::Put { shared_with: Vec::new() });
        }
        for reservation in &facts.reservations {
            give_up(snapshot, reservation, "the group is being deleted", plan);
            // Less is always to be had: with nothing reserved, VMs that run may leave.
            let wish = snapshot.reservations.iter().find(|wish| wish.is_for(reservation));
            let lowered = wish.filter(|wish| wish.capacity < reservation.current_capacity);
            if let Some(wish) = lowered.filter(|_| !plan.releases(&reservation.name)) {
                plan.actions.push(GroupAction::Reserve(wish.clone()));
            }
        }
        if !plan.holds.is_empty() {
            return;
        }
        plan.actions.push(GroupAction::DeleteGroup);
    }
    plan.actions.push(GroupAction::RemoveFinalizer);
}

fn plan_live(snapshot: &ReservationGroupSnapshot, view: &GroupView, plan: &mut ReservationGroupPlan) {
    if snapshot.finalizer == FinalizerState::Absent {
        plan.actions.push(GroupAction::AddFinalizer);
    }
    let nothing = GroupFacts::default();
    let facts = match view {
        GroupView::Present(facts) => facts,
        GroupView::Absent | GroupView::Unknown { message: _ } => &nothing,
    };
    if *view == GroupView::Absent || facts.shared_with != snapshot.shared_with {
        plan.actions.push(GroupAction::Put { shared_with: snapshot.shared_with.clone() });
    }
    let named = |name: &str| snapshot.reservations.iter().any(|wish| wish.name == name);
    let wished = |there: &ReservationFacts| snapshot.reservations.iter().any(|wish| wish.is_for(there));
    for reservation in facts.reservations.iter().filter(|reservation| !wished(reservation)) {
        let why = if named(&reservation.name) {
            "spec.reservations has another size or zone under its name"
        } else {
            "it is taken out of spec.reservations"
        };
        give_up(snapshot, reservation, why, plan);
    }
    for wish in &snapshot.reservations {
        let there = facts.reservations.iter().find(|reservation| reservation.name == wish.name);
        if there.is_some_and(|there| !wish.is_for(there)) && !plan.releases(&wish.name) {
            // Its name is taken until the other one is free.
            continue;
        }
        let there = there.filter(|there| wish.is_for(there));
        match there.map_or(Due::Now, |there| due(wish, there, snapshot.now)) {
            Due::Now => plan.actions.push(GroupAction::Reserve(wish.clone())),
            Due::After(wait) => plan.wake_after = Some(plan.wake_after.map_or(wait, |sooner| sooner.min(wait))),
            Due::Never => {}
        }
    }
}

enum Due {
    Now,
    After(Duration),
    Never,
}

/// A raise that failed is tried again in its time, another capacity at once.
fn due(wish: &ReservationWish, there: &ReservationFacts, now: Timestamp) -> Due {
    if there.asked != wish.capacity {
        return Due::Now;
    }
    if there.failure.is_none() {
        return Due::Never;
    }
    let waited = now.duration_since(there.decided_at).unsigned_abs();
    match RETRY_AFTER.checked_sub(waited) {
        Some(rest) if !rest.is_zero() => Due::After(rest),
        Some(_) | None => Due::Now,
    }
}

/// VMs of namespaces that the group is not shared with any more are in nobody's way: they keep what they run on.
fn give_up(
    snapshot: &ReservationGroupSnapshot,
    reservation: &ReservationFacts,
    why: &str,
    plan: &mut ReservationGroupPlan,
) {
    let shared_with: &[String] = match snapshot.life {
        MemberLife::Live => &snapshot.shared_with,
        MemberLife::Terminating => &[],
    };
    let counts = |vm: &&AssociatedVm| vm.namespace == snapshot.namespace || shared_with.contains(&vm.namespace);
    let users: Vec<String> = reservation.vms.iter().filter(counts).map(AssociatedVm::path).collect();
    if users.is_empty() {
        plan.actions.push(GroupAction::Release { name: reservation.name.clone() });
        return;
    }
    let names: Vec<&str> = users.iter().map(String::as_str).collect();
    let while_they_may = if snapshot.reservations.iter().any(|wish| wish.is_for(reservation)) {
        "while they are deallocated or the capacity is 0"
    } else {
        "while they are deallocated"
    };
    let message = format!(
        "reservation {}: {why}, but {} VMs are associated with it ({}); delete them, or take \
         capacityReservationGroupRef out of them {while_they_may}",
        reservation.name,
        users.len(),
        some_names(&names)
    );
    plan.holds.push(Hold { reason: Reason::OperationNotAllowed, count: users.len(), message });
}
