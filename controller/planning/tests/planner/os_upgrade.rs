//! Newer versions of the image: when they are rolled, by which policy, after what, and how failed members go back.

use std::time::Duration;

use scaleset_crds::condition::Reason;
use scaleset_crds::os_upgrade::{OsUpgradeHistoryEntry, RollbackInfo};
use scaleset_crds::vocabulary::{
    HealthState, MaxDisruption, OsUpgradeStarter, ProvisioningState, RollingUpgradeCode, UpgradeMode,
};
use scaleset_planning::plan::{Action, ScaleSetPlan};
use scaleset_planning::snapshot::{
    Member, NewImages, OsDiskReport, OsDiskWish, Protection, RollbackRule, ScaleSetSnapshot, SetOperation, SetRequest,
    UpgradeSwitch,
};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};
use scaleset_planning::view::Health;

use crate::fleet::{assigned, audited, change_profile, newest, profile, snapshot, spread};

type Change = fn(&mut ScaleSetSnapshot);

const IMAGE: &str = "Canonical:ubuntu-server:22_04-lts";

/// `count` healthy members on version 1, with the policy on; versions 1 and 2 are published.
fn published(count: usize) -> ScaleSetSnapshot {
    let mut snapshot = snapshot(&[], i32::try_from(count).expect("a small set"));
    snapshot.set.upgrade_mode = UpgradeMode::Manual;
    snapshot.set.os_upgrades.new_images = NewImages::Roll;
    snapshot.members = spread(&[(None, count)], &newest(&snapshot));
    for member in &mut snapshot.members {
        member.report.health = Health::Known(HealthState::Healthy);
    }
    publish(&mut snapshot, "22.04.2");
    snapshot
}

fn publish(snapshot: &mut ScaleSetSnapshot, version: &str) {
    let region = snapshot.region.as_mut().expect("the region is known");
    region.images.get_mut(IMAGE).expect("it is offered").push(version.to_owned());
}

/// What the plan wishes of OS disks, as `member: wish`.
fn wishes(plan: &ScaleSetPlan) -> Vec<String> {
    let wish = |action: &Action| match action {
        Action::ReplaceOsDisk(it) => Some(format!("{}: {}", it.name, it.wish)),
        Action::AddFinalizer
        | Action::CreateRevision { .. }
        | Action::RenumberRevision { .. }
        | Action::ReserveNumbers { .. }
        | Action::CreateMember(_)
        | Action::AssignRevision(_)
        | Action::MarkMember(_)
        | Action::MarkForDeletion(_)
        | Action::KeepMember(_)
        | Action::RepairMember(_)
        | Action::SeatMember(_)
        | Action::DeleteMember(_)
        | Action::DeleteRevision { .. }
        | Action::NoteEvictions { .. }
        | Action::RemoveFinalizer => None,
    };
    plan.actions.iter().filter_map(wish).collect()
}

/// One pass, carried out as far as objects go, at most so many writes: the record comes last.
fn pass_with(snapshot: &mut ScaleSetSnapshot, writes: usize) -> Vec<String> {
    let plan = audited(snapshot);
    for action in plan.actions.iter().take(writes) {
        if let Action::ReplaceOsDisk(it) = action {
            let member = snapshot.members.iter_mut().find(|member| member.name == it.name).expect("it is a member");
            member.os_disk_wish = Some(it.wish.clone());
            member.roll = Some(it.roll.clone());
        }
    }
    if writes >= plan.actions.len() {
        snapshot.status = scale_set_status(snapshot, &plan, &ScaleSetOutcome::default());
        let record = snapshot.status.rolling_upgrade.as_ref();
        if let Some(progress) = record.filter(|record| record.os_upgrade.is_some()).map(|record| record.progress) {
            let sum = progress.successful_instance_count
                + progress.failed_instance_count
                + progress.in_progress_instance_count
                + progress.pending_instance_count;
            let about = snapshot.members.iter().filter(|member| member.protection != Protection::FromSetActions);
            assert_eq!(usize::try_from(sum).expect("a count"), about.count(), "the counters add up");
        }
    }
    wishes(&plan)
}

fn pass(snapshot: &mut ScaleSetSnapshot) -> Vec<String> {
    pass_with(snapshot, usize::MAX)
}

/// The hardware gives a member the disk that is wished for; its application then is `health`.
fn fulfil(member: &mut Member, health: HealthState) {
    let had = member.report.os_disk.clone().expect("it has a disk");
    member.report.os_disk = match member.os_disk_wish.clone() {
        Some(OsDiskWish::Fresh { version, after }) if after == had.name => {
            Some(OsDiskReport { name: format!("{}_disk1_{version}", member.name), version })
        }
        Some(OsDiskWish::Former { disk }) => Some(OsDiskReport { name: disk, version: "22.04.1".to_owned() }),
        Some(OsDiskWish::Fresh { .. }) | None => Some(had),
    };
    member.report.provisioning = ProvisioningState::Succeeded;
    member.report.health = Health::Known(health);
    if health == HealthState::Healthy {
        member.report.healthy_on_os_disk = member.report.os_disk.as_ref().map(|disk| disk.name.clone());
    }
}

fn fulfil_all(snapshot: &mut ScaleSetSnapshot, health: HealthState) {
    let open = |member: &&mut Member| member.os_disk_wish.is_some();
    snapshot.members.iter_mut().filter(open).for_each(|member| fulfil(member, health));
}

/// Rolls to the end, every batch well; how many each batch has.
fn roll(snapshot: &mut ScaleSetSnapshot) -> Vec<usize> {
    let mut sizes = Vec::new();
    for _ in 0..50 {
        let batch = pass(snapshot);
        if batch.is_empty() {
            return sizes;
        }
        fulfil_all(snapshot, HealthState::Healthy);
        sizes.push(batch.len());
    }
    panic!("fifty batches are too many");
}

fn code(snapshot: &ScaleSetSnapshot) -> Option<RollingUpgradeCode> {
    Some(snapshot.status.rolling_upgrade.as_ref()?.running_status.code)
}

fn latest(snapshot: &ScaleSetSnapshot) -> &OsUpgradeHistoryEntry {
    snapshot.status.os_upgrade_history.first().expect("an attempt was made")
}

fn reasons(snapshot: &ScaleSetSnapshot) -> Vec<Reason> {
    audited(snapshot).holds.iter().map(|hold| hold.reason).collect()
}

fn versions(snapshot: &ScaleSetSnapshot) -> Vec<&str> {
    let disks = snapshot.members.iter().filter_map(|member| member.report.os_disk.as_ref());
    disks.map(|disk| disk.version.as_str()).collect()
}

fn later(snapshot: &mut ScaleSetSnapshot, seconds: u64) {
    snapshot.now += Duration::from_secs(seconds);
}

#[test]
fn a_newer_image_is_rolled_in_every_mode_in_batches_of_a_fifth() {
    for mode in [UpgradeMode::Manual, UpgradeMode::Automatic, UpgradeMode::Rolling] {
        for (count, batches) in [(10, vec![2; 5]), (4, vec![1; 4]), (6, vec![1; 6])] {
            let mut snapshot = published(count);
            snapshot.set.upgrade_mode = mode;
            assert_eq!(roll(&mut snapshot), batches, "{mode:?} {count}");
            assert_eq!(versions(&snapshot), vec!["22.04.2"; count]);
            assert_eq!(code(&snapshot), Some(RollingUpgradeCode::Completed));
        }
    }
}

#[test]
fn the_sets_own_policy_is_used_where_it_is_asked_for() {
    let mut snapshot = published(10);
    snapshot.set.os_upgrades.rolling.max_batch_percent = 50;
    snapshot.set.os_upgrades.rolling.max_unhealthy_percent = 50;
    assert_eq!(roll(&mut snapshot), [5, 5]);
}

#[test]
fn nothing_moves_without_the_policy_without_latest_or_for_the_newest() {
    let cases: [(&str, Change); 4] = [
        ("off", |snapshot| snapshot.set.os_upgrades.new_images = NewImages::Wait),
        ("unknown region", |snapshot| snapshot.region = None),
        ("silent hardware", |snapshot| snapshot.hardware_silence = Some("no answer".to_owned())),
        ("nothing newer", |snapshot| {
            let images = &mut snapshot.region.as_mut().expect("it is known").images;
            images.get_mut(IMAGE).expect("it is offered").pop();
        }),
    ];
    for (name, change) in cases {
        let mut snapshot = published(4);
        change(&mut snapshot);
        assert!(pass(&mut snapshot).is_empty(), "{name}");
        assert_eq!(code(&snapshot), None, "{name}");
    }
}

#[test]
fn what_holds_it_is_said() {
    let cases: [(Reason, Change); 4] = [
        (Reason::Paused, |snapshot| snapshot.set.upgrades = UpgradeSwitch::Paused),
        (Reason::OSUpgradeWaits, |snapshot| snapshot.set.max_disruption = MaxDisruption::Restart),
        (Reason::OSUpgradeWaits, |snapshot| {
            snapshot.members[0].report.health = Health::Known(HealthState::Unhealthy);
        }),
        (Reason::Protected, |snapshot| {
            snapshot.members.iter_mut().for_each(|member| member.protection = Protection::FromSetActions);
        }),
    ];
    for (reason, change) in cases {
        let mut snapshot = published(4);
        change(&mut snapshot);
        assert_eq!(reasons(&snapshot), [reason]);
        assert!(pass(&mut snapshot).is_empty(), "{reason}");
        assert_eq!(code(&snapshot), None, "nothing has begun: {reason}");
    }
}

#[test]
fn the_model_comes_first_and_the_image_says_that_it_waits() {
    for mode in [UpgradeMode::Automatic, UpgradeMode::Rolling] {
        let mut snapshot = published(4);
        snapshot.set.upgrade_mode = mode;
        change_profile(&mut snapshot, profile("Standard_D4s_v3"));
        // Another profile is on no member yet, so that no member on it has an older image: it waits for nobody.
        let plan = audited(&snapshot);
        assert_eq!((assigned(&plan).len(), wishes(&plan).len()), (1, 0), "{mode:?}: {plan}");
        let name = newest(&snapshot);
        let mut revision = snapshot.revisions[0].clone();
        revision.name.clone_from(&name);
        revision.number = 2;
        revision.profile = snapshot.set.profile.clone().expect("it has one");
        snapshot.revisions.push(revision);
        for member in &mut snapshot.members[..2] {
            member.assigned_revision = Some(name.clone());
            member.report.running_revision = Some(name.clone());
            member.report.healthy_on_revision = Some(name.clone());
        }
        let plan = audited(&snapshot);
        assert_eq!((assigned(&plan).len(), wishes(&plan).len()), (1, 0), "{mode:?}: {plan}");
        let waits = plan.holds.iter().find(|hold| hold.reason == Reason::OSUpgradeWaits).expect("it is said");
        assert_eq!(waits.message, "2 on an older OS image: the upgrade to the newest model comes first");
    }
}

#[test]
fn in_manual_only_members_on_the_newest_model_follow_its_image() {
    let mut snapshot = published(4);
    snapshot.members[1].assigned_revision = Some("web-older".to_owned());
    snapshot.members[1].report.running_revision = Some("web-older".to_owned());
    let mut wished = Vec::new();
    for _ in 0..6 {
        let plan = audited(&snapshot);
        wished.extend(wishes(&plan));
        for action in &plan.actions {
            if let Action::ReplaceOsDisk(it) = action {
                let member = snapshot.members.iter_mut().find(|member| member.name == it.name).expect("a member");
                (member.os_disk_wish, member.roll) = (Some(it.wish.clone()), Some(it.roll.clone()));
            }
        }
        snapshot.status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
        fulfil_all(&mut snapshot, HealthState::Healthy);
    }
    let named = |name: &str| wished.iter().any(|wish| wish.starts_with(name));
    assert_eq!((wished.len(), named("web-1")), (3, false), "{wished:?}");
}

#[test]
fn a_member_that_is_not_well_gets_its_former_disk_back_and_a_bad_version_is_not_begun_again() {
    let mut snapshot = published(4);
    assert_eq!(pass(&mut snapshot), ["web-0: 22.04.2 after web-0_disk1_a"]);
    fulfil_all(&mut snapshot, HealthState::Unhealthy);
    assert!(pass(&mut snapshot).is_empty(), "it may still become well");
    later(&mut snapshot, 300);
    assert_eq!(pass(&mut snapshot), ["web-0: restore web-0_disk1_a"]);
    assert_eq!(code(&snapshot), Some(RollingUpgradeCode::RollingBack));
    assert!(pass(&mut snapshot).is_empty(), "the hardware is at it");
    assert_eq!(latest(&snapshot).rollback_info, RollbackInfo::default());
    fulfil_all(&mut snapshot, HealthState::Healthy);
    assert!(pass(&mut snapshot).is_empty());
    assert_eq!(code(&snapshot), Some(RollingUpgradeCode::Faulted));
    let well = RollbackInfo { successfully_rolledback_instance_count: 1, failed_rolledback_instance_count: 0 };
    assert_eq!(latest(&snapshot).rollback_info, well);
    assert_eq!(latest(&snapshot).progress.failed_instance_count, 1);
    let failed = &snapshot.status.revisions.clone().unwrap_or_default().failed_image_versions;
    assert_eq!(
        failed.iter().map(|failed| (failed.version.as_str(), failed.code.as_str())).collect::<Vec<_>>(),
        [("22.04.2", "MaxUnhealthyUpgradedInstancePercentExceededInRollingUpgrade")]
    );
    assert_eq!(reasons(&snapshot), [Reason::OSImageFailed]);
    // Also where the record was overwritten by an upgrade of the model.
    snapshot.status.rolling_upgrade.as_mut().expect("it is there").os_upgrade = None;
    snapshot.status.rolling_upgrade.as_mut().expect("it is there").running_status.code = RollingUpgradeCode::Completed;
    assert_eq!(reasons(&snapshot), [Reason::OSImageFailed]);
    publish(&mut snapshot, "22.04.3");
    assert_eq!(roll(&mut snapshot), [1; 4]);
    assert_eq!(versions(&snapshot), ["22.04.3"; 4]);
}

#[test]
fn a_failure_within_the_thresholds_goes_back_alone_and_is_not_tried_again() {
    let mut snapshot = published(10);
    snapshot.set.os_upgrades.rolling.max_unhealthy_upgraded_percent = 50;
    assert_eq!(pass(&mut snapshot).len(), 2);
    fulfil(&mut snapshot.members[0], HealthState::Unhealthy);
    fulfil(&mut snapshot.members[5], HealthState::Healthy);
    later(&mut snapshot, 300);
    assert_eq!(pass(&mut snapshot), ["web-0: restore web-0_disk1_a"]);
    assert!(pass(&mut snapshot).is_empty(), "the next batch waits until it is back");
    assert_eq!(reasons(&snapshot), [Reason::RollingBack]);
    fulfil(&mut snapshot.members[0], HealthState::Healthy);
    let batches = roll(&mut snapshot);
    assert_eq!(batches, [2; 4]);
    assert_eq!(code(&snapshot), Some(RollingUpgradeCode::Completed));
    let progress = latest(&snapshot).progress;
    assert_eq!((progress.successful_instance_count, progress.failed_instance_count), (9, 1));
    assert_eq!(latest(&snapshot).rollback_info.successfully_rolledback_instance_count, 1);
    assert_eq!(reasons(&snapshot), [Reason::OSImageFailed]);
    assert_eq!(versions(&snapshot)[0], "22.04.1");
}

#[test]
fn without_rollback_it_stops_at_once_and_a_newer_version_mends_it() {
    let mut snapshot = published(4);
    snapshot.set.os_upgrades.on_failure = RollbackRule::Keep;
    pass(&mut snapshot);
    fulfil_all(&mut snapshot, HealthState::Unhealthy);
    later(&mut snapshot, 300);
    assert!(pass(&mut snapshot).is_empty());
    assert_eq!(code(&snapshot), Some(RollingUpgradeCode::Faulted));
    publish(&mut snapshot, "22.04.3");
    assert_eq!(pass(&mut snapshot), ["web-0: 22.04.3 after web-0_disk1_22.04.2"], "it has nothing to lose");
    fulfil_all(&mut snapshot, HealthState::Healthy);
    assert_eq!(roll(&mut snapshot), [1; 3]);
}

#[test]
fn a_newer_version_in_the_middle_begins_a_new_upgrade_and_the_old_attempt_is_closed() {
    let mut snapshot = published(4);
    pass(&mut snapshot);
    fulfil_all(&mut snapshot, HealthState::Unhealthy);
    publish(&mut snapshot, "22.04.3");
    assert_eq!(pass(&mut snapshot), ["web-0: 22.04.3 after web-0_disk1_22.04.2"]);
    fulfil_all(&mut snapshot, HealthState::Healthy);
    assert_eq!(roll(&mut snapshot), [1; 3]);
    let history = &snapshot.status.os_upgrade_history;
    let told: Vec<_> = history.iter().map(|entry| (entry.number, entry.running_status.code)).collect();
    assert_eq!(told, [(2, RollingUpgradeCode::Completed), (1, RollingUpgradeCode::Cancelled)]);
    assert!(history.iter().all(|entry| entry.running_status.end_time.is_some()));
}

#[test]
fn a_policy_that_is_turned_off_lets_the_batch_end_and_goes_on_when_it_is_on_again() {
    let mut snapshot = published(4);
    pass(&mut snapshot);
    snapshot.set.os_upgrades.new_images = NewImages::Wait;
    assert!(pass(&mut snapshot).is_empty());
    assert_eq!(code(&snapshot), Some(RollingUpgradeCode::Cancelled));
    fulfil_all(&mut snapshot, HealthState::Unhealthy);
    later(&mut snapshot, 300);
    assert_eq!(pass(&mut snapshot), ["web-0: restore web-0_disk1_a"], "what has begun is brought to its end");
    fulfil_all(&mut snapshot, HealthState::Healthy);
    assert!(pass(&mut snapshot).is_empty());
    assert_eq!(reasons(&snapshot), []);
    snapshot.set.os_upgrades.new_images = NewImages::Roll;
    assert_eq!(roll(&mut snapshot), [1; 4]);
}

#[test]
fn one_that_a_person_starts_needs_no_policy_and_gives_no_disk_back() {
    let mut snapshot = published(4);
    snapshot.set.os_upgrades.new_images = NewImages::Wait;
    let request = SetRequest::StartRollingUpgrade { after: 0 };
    snapshot.operations = vec![SetOperation { name: "start".to_owned(), request }];
    assert_eq!(pass(&mut snapshot), ["web-0: 22.04.2 after web-0_disk1_a"]);
    assert_eq!(latest(&snapshot).started_by, OsUpgradeStarter::User);
    fulfil_all(&mut snapshot, HealthState::Unhealthy);
    later(&mut snapshot, 300);
    assert!(pass(&mut snapshot).is_empty());
    assert_eq!(code(&snapshot), Some(RollingUpgradeCode::Faulted));
    assert_eq!(versions(&snapshot)[0], "22.04.2");
}

#[test]
fn a_person_cancels_it_for_good_until_a_newer_version_comes() {
    let mut snapshot = published(4);
    pass(&mut snapshot);
    let request = SetRequest::CancelRollingUpgrade { number: 1 };
    snapshot.operations = vec![SetOperation { name: "cancel".to_owned(), request }];
    assert!(pass(&mut snapshot).is_empty());
    snapshot.operations.clear();
    fulfil_all(&mut snapshot, HealthState::Healthy);
    assert!(pass(&mut snapshot).is_empty());
    assert_eq!(latest(&snapshot).progress.successful_instance_count, 1);
    assert_eq!(reasons(&snapshot), [Reason::OSUpgradeWaits]);
    publish(&mut snapshot, "22.04.3");
    assert_eq!(roll(&mut snapshot), [1; 4]);
}

#[test]
fn a_pass_that_dies_before_its_record_is_written_goes_on_as_the_same_upgrade() {
    for writes in [0, 1, 2] {
        let mut snapshot = published(10);
        pass_with(&mut snapshot, writes);
        let batches = {
            pass(&mut snapshot);
            fulfil_all(&mut snapshot, HealthState::Healthy);
            roll(&mut snapshot)
        };
        assert_eq!(versions(&snapshot), ["22.04.2"; 10], "{writes}: {batches:?}");
        let told: Vec<i64> = snapshot.status.os_upgrade_history.iter().map(|entry| entry.number).collect();
        assert_eq!(told, [1], "{writes}");
    }
}

#[test]
fn who_was_well_on_the_image_and_is_restarted_later_keeps_its_disk() {
    let mut snapshot = published(4);
    pass(&mut snapshot);
    fulfil_all(&mut snapshot, HealthState::Healthy);
    pass(&mut snapshot);
    later(&mut snapshot, 3_600);
    snapshot.members[0].report.provisioning = ProvisioningState::Updating;
    assert_eq!(pass(&mut snapshot), ["web-1: restore web-1_disk1_a"], "late is only who was never well");
    assert_eq!(latest(&snapshot).progress.failed_instance_count, 1);
}

#[test]
fn one_that_a_person_starts_waits_for_the_model() {
    let mut snapshot = published(4);
    snapshot.set.os_upgrades.new_images = NewImages::Wait;
    snapshot.set.upgrade_mode = UpgradeMode::Automatic;
    snapshot.members[1].assigned_revision = Some("web-older".to_owned());
    let request = SetRequest::StartRollingUpgrade { after: 0 };
    snapshot.operations = vec![SetOperation { name: "start".to_owned(), request }];
    assert!(pass(&mut snapshot).is_empty());
    assert_eq!(code(&snapshot), None, "it has not begun");
    assert!(reasons(&snapshot).contains(&Reason::OSUpgradeWaits));
    snapshot.members[1].assigned_revision = Some(newest(&snapshot));
    assert_eq!(pass(&mut snapshot).len(), 1);
    assert_eq!(code(&snapshot), Some(RollingUpgradeCode::RollingForward));
}

#[test]
fn the_history_keeps_the_last_five_of_two_months() {
    let mut snapshot = published(1);
    for number in 3..10 {
        assert_eq!(roll(&mut snapshot), [1]);
        publish(&mut snapshot, &format!("22.04.{number}"));
    }
    let numbers = |snapshot: &ScaleSetSnapshot| -> Vec<i64> {
        snapshot.status.os_upgrade_history.iter().map(|entry| entry.number).collect()
    };
    assert_eq!(numbers(&snapshot), [7, 6, 5, 4, 3]);
    later(&mut snapshot, 61 * 24 * 3_600);
    assert_eq!(roll(&mut snapshot), [1]);
    assert_eq!(numbers(&snapshot), [8]);
}

#[test]
fn a_wish_for_an_os_disk_is_read_as_it_is_written() {
    for text in ["22.04.2 after web-0_disk1_a", "restore web-0_disk1_a"] {
        assert_eq!(OsDiskWish::parse(text).map(|wish| wish.to_string()).as_deref(), Some(text));
    }
    for text in ["", "restore", "22.04.2", "22.04.2 before web-0", "a b c d"] {
        assert_eq!(OsDiskWish::parse(text), None, "{text:?}");
    }
}
