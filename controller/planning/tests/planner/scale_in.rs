//! Who goes when a set shrinks.

use std::time::Duration;

use scaleset_crds::condition::Reason;
use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::{PowerWish, ProvisioningState, ScaleInRule};
use scaleset_planning::plan::{Action, RemovalCause, ScaleSetPlan};
use scaleset_planning::priority_mix::PriorityMix;
use scaleset_planning::scale_in::{ScaleInOrder, victims};
use scaleset_planning::snapshot::{
    Evicted, MaxSurge, Member, MemberLife, Origin, Protection, RollMark, ScaleSetSnapshot, UnhealthyRule,
};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};

use crate::fleet::{audited, created, deleted, member, newest, snapshot, spread};
use crate::surging::{go_on, settle, surging};

fn chosen(members: &[Member], zones: &[&str], count: usize) -> Vec<i64> {
    chosen_by(members, zones, (ScaleInRule::Default, UnhealthyRule::InOrder), count)
}

fn chosen_by(members: &[Member], zones: &[&str], by: (ScaleInRule, UnhealthyRule), count: usize) -> Vec<i64> {
    let zones: Vec<String> = zones.iter().map(|zone| (*zone).to_owned()).collect();
    let order = ScaleInOrder { zones: &zones, rule: by.0, unhealthy: by.1, upgrading_to: None, mix: None };
    victims(members, &order, count).iter().filter_map(|victim| victim.member.number).collect()
}

/// Of one second each, so that only the number tells their age; fault domains that would decide otherwise.
fn by_age(zones: &[(&'static str, &[i64])]) -> Vec<Member> {
    let placed = |zone, number: i64| member(number, Some(zone), Some(i32::from(number > 3)), "r");
    zones.iter().flat_map(|(zone, numbers)| numbers.iter().map(|number| placed(*zone, *number))).collect()
}

#[test]
fn the_documented_runs_by_age_take_these_six_in_this_order() {
    let members = by_age(&[("1", &[3, 4, 5, 10]), ("2", &[2, 6, 9, 11]), ("3", &[1, 7, 8])]);
    let run = |rule| chosen_by(&members, &["1", "2", "3"], (rule, UnhealthyRule::InOrder), 6);
    assert_eq!(run(ScaleInRule::OldestVM), [2, 3, 1, 4, 6, 5]);
    assert_eq!(run(ScaleInRule::NewestVM), [11, 10, 9, 8, 5, 7]);
}

#[test]
fn age_goes_by_the_time_of_creation_before_the_number() {
    let mut members = placed(&[(0, None, Some(0)), (1, None, Some(0)), (2, None, Some(1))]);
    members[0].created += Duration::from_mins(1);
    let run = |rule| chosen_by(&members, &[], (rule, UnhealthyRule::InOrder), 3);
    assert_eq!(run(ScaleInRule::NewestVM), [0, 2, 1], "no fault domain is balanced");
    assert_eq!(run(ScaleInRule::OldestVM), [1, 2, 0]);
}

#[test]
fn unhealthy_and_stopped_members_go_first_inside_the_fullest_zones() {
    let mut members = spread(&[(Some("1"), 2), (Some("2"), 3)], "r");
    members[0].report.provisioning = ProvisioningState::Failed;
    members[2].power_wish = PowerWish::Deallocated;
    let first = (ScaleInRule::Default, UnhealthyRule::First);
    // Zone 2 is the fullest: its stopped member 2 goes; then both have two, and zone 1 has the failed one.
    assert_eq!(chosen_by(&members, &["1", "2"], first, 4), [2, 0, 4, 3]);
    assert_eq!(chosen(&members, &["1", "2"], 4), [4, 3, 1, 2], "without it they are like the others");
}

#[test]
fn the_rule_of_the_set_decides_who_goes_and_who_is_announced() {
    let mut snapshot = snapshot(&[], 2);
    snapshot.members = spread(&[(None, 4)], &newest(&snapshot));
    snapshot.set.scale_in_rule = ScaleInRule::OldestVM;
    let plan = audited(&snapshot);
    assert_eq!(deleted(&plan), ["web-0", "web-1"]);
    assert_eq!(plan.next_victims[0], ("web-2".to_owned(), "oldest".to_owned()), "after those that go now");
}

fn placed(list: &[(i64, Option<&str>, Option<i32>)]) -> Vec<Member> {
    list.iter().map(|(number, zone, domain)| member(*number, *zone, *domain, "r")).collect()
}

#[test]
fn regional_sets_take_the_highest_id_of_the_fullest_fault_domain() {
    let members =
        placed(&[(0, None, Some(0)), (1, None, Some(1)), (2, None, Some(0)), (3, None, Some(1)), (4, None, Some(0))]);
    assert_eq!(chosen(&members, &[], 4), [4, 3, 2, 1]);
}

#[test]
fn zones_are_drained_from_the_fullest_and_counted_anew() {
    let members = spread(&[(Some("1"), 1), (Some("2"), 2), (Some("3"), 4)], "r");
    // 1/2/4: zone 3 gives two (6, 5), then it and zone 2 are equal and the higher id goes, then the other.
    assert_eq!(chosen(&members, &["1", "2", "3"], 4), [6, 5, 4, 2]);
}

#[test]
fn zoneless_members_of_a_zonal_set_go_first() {
    let members = spread(&[(None, 2), (Some("1"), 3), (Some("2"), 3)], "r");
    assert_eq!(chosen(&members, &["1", "2"], 3), [1, 0, 7]);
}

#[test]
fn protected_and_hand_made_members_stay_but_count() {
    let mut members = spread(&[(Some("1"), 3), (Some("2"), 1)], "r");
    members[2].protection = Protection::FromScaleIn;
    members[1].origin = Origin::Hand;
    // Zone 1 stays the fullest while 1 and 2 are in it: 0 goes, then nobody is left there.
    assert_eq!(chosen(&members, &["1", "2"], 3), [0, 3]);
}

#[test]
fn what_protection_leaves_over_is_held_with_its_number() {
    let mut snapshot = snapshot(&[], 1);
    snapshot.members = spread(&[(None, 4)], &newest(&snapshot));
    for index in [0, 3] {
        snapshot.members[index].protection = Protection::FromScaleIn;
    }
    let plan = audited(&snapshot);
    assert_eq!(deleted(&plan), ["web-2", "web-1"]);
    assert_eq!((plan.holds[0].reason, plan.holds[0].count), (Reason::Protected, 1));
}

#[test]
fn absent_replicas_keep_the_count_in_force() {
    let mut snapshot = snapshot(&[], 0);
    snapshot.set.replicas = None;
    snapshot.members = spread(&[(None, 3)], &newest(&snapshot));
    snapshot.status.target_replicas = Some(3);
    assert!(deleted(&audited(&snapshot)).is_empty());
    snapshot.status.target_replicas = None;
    snapshot.members.clear();
    assert_eq!(audited(&snapshot).effective.target, 0, "a set that never had a count has 0");
}

/// Nothing tells the count of a set whose status was lost: it keeps what it has, and puts that on record.
#[test]
fn a_lost_count_is_that_of_the_members_that_are_there() {
    let lost = |change: fn(&mut ScaleSetSnapshot)| {
        let mut snapshot = snapshot(&[], 0);
        snapshot.set.replicas = None;
        snapshot.members = spread(&[(None, 4)], &newest(&snapshot));
        snapshot.status.target_replicas = None;
        change(&mut snapshot);
        let plan = audited(&snapshot);
        let status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
        (plan.effective.target, status.target_replicas, deleted(&plan).len(), created(&plan).len())
    };
    assert_eq!(lost(|_| {}), (4, Some(4), 0, 0));
    assert_eq!(lost(|set| set.members[3].life = MemberLife::Terminating), (3, Some(3), 0, 0), "one is on its way");
    assert_eq!(lost(|set| set.members[3].origin = Origin::Hand), (3, Some(3), 0, 0), "one is a person's");
    assert_eq!(lost(|set| set.members[3].report.evicted = Evicted::Deleted), (3, Some(3), 1, 0), "one was evicted");
    let succeeds = |set: &mut ScaleSetSnapshot| {
        let mark = RollMark { number: 1, since: set.now, replaces: Some("web-0".to_owned()) };
        set.members[3].roll = Some(mark);
    };
    assert_eq!(lost(succeeds), (3, Some(3), 1, 0), "one stands beside the one that it is to replace");
}

/// Fleets of every shape, by a counter: what is announced is what goes, in that order, however far the set shrinks.
#[test]
fn what_is_announced_is_what_goes() {
    let rules = [ScaleInRule::Default, ScaleInRule::NewestVM, ScaleInRule::OldestVM];
    for seed in 0..300_u64 {
        let mut state = seed;
        let mut below = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        let mut set = snapshot(&["1", "2", "3"], 0);
        let zones = [None, Some("1"), Some("2"), Some("3")].map(|zone| (zone, usize::try_from(below(4)).unwrap_or(0)));
        set.members = spread(&zones, &newest(&set));
        set.set.scale_in_rule = rules[usize::try_from(below(3)).unwrap_or(0)];
        let base = usize::try_from(below(4)).unwrap_or(0);
        set.set.mix = (below(3) == 0).then_some(PriorityMix { base, regular_percent_above_base: 50 });
        for member in &mut set.members {
            member.created += Duration::from_secs(below(5));
            if below(4) == 0 {
                member.protection = Protection::FromScaleIn;
            }
            if set.set.mix.is_some() && below(2) == 0 {
                member.priority = Priority::Spot;
            }
        }
        let count = i32::try_from(set.members.len()).expect("a count");
        set.set.replicas = Some(count);
        let announced: Vec<String> = audited(&set).next_victims.into_iter().map(|(name, _)| name).collect();
        for less in 1..=announced.len() {
            set.set.replicas = Some(count - i32::try_from(less).expect("a count"));
            let mut gone = deleted(&audited(&set)).into_iter().map(str::to_owned).collect::<Vec<_>>();
            gone.truncate(less);
            assert_eq!(gone, announced[..less], "seed {seed}");
        }
    }
}

/// Names of those that go because the set shrinks.
fn scaled_in(plan: &ScaleSetPlan) -> Vec<String> {
    let removals = plan.actions.iter().filter_map(Action::removal);
    removals.filter(|removal| removal.cause == RemovalCause::ScaleIn).map(|removal| removal.name.clone()).collect()
}

fn one_is_well(set: &mut ScaleSetSnapshot) {
    let mut settled = set.clone();
    settle(&mut settled);
    let well = settled.members.into_iter().find(|member| member.number == Some(11)).expect("it is there");
    *set.members.iter_mut().find(|member| member.number == Some(11)).expect("it is there") = well;
}

/// In the middle of a surge new members that are not well yet go first, and nobody of a pair that goes on.
#[test]
fn what_is_announced_in_the_middle_of_a_surge_is_what_goes() {
    type Moment = fn(&mut ScaleSetSnapshot);
    let moments: [(&str, Moment, usize); 4] = [
        ("none of the new is well", |_| {}, 4),
        ("all of the new are well", settle, 0),
        ("one of the new is well", one_is_well, 3),
        ("one of the old is protected", |set| set.members[0].protection = Protection::FromSetActions, 4),
    ];
    for rule in [ScaleInRule::Default, ScaleInRule::NewestVM, ScaleInRule::OldestVM] {
        for (when, change, unfinished) in moments {
            let mut set = surging(&[(None, 10)], MaxSurge::Percent(100));
            set.set.scale_in_rule = rule;
            go_on(&mut set);
            change(&mut set);
            let plan = audited(&set);
            assert_eq!(plan.next_victims.len(), 5, "{when}");
            let next = plan.next_victims.iter().map(|(name, _)| name.clone());
            let announced: Vec<String> = scaled_in(&plan).into_iter().chain(next).collect();
            for less in 1..=5 {
                let mut smaller = set.clone();
                smaller.set.replicas = Some(10 - i32::try_from(less).expect("a count"));
                let plan = audited(&smaller);
                let gone = scaled_in(&plan);
                assert_eq!(gone.len(), less + unfinished, "{rule:?}, {when}, {less} less: {plan}");
                let both = gone.len().min(announced.len());
                assert_eq!(gone[..both], announced[..both], "{rule:?}, {when}, {less} less: {plan}");
            }
        }
    }
}
