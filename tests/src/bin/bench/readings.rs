//! How often the hardware is asked for metrics: once for each setting and pass, however many VMs its set has.

use anyhow::{Context, bail, ensure};
use scaleset_controller::cluster::Kind;
use scaleset_hardware::sim::{Call, Latencies, RegionFile};
use scaleset_tests::simulation::stage::{Limit, Order, Rest, Stage};
use serde_json::{Value, json};

use crate::ours;

const SETS: usize = 10;
const INSTANCES_OF_SET: usize = 1_000;
/// How long is looked on, scenario time.
const SECONDS: u64 = 300;

/// What was counted.
pub(crate) struct Readings {
    /// VMs that run, over all sets.
    pub(crate) instances: usize,
    /// Settings, each of a set of its own.
    pub(crate) settings: usize,
    /// Passes over all settings.
    pub(crate) passes: u64,
    /// Calls of the hardware for metrics in the same time.
    pub(crate) calls: u64,
}

/// Sets at rest, each with a setting whose rule asks for the load of all its VMs.
pub(crate) fn measure() -> anyhow::Result<Readings> {
    let mut stage = Stage::new(RegionFile { latencies: Latencies::zero(), ..roomy() }, Order::Fixed);
    let names: Vec<String> = (0..SETS).map(|number| format!("web-{number}")).collect();
    for name in &names {
        let spec = serde_json::to_value(ours::set(name, INSTANCES_OF_SET)?.spec)?;
        stage.cluster.create_by_hand(Kind::ScaleSet, name, spec);
    }
    if stage.settle(Limit::None, |_, _| {}) != Rest::Reached {
        bail!("the sets do not come to rest");
    }
    let instances = stage.machines().len();
    ensure!(instances == SETS * INSTANCES_OF_SET, "{instances} VMs instead of {SETS} times {INSTANCES_OF_SET}");
    for name in &names {
        stage.cluster.create_by_hand(Kind::AutoscaleSetting, name, setting(name));
    }
    let calls = |stage: &Stage| stage.hardware.calls().get(&Call::Metrics).map_or(0, |count| count.accepted);
    let before = (calls(&stage), stage.setting_passes());
    stage.settle(Limit::Seconds(SECONDS), |_, _| {});
    for name in &names {
        let setting = stage.cluster.get(Kind::AutoscaleSetting, name).context("the setting is there")?;
        let rule = &setting["status"]["rules"][0];
        ensure!(rule["value"].is_string(), "{name} has measured nothing: {}", setting["status"]);
    }
    let (calls, passes) = (calls(&stage) - before.0, stage.setting_passes() - before.1);
    Ok(Readings { instances, settings: SETS, passes, calls })
}

/// The embedded regions, with hosts and quotas for so many VMs.
fn roomy() -> RegionFile {
    let mut region = RegionFile::embedded();
    for definition in &mut region.regions {
        definition.hosts.iter_mut().for_each(|group| group.count *= 4);
        definition.quotas.regional_total *= 4;
        definition.quotas.families.values_mut().for_each(|limit| *limit *= 4);
    }
    region
}

fn setting(set: &str) -> Value {
    let rule = json!({
        "name": "busy",
        "metricTrigger": {
            "metricName": "Percentage CPU", "timeGrainSeconds": 60, "statistic": "Average", "timeWindowSeconds": 300,
            "timeAggregation": "Average", "operator": "GreaterThan", "threshold": "99", "dividePerInstance": false,
        },
        "scaleAction": {"direction": "Increase", "type": "ChangeCount", "value": 1, "cooldownSeconds": 300},
    });
    json!({
        "scaleTargetRef": {"name": set},
        "enabled": true,
        "profiles": [{
            "name": "usual",
            "capacity": {"minimum": 1, "maximum": INSTANCES_OF_SET, "default": 1},
            "rules": [rule],
        }],
    })
}
