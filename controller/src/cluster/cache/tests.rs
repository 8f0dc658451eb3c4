use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::json;

use super::*;

fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { namespace: namespace.to_owned(), name: name.to_owned() }
}

/// An instance of the set `web` with uid `{name}-uid`.
fn vm(name: &str, version: u64) -> ScaleSetVM {
    let value = json!({
        "apiVersion": "compute.scaleset.io/v1alpha1", "kind": "ScaleSetVM",
        "metadata": {
            "namespace": "default", "name": name, "uid": format!("{name}-uid"), "resourceVersion": version.to_string(),
        },
        "spec": {"scaleSetRef": {"name": "web"}, "instanceId": "0", "modelRevision": "web-1"},
    });
    serde_json::from_value(value).unwrap()
}

fn owned(mut vm: ScaleSetVM, owner_uid: &str) -> ScaleSetVM {
    let owner = OwnerReference { uid: owner_uid.to_owned(), ..OwnerReference::default() };
    vm.metadata.owner_references = Some(vec![owner]);
    vm
}

fn names(objects: &[Arc<ScaleSetVM>]) -> Vec<&str> {
    objects.iter().map(|vm| vm.metadata.name.as_deref().unwrap()).collect()
}

fn cache(objects: impl IntoIterator<Item = ScaleSetVM>) -> Cache<ScaleSetVM> {
    let mut cache = Cache::default();
    for object in objects {
        cache.apply(object);
    }
    cache
}

/// Nothing is left of what has gone.
fn assert_empty(cache: &Cache<ScaleSetVM>) {
    let Cache { objects, by_uid, by_owner, by_set, by_group, incoming, gone_since: _ } = cache;
    assert!(objects.is_empty() && by_uid.is_empty() && by_owner.is_empty() && by_set.is_empty() && incoming.is_empty());
    assert!(by_group.is_empty());
}

#[test]
fn members_are_those_owned_and_those_referring_each_once_by_name() {
    let mut elsewhere = vm("web-9", 4);
    elsewhere.metadata.namespace = Some("other".to_owned());
    let mut moved = owned(vm("web-2", 3), "set-uid");
    moved.spec.scale_set_ref.name = "renamed".to_owned();
    let cache = cache([owned(vm("web-1", 1), "set-uid"), vm("web-0", 2), moved, elsewhere]);
    assert_eq!(names(&cache.members(&key("default", "web"), "set-uid")), ["web-0", "web-1", "web-2"]);
    assert_eq!(names(&cache.owned_by("set-uid")), ["web-1", "web-2"]);
    assert_eq!(names(&cache.members(&key("default", "none"), "no-uid")), Vec::<&str>::new());
}

#[test]
fn indexes_follow_a_changed_owner_and_a_changed_set() {
    let mut cache = cache([owned(vm("web-0", 1), "old-uid")]);
    let mut moved = owned(vm("web-0", 2), "new-uid");
    moved.spec.scale_set_ref.name = "other".to_owned();
    let change = cache.apply(moved).unwrap();
    assert_eq!(change.before.unwrap().metadata.resource_version.as_deref(), Some("1"));
    assert!(cache.owned_by("old-uid").is_empty());
    assert!(cache.members(&key("default", "web"), "old-uid").is_empty());
    assert_eq!(names(&cache.members(&key("default", "other"), "none")), ["web-0"]);
    cache.delete(&vm("web-0", 3));
    assert_empty(&cache);
}

#[test]
fn found_by_uid_until_recreated() {
    let mut cache = cache([vm("web-0", 1)]);
    assert!(cache.by_uid("web-0-uid").is_some());
    let mut recreated = vm("web-0", 5);
    recreated.metadata.uid = Some("second".to_owned());
    cache.apply(recreated);
    assert!(cache.by_uid("web-0-uid").is_none());
    assert!(cache.by_uid("second").is_some());
    assert!(cache.delete(&vm("web-0", 4)).is_none(), "the deletion of the first one changes nothing");
    assert!(cache.get(&key("default", "web-0")).is_some());
}

#[test]
fn an_older_event_changes_nothing() {
    let mut cache = cache([vm("web-0", 7)]);
    assert!(cache.apply(vm("web-0", 6)).is_none());
    assert_eq!(version_of(cache.get(&key("default", "web-0")).unwrap().as_ref()), 7);
}

#[test]
fn a_list_replaces_everything_at_once_when_it_is_complete() {
    let mut cache = cache([vm("web-0", 1), vm("web-1", 2), vm("web-2", 3)]);
    cache.begin_list();
    cache.list_object(vm("web-1", 2));
    cache.list_object(vm("web-2", 9));
    cache.list_object(vm("web-3", 8));
    assert_eq!(cache.keys().len(), 3, "not before");
    let changes: Vec<(Option<u64>, Option<u64>)> = cache
        .end_list()
        .iter()
        .map(|change| {
            let version = |object: &Option<Arc<ScaleSetVM>>| object.as_ref().map(|object| version_of(object.as_ref()));
            (version(&change.before), version(&change.after))
        })
        .collect();
    assert_eq!(changes, [(Some(1), None), (Some(3), Some(9)), (None, Some(8))], "the unchanged one is not told");
    assert_eq!(names(&cache.members(&key("default", "web"), "")), ["web-1", "web-2", "web-3"]);
}

#[test]
fn a_list_that_broke_off_leaves_nothing_behind() {
    let mut cache = cache([]);
    cache.begin_list();
    cache.list_object(vm("web-0", 1));
    cache.begin_list();
    assert!(cache.end_list().is_empty());
    assert_empty(&cache);
}

#[test]
fn a_list_from_before_a_restored_backup_is_believed() {
    let mut cache = cache([vm("web-0", 100)]);
    cache.begin_list();
    cache.list_object(vm("web-0", 40));
    assert_eq!(cache.end_list().len(), 1);
    assert_eq!(version_of(cache.get(&key("default", "web-0")).unwrap().as_ref()), 40);
}

#[test]
fn a_list_of_one_namespace_leaves_the_others_and_what_is_newer_alone() {
    let mut elsewhere = vm("web-9", 1);
    elsewhere.metadata.namespace = Some("other".to_owned());
    let mut cache = cache([vm("gone", 5), vm("newer", 30), vm("changed", 6), elsewhere]);
    let changes = cache.replace_namespace("default", vec![vm("changed", 12), vm("new", 15)], 20);
    assert_eq!(changes.len(), 3);
    assert_eq!(names(&cache.members(&key("default", "web"), "")), ["changed", "new", "newer"]);
    assert!(cache.get(&key("other", "web-9")).is_some());
}

#[test]
fn late_events_do_not_bring_back_what_a_list_has_shown_to_be_gone() {
    let mut cache = cache([vm("web-0", 5)]);
    cache.replace_namespace("default", Vec::new(), 20);
    assert!(cache.apply(vm("web-0", 11)).is_none(), "from before the list");
    assert_empty(&cache);
    assert!(cache.apply(vm("web-0", 21)).is_some(), "made after the list");
}

#[test]
fn pruned_objects_keep_their_annotations_but_not_the_copy_of_themselves() {
    let mut vm = vm("web-0", 1);
    vm.metadata.managed_fields = Some(Vec::new());
    let annotations = [(LAST_APPLIED, "{…}"), ("compute.scaleset.io/abandon-hardware", "true")];
    vm.metadata.annotations = Some(annotations.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    prune(&mut vm);
    assert_eq!(vm.metadata.managed_fields, None);
    let kept: Vec<String> = vm.metadata.annotations.unwrap().into_keys().collect();
    assert_eq!(kept, ["compute.scaleset.io/abandon-hardware"]);
}
