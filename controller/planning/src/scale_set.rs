//! The conductor: one pass over a set reads like a table of contents.
//!
//! Order of a pass: deletion, identity (finalizer, revision), what people asked for, upgrade, scale. What the steps
//! decide is put together here, so that no two of them touch one member. Upgrades come before scale, because a member that is replaced is created anew by
//! scaling out, at the newest revision, in a later pass.

mod deletion;
mod evictions;
mod forced_deletion;
mod growth;
mod os_upgrade;
mod requests;
mod shrinking;
mod successors;
mod surplus;
mod uncounted;

use std::collections::BTreeSet;
use std::time::Duration;

use scaleset_crds::VirtualMachineProfile;
use scaleset_crds::condition::Reason;
use scaleset_crds::vocabulary::{OrchestrationMode, OsType, UpgradeMode};

use crate::limits;
use crate::naming;
use crate::placement::{self, Occupancy, Place};
use crate::plan::{Action, Effective, Hold, NewMember, Removal, RemovalCause, ScaleSetPlan};
use crate::priority_mix::Split;
use crate::repair;
use crate::respread;
use crate::revision;
use crate::snapshot::{
    Failure, FinalizerState, Member, MemberKind, Origin, Protection, Revision, ScaleSetSnapshot, SetLife,
};
use crate::sudden_drop;
use crate::unsettled;
use crate::upgrade::rolling::surge::replaced_by;
use crate::upgrade::rolling::{RollingDecision, RollingInput, Target};
use crate::upgrade::{self, Outdated, UpgradeDecision, UpgradeInput, automatic, manual, outdated, rolling};

use deletion::plan_deletion;
pub use evictions::lowered;
use evictions::{Evictions, hold_lowered, plan_evictions};
use growth::Growth;
use os_upgrade::{is_for_image, plan_os_upgrade};
use successors::{Places, mark_successors, surge_input, surge_of_target, take_places};
pub(crate) use successors::{pairs_among, surge_of};
use uncounted::{unbalanced, uncounted};

/// Members created in one pass; more wait for the next, so that a changed wish is noticed in between.
pub const CREATES_PER_PASS_MAX: usize = 1_000;
/// Failed revisions that the record keeps.
const FAILED_REVISIONS_MAX: usize = 10;
/// How soon to look again at what only the region can change (an image, a size, a zone).
const REGION_RETRY: Duration = Duration::from_mins(1);

/// Plans one pass over a set.
pub fn plan(snapshot: &ScaleSetSnapshot) -> ScaleSetPlan {
    let revisions = snapshot.status.revisions.clone().unwrap_or_default();
    let counted = &*snapshot.without_extras();
    let evictions = Evictions::of(counted);
    let mut plan = ScaleSetPlan {
        effective: effective(snapshot, &evictions),
        actions: Vec::new(),
        holds: Vec::new(),
        unsettled: Vec::new(),
        next_victims: Vec::new(),
        evictions: evictions.notes,
        rolling_upgrade: snapshot.status.rolling_upgrade.clone(),
        failed_revisions: revisions.failed,
        failed_image_versions: revisions.failed_image_versions,
        os_upgrade_history: snapshot.status.os_upgrade_history.clone(),
        allowance: None,
        orchestration_services: repair::settled_services(snapshot),
        wake_after: None,
    };
    match snapshot.set.life {
        SetLife::Orphaning => {
            hold(&mut plan, Reason::Orphaning, snapshot.members.len(), "the set is deleted with cascade=orphan");
        }
        SetLife::Terminating => plan_deletion(snapshot, &mut plan),
        SetLife::Live => plan_live(counted, snapshot, &mut plan),
    }
    forced_deletion::mark_first(snapshot, &mut plan);
    plan.wake_after = plan.wake_after.into_iter().chain(sudden_drop::look_again(snapshot)).min();
    let newest = plan.effective.newest_revision.as_deref();
    plan.unsettled = unsettled::of_all(&counted.members, &snapshot.members, newest);
    plan
}

fn effective(snapshot: &ScaleSetSnapshot, evictions: &Evictions) -> Effective {
    let fault_domain_count = limits::fault_domain_count(snapshot);
    Effective {
        target: evictions.target(snapshot),
        fault_domain_count,
        single_placement_group: limits::single_placement_group(snapshot, fault_domain_count),
        next_number: next_number(snapshot),
        newest_revision: revision::newest(snapshot).0.map(|newest| newest.name),
        current_revision: None,
    }
}

/// The recorded number; where the record was lost, one more than the highest that cluster or hardware know.
fn next_number(snapshot: &ScaleSetSnapshot) -> i64 {
    let in_cluster = snapshot.members.iter().filter_map(|member| member.sequence).max();
    let known = in_cluster.max(snapshot.highest_hardware_number).map_or(0, |highest| highest + 1);
    snapshot.status.next_instance_id.unwrap_or(0).max(known)
}

/// Extras are in `all` alone: nothing but their own step knows of them.
fn plan_live(snapshot: &ScaleSetSnapshot, all: &ScaleSetSnapshot, plan: &mut ScaleSetPlan) {
    plan.actions.extend((snapshot.set.finalizer == FinalizerState::Absent).then_some(Action::AddFinalizer));
    let (newest, creation) = revision::newest(snapshot);
    plan.actions.extend(creation);
    plan_evictions(snapshot, plan);
    hold_lowered(snapshot, plan);
    hold_hand_made(snapshot, plan);
    plan.holds.extend(sudden_drop::held(snapshot).map(|(_, hold)| hold));
    plan.actions.extend(requests::removals(snapshot));
    for (name, problem) in &snapshot.unreadable_revisions {
        let message = format!("ControllerRevision {name} cannot be read, delete it: {problem}");
        hold(plan, Reason::InvalidParameter, 1, &message);
    }
    if let Some(message) = &snapshot.hardware_silence {
        hold_silence(snapshot, plan, newest.as_ref(), message);
        return;
    }
    repair::finish(snapshot, plan);
    let owed = newest.as_ref().map_or(0, |newest| plan_upgrade(snapshot, plan, newest));
    let current = newest.as_ref().and_then(|newest| usable_revision(snapshot, plan, newest));
    plan.effective.current_revision = current.as_ref().map(|current| current.name.clone());
    let extras: Vec<Member> = all.members.iter().filter(|member| member.is_extra()).cloned().collect();
    surplus::settle(snapshot, &extras, plan);
    plan_scale(snapshot, plan, newest.as_ref(), &extras);
    mark_successors(snapshot, plan, owed);
    repair::decide(snapshot, plan, current.as_ref());
    if extras.is_empty() && plan.actions.iter().all(|action| action.member().is_none()) {
        plan.actions.extend(respread::decide(snapshot, plan.effective.fault_domain_count));
    }
    plan.actions.extend(revision::prune(&snapshot.revisions, &all.members, newest.as_ref()));
    plan.next_victims = shrinking::announced(snapshot, plan);
}

/// How many of the members that are missing its rolling upgrade has yet to make. A revision that the region cannot make is
/// not started in any part.
fn plan_upgrade(snapshot: &ScaleSetSnapshot, plan: &mut ScaleSetPlan, newest: &Revision) -> usize {
    if let Some(refusal) = limits::profile_refusal(snapshot, &newest.profile) {
        let waiting = snapshot.members.iter().filter(|member| member.is_made() && member.is_live());
        let waiting = waiting.filter(|member| member.assigned_revision.as_ref() != Some(&newest.name)).count();
        hold_region(plan, &refusal, waiting);
        return 0;
    }
    let percent = snapshot.set.rolling_policy.max_batch_percent;
    let nobody = BTreeSet::new();
    let mut input = UpgradeInput {
        requested: &nobody,
        members: &snapshot.members,
        revisions: &snapshot.revisions,
        newest,
        switch: snapshot.set.upgrades,
        max_disruption: snapshot.set.max_disruption,
        allowance: repair::allowance(snapshot, plan.effective.target, newest, percent, &nobody),
    };
    let requested = requests::upgrades(snapshot, newest);
    if upgrade::refusal(&input, &outdated(&input)).is_none() {
        // What costs more than the ceiling is not started by a person's asking either: the policy says so.
        input.requested = &requested;
        input.allowance = repair::allowance(snapshot, plan.effective.target, newest, percent, &requested);
    }
    plan.allowance = Some(input.allowance);
    plan.actions.extend(upgrade::requested(&input));
    let mut places = Places::default();
    let proved_bad = plan.failed_revisions.iter().any(|failed| failed.name == newest.name);
    let UpgradeDecision { actions, holds } = match snapshot.set.upgrade_mode {
        UpgradeMode::Manual | UpgradeMode::Automatic if proved_bad => failed_revision(&input),
        UpgradeMode::Manual => manual::decide(&input),
        UpgradeMode::Automatic => automatic::decide(&input),
        UpgradeMode::Rolling => roll(snapshot, plan, input.clone(), &mut places),
    };
    plan.actions.extend(actions);
    plan.holds.extend(holds);
    let leaving = leaving(plan);
    plan.actions.retain(|action| action.upgraded().is_none_or(|name| !leaving.iter().any(|gone| gone == name)));
    if snapshot.set.upgrade_mode == UpgradeMode::Rolling {
        take_places(snapshot, plan, newest, &places.surged);
    }
    plan_os_upgrade(snapshot, plan, &input);
    places.missing
}

/// What a rolling upgrade has proved bad is not started by another policy either.
fn failed_revision(input: &UpgradeInput<'_>) -> UpgradeDecision {
    let touchable = |outdated: &&Outdated<'_>| outdated.member.protection != Protection::FromSetActions;
    let count = outdated(input).iter().filter(touchable).count();
    let message = format!("{count} outdated, an upgrade to {} failed; change the model", input.newest.name);
    let hold = Hold { reason: Reason::RevisionFailed, count, message };
    UpgradeDecision { actions: Vec::new(), holds: if count > 0 { vec![hold] } else { Vec::new() } }
}

/// The next step of the set's rolling upgrade, whose record goes into the plan.
fn roll(
    snapshot: &ScaleSetSnapshot,
    plan: &mut ScaleSetPlan,
    upgrade: UpgradeInput<'_>,
    places: &mut Places,
) -> UpgradeDecision {
    let revisions = snapshot.status.revisions.as_ref();
    let request = requests::roll(snapshot).filter(|request| !is_for_image(snapshot, plan, &upgrade, *request));
    let input = RollingInput {
        upgrade,
        target: Target::Model,
        surge: surge_input(snapshot, plan),
        now: snapshot.now,
        policy: &snapshot.set.rolling_policy,
        record: snapshot.status.rolling_upgrade.as_ref(),
        failed: &plan.failed_revisions,
        last_healthy: revisions.and_then(|revisions| revisions.last_healthy.as_deref()),
        request,
    };
    let RollingDecision { decision, surged, missing, record, failed, failed_version: _, rollback: _, wake_after } =
        rolling::decide(&input);
    plan.rolling_upgrade = record;
    plan.failed_revisions.extend(failed);
    let beyond = plan.failed_revisions.len().saturating_sub(FAILED_REVISIONS_MAX);
    plan.failed_revisions.drain(..beyond);
    plan.wake_after = wake_after;
    *places = Places { surged, missing };
    decision
}

/// A pair of a surge counts as one; members that the upgrade replaces count as gone, and are created anew only when the
/// target needs them.
fn plan_scale(snapshot: &ScaleSetSnapshot, plan: &mut ScaleSetPlan, newest: Option<&Revision>, extras: &[Member]) {
    let target = usize::try_from(plan.effective.target).unwrap_or(0);
    let gone = leaving(plan);
    let live: Vec<&Member> = snapshot.members.iter().filter(|member| member.is_made() && member.is_live()).collect();
    let succeeded: Vec<&str> = live.iter().filter_map(|member| replaced_by(member)).collect();
    let replaced = gone.iter().filter(|name| !succeeded.contains(&name.as_str())).count();
    let staying: Vec<Member> = snapshot.members.iter().filter(|member| !gone.contains(&member.name)).cloned().collect();
    let surge = surge_of(snapshot, plan, &staying);
    let kept = surplus::kept_extras(plan, extras);
    let counted = live.iter().filter(|member| !gone.contains(&member.name)).count() - surge.pairs.len() + kept;
    if counted > target {
        let excess = counted - target;
        match placement::outage(snapshot) {
            Some(refusal) => hold_region(plan, &refusal, excess),
            None => shrinking::scale_in(snapshot, plan, &staying, &surge, excess),
        }
    } else if counted < target && replaced == 0 && kept == 0 {
        // Of a pair only the old one counts.
        let new: Vec<&str> = surge.pairs.iter().map(|pair| pair.new.name.as_str()).collect();
        let counted = staying.iter().filter(|member| !new.contains(&member.name.as_str()));
        let now =
            Split::count(counted.filter(|member| member.is_made() && member.is_live()).map(|member| member.priority));
        scale_out(snapshot, plan, newest, Growth { now, missing: target - now.total(), extras });
    }
}

/// Members that the plan removes so far.
fn leaving(plan: &ScaleSetPlan) -> Vec<String> {
    removed(plan, |_| true)
}

fn removed(plan: &ScaleSetPlan, wanted: fn(RemovalCause) -> bool) -> Vec<String> {
    let removals = plan.actions.iter().filter_map(Action::removal).filter(|removal| wanted(removal.cause));
    removals.map(|removal| removal.name.clone()).collect()
}

fn scale_out(snapshot: &ScaleSetSnapshot, plan: &mut ScaleSetPlan, newest: Option<&Revision>, growth: Growth<'_>) {
    let missing = growth.missing;
    let Some(newest) = newest else {
        hold(
            plan,
            Reason::OperationNotAllowed,
            missing,
            "spec.replicas: the set has no virtualMachineProfile to make VMs from",
        );
        return;
    };
    let target = usize::try_from(plan.effective.target).unwrap_or(0);
    let groups = plan.effective.single_placement_group;
    if let Some(refusal) = limits::size_refusal(snapshot, &newest.profile, target, groups) {
        hold(plan, refusal.reason, missing, &refusal.message);
        return;
    }
    let Some(usable) = usable_revision(snapshot, plan, newest) else {
        match limits::profile_refusal(snapshot, &newest.profile) {
            Some(refusal) => hold_region(plan, &refusal, missing),
            None => hold(plan, Reason::RevisionFailed, missing, "an upgrade to the model failed; change the model"),
        }
        return;
    };
    match Occupancy::count(snapshot, plan.effective.fault_domain_count) {
        Ok(mut occupancy) => {
            let uncounted = uncounted(snapshot, plan);
            occupancy.overlook(&uncounted);
            occupancy.make_room_for(plan.actions.iter().filter_map(Action::creation));
            match unbalanced(snapshot, &uncounted, &occupancy, missing) {
                Some(refusal) => hold_region(plan, &refusal, missing),
                None => create_members(snapshot, plan, &usable, occupancy, growth),
            }
        }
        Err(refusal) => {
            plan.wake_after = Some(REGION_RETRY);
            hold(plan, refusal.reason, missing, &refusal.message);
        }
    }
}

/// The newest revision that the region can make and that no upgrade has proved bad.
fn usable_revision(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, newest: &Revision) -> Option<Revision> {
    let failed = |revision: &Revision| plan.failed_revisions.iter().any(|failed| failed.name == revision.name);
    let older = snapshot.revisions.iter().rev().filter(|revision| revision.name != newest.name);
    std::iter::once(newest)
        .chain(older)
        .find(|revision| !failed(revision) && limits::profile_refusal(snapshot, &revision.profile).is_none())
        .cloned()
}

fn create_members(
    snapshot: &ScaleSetSnapshot,
    plan: &mut ScaleSetPlan,
    revision: &Revision,
    mut occupancy: Occupancy,
    growth: Growth<'_>,
) {
    occupancy.crowd(growth.extras);
    let first = plan.effective.next_number;
    let members = growth.members(snapshot, &plan.effective, revision);
    let count = members.len().min(CREATES_PER_PASS_MAX);
    let places: Vec<Place> = (0..count).map_while(|_| occupancy.place_next()).collect();
    if places.len() < growth.missing.min(CREATES_PER_PASS_MAX) {
        let rest = growth.missing - places.len();
        hold_region(plan, &occupancy.full(rest), rest);
    }
    if places.is_empty() {
        return;
    }
    let next = first + i64::try_from(places.len()).expect("at most 1,000 are created in a pass");
    plan.effective.next_number = next;
    plan.actions.push(Action::ReserveNumbers { next });
    for ((number, (priority, surplus)), place) in (first..next).zip(members).zip(places) {
        let (kind, name, computer_name) = names(snapshot, &revision.profile, number);
        plan.actions.push(Action::CreateMember(NewMember {
            kind,
            name,
            number,
            computer_name,
            revision: revision.name.clone(),
            priority,
            zone: place.zone,
            fault_domain: place.fault_domain,
            placement_group: place.placement_group,
            update_domain: place.update_domain,
            roll: None,
            repair: None,
            surplus,
            reason: place.reason,
        }));
    }
}

/// Kind, name and computer name of the member of that number.
pub(crate) fn names(
    snapshot: &ScaleSetSnapshot,
    profile: &VirtualMachineProfile,
    number: i64,
) -> (MemberKind, String, String) {
    let set = &snapshot.set;
    let prefix = prefix(&set.name, profile);
    match set.mode {
        OrchestrationMode::Uniform => (
            MemberKind::ScaleSetVM,
            naming::uniform_name(&set.name, number),
            naming::uniform_computer_name(prefix, number),
        ),
        OrchestrationMode::Flexible => {
            let name = naming::flexible_name(&set.name, &set.uid, number);
            let computer_name = naming::flexible_computer_name(prefix, &name);
            (MemberKind::FlexVM, name, computer_name)
        }
    }
}

/// The computer-name prefix that is in force for a set's profile.
pub fn prefix<'name>(set: &'name str, profile: &'name VirtualMachineProfile) -> &'name str {
    let longest = match profile.storage_profile.os_disk.os_type {
        OsType::Linux => naming::PREFIX_MAX,
        OsType::Windows => naming::WINDOWS_PREFIX_MAX,
    };
    naming::computer_name_prefix(profile.os_profile.computer_name_prefix.as_deref(), set, longest)
}

fn hold_hand_made(snapshot: &ScaleSetSnapshot, plan: &mut ScaleSetPlan) {
    let count = snapshot.members.iter().filter(|member| member.origin == Origin::Hand).count();
    if count > 0 {
        hold(
            plan,
            Reason::HandMadeMember,
            count,
            &format!("{count} made by hand, neither upgraded nor scaled in by the set"),
        );
    }
}

/// Where the hardware does not tell what it offers, nothing is made, upgraded or removed.
fn hold_silence(snapshot: &ScaleSetSnapshot, plan: &mut ScaleSetPlan, newest: Option<&Revision>, message: &str) {
    let live = snapshot.members.iter().filter(|member| member.is_made() && member.is_live());
    let newest = newest.map(|newest| newest.name.as_str());
    let outdated = live.clone().filter(|member| member.assigned_revision.as_deref() != newest).count();
    let target = usize::try_from(plan.effective.target).unwrap_or(0);
    let held = live.count().abs_diff(target) + outdated;
    if held > 0 {
        hold(plan, Reason::HardwareUnavailable, held, message);
    }
}

/// One refusal is told once, with everybody who waits for it.
fn hold_region(plan: &mut ScaleSetPlan, refusal: &Failure, count: usize) {
    plan.wake_after = Some(REGION_RETRY);
    match plan.holds.iter_mut().find(|hold| hold.reason == refusal.reason) {
        Some(held) => held.count += count,
        None => hold(plan, refusal.reason, count, &refusal.message),
    }
}

fn hold(plan: &mut ScaleSetPlan, reason: Reason, count: usize, message: &str) {
    plan.holds.push(Hold { reason, count, message: message.to_owned() });
}

fn remove(member: &Member, cause: RemovalCause, reason: String) -> Action {
    Action::DeleteMember(Removal {
        kind: member.kind,
        name: member.name.clone(),
        uid: member.uid.clone(),
        resource_version: member.resource_version.clone(),
        cause,
        reason,
    })
}
