//! Everything that the watches have delivered, and what the passes have written and not yet seen.
//!
//! The order in here is what read-your-own-writes rests on: an event reaches the cache first and counts as seen after.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::runtime::watcher::Event;
use scaleset_crds::{AutoscaleSetting, CapacityReservationGroup, FlexVM, ScaleSet, ScaleSetOperation, ScaleSetVM};
use tokio::sync::watch;

use super::cache::{Cache, Cached, Change, key_of, prune, version_of};
use super::own_writes::{Expectation, Gate, OwnWrites, Scope};
use super::{Kind, ObjectKey};

/// A change of any kind.
#[derive(Clone, Debug)]
pub(crate) enum CacheChange {
    ScaleSet(Change<ScaleSet>),
    ScaleSetVM(Change<ScaleSetVM>),
    FlexVM(Change<FlexVM>),
    ScaleSetOperation(Change<ScaleSetOperation>),
    CapacityReservationGroup(Change<CapacityReservationGroup>),
    AutoscaleSetting(Change<AutoscaleSetting>),
    ControllerRevision(Change<ControllerRevision>),
}

/// A kind that has a place in the store.
pub(crate) trait Stored: Cached {
    fn cache(store: &Store) -> &RwLock<Cache<Self>>;
    fn change(change: Change<Self>) -> CacheChange;
}

macro_rules! stored {
    ($kind:ident, $field:ident) => {
        impl Stored for $kind {
            fn cache(store: &Store) -> &RwLock<Cache<Self>> {
                &store.$field
            }

            fn change(change: Change<Self>) -> CacheChange {
                CacheChange::$kind(change)
            }
        }
    };
}

stored!(ScaleSet, scale_sets);
stored!(ScaleSetVM, scale_set_vms);
stored!(FlexVM, flex_vms);
stored!(ScaleSetOperation, operations);
stored!(CapacityReservationGroup, reservation_groups);
stored!(AutoscaleSetting, autoscale_settings);
stored!(ControllerRevision, revisions);

/// See the module.
#[derive(Debug)]
pub(crate) struct Store {
    scale_sets: RwLock<Cache<ScaleSet>>,
    scale_set_vms: RwLock<Cache<ScaleSetVM>>,
    flex_vms: RwLock<Cache<FlexVM>>,
    operations: RwLock<Cache<ScaleSetOperation>>,
    reservation_groups: RwLock<Cache<CapacityReservationGroup>>,
    autoscale_settings: RwLock<Cache<AutoscaleSetting>>,
    revisions: RwLock<Cache<ControllerRevision>>,
    own_writes: Mutex<OwnWrites>,
    synced: watch::Sender<BTreeSet<Kind>>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            scale_sets: RwLock::default(),
            scale_set_vms: RwLock::default(),
            flex_vms: RwLock::default(),
            operations: RwLock::default(),
            reservation_groups: RwLock::default(),
            autoscale_settings: RwLock::default(),
            revisions: RwLock::default(),
            own_writes: Mutex::default(),
            synced: watch::Sender::new(BTreeSet::new()),
        }
    }
}

impl Store {
    /// Reads the cache of a kind. The guard is not to be held across a wait.
    pub(crate) fn read<K: Stored>(&self) -> RwLockReadGuard<'_, Cache<K>> {
        K::cache(self).read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in one event of a watch.
    pub(crate) fn observe<K: Stored>(&self, event: Event<K>) -> Vec<CacheChange> {
        let changes = match event {
            Event::Init => {
                self.write::<K>().begin_list();
                self.own_writes().list_begun(K::KIND);
                Vec::new()
            }
            Event::InitApply(mut object) => {
                prune(&mut object);
                self.own_writes().seen_in_list(K::KIND, version_of(&object));
                self.write::<K>().list_object(object);
                Vec::new()
            }
            Event::InitDone => {
                let changes = self.write::<K>().end_list();
                self.own_writes().list_done(K::KIND);
                self.synced.send_if_modified(|synced| synced.insert(K::KIND));
                changes
            }
            Event::Apply(mut object) => {
                prune(&mut object);
                let version = version_of(&object);
                let change = self.write::<K>().apply(object);
                self.own_writes().seen(K::KIND, version);
                change.into_iter().collect()
            }
            Event::Delete(object) => {
                let change = self.write::<K>().delete(&object);
                self.own_writes().seen(K::KIND, version_of(&object));
                change.into_iter().collect()
            }
        };
        self.publish(changes)
    }

    /// Takes in a list of one namespace that was begun at `begun_at`, beside the watch.
    pub(crate) fn observe_list<K: Stored>(&self, list: NamespaceList<K>) -> Vec<CacheChange> {
        let NamespaceList { namespace, mut objects, version, begun_at } = list;
        objects.iter_mut().for_each(prune);
        let changes = self.write::<K>().replace_namespace(&namespace, objects, version);
        self.own_writes().listed(&(K::KIND, namespace), begun_at);
        self.publish(changes)
    }

    /// Notes that a write is about to be sent on behalf of `owner`. It stays in doubt until its answer is told.
    pub(crate) fn begin_write<'write>(&'write self, owner: &'write str, scope: Scope) -> InDoubt<'write> {
        InDoubt { store: self, owner, scope: Some(scope) }
    }

    /// Notes a write that succeeded, or ended in doubt.
    fn wrote(&self, owner: &str, scope: Scope, expectation: Expectation) {
        if let Expectation::Removal { key, uid } = &expectation
            && self.uid_of(scope.0, key).as_ref() != Some(uid)
        {
            return;
        }
        self.own_writes().wrote(owner, scope, expectation, Instant::now());
    }

    pub(crate) fn gate(&self, owner: &str) -> Gate {
        self.own_writes().gate(owner, Instant::now(), |kind, key| self.uid_of(kind, key))
    }

    pub(crate) fn is_pending(&self, scope: &Scope) -> bool {
        self.own_writes().is_pending(scope)
    }

    pub(crate) fn list_ended(&self, owner: &str) {
        self.own_writes().list_ended(owner);
    }

    /// The kinds whose first list is complete, as it grows.
    pub(crate) fn synced(&self) -> watch::Receiver<BTreeSet<Kind>> {
        self.synced.subscribe()
    }

    /// The uid of what the cache has under that name.
    pub(crate) fn uid_of(&self, kind: Kind, key: &ObjectKey) -> Option<String> {
        match kind {
            Kind::ScaleSet => self.cached_uid::<ScaleSet>(key),
            Kind::ScaleSetVM => self.cached_uid::<ScaleSetVM>(key),
            Kind::FlexVM => self.cached_uid::<FlexVM>(key),
            Kind::ScaleSetOperation => self.cached_uid::<ScaleSetOperation>(key),
            Kind::CapacityReservationGroup => self.cached_uid::<CapacityReservationGroup>(key),
            Kind::AutoscaleSetting => self.cached_uid::<AutoscaleSetting>(key),
            Kind::ControllerRevision => self.cached_uid::<ControllerRevision>(key),
        }
    }

    /// The kind and the key of the object with that uid, if it is one on whose behalf passes write.
    pub(crate) fn find_owner(&self, uid: &str) -> Option<(Kind, ObjectKey)> {
        fn find<K: Stored>(store: &Store, uid: &str) -> Option<(Kind, ObjectKey)> {
            store.read::<K>().by_uid(uid).map(|object| (K::KIND, key_of(object.as_ref())))
        }
        find::<ScaleSet>(self, uid)
            .or_else(|| find::<ScaleSetVM>(self, uid))
            .or_else(|| find::<FlexVM>(self, uid))
            .or_else(|| find::<ScaleSetOperation>(self, uid))
            .or_else(|| find::<CapacityReservationGroup>(self, uid))
            .or_else(|| find::<AutoscaleSetting>(self, uid))
    }

    fn cached_uid<K: Stored>(&self, key: &ObjectKey) -> Option<String> {
        self.read::<K>().get(key).and_then(|object| object.meta().uid.clone())
    }

    fn write<K: Stored>(&self) -> RwLockWriteGuard<'_, Cache<K>> {
        K::cache(self).write().unwrap_or_else(PoisonError::into_inner)
    }

    fn own_writes(&self) -> MutexGuard<'_, OwnWrites> {
        self.own_writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is gone will not be decided on again.
    fn publish<K: Stored>(&self, changes: Vec<Change<K>>) -> Vec<CacheChange> {
        for change in &changes {
            let after = change.after.as_ref().and_then(|object| object.meta().uid.as_ref());
            let before = change.before.as_ref().and_then(|object| object.meta().uid.as_ref());
            if let Some(uid) = before.filter(|uid| Some(*uid) != after) {
                self.own_writes().forget(uid);
            }
        }
        changes.into_iter().map(K::change).collect()
    }
}

/// A write whose answer is not known. A pass can be cut off or panic while it waits for one: dropped without an answer,
/// this notes that the write may have been carried out, so that the next pass does not decide on a cache without it.
#[derive(Debug)]
pub(crate) struct InDoubt<'write> {
    store: &'write Store,
    owner: &'write str,
    /// None once the answer is told.
    scope: Option<Scope>,
}

impl InDoubt<'_> {
    /// It was carried out.
    pub(crate) fn done(mut self, expectation: Expectation) {
        if let Some(scope) = self.scope.take() {
            self.store.wrote(self.owner, scope, expectation);
        }
    }

    /// It was refused, or never reached the API.
    pub(crate) fn not_done(mut self) {
        self.scope = None;
    }
}

impl Drop for InDoubt<'_> {
    fn drop(&mut self) {
        if let Some(scope) = self.scope.take() {
            self.store.wrote(self.owner, scope, Expectation::Unknown);
        }
    }
}

/// What a list of one namespace brought, made beside the watch.
#[derive(Debug)]
pub(crate) struct NamespaceList<K> {
    pub(crate) namespace: String,
    pub(crate) objects: Vec<K>,
    /// Resource version of the list.
    pub(crate) version: u64,
    /// When it was asked for.
    pub(crate) begun_at: Instant,
}
