//! What a set and a VM do for the operations that have begun.

use scaleset_crds::condition::Reason;
use scaleset_crds::rolling_upgrade::{
    RollingUpgradePolicy, RollingUpgradeProgress, RollingUpgradeRunningStatus, RollingUpgradeStatus,
};
use scaleset_crds::vocabulary::{HealthState, MaxDisruption, RollingUpgradeAction, RollingUpgradeCode, UpgradeMode};
use scaleset_planning::plan::{Action, RemovalCause};
use scaleset_planning::snapshot::{Origin, Protection, ScaleSetSnapshot, SetOperation, SetRequest};

use crate::fleet::{assigned, audited, change_profile, created, deleted, newest, profile, snapshot, spread};
use crate::rolling::{pass, progress, record as latest, resized, settle};

/// A rolling upgrade of that number, with one failure and five successes of ten.
pub(crate) fn record(code: RollingUpgradeCode, number: i64) -> RollingUpgradeStatus {
    let epoch = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH);
    RollingUpgradeStatus {
        number,
        os_upgrade: None,
        target_revision: "new".to_owned(),
        running_status: RollingUpgradeRunningStatus {
            code,
            start_time: epoch.clone(),
            last_action: RollingUpgradeAction::Start,
            last_action_time: epoch,
        },
        progress: RollingUpgradeProgress {
            successful_instance_count: 5,
            failed_instance_count: 1,
            in_progress_instance_count: 1,
            pending_instance_count: 3,
        },
        batch: None,
        policy: RollingUpgradePolicy::default(),
        error: None,
    }
}

fn ask(snapshot: &mut ScaleSetSnapshot, request: SetRequest) {
    snapshot.operations = vec![SetOperation { name: "asked".to_owned(), request }];
}

fn uids(numbers: &[i64]) -> std::collections::BTreeSet<String> {
    numbers.iter().map(|number| format!("uid-{number}")).collect()
}

/// Five members in a mode, all outdated.
fn outdated(mode: UpgradeMode) -> ScaleSetSnapshot {
    let mut snapshot = snapshot(&["1"], 5);
    snapshot.set.upgrade_mode = mode;
    snapshot.members = spread(&[(Some("1"), 5)], &newest(&snapshot));
    change_profile(&mut snapshot, profile("Standard_D4s_v3"));
    snapshot
}

fn manual_upgrade(snapshot: &mut ScaleSetSnapshot, numbers: &[i64]) {
    let request = SetRequest::ManualUpgrade { revision: newest(snapshot), instances: uids(numbers) };
    ask(snapshot, request);
}

#[test]
fn a_manual_upgrade_takes_those_that_are_named_at_once_and_no_others() {
    let mut snapshot = outdated(UpgradeMode::Manual);
    snapshot.members[1].protection = Protection::FromSetActions;
    manual_upgrade(&mut snapshot, &[1, 3, 4]);
    let plan = audited(&snapshot);
    assert_eq!(assigned(&plan), ["web-1", "web-3", "web-4"], "no allowance, no protection");
    let held: Vec<(Reason, usize)> = plan.holds.iter().map(|hold| (hold.reason, hold.count)).collect();
    assert_eq!(held, [(Reason::ManualUpgradePolicy, 2)]);
}

#[test]
fn a_manual_upgrade_spends_what_the_policy_has() {
    let mut snapshot = outdated(UpgradeMode::Automatic);
    manual_upgrade(&mut snapshot, &[3, 4]);
    let plan = audited(&snapshot);
    assert_eq!(assigned(&plan), ["web-3", "web-4"], "a person may take two, and the policy then has none of its one");
    let held: Vec<&str> = plan.holds.iter().map(|hold| hold.message.as_str()).collect();
    assert_eq!(held, ["3 outdated, 2 in flight or unavailable of 1 allowed (20 % of 5)"]);
}

#[test]
fn a_manual_upgrade_to_a_model_that_is_no_longer_the_newest_does_nothing() {
    let mut snapshot = outdated(UpgradeMode::Manual);
    ask(&mut snapshot, SetRequest::ManualUpgrade { revision: "older".to_owned(), instances: uids(&[0]) });
    assert_eq!(assigned(&audited(&snapshot)), [""; 0]);
}

#[test]
fn a_deletion_takes_those_that_are_named_whatever_protects_them() {
    let mut snapshot = snapshot(&["1"], 3);
    snapshot.members = spread(&[(Some("1"), 5)], &newest(&snapshot));
    snapshot.members[0].protection = Protection::FromSetActions;
    snapshot.members[1].origin = Origin::Hand;
    ask(&mut snapshot, SetRequest::Delete { instances: uids(&[0, 1]) });
    let plan = audited(&snapshot);
    let mut causes = Vec::new();
    for action in &plan.actions {
        if let Action::DeleteMember(removal) = action {
            causes.push((removal.name.as_str(), removal.cause));
        }
    }
    // Four made members of which one goes: the count of 3 is reached by it alone.
    assert_eq!(causes, [("web-0", RemovalCause::Requested), ("web-1", RemovalCause::Requested)]);
}

#[test]
fn a_deletion_goes_on_while_the_count_was_raised_again() {
    let mut snapshot = snapshot(&["1"], 5);
    snapshot.members = spread(&[(Some("1"), 5)], &newest(&snapshot));
    ask(&mut snapshot, SetRequest::Delete { instances: uids(&[2]) });
    let plan = audited(&snapshot);
    assert_eq!(deleted(&plan), ["web-2"]);
    assert_eq!(created(&plan).len(), 0, "its replacement is made when it is going");
}

#[test]
fn a_deletion_in_a_rolling_upgrade_is_followed_by_nobody() {
    let mut snapshot = resized(&[(Some("1"), 5)]);
    pass(&mut snapshot);
    snapshot.set.replicas = Some(4);
    ask(&mut snapshot, SetRequest::Delete { instances: uids(&[4]) });
    let plan = audited(&snapshot);
    assert_eq!((deleted(&plan), created(&plan).len()), (vec!["web-4"], 0));
}

#[test]
fn a_cancelled_upgrade_finishes_what_it_began_and_begins_anew_only_when_asked() {
    let mut snapshot = resized(&[(Some("1"), 10)]);
    assert_eq!(pass(&mut snapshot), ["web-0", "web-5"]);
    ask(&mut snapshot, SetRequest::CancelRollingUpgrade { number: 1 });
    assert_eq!(pass(&mut snapshot), [""; 0]);
    let cancelled = latest(&snapshot);
    assert_eq!(cancelled.running_status.code, RollingUpgradeCode::Cancelled);
    assert_eq!(cancelled.running_status.last_action, RollingUpgradeAction::Cancel);
    assert_eq!(progress(&snapshot), [0, 0, 2, 8]);
    settle(&mut snapshot, &["web-0", "web-5"], HealthState::Healthy);
    assert_eq!(pass(&mut snapshot), [""; 0]);
    assert_eq!(progress(&snapshot), [2, 0, 0, 8], "what had begun is counted to its end");
    snapshot.operations.clear();
    assert_eq!(pass(&mut snapshot), [""; 0], "a person decides");
    ask(&mut snapshot, SetRequest::StartRollingUpgrade { after: 1 });
    assert_eq!(pass(&mut snapshot), ["web-1", "web-6"], "those that are upgraded already are not touched");
    assert_eq!(latest(&snapshot).number, 2);
    assert_eq!(pass(&mut snapshot), [""; 0], "it has begun, and begins once");
    assert_eq!(latest(&snapshot).number, 2);
}

#[test]
fn what_is_asked_of_another_upgrade_changes_nothing() {
    for request in [SetRequest::CancelRollingUpgrade { number: 7 }, SetRequest::StartRollingUpgrade { after: 7 }] {
        let mut snapshot = resized(&[(Some("1"), 10)]);
        pass(&mut snapshot);
        let before = latest(&snapshot);
        ask(&mut snapshot, request);
        pass(&mut snapshot);
        assert_eq!(latest(&snapshot), before);
    }
}

#[test]
fn an_upgrade_that_is_asked_for_when_nobody_is_outdated_is_complete() {
    let mut snapshot = snapshot(&["1"], 3);
    snapshot.set.upgrade_mode = UpgradeMode::Rolling;
    snapshot.members = spread(&[(Some("1"), 3)], &newest(&snapshot));
    ask(&mut snapshot, SetRequest::StartRollingUpgrade { after: 0 });
    assert_eq!(pass(&mut snapshot), [""; 0]);
    assert_eq!(latest(&snapshot).running_status.code, RollingUpgradeCode::Completed);
    assert_eq!(progress(&snapshot), [0; 4]);
}

#[test]
fn the_ceiling_holds_for_what_a_person_asks_for_too() {
    let mut snapshot = outdated(UpgradeMode::Manual);
    snapshot.set.max_disruption = MaxDisruption::Online;
    manual_upgrade(&mut snapshot, &[1, 3]);
    let plan = audited(&snapshot);
    assert_eq!(assigned(&plan), [""; 0]);
    let held: Vec<(Reason, usize)> = plan.holds.iter().map(|hold| (hold.reason, hold.count)).collect();
    assert!(held.contains(&(Reason::UpdateRefused, 5)), "{held:?}");
}
