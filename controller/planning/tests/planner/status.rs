//! What people read of a set.

use jiff::Timestamp;
use scaleset_crds::condition::{Reason, ScaleSetCondition, find};
use scaleset_crds::vocabulary::{HealthState, PowerState, PowerWish, ProvisioningState, UpgradeMode};
use scaleset_crds::{ScaleSetStatus, condition};
use scaleset_planning::scale_set::plan;
use scaleset_planning::snapshot::{Failure, Observation, Origin, Pending, ScaleSetSnapshot, SetLife, UpgradeSwitch};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};
use scaleset_planning::view::Health;

use crate::fleet::{audited, change_profile, newest, profile, snapshot, spread};

fn converged() -> ScaleSetSnapshot {
    let mut snapshot = snapshot(&["1", "2", "3"], 6);
    snapshot.members = spread(&[(Some("1"), 2), (Some("2"), 2), (Some("3"), 2)], &newest(&snapshot));
    snapshot
}

fn status_of(snapshot: &ScaleSetSnapshot) -> ScaleSetStatus {
    scale_set_status(snapshot, &plan(snapshot), &ScaleSetOutcome::default())
}

fn verdict(status: &ScaleSetStatus, condition: ScaleSetCondition) -> (String, String) {
    let found = find(&status.conditions, condition.as_str()).expect("all conditions are written");
    (found.status.clone(), found.reason.clone())
}

fn pair(status: &str, reason: Reason) -> (String, String) {
    (status.to_owned(), reason.as_str().to_owned())
}

#[test]
fn a_converged_set_is_ready_and_counts() {
    let status = status_of(&converged());
    for (condition, expected) in [
        (ScaleSetCondition::Ready, pair("True", Reason::Ready)),
        (ScaleSetCondition::Available, pair("True", Reason::MinimumAvailable)),
        (ScaleSetCondition::UpToDate, pair("True", Reason::ModelApplied)),
        (ScaleSetCondition::Progressing, pair("False", Reason::Converged)),
        (ScaleSetCondition::CapacitySatisfied, pair("True", Reason::Allocated)),
        (ScaleSetCondition::Paused, pair("False", Reason::NotPaused)),
        (ScaleSetCondition::Reconciling, pair("False", Reason::Converged)),
        (ScaleSetCondition::Stalled, pair("False", Reason::Converged)),
    ] {
        assert_eq!(verdict(&status, condition), expected, "{condition}");
    }
    assert_eq!(status.zones_summary.as_deref(), Some("1:2 2:2 3:2"));
    assert_eq!(status.selector.as_deref(), Some("compute.scaleset.io/scale-set=web"));
    assert_eq!(
        (status.capacity, status.replicas, status.ready_replicas, status.updated_replicas),
        (Some(6), Some(6), Some(6), Some(6))
    );
    let codes: Vec<(String, i32)> =
        status.instance_view.unwrap().statuses_summary.into_iter().map(|line| (line.code, line.count)).collect();
    assert_eq!(codes, [("PowerState/running".to_owned(), 6), ("ProvisioningState/succeeded".to_owned(), 6)]);
}

#[test]
fn a_manual_set_with_outdated_members_is_ready_and_not_up_to_date() {
    let mut snapshot = converged();
    snapshot.set.upgrade_mode = UpgradeMode::Manual;
    change_profile(&mut snapshot, profile("Standard_D4s_v3"));
    let status = status_of(&snapshot);
    assert_eq!(verdict(&status, ScaleSetCondition::Ready).0, "True");
    assert_eq!(verdict(&status, ScaleSetCondition::UpToDate), pair("False", Reason::ManualUpgradePolicy));
    assert_eq!(status.updated_replicas, Some(0));
    assert_eq!(status.blockers[0].count, 6);
}

#[test]
fn an_automatic_set_is_ready_only_when_everybody_follows_or_it_is_paused() {
    let mut snapshot = converged();
    change_profile(&mut snapshot, profile("Standard_D4s_v3"));
    assert_eq!(verdict(&status_of(&snapshot), ScaleSetCondition::Ready), pair("False", Reason::Upgrading));
    snapshot.set.upgrades = UpgradeSwitch::Paused;
    let paused = status_of(&snapshot);
    assert_eq!(verdict(&paused, ScaleSetCondition::Ready).0, "True");
    assert_eq!(verdict(&paused, ScaleSetCondition::UpToDate), pair("False", Reason::Paused));
    assert_eq!(verdict(&paused, ScaleSetCondition::Paused), pair("True", Reason::Paused));
}

#[test]
fn what_a_person_must_mend_stalls_and_what_time_mends_does_not() {
    let mut snapshot = converged();
    change_profile(&mut snapshot, profile("Standard_Nope"));
    let stalled = status_of(&snapshot);
    assert_eq!(verdict(&stalled, ScaleSetCondition::Stalled), pair("True", Reason::SkuNotAvailable));
    assert_eq!(verdict(&stalled, ScaleSetCondition::Ready), pair("False", Reason::SkuNotAvailable));
    assert_eq!(verdict(&stalled, ScaleSetCondition::Reconciling).0, "False");

    let mut full = converged();
    full.members[3].report.provisioning = ProvisioningState::Failed;
    full.members[3].report.failure = Some(Failure { reason: Reason::AllocationFailed, message: "full".to_owned() });
    let waiting = status_of(&full);
    assert_eq!(verdict(&waiting, ScaleSetCondition::CapacitySatisfied), pair("False", Reason::AllocationFailed));
    assert_eq!(verdict(&waiting, ScaleSetCondition::Stalled).0, "False");
    assert_eq!(verdict(&waiting, ScaleSetCondition::Reconciling).0, "True");
}

#[test]
fn what_the_region_does_not_have_is_refused_before_anything_is_made() {
    let network = |change: &dyn Fn(&mut scaleset_crds::profile::NetworkProfile)| {
        let mut snapshot = converged();
        let mut changed = profile("Standard_D2s_v3");
        change(&mut changed.network_profile);
        change_profile(&mut snapshot, changed);
        let plan = audited(&snapshot);
        let hold = plan.holds.into_iter().find(|hold| hold.reason == Reason::InvalidParameter);
        hold.map(|hold| hold.message).unwrap_or_default()
    };
    let path = "spec.virtualMachineProfile.networkProfile";
    let group = network(&|network| network.network_interfaces[0].network_security_group = Some("nope".to_owned()));
    assert_eq!(
        group,
        format!("{path}.networkInterfaces[nic0].networkSecurityGroup: nope does not exist; there are web-nsg")
    );
    let probe = serde_json::json!({"loadBalancer": "nope", "protocol": "Tcp", "port": 22});
    let balancer =
        network(&|network| network.health_probe = Some(serde_json::from_value(probe.clone()).expect("a probe")));
    assert_eq!(balancer, format!("{path}.healthProbe.loadBalancer: nope does not exist; there are web-lb"));
}

#[test]
fn members_stopped_by_wish_hold_nothing_back() {
    let mut snapshot = converged();
    snapshot.members[0].power_wish = PowerWish::Deallocated;
    snapshot.members[0].report.power = PowerState::Deallocated;
    let status = status_of(&snapshot);
    assert_eq!(verdict(&status, ScaleSetCondition::Ready).0, "True");
    assert_eq!((status.ready_replicas, status.replicas), (Some(5), Some(6)));
}

#[test]
fn hand_made_members_add_to_the_capacity() {
    let mut snapshot = converged();
    snapshot.set.replicas = Some(5);
    snapshot.members[5].origin = Origin::Hand;
    let status = status_of(&snapshot);
    assert_eq!((status.target_replicas, status.capacity), (Some(5), Some(6)));
    assert_eq!(status.blockers[0].code, "HandMadeMember");
}

#[test]
fn a_terminating_set_with_hand_made_members_names_them() {
    let mut snapshot = converged();
    snapshot.set.life = SetLife::Terminating;
    snapshot.members[2].origin = Origin::Hand;
    let planned = plan(&snapshot);
    assert!(planned.actions.is_empty());
    let status = scale_set_status(&snapshot, &planned, &ScaleSetOutcome::default());
    let ready = condition::find(&status.conditions, "Ready").unwrap();
    assert_eq!(ready.reason, "OperationNotAllowed");
    assert!(ready.message.contains("web-2"), "{}", ready.message);
}

#[test]
fn an_equal_status_stays_equal_and_a_blocker_keeps_its_time() {
    let mut snapshot = converged();
    snapshot.set.upgrade_mode = UpgradeMode::Manual;
    change_profile(&mut snapshot, profile("Standard_D4s_v3"));
    snapshot.status = status_of(&snapshot);
    snapshot.wall_now = Timestamp::from_second(3_600).unwrap();
    snapshot.now = snapshot.wall_now;
    assert_eq!(status_of(&snapshot), snapshot.status);
}

#[test]
fn what_members_wait_for_is_a_blocker_and_the_first_stand_in_progressing() {
    let mut snapshot = converged();
    let failure = |reason, message: &str| Some(Failure { reason, message: message.to_owned() });
    // A machine that is well and could not be changed, one that failed, one that nobody sees, two that are unwell.
    snapshot.members[0].report.failure = failure(Reason::ZonalAllocationFailed, "zone 1 has no room");
    snapshot.members[1].report.failure = failure(Reason::OSProvisioningTimedOut, "no boot");
    snapshot.members[1].report.provisioning = ProvisioningState::Failed;
    snapshot.members[2].report.observation = Observation::Unseen;
    snapshot.members[3].report.health = Health::Known(HealthState::Unhealthy);
    snapshot.members[4].report.health = Health::Known(HealthState::Unhealthy);
    snapshot.members[5].report.pending = Pending::NextReimage;
    let status = status_of(&snapshot);
    let blockers: Vec<(&str, i32, &str)> = status
        .blockers
        .iter()
        .map(|blocker| (blocker.code.as_str(), blocker.count, blocker.message.as_str()))
        .collect();
    assert_eq!(
        blockers,
        [
            ("HardwareUnavailable", 1, "1 not as wished (web-2): nobody can tell how they are"),
            ("OSProvisioningTimedOut", 1, "1 not as wished (web-1): no boot"),
            ("PendingReimage", 1, "1 not as wished (web-5): some fields are taken with the next reimage"),
            ("Unhealthy", 2, "2 not as wished (web-3, web-4): the application answers badly"),
            ("ZonalAllocationFailed", 1, "1 not as wished (web-0): zone 1 has no room"),
        ]
    );
    let progressing = find(&status.conditions, "Progressing").expect("all conditions are written");
    let held = progressing.message.split_once("; held back: ").expect("it ends with what is held back").1;
    assert!(held.starts_with("ZonalAllocationFailed: 1 not as wished (web-0): zone 1 has no room; "), "{held}");
    assert_eq!(held.matches("not as wished").count(), 3, "only the first: {held}");
    for settled in [HealthState::Healthy, HealthState::Initializing] {
        let mut snapshot = converged();
        snapshot.members[0].report.health = Health::Known(settled);
        snapshot.members[1].power_wish = PowerWish::Stopped;
        snapshot.members[1].report.power = PowerState::Stopped;
        snapshot.members[2].report.provisioning = ProvisioningState::Updating;
        snapshot.members[2].report.power = PowerState::Starting;
        assert!(status_of(&snapshot).blockers.is_empty(), "{settled:?}: all are well or on their way");
    }
}
