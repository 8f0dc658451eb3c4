//! The real side of the controller's door to the cluster, on a real API server and with the controller's own rights.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it like the test itself")]

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use scaleset_control_plane::{ControlPlane, Options};
use scaleset_controller::cluster::client::{connect, wait_until_usable};
use scaleset_controller::cluster::kubernetes::{KubernetesCluster, Watches};
use scaleset_controller::cluster::watched::WatchedNamespaces;
use scaleset_controller::cluster::{
    Cluster, ClusterError, EventType, Freshness, Kind, NewObject, Notice, ObjectId, ObjectKey,
};
use scaleset_controller::metrics::Metrics;
use scaleset_crds::condition::Reason;
use scaleset_crds::{FIELD_MANAGER, FINALIZER, ScaleSetVM};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);
const OWNER: &str = "uid-of-some-set";

/// The cluster under test, and an administrator beside it.
struct Bench {
    cluster: KubernetesCluster,
    admin: Client,
    metrics: Arc<Metrics>,
    _watches: Watches,
}

/// Starts the caches of a controller.
async fn bench(plane: &ControlPlane) -> Bench {
    let admin = connect(Some(&plane.admin_kubeconfig())).await.unwrap().client;
    let kubeconfig = tokio::task::block_in_place(|| plane.kubeconfig_for(FIELD_MANAGER, &[])).unwrap();
    let connection = connect(Some(&kubeconfig)).await.unwrap();
    wait_until_usable(&connection, PATIENCE).await.unwrap();
    let metrics = Arc::new(Metrics::default());
    let (cluster, changes, watches) =
        KubernetesCluster::start(connection.client, WatchedNamespaces::All, Arc::clone(&metrics));
    tokio::spawn(changes.ignore());
    tokio::time::timeout(PATIENCE, cluster.synced()).await.expect("the caches are complete in time");
    Bench { cluster, admin, metrics, _watches: watches }
}

/// The tests of this file share one control plane, each in a namespace of its own; a runtime of a test ends with it,
/// so each has caches of its own.
async fn shared(namespace: &str) -> Bench {
    static INSTALLED: LazyLock<&'static ControlPlane> = LazyLock::new(|| {
        let plane = ControlPlane::shared();
        plane.install().unwrap();
        plane
    });
    let plane = tokio::task::block_in_place(|| *INSTALLED);
    let bench = bench(plane).await;
    tokio::task::block_in_place(|| plane.kubectl(&["create", "namespace", namespace])).unwrap();
    bench
}

fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { namespace: namespace.to_owned(), name: name.to_owned() }
}

/// An instance `{set}-{number}`.
fn vm(key: &ObjectKey) -> ScaleSetVM {
    let (set, number) = key.name.rsplit_once('-').unwrap();
    let value = json!({
        "apiVersion": "compute.scaleset.io/v1alpha1",
        "kind": "ScaleSetVM",
        "metadata": {"namespace": key.namespace, "name": key.name, "finalizers": [FINALIZER]},
        "spec": {"scaleSetRef": {"name": set}, "instanceId": number, "modelRevision": "revision"},
    });
    serde_json::from_value(value).unwrap()
}

fn new_vm(key: &ObjectKey) -> NewObject {
    NewObject::ScaleSetVM(Box::new(vm(key)))
}

fn id(vm: &ScaleSetVM) -> ObjectId {
    ObjectId {
        kind: Kind::ScaleSetVM,
        key: key(&vm.namespace().unwrap(), &vm.name_any()),
        uid: vm.uid().unwrap(),
        resource_version: vm.resource_version().unwrap(),
    }
}

/// Asks until there is an answer.
async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Bench {
    fn vms(&self, namespace: &str) -> Api<ScaleSetVM> {
        Api::namespaced(self.admin.clone(), namespace)
    }

    /// Waits as a pass would, and no longer than it is told to.
    async fn current(&self) {
        eventually("the cache shows our writes", async || match self.cluster.freshness(OWNER) {
            Freshness::Current => Some(()),
            Freshness::Behind(wait) => {
                assert!(wait <= Duration::from_secs(1), "{wait:?}");
                None
            }
        })
        .await;
    }

    /// Makes an instance as a pass would and returns it as the cache has it.
    async fn created(&self, key: &ObjectKey) -> Arc<ScaleSetVM> {
        self.cluster.create(OWNER, new_vm(key)).await.unwrap();
        self.current().await;
        self.cluster.scale_set_vm(key).expect("a current cache shows what was written")
    }

    /// Removes an instance and its finalizer behind the controller's back.
    async fn removed_by_admin(&self, key: &ObjectKey) {
        let api = self.vms(&key.namespace);
        let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        api.patch(&key.name, &PatchParams::default(), &patch).await.unwrap();
        api.delete(&key.name, &DeleteParams::default()).await.unwrap();
        eventually("the instance is gone", async || api.get_opt(&key.name).await.unwrap().is_none().then_some(()))
            .await;
    }

    /// The same name, another object.
    async fn recreated_by_admin(&self, key: &ObjectKey) {
        self.removed_by_admin(key).await;
        // The guard lets nobody but the controller make instances.
        self.cluster.create("another-owner", new_vm(key)).await.unwrap();
    }
}

fn ready() -> Value {
    json!({"vmId": "7a2c", "conditions": []})
}

async fn assert_gone(call: impl Future<Output = Result<(), ClusterError>>) {
    let result = call.await;
    assert!(matches!(result, Err(ClusterError::Gone { .. })), "{result:?}");
}

async fn assert_conflict(call: impl Future<Output = Result<(), ClusterError>>) {
    let result = call.await;
    assert!(matches!(result, Err(ClusterError::Conflict { .. })), "{result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_current_cache_always_shows_what_was_written() {
    let bench = shared("gate").await;
    for number in 0..20 {
        let key = key("gate", &format!("web-{number}"));
        let made = bench.created(&key).await;
        let patch = json!({"metadata": {"labels": {"step": "two"}}});
        bench.cluster.patch(OWNER, &id(&made), patch).await.unwrap();
        bench.current().await;
        let patched = bench.cluster.scale_set_vm(&key).unwrap();
        assert_eq!(patched.labels().get("step").map(String::as_str), Some("two"));
        bench.cluster.apply_status(OWNER, &id(&patched), ready()).await.unwrap();
        bench.current().await;
        let reported = bench.cluster.scale_set_vm(&key).unwrap();
        assert_eq!(reported.status.as_ref().and_then(|status| status.vm_id.as_deref()), Some("7a2c"));
        bench.cluster.delete(OWNER, &id(&reported)).await.unwrap();
        bench.current().await;
        let marked = bench.cluster.scale_set_vm(&key).unwrap();
        assert!(marked.metadata.deletion_timestamp.is_some());
        bench.cluster.patch(OWNER, &id(&marked), json!({"metadata": {"finalizers": []}})).await.unwrap();
        bench.current().await;
        assert!(bench.cluster.scale_set_vm(&key).is_none(), "let go and still in the cache");
    }
    let text = bench.metrics.text();
    for verb in ["create", "apply_status", "delete"] {
        let line = format!(r#"scaleset_api_writes_total{{kind="ScaleSetVM",verb="{verb}",result="success"}} 20"#);
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_longer_than_a_page_is_read_to_its_end() {
    let bench = shared("paged").await;
    // A page has 500.
    let keys: Vec<ObjectKey> = (0..520).map(|number| key("paged", &format!("web-{number}"))).collect();
    let create = |key: &ObjectKey| {
        let mut vm = vm(key);
        vm.metadata.finalizers = None;
        bench.cluster.create(OWNER, NewObject::ScaleSetVM(Box::new(vm)))
    };
    for some in keys.chunks(40) {
        for created in futures::future::join_all(some.iter().map(create)).await {
            created.unwrap();
        }
    }
    let anew = self::bench(ControlPlane::shared()).await;
    let missing = keys.iter().filter(|key| anew.cluster.scale_set_vm(key).is_none()).count();
    assert_eq!(missing, 0, "of {}", keys.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn cached_objects_carry_no_managed_fields() {
    let bench = shared("pruned").await;
    let made = bench.created(&key("pruned", "web-0")).await;
    assert_eq!(made.metadata.managed_fields, None);
    let live = bench.vms("pruned").get("web-0").await.unwrap();
    let managers: Vec<&str> = live.managed_fields().iter().filter_map(|entry| entry.manager.as_deref()).collect();
    assert_eq!(managers, [FIELD_MANAGER]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_is_told() {
    let bench = shared("taken").await;
    let key = key("taken", "web-0");
    bench.created(&key).await;
    let again = bench.cluster.create(OWNER, new_vm(&key)).await;
    assert!(matches!(again, Err(ClusterError::AlreadyExists { .. })), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_meanwhile_is_not_written_over() {
    let bench = shared("changed").await;
    let key = key("changed", "web-0");
    let stale = id(bench.created(&key).await.as_ref());
    let foreign = Patch::Merge(json!({"metadata": {"labels": {"by": "alice"}}}));
    bench.vms("changed").patch("web-0", &PatchParams::default(), &foreign).await.unwrap();
    let label = json!({"metadata": {"labels": {"by": "us"}}});
    assert_conflict(bench.cluster.patch(OWNER, &stale, label)).await;
    assert_conflict(bench.cluster.delete(OWNER, &stale)).await;
    let live = bench.vms("changed").get("web-0").await.unwrap();
    assert_eq!(live.labels().get("by").map(String::as_str), Some("alice"));
    assert_eq!(live.metadata.deletion_timestamp, None);
    bench.cluster.apply_status(OWNER, &stale, ready()).await.expect("a status is not bound to a version");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_object_is_left_alone() {
    let bench = shared("recreated").await;
    let key = key("recreated", "web-0");
    let first = id(bench.created(&key).await.as_ref());
    bench.recreated_by_admin(&key).await;
    let label = json!({"metadata": {"labels": {"by": "us"}}});
    assert_gone(bench.cluster.patch(OWNER, &first, label)).await;
    assert_gone(bench.cluster.delete(OWNER, &first)).await;
    let second = bench.vms("recreated").get("web-0").await.unwrap();
    assert_ne!(second.uid().unwrap(), first.uid);
    assert!(second.labels().is_empty() && second.metadata.deletion_timestamp.is_none());
    assert_gone(bench.cluster.apply_status(OWNER, &first, ready())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_does_not_bring_back_what_has_vanished() {
    let bench = shared("vanished").await;
    let key = key("vanished", "web-0");
    let vanished = id(bench.created(&key).await.as_ref());
    bench.removed_by_admin(&key).await;
    assert_gone(bench.cluster.apply_status(OWNER, &vanished, ready())).await;
    assert_gone(bench.cluster.patch(OWNER, &vanished, json!({"metadata": {"labels": {"a": "b"}}}))).await;
    assert_gone(bench.cluster.delete(OWNER, &vanished)).await;
    assert_eq!(bench.vms("vanished").get_opt("web-0").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_schema_refuses_is_a_refusal_and_holds_nothing_back() {
    let bench = shared("refused").await;
    let mut wrong = vm(&key("refused", "web-0"));
    wrong.spec.instance_id = "first".to_owned();
    let refused = bench.cluster.create(OWNER, NewObject::ScaleSetVM(Box::new(wrong))).await;
    assert!(matches!(refused, Err(ClusterError::Refused { status: 422, .. })), "{refused:?}");
    assert_eq!(bench.cluster.freshness(OWNER), Freshness::Current);
    let nowhere = bench.cluster.create(OWNER, new_vm(&key("no-such-namespace", "web-0"))).await;
    assert!(matches!(nowhere, Err(ClusterError::Unavailable { .. })), "{nowhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_events_become_one_series() {
    let bench = shared("events").await;
    let made = bench.created(&key("events", "web-0")).await;
    let notice = Notice {
        regarding: id(&made),
        event_type: EventType::Warning,
        reason: Reason::QuotaExceeded.into(),
        action: "Hold".to_owned(),
        note: "quota: limit 10, usage 10, required 2".to_owned(),
    };
    for _ in 0..20 {
        bench.cluster.publish(notice.clone()).await.unwrap();
    }
    let api: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(bench.admin.clone(), "events");
    let events = api.list(&kube::api::ListParams::default()).await.unwrap().items;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].series.as_ref().map(|series| series.count), Some(2), "later repeats are written in a minute");
    assert_eq!(events[0].regarding.as_ref().and_then(|object| object.uid.clone()), made.uid());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caches_go_on_after_the_api_server_was_away() {
    let mut plane = tokio::task::block_in_place(|| ControlPlane::start(Options::default())).unwrap();
    tokio::task::block_in_place(|| plane.install()).unwrap();
    let bench = bench(&plane).await;
    let before = bench.created(&key("default", "web-0")).await;
    tokio::task::block_in_place(|| plane.restart_api_server()).unwrap();
    let after = key("default", "web-1");
    let vm = vm(&after);
    // As an administrator under the controller's name, so that the guard lets it pass and no write of ours is noted.
    let unhindered = tokio::task::block_in_place(|| plane.kubeconfig_for(FIELD_MANAGER, &["system:masters"])).unwrap();
    let api: Api<ScaleSetVM> = Api::default_namespaced(connect(Some(&unhindered)).await.unwrap().client);
    eventually("the API answers", async || api.create(&PostParams::default(), &vm).await.ok()).await;
    eventually("the cache shows it", async || bench.cluster.scale_set_vm(&after)).await;
    assert!(bench.cluster.scale_set_vm(&key("default", "web-0")).is_some());
    let patch = json!({"metadata": {"labels": {"after": "restart"}}});
    bench.cluster.patch(OWNER, &id(&before), patch).await.unwrap();
    bench.current().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_kinds_and_a_missing_server_are_named_with_the_mend() {
    let plane = tokio::task::block_in_place(|| ControlPlane::start(Options::default())).unwrap();
    let connection = connect(Some(&plane.admin_kubeconfig())).await.unwrap();
    let missing = wait_until_usable(&connection, Duration::ZERO).await.unwrap_err().to_string();
    for part in ["scalesets.compute.scaleset.io", "flexvms.compute.scaleset.io", "kubectl apply -f crds/manifests"] {
        assert!(missing.contains(part), "{part} is not in: {missing}");
    }
    tokio::task::block_in_place(|| drop(plane));
    let unreachable = wait_until_usable(&connection, Duration::ZERO).await.unwrap_err().to_string();
    assert!(unreachable.contains("is unreachable") && unreachable.contains(&connection.url), "{unreachable}");
    assert!(!unreachable.contains('\n'), "one line: {unreachable}");
}
