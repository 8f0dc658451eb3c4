//! The grace of a member: time since the end of its last change, and since it was made, in which it is not repaired.
//!
//! Azure: the grace period begins when a change of the VM has finished, and for every new VM, replacements among them.

use jiff::Timestamp;

use crate::snapshot::{Member, RepairPolicy};

/// When it ends; `None` while nobody has seen the member's hardware.
pub(super) fn end(member: &Member, policy: &RepairPolicy) -> Option<Timestamp> {
    let changed = member.report.changed_at?;
    let begun = member.repair.as_ref().map_or(changed, |mark| changed.max(mark.since));
    Some(begun + policy.grace)
}
