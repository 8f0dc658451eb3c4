//! Sets the count through the `scale` subresource, as `kubectl scale` does.

use kube::api::Patch;
use scaleset_crds::ScaleSet;
use serde_json::json;

use crate::cluster::{Cluster, patch_parameters};

pub(crate) async fn scale(cluster: &Cluster, name: &str, capacity: i32) -> anyhow::Result<()> {
    let set = cluster.set(name).await?;
    let patch = Patch::Merge(json!({"spec": {"replicas": capacity}}));
    let scaled = cluster.api::<ScaleSet>().patch_scale(name, &patch_parameters(), &patch).await;
    scaled.map_err(|error| cluster.explain(error))?;
    let before = set.status.and_then(|status| status.target_replicas);
    match before.filter(|before| *before != capacity) {
        Some(before) => println!("scaleset/{name} scaled from {before} to {capacity}"),
        None => println!("scaleset/{name} has capacity {capacity}"),
    }
    Ok(())
}
