//! The kinds across an upgrade of their chart, and after its uninstall: objects live on. And what of the other chart an upgrade
//! cannot change.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use scaleset_tests::chart::{Chart, Helm, NAMESPACE, RELEASE};
use scaleset_tests::local::cluster::{LocalCluster, workspace};
use scaleset_tests::local::release::install_definitions;
use scaleset_tests::local::until;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A field of a set that the older chart does not know.
const NEW_FIELD: &str = "scaleInPolicy";
const LIMIT: Duration = Duration::from_mins(1);

/// The chart as it was before the field was thought of.
fn older_chart() -> anyhow::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    copy(&Chart::Definitions.path(), folder.path())?;
    let path = folder.path().join("templates/scalesets.yaml");
    let mut definition: Value = serde_saphyr::from_str(&fs::read_to_string(&path)?)?;
    let spec = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let properties = spec["properties"].as_object_mut().context("a spec has properties")?;
    ensure!(properties.remove(NEW_FIELD).is_some(), "there is no field {NEW_FIELD} to leave out");
    fs::write(&path, definition.to_string())?;
    Ok(folder)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn set(name: &str) -> Value {
    json!({
        "apiVersion": "compute.scaleset.io/v1alpha1", "kind": "ScaleSet", "metadata": {"name": name},
        "spec": {"orchestrationMode": "Uniform", "location": "eastus", "replicas": 3, "virtualMachineProfile": {
            "vmSize": "Standard_D2s_v3",
            "osProfile": {"adminUsername": "azureuser"},
            "storageProfile": {"imageReference": {"publisher": "Canonical", "offer": "ubuntu-server", "sku": "22_04-lts"}},
            "networkProfile": {"networkInterfaces": [{"name": "nic0", "primary": true, "subnet": "default"}]},
        }},
    })
}

fn seen(cluster: &LocalCluster) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&cluster.kubectl(&["get", "scaleset", "web", "-o", "json"])?)?)
}

/// The set as it was, whatever has been added to it.
fn assert_lives(cluster: &LocalCluster, before: &Value) -> anyhow::Result<()> {
    let now = seen(cluster)?;
    assert_eq!(now["metadata"]["uid"], before["metadata"]["uid"], "it is the same object");
    let fields = before["spec"].as_object().context("a spec")?;
    for (name, value) in fields {
        assert_eq!(&now["spec"][name], value, "{name}");
    }
    Ok(())
}

async fn new_field_can_be_written(cluster: &LocalCluster, rule: &str) -> anyhow::Result<()> {
    let patch = json!({"spec": {NEW_FIELD: {"rules": [rule]}}}).to_string();
    // The server takes a moment to serve a changed definition.
    until("the new field is served", LIMIT, async || {
        cluster.kubectl(&["patch", "scaleset", "web", "--type=merge", "-p", &patch])?;
        let written = seen(cluster)?["spec"][NEW_FIELD]["rules"].clone();
        ensure!(written == json!([rule]), "it is {written}");
        Ok(())
    })
    .await
}

#[test]
fn objects_outlive_an_upgrade_of_their_kinds_and_the_uninstall_of_the_chart() -> anyhow::Result<()> {
    let cluster = LocalCluster::bare()?;
    let helm = Helm::of_cluster(cluster.plane().admin_kubeconfig())?;
    let older = older_chart()?;
    let chart = older.path().display().to_string();
    helm.run(&["install", "scaleset-crds", &chart, "--namespace", NAMESPACE, "--create-namespace", "--wait"])?;
    cluster.kubectl_with(&["apply"], &set("web").to_string())?;
    let before = seen(&cluster)?;
    let mut newer = set("newer");
    newer["spec"][NEW_FIELD] = json!({"rules": ["NewestVM"]});
    let refused = cluster.kubectl_with(&["apply"], &newer.to_string()).expect_err("nobody knows the field yet");
    assert!(refused.to_string().contains(&format!("unknown field \"spec.{NEW_FIELD}\"")), "{refused}");

    let runtime = tokio::runtime::Runtime::new()?;
    install_definitions(&helm)?;
    assert_lives(&cluster, &before)?;
    runtime.block_on(new_field_can_be_written(&cluster, "NewestVM"))?;
    cluster.kubectl_with(&["apply"], &newer.to_string())?;

    helm.run(&["uninstall", "scaleset-crds", "--namespace", NAMESPACE])?;
    assert_lives(&cluster, &before)?;
    runtime.block_on(new_field_can_be_written(&cluster, "OldestVM"))?;
    let policies = cluster.kubectl(&["get", "validatingadmissionpolicies", "-o", "name"])?;
    assert!(!policies.contains("scaleset"), "only the kinds are kept: {policies}");

    // What was kept is taken up again by a release of the same name.
    install_definitions(&helm)?;
    assert_lives(&cluster, &before)?;
    Ok(())
}

/// docs/install.md says what is refused, and the way past it.
#[test]
fn what_cannot_change_in_the_hardwares_stateful_set_is_refused_until_it_is_made_anew() -> anyhow::Result<()> {
    let cluster = LocalCluster::bare()?;
    let helm = Helm::offline()?;
    let today = Chart::Controller.path();
    let previous = workspace().join("tests/tests/chart_on_node/previous/scaleset-controller-0.1.0.tgz");
    let apply = |chart: &Path, set: &str| -> anyhow::Result<String> {
        let chart = chart.display().to_string();
        let only = "templates/hardware.yaml";
        let manifest = helm.run(&["template", RELEASE, &chart, "-n", NAMESPACE, "--show-only", only, "--set", set])?;
        cluster.kubectl_with(&["apply", "--server-side"], &manifest)
    };
    let nothing = "hardware.timeScale=1";
    cluster.kubectl(&["create", "namespace", NAMESPACE])?;
    apply(&previous, nothing)?;
    apply(&previous, "hardware.timeScale=2").context("what is the pod's can change")?;
    // Of some fields it depends on the server's version which of the two it says.
    let refusals = ["field is immutable", "updates to statefulset spec for fields other than"];
    for (chart, set) in [(&today, nothing), (&previous, "hardware.persistence.size=2Gi")] {
        let refused = apply(chart, set).expect_err(set).to_string();
        assert!(refusals.iter().any(|refusal| refused.contains(refusal)), "{refused}");
    }
    let of_hardware = format!("statefulset/{RELEASE}-hardware");
    cluster.kubectl(&["delete", &of_hardware, "--namespace", NAMESPACE, "--cascade=orphan", "--timeout=60s"])?;
    apply(&today, nothing).map(drop)
}
