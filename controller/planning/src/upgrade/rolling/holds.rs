//! What keeps an upgrade from beginning anything more.

use scaleset_crds::condition::Reason;

use super::standing::Census;
use super::{OUTDATED, RollingDecision, RollingInput, Target, image};
use crate::plan::Hold;
use crate::snapshot::UpgradeSwitch;
use crate::upgrade::{Outdated, only_unborn, refusal};

/// A change that costs more than the ceiling is not started on anybody who has a VM.
pub(super) fn refuse(input: &RollingInput<'_>, waiting: &[Outdated<'_>], decision: &mut RollingDecision) -> bool {
    let Some(refusal) = refusal(&input.upgrade, waiting) else { return false };
    let refusal = match input.target {
        Target::Model => refusal,
        Target::Image(_) => Hold {
            reason: Reason::OSUpgradeWaits,
            message: refusal.message.replacen(OUTDATED, image::OUTDATED, 1),
            ..refusal
        },
    };
    decision.decision.actions.extend(only_unborn(&input.upgrade, waiting));
    decision.decision.holds.push(refusal);
    true
}

/// Nothing begins in a set that is paused.
pub(super) fn hold_paused(input: &RollingInput<'_>, waiting: usize, decision: &mut RollingDecision) -> bool {
    let paused = input.upgrade.switch == UpgradeSwitch::Paused;
    if paused {
        let message = format!("{}, upgradePolicy.paused is true", input.target.outdated_text());
        hold(decision, Reason::Paused, waiting, &message);
    }
    paused
}

/// Nobody decides on members that nobody can see.
pub(super) fn hold_unseen(census: &Census<'_>, waiting: usize, decision: &mut RollingDecision) -> bool {
    let unseen = census.unseen();
    if unseen > 0 {
        let message = format!("outdated, the hardware of {unseen} members does not answer");
        hold(decision, Reason::HardwareUnavailable, waiting, &message);
    }
    unseen > 0
}

pub(super) fn hold(decision: &mut RollingDecision, reason: Reason, count: usize, message: &str) {
    if count > 0 {
        decision.decision.holds.push(Hold { reason, count, message: format!("{count} {message}") });
    }
}
