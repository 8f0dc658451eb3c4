//! Publishes events (`events.k8s.io/v1`) and folds repeats.
//!
//! The first event of its kind is created, its first repeat makes it a series, and further repeats are counted here
//! and written at most once a minute: what is refused for an hour costs sixty writes, not thousands. An event that has
//! not repeated for six minutes is forgotten, so that the next one is new, as in Kubernetes' own recorder.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use scaleset_crds::FIELD_MANAGER;
use serde_json::json;
use tokio::time::timeout;

use super::failure::classify;
use super::{ClusterError, EventType, Notice, ObjectId};
use crate::metrics::{Ending, Metrics, Verb};

const CALL_MAX: Duration = Duration::from_secs(10);
const REMEMBERED: Duration = Duration::from_mins(6);
const SERIES_SPACING: Duration = Duration::from_mins(1);
const REMEMBERED_MAX: usize = 4096;
const REASON_MAX: usize = 128;
const NOTE_MAX: usize = 1024;
/// Room for the suffix in a name of at most 253 characters.
const NAME_MAX: usize = 220;

/// What makes two events the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Sameness {
    uid: String,
    warning: bool,
    reason: String,
    action: String,
    note: String,
}

#[derive(Clone, Debug)]
struct Remembered {
    name: String,
    count: i32,
    last_seen: Instant,
    last_written: Option<Instant>,
}

/// What is to be written for one more event.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Create { name: String },
    Series { name: String, count: i32 },
    Nothing,
}

/// See the module.
pub(super) struct Events {
    client: Client,
    metrics: Arc<Metrics>,
    instance: String,
    remembered: Mutex<Folding>,
}

#[derive(Debug, Default)]
struct Folding(HashMap<Sameness, Remembered>);

impl Events {
    pub(super) fn new(client: Client, metrics: Arc<Metrics>, instance: String) -> Self {
        Self { client, metrics, instance, remembered: Mutex::default() }
    }

    pub(super) async fn publish(&self, notice: Notice) -> Result<(), ClusterError> {
        let Notice { regarding, event_type, reason, action, note } = notice;
        let sameness = Sameness {
            uid: regarding.uid.clone(),
            warning: event_type == EventType::Warning,
            reason: cut(reason.as_str(), REASON_MAX),
            action: cut(&action, REASON_MAX),
            note: cut(&note, NOTE_MAX),
        };
        let now = Timestamp::now();
        let fresh = format!("{}.{:x}", cut(&regarding.key.name, NAME_MAX), now.as_nanosecond());
        let due = self.folding().one_more(&sameness, fresh, Instant::now());
        let api: Api<Event> = Api::namespaced(self.client.clone(), &regarding.key.namespace);
        let (verb, sent) = match due {
            Due::Nothing => return Ok(()),
            Due::Create { name } => {
                let event = self.event(&regarding, &sameness, name, now);
                let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
                (Verb::Create, timeout(CALL_MAX, api.create(&parameters, &event)).await)
            }
            Due::Series { name, count } => {
                let series = EventSeries { count, last_observed_time: MicroTime(now) };
                let patch = Patch::Merge(json!({"series": series}));
                let parameters =
                    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
                (Verb::Patch, timeout(CALL_MAX, api.patch(&name, &parameters, &patch)).await)
            }
        };
        let error = match sent {
            Ok(Ok(_)) => {
                self.metrics.count_write("Event", verb, Ending::Success);
                return Ok(());
            }
            Ok(Err(error)) => classify(&error, regarding.kind, &regarding.key).0,
            Err(_) => ClusterError::Unavailable { message: format!("no answer within {} s", CALL_MAX.as_secs()) },
        };
        // The next one is to be a new event: this one may not exist.
        self.folding().0.remove(&sameness);
        self.metrics.count_write("Event", verb, Ending::Failure);
        Err(error)
    }

    fn folding(&self) -> std::sync::MutexGuard<'_, Folding> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event(&self, regarding: &ObjectId, sameness: &Sameness, name: String, now: Timestamp) -> Event {
        let ObjectId { kind, key, uid, resource_version } = regarding;
        let Sameness { uid: _, warning, reason, action, note } = sameness;
        Event {
            metadata: ObjectMeta { namespace: Some(key.namespace.clone()), name: Some(name), ..ObjectMeta::default() },
            event_time: Some(MicroTime(now)),
            type_: Some(if *warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(reason.clone()),
            action: Some(action.clone()),
            note: Some(note.clone()),
            regarding: Some(ObjectReference {
                api_version: Some(kind.api_version().to_owned()),
                kind: Some(kind.as_str().to_owned()),
                namespace: Some(key.namespace.clone()),
                name: Some(key.name.clone()),
                uid: Some(uid.clone()),
                resource_version: Some(resource_version.clone()),
                field_path: None,
            }),
            reporting_controller: Some(FIELD_MANAGER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        }
    }
}

impl Folding {
    fn one_more(&mut self, sameness: &Sameness, fresh_name: String, now: Instant) -> Due {
        self.0.retain(|_, known| now.saturating_duration_since(known.last_seen) < REMEMBERED);
        if let Some(known) = self.0.get_mut(sameness) {
            known.count = known.count.saturating_add(1);
            known.last_seen = now;
            let waits = |last: Instant| now.saturating_duration_since(last) < SERIES_SPACING;
            if known.last_written.is_some_and(waits) {
                return Due::Nothing;
            }
            known.last_written = Some(now);
            return Due::Series { name: known.name.clone(), count: known.count };
        }
        if self.0.len() < REMEMBERED_MAX {
            let known = Remembered { name: fresh_name.clone(), count: 1, last_seen: now, last_written: None };
            self.0.insert(sameness.clone(), known);
        }
        Due::Create { name: fresh_name }
    }
}

/// The first `max` bytes, whole characters.
fn cut(text: &str, max: usize) -> String {
    let end = (0..=max.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(note: &str) -> Sameness {
        let (reason, action) = ("QuotaExceeded".to_owned(), "Hold".to_owned());
        Sameness { uid: "u".to_owned(), warning: true, reason, action, note: note.to_owned() }
    }

    fn create(name: &str) -> Due {
        Due::Create { name: name.to_owned() }
    }

    fn series(name: &str, count: i32) -> Due {
        Due::Series { name: name.to_owned(), count }
    }

    #[test]
    fn repeats_become_a_series_written_once_a_minute() {
        let (mut folding, start) = (Folding::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(folding.one_more(&same("a"), "e1".to_owned(), at(0)), create("e1"));
        assert_eq!(folding.one_more(&same("a"), "e2".to_owned(), at(1)), series("e1", 2));
        assert_eq!(folding.one_more(&same("a"), "e3".to_owned(), at(2)), Due::Nothing);
        assert_eq!(folding.one_more(&same("a"), "e4".to_owned(), at(61)), series("e1", 4));
    }

    #[test]
    fn another_note_is_another_event() {
        let (mut folding, start) = (Folding::default(), Instant::now());
        assert_eq!(folding.one_more(&same("made 2 members"), "e1".to_owned(), start), create("e1"));
        assert_eq!(folding.one_more(&same("made 3 members"), "e2".to_owned(), start), create("e2"));
    }

    #[test]
    fn what_has_not_repeated_for_six_minutes_is_new() {
        let (mut folding, start) = (Folding::default(), Instant::now());
        assert_eq!(folding.one_more(&same("a"), "e1".to_owned(), start), create("e1"));
        assert_eq!(folding.one_more(&same("a"), "e2".to_owned(), start + REMEMBERED), create("e2"));
        assert_eq!(folding.0.len(), 1);
    }

    #[test]
    fn cuts_between_characters() {
        assert_eq!(cut("short", 10), "short");
        assert_eq!(cut("a…b", 2), "a");
        assert_eq!(cut("a…b", 4), "a…");
    }
}
