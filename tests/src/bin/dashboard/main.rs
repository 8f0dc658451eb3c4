//! Draws the chart's dashboard over a real run into `docs/images/dashboard.svg`: a control plane and a controller of its
//! own, a set that is scaled out, upgraded in batches and scaled in, a real Prometheus that scrapes the controller and
//! evaluates the panels' expressions. Needs `prometheus` on PATH.

mod picture;
mod prometheus;

use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams, PostParams};
use scaleset_crds::condition::find;
use scaleset_crds::{CapacityReservationGroup, ScaleSet};
use scaleset_tests::local::cluster::{LocalCluster, workspace};
use scaleset_tests::local::controller::{HardwarePlace, Latency, LocalController, Settings};
use scaleset_tests::local::until;
use serde::Deserialize;
use serde_json::{Value, json};

use picture::{Line, Panel, draw};
use prometheus::Prometheus;

const DASHBOARD: &str = "charts/scaleset-controller/dashboards/scaleset.json";
const PICTURE: &str = "docs/images/dashboard.svg";
const LIMIT: Duration = Duration::from_mins(5);
/// Where the story plays.
const NAMESPACE: &str = "default";
/// Rates are over so much, since a scrape comes each second.
const RATE_INTERVAL: &str = "10s";
/// Before and after the story, so that the picture shows rest, too.
const REST: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Dashboard {
    panels: Vec<DashboardPanel>,
}

#[derive(Deserialize)]
struct DashboardPanel {
    title: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    expr: String,
    legend_format: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dashboard: Dashboard = serde_json::from_str(&fs::read_to_string(workspace().join(DASHBOARD))?)?;
    println!("starting a control plane, building the controller");
    let cluster = tokio::task::spawn_blocking(LocalCluster::installed).await??;
    let settings = Settings {
        kubeconfig: cluster.controller_kubeconfig()?,
        region_file: None,
        latency: Latency::TimesFaster(20.0),
        place: HardwarePlace::Inside,
    };
    let controller = LocalController::start(settings).await?;
    let prometheus = Prometheus::start(controller.health()).await?;
    let begun = Timestamp::now();
    tokio::time::sleep(REST).await;
    story(&cluster).await.with_context(|| controller.log_tail(20))?;
    tokio::time::sleep(REST).await;
    let span = (begun, Timestamp::now());
    let mut panels = Vec::new();
    for DashboardPanel { title, targets } in dashboard.panels {
        let mut lines = Vec::new();
        for Target { expr, legend_format } in targets {
            for (labels, points) in prometheus.range(&plain(&expr), span).await.with_context(|| expr.clone())? {
                lines.push(Line { name: legend(&legend_format, &labels), points });
            }
        }
        println!("{title}: {} lines", lines.len());
        panels.push(Panel { title, lines });
    }
    ensure!(panels.iter().filter(|panel| !panel.lines.is_empty()).count() >= panels.len() - 1, "most panels are empty");
    let picture = workspace().join(PICTURE);
    fs::create_dir_all(picture.parent().context("the picture is in a folder")?)?;
    fs::write(picture, draw(&panels, span))?;
    println!("written to {PICTURE}");
    Ok(())
}

/// Grafana's variables: every set of the namespace that the story plays in. It is not the controller's, so a panel whose series
/// had lost their own `namespace` would be empty.
fn plain(expression: &str) -> String {
    expression.replace("$__rate_interval", RATE_INTERVAL).replace("$namespace", NAMESPACE).replace("$scale_set", ".*")
}

/// `{{label}}` stands for the label's value.
fn legend(format: &str, labels: &Value) -> String {
    let mut text = format.to_owned();
    for (name, value) in labels.as_object().into_iter().flatten() {
        text = text.replace(&format!("{{{{{name}}}}}"), value.as_str().unwrap_or_default());
    }
    text
}

/// Ten VMs on a reservation for eight, a larger size in batches, four VMs.
async fn story(cluster: &LocalCluster) -> anyhow::Result<()> {
    let client = cluster.client().await?;
    let groups: Api<CapacityReservationGroup> = Api::namespaced(client.clone(), NAMESPACE);
    let sets: Api<ScaleSet> = Api::namespaced(client, NAMESPACE);
    let group = json!({
        "apiVersion": scaleset_crds::API_VERSION, "kind": "CapacityReservationGroup", "metadata": {"name": "d2s"},
        "spec": {"location": "eastus", "zones": ["1", "2"], "reservations": [
            {"name": "one", "vmSize": "Standard_D2s_v3", "zone": "1", "capacity": 5},
            {"name": "two", "vmSize": "Standard_D2s_v3", "zone": "2", "capacity": 3},
        ]},
    });
    groups.create(&PostParams::default(), &serde_json::from_value(group)?).await?;
    let set = json!({
        "apiVersion": scaleset_crds::API_VERSION, "kind": "ScaleSet", "metadata": {"name": "web"},
        "spec": {
            "orchestrationMode": "Uniform", "location": "eastus", "zones": ["1", "2"], "replicas": 10,
            "overprovision": false, "singlePlacementGroup": false,
            "upgradePolicy": {"mode": "Rolling", "rollingUpgradePolicy": {"maxBatchInstancePercent": 20}},
            "virtualMachineProfile": {
                "vmSize": "Standard_D2s_v3",
                "capacityReservationGroupRef": {"name": "d2s"},
                "osProfile": {"adminUsername": "azureuser"},
                "storageProfile": {"imageReference": {"publisher": "Canonical", "offer": "ubuntu-server", "sku": "22_04-lts"}},
                "networkProfile": {"networkInterfaces": [{"name": "nic0", "primary": true, "subnet": "default"}]},
                "extensions": [{
                    "name": "health", "publisher": "Microsoft.ManagedServices", "type": "ApplicationHealthLinux",
                    "typeHandlerVersion": "2.0",
                    "settings": {"protocol": "http", "port": 80, "requestPath": "/healthz"},
                }],
            },
        },
    });
    sets.create(&PostParams::default(), &serde_json::from_value(set)?).await?;
    settled(&sets, 10).await?;
    tokio::time::sleep(REST).await;
    let tags = json!({"spec": {"virtualMachineProfile": {"storageProfile": {"imageReference": {"version": "latest"}, "osDisk": {"diskSizeGB": 64}}}}});
    sets.patch("web", &PatchParams::default(), &Patch::Merge(&tags)).await?;
    settled(&sets, 10).await?;
    tokio::time::sleep(REST).await;
    let fewer = json!({
        "metadata": {"annotations": {"compute.scaleset.io/confirm-scale-in": "4"}}, "spec": {"replicas": 4},
    });
    sets.patch("web", &PatchParams::default(), &Patch::Merge(&fewer)).await?;
    settled(&sets, 4).await
}

/// Waits until the set is Ready and up to date with so many VMs.
async fn settled(sets: &Api<ScaleSet>, count: i32) -> anyhow::Result<()> {
    println!("waiting for {count} members, up to date");
    until("the set is settled", LIMIT, async || {
        let set = sets.get("web").await?;
        let status = set.status.context("no status yet")?;
        ensure!(status.observed_generation == set.metadata.generation, "an older generation is observed");
        for condition in ["Ready", "UpToDate"] {
            let found = find(&status.conditions, condition).context("no condition yet")?;
            ensure!(found.status == "True", "{condition}: {}", found.message);
        }
        ensure!(status.ready_replicas == Some(count), "{:?} are ready", status.ready_replicas);
        Ok(())
    })
    .await
}
