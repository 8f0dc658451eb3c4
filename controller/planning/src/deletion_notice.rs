//! Members that were told of their deletion and have not gone: nothing is done to them, and they hold what they have.
//!
//! Source: Azure's "Terminate notification for Azure Virtual Machine Scale Set instances".

use jiff::Timestamp;
use scaleset_crds::condition::Reason;
use scaleset_crds::scheduled_event::{EventStatus, EventType, ScheduledEvent};

use crate::plan::Hold;
use crate::snapshot::Member;
use crate::wording::some_names;

/// Who waits, how to end it, and when the first of the notices is over.
pub(crate) fn hold(members: &[Member]) -> Option<Hold> {
    let told: Vec<(&str, Option<Timestamp>)> = members
        .iter()
        .filter_map(|member| Some((member.name.as_str(), awaited(member)?.not_before.as_ref().map(|time| time.0))))
        .collect();
    let names: Vec<&str> = told.iter().map(|(name, _)| *name).collect();
    let first = told.iter().filter_map(|(_, not_before)| *not_before).min();
    let until = first.map(|first| format!(", or until {first} scenario time for the first")).unwrap_or_default();
    (!told.is_empty()).then(|| Hold {
        reason: Reason::DeletionNotice,
        count: told.len(),
        message: format!(
            "{} told of their deletion ({}), wait for the operation ApproveScheduledEvent{until}",
            told.len(),
            some_names(&names)
        ),
    })
}

/// How many of them there are.
pub(crate) fn count(members: &[Member]) -> usize {
    members.iter().filter(|member| awaited(member).is_some()).count()
}

fn awaited(member: &Member) -> Option<&ScheduledEvent> {
    member.report.scheduled_events.iter().find(|event| match (event.event_type, event.event_status) {
        (EventType::Terminate, EventStatus::Scheduled) => true,
        (EventType::Terminate, EventStatus::Started)
        | (EventType::Freeze | EventType::Preempt | EventType::Reboot | EventType::Redeploy, _) => false,
    })
}
