//! Keeps up with the API what is known of one kind: one list, then one watch, for ever.
//!
//! On top of kube's watcher: a watch ends after a minute, so that a dead connection costs no more; failures are waited
//! out with backoff that only a complete list or an event resets; lists are spaced out, however often the API says
//! that the watch is too old; a watcher whose restart is answered three times with 410 Gone is built anew, because
//! kube's would ask for the same old version for ever.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::watcher::{self, Config, Event};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::Kind;
use super::failure;
use super::store::{CacheChange, Store, Stored};
use super::watched::WatchedNamespaces;
use crate::backoff::Backoff;
use crate::metrics::Metrics;

/// How long the API keeps a watch open.
const WATCH_SECONDS: u32 = 50;
/// How long one step of a list may take.
const LIST_STEP_MAX: Duration = Duration::from_secs(40);
const PAGE_SIZE: u32 = 500;
const GONE_IN_A_ROW_MAX: u32 = 3;
/// Between the end of one list and the begin of the next; doubles while lists keep coming.
const LIST_SPACING: Backoff = Backoff { first: Duration::from_secs(1), ceiling: Duration::from_mins(1) };
/// After this long without a list the spacing starts anew.
const LIST_SPACING_RESET: Duration = Duration::from_mins(5);

/// After this long without a failure the watch has recovered.
const FAILURE_MEMORY: Duration = Duration::from_secs(90);
/// Until somebody gives a right that is missing, or serves what is not served: asked for rarely, as each try is a list.
const REFUSED_WAIT: Duration = Duration::from_mins(5);

/// One watch, and where it delivers.
pub(crate) struct Watch<S> {
    pub(crate) client: Client,
    pub(crate) namespaces: WatchedNamespaces,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) sink: S,
}

/// What becomes of what a watch delivers.
pub(crate) trait Sink<K>: Send + Sync {
    /// The kind, as logs and metrics name it.
    const KIND: &'static str;
    /// Which objects are asked for, by label; none: all.
    const SELECTOR: Option<&'static str>;

    /// Whether nobody listens any more.
    fn is_closed(&self) -> bool;
    /// Something was delivered: what failed before works.
    fn recovered(&self);
    /// The watch has failed. Answers whether the same watcher is still good for anything.
    fn failed(&self, error: &watcher::Error, message: String) -> Next;
    /// A list does not come to an end. It is begun anew.
    fn hangs(&self, message: String);
    /// Takes in one event. Answers whether there is a use for more.
    fn take(&self, event: Event<K>) -> impl Future<Output = Next> + Send;
}

/// Where the kinds go that passes read and write: into the store, and on to whoever follows its changes.
pub(crate) struct Delivery {
    pub(crate) store: Arc<Store>,
    pub(crate) changes: mpsc::Sender<CacheChange>,
    pub(crate) failures: Arc<WatchFailures>,
}

impl<K: Stored> Sink<K> for Delivery {
    const KIND: &'static str = K::KIND.as_str();
    const SELECTOR: Option<&'static str> = selector(K::KIND);

    fn is_closed(&self) -> bool {
        self.changes.is_closed()
    }

    fn recovered(&self) {
        self.failures.clear(K::KIND);
    }

    fn failed(&self, _: &watcher::Error, message: String) -> Next {
        self.failures.note(K::KIND, message);
        Next::Continue
    }

    fn hangs(&self, message: String) {
        self.failures.note(K::KIND, message);
    }

    async fn take(&self, event: Event<K>) -> Next {
        for change in self.store.observe(event) {
            if self.changes.send(change).await.is_err() {
                return Next::Rebuild;
            }
        }
        Next::Continue
    }
}

/// What each watch failed with last, until it recovers.
#[derive(Debug, Default)]
pub struct WatchFailures(Mutex<BTreeMap<Kind, String>>);

impl WatchFailures {
    /// The failures that last.
    pub fn current(&self) -> Vec<(Kind, String)> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.iter().map(|(kind, failure)| (*kind, failure.clone())).collect()
    }

    fn note(&self, kind: Kind, failure: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(kind, failure);
    }

    fn clear(&self, kind: Kind) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&kind);
    }
}

/// What a watch does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Poll the same watcher.
    Continue,
    /// Build a new one, which lists.
    Rebuild,
    /// The same, but not soon: nothing says that it will be let in.
    RebuildLate,
}

/// What a failure says of the watcher itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FailureKind {
    /// The version that it would go on from is too old, and it will ask for the same one again.
    GoneAtStart,
    /// Nothing: it may work the next time.
    Passing,
}

/// What a watch remembers of its failures and its lists.
#[derive(Debug, Default)]
struct History {
    failures: u32,
    last_failure: Option<Instant>,
    gone_in_a_row: u32,
    lists: u32,
    last_list: Option<Instant>,
    listing: bool,
}

impl<S> Watch<S> {
    /// Watches until nobody listens any more.
    pub(crate) async fn run<K>(self)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
        S: Sink<K>,
    {
        let mut history = History::default();
        while !self.sink.is_closed() {
            let objects = self.namespaces.objects::<K>(self.client.clone());
            let stream = watcher::watcher(objects, config(S::SELECTOR));
            self.drain(std::pin::pin!(stream), &mut history).await;
        }
    }

    async fn drain<K: Send>(
        &self,
        mut stream: std::pin::Pin<&mut impl Stream<Item = watcher::Result<Event<K>>>>,
        history: &mut History,
    ) where
        S: Sink<K>,
    {
        while !self.sink.is_closed() {
            let item =
                if history.listing { timeout(LIST_STEP_MAX, stream.next()).await } else { Ok(stream.next().await) };
            let next = match item {
                Ok(Some(Ok(event))) => self.take(event, history).await,
                Ok(Some(Err(error))) => self.fail(&error, history).await,
                Ok(None) => Next::Rebuild,
                Err(_) => {
                    warn!(kind = S::KIND, seconds = LIST_STEP_MAX.as_secs(), "list hangs, starting anew");
                    self.sink.hangs(format!("list: no answer within {} s", LIST_STEP_MAX.as_secs()));
                    self.wait_out(history).await;
                    Next::Rebuild
                }
            };
            match next {
                Next::Continue => {}
                Next::Rebuild | Next::RebuildLate => {
                    history.listing = false;
                    return;
                }
            }
        }
    }

    async fn take<K: Send>(&self, event: Event<K>, history: &mut History) -> Next
    where
        S: Sink<K>,
    {
        match &event {
            Event::Init => {
                if let Some(at) = history.list_allowed_at(Instant::now()) {
                    debug!(kind = S::KIND, "next list is held back");
                    sleep_until(at).await;
                }
                history.listing = true;
                self.metrics.listed(S::KIND);
            }
            Event::InitDone => {
                info!(kind = S::KIND, "listed");
                history.list_done(Instant::now());
                self.sink.recovered();
            }
            Event::Apply(_) | Event::Delete(_) => {
                history.recovered();
                self.sink.recovered();
            }
            Event::InitApply(_) => {}
        }
        self.sink.take(event).await
    }

    async fn fail<K>(&self, error: &watcher::Error, history: &mut History) -> Next
    where
        S: Sink<K>,
    {
        let message = describe(error);
        warn!(kind = S::KIND, failures = history.failures + 1, error = %message, "watch failed");
        let of_sink = self.sink.failed(error, message);
        history.listing = false;
        let next = history.failed(failure_kind(error), Instant::now());
        match of_sink {
            Next::Continue => self.wait_out(history).await,
            Next::Rebuild => {
                self.wait_out(history).await;
                return of_sink;
            }
            Next::RebuildLate => {
                sleep(REFUSED_WAIT).await;
                return of_sink;
            }
        }
        next
    }

    async fn wait_out(&self, history: &History) {
        sleep(Backoff::WATCH.after(history.failures, rand::random())).await;
    }
}

impl History {
    /// Whether the watcher is still good for anything.
    fn failed(&mut self, kind: FailureKind, now: Instant) -> Next {
        if self.last_failure.is_some_and(|last| now.duration_since(last) > FAILURE_MEMORY) {
            // A watch that works on a quiet kind delivers nothing that would tell.
            self.recovered();
        }
        self.last_failure = Some(now);
        self.failures = self.failures.saturating_add(1);
        self.gone_in_a_row = match kind {
            FailureKind::GoneAtStart => self.gone_in_a_row + 1,
            FailureKind::Passing => 0,
        };
        if self.gone_in_a_row < GONE_IN_A_ROW_MAX {
            return Next::Continue;
        }
        self.gone_in_a_row = 0;
        Next::Rebuild
    }

    fn recovered(&mut self) {
        self.failures = 0;
        self.gone_in_a_row = 0;
    }

    fn list_done(&mut self, now: Instant) {
        self.recovered();
        self.listing = false;
        let quiet = self.last_list.is_none_or(|last| now.duration_since(last) > LIST_SPACING_RESET);
        self.lists = if quiet { 1 } else { self.lists.saturating_add(1) };
        self.last_list = Some(now);
    }

    /// When the next list may begin; `None` for at once.
    fn list_allowed_at(&self, now: Instant) -> Option<Instant> {
        let at = self.last_list? + LIST_SPACING.after(self.lists, 0.5);
        (at > now).then_some(at)
    }
}

fn config(selector: Option<&str>) -> Config {
    let config = Config::default().timeout(WATCH_SECONDS).page_size(PAGE_SIZE);
    match selector {
        Some(selector) => config.labels(selector),
        None => config,
    }
}

/// Which objects of a kind concern us: of the kinds that are not ours, those that belong to a set.
pub(crate) const fn selector(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::ScaleSet
        | Kind::ScaleSetVM
        | Kind::FlexVM
        | Kind::ScaleSetOperation
        | Kind::CapacityReservationGroup
        | Kind::AutoscaleSetting => None,
        Kind::ControllerRevision => Some(scaleset_crds::labels::SCALE_SET),
    }
}

fn failure_kind(error: &watcher::Error) -> FailureKind {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410 => FailureKind::GoneAtStart,
        watcher::Error::WatchStartFailed(_)
        | watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::WatchError(_)
        | watcher::Error::NoResourceVersion => FailureKind::Passing,
    }
}

fn describe(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(source) => format!("list: {}", failure::describe(source)),
        watcher::Error::WatchStartFailed(source) | watcher::Error::WatchFailed(source) => {
            format!("watch: {}", failure::describe(source))
        }
        watcher::Error::WatchError(status) => format!("watch: {} ({})", status.message, status.code),
        watcher::Error::NoResourceVersion => "watch: an object without a resource version".to_owned(),
    }
}

#[cfg(test)]
mod tests;
