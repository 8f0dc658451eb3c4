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
        let before = Requests::of(&world.client).await?;
        let passes = world.controller.counter("scaleset_passes_total", &[]).await?;
        // Twelve objects are touched, so that each gets at least one pass more.
        scene.kubectl(&["annotate", "vmss", "--all", "touched=yes"])?;
        scene
            .until("twelve passes have ended", async || {
                let ended = world.controller.counter("scaleset_passes_total", &[]).await? - passes;
                ensure!(ended >= 12.0, "{ended} have");
                Ok(())
            })
            .await?;
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

/// A setting on a set, and an autoscaler that is about something else.
#[test]
fn evaluations_of_a_setting_write_nothing_and_list_nothing() {
    run_alone(async |world| {
        let scene = Scene::new(world, "evaluated").await;
        scene.apply(&uniform("web", 2, json!({})))?;
        scene.settled("web").await?;
        scene.apply(&setting("auto", &following(300)))?;
        scene.apply(&json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "of-pods"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"},
                "minReplicas": 1, "maxReplicas": 2,
            },
        }))?;
        scene.kubectl(&["wait", "--for=condition=Active", "--timeout=60s", "autoscalesettings/auto"])?;
        let before = Requests::of(&world.client).await?;
        let of_settings = [("controller", "autoscale"), ("result", "success")];
        let passes = world.controller.counter("scaleset_passes_total", &of_settings).await?;
        scene
            .until("it was evaluated five times more", async || {
                let ended = world.controller.counter("scaleset_passes_total", &of_settings).await? - passes;
                ensure!(ended >= 5.0, "{ended} times");
                Ok(())
            })
            .await?;
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
