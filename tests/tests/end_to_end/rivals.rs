//! Somebody else writes to our objects all the time, so that the controller's writes meet other versions than they were
//! meant for.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use scaleset_crds::{CapacityReservationGroup, FlexVM, ScaleSet, ScaleSetOperation};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::scene::{Scene, profile, uniform, vm};
use crate::versions::kinds;
use crate::world::run;

/// How often the rival writes: seldom enough that some of the controller's writes come between two of them.
const WRITES_EVERY: Duration = Duration::from_millis(5);
/// So many rounds without a single conflict say that the rival has no effect.
const ROUNDS: usize = 200;

/// Annotates object after object of a namespace until it is dropped.
struct Rival(JoinHandle<()>);

impl Rival {
    fn begin(scene: &Scene<'_>) -> Self {
        let of_kind = |kind: &ApiResource| -> Api<DynamicObject> {
            Api::namespaced_with(scene.world.client.clone(), &scene.namespace, kind)
        };
        let revisions = ApiResource::erase::<ControllerRevision>(&());
        let collections: Vec<_> = kinds().iter().chain([&revisions]).map(of_kind).collect();
        Self(tokio::spawn(annotate(collections)))
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn annotate(collections: Vec<Api<DynamicObject>>) {
    let mut ticks = interval(WRITES_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for count in 0_u64.. {
        for collection in &collections {
            ticks.tick().await;
            // What is gone in between is not there to be written to.
            let Ok(objects) = collection.list_metadata(&ListParams::default()).await else { continue };
            for object in objects {
                let patch = json!({"metadata": {"annotations": {"example.com/rival": count.to_string()}}});
                let name = object.name_any();
                let _written_or_gone =
                    collection.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
            }
        }
    }
}

/// Goes round until a write of the controller to an object of this kind has met another version.
async fn until_a_write_was_in_vain(
    scene: &Scene<'_>,
    kind: &str,
    mut round: impl AsyncFnMut(usize) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let in_vain = async || {
        let labels = [("kind", kind), ("result", "conflict")];
        scene.world.controller.counter("scaleset_api_writes_total", &labels).await
    };
    let before = in_vain().await?;
    for count in 0..ROUNDS {
        round(count).await.with_context(|| format!("round {count} of {kind}"))?;
        if in_vain().await? > before {
            return Ok(());
        }
    }
    bail!("no write to a {kind} met another version in {ROUNDS} rounds")
}

#[test]
fn who_writes_all_the_time_makes_the_controller_look_again_and_stops_nothing() {
    run("rivals", async |scene| {
        let rival = Rival::begin(scene);
        until_a_write_was_in_vain(scene, "ScaleSet", async |_| {
            scene.apply(&uniform("empty", 0, json!({})))?;
            scene.settled("empty").await?;
            scene.kubectl(&["delete", "scaleset", "empty", "--wait=false"])?;
            scene.gone::<ScaleSet>("empty").await
        })
        .await?;
        until_a_write_was_in_vain(scene, "FlexVM", async |_| {
            scene.apply(&vm("single", json!({})))?;
            scene.flex_vm_settled("single").await?;
            scene.kubectl(&["delete", "flexvm", "single", "--wait=false"])?;
            scene.gone::<FlexVM>("single").await
        })
        .await?;
        until_a_write_was_in_vain(scene, "CapacityReservationGroup", async |_| {
            scene.apply(&json!({
                "apiVersion": scaleset_crds::API_VERSION, "kind": "CapacityReservationGroup",
                "metadata": {"name": "reserved"}, "spec": {"location": "eastus"},
            }))?;
            scene.kubectl(&["wait", "crg/reserved", "--for=condition=Ready", "--timeout=60s"])?;
            scene.kubectl(&["delete", "crg", "reserved", "--wait=false"])?;
            scene.gone::<CapacityReservationGroup>("reserved").await
        })
        .await?;
        on_a_set_with_members(scene).await?;
        drop(rival);
        scene.kubectl(&["delete", "scaleset", "web", "--wait=false"])?;
        scene.gone::<ScaleSet>("web").await?;
        scene.no_machines().await
    });
}

/// What is written to while a set lives: its members, its revisions, operations on it.
async fn on_a_set_with_members(scene: &Scene<'_>) -> anyhow::Result<()> {
    scene.apply(&uniform("web", 2, json!({"upgradePolicy": {"mode": "Manual"}})))?;
    scene.settled("web").await?;
    until_a_write_was_in_vain(scene, "ScaleSetVM", async |round| {
        scene.patch::<ScaleSet>("web", json!({"spec": {"replicas": 1 + round % 2}})).await?;
        scene.settled("web").await.map(drop)
    })
    .await?;
    until_a_write_was_in_vain(scene, "ScaleSetOperation", async |round| {
        let name = format!("restart-{round}");
        scene.apply(&json!({
            "apiVersion": scaleset_crds::API_VERSION, "kind": "ScaleSetOperation", "metadata": {"name": name},
            "spec": {
                "target": {"kind": "ScaleSet", "name": "web"}, "type": "Restart", "ttlSecondsAfterFinished": 0,
            },
        }))?;
        scene.gone::<ScaleSetOperation>(&name).await
    })
    .await?;
    until_a_write_was_in_vain(scene, "ControllerRevision", async |round| {
        let before = newest(scene).await?;
        let release = if round % 2 == 0 { "1" } else { "2" };
        scene.patch::<ScaleSet>("web", profile(json!({"tags": {"release": release}}))).await?;
        scene
            .until("the set has the other model", async || {
                ensure!(newest(scene).await? != before, "it is still {before}");
                Ok(())
            })
            .await
    })
    .await
}

async fn newest(scene: &Scene<'_>) -> anyhow::Result<String> {
    scene.set("web").await?.status.unwrap_or_default().model_revision.context("it has a model")
}
