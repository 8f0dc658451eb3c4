//! A set that is deallocated as a whole is spread anew, once.

use scaleset_crds::vocabulary::{PowerState, PowerWish};
use scaleset_planning::plan::Action;
use scaleset_planning::snapshot::{Observation, Protection, ScaleSetSnapshot};

use crate::fleet::{audited, member, newest, snapshot};

/// A regional set over three fault domains whose members, by number, are in these, all of it deallocated.
fn down(domains: &[(i64, i32)]) -> ScaleSetSnapshot {
    let mut snapshot = snapshot(&[], i32::try_from(domains.len()).expect("a few"));
    snapshot.set.platform_fault_domain_count = Some(3);
    let revision = newest(&snapshot);
    for (number, domain) in domains {
        let mut member = member(*number, None, Some(*domain), &revision);
        member.power_wish = PowerWish::Deallocated;
        member.report.power = PowerState::Deallocated;
        snapshot.members.push(member);
    }
    snapshot.members.sort_by(|one, two| one.name.cmp(&two.name));
    snapshot
}

/// Carries out the moves; how many there were.
fn obey(snapshot: &mut ScaleSetSnapshot, most: usize) -> usize {
    let plan = audited(snapshot);
    let moves =
        plan.actions.iter().filter_map(|action| if let Action::SeatMember(it) = action { Some(it) } else { None });
    let moves: Vec<_> = moves.take(most).cloned().collect();
    for seating in &moves {
        let found = snapshot.members.iter_mut().find(|member| member.name == seating.name);
        let member = found.expect("a plan names members");
        (member.fault_domain, member.update_domain) = (seating.fault_domain, seating.update_domain);
        member.placement_group.clone_from(&seating.placement_group);
    }
    moves.len()
}

fn spread(snapshot: &ScaleSetSnapshot) -> ([usize; 3], [usize; 5]) {
    let index = |domain: Option<i32>| domain.and_then(|domain| usize::try_from(domain).ok()).expect("it has one");
    let (mut domains, mut updates) = ([0; 3], [0; 5]);
    for member in &snapshot.members {
        domains[index(member.fault_domain)] += 1;
        updates[index(member.update_domain)] += 1;
    }
    (domains, updates)
}

#[test]
fn a_skew_is_mended_and_what_is_even_stays() {
    let mut skewed = down(&[(0, 0), (3, 0), (5, 0), (6, 0), (9, 0), (10, 1)]);
    assert!(obey(&mut skewed, usize::MAX) > 0);
    assert_eq!(spread(&skewed), ([2, 2, 2], [2, 1, 1, 1, 1]));
    assert_eq!(obey(&mut skewed, usize::MAX), 0, "once");
    assert_eq!(obey(&mut down(&[(0, 2), (1, 0), (2, 1)]), usize::MAX), 0, "another even order is as good");
}

#[test]
fn a_pass_that_dies_in_the_middle_is_followed_by_one_that_ends_it() {
    let mut skewed = down(&[(0, 0), (5, 0), (10, 0), (15, 0), (20, 0), (25, 0)]);
    for _ in 0..12 {
        obey(&mut skewed, 1);
    }
    assert_eq!(spread(&skewed), ([2, 2, 2], [2, 1, 1, 1, 1]));
    assert_eq!(obey(&mut skewed, usize::MAX), 0);
}

/// What it shows, and what is otherwise than in a set that is moved.
type Case = (&'static str, fn(&mut ScaleSetSnapshot));

#[test]
fn nobody_moves_while_one_is_up_or_unknown() {
    let skewed = || down(&[(0, 0), (3, 0), (6, 0)]);
    let cases: [Case; 5] = [
        ("one is wished up", |snapshot| snapshot.members[0].power_wish = PowerWish::Running),
        ("one is still up", |snapshot| snapshot.members[0].report.power = PowerState::Deallocating),
        ("nobody knows of one", |snapshot| snapshot.members[0].report.observation = Observation::Unseen),
        ("one is to be looked at again", |snapshot| snapshot.members[0].report.observation = Observation::Behind),
        ("one is to be made", |snapshot| snapshot.set.replicas = Some(4)),
    ];
    for (case, change) in cases {
        let mut snapshot = skewed();
        change(&mut snapshot);
        assert_eq!(obey(&mut snapshot, usize::MAX), 0, "{case}");
    }
    let mut snapshot = skewed();
    snapshot.members[2].protection = Protection::FromSetActions;
    obey(&mut snapshot, usize::MAX);
    assert_eq!(snapshot.members[2].fault_domain, Some(0), "a protected one stays, the others go around it");
    assert_eq!(spread(&snapshot).0, [1, 1, 1]);
}
