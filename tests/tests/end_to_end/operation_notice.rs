//! Restarts that wait for an approval: VMs are told and run on, the operation says for what it waits, and after the approval
//! each VM restarts once, although the controller is killed in between.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use scaleset_crds::condition::find;
use scaleset_crds::scheduled_event::{EventSource, EventStatus, EventType, ResourceType, ScheduledEvent};
use scaleset_crds::vocabulary::PowerState;
use scaleset_crds::{ScaleSetOperation, ScaleSetVM};
use scaleset_hardware::sim::Call;
use scaleset_tests::local::hardware::effective;
use scaleset_tests::local::plugin::Plugin;
use serde_json::{Value, json};

use crate::scene::{Scene, uniform};
use crate::world::run_alone;

/// The event that an instance was told of, while it runs on.
async fn told(scene: &Scene<'_>, name: &str) -> anyhow::Result<ScheduledEvent> {
    scene
        .until(&format!("{name} is told"), async || {
            let vm: ScaleSetVM = scene.api().get(name).await?;
            let status = vm.status.context("it has no status")?;
            let event = status.scheduled_events.first().cloned().context("it has no event")?;
            ensure!(status.power_state == Some(PowerState::Running), "it is {:?}", status.power_state);
            Ok(event)
        })
        .await
}

/// What the operation says of itself.
async fn said(scene: &Scene<'_>, name: &str) -> anyhow::Result<String> {
    let status = scene.api::<ScaleSetOperation>().get(name).await?.status.unwrap_or_default();
    Ok(find(&status.conditions, "Ready").context("it is written")?.message.clone())
}

/// How often the hardware was asked to good effect, by machine.
async fn performed(scene: &Scene<'_>) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut performed = BTreeMap::new();
    for call in effective(&scene.journal().await?, Call::Perform) {
        *performed.entry(call.uid.clone()).or_default() += 1;
    }
    Ok(performed)
}

/// A person asks both VMs of the set.
fn ask(scene: &Scene<'_>, name: &str, operation_type: &str) -> anyhow::Result<()> {
    scene.apply(&json!({
        "apiVersion": scaleset_crds::API_VERSION, "kind": "ScaleSetOperation", "metadata": {"name": name},
        "spec": {"target": {"kind": "ScaleSet", "name": "web"}, "type": operation_type, "instanceIds": ["*"]},
    }))
}

async fn waits(scene: &Scene<'_>, plugin: &Plugin) -> anyhow::Result<()> {
    let policy = json!({"scheduledEventsPolicy": {"userInitiatedReboot": {"automaticallyApprove": false}}});
    scene.apply(&uniform("web", 2, policy))?;
    scene.settled("web").await?;
    ask(scene, "again", "Restart")?;
    for name in ["web-0", "web-1"] {
        let event = told(scene, name).await?;
        assert_eq!(
            (event.event_type, event.event_status, event.event_source, event.resource_type),
            (EventType::Reboot, EventStatus::Scheduled, EventSource::User, ResourceType::VirtualMachine)
        );
        assert!(event.duration_in_seconds > 0, "the region file says how long: {event:?}");
    }
    let listed = plugin.run(&["events", "list", "web"])?;
    assert!(listed.contains("Reboot") && listed.contains("Scheduled") && listed.contains("User"), "{listed}");
    let document: Value = serde_json::from_str(&plugin.run(&["events", "list", "web", "-o", "json"])?)?;
    assert_eq!(document["events"][0]["resourceType"], "VirtualMachine", "{document:#}");
    let message = scene
        .until("the operation says for what it waits", async || {
            let message = said(scene, "again").await?;
            ensure!(message.contains("approve it with the operation ApproveScheduledEvent"), "{message}");
            Ok(message)
        })
        .await?;
    assert!(message.starts_with("0 of 2 done, waits for web-0 (Reboot, an operation asks for it: event "), "{message}");
    Ok(())
}

#[test]
fn a_restart_waits_for_its_approval_and_comes_once_although_the_controller_is_killed() {
    run_alone(async |world| {
        let namespace = "restart-notice";
        // Before anything is asked for: a quarter of an hour is not long for a program that is yet to be built.
        let plugin = Plugin::new(&world.cluster.plane().admin_kubeconfig(), namespace).await?;
        waits(&Scene::new(world, namespace).await, &plugin).await?;
        world.controller.kill().await?;
        world.restart_controller().await?;
        let scene = Scene { world, namespace: namespace.to_owned() };
        ask(&scene, "go", "ApproveScheduledEvent")?;
        scene.kubectl(&["wait", "--for=condition=Complete", "--timeout=60s", "ssop/again"])?;
        let performed = performed(&scene).await?;
        let told_and_done = performed.len() == 2 && performed.values().all(|times| *times == 2);
        assert!(told_and_done, "each was told once and restarted once: {performed:?}");
        scene.event("web-0", "Reboot").await?;
        scene.settled("web").await?;
        Ok(())
    });
}
