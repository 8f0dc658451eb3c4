//! Automatic repairs: who, how many at once, and in which order of things.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleset_crds::condition::Reason;
use scaleset_crds::repairs::{
    OrchestrationService, OrchestrationServiceName, OrchestrationServiceState, RepairAction, ServiceAction,
    ServiceSuspender,
};
use scaleset_crds::vocabulary::{HealthState, PowerState, PowerWish, ProvisioningState, UpgradeMode};
use scaleset_planning::plan::{Action, RemovalCause, Repairing, ScaleSetPlan};
use scaleset_planning::snapshot::{
    Looked, Member, MemberKind, Observation, Origin, Protection, RepairMark, RepairPolicy, RepairSwitch, RepairUptake,
    ScaleSetSnapshot, SetOperation, SetRequest,
};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};
use scaleset_planning::view::Health;

use crate::fleet::{assigned, audited, change_profile, created, deleted, newest, profile, snapshot, spread};

pub(crate) const HEALTHY: Health = Health::Known(HealthState::Healthy);
pub(crate) const UNHEALTHY: Health = Health::Known(HealthState::Unhealthy);

/// Long after everybody's last change.
pub(crate) fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_hours(1)
}

/// A set over `zones` with so many healthy members in each, all changed long ago, that repairs by `action`.
pub(crate) fn repairing(counts: &[(Option<&str>, usize)], action: RepairAction) -> ScaleSetSnapshot {
    let zones: Vec<&str> = counts.iter().filter_map(|(zone, _)| *zone).collect();
    let made: usize = counts.iter().map(|(_, count)| count).sum();
    let mut snapshot = snapshot(&zones, i32::try_from(made).expect("a small set"));
    snapshot.now = now();
    snapshot.set.upgrade_mode = UpgradeMode::Manual;
    snapshot.set.repairs = RepairPolicy { switch: RepairSwitch::On, action, ..RepairPolicy::default() };
    snapshot.members = spread(counts, &newest(&snapshot));
    for member in &mut snapshot.members {
        member.report.health = HEALTHY;
        member.report.changed_at = Some(Timestamp::UNIX_EPOCH);
    }
    snapshot.status.next_instance_id = Some(i64::try_from(made).expect("a small set"));
    snapshot
}

pub(crate) fn with_unwell(mut snapshot: ScaleSetSnapshot, unwell: &[usize]) -> ScaleSetSnapshot {
    for index in unwell {
        snapshot.members[*index].report.health = UNHEALTHY;
    }
    snapshot
}

/// Ten members without zones, the named ones unwell.
fn ten(action: RepairAction, unwell: &[usize]) -> ScaleSetSnapshot {
    with_unwell(repairing(&[(None, 10)], action), unwell)
}

pub(crate) fn mark(attempt: u32, action: RepairAction, since: Timestamp) -> RepairMark {
    RepairMark { attempt, action, since, replaces: None }
}

/// Names of the members whose repair begins, with which try it is.
pub(crate) fn begun(plan: &ScaleSetPlan) -> Vec<(String, u32)> {
    let begun = plan.actions.iter().filter_map(|action| {
        if let Action::RepairMember(Repairing { name, mark: Some(mark), .. }) = action {
            return Some((name.clone(), mark.attempt));
        }
        let Action::CreateMember(new) = action else { return None };
        let mark = new.repair.as_ref()?;
        Some((mark.replaces.clone()?, mark.attempt))
    });
    begun.collect()
}

pub(crate) fn ended(plan: &ScaleSetPlan) -> Vec<&str> {
    let ended = plan.actions.iter().filter_map(|action| {
        let Action::RepairMember(Repairing { name, mark: None, .. }) = action else { return None };
        Some(name.as_str())
    });
    ended.collect()
}

pub(crate) fn held(plan: &ScaleSetPlan, reason: Reason) -> Option<(usize, &str)> {
    plan.holds.iter().find(|hold| hold.reason == reason).map(|hold| (hold.count, hold.message.as_str()))
}

pub(crate) fn state(plan: &ScaleSetPlan) -> Option<(OrchestrationServiceState, Option<ServiceSuspender>)> {
    plan.orchestration_services.first().map(|service| (service.service_state, service.suspended_by))
}

pub(crate) fn names(begun: &[(String, u32)]) -> Vec<&str> {
    begun.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_batch_is_a_twentieth_of_the_set_and_at_least_one() {
    for (made, unwell, repaired) in
        [(1, 1, 1), (10, 3, 1), (19, 5, 1), (39, 5, 1), (40, 5, 2), (60, 9, 3), (200, 90, 10)]
    {
        let all: Vec<usize> = (0..unwell).collect();
        let plan = audited(&with_unwell(repairing(&[(None, made)], RepairAction::Restart), &all));
        assert_eq!(begun(&plan).len(), repaired, "{unwell} unwell of {made}");
        let waiting = unwell - repaired;
        assert_eq!(held(&plan, Reason::RepairsWait).map(|(count, _)| count), (waiting > 0).then_some(waiting));
    }
}

#[test]
fn who_waits_is_told_with_numbers() {
    let plan = audited(&ten(RepairAction::Restart, &[0, 1, 2]));
    let expected = "2 unhealthy wait (web-1, web-2): 1 under repair of 1 at a time (5 % of 10), 1 being changed of 2 \
                    allowed (20 % of 10)";
    assert_eq!(held(&plan, Reason::RepairsWait), Some((2, expected)));
}

#[test]
fn who_is_due_while_the_set_shrinks_is_told_why_it_waits() {
    let mut snapshot = ten(RepairAction::Restart, &[0, 1]);
    snapshot.set.replicas = Some(8);
    let plan = audited(&snapshot);
    assert_eq!((begun(&plan), deleted(&plan).len()), (Vec::new(), 2));
    let expected = "2 unhealthy wait (web-0, web-1): 2 leave by scale-in first";
    assert_eq!(held(&plan, Reason::RepairsWait), Some((2, expected)));
}

#[test]
fn each_action_does_what_azure_says() {
    for action in [RepairAction::Restart, RepairAction::Reimage] {
        let plan = audited(&ten(action, &[3]));
        assert_eq!((begun(&plan), created(&plan).len()), (vec![("web-3".to_owned(), 1)], 0), "{action:?}: it stays");
        assert!(deleted(&plan).is_empty());
    }
    let mut snapshot = ten(RepairAction::Replace, &[3]);
    change_profile(&mut snapshot, profile("Standard_D4s_v3"));
    let plan = audited(&snapshot);
    assert!(assigned(&plan).is_empty(), "the set is Manual");
    let new = created(&plan)[0];
    assert_eq!((new.name.as_str(), &new.revision), ("web-10", &newest(&snapshot)), "a new id, and the newest model");
    assert_eq!(new.repair.as_ref().and_then(|mark| mark.replaces.as_deref()), Some("web-3"));
    let position = |is: fn(&Action) -> bool| plan.actions.iter().position(is).expect("it is there");
    let making = position(|action| matches!(action, Action::CreateMember(_)));
    assert!(making < position(|action| matches!(action, Action::DeleteMember(_))), "the new one is made first");
    assert!(plan.actions.iter().filter_map(Action::removal).all(|removal| removal.cause == RemovalCause::Repair));
}

#[test]
fn those_that_are_not_known_to_be_unwell_are_left_alone() {
    type Change = fn(&mut Member);
    let table: [(&str, Change); 15] = [
        ("protected from scale-in", |m| m.protection = Protection::FromScaleIn),
        ("protected from actions", |m| m.protection = Protection::FromSetActions),
        ("provisioning failed", |m| m.report.provisioning = ProvisioningState::Failed),
        ("being changed", |m| m.report.provisioning = ProvisioningState::Updating),
        ("healthy", |m| m.report.health = HEALTHY),
        ("never reported", |m| m.report.health = Health::Missing),
        ("no source", |m| m.report.health = Health::NoSource),
        ("coming up", |m| m.report.health = Health::Known(HealthState::Initializing)),
        ("hardware does not answer", |m| m.report.observation = Observation::Unseen),
        ("looked at by a former process", |m| m.report.looked = Looked::BeforeStart),
        ("power unknown", |m| m.report.power = PowerState::Unknown),
        ("stopped by a person", |m| m.power_wish = PowerWish::Deallocated),
        ("changed a moment ago", |m| m.report.changed_at = Some(now())),
        ("never seen", |m| m.report.changed_at = None),
        ("takes a model", |m| m.report.running_revision = Some("older".to_owned())),
    ];
    for (what, change) in table {
        let mut snapshot = ten(RepairAction::Restart, &[3]);
        change(&mut snapshot.members[3]);
        assert!(begun(&audited(&snapshot)).is_empty(), "{what}");
    }
    let mut snapshot = ten(RepairAction::Replace, &[3]);
    snapshot.hardware_silence = Some("it does not answer".to_owned());
    assert!(audited(&snapshot).actions.is_empty(), "the region is silent");
}

#[test]
fn an_application_that_does_not_answer_is_repaired() {
    let mut snapshot = ten(RepairAction::Restart, &[3]);
    snapshot.members[3].report.health = Health::Known(HealthState::Unknown);
    assert_eq!(names(&begun(&audited(&snapshot))), ["web-3"]);
}

#[test]
fn grace_ends_to_the_second_and_the_next_pass_is_then() {
    for (seconds, repaired) in [(599, false), (600, true)] {
        let mut snapshot = ten(RepairAction::Restart, &[3]);
        snapshot.members[3].report.changed_at = Some(now() - Duration::from_secs(seconds));
        let plan = audited(&snapshot);
        assert_eq!(!begun(&plan).is_empty(), repaired, "{seconds} s after its last change");
        assert_eq!(plan.wake_after, (!repaired).then_some(Duration::from_secs(1)));
        assert_eq!(
            held(&plan, Reason::RepairsWait),
            (!repaired).then_some((1, "1 unhealthy (web-3): in the grace of 600 s after their last change"))
        );
    }
}

#[test]
fn vms_made_by_hand_are_restarted_and_nothing_else() {
    for (action, repaired) in [(RepairAction::Restart, 1), (RepairAction::Reimage, 0), (RepairAction::Replace, 0)] {
        let mut snapshot = ten(action, &[3]);
        let by_hand = &mut snapshot.members[3];
        (by_hand.origin, by_hand.kind, by_hand.assigned_revision) = (Origin::Hand, MemberKind::FlexVM, None);
        snapshot.set.replicas = Some(9);
        assert_eq!(begun(&audited(&snapshot)).len(), repaired, "{action:?}");
    }
}

#[test]
fn a_repair_is_under_way_until_it_has_helped_or_its_grace_is_over() {
    type Change = fn(&mut Member);
    let table: [(&str, Change, usize); 7] = [
        ("the hardware has yet to do it", |m| m.report.repair = RepairUptake::Awaited, 0),
        ("it restarts", |m| m.report.provisioning = ProvisioningState::Updating, 0),
        ("its application comes up", |m| m.report.health = Health::Known(HealthState::Initializing), 0),
        ("not well yet", |_| {}, 0),
        ("well, on trial", |m| m.report.health = HEALTHY, 1),
        ("it did not come up", |m| m.report.provisioning = ProvisioningState::Failed, 1),
        ("stopped by a person", |m| m.power_wish = PowerWish::Stopped, 1),
    ];
    for (what, change, others) in table {
        let mut snapshot = ten(RepairAction::Restart, &[3, 4]);
        snapshot.members[3].repair = Some(mark(1, RepairAction::Restart, now() - Duration::from_mins(1)));
        snapshot.members[3].report.changed_at = Some(now() - Duration::from_secs(30));
        change(&mut snapshot.members[3]);
        let plan = audited(&snapshot);
        assert_eq!(names(&begun(&plan)), ["web-4"][..others].to_vec(), "{what}");
        assert!(ended(&plan).is_empty(), "{what}: its mark stays");
    }
}

#[test]
fn a_member_that_stays_healthy_loses_its_mark_and_one_that_does_not_is_tried_again() {
    let since = now() - Duration::from_secs(700);
    let mut snapshot = ten(RepairAction::Restart, &[3]);
    snapshot.members[3].repair = Some(mark(2, RepairAction::Restart, since));
    assert_eq!(begun(&audited(&running_since(snapshot.clone(), Timestamp::UNIX_EPOCH))), [("web-3".to_owned(), 3)]);
    snapshot.members[3].report.health = HEALTHY;
    let plan = audited(&snapshot);
    assert_eq!((ended(&plan), begun(&plan)), (vec!["web-3"], Vec::new()));
}

/// The service runs since then.
pub(crate) fn running_since(mut snapshot: ScaleSetSnapshot, since: Timestamp) -> ScaleSetSnapshot {
    snapshot.status.orchestration_services = vec![OrchestrationService {
        service_name: OrchestrationServiceName::AutomaticRepairs,
        service_state: OrchestrationServiceState::Running,
        suspended_by: None,
        last_status_change_time: Time(since),
        message: None,
    }];
    snapshot
}

#[test]
fn an_untried_member_comes_before_one_that_was_repaired_in_vain() {
    let mut snapshot = running_since(ten(RepairAction::Restart, &[0, 7]), Timestamp::UNIX_EPOCH);
    snapshot.members[0].repair = Some(mark(1, RepairAction::Restart, now() - Duration::from_secs(700)));
    assert_eq!(begun(&audited(&snapshot)), [("web-7".to_owned(), 1)]);
}

#[test]
fn three_repairs_in_vain_suspend_the_service_and_a_person_resumes_it() {
    let mut snapshot = running_since(ten(RepairAction::Restart, &[3, 4]), Timestamp::UNIX_EPOCH);
    snapshot.members[3].repair = Some(mark(3, RepairAction::Restart, now() - Duration::from_secs(700)));
    let plan = audited(&snapshot);
    assert_eq!(state(&plan), Some((OrchestrationServiceState::Suspended, Some(ServiceSuspender::Platform))));
    assert!(begun(&plan).is_empty());
    let why = "2 unhealthy are not repaired (web-3, web-4): 1 still unhealthy after 3 repairs in a row (Restart): web-3; \
               the operation SetOrchestrationServiceState resumes repairs";
    assert_eq!(held(&plan, Reason::RepairsSuspended), Some((2, why)));
    let status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
    let stalled = status.conditions.iter().find(|condition| condition.type_ == "Stalled").expect("it is told");
    assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "RepairsSuspended"));
    let view = status.instance_view.as_ref().expect("it is there");
    assert_eq!(view.orchestration_services[0].service_state, OrchestrationServiceState::Suspended);
    snapshot.status = status;
    assert!(begun(&audited(&snapshot)).is_empty(), "until somebody resumes it");
    ask(&mut snapshot, ServiceAction::Resume);
    let plan = audited(&snapshot);
    assert_eq!(state(&plan), Some((OrchestrationServiceState::Running, None)));
    assert_eq!(begun(&plan), [("web-3".to_owned(), 1)], "failures begin to count anew");
}

fn ask(snapshot: &mut ScaleSetSnapshot, action: ServiceAction) {
    snapshot.operations = vec![SetOperation { name: "op".to_owned(), request: SetRequest::SetServiceState(action) }];
}

#[test]
fn how_many_may_fail_is_the_policys() {
    let mut snapshot = running_since(ten(RepairAction::Restart, &[3]), Timestamp::UNIX_EPOCH);
    snapshot.members[3].repair = Some(mark(3, RepairAction::Restart, now() - Duration::from_secs(700)));
    snapshot.set.repairs.failures_max = 4;
    assert_eq!(begun(&audited(&snapshot)), [("web-3".to_owned(), 4)]);
}

#[test]
fn the_service_follows_the_policy_and_what_a_person_asks_for() {
    use OrchestrationServiceState::{NotRunning, Running, Suspended};
    let by_user = Some((Suspended, Some(ServiceSuspender::User)));
    for (switch, asked, expected) in [
        (RepairSwitch::Absent, None, None),
        (RepairSwitch::Off, None, Some((NotRunning, None))),
        (RepairSwitch::Off, Some(ServiceAction::Suspend), Some((NotRunning, None))),
        (RepairSwitch::On, None, Some((Running, None))),
        (RepairSwitch::On, Some(ServiceAction::Resume), Some((Running, None))),
        (RepairSwitch::On, Some(ServiceAction::Suspend), by_user),
    ] {
        let mut snapshot = ten(RepairAction::Restart, &[3]);
        snapshot.set.repairs.switch = switch;
        if let Some(action) = asked {
            ask(&mut snapshot, action);
        }
        let plan = audited(&snapshot);
        assert_eq!(state(&plan), expected, "{switch:?}, {asked:?}");
        let runs = expected == Some((Running, None));
        assert_eq!(begun(&plan).len(), usize::from(runs), "{switch:?}, {asked:?}");
        let by_hand = held(&plan, Reason::RepairsSuspendedByUser).is_some();
        assert_eq!(by_hand, expected == by_user, "{switch:?}, {asked:?}");
    }
}

#[test]
fn a_policy_that_is_turned_off_takes_the_marks_off() {
    let mut snapshot = ten(RepairAction::Restart, &[3]);
    snapshot.members[3].repair = Some(mark(1, RepairAction::Restart, now()));
    snapshot.members[3].report.repair = RepairUptake::Awaited;
    snapshot.set.repairs.switch = RepairSwitch::Off;
    assert_eq!(ended(&audited(&snapshot)), ["web-3"], "what the hardware has not begun is not begun any more");
}

#[test]
fn a_zone_that_goes_bad_waits_behind_one_probe_and_others_go_on() {
    let zones = [(Some("1"), 20), (Some("2"), 20), (Some("3"), 20)];
    let unwell: Vec<usize> = (0..20).chain([25, 26]).collect();
    let mut snapshot = with_unwell(repairing(&zones, RepairAction::Restart), &unwell);
    let plan = audited(&snapshot);
    assert_eq!(names(&begun(&plan)), ["web-25", "web-26", "web-0"], "three at a time: elsewhere first, then one probe");
    let behind = "20 of 20 down (zone 1, Standard_D2s_v3, Canonical:ubuntu-server:22_04-lts 22.04.1), 19 wait behind the \
                  repair of web-0: web-5, web-10, web-15, web-1, web-6 and 14 more";
    assert_eq!(held(&plan, Reason::RepairBreakerOpen), Some((19, behind)));
    for index in [0, 25, 26] {
        snapshot.members[index].repair = Some(mark(1, RepairAction::Restart, now()));
        snapshot.members[index].report.health = HEALTHY;
    }
    snapshot.members[0].report.health = Health::Known(HealthState::Initializing);
    assert!(begun(&audited(&snapshot)).is_empty(), "the probe has not helped yet");
    snapshot.members[0].report.health = HEALTHY;
    assert_eq!(names(&begun(&audited(&snapshot))), ["web-5"], "it has: the next, one at a time while most are down");
    (0..12).for_each(|index| snapshot.members[index].report.health = HEALTHY);
    assert_eq!(begun(&audited(&snapshot)).len(), 3, "no more than half are down");
}

#[test]
fn upgrades_and_repairs_share_one_allowance() {
    // Five members: one may be changed at a time.
    let five = |unwell: &[usize]| with_unwell(repairing(&[(None, 5)], RepairAction::Restart), unwell);
    let mut snapshot = five(&[3]);
    snapshot.members[1].report.provisioning = ProvisioningState::Updating;
    let plan = audited(&snapshot);
    assert!(begun(&plan).is_empty(), "web-1 is being changed");
    assert_eq!(held(&plan, Reason::RepairsWait).map(|(count, _)| count), Some(1));

    let mut snapshot = five(&[]);
    snapshot.members[3].repair = Some(mark(1, RepairAction::Restart, now()));
    snapshot.members[3].report.repair = RepairUptake::Awaited;
    snapshot.set.upgrade_mode = UpgradeMode::Automatic;
    change_profile(&mut snapshot, profile("Standard_D4s_v3"));
    assert!(assigned(&audited(&snapshot)).is_empty(), "web-3 is about to restart");

    let mut snapshot = with_unwell(snapshot, &[3]);
    snapshot.members[3].repair = None;
    snapshot.members[3].report.repair = RepairUptake::Done;
    let plan = audited(&snapshot);
    assert_eq!((assigned(&plan), begun(&plan)), (vec!["web-3"], Vec::new()), "who is upgraded is not repaired as well");
}

#[test]
fn a_pass_that_died_between_the_new_member_and_the_deletion_is_finished() {
    let mut snapshot = ten(RepairAction::Replace, &[3]);
    let mut new = crate::fleet::member(10, None, None, &newest(&snapshot));
    let replaces = Some("web-3".to_owned());
    new.repair = Some(RepairMark { replaces, ..mark(1, RepairAction::Replace, now()) });
    new.report.provisioning = ProvisioningState::Creating;
    snapshot.members.push(new);
    snapshot.status.next_instance_id = Some(11);
    let plan = audited(&snapshot);
    assert_eq!((deleted(&plan), created(&plan).len()), (vec!["web-3"], 0));
    snapshot.members[3].protection = Protection::FromScaleIn;
    assert!(!deleted(&audited(&snapshot)).contains(&"web-3"), "somebody has protected it meanwhile");
}

#[test]
fn a_mark_is_spelled_and_read_alike() {
    let plain = mark(2, RepairAction::Restart, now());
    let replacing = RepairMark { replaces: Some("web-3".to_owned()), ..mark(1, RepairAction::Replace, now()) };
    for (mark, spelled) in
        [(plain, "2 Restart 1970-01-01T01:00:00Z"), (replacing, "1 Replace 1970-01-01T01:00:00Z web-3")]
    {
        assert_eq!(mark.to_string(), spelled);
        assert_eq!(RepairMark::parse(spelled), Some(mark));
    }
    for text in ["", "1", "1 Restart", "x Restart 1970-01-01T01:00:00Z", "1 Burn 1970-01-01T01:00:00Z"] {
        assert_eq!(RepairMark::parse(text), None, "{text}");
    }
}
