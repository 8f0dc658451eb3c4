//! From what the hardware reports to the planner's instance view.

use crate::error::told;
use scaleset_crds::reservation_group::InstanceReservation;
use scaleset_crds::scheduled_event::EventType;
use scaleset_hardware::machine::{ApplicationHealthReport, ExtensionState};
use scaleset_hardware::{HardwareError, Machine, MachineReservation, Placement, Provisioning};
use scaleset_planning::view::{
    DisruptionCause, DisruptionNotice, Eviction, HardwareView, InstanceView, NoticeStage, OperationState,
    PreemptNotice, QuotaRule, ReportedHealth, TerminateNotice,
};

/// Unknown where the hardware did not answer, absent only where it is sure.
pub(super) fn hardware_view(observed: &Result<Option<Machine>, HardwareError>) -> HardwareView {
    match observed {
        Ok(Some(machine)) => present(machine),
        Ok(None) => HardwareView::Absent,
        Err(error) => HardwareView::Unknown { message: told(error) },
    }
}

pub(super) fn present(machine: &Machine) -> HardwareView {
    let machine = machine.clone();
    let Placement { location: _, zone, platform_fault_domain, update_domain, placement_group } = machine.placement;
    let extensions = machine.extensions.into_iter().map(|(name, state)| (name, extension_code(state))).collect();
    HardwareView::Present(Box::new(InstanceView {
        vm_id: machine.vm_id,
        computer_name: machine.computer_name,
        revision: machine.model_revision,
        model: machine.model,
        operation: operation(machine.provisioning, machine.failed_attempts),
        last_operation: machine.last_operation,
        power: machine.power,
        changed_at: machine.changed_at,
        zone,
        platform_fault_domain,
        update_domain,
        placement_group,
        set_uid: machine.owner.set_uid.clone(),
        quota: match machine.quota {
            scaleset_hardware::QuotaRule::Counted => QuotaRule::Counted,
            scaleset_hardware::QuotaRule::Exempt => QuotaRule::Exempt,
        },
        host: machine.host,
        sizes_after_deallocation: machine.sizes_after_deallocation,
        os_name: machine.os_name,
        os_version: machine.os_version,
        vm_agent_version: machine.vm_agent_version,
        image_version: machine.image_version,
        disks: machine.disks,
        former_os_disk: machine.former_os_disk,
        extensions,
        reported_health: machine.application_health.map(|report| {
            let ApplicationHealthReport { state, since } = report;
            ReportedHealth { state, since }
        }),
        private_ip_address: machine.private_ip_address,
        public_ip_address: machine.public_ip_address,
        capacity_reservation: reservation(&machine.owner.namespace, machine.capacity_reservation),
        pools: machine.backend_pools.into_iter().map(|member| (member.load_balancer, member.state)).collect(),
        drained_at: machine.drain.map(|drain| drain.drained_at),
        preempt_notice: machine.preempt_notice.map(|notice| {
            let scaleset_hardware::PreemptNotice { event_id, not_before, reason } = notice;
            PreemptNotice { event_id, not_before, reason }
        }),
        disruption_notice: machine.disruption_notice.map(disruption),
        terminate_notice: machine.terminate_notice.map(|notice| {
            let scaleset_hardware::TerminateNotice { event_id, not_before, stage } = notice;
            TerminateNotice { event_id, not_before, stage: notice_stage(stage) }
        }),
        eviction: machine.eviction.map(|eviction| {
            let scaleset_hardware::Eviction { time, reason } = eviction;
            Eviction { time, reason }
        }),
    }))
}

/// A group of another namespace is told with it.
fn reservation(own_namespace: &str, reservation: Option<MachineReservation>) -> Option<InstanceReservation> {
    let MachineReservation { group_namespace, group, reservation, state } = reservation?;
    let group = if group_namespace == own_namespace { group } else { format!("{group_namespace}/{group}") };
    Some(InstanceReservation { group, reservation, state })
}

fn operation(provisioning: Provisioning, attempts: u32) -> OperationState {
    match provisioning {
        Provisioning::Creating => OperationState::Creating,
        Provisioning::Updating => OperationState::Updating,
        Provisioning::Succeeded => OperationState::Succeeded,
        Provisioning::Failed { code, message } => OperationState::Failed { code, message, attempts },
        Provisioning::Deleting => OperationState::Deleting,
    }
}

const fn extension_code(state: ExtensionState) -> &'static str {
    match state {
        ExtensionState::Transitioning => "ProvisioningState/transitioning",
        ExtensionState::Succeeded => "ProvisioningState/succeeded",
        ExtensionState::Failed => "ProvisioningState/failed",
    }
}

fn disruption(notice: scaleset_hardware::DisruptionNotice) -> DisruptionNotice {
    let scaleset_hardware::DisruptionNotice {
        event_id,
        disruption,
        cause,
        not_before,
        stage,
        operation,
        duration_seconds,
    } = notice;
    DisruptionNotice {
        event_id,
        event_type: match disruption {
            scaleset_hardware::Disruption::Freeze => EventType::Freeze,
            scaleset_hardware::Disruption::Reboot => EventType::Reboot,
            scaleset_hardware::Disruption::Redeploy => EventType::Redeploy,
        },
        cause: match cause {
            scaleset_hardware::DisruptionCause::Maintenance => DisruptionCause::Maintenance,
            scaleset_hardware::DisruptionCause::HardwareFailure => DisruptionCause::HardwareFailure,
            scaleset_hardware::DisruptionCause::OsImage => DisruptionCause::OsImage,
            scaleset_hardware::DisruptionCause::Operation => DisruptionCause::Operation,
        },
        not_before,
        stage: notice_stage(stage),
        operation,
        duration_seconds,
    }
}

const fn notice_stage(stage: scaleset_hardware::NoticeStage) -> NoticeStage {
    match stage {
        scaleset_hardware::NoticeStage::Scheduled => NoticeStage::Scheduled,
        scaleset_hardware::NoticeStage::Approved => NoticeStage::Approved,
        scaleset_hardware::NoticeStage::Started => NoticeStage::Started,
    }
}
