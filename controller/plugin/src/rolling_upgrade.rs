//! How far the latest rolling upgrade is.

use std::process::ExitCode;

use anyhow::{Context, bail};
use futures::StreamExt;
use kube::runtime::watcher::watch_object;
use scaleset_crds::rolling_upgrade::RollingUpgradeStatus;
use scaleset_crds::vocabulary::RollingUpgradeCode;
use scaleset_crds::{ScaleSet, ScaleSetStatus};

use crate::arguments::Output;
use crate::cluster::Cluster;
use crate::operate::progress_bar;
use crate::output::{facts, print};

pub(crate) async fn status(cluster: &Cluster, name: &str, watch: bool, output: Output) -> anyhow::Result<ExitCode> {
    let status = cluster.set(name).await?.status.unwrap_or_default();
    let Some(upgrade) = &status.rolling_upgrade else { bail!("scale set {name} has had no rolling upgrade") };
    match output {
        Output::Json | Output::Yaml => print(&serde_json::to_value(upgrade)?, output)?,
        Output::Table if watch && is_running(upgrade) => return follow(cluster, name).await,
        Output::Table => println!("{}", described(&status)),
    }
    Ok(ExitCode::SUCCESS)
}

async fn follow(cluster: &Cluster, name: &str) -> anyhow::Result<ExitCode> {
    let bar = progress_bar();
    let changes = watch_object(cluster.api::<ScaleSet>(), name);
    futures::pin_mut!(changes);
    let mut told = String::new();
    loop {
        let set = match changes.next().await.context("the watch ended")? {
            Ok(Some(set)) => set,
            Ok(None) => bail!("scale set {name} was deleted"),
            Err(error) => {
                bar.set_message(format!("the watch failed, trying again: {error}"));
                continue;
            }
        };
        let status = set.status.unwrap_or_default();
        let Some(upgrade) = &status.rolling_upgrade else { continue };
        let progress = upgrade.progress;
        let done = progress.successful_instance_count + progress.failed_instance_count;
        let total = done + progress.in_progress_instance_count + progress.pending_instance_count;
        bar.set_length(u64::try_from(total).unwrap_or(0));
        bar.set_position(u64::try_from(done).unwrap_or(0));
        let line = one_line(upgrade);
        if bar.is_hidden() && line != told {
            println!("{line}");
        }
        bar.set_message(line.clone());
        told = line;
        if !is_running(upgrade) {
            bar.finish_and_clear();
            println!("{}", described(&status));
            let well = upgrade.running_status.code == RollingUpgradeCode::Completed;
            return Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
}

const fn is_running(upgrade: &RollingUpgradeStatus) -> bool {
    match upgrade.running_status.code {
        RollingUpgradeCode::RollingForward | RollingUpgradeCode::RollingBack => true,
        RollingUpgradeCode::Completed | RollingUpgradeCode::Cancelled | RollingUpgradeCode::Faulted => false,
    }
}

fn one_line(upgrade: &RollingUpgradeStatus) -> String {
    let progress = upgrade.progress;
    let batch = upgrade.batch.as_ref().map_or_else(String::new, |batch| format!(", batch {}", batch.number));
    format!(
        "{:?}{batch}: {} successful, {} failed, {} in progress, {} pending",
        upgrade.running_status.code,
        progress.successful_instance_count,
        progress.failed_instance_count,
        progress.in_progress_instance_count,
        progress.pending_instance_count
    )
}

fn target(upgrade: &RollingUpgradeStatus) -> String {
    match &upgrade.os_upgrade {
        None => upgrade.target_revision.clone(),
        Some(target) => {
            let image = &target.target_image_reference;
            let (family, version) = (image.family(), image.requested_version());
            format!("OS image {family}:{version}, started by {:?}", target.started_by)
        }
    }
}

/// For people; empty where there has been none.
pub(crate) fn described(status: &ScaleSetStatus) -> String {
    let Some(upgrade) = &status.rolling_upgrade else { return String::new() };
    let mut lines = vec![
        ("Rolling upgrade", upgrade.number.to_string()),
        ("To", target(upgrade)),
        ("State", one_line(upgrade)),
        ("Started", upgrade.running_status.start_time.0.to_string()),
    ];
    if let Some(error) = &upgrade.error {
        lines.push(("Error", format!("{}: {}", error.code, error.message)));
    }
    lines.extend(status.blockers.iter().map(|blocker| ("Held", format!("{}: {}", blocker.code, blocker.message))));
    facts(&lines)
}
