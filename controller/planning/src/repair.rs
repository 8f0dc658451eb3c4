//! Automatic instance repairs: which unhealthy members are restarted, reimaged or replaced now, and why others wait.
//!
//! ```text
//! service   no policy ──► nothing; NotRunning, Suspended ──► nothing begins, what was begun comes to its end
//!   │ Running
//! marks     under way ─ on trial (healthy, grace not over) ─ mended (mark off) ─ failed (unhealthy, grace over)
//!   │ nobody has failed too often in a row           otherwise ──► the service suspends itself
//! members   unhealthy, seen, provisioned, unprotected, grace over, in nobody else's hands
//!   │
//! breaker of its zone, size and image ──► batch ──► the set's allowance ──► the repair begins
//! ```
//!
//! A repair leaves a mark on its member, or on the one that takes its place, until that is healthy and its grace is over:
//! what is under way, and which try it is, follows from marks and facts, whoever dies when. The replacement is made before
//! its predecessor is deleted, so that a pass that dies in between is finished by the next.
//!
//! Sources: Azure's "Automatic instance repairs for Azure Virtual Machine Scale Sets" (5 % at a time, grace, protection, what
//! each action keeps, the service's states). The breaker, the number of failures, and that upgrades and repairs share one
//! allowance are ours (`docs/repairs.md`).

mod batch;
mod breaker;
mod candidates;
mod grace;
mod service;
mod standing;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use scaleset_crds::condition::Reason;
use scaleset_crds::repairs::{OrchestrationServiceState, RepairAction, ServiceSuspender};

use crate::budget::{self, Allowance};
use crate::limits;
use crate::plan::{Action, Hold, NewMember, Removal, RemovalCause, Repairing, ScaleSetPlan};
use crate::scale_set::names;
use crate::snapshot::{Member, Protection, RepairMark, Revision, ScaleSetSnapshot};
use crate::wording::some_names;
use batch::Limits;
use breaker::Breaker;
use candidates::{Candidate, Turn, turn};
pub(crate) use service::settled as settled_services;
use service::{automatic_repairs, suspend};
use standing::{Standing, is_unwell, standing};

/// Members of a set, with how each stands with its repair.
type Standings<'pass> = Vec<(&'pass Member, Standing)>;

fn standings(snapshot: &ScaleSetSnapshot) -> Standings<'_> {
    let live = snapshot.members.iter().filter(|member| member.is_live() && member.surplus.is_none());
    live.map(|member| (member, standing(member, &snapshot.set.repairs, snapshot.now))).collect()
}

/// The one allowance of a set that is to have `target` members, `percent` of it, of which members under repair spend as well.
/// Members that a person has `requested` to be brought to `newest` are on their way from now on.
pub(crate) fn allowance(
    snapshot: &ScaleSetSnapshot,
    target: i32,
    newest: &Revision,
    percent: i32,
    requested: &BTreeSet<String>,
) -> Allowance {
    let allowance = budget::of_set(&snapshot.members, target, newest, percent, requested);
    let spends_anyway = |member: &Member| !member.is_made() || budget::spends(member, newest);
    let under_repair = standings(snapshot).into_iter().filter(|(_, standing)| *standing == Standing::UnderWay);
    let count = under_repair.filter(|(member, _)| !spends_anyway(member)).count();
    Allowance { spent: allowance.spent + count, in_flight: allowance.in_flight + count, ..allowance }
}

/// Removes members whose replacements were made by a pass that did not come to its end.
pub(crate) fn finish(snapshot: &ScaleSetSnapshot, plan: &mut ScaleSetPlan) {
    let gone: BTreeSet<&str> = plan.actions.iter().filter_map(Action::removal).map(|gone| gone.name.as_str()).collect();
    let live = || snapshot.members.iter().filter(|member| member.is_made() && member.is_live());
    let named: BTreeSet<&str> = live().filter_map(|new| new.repair.as_ref()?.replaces.as_deref()).collect();
    let replaced = |old: &&Member| {
        let name = old.name.as_str();
        old.protection == Protection::None && !gone.contains(name) && named.contains(name)
    };
    let removals: Vec<Action> = live().filter(replaced).map(|old| remove(old, "its replacement is made")).collect();
    plan.actions.extend(removals);
}

/// Begins repairs as far as the service, the breaker, the batch and the allowance let it, ends those that have mended, and
/// says why others wait. New members follow `newest`.
pub(crate) fn decide(snapshot: &ScaleSetSnapshot, plan: &mut ScaleSetPlan, newest: Option<&Revision>) {
    let standings = standings(snapshot);
    let Some(service) = automatic_repairs(&plan.orchestration_services).cloned() else {
        return end(plan, &standings, |_| Some("there is no automaticRepairsPolicy"));
    };
    if service.service_state == OrchestrationServiceState::NotRunning {
        return end(plan, &standings, |_| Some("automaticRepairsPolicy.enabled is false"));
    }
    end(plan, &standings, |standing| (standing == Standing::Mended).then_some("healthy, and its grace is over"));
    let busy: BTreeSet<String> = plan.actions.iter().filter_map(Action::member).map(str::to_owned).collect();
    let since = service.last_status_change_time.0;
    let turns: Vec<(Candidate<'_>, Turn)> = standings
        .iter()
        .filter_map(|(member, standing)| turn(snapshot, plan, &busy, (*member, *standing), since))
        .collect();
    match (service.service_state, service.suspended_by) {
        (OrchestrationServiceState::Suspended, Some(ServiceSuspender::Platform)) => {
            let why = service.message.unwrap_or_default();
            return hold_suspended(plan, &turns, Reason::RepairsSuspended, &why);
        }
        (OrchestrationServiceState::Suspended, Some(ServiceSuspender::User) | None) => {
            return hold_suspended(plan, &turns, Reason::RepairsSuspendedByUser, "a person has suspended repairs");
        }
        (OrchestrationServiceState::Running | OrchestrationServiceState::NotRunning, _) => {}
    }
    if let Some(why) = exhausted(snapshot, &standings, since) {
        suspend(&mut plan.orchestration_services, snapshot.now, &why);
        return hold_suspended(plan, &turns, Reason::RepairsSuspended, &why);
    }
    look_again(snapshot, plan, &standings);
    hold_turns(snapshot, plan, &turns);
    let due: Vec<Candidate<'_>> =
        turns.into_iter().filter(|(_, turn)| *turn == Turn::Due).map(|(candidate, _)| candidate).collect();
    let leaving =
        plan.actions.iter().filter_map(Action::removal).filter(|gone| gone.cause == RemovalCause::ScaleIn).count();
    if leaving > 0 {
        return hold_for_scale_in(plan, &due, leaving);
    }
    grant(snapshot, plan, newest, &standings, due);
}

/// Those who are due wait for the next pass while members leave in this one: who is left shows then.
fn hold_for_scale_in(plan: &mut ScaleSetPlan, due: &[Candidate<'_>], leaving: usize) {
    let names: Vec<&str> = due.iter().map(|candidate| candidate.member.name.as_str()).collect();
    if !names.is_empty() {
        let message =
            format!("{} unhealthy wait ({}): {leaving} leave by scale-in first", names.len(), some_names(&names));
        plan.holds.push(Hold { reason: Reason::RepairsWait, count: names.len(), message });
    }
}

/// Takes the marks off for which there is a reason.
fn end(plan: &mut ScaleSetPlan, standings: &Standings<'_>, reason: impl Fn(Standing) -> Option<&'static str>) {
    let marked = standings.iter().filter(|(member, _)| member.repair.is_some());
    let ended: Vec<Action> = marked
        .filter(|(member, _)| plan.actions.iter().all(|action| action.member() != Some(&member.name)))
        .filter_map(|(member, standing)| {
            Some(Action::RepairMember(Repairing::of(member, None, reason(*standing)?.to_owned())))
        })
        .collect();
    plan.actions.extend(ended);
}

/// Which slots were repaired too often in a row without success since the service began to run.
fn exhausted(snapshot: &ScaleSetSnapshot, standings: &Standings<'_>, since: Timestamp) -> Option<String> {
    let most = snapshot.set.repairs.failures_max;
    let is_exhausted = |(member, standing): &&(&Member, Standing)| {
        let mark = member.repair.as_ref().filter(|mark| mark.since >= since);
        *standing == Standing::Failed && mark.is_some_and(|mark| mark.attempt >= most)
    };
    let names: Vec<&str> = standings.iter().filter(is_exhausted).map(|(member, _)| member.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        let action = snapshot.set.repairs.action.as_str();
        format!("{} still unhealthy after {most} repairs in a row ({action}): {}", names.len(), some_names(&names))
    })
}

/// Lets those who are due be repaired, in turn, as far as breaker, batch and allowance reach.
fn grant(
    snapshot: &ScaleSetSnapshot,
    plan: &mut ScaleSetPlan,
    newest: Option<&Revision>,
    standings: &Standings<'_>,
    mut due: Vec<Candidate<'_>>,
) {
    let mut breaker = Breaker::of(snapshot, standings);
    let mut limits = Limits::of(snapshot, plan, standings);
    due.sort_by_key(|candidate| (breaker.is_open(candidate.member), candidate.attempt, candidate.order()));
    let (mut begun, mut waiting, mut behind) = (Vec::new(), Vec::new(), Vec::new());
    for candidate in due {
        if breaker.holds(candidate.member) {
            behind.push(candidate.member);
        } else if limits.are_reached() {
            waiting.push(candidate.member.name.as_str());
        } else {
            let reason = format!("{}; {limits}", candidate.why());
            breaker.begin(&candidate);
            limits.begin();
            begun.push((candidate, reason));
        }
    }
    plan.holds.extend(breaker.hold(&behind));
    if !waiting.is_empty() {
        let message = format!("{} unhealthy wait ({}): {limits}", waiting.len(), some_names(&waiting));
        plan.holds.push(Hold { reason: Reason::RepairsWait, count: waiting.len(), message });
    }
    let (replaced, in_place): (Vec<_>, Vec<_>) =
        begun.into_iter().partition(|(candidate, _)| candidate.action == RepairAction::Replace);
    plan.actions.extend(in_place.into_iter().map(|(candidate, reason)| {
        let mark = candidate.mark(snapshot.now, None);
        Action::RepairMember(Repairing::of(candidate.member, Some(mark), reason))
    }));
    replace(snapshot, plan, newest, &replaced);
}

/// Makes a new member in the place of each, then removes them: a notice of their deletion holds nobody up.
fn replace(
    snapshot: &ScaleSetSnapshot,
    plan: &mut ScaleSetPlan,
    newest: Option<&Revision>,
    replaced: &[(Candidate<'_>, String)],
) {
    if replaced.is_empty() {
        return;
    }
    let target = usize::try_from(plan.effective.target).unwrap_or(0);
    let groups = plan.effective.single_placement_group;
    let refusal = newest.and_then(|newest| limits::size_refusal(snapshot, &newest.profile, target, groups));
    let (Some(newest), None) = (newest, &refusal) else {
        let (reason, why) = refusal.map_or_else(
            || (Reason::RepairsWait, "the newest model cannot be made".to_owned()),
            |refusal| (refusal.reason, refusal.message),
        );
        let message = format!("{} unhealthy are not replaced: {why}", replaced.len());
        plan.holds.push(Hold { reason, count: replaced.len(), message });
        return;
    };
    let first = plan.effective.next_number;
    let next = first + i64::try_from(replaced.len()).expect("a set has at most 1,000 members");
    plan.effective.next_number = next;
    plan.actions.push(Action::ReserveNumbers { next });
    for (number, (candidate, _)) in (first..next).zip(replaced) {
        let old = candidate.member;
        let (kind, name, computer_name) = names(snapshot, &newest.profile, number);
        plan.actions.push(Action::CreateMember(NewMember {
            kind,
            name,
            number,
            computer_name,
            revision: newest.name.clone(),
            priority: old.priority,
            zone: old.zone.clone(),
            fault_domain: old.fault_domain,
            placement_group: old.placement_group.clone(),
            update_domain: old.update_domain,
            roll: None,
            repair: Some(candidate.mark(snapshot.now, Some(old.name.clone()))),
            surplus: None,
            reason: format!("takes the place of {}", old.name),
        }));
    }
    plan.actions.extend(replaced.iter().map(|(candidate, reason)| remove(candidate.member, reason)));
}

fn remove(member: &Member, reason: &str) -> Action {
    let Member { kind, name, uid, resource_version, .. } = member;
    let (kind, name, uid, resource_version) = (*kind, name.clone(), uid.clone(), resource_version.clone());
    let reason = reason.to_owned();
    Action::DeleteMember(Removal { kind, name, uid, resource_version, cause: RemovalCause::Repair, reason })
}

/// Why those wait who are not due yet.
fn hold_turns(snapshot: &ScaleSetSnapshot, plan: &mut ScaleSetPlan, turns: &[(Candidate<'_>, Turn)]) {
    let grace = snapshot.set.repairs.grace.as_secs();
    for (turn, reason, why) in [
        (Turn::Grace, Reason::RepairsWait, format!("in the grace of {grace} s after their last change")),
        (Turn::Unseen, Reason::RepairsWait, "not looked at yet since the controller was started".to_owned()),
        (Turn::InOtherHands, Reason::RepairsWait, "an upgrade or something else is at them".to_owned()),
        (Turn::Protected, Reason::Protected, "protected from repairs".to_owned()),
    ] {
        let names: Vec<&str> =
            turns.iter().filter(|(_, its)| *its == turn).map(|(candidate, _)| candidate.member.name.as_str()).collect();
        if !names.is_empty() {
            let message = format!("{} unhealthy ({}): {why}", names.len(), some_names(&names));
            plan.holds.push(Hold { reason, count: names.len(), message });
        }
    }
}

/// Whoever is unhealthy waits for the service.
fn hold_suspended(plan: &mut ScaleSetPlan, turns: &[(Candidate<'_>, Turn)], reason: Reason, why: &str) {
    let kept = turns.iter().filter(|(_, turn)| *turn != Turn::Protected);
    let names: Vec<&str> = kept.map(|(candidate, _)| candidate.member.name.as_str()).collect();
    if !names.is_empty() {
        let message = format!(
            "{} unhealthy are not repaired ({}): {why}; the operation SetOrchestrationServiceState resumes repairs",
            names.len(),
            some_names(&names)
        );
        plan.holds.push(Hold { reason, count: names.len(), message });
    }
}

/// When the next grace is over that something follows from.
fn look_again(snapshot: &ScaleSetSnapshot, plan: &mut ScaleSetPlan, standings: &Standings<'_>) {
    let now = snapshot.now;
    let next = standings.iter().filter_map(|(member, standing)| {
        let waits = matches!(standing, Standing::UnderWay | Standing::OnTrial | Standing::Stuck) || is_unwell(member);
        let policy = &snapshot.set.repairs;
        let of_member = grace::end(member, policy).or_else(|| grace::end_unseen(member, policy));
        let ends = [of_member, grace::end_of_repair(member, policy)].into_iter().flatten();
        let end = ends.filter(|end| waits && *end > now).min();
        match (end, member.report.looked) {
            (Some(end), _) => Duration::try_from(end.duration_since(now)).ok(),
            (None, looked) => looked.again_after().filter(|_| waits),
        }
    });
    plan.wake_after = plan.wake_after.into_iter().chain(next.min()).min();
}

impl Candidate<'_> {
    fn mark(&self, now: Timestamp, replaces: Option<String>) -> RepairMark {
        RepairMark { attempt: self.attempt, action: self.action, since: now, replaces }
    }
}
