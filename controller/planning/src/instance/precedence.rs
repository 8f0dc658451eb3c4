//! Which of several requests a VM carries out now: one at a time.
//!
//! An approval of a scheduled event is about what happens next, and goes before whatever else is asked. What people ask for
//! goes by age. A repair comes last, unless the hardware is at it already: it is recorded before anything else is done.

use crate::snapshot::{Asker, InstanceRequest, InstanceSnapshot, RequestedOperation};
use crate::view::HardwareView;

/// How soon a request has its turn, the soonest first; of the same turn, the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    RepairUnderWay,
    Approval,
    Operation,
    Repair,
}

/// The request that is carried out, of those that have not ended.
pub(super) fn chosen(snapshot: &InstanceSnapshot) -> Option<&RequestedOperation> {
    // Of equals, the first is the least.
    snapshot.requests.iter().min_by_key(|request| turn(snapshot, request))
}

fn turn(snapshot: &InstanceSnapshot, requested: &RequestedOperation) -> Turn {
    match (requested.asked_by, requested.request) {
        (Asker::Repair, _) if is_last(snapshot, requested) => Turn::RepairUnderWay,
        (Asker::Repair, _) => Turn::Repair,
        (Asker::Operation, InstanceRequest::ApproveScheduledEvent) => Turn::Approval,
        (
            Asker::Operation,
            InstanceRequest::Start
            | InstanceRequest::PowerOff(_)
            | InstanceRequest::Deallocate
            | InstanceRequest::Restart
            | InstanceRequest::Redeploy
            | InstanceRequest::Reimage
            | InstanceRequest::ReimageAll
            | InstanceRequest::SimulateEviction,
        ) => Turn::Operation,
    }
}

/// Whether it is the last that the hardware has taken.
fn is_last(snapshot: &InstanceSnapshot, requested: &RequestedOperation) -> bool {
    match &snapshot.hardware {
        HardwareView::Present(view) => view.last_operation.as_ref() == Some(&requested.uid),
        HardwareView::Absent | HardwareView::Unknown { message: _ } => false,
    }
}
