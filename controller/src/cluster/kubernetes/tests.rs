use std::convert::Infallible;

use axum::http::{Method, Request, Response};
use kube::client::Body;
use serde_json::json;
use tower::service_fn;

use super::*;

const SET: &str = "set-uid";

fn key() -> ObjectKey {
    ObjectKey { namespace: "default".to_owned(), name: "web-1".to_owned() }
}

fn vm() -> ScaleSetVM {
    let value = json!({
        "apiVersion": "compute.scaleset.io/v1alpha1",
        "kind": "ScaleSetVM",
        "metadata": {"namespace": "default", "name": "web-1", "uid": "vm-uid", "resourceVersion": "7"},
        "spec": {"scaleSetRef": {"name": "web"}, "instanceId": "1", "modelRevision": "revision"},
    });
    serde_json::from_value(value).unwrap()
}

/// An API that carries out what it is asked and never says so, whose watches stand still. It answers lists of one
/// namespace.
fn deaf_api() -> Client {
    let answer = async |request: Request<Body>| {
        let list = request.method() == Method::GET && request.uri().path().contains("/namespaces/default/");
        if !list {
            std::future::pending::<()>().await;
        }
        let objects = json!({
            "apiVersion": "compute.scaleset.io/v1alpha1",
            "kind": "ScaleSetVMList",
            "metadata": {"resourceVersion": "8"},
            "items": [vm()],
        });
        Ok::<_, Infallible>(Response::new(Body::from(objects.to_string().into_bytes())))
    };
    Client::new(service_fn(answer), "default")
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_dropped_half_way_holds_its_object_until_a_list_was_made() {
    let (cluster, _changes, _watches) = KubernetesCluster::start(deaf_api(), WatchedNamespaces::All, Arc::default());
    assert_eq!(cluster.freshness(SET), Freshness::Current);
    let write = cluster.create(SET, NewObject::ScaleSetVM(Box::new(vm())));
    timeout(Duration::from_secs(1), write).await.expect_err("nobody answers");
    assert!(matches!(cluster.freshness(SET), Freshness::Behind(_)), "it may have been carried out");
    assert_eq!(cluster.freshness("another"), Freshness::Current);
    assert_eq!(cluster.scale_set_vm(&key()), None);
    let current = async {
        while let Freshness::Behind(wait) = cluster.freshness(SET) {
            tokio::time::sleep(wait).await;
        }
    };
    timeout(UNSEEN_MAX, current).await.expect("a list is made at once");
    assert!(cluster.scale_set_vm(&key()).is_some(), "current before the cache shows what was made");
}

#[tokio::test]
async fn a_write_that_was_never_begun_holds_nothing() {
    let (cluster, _changes, _watches) = KubernetesCluster::start(deaf_api(), WatchedNamespaces::All, Arc::default());
    drop(cluster.create(SET, NewObject::ScaleSetVM(Box::new(vm()))));
    assert_eq!(cluster.freshness(SET), Freshness::Current);
}
