//! Hardware that changes under us is brought back to what its object says.

use anyhow::{Context, ensure};
use http::Method;
use scaleset_crds::ScaleSetVM;
use scaleset_crds::condition::find;
use scaleset_hardware::sim::Call;
use serde_json::{Value, json};

use crate::kstatus::Reading;
use crate::scene::{Scene, reading, uniform};
use crate::world::run;

async fn one_instance(scene: &Scene<'_>) -> anyhow::Result<ScaleSetVM> {
    scene.apply(&uniform("web", 1, json!({})))?;
    scene.settled("web").await?;
    Ok(scene.api().get("web-0").await?)
}

fn vm_id(instance: &ScaleSetVM) -> Option<&str> {
    instance.status.as_ref()?.vm_id.as_deref()
}

#[test]
fn a_vanished_machine_is_made_anew_for_the_same_instance() {
    run("vanished", async |scene| {
        let before = one_instance(scene).await?;
        let path = format!("/machines/{}:web-0", scene.namespace);
        scene.world.hardware.send::<Value>(Method::DELETE, &path, &Value::Null).await?;
        let after = scene
            .until("the instance has another machine and is Ready", async || {
                let instance: ScaleSetVM = scene.api().get("web-0").await?;
                ensure!(vm_id(&instance) != vm_id(&before), "it has the old one");
                let reading = reading(&instance);
                ensure!(reading == Reading::Current, "it is {reading}");
                Ok(instance)
            })
            .await?;
        assert_eq!(after.metadata.uid, before.metadata.uid, "the object is the same");
        scene.event("web-0", "MachineVanished").await?;
        scene.settled("web").await?;
        scene.one_machine_for_each_instance().await
    });
}

#[test]
fn a_machine_that_was_changed_behind_our_back_is_changed_back() {
    run("drifted", async |scene| {
        one_instance(scene).await?;
        let path = format!("/machines/{}:web-0/model", scene.namespace);
        let drift = json!({"vmSize": "Standard_D4s_v3", "tags": {"owner": "nobody"}});
        scene.world.hardware.send::<Value>(Method::PATCH, &path, &drift).await?;
        scene
            .until("the machine is what the model says", async || {
                let machines = scene.machines().await?;
                let model = &machines[0].model;
                ensure!(model.vm_size == "Standard_D2s_v3" && model.tags.is_empty(), "{model:?}");
                Ok(())
            })
            .await?;
        scene.settled("web").await?;
        assert_eq!(scene.calls(Call::Create).await?, 1, "it was mended in place");
        Ok(())
    });
}

#[test]
fn a_boot_that_fails_is_told_and_tried_again() {
    run("failing", async |scene| {
        let fault = json!({
            "selector": {"namespace": scene.namespace}, "effect": {"type": "failBoot", "code": "OSProvisioningTimedOut"},
        });
        scene.world.hardware.send::<Value>(Method::PUT, "/faults/failing", &fault).await?;
        scene.apply(&uniform("web", 2, json!({})))?;
        scene.condition("web", ("Ready", "False", "OSProvisioningTimedOut")).await?;
        let set = scene.set("web").await?;
        assert!(matches!(reading(&set), Reading::InProgress(_)), "time may mend it: {}", reading(&set));
        scene.world.hardware.send::<Value>(Method::DELETE, "/faults/failing", &Value::Null).await?;
        let set = scene.settled("web").await?;
        assert_eq!(set.status.and_then(|status| status.ready_replicas), Some(2));
        assert_eq!(scene.calls(Call::Create).await?, 2, "a failed machine is reimaged, not replaced");
        scene.one_machine_for_each_instance().await
    });
}

#[test]
fn hardware_that_answers_again_is_asked_again_soon() {
    run("silent", async |scene| {
        one_instance(scene).await?;
        let fault = json!({
            "selector": {"namespace": scene.namespace},
            "effect": {"type": "failCalls", "calls": ["observe"]},
        });
        scene.world.hardware.send::<Value>(Method::PUT, "/faults/silent", &fault).await?;
        // Something makes the controller look; nothing does when the hardware answers again.
        scene.kubectl(&["annotate", "ssvm", "web-0", "look=now"])?;
        scene
            .until("the instance is not known", async || {
                let instance: ScaleSetVM = scene.api().get("web-0").await?;
                let conditions = instance.status.unwrap_or_default().conditions;
                let provisioned = find(&conditions, "Provisioned").context("it has no such condition")?;
                ensure!(provisioned.status == "Unknown", "it is {}", provisioned.status);
                Ok(())
            })
            .await?;
        scene.world.hardware.send::<Value>(Method::DELETE, "/faults/silent", &Value::Null).await?;
        scene.kubectl(&["wait", "--for=condition=Provisioned", "--timeout=60s", "ssvm/web-0"])?;
        scene.settled("web").await?;
        Ok(())
    });
}
