//! What VMs were told of: a set's document of scheduled events, or one VM's.

use anyhow::bail;
use scaleset_crds::FlexVM;
use scaleset_crds::scheduled_event::ScheduledEvent;
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

/// The first to begin comes first.
fn listed(document: &Document) -> String {
    let Document { incarnation: _, events } = document;
    if events.is_empty() {
        return "no scheduled events".to_owned();
    }
    let mut events: Vec<&(String, ScheduledEvent)> = events.iter().collect();
    events.sort_by_key(|(name, event)| (event.not_before.as_ref().map(|time| time.0), name.as_str()));
    let rows: Vec<Vec<String>> = events.into_iter().map(|(name, event)| row(name, event)).collect();
    table(&["EVENT-ID", "TYPE", "VM", "STATUS", "NOT-BEFORE", "SOURCE"], &rows)
}

fn row(name: &str, event: &ScheduledEvent) -> Vec<String> {
    let ScheduledEvent { event_id, event_type, event_status, not_before, event_source } = event;
    vec![
        event_id.clone(),
        format!("{event_type:?}"),
        name.to_owned(),
        format!("{event_status:?}"),
        not_before.as_ref().map_or_else(String::new, |time| time.0.to_string()),
        format!("{event_source:?}"),
    ]
}

/// Azure's document, spelled as everything else here.
fn plain(document: &Document) -> Value {
    let Document { incarnation, events } = document;
    let events: Vec<Value> = events
        .iter()
        .map(|(name, event)| {
            let mut event = serde_json::to_value(event).expect("an event is plain data");
            event["resources"] = json!([name]);
            event
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
        let expected = "EVENT-ID   TYPE        VM      STATUS      NOT-BEFORE             SOURCE\n\
            a          Terminate   web-1   Started                            User\n\
            b          Terminate   web-0   Scheduled   2026-01-01T00:10:00Z   User";
        assert_eq!(listed(&two()), expected);
        assert_eq!(listed(&document(&[])), "no scheduled events");
    }

    #[test]
    fn programs_get_a_document() {
        let document = plain(&two());
        assert_eq!(document["documentIncarnation"], 4);
        assert_eq!(document["events"][0]["resources"], json!(["web-0"]));
        assert_eq!(document["events"][1].get("notBefore"), None);
    }
}
