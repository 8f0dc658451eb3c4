//! Who leaves in scale-in may be deleted without asking the guest, where the set says so: its power is cut.
//!
//! A deletion needs nothing but the object and the hardware, so the object carries the mark, and a pass before the deletion
//! puts it there. The mark alone does nothing. Whoever bears one and is not scaled in after all, or goes for another
//! reason, loses it first: nobody else is deleted that way.
//!
//! Source: Azure's REST reference, `scaleInPolicy.forceDeletion`.

use crate::plan::{Action, DeletionMark, RemovalCause, ScaleSetPlan};
use crate::snapshot::{Member, ScaleSetSnapshot, ShutdownRule};

/// Puts marks in the place of deletions whose members do not bear what is wanted, and takes those off that are not.
pub(super) fn mark_first(snapshot: &ScaleSetSnapshot, plan: &mut ScaleSetPlan) {
    let member = |name: &str| snapshot.members.iter().find(|member| member.name == name);
    for action in &mut plan.actions {
        let Some(removal) = action.removal() else { continue };
        let wanted = match removal.cause {
            RemovalCause::ScaleIn => snapshot.set.scale_in_shutdown,
            RemovalCause::Surplus
            | RemovalCause::Replace
            | RemovalCause::Evicted
            | RemovalCause::Requested
            | RemovalCause::SetDeleted => ShutdownRule::Graceful,
        };
        if let Some(member) = member(&removal.name).filter(|member| member.shutdown != wanted) {
            *action = mark(member, wanted, removal.reason.clone());
        }
    }
    let goes = |name: &str, action: &Action| match action {
        Action::DeleteMember(removal) => removal.name == name,
        Action::MarkForDeletion(mark) => mark.name == name,
        Action::AddFinalizer
        | Action::CreateRevision { .. }
        | Action::RenumberRevision { .. }
        | Action::NoteEvictions { .. }
        | Action::ReserveNumbers { .. }
        | Action::CreateMember(_)
        | Action::AssignRevision(_)
        | Action::ReplaceOsDisk(_)
        | Action::MarkMember(_)
        | Action::KeepMember(_)
        | Action::SeatMember(_)
        | Action::DeleteRevision { .. }
        | Action::RemoveFinalizer => false,
    };
    let marked = snapshot.members.iter().filter(|member| member.is_live() && member.shutdown == ShutdownRule::Skip);
    let stays = |member: &&Member| !plan.actions.iter().any(|action| goes(&member.name, action));
    let unmarked: Vec<Action> =
        marked.filter(stays).map(|member| mark(member, ShutdownRule::Graceful, "it stays".to_owned())).collect();
    plan.actions.extend(unmarked);
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
