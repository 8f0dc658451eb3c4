use async_trait::async_trait;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use k8s_openapi::jiff::Timestamp;
use scaleset_crds::{AutoscaleSetting, FlexVM, ScaleSetVM};
use serde_json::{Value, json};

use super::*;
use crate::cluster::{ClusterError, Freshness, NewObject, Notice, ObjectId};

/// A cluster of which only the members of one set, the operations and the users of a group are asked for.
struct Fixed(Members, Vec<Arc<ScaleSetOperation>>, Vec<Arc<AutoscaleSetting>>);

#[async_trait]
impl Cluster for Fixed {
    fn scale_set(&self, _: &ObjectKey) -> Option<Arc<ScaleSet>> {
        None
    }
    fn scale_set_vm(&self, _: &ObjectKey) -> Option<Arc<ScaleSetVM>> {
        None
    }
    fn flex_vm(&self, _: &ObjectKey) -> Option<Arc<FlexVM>> {
        None
    }
    fn operation(&self, _: &ObjectKey) -> Option<Arc<ScaleSetOperation>> {
        None
    }
    fn operations(&self, target: &ObjectKey) -> Vec<Arc<ScaleSetOperation>> {
        self.1.iter().filter(|operation| operation.spec.target.name == target.name).cloned().collect()
    }
    fn reservation_group(&self, _: &ObjectKey) -> Option<Arc<CapacityReservationGroup>> {
        None
    }
    fn users_of_group(&self, group: &ObjectKey) -> GroupUsers {
        assert_eq!(*group, key("reserved"));
        GroupUsers { scale_sets: vec![Arc::new(set(1))], flex_vms: vec![Arc::new(flex_vm())] }
    }
    fn autoscale_setting(&self, _: &ObjectKey) -> Option<Arc<AutoscaleSetting>> {
        None
    }
    fn autoscale_settings(&self, _: &ObjectKey) -> Vec<Arc<AutoscaleSetting>> {
        self.2.clone()
    }
    fn members(&self, set: &ObjectKey, set_uid: &str) -> Members {
        assert_eq!((set.name.as_str(), set_uid), ("web", "web-uid"));
        self.0.clone()
    }
    fn revisions(&self, _: &str) -> Vec<Arc<ControllerRevision>> {
        Vec::new()
    }
    fn revision(&self, _: &ObjectKey) -> Option<Arc<ControllerRevision>> {
        None
    }
    fn freshness(&self, _: &str) -> Freshness {
        Freshness::Current
    }
    async fn create(&self, _: &str, _: NewObject) -> Result<(), ClusterError> {
        Ok(())
    }
    async fn patch(&self, _: &str, _: &ObjectId, _: Value) -> Result<(), ClusterError> {
        Ok(())
    }
    async fn scale(&self, _: &str, _: &ObjectId, _: i32) -> Result<(), ClusterError> {
        Ok(())
    }
    async fn apply_status(&self, _: &str, _: &ObjectId, _: Value) -> Result<(), ClusterError> {
        Ok(())
    }
    async fn delete(&self, _: &str, _: &ObjectId) -> Result<(), ClusterError> {
        Ok(())
    }
    fn autoscaler_wish(&self, _: &ObjectKey) -> Result<Option<i32>, ClusterError> {
        Ok(None)
    }
    fn has_autoscaler(&self, _: &ObjectKey) -> Result<bool, ClusterError> {
        Ok(false)
    }
    async fn publish(&self, _: Notice) -> Result<(), ClusterError> {
        Ok(())
    }
}

fn metadata(name: &str, generation: i64) -> Value {
    json!({"namespace": "default", "name": name, "uid": format!("{name}-uid"), "generation": generation})
}

fn vm(name: &str, revision: &str) -> ScaleSetVM {
    let spec = json!({"scaleSetRef": {"name": "web"}, "instanceId": "0", "modelRevision": revision});
    let value = json!({
        "apiVersion": "compute.scaleset.io/v1alpha1", "kind": "ScaleSetVM",
        "metadata": metadata(name, 1), "spec": spec,
    });
    serde_json::from_value(value).unwrap()
}

fn set(generation: i64) -> ScaleSet {
    let value = json!({
        "apiVersion": "compute.scaleset.io/v1alpha1", "kind": "ScaleSet", "metadata": metadata("web", generation),
        "spec": {
            "orchestrationMode": "Uniform", "location": "eastus",
            "virtualMachineProfile": {
                "vmSize": "Standard_B1s",
                "osProfile": {"computerNamePrefix": "web", "adminUsername": "operator"},
                "storageProfile": {"imageReference": {"id": "image"}},
                "networkProfile": {"networkInterfaces": []},
            },
        },
    });
    serde_json::from_value(value).unwrap()
}

fn two_members(operations: Vec<Arc<ScaleSetOperation>>) -> Fixed {
    Fixed(
        Members { scale_set_vms: vec![Arc::new(vm("web-0", "r1")), Arc::new(vm("web-1", "r2"))], flex_vms: Vec::new() },
        operations,
        Vec::new(),
    )
}

fn change<K>(before: Option<K>, after: Option<K>) -> Change<K> {
    Change { before: before.map(Arc::new), after: after.map(Arc::new) }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: "default".to_owned(), name: name.to_owned() }
}

fn instance(name: &str) -> Trigger {
    Trigger::Instance(InstanceKind::ScaleSetVM, key(name))
}

fn own(name: &str) -> Trigger {
    Trigger::Set(key(name), When::Now)
}

/// By a change that its own pass has made.
fn by_own_status(name: &str) -> Trigger {
    Trigger::Set(key(name), When::NowUnlessFailing)
}

fn by_member(name: &str) -> Trigger {
    Trigger::Set(key(name), When::Spaced)
}

#[expect(clippy::needless_pass_by_value, reason = "callers make it on the spot")]
fn of(change: CacheChange) -> Vec<Trigger> {
    triggers(&change, &two_members(Vec::new()))
}

#[test]
fn a_changed_model_concerns_every_member() {
    let change = change(Some(set(1)), Some(set(2)));
    assert_eq!(of(CacheChange::ScaleSet(change)), [own("web"), instance("web-0"), instance("web-1")]);
}

#[test]
fn a_changed_status_of_a_set_concerns_no_member() {
    let change = change(Some(set(1)), Some(set(1)));
    assert_eq!(of(CacheChange::ScaleSet(change)), [by_own_status("web")]);
}

#[test]
fn only_a_changed_status_waits_for_a_set_that_fails() {
    let (mut newer, mut annotated, mut held) = (set(1), set(1), set(1));
    newer.metadata.resource_version = Some("99".to_owned());
    newer.status = Some(serde_json::from_value(json!({"nextInstanceId": 3})).unwrap());
    annotated.metadata.annotations = Some([("a".to_owned(), "b".to_owned())].into());
    held.metadata.finalizers = Some(vec!["f".to_owned()]);
    assert_eq!(of(CacheChange::ScaleSet(change(Some(set(1)), Some(newer)))), [by_own_status("web")]);
    for after in [annotated, held, set(2)] {
        let first = of(CacheChange::ScaleSet(change(Some(set(1)), Some(after)))).swap_remove(0);
        assert_eq!(first, own("web"));
    }
    for (before, after) in [(None, Some(set(1))), (Some(set(1)), None)] {
        assert_eq!(of(CacheChange::ScaleSet(change(before, after)))[0], own("web"));
    }
}

#[test]
fn a_set_that_has_looked_at_its_newest_spec_concerns_the_settings_that_wait_for_that() {
    let value = json!({
        "apiVersion": "compute.scaleset.io/v1alpha1", "kind": "AutoscaleSetting", "metadata": metadata("auto", 1),
        "spec": {"scaleTargetRef": {"name": "web"}, "profiles": []},
    });
    let mut followed = two_members(Vec::new());
    followed.2 = vec![Arc::new(serde_json::from_value(value).unwrap())];
    let looked_at = |observed: i64| {
        let mut set = set(2);
        set.status = Some(serde_json::from_value(json!({"observedGeneration": observed})).unwrap());
        set
    };
    let of = |before, after| {
        let change = CacheChange::ScaleSet(change(Some(looked_at(before)), Some(looked_at(after))));
        triggers(&change, &followed)
    };
    assert_eq!(of(1, 2), [by_own_status("web"), Trigger::AutoscaleSetting(key("auto"), When::Spaced)]);
    assert_eq!(of(2, 2), [by_own_status("web")]);
}

#[test]
fn a_set_that_is_being_deleted_or_has_gone_concerns_its_members() {
    let mut marked = set(1);
    marked.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    let marking = change(Some(set(1)), Some(marked.clone()));
    assert_eq!(of(CacheChange::ScaleSet(marking)), [own("web"), instance("web-0"), instance("web-1")]);
    let going = change(Some(marked), None);
    assert_eq!(of(CacheChange::ScaleSet(going)), [own("web"), instance("web-0"), instance("web-1")]);
}

#[test]
fn a_member_concerns_itself_and_its_set_spaced() {
    let change = change(Some(vm("web-0", "r1")), Some(vm("web-0", "r2")));
    assert_eq!(of(CacheChange::ScaleSetVM(change)), [instance("web-0"), by_member("web")]);
}

#[test]
fn a_member_that_has_gone_concerns_only_its_set() {
    let change = change(Some(vm("web-0", "r1")), None);
    assert_eq!(of(CacheChange::ScaleSetVM(change)), [by_member("web")]);
}

#[test]
fn a_member_that_has_moved_concerns_both_sets() {
    let mut moved = vm("web-0", "r1");
    moved.spec.scale_set_ref.name = "api".to_owned();
    let change = change(Some(vm("web-0", "r1")), Some(moved));
    assert_eq!(of(CacheChange::ScaleSetVM(change)), [instance("web-0"), by_member("api"), by_member("web")]);
}

#[test]
fn only_owners_that_are_sets_of_ours_are_concerned() {
    let mut owned = vm("web-0", "r1");
    let reference = |kind: &str, api_version: &str, name: &str| OwnerReference {
        kind: kind.to_owned(),
        api_version: api_version.to_owned(),
        name: name.to_owned(),
        ..OwnerReference::default()
    };
    owned.metadata.owner_references = Some(vec![
        reference("ScaleSet", "compute.scaleset.io/v1alpha1", "owner"),
        reference("Deployment", "apps/v1", "deployment"),
        reference("ScaleSet", "elsewhere.io/v1", "stranger"),
    ]);
    let change = change(None, Some(owned));
    assert_eq!(of(CacheChange::ScaleSetVM(change)), [instance("web-0"), by_member("owner"), by_member("web")]);
}

#[test]
fn a_new_revision_concerns_its_set_and_those_that_wait_for_it() {
    let owner = OwnerReference {
        kind: "ScaleSet".to_owned(),
        api_version: "compute.scaleset.io/v1alpha1".to_owned(),
        name: "web".to_owned(),
        uid: "web-uid".to_owned(),
        ..OwnerReference::default()
    };
    let metadata = ObjectMeta {
        namespace: Some("default".to_owned()),
        name: Some("r2".to_owned()),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    };
    let revision = ControllerRevision { metadata, ..ControllerRevision::default() };
    let new = change(None, Some(revision.clone()));
    assert_eq!(of(CacheChange::ControllerRevision(new)), [by_member("web"), instance("web-1")]);
    let gone = change(Some(revision), None);
    assert_eq!(of(CacheChange::ControllerRevision(gone)), [by_member("web")]);
}

#[test]
fn a_machine_concerns_its_owner() {
    let owner = |kind: &str| Owner {
        kind: kind.to_owned(),
        namespace: "default".to_owned(),
        name: "web-0".to_owned(),
        set_uid: None,
        instance_number: None,
    };
    assert_eq!(of_machine(&owner("ScaleSetVM")), Some(instance("web-0")));
    assert_eq!(of_machine(&owner("FlexVM")), Some(Trigger::Instance(InstanceKind::FlexVM, key("web-0"))));
    assert_eq!(of_machine(&owner("Toaster")), None);
}

fn operation(name: &str, status: &Value) -> ScaleSetOperation {
    let value = json!({
        "apiVersion": "compute.scaleset.io/v1alpha1", "kind": "ScaleSetOperation", "metadata": metadata(name, 1),
        "spec": {"target": {"kind": "ScaleSet", "name": "web"}, "type": "Restart"}, "status": status,
    });
    serde_json::from_value(value).unwrap()
}

fn begun() -> ScaleSetOperation {
    let instance = json!({"name": "web-0", "instanceId": "0", "uid": "web-0-uid"});
    operation("first", &json!({"instances": [instance]}))
}

fn ended() -> ScaleSetOperation {
    let mut ended = begun();
    ended.status.as_mut().unwrap().completion_time = Some(Time(Timestamp::UNIX_EPOCH));
    ended
}

#[test]
fn an_operation_concerns_its_set_and_once_it_has_begun_its_vms() {
    let itself = || Trigger::Operation(key("first"), When::Now);
    let new = change(None, Some(operation("first", &json!({}))));
    assert_eq!(of(CacheChange::ScaleSetOperation(new)), [itself(), own("web")]);
    // The cache has no instance of that name, so it is taken for a FlexVM.
    let vm = Trigger::Instance(InstanceKind::FlexVM, key("web-0"));
    let beginning = change(Some(operation("first", &json!({}))), Some(begun()));
    assert_eq!(of(CacheChange::ScaleSetOperation(beginning)), [itself(), own("web"), vm]);
    let counting = change(Some(begun()), Some(begun()));
    assert_eq!(of(CacheChange::ScaleSetOperation(counting)), [itself(), own("web")]);
}

#[test]
fn an_operation_that_has_ended_or_is_gone_concerns_those_that_wait() {
    let waits = Trigger::Operation(key("second"), When::Spaced);
    let cluster = two_members(vec![Arc::new(ended()), Arc::new(operation("second", &json!({})))]);
    let ending = CacheChange::ScaleSetOperation(change(Some(begun()), Some(ended())));
    let itself = Trigger::Operation(key("first"), When::Now);
    assert_eq!(triggers(&ending, &cluster), [itself, waits.clone(), own("web")]);
    let going = CacheChange::ScaleSetOperation(change(Some(begun()), None));
    assert!(triggers(&going, &cluster).contains(&waits));
}

#[test]
fn what_changes_in_a_set_or_a_member_concerns_operations_that_have_not_ended() {
    let cluster = two_members(vec![Arc::new(ended()), Arc::new(operation("second", &json!({})))]);
    let waits = Trigger::Operation(key("second"), When::Spaced);
    let member = CacheChange::ScaleSetVM(change(Some(vm("web-0", "r1")), Some(vm("web-0", "r1"))));
    assert_eq!(triggers(&member, &cluster), [instance("web-0"), by_member("web"), waits.clone()]);
    let status = CacheChange::ScaleSet(change(Some(set(1)), Some(set(1))));
    assert_eq!(triggers(&status, &cluster), [by_own_status("web"), waits]);
}

fn flex_vm() -> FlexVM {
    let spec = json!({
        "location": "eastus", "vmSize": "Standard_D2s_v3", "osProfile": {"adminUsername": "azureuser"},
        "capacityReservationGroupRef": {"name": "reserved"},
        "storageProfile": {"imageReference": {"publisher": "Canonical", "offer": "ubuntu-server", "sku": "22_04-lts"}},
        "networkProfile": {"networkInterfaces": [{"name": "nic0", "primary": true, "subnet": "default"}]},
    });
    let vm = json!({
        "apiVersion": "compute.scaleset.io/v1alpha1", "kind": "FlexVM", "metadata": metadata("newvm", 1), "spec": spec,
    });
    serde_json::from_value(vm).expect("a legal VM")
}

fn group(generation: i64, allocated: i32) -> CapacityReservationGroup {
    let reserved = json!({
        "name": "d2s", "reservationId": "id", "vmSize": "Standard_D2s_v3", "provisioningState": "Succeeded",
        "currentCapacity": 2, "associated": allocated, "allocated": allocated, "unused": 2 - allocated, "overallocated": 0,
    });
    let group = json!({
        "apiVersion": "compute.scaleset.io/v1alpha1", "kind": "CapacityReservationGroup",
        "metadata": metadata("reserved", generation), "spec": {"location": "eastus"},
        "status": {"capacityReservations": [reserved], "conditions": []},
    });
    serde_json::from_value(group).expect("a legal group")
}

#[test]
fn a_group_concerns_its_sets_and_its_vms_only_where_it_offers_something_else() {
    let itself = || Trigger::ReservationGroup(key("reserved"), When::Now);
    let vm = || Trigger::Instance(InstanceKind::FlexVM, key("newvm"));
    let used = CacheChange::CapacityReservationGroup(change(Some(group(1, 0)), Some(group(1, 1))));
    assert_eq!(of(used), [itself(), by_member("web")]);
    let changed = CacheChange::CapacityReservationGroup(change(Some(group(1, 1)), Some(group(2, 1))));
    assert_eq!(of(changed), [itself(), by_member("web"), vm()]);
    let new = CacheChange::CapacityReservationGroup(change(None, Some(group(1, 0))));
    assert_eq!(of(new), [itself(), by_member("web"), vm()]);
}
