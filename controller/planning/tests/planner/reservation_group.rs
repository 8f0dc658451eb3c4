//! What a pass over a capacity reservation group does, and what it says.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use scaleset_crds::ReservationGroupStatus;
use scaleset_crds::condition::{Reason, find};
use scaleset_crds::reservation::ReservationState;
use scaleset_crds::reservation_group::NAMES_MAX;
use scaleset_crds::vocabulary::{ProvisioningState, StatusLevel};
use scaleset_planning::reservation_group::{RETRY_AFTER, plan};
use scaleset_planning::snapshot::{
    AssociatedVm, Failure, FinalizerState, GroupFacts, GroupView, MemberLife, ReservationFacts,
    ReservationGroupSnapshot, ReservationWish,
};
use scaleset_planning::status::reservation_group::{ReservationGroupOutcome, reservation_group_status};

fn wish(name: &str, capacity: i32) -> ReservationWish {
    ReservationWish { name: name.to_owned(), vm_size: "Standard_D2s_v3".to_owned(), zone: None, capacity }
}

fn there(name: &str, capacity: i32, vms: Vec<AssociatedVm>) -> ReservationFacts {
    ReservationFacts {
        name: name.to_owned(),
        id: format!("{name}-id"),
        vm_size: "Standard_D2s_v3".to_owned(),
        zone: None,
        fault_domain_count: 3,
        asked: capacity,
        current_capacity: capacity,
        failure: None,
        decided_at: Timestamp::UNIX_EPOCH,
        vms,
    }
}

fn vm(namespace: &str, name: &str, state: ReservationState) -> AssociatedVm {
    AssociatedVm { namespace: namespace.to_owned(), kind: "FlexVM".to_owned(), name: name.to_owned(), state }
}

fn snapshot(wishes: Vec<ReservationWish>, reservations: Vec<ReservationFacts>) -> ReservationGroupSnapshot {
    ReservationGroupSnapshot {
        now: Timestamp::UNIX_EPOCH,
        wall_now: Timestamp::UNIX_EPOCH,
        namespace: "default".to_owned(),
        name: "d2s".to_owned(),
        generation: 1,
        life: MemberLife::Live,
        finalizer: FinalizerState::Held,
        location: "eastus".to_owned(),
        zones: Vec::new(),
        reservations: wishes,
        shared_with: Vec::new(),
        hardware: GroupView::Present(GroupFacts { shared_with: Vec::new(), reservations }),
        status: ReservationGroupStatus::default(),
    }
}

fn actions(snapshot: &ReservationGroupSnapshot) -> Vec<String> {
    plan(snapshot).actions.iter().map(ToString::to_string).collect()
}

fn status(snapshot: &ReservationGroupSnapshot, refusals: &[(&str, Failure)]) -> ReservationGroupStatus {
    let refusals: BTreeMap<String, Failure> =
        refusals.iter().map(|(name, failure)| ((*name).to_owned(), failure.clone())).collect();
    let outcome = ReservationGroupOutcome { hardware: snapshot.hardware.clone(), refusals };
    reservation_group_status(snapshot, &plan(snapshot), &outcome)
}

fn told(status: &ReservationGroupStatus, condition: &str) -> (String, String) {
    let found = find(&status.conditions, condition).expect("every condition is there");
    (found.status.clone(), found.reason.clone())
}

fn pair(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[test]
fn a_new_group_is_made_with_everything_in_it() {
    let mut snapshot = snapshot(vec![wish("a", 5), wish("zero", 0)], Vec::new());
    snapshot.finalizer = FinalizerState::Absent;
    snapshot.hardware = GroupView::Absent;
    let expected = [
        "add finalizer",
        "put group, shared with nobody",
        "reserve a: 5 x Standard_D2s_v3",
        "reserve zero: 0 x Standard_D2s_v3",
    ];
    assert_eq!(actions(&snapshot), expected);
}

/// Azure: the instance view of a capacity reservation.
#[test]
fn what_became_of_a_reservation_is_told_with_level_and_time() {
    let failure = Failure { reason: Reason::QuotaExceeded, message: "limit 24, usage 16".to_owned() };
    let decided_at = Timestamp::UNIX_EPOCH + Duration::from_secs(90);
    let raised = ReservationFacts { failure: Some(failure), decided_at, ..there("b", 5, Vec::new()) };
    let snapshot = snapshot(vec![wish("a", 5), wish("b", 10)], vec![there("a", 5, Vec::new()), raised]);
    let view = status(&snapshot, &[]).instance_view.expect("it has one");
    let lines = view.capacity_reservations.iter().map(|one| {
        let [line] = one.statuses.as_slice() else { panic!("{} lines", one.statuses.len()) };
        let time = line.time.as_ref().map(|time| time.0);
        (line.code.as_str(), line.level, line.display_status.as_str(), line.message.as_deref(), time)
    });
    let expected = [
        ("ProvisioningState/succeeded", StatusLevel::Info, "Provisioning succeeded", None, Some(Timestamp::UNIX_EPOCH)),
        (
            "ProvisioningState/failed",
            StatusLevel::Error,
            "Provisioning failed",
            Some("QuotaExceeded: limit 24, usage 16"),
            Some(decided_at),
        ),
    ];
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}

#[test]
fn what_is_as_wished_is_left_alone() {
    let snapshot = snapshot(vec![wish("a", 5)], vec![there("a", 5, Vec::new())]);
    assert_eq!(actions(&snapshot), Vec::<String>::new());
    let status = status(&snapshot, &[]);
    assert_eq!(told(&status, "Ready"), pair("True", "Ready"));
    assert_eq!(told(&status, "Reserved"), pair("True", "Allocated"));
    assert_eq!(told(&status, "Overallocated"), pair("False", "Available"));
    assert_eq!(told(&status, "Reconciling"), pair("False", "Converged"));
}

/// Its size never changes, but its name can be taken out and come back for another one.
#[test]
fn a_name_that_comes_back_for_another_size_is_not_taken_for_the_old_reservation() {
    let other = ReservationWish { vm_size: "Standard_D4s_v3".to_owned(), ..wish("a", 5) };
    let free = snapshot(vec![other.clone()], vec![there("a", 5, Vec::new())]);
    assert_eq!(actions(&free), ["release reservation a", "reserve a: 5 x Standard_D4s_v3"]);
    let used = there("a", 5, vec![vm("default", "one", ReservationState::Allocated)]);
    let held = snapshot(vec![other], vec![used]);
    assert_eq!(actions(&held), Vec::<String>::new(), "its name is taken");
    let status = status(&held, &[]);
    assert_eq!(told(&status, "Ready"), pair("False", "OperationNotAllowed"));
    assert_eq!(told(&status, "Reserved"), pair("False", "Creating"));
    let ready = find(&status.conditions, "Ready").expect("it is there");
    assert!(ready.message.contains("another size or zone under its name"), "{}", ready.message);
}

#[test]
fn a_group_that_is_being_deleted_is_still_lowered_so_that_vms_may_leave_it() {
    let used = there("a", 5, vec![vm("default", "one", ReservationState::Allocated)]);
    let mut going = snapshot(vec![wish("a", 0)], vec![used, there("b", 2, Vec::new())]);
    going.life = MemberLife::Terminating;
    assert_eq!(actions(&going), ["reserve a: 0 x Standard_D2s_v3", "release reservation b"]);
    going.reservations = vec![wish("a", 9)];
    assert_eq!(actions(&going), ["release reservation b"], "nothing more is reserved");
    let held = |snapshot: &ReservationGroupSnapshot| plan(snapshot).holds[0].message.clone();
    assert!(held(&going).ends_with("while they are deallocated or the capacity is 0"), "{}", held(&going));
    (going.life, going.reservations) = (MemberLife::Live, Vec::new());
    assert!(held(&going).ends_with("while they are deallocated"), "{}", held(&going));
}

#[test]
fn what_goes_comes_before_what_takes_its_place() {
    let snapshot = snapshot(vec![wish("b", 5)], vec![there("a", 5, Vec::new())]);
    assert_eq!(actions(&snapshot), ["release reservation a", "reserve b: 5 x Standard_D2s_v3"]);
}

#[test]
fn what_is_taken_out_stays_while_it_is_in_use() {
    let users = vec![vm("default", "one", ReservationState::Associated)];
    let snapshot = snapshot(vec![wish("b", 1)], vec![there("a", 5, users), there("b", 1, Vec::new())]);
    let plan = plan(&snapshot);
    assert_eq!(plan.actions, []);
    assert_eq!(
        plan.holds[0].message,
        "reservation a: it is taken out of spec.reservations, but 1 VMs are associated with it (default/FlexVM/one); delete \
         them, or take capacityReservationGroupRef out of them while they are deallocated"
    );
    let status = status(&snapshot, &[]);
    assert_eq!(told(&status, "Ready"), pair("False", "OperationNotAllowed"));
    assert_eq!(told(&status, "Stalled"), pair("True", "OperationNotAllowed"));
    let of = |name: &str| {
        let found = status.capacity_reservations.iter().find(|one| one.name == name).expect("it is told");
        found.provisioning_state
    };
    assert_eq!((of("a"), of("b")), (ProvisioningState::Deleting, ProvisioningState::Succeeded));
}

#[test]
fn a_failed_raise_is_tried_again_in_its_time_and_another_capacity_at_once() {
    let failure = Failure { reason: Reason::QuotaExceeded, message: "limit 10".to_owned() };
    let failed = ReservationFacts { asked: 10, failure: Some(failure), ..there("a", 5, Vec::new()) };
    let mut raised = snapshot(vec![wish("a", 10)], vec![failed.clone()]);
    assert_eq!((plan(&raised).actions, plan(&raised).wake_after), (Vec::new(), Some(RETRY_AFTER)));
    let status = status(&raised, &[]);
    assert_eq!(told(&status, "Ready"), pair("False", "QuotaExceeded"));
    assert_eq!(told(&status, "Reserved"), pair("False", "QuotaExceeded"));
    assert_eq!(told(&status, "Stalled"), pair("False", "Converged"), "room may come");
    assert_eq!(told(&status, "Reconciling"), pair("True", "QuotaExceeded"));
    let ready = find(&status.conditions, "Ready").expect("it is there");
    assert_eq!(ready.message, "reservation a: 5 of 10 reserved: limit 10");
    assert_eq!(status.capacity_reservations[0].provisioning_state, ProvisioningState::Failed);
    raised.now = Timestamp::UNIX_EPOCH + RETRY_AFTER;
    assert_eq!(actions(&raised), ["reserve a: 10 x Standard_D2s_v3"]);
    let restored = snapshot(vec![wish("a", 5)], vec![failed]);
    assert_eq!(actions(&restored), ["reserve a: 5 x Standard_D2s_v3"]);
}

#[test]
fn the_time_of_a_failure_stays_while_it_fails_again() {
    let failure = Failure { reason: Reason::QuotaExceeded, message: "limit 10".to_owned() };
    let failed = ReservationFacts { asked: 10, failure: Some(failure), ..there("a", 5, Vec::new()) };
    let mut raised = snapshot(vec![wish("a", 10)], vec![failed.clone()]);
    raised.status = status(&raised, &[]);
    let later = ReservationFacts { decided_at: Timestamp::UNIX_EPOCH + Duration::from_hours(1), ..failed };
    raised.hardware = GroupView::Present(GroupFacts { shared_with: Vec::new(), reservations: vec![later] });
    assert_eq!(status(&raised, &[]), raised.status, "nothing is written for it");
}

#[test]
fn a_lost_answer_of_a_call_that_was_carried_out_is_no_failure() {
    let lost = Failure { reason: Reason::HardwareUnavailable, message: "lost".to_owned() };
    let snapshot = snapshot(vec![wish("a", 5)], vec![there("a", 5, Vec::new())]);
    assert_eq!(told(&status(&snapshot, &[("a", lost)]), "Ready"), pair("True", "Ready"));
}

#[test]
fn what_cannot_be_reserved_waits_for_a_person() {
    let refused = Failure { reason: Reason::NotSupported, message: "Standard_B1s cannot be reserved".to_owned() };
    let snapshot = snapshot(vec![wish("a", 5)], Vec::new());
    let status = status(&snapshot, &[("a", refused)]);
    for condition in ["Ready", "Reserved"] {
        assert_eq!(told(&status, condition), pair("False", "NotSupported"));
    }
    assert_eq!(told(&status, "Stalled"), pair("True", "NotSupported"));
    let line = &status.instance_view.expect("there is a view").capacity_reservations[0].statuses[0];
    assert_eq!(line.code, "ProvisioningState/failed");
    assert_eq!(line.message.as_deref(), Some("NotSupported: Standard_B1s cannot be reserved"));
}

#[test]
fn deletion_revokes_sharing_and_waits_for_its_own_namespace_only() {
    let users = |namespace| vec![vm(namespace, "one", ReservationState::Allocated)];
    let mut snapshot = snapshot(vec![wish("a", 5)], vec![there("a", 5, users("default"))]);
    snapshot.life = MemberLife::Terminating;
    snapshot.shared_with = vec!["team-b".to_owned()];
    let facts = |namespace| GroupFacts {
        shared_with: vec!["team-b".to_owned()],
        reservations: vec![there("a", 5, users(namespace))],
    };
    snapshot.hardware = GroupView::Present(facts("default"));
    assert_eq!(actions(&snapshot), ["put group, shared with nobody"]);
    assert_eq!(told(&status(&snapshot, &[]), "Ready"), pair("False", "OperationNotAllowed"));
    snapshot.hardware = GroupView::Present(facts("team-b"));
    let expected = ["put group, shared with nobody", "release reservation a", "delete group", "remove finalizer"];
    assert_eq!(actions(&snapshot), expected);
    snapshot.hardware = GroupView::Absent;
    assert_eq!(actions(&snapshot), ["remove finalizer"]);
    snapshot.finalizer = FinalizerState::Absent;
    assert_eq!(actions(&snapshot), Vec::<String>::new());
}

#[test]
fn a_shared_namespace_holds_what_is_taken_out_until_it_is_revoked() {
    let users = vec![vm("team-b", "one", ReservationState::Allocated)];
    let mut snapshot = snapshot(Vec::new(), Vec::new());
    let facts = GroupFacts { shared_with: vec!["team-b".to_owned()], reservations: vec![there("a", 5, users)] };
    snapshot.hardware = GroupView::Present(facts);
    snapshot.shared_with = vec!["team-b".to_owned()];
    assert_eq!((actions(&snapshot).len(), plan(&snapshot).holds.len()), (0, 1));
    snapshot.shared_with = Vec::new();
    assert_eq!(actions(&snapshot), ["put group, shared with nobody", "release reservation a"]);
}

#[test]
fn hardware_that_does_not_answer_is_asked_for_nothing_and_told_as_unknown() {
    let mut snapshot = snapshot(vec![wish("a", 5)], vec![there("a", 5, Vec::new())]);
    snapshot.status = status(&snapshot, &[]);
    snapshot.hardware = GroupView::Unknown { message: "no answer".to_owned() };
    assert_eq!(actions(&snapshot), Vec::<String>::new());
    let status = status(&snapshot, &[]);
    assert_eq!(told(&status, "Ready"), pair("Unknown", "HardwareUnavailable"));
    assert_eq!(status.totals, snapshot.status.totals, "what was last known stays");
}

#[test]
fn counts_are_exact_and_lists_hold_the_first_thousand_names() {
    let allocated = (0..1_200).map(|number| vm("default", &format!("vm-{number:04}"), ReservationState::Allocated));
    let idle = (0..100).map(|number| vm("default", &format!("idle-{number:04}"), ReservationState::Associated));
    let mut vms: Vec<AssociatedVm> = allocated.chain(idle).collect();
    vms.sort();
    let snapshot = snapshot(vec![wish("a", 1_000)], vec![there("a", 1_000, vms)]);
    let status = status(&snapshot, &[]);
    let one = &status.capacity_reservations[0];
    assert_eq!((one.associated, one.allocated, one.unused, one.overallocated), (1_300, 1_200, 0, 200));
    assert_eq!((status.virtual_machines_associated.len(), status.omitted), (NAMES_MAX, Some(300)));
    assert_eq!(status.virtual_machines_associated[0], "default/FlexVM/idle-0000");
    let view = status.instance_view.clone().expect("there is a view");
    let used = &view.capacity_reservations[0].utilization_info;
    assert_eq!((used.virtual_machines_allocated.len(), used.omitted), (NAMES_MAX, Some(200)));
    assert_eq!(told(&status, "Overallocated"), pair("True", "Overallocated"));
    let beyond = find(&status.conditions, "Overallocated").expect("it is there");
    assert_eq!(beyond.message, "a: 200 beyond its capacity of 1000");
}

#[test]
fn available_consumed_and_overallocated_follow_the_numbers() {
    for (capacity, holders, expected) in [
        (2, 0, pair("False", "Available")),
        (2, 1, pair("False", "Available")),
        (2, 2, pair("False", "Consumed")),
        (2, 3, pair("True", "Overallocated")),
        (0, 0, pair("False", "Consumed")),
        (0, 1, pair("True", "Overallocated")),
    ] {
        let vms = (0..holders).map(|number| vm("default", &format!("vm-{number}"), ReservationState::Allocated));
        let snapshot = snapshot(vec![wish("a", capacity)], vec![there("a", capacity, vms.collect())]);
        assert_eq!(told(&status(&snapshot, &[]), "Overallocated"), expected, "{holders} on {capacity}");
    }
}
