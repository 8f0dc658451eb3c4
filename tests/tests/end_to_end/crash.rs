//! The controller is killed in the middle and started again: nothing is made twice, nothing is lost, nothing stays behind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::ensure;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams};
use scaleset_crds::ScaleSet;
use scaleset_hardware::sim::{Call, JournalEntry};
use scaleset_tests::local::hardware::effective;
use scaleset_tests::local::until;
use serde_json::json;

use crate::scene::{LIMIT, Scene, profile, uniform};
use crate::upgrade::never_more_at_once;
use crate::world::{World, run_alone};

/// How far the scale-out has come when the controller is killed.
#[derive(Clone, Copy, Debug)]
enum Progress {
    Objects(usize),
    Machines(usize),
    Ready(usize),
}

#[test]
fn killed_in_the_middle_of_a_scale_out_nothing_is_made_twice() {
    run_alone(async |world| {
        Scene::new(world, "crash-scale").await.apply(&uniform("web", 0, json!({"zones": ["1", "2", "3"]})))?;
        scene(world, "crash-scale").settled("web").await?;
        scene(world, "crash-scale").kubectl(&["scale", "scaleset/web", "--replicas=50"])?;
        let mut points = Vec::new();
        for progress in [Progress::Objects(5), Progress::Machines(10), Progress::Ready(20)] {
            points.push(kill_at(world, "crash-scale", progress).await?);
            world.restart_controller().await?;
        }
        println!("killed with (objects, machines, ready) = {points:?}");
        assert!(points.iter().any(|(_, _, ready)| *ready < 50), "at least once it was in the middle: {points:?}");
        let scene = scene(world, "crash-scale");
        scene.settled("web").await?;
        scene.one_machine_for_each_instance().await?;
        assert_eq!(scene.ids().await?.len(), 50);
        let journal = scene.journal().await?;
        let instances: BTreeSet<String> = scene.instances().await?.iter().filter_map(ResourceExt::uid).collect();
        let created: BTreeMap<&str, usize> = by_machine(&effective(&journal, Call::Create));
        assert!(created.values().all(|times| *times == 1), "surplus creates: {created:?}");
        assert_eq!(created.keys().map(|uid| (*uid).to_owned()).collect::<BTreeSet<_>>(), instances, "no orphans");
        assert_eq!(effective(&journal, Call::Delete).len(), 0);
        Ok(())
    });
}

/// Kills the controller once the scale-out has come so far; answers how far objects, machines and Ready were then.
async fn kill_at(world: &World, namespace: &str, progress: Progress) -> anyhow::Result<(usize, usize, i32)> {
    let scene = scene(world, namespace);
    let ready = async || -> anyhow::Result<i32> {
        Ok(scene.set("web").await?.status.and_then(|status| status.ready_replicas).unwrap_or_default())
    };
    let begun = Instant::now();
    loop {
        let (reached, count) = match progress {
            Progress::Objects(count) => (scene.ids().await?.len(), count),
            Progress::Machines(count) => (scene.calls(Call::Create).await?, count),
            Progress::Ready(count) => (usize::try_from(ready().await?)?, count),
        };
        // Asked without a pause: the whole scale-out takes about a second.
        if reached >= count {
            break;
        }
        ensure!(begun.elapsed() < LIMIT, "{progress:?} not within {} s: {reached} at last", LIMIT.as_secs());
    }
    let machines = scene.machines().await?.len();
    world.controller.kill().await?;
    Ok((scene.ids().await?.len(), machines, ready().await?))
}

fn by_machine<'entry>(calls: &[&'entry JournalEntry]) -> BTreeMap<&'entry str, usize> {
    calls.iter().fold(BTreeMap::new(), |mut counts, call| {
        *counts.entry(call.uid.as_str()).or_default() += 1;
        counts
    })
}

/// A namespace that exists already.
fn scene<'world>(world: &'world World, namespace: &str) -> Scene<'world> {
    Scene { world, namespace: namespace.to_owned() }
}

#[test]
fn killed_in_the_middle_of_an_upgrade_no_instance_is_upgraded_twice() {
    run_alone(async |world| {
        let namespace = "crash-upgrade";
        let set = uniform("web", 10, json!({"upgradePolicy": {"mode": "Automatic"}}));
        Scene::new(world, namespace).await.apply(&set)?;
        scene(world, namespace).settled("web").await?;
        let change = profile(json!({"vmSize": "Standard_D4s_v3"}));
        scene(world, namespace).patch::<ScaleSet>("web", change).await?;
        let mut points = Vec::new();
        for updates in [1, 4, 7] {
            let begun = scene(world, namespace)
                .until(&format!("{updates} instances are being upgraded"), async || {
                    let begun = scene(world, namespace).calls(Call::Update).await?;
                    ensure!(begun >= updates, "{begun} are");
                    Ok(begun)
                })
                .await?;
            points.push(begun);
            world.controller.kill().await?;
            world.restart_controller().await?;
        }
        let scene = scene(world, namespace);
        scene.settled("web").await?;
        let journal = scene.journal().await?;
        let updates = effective(&journal, Call::Update);
        assert!(points[0] < 10, "at least once it was in the middle: {points:?} of 10 had begun");
        let upgraded = by_machine(&updates);
        assert_eq!((upgraded.len(), updates.len()), (10, 10), "each once: {upgraded:?}");
        never_more_at_once(&updates, 2, SignedDuration::from_secs(10));
        assert_eq!(effective(&journal, Call::Create).len(), 10);
        scene.one_machine_for_each_instance().await
    });
}

#[test]
fn a_namespace_deleted_while_the_controller_is_down_goes_when_it_is_back() {
    run_alone(async |world| {
        let namespace = "crash-namespace";
        Scene::new(world, namespace).await.apply(&uniform("web", 100, json!({"zones": ["1", "2", "3"]})))?;
        scene(world, namespace).settled("web").await?;
        world.controller.kill().await?;
        let namespaces: Api<Namespace> = Api::all(world.client.clone());
        namespaces.delete(namespace, &DeleteParams::default()).await?;
        world.restart_controller().await?;
        until("the namespace is gone", LIMIT, async || {
            let status = namespaces.get_opt(namespace).await?.map(|namespace| namespace.status);
            ensure!(status.is_none(), "{status:?}");
            Ok(())
        })
        .await?;
        assert_eq!(world.hardware.machines(namespace).await?.len(), 0);
        Ok(())
    });
}

#[test]
fn with_the_definitions_everything_goes_and_the_controller_works_on_when_they_are_back() {
    run_alone(async |world| {
        let namespace = "definitions";
        let set = uniform("web", 5, json!({}));
        Scene::new(world, namespace).await.apply(&set)?;
        scene(world, namespace).settled("web").await?;
        let names = ["scalesets", "scalesetvms", "flexvms"].map(|kind| format!("crd/{kind}.{}", scaleset_crds::GROUP));
        let names = names.each_ref().map(String::as_str);
        world.cluster.kubectl(&[&["delete", "--timeout=60s"], &names[..]].concat())?;
        assert_eq!(world.hardware.machines(namespace).await?.len(), 0, "they are held until the last machine is gone");
        world.cluster.install()?;
        let scene = scene(world, namespace);
        scene.apply(&set)?;
        scene.settled("web").await?;
        scene.one_machine_for_each_instance().await
    });
}
