//! What is applied from Git stays as Git has it: a second manager finds nothing to change, whoever scales the set keeps
//! its count, and what is pruned goes whole.

use std::process::Command;

use anyhow::{bail, ensure};
use kube::ResourceExt;
use scaleset_crds::{AutoscaleSetting, CapacityReservationGroup};
use scaleset_tests::local::cluster::workspace;
use serde_json::{Value, json};

use crate::scene::{Scene, uniform};
use crate::world::run;

const SERVER_SIDE: [&str; 2] = ["--server-side", "--field-manager=argocd"];

fn samples() -> String {
    workspace().join("hack/samples").display().to_string()
}

/// What `kubectl diff` shows; nothing where there is no difference.
fn diff(scene: &Scene<'_>, arguments: &[&str]) -> anyhow::Result<String> {
    let plane = scene.world.cluster.plane();
    let output = Command::new(plane.binaries().path("kubectl"))
        .args(["--namespace", &scene.namespace, "diff"])
        .args(arguments)
        .env("KUBECONFIG", plane.admin_kubeconfig())
        .output()?;
    match output.status.code() {
        Some(0) => Ok(String::new()),
        Some(1) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        _ => bail!("kubectl diff: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// Everything that is there, by the version that the API server has of it.
fn stored(scene: &Scene<'_>) -> anyhow::Result<String> {
    let path = r#"jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}"#;
    scene.kubectl(&["get", "vmss", "-o", path])
}

/// Applies the samples again, as before, until a round finds all of it converged; what a round changes is told.
async fn applying_again_changes_nothing(scene: &Scene<'_>, how: &[&str]) -> anyhow::Result<()> {
    let directory = samples();
    let files = ["-f", &directory];
    scene
        .until("applying again changes nothing", async || {
            let before = stored(scene)?;
            scene.kubectl(&[&["apply"], how, &files].concat())?;
            let after = stored(scene)?;
            ensure!(before == after, "from\n{before}to\n{after}");
            Ok(())
        })
        .await?;
    let found = diff(scene, &[how, &files].concat())?;
    assert_eq!(found, "", "it drifts from Git");
    Ok(())
}

fn all_ready(scene: &Scene<'_>) -> anyhow::Result<()> {
    scene.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "vmss", "--all"])?;
    Ok(())
}

/// Who owns fields of a spec, but for the instances, whose specs are the controller's.
fn owners_of_specs(object: &impl ResourceExt) -> Vec<String> {
    let of_spec = object
        .managed_fields()
        .iter()
        .filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| fields.0.get("f:spec").is_some()));
    of_spec.map(|entry| entry.manager.clone().unwrap_or_default()).collect()
}

#[test]
fn a_second_manager_that_applies_the_samples_finds_nothing_to_change_and_prunes_them_whole() {
    run("gitops-server-side", async |scene| {
        let directory = samples();
        scene.kubectl(&[&["apply"], &SERVER_SIDE[..], &["-f", &directory]].concat())?;
        all_ready(scene)?;
        scene.settled("web").await?;
        scene.settled("demo-set").await?;
        applying_again_changes_nothing(scene, &SERVER_SIDE).await?;
        assert_eq!(owners_of_specs(&scene.set("web").await?), ["argocd"], "the controller writes no spec");
        assert_eq!(owners_of_specs(&scene.flex_vm("newvm").await?), ["argocd"]);
        let group = scene.api::<CapacityReservationGroup>().get("eastus-d2s").await?;
        assert_eq!(owners_of_specs(&group), ["argocd"]);
        assert_eq!(owners_of_specs(&scene.api::<AutoscaleSetting>().get("web").await?), ["argocd"]);

        scene.kubectl(&["delete", "-f", &directory, "--cascade=foreground", "--timeout=60s"])?;
        let left = scene.kubectl(&["get", "vmss", "-o", "name"])?;
        assert_eq!(left, "", "nothing outlives what it belongs to");
        scene.no_machines().await
    });
}

#[test]
fn client_side_apply_finds_nothing_to_change_either() {
    run("gitops-client-side", async |scene| {
        scene.kubectl(&["apply", "-f", &samples()])?;
        all_ready(scene)?;
        scene.settled("web").await?;
        scene.settled("demo-set").await?;
        applying_again_changes_nothing(scene, &[]).await
    });
}

/// A server-side apply by a manager.
fn apply_as(scene: &Scene<'_>, manager: &str, object: &Value) -> anyhow::Result<()> {
    let manager = format!("--field-manager={manager}");
    let arguments = ["--namespace", &scene.namespace, "apply", "--server-side", &manager];
    scene.world.cluster.kubectl_with(&arguments, &object.to_string())?;
    Ok(())
}

/// A set as it stands in Git, with a count and without one.
fn with_and_without_count() -> (Value, Value) {
    let with = uniform("web", 3, json!({}));
    let mut without = with.clone();
    if let Some(spec) = without["spec"].as_object_mut() {
        spec.remove("replicas");
    }
    (with, without)
}

async fn count(scene: &Scene<'_>) -> anyhow::Result<(Option<i32>, usize)> {
    let set = scene.settled("web").await?;
    Ok((set.spec.replicas, scene.ids().await?.len()))
}

#[test]
fn the_count_is_handed_over_and_then_follows_whoever_scales() {
    run("gitops-hand-over", async |scene| {
        let (with, without) = with_and_without_count();
        apply_as(scene, "argocd", &with)?;
        scene.settled("web").await?;
        // A second owner of the very same value: then the first may let go of it.
        apply_as(
            scene,
            "hand-over",
            &json!({
                "apiVersion": scaleset_crds::API_VERSION, "kind": "ScaleSet", "metadata": {"name": "web"}, "spec": {"replicas": 3},
            }),
        )?;
        apply_as(scene, "argocd", &without)?;
        assert_eq!(count(scene).await?, (Some(3), 3));

        scene.kubectl(&["scale", "scaleset/web", "--replicas=5"])?;
        assert_eq!(count(scene).await?, (Some(5), 5));
        apply_as(scene, "argocd", &without)?;
        assert_eq!(count(scene).await?, (Some(5), 5), "what is not in Git is not Git's");

        let taken_back = apply_as(scene, "argocd", &with).expect_err("somebody else has it");
        let told = format!("{taken_back:#}");
        assert!(told.contains("conflict") && told.contains(".spec.replicas"), "{told}");
        assert_eq!(count(scene).await?, (Some(5), 5));
        Ok(())
    });
}

#[test]
fn a_count_that_is_only_dropped_from_git_leaves_the_fleet_as_it_is() {
    run("gitops-dropped", async |scene| {
        let (with, without) = with_and_without_count();
        apply_as(scene, "argocd", &with)?;
        scene.settled("web").await?;
        apply_as(scene, "argocd", &without)?;
        assert_eq!(count(scene).await?, (None, 3), "the target in force stays");
        let scale = format!("/apis/{}/namespaces/{}/scalesets/web/scale", scaleset_crds::API_VERSION, scene.namespace);
        let refusal = scene.kubectl(&["get", "--raw", &scale]).expect_err("there is no count to read");
        assert!(format!("{refusal:#}").contains(".spec.replicas"), "{refusal:#}");

        scene.kubectl(&["scale", "scaleset/web", "--replicas=4"])?;
        scene.kubectl(&["get", "--raw", &scale])?;
        apply_as(scene, "argocd", &without)?;
        assert_eq!(count(scene).await?, (Some(4), 4));
        Ok(())
    });
}
