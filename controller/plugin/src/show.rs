//! The model views: of a set, of its VMs.

use std::fmt::Write;

use jiff::Timestamp;
use kube::ResourceExt;
use scaleset_crds::ScaleSet;
use scaleset_crds::condition::{ScaleSetCondition, find};
use scaleset_crds::scheduled_event::ScheduledEventsSummary;
use scaleset_crds::spot::SpotTerms;
use scaleset_crds::vocabulary::{PowerState, UpgradeMode};

use crate::arguments::Output;
use crate::cluster::{Cluster, Instance};
use crate::output::{facts, object, or_none, print, table};

pub(crate) async fn set(cluster: &Cluster, name: &str, output: Output) -> anyhow::Result<()> {
    let set = cluster.set(name).await?;
    match output {
        Output::Json | Output::Yaml => print(&object(&set), output),
        Output::Table => {
            println!("{}", described(&set));
            Ok(())
        }
    }
}

fn described(set: &ScaleSet) -> String {
    let (spec, status) = (&set.spec, set.status.clone().unwrap_or_default());
    let profile = spec.virtual_machine_profile.as_ref();
    let image = profile.map(|profile| {
        let image = &profile.storage_profile.image_reference;
        format!("{}:{}", image.family(), image.requested_version())
    });
    let mode = &spec.upgrade_policy.mode;
    let policy = if spec.upgrade_policy.paused { format!("{mode:?}, paused") } else { format!("{mode:?}") };
    let zones = spec.zones.as_ref().map(|zones| zones.join(", "));
    let lines = [
        ("Name", set.name_any()),
        ("Orchestration mode", format!("{:?}", spec.orchestration_mode)),
        ("Location", spec.location.clone()),
        ("Zones", zones.unwrap_or_else(|| "regional".to_owned())),
        ("Capacity", or_none(status.capacity)),
        ("Size", or_none(profile.map(|profile| profile.vm_size.clone()))),
        ("Image", or_none(image)),
        ("Upgrade policy", policy),
        ("Model revision", or_none(status.model_revision.clone())),
        (
            "VMs",
            format!(
                "{} ready, {} available, {} up to date of {}",
                status.ready_replicas.unwrap_or(0),
                status.available_replicas.unwrap_or(0),
                status.updated_replicas.unwrap_or(0),
                status.replicas.unwrap_or(0)
            ),
        ),
    ];
    let spot = profile.and_then(|profile| profile.spot.terms());
    let market = spot.map(|SpotTerms { eviction_policy, max_price }| {
        [
            (
                "Spot",
                format!("evicted with policy {eviction_policy:?}, at most {max_price} USD an hour (-1: any price)"),
            ),
            ("Evictions", format!("{} noted, {} aimed at", status.evictions.len(), or_none(status.target_replicas))),
        ]
    });
    let told = status.scheduled_events.as_ref().map(|summary| {
        let ScheduledEventsSummary { document_incarnation, count, digest: _ } = summary;
        ("Scheduled events", format!("{count}, incarnation {document_incarnation} (events list shows them)"))
    });
    let lines: Vec<(&str, String)> = lines.into_iter().chain(market.into_iter().flatten()).chain(told).collect();
    let mut text = facts(&lines);
    let rows: Vec<Vec<String>> = ScaleSetCondition::ALL
        .iter()
        .filter_map(|condition| find(&status.conditions, condition.as_str()))
        .map(|found| vec![found.type_.clone(), found.status.clone(), found.reason.clone(), found.message.clone()])
        .collect();
    write!(text, "\n\n{}", table(&["CONDITION", "STATUS", "REASON", "MESSAGE"], &rows)).expect("a string takes all");
    if *mode == UpgradeMode::Rolling && status.rolling_upgrade.is_some() {
        write!(text, "\n\n{}", crate::rolling_upgrade::described(&status)).expect("a string takes all");
    }
    text
}

pub(crate) async fn instance(cluster: &Cluster, name: &str, id: &str, output: Output) -> anyhow::Result<()> {
    let set = cluster.set(name).await?;
    let instance = cluster.instance(&set, id).await?;
    match output {
        Output::Json | Output::Yaml => print(&instance.json(), output),
        Output::Table => {
            println!("{}", listed(std::slice::from_ref(&instance), Timestamp::now()));
            let status = instance.status();
            let rows: Vec<Vec<String>> = status
                .conditions
                .iter()
                .map(|found| {
                    vec![found.type_.clone(), found.status.clone(), found.reason.clone(), found.message.clone()]
                })
                .collect();
            println!("\n{}", table(&["CONDITION", "STATUS", "REASON", "MESSAGE"], &rows));
            Ok(())
        }
    }
}

pub(crate) async fn instances(cluster: &Cluster, name: &str, output: Output) -> anyhow::Result<()> {
    let set = cluster.set(name).await?;
    let instances = cluster.instances(&set).await?;
    match output {
        Output::Json | Output::Yaml => {
            print(&serde_json::Value::Array(instances.iter().map(Instance::json).collect()), output)
        }
        Output::Table if instances.is_empty() => {
            println!("scale set {name} has no VMs");
            Ok(())
        }
        Output::Table => {
            println!("{}", listed(&instances, Timestamp::now()));
            Ok(())
        }
    }
}

fn listed(instances: &[Instance], now: Timestamp) -> String {
    let rows: Vec<Vec<String>> = instances
        .iter()
        .map(|instance| {
            let status = instance.status();
            let health = status.instance_view.and_then(|view| view.vm_health);
            let created = match instance {
                Instance::Uniform(vm) => vm.creation_timestamp(),
                Instance::Flexible(vm) => vm.creation_timestamp(),
            };
            vec![
                instance.id(),
                instance.name(),
                or_none(status.computer_name),
                instance.resource_type().to_owned(),
                or_none(status.vm_size),
                instance.zone().unwrap_or_default().to_owned(),
                or_none(status.power_state.map(PowerState::code)),
                or_none(status.provisioning_state.map(|state| format!("{state:?}"))),
                health.map_or_else(String::new, |health| health.status.display_status),
                or_none(status.latest_model_applied),
                created.map_or_else(String::new, |created| crate::output::age(created.0, now)),
            ]
        })
        .collect();
    let headings =
        ["ID", "NAME", "COMPUTER-NAME", "TYPE", "SIZE", "ZONE", "POWER", "PROVISIONING", "HEALTH", "LATEST", "AGE"];
    table(&headings, &rows)
}
