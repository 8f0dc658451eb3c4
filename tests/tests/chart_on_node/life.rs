//! From the first install to the last uninstall.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use jiff::Timestamp;
use scaleset_hardware::sim::Call;
use scaleset_tests::chart::{Chart, Helm, NAMESPACE, RELEASE};
use scaleset_tests::local::cluster::LocalCluster;
use scaleset_tests::local::controller::{HardwarePlace, Latency, Settings};
use scaleset_tests::local::hardware::effective;
use scaleset_tests::local::release::{Release, install_definitions, upgrade, values};
use scaleset_tests::local::until;
use serde_json::{Value, json};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_mins(2);
const SHOP: &str = "shop";
/// Slow enough that an upgrade of the chart falls into the roll.
const TIMES_FASTER: f64 = 10.0;

/// A story's cluster and what it asks it with.
struct Stage {
    cluster: LocalCluster,
    helm: Helm,
}

impl Stage {
    fn new() -> anyhow::Result<Self> {
        let cluster = LocalCluster::with_node()?;
        let helm = Helm::of_cluster(cluster.plane().admin_kubeconfig())?;
        Ok(Self { cluster, helm })
    }

    fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.cluster.kubectl(arguments)
    }

    fn settings(&self) -> Settings {
        Settings {
            kubeconfig: self.cluster.plane().admin_kubeconfig(),
            region_file: None,
            latency: Latency::TimesFaster(TIMES_FASTER),
            place: HardwarePlace::Inside,
        }
    }

    fn test(&self) -> anyhow::Result<()> {
        self.helm.run(&["test", RELEASE, "--namespace", NAMESPACE, "--timeout=2m"]).map(drop)
    }

    fn uninstall(&self, further: &[&str]) -> anyhow::Result<String> {
        self.helm.run(&[&["uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", "--timeout=2m"], further].concat())
    }

    /// Waits until all of a set's VMs have a size and are ready.
    async fn all_have(&self, size: &str, count: usize) -> anyhow::Result<()> {
        let path = "jsonpath={range .items[*]}{.status.vmSize} {.status.powerState}{\"\\n\"}{end}";
        until(&format!("{count} VMs have {size}"), LIMIT, async || {
            let told = self.kubectl(&["get", "scalesetvms", "-n", SHOP, "-o", path])?;
            let so = told.lines().filter(|line| line.contains(size) && line.contains("running")).count();
            ensure!(so == count && told.lines().count() == count, "{told}");
            Ok(())
        })
        .await
    }
}

fn set(size: &str) -> Value {
    json!({
        "apiVersion": "compute.scaleset.io/v1alpha1", "kind": "ScaleSet", "metadata": {"name": "web", "namespace": SHOP},
        "spec": {
            "orchestrationMode": "Uniform", "location": "eastus", "replicas": 5, "overprovision": false,
            "upgradePolicy": {"mode": "Automatic"},
            "virtualMachineProfile": {
                "vmSize": size,
                "osProfile": {"adminUsername": "azureuser"},
                "storageProfile": {"imageReference":
                    {"publisher": "Canonical", "offer": "ubuntu-server", "sku": "22_04-lts"}},
                "networkProfile": {"networkInterfaces": [{"name": "nic0", "primary": true, "subnet": "default"}]},
            },
        },
    })
}

/// No chart has been released yet, so the previous one is this one with another version and without what a value can
/// leave out: an upgrade from it changes every workload.
fn previous_chart() -> anyhow::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    copy(&Chart::Controller.path(), directory.path())?;
    let path = directory.path().join("Chart.yaml");
    let text = fs::read_to_string(&path)?;
    ensure!(text.contains("version: 0.1.0"), "{text}");
    fs::write(&path, text.replacen("\nversion: 0.1.0", "\nversion: 0.0.9", 1))?;
    Ok(directory)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from)? {
        let (path, target) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            fs::create_dir_all(&target)?;
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

#[test]
fn installed_tested_upgraded_in_the_middle_of_a_roll_and_not_uninstalled_while_in_use() -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let stage = Stage::new()?;
        install(&stage)?;
        upgrade_in_mid_roll(&stage).await?;
        uninstall(&stage).await
    })
}

/// Both charts go in under the strictest level of Pod Security, and the release's own test passes.
fn install(stage: &Stage) -> anyhow::Result<()> {
    stage.kubectl(&["create", "namespace", NAMESPACE])?;
    stage.kubectl(&["label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted"])?;
    stage.kubectl(&["create", "namespace", SHOP])?;
    install_definitions(&stage.helm)?;
    let previous = previous_chart()?;
    let mut values = values(&stage.settings())?;
    values["podAnnotations"] = json!({"from": "the previous chart"});
    values["hardware"]["podAnnotations"] = json!({"from": "the previous chart"});
    let notes = upgrade(&stage.helm, previous.path(), &values)?;
    ensure!(notes.contains("helm test scaleset-controller"), "the notes say what is next: {notes}");
    stage.test()
}

/// When the youngest pod of the release began.
fn youngest_pod(stage: &Stage) -> anyhow::Result<Timestamp> {
    let path = r#"jsonpath={range .items[*]}{.metadata.name} {.status.startTime}{"\n"}{end}"#;
    let of_release = format!("app.kubernetes.io/instance={RELEASE}");
    let told = stage.kubectl(&["get", "pods", "-n", NAMESPACE, "-l", &of_release, "-o", path])?;
    let begun: Vec<Timestamp> = told.lines().filter_map(|line| line.split_once(' ')?.1.parse().ok()).collect();
    ensure!(begun.len() >= 2, "controller and hardware are there: {told}");
    begun.into_iter().max().context("there are pods")
}

/// Controller and hardware are both replaced while a roll is on: it ends as if nothing had been.
async fn upgrade_in_mid_roll(stage: &Stage) -> anyhow::Result<()> {
    stage.cluster.kubectl_with(&["apply"], &set("Standard_D2s_v3").to_string())?;
    stage.all_have("Standard_D2s_v3", 5).await?;
    stage.cluster.kubectl_with(&["apply"], &set("Standard_D4s_v3").to_string())?;
    until("the roll has begun", LIMIT, async || {
        let told = stage.kubectl(&["get", "scalesetvms", "-n", SHOP, "-o", "jsonpath={.items[*].status.vmSize}"])?;
        ensure!(told.contains("Standard_D4s_v3"), "{told}");
        Ok(())
    })
    .await?;
    upgrade(&stage.helm, &Chart::Controller.path(), &values(&stage.settings())?)?;
    let replaced = youngest_pod(stage)?;
    stage.all_have("Standard_D4s_v3", 5).await?;
    stage.test()?;
    let release = Release::open(&stage.cluster).await?;
    let journal = release.hardware()?.journal(SHOP).await?;
    ensure!(effective(&journal, Call::Create).len() == 5, "no VM was made twice");
    let after = effective(&journal, Call::Update).iter().filter(|entry| entry.wall_time > replaced).count();
    println!("{after} of 5 VMs were upgraded after the last pod had been replaced at {replaced}");
    ensure!(after > 0, "the roll had ended before the pods were replaced, so nothing is proved");
    let mut updates: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in effective(&journal, Call::Update) {
        *updates.entry(entry.uid.as_str()).or_default() += 1;
    }
    ensure!(updates.len() == 5 && updates.values().all(|times| *times == 1), "each was upgraded once: {updates:?}");
    Ok(())
}

/// Refused while there is a set, with what to do; allowed when there is none. The definitions stay.
async fn uninstall(stage: &Stage) -> anyhow::Result<()> {
    let refused = stage.uninstall(&[]).expect_err("a set is there").to_string();
    for phrase in ["uninstall refused", "1 scalesets (shop/web)", "kubectl delete scalesets", "--no-hooks"] {
        ensure!(refused.contains(phrase), "{phrase:?} is not in: {refused}");
    }
    let revision = stage.helm.run(&["status", RELEASE, "--namespace", NAMESPACE, "-o", "json"])?;
    let revision: Value = serde_json::from_str(&revision)?;
    let number = revision["version"].as_u64().context("a revision")?.to_string();
    // Nothing is gone; only helm thinks that it is going, until it is told otherwise.
    stage.helm.run(&["rollback", RELEASE, &number, "--namespace", NAMESPACE, "--wait", "--timeout=3m"])?;
    upgrade(&stage.helm, &Chart::Controller.path(), &values(&stage.settings())?)?;
    stage.kubectl(&["scale", "scaleset/web", "-n", SHOP, "--replicas=6"])?;
    stage.all_have("Standard_D4s_v3", 6).await?;

    stage.kubectl(&["delete", "scaleset", "web", "-n", SHOP, "--timeout=120s"])?;
    stage.uninstall(&[])?;
    // Helm waits for what it has made, not for the pods of that.
    until("nothing is left in the namespace", LIMIT, async || {
        let kinds = "all,roles,rolebindings,pdb,networkpolicies";
        let left = stage.kubectl(&["get", kinds, "-n", NAMESPACE, "-o", "name"])?;
        ensure!(left.trim().is_empty(), "left are {left}");
        Ok(())
    })
    .await?;
    let wide = stage.kubectl(&["get", "clusterroles,clusterrolebindings", "-o", "name"])?;
    ensure!(!wide.contains(RELEASE), "left are {wide}");
    stage.helm.run(&["uninstall", "scaleset-crds", "--namespace", NAMESPACE])?;
    let definitions = stage.kubectl(&["get", "crds", "-o", "name"])?;
    ensure!(definitions.contains("scalesets.compute.scaleset.io"), "definitions outlive their release: {definitions}");
    Ok(())
}
