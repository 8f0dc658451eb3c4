//! Where VMs go: evenly over zones, around a zone that is down and back again; and VMs of all sorts side by side.

use std::collections::BTreeMap;

use anyhow::ensure;
use http::Method;
use scaleset_crds::ScaleSet;
use scaleset_crds::vocabulary::PowerState;
use scaleset_hardware::sim::Call;
use scaleset_tests::local::plugin::Plugin;
use serde_json::{Value, json};

use crate::scene::{Scene, flexible, uniform, vm};
use crate::world::{run, run_alone};

/// Instances by zone, as objects and as machines.
async fn by_zone(scene: &Scene<'_>) -> anyhow::Result<[BTreeMap<String, usize>; 2]> {
    let mut counts = [BTreeMap::new(), BTreeMap::new()];
    for instance in scene.instances().await? {
        *counts[0].entry(instance.spec.zone.unwrap_or_default()).or_default() += 1;
    }
    for machine in scene.machines().await? {
        *counts[1].entry(machine.placement.zone.unwrap_or_default()).or_default() += 1;
    }
    Ok(counts)
}

fn counts(counts: [usize; 3]) -> BTreeMap<String, usize> {
    ["1", "2", "3"].map(str::to_owned).into_iter().zip(counts).collect()
}

#[test]
fn seventy_five_over_three_zones_are_twenty_five_in_each() {
    run("zones", async |scene| {
        scene.apply(&uniform("web", 75, json!({"zones": ["1", "2", "3"]})))?;
        let status = scene.settled("web").await?.status.unwrap_or_default();
        assert_eq!(by_zone(scene).await?, [counts([25; 3]), counts([25; 3])]);
        assert_eq!(status.zones_summary.as_deref(), Some("1:25 2:25 3:25"));
        assert_eq!(status.ready_replicas, Some(75));
        Ok(())
    });
}

#[test]
fn a_zone_that_fails_is_worked_around_and_nothing_flaps_when_it_is_back() {
    run_alone(async |world| {
        let scene = Scene::new(world, "outage").await;
        let set = |replicas: i32| uniform("web", replicas, json!({"zones": ["1", "2", "3"]}));
        scene.apply(&set(6))?;
        scene.settled("web").await?;
        let hardware = &scene.world.hardware;
        let outage = json!({"location": "eastus", "zone": "2"});
        hardware.send::<Value>(Method::PUT, "/outages/two", &outage).await?;
        scene
            .until("two are not available", async || {
                let status = scene.set("web").await?.status.unwrap_or_default();
                ensure!(status.available_replicas == Some(4), "{:?} are", status.available_replicas);
                Ok(())
            })
            .await?;
        assert_eq!(by_zone(&scene).await?[0], counts([2; 3]), "nobody is moved");
        scene.patch::<ScaleSet>("web", json!({"spec": {"replicas": 8}})).await?;
        scene
            .until("the two new ones run elsewhere", async || {
                let status = scene.set("web").await?.status.unwrap_or_default();
                ensure!(status.available_replicas == Some(6), "{:?} are", status.available_replicas);
                Ok(())
            })
            .await?;
        assert_eq!(by_zone(&scene).await?, [counts([3, 2, 3]), counts([3, 2, 3])]);
        scene.world.hardware.send::<Value>(Method::DELETE, "/outages/two", &Value::Null).await?;
        scene.settled("web").await?;
        assert_eq!(by_zone(&scene).await?[0], counts([3, 2, 3]), "its return alone moves nobody either");
        scene.patch::<ScaleSet>("web", json!({"spec": {"replicas": 10}})).await?;
        scene.settled("web").await?;
        assert_eq!(by_zone(&scene).await?, [counts([4, 3, 3]), counts([4, 3, 3])], "evened out by growing");
        assert_eq!((scene.calls(Call::Create).await?, scene.calls(Call::Delete).await?), (10, 0), "nothing twice");
        Ok(())
    });
}

#[test]
fn vms_of_all_sorts_are_side_by_side_in_a_flexible_set() {
    run("lab", async |scene| {
        let plugin = Plugin::new(&scene.world.cluster.plane().admin_kubeconfig(), &scene.namespace).await?;
        scene.apply(&flexible("demo-set", 1, json!({})))?;
        let image =
            json!({"publisher": "Debian", "offer": "debian-12", "sku": "12-gen2", "version": "0.20241004.1890"});
        let disks = json!([{"lun": 0, "diskSizeGB": 64}]);
        let other = json!({
            "scaleSetRef": {"name": "demo-set"}, "vmSize": "Standard_B2s",
            "storageProfile": {"imageReference": image, "dataDisks": disks},
        });
        scene.apply(&vm("newvm", other))?;
        scene.flex_vm_settled("newvm").await?;
        scene
            .until("both are members", async || {
                let status = scene.settled("demo-set").await?.status.unwrap_or_default();
                ensure!(status.replicas == Some(2), "{:?} are", status.replicas);
                Ok(())
            })
            .await?;
        let vms = scene.flex_vms().await?;
        let size = |vm: &scaleset_crds::FlexVM| vm.status.as_ref().and_then(|status| status.vm_size.clone());
        let mut sizes: Vec<Option<String>> = vms.iter().map(size).collect();
        sizes.sort();
        assert_eq!(sizes.len(), 2);
        assert_ne!(sizes[0], sizes[1], "two sizes");
        assert!(
            vms.iter()
                .all(|vm| { vm.status.as_ref().is_some_and(|status| status.power_state == Some(PowerState::Running)) })
        );
        let listed = plugin.run(&["list-instances", "demo-set"])?;
        for table in [&scene.kubectl(&["get", "fvm"])?, &listed] {
            for vm in &vms {
                let name = vm.metadata.name.as_deref().unwrap_or_default();
                let row = table.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_lowercase();
                let size = size(vm).unwrap_or_default().to_lowercase();
                for part in [size.as_str(), "running", "succeeded"] {
                    assert!(row.contains(part), "{name}: {part}\n{table}");
                }
            }
        }
        let heading: Vec<&str> = listed.lines().next().unwrap_or_default().split_whitespace().collect();
        assert_eq!(heading[..4], ["ID", "NAME", "COMPUTER-NAME", "TYPE"], "{listed}");
        for vm in &vms {
            let name = vm.metadata.name.as_deref().unwrap_or_default();
            let row = listed.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            let computer_name = vm.status.as_ref().and_then(|status| status.computer_name.as_deref());
            let first: Vec<&str> = row.split_whitespace().take(4).collect();
            assert_eq!(first, [name, name, computer_name.unwrap_or_default(), "VM"], "{listed}");
            let own = computer_name == Some(name);
            assert_eq!(own, name == "newvm", "who is made by hand has the VM's name: {listed}");
        }
        Ok(())
    });
}
