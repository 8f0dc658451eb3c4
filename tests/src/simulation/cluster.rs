//! An API server in memory, as far as the controller can tell: versions, uids and generations, guarded patches and
//! deletes, finalizers, a garbage collector, and a cache that may lag behind what was written.
//!
//! The controller reads the cache; people, checkers and the garbage collector read what is stored. It can be told to
//! refuse calls, to lose answers, and to let the controller die right before or after one of its writes.

mod door;
mod garbage;
mod state;
mod trouble;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use scaleset_controller::cluster::{Kind, ObjectKey};
use scaleset_hardware::sim::VirtualClock;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::collector::Lines;
use state::State;
pub use trouble::{CrashPoint, Trouble};

/// How an object is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cascade {
    /// Children after it.
    Background,
    /// Children before it.
    Foreground,
    /// Children stay.
    Orphan,
}

/// What a controller asks of the API, as far as it changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Make an object.
    Create,
    /// Change an object.
    Patch,
    /// Set the count of a set.
    Scale,
    /// Write a status.
    ApplyStatus,
    /// Delete an object.
    Delete,
    /// Tell an event.
    Publish,
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    There,
    /// It is not.
    Gone,
}

/// The cluster. Cheap to clone; all clones are the same one.
#[derive(Clone, Debug)]
pub struct SimulatedCluster {
    state: Arc<Mutex<State>>,
    crashed: Arc<Notify>,
}

/// Namespace and name of an object in the only namespace of a story.
pub fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: "default".to_owned(), name: name.to_owned() }
}

impl SimulatedCluster {
    /// An empty cluster whose objects are created at the clock's time; it tells events and turned conditions in `lines`.
    pub(crate) fn new(clock: VirtualClock, lines: Lines) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(clock, lines))), crashed: Arc::default() }
    }

    /// How many changes there have been, whoever made them.
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// How many writes the controller has tried.
    pub fn attempts(&self) -> u64 {
        self.lock().trouble.attempts()
    }

    /// What the controller has asked for so far, tries in vain included, by the kind of object that it is about.
    pub fn requests(&self) -> BTreeMap<(Verb, Kind), u64> {
        self.lock().requests.clone()
    }

    /// Names of the objects of a kind, sorted.
    pub fn keys(&self, kind: Kind) -> Vec<ObjectKey> {
        self.lock().stored.keys().filter(|(of, _)| *of == kind).map(|(_, key)| key.clone()).collect()
    }

    /// An object as it is stored.
    pub fn get(&self, kind: Kind, name: &str) -> Option<Value> {
        self.lock().stored.get(&(kind, key(name))).cloned()
    }

    /// Every object of a kind as it is stored, sorted by name.
    pub fn all(&self, kind: Kind) -> Vec<Value> {
        let state = self.lock();
        state.stored.iter().filter(|((of, _), _)| *of == kind).map(|(_, object)| object.clone()).collect()
    }

    /// A person creates an object.
    #[expect(clippy::needless_pass_by_value, reason = "the macro that takes it borrows")]
    pub fn create_by_hand(&self, kind: Kind, name: &str, spec: Value) {
        let object = json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec});
        self.lock().insert(kind, object).expect("the story uses a name once");
    }

    /// A person changes an object by a merge patch. Whether there is one.
    pub fn change_by_hand(&self, kind: Kind, name: &str, patch: &Value) -> bool {
        self.lock().merge(&(kind, key(name)), patch)
    }

    /// A person deletes an object. Whether there is one.
    pub fn delete_by_hand(&self, kind: Kind, name: &str, cascade: Cascade) -> bool {
        self.lock().delete_cascading(&(kind, key(name)), cascade)
    }

    /// A `HorizontalPodAutoscaler` on a set comes or goes.
    pub fn autoscale_by_another(&self, set: &str, presence: Presence) {
        let autoscaled = &mut self.lock().autoscaled;
        match presence {
            Presence::There => drop(autoscaled.insert(set.to_owned())),
            Presence::Gone => drop(autoscaled.remove(set)),
        }
    }

    /// One round of the garbage collector.
    pub fn collect_garbage(&self) {
        self.lock().collect_garbage();
    }

    /// The controller's cache shows a write only after so many more, or once it is [`Self::deliver`]ed.
    pub fn lag(&self, writes: usize) {
        self.lock().set_lag(writes);
    }

    /// Whether the cache may be behind.
    pub fn lags(&self) -> bool {
        self.lock().lags()
    }

    /// Shows the cache so many more of the oldest writes that it has not seen. How many there were.
    pub fn deliver(&self, writes: usize) -> usize {
        self.lock().deliver(writes)
    }

    /// What goes wrong from now on.
    pub fn trouble(&self, trouble: Trouble) {
        self.lock().trouble.set(trouble);
    }

    /// Returns once the controller has died at its crash point.
    pub(crate) async fn crashed(&self) {
        self.crashed.notified().await;
    }

    /// A controller starts: its cache is filled anew, and nothing is left of the crash.
    pub(crate) fn restart(&self) {
        let mut state = self.lock();
        state.deliver(usize::MAX);
        state.trouble.set(Trouble::None);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
