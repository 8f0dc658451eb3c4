//! Judges the repairs of a plan: whom they touch, how many there are at once, and what they leave to upgrades.

use std::collections::BTreeSet;

use scaleset_crds::repairs::{OrchestrationServiceState, RepairAction};
use scaleset_crds::vocabulary::{HealthState, Impact, PowerState, PowerWish, ProvisioningState};

use crate::plan::{Action, RemovalCause, ScaleSetPlan};
use crate::snapshot::{
    Evicted, Looked, Member, MemberLife, Observation, Origin, Protection, RepairMark, RepairSwitch, RepairUptake,
    ScaleSetSnapshot, SetLife,
};
use crate::view::Health;

/// Nobody is repaired in its grace, protected, unseen or well; no more than a twentieth of the set at once, and together
/// with upgrades no more than the allowance; who is replaced has a successor.
pub(super) fn judge(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, findings: &mut Vec<String>) {
    if snapshot.set.life != SetLife::Live {
        return;
    }
    let begun = begun(plan);
    for (name, mark) in &begun {
        let member = snapshot.members.iter().find(|m| m.name == *name);
        match member.map(|m| objection(snapshot, m, mark)) {
            None => findings.push(format!("repairs {name}, which is no member")),
            Some(Some(why)) => findings.push(format!("repairs {name}: {why}")),
            Some(None) => {}
        }
    }
    let runs = plan.orchestration_services.iter().any(|s| s.service_state == OrchestrationServiceState::Running);
    if !begun.is_empty() && (!runs || snapshot.set.repairs.switch != RepairSwitch::On) {
        findings.push(format!("{} repairs begin although the service does not run", begun.len()));
    }
    judge_successors(snapshot, plan, findings);
    judge_numbers(snapshot, plan, begun.len(), findings);
}

/// Members whose repair the plan begins.
fn begun(plan: &ScaleSetPlan) -> Vec<(&str, &RepairMark)> {
    let mut begun = Vec::new();
    for action in &plan.actions {
        match action {
            Action::RepairMember(repairing) => {
                begun.extend(repairing.mark.as_ref().map(|mark| (repairing.name.as_str(), mark)));
            }
            Action::CreateMember(new) => begun
                .extend(new.repair.as_ref().and_then(|mark| mark.replaces.as_deref().map(|replaced| (replaced, mark)))),
            Action::AddFinalizer
            | Action::CreateRevision { .. }
            | Action::RenumberRevision { .. }
            | Action::NoteEvictions { .. }
            | Action::ReserveNumbers { .. }
            | Action::AssignRevision(_)
            | Action::ReplaceOsDisk(_)
            | Action::MarkMember(_)
            | Action::MarkForDeletion(_)
            | Action::KeepMember(_)
            | Action::SeatMember(_)
            | Action::DeleteMember(_)
            | Action::DeleteRevision { .. }
            | Action::RemoveFinalizer => {}
        }
    }
    begun
}

fn answers_badly(member: &Member) -> bool {
    matches!(member.report.health, Health::Known(HealthState::Unhealthy | HealthState::Unknown))
}

fn objection(snapshot: &ScaleSetSnapshot, m: &Member, mark: &RepairMark) -> Option<&'static str> {
    let policy = &snapshot.set.repairs;
    let report = &m.report;
    let settled = m.life == MemberLife::Live
        && report.provisioning == ProvisioningState::Succeeded
        && report.power == PowerState::Running
        && m.power_wish == PowerWish::Running
        && report.evicted == Evicted::No;
    let seen = report.observation == Observation::Current && report.looked != Looked::BeforeStart;
    if !answers_badly(m) || !settled {
        Some("it is not a running VM that is known to be unwell")
    } else if !seen {
        Some("nobody has looked at it")
    } else if m.protection != Protection::None {
        Some("it is protected")
    } else if m.origin == Origin::Hand && mark.action != RepairAction::Restart {
        Some("it was made by hand")
    } else if mark.action != policy.action {
        Some("the policy says otherwise")
    } else if in_grace(snapshot, m) {
        Some("its grace is not over")
    } else if m.origin == Origin::Set && report.running_revision != m.assigned_revision {
        Some("it is being upgraded")
    } else {
        None
    }
}

fn in_grace(snapshot: &ScaleSetSnapshot, m: &Member) -> bool {
    let last = m.repair.iter().map(|mark| mark.since).chain(m.report.changed_at).max();
    m.report.changed_at.is_none() || last.is_none_or(|last| last + snapshot.set.repairs.grace > snapshot.now)
}

/// Whether a repair of it has begun, and neither helped nor failed so far.
fn is_under_way(snapshot: &ScaleSetSnapshot, m: &Member) -> bool {
    let report = &m.report;
    let well = report.provisioning == ProvisioningState::Succeeded
        && report.power == PowerState::Running
        && report.health == Health::Known(HealthState::Healthy);
    m.repair.is_some()
        && m.life == MemberLife::Live
        && m.power_wish == PowerWish::Running
        && report.evicted == Evicted::No
        && (report.repair == RepairUptake::Awaited
            || (!well
                && report.provisioning != ProvisioningState::Failed
                && in_grace(snapshot, m)
                && !is_late(snapshot, m))
            || has_no_hardware_yet(snapshot, m))
}

/// Whether it is changed although the time is over that its restart or its reimage had: somebody tries once more.
fn is_late(snapshot: &ScaleSetSnapshot, m: &Member) -> bool {
    let report = &m.report;
    let is_changed = matches!(report.provisioning, ProvisioningState::Creating | ProvisioningState::Updating)
        || matches!(report.power, PowerState::Creating | PowerState::Starting | PowerState::Stopping);
    let mark = m.repair.as_ref().filter(|mark| mark.replaces.is_none());
    is_changed && mark.is_some_and(|mark| mark.since + snapshot.set.repairs.grace <= snapshot.now)
}

/// Whether a repair has made it in the place of another, a short while ago, and there is no hardware of it.
fn has_no_hardware_yet(snapshot: &ScaleSetSnapshot, m: &Member) -> bool {
    let mark = m.repair.as_ref().filter(|mark| mark.replaces.is_some());
    m.report.os_disk.is_none() && mark.is_some_and(|mark| mark.since + snapshot.set.repairs.grace > snapshot.now)
}

/// Who is deleted for being unwell has one in its place already.
fn judge_successors(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, findings: &mut Vec<String>) {
    let names = |mark: Option<&RepairMark>, name: &str| mark.is_some_and(|m| m.replaces.as_deref() == Some(name));
    for removal in plan.actions.iter().filter_map(Action::removal).filter(|r| r.cause == RemovalCause::Repair) {
        let there = snapshot.members.iter().any(|m| names(m.repair.as_ref(), &removal.name));
        let made =
            plan.actions.iter().filter_map(Action::creation).any(|new| names(new.repair.as_ref(), &removal.name));
        if !there && !made {
            findings.push(format!("deletes {} for repair and makes nobody in its place", removal.name));
        }
    }
}

fn judge_numbers(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, begun: usize, findings: &mut Vec<String>) {
    if begun == 0 {
        return;
    }
    let live: Vec<&Member> = snapshot.members.iter().filter(|m| m.life == MemberLife::Live).collect();
    let repaired = live.iter().filter(|m| is_under_way(snapshot, m)).count();
    let batch = (live.len() / 20).max(1);
    if repaired + begun > batch {
        findings.push(format!("{begun} repairs begin beside {repaired}, {batch} at a time"));
    }
    let disturbs = |action: &&Action| {
        matches!(action, Action::AssignRevision(assignment) if assignment.impact > Impact::NextReimage)
            || matches!(action, Action::ReplaceOsDisk(_))
            || action.removal().is_some_and(|removal| removal.cause == RemovalCause::Replace)
    };
    let upgraded: BTreeSet<&str> = plan.actions.iter().filter(disturbs).filter_map(Action::member).collect();
    let made: Vec<&&Member> = live.iter().filter(|m| m.origin == Origin::Set).collect();
    let changing = made.iter().filter(|m| {
        let runs = m.power_wish == PowerWish::Running && m.report.evicted == Evicted::No;
        let works = matches!(m.report.provisioning, ProvisioningState::Creating | ProvisioningState::Updating);
        runs && (works || is_under_way(snapshot, m) || upgraded.contains(m.name.as_str()))
    });
    let target = usize::try_from(plan.effective.target).unwrap_or(0);
    let percent = usize::try_from(snapshot.set.rolling_policy.max_batch_percent).unwrap_or(0);
    let (changing, allowed) = (changing.count(), (made.len().max(target) * percent / 100).max(1));
    if begun + changing > allowed {
        findings.push(format!("{begun} repairs begin while {changing} are being changed, {allowed} allowed"));
    }
}
