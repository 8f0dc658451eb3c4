//! What an upgrade costs, on a simulated cluster and in scenario time: the same figures on every machine.
//!
//! The passes are the real ones. What they take themselves is not in scenario time; what they wait for is.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use scaleset_controller::cluster::Kind;
use scaleset_hardware::sim::{Distribution, Latencies, RegionFile};
use scaleset_tests::simulation::cluster::Verb;
use scaleset_tests::simulation::stage::{Limit, Order, Rest, Stage};
use serde_json::{Value, json};

use crate::ours;

const NAME: &str = "web";
/// What every operation of the hardware takes in a rolling upgrade.
const HARDWARE_SECONDS: u32 = 2;
/// How long an application has to answer well before it is healthy.
const HEALTH_SECONDS: u32 = 5;
const ROLLING_INSTANCES: u32 = 100;
const BATCH_PERCENT: u32 = 20;
const ONLINE_INSTANCES: usize = 1_000;

/// What was measured.
pub(crate) struct Rollouts {
    pub(crate) rolling: Rolling,
    /// A data disk grows, on all at once.
    pub(crate) disk: Online,
    /// The same in batches.
    pub(crate) disk_in_batches: Online,
    /// A tag is added.
    pub(crate) tag: Online,
}

/// A rolling upgrade that restarts every instance.
pub(crate) struct Rolling {
    /// The least that the batches can take, one after the other.
    pub(crate) floor_seconds: u32,
    /// From the change of the model until the upgrade is complete.
    pub(crate) seconds: f64,
}

/// A change that needs no restart, of all instances.
pub(crate) struct Online {
    pub(crate) creates: u64,
    pub(crate) deletes: u64,
    /// Writes of instances and of their status, and their events.
    pub(crate) writes_per_instance: f64,
    /// Writes of the set and of its status, of its revisions, and its events.
    pub(crate) writes_of_set: u64,
}

/// Measures all of it.
pub(crate) fn measure() -> anyhow::Result<Rollouts> {
    Ok(Rollouts {
        rolling: rolling()?,
        disk: online(100, &json!({"storageProfile": {"dataDisks": disks(128)}}))?,
        disk_in_batches: online(BATCH_PERCENT, &json!({"storageProfile": {"dataDisks": disks(128)}}))?,
        tag: online(BATCH_PERCENT, &json!({"tags": {"team": "blue"}}))?,
    })
}

fn rolling() -> anyhow::Result<Rolling> {
    let takes = Distribution::Constant { seconds: HARDWARE_SECONDS.into() };
    let latencies = Latencies { restart: takes, allocate: takes, boot: takes, extension: takes, ..Latencies::zero() };
    let policy = json!({"mode": "Rolling", "rollingUpgradePolicy": {"maxBatchInstancePercent": BATCH_PERCENT}});
    let mut stage = fleet(latencies, usize::try_from(ROLLING_INSTANCES)?, &policy)?;
    let start = stage.clock.now();
    change(&stage, &json!({"vmSize": "Standard_D4s_v3"}));
    let mut completed: Option<Timestamp> = None;
    let rest = stage.settle(Limit::None, |stage, _| {
        if completed.is_none() && upgrade_code(stage) == "Completed" {
            completed = Some(stage.clock.now());
        }
    });
    ensure!(rest == Rest::Reached, "the upgrade does not come to rest");
    all_updated(&stage)?;
    let took = completed.context("the upgrade is not complete")?.duration_since(start);
    let batches = ROLLING_INSTANCES.div_ceil(ROLLING_INSTANCES * BATCH_PERCENT / 100);
    Ok(Rolling { floor_seconds: batches * (HARDWARE_SECONDS + HEALTH_SECONDS), seconds: took.as_secs_f64() })
}

/// Hardware that takes no time, so that each write that is left is one that control costs.
fn online(percent: u32, change_of_profile: &Value) -> anyhow::Result<Online> {
    let rolling = json!({"maxBatchInstancePercent": percent, "maxUnhealthyInstancePercent": percent});
    let policy = json!({"mode": "Automatic", "rollingUpgradePolicy": rolling});
    let mut stage = fleet(Latencies::zero(), ONLINE_INSTANCES, &policy)?;
    let before = stage.cluster.requests();
    change(&stage, change_of_profile);
    settle(&mut stage)?;
    all_updated(&stage)?;
    let since: BTreeMap<(Verb, Kind), u64> = stage
        .cluster
        .requests()
        .into_iter()
        .map(|(asked, count)| (asked, count - before.get(&asked).copied().unwrap_or(0)))
        .collect();
    let sum = |wanted: &dyn Fn(Verb, Kind) -> bool| -> u64 {
        since.iter().filter(|((verb, kind), _)| wanted(*verb, *kind)).map(|(_, count)| count).sum()
    };
    let of_instance = |kind: Kind| kind == Kind::ScaleSetVM;
    let writes = u32::try_from(sum(&|_, kind| of_instance(kind)))?;
    Ok(Online {
        creates: sum(&|verb, kind| verb == Verb::Create && of_instance(kind)),
        deletes: sum(&|verb, kind| verb == Verb::Delete && of_instance(kind)),
        writes_per_instance: f64::from(writes) / f64::from(u32::try_from(ONLINE_INSTANCES)?),
        writes_of_set: sum(&|_, kind| !of_instance(kind)),
    })
}

/// A set of so many instances at rest.
fn fleet(latencies: Latencies, instances: usize, policy: &Value) -> anyhow::Result<Stage> {
    let mut stage = Stage::new(RegionFile { latencies, ..RegionFile::embedded() }, Order::Fixed);
    let mut spec = serde_json::to_value(ours::set(NAME, instances)?.spec)?;
    spec["upgradePolicy"] = policy.clone();
    // One zone after the other would make more batches than the percentage does.
    spec["upgradePolicy"]["rollingUpgradePolicy"]["enableCrossZoneUpgrade"] = json!(true);
    spec["virtualMachineProfile"]["storageProfile"]["dataDisks"] = disks(64);
    spec["virtualMachineProfile"]["extensions"] = json!([{
        "name": "health", "publisher": "Microsoft.ManagedServices", "type": "ApplicationHealthLinux",
        "typeHandlerVersion": "1.0",
        "settings": {"protocol": "http", "requestPath": "/healthz", "intervalInSeconds": HEALTH_SECONDS},
    }]);
    stage.cluster.create_by_hand(Kind::ScaleSet, NAME, spec);
    settle(&mut stage)?;
    all_updated(&stage)?;
    Ok(stage)
}

fn disks(size: u32) -> Value {
    json!([{"lun": 0, "diskSizeGB": size, "storageAccountType": "Premium_LRS"}])
}

fn change(stage: &Stage, profile: &Value) {
    stage.cluster.change_by_hand(Kind::ScaleSet, NAME, &json!({"spec": {"virtualMachineProfile": profile}}));
}

fn settle(stage: &mut Stage) -> anyhow::Result<()> {
    match stage.settle(Limit::None, |_, _| {}) {
        Rest::Reached => Ok(()),
        Rest::NotYet | Rest::Never => bail!("the set does not come to rest"),
    }
}

fn upgrade_code(stage: &Stage) -> String {
    let set = stage.cluster.get(Kind::ScaleSet, NAME).unwrap_or_default();
    set["status"]["rollingUpgrade"]["runningStatus"]["code"].as_str().unwrap_or_default().to_owned()
}

/// Every instance runs the newest model and is healthy.
fn all_updated(stage: &Stage) -> anyhow::Result<()> {
    let set = stage.cluster.get(Kind::ScaleSet, NAME).context("the set is there")?;
    let counts = ["targetReplicas", "readyReplicas", "updatedReplicas"].map(|field| set["status"][field].as_i64());
    ensure!(counts[0].is_some() && counts == [counts[0]; 3], "wished, ready, updated: {counts:?}: {}", set["status"]);
    Ok(())
}
