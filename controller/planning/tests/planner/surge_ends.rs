//! How a surge ends otherwise than well: failures, crashes, and whatever comes in the middle.

use std::sync::Arc;
use std::time::Duration;

use scaleset_crds::condition::Reason;
use scaleset_crds::vocabulary::{HealthState, PowerWish, ProvisioningState, RollingUpgradeCode, UpgradeMode};
use scaleset_planning::plan::Action;
use scaleset_planning::snapshot::{Failure, MaxSurge, Observation, Protection, ScaleSetSnapshot, UpgradeSwitch};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};
use scaleset_planning::view::Health;

use crate::fleet::{assigned, audited, change_profile, created, deleted, newest, profile};
use crate::surging::{
    available, code, go_on, headroom, live, marked, obey_some, pass, progress, roll, settle, surging,
};

/// A set whose first batch has one new member that has failed, the others are well.
fn with_one_failed() -> ScaleSetSnapshot {
    let mut snapshot = surging(&[(None, 10)], MaxSurge::Percent(100));
    go_on(&mut snapshot);
    snapshot.members.iter_mut().filter(|m| m.number == Some(11)).for_each(|m| {
        m.report.provisioning = ProvisioningState::Failed;
    });
    settle(&mut snapshot);
    snapshot
}

#[test]
fn where_the_new_one_fails_the_old_one_stays_and_the_new_one_goes() {
    let mut snapshot = with_one_failed();
    snapshot.set.rolling_policy.max_unhealthy_upgraded_percent = 50;
    let plan = pass(&mut snapshot);
    assert_eq!((deleted(&plan), marked(&plan)), (vec!["web-0", "web-5", "web-6"], vec!["web-1"]));
    assert_eq!((progress(&snapshot), code(&snapshot)), ([3, 1, 0, 6], RollingUpgradeCode::RollingForward));
    let plan = pass(&mut snapshot);
    assert!(plan.to_string().contains("delete web-11 (ScaleIn): more than the target, the surge has ended"), "{plan}");
    assert_eq!((progress(&snapshot), live(&snapshot)), ([3, 1, 0, 6], 10));
    settle(&mut snapshot);
    let (most, fewest) = roll(&mut snapshot);
    assert_eq!((most, fewest), (14, 10));
    assert_eq!((progress(&snapshot), code(&snapshot)), ([9, 1, 0, 0], RollingUpgradeCode::Completed));
    let plan = audited(&snapshot);
    assert!(plan.actions.is_empty(), "it is tried once: {plan}");
    assert_eq!(plan.holds[0].reason, Reason::RollingUpgradeInProgressWithFailedUpgradedVMs);
    change_profile(&mut snapshot, profile("Standard_M64s"));
    roll(&mut snapshot);
    assert_eq!(progress(&snapshot), [10, 0, 0, 0], "a changed model takes all");
}

#[test]
fn too_many_failures_stop_it_and_the_set_is_back_at_its_target() {
    let mut snapshot = with_one_failed();
    go_on(&mut snapshot);
    assert_eq!((progress(&snapshot), code(&snapshot)), ([3, 1, 0, 6], RollingUpgradeCode::Faulted));
    go_on(&mut snapshot);
    settle(&mut snapshot);
    assert_eq!((live(&snapshot), available(&snapshot)), (10, 10));
    assert!(snapshot.members.iter().all(|member| member.number != Some(11)), "the failed one is gone");
    assert!(pass(&mut snapshot).actions.is_empty());
}

#[test]
fn a_new_member_that_is_not_well_in_time_has_failed() {
    let mut snapshot = surging(&[(None, 10)], MaxSurge::Count(1));
    go_on(&mut snapshot);
    settle(&mut snapshot);
    snapshot.members.iter_mut().filter(|m| m.number == Some(10)).for_each(|m| {
        m.report.health = Health::Known(HealthState::Unhealthy);
    });
    snapshot.now += Duration::from_secs(299);
    assert!(pass(&mut snapshot).actions.is_empty(), "it has a second left");
    snapshot.now += Duration::from_secs(1);
    assert_eq!(marked(&pass(&mut snapshot)), ["web-0"], "it keeps its model, with a mark");
    assert_eq!(progress(&snapshot), [3, 1, 0, 6]);
    assert!(snapshot.members.iter().any(|m| m.name == "web-0" && m.assigned_revision != Some(newest(&snapshot))));
}

#[test]
fn room_that_somebody_else_took_is_no_failure() {
    for (left, goes) in [(3, true), (4, false)] {
        let mut snapshot = surging(&[(None, 10)], MaxSurge::Count(1));
        go_on(&mut snapshot);
        let failure = Failure { reason: Reason::QuotaExceeded, message: "no quota".to_owned() };
        snapshot.members.iter_mut().filter(|m| m.number == Some(10)).for_each(|m| {
            m.report.provisioning = ProvisioningState::Failed;
            m.report.failure = Some(failure.clone());
        });
        settle(&mut snapshot);
        snapshot.headroom = Some(headroom(left));
        let plan = pass(&mut snapshot);
        assert_eq!(deleted(&plan), if goes { vec!["web-10"] } else { vec![] }, "{left}: {plan}");
        assert_eq!(progress(&snapshot), if goes { [3, 0, 0, 7] } else { [3, 0, 1, 6] });
        if goes {
            settle(&mut snapshot);
            let plan = pass(&mut snapshot);
            assert!(assigned(&plan).contains(&"web-0") && created(&plan).is_empty(), "in place: {plan}");
        }
    }
}

/// What ends a surge in the middle.
type End = fn(&mut ScaleSetSnapshot);

#[test]
fn whatever_ends_a_surge_leaves_the_target_and_takes_the_unfinished_first() {
    let ends: [(&str, End); 4] = [
        ("cancelled", |snapshot| {
            let record = snapshot.status.rolling_upgrade.as_mut().expect("an upgrade was begun");
            record.running_status.code = RollingUpgradeCode::Cancelled;
        }),
        ("another policy", |snapshot| snapshot.set.upgrade_mode = UpgradeMode::Manual),
        ("another model", |snapshot| change_profile(snapshot, profile("Standard_M64s"))),
        ("another size of the set", |snapshot| snapshot.set.replicas = Some(9)),
    ];
    for (what, end) in ends {
        let mut snapshot = surging(&[(None, 10)], MaxSurge::Percent(100));
        go_on(&mut snapshot);
        end(&mut snapshot);
        let plan = audited(&snapshot);
        let mut gone = deleted(&plan);
        gone.sort_unstable();
        assert_eq!(gone[..4], ["web-10", "web-11", "web-12", "web-13"], "{what}: {plan}");
        assert!(created(&plan).is_empty(), "{what}: {plan}");
        obey_some(&mut snapshot, &plan, usize::MAX);
        let target = usize::try_from(snapshot.set.replicas.expect("it is wished")).expect("a count");
        assert_eq!((live(&snapshot), available(&snapshot)), (target, target), "{what}");
    }
}

#[test]
fn a_pause_ends_the_surge_that_is_under_way_well() {
    let mut snapshot = surging(&[(None, 10)], MaxSurge::Percent(100));
    go_on(&mut snapshot);
    snapshot.set.upgrades = UpgradeSwitch::Paused;
    settle(&mut snapshot);
    assert_eq!(deleted(&pass(&mut snapshot)).len(), 4);
    settle(&mut snapshot);
    let plan = pass(&mut snapshot);
    assert!(plan.actions.is_empty(), "{plan}");
    assert_eq!((live(&snapshot), plan.holds[0].reason), (10, Reason::Paused));
}

#[test]
fn a_set_that_grows_gets_its_members_beside_the_surge() {
    let mut snapshot = surging(&[(None, 10)], MaxSurge::Percent(100));
    go_on(&mut snapshot);
    snapshot.set.replicas = Some(12);
    let plan = audited(&snapshot);
    assert_eq!((created(&plan).len(), deleted(&plan).len()), (2, 0), "{plan}");
    assert!(created(&plan).iter().all(|new| new.roll.is_none()));
}

#[test]
fn protected_members_are_never_replaced() {
    let mut snapshot = surging(&[(None, 10)], MaxSurge::Percent(100));
    snapshot.members[0].protection = Protection::FromSetActions;
    let plan = pass(&mut snapshot);
    let replaced: Vec<&str> = created(&plan).iter().filter_map(|new| new.roll.as_ref()?.replaces.as_deref()).collect();
    assert_eq!(replaced, ["web-1", "web-2", "web-5", "web-6"]);
    let old = snapshot.members.iter_mut().find(|member| member.name == "web-5").expect("it is there");
    old.protection = Protection::FromSetActions;
    settle(&mut snapshot);
    let gone = |snapshot: &mut ScaleSetSnapshot| deleted(&audited(snapshot)).contains(&"web-5");
    assert!(!gone(&mut snapshot), "protected in the middle");
}

#[test]
fn what_costs_nothing_in_place_does_not_surge() {
    let mut snapshot = surging(&[(None, 10)], MaxSurge::Percent(100));
    for member in &mut snapshot.members[..2] {
        member.power_wish = PowerWish::Deallocated;
    }
    let plan = audited(&snapshot);
    assert_eq!((created(&plan).len(), assigned(&plan)), (2, vec!["web-0", "web-1"]), "{plan}");
    let mut tagged = surging(&[(None, 10)], MaxSurge::Percent(100));
    let mut model = profile("Standard_D2s_v3");
    model.os_profile.credentials.ssh_public_keys = vec!["ssh-ed25519-two".to_owned()];
    change_profile(&mut tagged, model);
    let plan = audited(&tagged);
    assert!(created(&plan).is_empty(), "taken with the next reimage: {plan}");
}

#[test]
fn nobody_is_replaced_by_what_nobody_can_see() {
    let mut snapshot = surging(&[(None, 10)], MaxSurge::Percent(100));
    go_on(&mut snapshot);
    settle(&mut snapshot);
    for member in &mut snapshot.members {
        member.report.observation = Observation::Unseen;
    }
    snapshot.now += Duration::from_hours(1);
    assert!(pass(&mut snapshot).actions.is_empty());
}

#[test]
fn a_crash_between_any_two_writes_makes_none_too_many_and_removes_none_too_early() {
    for first in 0..8 {
        for second in 0..8 {
            let mut snapshot = surging(&[(None, 10)], MaxSurge::Count(2));
            let plan = audited(&snapshot);
            obey_some(&mut snapshot, &plan, first);
            let plan = audited(&snapshot);
            obey_some(&mut snapshot, &plan, second);
            assert!(live(&snapshot) <= 12 && available(&snapshot) >= 6, "{first} {second}: {plan}");
            settle(&mut snapshot);
            let (most, fewest) = roll(&mut snapshot);
            assert!(most <= 12 && fewest >= 6, "{first} {second}: {most} {fewest}");
            assert_eq!((progress(&snapshot).iter().sum::<i32>(), live(&snapshot)), (10, 10), "{first} {second}");
            assert!(snapshot.members.iter().all(|m| m.assigned_revision == Some(newest(&snapshot))));
        }
    }
}

#[test]
fn members_whose_successors_were_lost_with_the_controller_still_belong_to_the_upgrade() {
    let mut snapshot = surging(&[(None, 10)], MaxSurge::Count(0));
    let disk = |size: i32| serde_json::json!([{"lun": 0, "diskSizeGB": size, "storageAccountType": "Premium_LRS"}]);
    let mut before = profile("Standard_D2s_v3");
    let mut smaller = before.clone();
    before.storage_profile.data_disks = serde_json::from_value(disk(64)).expect("the disk is whole");
    smaller.storage_profile.data_disks = serde_json::from_value(disk(32)).expect("the disk is whole");
    snapshot.revisions[0].profile = Arc::new(before);
    change_profile(&mut snapshot, smaller);
    // The controller dies after the removals, before the first of the new members.
    let plan = audited(&snapshot);
    let creates = plan.actions.iter().position(|action| matches!(action, Action::CreateMember(_)));
    obey_some(&mut snapshot, &plan, creates.expect("four are made"));
    assert_eq!((deleted(&plan).len(), live(&snapshot)), (4, 6), "{plan}");
    let reserved = plan.actions.iter().position(|action| matches!(action, Action::ReserveNumbers { .. }));
    let removed = plan.actions.iter().position(|action| matches!(action, Action::DeleteMember(_)));
    assert!(reserved < removed, "it is recorded before anybody goes: {plan}");
    snapshot.status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
    // The next one finds them missing, and waits for those that it makes instead.
    let plan = pass(&mut snapshot);
    let marks: Vec<Option<i64>> =
        created(&plan).iter().map(|member| member.roll.as_ref().map(|mark| mark.number)).collect();
    assert_eq!(marks, vec![Some(1); 4], "{plan}");
    assert_eq!((deleted(&plan).len(), progress(&snapshot)), (0, [0, 0, 4, 6]), "{plan}");
    let plan = pass(&mut snapshot);
    assert!(plan.actions.is_empty() && plan.holds[0].reason == Reason::BatchInProgress, "{plan}");
}
