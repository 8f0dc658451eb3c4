//! VMs that would join a set in the same moment: the older is judged as if the younger were not there, the younger as if
//! the older had joined before.

use jiff::{SignedDuration, Timestamp};
use scaleset_crds::condition::Reason;
use scaleset_crds::spot::Priority;
use scaleset_planning::membership::{
    Applicant, MemberShape, MemberStanding, SetShape, fault_domain_among, refusal_among,
};
use scaleset_planning::snapshot::{Maintenance, Origin, SizeMaintenance};

use crate::membership::{open_set, told, vm};

fn applicant(name: &'static str, second: i64, shape: MemberShape<'static>) -> Applicant<'static> {
    let created = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
    Applicant { created, name, origin: Origin::Hand, shape, placed: None }
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

#[test]
fn an_own_image_limits_those_who_join_as_well() {
    use MemberStanding::{Attaching, Newcomer};
    let all = [applicant("b", 1, preserving(Newcomer)), applicant("a", 2, preserving(Attaching))];
    let holding = |members| SetShape { members, image_members_max: 600, ..open_set() };
    assert_eq!(taken(&holding(598), &all), ["b", "a"]);
    assert_eq!(taken(&holding(599), &all), ["b"]);
    assert_eq!(taken(&holding(600), &all), Vec::<&str>::new());
    let refused = told(refusal_among(Some(&holding(600)), "demo", &all[0], &all));
    let message =
        "spec.scaleSetRef.name: scale set demo has 600 members, the most of an own image (imageReference.id) are 600";
    assert_eq!(refused, Some((Reason::OperationNotAllowed, message.to_owned())));
}

/// Regular and Spot VMs that ask for a set over `domains`, of one size.
fn mixed(domains: i32, size: fn(MemberStanding) -> MemberShape<'static>) -> Vec<&'static str> {
    use MemberStanding::{Accepted, Newcomer};
    let of = |standing, priority| MemberShape { priority, ..size(standing) };
    let all = [
        applicant("there", 9, of(Accepted, Priority::Spot)),
        applicant("older", 1, of(Newcomer, Priority::Regular)),
        applicant("spot", 2, of(Newcomer, Priority::Spot)),
        applicant("younger", 3, of(Newcomer, Priority::Regular)),
    ];
    taken(&SetShape { fault_domain_count: domains, single_placement_group: None, ..open_set() }, &all)
}

#[test]
fn where_priorities_do_not_go_together_those_of_one_join() {
    assert_eq!(mixed(3, other), ["there", "spot"]);
    assert_eq!(mixed(1, other), ["there", "older", "spot", "younger"]);
    assert_eq!(mixed(3, preserving), ["there", "older", "spot", "younger"]);
    let several = SetShape { fault_domain_count: 3, single_placement_group: None, ..open_set() };
    let spot = |standing| MemberShape { priority: Priority::Spot, ..other(standing) };
    let all = [
        applicant("a", 1, other(MemberStanding::Newcomer)),
        applicant("b", 2, spot(MemberStanding::Newcomer)),
        applicant("c", 3, other(MemberStanding::Newcomer)),
    ];
    assert_eq!(taken(&several, &all), ["a", "c"], "of those who ask in one moment the oldest decides");
    let refused = told(refusal_among(Some(&several), "demo", &all[1], &all));
    let message = "spec.priority: Spot, and scale set demo has 1 regular and 0 Spot members; with Standard_M64s over 3 fault \
                   domains, a size without memory-preserving maintenance, they are not mixed; only Regular joins";
    assert_eq!(refused, Some((Reason::OperationNotAllowed, message.to_owned())));
}

/// What it shows, fault domains, who is there and asks, and what they are given.
type Row = (&'static str, i32, Vec<Applicant<'static>>, &'static [(&'static str, Option<i32>)]);

#[test]
fn who_names_no_fault_domain_gets_the_emptiest_whoever_is_judged_first() {
    use MemberStanding::{Accepted, Newcomer};
    let set = |domains| SetShape { fault_domain_count: domains, single_placement_group: None, ..open_set() };
    let placed = |name, domain| Applicant { placed: Some(domain), ..applicant(name, 0, preserving(Accepted)) };
    let far = MemberShape { location: "westus", ..preserving(Newcomer) };
    let new = |name, second| applicant(name, second, preserving(Newcomer));
    let table: [Row; 7] = [
        ("max spreading", 1, vec![new("a", 1)], &[("a", None)]),
        ("an empty set", 2, vec![new("a", 1)], &[("a", Some(0))]),
        ("the emptiest", 3, vec![placed("x", 0), placed("y", 2), new("a", 1)], &[("a", Some(1))]),
        (
            "those of one moment by age",
            2,
            vec![placed("x", 0), new("b", 2), new("a", 2), new("c", 1)],
            &[("b", Some(1)), ("a", Some(0)), ("c", Some(1))],
        ),
        ("who is refused takes no place", 2, vec![applicant("a", 1, far), new("b", 2)], &[("b", Some(0))]),
        (
            "who was taken and has no place yet keeps its turn",
            2,
            vec![applicant("a", 1, preserving(Accepted)), new("b", 2)],
            &[("a", Some(0)), ("b", Some(1))],
        ),
        ("a domain that the set does not have", 2, vec![placed("x", 4), new("a", 1)], &[("a", Some(0))]),
    ];
    for (case, domains, mut all, expected) in table {
        for _ in 0..2 {
            let given = |name: &str| {
                let own = all.iter().find(|one| one.name == name).expect("it asks");
                fault_domain_among(&set(domains), own, &all)
            };
            for (name, domain) in expected {
                assert_eq!(given(name), *domain, "{case}: {name}");
            }
            all.reverse();
        }
    }
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
