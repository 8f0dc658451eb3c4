//! Automatic OS image upgrade: a version is published, and the VMs follow it, each once, though the controller is killed.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use http::Method;
use jiff::SignedDuration;
use scaleset_crds::ScaleSet;
use scaleset_crds::vocabulary::{OsUpgradeStarter, RollingUpgradeCode};
use scaleset_hardware::sim::Call;
use scaleset_tests::local::hardware::effective;
use serde_json::{Value, json};

use crate::rolling::application;
use crate::scene::{Scene, uniform};
use crate::upgrade::never_more_at_once;
use crate::world::{World, run_alone};

const NAMESPACE: &str = "os-upgrade";
const REPLICAS: i32 = 6;
const VERSION: &str = "22.04.209912310";
// What the region file says.
const REIMAGE: SignedDuration = SignedDuration::from_secs(12);

/// The namespace, once it exists.
fn scene(world: &World) -> Scene<'_> {
    Scene { world, namespace: NAMESPACE.to_owned() }
}

#[test]
fn a_published_version_is_followed_by_each_vm_once_though_the_controller_is_killed() {
    run_alone(async |world| {
        let model = application("./nginx v1");
        let set = uniform("web", REPLICAS, json!({"zones": ["1", "2", "3"], "virtualMachineProfile": model}));
        Scene::new(world, NAMESPACE).await.apply(&set)?;
        scene(world).settled("web").await?;
        let policy = json!({"automaticOSUpgradePolicy": {"enableAutomaticOSUpgrade": true}});
        scene(world).patch::<ScaleSet>("web", json!({"spec": {"upgradePolicy": policy}})).await?;
        let body = json!({"image": "Canonical:ubuntu-server:22_04-lts", "version": VERSION});
        world.hardware.send::<Value>(Method::POST, "/images", &body).await?;
        scene(world)
            .until("two VMs are being upgraded or have been", async || {
                let begun = scene(world).calls(Call::ReplaceOsDisk).await?;
                ensure!(begun >= 2, "{begun} have begun");
                Ok(())
            })
            .await?;
        world.controller.kill().await?;
        world.restart_controller().await?;
        let scene = scene(world);
        let entry = scene
            .until("the history tells of its end", async || {
                let status = scene.set("web").await?.status.unwrap_or_default();
                let entry = status.os_upgrade_history.first().cloned().context("no attempt was made")?;
                ensure!(entry.running_status.code == RollingUpgradeCode::Completed, "it is {entry:?}");
                Ok(entry)
            })
            .await?;
        assert_eq!((entry.number, entry.started_by), (1, OsUpgradeStarter::Platform));
        assert_eq!(entry.progress.successful_instance_count, REPLICAS);
        assert_eq!(entry.target_image_reference.version.as_deref(), Some(VERSION));
        for machine in scene.machines().await? {
            assert_eq!(machine.image_version, VERSION);
        }
        let journal = scene.journal().await?;
        let replaced = effective(&journal, Call::ReplaceOsDisk);
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in &replaced {
            *times.entry(entry.uid.as_str()).or_default() += 1;
        }
        assert_eq!(times.len(), usize::try_from(REPLICAS)?);
        assert!(times.values().all(|times| *times == 1), "each once: {times:?}");
        never_more_at_once(&replaced, 1, REIMAGE);
        Ok(())
    });
}
