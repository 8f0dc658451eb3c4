//! Scale-in that does not ask the guests: the mark comes first, does nothing by itself, and is nobody else's.

use scaleset_planning::instance::{Step, Wait, plan};
use scaleset_planning::plan::{Action, ScaleSetPlan};
use scaleset_planning::snapshot::{MemberLife, Protection, ReleaseRule, ScaleSetSnapshot, SetLife, ShutdownRule};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};
use scaleset_planning::view::{HardwareView, OperationState};

use crate::fleet::{audited, deleted, newest, snapshot, spread};
use crate::instance::running_hardware;

/// A set that scales in by force, of four, to have `replicas`.
fn forced(replicas: i32) -> ScaleSetSnapshot {
    let mut snapshot = snapshot(&[], replicas);
    snapshot.set.scale_in_shutdown = ShutdownRule::Skip;
    snapshot.members = spread(&[(None, 4)], &newest(&snapshot));
    snapshot
}

/// Who is marked, and how.
fn marks(plan: &ScaleSetPlan) -> Vec<(&str, ShutdownRule)> {
    let marks = plan.actions.iter().filter_map(|action| {
        if let Action::MarkForDeletion(mark) = action { Some((mark.name.as_str(), mark.shutdown)) } else { None }
    });
    marks.collect()
}

#[test]
fn who_leaves_is_marked_in_one_pass_and_deleted_in_the_next() {
    let mut snapshot = forced(2);
    let plan = audited(&snapshot);
    assert_eq!(marks(&plan), [("web-3", ShutdownRule::Skip), ("web-2", ShutdownRule::Skip)]);
    assert_eq!(deleted(&plan), Vec::<&str>::new());
    let status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").expect("it is told");
    assert_eq!((ready.reason.as_str(), ready.message.as_str()), ("ScalingIn", "2 are to stay, 2 leaving"));
    // Only one of the two marks was written before the controller died.
    snapshot.members[3].shutdown = ShutdownRule::Skip;
    let plan = audited(&snapshot);
    assert_eq!((marks(&plan), deleted(&plan)), (vec![("web-2", ShutdownRule::Skip)], vec!["web-3"]));
    snapshot.members[2].shutdown = ShutdownRule::Skip;
    let plan = audited(&snapshot);
    assert_eq!((marks(&plan), deleted(&plan)), (vec![], vec!["web-3", "web-2"]));
}

/// What happens to the set of whose four members `web-3` is marked, and who else goes or is marked then.
type Case = (&'static str, fn(&mut ScaleSetSnapshot), &'static [&'static str]);

#[test]
fn a_mark_that_is_not_wanted_is_taken_off_before_anything_else_is_done() {
    let table: [Case; 5] = [
        ("the count went up again", |set| set.set.replicas = Some(4), &[]),
        ("somebody protected it", |set| set.members[3].protection = Protection::FromScaleIn, &["web-2"]),
        ("the policy was changed", |set| set.set.scale_in_shutdown = ShutdownRule::Graceful, &[]),
        ("the set is deleted", |set| set.set.life = SetLife::Terminating, &["web-0", "web-1", "web-2"]),
        ("it is going", |set| set.members[3].life = MemberLife::Terminating, &[]),
    ];
    for (case, change, others) in table {
        let mut snapshot = forced(3);
        snapshot.members[3].shutdown = ShutdownRule::Skip;
        change(&mut snapshot);
        let plan = audited(&snapshot);
        let going = snapshot.members[3].life == MemberLife::Terminating;
        let taken_off: &[(&str, ShutdownRule)] = if going { &[] } else { &[("web-3", ShutdownRule::Graceful)] };
        let of_it: Vec<_> = marks(&plan).into_iter().filter(|(name, _)| *name == "web-3").collect();
        assert_eq!(of_it, taken_off, "{case}: {plan}");
        let mut moved: Vec<&str> = deleted(&plan);
        moved.extend(marks(&plan).into_iter().filter(|(_, rule)| *rule == ShutdownRule::Skip).map(|(name, _)| name));
        moved.sort_unstable();
        assert_eq!(moved, others, "{case}: {plan}");
    }
}

#[test]
fn the_mark_decides_how_the_guest_is_stopped_and_only_once_its_object_is_deleted() {
    let mut vm = crate::instance::snapshot(running_hardware());
    vm.shutdown = ShutdownRule::Skip;
    assert_eq!(plan(&vm).step, Step::None, "alone it does nothing");
    vm.life = MemberLife::Terminating;
    assert_eq!(plan(&vm).step, Step::Release(ReleaseRule::HardwareFirst, ShutdownRule::Skip));
}

/// The hardware begins a deletion by itself when its notice is over, and asks the guest.
#[test]
fn a_forced_deletion_is_not_left_to_the_gentle_one_that_a_notice_ends_in() {
    let mut hardware = running_hardware();
    if let HardwareView::Present(view) = &mut hardware {
        view.operation = OperationState::Deleting;
    }
    let mut vm = crate::instance::snapshot(hardware);
    vm.life = MemberLife::Terminating;
    assert_eq!(plan(&vm).step, Step::Wait(Wait::HardwareBusy));
    vm.shutdown = ShutdownRule::Skip;
    assert_eq!(plan(&vm).step, Step::Release(ReleaseRule::HardwareFirst, ShutdownRule::Skip));
}
