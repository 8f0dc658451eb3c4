use std::collections::BTreeSet;
use std::convert::Infallible;

use axum::http::Response;
use kube::client::Body;
use scaleset_crds::manifests::custom_resource_definitions;
use serde_json::json;
use tower::service_fn;

use super::*;

/// The resources that our definitions make.
fn defined() -> BTreeSet<String> {
    custom_resource_definitions().into_iter().map(|definition| definition.spec.names.plural).collect()
}

/// An API server that serves those resources of our group.
fn serving(resources: impl IntoIterator<Item = String>) -> Client {
    let resources: Vec<_> = resources
        .into_iter()
        .map(|name| json!({"name": name, "singularName": "", "namespaced": true, "kind": "", "verbs": []}))
        .collect();
    let list = json!({"kind": "APIResourceList", "groupVersion": API_VERSION, "resources": resources}).to_string();
    let answer = move |_| {
        let body = Body::from(list.clone().into_bytes());
        async move { Ok::<_, Infallible>(Response::new(body)) }
    };
    Client::new(service_fn(answer), "default")
}

#[test]
fn every_kind_that_is_defined_is_required() {
    assert_eq!(required().collect::<BTreeSet<String>>(), defined());
}

#[tokio::test]
async fn whichever_kind_is_missing_is_named() {
    probe(&serving(defined())).await.expect("all are there");
    for missing in defined() {
        let others = defined().into_iter().filter(|name| *name != missing);
        let problem = probe(&serving(others)).await.expect_err("one is missing");
        let Problem::Missing(named) = problem else { panic!("{problem:?}") };
        assert_eq!(named, [format!("{missing}.{}", scaleset_crds::GROUP)]);
    }
}
