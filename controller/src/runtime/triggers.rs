//! Which objects a change concerns.
//!
//! A change of an object concerns itself; one of a set's status, which nobody but its own pass writes, does not call back a
//! pass that fails. A member concerns its set, the one before too when it has moved. A set
//! concerns its members only when its spec changed, or when it came or goes: what they are to be depends on nothing
//! else of it; whose eviction it has noted waits for that. What changes in a set or a member concerns the operations on it that have not ended. A revision concerns its set, and those that are to follow it once it is there.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use scaleset_crds::operation::OperationTargetKind;
use scaleset_crds::{AutoscaleSetting, CapacityReservationGroup, ScaleSet, ScaleSetOperation, labels};
use scaleset_hardware::Owner;

use super::queue::When;
use crate::cluster::cache::{Cached, Change, key_of};
use crate::cluster::store::CacheChange;
use crate::cluster::{Cluster, GroupUsers, Members, ObjectKey};
use crate::instance::InstanceKind;

/// One object that is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    Set(ObjectKey, When),
    Instance(InstanceKind, ObjectKey),
    Operation(ObjectKey, When),
    ReservationGroup(ObjectKey, When),
    AutoscaleSetting(ObjectKey, When),
}

/// Whom a change of the cache concerns.
pub(crate) fn triggers(change: &CacheChange, cluster: &dyn Cluster) -> Vec<Trigger> {
    match change {
        CacheChange::ScaleSet(change) => of_set(change, cluster),
        CacheChange::ScaleSetVM(change) => of_instance(InstanceKind::ScaleSetVM, change, cluster),
        CacheChange::FlexVM(change) => of_instance(InstanceKind::FlexVM, change, cluster),
        CacheChange::ScaleSetOperation(change) => of_operation(change, cluster),
        CacheChange::CapacityReservationGroup(change) => of_group(change, cluster),
        CacheChange::AutoscaleSetting(change) => of_setting(change, cluster),
        CacheChange::ControllerRevision(change) => of_revision(change, cluster),
    }
}

/// Whom a change of a machine concerns; an owner of a kind that we do not know concerns nobody.
pub(crate) fn of_machine(owner: &Owner) -> Option<Trigger> {
    let Owner { kind, namespace, name, set_uid: _, instance_number: _ } = owner;
    let kind = match kind.as_str() {
        "ScaleSetVM" => InstanceKind::ScaleSetVM,
        "FlexVM" => InstanceKind::FlexVM,
        _ => return None,
    };
    Some(Trigger::Instance(kind, ObjectKey { namespace: namespace.clone(), name: name.clone() }))
}

fn of_set(change: &Change<ScaleSet>, cluster: &dyn Cluster) -> Vec<Trigger> {
    let Change { before, after } = change;
    // One that is gone has its pass too: what was told of it is taken back.
    let keys: BTreeSet<ObjectKey> = before.iter().chain(after).map(|set| key_of(set.as_ref())).collect();
    let when = if is_own_status(change) { When::NowUnlessFailing } else { When::Now };
    let mut triggers: Vec<Trigger> = keys.into_iter().map(|key| Trigger::Set(key, when)).collect();
    let model = |set: &Arc<ScaleSet>| {
        let metadata = &set.metadata;
        (metadata.uid.clone(), metadata.generation, metadata.deletion_timestamp.is_some())
    };
    if before.as_ref().map(model) != after.as_ref().map(model) {
        let ids: BTreeSet<(ObjectKey, &str)> = before
            .iter()
            .chain(after)
            .map(|set| (key_of(set.as_ref()), set.metadata.uid.as_deref().unwrap_or_default()))
            .collect();
        triggers.extend(ids.iter().flat_map(|(key, _)| of_settings(key, cluster)));
        triggers.extend(ids.iter().flat_map(|(key, uid)| of_members(&cluster.members(key, uid)).collect::<Vec<_>>()));
    }
    // Settings wait for a set to have looked at its newest spec: they do not know before how many VMs it is to make.
    let looked_at = |set: &Arc<ScaleSet>| set.status.as_ref().and_then(|status| status.observed_generation);
    if before.as_ref().map(looked_at) != after.as_ref().map(looked_at) {
        triggers.extend(after.iter().flat_map(|set| of_settings(&key_of(set.as_ref()), cluster)));
    }
    triggers.extend(noted(change, cluster));
    let keys: BTreeSet<ObjectKey> = before.iter().chain(after).map(|set| key_of(set.as_ref())).collect();
    triggers.extend(keys.iter().flat_map(|key| waiting_operations(key, cluster)));
    triggers
}

/// Whether nothing but the set's status has changed.
fn is_own_status(change: &Change<ScaleSet>) -> bool {
    let Change { before: Some(before), after: Some(after) } = change else { return false };
    let rest = |set: &Arc<ScaleSet>| ObjectMeta { resource_version: None, ..set.metadata.clone() };
    before.spec == after.spec && rest(before) == rest(after)
}

/// Members whose eviction the set has noted: they wait for that.
fn noted(change: &Change<ScaleSet>, cluster: &dyn Cluster) -> Vec<Trigger> {
    let notes = |set: Option<&Arc<ScaleSet>>| -> BTreeSet<String> {
        let status = set.and_then(|set| set.status.as_ref());
        status.iter().flat_map(|status| &status.evictions).map(|note| note.uid.clone()).collect()
    };
    let Some(set) = &change.after else { return Vec::new() };
    let new: BTreeSet<String> = &notes(Some(set)) - &notes(change.before.as_ref());
    if new.is_empty() {
        return Vec::new();
    }
    let is_new = |metadata: &ObjectMeta| metadata.uid.as_ref().is_some_and(|uid| new.contains(uid));
    let mut members = cluster.members(&key_of(set.as_ref()), set.metadata.uid.as_deref().unwrap_or_default());
    members.scale_set_vms.retain(|vm| is_new(&vm.metadata));
    members.flex_vms.retain(|vm| is_new(&vm.metadata));
    of_members(&members).collect()
}

/// Operations with a target of that name that have not ended.
fn waiting_operations(target: &ObjectKey, cluster: &dyn Cluster) -> Vec<Trigger> {
    let operations = cluster.operations(target);
    let waiting = operations
        .iter()
        .filter(|operation| operation.status.as_ref().is_none_or(|status| status.completion_time.is_none()));
    waiting.map(|operation| Trigger::Operation(key_of(operation.as_ref()), When::Spaced)).collect()
}

/// Itself; its set, which carries some out; those that wait for their turn behind it; and, once it is settled which VMs it
/// is about, these.
fn of_operation(change: &Change<ScaleSetOperation>, cluster: &dyn Cluster) -> Vec<Trigger> {
    let Change { before, after } = change;
    let mut triggers = Vec::new();
    let Some(operation) = after.as_ref().or(before.as_ref()) else { return triggers };
    triggers.extend(after.iter().map(|after| Trigger::Operation(key_of(after.as_ref()), When::Now)));
    let target = key_in(&operation.metadata, &operation.spec.target.name);
    let ended = |operation: &Arc<ScaleSetOperation>| {
        operation.status.as_ref().is_some_and(|status| status.completion_time.is_some())
    };
    if after.as_ref().is_none_or(ended) {
        triggers.extend(waiting_operations(&target, cluster));
    }
    match operation.spec.target.kind {
        OperationTargetKind::ScaleSet => triggers.push(Trigger::Set(target, When::Now)),
        OperationTargetKind::FlexVM => {}
    }
    let instances = |operation: &Arc<ScaleSetOperation>| {
        operation.status.as_ref().map(|status| status.instances.clone()).unwrap_or_default()
    };
    let settled = after.as_ref().map(instances).unwrap_or_default();
    if before.as_ref().map(instances).unwrap_or_default() != settled {
        triggers.extend(settled.iter().map(|instance| {
            let key = key_in(&operation.metadata, &instance.name);
            let kind = match cluster.scale_set_vm(&key) {
                Some(vm) if vm.metadata.uid.as_ref() == Some(&instance.uid) => InstanceKind::ScaleSetVM,
                Some(_) | None => InstanceKind::FlexVM,
            };
            Trigger::Instance(kind, key)
        }));
    }
    triggers
}

/// Itself; the sets that name it, which tell what it covers; and where it comes, goes or is shared otherwise, the VMs that
/// name it, which may have waited for that.
fn of_group(change: &Change<CapacityReservationGroup>, cluster: &dyn Cluster) -> Vec<Trigger> {
    let Change { before, after } = change;
    let keys: BTreeSet<ObjectKey> = before.iter().chain(after).map(|group| key_of(group.as_ref())).collect();
    let mut triggers: Vec<Trigger> = keys.iter().map(|key| Trigger::ReservationGroup(key.clone(), When::Now)).collect();
    let offer = |group: &Arc<CapacityReservationGroup>| {
        let reserved = group.status.iter().flat_map(|status| &status.capacity_reservations);
        let reserved: Vec<_> = reserved.map(|one| (one.reservation_id.clone(), one.current_capacity)).collect();
        (group.metadata.uid.clone(), group.metadata.generation, reserved)
    };
    let offers_otherwise = before.as_ref().map(offer) != after.as_ref().map(offer);
    for key in &keys {
        let GroupUsers { scale_sets, flex_vms } = cluster.users_of_group(key);
        triggers.extend(scale_sets.iter().map(|set| Trigger::Set(key_of(set.as_ref()), When::Spaced)));
        if offers_otherwise {
            let vms = flex_vms.iter().map(|vm| Trigger::Instance(InstanceKind::FlexVM, key_of(vm.as_ref())));
            triggers.extend(vms);
        }
    }
    triggers
}

/// Itself where its wish changed; where it comes, goes or is switched, those that are about the same set; and the set, whose
/// drop of the target its record may confirm.
fn of_setting(change: &Change<AutoscaleSetting>, cluster: &dyn Cluster) -> Vec<Trigger> {
    let Change { before, after } = change;
    let Some(setting) = after.as_ref().or(before.as_ref()) else { return Vec::new() };
    let wish = |setting: &Arc<AutoscaleSetting>| {
        let metadata = &setting.metadata;
        (metadata.uid.clone(), metadata.generation, metadata.deletion_timestamp.is_some())
    };
    let decided =
        |setting: &Arc<AutoscaleSetting>| setting.status.as_ref().and_then(|status| status.last_scale_action.clone());
    let target = key_in(&setting.metadata, &setting.spec.scale_target_ref.name);
    let mut triggers = Vec::new();
    if before.as_ref().map(wish) != after.as_ref().map(wish) {
        triggers.push(Trigger::AutoscaleSetting(key_of(setting.as_ref()), When::Now));
        triggers.extend(of_settings(&target, cluster));
    }
    if before.as_ref().map(decided) != after.as_ref().map(decided) {
        triggers.push(Trigger::Set(target, When::Spaced));
    }
    triggers
}

/// Those that are about a set of that name.
fn of_settings(set: &ObjectKey, cluster: &dyn Cluster) -> Vec<Trigger> {
    let settings = cluster.autoscale_settings(set);
    settings.iter().map(|setting| Trigger::AutoscaleSetting(key_of(setting.as_ref()), When::Spaced)).collect()
}

fn of_members(members: &Members) -> impl Iterator<Item = Trigger> {
    let Members { scale_set_vms, flex_vms } = members;
    let uniform = scale_set_vms.iter().map(|vm| Trigger::Instance(InstanceKind::ScaleSetVM, key_of(vm.as_ref())));
    let flexible = flex_vms.iter().map(|vm| Trigger::Instance(InstanceKind::FlexVM, key_of(vm.as_ref())));
    uniform.chain(flexible)
}

fn of_instance<K: Cached>(kind: InstanceKind, change: &Change<K>, cluster: &dyn Cluster) -> Vec<Trigger> {
    let Change { before, after } = change;
    // One that is gone has nothing left to look at.
    let own = after.iter().map(|object| Trigger::Instance(kind, key_of(object.as_ref())));
    let sets: BTreeSet<ObjectKey> = before.iter().chain(after).flat_map(|object| sets_of(object.as_ref())).collect();
    let itself =
        before.iter().chain(after).map(|object| key_of(object.as_ref())).filter(|_| kind == InstanceKind::FlexVM);
    let targets: BTreeSet<ObjectKey> = sets.iter().cloned().chain(itself).collect();
    let operations = targets.iter().flat_map(|target| waiting_operations(target, cluster));
    own.chain(sets.iter().map(|set| Trigger::Set(set.clone(), When::Spaced))).chain(operations).collect()
}

fn of_revision(change: &Change<ControllerRevision>, cluster: &dyn Cluster) -> Vec<Trigger> {
    let Change { before, after } = change;
    let sets: BTreeSet<ObjectKey> =
        before.iter().chain(after).flat_map(|object| owning_sets(&object.metadata)).collect();
    let mut triggers: Vec<Trigger> = sets.into_iter().map(|set| Trigger::Set(set, When::Spaced)).collect();
    if let (None, Some(revision)) = (before, after) {
        triggers.extend(followers(revision, cluster));
    }
    triggers
}

/// Those that waited for the revision.
fn followers(revision: &ControllerRevision, cluster: &dyn Cluster) -> Vec<Trigger> {
    let name = revision.metadata.name.as_deref().unwrap_or_default();
    let mut followers = Vec::new();
    for owner in revision.metadata.owner_references.iter().flatten() {
        let set = key_in(&revision.metadata, &owner.name);
        let Members { mut scale_set_vms, mut flex_vms } = cluster.members(&set, &owner.uid);
        scale_set_vms.retain(|vm| vm.spec.model_revision == name);
        let label =
            |metadata: &ObjectMeta| metadata.labels.as_ref().and_then(|all| all.get(labels::MODEL_REVISION)).cloned();
        flex_vms.retain(|vm| label(&vm.metadata).as_deref() == Some(name));
        followers.extend(of_members(&Members { scale_set_vms, flex_vms }));
    }
    followers
}

fn sets_of<K: Cached>(object: &K) -> BTreeSet<ObjectKey> {
    let metadata = object.meta();
    let referred = object.scale_set_name().map(|name| key_in(metadata, name));
    owning_sets(metadata).chain(referred).collect()
}

fn owning_sets(metadata: &ObjectMeta) -> impl Iterator<Item = ObjectKey> {
    let owners = metadata.owner_references.iter().flatten();
    let sets =
        owners.filter(|owner| owner.api_version == scaleset_crds::API_VERSION && owner.kind == ScaleSet::kind(&()));
    sets.map(|owner| key_in(metadata, &owner.name))
}

fn key_in(metadata: &ObjectMeta, name: &str) -> ObjectKey {
    ObjectKey { namespace: metadata.namespace.clone().unwrap_or_default(), name: name.to_owned() }
}

#[cfg(test)]
mod tests;
