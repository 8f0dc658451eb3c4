//! Models of machines, held once for all machines that have the same, and what an update may change of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use scaleset_crds::VirtualMachineModel;
use scaleset_crds::profile::{DataDisk, StorageProfile};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::UpdateMethod;

/// Names a model in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ModelKey(pub(crate) u64);

/// Every model in use, once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Models {
    entries: BTreeMap<ModelKey, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    model: Arc<VirtualMachineModel>,
    uses: u32,
}

/// Whether the last user of a model has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    InUse,
    Unused,
}

impl Models {
    /// Counts one more user of `model`.
    pub(crate) fn acquire(&mut self, model: &Arc<VirtualMachineModel>) -> ModelKey {
        let mut key = ModelKey(digest_of(model));
        while self.entries.get(&key).is_some_and(|entry| entry.model != *model) {
            key.0 = key.0.wrapping_add(1);
        }
        self.entries.entry(key).or_insert_with(|| Entry { model: Arc::clone(model), uses: 0 }).uses += 1;
        key
    }

    /// Puts a stored model in its place, without a user yet.
    pub(crate) fn restore(&mut self, key: ModelKey, model: VirtualMachineModel) {
        self.entries.insert(key, Entry { model: Arc::new(model), uses: 0 });
    }

    /// Counts one more user of a restored model; false when there is no such model.
    pub(crate) fn reuse(&mut self, key: ModelKey) -> bool {
        self.entries.get_mut(&key).map(|entry| entry.uses += 1).is_some()
    }

    /// Counts one user less; the last one takes the model along.
    pub(crate) fn release(&mut self, key: ModelKey) -> Usage {
        let Some(entry) = self.entries.get_mut(&key) else {
            return Usage::Unused;
        };
        entry.uses = entry.uses.saturating_sub(1);
        if entry.uses > 0 {
            return Usage::InUse;
        }
        self.entries.remove(&key);
        Usage::Unused
    }

    /// The model of a machine.
    pub(crate) fn get(&self, key: ModelKey) -> &Arc<VirtualMachineModel> {
        &self.entries.get(&key).expect("a machine counts as a user of its model").model
    }

    /// Whether exactly one machine has this model: it has just come.
    pub(crate) fn is_new(&self, key: ModelKey) -> bool {
        self.entries.get(&key).is_some_and(|entry| entry.uses == 1)
    }

    /// Takes models without users out and names them.
    pub(crate) fn drop_unused(&mut self) -> Vec<ModelKey> {
        let unused: Vec<ModelKey> =
            self.entries.iter().filter(|(_, entry)| entry.uses == 0).map(|(key, _)| *key).collect();
        self.entries.retain(|_, entry| entry.uses > 0);
        unused
    }
}

/// What a machine is once `method` has applied what it may of `wanted`: image, OS disk and credentials need a reimage,
/// the size needs a restart, and a data disk never shrinks nor changes its kind.
pub(crate) fn applied(
    current: &VirtualMachineModel,
    wanted: &VirtualMachineModel,
    method: UpdateMethod,
) -> VirtualMachineModel {
    let VirtualMachineModel {
        vm_size,
        spot: _,
        capacity_reservation_group_ref,
        credentials: _,
        storage_profile,
        network_profile,
        extensions,
        terminate_notification,
        os_image_notification,
        tags,
    } = wanted;
    let StorageProfile { image_reference: _, os_disk: _, data_disks } = storage_profile;
    VirtualMachineModel {
        vm_size: match method {
            UpdateMethod::Online => current.vm_size.clone(),
            UpdateMethod::Restart => vm_size.clone(),
        },
        spot: current.spot.clone(),
        capacity_reservation_group_ref: capacity_reservation_group_ref.clone(),
        credentials: current.credentials.clone(),
        storage_profile: StorageProfile {
            image_reference: current.storage_profile.image_reference.clone(),
            os_disk: current.storage_profile.os_disk.clone(),
            data_disks: data_disks.iter().map(|disk| grown(&current.storage_profile.data_disks, disk)).collect(),
        },
        network_profile: network_profile.clone(),
        extensions: extensions.clone(),
        terminate_notification: *terminate_notification,
        os_image_notification: *os_image_notification,
        tags: tags.clone(),
    }
}

fn grown(current: &[DataDisk], wanted: &DataDisk) -> DataDisk {
    let Some(held) = current.iter().find(|disk| disk.lun == wanted.lun) else {
        return wanted.clone();
    };
    DataDisk { disk_size_gb: held.disk_size_gb.max(wanted.disk_size_gb), ..held.clone() }
}

/// A number that two different models hardly share.
pub(crate) fn digest_of(model: &VirtualMachineModel) -> u64 {
    let text = serde_json::to_vec(model).expect("a model has string keys only");
    let digest = Sha256::digest(&text);
    let first = digest.first_chunk().expect("a sha-256 digest has 32 bytes");
    u64::from_le_bytes(*first)
}
