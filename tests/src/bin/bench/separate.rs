//! The controller alone: its memory while the hardware is a process of its own, and it has been elected to lead, at rest and over an
//! upgrade of all.

use std::time::Instant;

use anyhow::Context;
use kube::api::{Api, Patch, PatchParams, PostParams};
use scaleset_crds::ScaleSet;
use scaleset_tests::local::controller::{Latency, LocalController, Settings};
use scaleset_tests::local::hardware_process::LocalHardware;
use scaleset_tests::local::process::{peak_resident_kib, resident_kib};
use serde_json::json;

use crate::ours::{NAME, Ours, make_namespace, ready, set, updated};

/// One round.
pub(crate) struct Separate {
    /// From the creation of the set until it is Ready, wall time.
    pub(crate) seconds: f64,
    /// Memory of the controller when all were Ready.
    pub(crate) controller_kib: u64,
    /// Memory of the hardware then.
    pub(crate) hardware_kib: u64,
    /// From the change of the model until all have it and are Ready, wall time.
    pub(crate) roll_seconds: f64,
    /// Memory of the controller then.
    pub(crate) upgraded_kib: u64,
    /// The most memory that the controller has held, from its start to the end of the upgrade.
    pub(crate) peak_kib: u64,
}

impl Ours<'_> {
    /// A set of so many instances on hardware in a process of its own, all of which are restarted with another size, a fifth at a time.
    pub(crate) async fn separate(&self, namespace: &str, instances: usize) -> anyhow::Result<Separate> {
        make_namespace(self.admin, namespace).await?;
        let hardware = LocalHardware::start(None, Latency::Zero).await?;
        let controller = LocalController::start(Settings {
            kubeconfig: self.cluster.controller_kubeconfig()?,
            region_file: None,
            latency: Latency::Zero,
            place: hardware.place(&["--leader-elect"]),
        })
        .await?;
        let sets: Api<ScaleSet> = Api::namespaced(self.admin.clone(), namespace);
        let started = Instant::now();
        sets.create(&PostParams::default(), &set(NAME, instances)?).await?;
        let become_ready = ready(&sets, instances).await;
        become_ready.with_context(|| format!("the end of its log:\n{}", controller.log_tail(20)))?;
        let seconds = started.elapsed().as_secs_f64();
        let controller_kib = resident_kib(controller.process())?;
        let hardware_kib = resident_kib(hardware.process())?;
        let started = Instant::now();
        let rolling = json!({"maxBatchInstancePercent": 20, "maxUnhealthyInstancePercent": 20, "pauseTimeBetweenBatchesSeconds": 0});
        let larger = Patch::Merge(json!({"spec": {
            "upgradePolicy": {"mode": "Automatic", "rollingUpgradePolicy": rolling},
            "virtualMachineProfile": {"vmSize": "Standard_D2s_v5"},
        }}));
        let patched = sets.patch(NAME, &PatchParams::default(), &larger).await?;
        let upgraded = updated(&sets, instances, patched.metadata.generation).await;
        upgraded.with_context(|| format!("the end of its log:\n{}", controller.log_tail(20)))?;
        let roll_seconds = started.elapsed().as_secs_f64();
        let upgraded_kib = resident_kib(controller.process())?;
        let peak_kib = peak_resident_kib(controller.process())?;
        controller.kill().await?;
        Ok(Separate { seconds, controller_kib, hardware_kib, roll_seconds, upgraded_kib, peak_kib })
    }
}
