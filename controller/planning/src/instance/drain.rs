//! Leaving backend pools before a VM is taken down: it gets no new requests, and what is under way has its time.
//!
//! ```text
//! a step that takes it down ──► in its pools? ──► leave them ──► wait until it has drained ──► the step
//! nothing that takes it down, and it has left its pools ──► join them again
//! the hardware refuses the step ──► at once: stay in them; once it has drained: join them again
//! ```
//!
//! Nobody waits where power is cut, nor for a VM that is down. What the hardware does by itself (a failure, an eviction,
//! maintenance) is not held back. See `docs/load-balancing.md`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use scaleset_crds::load_balancing::{drain_timeouts, longest_drain_seconds};
use scaleset_crds::vocabulary::{PowerState, PowerWish};

use super::scheduled_event::is_announced;
use super::{AfterRefusal, Decision, Perform, Step, Wait};
use crate::snapshot::{Assigned, InstanceSnapshot, ReleaseRule, ShutdownRule};
use crate::status::whole_seconds;
use crate::view::{HardwareView, InstanceView, OperationState};

/// What a step does to the requests of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// It takes the VM down, and its guest is asked first.
    TakesDown,
    /// The VM stays as it is.
    LeavesAlone,
    /// Neither: it goes on with something else, or cuts the power.
    Other,
}

/// What comes to a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traffic {
    /// It is in no pool, or down.
    None,
    /// It may get requests.
    Comes,
    /// It gets no new ones, and those under way have until then.
    EndsAt(Timestamp),
}

/// What is done instead of a step that would take a VM down while requests come to it.
pub(super) fn first(snapshot: &InstanceSnapshot, decision: Decision) -> Decision {
    let HardwareView::Present(view) = &snapshot.hardware else { return decision };
    let (step, reason, wake_after) = decision;
    match (effect(&step, view), traffic(view)) {
        (Effect::TakesDown, Traffic::Comes) => {
            (Step::Drain(Box::new(step)), format!("{}: {reason}", leaves(view)), None)
        }
        (Effect::TakesDown, Traffic::EndsAt(end)) if end > snapshot.now => {
            let left = Duration::try_from(end.duration_since(snapshot.now)).unwrap_or(Duration::ZERO);
            (Step::Wait(Wait::Draining), format!("{}: {reason}", said(end)), Some(left))
        }
        (Effect::LeavesAlone, Traffic::EndsAt(_)) if !goes_down_by_itself(snapshot.now, view) => {
            (Step::Undrain, format!("stays up after all: {reason}"), None)
        }
        (
            Effect::TakesDown | Effect::LeavesAlone | Effect::Other,
            Traffic::None | Traffic::Comes | Traffic::EndsAt(_),
        ) => (step, reason, wake_after),
    }
}

/// What becomes of a VM whose step the hardware refuses. One that has drained for it stays up, and gets requests while the step
/// waits for its next try, which asks the hardware before it drains again.
pub(super) fn after_refusal(snapshot: &InstanceSnapshot, step: &Step) -> AfterRefusal {
    let HardwareView::Present(view) = &snapshot.hardware else { return AfterRefusal::AsItIs };
    match (effect(step, view), traffic(view)) {
        (Effect::TakesDown, Traffic::EndsAt(_)) if !goes_down_by_itself(snapshot.now, view) => AfterRefusal::Undrain,
        (
            Effect::TakesDown | Effect::LeavesAlone | Effect::Other,
            Traffic::None | Traffic::Comes | Traffic::EndsAt(_),
        ) => AfterRefusal::AsItIs,
    }
}

/// Whether the hardware has taken a VM out of its pools, because it is about to take it down.
fn goes_down_by_itself(now: Timestamp, view: &InstanceView) -> bool {
    let near = |not_before: Timestamp| not_before <= now + SignedDuration::from_secs(i64::from(longest(view)));
    view.preempt_notice.is_some() || view.awaited_maintenance().is_some_and(|notice| near(notice.not_before))
}

fn longest(view: &InstanceView) -> i32 {
    longest_drain_seconds(&view.model.network_profile.network_interfaces).unwrap_or_default()
}

/// Whether requests may come to a VM that is asked to go and whose hardware is not seen: it may be in pools.
pub(super) fn may_be_needed(snapshot: &InstanceSnapshot) -> bool {
    let gently = (snapshot.release, snapshot.shutdown) == (ReleaseRule::HardwareFirst, ShutdownRule::Graceful);
    let has_pools = match &snapshot.assigned {
        Assigned::Known(model) => !drain_timeouts(&model.model.network_profile.network_interfaces).is_empty(),
        Assigned::Missing { revision: _ } => false,
    };
    gently && has_pools
}

/// What a VM waits for that has left its pools.
pub(crate) fn said(end: Timestamp) -> String {
    format!("out of its backend pools, what is under way ends by {} scenario time", whole_seconds(end))
}

fn leaves(view: &InstanceView) -> String {
    let timeouts = drain_timeouts(&view.model.network_profile.network_interfaces);
    let pools: Vec<&str> = timeouts.keys().copied().collect();
    format!("leaves {} first, what is under way has up to {} s", pools.join(", "), longest(view))
}

/// A VM that is on its way down, or down, gets nothing; of any other the load balancer alone can tell.
fn traffic(view: &InstanceView) -> Traffic {
    match (view.power, view.drained_at) {
        _ if view.pools.is_empty() || view.operation == OperationState::Deleting => Traffic::None,
        (PowerState::Stopped | PowerState::Deallocated | PowerState::Deallocating, _) => Traffic::None,
        (_, Some(end)) => Traffic::EndsAt(end),
        (
            PowerState::Creating
            | PowerState::Starting
            | PowerState::Running
            | PowerState::Stopping
            | PowerState::Unknown,
            None,
        ) => Traffic::Comes,
    }
}

/// What is only announced leaves the VM in its pools: it is told while it works.
fn effect(step: &Step, view: &InstanceView) -> Effect {
    match step {
        Step::Perform(_, _) | Step::Reimage(_) | Step::ReplaceOsDisk(_, _) if is_announced(step, view) => Effect::Other,
        Step::UpdateWithRestart(_)
        | Step::Reimage(_)
        | Step::ReplaceOsDisk(_, _)
        | Step::Recreate
        | Step::SetPower(PowerWish::Stopped | PowerWish::Deallocated, ShutdownRule::Graceful)
        | Step::Perform(_, Perform::Restart(_) | Perform::Redeploy(_) | Perform::Reimage(_) | Perform::ReimageAll(_))
        | Step::Release(_, ShutdownRule::Graceful) => Effect::TakesDown,
        Step::None
        | Step::Hold(_)
        | Step::Wait(Wait::Revision | Wait::Backoff | Wait::OperationNotice | Wait::ImageNotice) => Effect::LeavesAlone,
        Step::Wait(
            Wait::HardwareBusy
            | Wait::HardwareUnknown
            | Wait::Evicted
            | Wait::Restore
            | Wait::EvictionNote
            | Wait::DeletionNotice
            | Wait::Draining,
        )
        | Step::AddFinalizer
        | Step::Enroll(_)
        | Step::Create(_)
        | Step::UpdateOnline(_)
        | Step::Restore
        | Step::Discard
        | Step::Count
        | Step::SetMembership(_)
        | Step::StartAt(_)
        | Step::SetPower(PowerWish::Running, _)
        | Step::SetPower(PowerWish::Stopped | PowerWish::Deallocated, ShutdownRule::Skip)
        | Step::Perform(_, Perform::SimulateEviction)
        | Step::ApproveEvent(_)
        | Step::Drain(_)
        | Step::Undrain
        | Step::Release(_, ShutdownRule::Skip)
        | Step::Forget => Effect::Other,
    }
}
