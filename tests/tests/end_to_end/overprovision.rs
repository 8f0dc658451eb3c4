//! A set that grows makes more VMs than it keeps, and a set that was deallocated as a whole starts evenly.

use std::collections::BTreeMap;

use anyhow::ensure;
use kube::ResourceExt;
use scaleset_crds::ScaleSetVM;
use scaleset_crds::vocabulary::PowerState;
use scaleset_hardware::QuotaRule;
use scaleset_hardware::sim::Call;
use scaleset_tests::local::hardware::effective;
use scaleset_tests::local::plugin::Plugin;
use serde_json::{Value, json};

use crate::scene::{Scene, uniform};
use crate::world::{World, run, run_alone};

/// The field is absent: the default is in force.
fn growing(replicas: i32, change: Value) -> Value {
    let mut set = uniform("web", replicas, change);
    set["spec"].as_object_mut().expect("a spec is an object").remove("overprovision");
    set
}

/// Waits until the set has just its members, with a machine for each that counts against the quota.
async fn only_members(scene: &Scene<'_>, replicas: usize) -> anyhow::Result<Vec<ScaleSetVM>> {
    scene.settled("web").await?;
    scene
        .until("the extras are gone", async || {
            let instances = scene.instances().await?;
            let machines = scene.machines().await?;
            let marked = instances.iter().filter(|instance| instance.spec.surplus.is_some()).count();
            let exempt = machines.iter().filter(|machine| machine.quota == QuotaRule::Exempt).count();
            let counts = (instances.len(), machines.len(), marked, exempt);
            ensure!(counts == (replicas, replicas, 0, 0), "instances, machines, marked, exempt: {counts:?}");
            Ok(instances)
        })
        .await
}

#[test]
fn two_are_made_as_four_beside_a_quota_that_has_room_for_two_alone() {
    run("overprovision", async |scene| {
        scene.apply(&growing(2, json!({"location": "thrifty", "platformFaultDomainCount": 1})))?;
        only_members(scene, 2).await?;
        let status = scene.set("web").await?.status.unwrap_or_default();
        assert_eq!((status.replicas, status.next_instance_id, status.reached_replicas), (Some(2), Some(4), Some(2)));
        let journal = scene.journal().await?;
        let created = effective(&journal, Call::Create);
        let exempt = created.iter().filter(|entry| entry.detail.ends_with("exempt from quota")).count();
        assert_eq!((created.len(), exempt), (4, 2), "{created:?}");
        assert!(journal.iter().all(|entry| !format!("{:?}", entry.outcome).contains("QuotaExceeded")), "{journal:?}");
        scene.event("web", "Overprovisioned").await?;
        scene.one_machine_for_each_instance().await
    });
}

#[test]
fn zones_are_even_and_extensions_run_only_on_those_that_are_kept() {
    run("overprovision-zones", async |scene| {
        let extension = json!([{
            "name": "app", "publisher": "Microsoft.Azure.Extensions", "type": "CustomScript", "typeHandlerVersion": "2.0",
            "settings": {"commandToExecute": "./install"},
        }]);
        let change = json!({
            "zones": ["1", "2", "3"], "doNotRunExtensionsOnOverprovisionedVMs": true,
            "virtualMachineProfile": {"extensions": extension},
        });
        scene.apply(&growing(12, change))?;
        let mut zones: BTreeMap<String, usize> = BTreeMap::new();
        for instance in only_members(scene, 12).await? {
            *zones.entry(instance.spec.zone.unwrap_or_default()).or_default() += 1;
        }
        assert_eq!(zones.into_values().collect::<Vec<_>>(), [4, 4, 4]);
        let with_extension =
            scene.machines().await?.into_iter().filter(|machine| machine.extensions.contains_key("app"));
        assert_eq!(with_extension.count(), 12);
        let journal = scene.journal().await?;
        let deleted: Vec<&str> =
            effective(&journal, Call::Delete).into_iter().map(|entry| entry.uid.as_str()).collect();
        let updated: Vec<&str> =
            effective(&journal, Call::Update).into_iter().map(|entry| entry.uid.as_str()).collect();
        assert_eq!(deleted.len(), 3, "{deleted:?}");
        assert!(deleted.iter().all(|uid| !updated.contains(uid)), "who went has run no extension");
        Ok(())
    });
}

/// A namespace that exists already.
fn scene<'world>(world: &'world World, namespace: &str) -> Scene<'world> {
    Scene { world, namespace: namespace.to_owned() }
}

/// Waits until the highest id says that so many objects were made.
async fn made_so_far(scene: &Scene<'_>, made: u32) -> anyhow::Result<()> {
    scene
        .until(&format!("{made} objects were made"), async || {
            let next = scene.ids().await?.last().map_or(0, |highest| highest + 1);
            ensure!(next >= made, "{next} were");
            Ok(())
        })
        .await
}

#[test]
fn killed_in_the_middle_of_a_growth_the_set_ends_with_what_it_is_to_have() {
    run_alone(async |world| {
        let namespace = "overprovision-crash";
        Scene::new(world, namespace).await.apply(&growing(0, json!({"zones": ["1", "2", "3"]})))?;
        scene(world, namespace).settled("web").await?;
        scene(world, namespace).kubectl(&["scale", "scaleset/web", "--replicas=30"])?;
        // More than the thirty may be gone again before they are seen.
        for made in [5, 20, 30] {
            made_so_far(&scene(world, namespace), made).await?;
            world.controller.kill().await?;
            world.restart_controller().await?;
        }
        let scene = scene(world, namespace);
        let instances = only_members(&scene, 30).await?;
        let uids: Vec<String> = instances.iter().filter_map(ResourceExt::uid).collect();
        let journal = scene.journal().await?;
        for uid in uids {
            let creates = effective(&journal, Call::Create).into_iter().filter(|entry| entry.uid == uid).count();
            assert_eq!(creates, 1, "{uid}");
        }
        let mut zones: BTreeMap<String, usize> = BTreeMap::new();
        for instance in instances {
            *zones.entry(instance.spec.zone.unwrap_or_default()).or_default() += 1;
        }
        assert_eq!(zones.into_values().collect::<Vec<_>>(), [10, 10, 10]);
        scene.one_machine_for_each_instance().await
    });
}

#[test]
fn a_set_that_was_deallocated_as_a_whole_starts_evenly() {
    run("respread", async |scene| {
        let plugin = Plugin::new(&scene.world.cluster.plane().admin_kubeconfig(), &scene.namespace).await?;
        scene.apply(&uniform("web", 6, json!({"platformFaultDomainCount": 3})))?;
        scene.settled("web").await?;
        plugin.run(&["delete-instances", "web", "--instance-ids", "1,4"])?;
        scene.settled("web").await?;
        let domains = async || -> anyhow::Result<Vec<i32>> {
            let mut domains: Vec<i32> =
                scene.machines().await?.into_iter().filter_map(|it| it.placement.platform_fault_domain).collect();
            domains.sort_unstable();
            Ok(domains)
        };
        assert_eq!(domains().await?, [0, 0, 2, 2]);
        plugin.run(&["deallocate", "web"])?;
        scene
            .until("the places are given anew", async || {
                let mut placed: Vec<Option<i32>> =
                    scene.instances().await?.iter().map(|instance| instance.spec.platform_fault_domain).collect();
                placed.sort_unstable();
                ensure!(placed == [Some(0), Some(0), Some(1), Some(2)], "{placed:?}");
                Ok(())
            })
            .await?;
        let down = scene.machines().await?.into_iter().filter(|machine| machine.power == PowerState::Deallocated);
        assert_eq!(down.count(), 4);
        plugin.run(&["start", "web"])?;
        scene.settled("web").await?;
        assert_eq!(domains().await?, [0, 0, 1, 2], "the hardware is where the set says");
        Ok(())
    });
}
