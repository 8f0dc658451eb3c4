//! What VMs were told of: a set's document of scheduled events, or one VM's.

use std::collections::BTreeMap;

use anyhow::bail;
use scaleset_crds::FlexVM;
use scaleset_crds::scheduled_event::{EventStatus, EventType, ScheduledEvent};
use scaleset_planning::wording::some_names;
use serde_json::{Value, json};

use crate::arguments::{Output, SetOrVm};
use crate::cluster::{Cluster, Instance};
use crate::output::{print, table};

/// The events of some VMs.
struct Document {
    /// How often the events of the set have changed; none of a VM alone.
    incarnation: Option<i64>,
    /// Each with the name of its VM.
    events: Vec<(String, ScheduledEvent)>,
}

pub(crate) async fn list(cluster: &Cluster, target: SetOrVm, output: Output) -> anyhow::Result<()> {
    let document = match target {
        SetOrVm { name: _, vm: Some(vm) } => of_vm(cluster, &vm).await?,
        SetOrVm { name, vm: None } => of_set(cluster, &name.unwrap_or_default()).await?,
    };
    match output {
        Output::Json | Output::Yaml => print(&plain(&document), output),
        Output::Table => {
            println!("{}", listed(&document));
            Ok(())
        }
    }
}

async fn of_set(cluster: &Cluster, name: &str) -> anyhow::Result<Document> {
    let set = cluster.set(name).await?;
    let instances = cluster.instances(&set).await?;
    let summary = set.status.and_then(|status| status.scheduled_events);
    let incarnation = summary.map_or(0, |summary| summary.document_incarnation);
    Ok(Document { incarnation: Some(incarnation), events: instances.iter().flat_map(events_of).collect() })
}

async fn of_vm(cluster: &Cluster, name: &str) -> anyhow::Result<Document> {
    match cluster.api::<FlexVM>().get_opt(name).await.map_err(|error| cluster.explain(error))? {
        Some(vm) => {
            let events = events_of(&Instance::Flexible(Box::new(vm)));
            Ok(Document { incarnation: None, events })
        }
        None => bail!("there is no FlexVM {name} in this namespace"),
    }
}

fn events_of(instance: &Instance) -> Vec<(String, ScheduledEvent)> {
    instance.status().scheduled_events.into_iter().map(|event| (instance.name(), event)).collect()
}

/// One event with every VM that has it.
struct Entry<'document> {
    event: &'document ScheduledEvent,
    vms: Vec<&'document str>,
}

/// Each event once, the first to begin first.
fn entries(document: &Document) -> Vec<Entry<'_>> {
    let mut by_id: BTreeMap<&str, Entry<'_>> = BTreeMap::new();
    for (name, event) in &document.events {
        let entry = by_id.entry(&event.event_id).or_insert_with(|| Entry { event, vms: Vec::new() });
        // Of VMs that are seen one after the other, those that have begun are ahead.
        if event.event_status == EventStatus::Started {
            entry.event = event;
        }
        entry.vms.push(name);
    }
    let mut entries: Vec<Entry<'_>> = by_id.into_values().collect();
    for entry in &mut entries {
        entry.vms.sort_unstable();
    }
    entries.sort_by_key(|entry| (entry.event.not_before.as_ref().map(|time| time.0), entry.vms.clone()));
    entries
}

fn listed(document: &Document) -> String {
    let entries = entries(document);
    if entries.is_empty() {
        return "no scheduled events".to_owned();
    }
    let rows: Vec<Vec<String>> = entries.iter().map(|entry| row(entry, &entries)).collect();
    table(&["EVENT-ID", "TYPE", "VMS", "STATUS", "NOT-BEFORE", "SOURCE"], &rows)
}

fn row(entry: &Entry<'_>, all: &[Entry<'_>]) -> Vec<String> {
    let Entry { event, vms } = entry;
    let ScheduledEvent {
        event_id,
        event_type,
        resource_type: _,
        event_status,
        not_before,
        event_source,
        duration_in_seconds: _,
        description: _,
        approved,
    } = event;
    let status = if *approved { approved_status(event, all) } else { format!("{event_status:?}") };
    vec![
        event_id.clone(),
        format!("{event_type:?}"),
        some_names(vms),
        status,
        not_before.as_ref().map_or_else(String::new, |time| time.0.to_string()),
        format!("{event_source:?}"),
    ]
}

/// Whom an approved event waits for: deletions of the set whose notice ends no later, and that nobody has approved.
fn approved_status(event: &ScheduledEvent, all: &[Entry<'_>]) -> String {
    let ends = |event: &ScheduledEvent| event.not_before.as_ref().map(|time| time.0);
    let holds_up = |entry: &&Entry<'_>| {
        let open = entry.event.event_status == EventStatus::Scheduled && !entry.event.approved;
        open && entry.event.event_type == EventType::Terminate && ends(entry.event) <= ends(event)
    };
    let waits = event.event_type == EventType::Terminate;
    let awaited: Vec<&str> =
        all.iter().filter(holds_up).filter(|_| waits).flat_map(|entry| entry.vms.iter().copied()).collect();
    if awaited.is_empty() { "Approved".to_owned() } else { format!("Approved, waits for {}", some_names(&awaited)) }
}

/// Azure's document, spelled as everything else here.
fn plain(document: &Document) -> Value {
    let Document { incarnation, events: _ } = document;
    let events: Vec<Value> = entries(document)
        .iter()
        .map(|Entry { event, vms }| {
            let mut value = serde_json::to_value(event).expect("an event is plain data");
            value["resources"] = json!(vms);
            value
        })
        .collect();
    match incarnation {
        Some(incarnation) => json!({"documentIncarnation": incarnation, "events": events}),
        None => json!({"events": events}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(events: &[(&str, Value)]) -> Document {
        let event = |(name, event): &(&str, Value)| {
            ((*name).to_owned(), serde_json::from_value(event.clone()).expect("the event is whole"))
        };
        Document { incarnation: Some(4), events: events.iter().map(event).collect() }
    }

    fn two() -> Document {
        let late = json!({"eventId": "b", "eventType": "Terminate", "eventStatus": "Scheduled",
            "notBefore": "2026-01-01T00:10:00Z", "eventSource": "User"});
        let begun = json!({"eventId": "a", "eventType": "Terminate", "eventStatus": "Started", "eventSource": "User"});
        document(&[("web-0", late), ("web-1", begun)])
    }

    #[test]
    fn events_are_listed_with_their_vms_the_first_first() {
        let expected = "EVENT-ID   TYPE        VMS     STATUS      NOT-BEFORE             SOURCE\n\
            a          Terminate   web-1   Started                            User\n\
            b          Terminate   web-0   Scheduled   2026-01-01T00:10:00Z   User";
        assert_eq!(listed(&two()), expected);
        assert_eq!(listed(&document(&[])), "no scheduled events");
    }

    #[test]
    fn vms_of_one_event_share_its_line() {
        let reboot = |status: &str| {
            json!({"eventId": "m", "eventType": "Reboot", "eventStatus": status,
            "notBefore": "2026-01-01T00:15:00Z", "eventSource": "Platform", "description": "its host is maintained"})
        };
        let document = document(&[("web-5", reboot("Scheduled")), ("web-0", reboot("Scheduled"))]);
        let expected = "EVENT-ID   TYPE     VMS            STATUS      NOT-BEFORE             SOURCE\n\
            m          Reboot   web-0, web-5   Scheduled   2026-01-01T00:15:00Z   Platform";
        assert_eq!(listed(&document), expected);
        assert_eq!(plain(&document)["events"][0]["resources"], json!(["web-0", "web-5"]));
    }

    #[test]
    fn an_approved_event_says_whom_it_waits_for() {
        let deletion = |id: &str, minute: &str, approved: bool| {
            json!({"eventId": id, "eventType": "Terminate",
            "eventStatus": "Scheduled", "notBefore": format!("2026-01-01T00:{minute}:00Z"), "eventSource": "User",
            "approved": approved})
        };
        let events = [
            ("web-0", deletion("a", "05", false)),
            ("web-1", deletion("b", "10", true)),
            ("web-2", deletion("c", "15", false)),
        ];
        let listed = listed(&document(&events));
        let line = listed.lines().find(|line| line.starts_with('b')).expect("it is listed");
        assert!(line.contains("Approved, waits for web-0  "), "web-2 ends later: {listed}");
    }

    #[test]
    fn programs_get_a_document() {
        let document = plain(&two());
        assert_eq!(document["documentIncarnation"], 4);
        assert_eq!(document["events"][0]["resources"], json!(["web-1"]));
        assert_eq!(document["events"][0].get("notBefore"), None);
    }
}
