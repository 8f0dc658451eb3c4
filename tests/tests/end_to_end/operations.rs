//! What people ask for once: waited for with kubectl, carried out once, also when the controller is killed.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use scaleset_crds::condition::find;
use scaleset_crds::vocabulary::{PowerState, RollingUpgradeCode};
use scaleset_crds::{OperationStatus, ScaleSet, ScaleSetOperation, ScaleSetVM};
use scaleset_hardware::sim::Call;
use scaleset_tests::local::hardware::effective;
use serde_json::{Value, json};

use crate::scene::{Scene, profile, uniform};
use crate::world::{run, run_alone};

/// A person asks; `more` are fields of the spec.
fn ask(scene: &Scene<'_>, name: &str, operation_type: &str, more: Value) -> anyhow::Result<()> {
    let mut spec = json!({"target": {"kind": "ScaleSet", "name": "web"}, "type": operation_type});
    let Value::Object(more) = more else { anyhow::bail!("fields of a spec") };
    for (field, value) in more {
        spec[field] = value;
    }
    scene.apply(&json!({
        "apiVersion": "compute.scaleset.io/v1alpha1", "kind": "ScaleSetOperation", "metadata": {"name": name},
        "spec": spec,
    }))
}

/// As a person waits for it.
fn complete(scene: &Scene<'_>, name: &str) -> anyhow::Result<()> {
    scene.kubectl(&["wait", "--for=condition=Complete", "--timeout=60s", &format!("ssop/{name}")])?;
    Ok(())
}

async fn failed(scene: &Scene<'_>, name: &str) -> anyhow::Result<(String, String)> {
    scene
        .until(&format!("{name} has failed"), async || {
            let status = status(scene, name).await?;
            let failed = find(&status.conditions, "Failed").context("every condition is written")?;
            ensure!(failed.status == "True", "{status:?}");
            Ok((failed.reason.clone(), failed.message.clone()))
        })
        .await
}

async fn status(scene: &Scene<'_>, name: &str) -> anyhow::Result<OperationStatus> {
    Ok(scene.api::<ScaleSetOperation>().get(name).await?.status.unwrap_or_default())
}

async fn powers(scene: &Scene<'_>) -> anyhow::Result<Vec<Option<PowerState>>> {
    let instances = scene.instances().await?;
    Ok(instances.into_iter().map(|instance| instance.status.and_then(|status| status.power_state)).collect())
}

#[test]
fn power_follows_what_is_asked_for_and_protection_skips_only_who_is_not_named() {
    run("operations-power", async |scene| {
        scene.apply(&uniform("web", 3, json!({})))?;
        scene.settled("web").await?;
        let protection = json!({"spec": {"protectionPolicy": {"protectFromScaleSetActions": true}}});
        scene.patch::<ScaleSetVM>("web-2", protection).await?;
        ask(scene, "down", "Deallocate", json!({}))?;
        complete(scene, "down")?;
        let (down, up) = (Some(PowerState::Deallocated), Some(PowerState::Running));
        assert_eq!(powers(scene).await?, [down, down, up]);
        ask(scene, "off", "PowerOff", json!({"instanceIds": ["2"], "parameters": {"skipShutdown": true}}))?;
        complete(scene, "off")?;
        assert_eq!(powers(scene).await?, [down, down, Some(PowerState::Stopped)]);
        ask(scene, "up", "Start", json!({"instanceIds": ["0", "2"]}))?;
        complete(scene, "up")?;
        assert_eq!(powers(scene).await?, [up, down, up]);
        let table = scene.kubectl(&["get", "ssop"])?;
        for word in ["SUCCEEDED", "Succeeded", "Deallocate", "PowerOff", "Start"] {
            assert!(table.contains(word), "{table}");
        }
        Ok(())
    });
}

#[test]
fn in_manual_a_person_says_who_is_upgraded_and_a_deletion_lowers_the_count() {
    run("operations-manual", async |scene| {
        scene.apply(&uniform("web", 4, json!({})))?;
        scene.settled("web").await?;
        scene.patch::<ScaleSet>("web", profile(json!({"tags": {"release": "2"}}))).await?;
        scene.condition("web", ("UpToDate", "False", "ManualUpgradePolicy")).await?;
        ask(scene, "some", "ManualUpgrade", json!({"instanceIds": ["1", "3"]}))?;
        complete(scene, "some")?;
        let latest: Vec<bool> = scene
            .instances()
            .await?
            .into_iter()
            .map(|instance| instance.status.and_then(|status| status.latest_model_applied).unwrap_or_default())
            .collect();
        assert_eq!(latest, [false, true, false, true]);
        ask(scene, "remove", "Delete", json!({"instanceIds": ["0", "1"]}))?;
        complete(scene, "remove")?;
        assert_eq!(scene.ids().await?, [2, 3]);
        let set = scene.settled("web").await?;
        assert_eq!(set.spec.replicas, Some(2));
        assert_eq!(scene.ids().await?, [2, 3], "nobody takes their places");
        Ok(())
    });
}

#[test]
fn what_cannot_be_done_fails_with_its_reason_and_what_is_done_is_cleared_away() {
    run("operations-refused", async |scene| {
        scene.apply(&uniform("web", 2, json!({})))?;
        scene.settled("web").await?;
        ask(scene, "unknown", "Restart", json!({"instanceIds": ["9"]}))?;
        let (reason, message) = failed(scene, "unknown").await?;
        assert_eq!(reason, "InvalidParameter");
        assert!(message.starts_with("spec.instanceIds: the set has no instance 9"), "{message}");
        ask(scene, "roll", "CancelRollingUpgrade", json!({}))?;
        assert_eq!(failed(scene, "roll").await?.0, "OperationNotAllowed");
        ask(scene, "nobody", "Restart", json!({"target": {"kind": "ScaleSet", "name": "nobody"}}))?;
        assert_eq!(failed(scene, "nobody").await?.0, "ResourceNotFound");
        // A VM that does not run cannot restart; the other does.
        scene.patch::<ScaleSetVM>("web-1", json!({"spec": {"powerState": "Stopped"}})).await?;
        scene.kubectl(&["wait", "--for=jsonpath={.status.powerState}=stopped", "--timeout=60s", "ssvm/web-1"])?;
        scene.settled("web").await?;
        ask(scene, "half", "Restart", json!({"instanceIds": ["0", "1"]}))?;
        assert_eq!(failed(scene, "half").await?.0, "ResourceOperationFailure");
        let half = status(scene, "half").await?;
        assert_eq!((half.succeeded, half.failed), (Some(1), Some(1)));
        let failure = &half.failures[0];
        assert_eq!((failure.instance_id.as_str(), failure.code.as_str()), ("1", "OperationNotAllowed"));
        let set = scene.settled("web").await?;
        assert_eq!(set.status.and_then(|status| status.ready_replicas), Some(1), "the VM itself is as wished");
        ask(scene, "brief", "Restart", json!({"instanceIds": ["0"], "ttlSecondsAfterFinished": 0}))?;
        scene
            .until("it is cleared away", async || {
                let left = scene.api::<ScaleSetOperation>().get_opt("brief").await?;
                ensure!(left.is_none(), "it is there");
                Ok(())
            })
            .await?;
        Ok(())
    });
}

/// Asks for a restart of all, and waits until some are restarting.
async fn restart_begins(scene: &Scene<'_>) -> anyhow::Result<()> {
    scene.settled("web").await?;
    ask(scene, "again", "Restart", json!({}))?;
    scene
        .until("some are restarting", async || {
            let begun = scene.calls(Call::Perform).await?;
            ensure!(begun >= 2, "{begun} are");
            Ok(())
        })
        .await
}

#[test]
fn killed_in_the_middle_every_vm_is_restarted_once() {
    run_alone(async |world| {
        let namespace = "operations-crash";
        Scene::new(world, namespace).await.apply(&uniform("web", 8, json!({})))?;
        restart_begins(&Scene { world, namespace: namespace.to_owned() }).await?;
        world.controller.kill().await?;
        world.restart_controller().await?;
        let scene = Scene { world, namespace: namespace.to_owned() };
        complete(&scene, "again")?;
        let mut restarts: BTreeMap<String, usize> = BTreeMap::new();
        for call in effective(&scene.journal().await?, Call::Perform) {
            *restarts.entry(call.uid.clone()).or_default() += 1;
        }
        assert_eq!(restarts.len(), 8);
        assert!(restarts.values().all(|times| *times == 1), "{restarts:?}");
        let done = status(&scene, "again").await?;
        assert_eq!((done.total, done.succeeded, done.failed), (Some(8), Some(8), Some(0)));
        Ok(())
    });
}

#[test]
fn a_rolling_upgrade_is_cancelled_and_started_again() {
    run("operations-rolling", async |scene| {
        let mut set = crate::rolling::rolling(5, "./nginx v1");
        set["spec"]["upgradePolicy"]["rollingUpgradePolicy"]["pauseTimeBetweenBatchesSeconds"] = json!(60);
        scene.apply(&set)?;
        scene.settled("web").await?;
        scene.patch::<ScaleSet>("web", profile(crate::rolling::application("./nginx v2"))).await?;
        crate::rolling::upgrade(scene, 1, RollingUpgradeCode::RollingForward).await?;
        ask(scene, "cancel", "CancelRollingUpgrade", json!({}))?;
        complete(scene, "cancel")?;
        let cancelled = crate::rolling::upgrade(scene, 1, RollingUpgradeCode::Cancelled).await?;
        assert!(cancelled.progress.pending_instance_count > 0, "{cancelled:?}");
        ask(scene, "start", "StartRollingUpgrade", json!({}))?;
        complete(scene, "start")?;
        crate::rolling::upgrade(scene, 2, RollingUpgradeCode::Completed).await?;
        let set = scene.settled("web").await?;
        assert_eq!(set.status.and_then(|status| status.updated_replicas), Some(5));
        let updates = effective(&scene.journal().await?, Call::Update).len();
        assert_eq!(updates, 5, "each once");
        Ok(())
    });
}
