//! Rolling upgrades, batch by batch: the worked examples of Azure's documentation, thresholds, pauses, restarts, ways back.

use std::time::Duration;

use scaleset_crds::condition::Reason;
use scaleset_crds::rolling_upgrade::RollingUpgradeStatus;
use scaleset_crds::vocabulary::{HealthState, PowerWish, ProvisioningState, RollingUpgradeCode, UpgradeMode};
use scaleset_planning::plan::{Action, ScaleSetPlan};
use scaleset_planning::scale_set::plan;
use scaleset_planning::snapshot::{
    BreachRule, Observation, Protection, ScaleSetSnapshot, UnhealthyRule, UpgradeSwitch, ZoneRule,
};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};
use scaleset_planning::view::Health;

use crate::fleet::{
    assigned, audited, change_profile, created, deleted, keep_revision, newest, profile, snapshot, spread,
};

/// Members by zone in Rolling mode, and a changed size.
pub(crate) fn resized(zones: &[(Option<&str>, usize)]) -> ScaleSetSnapshot {
    let names: Vec<&str> = zones.iter().filter_map(|(zone, _)| *zone).collect();
    let count = zones.iter().map(|(_, count)| count).sum::<usize>();
    let mut snapshot = snapshot(&names, i32::try_from(count).expect("a small set"));
    snapshot.set.upgrade_mode = UpgradeMode::Rolling;
    snapshot.members = spread(zones, &newest(&snapshot));
    for member in &mut snapshot.members {
        member.report.health = Health::Known(HealthState::Healthy);
    }
    change_profile(&mut snapshot, profile("Standard_D4s_v3"));
    snapshot
}

/// Carries a plan out as far as objects go: members follow what they are told and are busy with it.
pub(crate) fn obey(snapshot: &mut ScaleSetSnapshot, plan: &ScaleSetPlan) {
    for action in &plan.actions {
        match action {
            Action::AssignRevision(assignment) => {
                let member = snapshot.members.iter_mut().find(|member| member.name == assignment.name);
                let member = member.expect("it is assigned to a member");
                member.assigned_revision = Some(assignment.revision.clone());
                member.roll = assignment.roll.clone().or(member.roll.take());
                member.report.provisioning = ProvisioningState::Updating;
                member.report.health = Health::Missing;
            }
            Action::CreateRevision { name, number, profile } => {
                keep_revision(snapshot, name, *number, profile);
            }
            Action::AddFinalizer
            | Action::RenumberRevision { .. }
            | Action::ReserveNumbers { .. }
            | Action::CreateMember(_)
            | Action::ReplaceOsDisk(_)
            | Action::KeepMember(_)
            | Action::RepairMember(_)
            | Action::SeatMember(_)
            | Action::MarkMember(_)
            | Action::MarkForDeletion(_)
            | Action::DeleteMember(_)
            | Action::DeleteRevision { .. }
            | Action::NoteEvictions { .. }
            | Action::RemoveFinalizer => {}
        }
    }
    snapshot.status = scale_set_status(snapshot, plan, &ScaleSetOutcome::default());
}

/// The hardware of the named members has taken their model; their health is `health`.
pub(crate) fn settle(snapshot: &mut ScaleSetSnapshot, names: &[&str], health: HealthState) {
    for member in snapshot.members.iter_mut().filter(|member| names.contains(&member.name.as_str())) {
        member.report.running_revision.clone_from(&member.assigned_revision);
        member.report.provisioning = ProvisioningState::Succeeded;
        member.report.health = Health::Known(health);
        if health == HealthState::Healthy {
            member.report.healthy_on_revision.clone_from(&member.assigned_revision);
        }
    }
}

pub(crate) fn record(snapshot: &ScaleSetSnapshot) -> RollingUpgradeStatus {
    snapshot.status.rolling_upgrade.clone().expect("an upgrade was begun")
}

/// Successful, failed, in progress, pending.
pub(crate) fn progress(snapshot: &ScaleSetSnapshot) -> [i32; 4] {
    let progress = record(snapshot).progress;
    [
        progress.successful_instance_count,
        progress.failed_instance_count,
        progress.in_progress_instance_count,
        progress.pending_instance_count,
    ]
}

/// One pass; names of the members in the batch that it begins.
pub(crate) fn pass(snapshot: &mut ScaleSetSnapshot) -> Vec<String> {
    let plan = audited(snapshot);
    let batch = assigned(&plan).into_iter().map(str::to_owned).collect();
    obey(snapshot, &plan);
    batch
}

/// Rolls to the end, every batch well; the batches.
fn roll(snapshot: &mut ScaleSetSnapshot) -> Vec<Vec<String>> {
    let mut batches = Vec::new();
    for _ in 0..100 {
        let batch = pass(snapshot);
        let total: i32 = progress(snapshot).iter().sum();
        assert_eq!(usize::try_from(total).expect("a count"), snapshot.members.len(), "the counters add up");
        if batch.is_empty() {
            return batches;
        }
        let names: Vec<&str> = batch.iter().map(String::as_str).collect();
        settle(snapshot, &names, HealthState::Healthy);
        batches.push(batch);
    }
    panic!("a hundred batches are too many");
}

fn sizes(batches: &[Vec<String>]) -> Vec<usize> {
    batches.iter().map(Vec::len).collect()
}

fn holds(snapshot: &ScaleSetSnapshot) -> Vec<Reason> {
    audited(snapshot).holds.iter().map(|hold| hold.reason).collect()
}

#[test]
fn ten_at_twenty_percent_are_five_batches_of_two() {
    let mut snapshot = resized(&[(None, 10)]);
    let batches = roll(&mut snapshot);
    assert_eq!(sizes(&batches), [2, 2, 2, 2, 2]);
    assert_eq!(batches[0], ["web-0", "web-5"], "update domain by update domain");
    assert_eq!(record(&snapshot).running_status.code, RollingUpgradeCode::Completed);
    assert_eq!(progress(&snapshot), [10, 0, 0, 0]);
    assert!(holds(&snapshot).is_empty(), "nothing is left to hold");
}

#[test]
fn six_at_twenty_percent_go_one_by_one() {
    assert_eq!(sizes(&roll(&mut resized(&[(None, 6)]))), [1; 6]);
    assert_eq!(sizes(&roll(&mut resized(&[(None, 3)]))), [1; 3], "20 % of 3 is not 0");
}

#[test]
fn zones_are_not_mixed_unless_asked() {
    let zones = [(Some("1"), 4), (Some("2"), 3), (Some("3"), 3)];
    assert_eq!(sizes(&roll(&mut resized(&zones))), [2, 2, 2, 1, 2, 1]);
    let mut crossing = resized(&zones);
    crossing.set.rolling_policy.zones = ZoneRule::Mixed;
    assert_eq!(sizes(&roll(&mut crossing)), [2; 5]);
}

#[test]
fn two_with_one_unhealthy_do_not_begin() {
    let mut snapshot = resized(&[(None, 2)]);
    snapshot.members[1].report.health = Health::Known(HealthState::Unhealthy);
    assert!(pass(&mut snapshot).is_empty());
    let error = record(&snapshot).error.expect("it says why");
    assert_eq!(error.code, "MaxUnhealthyInstancePercentExceededBeforeRollingUpgrade");
    assert_eq!(error.message, "1 of 2 unhealthy, more than maxUnhealthyInstancePercent (20 %): web-1");
    assert_eq!(record(&snapshot).running_status.code, RollingUpgradeCode::Faulted);
    assert_eq!(progress(&snapshot), [0, 0, 0, 2]);
    snapshot.members[1].report.health = Health::Known(HealthState::Healthy);
    assert!(pass(&mut snapshot).is_empty(), "a faulted upgrade waits for a person");
    assert_eq!(holds(&snapshot), [Reason::MaxUnhealthyInstancePercentExceededBeforeRollingUpgrade]);
    change_profile(&mut snapshot, profile("Standard_M64s"));
    assert_eq!(pass(&mut snapshot).len(), 1, "a changed model begins anew");
    assert_eq!(record(&snapshot).number, 2);
}

#[test]
fn the_threshold_is_compared_strictly() {
    for (unhealthy, begins) in [(2, true), (3, false)] {
        let mut snapshot = resized(&[(None, 10)]);
        for member in &mut snapshot.members[..unhealthy] {
            member.report.health = Health::Known(HealthState::Unknown);
        }
        pass(&mut snapshot);
        let code = record(&snapshot).running_status.code;
        assert_eq!(code == RollingUpgradeCode::RollingForward, begins, "{unhealthy} of 10");
    }
}

#[test]
fn an_application_that_comes_up_is_waited_for_and_not_counted() {
    let mut snapshot = resized(&[(None, 10)]);
    for member in &mut snapshot.members[..5] {
        member.report.health = Health::Known(HealthState::Initializing);
    }
    assert_eq!(pass(&mut snapshot), ["web-0", "web-1"], "they spend the allowance: only who is down anyway goes");
    assert_eq!(record(&snapshot).running_status.code, RollingUpgradeCode::RollingForward);
}

#[test]
fn unhealthy_members_make_the_batch_smaller_and_go_first_if_asked() {
    let mut snapshot = resized(&[(None, 10)]);
    snapshot.members[7].report.health = Health::Known(HealthState::Unhealthy);
    assert_eq!(pass(&mut snapshot.clone()), ["web-0", "web-7"], "one is down already, so that one more may be");
    snapshot.set.rolling_policy.unhealthy = UnhealthyRule::First;
    assert_eq!(pass(&mut snapshot), ["web-7"], "unhealthy ones alone: a batch does not mix");
}

#[test]
fn what_was_never_well_on_its_model_neither_counts_nor_waits() {
    let mut snapshot = resized(&[(None, 10)]);
    for member in &mut snapshot.members {
        member.report.health = Health::Known(HealthState::Unhealthy);
        member.report.healthy_on_revision = None;
    }
    assert_eq!(sizes(&roll(&mut snapshot)), [2; 5], "a good model gets through although everybody is broken");
    assert_eq!(record(&snapshot).running_status.code, RollingUpgradeCode::Completed);
}

#[test]
fn the_next_batch_waits_until_the_last_is_well() {
    let mut snapshot = resized(&[(None, 10)]);
    pass(&mut snapshot);
    settle(&mut snapshot, &["web-0"], HealthState::Healthy);
    assert!(pass(&mut snapshot).is_empty());
    assert_eq!(progress(&snapshot), [1, 0, 1, 8]);
    assert_eq!(holds(&snapshot), [Reason::BatchInProgress]);
    settle(&mut snapshot, &["web-5"], HealthState::Healthy);
    assert_eq!(pass(&mut snapshot), ["web-1", "web-6"]);
    assert_eq!(progress(&snapshot), [2, 0, 2, 6]);
}

#[test]
fn who_is_not_well_in_time_has_failed_and_stops_the_upgrade() {
    let mut snapshot = resized(&[(None, 10)]);
    pass(&mut snapshot);
    settle(&mut snapshot, &["web-0"], HealthState::Healthy);
    settle(&mut snapshot, &["web-5"], HealthState::Unhealthy);
    snapshot.now += Duration::from_secs(299);
    assert!(pass(&mut snapshot).is_empty());
    assert_eq!(progress(&snapshot), [1, 0, 1, 8], "it has a second left");
    snapshot.now += Duration::from_secs(1);
    assert!(pass(&mut snapshot).is_empty());
    assert_eq!(progress(&snapshot), [1, 1, 0, 8]);
    let error = record(&snapshot).error.expect("it says why");
    assert_eq!(error.code, "MaxUnhealthyUpgradedInstancePercentExceededInRollingUpgrade");
    assert_eq!(error.message, "1 of 2 upgraded unhealthy, more than maxUnhealthyUpgradedInstancePercent (20 %): web-5");
    assert_eq!(record(&snapshot).running_status.code, RollingUpgradeCode::Faulted);
}

#[test]
fn failures_within_the_threshold_are_told_and_go_on() {
    let mut snapshot = resized(&[(None, 10)]);
    snapshot.set.rolling_policy.max_unhealthy_upgraded_percent = 50;
    pass(&mut snapshot);
    settle(&mut snapshot, &["web-0"], HealthState::Healthy);
    snapshot.members[5].report.provisioning = ProvisioningState::Failed;
    assert_eq!(pass(&mut snapshot), ["web-1"], "what was well before and failed makes the batch smaller");
    let error = record(&snapshot).error.expect("it says what failed");
    assert_eq!(error.code, "RollingUpgradeInProgressWithFailedUpgradedVMs");
    assert_eq!(progress(&snapshot), [1, 1, 1, 7]);
}

#[test]
fn members_that_break_elsewhere_stop_it_between_batches() {
    let mut snapshot = resized(&[(None, 10)]);
    pass(&mut snapshot);
    settle(&mut snapshot, &["web-0", "web-5"], HealthState::Healthy);
    for member in &mut snapshot.members[7..] {
        member.report.health = Health::Known(HealthState::Unhealthy);
    }
    assert!(pass(&mut snapshot).is_empty());
    let error = record(&snapshot).error.expect("it says why");
    assert_eq!(error.code, "MaxUnhealthyInstancePercentExceededInRollingUpgrade");
    assert_eq!(progress(&snapshot), [2, 0, 0, 8]);
}

#[test]
fn failed_members_go_back_where_the_policy_says_so() {
    let mut snapshot = resized(&[(None, 10)]);
    snapshot.set.rolling_policy.on_breach = BreachRule::RollBack;
    let good = newest(&spread_before(&snapshot));
    pass(&mut snapshot);
    settle(&mut snapshot, &["web-0", "web-5"], HealthState::Unhealthy);
    snapshot.now += Duration::from_mins(5);
    let plan = audited(&snapshot);
    let back: Vec<(&str, &str)> = plan
        .actions
        .iter()
        .filter_map(|action| {
            if let Action::AssignRevision(moved) = action { Some((&*moved.name, &*moved.revision)) } else { None }
        })
        .collect();
    assert_eq!(back, [("web-0", good.as_str()), ("web-5", good.as_str())]);
    obey(&mut snapshot, &plan);
    assert_eq!(record(&snapshot).running_status.code, RollingUpgradeCode::RollingBack);
    assert_eq!(progress(&snapshot), [0, 2, 0, 8]);
    settle(&mut snapshot, &["web-0", "web-5"], HealthState::Healthy);
    assert!(pass(&mut snapshot).is_empty());
    assert_eq!(record(&snapshot).running_status.code, RollingUpgradeCode::Faulted);
    let failed = snapshot.status.revisions.clone().expect("revisions are told");
    assert_eq!(failed.failed[0].name, newest(&snapshot), "the model is marked");
    assert_eq!(failed.current, Some(good.clone()), "new members take the good one");
    assert!(pass(&mut snapshot).is_empty(), "what was rolled back is not started again");
    snapshot.set.replicas = Some(11);
    let plan = audited(&snapshot);
    assert_eq!(created(&plan)[0].revision, good);
}

/// The snapshot with the model that its members were made from.
fn spread_before(snapshot: &ScaleSetSnapshot) -> ScaleSetSnapshot {
    let mut before = snapshot.clone();
    change_profile(&mut before, profile("Standard_D2s_v3"));
    before
}

#[test]
fn a_paused_policy_holds_the_way_back_too() {
    let mut snapshot = resized(&[(None, 10)]);
    snapshot.set.rolling_policy.on_breach = BreachRule::RollBack;
    pass(&mut snapshot);
    settle(&mut snapshot, &["web-0", "web-5"], HealthState::Unhealthy);
    snapshot.now += Duration::from_mins(5);
    snapshot.set.upgrades = UpgradeSwitch::Paused;
    assert!(pass(&mut snapshot).is_empty());
    assert_eq!(record(&snapshot).running_status.code, RollingUpgradeCode::RollingBack);
    assert!(holds(&snapshot).contains(&Reason::Paused));
    snapshot.set.upgrades = UpgradeSwitch::On;
    assert_eq!(pass(&mut snapshot), ["web-0", "web-5"]);
}

#[test]
fn a_pause_is_kept_between_batches() {
    let mut snapshot = resized(&[(None, 10)]);
    snapshot.set.rolling_policy.pause = Duration::from_mins(1);
    pass(&mut snapshot);
    settle(&mut snapshot, &["web-0", "web-5"], HealthState::Healthy);
    snapshot.now += Duration::from_secs(20);
    assert!(pass(&mut snapshot).is_empty());
    assert_eq!(holds(&snapshot), [Reason::PauseBetweenBatches]);
    assert_eq!(audited(&snapshot).wake_after, Some(Duration::from_mins(1)), "counted from the end of the batch");
    snapshot.now += Duration::from_mins(1);
    assert_eq!(pass(&mut snapshot).len(), 2);
}

#[test]
fn a_paused_policy_begins_no_batch_and_finishes_the_running_one() {
    let mut snapshot = resized(&[(None, 10)]);
    pass(&mut snapshot);
    snapshot.set.upgrades = UpgradeSwitch::Paused;
    settle(&mut snapshot, &["web-0", "web-5"], HealthState::Healthy);
    assert!(pass(&mut snapshot).is_empty());
    assert_eq!((progress(&snapshot), holds(&snapshot)), ([2, 0, 0, 8], vec![Reason::Paused]));
    snapshot.set.upgrades = UpgradeSwitch::On;
    assert_eq!(pass(&mut snapshot).len(), 2);
}

#[test]
fn a_model_that_changes_in_the_middle_is_rolled_to_without_a_way_back() {
    let mut snapshot = resized(&[(None, 10)]);
    pass(&mut snapshot);
    settle(&mut snapshot, &["web-0", "web-5"], HealthState::Healthy);
    pass(&mut snapshot);
    change_profile(&mut snapshot, profile("Standard_M64s"));
    assert!(pass(&mut snapshot).is_empty(), "what is on its way spends the allowance");
    assert_eq!((record(&snapshot).number, progress(&snapshot)), (2, [0, 0, 0, 10]));
    settle(&mut snapshot, &["web-1", "web-6"], HealthState::Healthy);
    assert_eq!(sizes(&roll(&mut snapshot)), [2; 5]);
    assert_eq!(record(&snapshot).target_revision, newest(&snapshot));
}

#[test]
fn protected_members_are_left_out_and_counted() {
    let mut snapshot = resized(&[(None, 3)]);
    snapshot.members[1].protection = Protection::FromSetActions;
    assert_eq!(pass(&mut snapshot), ["web-0"]);
    settle(&mut snapshot, &["web-0"], HealthState::Healthy);
    assert_eq!(pass(&mut snapshot), ["web-2"]);
    settle(&mut snapshot, &["web-2"], HealthState::Healthy);
    assert!(pass(&mut snapshot).is_empty());
    assert_eq!(record(&snapshot).running_status.code, RollingUpgradeCode::Completed);
    assert_eq!(holds(&snapshot), [Reason::Protected]);
    snapshot.members[1].protection = Protection::None;
    assert_eq!(pass(&mut snapshot), ["web-1"], "no longer protected: a new upgrade takes it");
}

#[test]
fn members_stopped_by_wish_are_upgraded_and_not_waited_for() {
    let mut snapshot = resized(&[(None, 5)]);
    for member in &mut snapshot.members {
        member.power_wish = PowerWish::Deallocated;
        member.report.health = Health::Missing;
    }
    assert_eq!(pass(&mut snapshot).len(), 1);
    assert_eq!(pass(&mut snapshot).len(), 1, "the batch is done when it follows the model");
}

#[test]
fn nobody_decides_on_members_that_nobody_can_see() {
    let mut snapshot = resized(&[(None, 10)]);
    pass(&mut snapshot);
    for member in &mut snapshot.members {
        member.report.observation = Observation::Unseen;
    }
    snapshot.now += Duration::from_hours(1);
    assert!(pass(&mut snapshot).is_empty());
    assert_eq!(record(&snapshot).running_status.code, RollingUpgradeCode::RollingForward, "silence is no failure");
    // It is waited for without an end, with a reason, and without looking again and again.
    let plan = audited(&snapshot);
    let messages: Vec<&str> = plan.holds.iter().map(|hold| hold.message.as_str()).collect();
    assert_eq!(messages[0], "8 outdated, wait for web-0, web-5, the hardware of 2 does not answer");
    assert!(plan.unsettled.iter().any(|hold| hold.reason == Reason::HardwareUnavailable && hold.count == 10));
    assert_eq!(plan.wake_after, None);
    settle(&mut snapshot, &["web-0", "web-5"], HealthState::Healthy);
    snapshot.members.iter_mut().for_each(|member| member.report.observation = Observation::Current);
    assert_eq!(pass(&mut snapshot), ["web-1", "web-6"], "it goes on when the hardware answers");
    let mut fresh = resized(&[(None, 10)]);
    fresh.members[3].report.observation = Observation::Unseen;
    assert!(pass(&mut fresh).is_empty());
    assert_eq!(fresh.status.rolling_upgrade, None, "it has not begun");
}

#[test]
fn a_member_that_needs_a_new_vm_is_followed_by_one_in_its_place() {
    let mut snapshot = resized(&[(Some("1"), 2), (Some("2"), 2)]);
    let mut smaller = profile("Standard_D2s_v3");
    let disk = |size: i32| serde_json::from_value(serde_json::json!({"lun": 0, "diskSizeGB": size})).expect("a disk");
    smaller.storage_profile.data_disks = vec![disk(64)];
    change_profile(&mut snapshot, smaller.clone());
    snapshot.members = spread(&[(Some("1"), 2), (Some("2"), 2)], &newest(&snapshot));
    let before = plan(&snapshot);
    obey(&mut snapshot, &before);
    smaller.storage_profile.data_disks = vec![disk(32)];
    change_profile(&mut snapshot, smaller);
    let plan = audited(&snapshot);
    assert_eq!(deleted(&plan), ["web-0"]);
    let new = created(&plan);
    assert_eq!((new.len(), new[0].zone.as_deref(), new[0].update_domain), (1, Some("1"), Some(0)));
    assert!(new[0].roll.as_ref().is_some_and(|mark| mark.number == 1), "the batch waits for it");
}

#[test]
fn a_set_that_shrinks_in_the_middle_loses_outdated_members_first() {
    let mut snapshot = resized(&[(None, 10)]);
    pass(&mut snapshot);
    settle(&mut snapshot, &["web-0", "web-5"], HealthState::Healthy);
    pass(&mut snapshot);
    snapshot.set.replicas = Some(7);
    assert_eq!(deleted(&audited(&snapshot)), ["web-9", "web-8", "web-7"]);
    snapshot.set.replicas = Some(3);
    let plan = audited(&snapshot);
    assert_eq!(deleted(&plan).len(), 7);
    assert!(!deleted(&plan).contains(&"web-0"), "it has the new model: {plan}");
    assert!(!deleted(&plan).contains(&"web-5"), "it has the new model: {plan}");
}

#[test]
fn a_set_that_grows_in_the_middle_makes_members_at_the_new_model() {
    let mut snapshot = resized(&[(None, 10)]);
    pass(&mut snapshot);
    snapshot.set.replicas = Some(12);
    let plan = audited(&snapshot);
    assert_eq!(created(&plan).len(), 2);
    assert!(created(&plan).iter().all(|member| member.revision == newest(&snapshot) && member.roll.is_none()));
}
