//! What a VM needs before its capacity reservation group can change.
//!
//! Source: Azure's "Remove a Virtual Machine association from a Capacity Reservation group": a VM leaves while it is
//! deallocated, or once nothing is reserved any more.

use std::borrow::Cow;
use std::sync::Arc;

use scaleset_crds::vocabulary::PowerWish;

use super::{Decision, Step, taken_down};
use crate::snapshot::{Failure, InstanceSnapshot};
use crate::view::{InstanceView, ModelView};

/// Why the group of its hardware does not become the one that its model names, where it does not.
fn withheld<'pass>(
    snapshot: &'pass InstanceSnapshot,
    model: &ModelView,
    view: &InstanceView,
) -> Option<&'pass Failure> {
    let changes = model.model.capacity_reservation_group_ref != view.model.capacity_reservation_group_ref;
    snapshot.group_refusal.as_ref().filter(|_| changes)
}

/// What a VM is given of its model: a group that it cannot use as a member of its set is left out, and holds nothing else up.
pub(super) fn allowed<'pass>(
    snapshot: &InstanceSnapshot,
    model: &'pass ModelView,
    view: &InstanceView,
) -> Cow<'pass, ModelView> {
    if withheld(snapshot, model, view).is_none() {
        return Cow::Borrowed(model);
    }
    let mut rest = (*model.model).clone();
    rest.capacity_reservation_group_ref.clone_from(&view.model.capacity_reservation_group_ref);
    Cow::Owned(ModelView { revision: view.revision.clone(), model: Arc::new(rest) })
}

/// With nothing else to do, it is told that the group is withheld.
pub(super) fn told(
    snapshot: &InstanceSnapshot,
    model: &ModelView,
    view: &InstanceView,
    decision: Decision,
) -> Decision {
    match withheld(snapshot, model, view) {
        Some(refusal) if decision.0 == Step::None => (Step::Hold(refusal.clone()), refusal.message.clone(), decision.2),
        Some(_) | None => decision,
    }
}

/// A VM that is wished down goes down before it changes its group: with hardware it may not be let go, and would wait for
/// what waits for it.
pub(super) fn down_first(snapshot: &InstanceSnapshot, model: &ModelView, view: &InstanceView) -> Option<Decision> {
    let changes = model.model.capacity_reservation_group_ref != view.model.capacity_reservation_group_ref;
    if !changes || view.host.is_none() || snapshot.power_wish != PowerWish::Deallocated {
        return None;
    }
    taken_down(snapshot, view.power)
}
