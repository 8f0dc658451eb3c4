//! What sets approvals of scheduled events apart: they are also about VMs that are going, and such a VM that is gone was
//! let go, which is what was asked for.
//!
//! Source: Azure's "Scheduled Events" (`StartRequests`). That all events of the named VMs are meant where none is named is
//! ours.

use scaleset_crds::condition::Reason;
use scaleset_crds::operation::{OperationState, OperationType};

use super::InstanceProgress;
use crate::snapshot::{Failure, OperationMember, OperationScope, OperationSnapshot, OperationTargetFacts};

/// Whether it approves an event.
pub(super) fn is_approval(snapshot: &OperationSnapshot) -> bool {
    snapshot.spec.operation_type == OperationType::ApproveScheduledEvent
}

fn event_id(snapshot: &OperationSnapshot) -> Option<&str> {
    snapshot.spec.parameters.as_ref()?.event_id.as_deref()
}

/// Whether a member of the set is meant: by its id, or because it has an event; the named one, where one is named.
pub(super) fn is_meant(snapshot: &OperationSnapshot, scope: &OperationScope, member: &OperationMember) -> bool {
    let events = &member.scheduled_events;
    match (scope, event_id(snapshot)) {
        (OperationScope::All, None) => !events.is_empty(),
        (OperationScope::All, Some(wanted)) => events.iter().any(|event| event == wanted),
        (OperationScope::These(ids), None) => ids.contains(&member.instance_id),
        (OperationScope::These(ids), Some(wanted)) => {
            ids.contains(&member.instance_id) && events.iter().any(|event| event == wanted)
        }
    }
}

/// That nobody who is meant has the event that is named.
pub(super) fn unknown_event(snapshot: &OperationSnapshot) -> Option<String> {
    let wanted = event_id(snapshot).filter(|_| is_approval(snapshot))?;
    let scope = super::scope(snapshot);
    let members = match &snapshot.target {
        OperationTargetFacts::Missing => return None,
        OperationTargetFacts::ScaleSet(set) => set.members.as_slice(),
        OperationTargetFacts::FlexVM(vm) => std::slice::from_ref(vm.as_ref()),
    };
    let known = members.iter().any(|member| is_meant(snapshot, &scope, member));
    (!known).then(|| format!("parameters.eventId: no VM that is meant has the scheduled event {wanted}"))
}

/// The same as a reason not to begin: it is over, or never was.
pub(super) fn refusal(snapshot: &OperationSnapshot) -> Option<Failure> {
    let message = format!("spec.{}", unknown_event(snapshot)?);
    Some(Failure { reason: Reason::InvalidParameter, message })
}

/// How far it is on one VM.
pub(super) fn progress(snapshot: &OperationSnapshot, member: Option<&OperationMember>) -> InstanceProgress {
    let Some(member) = member else { return InstanceProgress::Succeeded };
    let record = member.operations.iter().find(|operation| operation.uid == snapshot.uid);
    match record.map(|record| (record.state, record)) {
        None | Some((OperationState::InProgress, _)) => InstanceProgress::UnderWay(None),
        Some((OperationState::Succeeded, _)) => InstanceProgress::Succeeded,
        Some((OperationState::Failed, record)) => InstanceProgress::Failed(Failure {
            reason: Reason::from_code(record.code.as_deref().unwrap_or_default()),
            message: record.message.clone().unwrap_or_default(),
        }),
    }
}
