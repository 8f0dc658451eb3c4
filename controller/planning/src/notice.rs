//! Members that were told of what is to be done to them and run on meanwhile, until it is approved or its time is over.
//!
//! Sources: Azure's "Terminate notification for Azure Virtual Machine Scale Set instances", and the REST reference of virtual
//! machine scale sets (`osImageNotificationProfile`).

use jiff::Timestamp;
use scaleset_crds::condition::Reason;
use scaleset_crds::scheduled_event::{EventSource, EventStatus, EventType, ScheduledEvent};

use crate::plan::Hold;
use crate::snapshot::Member;
use crate::view::DisruptionCause;
use crate::wording::some_names;

/// Who waits for his deletion, holding what he has; how to end that, and when the first of the notices is over.
pub(crate) fn of_deletions(members: &[Member]) -> Option<Hold> {
    hold(Reason::DeletionNotice, "told of their deletion", told(members, deletion))
}

/// How many of them there are.
pub(crate) fn count_of_deletions(members: &[Member]) -> usize {
    told(members, deletion).count()
}

/// The same of members whose OS disk is to be replaced.
pub(crate) fn of_images(members: &[Member]) -> Option<Hold> {
    let live = told(members, replacement).filter(|(member, _)| member.is_live());
    hold(Reason::ImageNotice, "told that their OS disk is replaced", live)
}

type Awaited = fn(&ScheduledEvent) -> bool;

fn told(members: &[Member], awaited: Awaited) -> impl Iterator<Item = (&Member, &ScheduledEvent)> {
    members.iter().filter_map(move |member| {
        let event = member.report.scheduled_events.iter().find(|event| awaited(event))?;
        Some((member, event))
    })
}

fn hold<'a>(
    reason: Reason,
    of_what: &str,
    told: impl Iterator<Item = (&'a Member, &'a ScheduledEvent)>,
) -> Option<Hold> {
    let (names, ends): (Vec<&str>, Vec<Option<Timestamp>>) =
        told.map(|(member, event)| (member.name.as_str(), event.not_before.as_ref().map(|time| time.0))).unzip();
    let first = ends.into_iter().flatten().min();
    let until = first.map(|first| format!(", or until {first} scenario time for the first")).unwrap_or_default();
    let count = names.len();
    (count > 0).then(|| Hold {
        reason,
        count,
        message: format!(
            "{count} {of_what} ({}), wait for the operation ApproveScheduledEvent{until}",
            some_names(&names)
        ),
    })
}

fn deletion(event: &ScheduledEvent) -> bool {
    match (event.event_type, event.event_status) {
        (EventType::Terminate, EventStatus::Scheduled) => true,
        (EventType::Terminate, EventStatus::Started)
        | (EventType::Freeze | EventType::Preempt | EventType::Reboot | EventType::Redeploy, _) => false,
    }
}

/// Hosts are restarted by the platform, OS disks are replaced at somebody's wish; so is what an operation asks for, which
/// the description tells apart.
fn replacement(event: &ScheduledEvent) -> bool {
    let wished = event.event_source == EventSource::User && event.event_type == EventType::Reboot;
    let of_disk = event.description.as_deref() == Some(DisruptionCause::OsImage.describe());
    wished && of_disk && event.event_status == EventStatus::Scheduled
}
