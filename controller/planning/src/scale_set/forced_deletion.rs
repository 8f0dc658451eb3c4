//! Who leaves in scale-in may be deleted without asking the guest, where the set says so: its power is cut.
//!
//! A deletion needs nothing but the object and the hardware, so the object carries the mark, and a pass before the deletion
//! puts it there. The mark alone does nothing. Whoever bears one and is not scaled in after all, or goes for another
//! reason, loses it first: nobody else is deleted that way.
//!
//! Source: Azure's REST reference, `scaleInPolicy.forceDeletion`.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Action, DeletionMark, RemovalCause, ScaleSetPlan};
use crate::snapshot::{Member, ScaleSetSnapshot, ShutdownRule};

/// Puts marks in the place of deletions whose members do not bear what is wanted, and takes those off that are not.
pub(super) fn mark_first(snapshot: &ScaleSetSnapshot, plan: &mut ScaleSetPlan) {
    let in_scale_in = snapshot.set.scale_in_shutdown;
    let is_marked = |member: &&Member| member.shutdown == ShutdownRule::Skip;
    if in_scale_in == ShutdownRule::Graceful && !snapshot.members.iter().any(|member| is_marked(&member)) {
        return;
    }
    let members: BTreeMap<&str, &Member> =
        snapshot.members.iter().map(|member| (member.name.as_str(), member)).collect();
    let mut going: BTreeSet<String> = BTreeSet::new();
    for action in &mut plan.actions {
        let Some(removal) = action.removal() else { continue };
        going.insert(removal.name.clone());
        let wanted = match removal.cause {
            RemovalCause::ScaleIn => in_scale_in,
            RemovalCause::Surplus
            | RemovalCause::Replace
            | RemovalCause::Repair
            | RemovalCause::Evicted
            | RemovalCause::Requested
            | RemovalCause::SetDeleted => ShutdownRule::Graceful,
        };
        if let Some(member) = members.get(removal.name.as_str()).filter(|member| member.shutdown != wanted) {
            *action = mark(member, wanted, removal.reason.clone());
        }
    }
    let marked = snapshot.members.iter().filter(|member| member.is_live()).filter(is_marked);
    let stays = marked.filter(|member| !going.contains(&member.name));
    plan.actions.extend(stays.map(|member| mark(member, ShutdownRule::Graceful, "it stays".to_owned())));
}

fn mark(member: &Member, shutdown: ShutdownRule, reason: String) -> Action {
    Action::MarkForDeletion(DeletionMark {
        kind: member.kind,
        name: member.name.clone(),
        uid: member.uid.clone(),
        resource_version: member.resource_version.clone(),
        shutdown,
        reason,
    })
}
