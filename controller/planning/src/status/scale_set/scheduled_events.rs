//! What members of a set were told of, counted, and what those hold that wait for their deletion.
//!
//! The incarnation is a record: that something has changed can be told from the digest, how often it has, from nothing.
//! Source: Azure's "Scheduled Events" (`DocumentIncarnation`).

use jiff::Timestamp;
use scaleset_crds::scheduled_event::{EventStatus, EventType, ScheduledEvent, ScheduledEventsSummary};

use crate::naming::hex_digest;
use crate::snapshot::{Member, ScaleSetSnapshot};
use crate::wording::some_names;

const DIGEST_CHARACTERS: usize = 16;

/// None before the first event.
pub(super) fn summary(snapshot: &ScaleSetSnapshot) -> Option<ScheduledEventsSummary> {
    let mut events: Vec<(&str, &ScheduledEvent)> = snapshot
        .members
        .iter()
        .flat_map(|member| member.report.scheduled_events.iter().map(|event| (member.uid.as_str(), event)))
        .collect();
    events.sort_by(|(uid, event), (other_uid, other)| (uid, &event.event_id).cmp(&(other_uid, &other.event_id)));
    let before = snapshot.status.scheduled_events.clone();
    if before.is_none() && events.is_empty() {
        return None;
    }
    let content = serde_json::to_string(&events).expect("events are plain data");
    let digest = hex_digest(&content)[..DIGEST_CHARACTERS].to_owned();
    let incarnation = match before {
        Some(before) if before.digest == digest => before.document_incarnation,
        Some(before) => before.document_incarnation.saturating_add(1),
        None => 1,
    };
    let count = i32::try_from(events.len()).unwrap_or(i32::MAX);
    Some(ScheduledEventsSummary { document_incarnation: incarnation, count, digest })
}

/// Who was told of a deletion that has not begun, and when the first of these notices ends; none where nobody waits.
pub(super) fn leaving_with_notice(members: &[Member]) -> Option<String> {
    let waits = |event: &ScheduledEvent| {
        event.event_type == EventType::Terminate && event.event_status == EventStatus::Scheduled
    };
    let told: Vec<(&str, Option<Timestamp>)> = members
        .iter()
        .filter_map(|member| {
            let event = member.report.scheduled_events.iter().find(|event| waits(event))?;
            Some((member.name.as_str(), event.not_before.as_ref().map(|time| time.0)))
        })
        .collect();
    let names: Vec<&str> = told.iter().map(|(name, _)| *name).collect();
    let first = told.iter().filter_map(|(_, not_before)| *not_before).min();
    let until = first.map(|first| format!(", the first until {first}")).unwrap_or_default();
    (!told.is_empty())
        .then(|| format!("{} wait for their notice of deletion ({}){until}", told.len(), some_names(&names)))
}
