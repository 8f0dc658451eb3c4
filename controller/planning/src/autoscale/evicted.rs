//! Members that were evicted with policy Delete: the capacity of the set has dropped, and its wish has not (Azure: "Azure Spot Virtual
//! Machines for Virtual Machine Scale Sets").
//!
//! Whoever decided from the wish would write a number over itself, or make good for evictions by accident. So the wish follows what is
//! in force first, which makes no VM and takes none, and begins no cooldown; the next evaluation goes on from there.

use scaleset_crds::autoscale_setting::ScaleActionRecord;

use super::Change;
use crate::snapshot::SetCount;

/// The change that brings the wish to what evictions have left of it.
pub(super) fn followed(count: SetCount) -> Option<Change> {
    let (from, to) = count.lowered()?;
    let cause = format!("{} evicted with policy Delete", from - to);
    Some(Change { from, to, cause, cooldown: None })
}

/// Whether what is on record is such a change and is still the one to make.
pub(super) fn stands(record: &ScaleActionRecord, count: SetCount) -> bool {
    count.lowered() == Some((record.from, record.to))
}
