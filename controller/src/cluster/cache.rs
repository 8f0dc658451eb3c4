//! The objects of one kind, as a watch has delivered them, found by key, by uid, by owner and by set.
//!
//! Every lookup costs what it returns, never the size of the cache. A list replaces everything at once when it is
//! complete; until then the old content stays. Each change is returned with the object before and after.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::Resource;
use scaleset_crds::reservation::CapacityReservationGroupReference;
use scaleset_crds::{
    AutoscaleSetting, CapacityReservationGroup, FlexVM, InstanceStatus, ScaleSet, ScaleSetOperation, ScaleSetVM,
};
use serde::de::DeserializeOwned;

use super::{Kind, ObjectKey};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A kind that is cached.
pub(crate) trait Cached:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
    /// Its kind.
    const KIND: Kind;

    /// The set that its spec refers to, by name.
    fn scale_set_name(&self) -> Option<&str>;

    /// The capacity reservation group that the model in its spec names.
    fn reservation_group(&self) -> Option<&CapacityReservationGroupReference> {
        None
    }

    /// Gives back the room that lists of its status have beyond what is in them: reading JSON leaves them up to twice as long
    /// as they are, and there are as many of them as instances.
    fn tighten(&mut self) {}
}

impl Cached for ScaleSet {
    const KIND: Kind = Kind::ScaleSet;

    fn scale_set_name(&self) -> Option<&str> {
        None
    }

    fn reservation_group(&self) -> Option<&CapacityReservationGroupReference> {
        self.spec.virtual_machine_profile.as_ref()?.capacity_reservation_group_ref.as_ref()
    }
}

impl Cached for ScaleSetVM {
    const KIND: Kind = Kind::ScaleSetVM;

    fn scale_set_name(&self) -> Option<&str> {
        Some(&self.spec.scale_set_ref.name)
    }

    fn tighten(&mut self) {
        self.status.iter_mut().for_each(tighten);
    }
}

impl Cached for FlexVM {
    const KIND: Kind = Kind::FlexVM;

    fn scale_set_name(&self) -> Option<&str> {
        // Whoever was accepted is a member until it has left, whatever its reference says by now.
        let accepted = self.status.as_ref().and_then(|status| status.scale_set.as_deref());
        accepted.or(self.spec.scale_set_ref.as_ref().map(|reference| reference.name.as_str()))
    }

    fn reservation_group(&self) -> Option<&CapacityReservationGroupReference> {
        self.spec.capacity_reservation_group_ref.as_ref()
    }

    fn tighten(&mut self) {
        self.status.iter_mut().for_each(tighten);
    }
}

fn tighten(status: &mut InstanceStatus) {
    status.conditions.shrink_to_fit();
    if let Some(view) = &mut status.instance_view {
        view.statuses.shrink_to_fit();
        view.disks.shrink_to_fit();
    }
}

impl Cached for ScaleSetOperation {
    const KIND: Kind = Kind::ScaleSetOperation;

    /// The target, which may also be a `FlexVM`: whoever asks looks at its kind.
    fn scale_set_name(&self) -> Option<&str> {
        Some(&self.spec.target.name)
    }
}

impl Cached for CapacityReservationGroup {
    const KIND: Kind = Kind::CapacityReservationGroup;

    fn scale_set_name(&self) -> Option<&str> {
        None
    }
}

impl Cached for AutoscaleSetting {
    const KIND: Kind = Kind::AutoscaleSetting;

    fn scale_set_name(&self) -> Option<&str> {
        Some(&self.spec.scale_target_ref.name)
    }
}

impl Cached for ControllerRevision {
    const KIND: Kind = Kind::ControllerRevision;

    fn scale_set_name(&self) -> Option<&str> {
        None
    }
}

/// One object before and after; one of the two is always there.
#[derive(Clone, Debug)]
pub(crate) struct Change<K> {
    pub(crate) before: Option<Arc<K>>,
    pub(crate) after: Option<Arc<K>>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Cache<K> {
    objects: HashMap<ObjectKey, Arc<K>>,
    by_uid: HashMap<String, ObjectKey>,
    by_owner: HashMap<String, BTreeSet<ObjectKey>>,
    by_set: HashMap<ObjectKey, BTreeSet<ObjectKey>>,
    by_group: HashMap<ObjectKey, BTreeSet<ObjectKey>>,
    /// The list under way.
    incoming: Vec<K>,
    /// What a list of its own has shown to be gone, and at which version: the watch may still deliver older events.
    gone_since: HashMap<ObjectKey, u64>,
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Self {
            objects: HashMap::new(),
            by_uid: HashMap::new(),
            by_owner: HashMap::new(),
            by_set: HashMap::new(),
            by_group: HashMap::new(),
            incoming: Vec::new(),
            gone_since: HashMap::new(),
        }
    }
}

impl<K: Cached> Cache<K> {
    pub(crate) fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.objects.get(key).map(Arc::clone)
    }

    pub(crate) fn by_uid(&self, uid: &str) -> Option<Arc<K>> {
        self.by_uid.get(uid).and_then(|key| self.get(key))
    }

    /// The uids of all objects, in no order.
    pub(crate) fn uids(&self) -> impl Iterator<Item = &String> {
        self.by_uid.keys()
    }

    /// Objects with an owner reference to that uid, sorted by name.
    pub(crate) fn owned_by(&self, uid: &str) -> Vec<Arc<K>> {
        self.by_owner.get(uid).into_iter().flatten().filter_map(|key| self.get(key)).collect()
    }

    /// Objects that the set owns or that refer to it by name, sorted by name.
    pub(crate) fn members(&self, set: &ObjectKey, set_uid: &str) -> Vec<Arc<K>> {
        let owned = self.by_owner.get(set_uid).into_iter().flatten();
        let referring = self.by_set.get(set).into_iter().flatten();
        let keys: BTreeSet<&ObjectKey> = owned.chain(referring).collect();
        keys.into_iter().filter_map(|key| self.get(key)).collect()
    }

    /// Objects that refer to that name, sorted by name.
    pub(crate) fn referring_to(&self, name: &ObjectKey) -> Vec<Arc<K>> {
        self.by_set.get(name).into_iter().flatten().filter_map(|key| self.get(key)).collect()
    }

    /// Objects whose model names that capacity reservation group, sorted by name.
    pub(crate) fn users_of_group(&self, group: &ObjectKey) -> Vec<Arc<K>> {
        self.by_group.get(group).into_iter().flatten().filter_map(|key| self.get(key)).collect()
    }

    pub(crate) fn keys(&self) -> Vec<ObjectKey> {
        self.objects.keys().cloned().collect()
    }

    /// An object was added or changed. An event older than what is known changes nothing.
    pub(crate) fn apply(&mut self, object: K) -> Option<Change<K>> {
        let (key, version) = (key_of(&object), version_of(&object));
        if self.gone_since.get(&key).is_some_and(|gone_at| version <= *gone_at) {
            return None;
        }
        self.gone_since.remove(&key);
        if self.objects.get(&key).is_some_and(|known| version < version_of(known.as_ref())) {
            return None;
        }
        Some(self.put(key, Arc::new(object)))
    }

    /// An object was deleted. The event of an earlier object of that name changes nothing.
    pub(crate) fn delete(&mut self, object: &K) -> Option<Change<K>> {
        let key = key_of(object);
        let same = self.objects.get(&key).is_some_and(|known| known.meta().uid == object.meta().uid);
        if same { self.take(&key) } else { None }
    }

    /// A list begins; one that was under way is dropped.
    pub(crate) fn begin_list(&mut self) {
        self.incoming = Vec::new();
    }

    /// An object of the list under way.
    pub(crate) fn list_object(&mut self, object: K) {
        self.incoming.push(object);
    }

    /// The list is complete: it is what there is.
    pub(crate) fn end_list(&mut self) -> Vec<Change<K>> {
        self.gone_since.clear();
        let listed: BTreeMap<ObjectKey, K> =
            std::mem::take(&mut self.incoming).into_iter().map(|object| (key_of(&object), object)).collect();
        let absent: BTreeSet<ObjectKey> =
            self.objects.keys().filter(|key| !listed.contains_key(*key)).cloned().collect();
        let removed = absent.iter().filter_map(|key| self.take(key)).collect::<Vec<_>>();
        let put = listed.into_iter().filter_map(|(key, object)| {
            let known = self.objects.get(&key);
            let same = known.is_some_and(|known| known.meta().resource_version == object.meta().resource_version);
            (!same).then(|| self.put(key, Arc::new(object)))
        });
        let put: Vec<_> = put.collect();
        removed.into_iter().chain(put).collect()
    }

    /// A list of one namespace, made beside the watch at `version`.
    pub(crate) fn replace_namespace(&mut self, namespace: &str, objects: Vec<K>, version: u64) -> Vec<Change<K>> {
        let listed: BTreeSet<ObjectKey> = objects.iter().map(key_of).collect();
        let in_namespace = self.objects.iter().filter(|(key, _)| key.namespace == namespace);
        let absent: Vec<ObjectKey> = in_namespace
            .filter(|(key, known)| !listed.contains(*key) && version_of(known.as_ref()) <= version)
            .map(|(key, _)| key.clone())
            .collect();
        let mut changes = Vec::new();
        for key in absent {
            changes.extend(self.take(&key));
            self.gone_since.insert(key, version);
        }
        for object in objects {
            let known = self.objects.get(&key_of(&object)).map(|known| version_of(known.as_ref()));
            if known.is_none_or(|known| known < version_of(&object)) {
                changes.extend(self.apply(object));
            }
        }
        changes
    }

    fn put(&mut self, key: ObjectKey, object: Arc<K>) -> Change<K> {
        let before = self.objects.insert(key.clone(), Arc::clone(&object));
        if let Some(before) = &before {
            self.unindex(&key, before);
        }
        if let Some(uid) = &object.meta().uid {
            self.by_uid.insert(uid.clone(), key.clone());
        }
        for owner in owners_of(object.as_ref()) {
            self.by_owner.entry(owner).or_default().insert(key.clone());
        }
        if let Some(group) = group_of(object.as_ref()) {
            self.by_group.entry(group).or_default().insert(key.clone());
        }
        if let Some(set) = set_of(object.as_ref()) {
            self.by_set.entry(set).or_default().insert(key);
        }
        Change { before, after: Some(object) }
    }

    fn take(&mut self, key: &ObjectKey) -> Option<Change<K>> {
        let before = self.objects.remove(key)?;
        self.unindex(key, &before);
        Some(Change { before: Some(before), after: None })
    }

    fn unindex(&mut self, key: &ObjectKey, object: &Arc<K>) {
        if let Some(uid) = &object.meta().uid {
            self.by_uid.remove(uid);
        }
        for owner in owners_of(object.as_ref()) {
            remove(&mut self.by_owner, &owner, key);
        }
        if let Some(group) = group_of(object.as_ref()) {
            remove(&mut self.by_group, &group, key);
        }
        if let Some(set) = set_of(object.as_ref()) {
            remove(&mut self.by_set, &set, key);
        }
    }
}

/// Drops what no pass reads and what would double the size of the cache.
pub(crate) fn prune<K: Cached>(object: &mut K) {
    object.tighten();
    let metadata = object.meta_mut();
    metadata.managed_fields = None;
    metadata.owner_references.iter_mut().for_each(Vec::shrink_to_fit);
    metadata.finalizers.iter_mut().for_each(Vec::shrink_to_fit);
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

pub(crate) fn key_of<K: Resource>(object: &K) -> ObjectKey {
    let metadata = object.meta();
    ObjectKey {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

/// The resource version as the ordered number that Kubernetes makes it; 0 where it is none.
pub(crate) fn version_of<K: Resource>(object: &K) -> u64 {
    object.meta().resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}

fn owners_of<K: Resource>(object: &K) -> BTreeSet<String> {
    object.meta().owner_references.iter().flatten().map(|owner| owner.uid.clone()).collect()
}

fn set_of<K: Cached>(object: &K) -> Option<ObjectKey> {
    let name = object.scale_set_name()?.to_owned();
    Some(ObjectKey { namespace: object.meta().namespace.clone().unwrap_or_default(), name })
}

/// The capacity reservation group that the object's model names.
pub(crate) fn group_of<K: Cached>(object: &K) -> Option<ObjectKey> {
    let own = object.meta().namespace.as_deref().unwrap_or_default();
    let reference = object.reservation_group()?;
    Some(ObjectKey { namespace: reference.namespace_for(own).to_owned(), name: reference.name.clone() })
}

fn remove<I: std::hash::Hash + Eq>(index: &mut HashMap<I, BTreeSet<ObjectKey>>, entry: &I, key: &ObjectKey) {
    if let Some(keys) = index.get_mut(entry) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(entry);
        }
    }
}

#[cfg(test)]
mod tests;
