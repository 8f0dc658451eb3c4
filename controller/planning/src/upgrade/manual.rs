//! Manual: nothing happens to a VM that exists (Azure: upgrade policy modes). A member that has no VM yet is made from
//! the newest model like any new one.

use scaleset_crds::condition::Reason;

use super::{Outdated, UpgradeDecision, UpgradeInput, only_unborn, outdated, refusal};
use crate::plan::Hold;
use crate::snapshot::Protection;

/// Holds every outdated member that has a VM, and says so where an upgrade by hand would be refused.
pub fn decide(input: &UpgradeInput<'_>) -> UpgradeDecision {
    let (protected, waiting): (Vec<_>, Vec<_>) =
        outdated(input).into_iter().partition(|outdated| outdated.member.protection == Protection::FromSetActions);
    let count = protected.iter().chain(&waiting).filter(|outdated| !Outdated::is_unborn(outdated)).count();
    let message = format!("{count} outdated, upgradePolicy.mode is Manual");
    let manual = Hold { reason: Reason::ManualUpgradePolicy, count, message };
    let manual = if count > 0 { Some(manual) } else { None };
    UpgradeDecision {
        actions: only_unborn(input, &waiting),
        holds: refusal(input, &waiting).into_iter().chain(manual).collect(),
    }
}
