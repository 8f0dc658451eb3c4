//! Judges what a plan does about the extras of a scale-out, and about places.

use scaleset_crds::vocabulary::{OrchestrationMode, PowerState, PowerWish, ProvisioningState, Surplus};

use crate::plan::{Action, RemovalCause, ScaleSetPlan};
use crate::snapshot::{Member, MemberLife, Overprovision, ScaleSetSnapshot, SetLife};

fn is_extra(member: &Member) -> bool {
    matches!(member.surplus, Some(Surplus::Overprovisioned))
}

/// The set without its extras, as long as it lives.
pub(super) fn counted(snapshot: &ScaleSetSnapshot) -> ScaleSetSnapshot {
    let mut counted = snapshot.clone();
    if snapshot.set.life == SetLife::Live {
        counted.members.retain(|member| !is_extra(member));
    }
    counted
}

/// What the plan does about members that count.
pub(super) fn of_counted(plan: &ScaleSetPlan) -> ScaleSetPlan {
    let mut counted = plan.clone();
    counted.actions.retain(|action| match action {
        Action::CreateMember(new) => new.surplus != Some(Surplus::Overprovisioned),
        Action::DeleteMember(removal) => removal.cause != RemovalCause::Surplus,
        Action::AddFinalizer
        | Action::CreateRevision { .. }
        | Action::RenumberRevision { .. }
        | Action::NoteEvictions { .. }
        | Action::ReserveNumbers { .. }
        | Action::AssignRevision(_)
        | Action::ReplaceOsDisk(_)
        | Action::MarkMember(_)
        | Action::RepairMember(_)
        | Action::MarkForDeletion(_)
        | Action::KeepMember(_)
        | Action::SeatMember(_)
        | Action::DeleteRevision { .. }
        | Action::RemoveFinalizer => true,
    });
    counted
}

/// Extras are a fifth of the growth, at least two; nobody who counts goes for one that is not kept in its zone, nor after it
/// was well; and who is kept is not too many.
pub(super) fn judge_extras(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, findings: &mut Vec<String>) {
    let new = plan
        .actions
        .iter()
        .filter(|action| matches!(action, Action::CreateMember(new) if new.surplus == Some(Surplus::Overprovisioned)));
    let new = new.count();
    let live = |member: &&Member| member.life == MemberLife::Live;
    let there = snapshot.members.iter().filter(live).filter(|member| is_extra(member)).count();
    let status = &snapshot.status;
    let grown = plan.effective.target - status.reached_replicas.or(status.target_replicas).unwrap_or(0);
    let fifth = usize::try_from((grown + 4) / 5).unwrap_or(0).max(2);
    let none = snapshot.set.overprovision == Overprovision::Off || snapshot.set.mode == OrchestrationMode::Flexible;
    if new > 0 && (none || grown <= 0 || there + new > fifth) {
        findings.push(format!("makes {new} extras beside {there} for a growth by {grown}"));
    }
    let named = |name: &str| snapshot.members.iter().find(|member| member.name == name);
    let kept: Vec<&Member> = plan
        .actions
        .iter()
        .filter_map(|action| if let Action::KeepMember(keeping) = action { named(&keeping.name) } else { None })
        .filter(|member| is_extra(member))
        .collect();
    let removed: Vec<(&Member, RemovalCause)> = plan
        .actions
        .iter()
        .filter_map(Action::removal)
        .filter_map(|removal| Some((named(&removal.name)?, removal.cause)))
        .collect();
    let losers = removed.iter().filter(|(member, cause)| *cause == RemovalCause::Surplus && !is_extra(member));
    let losers: Vec<&Member> = losers.map(|(member, _)| *member).collect();
    for loser in &losers {
        let in_zone = |member: &&&Member| member.zone == loser.zone;
        if kept.iter().filter(in_zone).count() < losers.iter().filter(in_zone).count() {
            findings.push(format!("{} goes and no extra of its zone is kept for it", loser.name));
        }
        if loser.report.healthy_on_revision.is_some() {
            findings.push(format!("{} goes for an extra although it was well", loser.name));
        }
    }
    let gone = |member: &&Member| removed.iter().any(|(other, _)| other.name == member.name);
    let stays = |member: &&Member| live(member) && !is_extra(member) && !gone(member);
    // A new one beside the member that it is to replace has the same place.
    let beside = |member: &&Member| {
        let old = member.roll.as_ref().and_then(|roll| roll.replaces.as_deref());
        old.is_some_and(|old| snapshot.members.iter().any(|other| other.name == old && stays(&other)))
    };
    let staying = snapshot.members.iter().filter(stays).filter(|member| !beside(member)).count();
    let target = usize::try_from(plan.effective.target).unwrap_or(0);
    if !kept.is_empty() && staying + kept.len() > target {
        findings.push(format!("keeps {} extras beside {staying} members, the target is {target}", kept.len()));
    }
}

/// Nobody gets another place while anybody of the set has hardware or is wished up.
pub(super) fn judge_seats(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, findings: &mut Vec<String>) {
    let moved = plan.actions.iter().filter(|action| matches!(action, Action::SeatMember(_))).count();
    let up = snapshot.members.iter().find(|member| {
        member.power_wish != PowerWish::Deallocated
            || member.report.power != PowerState::Deallocated
            || member.report.provisioning != ProvisioningState::Succeeded
    });
    if let Some(up) = up.filter(|_| moved > 0) {
        findings.push(format!("{moved} members get another place while {} is not down", up.name));
    }
}
