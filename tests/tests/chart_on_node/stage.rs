//! A node of its own for each story, one after the other.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use scaleset_tests::chart::{Helm, NAMESPACE, RELEASE};
use scaleset_tests::local::cluster::LocalCluster;
use scaleset_tests::local::controller::{HardwarePlace, Latency, Settings};
use scaleset_tests::local::release::install_definitions;
use scaleset_tests::local::until;
use serde_json::{Value, json};

pub const LIMIT: Duration = Duration::from_mins(2);
/// The namespace of the sets.
pub const SHOP: &str = "shop";
/// Slow enough that an upgrade of the chart falls into the roll.
const TIMES_FASTER: f64 = 10.0;

static ALONE: Mutex<()> = Mutex::new(());

/// A story's cluster and what it asks it with. There is one node at a time.
pub struct Stage {
    pub cluster: LocalCluster,
    pub helm: Helm,
    _alone: MutexGuard<'static, ()>,
}

impl Stage {
    pub fn new() -> anyhow::Result<Self> {
        // One that has failed has ended its node all the same.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = LocalCluster::with_node()?;
        let helm = Helm::of_cluster(cluster.plane().admin_kubeconfig())?;
        Ok(Self { cluster, helm, _alone: alone })
    }

    /// Makes the namespaces, the release's under the strictest level of Pod Security, and installs the kinds.
    pub fn prepare(&self) -> anyhow::Result<()> {
        self.kubectl(&["create", "namespace", NAMESPACE])?;
        self.kubectl(&["label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted"])?;
        self.kubectl(&["create", "namespace", SHOP])?;
        install_definitions(&self.helm)
    }

    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.cluster.kubectl(arguments)
    }

    pub fn settings(&self) -> Settings {
        Settings {
            kubeconfig: self.cluster.plane().admin_kubeconfig(),
            region_file: None,
            latency: Latency::TimesFaster(TIMES_FASTER),
            place: HardwarePlace::Inside,
        }
    }

    pub fn test(&self) -> anyhow::Result<()> {
        self.helm.run(&["test", RELEASE, "--namespace", NAMESPACE, "--timeout=2m"]).map(drop)
    }

    pub fn uninstall(&self, further: &[&str]) -> anyhow::Result<String> {
        self.helm.run(&[&["uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", "--timeout=2m"], further].concat())
    }

    /// Waits until all of a set's VMs have a size and are ready.
    pub async fn all_have(&self, size: &str, count: usize) -> anyhow::Result<()> {
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

pub fn set(size: &str) -> Value {
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
