//! What a capacity reservation group costs: written at most once a second while a thousand VMs that use it boot, and not at
//! all while nothing changes; and how long its views are behind the hardware meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use kube::api::{Api, PostParams, WatchEvent, WatchParams};
use scaleset_crds::{CapacityReservationGroup, ScaleSet};
use scaleset_hardware::sim::Call;
use scaleset_tests::local::controller::LocalController;
use scaleset_tests::local::hardware::effective;
use scaleset_tests::local::requests::Requests;
use scaleset_tests::local::until;
use serde_json::json;

use crate::ours::{NAME, Ours, make_namespace, ready, set};

const GROUP: &str = "d2s";
const LIMIT: Duration = Duration::from_mins(2);

/// One round.
pub(crate) struct Reserved {
    /// From the creation of the set until the group counts all of its VMs, wall time.
    pub(crate) seconds: f64,
    /// Writes of the group's status meanwhile.
    pub(crate) writes: u64,
    /// The same in a minute in which nothing changed.
    pub(crate) quiet_writes: u64,
    /// The longest time for which the count of allocated VMs was not the hardware's, wall time.
    pub(crate) longest_behind_seconds: f64,
}

/// A count of the group's status, and when it was seen on a watch.
type Sighting = (Timestamp, i32);

impl Ours<'_> {
    /// A group with room for all, and a set of so many VMs that uses it.
    pub(crate) async fn reserved(&self, namespace: &str, instances: usize) -> anyhow::Result<Reserved> {
        make_namespace(self.admin, namespace).await?;
        let controller = self.controller().await?;
        let measured = self.measure_reserved(&controller, namespace, instances).await;
        let measured = measured.with_context(|| format!("the end of its log:\n{}", controller.log_tail(20)));
        controller.kill().await?;
        measured
    }

    async fn measure_reserved(
        &self,
        controller: &LocalController,
        namespace: &str,
        instances: usize,
    ) -> anyhow::Result<Reserved> {
        let sets: Api<ScaleSet> = Api::namespaced(self.admin.clone(), namespace);
        let groups: Api<CapacityReservationGroup> = Api::namespaced(self.admin.clone(), namespace);
        groups.create(&PostParams::default(), &group(instances)?).await?;
        let allocated = async |expected: i32| {
            until("the group counts them", LIMIT, async || {
                let status = groups.get(GROUP).await?.status.unwrap_or_default();
                let there = status.capacity_reservations.iter().filter(|one| one.reservation_id.is_some()).count();
                let allocated = status.totals.unwrap_or_default().allocated;
                ensure!((there, allocated) == (3, expected), "{allocated} in {there} reservations");
                Ok(())
            })
            .await
        };
        allocated(0).await?;
        let watched = tokio::spawn(sightings(groups.clone(), i32::try_from(instances)?));
        let asked = Requests::of(self.admin).await?;
        let started = Instant::now();
        let mut wished = set(NAME, instances)?;
        let profile = wished.spec.virtual_machine_profile.as_mut().context("it has a profile")?;
        profile.capacity_reservation_group_ref = Some(serde_json::from_value(json!({"name": GROUP}))?);
        sets.create(&PostParams::default(), &wished).await?;
        ready(&sets, instances).await?;
        allocated(i32::try_from(instances)?).await?;
        let seconds = started.elapsed().as_secs_f64();
        let of_group = |asked: Requests| {
            asked.only(|kind| kind.resource == "capacityreservationgroups/status" && kind.is_write()).total()
        };
        let writes = of_group(Requests::of(self.admin).await?.since(&asked));
        let created = controller.hardware()?.journal(namespace).await?;
        let created = effective(&created, Call::Create).into_iter().map(|entry| entry.wall_time).collect();
        let longest_behind_seconds = longest_behind(created, &watched.await??)?;
        let quiet_writes = of_group(self.quiet_minute().await?);
        Ok(Reserved { seconds, writes, quiet_writes, longest_behind_seconds })
    }
}

/// Every count of allocated VMs that the group's status tells, until it is `last`.
async fn sightings(groups: Api<CapacityReservationGroup>, last: i32) -> anyhow::Result<Vec<Sighting>> {
    let begin = groups.get(GROUP).await?.metadata.resource_version.context("it is stored")?;
    let mut versions = groups.watch(&WatchParams::default(), &begin).await?.boxed();
    let mut seen: Vec<Sighting> = vec![(Timestamp::now(), 0)];
    while let Some(event) = versions.try_next().await? {
        let WatchEvent::Modified(group) = event else { continue };
        let allocated = group.status.and_then(|status| status.totals).unwrap_or_default().allocated;
        if seen.last().is_none_or(|(_, before)| *before != allocated) {
            seen.push((Timestamp::now(), allocated));
        }
        if allocated == last {
            return Ok(seen);
        }
    }
    anyhow::bail!("the watch ended after {} counts", seen.len())
}

/// Each VM is allocated when it is created: a count is out of date from the next creation on, until another one is seen.
fn longest_behind(mut created: Vec<Timestamp>, seen: &[Sighting]) -> anyhow::Result<f64> {
    created.sort_unstable();
    let mut longest: f64 = 0.0;
    for pair in seen.windows(2) {
        let [(_, count), (until, _)] = pair else { continue };
        let since =
            created.get(usize::try_from(*count)?).context("a count is below the number of VMs until the last")?;
        longest = longest.max(until.duration_since(*since).as_secs_f64());
    }
    Ok(longest)
}

/// A third in each zone, and one more.
fn group(instances: usize) -> anyhow::Result<CapacityReservationGroup> {
    let capacity = instances.div_ceil(3);
    let reservation = |zone: &str| json!({"name": format!("z{zone}"), "vmSize": "Standard_D2s_v3", "zone": zone, "capacity": capacity});
    let reservations = ["1", "2", "3"].map(reservation);
    Ok(serde_json::from_value(json!({
        "apiVersion": scaleset_crds::API_VERSION,
        "kind": "CapacityReservationGroup",
        "metadata": {"name": GROUP},
        "spec": {
            "location": "eastus", "zones": ["1", "2", "3"], "reservations": reservations,
        },
    }))?)
}
