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

/// When that of a repair ends that did not come up: each further try to boot the VM is a change of its hardware, and no repair.
pub(super) fn end_of_repair(member: &Member, policy: &RepairPolicy) -> Option<Timestamp> {
    member.repair.as_ref().map(|mark| mark.since + policy.grace)
}

/// Whether that of its repair is over; never, where nothing repairs it.
pub(super) fn is_over_of_repair(member: &Member, policy: &RepairPolicy, now: Timestamp) -> bool {
    end_of_repair(member, policy).is_some_and(|end| end <= now)
}

/// When that of a repair ends whose new VM has no hardware yet: it begins when the repair was decided.
pub(super) fn end_unseen(member: &Member, policy: &RepairPolicy) -> Option<Timestamp> {
    let replacing = member.repair.as_ref().filter(|mark| mark.replaces.is_some() && member.report.os_disk.is_none());
    replacing.map(|mark| mark.since + policy.grace)
}
