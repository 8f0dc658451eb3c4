//! Reads the operation, its target and the operations beside it, once.

use std::sync::Arc;

use jiff::Timestamp;
use scaleset_crds::operation::OperationTargetKind;
use scaleset_crds::{FlexVM, ScaleSet, ScaleSetOperation};

use crate::cluster::{Kind, Members, ObjectId, ObjectKey};
use crate::context::Context;

/// What one pass over an operation has seen.
pub(super) struct Observed {
    pub(super) id: ObjectId,
    pub(super) operation: Arc<ScaleSetOperation>,
    pub(super) target: Target,
    /// Other operations that may be about the same VMs, of sets and of VMs that stand alone.
    pub(super) others: Vec<Arc<ScaleSetOperation>>,
    pub(super) wall_now: Timestamp,
}

/// What the operation is about, as the cache has it.
pub(super) enum Target {
    Missing,
    ScaleSet { set: Arc<ScaleSet>, members: Members },
    FlexVM(Arc<FlexVM>),
}

pub(super) fn observe(context: &Context, operation: Arc<ScaleSetOperation>) -> Observed {
    let metadata = &operation.metadata;
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let key = |name: &str| ObjectKey { namespace: namespace.clone(), name: name.to_owned() };
    let id = ObjectId {
        kind: Kind::ScaleSetOperation,
        key: key(metadata.name.as_deref().unwrap_or_default()),
        uid: metadata.uid.clone().unwrap_or_default(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
    };
    let target_key = key(&operation.spec.target.name);
    let mut others = context.cluster.operations(&target_key);
    let target = match operation.spec.target.kind {
        OperationTargetKind::ScaleSet => match context.cluster.scale_set(&target_key) {
            Some(set) => {
                let members = context.cluster.members(&target_key, set.metadata.uid.as_deref().unwrap_or_default());
                let names = members.flex_vms.iter().filter_map(|vm| vm.metadata.name.as_deref());
                others.extend(names.flat_map(|name| context.cluster.operations(&key(name))));
                Target::ScaleSet { set, members }
            }
            None => Target::Missing,
        },
        OperationTargetKind::FlexVM => match context.cluster.flex_vm(&target_key) {
            Some(vm) => {
                let set = vm.spec.scale_set_ref.as_ref();
                others.extend(set.into_iter().flat_map(|set| context.cluster.operations(&key(&set.name))));
                Target::FlexVM(vm)
            }
            None => Target::Missing,
        },
    };
    Observed { id, target, others, wall_now: Timestamp::now(), operation }
}
