//! What becomes of a VM whose last operation failed: the same again, later each time.

use std::time::Duration;

use scaleset_crds::condition::Reason;

use super::{Decision, Step, Wait, decide, differing, os_disk, seat};
use crate::snapshot::{InstanceSnapshot, ShutdownRule};
use crate::view::{InstanceView, ModelView};

const RETRY_FIRST: Duration = Duration::from_secs(30);
const RETRY_MAX: Duration = Duration::from_mins(10);

/// What failed is repeated 30 s after its first failure, then after twice as long each time, up to 10 min. A VM whose model
/// has changed since is tried at once: a good revision mends a bad one.
pub(super) fn retry(
    snapshot: &InstanceSnapshot,
    model: &ModelView,
    view: &InstanceView,
    code: &str,
    attempts: u32,
) -> Decision {
    let reason = format!("{code}, attempt {attempts} failed");
    if let Some(decision) = os_disk::replaced(snapshot, model, view) {
        return decision;
    }
    let (step, _, _) = repeated(snapshot, model, view, code);
    if model.revision != view.revision {
        return decide(step, &format!("{reason}, but the model has changed"));
    }
    let doublings = attempts.saturating_sub(1).min(10);
    let backoff = RETRY_FIRST.saturating_mul(1 << doublings).min(RETRY_MAX);
    let waited = snapshot.now.duration_since(view.changed_at).unsigned_abs();
    match backoff.checked_sub(waited) {
        Some(rest) if !rest.is_zero() => {
            let reason = format!("{reason}, next after {} s", backoff.as_secs());
            (Step::Wait(Wait::Backoff), reason, Some(rest))
        }
        Some(_) | None => decide(step, &reason),
    }
}

/// An OS that has never been well on what it runs gets a fresh disk: there is nothing on it to lose. One that was, is
/// restarted, a VM that did not start is started again, and anything else (an extension, mostly) is applied again.
fn repeated(snapshot: &InstanceSnapshot, model: &ModelView, view: &InstanceView, code: &str) -> Decision {
    let was_well = snapshot.status.healthy_on_revision.as_ref() == Some(&view.revision);
    let again = if code == Reason::OSProvisioningTimedOut.as_str() {
        if !was_well {
            return decide(Step::Reimage(model.clone()), "");
        }
        Step::UpdateWithRestart(model.clone())
    } else if code == Reason::VMStartTimedOut.as_str() {
        seat::set_power(snapshot, snapshot.power_wish, ShutdownRule::Graceful)
    } else {
        Step::UpdateOnline(model.clone())
    };
    differing(snapshot, model, view).unwrap_or_else(|| decide(again, ""))
}
