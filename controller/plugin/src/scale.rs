//! Sets the count through the `scale` subresource, as `kubectl scale` does.

use kube::api::Patch;
use scaleset_controller::scale_set::confirmation;
use scaleset_crds::{ScaleSet, labels};
use scaleset_planning::snapshot::Confirmation;
use scaleset_planning::sudden_drop::is_sudden;
use serde_json::json;

use crate::cluster::{Cluster, patch_parameters};

/// Whether a sudden drop is confirmed in the same go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirm {
    Yes,
    No,
}

pub(crate) async fn scale(cluster: &Cluster, name: &str, capacity: i32, confirm: Confirm) -> anyhow::Result<()> {
    let set = cluster.set(name).await?;
    let confirmed_before = confirmation(&set.metadata) == Confirmation::Any;
    if confirm == Confirm::Yes && !confirmed_before {
        let annotations = json!({labels::CONFIRM_SCALE_IN: capacity.to_string()});
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        let confirmed = cluster.api::<ScaleSet>().patch(name, &patch_parameters(), &patch).await;
        confirmed.map_err(|error| cluster.explain(error))?;
    }
    let patch = Patch::Merge(json!({"spec": {"replicas": capacity}}));
    let scaled = cluster.api::<ScaleSet>().patch_scale(name, &patch_parameters(), &patch).await;
    scaled.map_err(|error| cluster.explain(error))?;
    let before = set.status.as_ref().and_then(|status| status.target_replicas);
    let sudden = before.is_some_and(|before| is_sudden(before, capacity));
    if sudden && confirm == Confirm::No && !confirmed_before {
        eprintln!("a drop to less than half waits until it is confirmed; if it is meant: --confirm");
    }
    match before.filter(|before| *before != capacity) {
        Some(before) => println!("scaleset/{name} scaled from {before} to {capacity}"),
        None => println!("scaleset/{name} has capacity {capacity}"),
    }
    Ok(())
}
