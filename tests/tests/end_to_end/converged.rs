//! What is as it should be costs nothing.

use anyhow::ensure;
use scaleset_tests::local::requests::{RequestKind, Requests};
use serde_json::json;

use crate::autoscale::{following, setting};
use crate::scene::{Scene, uniform, vm};
use crate::world::run_alone;

#[test]
fn passes_over_what_is_converged_write_nothing_and_list_nothing() {
    run_alone(async |world| {
        let scene = Scene::new(world, "converged").await;
        scene.apply(&uniform("web", 10, json!({"zones": ["1", "2", "3"]})))?;
        scene.apply(&vm("alone", json!({})))?;
        scene.settled("web").await?;
        scene.flex_vm_settled("alone").await?;
        // The status is written before its pass has ended: what the last pass tells as events comes after it.
        touched(&scene, "once").await?;
        let before = Requests::of(&world.client).await?;
        touched(&scene, "twice").await?;
        let asked = Requests::of(&world.client).await?.since(&before).only(RequestKind::is_ours);
        let touches = |kind: &RequestKind| kind.verb == "PATCH" && !kind.resource.contains('/');
        assert_eq!(asked.only(touches).total(), 12, "ours, by kubectl: {asked}");
        let others = asked.only(|kind| kind.is_write() && !touches(kind));
        assert_eq!(others.total(), 0, "{others}");
        // kubectl lists the four kinds once each, to find what it annotates.
        assert_eq!(asked.only(RequestKind::is_list).total(), 4, "{asked}");
        Ok(())
    });
}

/// A setting on a set, and an autoscaler that is about something else: about what has no Pods, since Kubernetes then leaves it alone and
/// makes no events of its own.
#[test]
fn evaluations_of_a_setting_write_nothing_and_list_nothing() {
    run_alone(async |world| {
        let scene = Scene::new(world, "evaluated").await;
        // A setting that an earlier test left still follows its load, and writes what it sees; its evaluations would be counted too.
        world.cluster.kubectl(&["delete", "autoscalesettings", "--all", "--all-namespaces"])?;
        scene.apply(&uniform("web", 2, json!({})))?;
        scene.settled("web").await?;
        scene.apply(&setting("auto", &following(300)))?;
        scene.apply(&json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "none"},
            "spec": {
                "replicas": 0, "selector": {"matchLabels": {"of": "none"}},
                "template": {
                    "metadata": {"labels": {"of": "none"}}, "spec": {"containers": [{"name": "none", "image": "none"}]},
                },
            },
        }))?;
        scene.apply(&json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "of-pods"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "none"},
                "minReplicas": 1, "maxReplicas": 2,
            },
        }))?;
        scene.kubectl(&["wait", "--for=condition=Active", "--timeout=60s", "autoscalesettings/auto"])?;
        // The status is written before its pass has ended: what that pass tells as events comes after it.
        evaluated(&scene, 2.0).await?;
        let before = Requests::of(&world.client).await?;
        evaluated(&scene, 5.0).await?;
        let asked = Requests::of(&world.client).await?.since(&before);
        let of_autoscaling = ["autoscalesettings", "horizontalpodautoscalers"];
        let lists =
            asked.only(|kind| kind.is_list() && (kind.is_ours() || of_autoscaling.contains(&kind.resource.as_str())));
        assert_eq!(lists.total(), 0, "{lists}");
        let writes =
            asked.only(|kind| kind.is_write() && (kind.is_ours() || kind.resource.starts_with("autoscalesettings")));
        assert_eq!(writes.total(), 0, "{writes}");
        Ok(())
    });
}

/// Touches the set, its ten members and the FlexVM, and waits until so many passes over them have ended.
async fn touched(scene: &Scene<'_>, how: &str) -> anyhow::Result<()> {
    let (of_sets, of_vms) = (passes_of(scene, "scale_set").await?, passes_of(scene, "instance").await?);
    scene.kubectl(&["annotate", "--overwrite", "vmss", "--all", &format!("touched={how}")])?;
    scene
        .until("each has had a pass more", async || {
            let of_sets = passes_of(scene, "scale_set").await? - of_sets;
            let of_vms = passes_of(scene, "instance").await? - of_vms;
            ensure!(of_sets >= 1.0 && of_vms >= 11.0, "{of_sets} of the set and {of_vms} of VMs have");
            Ok(())
        })
        .await
}

/// Waits until so many evaluations more of the only setting have ended.
async fn evaluated(scene: &Scene<'_>, times: f64) -> anyhow::Result<()> {
    let before = passes_of(scene, "autoscale").await?;
    scene
        .until(&format!("it was evaluated {times} times more"), async || {
            let ended = passes_of(scene, "autoscale").await? - before;
            ensure!(ended >= times, "{ended} times");
            Ok(())
        })
        .await
}

/// How many passes of a controller have ended well so far.
async fn passes_of(scene: &Scene<'_>, controller: &str) -> anyhow::Result<f64> {
    let labels = [("controller", controller), ("result", "success")];
    scene.world.controller.counter("scaleset_passes_total", &labels).await
}
