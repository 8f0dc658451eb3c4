//! One Spot VM's next step: evicted, restored, at another price.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use scaleset_crds::condition::{InstanceCondition, Reason, find};
use scaleset_crds::spot::{EvictionPolicy, EvictionReason, SpotTerms};
use scaleset_crds::vocabulary::{PowerState, PowerWish};
use scaleset_planning::instance::{Perform, Seat, Step, Wait, plan};
use scaleset_planning::snapshot::{
    Asker, Assigned, Belonging, EvictionNote, InstanceRequest, InstanceSnapshot, MemberLife, ReleaseRule,
    RequestedOperation, ShutdownRule,
};
use scaleset_planning::status::instance::{InstanceOutcome, instance_status};
use scaleset_planning::view::{Eviction, HardwareView, InstanceView, ModelView, OperationState, PreemptNotice};

use crate::instance::{old, snapshot, view};

fn evicted(reason: EvictionReason, operation: OperationState, power: PowerState) -> InstanceView {
    let eviction = Some(Eviction { time: Timestamp::UNIX_EPOCH, reason });
    InstanceView { eviction, ..view(&old(), operation, power) }
}

fn deallocated(reason: EvictionReason) -> InstanceSnapshot {
    let view = evicted(reason, OperationState::Succeeded, PowerState::Deallocated);
    snapshot(HardwareView::Present(Box::new(view)))
}

fn deleted() -> InstanceSnapshot {
    let view = evicted(EvictionReason::Capacity, OperationState::Deleting, PowerState::Stopping);
    snapshot(HardwareView::Present(Box::new(view)))
}

fn asked(request: InstanceRequest) -> RequestedOperation {
    RequestedOperation { uid: "o".to_owned(), request, event_id: None, asked_by: Asker::Operation }
}

#[test]
fn who_was_evicted_waits_until_somebody_wants_it_back() {
    use EvictionReason::{Capacity, Price, Simulated};
    let minutes = |count: u64| Some(Duration::from_mins(count));
    let table = [
        // Reason, seconds since, for how long it is tried, step.
        (Capacity, 0, None, Step::Wait(Wait::Evicted)),
        (Capacity, 100, minutes(5), Step::Restore),
        (Capacity, 299, minutes(5), Step::Restore),
        (Capacity, 300, minutes(5), Step::Wait(Wait::Evicted)),
        (Price, 100, minutes(5), Step::Wait(Wait::Evicted)),
        (Simulated, 100, minutes(5), Step::Wait(Wait::Evicted)),
    ];
    for (reason, since, restore_for, step) in table {
        let mut snapshot = deallocated(reason);
        snapshot.now = Timestamp::from_second(since).expect("it is a time");
        snapshot.restore_for = restore_for;
        let plan = plan(&snapshot);
        assert_eq!(plan.step, step, "{reason:?} {since} s ago, {restore_for:?}");
        assert_eq!(plan.wake_after.is_some(), step == Step::Restore, "{reason:?} {since} s ago");
    }
}

#[test]
fn a_person_gets_it_back_by_operation_or_by_its_power_state() {
    let mut start = deallocated(EvictionReason::Price);
    start.requests = vec![asked(InstanceRequest::Start)];
    assert_eq!(plan(&start).step, Step::StartAt(Seat::default()));
    for wish in [PowerWish::Stopped, PowerWish::Deallocated] {
        let mut down = deallocated(EvictionReason::Price);
        down.power_wish = wish;
        assert_eq!(plan(&down).step, Step::SetPower(PowerWish::Deallocated, ShutdownRule::Graceful), "{wish:?}");
    }
}

#[test]
fn one_that_was_deleted_goes_when_its_set_knows() {
    assert_eq!(plan(&deleted()).step, Step::Wait(Wait::EvictionNote), "its set lets it go");
    let mut alone = deleted();
    (alone.belonging, alone.enrolled) = (Belonging::Alone, None);
    assert_eq!(plan(&alone).step, Step::Discard);
    let mut going = deleted();
    going.life = MemberLife::Terminating;
    assert_eq!(plan(&going).step, Step::Release(ReleaseRule::HardwareFirst, ShutdownRule::Graceful));
    going.eviction_note = EvictionNote::Awaited;
    let waits = plan(&going);
    assert_eq!((waits.step, waits.wake_after.is_some()), (Step::Wait(Wait::EvictionNote), true));
    let view = evicted(EvictionReason::Capacity, OperationState::Deleting, PowerState::Stopping);
    let held = InstanceView { host: Some("host".to_owned()), ..view };
    going = InstanceSnapshot {
        hardware: HardwareView::Present(Box::new(held)),
        eviction_note: EvictionNote::Settled,
        ..going
    };
    assert_eq!(plan(&going).step, Step::Wait(Wait::HardwareBusy), "the hardware is not released yet");
    let silence = || HardwareView::Unknown { message: "no answer".to_owned() };
    going = InstanceSnapshot { hardware: silence(), eviction_note: EvictionNote::Awaited, ..going };
    assert_eq!(plan(&going).step, Step::Wait(Wait::HardwareUnknown), "it may have been evicted");
    going.release = ReleaseRule::MayAbandon;
    assert_eq!(plan(&going).step, Step::Release(ReleaseRule::MayAbandon, ShutdownRule::Graceful));
}

#[test]
fn one_that_was_only_deallocated_is_released_without_a_note() {
    let mut going = deallocated(EvictionReason::Capacity);
    going.life = MemberLife::Terminating;
    going.eviction_note = EvictionNote::Awaited;
    assert_eq!(plan(&going).step, Step::Release(ReleaseRule::HardwareFirst, ShutdownRule::Graceful));
}

#[test]
fn a_simulated_eviction_is_passed_on() {
    let mut asks =
        snapshot(HardwareView::Present(Box::new(view(&old(), OperationState::Succeeded, PowerState::Running))));
    asks.requests = vec![asked(InstanceRequest::SimulateEviction)];
    assert_eq!(plan(&asks).step, Step::Perform("o".to_owned(), Perform::SimulateEviction));
}

fn at_price(price: &str) -> ModelView {
    let ModelView { revision: _, model } = old();
    let mut model = model.as_ref().clone();
    let max_price = price.parse().expect("it is a price");
    model.spot = Some(SpotTerms { eviction_policy: EvictionPolicy::Deallocate, max_price });
    ModelView { revision: "r1".to_owned(), model: Arc::new(model) }
}

#[test]
fn another_price_waits_for_a_vm_without_hardware_and_is_taken_before_its_start() {
    let (cheap, dear) = (at_price("0.02"), at_price("0.05"));
    let with = |power: PowerState, host: Option<&str>| {
        let view = view(&cheap, OperationState::Succeeded, power);
        let view = InstanceView { host: host.map(str::to_owned), ..view };
        let mut snapshot = snapshot(HardwareView::Present(Box::new(view)));
        snapshot.assigned = Assigned::Known(dear.clone());
        snapshot.newest = Some(dear.clone());
        snapshot
    };
    let runs = with(PowerState::Running, Some("host"));
    let step = plan(&runs).step;
    assert_eq!(step, Step::None, "nothing is disturbed for it");
    let outcome = InstanceOutcome {
        hardware: runs.hardware.clone(),
        failure: None,
        operation_failure: None,
        restore_refusal: None,
    };
    let status = instance_status(&runs, &step, &outcome);
    let verdict = |condition: InstanceCondition| {
        let found = find(&status.conditions, condition.as_str()).expect("it is written");
        (found.status.clone(), found.reason.clone())
    };
    let waits = Reason::MaxPriceChangeNotAllowedForAllocatedVMs.as_str().to_owned();
    assert_eq!(verdict(InstanceCondition::UpToDate), ("False".to_owned(), waits));
    assert_eq!(verdict(InstanceCondition::Ready).0, "True");
    let mut down = with(PowerState::Deallocated, None);
    down.requests = vec![asked(InstanceRequest::Start)];
    assert_eq!(plan(&down).step, Step::UpdateOnline(dear.clone()));
}

#[test]
fn the_status_tells_of_notice_and_eviction() {
    let notice = PreemptNotice {
        event_id: "e".to_owned(),
        not_before: Timestamp::from_second(30).expect("it is a time"),
        reason: EvictionReason::Capacity,
    };
    let runs =
        InstanceView { preempt_notice: Some(notice), ..view(&old(), OperationState::Succeeded, PowerState::Running) };
    let told = snapshot(HardwareView::Present(Box::new(runs)));
    let status = |snapshot: &InstanceSnapshot| {
        let outcome = InstanceOutcome {
            hardware: snapshot.hardware.clone(),
            failure: None,
            operation_failure: None,
            restore_refusal: None,
        };
        instance_status(snapshot, &plan(snapshot).step, &outcome)
    };
    let events = status(&told).scheduled_events;
    assert_eq!((events.len(), events[0].event_id.as_str()), (1, "e"));
    let mut gone = deallocated(EvictionReason::Price);
    let says = status(&gone);
    assert_eq!(says.eviction.map(|eviction| eviction.reason), Some(EvictionReason::Price));
    let stalled = |status: &scaleset_crds::InstanceStatus| {
        find(&status.conditions, InstanceCondition::Stalled.as_str()).map(|stalled| stalled.status.clone())
    };
    assert_eq!(stalled(&status(&gone)).as_deref(), Some("True"), "somebody must act");
    gone = deallocated(EvictionReason::Capacity);
    gone.restore_for = Some(Duration::from_mins(5));
    assert_eq!(stalled(&status(&gone)).as_deref(), Some("False"), "it is tried again");
}

#[test]
fn a_refused_try_is_told_and_the_next_one_comes_thirty_seconds_later() {
    let at = |second: i64| Timestamp::from_second(second).expect("it is a time");
    let mut evicted = deallocated(EvictionReason::Capacity);
    evicted.restore_for = Some(Duration::from_mins(5));
    evicted.now = at(100);
    let tried = plan(&evicted);
    assert_eq!(tried.step, Step::Restore);
    let outcome = |refusal: Option<&str>| InstanceOutcome {
        hardware: evicted.hardware.clone(),
        failure: None,
        operation_failure: None,
        restore_refusal: refusal.map(str::to_owned),
    };
    let status = instance_status(&evicted, &tried.step, &outcome(Some("AllocationFailed: no room")));
    let ready = |status: &scaleset_crds::InstanceStatus| {
        let ready = find(&status.conditions, InstanceCondition::Ready.as_str()).expect("it is written");
        (ready.reason.clone(), ready.message.clone())
    };
    let message = "evicted, its capacity was needed; tried again until 1970-01-01T00:05:00Z scenario time: AllocationFailed: no room";
    assert_eq!(ready(&status), ("Evicted".to_owned(), message.to_owned()));

    for (second, step, wake) in [
        (100, Step::Wait(Wait::Restore), Some(30)),
        (129, Step::Wait(Wait::Restore), Some(1)),
        (130, Step::Restore, Some(30)),
        (300, Step::Wait(Wait::Evicted), None),
    ] {
        let mut snapshot = evicted.clone();
        (snapshot.now, snapshot.status) = (at(second), status.clone());
        let next = plan(&snapshot);
        assert_eq!((&next.step, next.wake_after), (&step, wake.map(Duration::from_secs)), "{second}");
        if let Step::Wait(wait) = next.step {
            let kept = instance_status(&snapshot, &next.step, &outcome(None));
            assert_eq!(kept.eviction, status.eviction, "the record stays: {second}");
            assert_eq!(ready(&kept).1 == message, wait == Wait::Restore, "{second}");
        }
    }

    // Another eviction is tried at once.
    let mut again = evicted.clone();
    (again.now, again.status) = (at(115), status);
    if let HardwareView::Present(view) = &mut again.hardware {
        view.eviction = Some(Eviction { time: at(110), reason: EvictionReason::Capacity });
    }
    assert_eq!(plan(&again).step, Step::Restore);
}
