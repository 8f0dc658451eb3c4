//! One VM's next step, `ScaleSetVM` and `FlexVM` alike: life, hardware and wish decide, in this order.
//!
//! ```text
//! an event approved ──► pass it on; told of its deletion ──► wait until that begins
//!   │ neither
//! going? ──► hardware there? ──► delete it ──► let the object go
//!   │ no
//! membership changed ──► mark it on the object
//!   │ no
//! held? (finalizer, reference, revision, hardware unknown) ──► wait, and say for what
//!   │ no
//! hardware absent ──► create      (vanished under us: the same, with a notice)
//!   │ present
//! an extra that is kept ──► count it against the quotas
//!   │ counted
//! the hardware takes it for a member of another set ──► tell it
//!   │ of the same
//! busy ──► wait
//!   │ not busy
//! asked for an operation ──► pass it on, once; one that was announced waits for its notice, and holds nothing else up
//!   │ not asked
//! failed ──► repeat what failed, after a backoff; what is wished down is taken down first
//!   │ settled
//! another OS disk wished ──► replace it
//!   │ it has the one
//! differs from its model ──► recreate | reimage | restart | apply online; a size that its host cannot hold: deallocate first;
//!   │                        a replacement of the OS disk that was announced waits for its notice
//!   │ equal
//! power differs from the wish ──► start, stop or deallocate; what was evicted waits, or is started again where its set says so
//!   │ equal
//! done
//! ```
//!
//! A VM in backend pools leaves them before any step that takes it down, unless the hardware refuses that step.
//!
//! One step a pass: its effect is observed before the next is decided. When another revision is to be followed is the
//! set's decision, not made here.

pub(crate) mod drain;
pub(crate) mod eviction;
pub(crate) mod operation;
mod os_disk;
mod precedence;
mod reservation;
mod retry;
pub(crate) mod scheduled_event;
mod seat;
mod step;

pub use operation::is_final;
use retry::retry;
pub use scheduled_event::{awaited_by, disruption_said, said};
pub use seat::Seat;
pub use step::{Enrolment, Perform, Step, Wait};

use std::time::Duration;

use scaleset_crds::condition::Reason;
use scaleset_crds::vocabulary::{Impact, PowerState, PowerWish};

use crate::limits::extensions_refusal;
use crate::snapshot::{Assigned, Belonging, Failure, FinalizerState, InstanceSnapshot, MemberLife, ShutdownRule};
use crate::view::{Difference, HardwareView, InstanceView, ModelView, OperationState, QuotaRule, ViewDiff, diff};

/// How soon to look again whether the region offers a size.
const REGION_RETRY: Duration = Duration::from_mins(1);

/// What one pass over an instance does.
#[derive(Clone, Debug)]
#[must_use]
pub struct InstancePlan {
    /// The step.
    pub step: Step,
    /// Why, numbers included.
    pub reason: String,
    /// When to look again although nothing changes, scenario time.
    pub wake_after: Option<Duration>,
    /// What is done in the same pass where the hardware refuses the step.
    pub after_refusal: AfterRefusal,
}

/// What becomes of a VM whose step the hardware refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterRefusal {
    /// It stays as it is.
    AsItIs,
    /// It joins its backend pools again.
    Undrain,
}

/// Plans one pass over an instance.
pub fn plan(snapshot: &InstanceSnapshot) -> InstancePlan {
    let decided = scheduled_event::told_first(snapshot, next_step(snapshot));
    let (step, reason, wake_after) = drain::first(snapshot, decided);
    let after_refusal = drain::after_refusal(snapshot, &step);
    InstancePlan { step, reason, wake_after, after_refusal }
}

type Decision = (Step, String, Option<Duration>);

fn next_step(snapshot: &InstanceSnapshot) -> Decision {
    match (snapshot.life, snapshot.finalizer) {
        (MemberLife::Terminating, FinalizerState::Absent) => {
            return decide(Step::Forget, "being deleted, nothing of ours is on it");
        }
        (MemberLife::Terminating, FinalizerState::Held) => return release(snapshot),
        (MemberLife::Live, FinalizerState::Absent) => {
            return decide(Step::AddFinalizer, "before there is hardware to lose");
        }
        (MemberLife::Live, FinalizerState::Held) => {}
    }
    if let Some(decision) = enrolled(snapshot) {
        return decision;
    }
    if let Some(decision) = scheduled_event::awaited(snapshot) {
        return decision;
    }
    match (&snapshot.assigned, &snapshot.hardware) {
        (_, HardwareView::Unknown { message }) => decide(Step::Wait(Wait::HardwareUnknown), message),
        (Assigned::Known(model), HardwareView::Absent) => create(snapshot, model),
        (_, HardwareView::Present(view)) if view.is_deleted_by_eviction() => eviction::deleted(snapshot),
        (Assigned::Known(model), HardwareView::Present(view)) => continue_with(snapshot, model, view),
        (Assigned::Missing { revision }, HardwareView::Absent) => {
            decide(Step::Wait(Wait::Revision), &format!("revision {revision} is not there"))
        }
        (Assigned::Missing { revision: _ }, HardwareView::Present(view)) => run_on(snapshot, view),
    }
}

/// Labels tell everybody whose member it is; whoever leaves is nobody's, so that no set counts or deletes it.
fn enrolled(snapshot: &InstanceSnapshot) -> Option<Decision> {
    match (&snapshot.belonging, &snapshot.enrolled) {
        (Belonging::HandMade { scale_set }, marks) if marks.as_ref() != Some(scale_set) => {
            let step = Step::Enroll(Enrolment::Join { scale_set: scale_set.clone(), group: wished_group(snapshot) });
            let domain = snapshot.fault_domain.map(|domain| format!(", fault domain {domain}")).unwrap_or_default();
            Some(decide(step, &format!("it has joined scale set {scale_set}{domain}")))
        }
        (Belonging::HandMade { scale_set }, _) if snapshot.marked_group != wished_group(snapshot) => {
            let step = Step::Enroll(Enrolment::Join { scale_set: scale_set.clone(), group: wished_group(snapshot) });
            Some(decide(step, "its model names another capacity reservation group"))
        }
        // Before there is hardware: it is where the mark says for good.
        (Belonging::HandMade { scale_set }, _) if snapshot.marked_fault_domain != snapshot.fault_domain => {
            let step = Step::Enroll(Enrolment::Join { scale_set: scale_set.clone(), group: wished_group(snapshot) });
            Some(decide(step, &format!("its fault domain in scale set {scale_set} is not marked")))
        }
        (Belonging::Leaving { scale_set }, Some(_)) => {
            Some(decide(Step::Enroll(Enrolment::Leave), &format!("it has left scale set {scale_set}")))
        }
        (Belonging::Alone, Some(marks)) => {
            Some(decide(Step::Enroll(Enrolment::Leave), &format!("it is no member of scale set {marks}")))
        }
        (
            Belonging::Alone
            | Belonging::Made { .. }
            | Belonging::HandMade { .. }
            | Belonging::Leaving { .. }
            | Belonging::Refused { .. },
            _,
        ) => None,
    }
}

/// Name of the capacity reservation group that its model names.
fn wished_group(snapshot: &InstanceSnapshot) -> Option<String> {
    match &snapshot.assigned {
        // What is withheld leaves the mark as it is.
        Assigned::Known(_) if snapshot.group_refusal.is_some() => snapshot.marked_group.clone(),
        Assigned::Known(model) => {
            model.model.capacity_reservation_group_ref.as_ref().map(|reference| reference.name.clone())
        }
        Assigned::Missing { revision: _ } => snapshot.marked_group.clone(),
    }
}

/// Hardware that is being deleted already is waited for, not asked again, unless its power may be cut.
fn release(snapshot: &InstanceSnapshot) -> Decision {
    if let Some(decision) = scheduled_event::awaited(snapshot) {
        return decision;
    }
    match &snapshot.hardware {
        HardwareView::Present(view) if view.is_deleted_by_eviction() => eviction::released(snapshot, view),
        // One whose guest need not be asked is not left to it: a notice of deletion has begun the gentle way.
        HardwareView::Present(view)
            if view.operation == OperationState::Deleting && snapshot.shutdown == ShutdownRule::Graceful =>
        {
            decide(Step::Wait(Wait::HardwareBusy), &busy(view))
        }
        HardwareView::Unknown { message } if eviction::may_be_unnoted(snapshot) || drain::may_be_needed(snapshot) => {
            decide(Step::Wait(Wait::HardwareUnknown), message)
        }
        HardwareView::Present(_) | HardwareView::Absent | HardwareView::Unknown { message: _ } => {
            let reason = match snapshot.shutdown {
                ShutdownRule::Graceful => "being deleted",
                ShutdownRule::Skip => "being deleted, its guest is not asked",
            };
            decide(Step::Release(snapshot.release, snapshot.shutdown), reason)
        }
    }
}

/// A VM whose set or revision is gone runs on as it is, and is still powered as wished.
fn run_on(snapshot: &InstanceSnapshot, view: &InstanceView) -> Decision {
    match &view.operation {
        OperationState::Creating | OperationState::Updating | OperationState::Deleting => {
            decide(Step::Wait(Wait::HardwareBusy), &busy(view))
        }
        OperationState::Failed { .. } => operation::requested(snapshot, None, view).unwrap_or_else(|| {
            decide(Step::Wait(Wait::Revision), "failed, and there is no revision to reimage it from")
        }),
        OperationState::Succeeded => {
            let decision = scheduled_event::requested_now(snapshot, None, view)
                .or_else(|| eviction::powered(snapshot, view))
                .unwrap_or_else(|| decide(Step::None, "runs on without its set"));
            scheduled_event::or_requested(snapshot, None, view, decision)
        }
    }
}

fn busy(view: &InstanceView) -> String {
    format!("the hardware is {:?}", view.operation).to_lowercase()
}

/// A VM without hardware whose reference is refused waits; one with hardware runs on alone.
fn create(snapshot: &InstanceSnapshot, model: &ModelView) -> Decision {
    if let Belonging::Refused { scale_set: _, refusal } = &snapshot.belonging {
        let message = refusal.message.clone();
        if refusal.reason == Reason::HardwareUnavailable {
            return decide(Step::Wait(Wait::HardwareUnknown), &message);
        }
        // Anything else ends with a change of the set or of the VM.
        let only_by_region = refusal.reason == Reason::SkuNotAvailable;
        return (Step::Hold(refusal.clone()), message, only_by_region.then_some(REGION_RETRY));
    }
    if let Some(refusal) = &snapshot.group_refusal {
        return (Step::Hold(refusal.clone()), refusal.message.clone(), None);
    }
    if let Some(refusal) = extensions_refusal("spec.extensions", &model.model.extensions) {
        let message = refusal.message.clone();
        return (Step::Hold(refusal), message, None);
    }
    let reason = if snapshot.status.vm_id.is_some() { "the hardware is gone" } else { "there is no hardware yet" };
    decide(Step::Create(model.clone()), reason)
}

fn continue_with(snapshot: &InstanceSnapshot, model: &ModelView, view: &InstanceView) -> Decision {
    if let (QuotaRule::Exempt, QuotaRule::Counted) = (view.quota, snapshot.birth.quota) {
        return decide(Step::Count, "it is kept");
    }
    if view.set_uid != snapshot.birth.set_uid {
        return membership(snapshot);
    }
    let allowed = reservation::allowed(snapshot, model, view);
    let decision = with_model(snapshot, &allowed, view);
    reservation::told(snapshot, model, view, decision)
}

/// What the hardware does by set follows its members: it learns whose a VM is where that has changed, whatever it is doing.
fn membership(snapshot: &InstanceSnapshot) -> Decision {
    let known = "the hardware has it as a member of a scale set";
    let reason = match &snapshot.belonging {
        Belonging::Made { scale_set } | Belonging::HandMade { scale_set } => {
            format!("the hardware does not have it as a member of scale set {scale_set}")
        }
        Belonging::Alone => format!("{known}, and it is of none"),
        Belonging::Leaving { scale_set } => format!("{known}, and it leaves {scale_set}"),
        Belonging::Refused { scale_set, refusal } => {
            format!("{known}, and {scale_set} has not taken it: {}", refusal.message)
        }
    };
    decide(Step::SetMembership(snapshot.birth.set_uid.clone()), &reason)
}

fn with_model(snapshot: &InstanceSnapshot, model: &ModelView, view: &InstanceView) -> Decision {
    match &view.operation {
        OperationState::Creating | OperationState::Updating | OperationState::Deleting => {
            decide(Step::Wait(Wait::HardwareBusy), &busy(view))
        }
        OperationState::Failed { code, message: _, attempts } => {
            scheduled_event::requested_now(snapshot, Some(model), view)
                .or_else(|| taken_down(snapshot, view.power))
                .unwrap_or_else(|| retry(snapshot, model, view, code, *attempts))
        }
        OperationState::Succeeded => {
            let decision = eviction::price_first(model, view)
                .or_else(|| scheduled_event::requested_now(snapshot, Some(model), view))
                .or_else(|| reservation::down_first(snapshot, model, view))
                .unwrap_or_else(|| settle(snapshot, model, view));
            scheduled_event::or_requested(snapshot, Some(model), view, decision)
        }
    }
}

/// What only a person can change holds nothing else up: cheaper differences are applied, and power is as wished.
fn settle(snapshot: &InstanceSnapshot, model: &ModelView, view: &InstanceView) -> Decision {
    let power = || eviction::powered(snapshot, view);
    match os_disk::replaced(snapshot, model, view).or_else(|| differing(snapshot, model, view)) {
        Some(held @ (Step::Hold(_), _, _)) => cheaper(model, view).or_else(power).unwrap_or(held),
        Some(decision) => decision,
        None => power().unwrap_or_else(|| decide(Step::None, "as wished")),
    }
}

/// The differences beside those that need a new VM or can never be applied, where none of them touches the OS disk.
fn cheaper(model: &ModelView, view: &InstanceView) -> Option<Decision> {
    let differences = diff(model, view);
    let rest: Vec<&Difference> =
        differences.differences.iter().filter(|difference| difference.impact < Impact::Replace).collect();
    let reason = || rest.iter().map(ToString::to_string).collect::<Vec<String>>().join("; ");
    match rest.iter().map(|difference| difference.impact).filter(|impact| *impact != Impact::NextReimage).max()? {
        Impact::None | Impact::Online => Some(decide(Step::UpdateOnline(model.clone()), &reason())),
        Impact::Restart => Some(
            deallocated_first(model, view).unwrap_or_else(|| decide(Step::UpdateWithRestart(model.clone()), &reason())),
        ),
        Impact::NextReimage | Impact::Reimage | Impact::Replace | Impact::Immutable => None,
    }
}

/// A VM that is wished down and runs is taken down, whatever else is wrong with it.
fn taken_down(snapshot: &InstanceSnapshot, now: PowerState) -> Option<Decision> {
    match snapshot.power_wish {
        PowerWish::Running => None,
        PowerWish::Stopped | PowerWish::Deallocated => power(snapshot, now),
    }
}

/// The cheapest step that the differences to the assigned model allow.
fn differing(snapshot: &InstanceSnapshot, model: &ModelView, view: &InstanceView) -> Option<Decision> {
    let differences = diff(model, view);
    let reason = || differences.to_string();
    let boots = matches!(differences.impact_now(), Impact::Restart | Impact::Reimage);
    if let Some(decision) = deallocated_first(model, view).filter(|_| boots) {
        return Some(decision);
    }
    let step = match differences.impact_now() {
        Impact::None | Impact::NextReimage if model.revision != view.revision => Step::UpdateOnline(model.clone()),
        Impact::None if differences.with_impact(Impact::None).next().is_some() => Step::UpdateOnline(model.clone()),
        Impact::None | Impact::NextReimage => return None,
        Impact::Online => Step::UpdateOnline(model.clone()),
        Impact::Restart => Step::UpdateWithRestart(model.clone()),
        Impact::Reimage => Step::Reimage(model.clone()),
        Impact::Replace => replace(snapshot, &differences),
        Impact::Immutable => Step::Hold(Failure {
            reason: Reason::PropertyChangeNotAllowed,
            message: format!("cannot be changed on a VM that exists: {}", only(&differences, Impact::Immutable)),
        }),
    };
    let reason =
        if differences.is_empty() { format!("takes the name of revision {}", model.revision) } else { reason() };
    Some((step, reason, None))
}

/// A VM that is to have a size that its host cannot hold is deallocated, then changed, then started elsewhere, if another
/// host has room (Azure: resize a virtual machine). Where none has, it runs on, and the refusal says so.
fn deallocated_first(model: &ModelView, view: &InstanceView) -> Option<Decision> {
    let size = &model.model.vm_size;
    let allocated = match view.power {
        PowerState::Running | PowerState::Stopped => true,
        PowerState::Creating
        | PowerState::Starting
        | PowerState::Stopping
        | PowerState::Deallocating
        | PowerState::Deallocated
        | PowerState::Unknown => false,
    };
    if !allocated || view.model.vm_size == *size || !view.sizes_after_deallocation.contains(size) {
        return None;
    }
    let host = view.host.as_deref().unwrap_or("its host");
    let reason = format!("vmSize: {} -> {size}, {host} has no room for it: deallocated first", view.model.vm_size);
    Some((Step::SetPower(PowerWish::Deallocated, ShutdownRule::Graceful), reason, None))
}

/// A member that the set made is the set's to lose; a person's own VM is not thrown away for a field.
fn replace(snapshot: &InstanceSnapshot, differences: &ViewDiff) -> Step {
    match &snapshot.belonging {
        Belonging::Made { scale_set: _ } => Step::Recreate,
        Belonging::Alone
        | Belonging::HandMade { scale_set: _ }
        | Belonging::Leaving { scale_set: _ }
        | Belonging::Refused { scale_set: _, refusal: _ } => Step::Hold(Failure {
            reason: Reason::OperationNotAllowed,
            message: format!("needs a new VM, delete and create it again: {}", only(differences, Impact::Replace)),
        }),
    }
}

fn only(differences: &ViewDiff, impact: Impact) -> String {
    let lines: Vec<String> = differences.with_impact(impact).map(ToString::to_string).collect();
    lines.join("; ")
}

/// A deallocated VM satisfies the wish to be stopped: it takes no way back to hardware that it does not use.
fn power(snapshot: &InstanceSnapshot, power: PowerState) -> Option<Decision> {
    let wish = snapshot.power_wish;
    match (wish, power) {
        (_, PowerState::Creating | PowerState::Starting | PowerState::Stopping | PowerState::Deallocating) => {
            Some(decide(Step::Wait(Wait::HardwareBusy), &format!("power is {}", power.code())))
        }
        (PowerWish::Running, PowerState::Running)
        | (PowerWish::Stopped, PowerState::Stopped | PowerState::Deallocated)
        | (PowerWish::Deallocated, PowerState::Deallocated) => None,
        (PowerWish::Running, PowerState::Stopped | PowerState::Deallocated)
        | (PowerWish::Stopped, PowerState::Running)
        | (PowerWish::Deallocated, PowerState::Running | PowerState::Stopped) => {
            let reason = format!("power is {}, {wish:?} is wished", power.code());
            Some(decide(seat::set_power(snapshot, wish, operation::shutdown_rule(snapshot)), &reason))
        }
        (_, PowerState::Unknown) => Some(decide(Step::Wait(Wait::HardwareUnknown), "power is unknown")),
    }
}

fn decide(step: Step, reason: &str) -> Decision {
    (step, reason.to_owned(), None)
}
