//! What the status of a VM says of events that it was told of.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleset_crds::condition::Reason;
use scaleset_crds::scheduled_event::{
    EventSource, EventStatus, EventType, ResourceType, ScheduledEvent, UNKNOWN_DURATION_SECONDS,
};

use super::market;
use crate::instance::{disruption_said, drain, said};
use crate::status::{Truth, Verdict, whole_seconds};
use crate::view::{
    DisruptionCause, DisruptionNotice, HardwareView, InstanceView, NoticeStage, OperationState, TerminateNotice,
};

/// Every event that is not over.
pub(super) fn events(view: &InstanceView) -> Vec<ScheduledEvent> {
    let preempt = view.preempt_notice.as_ref().map(market::preempt);
    let disruption = view.disruption_notice.as_ref().map(disruption);
    preempt.into_iter().chain(disruption).chain(view.terminate_notice.as_ref().map(terminate)).collect()
}

/// Whatever is done to the hosts is the platform's; an OS disk is replaced at somebody's wish, and operations are one.
fn disruption(notice: &DisruptionNotice) -> ScheduledEvent {
    let DisruptionNotice { event_id, event_type, cause, not_before, stage, operation: _, duration_seconds } = notice;
    let (event_status, not_before) = match stage {
        NoticeStage::Scheduled | NoticeStage::Approved => {
            (EventStatus::Scheduled, Some(Time(whole_seconds(*not_before))))
        }
        NoticeStage::Started => (EventStatus::Started, None),
    };
    ScheduledEvent {
        event_id: event_id.clone(),
        event_type: *event_type,
        resource_type: ResourceType::VirtualMachine,
        event_status,
        not_before,
        event_source: match cause {
            DisruptionCause::Maintenance | DisruptionCause::HardwareFailure => EventSource::Platform,
            DisruptionCause::OsImage | DisruptionCause::Operation => EventSource::User,
        },
        duration_in_seconds: duration_seconds.unwrap_or(UNKNOWN_DURATION_SECONDS),
        description: Some(cause.describe().to_owned()),
        approved: *stage == NoticeStage::Approved,
    }
}

/// A deletion is somebody's wish. When it begins is told until it has begun (Azure: Scheduled Events, `NotBefore`).
fn terminate(notice: &TerminateNotice) -> ScheduledEvent {
    let TerminateNotice { event_id, not_before, stage } = notice;
    let (event_status, not_before) = match stage {
        NoticeStage::Scheduled | NoticeStage::Approved => {
            (EventStatus::Scheduled, Some(Time(whole_seconds(*not_before))))
        }
        NoticeStage::Started => (EventStatus::Started, None),
    };
    ScheduledEvent {
        event_id: event_id.clone(),
        event_type: EventType::Terminate,
        resource_type: ResourceType::VirtualMachine,
        event_status,
        not_before,
        event_source: EventSource::User,
        duration_in_seconds: UNKNOWN_DURATION_SECONDS,
        description: None,
        approved: *stage == NoticeStage::Approved,
    }
}

/// That its host is being maintained, or has failed.
pub(super) fn disturbed(hardware: &HardwareView) -> Option<Verdict> {
    let HardwareView::Present(view) = hardware else { return None };
    let notice = view.disturbance()?;
    Some(Verdict::new(Truth::False, Reason::HostMaintenance, disruption_said(notice)))
}

/// Why a VM does not have the model yet that it follows.
pub(super) fn updating(view: &InstanceView) -> Verdict {
    let announced = view.awaited_replacement().map(disruption_said);
    let message = announced.unwrap_or_else(|| "the model that it follows is being applied".to_owned());
    Verdict::new(Truth::False, Reason::Updating, message)
}

/// What is waited for while a VM goes.
pub(super) fn leaving(view: &InstanceView) -> String {
    let released = || "the hardware is being released".to_owned();
    let draining = view.drained_at.filter(|_| view.operation != OperationState::Deleting);
    view.awaited_notice().map(said).or_else(|| draining.map(drain::said)).unwrap_or_else(released)
}
