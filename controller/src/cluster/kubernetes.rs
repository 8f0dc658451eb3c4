//! The real side of [`Cluster`]: a Kubernetes API server behind caches.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::ListParams;
use kube::{Api, Client};
use scaleset_crds::event::Occurrence;
use scaleset_crds::{AutoscaleSetting, CapacityReservationGroup, FlexVM, ScaleSet, ScaleSetOperation, ScaleSetVM};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};

use super::autoscaler::Autoscalers;
use super::events::Events;
use super::failure::{Outcome, describe};
use super::own_writes::{Cause, Gate, Scope, UNSEEN_MAX};
use super::store::{CacheChange, NamespaceList, Store, Stored};
use super::watch::{Delivery, Watch, WatchFailures, selector};
use super::watched::WatchedNamespaces;
use super::writer::{Call, Failed, Writer};
use super::{
    Cluster, ClusterError, EventType, Freshness, GroupUsers, Kind, Members, NewObject, Notice, ObjectId, ObjectKey,
};
use crate::metrics::Metrics;

/// Changes that are waiting to be told; a watch that finds no room waits.
const CHANGES_MAX: usize = 1024;
const LIST_MAX: Duration = Duration::from_secs(30);
const PAGE_SIZE: u32 = 500;
/// A hundred pages of one namespace: fifty times the largest set.
const PAGES_MAX: usize = 100;
/// While a list is made to settle an object's writes, its passes ask again after this long.
const LIST_WAIT: Duration = Duration::from_millis(100);

/// Changes of the cache, as they happen.
#[derive(Debug)]
pub struct Changes(mpsc::Receiver<CacheChange>);

impl Changes {
    /// Reads them and does nothing, for whoever only wants the cache.
    pub async fn ignore(mut self) {
        while self.0.recv().await.is_some() {}
    }

    pub(crate) async fn next(&mut self) -> Option<CacheChange> {
        self.0.recv().await
    }
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct KubernetesCluster {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    namespaces: WatchedNamespaces,
    store: Arc<Store>,
    writer: Writer,
    events: Events,
    metrics: Arc<Metrics>,
    changes: mpsc::Sender<CacheChange>,
    failures: Arc<WatchFailures>,
    autoscalers: Arc<Autoscalers>,
    /// One list beside the watches at a time: it settles what others wait for too.
    listing: tokio::sync::Mutex<()>,
}

/// The watches; they end when this is dropped.
#[derive(Debug)]
pub struct Watches(JoinSet<()>);

impl Watches {
    /// Waits for ever, unless a watch breaks, which is a defect of this program: `Err` then says how.
    pub async fn broken(&mut self) -> String {
        match self.0.join_next().await {
            Some(Err(error)) => format!("a watch broke: {error}"),
            Some(Ok(())) | None => "a watch ended".to_owned(),
        }
    }
}

impl KubernetesCluster {
    /// Starts the watches of those namespaces. The changes must be read, or the watches stand still.
    pub fn start(client: Client, namespaces: WatchedNamespaces, metrics: Arc<Metrics>) -> (Self, Changes, Watches) {
        let (sender, receiver) = mpsc::channel(CHANGES_MAX);
        let instance = std::env::var("HOSTNAME").unwrap_or_else(|_| scaleset_crds::FIELD_MANAGER.to_owned());
        let inner = Inner {
            store: Arc::default(),
            writer: Writer { client: client.clone(), metrics: Arc::clone(&metrics) },
            events: Events::new(client.clone(), Arc::clone(&metrics), instance),
            failures: Arc::default(),
            autoscalers: Arc::default(),
            listing: tokio::sync::Mutex::default(),
            changes: sender,
            metrics,
            namespaces,
            client,
        };
        let cluster = Self { inner: Arc::new(inner) };
        let mut watches = JoinSet::new();
        watches.spawn(cluster.watch().run::<ScaleSet>());
        watches.spawn(cluster.watch().run::<ScaleSetVM>());
        watches.spawn(cluster.watch().run::<FlexVM>());
        watches.spawn(cluster.watch().run::<ScaleSetOperation>());
        watches.spawn(cluster.watch().run::<CapacityReservationGroup>());
        watches.spawn(cluster.watch().run::<AutoscaleSetting>());
        watches.spawn(cluster.watch().run::<ControllerRevision>());
        watches.spawn(cluster.watch_into(Arc::clone(&cluster.inner.autoscalers)).run::<HorizontalPodAutoscaler>());
        (cluster, Changes(receiver), Watches(watches))
    }

    /// The namespaces whose objects it knows.
    pub fn namespaces(&self) -> &WatchedNamespaces {
        &self.inner.namespaces
    }

    /// Waits until every kind has been listed once, and autoscalers were asked for.
    pub async fn synced(&self) {
        let mut synced = self.inner.store.synced();
        // The sender lives as long as `self`.
        let _ = synced.wait_for(|kinds| Kind::ALL.iter().all(|kind| kinds.contains(kind))).await;
        self.inner.autoscalers.asked_for().await;
    }

    /// The kinds that have not been listed yet, autoscalers included.
    pub fn unsynced(&self) -> Vec<&'static str> {
        let synced = self.inner.store.synced();
        let kinds = synced.borrow();
        let own = Kind::ALL.into_iter().filter(|kind| !kinds.contains(kind)).map(Kind::as_str);
        own.chain((!self.inner.autoscalers.is_asked_for()).then_some("HorizontalPodAutoscaler")).collect()
    }

    /// What the watches fail with at the moment.
    pub fn watch_failures(&self) -> Vec<(Kind, String)> {
        self.inner.failures.current()
    }

    /// The keys of every object of a kind, in no order.
    pub(crate) fn keys(&self, kind: Kind) -> Vec<ObjectKey> {
        let store = &self.inner.store;
        match kind {
            Kind::ScaleSet => store.read::<ScaleSet>().keys(),
            Kind::ScaleSetVM => store.read::<ScaleSetVM>().keys(),
            Kind::FlexVM => store.read::<FlexVM>().keys(),
            Kind::ScaleSetOperation => store.read::<ScaleSetOperation>().keys(),
            Kind::CapacityReservationGroup => store.read::<CapacityReservationGroup>().keys(),
            Kind::AutoscaleSetting => store.read::<AutoscaleSetting>().keys(),
            Kind::ControllerRevision => store.read::<ControllerRevision>().keys(),
        }
    }

    /// The uids of all instances, of either kind.
    pub(crate) fn instance_uids(&self) -> BTreeSet<String> {
        let store = &self.inner.store;
        let mut uids: BTreeSet<String> = store.read::<ScaleSetVM>().uids().cloned().collect();
        uids.extend(store.read::<FlexVM>().uids().cloned());
        uids
    }

    fn watch(&self) -> Watch<Delivery> {
        let inner = &self.inner;
        self.watch_into(Delivery {
            store: Arc::clone(&inner.store),
            changes: inner.changes.clone(),
            failures: Arc::clone(&inner.failures),
        })
    }

    fn watch_into<S>(&self, sink: S) -> Watch<S> {
        let inner = &self.inner;
        let (client, namespaces) = (inner.client.clone(), inner.namespaces.clone());
        Watch { client, namespaces, metrics: Arc::clone(&inner.metrics), sink }
    }

    /// Sends a write and remembers what the cache must show of it, also when this is dropped on the way.
    async fn write(&self, on_behalf_of: &str, call: Call) -> Result<(), ClusterError> {
        let in_doubt = self.inner.store.begin_write(on_behalf_of, (call.kind, call.key.namespace.clone()));
        match self.inner.writer.send(call, on_behalf_of).await {
            Ok(expectation) => {
                in_doubt.done(expectation);
                Ok(())
            }
            Err(Failed { error, outcome }) => {
                match outcome {
                    Outcome::Unknown => drop(in_doubt),
                    Outcome::NotDone => in_doubt.not_done(),
                }
                Err(error)
            }
        }
    }

    /// Sends a write that carries uid and version of what it is about.
    async fn guarded(&self, on_behalf_of: &str, call: Call, target: &ObjectId) -> Result<(), ClusterError> {
        match self.write(on_behalf_of, call).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.told_apart(error, target).await),
        }
    }

    /// The API refuses a write to a recreated object like one to a changed object; only the live uid tells.
    async fn told_apart(&self, error: ClusterError, target: &ObjectId) -> ClusterError {
        let ClusterError::Conflict { kind, namespace, name } = error else { return error };
        match self.inner.writer.live_uid(target.kind, &target.key).await {
            Ok(Some(uid)) if uid == target.uid => ClusterError::Conflict { kind, namespace, name },
            Ok(_) => ClusterError::Gone { kind, namespace, name },
            Err(_) => ClusterError::Conflict { kind, namespace, name },
        }
    }

    async fn list_scopes(self, owner: String, cause: Cause, scopes: BTreeSet<Scope>) {
        match cause {
            Cause::UnknownOutcome => info!(on_behalf_of = %owner, "outcome of a write is not known, listing"),
            Cause::Unseen => {
                warn!(on_behalf_of = %owner, seconds = UNSEEN_MAX.as_secs(), "write not seen by the watch, listing");
                self.tell_unseen(&owner).await;
            }
        }
        for scope in scopes {
            if let Err(message) = self.list_scope(&scope).await {
                warn!(kind = %scope.0, namespace = %scope.1, error = %message, "list failed");
            }
        }
        self.inner.store.list_ended(&owner);
    }

    async fn list_scope(&self, scope: &Scope) -> Result<(), String> {
        let _turn = self.inner.listing.lock().await;
        if !self.inner.store.is_pending(scope) {
            return Ok(());
        }
        let (kind, namespace) = scope;
        match kind {
            Kind::ScaleSet => self.list_namespace::<ScaleSet>(namespace).await,
            Kind::ScaleSetVM => self.list_namespace::<ScaleSetVM>(namespace).await,
            Kind::FlexVM => self.list_namespace::<FlexVM>(namespace).await,
            Kind::ScaleSetOperation => self.list_namespace::<ScaleSetOperation>(namespace).await,
            Kind::CapacityReservationGroup => self.list_namespace::<CapacityReservationGroup>(namespace).await,
            Kind::AutoscaleSetting => self.list_namespace::<AutoscaleSetting>(namespace).await,
            Kind::ControllerRevision => self.list_namespace::<ControllerRevision>(namespace).await,
        }
    }

    async fn list_namespace<K>(&self, namespace: &str) -> Result<(), String>
    where
        K: Stored + kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
    {
        self.inner.metrics.listed(K::KIND.as_str());
        let begun_at = Instant::now();
        let api: Api<K> = Api::namespaced(self.inner.client.clone(), namespace);
        let (objects, version) = timeout(LIST_MAX, list_all(&api))
            .await
            .map_err(|_| format!("no answer within {} s", LIST_MAX.as_secs()))??;
        let list = NamespaceList { namespace: namespace.to_owned(), objects, version, begun_at };
        for change in self.inner.store.observe_list(list) {
            // Nobody listens any more when the process ends.
            let _ = self.inner.changes.send(change).await;
        }
        Ok(())
    }

    async fn tell_unseen(&self, owner: &str) {
        let Some((kind, key)) = self.inner.store.find_owner(owner) else { return };
        let notice = Notice {
            regarding: ObjectId { kind, key, uid: owner.to_owned(), resource_version: String::new() },
            event_type: EventType::Warning,
            reason: Occurrence::CacheBehind.into(),
            action: "List".to_owned(),
            note: format!("the watch did not deliver a write within {} s, listing instead", UNSEEN_MAX.as_secs()),
        };
        if let Err(error) = self.publish(notice).await {
            warn!(on_behalf_of = %owner, error = %error, "event lost");
        }
    }
}

/// Every object of the scope and the version of the list, most recent state, page by page.
async fn list_all<K: Stored>(api: &Api<K>) -> Result<(Vec<K>, u64), String> {
    let mut parameters = ListParams::default().limit(PAGE_SIZE);
    parameters.label_selector = selector(K::KIND).map(str::to_owned);
    let mut objects = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = api.list(&parameters).await.map_err(|error| describe(&error))?;
        objects.extend(page.items);
        parameters.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if parameters.continue_token.is_none() {
            let version = page.metadata.resource_version.and_then(|version| version.parse().ok());
            return version.map(|version| (objects, version)).ok_or_else(|| "a list without a version".to_owned());
        }
    }
    Err(format!("more than {PAGES_MAX} pages"))
}

#[async_trait]
impl Cluster for KubernetesCluster {
    fn scale_set(&self, key: &ObjectKey) -> Option<Arc<ScaleSet>> {
        self.inner.store.read::<ScaleSet>().get(key)
    }

    fn scale_set_vm(&self, key: &ObjectKey) -> Option<Arc<ScaleSetVM>> {
        self.inner.store.read::<ScaleSetVM>().get(key)
    }

    fn flex_vm(&self, key: &ObjectKey) -> Option<Arc<FlexVM>> {
        self.inner.store.read::<FlexVM>().get(key)
    }

    fn operation(&self, key: &ObjectKey) -> Option<Arc<ScaleSetOperation>> {
        self.inner.store.read::<ScaleSetOperation>().get(key)
    }

    fn operations(&self, target: &ObjectKey) -> Vec<Arc<ScaleSetOperation>> {
        self.inner.store.read::<ScaleSetOperation>().referring_to(target)
    }

    fn reservation_group(&self, key: &ObjectKey) -> Option<Arc<CapacityReservationGroup>> {
        self.inner.store.read::<CapacityReservationGroup>().get(key)
    }

    fn users_of_group(&self, group: &ObjectKey) -> GroupUsers {
        GroupUsers {
            scale_sets: self.inner.store.read::<ScaleSet>().users_of_group(group),
            flex_vms: self.inner.store.read::<FlexVM>().users_of_group(group),
        }
    }

    fn autoscale_setting(&self, key: &ObjectKey) -> Option<Arc<AutoscaleSetting>> {
        self.inner.store.read::<AutoscaleSetting>().get(key)
    }

    fn autoscale_settings(&self, set: &ObjectKey) -> Vec<Arc<AutoscaleSetting>> {
        self.inner.store.read::<AutoscaleSetting>().referring_to(set)
    }

    fn members(&self, set: &ObjectKey, set_uid: &str) -> Members {
        Members {
            scale_set_vms: self.inner.store.read::<ScaleSetVM>().members(set, set_uid),
            flex_vms: self.inner.store.read::<FlexVM>().members(set, set_uid),
        }
    }

    fn revisions(&self, set_uid: &str) -> Vec<Arc<ControllerRevision>> {
        self.inner.store.read::<ControllerRevision>().owned_by(set_uid)
    }

    fn revision(&self, key: &ObjectKey) -> Option<Arc<ControllerRevision>> {
        self.inner.store.read::<ControllerRevision>().get(key)
    }

    fn autoscaler_wish(&self, set: &ObjectKey) -> Result<Option<i32>, ClusterError> {
        self.inner.autoscalers.wish(set)
    }

    fn has_autoscaler(&self, set: &ObjectKey) -> Result<bool, ClusterError> {
        self.inner.autoscalers.scale(set)
    }

    fn freshness(&self, on_behalf_of: &str) -> Freshness {
        match self.inner.store.gate(on_behalf_of) {
            Gate::Current => Freshness::Current,
            Gate::Behind(wait) => {
                self.inner.metrics.skipped_stale();
                Freshness::Behind(wait)
            }
            Gate::ListDue(cause, scopes) => {
                self.inner.metrics.skipped_stale();
                tokio::spawn(self.clone().list_scopes(on_behalf_of.to_owned(), cause, scopes));
                Freshness::Behind(LIST_WAIT)
            }
        }
    }

    async fn create(&self, on_behalf_of: &str, object: NewObject) -> Result<(), ClusterError> {
        self.write(on_behalf_of, Call::create(&object)).await
    }

    async fn patch(&self, on_behalf_of: &str, target: &ObjectId, merge_patch: Value) -> Result<(), ClusterError> {
        self.guarded(on_behalf_of, Call::patch(target, merge_patch), target).await
    }

    async fn scale(&self, on_behalf_of: &str, set: &ObjectId, replicas: i32) -> Result<(), ClusterError> {
        self.guarded(on_behalf_of, Call::scale(set, replicas), set).await
    }

    async fn apply_status(&self, on_behalf_of: &str, target: &ObjectId, status: Value) -> Result<(), ClusterError> {
        self.write(on_behalf_of, Call::apply_status(target, &status)).await
    }

    async fn delete(&self, on_behalf_of: &str, target: &ObjectId) -> Result<(), ClusterError> {
        self.guarded(on_behalf_of, Call::delete(target), target).await
    }

    async fn publish(&self, notice: Notice) -> Result<(), ClusterError> {
        self.inner.events.publish(notice).await
    }
}

#[cfg(test)]
mod tests;
