//! Batches whose members somebody else changed before the pass could: they are made up for while the batch is open.

use std::time::Duration;

use scaleset_crds::vocabulary::{HealthState, ProvisioningState, RollingUpgradeAction, RollingUpgradeCode};
use scaleset_planning::snapshot::{Looked, ScaleSetSnapshot, UpgradeSwitch};

use scaleset_planning::view::Health;

use crate::fleet::{assigned, audited};
use crate::rolling::{obey, pass, progress, record, resized, settle};

/// A pass of whose assignments only those of `reached` are carried out; names of all that it chose.
fn overtaken_pass(snapshot: &mut ScaleSetSnapshot, reached: &[&str]) -> Vec<String> {
    let plan = audited(snapshot);
    let chosen = assigned(&plan).into_iter().map(str::to_owned).collect();
    let mut done = plan.clone();
    done.actions.retain(|action| action.upgraded().is_none_or(|name| reached.contains(&name)));
    obey(snapshot, &done);
    chosen
}

fn ten_at_thirty_percent() -> ScaleSetSnapshot {
    let mut snapshot = resized(&[(None, 10)]);
    snapshot.set.rolling_policy.max_batch_percent = 30;
    snapshot.set.rolling_policy.max_unhealthy_percent = 50;
    snapshot.set.rolling_policy.pause = Duration::from_mins(1);
    snapshot
}

fn batch(snapshot: &ScaleSetSnapshot) -> (i32, i32) {
    let batch = record(snapshot).batch.expect("a batch was begun");
    (batch.number, batch.size)
}

#[test]
fn a_batch_that_reached_nobody_begins_again_without_a_pause() {
    let mut snapshot = ten_at_thirty_percent();
    let chosen = overtaken_pass(&mut snapshot, &[]);
    assert_eq!((batch(&snapshot), chosen.len()), ((1, 3), 3));
    assert_eq!(pass(&mut snapshot), chosen, "the same ones, at once");
    assert_eq!(batch(&snapshot), (1, 3));
    assert_eq!(progress(&snapshot), [0, 0, 3, 7]);
}

#[test]
fn those_that_a_batch_did_not_reach_are_made_up_for_while_the_others_run() {
    let mut snapshot = ten_at_thirty_percent();
    let chosen = overtaken_pass(&mut snapshot, &["web-5"]);
    assert_eq!(chosen.len(), 3);
    let others: Vec<String> = chosen.iter().filter(|name| *name != "web-5").cloned().collect();
    assert_eq!(pass(&mut snapshot), others);
    assert_eq!((batch(&snapshot), progress(&snapshot)), ((1, 3), [0, 0, 3, 7]));
    assert!(pass(&mut snapshot).is_empty(), "three are three");
    let names: Vec<&str> = chosen.iter().map(String::as_str).collect();
    settle(&mut snapshot, &names, HealthState::Healthy);
    assert!(pass(&mut snapshot).is_empty(), "now comes the pause");
    assert_eq!(progress(&snapshot), [3, 0, 0, 7]);
    snapshot.now += Duration::from_mins(1);
    assert_eq!(pass(&mut snapshot).len(), 3);
    assert_eq!(batch(&snapshot), (2, 3));
}

#[test]
fn nobody_of_another_zone_is_made_up_with() {
    let mut snapshot = resized(&[(Some("1"), 2), (Some("2"), 2), (Some("3"), 2)]);
    snapshot.set.rolling_policy.max_batch_percent = 40;
    snapshot.set.rolling_policy.max_unhealthy_percent = 50;
    let chosen = pass(&mut snapshot);
    assert_eq!(chosen.len(), 2, "all of zone 1");
    snapshot.members.retain(|member| member.name != chosen[0]);
    assert!(pass(&mut snapshot).is_empty(), "zone 1 has nobody left, zone 2 waits for it");
}

#[test]
fn a_pause_makes_nobody_up() {
    let mut snapshot = ten_at_thirty_percent();
    overtaken_pass(&mut snapshot, &["web-5"]);
    snapshot.set.upgrades = UpgradeSwitch::Paused;
    assert!(pass(&mut snapshot).is_empty());
    snapshot.set.upgrades = UpgradeSwitch::On;
    assert_eq!(pass(&mut snapshot).len(), 2);
}

#[test]
fn nobody_is_late_for_the_time_in_which_nobody_looked() {
    let mut snapshot = ten_at_thirty_percent();
    let batch = pass(&mut snapshot);
    assert_eq!(batch.len(), 3);
    // The controller was down for an hour: what it knows of its members is as old.
    snapshot.now += Duration::from_hours(1);
    for member in &mut snapshot.members {
        member.report.looked = Looked::BeforeStart;
    }
    let plan = audited(&snapshot);
    assert_eq!(plan.wake_after, Some(Duration::from_secs(5)), "it asks again soon");
    obey(&mut snapshot, &plan);
    assert_eq!(progress(&snapshot), [0, 0, 3, 7]);
    let first = snapshot.now;
    for member in &mut snapshot.members {
        member.report.looked = Looked::SinceStart(first);
    }
    let names: Vec<&str> = batch.iter().map(String::as_str).collect();
    settle(&mut snapshot, &names[..1], HealthState::Healthy);
    settle(&mut snapshot, &names[1..2], HealthState::Unhealthy);
    pass(&mut snapshot);
    assert_eq!(progress(&snapshot)[..3], [1, 0, 2], "who is not well, and who has yet to take the model");
    let timeout = snapshot.set.rolling_policy.health_timeout;
    snapshot.now = first + timeout - Duration::from_secs(1);
    pass(&mut snapshot);
    assert_eq!(progress(&snapshot)[..3], [1, 0, 2], "each has its whole time from the first look");
    snapshot.now = first + timeout;
    pass(&mut snapshot);
    assert_eq!(progress(&snapshot)[..3], [1, 2, 0], "and no more");
}

#[test]
fn who_was_well_on_the_model_and_is_restarted_later_has_not_failed() {
    let mut snapshot = ten_at_thirty_percent();
    let batch = pass(&mut snapshot);
    let names: Vec<&str> = batch.iter().map(String::as_str).collect();
    settle(&mut snapshot, &names, HealthState::Healthy);
    pass(&mut snapshot);
    snapshot.now += Duration::from_hours(1);
    pass(&mut snapshot);
    let restarted = snapshot.members.iter_mut().find(|member| member.name == batch[0]).expect("it is there");
    restarted.report.provisioning = ProvisioningState::Updating;
    pass(&mut snapshot);
    assert_eq!(progress(&snapshot)[..2], [3, 0], "its upgrade is an hour ago");
    let restarted = snapshot.members.iter_mut().find(|member| member.name == batch[0]).expect("it is there");
    restarted.report.provisioning = ProvisioningState::Succeeded;
    restarted.report.health = Health::Known(HealthState::Unhealthy);
    pass(&mut snapshot);
    assert_eq!(progress(&snapshot)[..2], [2, 1], "not well now, and nobody is at it");
}

#[test]
fn a_cancelled_upgrade_looks_again_when_its_last_members_are_late() {
    let mut snapshot = ten_at_thirty_percent();
    pass(&mut snapshot);
    let mut cancelled = record(&snapshot);
    cancelled.running_status.code = RollingUpgradeCode::Cancelled;
    cancelled.running_status.last_action = RollingUpgradeAction::Cancel;
    snapshot.status.rolling_upgrade = Some(cancelled);
    assert_eq!(audited(&snapshot).wake_after, Some(snapshot.set.rolling_policy.health_timeout));
}
