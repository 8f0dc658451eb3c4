//! What is stored, what the cache shows of it, and how an object changes.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, PoisonError};

use k8s_openapi::api::apps::v1::ControllerRevision;
use scaleset_controller::cluster::{ClusterError, Kind, ObjectId, ObjectKey};
use scaleset_crds::{AutoscaleSetting, CapacityReservationGroup, FlexVM, ScaleSet, ScaleSetOperation, ScaleSetVM};
use scaleset_hardware::sim::VirtualClock;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::trouble::Troubles;
use super::{Cascade, Verb, key};
use crate::simulation::collector::Lines;

pub(super) type Key = (Kind, ObjectKey);

/// A change that the cache has not seen yet.
#[derive(Debug)]
struct Unseen {
    id: Key,
    object: Option<Value>,
    /// The object whose pass wrote it; none for people and the garbage collector.
    on_behalf_of: Option<String>,
}

/// An object as the cache shows it: read once, shown often.
#[derive(Debug)]
pub(super) struct Cached {
    pub(super) json: Value,
    pub(super) typed: Arc<dyn Any + Send + Sync>,
}

impl Cached {
    fn of(kind: Kind, json: Value) -> Self {
        let typed: Arc<dyn Any + Send + Sync> = match kind {
            Kind::ScaleSet => typed::<ScaleSet>(&json),
            Kind::ScaleSetVM => typed::<ScaleSetVM>(&json),
            Kind::FlexVM => typed::<FlexVM>(&json),
            Kind::ScaleSetOperation => typed::<ScaleSetOperation>(&json),
            Kind::CapacityReservationGroup => typed::<CapacityReservationGroup>(&json),
            Kind::AutoscaleSetting => typed::<AutoscaleSetting>(&json),
            Kind::ControllerRevision => typed::<ControllerRevision>(&json),
        };
        Self { json, typed }
    }
}

fn typed<T: DeserializeOwned + Send + Sync + 'static>(json: &Value) -> Arc<dyn Any + Send + Sync> {
    Arc::new(T::deserialize(json).expect("stored objects are of their kind"))
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) stored: BTreeMap<Key, Value>,
    pub(super) cached: BTreeMap<Key, Cached>,
    unseen: VecDeque<Unseen>,
    lag: usize,
    /// Whose write is being carried out.
    pub(super) writer: Option<String>,
    pub(super) version: u64,
    uids: u64,
    clock: VirtualClock,
    pub(super) trouble: Troubles,
    pub(super) requests: BTreeMap<(Verb, Kind), u64>,
    lines: Lines,
    /// Sets that a `HorizontalPodAutoscaler` scales.
    pub(super) autoscaled: BTreeSet<String>,
}

impl State {
    pub(super) fn new(clock: VirtualClock, lines: Lines) -> Self {
        Self {
            stored: BTreeMap::new(),
            cached: BTreeMap::new(),
            unseen: VecDeque::new(),
            lag: 0,
            writer: None,
            version: 0,
            uids: 0,
            clock,
            trouble: Troubles::default(),
            requests: BTreeMap::new(),
            lines,
            autoscaled: BTreeSet::new(),
        }
    }

    /// The controller asks for something, whatever becomes of it.
    pub(super) fn note(&mut self, asked: (Verb, Kind)) {
        *self.requests.entry(asked).or_default() += 1;
    }

    pub(super) fn tell(&self, line: String) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    pub(super) fn set_lag(&mut self, writes: usize) {
        self.lag = writes;
        let beyond = self.unseen.len().saturating_sub(writes);
        self.deliver(beyond);
    }

    pub(super) fn deliver(&mut self, writes: usize) -> usize {
        let seen: Vec<Unseen> = self.unseen.drain(..writes.min(self.unseen.len())).collect();
        let count = seen.len();
        for Unseen { id, object, on_behalf_of: _ } in seen {
            match object {
                Some(object) => drop(self.cached.insert(id.clone(), Cached::of(id.0, object))),
                None => drop(self.cached.remove(&id)),
            }
        }
        count
    }

    /// Whether the cache has yet to see a write of the object with that uid.
    pub(super) fn owes(&self, uid: &str) -> bool {
        self.unseen.iter().any(|unseen| unseen.on_behalf_of.as_deref() == Some(uid))
    }

    pub(super) fn insert(&mut self, kind: Kind, mut object: Value) -> Result<(), ClusterError> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let id = (kind, key(&name));
        if self.stored.contains_key(&id) {
            return Err(error_of(&id, |kind, namespace, name| ClusterError::AlreadyExists { kind, namespace, name }));
        }
        self.uids += 1;
        object["metadata"]["uid"] = json!(format!("uid-{}", self.uids));
        object["metadata"]["generation"] = json!(1);
        object["metadata"]["creationTimestamp"] = self.now();
        if kind != Kind::ControllerRevision {
            object["apiVersion"] = json!(scaleset_crds::API_VERSION);
            object["kind"] = json!(format!("{kind:?}"));
        }
        self.store(&id, object);
        Ok(())
    }

    /// Whether the object is there. A patch that changes nothing is no write.
    pub(super) fn merge(&mut self, id: &Key, patch: &Value) -> bool {
        let Some(before) = self.stored.get(id) else { return false };
        let mut object = before.clone();
        merge(&mut object, patch);
        if object != *before {
            if object["spec"] != before["spec"] {
                raise_generation(&mut object);
            }
            self.store(id, object);
        }
        true
    }

    /// Replaces the status. An equal one is no write.
    pub(super) fn set_status(&mut self, id: &Key, status: Value) {
        let Some(before) = self.stored.get(id) else { return };
        let mut object = before.clone();
        let old = std::mem::replace(&mut object["status"], status);
        if object["status"] != old {
            self.tell_turned(id, &old, &object["status"]);
            self.store(id, object);
        }
    }

    pub(super) fn delete_cascading(&mut self, id: &Key, cascade: Cascade) -> bool {
        let finalizer = match cascade {
            Cascade::Background => return self.delete(id),
            Cascade::Foreground => "foregroundDeletion",
            Cascade::Orphan => "orphan",
        };
        let Some(object) = self.stored.get(id) else { return false };
        let mut finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        finalizers.push(json!(finalizer));
        self.merge(id, &json!({"metadata": {"finalizers": finalizers}}));
        self.delete(id)
    }

    pub(super) fn delete(&mut self, id: &Key) -> bool {
        let Some(object) = self.stored.get(id) else { return false };
        if is_terminating(object) {
            return true;
        }
        let mut object = object.clone();
        object["metadata"]["deletionTimestamp"] = self.now();
        raise_generation(&mut object);
        self.store(id, object);
        true
    }

    /// The object that a guarded write is about.
    pub(super) fn guarded(&self, target: &ObjectId) -> Result<Key, ClusterError> {
        let id = self.of_uid(target)?;
        if self.stored[&id]["metadata"]["resourceVersion"] == target.resource_version.as_str() {
            return Ok(id);
        }
        Err(error_of(&id, |kind, namespace, name| ClusterError::Conflict { kind, namespace, name }))
    }

    /// The object of that name, if it is still the same one.
    pub(super) fn of_uid(&self, target: &ObjectId) -> Result<Key, ClusterError> {
        let id = (target.kind, target.key.clone());
        let same = |object: &Value| object["metadata"]["uid"] == target.uid.as_str();
        if self.stored.get(&id).is_some_and(same) {
            return Ok(id);
        }
        Err(error_of(&id, |kind, namespace, name| ClusterError::Gone { kind, namespace, name }))
    }

    pub(super) fn lags(&self) -> bool {
        self.lag > 0 || !self.unseen.is_empty()
    }

    /// Keeps an object under its next version; one that is being deleted goes when nothing holds it.
    fn store(&mut self, id: &Key, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = if is_terminating(&object) && finalizers(&object).is_empty() { None } else { Some(object) };
        match &object {
            Some(object) => drop(self.stored.insert(id.clone(), object.clone())),
            None => drop(self.stored.remove(id)),
        }
        self.unseen.push_back(Unseen { id: id.clone(), object, on_behalf_of: self.writer.clone() });
        self.set_lag(self.lag);
    }

    /// Object times have whole seconds.
    fn now(&self) -> Value {
        let second = self.clock.now().as_second();
        json!(jiff::Timestamp::from_second(second).expect("a second of a timestamp is one").to_string())
    }

    fn tell_turned(&self, id: &Key, before: &Value, after: &Value) {
        let told: &[&str] = match id.0 {
            Kind::ScaleSet => &["Ready", "Available", "UpToDate", "CapacitySatisfied", "Paused", "Stalled"],
            Kind::ScaleSetOperation => &["Complete", "Failed"],
            Kind::CapacityReservationGroup => &["Ready", "Reserved", "Overallocated", "Stalled"],
            Kind::AutoscaleSetting => &["Ready", "Active", "Stalled"],
            Kind::ScaleSetVM | Kind::FlexVM | Kind::ControllerRevision => &["Ready", "Member", "Stalled"],
        };
        let find = |status: &Value, name: &str| -> Option<Value> {
            status["conditions"].as_array()?.iter().find(|condition| condition["type"] == name).cloned()
        };
        for name in told {
            let Some(new) = find(after, name) else { continue };
            let old = find(before, name).unwrap_or(Value::Null);
            let turned = old["status"] != new["status"] || old["reason"] != new["reason"];
            // The first word of a condition that says that nothing is wrong is no news.
            let quiet = old.is_null()
                && new["status"] == "False"
                && (["Paused", "Stalled", "Failed"].contains(name) || new["reason"] == "NoScaleSet");
            if turned && !quiet {
                let text = |field: &str| new[field].as_str().unwrap_or_default().to_owned();
                let line = format!("{name}={} {}: {}", text("status"), text("reason"), text("message"));
                self.tell(format!("{}: {line}", id.1.name));
            }
        }
    }
}

pub(super) fn is_terminating(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

pub(super) fn finalizers(object: &Value) -> Vec<String> {
    let list = object["metadata"]["finalizers"].as_array().into_iter().flatten();
    list.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

fn raise_generation(object: &mut Value) {
    let generation = object["metadata"]["generation"].as_i64().unwrap_or_default();
    object["metadata"]["generation"] = json!(generation + 1);
}

fn error_of(id: &Key, make: impl FnOnce(Kind, String, String) -> ClusterError) -> ClusterError {
    make(id.0, id.1.namespace.clone(), id.1.name.clone())
}

/// Applies a merge patch (RFC 7386).
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let object = target.as_object_mut().expect("it has just been made one");
    for (name, change) in changes {
        if change.is_null() {
            object.remove(name);
        } else {
            merge(object.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}
