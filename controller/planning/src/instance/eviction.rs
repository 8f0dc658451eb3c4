//! What becomes of a Spot VM after an eviction, and of its maximum price.
//!
//! Source: Azure's "Azure Spot Virtual Machines for Virtual Machine Scale Sets". A VM that was deallocated is not started
//! again by itself: a person starts it, or wishes it down and up again; where its set restores VMs, one that was evicted
//! for capacity is tried again for so long. One that was deleted goes, as soon as its set has noted why.

use std::time::Duration;

use scaleset_crds::spot::{EvictionReason, EvictionStatus};
use scaleset_crds::vocabulary::{PowerState, PowerWish};

use super::{Decision, Step, Wait, decide, power};
use crate::snapshot::{Belonging, EvictionNote, InstanceSnapshot, ReleaseRule, ShutdownRule};
use crate::view::diff::MAX_PRICE;
use crate::view::{Eviction, InstanceView, ModelView, diff};

/// How often a VM is tried again, scenario time.
const RESTORE_EVERY: Duration = Duration::from_secs(30);
/// How soon to look again whether the set has noted an eviction, scenario time.
const NOTE_LOOK: Duration = Duration::from_secs(30);

/// The object of a VM that an eviction has deleted, while it is not going.
pub(super) fn deleted(snapshot: &InstanceSnapshot) -> Decision {
    match &snapshot.belonging {
        Belonging::Made { scale_set: _ } => note_awaited("evicted with policy Delete, its set lets it go"),
        Belonging::Alone
        | Belonging::HandMade { scale_set: _ }
        | Belonging::Leaving { scale_set: _ }
        | Belonging::Refused { scale_set: _, refusal: _ } => decide(Step::Discard, "evicted with policy Delete"),
    }
}

/// The same while it is going.
pub(super) fn released(snapshot: &InstanceSnapshot, view: &InstanceView) -> Decision {
    match snapshot.eviction_note {
        EvictionNote::Settled if view.host.is_some() => {
            decide(Step::Wait(Wait::HardwareBusy), "evicted with policy Delete, its hardware is not released yet")
        }
        EvictionNote::Awaited => note_awaited("its set has not noted its eviction yet"),
        EvictionNote::Settled => {
            decide(Step::Release(snapshot.release, snapshot.shutdown), "evicted with policy Delete")
        }
    }
}

/// Whether it cannot be told if its set has to know of an eviction first; who may leave hardware behind does not ask.
pub(super) fn may_be_unnoted(snapshot: &InstanceSnapshot) -> bool {
    match (snapshot.eviction_note, snapshot.release) {
        (EvictionNote::Awaited, ReleaseRule::HardwareFirst) => true,
        (EvictionNote::Awaited, ReleaseRule::MayAbandon) | (EvictionNote::Settled, _) => false,
    }
}

fn note_awaited(reason: &str) -> Decision {
    (Step::Wait(Wait::EvictionNote), reason.to_owned(), Some(NOTE_LOOK))
}

/// Power as wished, of a VM that may have been evicted.
pub(super) fn powered(snapshot: &InstanceSnapshot, view: &InstanceView) -> Option<Decision> {
    let Some(eviction) = view.eviction else { return power(snapshot, view.power) };
    match (view.power, snapshot.power_wish) {
        (PowerState::Deallocated, PowerWish::Running) => Some(evicted(snapshot, eviction)),
        (PowerState::Deallocated, PowerWish::Stopped | PowerWish::Deallocated) => {
            let step = Step::SetPower(PowerWish::Deallocated, ShutdownRule::Graceful);
            Some(decide(step, "evicted, and wished down since"))
        }
        (
            PowerState::Creating
            | PowerState::Starting
            | PowerState::Running
            | PowerState::Stopping
            | PowerState::Stopped
            | PowerState::Deallocating
            | PowerState::Unknown,
            _,
        ) => power(snapshot, view.power),
    }
}

fn evicted(snapshot: &InstanceSnapshot, eviction: Eviction) -> Decision {
    let since = snapshot.now.duration_since(eviction.time).unsigned_abs();
    let left = snapshot.restore_for.and_then(|restore_for| restore_for.checked_sub(since));
    match (eviction.reason, left) {
        (EvictionReason::Capacity, Some(left)) if !left.is_zero() => {
            let reason = format!("evicted {} s ago, is tried again for {} s more", since.as_secs(), left.as_secs());
            match next_try(snapshot, eviction) {
                Some(rest) => (Step::Wait(Wait::Restore), reason, Some(rest.min(left))),
                None => (Step::Restore, reason, Some(RESTORE_EVERY.min(left))),
            }
        }
        (EvictionReason::Capacity | EvictionReason::Price | EvictionReason::Simulated, _) => {
            decide(Step::Wait(Wait::Evicted), said(eviction))
        }
    }
}

/// How long until it is tried again; none where it is time. The last refusal is recorded, so that nothing else that wakes a
/// VM makes it try sooner.
fn next_try(snapshot: &InstanceSnapshot, eviction: Eviction) -> Option<Duration> {
    let refused_at = record(snapshot, eviction)?.restore_refused_at.as_ref()?.0;
    let waited = snapshot.now.duration_since(refused_at).unsigned_abs();
    RESTORE_EVERY.checked_sub(waited).filter(|rest| !rest.is_zero())
}

/// The record of this eviction: status keeps whole seconds.
pub(crate) fn record(snapshot: &InstanceSnapshot, eviction: Eviction) -> Option<&EvictionStatus> {
    snapshot.status.eviction.as_ref().filter(|record| record.time.0.as_second() == eviction.time.as_second())
}

/// Why a VM has no hardware, and what gets it back.
pub(crate) const fn said(eviction: Eviction) -> &'static str {
    match eviction.reason {
        EvictionReason::Capacity => "evicted, its capacity was needed; the operation Start gets it back",
        EvictionReason::Price => "evicted, its price rose above maxPrice; the operation Start gets it back",
        EvictionReason::Simulated => "evicted at request; the operation Start gets it back",
    }
}

/// A VM without hardware takes another maximum price before it is started with the old one.
pub(super) fn price_first(model: &ModelView, view: &InstanceView) -> Option<Decision> {
    if view.power != PowerState::Deallocated || view.host.is_some() {
        return None;
    }
    let differences = diff(model, view);
    let price = differences.differences.iter().find(|difference| difference.path == MAX_PRICE)?;
    Some(decide(Step::UpdateOnline(model.clone()), &price.to_string()))
}
