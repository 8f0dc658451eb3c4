//! What the status of a VM says of events that it was told of.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleset_crds::scheduled_event::{EventSource, EventStatus, EventType, ScheduledEvent};

use super::market;
use crate::instance::drain;
use crate::instance::scheduled_event::said;
use crate::status::whole_seconds;
use crate::view::{InstanceView, NoticeStage, OperationState, TerminateNotice};

/// Every event that is not over.
pub(super) fn events(view: &InstanceView) -> Vec<ScheduledEvent> {
    let preempt = view.preempt_notice.as_ref().map(market::preempt);
    preempt.into_iter().chain(view.terminate_notice.as_ref().map(terminate)).collect()
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
        event_status,
        not_before,
        event_source: EventSource::User,
    }
}

/// What is waited for while a VM goes.
pub(super) fn leaving(view: &InstanceView) -> String {
    let released = || "the hardware is being released".to_owned();
    let draining = view.drained_at.filter(|_| view.operation != OperationState::Deleting);
    view.awaited_notice().map(said).or_else(|| draining.map(drain::said)).unwrap_or_else(released)
}
