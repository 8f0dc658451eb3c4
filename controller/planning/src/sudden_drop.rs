//! The guard against a sudden drop of the target: a wrong number, or an empty field of a pipeline, does not take most of a
//! set away before somebody says that it is meant.
//!
//! The rule is ours (`docs/scale-in.md`): a target below half of the one in force, and more than five below it, waits for
//! the annotation `compute.scaleset.io/confirm-scale-in` with that very number, or `Any`. An autoscaler that wished for
//! that number has confirmed it, and so has a setting of autoscale that has this very drop on record and under way: from
//! the target in force, to that number. What has ended, or began elsewhere, says nothing of another drop. The target in force stays meanwhile; members that are evicted for good lower it, which
//! makes no drop less sudden. A set that is being deleted is not guarded.

use std::time::Duration;

use scaleset_crds::condition::Reason;
use scaleset_crds::labels;
use scaleset_crds::spot::EvictedMember;

use crate::plan::Hold;
use crate::snapshot::{Autoscaler, Confirmation, RecordedScaling, ScaleInGuard, ScaleSetSnapshot, SetLife, Switch};

/// Between a wish of an autoscaler and its word that it was its own.
const AUTOSCALER_DELAY: Duration = Duration::from_secs(5);
/// A smaller drop is never sudden.
const DROP_MAX: i64 = 5;

/// Whether a target that changes so waits for a confirmation, unless it has one.
pub fn is_sudden(in_force: i32, wished: i32) -> bool {
    let (in_force, wished) = (i64::from(in_force), i64::from(wished));
    in_force - wished > DROP_MAX && wished * 2 < in_force
}

/// The target that a drop to `wished` is judged from: the one in force, and who was evicted while that drop waited.
pub fn judged_from(in_force: i32, notes: &[EvictedMember], wished: i32) -> i32 {
    let waited = notes.iter().filter(|note| note.unconfirmed_replicas == Some(wished)).count();
    in_force.saturating_add(i32::try_from(waited).unwrap_or(i32::MAX))
}

/// When a held drop is looked at again: an autoscaler tells what it wished only after it has written it, and nobody
/// watches it.
pub(crate) fn look_again(snapshot: &ScaleSetSnapshot) -> Option<Duration> {
    held(snapshot)?;
    match &snapshot.scale_in_guard {
        ScaleInGuard::On { autoscaler: Autoscaler::Wishes(_), confirmation: _, recorded: _ } => Some(AUTOSCALER_DELAY),
        ScaleInGuard::On { autoscaler: Autoscaler::None, confirmation: _, recorded: _ } | ScaleInGuard::Off => None,
    }
}

/// Whether a setting is about to make this very drop: it acts, it decided that number from one of the `targets`, which is the
/// one in force or the one that the drop is judged from, and the decision has no end yet. It gets one when the set has taken it.
fn decides(recorded: &RecordedScaling, targets: [i32; 2], wished: i32) -> bool {
    let RecordedScaling { switch, from, to, ended } = recorded;
    *switch == Switch::On && *to == wished && targets.contains(from) && ended.is_none()
}

/// The drop that waits: the target that stays in force, and why.
pub(crate) fn held(snapshot: &ScaleSetSnapshot) -> Option<(i32, Hold)> {
    let in_force = snapshot.status.target_replicas?;
    let wished = snapshot.set.replicas.filter(|wished| *wished < in_force)?;
    let judged = judged_from(in_force, &snapshot.status.evictions, wished);
    if !is_sudden(judged, wished) {
        return None;
    }
    let ScaleInGuard::On { confirmation, autoscaler, recorded } = &snapshot.scale_in_guard else { return None };
    let confirmed = match confirmation {
        Confirmation::Any => true,
        Confirmation::Target(target) => *target == wished,
        Confirmation::None => false,
    };
    let autoscaled = match autoscaler {
        Autoscaler::Wishes(target) => *target == wished,
        Autoscaler::None => false,
    };
    let decided = recorded.iter().any(|one| decides(one, [in_force, judged], wished));
    if confirmed || autoscaled || decided || snapshot.set.life != SetLife::Live {
        return None;
    }
    let count = usize::try_from(in_force - wished).unwrap_or(0);
    let evicted = if judged == in_force { String::new() } else { format!(" and {} evicted since", judged - in_force) };
    let message = format!(
        "spec.replicas is {wished}, {in_force} is in force{evicted}: less than half, and more than {DROP_MAX} less; if it is \
         meant, set the annotation {}={wished}",
        labels::CONFIRM_SCALE_IN
    );
    Some((in_force, Hold { reason: Reason::ScaleInNotConfirmed, count, message }))
}
