//! Azure's table of instance protection: what holds the set's hand, and what a person does in spite of it.

use jiff::Timestamp;
use scaleset_crds::operation::OperationType;
use scaleset_crds::repairs::RepairAction;
use scaleset_crds::vocabulary::HealthState;
use scaleset_planning::plan::Action;
use scaleset_planning::snapshot::{Protection, ScaleSetSnapshot, SetLife, SetOperation, SetRequest};
use scaleset_planning::view::Health;

use crate::fleet::{assigned, audited, change_profile, deleted, newest, profile, snapshot, spread};
use crate::operation::{after, asked, settled_on, with};
use crate::repairs::repairing;

/// A set of one VM with that protection.
fn of_one(protection: Protection) -> ScaleSetSnapshot {
    let mut set = snapshot(&[], 1);
    set.members = spread(&[(None, 1)], &newest(&set));
    set.members[0].protection = protection;
    set
}

fn is_scaled_in(protection: Protection) -> bool {
    let mut set = of_one(protection);
    set.set.replicas = Some(0);
    !deleted(&audited(&set)).is_empty()
}

/// By hand the number is lowered with it.
fn is_deleted_by_hand(protection: Protection) -> bool {
    let mut set = of_one(protection);
    set.set.replicas = Some(0);
    let request = SetRequest::Delete { instances: ["uid-0".to_owned()].into() };
    set.operations = vec![SetOperation { name: "go".to_owned(), request }];
    deleted(&audited(&set)) == ["web-0"]
}

fn is_upgraded(protection: Protection) -> bool {
    let mut set = of_one(protection);
    change_profile(&mut set, profile("Standard_D4s_v3"));
    !assigned(&audited(&set)).is_empty()
}

fn is_repaired(protection: Protection, action: RepairAction) -> bool {
    let mut set = repairing(&[(None, 10)], action);
    set.members[3].report.health = Health::Known(HealthState::Unhealthy);
    set.members[3].report.changed_at = Some(Timestamp::UNIX_EPOCH);
    set.members[3].protection = protection;
    let repairs = |one: &Action| matches!(one, Action::RepairMember(_) | Action::CreateMember(_));
    audited(&set).actions.iter().any(repairs)
}

fn goes_with_the_set(protection: Protection) -> bool {
    let mut set = of_one(protection);
    set.set.life = SetLife::Terminating;
    deleted(&audited(&set)) == ["web-0"]
}

/// Whether an operation on the whole set, or on that VM by its id, is on it.
fn is_operated_on(protection: Protection, operation: OperationType, ids: &[&str]) -> bool {
    let protected = with(asked(operation, ids), |set| set.members[0].protection = protection);
    settled_on(&after(protected)).contains(&"0")
}

/// What is done, whether it is to a VM with a protection, and whether it is to be: none, from scale-in, from all actions.
type Row = (&'static str, Box<dyn Fn(Protection) -> bool>, [bool; 3]);

#[test]
fn protection_is_from_what_azure_says() {
    use Protection::{FromScaleIn, FromSetActions, None};
    let all_of_a_set = [OperationType::Restart, OperationType::Reimage, OperationType::Deallocate];
    let (replace, restart, reimage) = (RepairAction::Replace, RepairAction::Restart, RepairAction::Reimage);
    let mut table: Vec<Row> = vec![
        ("scale-in", Box::new(is_scaled_in), [true, false, false]),
        ("an upgrade by the set", Box::new(is_upgraded), [true, true, false]),
        ("a repair by another VM", Box::new(move |one| is_repaired(one, replace)), [true, false, false]),
        ("a repair by restart", Box::new(move |one| is_repaired(one, restart)), [true, false, false]),
        ("a repair by reimage", Box::new(move |one| is_repaired(one, reimage)), [true, false, false]),
        ("deletion of the whole set", Box::new(goes_with_the_set), [true, true, true]),
        ("deletion of that VM by a person", Box::new(is_deleted_by_hand), [true, true, true]),
    ];
    for operation in all_of_a_set {
        table.push(("the whole set", Box::new(move |one| is_operated_on(one, operation, &[])), [true, true, false]));
        table.push(("that VM", Box::new(move |one| is_operated_on(one, operation, &["0"])), [true, true, true]));
    }
    for operation in [OperationType::ManualUpgrade, OperationType::Delete] {
        table.push(("all by name", Box::new(move |one| is_operated_on(one, operation, &["*"])), [true, true, false]));
        table.push(("that VM", Box::new(move |one| is_operated_on(one, operation, &["0"])), [true, true, true]));
    }
    for (what, happens, expected) in table {
        assert_eq!([None, FromScaleIn, FromSetActions].map(happens), expected, "{what}");
    }
}
