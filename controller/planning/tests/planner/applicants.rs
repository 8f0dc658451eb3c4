//! VMs that would join a set in the same moment: the older is judged as if the younger were not there, the younger as if
//! the older had joined before.

use jiff::{SignedDuration, Timestamp};
use scaleset_planning::membership::{Applicant, MemberShape, MemberStanding, SetShape, refusal_among};
use scaleset_planning::snapshot::{Maintenance, Origin, SizeMaintenance};

use crate::membership::{open_set, vm};

fn applicant(name: &'static str, second: i64, shape: MemberShape<'static>) -> Applicant<'static> {
    Applicant { created: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second), name, origin: Origin::Hand, shape }
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

/// A set that is to make some more in the same moment has their places, whoever is first.
#[test]
fn what_the_set_is_to_make_has_its_place() {
    use MemberStanding::{Accepted, Newcomer};
    let full = |wished: usize| SetShape { members: 197, wished, single_placement_group: Some(true), ..two_domains() };
    let mut joined = applicant("joined", 1, other(Accepted));
    let mut made = Applicant { origin: Origin::Set, ..applicant("made", 2, other(Accepted)) };
    for (wished, expected) in [(197, vec!["a", "b"]), (198, vec!["a"]), (199, vec![]), (250, vec![])] {
        let all =
            [joined.clone(), made.clone(), applicant("a", 3, other(Newcomer)), applicant("b", 4, other(Newcomer))];
        let taken: Vec<&str> = taken(&full(wished), &all).into_iter().filter(|name| name.len() == 1).collect();
        assert_eq!(taken, expected, "{wished} are to be made, one is there by hand");
    }
    joined.name = "x";
    made.name = "y";
    let late = applicant("late", 5, other(Newcomer));
    let refusal = refusal_among(Some(&full(199)), "demo", &late, &[joined, made]).expect("it is refused");
    assert_eq!(
        refusal.message,
        "spec.scaleSetRef.name: scale set demo has 197 members and is to have 200, the most are 200"
    );
}

fn two_domains() -> SetShape<'static> {
    SetShape { fault_domain_count: 2, wished_single_placement_group: None, ..open_set() }
}
