//! How deployment tools read our objects: every version that was ever stored is shown to kstatus' own library and to
//! Argo CD's script, and none is taken for finished that is not.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use scaleset_crds::{AutoscaleSetting, CapacityReservationGroup, FlexVM, ScaleSet, ScaleSetVM};
use scaleset_tests::local::object_health::{Judgement, judge};
use serde_json::{Value, json};

pub use scaleset_tests::local::object_health::Reading;

use crate::argocd::keep_examples;
use crate::scene::{Scene, profile, uniform, vm};
use crate::versions::{Change, Version, Versions, kinds};
use crate::world::run;

/// What was stored last of each object, by kind and name.
type Stored = BTreeMap<(String, String), Value>;

#[test]
fn no_version_of_any_kind_is_current_before_it_is() {
    run("kstatus", async |scene| {
        let versions = Versions::begin(scene).await?;
        begin(scene).await?;
        edit(scene).await?;
        pause(scene).await?;
        fail(scene).await?;
        end(scene).await?;
        let versions = versions.end(scene).await?;

        let mut stored = Stored::new();
        let mut seen: BTreeSet<(String, &'static str)> = BTreeSet::new();
        let mut examples = Vec::new();
        for version in &versions {
            let key = version.key();
            let Version { change, object } = version;
            if *change == Change::Removed {
                stored.remove(&key);
                continue;
            }
            stored.insert(key.clone(), object.clone());
            let judgement = judge(object)?.agreed().with_context(|| object.to_string())?;
            is_true(object, &judgement.kstatus, &stored).with_context(|| format!("{key:?}: {object}"))?;
            seen.insert((key.0, judgement.kstatus.name()));
            examples.push((object.clone(), judgement.argo_cd));
        }
        let all = ["Current", "Failed", "InProgress", "Terminating"];
        let expected: BTreeSet<(String, &'static str)> =
            kinds().iter().flat_map(|kind| all.map(|reading| (kind.kind.clone(), reading))).collect();
        assert_eq!(seen, expected, "each kind is seen in each state, in {} versions", versions.len());
        keep_examples(&examples)
    });
}

/// One object of each kind becomes what it should be.
async fn begin(scene: &Scene<'_>) -> anyhow::Result<()> {
    scene.apply(&group("d2s", "Standard_D2s_v3", 2))?;
    scene.apply(&uniform("web", 3, json!({"upgradePolicy": {"mode": "Automatic"}})))?;
    scene.apply(&vm("alone", json!({})))?;
    scene.settled("web").await?;
    scene.flex_vm_settled("alone").await?;
    scene.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "crg/d2s"])?;
    scene.apply(&uniform("paced", 1, json!({})))?;
    scene.settled("paced").await?;
    scene.apply(&setting("paced", "paced", &bounds(1)))?;
    scene.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "asetting/paced"])?;
    operation(scene, "again", "Restart", "web", json!({}))?;
    scene.kubectl(&["wait", "--for=condition=Complete", "--timeout=60s", "ssop/again"])?;
    Ok(())
}

/// Each is changed, some twice at once.
async fn edit(scene: &Scene<'_>) -> anyhow::Result<()> {
    scene.patch::<ScaleSet>("web", profile(json!({"vmSize": "Standard_D4s_v3"}))).await?;
    scene.kubectl(&["scale", "scaleset/web", "--replicas=5"])?;
    scene.settled("web").await?;
    scene.patch::<ScaleSet>("web", profile(json!({"tags": {"release": "2"}}))).await?;
    scene.settled("web").await?;
    for wish in ["Stopped", "Running"] {
        let wish = json!({"spec": {"powerState": wish}});
        scene.patch::<ScaleSetVM>("web-0", wish.clone()).await?;
        scene.patch::<FlexVM>("alone", wish).await?;
        scene.flex_vm_settled("alone").await?;
        scene.settled("web").await?;
    }
    scene.kubectl(&["scale", "scaleset/web", "--replicas=4"])?;
    let raise = json!({"spec": {"reservations": [{"name": "d2s", "vmSize": "Standard_D2s_v3", "capacity": 3}]}});
    scene.patch::<CapacityReservationGroup>("d2s", raise).await?;
    scene.settled("web").await?;
    scene.patch::<AutoscaleSetting>("paced", json!({"spec": {"profiles": bounds(2)}})).await?;
    scene
        .until("the setting has raised its set", async || {
            let replicas = scene.set("paced").await?.spec.replicas;
            ensure!(replicas == Some(2), "it has {replicas:?}");
            Ok(())
        })
        .await?;
    scene.settled("paced").await?;
    Ok(())
}

/// What a pause holds back is no work in progress.
async fn pause(scene: &Scene<'_>) -> anyhow::Result<()> {
    let paused = |paused: bool| json!({"spec": {"upgradePolicy": {"paused": paused}}});
    scene.patch::<ScaleSet>("web", paused(true)).await?;
    scene.patch::<ScaleSet>("web", profile(json!({"tags": {"release": "3"}}))).await?;
    scene.condition("web", ("UpToDate", "False", "Paused")).await?;
    scene.patch::<ScaleSet>("web", paused(false)).await?;
    scene.condition("web", ("UpToDate", "True", "ModelApplied")).await?;
    Ok(())
}

/// Each kind comes to where only a person helps.
async fn fail(scene: &Scene<'_>) -> anyhow::Result<()> {
    let image = |sku: &str| json!({"storageProfile": {"imageReference": {"sku": sku}}});
    scene.patch::<ScaleSet>("web", profile(image("99_04"))).await?;
    failed(scene, "scaleset/web").await?;
    scene.patch::<ScaleSet>("web", profile(image("22_04-lts"))).await?;
    scene.apply(&vm("broken", image("99_04")))?;
    failed(scene, "fvm/broken").await?;
    scene.apply(&group("small", "Standard_B1s", 1))?;
    failed(scene, "crg/small").await?;
    scene.apply(&setting("lost", "nowhere", &bounds(1)))?;
    failed(scene, "asetting/lost").await?;
    operation(scene, "unknown", "Restart", "web", json!({"instanceIds": ["99"]}))?;
    failed(scene, "ssop/unknown").await?;
    let spot = json!({"priority": "Spot", "evictionPolicy": "Deallocate"});
    scene.apply(&uniform("spot", 1, json!({"virtualMachineProfile": spot})))?;
    scene.settled("spot").await?;
    operation(scene, "evict", "SimulateEviction", "spot", json!({"instanceIds": ["0"]}))?;
    failed(scene, "ssvm/spot-0").await?;
    scene.settled("web").await?;
    Ok(())
}

/// As a tool prunes: in the foreground.
async fn end(scene: &Scene<'_>) -> anyhow::Result<()> {
    for kind in ["asetting", "ssop", "sset", "fvm", "crg"] {
        scene.kubectl(&["delete", kind, "--all", "--cascade=foreground", "--timeout=60s"])?;
    }
    scene.no_machines().await
}

async fn failed(scene: &Scene<'_>, name: &str) -> anyhow::Result<()> {
    scene
        .until(&format!("{name} has failed"), async || {
            let object: Value = serde_json::from_str(&scene.kubectl(&["get", name, "-o", "json"])?)?;
            let Judgement { kstatus, argo_cd: _ } = judge(&object)?.agreed()?;
            ensure!(matches!(kstatus, Reading::Failed(_)), "it is {kstatus}");
            Ok(())
        })
        .await
}

fn group(name: &str, size: &str, capacity: i32) -> Value {
    json!({
        "apiVersion": scaleset_crds::API_VERSION, "kind": "CapacityReservationGroup", "metadata": {"name": name},
        "spec": {"location": "eastus", "reservations": [{"name": "d2s", "vmSize": size, "capacity": capacity}]},
    })
}

/// An autoscale setting without rules: it keeps its set within the profile's bounds.
fn setting(name: &str, set: &str, profiles: &Value) -> Value {
    let spec = json!({"scaleTargetRef": {"name": set}, "enabled": true, "profiles": profiles});
    json!({
        "apiVersion": scaleset_crds::API_VERSION, "kind": "AutoscaleSetting", "metadata": {"name": name}, "spec": spec,
    })
}

fn bounds(minimum: i32) -> Value {
    json!([{"name": "usual", "capacity": {"minimum": minimum, "maximum": 4, "default": minimum}}])
}

fn operation(scene: &Scene<'_>, name: &str, what: &str, set: &str, more: Value) -> anyhow::Result<()> {
    let mut spec = json!({"target": {"kind": "ScaleSet", "name": set}, "type": what});
    let Value::Object(more) = more else { anyhow::bail!("fields of a spec") };
    for (field, value) in more {
        spec[field] = value;
    }
    scene.apply(&json!({
        "apiVersion": scaleset_crds::API_VERSION, "kind": "ScaleSetOperation", "metadata": {"name": name}, "spec": spec,
    }))
}

/// What a reading claims of an object, against the object's own numbers and, for a set, those of its instances then.
fn is_true(object: &Value, reading: &Reading, stored: &Stored) -> anyhow::Result<()> {
    let leaving = !object["metadata"]["deletionTimestamp"].is_null();
    ensure!(leaving == (*reading == Reading::Terminating), "it is {reading}");
    if *reading != Reading::Current {
        return Ok(());
    }
    let generation = &object["metadata"]["generation"];
    ensure!(object["status"]["observedGeneration"] == *generation, "current, and nobody has looked at it");
    for condition in object["status"]["conditions"].as_array().context("it has conditions")? {
        ensure!(condition["observedGeneration"] == *generation, "{} is older", condition["type"]);
    }
    match object["kind"].as_str() {
        Some("ScaleSet") => set_is_complete(object, stored),
        Some("ScaleSetVM" | "FlexVM") => runs_as_wished(object),
        Some("CapacityReservationGroup") => has_its_capacity(object),
        Some("AutoscaleSetting") => keeps_its_bounds(object),
        Some("ScaleSetOperation") => {
            let [total, succeeded] = ["total", "succeeded"].map(|count| &object["status"][count]);
            ensure!(total.is_number() && total == succeeded, "{succeeded} of {total}");
            Ok(())
        }
        other => anyhow::bail!("there is no kind {other:?}"),
    }
}

fn set_is_complete(set: &Value, stored: &Stored) -> anyhow::Result<()> {
    let (spec, status) = (&set["spec"], &set["status"]);
    ensure!(status["replicas"] == spec["replicas"], "{} of {} are there", status["replicas"], spec["replicas"]);
    let instances: Vec<&Value> = stored
        .values()
        .filter(|object| {
            object["kind"] == "ScaleSetVM" && object["spec"]["scaleSetRef"]["name"] == set["metadata"]["name"]
        })
        .collect();
    ensure!(json!(instances.len()) == spec["replicas"], "there are {} instances", instances.len());
    if spec["upgradePolicy"]["paused"] == true {
        return Ok(());
    }
    let size = &spec["virtualMachineProfile"]["vmSize"];
    for instance in instances {
        let runs = &instance["status"]["vmSize"];
        ensure!(runs == size, "{} is a {runs}, not a {size}", instance["metadata"]["name"]);
    }
    Ok(())
}

fn runs_as_wished(instance: &Value) -> anyhow::Result<()> {
    let wished = instance["spec"]["powerState"].as_str().unwrap_or("Running").to_lowercase();
    let found = &instance["status"]["powerState"];
    ensure!(*found == json!(wished), "it is {found}, not {wished}");
    let size = &instance["spec"]["vmSize"];
    ensure!(size.is_null() || *size == instance["status"]["vmSize"], "it is no {size}");
    Ok(())
}

fn has_its_capacity(group: &Value) -> anyhow::Result<()> {
    let reserved = group["status"]["capacityReservations"].as_array().context("it counts")?;
    for wished in group["spec"]["reservations"].as_array().into_iter().flatten() {
        let found = reserved.iter().find(|reservation| reservation["name"] == wished["name"]);
        let found = found.map(|reservation| &reservation["currentCapacity"]);
        ensure!(found == Some(&wished["capacity"]), "{found:?} of {} are reserved", wished["capacity"]);
    }
    Ok(())
}

fn keeps_its_bounds(setting: &Value) -> anyhow::Result<()> {
    let status = &setting["status"];
    let profiles = setting["spec"]["profiles"].as_array().context("it has profiles")?;
    let profile = profiles.iter().find(|profile| profile["name"] == status["profile"]).context("one is in force")?;
    let number = |value: &Value| value.as_i64().with_context(|| format!("{value} is no number"));
    let (current, capacity) = (number(&status["currentReplicas"])?, &profile["capacity"]);
    let bounds = number(&capacity["minimum"])?..=number(&capacity["maximum"])?;
    ensure!(bounds.contains(&current), "{current} are outside of {bounds:?}");
    Ok(())
}
