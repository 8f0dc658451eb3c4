//! From a connection to passes: waits until the API can be worked with, until this process leads where there is an
//! election, and until the hardware answers. Nothing is listed, written or asked of the hardware before that.

use std::sync::Arc;
use std::time::Duration;

use scaleset_hardware::Hardware;
use tokio::sync::watch;
use tokio::time::{Instant, interval_at};
use tracing::{info, warn};

use super::StartError;
use super::hardware::HardwareSource;
use crate::args::Args;
use crate::cluster::client::{Connection, wait_until_usable};
use crate::cluster::kubernetes::KubernetesCluster;
use crate::cluster::watched::WatchedNamespaces;
use crate::health::{Health, Standing};
use crate::leader::{Election, Gate, Outlook, Tenure};
use crate::metered::Metered;
use crate::region_maps;
use crate::runtime::{self, Parts};

const API_PATIENCE: Duration = Duration::from_secs(30);
const LIST_PATIENCE: Duration = Duration::from_mins(1);
const MESSAGE_SPACING: Duration = Duration::from_secs(10);

/// What is there when a process has started.
pub(super) struct Start {
    pub(super) connection: Connection,
    pub(super) args: Args,
    /// What the connection writes through.
    pub(super) gate: Gate,
    pub(super) hardware: HardwareSource,
    pub(super) health: Health,
}

/// Runs until `stopping` turns true. A process that may not lead any more stops at once, whatever it was doing: what is
/// half done, the next leader finds and does.
pub(super) async fn run(start: Start, mut stopping: watch::Receiver<bool>) -> Result<(), StartError> {
    tokio::select! {
        usable = wait_until_usable(&start.connection, API_PATIENCE) => usable?,
        _ = stopping.wait_for(|stop| *stop) => return Ok(()),
    }
    if !start.args.election.leader_elect {
        return unelected(&start, stopping).await;
    }
    let Args { namespace, election, .. } = &start.args;
    let client = start.connection.ungated.clone();
    let timing = election.timing()?;
    let election = Election::new(client, namespace, &election.leader_elect_lease_name, timing, start.gate.clone());
    let lease = &start.args.election.leader_elect_lease_name;
    let stand_by = |outlook: Outlook<'_>| match outlook {
        Outlook::Held { holder } => {
            if start.health.stands(Standing::Standby(format!("{holder} leads"))) {
                info!(leader = holder, "standing by");
            }
        }
        Outlook::Unreadable { message } => {
            start.health.stands(Standing::WithoutLease(format!("lease {lease}: {message}")));
        }
    };
    stand_by(Outlook::Unreadable { message: "it has not been read yet" });
    let tenure = tokio::select! {
        tenure = election.win(stand_by) => tenure,
        _ = stopping.wait_for(|stop| *stop) => return Ok(()),
    };
    start.health.stands(Standing::Leading);
    tokio::select! {
        ended = elected(&start, &tenure, stopping) => ended?,
        lost = tenure.keep() => return Err(lost.into()),
    }
    tenure.release().await;
    Ok(())
}

async fn unelected(start: &Start, mut stopping: watch::Receiver<bool>) -> Result<(), StartError> {
    let hardware = tokio::select! {
        reached = start.hardware.reach(0, &start.health) => reached?,
        _ = stopping.wait_for(|stop| *stop) => return Ok(()),
    };
    let hardware = hardware.map_err(|overtaken| StartError::Unelected { seen: overtaken.seen })?;
    passes(start, hardware, stopping).await
}

async fn elected(start: &Start, tenure: &Tenure, mut stopping: watch::Receiver<bool>) -> Result<(), StartError> {
    let mut epoch = tenure.epoch();
    let hardware = loop {
        let reached = tokio::select! {
            reached = start.hardware.reach(epoch, &start.health) => reached?,
            _ = stopping.wait_for(|stop| *stop) => return Ok(()),
        };
        match reached {
            Ok(hardware) => break hardware,
            Err(overtaken) => {
                epoch = tenure.raise_above(overtaken.seen).await?;
                warn!(epoch, seen = overtaken.seen, "the lease was made anew, the epoch goes on");
            }
        }
    };
    passes(start, hardware, stopping).await
}

/// The caches are filled from now on: a new leader lists after it leads.
async fn passes(start: &Start, hardware: Arc<dyn Hardware>, stopping: watch::Receiver<bool>) -> Result<(), StartError> {
    let Start { connection, args, gate: _, hardware: _, health } = start;
    let metrics = health.metrics();
    let hardware: Arc<dyn Hardware> = Arc::new(Metered::new(hardware, Arc::clone(&metrics)));
    let region_maps = region_maps::publish(connection.client.clone(), args.namespace.clone(), Arc::clone(&hardware));
    let namespaces = WatchedNamespaces::named(args.watch_namespace.as_deref());
    let (cluster, changes, mut watches) =
        KubernetesCluster::start(connection.client.clone(), namespaces, Arc::clone(&metrics));
    health.connected(cluster.clone());
    let sudden_scale_in = args.sudden_scale_in;
    let parts = Parts { cluster: cluster.clone(), changes, hardware, metrics, sudden_scale_in };
    tokio::select! {
        ended = runtime::run(parts, stopping) => ended.map_err(|defect| StartError::Broken(defect.to_string())),
        message = watches.broken() => Err(StartError::Broken(message)),
        error = never_listed(&cluster) => Err(error),
        () = region_maps => Err(StartError::Broken("the regions are no longer published".to_owned())),
    }
}

/// Waits for the first lists and says what they fail with; ends only when they do not come.
async fn never_listed(cluster: &KubernetesCluster) -> StartError {
    let begun = Instant::now();
    let mut messages = interval_at(begun + MESSAGE_SPACING, MESSAGE_SPACING);
    loop {
        tokio::select! {
            () = cluster.synced() => return std::future::pending().await,
            _ = messages.tick() => {}
        }
        let kinds = cluster.unsynced().join(", ");
        let failures: Vec<String> = cluster.watch_failures().into_iter().map(|(_, failure)| failure).collect();
        let failures = if failures.is_empty() { "the API is slow".to_owned() } else { failures.join("; ") };
        if begun.elapsed() >= LIST_PATIENCE {
            return StartError::NotListed { kinds, seconds: begun.elapsed().as_secs(), failures };
        }
        warn!(kinds, failures, "waiting for the first lists");
    }
}
