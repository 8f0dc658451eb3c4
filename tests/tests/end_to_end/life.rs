//! A Uniform set from its creation through scaling, and its instances' power.

use std::collections::BTreeMap;

use anyhow::ensure;
use scaleset_crds::ScaleSetVM;
use scaleset_crds::vocabulary::PowerState;
use scaleset_hardware::sim::Call;
use scaleset_tests::local::plugin::Plugin;
use serde_json::json;

use crate::kstatus::Reading;
use crate::scene::{Scene, reading, uniform};
use crate::world::run;

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn a_set_becomes_ready_and_its_tables_read_well() {
    run("created", async |scene| {
        let zones =
            json!({"zones": ["1", "2", "3"], "virtualMachineProfile": {"osProfile": {"computerNamePrefix": "web"}}});
        scene.apply(&uniform("web", 3, zones))?;
        let first = reading(&scene.set("web").await?);
        assert!(matches!(first, Reading::InProgress(_)), "a tool that looks at once takes it for {first}");
        scene.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "scaleset/web"])?;
        scene.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "scalesetvm", "--all"])?;
        assert_eq!(reading(&scene.set("web").await?), Reading::Current);

        let table = scene.kubectl(&["get", "sset", "web", "--no-headers"])?;
        assert_eq!(words(&table)[..7], ["web", "Uniform", "3", "3", "3", "3", "Manual"], "{table}");
        assert_eq!(words(&table)[7], "Ready", "{table}");
        let wide = scene.kubectl(&["get", "sset", "web", "-o", "wide", "--no-headers"])?;
        assert!(wide.contains("1:1 2:1 3:1"), "{wide}");

        let table = scene.kubectl(&["get", "ssvm", "-o", "wide", "--no-headers", "--sort-by=.metadata.name"])?;
        for (number, line) in table.lines().enumerate() {
            let (name, id, zone) = (format!("web-{number}"), number.to_string(), (number + 1).to_string());
            let expected = [&name, "web", &id, "Standard_D2s_v3", &zone, "running", "Succeeded", "true"];
            let row = words(line);
            assert_eq!(
                row[..8],
                expected,
                "neither a fault domain under max spreading nor health without a source: {table}"
            );
            assert_eq!(row[9], format!("web00000{number}"), "{table}");
        }
        assert_eq!(table.lines().count(), 3, "{table}");
        scene.event("web", "ScaledOut").await?;
        scene.one_machine_for_each_instance().await
    });
}

#[test]
fn scales_from_0_to_50_to_10_and_never_uses_an_id_twice() {
    run("scaled", async |scene| {
        scene.apply(&uniform("web", 0, json!({"zones": ["1", "2", "3"]})))?;
        scene.kubectl(&["annotate", "scaleset/web", "compute.scaleset.io/confirm-scale-in=Any"])?;
        scene.settled("web").await?;
        scale(scene, 50).await?;
        assert_eq!(scene.ids().await?, (0..50).collect::<Vec<u32>>());
        assert_eq!(spread(scene).await?, [17, 17, 16]);
        scene.one_machine_for_each_instance().await?;

        scale(scene, 10).await?;
        assert_eq!(scene.ids().await?, (0..10).collect::<Vec<u32>>(), "the newest go, evenly over the zones");
        assert_eq!(spread(scene).await?, [4, 3, 3]);
        scene.one_machine_for_each_instance().await?;
        assert_eq!(scene.calls(Call::Delete).await?, 40);

        scale(scene, 12).await?;
        assert_eq!(scene.ids().await?, (0..10).chain([50, 51]).collect::<Vec<u32>>());
        assert_eq!(scene.calls(Call::Create).await?, 52, "one for each instance there ever was");
        Ok(())
    });
}

#[test]
fn a_sudden_drop_waits_until_it_is_confirmed_by_a_person_or_an_autoscaler() {
    run("sudden-drop", async |scene| {
        let plugin = Plugin::new(&scene.world.cluster.plane().admin_kubeconfig(), &scene.namespace).await?;
        scene.apply(&uniform("web", 14, json!({})))?;
        scene.settled("web").await?;
        scene.kubectl(&["scale", "scaleset/web", "--replicas=2"])?;
        let held = scene.condition("web", ("Stalled", "True", "ScaleInNotConfirmed")).await?;
        let status = held.status.unwrap_or_default();
        assert_eq!((status.target_replicas, status.replicas), (Some(14), Some(14)), "nobody goes");
        scene.event("web", "ScaleInNotConfirmed").await?;
        let why = plugin.run(&["why", "web"])?;
        assert!(why.contains("spec.replicas is 2, 14 is in force"), "{why}");
        scene.kubectl(&["annotate", "scaleset/web", "compute.scaleset.io/confirm-scale-in=3"])?;
        scene.condition("web", ("Stalled", "True", "ScaleInNotConfirmed")).await?;
        assert_eq!(scene.instances().await?.len(), 14, "another number confirms nothing");
        plugin.run(&["scale", "web", "--capacity", "6", "--confirm"])?;
        scene.settled("web").await?;
        assert_eq!(scene.ids().await?.len(), 6);

        plugin.run(&["scale", "web", "--capacity", "14"])?;
        scene.settled("web").await?;
        // Above its maximum a HorizontalPodAutoscaler needs no metrics to lower the count.
        let target = json!({"apiVersion": scaleset_crds::API_VERSION, "kind": "ScaleSet", "name": "web"});
        scene.apply(&json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
            "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 4, "metrics": [{
                "type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
            }]},
        }))?;
        scene
            .until("the autoscaler's wish is obeyed", async || {
                let members = scene.ids().await?.len();
                ensure!(members == 4, "there are {members}");
                Ok(())
            })
            .await?;
        Ok(())
    });
}

async fn scale(scene: &Scene<'_>, replicas: usize) -> anyhow::Result<()> {
    scene.kubectl(&["scale", "scaleset/web", &format!("--replicas={replicas}")])?;
    let set = scene.settled("web").await?;
    let status = set.status.unwrap_or_default();
    let counts = [status.target_replicas, status.capacity, status.replicas, status.ready_replicas];
    assert_eq!(counts, [i32::try_from(replicas).ok(); 4], "target, capacity, replicas, ready");
    Ok(())
}

/// Instances by zone.
async fn spread(scene: &Scene<'_>) -> anyhow::Result<Vec<usize>> {
    let mut zones: BTreeMap<String, usize> = BTreeMap::new();
    for instance in scene.instances().await? {
        *zones.entry(instance.spec.zone.unwrap_or_default()).or_default() += 1;
    }
    Ok(zones.into_values().collect())
}

#[test]
fn an_instance_deleted_by_hand_is_replaced_under_a_new_id() {
    run("replaced", async |scene| {
        scene.apply(&uniform("web", 3, json!({})))?;
        let set = scene.settled("web").await?;
        assert_eq!(set.status.and_then(|status| status.next_instance_id), Some(3));
        // kubectl waits until the object, and with it the machine, is gone.
        scene.kubectl(&["delete", "ssvm", "web-1", "--timeout=60s"])?;
        scene
            .until("the replacement is there", async || {
                let ids = scene.ids().await?;
                ensure!(ids == [0, 2, 3], "ids are {ids:?}");
                Ok(())
            })
            .await?;
        let set = scene.settled("web").await?;
        assert_eq!(set.spec.replicas, Some(3), "the wish is as it was");
        scene.one_machine_for_each_instance().await
    });
}

#[test]
fn power_follows_the_wish_and_a_stopped_instance_is_no_fault() {
    run("power", async |scene| {
        scene.apply(&uniform("web", 2, json!({})))?;
        scene.settled("web").await?;
        for (wish, reached) in [
            ("Stopped", PowerState::Stopped),
            ("Deallocated", PowerState::Deallocated),
            ("Running", PowerState::Running),
        ] {
            let wish = json!({"spec": {"powerState": wish}});
            scene.patch::<ScaleSetVM>("web-1", wish).await?;
            scene
                .until(&format!("web-1 is {reached:?} and Ready"), async || {
                    let instance: ScaleSetVM = scene.api().get("web-1").await?;
                    let reading = reading(&instance);
                    ensure!(reading == Reading::Current, "it is {reading}");
                    let status = instance.status.unwrap_or_default();
                    ensure!(status.power_state == Some(reached), "its power is {:?}", status.power_state);
                    let host = status.instance_view.and_then(|view| view.assigned_host);
                    ensure!(host.is_none() == (reached == PowerState::Deallocated), "its host is {host:?}");
                    Ok(())
                })
                .await?;
            scene.settled("web").await?;
        }
        assert_eq!(scene.calls(Call::Create).await?, 2, "nothing was replaced");
        Ok(())
    });
}
