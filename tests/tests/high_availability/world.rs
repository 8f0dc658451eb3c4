//! One control plane and one hardware process for all of these tests, one test at a time, each with replicas of its own.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use scaleset_control_plane::Supervisor;
use scaleset_crds::condition::find;
use scaleset_crds::{FIELD_MANAGER, ScaleSet};
use scaleset_hardware::sim::{Call, JournalEntry};
use scaleset_tests::local::audit;
use scaleset_tests::local::cluster::LocalCluster;
use scaleset_tests::local::controller::{Latency, LocalController, Settings};
use scaleset_tests::local::hardware::HardwareEndpoint;
use scaleset_tests::local::hardware_process::LocalHardware;
use scaleset_tests::local::until;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, OnceCell};

pub const LIMIT: Duration = Duration::from_mins(1);
/// How much faster than the wall scenario time runs.
const TIMES_FASTER: f64 = 20.0;

/// Durations of an election, in seconds: lease, renew deadline, retry period.
#[derive(Clone, Copy, Debug)]
pub struct Durations(pub u64, pub u64, pub u64);

/// How far the journal has come.
#[derive(Clone, Copy, Debug)]
pub struct Led {
    /// The highest epoch in it.
    pub epoch: u64,
    /// Its last entry.
    pub sequence: u64,
}

/// A control plane and hardware.
pub struct World {
    pub cluster: LocalCluster,
    pub client: Client,
    pub hardware: LocalHardware,
    pub endpoint: HardwareEndpoint,
    /// What the API server was asked for by replicas.
    pub audit_log: PathBuf,
    directory: PathBuf,
    replicas: AtomicU32,
    /// Removes the directory with the process: nobody drops this.
    _supervisor: Supervisor,
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime can be built"));
static WORLD: OnceCell<Mutex<World>> = OnceCell::const_new();

/// Runs a test in the world, which it has for itself meanwhile.
pub fn run(test: impl AsyncFnOnce(&mut World) -> anyhow::Result<()>) {
    RUNTIME.block_on(async {
        let started = WORLD.get_or_init(async || Mutex::new(World::start().await.expect("the world starts"))).await;
        let mut world = started.lock().await;
        let result = test(&mut world).await;
        if result.is_err() {
            eprintln!("the end of the hardware's log:\n{}", world.hardware.log_tail(20));
        }
        // The lock is let go before the panic, so that other tests can go on.
        drop(world);
        result.unwrap_or_else(|error| panic!("{error:#}"));
    });
}

impl World {
    async fn start() -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("scaleset-replicas-").tempdir()?.keep();
        let supervisor = Supervisor::removing(Some(&directory))?;
        let audit_log = audit::file(&directory)?;
        let log = audit_log.clone();
        let cluster = tokio::task::spawn_blocking(move || LocalCluster::installed_with_audit(&log)).await??;
        let hardware = LocalHardware::start(None, Latency::TimesFaster(TIMES_FASTER)).await?;
        Ok(Self {
            client: cluster.client().await?,
            endpoint: hardware.endpoint()?,
            cluster,
            hardware,
            audit_log,
            directory,
            replicas: AtomicU32::new(0),
            _supervisor: supervisor,
        })
    }

    /// The controller's user, in a group of its own by which the audit log tells replicas apart.
    fn kubeconfig_of_a_replica(&self) -> anyhow::Result<PathBuf> {
        let group = format!("replica-{}", self.replicas.fetch_add(1, Ordering::Relaxed));
        let written = self.cluster.plane().kubeconfig_for(FIELD_MANAGER, &[&group])?;
        let path = self.directory.join(format!("{group}.kubeconfig"));
        fs::copy(written, &path)?;
        Ok(path)
    }

    /// A replica that takes part in the election.
    pub async fn replica(&self, durations: Durations) -> anyhow::Result<LocalController> {
        let Durations(lease, renew, retry) = durations;
        let flags = [
            "--leader-elect".to_owned(),
            format!("--leader-elect-lease-duration-seconds={lease}"),
            format!("--leader-elect-renew-deadline-seconds={renew}"),
            format!("--leader-elect-retry-period-seconds={retry}"),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        LocalController::start(Settings {
            kubeconfig: self.kubeconfig_of_a_replica()?,
            region_file: None,
            latency: Latency::TimesFaster(TIMES_FASTER),
            place: self.hardware.place(&flags),
        })
        .await
    }

    /// A namespace of a test.
    pub async fn namespace(&self, name: &str) -> anyhow::Result<()> {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        Api::all(self.client.clone()).create(&PostParams::default(), &namespace).await?;
        Ok(())
    }

    pub fn sets(&self, namespace: &str) -> Api<ScaleSet> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Makes a Uniform set `web`, changed by a merge patch of its spec.
    pub async fn make_set(&self, namespace: &str, replicas: i32, change: Value) -> anyhow::Result<()> {
        let set = json!({
            "apiVersion": scaleset_crds::API_VERSION, "kind": "ScaleSet", "metadata": {"name": "web"},
            "spec": {
                "orchestrationMode": "Uniform", "location": "eastus", "replicas": replicas, "overprovision": false,
                "virtualMachineProfile": {
                    "vmSize": "Standard_D2s_v3",
                    "osProfile": {"adminUsername": "azureuser"},
                    "storageProfile": {"imageReference": {
                        "publisher": "Canonical", "offer": "ubuntu-server", "sku": "22_04-lts",
                    }},
                    "networkProfile": {"networkInterfaces": [{"name": "nic0", "primary": true, "subnet": "default"}]},
                },
            },
        });
        self.sets(namespace).create(&PostParams::default(), &serde_json::from_value(set)?).await?;
        if change.as_object().is_some_and(|change| !change.is_empty()) {
            self.patch_set(namespace, json!({"spec": change})).await?;
        }
        Ok(())
    }

    pub async fn patch_set(&self, namespace: &str, patch: Value) -> anyhow::Result<()> {
        self.sets(namespace).patch("web", &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Waits until the set is Ready and up to date with so many instances.
    pub async fn settled(&self, namespace: &str, replicas: i32) -> anyhow::Result<()> {
        until(&format!("{namespace} has {replicas} ready"), LIMIT, async || {
            let set = self.sets(namespace).get("web").await?;
            let status = set.status.context("no status")?;
            let is = |name: &str| {
                let condition = find(&status.conditions, name);
                condition.is_some_and(|it| it.status == "True" && it.observed_generation == set.metadata.generation)
            };
            ensure!(is("Ready") && is("UpToDate"), "conditions {:?}", status.conditions);
            ensure!(status.ready_replicas == Some(replicas), "{:?} are ready", status.ready_replicas);
            Ok(())
        })
        .await
    }

    /// Takes the set away, and with it everything that the test has in the hardware.
    pub async fn remove_set(&self, namespace: &str) -> anyhow::Result<()> {
        self.cluster.kubectl(&["--namespace", namespace, "delete", "scaleset", "web", "--timeout=60s"])?;
        let machines = self.endpoint.machines(namespace).await?;
        ensure!(machines.is_empty(), "{} machines are left", machines.len());
        Ok(())
    }

    /// Who holds the lease, and the number of changes so far.
    pub async fn lease(&self) -> anyhow::Result<(String, u64)> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), "scaleset-system");
        let spec = leases.get("scaleset-controller").await?.spec.unwrap_or_default();
        let transitions = u64::try_from(spec.lease_transitions.unwrap_or_default())?;
        Ok((spec.holder_identity.unwrap_or_default(), transitions))
    }

    /// Every call so far, of whomever.
    pub async fn journal(&self) -> anyhow::Result<Vec<JournalEntry>> {
        self.endpoint.journal_after(0).await
    }

    /// The highest epoch that has called so far.
    pub async fn led(&self) -> anyhow::Result<Led> {
        let journal = self.journal().await?;
        let sequence = journal.last().map_or(0, |entry| entry.sequence);
        let leads = journal.iter().filter(|entry| entry.call == Call::Lead);
        Ok(Led { epoch: leads.filter_map(|entry| entry.epoch).max().unwrap_or(0), sequence })
    }

    /// Waits until the next leader has called, and answers its epoch and when it called first.
    pub async fn led_after(&self, led: Led) -> anyhow::Result<(u64, Timestamp)> {
        until(&format!("a leader above epoch {} calls", led.epoch), LIMIT, async || {
            let journal = self.endpoint.journal_after(led.sequence).await?;
            let first = journal.iter().find(|entry| entry.call == Call::Lead).context("nobody does")?;
            Ok((first.epoch.unwrap_or_default(), first.wall_time))
        })
        .await
    }
}

/// Seconds between two instants.
pub fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    SignedDuration::as_secs_f64(&to.duration_since(from))
}

/// Waits until one of two replicas leads, and answers the leader first.
pub async fn by_standing(
    one: LocalController,
    other: LocalController,
) -> anyhow::Result<(LocalController, LocalController)> {
    let one_leads = until("one of two leads", LIMIT, async || {
        let answers = (one.readiness().await?, other.readiness().await?);
        match (answers.0.starts_with("ok"), answers.1.starts_with("ok")) {
            (true, false) => Ok(true),
            (false, true) => Ok(false),
            _ => anyhow::bail!("they say {answers:?}"),
        }
    })
    .await?;
    Ok(if one_leads { (one, other) } else { (other, one) })
}
