//! Which sets a `HorizontalPodAutoscaler` scales, and what it wishes for them, as a watch of its own has delivered it.
//!
//! Of all that there are in the cluster only those are remembered that refer to a set, and of these only that. They are not a
//! kind that passes work on: nothing waits for them but the first list. Where the API has none at all, no set has one; where the
//! controller may not read them, nobody can tell, and whoever asks is told so.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use k8s_openapi::api::autoscaling::v2::{CrossVersionObjectReference, HorizontalPodAutoscaler};
use kube::runtime::watcher::{self, Event};
use scaleset_crds::GROUP;
use tokio::sync::watch;

use super::watch::{Next, Sink};
use super::{ClusterError, Kind, ObjectKey};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Autoscalers {
    known: RwLock<Known>,
    asked_for: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Known {
    /// By autoscaler.
    scaled: BTreeMap<ObjectKey, Scaled>,
    /// The list under way.
    incoming: BTreeMap<ObjectKey, Scaled>,
    reading: Reading,
}

/// Whether what is known is what there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Reading {
    /// Nobody has answered yet.
    #[default]
    Begun,
    /// It is, as far as the watch has come.
    Done,
    /// Nobody can tell.
    Failed(String),
}

/// A set that an autoscaler scales.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scaled {
    set: ObjectKey,
    /// None before it has looked at the set.
    wish: Option<i32>,
}

impl Autoscalers {
    /// The wish for the set, where one refers to it; of several the least.
    pub(super) fn wish(&self, set: &ObjectKey) -> Result<Option<i32>, ClusterError> {
        let known = self.answer()?;
        Ok(known.scaled.values().filter(|one| one.set == *set).filter_map(|one| one.wish).min())
    }

    /// Whether one refers to the set, whatever it wishes.
    pub(super) fn scale(&self, set: &ObjectKey) -> Result<bool, ClusterError> {
        Ok(self.answer()?.scaled.values().any(|one| one.set == *set))
    }

    /// Whether the API has answered, be it that there are none to be had.
    pub(super) fn is_asked_for(&self) -> bool {
        *self.asked_for.borrow()
    }

    /// Waits until the API has answered, be it that there are none to be had.
    pub(super) async fn asked_for(&self) {
        // The sender lives as long as `self`.
        let _ = self.asked_for.subscribe().wait_for(|asked_for| *asked_for).await;
    }

    fn answer(&self) -> Result<RwLockReadGuard<'_, Known>, ClusterError> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let message = match &known.reading {
            Reading::Done => return Ok(known),
            Reading::Begun => "not listed yet".to_owned(),
            Reading::Failed(message) => message.clone(),
        };
        Err(ClusterError::Unavailable { message })
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn observe(&self, event: Event<HorizontalPodAutoscaler>) {
        let mut known = self.write();
        match event {
            Event::Init => known.incoming.clear(),
            Event::InitApply(one) => known.incoming.extend(scaled(&one)),
            Event::InitDone => {
                known.scaled = std::mem::take(&mut known.incoming);
                known.reading = Reading::Done;
            }
            // One that refers to something else by now is as one that is gone.
            Event::Apply(one) => match scaled(&one) {
                Some((key, scaled)) => drop(known.scaled.insert(key, scaled)),
                None => drop(known.scaled.remove(&key_of(&one))),
            },
            Event::Delete(one) => drop(known.scaled.remove(&key_of(&one))),
        }
        if known.reading == Reading::Done {
            self.note_asked();
        }
    }

    /// What was known stays where the watch only broke. One that was refused tells nothing when it is let in again: it is built
    /// anew.
    fn note_failure(&self, error: &watcher::Error, message: String) -> Next {
        let mut known = self.write();
        let next = match status_of(error) {
            Some(NOT_FOUND) => {
                known.scaled.clear();
                known.reading = Reading::Done;
                Next::RebuildLate
            }
            Some(UNAUTHORIZED | FORBIDDEN) => {
                known.reading = Reading::Failed(message);
                Next::RebuildLate
            }
            Some(_) | None => {
                drop(known);
                self.note_silence(message);
                return Next::Continue;
            }
        };
        self.note_asked();
        next
    }

    /// Nobody has answered: nothing is known of it, unless it was known before.
    fn note_silence(&self, message: String) {
        let mut known = self.write();
        if known.reading == Reading::Begun {
            known.reading = Reading::Failed(message);
        }
        self.note_asked();
    }

    fn note_asked(&self) {
        self.asked_for.send_if_modified(|asked_for| !std::mem::replace(asked_for, true));
    }
}

const UNAUTHORIZED: u16 = 401;
const FORBIDDEN: u16 = 403;
const NOT_FOUND: u16 = 404;

impl Sink<HorizontalPodAutoscaler> for Arc<Autoscalers> {
    const KIND: &'static str = "HorizontalPodAutoscaler";
    const SELECTOR: Option<&'static str> = None;

    fn is_closed(&self) -> bool {
        // Nobody else has it: the cluster is gone.
        Self::strong_count(self) == 1
    }

    fn recovered(&self) {}

    fn failed(&self, error: &watcher::Error, message: String) -> Next {
        self.note_failure(error, message)
    }

    fn hangs(&self, message: String) {
        self.note_silence(message);
    }

    async fn take(&self, event: Event<HorizontalPodAutoscaler>) -> Next {
        self.observe(event);
        Next::Continue
    }
}

fn status_of(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code),
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => None,
    }
}

fn key_of(one: &HorizontalPodAutoscaler) -> ObjectKey {
    let (namespace, name) = (one.metadata.namespace.clone(), one.metadata.name.clone());
    ObjectKey { namespace: namespace.unwrap_or_default(), name: name.unwrap_or_default() }
}

/// The autoscaler and what it scales, where that is a set of its namespace.
fn scaled(one: &HorizontalPodAutoscaler) -> Option<(ObjectKey, Scaled)> {
    let reference = &one.spec.as_ref()?.scale_target_ref;
    if !is_set(reference) {
        return None;
    }
    let key = key_of(one);
    let set = ObjectKey { namespace: key.namespace.clone(), name: reference.name.clone() };
    Some((key, Scaled { set, wish: wish(one) }))
}

/// The API server gives a new one the status of a wish for 0; whoever has looked at the set has written conditions.
fn wish(one: &HorizontalPodAutoscaler) -> Option<i32> {
    let status = one.status.as_ref()?;
    let has_looked = status.conditions.as_ref().is_some_and(|conditions| !conditions.is_empty());
    has_looked.then_some(status.desired_replicas)
}

fn is_set(reference: &CrossVersionObjectReference) -> bool {
    let group = reference.api_version.as_deref().and_then(|version| version.split('/').next());
    group == Some(GROUP) && reference.kind == Kind::ScaleSet.as_str()
}

#[cfg(test)]
mod tests;
