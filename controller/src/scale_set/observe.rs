//! Reads cluster, hardware and clocks, once.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use scaleset_crds::vocabulary::UpgradeMode;
use scaleset_crds::{ScaleSet, ScaleSetOperation};
use scaleset_hardware::{Catalog, HardwareError, Headroom};

use super::SetObjects;
use crate::cluster::{Kind, Members, ObjectId, ObjectKey};
use crate::context::Context;
use crate::operation::order;

/// What one pass over a set has seen.
pub(super) struct Observed {
    pub(super) id: ObjectId,
    pub(super) set: Arc<ScaleSet>,
    pub(super) members: Members,
    pub(super) revisions: Vec<Arc<ControllerRevision>>,
    /// What people have asked of it, the earliest first.
    pub(super) operations: Vec<Arc<ScaleSetOperation>>,
    /// The hardware's failure to answer is an observation like any other.
    pub(super) offer: Result<Offer, HardwareError>,
    pub(super) now: Timestamp,
    pub(super) wall_now: Timestamp,
}

/// What the hardware offers, and remembers of the set.
pub(super) struct Offer {
    pub(super) catalog: Arc<Catalog>,
    /// Asked for only where a rolling upgrade may surge.
    pub(super) headroom: Option<Headroom>,
    /// Asked for only where the record in the status is missing.
    pub(super) highest_number: Option<i64>,
}

/// What a pass would see of the objects, with nothing but the catalog from the hardware.
pub(super) fn without_hardware(objects: SetObjects, catalog: Arc<Catalog>, now: Timestamp) -> Observed {
    let SetObjects { set, members, revisions } = objects;
    let offer = Ok(Offer { catalog, headroom: None, highest_number: None });
    Observed { id: id_of(&set), members, revisions, operations: Vec::new(), offer, now, wall_now: now, set }
}

fn id_of(set: &ScaleSet) -> ObjectId {
    let metadata = &set.metadata;
    ObjectId {
        kind: Kind::ScaleSet,
        key: ObjectKey {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        },
        uid: metadata.uid.clone().unwrap_or_default(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
    }
}

pub(super) async fn observe(context: &Context, set: Arc<ScaleSet>) -> Observed {
    let id = id_of(&set);
    let recorded = set.status.as_ref().is_some_and(|status| status.next_instance_id.is_some());
    let mut operations = context.cluster.operations(&id.key);
    operations.sort_by(|one, two| order(one).cmp(&order(two)));
    Observed {
        operations,
        members: context.cluster.members(&id.key, &id.uid),
        revisions: context.cluster.revisions(&id.uid),
        offer: offer(context, &set, (!recorded).then_some(id.uid.as_str())).await,
        now: context.hardware.now(),
        wall_now: Timestamp::now(),
        id,
        set,
    }
}

/// `set_uid` asks also for the highest number that the hardware knows of the set.
async fn offer(context: &Context, set: &ScaleSet, set_uid: Option<&str>) -> Result<Offer, HardwareError> {
    let highest_number = match set_uid {
        Some(uid) => context.hardware.observe_all().await?.highest_instance_numbers.get(uid).copied(),
        None => None,
    };
    let headroom = match surging_size(set) {
        Some(size) => context.hardware.headroom(&set.spec.location, size).await?,
        None => None,
    };
    Ok(Offer { catalog: context.hardware.catalog().await?, headroom, highest_number })
}

/// The size of the VMs that a surge would make; `None` where there is none.
fn surging_size(set: &ScaleSet) -> Option<&str> {
    let policy = &set.spec.upgrade_policy;
    let surges = policy.rolling_upgrade_policy.as_ref().is_some_and(|rolling| rolling.max_surge.is_some());
    let profile = set.spec.virtual_machine_profile.as_ref()?;
    (surges && policy.mode == UpgradeMode::Rolling).then_some(profile.vm_size.as_str())
}
