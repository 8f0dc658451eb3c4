//! Puts the decision on record, then tells the set.

use scaleset_crds::AutoscaleSettingStatus;
use scaleset_planning::autoscale::AutoscalePlan;
use scaleset_planning::snapshot::AutoscaleSnapshot;
use scaleset_planning::status::autoscale::{Worth, autoscale_status, worth};

use super::observe::Observed;
use crate::cluster::{ClusterError, Kind, ObjectId};
use crate::context::Context;

/// How far a pass has come.
pub(super) struct Executed {
    pub(super) status: AutoscaleSettingStatus,
    pub(super) record: Record,
    pub(super) told: Told,
    /// What failed; everything after it was not tried.
    pub(super) failure: Option<ClusterError>,
}

/// What became of the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// It was written.
    Written,
    /// It was not: nothing has changed that is worth a write.
    Kept,
    /// It could not be written.
    Failed,
}

/// What became of the count that the set is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// There was none, or its record could not be written.
    Nothing,
    /// The set has it.
    Count,
    /// The set could not be told.
    Refused,
}

pub(super) async fn execute(
    context: &Context,
    observed: &Observed,
    snapshot: &AutoscaleSnapshot,
    plan: &AutoscalePlan<'_>,
) -> Executed {
    let status = autoscale_status(snapshot, plan);
    let mut executed = Executed { status, record: Record::Kept, told: Told::Nothing, failure: None };
    if worth(&executed.status, &snapshot.status, snapshot.now) == Worth::Now {
        let value = serde_json::to_value(&executed.status).expect("a status is plain data");
        match context.cluster.apply_status(&observed.id.uid, &observed.id, value).await {
            Ok(()) => executed.record = Record::Written,
            Err(error) => {
                (executed.record, executed.failure) = (Record::Failed, Some(error));
                return executed;
            }
        }
    }
    let Some((count, set)) = plan.told.zip(observed.set.as_ref()) else { return executed };
    let set = ObjectId {
        kind: Kind::ScaleSet,
        key: crate::cluster::cache::key_of(set.as_ref()),
        uid: set.metadata.uid.clone().unwrap_or_default(),
        resource_version: set.metadata.resource_version.clone().unwrap_or_default(),
    };
    match context.cluster.scale(&observed.id.uid, &set, count).await {
        Ok(()) => executed.told = Told::Count,
        Err(error) => (executed.told, executed.failure) = (Told::Refused, Some(error)),
    }
    executed
}
