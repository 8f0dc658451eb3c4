//! What members of a set were told of, counted.
//!
//! The incarnation is a record: that something has changed can be told from the digest, how often it has, from nothing.
//! Source: Azure's "Scheduled Events" (`DocumentIncarnation`).

use std::collections::BTreeSet;

use scaleset_crds::scheduled_event::{ScheduledEvent, ScheduledEventsSummary};

use crate::naming::hex_digest;
use crate::snapshot::ScaleSetSnapshot;

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
    let ids: BTreeSet<&str> = events.iter().map(|(_, event)| event.event_id.as_str()).collect();
    let count = i32::try_from(ids.len()).unwrap_or(i32::MAX);
    Some(ScheduledEventsSummary { document_incarnation: incarnation, count, digest })
}
