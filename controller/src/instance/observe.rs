//! Reads cluster, hardware and clocks, once.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use scaleset_crds::operation::OperationTargetKind;
use scaleset_crds::{FlexVM, InstanceStatus, ScaleSet, ScaleSetOperation, ScaleSetVM};
use scaleset_hardware::{HardwareError, Machine};
use scaleset_planning::membership::NamedGroup;
use scaleset_planning::snapshot::SizeMaintenance;

use super::InstanceKind;
use crate::autoscale::is_enabled;
use crate::cluster::cache::{Cached, key_of};
use crate::cluster::{Kind, ObjectId, ObjectKey};
use crate::context::Context;
use crate::operation::order;
use crate::reservation_group::named_group;
use crate::scale_set::{fault_domain_on, maintenance_of, member_count, set_shape};

/// `FlexVM`s that are members of a set by their own wish, or are to become it, with how their sizes are maintained.
#[derive(Default)]
pub(super) struct Applicants {
    pub(super) own: SizeMaintenance,
    pub(super) others: Vec<OtherApplicant>,
    /// Members that the set has.
    pub(super) members: usize,
}

/// Another one that refers to the set.
pub(super) struct OtherApplicant {
    pub(super) vm: Arc<FlexVM>,
    pub(super) maintenance: SizeMaintenance,
    pub(super) group: Option<NamedGroup>,
}

/// Who decides on the count of an instance's set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scaled {
    /// People.
    ByHand,
    /// An autoscale setting that is enabled.
    Automatically,
}

/// The object of an instance.
pub(super) enum Instance {
    ScaleSetVM(Arc<ScaleSetVM>),
    FlexVM(Arc<FlexVM>),
}

/// What one pass over an instance has seen.
pub(super) struct Observed {
    pub(super) id: ObjectId,
    pub(super) instance: Instance,
    /// The set that owns it or that it refers to.
    pub(super) set: Option<Arc<ScaleSet>>,
    /// The revision that a Uniform instance follows.
    pub(super) revision: Option<Arc<ControllerRevision>>,
    /// A `FlexVM` that is to join a set, or has no fault domain in it yet, and the others that refer to it; empty for any
    /// other instance.
    pub(super) applicants: Applicants,
    /// The capacity reservation group that the model of a `FlexVM` names.
    pub(super) group: Option<NamedGroup>,
    /// What the hardware said instead of telling how their sizes are maintained.
    pub(super) silence: Option<HardwareError>,
    /// What people have asked of it or of its set, the earliest first.
    pub(super) operations: Vec<Arc<ScaleSetOperation>>,
    /// Whether autoscale decides on its set's count.
    pub(super) scaled: Scaled,
    pub(super) machine: Result<Option<Machine>, HardwareError>,
    pub(super) now: Timestamp,
    pub(super) wall_now: Timestamp,
}

impl Instance {
    pub(super) fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::ScaleSetVM(vm) => &vm.metadata,
            Self::FlexVM(vm) => &vm.metadata,
        }
    }

    pub(super) fn status(&self) -> Option<&InstanceStatus> {
        match self {
            Self::ScaleSetVM(vm) => vm.status.as_ref(),
            Self::FlexVM(vm) => vm.status.as_ref(),
        }
    }

    pub(super) fn uid(&self) -> &str {
        self.metadata().uid.as_deref().unwrap_or_default()
    }

    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::ScaleSetVM(_) => Kind::ScaleSetVM,
            Self::FlexVM(_) => Kind::FlexVM,
        }
    }

    fn set_name(&self) -> Option<&str> {
        match self {
            Self::ScaleSetVM(vm) => Some(&vm.spec.scale_set_ref.name),
            Self::FlexVM(vm) => {
                // Whoever made it has it until it has left, before anybody has put on record that it is a member.
                let accepted = vm.status.as_ref().and_then(|status| status.scale_set.as_deref());
                accepted.or_else(|| owning_set(&vm.metadata)).or_else(|| vm.scale_set_name())
            }
        }
    }
}

/// The set that is the owner of a `FlexVM` by name.
pub(super) fn owning_set(metadata: &ObjectMeta) -> Option<&str> {
    let owner = metadata.owner_references.iter().flatten().find(|owner| owner.kind == "ScaleSet");
    owner.map(|owner| owner.name.as_str())
}

pub(super) fn find(context: &Context, kind: InstanceKind, key: &ObjectKey) -> Option<Instance> {
    match kind {
        InstanceKind::ScaleSetVM => context.cluster.scale_set_vm(key).map(Instance::ScaleSetVM),
        InstanceKind::FlexVM => context.cluster.flex_vm(key).map(Instance::FlexVM),
    }
}

/// The hardware's failure to answer is an observation like any other.
pub(super) async fn observe(context: &Context, instance: Instance) -> Observed {
    let metadata = instance.metadata();
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let key = |name: &str| ObjectKey { namespace: namespace.clone(), name: name.to_owned() };
    let set = instance.set_name().and_then(|name| context.cluster.scale_set(&key(name)));
    let revision = match &instance {
        Instance::ScaleSetVM(vm) => context.cluster.revision(&key(&vm.spec.model_revision)),
        Instance::FlexVM(_) => None,
    };
    let id = ObjectId {
        kind: instance.kind(),
        key: key(metadata.name.as_deref().unwrap_or_default()),
        uid: instance.uid().to_owned(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
    };
    let mut operations = operations_of(context, &instance, &id.key);
    operations.sort_by(|one, two| order(one).cmp(&order(two)));
    let (applicants, silence) = match applicants(context, &instance, set.as_deref()).await {
        Ok(applicants) => (applicants, None),
        Err(error) => (Applicants::default(), Some(error)),
    };
    let scaled = set.as_ref().map_or(Scaled::ByHand, |set| scaled(context, set));
    let group = match &instance {
        Instance::ScaleSetVM(_) => None,
        Instance::FlexVM(vm) => group_of(context, vm),
    };
    Observed {
        group,
        operations,
        scaled,
        applicants,
        silence,
        machine: context.hardware.observe(&id.uid).await,
        now: context.hardware.now(),
        wall_now: Timestamp::now(),
        id,
        instance,
        set,
        revision,
    }
}

/// It matters only where the set tries to get evicted VMs back.
fn scaled(context: &Context, set: &ScaleSet) -> Scaled {
    let enabled = || context.cluster.autoscale_settings(&key_of(set)).iter().any(|setting| is_enabled(setting));
    if set.spec.spot_restore_policy.is_some() && enabled() { Scaled::Automatically } else { Scaled::ByHand }
}

/// Asked for only where it matters.
async fn applicants(
    context: &Context,
    instance: &Instance,
    set: Option<&ScaleSet>,
) -> Result<Applicants, HardwareError> {
    let (Instance::FlexVM(vm), Some(set)) = (instance, set) else { return Ok(Applicants::default()) };
    let accepted = vm.status.as_ref().is_some_and(|status| status.scale_set.is_some());
    if vm.spec.scale_set_ref.is_none() || (accepted && !lacks_fault_domain(vm, set)) {
        return Ok(Applicants::default());
    }
    let catalog = context.hardware.catalog().await?;
    let maintenance = |vm: &FlexVM| {
        let size = catalog.regions.get(&vm.spec.location).and_then(|region| region.sizes.get(&vm.spec.vm_size));
        size.map_or(SizeMaintenance::NotOffered, |size| SizeMaintenance::Known(maintenance_of(size.memory_preserving)))
    };
    let name = |metadata: &ObjectMeta| metadata.name.clone().unwrap_or_default();
    let key = ObjectKey { namespace: set.metadata.namespace.clone().unwrap_or_default(), name: name(&set.metadata) };
    let members = context.cluster.members(&key, set.metadata.uid.as_deref().unwrap_or_default());
    let count = member_count(set, &members.flex_vms);
    let there = members.flex_vms.into_iter().filter(|other| other.metadata.deletion_timestamp.is_none());
    // Who wishes to leave, or for another set, is no applicant here.
    let stays = |other: &Arc<FlexVM>| {
        let wished = other.spec.scale_set_ref.as_ref().map(|reference| &reference.name);
        let taken = other.status.as_ref().and_then(|status| status.scale_set.as_ref());
        wished == Some(&key.name) || taken == Some(&key.name)
    };
    let others = there.filter(|other| name(&other.metadata) != name(&vm.metadata) && stays(other));
    let others = others.map(|other| OtherApplicant {
        maintenance: maintenance(&other),
        group: group_of(context, &other),
        vm: other,
    });
    Ok(Applicants { own: maintenance(vm), others: others.collect(), members: count })
}

fn group_of(context: &Context, vm: &FlexVM) -> Option<NamedGroup> {
    let reference = vm.spec.capacity_reservation_group_ref.as_ref()?;
    let own = vm.metadata.namespace.as_deref().unwrap_or_default();
    let key = ObjectKey { namespace: reference.namespace_for(own).to_owned(), name: reference.name.clone() };
    named_group(vm, context.cluster.reservation_group(&key).as_deref())
}

/// Whether a VM has no place yet in a set with several fault domains.
fn lacks_fault_domain(vm: &FlexVM, set: &ScaleSet) -> bool {
    let placed = vm.spec.platform_fault_domain.or_else(|| fault_domain_on(&vm.metadata));
    placed.is_none() && set_shape(set).fault_domain_count > 1
}

/// Of its set, and for a `FlexVM` its own.
fn operations_of(context: &Context, instance: &Instance, own: &ObjectKey) -> Vec<Arc<ScaleSetOperation>> {
    let set = instance.set_name().map(|name| ObjectKey { namespace: own.namespace.clone(), name: name.to_owned() });
    let of = |key: &ObjectKey, kind: OperationTargetKind| {
        let mut operations = context.cluster.operations(key);
        operations.retain(|operation| operation.spec.target.kind == kind);
        operations
    };
    let mut operations = set.map(|set| of(&set, OperationTargetKind::ScaleSet)).unwrap_or_default();
    match instance {
        Instance::ScaleSetVM(_) => {}
        Instance::FlexVM(_) => operations.extend(of(own, OperationTargetKind::FlexVM)),
    }
    operations
}
