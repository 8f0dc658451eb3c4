//! Members that were told that their OS disk is replaced, and run on until that is approved or its time is over.
//!
//! Source: Azure's REST reference of virtual machine scale sets (`osImageNotificationProfile`).

use jiff::Timestamp;
use scaleset_crds::condition::Reason;
use scaleset_crds::scheduled_event::{EventSource, EventStatus, EventType, ScheduledEvent};

use crate::plan::Hold;
use crate::snapshot::Member;
use crate::wording::some_names;

/// Who waits, how to end it, and when the first of the notices is over.
pub(crate) fn hold(members: &[Member]) -> Option<Hold> {
    let told: Vec<(&str, Option<Timestamp>)> = members
        .iter()
        .filter(|member| member.is_live())
        .filter_map(|member| Some((member.name.as_str(), awaited(member)?.not_before.as_ref().map(|time| time.0))))
        .collect();
    let names: Vec<&str> = told.iter().map(|(name, _)| *name).collect();
    let first = told.iter().filter_map(|(_, not_before)| *not_before).min();
    let until = first.map(|first| format!(", or until {first} scenario time for the first")).unwrap_or_default();
    (!told.is_empty()).then(|| Hold {
        reason: Reason::ImageNotice,
        count: told.len(),
        message: format!(
            "{} told that their OS disk is replaced ({}), wait for the operation ApproveScheduledEvent{until}",
            told.len(),
            some_names(&names)
        ),
    })
}

/// Hosts are restarted by the platform, OS disks are replaced at somebody's wish.
fn awaited(member: &Member) -> Option<&ScheduledEvent> {
    member.report.scheduled_events.iter().find(|event| {
        let wished = event.event_source == EventSource::User && event.event_type == EventType::Reboot;
        wished && event.event_status == EventStatus::Scheduled
    })
}
