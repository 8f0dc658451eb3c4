//! The state of the service: by the policy, by what a person asks for, and by its own failures.
//!
//! Source: Azure's "Automatic instance repairs" (viewing and updating the service state).

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleset_crds::repairs::{
    OrchestrationService, OrchestrationServiceName, OrchestrationServiceState, ServiceAction, ServiceSuspender,
};

use crate::snapshot::{RepairSwitch, ScaleSetSnapshot, SetOperation, SetRequest};
use crate::status::{cut, whole_seconds};

/// The entry of automatic repairs.
pub(super) fn automatic_repairs(services: &[OrchestrationService]) -> Option<&OrchestrationService> {
    services.iter().find(|service| service.service_name == OrchestrationServiceName::AutomaticRepairs)
}

/// The services of a set before anything is decided: what the policy says, and what a person has asked for since.
pub(crate) fn settled(snapshot: &ScaleSetSnapshot) -> Vec<OrchestrationService> {
    let before = automatic_repairs(&snapshot.status.orchestration_services);
    let was_suspended = before.filter(|before| before.service_state == OrchestrationServiceState::Suspended);
    let asked = snapshot.operations.iter().find_map(asked);
    let (state, suspended_by) = match (snapshot.set.repairs.switch, asked, was_suspended) {
        (RepairSwitch::Absent, _, _) => return Vec::new(),
        (RepairSwitch::Off, _, _) => (OrchestrationServiceState::NotRunning, None),
        (RepairSwitch::On, Some(ServiceAction::Resume), _) | (RepairSwitch::On, None, None) => {
            (OrchestrationServiceState::Running, None)
        }
        (RepairSwitch::On, Some(ServiceAction::Suspend) | None, Some(before)) => {
            (OrchestrationServiceState::Suspended, before.suspended_by)
        }
        (RepairSwitch::On, Some(ServiceAction::Suspend), None) => {
            (OrchestrationServiceState::Suspended, Some(ServiceSuspender::User))
        }
    };
    let same = before.filter(|before| before.service_state == state);
    vec![OrchestrationService {
        service_name: OrchestrationServiceName::AutomaticRepairs,
        service_state: state,
        suspended_by,
        last_status_change_time: same
            .map_or_else(|| Time(whole_seconds(snapshot.now)), |same| Time(same.last_status_change_time.0)),
        message: same.and_then(|same| same.message.clone()),
    }]
}

fn asked(operation: &SetOperation) -> Option<ServiceAction> {
    match operation.request {
        SetRequest::SetServiceState(action) => Some(action),
        SetRequest::ManualUpgrade { .. }
        | SetRequest::Delete { .. }
        | SetRequest::StartRollingUpgrade { .. }
        | SetRequest::CancelRollingUpgrade { .. } => None,
    }
}

/// The service suspends itself.
pub(super) fn suspend(services: &mut [OrchestrationService], now: Timestamp, why: &str) {
    for service in services {
        let OrchestrationService { service_name: _, service_state, suspended_by, last_status_change_time, message } =
            service;
        *service_state = OrchestrationServiceState::Suspended;
        *suspended_by = Some(ServiceSuspender::Platform);
        *last_status_change_time = Time(whole_seconds(now));
        *message = Some(cut(why));
    }
}
