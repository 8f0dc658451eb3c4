//! What applying a manifest would do: the API server judges and completes it without keeping it, then the planner itself is
//! run step by step in memory, as if every step went well.
//!
//! What the region offers is read from what the controller publishes of it. What cannot be seen from here is taken to be
//! there, and said.

mod apply;
mod quota;
mod region;
mod reserved;
mod story;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use jiff::Timestamp;
use kube::api::Api;
use scaleset_controller::cluster::Members;
use scaleset_controller::scale_set::{SetObjects, snapshot};
use scaleset_crds::{FlexVM, ScaleSet, ScaleSetVM};
use serde_json::Value;

use crate::cluster::{Cluster, members_of};

pub(crate) async fn plan(cluster: &Cluster, file: &Path) -> anyhow::Result<()> {
    let sets = sets_in(&read(file)?)?;
    if sets.is_empty() {
        bail!("{}: there is no ScaleSet in it", file.display());
    }
    for (index, manifest) in sets.iter().enumerate() {
        if index > 0 {
            println!();
        }
        let in_namespace = manifest["metadata"]["namespace"].as_str().unwrap_or(&cluster.namespace);
        let cluster = cluster.in_namespace(in_namespace);
        let mut objects = applied(&cluster, manifest).await?;
        let groups = reserved::look(&cluster, &objects).await?;
        objects.reservation_groups = groups.seen();
        let sight = region::look(&cluster).await;
        println!("{}", story::told(snapshot(objects, sight.catalog(), Timestamp::now()), &sight, &groups));
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| file.display().to_string())
}

/// The sets among the documents; other kinds are left alone.
fn sets_in(text: &str) -> anyhow::Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).context("the manifest")?;
    let is_set = |document: &Value| {
        document["kind"] == "ScaleSet"
            && document["apiVersion"].as_str().is_some_and(|version| version.starts_with(scaleset_crds::GROUP))
    };
    Ok(documents.into_iter().filter(is_set).collect())
}

/// The set as it would be after the apply, with what belongs to it now.
async fn applied(cluster: &Cluster, manifest: &Value) -> anyhow::Result<SetObjects> {
    let name = manifest["metadata"]["name"].as_str().context("metadata.name: is missing")?;
    let sets: Api<ScaleSet> = cluster.api();
    let live = sets.get_opt(name).await.map_err(|error| cluster.explain(error))?;
    let (parameters, patch) = apply::attempt(live.as_ref(), manifest);
    let set = sets.patch(name, &parameters, &patch).await.map_err(|error| cluster.explain(error))?;
    if live.is_none() {
        let (members, revisions, reservation_groups) = (Members::default(), Vec::new(), Vec::new());
        return Ok(SetObjects { set: Arc::new(set), members, revisions, reservation_groups });
    }
    let of_set = members_of(&set);
    Ok(SetObjects {
        members: Members {
            scale_set_vms: cluster.list::<ScaleSetVM>(&of_set).await?.into_iter().map(Arc::new).collect(),
            flex_vms: cluster.list::<FlexVM>(&of_set).await?.into_iter().map(Arc::new).collect(),
        },
        revisions: cluster.revisions(&set).await?.into_iter().map(Arc::new).collect(),
        reservation_groups: Vec::new(),
        set: Arc::new(set),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_found_among_other_documents() {
        let text = "kind: ConfigMap\napiVersion: v1\n---\nkind: ScaleSet\napiVersion: compute.scaleset.io/v1alpha1\n\
                    metadata: {name: web}\n---\nkind: ScaleSet\napiVersion: example.com/v1\n";
        let found = sets_in(text).expect("it is YAML");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["metadata"]["name"], "web");
    }
}
