//! What people do in the middle of a rolling upgrade, and what a controller leaves that dies in its middle.

use scaleset_crds::condition::Reason;
use scaleset_crds::vocabulary::{
    HealthState, MaxDisruption, PowerWish, ProvisioningState, RollingUpgradeCode, UpgradeMode,
};
use scaleset_planning::snapshot::{
    BreachRule, MaxSurge, Member, Protection, ScaleSetSnapshot, SetOperation, SetRequest, UpgradeSwitch,
};
use scaleset_planning::view::Health;

use crate::fleet::{assigned, audited, change_profile, deleted, newest, profile};
use crate::rolling::{obey, pass, progress, record, resized, settle};
use crate::surging;

/// What holds the upgrade that is to begin.
type Change = fn(&mut ScaleSetSnapshot);

fn settled_batch(snapshot: &mut ScaleSetSnapshot) {
    let batch = pass(snapshot);
    let names: Vec<&str> = batch.iter().map(String::as_str).collect();
    settle(snapshot, &names, HealthState::Healthy);
}

#[test]
fn marks_of_an_upgrade_that_was_never_recorded_are_not_the_next_ones() {
    for recorded in [false, true] {
        let mut snapshot = resized(&[(None, 10)]);
        snapshot.set.rolling_policy.on_breach = BreachRule::RollBack;
        let mut number = 1;
        if recorded {
            for _ in 0..6 {
                settled_batch(&mut snapshot);
            }
            assert_eq!(record(&snapshot).running_status.code, RollingUpgradeCode::Completed);
            change_profile(&mut snapshot, profile("Standard_M64s"));
            number = 2;
        }
        let before = snapshot.status.clone();
        let plan = audited(&snapshot);
        let first: Vec<String> = assigned(&plan).into_iter().map(str::to_owned).collect();
        assert_eq!(first.len(), 2);
        obey(&mut snapshot, &plan);
        let names: Vec<&str> = first.iter().map(String::as_str).collect();
        settle(&mut snapshot, &names, HealthState::Unhealthy);
        // The members were written, the record was not; and the model is mended in that moment.
        snapshot.status = before;
        change_profile(&mut snapshot, profile("Standard_D2s_v3"));
        snapshot.set.rolling_policy.max_unhealthy_percent = 100;
        pass(&mut snapshot);
        assert_eq!(record(&snapshot).number, number + 1, "the number is spent");
        assert_eq!(progress(&snapshot)[1], 0, "nobody has failed on this model");
    }
}

#[test]
fn marks_of_this_very_upgrade_are_taken_up() {
    let mut snapshot = resized(&[(None, 10)]);
    let before = snapshot.status.clone();
    assert_eq!(pass(&mut snapshot).len(), 2);
    snapshot.status = before;
    pass(&mut snapshot);
    assert_eq!((record(&snapshot).number, progress(&snapshot)), (1, [0, 0, 2, 8]));
    let batch = record(&snapshot).batch.expect("it is their batch");
    assert_eq!((batch.number, batch.size), (1, 2));
    settle(&mut snapshot, &["web-0", "web-5"], HealthState::Healthy);
    assert_eq!(pass(&mut snapshot).len(), 2);
    assert_eq!(record(&snapshot).batch.map(|batch| batch.number), Some(2));
}

#[test]
fn who_starts_an_upgrade_again_has_its_failures_tried_again() {
    let mut snapshot = surging::surging(&[(None, 3)], MaxSurge::Percent(100));
    snapshot.set.rolling_policy.max_unhealthy_percent = 100;
    snapshot.set.rolling_policy.max_unhealthy_upgraded_percent = 100;
    for _ in 0..20 {
        surging::go_on(&mut snapshot);
        snapshot.members.retain(Member::is_live);
        for new in snapshot.members.iter_mut().filter(|member| member.number >= Some(3)) {
            new.report.provisioning = ProvisioningState::Failed;
        }
    }
    assert_eq!(surging::code(&snapshot), RollingUpgradeCode::Completed);
    assert_eq!(surging::progress(&snapshot), [0, 3, 0, 0]);
    let request = SetRequest::StartRollingUpgrade { after: 1 };
    snapshot.operations = vec![SetOperation { name: "again".to_owned(), request }];
    surging::go_on(&mut snapshot);
    assert_eq!(record(&snapshot).number, 2);
    assert_eq!(surging::code(&snapshot), RollingUpgradeCode::RollingForward, "it does not end before it began");
    assert_eq!(surging::progress(&snapshot), [0, 0, 1, 2]);
}

#[test]
fn a_spent_allowance_names_who_spends_it_and_the_way_out() {
    let mut snapshot = resized(&[(None, 5)]);
    snapshot.set.upgrade_mode = UpgradeMode::Automatic;
    assert_eq!(pass(&mut snapshot), ["web-0"]);
    settle(&mut snapshot, &["web-0"], HealthState::Unhealthy);
    let plan = audited(&snapshot);
    let held = plan.holds.iter().find(|hold| hold.reason == Reason::AllowanceSpent).expect("it is said");
    assert_eq!(
        held.message,
        "4 outdated, 1 in flight or unavailable of 1 allowed (20 % of 5); not well on the newest model: web-0; if that \
         lasts, change the model"
    );
}

#[test]
fn a_member_that_a_person_changes_after_its_turn_has_its_turn_to_come() {
    let mut snapshot = resized(&[(None, 10)]);
    settled_batch(&mut snapshot);
    // A FlexVM that the set made and a person has edited follows no model.
    snapshot.members[0].assigned_revision = None;
    snapshot.members[0].report.running_revision = None;
    snapshot.members[0].report.provisioning = ProvisioningState::Updating;
    settled_batch(&mut snapshot);
    assert_eq!(progress(&snapshot)[1], 0, "no failure of the model");
    snapshot.members[0].report.provisioning = ProvisioningState::Succeeded;
    for _ in 0..6 {
        settled_batch(&mut snapshot);
    }
    assert_eq!(progress(&snapshot), [10, 0, 0, 0]);
    assert_eq!(record(&snapshot).running_status.code, RollingUpgradeCode::Completed);
}

#[test]
fn a_batch_whose_successor_is_held_is_told_to_its_end() {
    let holds: [(&str, Change); 2] = [
        ("paused", |snapshot| snapshot.set.upgrades = UpgradeSwitch::Paused),
        ("refused", |snapshot| snapshot.set.max_disruption = MaxDisruption::None),
    ];
    for (what, held) in holds {
        let mut snapshot = resized(&[(None, 10)]);
        let batch = pass(&mut snapshot);
        change_profile(&mut snapshot, profile("Standard_M64s"));
        held(&mut snapshot);
        assert!(pass(&mut snapshot).is_empty());
        let ended = |snapshot: &ScaleSetSnapshot| (record(snapshot).running_status.code, progress(snapshot));
        assert_eq!(ended(&snapshot), (RollingUpgradeCode::Cancelled, [0, 0, 2, 8]), "{what}");
        let names: Vec<&str> = batch.iter().map(String::as_str).collect();
        settle(&mut snapshot, &names, HealthState::Healthy);
        assert!(pass(&mut snapshot).is_empty());
        assert_eq!(ended(&snapshot), (RollingUpgradeCode::Cancelled, [2, 0, 0, 8]), "{what}");
        snapshot.set.upgrades = UpgradeSwitch::On;
        snapshot.set.max_disruption = MaxDisruption::Replace;
        assert_eq!(pass(&mut snapshot).len(), 2, "{what}");
        assert_eq!(record(&snapshot).number, 2, "{what}");
    }
}

#[test]
fn a_surge_whose_successor_is_held_gives_its_new_members_back() {
    let mut snapshot = surging::surging(&[(None, 10)], MaxSurge::Percent(100));
    surging::go_on(&mut snapshot);
    assert_eq!(surging::live(&snapshot), 14);
    change_profile(&mut snapshot, profile("Standard_M64s"));
    snapshot.set.upgrades = UpgradeSwitch::Paused;
    surging::go_on(&mut snapshot);
    assert_eq!(surging::code(&snapshot), RollingUpgradeCode::Cancelled);
    surging::go_on(&mut snapshot);
    assert_eq!((surging::live(&snapshot), surging::available(&snapshot)), (10, 10));
}

#[test]
fn an_old_member_stays_where_a_person_has_stopped_the_new_one() {
    for stopped in [vec!["web-10"], vec!["web-0", "web-10"]] {
        let mut snapshot = surging::surging(&[(None, 10)], MaxSurge::Count(1));
        surging::go_on(&mut snapshot);
        for member in snapshot.members.iter_mut().filter(|member| stopped.contains(&member.name.as_str())) {
            member.power_wish = PowerWish::Stopped;
        }
        let plan = audited(&snapshot);
        assert_eq!(deleted(&plan), ["web-10"], "it is one too many: {plan}");
        surging::obey_some(&mut snapshot, &plan, usize::MAX);
        surging::settle(&mut snapshot);
        surging::roll(&mut snapshot);
        assert_eq!(surging::progress(&snapshot), [10, 0, 0, 0], "its old one had its turn again");
    }
}

#[test]
fn an_upgrade_by_hand_is_taken_off_the_allowance_of_the_batch_that_begins_beside_it() {
    for mode in [UpgradeMode::Rolling, UpgradeMode::Automatic] {
        let mut snapshot = resized(&[(None, 10)]);
        snapshot.set.upgrade_mode = mode;
        let instances = ["uid-8", "uid-9"].map(str::to_owned).into();
        let request = SetRequest::ManualUpgrade { revision: newest(&snapshot), instances };
        snapshot.operations = vec![SetOperation { name: "asked".to_owned(), request }];
        let plan = audited(&snapshot);
        assert_eq!(assigned(&plan), ["web-8", "web-9"], "{mode:?}: two of two are spent\n{plan}");
    }
}

#[test]
fn no_percent_of_a_surge_is_no_surge() {
    let mut snapshot = resized(&[(None, 10)]);
    snapshot.set.rolling_policy.max_surge = MaxSurge::Percent(0);
    let plan = audited(&snapshot);
    assert_eq!(assigned(&plan), ["web-0", "web-5"]);
    let mut done = plan.clone();
    done.actions.retain(|action| action.upgraded().is_none_or(|name| name == "web-5"));
    obey(&mut snapshot, &done);
    assert_eq!(pass(&mut snapshot), ["web-0"], "it is made up for, as without a surge");
}

#[test]
fn what_was_proved_bad_is_started_in_no_mode_and_protected_members_are_not_counted() {
    for mode in [UpgradeMode::Manual, UpgradeMode::Automatic] {
        let mut snapshot = resized(&[(None, 5)]);
        snapshot.set.upgrade_mode = mode;
        snapshot.members[0].protection = Protection::FromSetActions;
        // It has never had a VM: it would be made from the newest model.
        snapshot.members[1].report.provisioning = ProvisioningState::Failed;
        snapshot.members[1].report.running_revision = None;
        snapshot.members[1].report.healthy_on_revision = None;
        snapshot.members[1].report.health = Health::NoSource;
        let failed = serde_json::json!({"failed": [{"name": newest(&snapshot), "code": "bad"}]});
        snapshot.status.revisions = Some(serde_json::from_value(failed).expect("revisions"));
        let plan = audited(&snapshot);
        assert!(assigned(&plan).is_empty(), "{mode:?}: {plan}");
        let held = plan.holds.iter().find(|hold| hold.reason == Reason::RevisionFailed).expect("it is said");
        assert_eq!(held.count, 4, "{mode:?}");
    }
}
