//! What a VM needs before its capacity reservation group can change.
//!
//! Source: Azure's "Remove a Virtual Machine association from a Capacity Reservation group": a VM leaves while it is
//! deallocated, or once nothing is reserved any more.

use scaleset_crds::vocabulary::PowerWish;

use super::{Decision, taken_down};
use crate::snapshot::InstanceSnapshot;
use crate::view::{InstanceView, ModelView};

/// A VM that is wished down goes down before it changes its group: with hardware it may not be let go, and would wait for
/// what waits for it.
pub(super) fn down_first(snapshot: &InstanceSnapshot, model: &ModelView, view: &InstanceView) -> Option<Decision> {
    let changes = model.model.capacity_reservation_group_ref != view.model.capacity_reservation_group_ref;
    if !changes || view.host.is_none() || snapshot.power_wish != PowerWish::Deallocated {
        return None;
    }
    taken_down(snapshot, view.power)
}
