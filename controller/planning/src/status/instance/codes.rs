//! The instance view's states as Azure's codes: `Category/value`, with severity and a name for people.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleset_crds::instance::{InstanceViewStatus, VirtualMachineHealth};
use scaleset_crds::vocabulary::{HealthState, ProvisioningState, StatusLevel};

use super::super::{cut, whole_seconds};
use crate::view::{InstanceView, OperationState, ReportedHealth};

pub(super) fn health(health: ReportedHealth) -> VirtualMachineHealth {
    let ReportedHealth { state, since } = health;
    let level = match state {
        HealthState::Initializing | HealthState::Healthy => StatusLevel::Info,
        HealthState::Unhealthy => StatusLevel::Error,
        HealthState::Unknown => StatusLevel::Warning,
    };
    VirtualMachineHealth {
        status: InstanceViewStatus {
            code: format!("HealthState/{}", state.code()),
            level,
            display_status: format!("{state:?}"),
            message: None,
            time: Some(Time(whole_seconds(since))),
        },
    }
}

pub(super) fn statuses(view: &InstanceView, provisioning: ProvisioningState) -> Vec<InstanceViewStatus> {
    let provisioning = provisioning.code();
    let time = Some(Time(whole_seconds(view.changed_at)));
    let (code, level, message) = match &view.operation {
        OperationState::Failed { code, message, attempts: _ } => {
            (format!("ProvisioningState/{provisioning}/{code}"), StatusLevel::Error, Some(cut(message)))
        }
        OperationState::Creating | OperationState::Updating | OperationState::Succeeded | OperationState::Deleting => {
            (format!("ProvisioningState/{provisioning}"), StatusLevel::Info, None)
        }
    };
    let power = view.power.code();
    vec![
        InstanceViewStatus {
            code,
            level,
            display_status: format!("Provisioning {provisioning}"),
            message,
            time: time.clone(),
        },
        InstanceViewStatus {
            code: format!("PowerState/{power}"),
            level: StatusLevel::Info,
            display_status: format!("VM {power}"),
            message: None,
            time,
        },
    ]
}
