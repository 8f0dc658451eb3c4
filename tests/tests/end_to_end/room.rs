//! Room on full hosts: regular VMs push Spot VMs off, and scale-in by force frees its places at once.

use anyhow::{Context, ensure};
use scaleset_crds::ScaleSetVM;
use scaleset_crds::condition::find;
use scaleset_hardware::sim::Call;
use scaleset_tests::local::hardware::effective;
use serde_json::json;

use crate::scene::{Scene, uniform};
use crate::world::{run, run_alone};

/// Names of the instances of a set that were evicted.
async fn evicted(scene: &Scene<'_>, set: &str) -> anyhow::Result<Vec<String>> {
    let of_set = |vm: &ScaleSetVM| vm.spec.scale_set_ref.name == set;
    let evicted = |vm: &ScaleSetVM| vm.status.as_ref().is_some_and(|status| status.eviction.is_some());
    let instances = scene.api::<ScaleSetVM>().list(&kube::api::ListParams::default()).await?.items;
    Ok(instances.into_iter().filter(|vm| of_set(vm) && evicted(vm)).filter_map(|vm| vm.metadata.name).collect())
}

#[test]
fn a_regular_vm_pushes_one_spot_vm_off_a_full_host_whoever_is_killed_meanwhile() {
    run_alone(async |world| {
        let victim = {
            let scene = Scene::new(world, "spot-room").await;
            let place = json!({"location": "spare", "platformFaultDomainCount": 1});
            let mut set = uniform("cheap", 4, place.clone());
            set["spec"]["virtualMachineProfile"]["priority"] = json!("Spot");
            scene.apply(&set)?;
            scene.settled("cheap").await?;
            scene.apply(&uniform("base", 1, place))?;
            let waiting = scene.condition("base", ("CapacitySatisfied", "False", "AllocationFailed")).await?;
            let status = waiting.status.unwrap_or_default();
            let said = find(&status.conditions, "CapacitySatisfied").context("it is told")?;
            assert!(
                said.message.ends_with("; 1 Spot VM is being evicted on spare-fd0-only-00 to make room"),
                "{}",
                said.message
            );
            let told = scene.event("base-0", "AllocationFailed").await?;
            assert!(told.contains("1 Spot VM is being evicted"), "{told}");
            let about = ["--field-selector=reason=Preempt", "--output=jsonpath={.items[0].involvedObject.name}"];
            let victim = scene
                .until("somebody is told that it is evicted", async || {
                    let told = scene.kubectl(&["get", "events", about[0], about[1]])?;
                    ensure!(told.starts_with("cheap-"), "told is {told:?}");
                    Ok(told)
                })
                .await?;
            world.controller.kill().await?;
            victim
        };
        world.restart_controller().await?;
        let scene = Scene { world, namespace: "spot-room".to_owned() };
        let status = scene.settled("base").await?.status.unwrap_or_default();
        assert_eq!(status.ready_replicas, Some(1), "the room was kept for it");
        scene
            .until("the Spot VM is deallocated", async || {
                let evicted = evicted(&scene, "cheap").await?;
                ensure!(evicted == [victim.as_str()], "evicted are {evicted:?}");
                Ok(())
            })
            .await?;
        assert_eq!(scene.set("cheap").await?.spec.replicas, Some(4));
        Ok(())
    });
}

#[test]
fn scale_in_by_force_cuts_the_power_and_a_deletion_by_hand_does_not() {
    run("forced", async |scene| {
        let policy = json!({"scaleInPolicy": {"forceDeletion": true}, "zones": ["1", "2", "3"]});
        scene.apply(&uniform("web", 4, policy))?;
        scene.settled("web").await?;
        scene.kubectl(&["scale", "sset/web", "--replicas=3"])?;
        scene
            .until("three are left", async || {
                let ids = scene.ids().await?;
                ensure!(ids == [0, 1, 2], "there are {ids:?}");
                Ok(())
            })
            .await?;
        scene.settled("web").await?;
        scene.kubectl(&["delete", "ssvm", "web-2"])?;
        scene.settled("web").await?;
        let journal = scene.journal().await?;
        let deletions: Vec<(&str, &str)> = effective(&journal, Call::Delete)
            .into_iter()
            .map(|entry| (entry.owner.rsplit('/').next().unwrap_or_default(), entry.detail.as_str()))
            .collect();
        assert_eq!(deletions, [("web-3", "without shutdown"), ("web-2", "")]);
        let marked = scene.instances().await?.into_iter().filter(|vm| {
            vm.metadata.annotations.iter().flatten().any(|(name, _)| name == scaleset_crds::labels::FORCE_DELETION)
        });
        assert_eq!(marked.count(), 0, "nobody bears a mark who stays");
        Ok(())
    });
}
