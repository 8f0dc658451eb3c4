//! Sets the count: through the `scale` subresource, as `kubectl scale` does, or with the confirmation of a sudden drop.

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
    let (sets, parameters, spec) = (cluster.api::<ScaleSet>(), patch_parameters(), json!({"replicas": capacity}));
    if confirm == Confirm::Yes && !confirmed_before {
        // The `scale` subresource takes no annotations: both go in one patch, so that neither is there without the other.
        let annotations = json!({labels::CONFIRM_SCALE_IN: capacity.to_string()});
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}, "spec": spec}));
        sets.patch(name, &parameters, &patch).await.map_err(|error| cluster.explain(error))?;
    } else {
        let patch = Patch::Merge(json!({"spec": spec}));
        sets.patch_scale(name, &parameters, &patch).await.map_err(|error| cluster.explain(error))?;
    }
    let before = set.status.as_ref().and_then(|status| status.target_replicas);
    let sudden = before.is_some_and(|before| is_sudden(before, capacity));
    if sudden && confirm == Confirm::No && !confirmed_before {
        eprintln!("a drop to less than half waits until it is confirmed; if it is meant: --confirm");
        println!("scaleset/{name} is to have {capacity}, and keeps {} until then", before.unwrap_or_default());
        return Ok(());
    }
    match before.filter(|before| *before != capacity) {
        Some(before) => println!("scaleset/{name} scaled from {before} to {capacity}"),
        None => println!("scaleset/{name} has capacity {capacity}"),
    }
    Ok(())
}
