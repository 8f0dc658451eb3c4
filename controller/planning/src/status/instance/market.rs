//! What the status of a Spot VM says of the market: the notice of an eviction, tries to get it back, a price that waits.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleset_crds::scheduled_event::{
    EventSource, EventStatus, EventType, ResourceType, ScheduledEvent, UNKNOWN_DURATION_SECONDS,
};
use scaleset_crds::spot::{EvictionReason, EvictionStatus};

use super::InstanceOutcome;
use crate::instance::{Step, Wait, eviction};
use crate::snapshot::InstanceSnapshot;
use crate::status::{cut, whole_seconds};
use crate::view::diff::MAX_PRICE;
use crate::view::{Eviction, PreemptNotice, ViewDiff};

/// The notice as a scheduled event.
pub(super) fn preempt(notice: &PreemptNotice) -> ScheduledEvent {
    let PreemptNotice { event_id, not_before, reason } = notice;
    ScheduledEvent {
        event_id: event_id.clone(),
        event_type: EventType::Preempt,
        resource_type: ResourceType::VirtualMachine,
        event_status: EventStatus::Scheduled,
        not_before: Some(Time(whole_seconds(*not_before))),
        event_source: match reason {
            EvictionReason::Capacity | EvictionReason::Price => EventSource::Platform,
            EvictionReason::Simulated => EventSource::User,
        },
        duration_in_seconds: UNKNOWN_DURATION_SECONDS,
        description: None,
        approved: false,
    }
}

/// The eviction, and the last try to get the VM back that was refused: the one of this pass, or the recorded one.
pub(super) fn eviction(snapshot: &InstanceSnapshot, outcome: &InstanceOutcome, evicted: Eviction) -> EvictionStatus {
    let Eviction { time, reason } = evicted;
    let before = eviction::record(snapshot, evicted);
    let (restore_refused_at, restore_refusal) = match &outcome.restore_refusal {
        Some(refusal) => (Some(Time(whole_seconds(snapshot.now))), Some(cut(refusal))),
        None => {
            before.map(|before| (before.restore_refused_at.clone(), before.restore_refusal.clone())).unwrap_or_default()
        }
    };
    EvictionStatus { time: Time(whole_seconds(time)), reason, restore_refused_at, restore_refusal }
}

/// Why a VM has no hardware, and what gets it back: its set until then, or a person.
pub(super) fn said(snapshot: &InstanceSnapshot, step: &Step, outcome: &InstanceOutcome, evicted: Eviction) -> String {
    let until = snapshot.restore_for.map(|restore_for| whole_seconds(evicted.time + restore_for));
    match (step, until) {
        (Step::Restore | Step::Wait(Wait::Restore), Some(until)) => {
            let refusal = eviction(snapshot, outcome, evicted).restore_refusal;
            let refusal = refusal.map(|refusal| format!(": {refusal}")).unwrap_or_default();
            format!("evicted, its capacity was needed; tried again until {until} scenario time{refusal}")
        }
        (_, Some(_) | None) => eviction::said(evicted).to_owned(),
    }
}

/// Whether nothing else is pending.
pub(super) fn waits_for_deallocation(pending: &ViewDiff) -> bool {
    !pending.is_empty() && pending.differences.iter().all(|difference| difference.path == MAX_PRICE)
}
