//! Manual: nothing happens to a VM that exists (Azure: upgrade policy modes). A member that has no VM yet is made from
//! the newest model like any new one.

use scaleset_crds::condition::Reason;

use super::{Outdated, UpgradeDecision, UpgradeInput, outdated};
use crate::plan::Hold;

/// Holds every outdated member that has a VM.
pub fn decide(input: &UpgradeInput<'_>) -> UpgradeDecision {
    let (unborn, waiting): (Vec<_>, Vec<_>) = outdated(input).into_iter().partition(Outdated::is_unborn);
    let count = waiting.len();
    let message = format!("{count} outdated, upgradePolicy.mode is Manual");
    let hold = Hold { reason: Reason::ManualUpgradePolicy, count, message };
    UpgradeDecision {
        actions: unborn.iter().map(|outdated| outdated.take_newest(input)).collect(),
        holds: if count > 0 { vec![hold] } else { Vec::new() },
    }
}
