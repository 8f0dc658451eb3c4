//! Makes up for announcements that were missed: every while all objects are looked at again, slowly, and the machines
//! are compared with them.

use std::sync::Arc;
use std::time::Duration;

use scaleset_hardware::Hardware;
use tokio::time::sleep;
use tracing::debug;

use super::queue::When;
use super::{InstanceKey, Queues, strays};
use crate::cluster::Kind;
use crate::cluster::kubernetes::KubernetesCluster;
use crate::instance::InstanceKind;
use crate::metrics::Metrics;

const SWEEP_EVERY: Duration = Duration::from_mins(10);
/// A sweep is spread over this long.
pub(super) const SWEEP_SPREAD: Duration = Duration::from_mins(1);

/// Sweeps for ever.
pub(super) async fn sweep(
    cluster: KubernetesCluster,
    hardware: Arc<dyn Hardware>,
    metrics: Arc<Metrics>,
    queues: Queues,
) {
    cluster.synced().await;
    loop {
        sleep(SWEEP_EVERY.mul_f64(0.8 + 0.4 * rand::random::<f64>())).await;
        look_at_everything(&cluster, &queues, SWEEP_SPREAD);
        strays::report(cluster.instance_uids(), cluster.namespaces(), hardware.as_ref(), &metrics).await;
    }
}

/// Puts every object into its queue, at times of their own within `spread`.
pub(super) fn look_at_everything(cluster: &KubernetesCluster, queues: &Queues, spread: Duration) {
    let later = || When::After(spread.mul_f64(rand::random()));
    let sets = cluster.keys(Kind::ScaleSet);
    let kinds = [(Kind::ScaleSetVM, InstanceKind::ScaleSetVM), (Kind::FlexVM, InstanceKind::FlexVM)];
    let instances: Vec<InstanceKey> = kinds
        .into_iter()
        .flat_map(|(kind, instance)| cluster.keys(kind).into_iter().map(move |key| InstanceKey(instance, key)))
        .collect();
    let operations = cluster.keys(Kind::ScaleSetOperation);
    debug!(sets = sets.len(), instances = instances.len(), operations = operations.len(), "sweep");
    for key in cluster.keys(Kind::CapacityReservationGroup) {
        queues.groups.add(key, later());
    }
    for key in cluster.keys(Kind::AutoscaleSetting) {
        queues.settings.add(key, later());
    }
    for key in operations {
        queues.operations.add(key, later());
    }
    for key in sets {
        queues.sets.add(key, later());
    }
    for key in instances {
        queues.instances.add(key, later());
    }
}
