//! What a set's status counts: members that hold a place, and nothing that is there for a moment only.

use scaleset_crds::ScaleSetStatus;
use scaleset_crds::repairs::RepairAction;
use scaleset_planning::scale_set::plan;
use scaleset_planning::snapshot::{MaxSurge, MemberLife, Origin, Protection, RepairMark, RollMark, ScaleSetSnapshot};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};
use scaleset_planning::view::Health;

use crate::fleet::{member, newest, snapshot, spread};
use crate::repairs::{mark, now, repairing};
use crate::surging::{code, go_on, live, obey_some, settle, surging};

fn status_of(snapshot: &ScaleSetSnapshot) -> ScaleSetStatus {
    scale_set_status(snapshot, &plan(snapshot), &ScaleSetOutcome::default())
}

/// Replicas, ready, available, updated.
fn counts(snapshot: &ScaleSetSnapshot) -> [i32; 4] {
    let status = status_of(snapshot);
    [status.replicas, status.ready_replicas, status.available_replicas, status.updated_replicas]
        .map(|count| count.expect("it is counted"))
}

#[test]
fn a_surge_never_shows_in_the_count() {
    for (zones, surge) in [
        (vec![(None, 10)], MaxSurge::Count(1)),
        (vec![(None, 10)], MaxSurge::Percent(100)),
        (vec![(Some("1"), 4), (Some("2"), 3), (Some("3"), 3)], MaxSurge::Percent(100)),
    ] {
        let mut snapshot = surging(&zones, surge);
        let (mut most, mut updated) = (0, Vec::new());
        for _ in 0..30 {
            go_on(&mut snapshot);
            most = most.max(live(&snapshot));
            let [replicas, _, _, newest] = counts(&snapshot);
            assert_eq!(replicas, 10, "{surge:?}, {} are there", snapshot.members.len());
            updated.push(newest);
            settle(&mut snapshot);
            let status = status_of(&snapshot);
            let by_zone: i32 = status.zones.iter().map(|zone| zone.replicas).sum();
            assert_eq!((status.replicas, zones.len() == 1 || by_zone == 10), (Some(10), true), "{:?}", status.zones);
        }
        assert!(most > 10, "it surges");
        assert!(updated.is_sorted(), "who is upgraded stays so: {updated:?}");
        assert_eq!(counts(&snapshot), [10; 4], "{:?}", code(&snapshot));
    }
}

#[test]
fn of_two_in_one_place_the_old_one_counts_until_it_goes() {
    let mut snapshot = surging(&[(None, 10)], MaxSurge::Count(1));
    go_on(&mut snapshot);
    settle(&mut snapshot);
    snapshot.members.iter_mut().filter(|old| old.number == Some(0)).for_each(|old| old.report.health = Health::Missing);
    assert_eq!(live(&snapshot), 11);
    assert_eq!(counts(&snapshot), [10, 9, 9, 3], "three went in place; the new one is well, the old one not");
    go_on(&mut snapshot);
    assert_eq!(snapshot.members[0].life, MemberLife::Terminating);
    assert_eq!(counts(&snapshot), [10, 10, 10, 4], "the old one goes");
}

/// Ten members, and an eleventh that a repair made in the place of the fourth.
fn replacing() -> ScaleSetSnapshot {
    let mut snapshot = repairing(&[(None, 10)], RepairAction::Replace);
    let mut new = member(10, None, None, &newest(&snapshot));
    let replaces = Some("web-3".to_owned());
    new.repair = Some(RepairMark { replaces, ..mark(1, RepairAction::Replace, now()) });
    snapshot.members.push(new);
    snapshot.status.next_instance_id = Some(11);
    snapshot
}

#[test]
fn who_is_going_and_who_stands_beside_its_predecessor_are_not_counted() {
    type Change = fn(&mut ScaleSetSnapshot);
    let cases: [(&str, Change, i32); 9] = [
        ("a pass died between the new one and the deletion", |_| {}, 10),
        ("the old one is going", |one| one.members[3].life = MemberLife::Terminating, 10),
        ("the old one is gone", |one| drop(one.members.remove(3)), 10),
        ("both are going", |one| [3, 10].into_iter().for_each(|at| one.members[at].life = MemberLife::Terminating), 9),
        (
            "two others are going, and nothing outnumbers the target",
            |one| {
                for at in [0, 1] {
                    one.members[at].life = MemberLife::Terminating;
                }
            },
            9,
        ),
        (
            "one is a person's own",
            |one| {
                one.members[0].origin = Origin::Hand;
                one.set.replicas = Some(9);
            },
            10,
        ),
        (
            "the old one stays, and another has gone for it",
            |one| {
                one.members[3].protection = Protection::FromSetActions;
                one.members.remove(0);
            },
            10,
        ),
        (
            "a surge of two and a repair",
            |one| {
                for (number, old) in [(11, "web-5"), (12, "web-6")] {
                    let mut new = member(number, None, None, &newest(one));
                    new.roll = Some(RollMark { number: 1, since: now(), replaces: Some(old.to_owned()) });
                    one.members.push(new);
                }
            },
            10,
        ),
        (
            "the mark names nobody that there is",
            |one| {
                one.members[10].repair.as_mut().expect("it is marked").replaces = Some("web-99".to_owned());
            },
            11,
        ),
    ];
    for (what, change, expected) in cases {
        let mut snapshot = replacing();
        change(&mut snapshot);
        assert_eq!(counts(&snapshot)[0], expected, "{what}");
    }
}

#[test]
fn a_set_that_grows_beside_a_surge_counts_neither() {
    let mut growing = surging(&[(None, 10)], MaxSurge::Count(1));
    go_on(&mut growing);
    growing.set.replicas = Some(14);
    assert_eq!(live(&growing), 11);
    assert_eq!(counts(&growing)[0], 10, "the four are made in this pass, and the new one is still beside the old one");
    let grows = plan(&growing);
    obey_some(&mut growing, &grows, usize::MAX);
    assert_eq!((live(&growing), counts(&growing)[0]), (15, 14));
}

#[test]
fn what_is_to_go_and_stays_for_now_is_counted() {
    let mut shrinking = snapshot(&[], 7);
    shrinking.members = spread(&[(None, 10)], &newest(&shrinking));
    for member in &mut shrinking.members {
        member.protection = Protection::FromScaleIn;
    }
    assert_eq!(counts(&shrinking), [10; 4], "nobody may go: the set is as large as it is");
}
