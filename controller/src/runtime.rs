//! Runs passes: what changes finds its way to the objects that it concerns, each looked at by one pass at a time.
//!
//! Nothing runs before every cache is complete. What is converged is not looked at again, except by a slow sweep that
//! makes up for announcements that were missed.

mod queue;
mod strays;
mod sweep;
mod tell;
mod triggers;
mod worker;

use std::fmt::{Display, Formatter};
use std::sync::Arc;
use std::time::Duration;

use scaleset_hardware::Hardware;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::info;

use crate::cluster::ObjectKey;
use crate::cluster::kubernetes::{Changes, KubernetesCluster};
use crate::context::{Context, SuddenScaleIn};
use crate::instance::InstanceKind;
use crate::metrics::{Controller, Metrics};
use crate::pace::StatusPace;
use crate::{autoscale, instance, operation, reservation_group, scale_set};
use queue::{When, WorkQueue};
use sweep::sweep;
use tell::{tell_changes, tell_hardware};
use triggers::Trigger;
use worker::{Reconcile, Worker};

const SETS_AT_A_TIME: usize = 8;
const INSTANCES_AT_A_TIME: usize = 32;
const OPERATIONS_AT_A_TIME: usize = 8;
const GROUPS_AT_A_TIME: usize = 4;
const SETTINGS_AT_A_TIME: usize = 4;
/// A set and an operation are looked at at most this often because of their members.
const MEMBER_SPACING: Duration = Duration::from_millis(100);
/// A set's counters are written at most this often.
const STATUS_SPACING: Duration = Duration::from_millis(500);
/// The numbers of a capacity reservation group are written at most this often.
const GROUP_SPACING: Duration = Duration::from_secs(1);
/// How long passes in flight may take when the process is asked to stop.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Which instance: the key of their queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct InstanceKey(InstanceKind, ObjectKey);

impl Display for InstanceKey {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        let Self(kind, key) = self;
        write!(formatter, "{kind:?} {key}")
    }
}

/// What the runtime stands on.
pub struct Parts {
    /// The Kubernetes API.
    pub cluster: KubernetesCluster,
    /// What changes in it.
    pub changes: Changes,
    /// The hardware.
    pub hardware: Arc<dyn Hardware>,
    /// Where passes are counted.
    pub metrics: Arc<Metrics>,
    /// What becomes of a sudden drop of a set's target.
    pub sudden_scale_in: SuddenScaleIn,
}

#[derive(Clone)]
struct Queues {
    sets: Arc<WorkQueue<ObjectKey>>,
    instances: Arc<WorkQueue<InstanceKey>>,
    operations: Arc<WorkQueue<ObjectKey>>,
    groups: Arc<WorkQueue<ObjectKey>>,
    settings: Arc<WorkQueue<ObjectKey>>,
}

impl Queues {
    fn add(&self, trigger: Trigger) {
        match trigger {
            Trigger::Set(key, when) => self.sets.add(key, when),
            Trigger::Operation(key, when) => self.operations.add(key, when),
            Trigger::ReservationGroup(key, when) => self.groups.add(key, when),
            Trigger::AutoscaleSetting(key, when) => self.settings.add(key, when),
            Trigger::Instance(kind, key) => self.instances.add(InstanceKey(kind, key), When::Now),
        }
    }
}

/// What tells the queues has ended, and nothing would be looked at any more: a defect of this program.
#[derive(Debug, Error)]
#[error("changes are no longer told to the passes: {0}")]
pub struct NoLongerTold(String);

/// Runs until `stop` turns true and the passes in flight have ended, or ten seconds have passed.
pub async fn run(parts: Parts, stop: watch::Receiver<bool>) -> Result<(), NoLongerTold> {
    let Parts { cluster, changes, hardware, metrics, sudden_scale_in } = parts;
    let queues = queues();
    let context = Context {
        cluster: Arc::new(cluster.clone()),
        hardware: Arc::clone(&hardware),
        metrics: Arc::clone(&metrics),
        pace: Arc::new(StatusPace::new(STATUS_SPACING)),
        group_pace: Arc::new(StatusPace::new(GROUP_SPACING)),
        looked: Arc::default(),
        sudden_scale_in,
    };
    // These end with this function, and never before.
    let mut tellers = JoinSet::new();
    tellers.spawn(tell_changes(changes, cluster.clone(), queues.clone()));
    let announcer = Arc::clone(&hardware);
    tellers.spawn(tell_hardware(move || announcer.changes(), cluster.clone(), queues.clone()));
    tellers.spawn(sweep(cluster.clone(), hardware, Arc::clone(&metrics), queues.clone()));
    while_told(passes(cluster, queues, context, stop), tellers).await
}

/// Works until that ends, or one of the tellers does, which is a defect.
async fn while_told(work: impl Future<Output = ()>, mut tellers: JoinSet<()>) -> Result<(), NoLongerTold> {
    tokio::select! {
        () = work => Ok(()),
        Some(ended) = tellers.join_next() => Err(NoLongerTold(match ended {
            Ok(()) => "a task ended".to_owned(),
            Err(error) => error.to_string(),
        })),
    }
}

/// Passes of every kind, once every cache is complete.
async fn passes(cluster: KubernetesCluster, queues: Queues, context: Context, mut stop: watch::Receiver<bool>) {
    let metrics = Arc::clone(&context.metrics);
    tokio::select! {
        () = cluster.synced() => info!("caches are complete, passes begin"),
        _ = stop.wait_for(|stop| *stop) => return,
    }
    let mut workers = JoinSet::new();
    let sets = Worker {
        controller: Controller::ScaleSet,
        queue: queues.sets,
        concurrency: SETS_AT_A_TIME,
        reconcile: set_passes(context.clone()),
        metrics: Arc::clone(&metrics),
    };
    let instances = Worker {
        controller: Controller::Instance,
        queue: queues.instances,
        concurrency: INSTANCES_AT_A_TIME,
        reconcile: instance_passes(context.clone()),
        metrics: Arc::clone(&metrics),
    };
    let operations = Worker {
        controller: Controller::Operation,
        queue: queues.operations,
        concurrency: OPERATIONS_AT_A_TIME,
        reconcile: operation_passes(context.clone()),
        metrics: Arc::clone(&metrics),
    };
    let groups = Worker {
        controller: Controller::ReservationGroup,
        queue: queues.groups,
        concurrency: GROUPS_AT_A_TIME,
        reconcile: group_passes(context.clone()),
        metrics: Arc::clone(&metrics),
    };
    let settings = Worker {
        controller: Controller::Autoscale,
        queue: queues.settings,
        concurrency: SETTINGS_AT_A_TIME,
        reconcile: setting_passes(context),
        metrics,
    };
    workers.spawn(sets.run(stop.clone(), GRACE));
    workers.spawn(instances.run(stop.clone(), GRACE));
    workers.spawn(operations.run(stop.clone(), GRACE));
    workers.spawn(groups.run(stop.clone(), GRACE));
    workers.spawn(settings.run(stop, GRACE));
    while let Some(ended) = workers.join_next().await {
        ended.expect("a worker catches what its passes do");
    }
}

fn queues() -> Queues {
    Queues {
        sets: Arc::new(WorkQueue::new(MEMBER_SPACING)),
        instances: Arc::new(WorkQueue::new(Duration::ZERO)),
        operations: Arc::new(WorkQueue::new(MEMBER_SPACING)),
        groups: Arc::new(WorkQueue::new(MEMBER_SPACING)),
        settings: Arc::new(WorkQueue::new(MEMBER_SPACING)),
    }
}

fn set_passes(context: Context) -> Reconcile<ObjectKey> {
    Arc::new(move |key| {
        let context = context.clone();
        Box::pin(async move { scale_set::reconcile(&context, &key).await })
    })
}

fn operation_passes(context: Context) -> Reconcile<ObjectKey> {
    Arc::new(move |key| {
        let context = context.clone();
        Box::pin(async move { operation::reconcile(&context, &key).await })
    })
}

fn group_passes(context: Context) -> Reconcile<ObjectKey> {
    Arc::new(move |key| {
        let context = context.clone();
        Box::pin(async move { reservation_group::reconcile(&context, &key).await })
    })
}

fn setting_passes(context: Context) -> Reconcile<ObjectKey> {
    Arc::new(move |key| {
        let context = context.clone();
        Box::pin(async move { autoscale::reconcile(&context, &key).await })
    })
}

fn instance_passes(context: Context) -> Reconcile<InstanceKey> {
    Arc::new(move |InstanceKey(kind, key)| {
        let context = context.clone();
        Box::pin(async move { instance::reconcile(&context, kind, &key).await })
    })
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_teller_that_ends_ends_the_runtime_and_work_that_ends_does_so_in_good_order() {
        let tellers = |ends: fn() -> bool| {
            let mut tellers = JoinSet::new();
            tellers.spawn(pending());
            tellers.spawn(async move {
                if !ends() {
                    pending::<()>().await;
                }
            });
            tellers
        };
        while_told(ready(()), tellers(|| false)).await.expect("it was asked to stop");
        let ended = while_told(pending(), tellers(|| true)).await.expect_err("one has ended");
        assert_eq!(ended.to_string(), "changes are no longer told to the passes: a task ended");
        let broken = while_told(pending(), tellers(|| panic!("a defect"))).await.expect_err("one has panicked");
        assert!(broken.to_string().ends_with("panicked with message \"a defect\""), "{broken}");
    }
}
