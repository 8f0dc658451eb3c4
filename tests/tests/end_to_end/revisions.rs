//! Revisions of a set that nobody follows any more.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::ResourceExt;
use kube::api::ListParams;
use scaleset_crds::ScaleSet;
use serde_json::json;

use crate::scene::{profile, uniform};
use crate::world::run;

#[test]
fn beyond_the_ten_newest_they_are_deleted_unless_somebody_runs_them() {
    run("revisions", async |scene| {
        scene.apply(&uniform("web", 1, json!({"upgradePolicy": {"mode": "Manual"}})))?;
        let first = scene.settled("web").await?.status.unwrap_or_default().model_revision.context("it has a model")?;
        let mut last = first.clone();
        for count in 1..=12 {
            let size = json!({"storageProfile": {"dataDisks": [{"lun": 0, "diskSizeGB": 32 + count}]}});
            scene.patch::<ScaleSet>("web", profile(size)).await?;
            last = scene
                .until(&format!("model {count} has a revision"), async || {
                    let newest = scene.set("web").await?.status.unwrap_or_default().model_revision;
                    let newest = newest.context("it has a model")?;
                    ensure!(newest != last, "it is still {last}");
                    Ok(newest)
                })
                .await?;
        }
        scene
            .until("the ten newest are left, and the one that runs", async || {
                let revisions = scene.api::<ControllerRevision>().list(&ListParams::default()).await?;
                let names: BTreeSet<String> = revisions.iter().map(ResourceExt::name_any).collect();
                ensure!(names.len() == 11, "there are {names:?}");
                ensure!(names.contains(&first) && names.contains(&last), "{first} or {last} is not in {names:?}");
                Ok(())
            })
            .await
    });
}
