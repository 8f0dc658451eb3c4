//! The health script for Argo CD: judged by the interpreter that Argo CD has, on objects of real runs, in the layout of
//! its `resource_customizations`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use scaleset_tests::local::cluster::workspace;
use scaleset_tests::local::object_health::{HEALTH_SCRIPT, Health, judge};
use serde_json::{Value, json};

/// Where the script and its examples are.
fn directory() -> PathBuf {
    workspace().join(HEALTH_SCRIPT).parent().map(PathBuf::from).unwrap_or_default()
}

fn read(name: &str) -> anyhow::Result<Value> {
    let path = directory().join(name);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_saphyr::from_str(&text).with_context(|| path.display().to_string())
}

#[test]
fn every_example_has_the_health_that_is_written_beside_it() -> anyhow::Result<()> {
    let tests = read("health_test.yaml")?;
    let mut healths: BTreeMap<String, usize> = BTreeMap::new();
    for test in tests["tests"].as_array().context("a list of tests")? {
        let path = test["inputPath"].as_str().context("each names its example")?;
        let judgement = judge(&read(path)?)?.agreed().with_context(|| path.to_owned())?;
        let (status, message) = judgement.argo_cd.parts();
        assert_eq!(json!({"status": status, "message": message}), test["healthStatus"], "{path}");
        *healths.entry(status.to_owned()).or_default() += 1;
    }
    let names: Vec<&str> = healths.keys().map(String::as_str).collect();
    assert_eq!(names, ["Degraded", "Healthy", "Progressing", "Suspended"], "{healths:?}");
    let examples = fs::read_dir(directory().join("testdata"))?.count();
    assert_eq!(healths.values().sum::<usize>(), examples, "each example is tested");
    Ok(())
}

#[test]
fn what_nobody_has_looked_at_yet_or_is_foreign_is_never_healthy() -> anyhow::Result<()> {
    let object = |more: Value| {
        let mut object = json!({
            "apiVersion": scaleset_crds::API_VERSION, "kind": "ScaleSet", "metadata": {"name": "web", "generation": 2},
        });
        object["status"] = more;
        object
    };
    let condition = |name: &str, status: &str| json!({"type": name, "status": status, "reason": "R", "message": "m"});
    let good = [condition("Ready", "True"), condition("Reconciling", "False"), condition("Stalled", "False")];
    for (status, told) in [
        (Value::Null, "waiting for controller"),
        (json!({}), "waiting for controller"),
        (json!({"conditions": []}), "waiting for controller"),
        (json!({"conditions": [condition("Ready", "Unknown")]}), "R: m"),
        (
            json!({"observedGeneration": 1, "conditions": good}),
            "waiting for controller: generation 2 is not observed yet",
        ),
    ] {
        let told = Health::Progressing(told.to_owned());
        assert_eq!(judge(&object(status.clone()))?.argo_cd, told, "{status}");
    }
    let finished = object(json!({"observedGeneration": 2, "conditions": good}));
    assert_eq!(judge(&finished)?.agreed()?.argo_cd, Health::Healthy("R: m".to_owned()));
    Ok(())
}

#[test]
fn the_patch_for_argocd_cm_holds_the_script() -> anyhow::Result<()> {
    let text = fs::read_to_string(workspace().join("hack/argocd/argocd-cm.yaml"))?;
    let patch: Value = serde_saphyr::from_str(&text)?;
    let customizations = patch["data"]["resource.customizations"].as_str().context("its key")?;
    let customizations: Value = serde_saphyr::from_str(customizations)?;
    let script = fs::read_to_string(workspace().join(HEALTH_SCRIPT))?;
    assert_eq!(customizations, json!({"compute.scaleset.io/*": {"health.lua": script}}));
    Ok(())
}

/// Why an object has its health, in a word: there are several ways of making progress.
fn what_it_shows(object: &Value, health: &Health) -> String {
    match health {
        Health::Progressing(_) if !object["metadata"]["deletionTimestamp"].is_null() => "terminating".to_owned(),
        Health::Progressing(message) if message.starts_with("waiting for controller") => "edited".to_owned(),
        Health::Progressing(message) if message.starts_with("Pending") => "created".to_owned(),
        Health::Progressing(_) | Health::Healthy(_) | Health::Suspended(_) | Health::Degraded(_) => {
            health.parts().0.to_lowercase()
        }
    }
}

/// With `UPDATE_GOLDENS=1` the first object of each kind that shows something becomes an example.
pub fn keep_examples(judged: &[(Value, Health)]) -> anyhow::Result<()> {
    if std::env::var_os("UPDATE_GOLDENS").is_none() {
        return Ok(());
    }
    let mut examples: BTreeMap<String, (Value, Health)> = BTreeMap::new();
    for (object, health) in judged {
        let kind = object["kind"].as_str().context("it has a kind")?.to_lowercase();
        let name = format!("{kind}_{}.yaml", what_it_shows(object, health));
        examples.entry(name).or_insert_with(|| (example(object), health.clone()));
    }
    let directory = directory();
    fs::remove_dir_all(directory.join("testdata"))?;
    fs::create_dir(directory.join("testdata"))?;
    let mut tests = Vec::new();
    for (name, (object, health)) in examples {
        let path = format!("testdata/{name}");
        fs::write(directory.join(&path), serde_saphyr::to_string(&object)?)?;
        let (status, message) = health.parts();
        tests.push(json!({"healthStatus": {"status": status, "message": message}, "inputPath": path}));
    }
    fs::write(directory.join("health_test.yaml"), serde_saphyr::to_string(&json!({"tests": tests}))?)?;
    Ok(())
}

/// The object without what differs from run to run and says nothing of its health.
fn example(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|field, _| {
            ["name", "namespace", "generation", "deletionTimestamp", "finalizers"].contains(&field.as_str())
        });
    }
    object
}
