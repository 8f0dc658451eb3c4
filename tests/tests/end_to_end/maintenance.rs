//! Maintenance of hosts and notices of new OS disks: VMs are told, one approval is for a whole event, and it is over.

use anyhow::{Context, ensure};
use http::Method;
use scaleset_crds::ScaleSetVM;
use scaleset_crds::scheduled_event::{EventType, ScheduledEvent};
use scaleset_hardware::NoticeStage;
use scaleset_hardware::sim::Call;
use scaleset_tests::local::plugin::Plugin;
use serde_json::{Value, json};

use crate::scene::{Scene, uniform};
use crate::world::{run, run_alone};

/// The event that an instance was told of.
async fn told(scene: &Scene<'_>, name: &str) -> anyhow::Result<ScheduledEvent> {
    scene
        .until(&format!("{name} is told"), async || {
            let vm: ScaleSetVM = scene.api().get(name).await?;
            let events = vm.status.context("it has no status")?.scheduled_events;
            events.first().cloned().context("it has no event")
        })
        .await
}

#[test]
fn hosts_are_maintained_domain_by_domain_and_one_approval_is_for_a_whole_event() {
    run_alone(async |world| {
        let scene = Scene::new(world, "maintenance").await;
        let plugin = Plugin::new(&scene.world.cluster.plane().admin_kubeconfig(), &scene.namespace).await?;
        // Nobody else has VMs there.
        scene.apply(&uniform("web", 6, json!({"location": "centralindia"})))?;
        scene.settled("web").await?;
        let hosts = json!({"kind": "Reboot", "location": "centralindia"});
        let begun: Value = scene.world.hardware.send(Method::PUT, "/maintenances/hosts", &hosts).await?;
        assert_eq!(begun["hosts"]["waiting"], 4, "two of six are told at once: {begun}");
        let event = told(&scene, "web-0").await?;
        assert_eq!(
            (event.event_type, told(&scene, "web-5").await?.event_id),
            (EventType::Reboot, event.event_id.clone())
        );
        scene.event("web-0", "Reboot").await?;
        let listed = plugin.run(&["events", "list", "web"])?;
        assert!(listed.contains("Reboot") && listed.contains("web-0, web-5   Scheduled"), "{listed}");
        let document: Value = serde_json::from_str(&plugin.run(&["events", "list", "web", "-o", "json"])?)?;
        assert_eq!(document["events"][0]["resources"], json!(["web-0", "web-5"]), "{document:#}");

        plugin.run(&["events", "approve", "web", "--instance-ids", "5"])?;
        scene
            .until("both have restarted", async || {
                let machines = scene.machines().await?;
                let notices = machines.iter().filter(|machine| machine.disruption_notice.is_some()).count();
                ensure!(notices == 0, "{notices} have a notice");
                Ok(())
            })
            .await?;
        scene.settled("web").await?;
        scene
            .until("the set says that nobody is told any more", async || {
                let status = scene.set("web").await?.status.unwrap_or_default();
                let summary = status.scheduled_events.context("somebody was told")?;
                ensure!(summary.count == 0 && summary.document_incarnation >= 2, "{summary:?}");
                Ok(())
            })
            .await?;
        let unknown = plugin.refused(&["events", "approve", "web", "--event-id", &event.event_id])?;
        assert!(unknown.contains("has the scheduled event"), "it is over: {unknown}");
        let ended: Value = scene.world.hardware.send(Method::DELETE, "/maintenances/hosts", &Value::Null).await?;
        assert_eq!(ended, json!({}));
        assert_eq!(
            (scene.calls(Call::Update).await?, scene.calls(Call::Delete).await?),
            (0, 0),
            "nobody else did anything"
        );
        Ok(())
    });
}

#[test]
fn a_vm_is_told_before_its_os_disk_is_replaced() {
    run("image-notice", async |scene| {
        let plugin = Plugin::new(&scene.world.cluster.plane().admin_kubeconfig(), &scene.namespace).await?;
        let enabled = json!({"scheduledEventsProfile": {"osImageNotificationProfile": {"enable": true}}});
        scene.apply(&uniform("web", 1, json!({"virtualMachineProfile": enabled})))?;
        scene.settled("web").await?;
        let name = scene.instances().await?.pop().and_then(|vm| vm.metadata.name).context("there is one")?;
        let before = scene.machines().await?.pop().context("there is one")?.disks;
        plugin.run(&["reimage", "web", "--no-wait"])?;
        let event = told(scene, &name).await?;
        assert_eq!(event.description.as_deref(), Some("its OS disk is replaced"));
        let machine = scene.machines().await?.pop().context("there is one")?;
        assert_eq!(machine.disks, before, "it runs on as it was");
        plugin.run(&["events", "approve", "web", "--event-id", &event.event_id])?;
        scene
            .until("it has another OS disk", async || {
                let machine = scene.machines().await?.pop().context("there is one")?;
                ensure!(machine.disks != before, "{:?}", machine.disruption_notice.map(|notice| notice.stage));
                Ok(())
            })
            .await?;
        scene.settled("web").await?;
        let notice = scene.machines().await?.pop().context("there is one")?.disruption_notice;
        assert!(notice.is_none_or(|notice| notice.stage == NoticeStage::Started), "it is told nothing else");
        Ok(())
    });
}
