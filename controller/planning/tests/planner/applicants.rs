//! VMs that would join a set in the same moment: the older is judged as if the younger were not there, the younger as if
//! the older had joined before.

use jiff::{SignedDuration, Timestamp};
use scaleset_planning::membership::{Applicant, MemberShape, MemberStanding, SetShape, refusal_among};
use scaleset_planning::snapshot::{Maintenance, SizeMaintenance};

use crate::membership::{open_set, vm};

fn applicant(name: &'static str, second: i64, shape: MemberShape<'static>) -> Applicant<'static> {
    Applicant { created: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second), name, shape }
}

fn preserving(standing: MemberStanding) -> MemberShape<'static> {
    vm(standing)
}

fn other(standing: MemberStanding) -> MemberShape<'static> {
    MemberShape {
        size: "Standard_M64s",
        maintenance: SizeMaintenance::Known(Maintenance::NotMemoryPreserving),
        ..vm(standing)
    }
}

/// Names of those that are taken, each judged alone on what everybody sees, in the order of `all`.
fn taken(set: &SetShape<'_>, all: &[Applicant<'static>]) -> Vec<&'static str> {
    let accepted = all.iter().filter(|one| refusal_among(Some(set), "demo", one, all).is_none());
    accepted.map(|one| one.name).collect()
}

#[test]
fn of_two_that_do_not_go_together_the_older_joins_whoever_is_judged_first() {
    use MemberStanding::{Accepted, Newcomer};
    let undecided = || SetShape {
        fault_domain_count: 3,
        single_placement_group: None,
        wished_single_placement_group: None,
        ..open_set()
    };
    let far = MemberShape { location: "westus", ..preserving(Newcomer) };
    let table: [(&str, Vec<Applicant<'static>>, &[&str]); 7] = [
        ("the older", vec![applicant("b", 1, preserving(Newcomer)), applicant("a", 2, other(Newcomer))], &["b"]),
        (
            "the other way round",
            vec![applicant("b", 1, other(Newcomer)), applicant("a", 2, preserving(Newcomer))],
            &["b"],
        ),
        (
            "of one second: by name",
            vec![applicant("b", 1, preserving(Newcomer)), applicant("a", 1, other(Newcomer))],
            &["a"],
        ),
        (
            "of one kind: both",
            vec![applicant("a", 1, other(Newcomer)), applicant("b", 2, other(Newcomer))],
            &["a", "b"],
        ),
        (
            "one that has joined decides, whatever its age",
            vec![applicant("a", 9, other(Accepted)), applicant("b", 1, preserving(Newcomer))],
            &["a"],
        ),
        (
            "one that cannot join decides nothing",
            vec![applicant("a", 1, far), applicant("b", 2, other(Newcomer)), applicant("c", 3, preserving(Newcomer))],
            &["b"],
        ),
        (
            "nor does one that is refused for another's sake",
            vec![
                applicant("a", 1, preserving(Newcomer)),
                applicant("b", 2, other(Newcomer)),
                applicant("c", 3, preserving(Newcomer)),
            ],
            &["a", "c"],
        ),
    ];
    for (case, mut all, expected) in table {
        for _ in 0..2 {
            let mut names = taken(&undecided(), &all);
            names.sort_unstable();
            assert_eq!(names, expected, "{case}");
            all.reverse();
        }
    }
}

#[test]
fn the_last_place_is_taken_once() {
    use MemberStanding::Newcomer;
    let all = [applicant("b", 1, preserving(Newcomer)), applicant("a", 2, preserving(Newcomer))];
    assert_eq!(taken(&SetShape { members: 999, ..open_set() }, &all), ["b"]);
    assert_eq!(taken(&SetShape { members: 998, ..open_set() }, &all), ["b", "a"]);
}
