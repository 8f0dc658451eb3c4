//! Operations: their turn, what they refuse, what they settle on, what they write, how they end.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleset_crds::condition::{Reason, find};
use scaleset_crds::operation::{InstanceOperation, OperationInstance, OperationState, OperationType};
use scaleset_crds::os_upgrade::OsUpgradeTarget;
use scaleset_crds::profile::ImageReference;
use scaleset_crds::vocabulary::{
    OrchestrationMode, OsUpgradeStarter, PowerWish, ProvisioningState, RollingUpgradeCode, UpgradeMode,
};
use scaleset_crds::{OperationStatus, ScaleSetOperationSpec};
use scaleset_planning::operation::{OperationPlan, OperationStep, OperationWrite, plan};
use scaleset_planning::snapshot::{
    Confirmation, EarlierOperation, Failure, ImageVersions, MemberKind, MemberLife, Observation, OperationMember,
    OperationScope, OperationSet, OperationSnapshot, OperationTargetFacts, Origin, Protection, RepairSwitch,
    SpotHardware, UpgradeSwitch,
};
use scaleset_planning::status::operation::operation_status;
use serde_json::json;

fn now() -> Timestamp {
    Timestamp::from_second(1_000).expect("a second is a timestamp")
}

pub(crate) fn member(id: &str) -> OperationMember {
    OperationMember {
        kind: MemberKind::ScaleSetVM,
        name: format!("web-{id}"),
        instance_id: id.to_owned(),
        uid: format!("uid-{id}"),
        resource_version: "1".to_owned(),
        life: MemberLife::Live,
        origin: Origin::Set,
        protection: Protection::None,
        spot_hardware: SpotHardware::None,
        power_wish: PowerWish::Running,
        power_operation: None,
        assigned_revision: Some("old".to_owned()),
        running_revision: Some("old".to_owned()),
        observation: Observation::Current,
        provisioning: ProvisioningState::Succeeded,
        trouble: None,
        operations: Vec::new(),
        scheduled_events: Vec::new(),
    }
}

fn set() -> OperationSet {
    OperationSet {
        uid: "set-uid".to_owned(),
        resource_version: "7".to_owned(),
        life: MemberLife::Live,
        mode: OrchestrationMode::Uniform,
        observation: Observation::Current,
        image: ImageVersions::Exact,
        upgrade_mode: UpgradeMode::Manual,
        upgrades: UpgradeSwitch::On,
        target: 3,
        target_in_force: 3,
        confirmation: Confirmation::None,
        last_delete: None,
        newest_revision: Some("new".to_owned()),
        failed_revisions: Vec::new(),
        upgrade_refusal: None,
        holds_upgrades: None,
        rolling_upgrade: None,
        repairs: RepairSwitch::Absent,
        orchestration_services: Vec::new(),
        noted_evictions: BTreeSet::new(),
        members: ["0", "1", "2"].map(member).to_vec(),
    }
}

fn spec(operation_type: OperationType, ids: &[&str]) -> ScaleSetOperationSpec {
    serde_json::from_value(json!({
        "target": {"kind": "ScaleSet", "name": "web"},
        "type": operation_type,
        "instanceIds": ids,
    }))
    .expect("the spec is whole")
}

pub(crate) fn asked(operation_type: OperationType, ids: &[&str]) -> OperationSnapshot {
    OperationSnapshot {
        wall_now: now(),
        uid: "operation".to_owned(),
        generation: 1,
        life: MemberLife::Live,
        created: now(),
        spec: spec(operation_type, ids),
        target: OperationTargetFacts::ScaleSet(Box::new(set())),
        earlier: Vec::new(),
        status: OperationStatus::default(),
    }
}

pub(crate) fn with(mut snapshot: OperationSnapshot, change: impl FnOnce(&mut OperationSet)) -> OperationSnapshot {
    match &mut snapshot.target {
        OperationTargetFacts::ScaleSet(set) => change(set),
        OperationTargetFacts::Missing | OperationTargetFacts::FlexVM(_) => panic!("it is about a set"),
    }
    snapshot
}

/// The same operation after a pass that has written its status.
pub(crate) fn after(mut snapshot: OperationSnapshot) -> OperationSnapshot {
    let OperationPlan { step, wake_after: _ } = plan(&snapshot);
    if let Some(status) = operation_status(&snapshot, &step) {
        snapshot.status = status;
    }
    snapshot
}

pub(crate) fn settled_on(snapshot: &OperationSnapshot) -> Vec<&str> {
    snapshot.status.instances.iter().map(|instance| instance.instance_id.as_str()).collect()
}

fn condition(snapshot: &OperationSnapshot, name: &str) -> (String, String, String) {
    let found = find(&snapshot.status.conditions, name).expect("every condition is written");
    (found.status.clone(), found.reason.clone(), found.message.clone())
}

pub(crate) fn refused(snapshot: OperationSnapshot) -> (String, String) {
    let ended = after(snapshot);
    let (status, reason, message) = condition(&ended, "Failed");
    assert_eq!(status, "True", "{reason}: {message}");
    assert!(ended.status.completion_time.is_some() && ended.status.instances.is_empty());
    (reason, message)
}

pub(crate) fn earlier(operation_type: OperationType, scope: OperationScope) -> EarlierOperation {
    EarlierOperation { name: "first".to_owned(), operation_type, scope }
}

pub(crate) fn these(ids: &[&str]) -> OperationScope {
    OperationScope::These(ids.iter().map(|id| (*id).to_owned()).collect())
}

#[test]
fn who_is_about_the_same_vms_waits_for_who_came_first() {
    use OperationType::{CancelRollingUpgrade, Delete, Restart, StartRollingUpgrade};
    let table = [
        (Restart, vec!["0"], earlier(Restart, these(&["0", "2"])), true),
        (Restart, vec!["1"], earlier(Restart, these(&["0", "2"])), false),
        (Restart, vec!["*"], earlier(Restart, these(&["2"])), true),
        (Restart, vec![], earlier(Restart, OperationScope::All), true),
        (Restart, vec!["1"], earlier(Restart, OperationScope::All), true),
        // The set has one mark for a lowered count.
        (Delete, vec!["1"], earlier(Delete, these(&["2"])), true),
        (Delete, vec!["1"], earlier(Restart, these(&["2"])), false),
        // An upgrade may take hours, and is cancelled while it runs.
        (CancelRollingUpgrade, vec![], earlier(StartRollingUpgrade, these(&[])), false),
        (Restart, vec![], earlier(StartRollingUpgrade, these(&[])), false),
    ];
    for (operation_type, ids, first, waits) in table {
        let label = format!("{operation_type:?} {ids:?} after {first:?}");
        let snapshot = OperationSnapshot { earlier: vec![first], ..asked(operation_type, &ids) };
        let queued = matches!(plan(&snapshot).step, OperationStep::Wait { reason: Reason::Queued, .. });
        assert_eq!(queued, waits, "{label}");
        assert_eq!(plan(&snapshot).wake_after.is_some(), waits, "{label}");
    }
}

#[test]
fn a_target_that_is_not_seen_yet_is_waited_for_a_while_and_then_does_not_exist() {
    let missing = OperationSnapshot { target: OperationTargetFacts::Missing, ..asked(OperationType::Restart, &[]) };
    let waiting = plan(&missing);
    assert!(matches!(waiting.step, OperationStep::Wait { reason: Reason::ResourceNotFound, .. }));
    assert_eq!(waiting.wake_after, Some(Duration::from_secs(5)));
    let old = OperationSnapshot { created: now() - Duration::from_secs(6), ..missing };
    let message = "spec.target: ScaleSet web does not exist in this namespace".to_owned();
    assert_eq!(refused(old), ("ResourceNotFound".to_owned(), message));
}

#[test]
fn what_cannot_be_carried_out_fails_and_says_why() {
    use OperationType::{CancelRollingUpgrade, ManualUpgrade, ReimageAll, Restart, StartRollingUpgrade};
    let rolling = |set: &mut OperationSet| set.upgrade_mode = UpgradeMode::Rolling;
    let refusals = [
        refused(asked(Restart, &["0", "7", "web-1"])),
        refused(with(asked(Restart, &["0"]), |set| set.members[0].life = MemberLife::Terminating)),
        refused(with(asked(Restart, &["0"]), |set| set.life = MemberLife::Terminating)),
        refused(with(asked(ReimageAll, &[]), |set| set.mode = OrchestrationMode::Flexible)),
        refused(with(asked(ManualUpgrade, &["*"]), |set| set.upgrades = UpgradeSwitch::Paused)),
        refused(with(asked(ManualUpgrade, &["0"]), |set| set.members[0].origin = Origin::Hand)),
        refused(with(asked(ManualUpgrade, &["*"]), |set| set.newest_revision = None)),
        refused(asked(StartRollingUpgrade, &[])),
        refused(with(asked(CancelRollingUpgrade, &[]), rolling)),
    ];
    let refusals: Vec<String> = refusals.iter().map(|(reason, message)| format!("{reason}: {message}")).collect();
    let expected = [
        "InvalidParameter: spec.instanceIds: the set has no instance 7, web-1; of a Uniform set they are numbers, as in \
         the column ID",
        "InvalidParameter: spec.instanceIds: the set has no instance 0; of a Uniform set they are numbers, as in the \
         column ID",
        "ResourceNotFound: spec.target: ScaleSet web is being deleted",
        "OperationNotAllowed: spec.type: ReimageAll is for Uniform sets only; use Reimage",
        "OperationNotAllowed: upgradePolicy.paused of the set is true",
        "HandMadeMember: spec.instanceIds: web-0 made by hand, change their own specs",
        "OperationNotAllowed: the set has no virtualMachineProfile to upgrade to",
        "OperationNotAllowed: upgradePolicy.mode of the set is Manual, it must be Rolling; \
             an upgrade of the OS image would need the image version latest",
        "OperationNotAllowed: no rolling upgrade is running",
    ];
    assert_eq!(refusals, expected);
}

#[test]
fn all_skips_the_protected_and_a_name_does_not() {
    let protect = |set: &mut OperationSet| {
        set.members[0].protection = Protection::FromSetActions;
        set.members[1].protection = Protection::FromScaleIn;
        set.members[2].origin = Origin::Hand;
    };
    let on = |operation_type, ids: &[&str]| after(with(asked(operation_type, ids), protect));
    assert_eq!(settled_on(&on(OperationType::Restart, &[])), ["1", "2"]);
    assert_eq!(settled_on(&on(OperationType::Delete, &["*"])), ["1", "2"]);
    assert_eq!(settled_on(&on(OperationType::ManualUpgrade, &["*"])), ["1"], "people upgrade their own VMs");
    assert_eq!(settled_on(&on(OperationType::Restart, &["0", "2"])), ["0", "2"]);
}

#[test]
fn an_eviction_of_all_is_one_of_the_spot_vms_that_hold_hardware() {
    let mixed = |set: &mut OperationSet| set.members[1].spot_hardware = SpotHardware::Held;
    let on = |ids: &[&str]| after(with(asked(OperationType::SimulateEviction, ids), mixed));
    assert_eq!(settled_on(&on(&["*"])), ["1"]);
    assert_eq!(settled_on(&on(&["0", "1"])), ["0", "1"], "who is named is tried, and fails where it is regular");
    let nobody = after(with(asked(OperationType::SimulateEviction, &["*"]), |_| {}));
    assert_eq!(settled_on(&nobody), Vec::<&str>::new());
}

#[test]
fn what_is_about_nobody_is_done_at_once() {
    let empty = after(with(asked(OperationType::Restart, &[]), |set| set.members.clear()));
    assert_eq!(condition(&empty, "Complete").0, "True");
    assert_eq!(empty.status.total, Some(0));
}

#[test]
fn what_depends_on_the_newest_model_waits_until_it_has_been_looked_at() {
    let behind = |operation_type| {
        let snapshot = with(asked(operation_type, &["0"]), |set| set.observation = Observation::Behind);
        matches!(plan(&snapshot).step, OperationStep::Wait { reason: Reason::Waiting, .. })
    };
    assert!(behind(OperationType::ManualUpgrade) && behind(OperationType::Delete));
    assert!(!behind(OperationType::Restart));
}

fn writes(snapshot: &OperationSnapshot) -> Vec<OperationWrite> {
    let OperationStep::GoOn { writes, progress: _ } = plan(snapshot).step else { panic!("it is under way") };
    writes
}

#[test]
fn a_power_wish_is_written_once_and_left_to_whoever_changes_it_then() {
    let begun = after(asked(OperationType::Deallocate, &["0", "1"]));
    let wished: Vec<(String, PowerWish)> = writes(&begun)
        .into_iter()
        .map(|write| {
            let OperationWrite::SetPower { member, wish } = write else { panic!("a wish for power, not {write:?}") };
            (member.name, wish)
        })
        .collect();
    let expected = ["web-0", "web-1"].map(|name| (name.to_owned(), PowerWish::Deallocated));
    assert_eq!(wished, expected);
    let marked = with(begun, |set| {
        set.members[0].power_operation = Some("operation".to_owned());
        // Another operation has ended here before.
        set.members[1].power_operation = Some("another".to_owned());
    });
    assert_eq!(writes(&marked).len(), 1);
}

#[test]
fn a_deletion_lowers_the_count_once_by_what_the_set_made() {
    let begun = after(with(asked(OperationType::Delete, &["0", "1", "2"]), |set| set.members[2].origin = Origin::Hand));
    let lowered = OperationWrite::LowerReplicas {
        uid: "set-uid".to_owned(),
        resource_version: "7".to_owned(),
        replicas: 1,
        confirmation: Confirmation::None,
    };
    assert_eq!(writes(&begun), [lowered]);
    let marked = with(begun.clone(), |set| set.last_delete = Some("operation".to_owned()));
    assert_eq!(writes(&marked), []);
    let going = with(begun, |set| set.members.iter_mut().for_each(|member| member.life = MemberLife::Terminating));
    assert_eq!(writes(&going), [], "nobody is left to lower the count for");
    let gone = after(with(going, |set| set.members.clear()));
    assert_eq!(condition(&gone, "Complete").0, "True");
}

fn recorded(state: OperationState, code: Option<&str>) -> InstanceOperation {
    InstanceOperation {
        uid: "operation".to_owned(),
        operation_type: OperationType::Restart,
        state,
        code: code.map(str::to_owned),
        message: code.map(|_| "no room".to_owned()),
    }
}

#[test]
fn it_ends_when_every_vm_has_and_tells_each_failure() {
    let begun = after(asked(OperationType::Restart, &[]));
    assert_eq!(begun.status.in_progress, Some(3));
    let half = after(with(begun, |set| {
        set.members[0].operations = vec![recorded(OperationState::Succeeded, None)];
        set.members[1].operations = vec![recorded(OperationState::InProgress, None)];
        let silent = Failure { reason: Reason::HardwareUnavailable, message: "no answer".to_owned() };
        set.members[2].trouble = Some(silent);
    }));
    let message = "1 of 3 done, waits for web-1, web-2 (no answer)".to_owned();
    assert_eq!(condition(&half, "Reconciling"), ("True".to_owned(), "InProgress".to_owned(), message));
    let ended = after(with(half, |set| {
        set.members[1].operations = vec![recorded(OperationState::Failed, Some("AllocationFailed"))];
        set.members.remove(2);
    }));
    let counts = (ended.status.succeeded, ended.status.failed, ended.status.in_progress);
    assert_eq!(counts, (Some(1), Some(2), Some(0)));
    let failures: Vec<(&str, &str)> =
        ended.status.failures.iter().map(|failure| (failure.instance_id.as_str(), failure.code.as_str())).collect();
    assert_eq!(failures, [("1", "AllocationFailed"), ("2", "ResourceNotFound")]);
    let (status, reason, message) = condition(&ended, "Failed");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "ResourceOperationFailure"));
    assert_eq!(message, "2 of 3 failed; 1: AllocationFailed: no room");
    assert_eq!(condition(&ended, "Reconciling").0, "False");
}

#[test]
fn a_manual_upgrade_is_of_the_model_that_was_the_newest_when_it_began() {
    let begun = after(asked(OperationType::ManualUpgrade, &["0", "1"]));
    assert_eq!(begun.status.model_revision.as_deref(), Some("new"));
    let upgraded = |member: &mut OperationMember| {
        member.assigned_revision = Some("new".to_owned());
        member.running_revision = Some("new".to_owned());
    };
    let half = after(with(begun, |set| upgraded(&mut set.members[0])));
    assert_eq!((half.status.succeeded, half.status.in_progress), (Some(1), Some(1)));
    let overtaken = after(with(half.clone(), |set| set.newest_revision = Some("newer".to_owned())));
    assert_eq!(overtaken.status.failures[0].code, "OperationPreempted");
    let done = after(with(half, |set| upgraded(&mut set.members[1])));
    assert_eq!(condition(&done, "Complete").0, "True");
}

#[test]
fn what_has_ended_is_kept_until_its_time_to_live_is_over() {
    let ended = after(with(asked(OperationType::Restart, &[]), |set| set.members.clear()));
    assert_eq!(plan(&ended).wake_after, None, "kept for good");
    let mut mortal = ended;
    mortal.spec.ttl_seconds_after_finished = Some(60);
    mortal.status.completion_time = Some(Time(now() - Duration::from_secs(45)));
    assert_eq!(plan(&mortal).wake_after, Some(Duration::from_secs(15)));
    mortal.status.completion_time = Some(Time(now() - Duration::from_mins(1)));
    assert!(matches!(plan(&mortal).step, OperationStep::Expire));
}

#[test]
fn a_vm_that_stands_alone_is_deleted_by_the_operation_itself() {
    let vm = OperationMember { kind: MemberKind::FlexVM, origin: Origin::Hand, ..member("0") };
    let mut snapshot = asked(OperationType::Delete, &[]);
    snapshot.target = OperationTargetFacts::FlexVM(Box::new(vm.clone()));
    let begun = after(snapshot);
    assert!(matches!(writes(&begun).as_slice(), [OperationWrite::DeleteVm(_)]));
    // Another VM of the same name is not the one that was meant.
    let mut anew = begun.clone();
    anew.target = OperationTargetFacts::FlexVM(Box::new(OperationMember { uid: "another".to_owned(), ..vm }));
    assert_eq!(writes(&anew), []);
    assert_eq!(condition(&after(anew), "Complete").0, "True");
    assert_eq!(
        begun.status.instances,
        [OperationInstance { name: "web-0".to_owned(), instance_id: "0".to_owned(), uid: "uid-0".to_owned() }]
    );
}

#[test]
fn a_start_of_a_rolling_upgrade_ends_with_the_upgrade() {
    let rolling = |code, number| {
        move |set: &mut OperationSet| {
            set.upgrade_mode = UpgradeMode::Rolling;
            set.rolling_upgrade = Some(crate::requests::record(code, number));
        }
    };
    let begun = after(with(asked(OperationType::StartRollingUpgrade, &[]), rolling(RollingUpgradeCode::Cancelled, 4)));
    assert_eq!(begun.status.rolling_upgrade_number, Some(4));
    let unbegun = after(begun.clone());
    assert_eq!(condition(&unbegun, "Reconciling").2, "the set has not begun it yet");
    let held = after(with(begun.clone(), |set| set.holds_upgrades = Some("3 outdated, paused".to_owned())));
    assert_eq!(condition(&held, "Reconciling").2, "the set has not begun it yet: 3 outdated, paused");
    let runs = after(with(begun, rolling(RollingUpgradeCode::RollingForward, 5)));
    assert_eq!((runs.status.total, runs.status.succeeded, runs.status.failed), (Some(10), Some(5), Some(1)));
    let well = |set: &mut OperationSet| {
        rolling(RollingUpgradeCode::Completed, 5)(set);
        set.rolling_upgrade.as_mut().expect("there is one").progress.failed_instance_count = 0;
    };
    assert_eq!(condition(&after(with(runs.clone(), well)), "Complete").0, "True");
    let with_failures = after(with(runs.clone(), rolling(RollingUpgradeCode::Completed, 5)));
    assert_eq!(condition(&with_failures, "Failed").0, "True", "what failed is not a success");
    let faulted = after(with(runs, rolling(RollingUpgradeCode::Faulted, 5)));
    assert_eq!(condition(&faulted, "Failed").2, "rolling upgrade 5 stopped");
}

#[test]
fn a_start_whose_set_has_nothing_to_roll_any_more_before_it_began_ends() {
    let latest = with(asked(OperationType::StartRollingUpgrade, &[]), |set| set.image = ImageVersions::Latest);
    let begun = after(latest);
    assert_eq!(condition(&begun, "Complete").0, "False");
    let changed = after(with(begun, |set| set.image = ImageVersions::Exact));
    let (status, reason, message) = condition(&changed, "Failed");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "OperationPreempted"), "{message}");
}

#[test]
fn who_names_many_for_deletion_has_confirmed_the_drop() {
    let lowered = |target: i32, in_force: i32, confirmation: Confirmation| {
        let begun = after(with(asked(OperationType::Delete, &["0", "1", "2"]), |set| {
            (set.target, set.target_in_force, set.confirmation) = (target, in_force, confirmation);
        }));
        let writes = writes(&begun);
        let [OperationWrite::LowerReplicas { replicas, confirmation, .. }] = writes[..] else { panic!("{writes:?}") };
        (replicas, confirmation)
    };
    assert_eq!(lowered(10, 10, Confirmation::None), (7, Confirmation::None), "no sudden drop");
    assert_eq!(lowered(6, 20, Confirmation::None), (3, Confirmation::Target(3)));
    assert_eq!(lowered(6, 20, Confirmation::Any), (3, Confirmation::None), "what is confirmed for always stays");
}

#[test]
fn who_was_evicted_for_good_and_is_still_there_is_not_counted_again() {
    let begun = after(with(asked(OperationType::Delete, &["0", "1"]), |set| {
        (set.target, set.target_in_force) = (2, 2);
        set.noted_evictions = [set.members[0].uid.clone()].into();
    }));
    let writes = writes(&begun);
    let [OperationWrite::LowerReplicas { replicas, .. }] = writes[..] else { panic!("{writes:?}") };
    assert_eq!(replicas, 1, "the eviction has lowered the target by one already");
}

#[test]
fn an_upgrade_of_the_image_is_started_and_cancelled_in_every_mode() {
    let latest = |set: &mut OperationSet| set.image = ImageVersions::Latest;
    for mode in [UpgradeMode::Manual, UpgradeMode::Automatic, UpgradeMode::Rolling] {
        let start = asked(OperationType::StartRollingUpgrade, &[]);
        let begun = after(with(with(start, latest), |set| set.upgrade_mode = mode));
        assert_eq!(begun.status.rolling_upgrade_number, Some(0), "{mode:?}");
        let of_image = |set: &mut OperationSet| {
            let mut record = crate::requests::record(RollingUpgradeCode::RollingForward, 2);
            record.os_upgrade = Some(OsUpgradeTarget {
                target_image_reference: ImageReference::default(),
                started_by: OsUpgradeStarter::Platform,
            });
            set.rolling_upgrade = Some(record);
            set.upgrade_mode = mode;
        };
        let begun = after(with(asked(OperationType::CancelRollingUpgrade, &[]), of_image));
        assert_eq!(begun.status.rolling_upgrade_number, Some(2), "{mode:?}");
    }
}
