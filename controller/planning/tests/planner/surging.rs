//! Sets in the middle of a surge, and what becomes of a plan for one.

use std::collections::BTreeMap;

use scaleset_crds::condition::Reason;
use scaleset_crds::vocabulary::{HealthState, PowerState, ProvisioningState, RollingUpgradeCode, UpgradeMode};
use scaleset_planning::plan::{Action, ScaleSetPlan};
use scaleset_planning::snapshot::{Headroom, MaxSurge, Member, MemberLife, Protection, Quota, ScaleSetSnapshot};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};
use scaleset_planning::view::Health;

use crate::fleet::{audited, change_profile, keep_revision, member, newest, profile, snapshot, spread};

/// Ten members at 40 % a batch in Rolling mode, a changed size of 4 vCPUs, room for everything.
pub(crate) fn surging(zones: &[(Option<&str>, usize)], max_surge: MaxSurge) -> ScaleSetSnapshot {
    let names: Vec<&str> = zones.iter().filter_map(|(zone, _)| *zone).collect();
    let count = zones.iter().map(|(_, count)| count).sum::<usize>();
    let mut snapshot = snapshot(&names, i32::try_from(count).expect("a small set"));
    snapshot.set.upgrade_mode = UpgradeMode::Rolling;
    snapshot.set.rolling_policy.max_batch_percent = 40;
    snapshot.set.rolling_policy.max_unhealthy_percent = 40;
    snapshot.set.rolling_policy.max_surge = max_surge;
    snapshot.members = spread(zones, &newest(&snapshot));
    for member in &mut snapshot.members {
        member.report.health = Health::Known(HealthState::Healthy);
    }
    snapshot.headroom = Some(headroom(1_000));
    change_profile(&mut snapshot, profile("Standard_D4s_v3"));
    snapshot
}

/// Room for VMs of 4 vCPUs wherever they go, with so many vCPUs left of 1,000.
pub(crate) fn headroom(left: i64) -> Headroom {
    let zones = [None, Some("1"), Some("2"), Some("3")];
    let places = zones.into_iter().map(|zone| ((zone.map(str::to_owned), 0), 100)).collect();
    Headroom {
        vcpus: 4,
        quotas: vec![Quota { name: "regional total".to_owned(), limit: 1_000, usage: 1_000 - left }],
        places,
        free_addresses: BTreeMap::from([("default".to_owned(), 100)]),
        above_max_price: None,
    }
}

/// Carries a plan out as far as objects go; `writes` of its actions take effect, and its status only where all did.
pub(crate) fn obey_some(snapshot: &mut ScaleSetSnapshot, plan: &ScaleSetPlan, writes: usize) {
    for action in plan.actions.iter().take(writes) {
        obey_one(snapshot, action);
    }
    snapshot.members.sort_by(|one, two| one.name.cmp(&two.name));
    if writes >= plan.actions.len() {
        snapshot.status = scale_set_status(snapshot, plan, &ScaleSetOutcome::default());
    }
}

pub(crate) fn obey_one(snapshot: &mut ScaleSetSnapshot, action: &Action) {
    match action {
        Action::AssignRevision(assignment) => {
            let found = snapshot.members.iter_mut().find(|member| member.name == assignment.name);
            let member = found.expect("it is assigned to a member");
            member.roll = assignment.roll.clone().or(member.roll.take());
            member.assigned_revision = Some(assignment.revision.clone());
            member.report.provisioning = ProvisioningState::Updating;
            member.report.health = Health::Missing;
        }
        Action::MarkMember(marking) => {
            let found = snapshot.members.iter_mut().find(|member| member.name == marking.name);
            found.expect("a member is marked").roll = Some(marking.roll.clone());
        }
        Action::CreateMember(new) => {
            let mut made = member(new.number, new.zone.as_deref(), new.fault_domain, &new.revision);
            made.roll.clone_from(&new.roll);
            made.surplus = new.surplus;
            made.placement_group.clone_from(&new.placement_group);
            made.report.provisioning = ProvisioningState::Creating;
            made.report.power = PowerState::Creating;
            made.report.running_revision = None;
            made.report.healthy_on_revision = None;
            made.report.healthy_on_os_disk = None;
            made.report.health = Health::Missing;
            snapshot.members.push(made);
        }
        Action::DeleteMember(removal) => {
            let found = snapshot.members.iter_mut().find(|member| member.name == removal.name);
            found.expect("a member is deleted").life = MemberLife::Terminating;
        }
        Action::ReserveNumbers { next } => snapshot.status.next_instance_id = Some(*next),
        Action::CreateRevision { name, number, profile } => {
            keep_revision(snapshot, name, *number, profile);
        }
        Action::AddFinalizer
        | Action::MarkForDeletion(_)
        | Action::ReplaceOsDisk(_)
        | Action::KeepMember(_)
        | Action::RepairMember(_)
        | Action::SeatMember(_)
        | Action::RenumberRevision { .. }
        | Action::DeleteRevision { .. }
        | Action::NoteEvictions { .. }
        | Action::RemoveFinalizer => {}
    }
}

/// One pass, all of it.
pub(crate) fn pass(snapshot: &mut ScaleSetSnapshot) -> ScaleSetPlan {
    let plan = audited(snapshot);
    obey_some(snapshot, &plan, usize::MAX);
    let kept =
        |m: &&Member| m.protection == Protection::FromSetActions && m.assigned_revision != Some(newest(snapshot));
    let kept = i32::try_from(snapshot.members.iter().filter(kept).count()).expect("a count");
    let (sum, target) = (progress(snapshot).iter().sum::<i32>() + kept, snapshot.set.replicas.expect("it is wished"));
    let code = snapshot.status.rolling_upgrade.as_ref().expect("an upgrade was begun").running_status.code;
    if code == RollingUpgradeCode::RollingForward && plan.actions.iter().all(|a| !matches!(a, Action::DeleteMember(_)))
    {
        assert_eq!(sum, target, "a pair counts as one: {:?}\n{plan}", progress(snapshot));
    }
    plan
}

/// One pass whose plan nobody looks at.
pub(crate) fn go_on(snapshot: &mut ScaleSetSnapshot) {
    drop(pass(snapshot));
}

/// Everything that is on its way arrives; what goes is gone.
pub(crate) fn settle(snapshot: &mut ScaleSetSnapshot) {
    snapshot.members.retain(|member| member.life == MemberLife::Live);
    for member in snapshot.members.iter_mut().filter(|member| member.report.provisioning != ProvisioningState::Failed) {
        member.report.provisioning = ProvisioningState::Succeeded;
        member.report.power = PowerState::Running;
        member.report.running_revision.clone_from(&member.assigned_revision);
        member.report.healthy_on_revision.clone_from(&member.assigned_revision);
        member.report.health = Health::Known(HealthState::Healthy);
    }
}

pub(crate) fn progress(snapshot: &ScaleSetSnapshot) -> [i32; 4] {
    let progress = snapshot.status.rolling_upgrade.clone().expect("an upgrade was begun").progress;
    [
        progress.successful_instance_count,
        progress.failed_instance_count,
        progress.in_progress_instance_count,
        progress.pending_instance_count,
    ]
}

pub(crate) fn code(snapshot: &ScaleSetSnapshot) -> RollingUpgradeCode {
    snapshot.status.rolling_upgrade.clone().expect("an upgrade was begun").running_status.code
}

pub(crate) fn live(snapshot: &ScaleSetSnapshot) -> usize {
    snapshot.members.iter().filter(|member| member.is_live()).count()
}

pub(crate) fn available(snapshot: &ScaleSetSnapshot) -> usize {
    snapshot.members.iter().filter(|member| member.is_available()).count()
}

pub(crate) fn marked(plan: &ScaleSetPlan) -> Vec<&str> {
    let actions = plan.actions.iter();
    actions
        .filter_map(|action| if let Action::MarkMember(marking) = action { Some(marking.name.as_str()) } else { None })
        .collect()
}

pub(crate) fn unavailable(plan: &ScaleSetPlan) -> Option<&str> {
    plan.holds.iter().find(|hold| hold.reason == Reason::SurgeUnavailable).map(|hold| hold.message.as_str())
}

/// Rolls to the end; the most members that there were and the fewest that were available.
pub(crate) fn roll(snapshot: &mut ScaleSetSnapshot) -> (usize, usize) {
    let (mut most, mut fewest) = (0, usize::MAX);
    for _ in 0..100 {
        let plan = pass(snapshot);
        most = most.max(live(snapshot));
        fewest = fewest.min(available(snapshot));
        if plan.actions.is_empty() && code(snapshot) == RollingUpgradeCode::Completed {
            return (most, fewest);
        }
        settle(snapshot);
    }
    panic!("a hundred passes are too many");
}
