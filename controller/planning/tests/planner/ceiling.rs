//! `spec.upgradePolicy.maxDisruption`: what costs more is started on nobody.

use scaleset_crds::VirtualMachineProfile;
use scaleset_crds::condition::{Reason, ScaleSetCondition, find};
use scaleset_crds::vocabulary::{MaxDisruption, PowerState, ProvisioningState, UpgradeMode};
use scaleset_planning::plan::{Action, ScaleSetPlan};
use scaleset_planning::snapshot::{Protection, Revision, ScaleSetSnapshot, UpgradeSwitch};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};
use scaleset_planning::view::Health;

use crate::fleet::{assigned, audited, change_profile, created, deleted, newest, profile, snapshot, spread};

const MODES: [UpgradeMode; 3] = [UpgradeMode::Manual, UpgradeMode::Automatic, UpgradeMode::Rolling];

fn with_disk(size_gb: i32) -> VirtualMachineProfile {
    let mut with_disk = profile("Standard_D2s_v3");
    let disk = serde_json::json!({"lun": 0, "diskSizeGB": size_gb});
    with_disk.storage_profile.data_disks = vec![serde_json::from_value(disk).expect("the disk is whole")];
    with_disk
}

/// Ten members that run `from`, in a set that is to have `to`.
fn changed(from: VirtualMachineProfile, to: VirtualMachineProfile) -> ScaleSetSnapshot {
    let mut snapshot = snapshot(&[], 10);
    change_profile(&mut snapshot, from);
    snapshot.revisions[0].name = newest(&snapshot);
    snapshot.revisions[0].profile = snapshot.set.profile.clone().expect("it has one");
    snapshot.members = spread(&[(None, 10)], &newest(&snapshot));
    change_profile(&mut snapshot, to);
    snapshot
}

fn resized() -> ScaleSetSnapshot {
    changed(profile("Standard_D2s_v3"), profile("Standard_D4s_v3"))
}

fn touched(plan: &ScaleSetPlan) -> usize {
    assigned(plan).len() + deleted(plan).len()
}

fn refusal(plan: &ScaleSetPlan) -> Option<(usize, &str)> {
    let hold = plan.holds.iter().find(|hold| hold.reason == Reason::UpdateRefused)?;
    Some((hold.count, &hold.message))
}

#[test]
fn every_impact_needs_a_ceiling_at_least_as_high() {
    let edited = |edit: fn(&mut VirtualMachineProfile)| {
        let mut edited = with_disk(64);
        edit(&mut edited);
        changed(with_disk(64), edited)
    };
    let tags = edited(|model| model.tags = [("team".to_owned(), "red".to_owned())].into());
    let keys = edited(|model| model.os_profile.credentials.ssh_public_keys = vec!["ssh-ed25519 one".to_owned()]);
    let online = changed(with_disk(64), with_disk(128));
    let image = edited(|model| model.storage_profile.image_reference.version = Some("22.04.1".to_owned()));
    let all = [
        MaxDisruption::None,
        MaxDisruption::Online,
        MaxDisruption::Restart,
        MaxDisruption::Reimage,
        MaxDisruption::Replace,
    ];
    let smaller = changed(with_disk(64), with_disk(32));
    let table = [
        (tags, &all[..], None),
        (keys, &all[..], None),
        (online, &all[1..], Some("storageProfile.dataDisks[lun=0].diskSizeGB (Online)")),
        (resized(), &all[2..], Some("vmSize (Restart)")),
        (image, &all[3..], Some("storageProfile.imageReference (Reimage)")),
        (smaller, &all[4..], Some("storageProfile.dataDisks[lun=0].diskSizeGB (Replace)")),
    ];
    for (mut snapshot, allowed, fields) in table {
        for ceiling in all {
            snapshot.set.max_disruption = ceiling;
            let plan = audited(&snapshot);
            let name = ceiling.as_str();
            if allowed.contains(&ceiling) {
                assert!(touched(&plan) > 0 && refusal(&plan).is_none(), "{name}: {plan}");
            } else {
                let fields = fields.expect("a change that needs anything has fields");
                let message = format!("10 outdated, upgradePolicy.maxDisruption is {name}, this needs more: {fields}");
                assert_eq!(refusal(&plan), Some((10, message.as_str())), "{plan}");
                assert_eq!(touched(&plan), 0, "{plan}");
            }
        }
    }
}

#[test]
fn a_refused_change_is_told_and_started_in_no_mode() {
    for mode in MODES {
        let mut snapshot = resized();
        snapshot.set.upgrade_mode = mode;
        snapshot.set.max_disruption = MaxDisruption::Online;
        for member in &mut snapshot.members {
            member.report.health = Health::Known(scaleset_crds::vocabulary::HealthState::Healthy);
        }
        let plan = audited(&snapshot);
        assert_eq!((touched(&plan), refusal(&plan).map(|(count, _)| count)), (0, Some(10)), "{mode:?}");
        let status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
        let said = |condition: ScaleSetCondition| {
            let condition = find(&status.conditions, condition.as_str()).expect("every condition is written");
            (condition.status.as_str(), condition.reason.as_str(), condition.message.as_str())
        };
        let needs = "10 outdated, upgradePolicy.maxDisruption is Online, this needs more: vmSize (Restart)";
        let up_to_date = format!("0 of 10 have the newest model: {needs}");
        assert_eq!(said(ScaleSetCondition::UpToDate), ("False", "UpdateRefused", up_to_date.as_str()), "{mode:?}");
        assert_eq!(said(ScaleSetCondition::Stalled), ("True", "UpdateRefused", needs), "{mode:?}");
        assert_eq!(said(ScaleSetCondition::Ready), ("False", "UpdateRefused", needs), "{mode:?}");
        assert!(status.blockers.iter().any(|blocker| blocker.code == "UpdateRefused" && blocker.count == 10));
    }
}

#[test]
fn one_member_that_needs_more_holds_all_and_a_protected_one_nobody() {
    let mut snapshot = resized();
    snapshot.set.max_disruption = MaxDisruption::Restart;
    // The tenth follows a model with another image, so that it needs a reimage.
    let mut other = profile("Standard_D2s_v3");
    other.storage_profile.image_reference.version = Some("22.04.0".to_owned());
    let other =
        Revision { name: "web-other".to_owned(), profile: std::sync::Arc::new(other), ..snapshot.revisions[0].clone() };
    snapshot.revisions.push(other);
    snapshot.members[9].assigned_revision = Some("web-other".to_owned());
    snapshot.members[9].report.running_revision = Some("web-other".to_owned());
    let plan = audited(&snapshot);
    assert_eq!(touched(&plan), 0);
    assert!(
        refusal(&plan).is_some_and(|(count, message)| count == 10
            && message.ends_with("this needs more: storageProfile.imageReference (Reimage)"))
    );
    snapshot.members[9].protection = Protection::FromSetActions;
    let plan = audited(&snapshot);
    assert_eq!((assigned(&plan), refusal(&plan)), (vec!["web-0", "web-5"], None));
}

#[test]
fn a_member_whose_model_nobody_knows_may_need_anything() {
    let mut snapshot = resized();
    snapshot.set.max_disruption = MaxDisruption::Reimage;
    snapshot.members[9].assigned_revision = None;
    let plan = audited(&snapshot);
    assert_eq!(touched(&plan), 0);
    assert!(refusal(&plan).is_some_and(|(_, message)| message.ends_with("web-9 follows no known revision")));
    snapshot.set.max_disruption = MaxDisruption::Replace;
    assert!(touched(&audited(&snapshot)) > 0);
}

#[test]
fn new_members_take_the_refused_model_and_so_do_those_without_a_vm() {
    for mode in MODES {
        let mut snapshot = resized();
        snapshot.set.upgrade_mode = mode;
        snapshot.set.max_disruption = MaxDisruption::None;
        snapshot.set.replicas = Some(11);
        let report = &mut snapshot.members[7].report;
        report.running_revision = None;
        report.healthy_on_revision = None;
        report.provisioning = ProvisioningState::Failed;
        report.power = PowerState::Unknown;
        let plan = audited(&snapshot);
        assert_eq!(assigned(&plan), ["web-7"], "{mode:?}");
        assert_eq!(refusal(&plan).map(|(count, _)| count), Some(9), "{mode:?}");
        let newest = newest(&snapshot);
        assert!(created(&plan).iter().all(|member| member.revision == newest) && created(&plan).len() == 1);
    }
}

#[test]
fn a_pause_does_not_hide_a_refusal_and_a_batch_that_runs_is_finished() {
    let mut snapshot = resized();
    snapshot.set.max_disruption = MaxDisruption::None;
    snapshot.set.upgrades = UpgradeSwitch::Paused;
    assert!(refusal(&audited(&snapshot)).is_some());
    let mut snapshot = resized();
    snapshot.set.upgrade_mode = UpgradeMode::Rolling;
    let plan = audited(&snapshot);
    let batch = assigned(&plan).len();
    assert!(batch > 0);
    // The ceiling sinks while the first batch is on its way.
    for action in &plan.actions {
        if let Action::AssignRevision(assignment) = action {
            let member = snapshot.members.iter_mut().find(|member| member.name == assignment.name).unwrap();
            member.assigned_revision = Some(assignment.revision.clone());
            member.roll = assignment.roll.clone();
        }
    }
    snapshot.status.rolling_upgrade = plan.rolling_upgrade;
    snapshot.set.max_disruption = MaxDisruption::Online;
    let plan = audited(&snapshot);
    assert_eq!((touched(&plan), plan.holds[0].reason), (0, Reason::BatchInProgress));
    let newest = newest(&snapshot);
    for member in &mut snapshot.members {
        if member.assigned_revision.as_deref() == Some(newest.as_str()) {
            member.report.running_revision = Some(newest.clone());
            member.report.healthy_on_revision = Some(newest.clone());
        }
    }
    let plan = audited(&snapshot);
    assert_eq!((touched(&plan), refusal(&plan).map(|(count, _)| count)), (0, Some(10 - batch)));
    let progress = plan.rolling_upgrade.expect("it goes on when the ceiling rises").progress;
    assert_eq!(progress.successful_instance_count, i32::try_from(batch).unwrap());
}
