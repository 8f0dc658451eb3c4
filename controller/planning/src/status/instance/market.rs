//! What the status of a Spot VM says of the market: the notice of an eviction, and a price that waits.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleset_crds::scheduled_event::{EventSource, EventStatus, EventType, ScheduledEvent};
use scaleset_crds::spot::EvictionReason;

use crate::status::whole_seconds;
use crate::view::diff::MAX_PRICE;
use crate::view::{PreemptNotice, ViewDiff};

/// The notice as a scheduled event.
pub(super) fn preempt(notice: &PreemptNotice) -> ScheduledEvent {
    let PreemptNotice { event_id, not_before, reason } = notice;
    ScheduledEvent {
        event_id: event_id.clone(),
        event_type: EventType::Preempt,
        event_status: EventStatus::Scheduled,
        not_before: Some(Time(whole_seconds(*not_before))),
        event_source: match reason {
            EvictionReason::Capacity | EvictionReason::Price => EventSource::Platform,
            EvictionReason::Simulated => EventSource::User,
        },
    }
}

/// Whether nothing else is pending.
pub(super) fn waits_for_deallocation(pending: &ViewDiff) -> bool {
    !pending.is_empty() && pending.differences.iter().all(|difference| difference.path == MAX_PRICE)
}
