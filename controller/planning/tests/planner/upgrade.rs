//! How existing members follow a changed model.

use std::sync::Arc;

use scaleset_crds::condition::Reason;
use scaleset_crds::vocabulary::{Impact, PowerState, PowerWish, ProvisioningState, UpgradeMode};
use scaleset_planning::plan::Action;
use scaleset_planning::snapshot::{
    Failure, Member, Observation, Protection, Revision, ScaleSetSnapshot, SetLife, UpgradeSwitch,
};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};

use crate::fleet::{assigned, audited, change_profile, deleted, keep_revision, newest, profile, snapshot, spread};

/// Ten running members and a changed size.
fn resized() -> ScaleSetSnapshot {
    let mut snapshot = snapshot(&[], 10);
    snapshot.members = spread(&[(None, 10)], &newest(&snapshot));
    change_profile(&mut snapshot, profile("Standard_D4s_v3"));
    snapshot
}

#[test]
fn manual_touches_nobody() {
    let mut snapshot = resized();
    snapshot.set.upgrade_mode = UpgradeMode::Manual;
    let plan = audited(&snapshot);
    assert!(assigned(&plan).is_empty());
    assert_eq!((plan.holds[0].reason, plan.holds[0].count), (Reason::ManualUpgradePolicy, 10));
    assert!(plan.actions.iter().any(|action| matches!(action, Action::CreateRevision { .. })), "the model is kept");
}

#[test]
fn automatic_takes_as_many_as_the_allowance_has_left() {
    let mut snapshot = resized();
    let plan = audited(&snapshot);
    assert_eq!(assigned(&plan), ["web-0", "web-5"], "update domain by update domain");
    assert_eq!((plan.holds[0].reason, plan.holds[0].count), (Reason::AllowanceSpent, 8));
    let newest = newest(&snapshot);
    snapshot.members[0].assigned_revision = Some(newest);
    assert_eq!(assigned(&audited(&snapshot)), ["web-5"], "one is on its way and spends");
}

#[test]
fn who_has_the_newest_model_still_goes_back_to_it_at_once() {
    let mut snapshot = resized();
    let before = snapshot.members[0].report.running_revision.clone();
    // Two that are to be larger: the one has begun, the other is refused. Then the model goes back.
    let larger = "web-larger".to_owned();
    keep_revision(&mut snapshot, &larger, 2, &Arc::new(profile("Standard_D4s_v3")));
    change_profile(&mut snapshot, profile("Standard_D2s_v3"));
    for index in [3, 7] {
        snapshot.members[index].assigned_revision = Some(larger.clone());
    }
    snapshot.members[3].report.running_revision = Some(larger);
    snapshot.members[7].report.failure = Some(Failure { reason: Reason::QuotaExceeded, message: "no room".to_owned() });
    assert_eq!(snapshot.members[7].report.running_revision, before);
    let plan = audited(&snapshot);
    let told: Vec<(&str, Impact, &str)> = plan
        .actions
        .iter()
        .filter_map(|action| {
            let Action::AssignRevision(assignment) = action else { return None };
            let reason = assignment.reason.split_once(';').map_or("", |(first, _)| first);
            Some((assignment.name.as_str(), assignment.impact, reason))
        })
        .collect();
    let back = "vmSize: Standard_D4s_v3 -> Standard_D2s_v3 (Restart: the VM restarts with the new size)";
    assert_eq!(
        told,
        [("web-7", Impact::None, "its VM has that model still"), ("web-3", Impact::Restart, back)],
        "the one that is refused is not started later beside another"
    );
}

#[test]
fn a_paused_set_holds_upgrades_and_still_scales() {
    let mut snapshot = resized();
    snapshot.set.upgrades = UpgradeSwitch::Paused;
    snapshot.set.replicas = Some(11);
    let plan = audited(&snapshot);
    assert!(assigned(&plan).is_empty());
    assert_eq!(plan.holds[0].reason, Reason::Paused);
    assert!(plan.actions.iter().any(|action| matches!(action, Action::CreateMember(_))));
}

#[test]
fn members_that_are_down_anyway_go_first_and_spend() {
    let mut snapshot = resized();
    snapshot.members[8].report.provisioning = ProvisioningState::Failed;
    assert_eq!(
        assigned(&audited(&snapshot)),
        ["web-8", "web-0"],
        "it broke later: it is one of the two that may be down"
    );
    snapshot.members[8].report.healthy_on_revision = None;
    assert_eq!(assigned(&audited(&snapshot)), ["web-8", "web-0"], "it was never healthy: it spends from now on");
    snapshot.members[7] = snapshot.members[8].clone();
    "web-7".clone_into(&mut snapshot.members[7].name);
    snapshot.members[6] = snapshot.members[8].clone();
    "web-6".clone_into(&mut snapshot.members[6].name);
    assert_eq!(assigned(&audited(&snapshot)), ["web-6", "web-7"], "in batches, before the healthy ones");
}

#[test]
fn a_member_stopped_by_wish_is_free() {
    let mut snapshot = resized();
    snapshot.members[9].power_wish = PowerWish::Deallocated;
    snapshot.members[9].report.power = PowerState::Deallocated;
    assert_eq!(assigned(&audited(&snapshot)), ["web-9", "web-0", "web-5"]);
}

#[test]
fn a_member_that_nobody_can_see_spends_and_is_not_taken_for_down() {
    for hide in [
        |member: &mut Member| member.report.observation = Observation::Unseen,
        |member: &mut Member| member.report.power = PowerState::Unknown,
    ] {
        let mut snapshot = resized();
        hide(&mut snapshot.members[0]);
        assert_eq!(assigned(&audited(&snapshot)), ["web-0"], "two are allowed, and it may be one of them");
        hide(&mut snapshot.members[1]);
        assert!(assigned(&audited(&snapshot)).is_empty());
    }
}

#[test]
fn a_bad_model_stops_at_the_first_few() {
    let mut snapshot = resized();
    let newest = newest(&snapshot);
    for number in [0, 5] {
        snapshot.members[number].assigned_revision = Some(newest.clone());
        snapshot.members[number].report.provisioning = ProvisioningState::Failed;
    }
    let plan = audited(&snapshot);
    assert!(assigned(&plan).is_empty(), "two of ten were well and are lost to the new model");
    assert_eq!(
        plan.holds[0].message,
        "8 outdated, 2 in flight or unavailable of 2 allowed (20 % of 10); not well on the newest model: web-0, web-5; \
         if that lasts, change the model"
    );
}

#[test]
fn a_member_that_was_never_well_and_fails_again_does_not_hold_the_others() {
    let mut snapshot = resized();
    let newest = newest(&snapshot);
    for number in [0, 5] {
        snapshot.members[number].assigned_revision = Some(newest.clone());
        snapshot.members[number].report.provisioning = ProvisioningState::Failed;
        snapshot.members[number].report.healthy_on_revision = None;
    }
    assert_eq!(assigned(&audited(&snapshot)), ["web-1", "web-6"]);
}

#[test]
fn members_without_a_vm_take_the_newest_model_in_every_mode() {
    for mode in [UpgradeMode::Manual, UpgradeMode::Automatic] {
        let mut snapshot = resized();
        snapshot.set.upgrade_mode = mode;
        let report = &mut snapshot.members[7].report;
        report.running_revision = None;
        report.healthy_on_revision = None;
        report.provisioning = ProvisioningState::Failed;
        assert!(assigned(&audited(&snapshot)).contains(&"web-7"), "{mode:?}");
    }
}

#[test]
fn a_model_that_differs_in_the_order_of_a_list_disturbs_nobody() {
    let mut snapshot = snapshot(&[], 10);
    let disk = |lun: i32| serde_json::from_value(serde_json::json!({"lun": lun, "diskSizeGB": 8})).unwrap();
    let mut ordered = profile("Standard_D2s_v3");
    ordered.storage_profile.data_disks = vec![disk(0), disk(1)];
    change_profile(&mut snapshot, ordered.clone());
    let name = newest(&snapshot);
    snapshot.members = spread(&[(None, 10)], &name);
    snapshot.revisions[0].name = name;
    snapshot.revisions[0].profile = snapshot.set.profile.clone().unwrap();
    ordered.storage_profile.data_disks.reverse();
    change_profile(&mut snapshot, ordered);
    assert_eq!(assigned(&audited(&snapshot)).len(), 10, "it costs no allowance");
}

#[test]
fn going_back_to_an_earlier_model_makes_it_the_newest_again() {
    let mut snapshot = resized();
    let before = snapshot.revisions[0].clone();
    let name = newest(&snapshot);
    snapshot.revisions.push(Revision {
        name: name.clone(),
        number: 2,
        profile: snapshot.set.profile.clone().unwrap(),
        ..before.clone()
    });
    snapshot.set.profile = Some(before.profile);
    let plan = audited(&snapshot);
    let renumbered: Vec<String> = plan.actions.iter().map(ToString::to_string).collect();
    assert_eq!(renumbered, [format!("renumber revision {} to 3", before.name)]);
}

#[test]
fn hardware_that_does_not_tell_what_it_offers_holds_the_set_and_not_its_deletion() {
    let mut snapshot = resized();
    snapshot.hardware_silence = Some("hardware unavailable: no answer".to_owned());
    snapshot.set.replicas = Some(12);
    let plan = audited(&snapshot);
    assert!(assigned(&plan).is_empty());
    assert_eq!((plan.holds[0].reason, plan.holds[0].count), (Reason::HardwareUnavailable, 12));
    snapshot.status.next_instance_id = None;
    let status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
    assert_eq!(status.next_instance_id, None, "a number that is not known is not recorded");
    snapshot.set.life = SetLife::Terminating;
    snapshot.members.clear();
    assert!(matches!(audited(&snapshot).actions[..], [Action::RemoveFinalizer]));
}

#[test]
fn a_revision_that_cannot_be_read_is_named_and_not_made_again() {
    let mut snapshot = resized();
    snapshot.unreadable_revisions = vec![(newest(&snapshot), "data is missing".to_owned())];
    let plan = audited(&snapshot);
    assert!(!plan.actions.iter().any(|action| matches!(action, Action::CreateRevision { .. })));
    assert!(plan.holds.iter().any(|hold| hold.message.contains("cannot be read, delete it: data is missing")));
}

#[test]
fn protected_members_are_left_and_named_as_the_reason() {
    let mut snapshot = resized();
    snapshot.members[0].protection = Protection::FromSetActions;
    let plan = audited(&snapshot);
    assert_eq!(assigned(&plan), ["web-5", "web-1"]);
    assert!(plan.holds.iter().any(|hold| hold.reason == Reason::Protected && hold.count == 1));
}

#[test]
fn a_change_that_nobody_notices_goes_to_all_at_once() {
    let mut snapshot = snapshot(&[], 10);
    snapshot.members = spread(&[(None, 10)], &newest(&snapshot));
    let mut tagged = profile("Standard_D2s_v3");
    tagged.tags.insert("team".to_owned(), "web".to_owned());
    change_profile(&mut snapshot, tagged);
    assert_eq!(assigned(&audited(&snapshot)).len(), 10);
}

#[test]
fn a_change_that_needs_a_new_vm_replaces_within_the_allowance() {
    let mut snapshot = snapshot(&[], 10);
    let disk = |gigabytes| serde_json::from_value(serde_json::json!({"lun": 0, "diskSizeGB": gigabytes})).unwrap();
    let mut large = profile("Standard_D2s_v3");
    large.storage_profile.data_disks = vec![disk(64)];
    change_profile(&mut snapshot, large.clone());
    let old = newest(&snapshot);
    snapshot.revisions[0].name.clone_from(&old);
    snapshot.revisions[0].profile = std::sync::Arc::new(large.clone());
    snapshot.members = spread(&[(None, 10)], &old);
    large.storage_profile.data_disks = vec![disk(32)];
    change_profile(&mut snapshot, large);
    let plan = audited(&snapshot);
    assert_eq!(deleted(&plan), ["web-0", "web-5"]);
    assert!(!plan.actions.iter().any(|action| matches!(action, Action::CreateMember(_))), "made anew once they go");
}

#[test]
fn a_bad_model_is_not_started_in_any_part() {
    let mut snapshot = resized();
    change_profile(&mut snapshot, profile("Standard_Nope"));
    let plan = audited(&snapshot);
    assert!(assigned(&plan).is_empty());
    assert_eq!(plan.holds[0].reason, Reason::SkuNotAvailable);
}

#[test]
fn going_back_to_an_earlier_model_takes_its_old_name() {
    let mut snapshot = resized();
    let before = newest(&snapshot);
    change_profile(&mut snapshot, profile("Standard_D2s_v3"));
    assert_ne!(newest(&snapshot), before);
    let plan = audited(&snapshot);
    assert!(plan.actions.is_empty(), "it is kept and everybody runs it: {plan}");
}

#[test]
fn an_up_to_date_set_is_left_alone() {
    let mut snapshot = snapshot(&[], 10);
    snapshot.members = spread(&[(None, 10)], &newest(&snapshot));
    snapshot.status.next_instance_id = Some(10);
    let plan = audited(&snapshot);
    assert!(plan.actions.is_empty() && plan.holds.is_empty(), "{plan}");
}
