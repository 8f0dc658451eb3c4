//! Judges a finished plan. Shares no code with the planners: what they count, it counts again in its own way.

mod repairs;
mod surplus;

use std::collections::{BTreeMap, BTreeSet};

use scaleset_crds::load_balancing::PoolMemberState;
use scaleset_crds::scheduled_event::{EventStatus, EventType};
use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::{
    HealthState, OrchestrationMode, PowerState, PowerWish, ProvisioningState, RollingUpgradeCode, UpgradeMode,
};

use crate::plan::{Action, RemovalCause, ScaleSetPlan};
use crate::snapshot::{
    Evicted, GuestAgent, MaxSurge, Member, MemberLife, Origin, OsDiskWish, Protection, ScaleSetSnapshot, SetLife,
    SetRequest, UpgradeSwitch,
};
use crate::view::Health;

/// Every rule that the plan breaks, one line each; empty for a sound plan.
pub fn audit(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan) -> Vec<String> {
    let mut findings = Vec::new();
    judge_life(snapshot, plan, &mut findings);
    judge_names(snapshot, plan, &mut findings);
    judge_victims(snapshot, plan, &mut findings);
    surplus::judge_extras(snapshot, plan, &mut findings);
    surplus::judge_seats(snapshot, plan, &mut findings);
    // The rest is about those that count.
    let (snapshot, plan) = (&surplus::counted(snapshot), &surplus::of_counted(plan));
    judge_count(snapshot, plan, &mut findings);
    judge_upgrades(snapshot, plan, &mut findings);
    judge_ceiling(snapshot, plan, &mut findings);
    judge_balance(snapshot, plan, &mut findings);
    judge_mix(snapshot, plan, &mut findings);
    judge_target(snapshot, plan, &mut findings);
    repairs::judge(snapshot, plan, &mut findings);
    findings
}

fn judge_life(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, findings: &mut Vec<String>) {
    let creates = plan
        .actions
        .iter()
        .filter(|action| matches!(action, Action::CreateMember(_) | Action::CreateRevision { .. }))
        .count();
    match snapshot.set.life {
        SetLife::Orphaning if !plan.actions.is_empty() => {
            findings.push("acts on a set that is being orphaned".to_owned());
        }
        SetLife::Terminating if creates > 0 => findings.push(format!("{creates} creates for a terminating set")),
        SetLife::Live | SetLife::Orphaning | SetLife::Terminating => {}
    }
}

/// New names are new, numbers are consecutive, reserved before use and never used before.
fn judge_names(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, findings: &mut Vec<String>) {
    let existing: BTreeSet<&str> = snapshot.members.iter().map(|member| member.name.as_str()).collect();
    let mut names = BTreeSet::new();
    let mut reserved = 0;
    for action in &plan.actions {
        match action {
            Action::ReserveNumbers { next } => reserved = *next,
            Action::CreateMember(member) => {
                if existing.contains(member.name.as_str()) || !names.insert(member.name.clone()) {
                    findings.push(format!("creates {} twice", member.name));
                }
                if member.number >= reserved {
                    findings.push(format!("uses number {} that is not reserved (below {reserved})", member.number));
                }
                if snapshot.status.next_instance_id.is_some_and(|next| member.number < next) {
                    findings.push(format!("uses number {} again", member.number));
                }
            }
            Action::AddFinalizer
            | Action::NoteEvictions { .. }
            | Action::CreateRevision { .. }
            | Action::RenumberRevision { .. }
            | Action::AssignRevision(_)
            | Action::ReplaceOsDisk(_)
            | Action::MarkMember(_)
            | Action::RepairMember(_)
            | Action::MarkForDeletion(_)
            | Action::KeepMember(_)
            | Action::SeatMember(_)
            | Action::DeleteMember(_)
            | Action::DeleteRevision { .. }
            | Action::RemoveFinalizer => {}
        }
    }
}

/// Never more made members than the target and what may surge, never scaled in below it.
fn judge_count(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, findings: &mut Vec<String>) {
    if snapshot.set.life != SetLife::Live {
        return;
    }
    let live = snapshot.members.iter().filter(|m| m.origin == Origin::Set && m.life == MemberLife::Live).count();
    let creates = plan.actions.iter().filter(|action| matches!(action, Action::CreateMember(_))).count();
    let scale_in = removals(plan).filter(|(_, cause)| *cause == RemovalCause::ScaleIn).count();
    let makes_place = |cause: RemovalCause| [RemovalCause::Replace, RemovalCause::Repair].contains(&cause);
    let replaced = removals(plan).filter(|(_, cause)| makes_place(*cause)).count();
    let target = usize::try_from(plan.effective.target).unwrap_or(0);
    if creates > 0 && live + creates > target + replaced + may_surge(snapshot, plan) {
        findings.push(format!("{live} live and {creates} new are more than the target {target}"));
    }
    if scale_in > 0 && live - scale_in < target {
        findings.push(format!("{live} live less {scale_in} scaled in are fewer than the target {target}"));
    }
}

/// How many more than the target a rolling upgrade may have: of a batch, which is no more than the allowance.
fn may_surge(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan) -> usize {
    if snapshot.set.upgrade_mode != UpgradeMode::Rolling {
        return 0;
    }
    let percent = usize::try_from(snapshot.set.rolling_policy.max_batch_percent).unwrap_or(0);
    let batch = (usize::try_from(plan.effective.target).unwrap_or(0) * percent / 100).max(1);
    match snapshot.set.rolling_policy.max_surge {
        MaxSurge::Count(count) => count.min(batch),
        MaxSurge::Percent(share) => (batch * share).div_ceil(100),
    }
}

/// Whether a member that runs and is well was made to replace the one of that name.
fn has_successor(snapshot: &ScaleSetSnapshot, name: &str) -> bool {
    snapshot.members.iter().any(|m| {
        m.life == MemberLife::Live
            && m.report.provisioning == ProvisioningState::Succeeded
            && m.roll.as_ref().is_some_and(|mark| mark.replaces.as_deref() == Some(name))
    })
}

fn removals(plan: &ScaleSetPlan) -> impl Iterator<Item = (&str, RemovalCause)> {
    let removals = plan.actions.iter().filter_map(Action::removal);
    removals.map(|removal| (removal.name.as_str(), removal.cause))
}

/// Protected members and members made by hand are never removed by the set while it lives.
fn judge_victims(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, findings: &mut Vec<String>) {
    for (name, cause) in removals(plan) {
        let Some(member) = snapshot.members.iter().find(|member| member.name == name) else {
            findings.push(format!("deletes {name}, which is no member"));
            continue;
        };
        if member.origin == Origin::Hand && cause != RemovalCause::Requested {
            findings.push(format!("deletes {name}, made by hand"));
        }
        let allowed = match cause {
            RemovalCause::SetDeleted | RemovalCause::Requested => true,
            RemovalCause::Evicted => {
                let noted = plan.evictions.iter().any(|note| note.uid == member.uid);
                noted && member.report.evicted == Evicted::Deleted
            }
            RemovalCause::ScaleIn | RemovalCause::Surplus | RemovalCause::Repair => {
                member.protection == Protection::None
            }
            RemovalCause::Replace => member.protection != Protection::FromSetActions,
        };
        if !allowed {
            findings.push(format!("deletes {name} ({cause:?}) in spite of its protection"));
        }
    }
}

/// Manual and paused sets touch nobody; otherwise healthy members disturbed plus those missing stay within max(1, N/5).
fn judge_upgrades(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, findings: &mut Vec<String>) {
    let healthy: BTreeMap<&str, bool> = snapshot
        .members
        .iter()
        .map(|m| {
            // A running VM whose guest reports goes on working while it is changed in place.
            let in_place =
                m.report.provisioning == ProvisioningState::Updating && m.report.agent == GuestAgent::Reports;
            let well = m.life == MemberLife::Live
                && (m.report.provisioning == ProvisioningState::Succeeded || in_place)
                && m.report.power == PowerState::Running
                && !answers_badly(m)
                && !is_out_of_traffic(m)
                && m.power_wish == PowerWish::Running;
            (m.name.as_str(), well)
        })
        .collect();
    let (mut disturbed, mut touched, mut by_image) = (0, 0, 0);
    for action in &plan.actions {
        let (name, disturbs) = match action {
            Action::AssignRevision(assignment) => {
                (&assignment.name, assignment.impact > scaleset_crds::vocabulary::Impact::NextReimage)
            }
            Action::ReplaceOsDisk(assignment) if gets_newer_image(action) => {
                by_image += 1;
                (&assignment.name, true)
            }
            Action::DeleteMember(removal) if has_successor(snapshot, &removal.name) => continue,
            Action::DeleteMember(removal) if removal.cause == RemovalCause::Replace => (&removal.name, true),
            Action::DeleteMember(_)
            | Action::AddFinalizer
            | Action::NoteEvictions { .. }
            | Action::CreateRevision { .. }
            | Action::RenumberRevision { .. }
            | Action::ReserveNumbers { .. }
            | Action::CreateMember(_)
            | Action::ReplaceOsDisk(_)
            | Action::MarkMember(_)
            | Action::RepairMember(_)
            | Action::MarkForDeletion(_)
            | Action::KeepMember(_)
            | Action::SeatMember(_)
            | Action::DeleteRevision { .. }
            | Action::RemoveFinalizer => continue,
        };
        if asked_for(snapshot, name) {
            continue;
        }
        let unborn = |m: &&Member| m.name == *name && m.report.running_revision.is_none();
        touched += usize::from(!snapshot.members.iter().any(|m| unborn(&m)));
        disturbed += usize::from(disturbs && healthy.get(name.as_str()).copied().unwrap_or(false));
    }
    // A newer image is rolled in every mode, by a policy of its own, and never together with a model.
    let paused = snapshot.set.upgrades == UpgradeSwitch::Paused;
    if by_image > 0 && by_image < touched {
        findings.push(format!("{by_image} of {touched} members are brought to a newer image, others to a model"));
    }
    let still = (snapshot.set.upgrade_mode == UpgradeMode::Manual && by_image == 0) || paused;
    if still && touched > 0 {
        findings.push(format!("{touched} members touched in a set that is Manual or paused"));
    }
    let made = snapshot.members.iter().filter(|m| m.origin == Origin::Set && m.life == MemberLife::Live).count();
    let policy = if by_image > 0 { &snapshot.set.os_upgrades.rolling } else { &snapshot.set.rolling_policy };
    let percent = usize::try_from(policy.max_batch_percent).unwrap_or(0);
    let members = made.max(usize::try_from(plan.effective.target).unwrap_or(0));
    let allowed = (members * percent / 100).max(1);
    let down = members - made + well_before(snapshot).filter(|m| !healthy[m.name.as_str()]).count();
    if disturbed > 0 && disturbed + down > allowed {
        findings.push(format!("{disturbed} healthy members disturbed while {down} are down, {allowed} allowed"));
    }
}

/// Its application is known not to do its work, or not yet.
fn answers_badly(member: &Member) -> bool {
    match member.report.health {
        Health::Known(HealthState::Initializing | HealthState::Unhealthy | HealthState::Unknown) => true,
        Health::Known(HealthState::Healthy) | Health::NoSource | Health::Missing => false,
    }
}

/// It has left its backend pools, or its host is being maintained: it does no work already.
fn is_out_of_traffic(member: &Member) -> bool {
    let maintained = [EventType::Freeze, EventType::Reboot, EventType::Redeploy];
    let events = &member.report.scheduled_events;
    member.report.pools.iter().any(|pool| pool.state == PoolMemberState::Draining)
        || events.iter().any(|one| one.event_status == EventStatus::Started && maintained.contains(&one.event_type))
}

/// Nobody is brought to another model at a higher cost than the ceiling; what goes back to where it was well is not asked.
fn judge_ceiling(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, findings: &mut Vec<String>) {
    let rank = |name: &str| ["None", "Online", "Restart", "Reimage", "Replace"].iter().position(|known| *known == name);
    let ceiling = rank(snapshot.set.max_disruption.as_str());
    let goes_back =
        plan.rolling_upgrade.as_ref().is_some_and(|roll| roll.running_status.code == RollingUpgradeCode::RollingBack);
    for action in plan.actions.iter().filter(|_| !goes_back) {
        let (name, cost) = match action {
            Action::AssignRevision(assignment) => (&assignment.name, assignment.impact.as_str()),
            Action::ReplaceOsDisk(assignment) if gets_newer_image(action) => (&assignment.name, "Reimage"),
            // What was begun before the ceiling was lowered is finished.
            Action::DeleteMember(removal) if has_successor(snapshot, &removal.name) => continue,
            Action::DeleteMember(removal) if removal.cause == RemovalCause::Replace => (&removal.name, "Replace"),
            Action::DeleteMember(_)
            | Action::AddFinalizer
            | Action::NoteEvictions { .. }
            | Action::CreateRevision { .. }
            | Action::RenumberRevision { .. }
            | Action::ReserveNumbers { .. }
            | Action::CreateMember(_)
            | Action::ReplaceOsDisk(_)
            | Action::MarkMember(_)
            | Action::RepairMember(_)
            | Action::MarkForDeletion(_)
            | Action::KeepMember(_)
            | Action::SeatMember(_)
            | Action::DeleteRevision { .. }
            | Action::RemoveFinalizer => continue,
        };
        if rank(cost) > ceiling {
            findings.push(format!("{name} pays {cost}, more than {}", snapshot.set.max_disruption.as_str()));
        }
    }
}

/// Whether a member gets a fresh OS disk; one that gets its former one back is not well.
fn gets_newer_image(action: &Action) -> bool {
    matches!(action, Action::ReplaceOsDisk(assignment) if matches!(assignment.wish, OsDiskWish::Fresh { .. }))
}

/// Whether a person has asked for this member's upgrade.
fn asked_for(snapshot: &ScaleSetSnapshot, name: &str) -> bool {
    let uid = snapshot.members.iter().find(|m| m.name == name).map(|m| m.uid.clone()).unwrap_or_default();
    snapshot.operations.iter().any(|operation| match &operation.request {
        SetRequest::ManualUpgrade { instances, revision: _ } => instances.contains(&uid),
        SetRequest::Delete { .. }
        | SetRequest::StartRollingUpgrade { .. }
        | SetRequest::CancelRollingUpgrade { .. }
        | SetRequest::SetServiceState(_) => false,
    })
}

/// Live made members that are to run and have been well on the model that they follow.
fn well_before(snapshot: &ScaleSetSnapshot) -> impl Iterator<Item = &Member> {
    let live = snapshot.members.iter().filter(|m| m.origin == Origin::Set && m.life == MemberLife::Live);
    live.filter(|m| {
        m.power_wish == PowerWish::Running
            && m.report.evicted == Evicted::No
            && m.assigned_revision.is_some()
            && m.report.healthy_on_revision == m.assigned_revision
    })
}

/// Members by zone that stay, of two in one place only one: of the running upgrade, and the one made to replace the other.
/// `None` where it cannot be told from here whether it still is to.
fn seats<'pass>(snapshot: &'pass ScaleSetSnapshot, plan: &ScaleSetPlan) -> Option<BTreeMap<&'pass str, i64>> {
    let going: BTreeSet<&str> = removals(plan).map(|(name, _)| name).collect();
    let stays = |m: &&Member| m.life == MemberLife::Live && !going.contains(m.name.as_str());
    let staying: BTreeMap<&str, &Member> =
        snapshot.members.iter().filter(stays).map(|m| (m.name.as_str(), m)).collect();
    let rolls = plan.rolling_upgrade.as_ref().filter(|roll| {
        snapshot.set.upgrade_mode == UpgradeMode::Rolling
            && roll.running_status.code == RollingUpgradeCode::RollingForward
    });
    let touched = |m: &Member| rolls.is_some_and(|roll| m.roll.as_ref().is_some_and(|mark| mark.number == roll.number));
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for m in staying.values() {
        let old = m.roll.as_ref().and_then(|mark| staying.get(mark.replaces.as_deref()?));
        let doubtful = |old: &Member| {
            touched(old)
                || old.protection == Protection::FromSetActions
                || old.assigned_revision == m.assigned_revision
                || m.assigned_revision.as_ref() != rolls.map(|roll| &roll.target_revision)
                || m.report.provisioning == ProvisioningState::Failed
                || m.power_wish != PowerWish::Running
                || m.report.evicted != Evicted::No
        };
        match old {
            Some(old) if touched(m) && doubtful(old) => return None,
            Some(_) if touched(m) => {}
            Some(_) | None => *counts.entry(m.zone.as_deref().unwrap_or("")).or_default() += 1,
        }
    }
    Some(counts)
}

/// New members leave no zone more than one ahead of an emptier one that could have taken them.
fn judge_balance(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, findings: &mut Vec<String>) {
    let Some(mut counts) = seats(snapshot, plan) else { return };
    let mut usable: BTreeSet<&str> = BTreeSet::new();
    let mut placed = Vec::new();
    for action in &plan.actions {
        if let Action::CreateMember(member) = action
            && member.roll.is_none()
            && member.repair.is_none()
        {
            let zone = member.zone.as_deref().unwrap_or("");
            usable.insert(zone);
            placed.push(zone);
        }
    }
    for zone in placed {
        let emptiest = usable.iter().map(|zone| counts.get(zone).copied().unwrap_or(0)).min().unwrap_or(0);
        let here = counts.entry(zone).or_default();
        if *here > emptiest {
            findings.push(format!("placed into zone {zone} with {here} members while another has {emptiest}"));
        }
        *here += 1;
    }
    let flexible_groups = plan.actions.iter().any(|action| {
        matches!(action, Action::CreateMember(member) if member.placement_group.is_some())
            && snapshot.set.mode == OrchestrationMode::Flexible
    });
    if flexible_groups {
        findings.push("a Flexible member has a placement group".to_owned());
    }
}

/// In a set that mixes priorities new members leave neither side beyond its share, and who is scaled in is of a side that
/// was.
fn judge_mix(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, findings: &mut Vec<String>) {
    let Some(mix) = snapshot.set.mix else { return };
    // Who is replaced for being unwell leaves its share to the new one.
    let lost = removals(plan).filter(|(_, cause)| *cause != RemovalCause::Repair);
    let going: BTreeSet<&str> = lost.map(|(name, _)| name).collect();
    let mut regular = 0;
    let mut all = 0;
    for m in snapshot.members.iter().filter(|m| m.origin == Origin::Set && m.life == MemberLife::Live) {
        let counts = !going.contains(m.name.as_str()) && m.roll.as_ref().is_none_or(|mark| mark.replaces.is_none());
        all += usize::from(counts);
        regular += usize::from(counts && m.priority == Priority::Regular);
    }
    let (mut new, mut new_regular) = (0, 0);
    for action in &plan.actions {
        if let Action::CreateMember(member) = action
            && member.roll.as_ref().is_none_or(|mark| mark.replaces.is_none())
            && member.repair.is_none()
        {
            new += 1;
            new_regular += usize::from(member.priority == Priority::Regular);
        }
    }
    let then = all + new;
    let share = then.min(mix.base) + (then - then.min(mix.base)) * mix.regular_percent_above_base / 100;
    let spot = all - regular + new - new_regular;
    if new_regular > 0 && regular + new_regular > share {
        findings.push(format!(
            "{new_regular} new regular members make {} of {then}, {share} are to be",
            regular + new_regular
        ));
    }
    if new > new_regular && spot > then - share {
        findings.push(format!(
            "{} new Spot members make {spot} of {then}, {} are to be",
            new - new_regular,
            then - share
        ));
    }
}

/// Who was evicted for good lowers the target by one, once.
fn judge_target(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, findings: &mut Vec<String>) {
    let noted: BTreeSet<&str> = plan.evictions.iter().map(|note| note.uid.as_str()).collect();
    if noted.len() < plan.evictions.len() {
        findings.push("an eviction is noted twice".to_owned());
    }
    if let Some(wished) = snapshot.set.replicas.filter(|wished| plan.effective.target < *wished) {
        let counted = plan.evictions.iter().filter(|note| note.replicas == Some(wished)).count();
        let held = snapshot.status.target_replicas.is_some_and(|before| plan.effective.target <= before);
        let target = usize::try_from(plan.effective.target).unwrap_or(0);
        if target + counted < usize::try_from(wished).unwrap_or(0) && !held {
            findings.push(format!("the target is {target}, {wished} are wished and {counted} were evicted"));
        }
    }
}
