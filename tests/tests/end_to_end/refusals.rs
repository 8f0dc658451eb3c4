//! What only the region can know: told with Azure's code as condition and event, nothing half done, gone when the cause is.

use anyhow::ensure;
use scaleset_crds::ScaleSet;
use scaleset_hardware::sim::Call;
use serde_json::{Value, json};

use crate::kstatus::Reading;
use crate::scene::{Scene, profile, reading, uniform};
use crate::world::run;

/// Applies a set that the region cannot make in any part, and mends it.
async fn refused_then_mended(scene: &Scene<'_>, wrong: Value, code: &str, named: &str) -> anyhow::Result<()> {
    scene.apply(&uniform("web", 2, json!({"virtualMachineProfile": wrong})))?;
    let set = scene.condition("web", ("Ready", "False", code)).await?;
    assert!(matches!(reading(&set), Reading::Failed(_)), "a person must act: {}", reading(&set));
    let note = scene.event("web", code).await?;
    assert!(note.contains(named), "{named} is not in: {note}");
    assert_eq!((scene.ids().await?, scene.calls(Call::Create).await?), (vec![], 0), "nothing was begun");
    let right = uniform("web", 2, json!({}));
    scene.patch::<ScaleSet>("web", json!({"spec": right["spec"]})).await?;
    let set = scene.settled("web").await?;
    let status = set.status.unwrap_or_default();
    let reasons: Vec<&str> = status.conditions.iter().map(|condition| condition.reason.as_str()).collect();
    assert!(!reasons.contains(&code), "it is gone with its cause: {reasons:?}");
    assert_eq!((status.ready_replicas, status.blockers.len()), (Some(2), 0));
    Ok(())
}

#[test]
fn a_size_that_is_not_offered() {
    run("size", async |scene| {
        let wrong = json!({"vmSize": "Standard_Z9"});
        refused_then_mended(scene, wrong, "SkuNotAvailable", "Standard_Z9").await
    });
}

#[test]
fn an_image_that_is_not_offered() {
    run("image", async |scene| {
        let wrong = json!({"storageProfile": {"imageReference": {"offer": "no-such-offer"}}});
        refused_then_mended(scene, wrong, "ImageNotFound", "no-such-offer").await
    });
}

#[test]
fn a_model_that_cannot_be_made_is_not_begun_on_what_runs() {
    run("badmodel", async |scene| {
        scene.apply(&uniform("web", 3, json!({"upgradePolicy": {"mode": "Automatic"}})))?;
        scene.settled("web").await?;
        let before = scene.journal().await?.len();
        scene.patch::<ScaleSet>("web", profile(json!({"vmSize": "Standard_Z9"}))).await?;
        scene.condition("web", ("Stalled", "True", "SkuNotAvailable")).await?;
        assert_eq!(scene.journal().await?.len(), before, "no part of it was started");
        scene.patch::<ScaleSet>("web", profile(json!({"vmSize": "Standard_D2s_v3"}))).await?;
        scene.settled("web").await?;
        assert_eq!(scene.journal().await?.len(), before);
        Ok(())
    });
}

/// More than there is room or quota for: what fits runs, the rest says why not, and all is well when less is wished for.
async fn lacking_then_shrunk(scene: &Scene<'_>, set: Value, code: &str, fits: usize) -> anyhow::Result<()> {
    scene.apply(&set)?;
    let set = scene.condition("web", ("CapacitySatisfied", "False", code)).await?;
    assert!(matches!(reading(&set), Reading::InProgress(_)), "room may come: {}", reading(&set));
    scene
        .until(&format!("{fits} are ready"), async || {
            let ready = scene.set("web").await?.status.and_then(|status| status.ready_replicas).unwrap_or_default();
            ensure!(usize::try_from(ready)? == fits, "{ready} are");
            Ok(())
        })
        .await?;
    assert_eq!(scene.machines().await?.len(), fits);
    let without = scene.instances().await?.into_iter().find(|instance| {
        let conditions = instance.status.iter().flat_map(|status| &status.conditions);
        conditions.into_iter().any(|condition| condition.type_ == "Provisioned" && condition.reason == code)
    });
    let without = without.and_then(|instance| instance.metadata.name).expect("one says what it lacks");
    scene.event(&without, code).await?;

    scene.kubectl(&["scale", "scaleset/web", &format!("--replicas={fits}")])?;
    // The newest go first, but which machine found room was chance: what is left takes the room of what goes.
    scene.settled("web").await?;
    scene.condition("web", ("CapacitySatisfied", "True", "Allocated")).await?;
    scene.one_machine_for_each_instance().await
}

#[test]
fn more_than_the_hosts_hold() {
    run("room", async |scene| {
        let narrow = uniform("web", 6, json!({"location": "narrow", "platformFaultDomainCount": 1}));
        lacking_then_shrunk(scene, narrow, "AllocationFailed", 4).await
    });
}

#[test]
fn more_than_the_quota_allows() {
    run("quota", async |scene| {
        let small = json!({"vmSize": "Standard_B1s"});
        let change = json!({"location": "strict", "platformFaultDomainCount": 1, "virtualMachineProfile": small});
        lacking_then_shrunk(scene, uniform("web", 5, change), "QuotaExceeded", 3).await
    });
}
