//! Reads cluster, hardware and clocks, once.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::UpgradeMode;
use scaleset_crds::{CapacityReservationGroup, ScaleSet, ScaleSetOperation, ScaleSetStatus};
use scaleset_hardware::{Catalog, HardwareError, Headroom};

use scaleset_planning::snapshot::{Autoscaler, ScaleInGuard};
use scaleset_planning::sudden_drop::{is_sudden, judged_from};
use tracing::warn;

use super::SetObjects;
use super::validate::confirmation;
use crate::autoscale;
use crate::cluster::{Freshness, Kind, Members, ObjectId, ObjectKey};
use crate::context::{Context, SuddenScaleIn};
use crate::operation::order;
use crate::reservation_group::referenced;

/// What one pass over a set has seen.
pub(super) struct Observed {
    pub(super) id: ObjectId,
    pub(super) set: Arc<ScaleSet>,
    pub(super) members: Members,
    pub(super) revisions: Vec<Arc<ControllerRevision>>,
    /// The capacity reservation groups that its revisions name, as far as they exist.
    pub(super) reservation_groups: Vec<Arc<CapacityReservationGroup>>,
    /// What people have asked of it, the earliest first.
    pub(super) operations: Vec<Arc<ScaleSetOperation>>,
    /// Members whose status a pass of this process has confirmed, with the scenario time of the first; none where that is of no matter.
    pub(super) looked_at: Option<BTreeMap<String, Timestamp>>,
    /// Whether a sudden drop of the target must be confirmed, and what has confirmed one.
    pub(super) scale_in_guard: ScaleInGuard,
    /// The hardware's failure to answer is an observation like any other.
    pub(super) offer: Result<Offer, HardwareError>,
    pub(super) now: Timestamp,
    pub(super) wall_now: Timestamp,
}

/// What the hardware offers, and remembers of the set.
pub(super) struct Offer {
    pub(super) catalog: Arc<Catalog>,
    /// For VMs of the profile's size and priority. Asked for only where a rolling upgrade may surge.
    pub(super) headroom: Option<Headroom>,
    /// For the regular ones. Asked for only where the set mixes priorities as well.
    pub(super) regular_headroom: Option<Headroom>,
    /// Asked for only where the record in the status is missing.
    pub(super) highest_number: Option<i64>,
}

/// What a pass would see of the objects, with nothing but the catalog from the hardware.
pub(super) fn without_hardware(objects: SetObjects, catalog: Arc<Catalog>, now: Timestamp) -> Observed {
    let SetObjects { set, members, revisions, reservation_groups } = objects;
    let offer = Ok(Offer { catalog, headroom: None, regular_headroom: None, highest_number: None });
    let guard = ScaleInGuard::On {
        confirmation: confirmation(&set.metadata),
        autoscaler: Autoscaler::None,
        recorded: Vec::new(),
    };
    Observed {
        id: id_of(&set),
        members,
        revisions,
        reservation_groups,
        operations: Vec::new(),
        looked_at: None,
        scale_in_guard: guard,
        offer,
        now,
        wall_now: now,
        set,
    }
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
    let members = context.cluster.members(&id.key, &id.uid);
    let revisions = context.cluster.revisions(&id.uid);
    let groups = referenced(&set, revisions.iter().map(AsRef::as_ref));
    Observed {
        reservation_groups: groups.iter().filter_map(|key| context.cluster.reservation_group(key)).collect(),
        operations,
        looked_at: looked_at(context, &set, &members),
        scale_in_guard: scale_in_guard(context, &id.key, &set),
        members,
        revisions,
        offer: offer(context, &set, (!recorded).then_some(id.uid.as_str())).await,
        now: context.hardware.now(),
        wall_now: Timestamp::now(),
        id,
        set,
    }
}

/// A rolling upgrade counts members as late, and repairs take them for unwell; nothing else depends on it.
fn looked_at(context: &Context, set: &ScaleSet, members: &Members) -> Option<BTreeMap<String, Timestamp>> {
    let recorded = set.status.as_ref().is_some_and(|status| status.rolling_upgrade.is_some());
    let repairs = set.spec.automatic_repairs_policy.is_some();
    if !recorded && !repairs && set.spec.upgrade_policy.mode != UpgradeMode::Rolling {
        return None;
    }
    let uniform = members.scale_set_vms.iter().filter_map(|vm| vm.metadata.uid.as_ref());
    let flexible = members.flex_vms.iter().filter_map(|vm| vm.metadata.uid.as_ref());
    let shown = |uid: &&String| context.cluster.freshness(uid) == Freshness::Current;
    let first = |uid: &String| Some((uid.clone(), context.looked.first(uid)?));
    Some(uniform.chain(flexible).filter(shown).filter_map(first).collect())
}

fn scale_in_guard(context: &Context, key: &ObjectKey, set: &ScaleSet) -> ScaleInGuard {
    match context.sudden_scale_in {
        SuddenScaleIn::Allow => return ScaleInGuard::Off,
        SuddenScaleIn::Hold => {}
    }
    let confirmation = confirmation(&set.metadata);
    let sudden = |status: &ScaleSetStatus| {
        let (in_force, wished) = (status.target_replicas?, set.spec.replicas?);
        Some(is_sudden(judged_from(in_force, &status.evictions, wished), wished))
    };
    if set.status.as_ref().and_then(sudden) != Some(true) {
        return ScaleInGuard::On { confirmation, autoscaler: Autoscaler::None, recorded: Vec::new() };
    }
    let settings = context.cluster.autoscale_settings(key);
    let recorded = settings.iter().filter_map(|setting| autoscale::recorded(setting)).collect();
    let wish = context.cluster.autoscaler_wish(key).unwrap_or_else(|error| {
        warn!(set = %key.name, %error, "autoscalers cannot be read, the drop of the target is held");
        None
    });
    ScaleInGuard::On { confirmation, autoscaler: wish.map_or(Autoscaler::None, Autoscaler::Wishes), recorded }
}

/// `set_uid` asks also for the highest number that the hardware knows of the set.
async fn offer(context: &Context, set: &ScaleSet, set_uid: Option<&str>) -> Result<Offer, HardwareError> {
    let highest_number = match set_uid {
        Some(uid) => context.hardware.observe_all().await?.highest_instance_numbers.get(uid).copied(),
        None => None,
    };
    let surging = surging_size(set);
    let mixed = surging.filter(|_| set.spec.priority_mix_policy.is_some());
    let headroom = headroom_of(context, set, surging).await?;
    let regular_headroom = headroom_of(context, set, mixed.map(|(size, _)| (size, Priority::Regular))).await?;
    Ok(Offer { catalog: context.hardware.catalog().await?, headroom, regular_headroom, highest_number })
}

/// What is left for VMs of a size and a priority; nothing where nobody asks for them.
async fn headroom_of(
    context: &Context,
    set: &ScaleSet,
    wanted: Option<(&str, Priority)>,
) -> Result<Option<Headroom>, HardwareError> {
    match wanted {
        Some((size, priority)) => context.hardware.headroom(&set.spec.location, size, priority).await,
        None => Ok(None),
    }
}

/// Size and priority of the VMs that a surge would make; `None` where there is none.
fn surging_size(set: &ScaleSet) -> Option<(&str, Priority)> {
    let policy = &set.spec.upgrade_policy;
    let surges = policy.rolling_upgrade_policy.as_ref().is_some_and(|rolling| rolling.max_surge.is_some());
    let profile = set.spec.virtual_machine_profile.as_ref()?;
    (surges && policy.mode == UpgradeMode::Rolling).then_some((profile.vm_size.as_str(), profile.spot.priority))
}
