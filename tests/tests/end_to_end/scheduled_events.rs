//! Notices of deletion: who goes is told, runs on, and goes when somebody approves it or its time is over.

use anyhow::{Context, ensure};
use jiff::Timestamp;
use scaleset_crds::scheduled_event::{EventStatus, EventType, ScheduledEvent};
use scaleset_crds::vocabulary::{PowerState, ProvisioningState};
use scaleset_crds::{FlexVM, ScaleSet, ScaleSetVM};
use scaleset_hardware::sim::Call;
use scaleset_tests::local::plugin::Plugin;
use serde_json::{Value, json};

use crate::scene::{Scene, uniform, vm};
use crate::world::run;

fn notice(seconds: i32) -> Value {
    json!({"scheduledEventsProfile": {"terminateNotificationProfile": {"enable": true, "notBeforeTimeoutSeconds": seconds}}})
}

/// The event that an instance was told of, while it runs on.
async fn told(scene: &Scene<'_>, name: &str) -> anyhow::Result<ScheduledEvent> {
    scene
        .until(&format!("{name} is told"), async || {
            let vm: ScaleSetVM = scene.api().get(name).await?;
            let status = vm.status.context("it has no status")?;
            let event = status.scheduled_events.first().cloned().context("it has no event")?;
            let looks = (status.power_state, status.provisioning_state);
            ensure!(looks == (Some(PowerState::Running), Some(ProvisioningState::Deleting)), "it is {looks:?}");
            Ok(event)
        })
        .await
}

#[test]
fn who_goes_is_told_and_goes_when_plugin_or_operation_approves_it() {
    run("terminate", async |scene| {
        let plugin = Plugin::new(&scene.world.cluster.plane().admin_kubeconfig(), &scene.namespace).await?;
        scene.apply(&uniform("web", 3, json!({"virtualMachineProfile": notice(900)})))?;
        scene.settled("web").await?;
        assert_eq!(plugin.run(&["events", "list", "web"])?, "no scheduled events\n");

        scene.kubectl(&["scale", "scaleset/web", "--replicas=2"])?;
        let event = told(scene, "web-2").await?;
        assert_eq!((event.event_type, event.event_status), (EventType::Terminate, EventStatus::Scheduled));
        scene.event("web-2", "Terminate").await?;
        let listed = plugin.run(&["events", "list", "web"])?;
        assert!(listed.contains(&event.event_id) && listed.contains("web-2"), "{listed}");
        let document: Value = serde_json::from_str(&plugin.run(&["events", "list", "web", "-o", "json"])?)?;
        assert_eq!(document["events"][0]["resources"], json!(["web-2"]), "{document:#}");
        let described = scene.kubectl(&["describe", "ssvm", "web-2"])?;
        assert!(described.contains("approve it with the operation ApproveScheduledEvent"), "{described}");
        let held = scene
            .until("the set says who waits", async || {
                let why = plugin.run(&["why", "web"])?;
                ensure!(why.contains("DeletionNotice"), "{why}");
                Ok(why)
            })
            .await?;
        assert!(held.contains("1 told of their deletion (web-2)"), "{held}");
        let unknown = plugin.refused(&["events", "approve", "web", "--event-id", "none"])?;
        assert!(unknown.contains("has the scheduled event none"), "{unknown}");
        plugin.run(&["events", "approve", "web", "--event-id", &event.event_id])?;
        scene.gone::<ScaleSetVM>("web-2").await?;

        scene.kubectl(&["delete", "ssvm", "web-0", "--wait=false"])?;
        told(scene, "web-0").await?;
        scene
            .until("another is made while it is there", async || {
                ensure!(scene.ids().await? == [0, 1, 3], "there are {:?}", scene.ids().await?);
                Ok(())
            })
            .await?;
        let operation = json!({
            "apiVersion": scaleset_crds::API_VERSION, "kind": "ScaleSetOperation", "metadata": {"name": "go"},
            "spec": {"target": {"kind": "ScaleSet", "name": "web"}, "type": "ApproveScheduledEvent", "instanceIds": ["0"]},
        });
        scene.apply(&operation)?;
        scene.kubectl(&["wait", "--for=condition=Complete", "--timeout=60s", "ssop/go"])?;
        scene.gone::<ScaleSetVM>("web-0").await?;
        let summary = scene.settled("web").await?.status.and_then(|status| status.scheduled_events);
        assert!(summary.is_some_and(|summary| summary.count == 0 && summary.document_incarnation >= 2));

        scene.kubectl(&["delete", "sset", "web", "--wait=false"])?;
        told(scene, "web-1").await?;
        told(scene, "web-3").await?;
        plugin.run(&["events", "approve", "web", "--instance-ids", "*"])?;
        scene.gone::<ScaleSet>("web").await?;
        scene.no_machines().await?;
        assert_eq!(scene.calls(Call::ApproveEvent).await?, 4, "each was approved once");
        Ok(())
    });
}

#[test]
fn a_flex_vm_that_nobody_approves_goes_when_its_time_is_over() {
    run("terminate-vm", async |scene| {
        let plugin = Plugin::new(&scene.world.cluster.plane().admin_kubeconfig(), &scene.namespace).await?;
        scene.apply(&vm("lone", notice(300)))?;
        scene.flex_vm_settled("lone").await?;
        scene.kubectl(&["delete", "fvm", "lone", "--wait=false"])?;
        let machine = scene
            .until("it is told", async || {
                let machine = scene.machines().await?.pop().context("it is gone")?;
                ensure!(machine.terminate_notice.is_some(), "it is not");
                Ok(machine)
            })
            .await?;
        let not_before = machine.terminate_notice.context("it is told")?.not_before;
        scene
            .until("its status says so", async || {
                let listed = plugin.run(&["events", "list", "--vm", "lone"])?;
                ensure!(listed.contains("Terminate"), "{listed}");
                Ok(())
            })
            .await?;
        scene.gone::<FlexVM>("lone").await?;
        scene.no_machines().await?;
        let clock: Value = scene.world.hardware.send(http::Method::GET, "/clock", &Value::Null).await?;
        let now: Timestamp = clock["scenarioTime"].as_str().context("the clock tells the time")?.parse()?;
        ensure!(now >= not_before, "it went at {now}, {not_before} was promised");
        assert_eq!(scene.calls(Call::ApproveEvent).await?, 0, "nobody has approved it");
        Ok(())
    });
}
