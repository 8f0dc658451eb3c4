//! Rolling upgrades: batch by batch, each healthy before the next; stopped by a bad model; killed in the middle.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use jiff::SignedDuration;
use scaleset_crds::ScaleSet;
use scaleset_crds::rolling_upgrade::RollingUpgradeStatus;
use scaleset_crds::vocabulary::{HealthState, RollingUpgradeCode};
use scaleset_hardware::sim::{Call, JournalEntry};
use scaleset_tests::local::hardware::effective;
use serde_json::{Value, json};

use crate::scene::{Scene, profile, uniform};
use crate::upgrade::never_more_at_once;
use crate::world::{World, run, run_alone};

// What the region file says.
const UPDATE: SignedDuration = SignedDuration::from_secs(2);
const REIMAGE: SignedDuration = SignedDuration::from_secs(12);

/// A set whose application is asked for its health, and is started with `command`. Nobody is late, however slow the machine is that tests.
pub fn rolling(replicas: i32, command: &str) -> Value {
    let policy = json!({"mode": "Rolling", "rollingUpgradePolicy": {"healthTimeoutSeconds": 3_600}});
    let set = json!({"zones": ["1", "2", "3"], "upgradePolicy": policy, "virtualMachineProfile": application(command)});
    uniform("web", replicas, set)
}

pub fn application(command: &str) -> Value {
    json!({"extensions": [
        {
            "name": "health", "publisher": "Microsoft.ManagedServices", "type": "ApplicationHealthLinux",
            "typeHandlerVersion": "2.0", "settings": {"protocol": "http", "requestPath": "/healthz"},
        },
        {
            "name": "app", "publisher": "Microsoft.Azure.Extensions", "type": "CustomScript",
            "typeHandlerVersion": "2.0", "settings": {"commandToExecute": command},
        },
    ]})
}

/// The same, where who is not well counts as failed after some seconds of those who wait for it.
fn impatient(replicas: i32, command: &str) -> Value {
    let mut set = rolling(replicas, command);
    set["spec"]["upgradePolicy"]["rollingUpgradePolicy"]["healthTimeoutSeconds"] = json!(200);
    set
}

async fn change(scene: &Scene<'_>, part: Value) -> anyhow::Result<()> {
    scene.patch::<ScaleSet>("web", profile(part)).await?;
    Ok(())
}

/// The latest upgrade, once it has come to `code`.
pub async fn upgrade(scene: &Scene<'_>, number: i64, code: RollingUpgradeCode) -> anyhow::Result<RollingUpgradeStatus> {
    scene
        .until(&format!("upgrade {number} is {code:?}"), async || {
            let status = scene.set("web").await?.status.unwrap_or_default();
            let upgrade = status.rolling_upgrade.context("there is none")?;
            ensure!(upgrade.number == number, "it is number {}", upgrade.number);
            ensure!(upgrade.running_status.code == code, "it is {upgrade:?}");
            Ok(upgrade)
        })
        .await
}

fn by_machine(calls: &[&JournalEntry]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(call.uid.clone()).or_default() += 1;
    }
    counts
}

#[test]
fn an_image_goes_over_three_zones_in_batches_that_are_healthy() {
    run("rolling", async |scene| {
        scene.apply(&rolling(20, "./nginx v1"))?;
        scene.settled("web").await?;
        for instance in scene.instances().await? {
            let view = instance.status.and_then(|status| status.instance_view).context("it has a view")?;
            let health = view.vm_health.context("its model has a health source")?;
            assert_eq!(HealthState::from_code(&health.status.code), Some(HealthState::Healthy));
        }
        let table = scene.kubectl(&["get", "ssvm", "web-0", "--no-headers"])?;
        assert!(table.contains("Healthy"), "{table}");
        change(scene, json!({"storageProfile": {"imageReference": {"sku": "20_04-lts-gen2"}}})).await?;
        let done = upgrade(scene, 1, RollingUpgradeCode::Completed).await?;
        assert_eq!(done.progress.successful_instance_count, 20, "{done:?}");
        assert_eq!(done.batch.context("it had batches")?.number, 6, "zones of 7, 7 and 6 at 20 %: 4+3, 4+3, 4+2");
        scene.settled("web").await?;
        let journal = scene.journal().await?;
        let reimages = effective(&journal, Call::Reimage);
        assert!(by_machine(&reimages).values().all(|times| *times == 1), "each once: {reimages:?}");
        assert_eq!(reimages.len(), 20);
        never_more_at_once(&reimages, 4, REIMAGE);
        Ok(())
    });
}

#[test]
fn a_bad_image_stops_in_its_first_batch_and_is_not_tried_again_until_the_model_names_another() {
    run("rolling-image", async |scene| {
        let debian = |version: &str| {
            let image = json!({"publisher": "Debian", "offer": "debian-12", "sku": "12-gen2", "version": version});
            json!({"storageProfile": {"imageReference": image}})
        };
        scene.apply(&impatient(6, "./nginx v1"))?;
        scene.settled("web").await?;
        change(scene, debian("0.20250210.2019")).await?;
        let stopped = upgrade(scene, 1, RollingUpgradeCode::Faulted).await?;
        let error = stopped.error.context("it says why")?;
        assert_eq!(error.code, "MaxUnhealthyUpgradedInstancePercentExceededInRollingUpgrade");
        scene.condition("web", ("Stalled", "True", &error.code)).await?;
        let status = scene.set("web").await?.status.unwrap_or_default();
        assert_eq!(status.available_replicas, Some(5), "one has the bad image, five serve");
        assert_eq!(scene.calls(Call::Reimage).await?, 1, "nobody else was touched");
        change(scene, debian("0.20241004.1890")).await?;
        let done = upgrade(scene, 2, RollingUpgradeCode::Completed).await?;
        assert_eq!(done.progress.successful_instance_count, 6, "{done:?}");
        scene.settled("web").await?;
        let versions: Vec<String> = scene.machines().await?.into_iter().map(|machine| machine.image_version).collect();
        assert_eq!(versions, vec!["0.20241004.1890".to_owned(); 6]);
        Ok(())
    });
}

#[test]
fn a_bad_application_stops_at_the_first_batch_and_a_mended_one_goes_through() {
    run("rolling-bad", async |scene| {
        scene.apply(&impatient(5, "./nginx v1"))?;
        scene.settled("web").await?;
        change(scene, application("./broken v2")).await?;
        let stopped = upgrade(scene, 1, RollingUpgradeCode::Faulted).await?;
        let error = stopped.error.context("it says why")?;
        assert_eq!(error.code, "MaxUnhealthyUpgradedInstancePercentExceededInRollingUpgrade");
        let progress = stopped.progress;
        assert_eq!((progress.failed_instance_count, progress.pending_instance_count), (1, 4), "{progress:?}");
        scene.condition("web", ("Stalled", "True", &error.code)).await?;
        let touched = effective(&scene.journal().await?, Call::Update).len();
        assert_eq!(touched, 1, "the others were not touched");
        change(scene, application("./nginx v3")).await?;
        let done = upgrade(scene, 2, RollingUpgradeCode::Completed).await?;
        assert_eq!(done.progress.successful_instance_count, 5, "{done:?}");
        scene.settled("web").await?;
        let journal = scene.journal().await?;
        let updates = effective(&journal, Call::Update);
        never_more_at_once(&updates[1..], 1, UPDATE);
        Ok(())
    });
}

/// A namespace that exists already.
fn scene<'world>(world: &'world World, namespace: &str) -> Scene<'world> {
    Scene { world, namespace: namespace.to_owned() }
}

#[test]
fn killed_in_the_middle_of_a_rolling_upgrade_no_instance_is_upgraded_twice() {
    run_alone(async |world| {
        let namespace = "rolling-crash";
        Scene::new(world, namespace).await.apply(&rolling(5, "./nginx v1"))?;
        scene(world, namespace).settled("web").await?;
        change(&scene(world, namespace), application("./nginx v2")).await?;
        for begun in [1, 3] {
            scene(world, namespace)
                .until(&format!("{begun} instances are being upgraded"), async || {
                    let updates = scene(world, namespace).calls(Call::Update).await?;
                    ensure!(updates >= begun, "{updates} are");
                    Ok(())
                })
                .await?;
            world.controller.kill().await?;
            world.restart_controller().await?;
        }
        let scene = scene(world, namespace);
        let done = upgrade(&scene, 1, RollingUpgradeCode::Completed).await?;
        assert_eq!(done.progress.successful_instance_count, 5, "{done:?}");
        let journal = scene.journal().await?;
        let updates = effective(&journal, Call::Update);
        assert_eq!(by_machine(&updates).len(), 5);
        assert_eq!(updates.len(), 5, "each once");
        Ok(())
    });
}
