//! Ours: one set of so many instances, from its creation to Ready, and down to none again, with hardware that takes no time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, ListParams, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use scaleset_control_plane::ProcessId;
use scaleset_crds::condition::find;
use scaleset_crds::{ScaleSet, ScaleSetVM};
use scaleset_tests::local::cluster::LocalCluster;
use scaleset_tests::local::controller::{HardwarePlace, Latency, LocalController, Settings};
use scaleset_tests::local::process::{cpu_seconds, resident_kib};
use scaleset_tests::local::requests::{RequestKind, Requests};
use scaleset_tests::local::until;
use serde_json::json;

pub(crate) const NAME: &str = "web";
const LIMIT: Duration = Duration::from_mins(2);
/// How long a converged set is watched.
const QUIET: Duration = Duration::from_mins(1);
/// Writes of the benchmark itself in one round: the set, its new count.
const OWN_WRITES: u64 = 2;

/// What is measured besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// Nothing.
    Plain,
    /// What a converged set costs in a minute.
    WithQuietMinute,
}

/// Where rounds are run.
pub(crate) struct Ours<'run> {
    pub(crate) cluster: &'run LocalCluster,
    pub(crate) admin: &'run Client,
}

/// One round.
pub(crate) struct OursRound {
    /// From the creation of the set until a watch sees it Ready with all instances, wall time.
    pub(crate) seconds: f64,
    /// From the new count until the set is Ready without any.
    pub(crate) removal_seconds: f64,
    /// Writes to the API over the whole round, without those of the benchmark.
    pub(crate) writes: Requests,
    /// Their number.
    pub(crate) write_count: u64,
    /// Memory of the controller, with its hardware, when all were Ready.
    pub(crate) resident_kib: u64,
    /// Seconds of a core from creation to Ready, by process.
    pub(crate) cpu_seconds: BTreeMap<&'static str, f64>,
    /// What was asked in a minute in which nothing changed.
    pub(crate) quiet: Option<Requests>,
    /// One of the instances.
    pub(crate) template: ScaleSetVM,
}

impl Ours<'_> {
    /// Runs a round in a namespace of its own, with a controller of its own.
    pub(crate) async fn run(&self, namespace: &str, instances: usize, round: Round) -> anyhow::Result<OursRound> {
        make_namespace(self.admin, namespace).await?;
        let controller = self.controller().await?;
        let measured = self.measure(&controller, namespace, instances, round).await;
        let measured = measured.with_context(|| format!("the end of its log:\n{}", controller.log_tail(20)));
        controller.kill().await?;
        measured
    }

    /// A controller whose hardware takes no time.
    pub(crate) async fn controller(&self) -> anyhow::Result<LocalController> {
        let settings = Settings {
            kubeconfig: self.cluster.controller_kubeconfig()?,
            region_file: None,
            latency: Latency::Zero,
            place: HardwarePlace::Inside,
        };
        LocalController::start(settings).await
    }

    async fn measure(
        &self,
        controller: &LocalController,
        namespace: &str,
        instances: usize,
        round: Round,
    ) -> anyhow::Result<OursRound> {
        let sets: Api<ScaleSet> = Api::namespaced(self.admin.clone(), namespace);
        let members: Api<ScaleSetVM> = Api::namespaced(self.admin.clone(), namespace);
        let processes = self.processes(controller);
        let (asked, cpu) = (Requests::of(self.admin).await?, spent(&processes)?);
        let started = Instant::now();
        sets.create(&PostParams::default(), &set(NAME, instances)?).await?;
        ready(&sets, instances).await?;
        let seconds = started.elapsed().as_secs_f64();
        let cpu_seconds = spent(&processes)?.into_iter().map(|(name, later)| (name, later - cpu[name])).collect();
        let resident_kib = resident_kib(controller.process())?;
        let template = all_ready(&members, instances).await?;
        let quiet = match round {
            Round::Plain => None,
            Round::WithQuietMinute => Some(self.quiet_minute().await?),
        };
        let started = Instant::now();
        let confirmed = json!({scaleset_crds::labels::CONFIRM_SCALE_IN: "0"});
        let none = Patch::Merge(json!({"metadata": {"annotations": confirmed}, "spec": {"replicas": 0}}));
        sets.patch(NAME, &PatchParams::default(), &none).await?;
        ready(&sets, 0).await?;
        let removal_seconds = started.elapsed().as_secs_f64();
        let writes = Requests::of(self.admin).await?.since(&asked);
        let writes = writes.only(|kind| kind.is_ours() && kind.is_write());
        let write_count = writes.total() - OWN_WRITES;
        Ok(OursRound { seconds, removal_seconds, writes, write_count, resident_kib, cpu_seconds, quiet, template })
    }

    /// Waits until the last write of the upswing is through, then counts for a minute.
    pub(crate) async fn quiet_minute(&self) -> anyhow::Result<Requests> {
        let settle = Duration::from_secs(2);
        until("nothing is written any more", LIMIT, async || {
            let before = Requests::of(self.admin).await?;
            tokio::time::sleep(settle).await;
            let asked = Requests::of(self.admin).await?.since(&before).only(|kind| kind.is_ours() && kind.is_write());
            ensure!(asked.total() == 0, "{asked}");
            Ok(())
        })
        .await?;
        println!("watching a converged set for {} s", QUIET.as_secs());
        let before = Requests::of(self.admin).await?;
        tokio::time::sleep(QUIET).await;
        Ok(Requests::of(self.admin).await?.since(&before).only(RequestKind::is_ours))
    }

    fn processes(&self, controller: &LocalController) -> Vec<(&'static str, ProcessId)> {
        let names = ["etcd", "kube-apiserver", "kube-controller-manager"];
        let plane = names.into_iter().zip(self.cluster.plane().processes());
        plane.chain([("scaleset-controller", controller.process())]).collect()
    }
}

fn spent(processes: &[(&'static str, ProcessId)]) -> anyhow::Result<BTreeMap<&'static str, f64>> {
    processes.iter().map(|(name, process)| Ok((*name, cpu_seconds(*process)?))).collect()
}

/// Watches the set until it is Ready with so many instances.
pub(crate) async fn ready(sets: &Api<ScaleSet>, instances: usize) -> anyhow::Result<()> {
    let count = i32::try_from(instances)?;
    become_true(sets, &format!("Ready with {instances}"), |set| is_ready(set, count)).await
}

/// Watches the set until so many instances have the model of that generation and are Ready.
pub(crate) async fn updated(sets: &Api<ScaleSet>, instances: usize, generation: Option<i64>) -> anyhow::Result<()> {
    let count = i32::try_from(instances)?;
    let is_updated = |set: &ScaleSet| {
        let updated = set.status.as_ref().and_then(|status| status.updated_replicas);
        set.metadata.generation >= generation && updated == Some(count)
    };
    become_true(sets, &format!("upgraded with {instances}"), |set| is_ready(set, count) && is_updated(set)).await
}

async fn become_true(sets: &Api<ScaleSet>, what: &str, is_true: impl Fn(&ScaleSet) -> bool) -> anyhow::Result<()> {
    let limit = u32::try_from(LIMIT.as_secs())?;
    let parameters = WatchParams::default().fields(&format!("metadata.name={NAME}")).timeout(limit);
    let mut events = sets.watch(&parameters, "0").await?.boxed();
    while let Some(event) = events.try_next().await? {
        if let WatchEvent::Added(set) | WatchEvent::Modified(set) = event
            && is_true(&set)
        {
            return Ok(());
        }
    }
    anyhow::bail!("{NAME} is not {what} within {} s", LIMIT.as_secs())
}

fn is_ready(set: &ScaleSet, count: i32) -> bool {
    let Some(status) = &set.status else { return false };
    let counts = [status.target_replicas, status.replicas, status.ready_replicas];
    let ready = find(&status.conditions, "Ready").is_some_and(|condition| condition.status == "True");
    ready && counts == [Some(count); 3] && status.observed_generation == set.metadata.generation
}

/// What the set says is what each instance says; answers one of them.
async fn all_ready(members: &Api<ScaleSetVM>, instances: usize) -> anyhow::Result<ScaleSetVM> {
    let mut list = members.list(&ListParams::default()).await?.items;
    let ready = list.iter().filter(|member| {
        let conditions = member.status.iter().flat_map(|status| &status.conditions);
        conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    });
    let ready = ready.count();
    ensure!(ready == instances && list.len() == instances, "{ready} of {} are Ready", list.len());
    list.pop().context("there is one")
}

/// A Uniform set of small VMs over three zones.
pub(crate) fn set(name: &str, replicas: usize) -> anyhow::Result<ScaleSet> {
    Ok(serde_json::from_value(json!({
        "apiVersion": scaleset_crds::API_VERSION,
        "kind": "ScaleSet",
        "metadata": {"name": name},
        "spec": {
            "orchestrationMode": "Uniform",
            "location": "eastus",
            "zones": ["1", "2", "3"],
            "replicas": replicas,
            "overprovision": false,
            "virtualMachineProfile": {
                "vmSize": "Standard_D2s_v3",
                "osProfile": {"adminUsername": "azureuser"},
                "storageProfile": {
                    "imageReference": {"publisher": "Canonical", "offer": "ubuntu-server", "sku": "22_04-lts"},
                },
                "networkProfile": {"networkInterfaces": [{"name": "nic0", "primary": true, "subnet": "default"}]},
            },
        },
    }))?)
}

/// A fresh namespace.
pub(crate) async fn make_namespace(admin: &Client, name: &str) -> anyhow::Result<()> {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    Api::all(admin.clone()).create(&PostParams::default(), &namespace).await?;
    Ok(())
}
