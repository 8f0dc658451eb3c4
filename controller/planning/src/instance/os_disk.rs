//! The OS disk that a set wishes a VM to have: a fresh one of an exact image version, or the one that it had before.
//!
//! The wish names disks. It is fulfilled or void as soon as the VM has another OS disk than the one that it is about, for
//! instance because a person has reimaged it; then the model alone says what the VM is to be.

use scaleset_crds::profile::ImageReference;

use super::{Decision, Step, deallocated_first, decide};
use crate::snapshot::{InstanceSnapshot, OsDiskWish};
use crate::view::{InstanceView, ModelView, diff};

/// The step that the wish asks for, where it says anything. A difference that needs a new VM comes first, and so does a
/// different image: it takes the newest version anyway.
pub(super) fn replaced(snapshot: &InstanceSnapshot, model: &ModelView, view: &InstanceView) -> Option<Decision> {
    let wish = snapshot.os_disk_wish.as_ref().filter(|wish| is_open(wish, view))?;
    let follows = |image: &ImageReference| image.requested_version() == "latest";
    let (has, wished) = (&view.model.storage_profile.image_reference, &model.model.storage_profile.image_reference);
    let same_image = has.family() == wished.family() && follows(has) && follows(wished);
    let needs_new_vm = diff(model, view).impact() > scaleset_crds::vocabulary::Impact::Reimage;
    if !same_image || needs_new_vm {
        return None;
    }
    let reason = match wish {
        OsDiskWish::Fresh { version, after: _ } => format!("OS image {} -> {version}", view.image_version),
        OsDiskWish::Former { disk } => format!("OS image {}: not well, back to OS disk {disk}", view.image_version),
    };
    let step = || decide(Step::ReplaceOsDisk(model.clone(), wish.clone()), &reason);
    Some(deallocated_first(model, view).unwrap_or_else(step))
}

/// Whether the VM has the disk that is to go.
fn is_open(wish: &OsDiskWish, view: &InstanceView) -> bool {
    match wish {
        OsDiskWish::Fresh { version: _, after } => view.disks.first() == Some(after),
        OsDiskWish::Former { disk } => view.disks.first() != Some(disk) && view.former_os_disk.as_ref() == Some(disk),
    }
}
