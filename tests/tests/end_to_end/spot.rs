//! Spot VMs: capacity is needed by others, a price rises, somebody tries what that is like.

use anyhow::{Context, ensure};
use kube::ResourceExt;
use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::PowerState;
use scaleset_crds::{FlexVM, ScaleSet, ScaleSetVM};
use scaleset_hardware::sim::Call;
use scaleset_tests::local::plugin::Plugin;
use serde_json::{Value, json};

use crate::scene::{Scene, flexible, uniform};
use crate::world::run;

async fn put(scene: &Scene<'_>, path: &str, body: Value) -> anyhow::Result<Value> {
    scene.world.hardware.send(http::Method::PUT, path, &body).await
}

async fn delete(scene: &Scene<'_>, path: &str) -> anyhow::Result<Value> {
    scene.world.hardware.send(http::Method::DELETE, path, &Value::Null).await
}

/// Regular and Spot members that are there.
async fn split(scene: &Scene<'_>) -> anyhow::Result<(usize, usize)> {
    let vms: Vec<FlexVM> = scene.flex_vms().await?;
    let regular = vms.iter().filter(|vm| vm.spec.spot.priority == Priority::Regular).count();
    Ok((regular, vms.len() - regular))
}

#[test]
fn evictions_that_delete_lower_the_target_and_a_mix_grows_on_its_short_side() {
    run("spot-mix", async |scene| {
        let profile = json!({"vmSize": "Standard_D2s_v3", "priority": "Spot", "evictionPolicy": "Delete"});
        let mix = json!({"baseRegularPriorityCount": 2, "regularPriorityPercentageAboveBase": 50});
        scene.apply(&flexible("mix", 8, json!({"virtualMachineProfile": profile, "priorityMixPolicy": mix})))?;
        scene.settled("mix").await?;
        assert_eq!(split(scene).await?, (5, 3));

        let pressure = json!({"location": "eastus", "vmSize": "Standard_D2s_v3"});
        put(scene, "/spot-pressures/mix", pressure).await?;
        let counted = scene
            .until("the Spot VMs are gone and noted", async || {
                let status = scene.settled("mix").await?.status.unwrap_or_default();
                ensure!(split(scene).await? == (5, 0), "there are {:?}", split(scene).await?);
                ensure!(status.replicas == Some(5), "it counts {:?}", status.replicas);
                Ok(status)
            })
            .await?;
        assert_eq!((counted.target_replicas, counted.evictions.len()), (Some(5), 3));
        assert_eq!(scene.set("mix").await?.spec.replicas, Some(8), "what a person wishes is not touched");
        assert_eq!(scene.calls(Call::Create).await?, 8, "nobody was made in their place");
        scene.event("mix", "Evicted").await?;
        delete(scene, "/spot-pressures/mix").await?;

        scene.kubectl(&["scale", "scaleset/mix", "--replicas=7"])?;
        let status = scene.settled("mix").await?.status.unwrap_or_default();
        assert_eq!((split(scene).await?, status.evictions.len()), ((5, 2), 0));
        scene.one_machine_for_each_instance().await?;
        scene.kubectl(&["delete", "sset", "mix", "--timeout=60s"])?;
        scene.no_machines().await
    });
}

async fn instance(scene: &Scene<'_>, id: usize) -> anyhow::Result<ScaleSetVM> {
    scene.instances().await?.into_iter().nth(id).context("there is no such instance")
}

#[test]
fn an_evicted_vm_stays_until_somebody_starts_it_and_its_price_allows_it() {
    run("spot-price", async |scene| {
        let plugin = Plugin::new(&scene.world.cluster.plane().admin_kubeconfig(), &scene.namespace).await?;
        let profile = json!({"vmSize": "Standard_D4s_v3", "priority": "Spot", "maxPrice": "0.1"});
        scene.apply(&uniform("web", 2, json!({"virtualMachineProfile": profile})))?;
        scene.settled("web").await?;

        plugin.run(&["simulate-eviction", "web", "--instance-ids", "1"])?;
        let told = instance(scene, 1).await?.status.unwrap_or_default();
        assert!(!told.scheduled_events.is_empty() || told.eviction.is_some(), "it is told before");
        let evicted = async |id: usize| {
            scene
                .until(&format!("instance {id} is evicted"), async || {
                    let status = instance(scene, id).await?.status.unwrap_or_default();
                    ensure!(status.eviction.is_some(), "it is not");
                    ensure!(status.power_state == Some(PowerState::Deallocated), "it is {:?}", status.power_state);
                    Ok(status)
                })
                .await
        };
        evicted(1).await?;
        let status = scene.settled("web").await?.status.unwrap_or_default();
        assert_eq!((status.target_replicas, status.replicas), (Some(2), Some(2)), "it counts");
        assert!(plugin.run(&["why", "web"])?.contains("Evicted"), "{}", plugin.run(&["why", "web"])?);

        put(scene, "/regions/eastus/spot-prices/Standard_D4s_v3", json!({"price": "0.2"})).await?;
        evicted(0).await?;
        let refused = plugin.refused(&["start", "web", "--instance-ids", "0"])?;
        assert!(refused.contains("SpotPriceGreaterThanProvidedMaxPrice"), "{refused}");
        delete(scene, "/regions/eastus/spot-prices/Standard_D4s_v3").await?;
        plugin.run(&["start", "web"])?;
        let status = scene.settled("web").await?.status.unwrap_or_default();
        assert_eq!(status.ready_replicas, Some(2));

        scene.patch::<ScaleSet>("web", crate::scene::profile(json!({"maxPrice": "0.3"}))).await?;
        scene.condition("web", ("UpToDate", "False", "ManualUpgradePolicy")).await?;
        let names: Vec<String> = scene.instances().await?.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names, ["web-0", "web-1"]);
        Ok(())
    });
}
