//! Revisions: every distinct profile is kept under a name made of its content, so that going back to an earlier
//! profile goes back to its name.
//!
//! The name hashes the typed profile (a default added to the schema later changes no name) and the set's uid (a set
//! that is deleted and made again does not meet the revisions of the old one).

use std::collections::BTreeSet;
use std::sync::Arc;

use scaleset_crds::VirtualMachineProfile;

use crate::naming::hex_digest;
use crate::plan::Action;
use crate::snapshot::{Member, Revision, ScaleSetSnapshot};

/// Revisions that are kept although nobody follows them.
pub const KEPT_REVISIONS: usize = 10;
const HASH_CHARACTERS: usize = 10;

/// Name of the revision that `profile` is in the set.
pub fn name(set: &str, set_uid: &str, profile: &VirtualMachineProfile) -> String {
    let content = serde_json::to_string(profile).expect("a profile is plain data");
    format!("{set}-{}", &hex_digest(&format!("{set_uid}/{content}"))[..HASH_CHARACTERS])
}

/// Name of the model of a VM that stands alone.
pub fn model_name(vm: &str, model: &scaleset_crds::VirtualMachineModel) -> String {
    let content = serde_json::to_string(model).expect("a model is plain data");
    format!("{vm}-{}", &hex_digest(&content)[..HASH_CHARACTERS])
}

/// The newest revision of a snapshot, and the action that makes it where it is not there yet, or that makes it the newest
/// again where the set has gone back to an earlier profile: the order of the numbers is the order of use.
pub fn newest(snapshot: &ScaleSetSnapshot) -> (Option<Revision>, Option<Action>) {
    let Some(profile) = &snapshot.set.profile else { return (None, None) };
    let name = name(&snapshot.set.name, &snapshot.set.uid, profile);
    let highest = snapshot.revisions.iter().map(|revision| revision.number).max().unwrap_or(0);
    let number = highest + 1;
    if let Some(existing) = snapshot.revisions.iter().find(|revision| revision.name == name) {
        let Revision { name, uid, resource_version, .. } = existing.clone();
        let again = Action::RenumberRevision { name, uid, resource_version, number };
        return (Some(existing.clone()), (existing.number < highest).then_some(again));
    }
    let profile = Arc::clone(profile);
    let unreadable = snapshot.unreadable_revisions.iter().any(|(unreadable, _)| *unreadable == name);
    let creation = Action::CreateRevision { name: name.clone(), number, profile: Arc::clone(&profile) };
    let action = (!unreadable).then_some(creation);
    let created = snapshot.wall_now;
    let revision = Revision { name, uid: String::new(), resource_version: String::new(), number, created, profile };
    (Some(revision), action)
}

/// Deletes of revisions that are beyond the ten newest and that no member is assigned or runs.
pub fn prune(revisions: &[Revision], members: &[Member], newest: Option<&Revision>) -> Vec<Action> {
    let in_use: BTreeSet<&str> = members
        .iter()
        .flat_map(|member| [member.assigned_revision.as_deref(), member.report.running_revision.as_deref()])
        .flatten()
        .chain(newest.map(|revision| revision.name.as_str()))
        .collect();
    let kept_from = revisions.len().saturating_sub(KEPT_REVISIONS);
    revisions[..kept_from]
        .iter()
        .filter(|revision| !in_use.contains(revision.name.as_str()))
        .map(|revision| Action::DeleteRevision {
            name: revision.name.clone(),
            uid: revision.uid.clone(),
            resource_version: revision.resource_version.clone(),
        })
        .collect()
}
