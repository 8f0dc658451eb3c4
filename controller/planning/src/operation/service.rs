//! The operation that suspends or resumes a service of a set: whether it can, and whether the set has done it.
//!
//! Source: Azure's REST reference of `SetOrchestrationServiceState`.

use scaleset_crds::condition::Reason;
use scaleset_crds::repairs::{OrchestrationServiceName, OrchestrationServiceState, ServiceAction};

use super::RollOutcome;
use super::progress::gone;
use crate::snapshot::{Failure, MemberLife, OperationSet, OperationSnapshot, RepairSwitch};

/// Only what runs can be suspended, and only what would run resumed.
pub(super) fn refusal(set: &OperationSet) -> Option<Failure> {
    let message = match set.repairs {
        RepairSwitch::On => return None,
        RepairSwitch::Off => "automaticRepairsPolicy.enabled of the set is false, set it to true",
        RepairSwitch::Absent => "the set has no automaticRepairsPolicy",
    };
    Some(Failure { reason: Reason::OperationNotAllowed, message: message.to_owned() })
}

/// It is done when the set says so.
pub(super) fn progress(snapshot: &OperationSnapshot, set: &OperationSet) -> RollOutcome {
    if set.life == MemberLife::Terminating {
        return RollOutcome::Failed(gone("the set"));
    }
    if let Some(Failure { reason: _, message }) = refusal(set) {
        return RollOutcome::Failed(Failure { reason: Reason::OperationPreempted, message });
    }
    let action = snapshot.spec.parameters.as_ref().and_then(|parameters| parameters.action);
    let wished = match action {
        Some(ServiceAction::Suspend) => OrchestrationServiceState::Suspended,
        // The schema lets no operation through that does not say.
        Some(ServiceAction::Resume) | None => OrchestrationServiceState::Running,
    };
    let mut services = set.orchestration_services.iter();
    let service = services.find(|service| service.service_name == OrchestrationServiceName::AutomaticRepairs);
    match service.map(|service| service.service_state) {
        Some(state) if state == wished => RollOutcome::Succeeded(format!("automatic repairs are {state:?}")),
        Some(state) => RollOutcome::UnderWay(format!("automatic repairs are {state:?}")),
        None => RollOutcome::UnderWay("the set has not been looked at yet".to_owned()),
    }
}
