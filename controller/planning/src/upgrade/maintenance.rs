//! Members whose hosts are maintained, or that restart for another reason that is not ours: they spend of the allowance,
//! since they are not available, and no upgrade starts on them until that is over.
//!
//! Source: Azure's "Scheduled Events". That upgrades wait for it is ours (`docs/decisions`).

use scaleset_crds::condition::Reason;

use super::Outdated;
use crate::plan::Hold;
use crate::wording::some_names;

/// Those on which an upgrade may start, and those whose event runs.
pub(crate) fn apart<'pass>(waiting: &[Outdated<'pass>]) -> (Vec<Outdated<'pass>>, Vec<Outdated<'pass>>) {
    waiting.iter().cloned().partition(|outdated| !outdated.member.is_disturbed())
}

/// Who is left until the event is over; none where nobody is.
pub(crate) fn hold(disturbed: &[Outdated<'_>], outdated: &str) -> Option<Hold> {
    let names: Vec<&str> = disturbed.iter().map(|outdated| outdated.member.name.as_str()).collect();
    let message = format!("{} {outdated}, a scheduled event runs on them: {}", names.len(), some_names(&names));
    (!names.is_empty()).then_some(Hold { reason: Reason::HostMaintenance, count: names.len(), message })
}
