//! From the first install to the last uninstall.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use jiff::Timestamp;
use scaleset_hardware::sim::Call;
use scaleset_tests::chart::{Chart, NAMESPACE, RELEASE};
use scaleset_tests::local::cluster::workspace;
use scaleset_tests::local::hardware::effective;
use scaleset_tests::local::release::{Release, USER, upgrade, values};
use scaleset_tests::local::until;
use serde_json::{Value, json};

use crate::stage::{LIMIT, SHOP, Stage, set};

/// A role of the cluster that only this test makes.
const FURTHER: &str = "further-rights";

/// The chart as it was at commit 637af7a, before anything was released: what `helm package` makes of it. A released chart takes its
/// place when there is one.
fn previous_chart() -> PathBuf {
    workspace().join("tests/tests/chart_on_node/previous/scaleset-controller-0.1.0.tgz")
}

/// The image is today's whichever chart runs it, and so are the rights that it needs: a chart that is older may not give all of them.
fn give_todays_rights(stage: &Stage) -> anyhow::Result<()> {
    let text = fs::read_to_string(Chart::Controller.path().join("rules/role.yaml"))?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text)?;
    let mut role = objects.into_iter().find(|object| object["kind"] == "ClusterRole").context("no ClusterRole")?;
    role["metadata"] = json!({"name": FURTHER});
    let group = "rbac.authorization.k8s.io";
    let binding = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": FURTHER},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": FURTHER},
        "subjects": [{"apiGroup": group, "kind": "User", "name": USER}],
    });
    let both = json!({"apiVersion": "v1", "kind": "List", "items": [role, binding]});
    stage.cluster.kubectl_with(&["apply"], &both.to_string()).map(drop)
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
    stage.prepare()?;
    give_todays_rights(stage)?;
    let notes = upgrade(&stage.helm, &previous_chart(), &values(&stage.settings())?)?;
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

/// Controller and hardware are both replaced while a roll is on: it ends as if nothing had been. What cannot be changed in the
/// hardware's `StatefulSet` is made anew around its pod, as docs/install.md tells.
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
    let hardware = format!("statefulset/{RELEASE}-hardware");
    stage.kubectl(&["delete", &hardware, "-n", NAMESPACE, "--cascade=orphan"])?;
    upgrade(&stage.helm, &Chart::Controller.path(), &values(&stage.settings())?)?;
    stage.kubectl(&["delete", "clusterrole,clusterrolebinding", FURTHER])?;
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
