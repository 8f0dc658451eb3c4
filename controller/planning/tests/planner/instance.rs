//! One VM's next step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use scaleset_crds::InstanceStatus;
use scaleset_crds::condition::{Reason, find};
use scaleset_crds::profile::ImageReference;
use scaleset_crds::scheduled_event::ScheduledEventsPolicy;
use scaleset_crds::vocabulary::{PowerState, PowerWish, ProvisioningState};
use scaleset_planning::instance::{Seat, Step, Wait, plan};
use scaleset_planning::snapshot::{
    Assigned, Belonging, Birth, EvictionNote, Failure, FinalizerState, InstanceSnapshot, MemberKind, MemberLife,
    OsDiskWish, ReleaseRule, ShutdownRule,
};
use scaleset_planning::status::instance::{InstanceOutcome, instance_status};
use scaleset_planning::view::{HardwareView, InstanceView, ModelView, OperationState, QuotaRule};

use crate::fleet::profile;

fn model(revision: &str, size: &str) -> ModelView {
    ModelView { revision: revision.to_owned(), model: Arc::new(profile(size).model()) }
}

pub(crate) fn old() -> ModelView {
    model("r1", "Standard_D2s_v3")
}

pub(crate) fn view(model: &ModelView, operation: OperationState, power: PowerState) -> InstanceView {
    InstanceView {
        reported_health: None,
        vm_id: "vm".to_owned(),
        computer_name: "web000000".to_owned(),
        revision: model.revision.clone(),
        model: Arc::clone(&model.model),
        operation,
        last_operation: None,
        power,
        changed_at: Timestamp::UNIX_EPOCH,
        zone: None,
        platform_fault_domain: None,
        update_domain: None,
        placement_group: None,
        set_uid: None,
        quota: QuotaRule::Counted,
        host: None,
        sizes_after_deallocation: Vec::new(),
        os_name: None,
        os_version: None,
        vm_agent_version: None,
        image_version: "22.04.1".to_owned(),
        disks: vec!["web-0_disk1_a".to_owned()],
        former_os_disk: None,
        extensions: BTreeMap::new(),
        private_ip_address: None,
        public_ip_address: None,
        capacity_reservation: None,
        pools: BTreeMap::new(),
        drained_at: None,
        preempt_notice: None,
        disruption_notice: None,
        terminate_notice: None,
        eviction: None,
    }
}

fn running(model: &ModelView) -> HardwareView {
    HardwareView::Present(Box::new(view(model, OperationState::Succeeded, PowerState::Running)))
}

pub(crate) fn snapshot(hardware: HardwareView) -> InstanceSnapshot {
    InstanceSnapshot {
        now: Timestamp::UNIX_EPOCH,
        wall_now: Timestamp::UNIX_EPOCH,
        kind: MemberKind::ScaleSetVM,
        birth: Birth::default(),
        name: "web-0".to_owned(),
        generation: 1,
        life: MemberLife::Live,
        finalizer: FinalizerState::Held,
        release: ReleaseRule::HardwareFirst,
        shutdown: ShutdownRule::Graceful,
        power_wish: PowerWish::Running,
        assigned: Assigned::Known(old()),
        newest: Some(old()),
        zone: None,
        fault_domain: None,
        belonging: Belonging::Made { scale_set: "web".to_owned() },
        kept: None,
        group_refusal: None,
        enrolled: Some("web".to_owned()),
        marked_fault_domain: None,
        marked_group: None,
        os_disk_wish: None,
        repair: None,
        requests: Vec::new(),
        scheduled_events_policy: ScheduledEventsPolicy::default(),
        power_operation: None,
        restore_for: None,
        eviction_note: EvictionNote::Settled,
        hardware,
        status: InstanceStatus::default(),
    }
}

/// A FlexVM that runs as it should.
pub(crate) fn flexible_snapshot(hardware: HardwareView) -> InstanceSnapshot {
    InstanceSnapshot { kind: MemberKind::FlexVM, ..snapshot(hardware) }
}

pub(crate) fn running_hardware() -> HardwareView {
    running(&old())
}

fn unknown() -> HardwareView {
    HardwareView::Unknown { message: "no answer".to_owned() }
}

fn busy() -> HardwareView {
    HardwareView::Present(Box::new(view(&old(), OperationState::Updating, PowerState::Running)))
}

fn power(power: PowerState) -> HardwareView {
    HardwareView::Present(Box::new(view(&old(), OperationState::Succeeded, power)))
}

fn failed(attempts: u32) -> HardwareView {
    let operation =
        OperationState::Failed { code: "OSProvisioningTimedOut".to_owned(), message: "no boot".to_owned(), attempts };
    HardwareView::Present(Box::new(view(&old(), operation, PowerState::Stopped)))
}

fn step_of(change: impl FnOnce(&mut InstanceSnapshot), hardware: HardwareView) -> Step {
    let mut snapshot = snapshot(hardware);
    change(&mut snapshot);
    plan(&snapshot).step
}

fn nothing(_: &mut InstanceSnapshot) {}

#[test]
fn life_and_hardware_decide_the_step() {
    let dying = |snapshot: &mut InstanceSnapshot| snapshot.life = MemberLife::Terminating;
    assert_eq!(step_of(nothing, HardwareView::Absent), Step::Create(old()));
    assert_eq!(step_of(nothing, unknown()), Step::Wait(Wait::HardwareUnknown), "unknown is not absent");
    assert_eq!(step_of(nothing, busy()), Step::Wait(Wait::HardwareBusy));
    assert_eq!(step_of(nothing, running(&old())), Step::None);
    assert_eq!(
        step_of(|snapshot| snapshot.finalizer = FinalizerState::Absent, HardwareView::Absent),
        Step::AddFinalizer
    );
    for hardware in [HardwareView::Absent, unknown(), busy(), running(&old())] {
        assert_eq!(step_of(dying, hardware), Step::Release(ReleaseRule::HardwareFirst, ShutdownRule::Graceful));
    }
    let forgotten = |snapshot: &mut InstanceSnapshot| {
        snapshot.life = MemberLife::Terminating;
        snapshot.finalizer = FinalizerState::Absent;
    };
    assert_eq!(step_of(forgotten, running(&old())), Step::Forget);
}

#[test]
fn power_follows_the_wish() {
    let table = [
        (PowerWish::Running, PowerState::Stopped, Step::StartAt(Seat::default())),
        (PowerWish::Running, PowerState::Deallocated, Step::StartAt(Seat::default())),
        (PowerWish::Stopped, PowerState::Running, Step::SetPower(PowerWish::Stopped, ShutdownRule::Graceful)),
        (PowerWish::Stopped, PowerState::Deallocated, Step::None),
        (PowerWish::Deallocated, PowerState::Stopped, Step::SetPower(PowerWish::Deallocated, ShutdownRule::Graceful)),
        (PowerWish::Deallocated, PowerState::Deallocated, Step::None),
        (PowerWish::Running, PowerState::Starting, Step::Wait(Wait::HardwareBusy)),
        (PowerWish::Running, PowerState::Unknown, Step::Wait(Wait::HardwareUnknown)),
    ];
    for (wish, reported, step) in table {
        assert_eq!(step_of(|snapshot| snapshot.power_wish = wish, power(reported)), step, "{wish:?} {reported:?}");
    }
}

#[test]
fn the_cheapest_step_brings_it_to_its_revision() {
    let newer = |size: &str| model("r2", size);
    let follow = |wished: ModelView| move |snapshot: &mut InstanceSnapshot| snapshot.assigned = Assigned::Known(wished);
    let resized = newer("Standard_D4s_v3");
    assert_eq!(step_of(follow(resized.clone()), running(&old())), Step::UpdateWithRestart(resized));
    let same = newer("Standard_D2s_v3");
    assert_eq!(step_of(follow(same.clone()), running(&old())), Step::UpdateOnline(same), "only the name is new");
    let mut reimaged = profile("Standard_D2s_v3").model();
    reimaged.storage_profile.image_reference.version = Some("22.04.1".to_owned());
    let reimaged = ModelView { revision: "r2".to_owned(), model: Arc::new(reimaged) };
    assert_eq!(step_of(follow(reimaged.clone()), running(&old())), Step::Reimage(reimaged));
}

#[test]
fn a_size_that_its_host_cannot_hold_is_taken_while_it_is_deallocated() {
    let resized = model("r2", "Standard_D4s_v3");
    let mut reimaged = profile("Standard_D4s_v3").model();
    reimaged.storage_profile.image_reference.version = Some("22.04.1".to_owned());
    let reimaged = ModelView { revision: "r2".to_owned(), model: Arc::new(reimaged) };
    let deallocated = Step::SetPower(PowerWish::Deallocated, ShutdownRule::Graceful);
    let sizes: fn(&[&str]) -> Vec<String> = |sizes| sizes.iter().map(|size| (*size).to_owned()).collect();
    let (none, this, other) = (sizes(&[]), sizes(&["Standard_D4s_v3"]), sizes(&["Standard_D8s_v3"]));
    let table = [
        (&resized, PowerState::Running, &none, Step::UpdateWithRestart(resized.clone())),
        (&resized, PowerState::Running, &other, Step::UpdateWithRestart(resized.clone())),
        (&resized, PowerState::Running, &this, deallocated.clone()),
        (&resized, PowerState::Stopped, &this, deallocated.clone()),
        (&resized, PowerState::Deallocated, &none, Step::UpdateWithRestart(resized.clone())),
        (&reimaged, PowerState::Running, &this, deallocated),
        (&reimaged, PowerState::Running, &other, Step::Reimage(reimaged.clone())),
        (&reimaged, PowerState::Deallocated, &none, Step::Reimage(reimaged.clone())),
    ];
    for (wished, power, sizes, step) in table {
        let mut hardware = view(&old(), OperationState::Succeeded, power);
        hardware.sizes_after_deallocation.clone_from(sizes);
        let follow = |snapshot: &mut InstanceSnapshot| snapshot.assigned = Assigned::Known(wished.clone());
        assert_eq!(step_of(follow, HardwareView::Present(Box::new(hardware))), step, "{power:?} {sizes:?}");
    }
    // Afterwards it has the size, and starts as it is wished to.
    let resized_and_down = view(&resized, OperationState::Succeeded, PowerState::Deallocated);
    let follow = |snapshot: &mut InstanceSnapshot| snapshot.assigned = Assigned::Known(resized.clone());
    let present = HardwareView::Present(Box::new(resized_and_down));
    assert_eq!(step_of(follow, present), Step::StartAt(Seat::default()));
}

#[test]
fn drift_is_mended_on_the_same_revision() {
    let drifted = model("r1", "Standard_D4s_v3");
    assert_eq!(step_of(nothing, running(&drifted)), Step::UpdateWithRestart(old()));
}

#[test]
fn a_persons_own_vm_is_not_thrown_away_for_a_field() {
    let disk = |gigabytes| serde_json::from_value(serde_json::json!({"lun": 0, "diskSizeGB": gigabytes})).unwrap();
    let with_disk = |gigabytes| {
        let mut model = profile("Standard_D2s_v3").model();
        model.storage_profile.data_disks = vec![disk(gigabytes)];
        ModelView { revision: "r1".to_owned(), model: Arc::new(model) }
    };
    let shrink = |belonging: Belonging| {
        step_of(
            |snapshot| {
                snapshot.enrolled = if belonging == Belonging::Alone { None } else { snapshot.enrolled.take() };
                snapshot.belonging = belonging;
                snapshot.assigned = Assigned::Known(with_disk(32));
            },
            running(&with_disk(64)),
        )
    };
    assert_eq!(shrink(Belonging::Made { scale_set: "web".to_owned() }), Step::Recreate);
    let Step::Hold(Failure { reason, message }) = shrink(Belonging::Alone) else { panic!("it is held") };
    assert_eq!(reason, Reason::OperationNotAllowed);
    assert!(message.contains("storageProfile.dataDisks[lun=0].diskSizeGB: 64 -> 32"), "{message}");
}

#[test]
fn a_failed_vm_is_tried_again_after_twice_as_long_each_time() {
    for (attempts, seconds) in [(1, 30), (2, 60), (3, 120), (6, 600), (30, 600)] {
        let mut waiting = snapshot(failed(attempts));
        let planned = plan(&waiting);
        assert_eq!(planned.step, Step::Wait(Wait::Backoff), "attempt {attempts}");
        assert_eq!(planned.wake_after.map(|wait| wait.as_secs()), Some(seconds), "attempt {attempts}");
        waiting.now = Timestamp::from_second(seconds.cast_signed()).unwrap();
        assert_eq!(plan(&waiting).step, Step::Reimage(old()), "attempt {attempts}");
    }
    let newer = model("r2", "Standard_D2s_v3");
    let step = step_of(|snapshot| snapshot.assigned = Assigned::Known(newer.clone()), failed(9));
    assert_eq!(step, Step::Reimage(newer), "a good revision mends a bad one at once");
}

fn failed_with(code: &str, power: PowerState) -> HardwareView {
    let operation = OperationState::Failed { code: code.to_owned(), message: "it failed".to_owned(), attempts: 1 };
    HardwareView::Present(Box::new(view(&old(), operation, power)))
}

#[test]
fn what_failed_is_repeated_and_no_disk_with_anything_on_it_is_lost() {
    let later = |snapshot: &mut InstanceSnapshot| snapshot.now += Duration::from_mins(10);
    let was_well = |snapshot: &mut InstanceSnapshot| {
        later(snapshot);
        snapshot.status.healthy_on_revision = Some("r1".to_owned());
    };
    let extension = || failed_with("VMExtensionProvisioningError", PowerState::Running);
    let boot = || failed_with("OSProvisioningTimedOut", PowerState::Running);
    let start = || failed_with("VMStartTimedOut", PowerState::Stopped);
    assert_eq!(step_of(later, extension()), Step::UpdateOnline(old()));
    assert_eq!(step_of(later, boot()), Step::Reimage(old()), "it has never been well: nothing is on its disk");
    assert_eq!(step_of(was_well, boot()), Step::UpdateWithRestart(old()));
    assert_eq!(step_of(was_well, start()), Step::StartAt(Seat::default()));
}

#[test]
fn a_failed_vm_that_is_wished_down_is_taken_down() {
    let stop = |snapshot: &mut InstanceSnapshot| snapshot.power_wish = PowerWish::Deallocated;
    let failed = failed_with("VMExtensionProvisioningError", PowerState::Running);
    assert_eq!(step_of(stop, failed), Step::SetPower(PowerWish::Deallocated, ShutdownRule::Graceful));
}

#[test]
fn what_only_a_person_can_change_holds_nothing_else_up() {
    let mut wished = old();
    let model = Arc::make_mut(&mut wished.model);
    let disk = |size: i32| serde_json::from_value(serde_json::json!({"lun": 0, "diskSizeGB": size})).unwrap();
    model.storage_profile.data_disks = vec![disk(8)];
    let mut there = old();
    Arc::make_mut(&mut there.model).storage_profile.data_disks = vec![disk(16)];
    let alone = |snapshot: &mut InstanceSnapshot, wished: &ModelView| {
        (snapshot.belonging, snapshot.enrolled) = (Belonging::Alone, None);
        snapshot.assigned = Assigned::Known(wished.clone());
    };
    let held = step_of(|snapshot| alone(snapshot, &wished), running(&there));
    assert!(matches!(held, Step::Hold(_)), "a shrunk disk needs a new VM: {held:?}");
    let stopped = step_of(
        |snapshot| {
            alone(snapshot, &wished);
            snapshot.power_wish = PowerWish::Stopped;
        },
        running(&there),
    );
    assert_eq!(stopped, Step::SetPower(PowerWish::Stopped, ShutdownRule::Graceful), "it can still be stopped");
    Arc::make_mut(&mut wished.model).tags.insert("team".to_owned(), "web".to_owned());
    let tagged = step_of(|snapshot| alone(snapshot, &wished), running(&there));
    assert_eq!(tagged, Step::UpdateOnline(wished), "it still gets what can be applied");
}

#[test]
fn a_refused_member_does_not_boot_and_runs_on_if_it_has() {
    let refusal = Failure { reason: Reason::InvalidParameter, message: "no such set".to_owned() };
    let refused = |snapshot: &mut InstanceSnapshot| {
        snapshot.belonging = Belonging::Refused { scale_set: "x".to_owned(), refusal: refusal.clone() };
    };
    assert_eq!(step_of(refused, HardwareView::Absent), Step::Hold(refusal.clone()));
    assert_eq!(step_of(refused, running(&old())), Step::None);
}

#[test]
fn without_its_revision_a_vm_waits_or_runs_on() {
    let missing =
        |snapshot: &mut InstanceSnapshot| snapshot.assigned = Assigned::Missing { revision: "gone".to_owned() };
    assert_eq!(step_of(missing, HardwareView::Absent), Step::Wait(Wait::Revision));
    assert_eq!(step_of(missing, running(&old())), Step::None);
    assert_eq!(step_of(missing, power(PowerState::Stopped)), Step::StartAt(Seat::default()));
}

fn status_of(snapshot: &InstanceSnapshot, failure: Option<Failure>) -> InstanceStatus {
    let outcome = InstanceOutcome {
        hardware: snapshot.hardware.clone(),
        failure,
        operation_failure: None,
        restore_refusal: None,
    };
    instance_status(snapshot, &plan(snapshot).step, &outcome)
}

fn condition(status: &InstanceStatus, name: &str) -> (String, String) {
    let condition = find(&status.conditions, name).expect("all conditions are written");
    (condition.status.clone(), condition.reason.clone())
}

#[test]
fn conditions_tell_running_failed_busy_and_unknown() {
    let pair = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
    let ready = status_of(&snapshot(running(&old())), None);
    assert_eq!(condition(&ready, "Ready"), pair("True", "Ready"));
    assert_eq!(condition(&ready, "UpToDate"), pair("True", "ModelApplied"));
    assert_eq!(condition(&ready, "Reconciling"), pair("False", "Converged"));
    assert_eq!(ready.healthy_on_revision.as_deref(), Some("r1"));
    assert_eq!(ready.latest_model_applied, Some(true));

    let broken = status_of(&snapshot(failed(2)), None);
    assert_eq!(condition(&broken, "Provisioned"), pair("False", "OSProvisioningTimedOut"));
    assert_eq!(condition(&broken, "Reconciling").0, "True");
    assert_eq!(broken.provisioning_state, Some(ProvisioningState::Failed));

    assert_eq!(condition(&status_of(&snapshot(busy()), None), "Ready"), pair("False", "Updating"));

    let mut silent = snapshot(unknown());
    silent.status = ready.clone();
    let silent = status_of(&silent, None);
    assert_eq!(condition(&silent, "Ready"), pair("Unknown", "HardwareUnavailable"));
    assert_eq!(silent.vm_id, ready.vm_id, "what was last known stays");
}

#[test]
fn no_room_waits_for_time_and_an_unknown_size_for_a_person() {
    let full = Failure { reason: Reason::AllocationFailed, message: "full".to_owned() };
    let status = status_of(&snapshot(HardwareView::Absent), Some(full));
    assert_eq!(condition(&status, "Stalled").0, "False");
    assert_eq!(condition(&status, "Reconciling").0, "True");
    let unknown = Failure { reason: Reason::SkuNotAvailable, message: "no such size".to_owned() };
    let status = status_of(&snapshot(HardwareView::Absent), Some(unknown));
    assert_eq!(condition(&status, "Stalled").0, "True");
    assert_eq!(condition(&status, "Reconciling").0, "False");
}

#[test]
fn an_outdated_vm_names_what_differs() {
    let mut outdated = snapshot(running(&old()));
    outdated.newest = Some(model("r2", "Standard_D4s_v3"));
    let status = status_of(&outdated, None);
    assert_eq!(status.latest_model_applied, Some(false));
    assert_eq!(status.pending_changes.len(), 1);
    assert_eq!(status.pending_changes[0].path, "vmSize");
    assert_eq!(condition(&status, "UpToDate").0, "False");
    assert_eq!(condition(&status, "Ready").0, "True", "being outdated is the set's business");
}

#[test]
fn stopped_as_wished_is_ready() {
    let mut stopped = snapshot(power(PowerState::Deallocated));
    stopped.power_wish = PowerWish::Deallocated;
    assert_eq!(condition(&status_of(&stopped, None), "Ready"), ("True".to_owned(), "StoppedByWish".to_owned()));
}

#[test]
fn the_model_on_which_it_was_healthy_is_forgotten_when_it_leaves_one_on_which_it_failed() {
    use ProvisioningState::{Failed, Succeeded, Updating};
    // Healthy on, ran before, how that ended, runs now; what is kept.
    let table = [
        ("r1", "r1", Succeeded, "r1", Some("r1")),
        ("r1", "r1", Failed, "r2", Some("r1")),
        ("r1", "r2", Failed, "r2", Some("r1")),
        ("r1", "r2", Updating, "r3", Some("r1")),
        ("r1", "r2", Failed, "r3", None),
        ("r1", "r2", Failed, "r1", Some("r1")),
    ];
    for (healthy_on, ran, ended, runs, kept) in table {
        let mut snapshot = snapshot(HardwareView::Present(Box::new(view(
            &model(runs, "Standard_D2s_v3"),
            OperationState::Updating,
            PowerState::Starting,
        ))));
        snapshot.status.healthy_on_revision = Some(healthy_on.to_owned());
        snapshot.status.model_revision = Some(ran.to_owned());
        snapshot.status.provisioning_state = Some(ended);
        let found = status_of(&snapshot, None).healthy_on_revision;
        assert_eq!(found.as_deref(), kept, "{healthy_on} {ran} {ended:?} {runs}");
    }
}

#[test]
fn an_equal_status_stays_equal() {
    let mut first = snapshot(running(&old()));
    first.status = status_of(&first, None);
    first.wall_now = Timestamp::from_second(3_600).unwrap();
    assert_eq!(status_of(&first, None), first.status, "nothing changed, so no time stamp moves");
}

#[test]
fn the_os_disk_that_is_wished_for_is_named_and_asked_for_once() {
    let fresh = |after: &str| OsDiskWish::Fresh { version: "22.04.2".to_owned(), after: after.to_owned() };
    let former = |disk: &str| OsDiskWish::Former { disk: disk.to_owned() };
    let asked = |wish: OsDiskWish, kept: Option<&str>, operation: OperationState| {
        let mut view = view(&old(), operation, PowerState::Running);
        view.former_os_disk = kept.map(str::to_owned);
        let mut snapshot = snapshot(HardwareView::Present(Box::new(view)));
        snapshot.os_disk_wish = Some(wish.clone());
        plan(&snapshot).step == Step::ReplaceOsDisk(old(), wish)
    };
    let failed =
        OperationState::Failed { code: "OSProvisioningTimedOut".to_owned(), message: String::new(), attempts: 9 };
    for (expected, wish, kept, operation) in [
        (true, fresh("web-0_disk1_a"), None, OperationState::Succeeded),
        (true, fresh("web-0_disk1_a"), None, failed.clone()),
        (false, fresh("web-0_disk1_a"), None, OperationState::Updating),
        (false, fresh("web-0_disk1_b"), None, OperationState::Succeeded),
        (true, former("web-0_disk1_b"), Some("web-0_disk1_b"), OperationState::Succeeded),
        (true, former("web-0_disk1_b"), Some("web-0_disk1_b"), failed),
        (false, former("web-0_disk1_a"), Some("web-0_disk1_b"), OperationState::Succeeded),
        (false, former("web-0_disk1_b"), None, OperationState::Succeeded),
    ] {
        let said = format!("{wish}, kept {kept:?}, {operation:?}");
        assert_eq!(asked(wish, kept, operation), expected, "{said}");
    }
}

#[test]
fn a_model_with_an_exact_version_or_another_image_knows_no_wished_version() {
    for change in [
        |image: &mut ImageReference| image.version = Some("22.04.1".to_owned()),
        |image: &mut ImageReference| {
            image.sku = Some("24_04-lts".to_owned());
        },
    ] {
        let mut model = old();
        change(&mut Arc::make_mut(&mut model.model).storage_profile.image_reference);
        let mut snapshot = snapshot(running(&old()));
        snapshot.assigned = Assigned::Known(model.clone());
        let wish = OsDiskWish::Fresh { version: "22.04.2".to_owned(), after: "web-0_disk1_a".to_owned() };
        snapshot.os_disk_wish = Some(wish);
        assert_eq!(plan(&snapshot).step, Step::Reimage(model));
    }
}
