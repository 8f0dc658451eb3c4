//! Backend pools: leaving them before a VM goes down, what a set says of them, and which load balancers serve it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleset_crds::condition::{InstanceCondition, Reason, ScaleSetCondition, find};
use scaleset_crds::load_balancing::{
    BackendPoolReference, LoadBalancerSku, PoolMemberState, PoolMembership, PoolSummary,
};
use scaleset_crds::scheduled_event::{EventType, OsImageNotification};
use scaleset_crds::vocabulary::{OrchestrationMode, PowerState, PowerWish};
use scaleset_planning::instance::{AfterRefusal, InstancePlan, Perform, Step, Wait, plan};
use scaleset_planning::snapshot::{
    Asker, Assigned, InstanceRequest, InstanceSnapshot, MemberLife, OsDiskWish, ReleaseRule, RequestedOperation,
    ScaleSetSnapshot, ShutdownRule,
};
use scaleset_planning::status::instance::{InstanceOutcome, instance_status};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};
use scaleset_planning::view::{
    DisruptionCause, DisruptionNotice, HardwareView, InstanceView, ModelView, NoticeStage, OperationState,
    PreemptNotice,
};

use crate::fleet::{audited, newest, profile, spread};
use crate::instance::{snapshot, view};

fn set_of(members: usize) -> ScaleSetSnapshot {
    let mut snapshot = crate::fleet::snapshot(&["1"], i32::try_from(members).expect("a few"));
    snapshot.members = spread(&[(Some("1"), members)], &newest(&snapshot));
    snapshot
}

fn pooled(revision: &str, size: &str) -> ModelView {
    let mut model = profile(size).model();
    model.network_profile.network_interfaces[0].load_balancer_backend_pools =
        vec![BackendPoolReference { name: "web-lb".to_owned(), drain_timeout_seconds: 40 }];
    ModelView { revision: revision.to_owned(), model: Arc::new(model) }
}

fn member() -> InstanceView {
    let pools = BTreeMap::from([("web-lb".to_owned(), PoolMemberState::Healthy)]);
    InstanceView { pools, ..view(&pooled("r1", "Standard_D2s_v3"), OperationState::Succeeded, PowerState::Running) }
}

fn drained(after: i64) -> InstanceView {
    let pools = BTreeMap::from([("web-lb".to_owned(), PoolMemberState::Draining)]);
    let drained_at = Timestamp::UNIX_EPOCH + Duration::from_secs(after.unsigned_abs());
    InstanceView { pools, drained_at: Some(drained_at), ..member() }
}

fn of(view: InstanceView) -> InstanceSnapshot {
    let newest = pooled("r1", "Standard_D2s_v3");
    let mut snapshot = snapshot(HardwareView::Present(Box::new(view)));
    (snapshot.assigned, snapshot.newest) = (Assigned::Known(newest.clone()), Some(newest));
    snapshot.now = Timestamp::UNIX_EPOCH + Duration::from_secs(100);
    snapshot
}

fn asked(snapshot: &mut InstanceSnapshot, request: InstanceRequest) {
    snapshot.requests =
        vec![RequestedOperation { uid: "op".to_owned(), request, event_id: None, asked_by: Asker::Operation }];
}

/// What is wished of a VM, and the step that takes it down.
type Case = (&'static str, fn(&mut InstanceSnapshot), fn(&Step) -> bool);

fn bigger(snapshot: &mut InstanceSnapshot) {
    snapshot.assigned = Assigned::Known(pooled("r2", "Standard_D4s_v3"));
}

fn other_image(snapshot: &mut InstanceSnapshot) {
    let mut model = pooled("r2", "Standard_D2s_v3");
    Arc::make_mut(&mut model.model).storage_profile.image_reference.version = Some("22.04.2".to_owned());
    snapshot.assigned = Assigned::Known(model);
}

const TAKES_DOWN: [Case; 10] = [
    ("a bigger size", bigger, |step| matches!(step, Step::UpdateWithRestart(_))),
    ("another image", other_image, |step| matches!(step, Step::Reimage(_))),
    (
        "another OS disk",
        |snapshot| {
            let after = "web-0_disk1_a".to_owned();
            snapshot.os_disk_wish = Some(OsDiskWish::Fresh { version: "22.04.9".to_owned(), after });
        },
        |step| matches!(step, Step::ReplaceOsDisk(_, _)),
    ),
    (
        "wished stopped",
        |snapshot| snapshot.power_wish = PowerWish::Stopped,
        |step| *step == Step::SetPower(PowerWish::Stopped, ShutdownRule::Graceful),
    ),
    (
        "wished deallocated",
        |snapshot| snapshot.power_wish = PowerWish::Deallocated,
        |step| *step == Step::SetPower(PowerWish::Deallocated, ShutdownRule::Graceful),
    ),
    (
        "Restart",
        |snapshot| asked(snapshot, InstanceRequest::Restart),
        |step| matches!(step, Step::Perform(_, Perform::Restart(_))),
    ),
    (
        "Redeploy",
        |snapshot| asked(snapshot, InstanceRequest::Redeploy),
        |step| matches!(step, Step::Perform(_, Perform::Redeploy(_))),
    ),
    (
        "Reimage",
        |snapshot| asked(snapshot, InstanceRequest::Reimage),
        |step| matches!(step, Step::Perform(_, Perform::Reimage(_))),
    ),
    (
        "ReimageAll",
        |snapshot| asked(snapshot, InstanceRequest::ReimageAll),
        |step| matches!(step, Step::Perform(_, Perform::ReimageAll(_))),
    ),
    (
        "deleted",
        |snapshot| snapshot.life = MemberLife::Terminating,
        |step| *step == Step::Release(ReleaseRule::HardwareFirst, ShutdownRule::Graceful),
    ),
];

fn planned(view: InstanceView, wish: fn(&mut InstanceSnapshot)) -> InstancePlan {
    let mut snapshot = of(view);
    wish(&mut snapshot);
    plan(&snapshot)
}

fn is_drained_for(step: &Step, takes_down: fn(&Step) -> bool) -> bool {
    matches!(step, Step::Drain(before) if takes_down(before))
}

#[test]
fn a_vm_leaves_its_pools_and_drains_before_anything_takes_it_down() {
    for (name, wish, takes_down) in TAKES_DOWN {
        let leaves = planned(member(), wish);
        assert!(is_drained_for(&leaves.step, takes_down), "{name}: {:?}", leaves.step);
        assert!(
            leaves.reason.starts_with("leaves web-lb first, what is under way has up to 40 s: "),
            "{}",
            leaves.reason
        );

        let waits = planned(drained(125), wish);
        assert_eq!(
            (waits.step, waits.wake_after),
            (Step::Wait(Wait::Draining), Some(Duration::from_secs(25))),
            "{name}"
        );
        let said = "out of its backend pools, what is under way ends by 1970-01-01T00:02:05Z scenario time: ";
        assert!(waits.reason.starts_with(said), "{}", waits.reason);

        let goes = planned(drained(100), wish);
        assert!(takes_down(&goes.step), "{name}: {:?}", goes.step);
    }
}

#[test]
fn a_vm_that_has_drained_for_what_is_refused_joins_again() {
    for (name, wish, _) in TAKES_DOWN {
        // Refused before it has left, it has never left; waiting for its requests, nothing is asked that could be refused.
        for (view, expected) in [
            (member(), AfterRefusal::AsItIs),
            (drained(100), AfterRefusal::Undrain),
            (InstanceView { pools: BTreeMap::new(), ..drained(100) }, AfterRefusal::AsItIs),
            (InstanceView { power: PowerState::Stopped, ..drained(100) }, AfterRefusal::AsItIs),
            (InstanceView { operation: OperationState::Deleting, ..drained(100) }, AfterRefusal::AsItIs),
        ] {
            let said = format!("{name}: {:?} {:?}", view.power, view.operation);
            assert_eq!(planned(view, wish).after_refusal, expected, "{said}");
        }
    }
    let told = |seconds| {
        let notice = DisruptionNotice {
            event_id: "e".to_owned(),
            event_type: EventType::Reboot,
            cause: DisruptionCause::Maintenance,
            not_before: Timestamp::UNIX_EPOCH + Duration::from_secs(seconds),
            stage: NoticeStage::Scheduled,
            operation: None,
            duration_seconds: None,
        };
        planned(InstanceView { disruption_notice: Some(notice), ..drained(100) }, bigger).after_refusal
    };
    assert_eq!(told(140), AfterRefusal::AsItIs, "maintenance takes it down by itself before long");
    assert_eq!(told(141), AfterRefusal::Undrain);
}

#[test]
fn who_is_told_of_a_new_os_disk_serves_on_until_that_may_begin() {
    let of_disk = |stage| DisruptionNotice {
        event_id: "e".to_owned(),
        event_type: EventType::Reboot,
        cause: DisruptionCause::OsImage,
        not_before: Timestamp::UNIX_EPOCH + Duration::from_mins(15),
        stage,
        operation: None,
        duration_seconds: None,
    };
    let step = |stage: Option<NoticeStage>, view: InstanceView| {
        let mut model = view.model.as_ref().clone();
        model.os_image_notification = Some(OsImageNotification { not_before_timeout_seconds: 900 });
        let disruption_notice = stage.map(of_disk);
        let mut snapshot = of(InstanceView { model: Arc::new(model), disruption_notice, ..view });
        other_image(&mut snapshot);
        let Assigned::Known(wanted) = &mut snapshot.assigned else { panic!("it is known") };
        Arc::make_mut(&mut wanted.model).os_image_notification =
            Some(OsImageNotification { not_before_timeout_seconds: 900 });
        plan(&snapshot).step
    };
    let failed = OperationState::Failed { code: "a".to_owned(), message: "b".to_owned(), attempts: 1 };
    let is_reimage = |step: &Step| matches!(step, Step::Reimage(_));
    assert!(is_reimage(&step(None, member())), "the hardware tells it, and does no more");
    assert_eq!(step(Some(NoticeStage::Scheduled), member()), Step::Wait(Wait::ImageNotice));
    assert_eq!(step(Some(NoticeStage::Scheduled), drained(140)), Step::Undrain, "it works on until then");
    assert!(matches!(step(Some(NoticeStage::Approved), member()), Step::Drain(ahead) if is_reimage(&ahead)));
    assert_eq!(step(Some(NoticeStage::Approved), drained(140)), Step::Wait(Wait::Draining));
    assert!(is_reimage(&step(Some(NoticeStage::Approved), drained(100))));
    let untold = step(None, InstanceView { operation: failed, ..member() });
    assert!(matches!(untold, Step::Drain(ahead) if is_reimage(&ahead)), "after a failure there is no notice");
}

#[test]
fn nobody_waits_where_nothing_comes() {
    type Nothing = (&'static str, fn() -> InstanceView);
    let nothing: [Nothing; 4] = [
        ("in no pool", || InstanceView { pools: BTreeMap::new(), ..member() }),
        ("stopped", || InstanceView { power: PowerState::Stopped, ..member() }),
        ("deallocated", || InstanceView { power: PowerState::Deallocated, ..member() }),
        ("deallocating", || InstanceView { power: PowerState::Deallocating, ..member() }),
    ];
    for (name, view) in nothing {
        let goes = planned(view(), |snapshot| snapshot.life = MemberLife::Terminating);
        assert_eq!(goes.step, Step::Release(ReleaseRule::HardwareFirst, ShutdownRule::Graceful), "{name}");
    }
    // Of a VM that cannot be seen, or that is coming up, the load balancer alone can tell.
    for power in [PowerState::Unknown, PowerState::Creating, PowerState::Starting, PowerState::Stopping] {
        let asks = planned(InstanceView { power, ..member() }, |snapshot| snapshot.life = MemberLife::Terminating);
        assert!(is_drained_for(&asks.step, |step| matches!(step, Step::Release(_, _))), "{power:?}: {:?}", asks.step);
    }
}

#[test]
fn power_that_is_cut_does_not_wait() {
    let forced = planned(member(), |snapshot| {
        (snapshot.life, snapshot.shutdown) = (MemberLife::Terminating, ShutdownRule::Skip);
    });
    assert_eq!(forced.step, Step::Release(ReleaseRule::HardwareFirst, ShutdownRule::Skip));
    let cut = planned(member(), |snapshot| {
        snapshot.power_wish = PowerWish::Stopped;
        asked(snapshot, InstanceRequest::PowerOff(ShutdownRule::Skip));
    });
    assert_eq!(cut.step, Step::SetPower(PowerWish::Stopped, ShutdownRule::Skip));
    let evicted = planned(member(), |snapshot| asked(snapshot, InstanceRequest::SimulateEviction));
    assert!(matches!(evicted.step, Step::Perform(_, Perform::SimulateEviction)), "{:?}", evicted.step);
}

#[test]
fn a_vm_that_stays_up_after_all_joins_again() {
    let back = planned(drained(125), |_| {});
    assert_eq!((back.step, back.reason.as_str()), (Step::Undrain, "stays up after all: as wished"));
    let told = PreemptNotice {
        event_id: "e".to_owned(),
        not_before: Timestamp::UNIX_EPOCH,
        reason: scaleset_crds::spot::EvictionReason::Capacity,
    };
    let evicted = planned(InstanceView { preempt_notice: Some(told), ..drained(125) }, |_| {});
    assert_eq!(evicted.step, Step::None, "it is about to be evicted");
    // The last 40 s before maintenance restarts it are its drain; what it drained for before, and is taken back, is not.
    for (event_type, seconds, step) in [
        (EventType::Reboot, 140, Step::None),
        (EventType::Redeploy, 125, Step::None),
        (EventType::Reboot, 141, Step::Undrain),
        (EventType::Freeze, 125, Step::Undrain),
    ] {
        let notice = DisruptionNotice {
            event_id: "e".to_owned(),
            event_type,
            cause: DisruptionCause::Maintenance,
            not_before: Timestamp::UNIX_EPOCH + Duration::from_secs(seconds),
            stage: NoticeStage::Scheduled,
            operation: None,
            duration_seconds: None,
        };
        let maintained = planned(InstanceView { disruption_notice: Some(notice), ..drained(125) }, |_| {});
        assert_eq!(maintained.step, step, "{event_type:?} in {} s", seconds - 100);
    }
    let busy = planned(InstanceView { operation: OperationState::Updating, ..drained(125) }, |_| {});
    assert_eq!(busy.step, Step::Wait(Wait::HardwareBusy));
}

#[test]
fn a_draining_vm_says_so() {
    let mut snapshot = of(drained(125));
    bigger(&mut snapshot);
    let hardware = snapshot.hardware.clone();
    let outcome = InstanceOutcome { hardware, failure: None, operation_failure: None, restore_refusal: None };
    let status = instance_status(&snapshot, &plan(&snapshot).step, &outcome);
    let drained_at = Some(Time(Timestamp::UNIX_EPOCH + Duration::from_secs(125)));
    let expected = PoolMembership { name: "web-lb".to_owned(), state: PoolMemberState::Draining, drained_at };
    assert_eq!(status.load_balancer_pools, [expected]);
    let ready = find(&status.conditions, InstanceCondition::Ready.as_str()).expect("it is written");
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", Reason::Draining.as_str()));
    assert_eq!(ready.message, "out of its backend pools, what is under way ends by 1970-01-01T00:02:05Z scenario time");

    snapshot.life = MemberLife::Terminating;
    let status = instance_status(&snapshot, &plan(&snapshot).step, &outcome);
    let provisioned = find(&status.conditions, InstanceCondition::Provisioned.as_str()).expect("it is written");
    assert_eq!(provisioned.reason, Reason::Deleting.as_str());
    assert_eq!(
        provisioned.message,
        "out of its backend pools, what is under way ends by 1970-01-01T00:02:05Z scenario time"
    );
}

fn membership(state: PoolMemberState) -> PoolMembership {
    let drained_at = Time(Timestamp::UNIX_EPOCH + Duration::from_secs(30));
    let drained_at = (state == PoolMemberState::Draining).then_some(drained_at);
    PoolMembership { name: "web-lb".to_owned(), state, drained_at }
}

#[test]
fn a_set_counts_its_members_by_pool_and_says_who_drains() {
    let mut snapshot = set_of(4);
    let all = [PoolMemberState::Healthy, PoolMemberState::Draining, PoolMemberState::Unhealthy];
    for (member, shown) in snapshot.members.iter_mut().zip(all) {
        member.report.pools = vec![membership(shown)];
    }
    let plan = audited(&snapshot);
    let hold = plan.blockers().find(|hold| hold.reason == Reason::Draining).expect("one drains");
    assert_eq!(hold.count, 1);
    assert_eq!(
        hold.message,
        "1 draining (web-1), out of their backend pools, wait until 1970-01-01T00:00:30Z scenario time at the latest for what is \
         under way"
    );
    let status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
    let summary = PoolSummary { name: "web-lb".to_owned(), healthy: 1, draining: 1, total: 3 };
    assert_eq!(status.load_balancer_pools, [summary]);
    assert_eq!(status.available_replicas, Some(3), "whoever drains does no work");
}

/// What the set says of a profile that joins the pool of a load balancer of that kind.
fn refusal(sku: Option<LoadBalancerSku>, change: fn(&mut ScaleSetSnapshot)) -> String {
    let mut snapshot = set_of(0);
    let mut wanted = profile("Standard_D2s_v3");
    wanted.network_profile.network_interfaces[0].load_balancer_backend_pools =
        vec![BackendPoolReference { name: "front".to_owned(), drain_timeout_seconds: 30 }];
    snapshot.set.profile = Some(Arc::new(wanted));
    snapshot.set.replicas = Some(1);
    let region = snapshot.region.as_mut().expect("the region is known");
    region.load_balancers = sku.map(|sku| ("front".to_owned(), sku)).into_iter().collect();
    change(&mut snapshot);
    let plan = audited(&snapshot);
    let status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
    let ready = find(&status.conditions, ScaleSetCondition::Ready.as_str()).expect("it is written");
    format!("{}: {}", ready.reason, ready.message)
}

#[test]
fn a_basic_load_balancer_serves_only_a_set_with_a_single_placement_group() {
    let code = "VMScaleSetCannotReferenceLoadbalancerWhenLargeScaleOrCrossAZ";
    let path = "spec.virtualMachineProfile.networkProfile.networkInterfaces[].loadBalancerBackendPools";
    let basic = |what: &str| format!("{code}: {path}: front is Basic and does not serve {what}; use a Standard one");
    let zonal: fn(&mut ScaleSetSnapshot) = |snapshot| snapshot.set.zones = vec!["1".to_owned()];
    let regional: fn(&mut ScaleSetSnapshot) = |snapshot| {
        (snapshot.set.zones, snapshot.set.platform_fault_domain_count) = (Vec::new(), Some(3));
        (snapshot.set.single_placement_group, snapshot.status.single_placement_group) = (Some(true), None);
    };
    let large: fn(&mut ScaleSetSnapshot) = |snapshot| {
        (snapshot.set.zones, snapshot.set.single_placement_group) = (Vec::new(), Some(false));
    };
    let flexible: fn(&mut ScaleSetSnapshot) = |snapshot| {
        (snapshot.set.zones, snapshot.set.mode) = (Vec::new(), OrchestrationMode::Flexible);
    };
    assert_eq!(refusal(Some(LoadBalancerSku::Basic), zonal), basic("a set over zones"));
    assert_eq!(refusal(Some(LoadBalancerSku::Basic), large), basic("a set with several placement groups"));
    assert_eq!(refusal(Some(LoadBalancerSku::Basic), flexible), basic("a Flexible set"));
    assert!(!refusal(Some(LoadBalancerSku::Basic), regional).contains("Basic"));
    for change in [zonal, large, flexible, regional] {
        assert!(!refusal(Some(LoadBalancerSku::Standard), change).contains("front"));
    }
    let probe: fn(&mut ScaleSetSnapshot) = |snapshot| {
        let profile = Arc::make_mut(snapshot.set.profile.as_mut().expect("it has one"));
        profile.network_profile.network_interfaces[0].load_balancer_backend_pools = Vec::new();
        let probe = serde_json::json!({"loadBalancer": "front", "protocol": "Tcp", "port": 22});
        profile.network_profile.health_probe = Some(serde_json::from_value(probe).expect("a probe"));
    };
    assert_eq!(
        refusal(Some(LoadBalancerSku::Basic), probe),
        "InvalidParameter: spec.virtualMachineProfile.networkProfile.healthProbe.loadBalancer: front is Basic, and its \
         probe tells the health of no set; use a Standard one"
    );
    assert_eq!(refusal(None, zonal), format!("InvalidParameter: {path}: front does not exist; there are none"));
}
