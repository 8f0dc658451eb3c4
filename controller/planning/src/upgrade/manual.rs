//! Manual: nothing happens to a member that exists (Azure: upgrade policy modes).

use scaleset_crds::condition::Reason;

use super::{UpgradeDecision, UpgradeInput, outdated};
use crate::plan::Hold;

/// Holds every outdated member.
pub fn decide(input: &UpgradeInput<'_>) -> UpgradeDecision {
    let count = outdated(input).len();
    if count == 0 {
        return UpgradeDecision::default();
    }
    let message = format!("{count} outdated, upgradePolicy.mode is Manual");
    UpgradeDecision { actions: Vec::new(), holds: vec![Hold { reason: Reason::ManualUpgradePolicy, count, message }] }
}
