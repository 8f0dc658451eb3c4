//! What a `HorizontalPodAutoscaler` wishes for a set. It is asked of the API when that matters, which is seldom.

use std::time::Duration;

use k8s_openapi::api::autoscaling::v2::{CrossVersionObjectReference, HorizontalPodAutoscaler};
use kube::Client;
use kube::api::{Api, ListParams};
use scaleset_crds::GROUP;
use tokio::time::timeout;

use super::failure::describe;
use super::{ClusterError, Kind, ObjectKey};

const CALL_MAX: Duration = Duration::from_secs(10);

/// The wish for the set, where one refers to it; of several the least.
pub(super) async fn wish(client: &Client, set: &ObjectKey) -> Result<Option<i32>, ClusterError> {
    let of_set = of_set(client, set).await?;
    Ok(of_set.iter().filter_map(|one| Some(one.status.as_ref()?.desired_replicas)).min())
}

/// Whether one refers to the set, whatever it wishes.
pub(super) async fn is_there(client: &Client, set: &ObjectKey) -> Result<bool, ClusterError> {
    Ok(!of_set(client, set).await?.is_empty())
}

async fn of_set(client: &Client, set: &ObjectKey) -> Result<Vec<HorizontalPodAutoscaler>, ClusterError> {
    let api: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), &set.namespace);
    let unavailable = |message| ClusterError::Unavailable { message };
    let listed = timeout(CALL_MAX, api.list(&ListParams::default())).await;
    let listed = listed.map_err(|_| unavailable(format!("no answer within {} s", CALL_MAX.as_secs())))?;
    let mut all = listed.map_err(|error| unavailable(describe(&error)))?.items;
    all.retain(|one| one.spec.as_ref().is_some_and(|spec| refers_to(&spec.scale_target_ref, set)));
    Ok(all)
}

fn refers_to(reference: &CrossVersionObjectReference, set: &ObjectKey) -> bool {
    let group = reference.api_version.as_deref().and_then(|version| version.split('/').next());
    group == Some(GROUP) && reference.kind == Kind::ScaleSet.as_str() && reference.name == set.name
}
