//! A set that is deleted: its members go first, and it goes with the last of them.
//!
//! A set that still has members made by hand removes nobody until they are deleted or detached (Azure: a Flexible set that
//! has VMs cannot be deleted, `OperationNotAllowed`).

use scaleset_crds::condition::Reason;

use super::{hold, remove};
use crate::plan::{Action, RemovalCause, ScaleSetPlan};
use crate::snapshot::{FinalizerState, ScaleSetSnapshot};
use crate::wording::some_names;

pub(super) fn plan_deletion(snapshot: &ScaleSetSnapshot, plan: &mut ScaleSetPlan) {
    let by_hand: Vec<&str> =
        snapshot.members.iter().filter(|member| !member.is_made()).map(|member| member.name.as_str()).collect();
    if !by_hand.is_empty() {
        let message =
            format!("{} made by hand must be deleted or detached first: {}", by_hand.len(), some_names(&by_hand));
        hold(plan, Reason::OperationNotAllowed, by_hand.len(), &message);
        return;
    }
    let live = snapshot.members.iter().filter(|member| member.is_live());
    plan.actions
        .extend(live.map(|member| remove(member, RemovalCause::SetDeleted, "the set is being deleted".to_owned())));
    if !snapshot.leaving.is_empty() {
        let names: Vec<&str> = snapshot.leaving.iter().map(String::as_str).collect();
        // With the set its owner would be gone, and with the owner the VM.
        hold(plan, Reason::Waiting, names.len(), &format!("wait until they have left: {}", some_names(&names)));
    } else if snapshot.members.is_empty() && snapshot.set.finalizer == FinalizerState::Held {
        plan.actions.push(Action::RemoveFinalizer);
    }
}
