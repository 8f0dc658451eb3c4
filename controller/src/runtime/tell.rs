//! Listens to both sides and puts whom a change concerns into the queues.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use scaleset_hardware::Change;
use tokio::time::sleep;
use tracing::warn;

use super::Queues;
use super::queue::When;
use super::sweep::{SWEEP_SPREAD, look_at_everything};
use super::triggers::{Trigger, of_machine, triggers};
use crate::backoff::Backoff;
use crate::cluster::kubernetes::{Changes, KubernetesCluster};
use crate::cluster::{Kind, ObjectKey};

/// Within this time everything is looked at when the hardware is there again.
const SOON: Duration = Duration::from_secs(1);

/// Never ends: the cluster that it looks into tells of changes itself.
pub(super) async fn tell_changes(mut changes: Changes, cluster: KubernetesCluster, queues: Queues) {
    while let Some(change) = changes.next().await {
        for trigger in triggers(&change, &cluster) {
            queues.add(trigger);
        }
    }
}

/// Never ends: when the announcements do, it listens anew and has everything looked at, for what it missed meanwhile.
/// What the hardware does not announce, the sweep finds.
pub(super) async fn tell_hardware(
    listen: impl Fn() -> BoxStream<'static, Change>,
    cluster: KubernetesCluster,
    queues: Queues,
) {
    let mut ends = 0_u32;
    loop {
        let mut changes = listen();
        if ends > 0 {
            look_at_everything(&cluster, &queues, SWEEP_SPREAD);
        }
        while let Some(change) = changes.next().await {
            ends = 0;
            match change {
                Change::Machine { uid: _, owner } => of_machine(&owner).into_iter().for_each(|it| queues.add(it)),
                Change::ReservationGroup { uid: _, namespace, name } => {
                    queues.add(Trigger::ReservationGroup(ObjectKey { namespace, name }, When::Spaced));
                }
                Change::Everything => look_at_everything(&cluster, &queues, SOON),
                // A newer version of an image, mostly, which some sets follow.
                Change::Catalog => {
                    let sets = cluster.keys(Kind::ScaleSet).into_iter();
                    sets.for_each(|key| queues.add(Trigger::Set(key, When::Spaced)));
                }
            }
        }
        ends = ends.saturating_add(1);
        warn!(ends, "announcements of the hardware ended, listening anew");
        sleep(Backoff::WATCH.after(ends, rand::random())).await;
    }
}

#[cfg(test)]
mod tests;
