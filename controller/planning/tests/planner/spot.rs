//! Sets of Spot VMs: who was evicted lowers the target once, and a mix grows and shrinks on the right side.

use std::sync::Arc;

use scaleset_crds::condition::{Reason, ScaleSetCondition, find};
use scaleset_crds::spot::{EvictedMember, EvictionReason, Priority};
use scaleset_crds::vocabulary::{OrchestrationMode, PowerState};
use scaleset_planning::plan::{Action, RemovalCause, ScaleSetPlan};
use scaleset_planning::priority_mix::PriorityMix;
use scaleset_planning::snapshot::{
    Autoscaler, Confirmation, Evicted, Failure, Maintenance, Member, MemberLife, Protection, ScaleInGuard,
    ScaleSetSnapshot, SetLife, SetOperation, SetRequest, SpotOffer,
};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};

use crate::fleet::{audited, change_profile, created, deleted, newest, profile, snapshot, spread};

/// A Spot set of `members` that wishes `replicas`.
pub(crate) fn spot_set(members: usize, replicas: i32) -> ScaleSetSnapshot {
    let mut snapshot = snapshot(&[], replicas);
    let mut profile = profile("Standard_D2s_v3");
    profile.spot.priority = Priority::Spot;
    change_profile(&mut snapshot, profile);
    let newest = newest(&snapshot);
    snapshot.revisions[0].name.clone_from(&newest);
    snapshot.revisions[0].profile = Arc::clone(snapshot.set.profile.as_ref().expect("it has one"));
    snapshot.members = spread(&[(None, members)], &newest);
    for member in &mut snapshot.members {
        member.priority = Priority::Spot;
    }
    snapshot.status.target_replicas = i32::try_from(members).ok();
    snapshot
}

fn evict(member: &mut Member) {
    member.report.evicted = Evicted::Deleted;
}

fn note(uid: &str, replicas: Option<i32>) -> EvictedMember {
    EvictedMember { uid: uid.to_owned(), replicas, unconfirmed_replicas: None }
}

fn noted(plan: &ScaleSetPlan) -> Vec<&str> {
    let notes = plan.actions.iter().filter_map(|action| {
        if let Action::NoteEvictions { names } = action { Some(names.iter().map(String::as_str)) } else { None }
    });
    notes.flatten().collect()
}

#[test]
fn an_eviction_is_noted_before_its_object_goes_and_nobody_is_made_in_its_place() {
    let mut snapshot = spot_set(5, 5);
    evict(&mut snapshot.members[1]);
    evict(&mut snapshot.members[3]);
    let plan = audited(&snapshot);
    assert_eq!(
        (plan.effective.target, noted(&plan), deleted(&plan)),
        (3, vec!["web-1", "web-3"], vec!["web-1", "web-3"])
    );
    assert!(created(&plan).is_empty());
    assert_eq!(plan.evictions, [note("uid-1", Some(5)), note("uid-3", Some(5))]);
    let position = |wanted: fn(&Action) -> bool| plan.actions.iter().position(wanted);
    let before = position(|action| matches!(action, Action::NoteEvictions { .. }));
    assert!(before < position(|action| matches!(action, Action::DeleteMember(_))), "{plan}");

    // The next pass notes nothing again, whether or not the objects are gone.
    snapshot.status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
    for left in [5, 3] {
        snapshot.members.retain(|member| left == 5 || member.report.evicted == Evicted::No);
        let plan = audited(&snapshot);
        assert_eq!((plan.effective.target, noted(&plan), plan.evictions.len()), (3, vec![], 2), "{left} left");
        assert!(created(&plan).is_empty());
    }
}

#[test]
fn a_note_counts_while_the_wish_is_the_same() {
    let table = [
        // Notes before, wish, members that are there, notes after, target.
        (vec![note("gone", Some(5))], Some(5), 4, vec![note("gone", Some(5))], 4),
        (vec![note("gone", Some(5))], Some(7), 4, vec![], 7),
        (vec![note("uid-0", Some(5))], Some(7), 4, vec![note("uid-0", None)], 7),
        (vec![note("gone", Some(5))], None, 4, vec![], 4),
        (vec![note("uid-0", None)], None, 4, vec![note("uid-0", None)], 4),
        (vec![note("gone", None)], Some(5), 4, vec![], 5),
    ];
    for (before, wish, members, after, target) in table {
        let mut snapshot = spot_set(members, 5);
        snapshot.set.replicas = wish;
        snapshot.status.evictions.clone_from(&before);
        let plan = audited(&snapshot);
        assert_eq!((plan.evictions, plan.effective.target), (after, target), "{before:?} and {wish:?}");
    }
}

#[test]
fn a_target_that_evictions_lower_is_told_with_the_way_back() {
    let mut snapshot = spot_set(10, 10);
    evict(&mut snapshot.members[1]);
    evict(&mut snapshot.members[3]);
    let plan = audited(&snapshot);
    snapshot.status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
    snapshot.members.retain(|member| member.report.evicted == Evicted::No);
    let plan = audited(&snapshot);
    let status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
    let told: Vec<(&str, i32, &str)> =
        status.blockers.iter().map(|one| (one.code.as_str(), one.count, one.message.as_str())).collect();
    let message = "10 wished, 2 evicted with policy Delete, 8 in force; to get them back set spec.replicas to 8, wait until \
                   status.observedGeneration has followed, then set it to 10 again";
    assert_eq!(told, [("Evicted", 2, message)]);
    let ready = find(&status.conditions, ScaleSetCondition::Ready.as_str()).expect("it is written");
    assert_eq!(ready.status, "True", "{}", ready.message);
    for wish in [8, 10] {
        snapshot.set.replicas = Some(wish);
        let plan = audited(&snapshot);
        assert_eq!((plan.effective.target, plan.holds.len()), (wish, 0), "{plan}");
        snapshot.status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
    }
}

#[test]
fn members_of_one_blocker_tell_their_own_stories() {
    let mut snapshot = spot_set(6, 6);
    let reasons = [EvictionReason::Price, EvictionReason::Capacity, EvictionReason::Capacity];
    for (member, reason) in snapshot.members.iter_mut().zip(reasons) {
        member.report.evicted = Evicted::Deallocated(reason);
        member.report.power = PowerState::Deallocated;
    }
    let status = scale_set_status(&snapshot, &audited(&snapshot), &ScaleSetOutcome::default());
    let blocker = &status.blockers[0];
    assert_eq!((status.blockers.len(), blocker.code.as_str(), blocker.count), (1, Reason::Evicted.as_str(), 3));
    assert_eq!(
        blocker.message,
        "3 not as wished: 2 (web-1, web-2): evicted for capacity; spotRestorePolicy or the operation Start gets it back; 1 (web-0): evicted for \
         the price; the operation Start gets it back"
    );
}

#[test]
fn a_blocker_tells_three_stories_and_names_the_rest() {
    let mut snapshot = spot_set(6, 6);
    for member in &mut snapshot.members[..5] {
        let message = format!("no room for {}", member.name);
        member.report.failure = Some(Failure { reason: Reason::AllocationFailed, message });
    }
    let status = scale_set_status(&snapshot, &audited(&snapshot), &ScaleSetOutcome::default());
    let blocker = status.blockers.iter().find(|one| one.code == "AllocationFailed").expect("it is there");
    assert_eq!(
        blocker.message,
        "5 not as wished: 1 (web-0): no room for web-0; 1 (web-1): no room for web-1; 1 (web-2): no room for web-2; 2 \
         (web-3, web-4) for other reasons of that kind"
    );
}

#[test]
fn a_target_that_nobody_wishes_is_lowered_once() {
    let mut snapshot = spot_set(5, 5);
    snapshot.set.replicas = None;
    evict(&mut snapshot.members[2]);
    let plan = audited(&snapshot);
    assert_eq!((plan.effective.target, plan.evictions.as_slice()), (4, &[note("uid-2", None)][..]));
    snapshot.status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
    assert_eq!(audited(&snapshot).effective.target, 4);
}

#[test]
fn a_drop_that_waits_lets_evictions_lower_the_target_in_force() {
    let mut snapshot = spot_set(20, 2);
    snapshot.scale_in_guard =
        ScaleInGuard::On { confirmation: Confirmation::None, autoscaler: Autoscaler::None, recorded: Vec::new() };
    evict(&mut snapshot.members[0]);
    let plan = audited(&snapshot);
    assert_eq!((plan.effective.target, deleted(&plan)), (19, vec!["web-0"]));
    let waits = EvictedMember { uid: "uid-0".to_owned(), replicas: None, unconfirmed_replicas: Some(2) };
    assert_eq!(plan.evictions, [waits]);
}

/// Evicts as many as are said one after the other, each seen by a pass whose status is written and whose objects go.
fn evict_one_by_one(snapshot: &mut ScaleSetSnapshot, many: usize) {
    for _ in 0..many {
        evict(&mut snapshot.members[0]);
        let plan = audited(snapshot);
        assert_eq!(deleted(&plan).len(), 1, "only who was evicted goes: {plan}");
        snapshot.status = scale_set_status(snapshot, &plan, &ScaleSetOutcome::default());
        snapshot.members.remove(0);
        assert!(audited(snapshot).actions.is_empty(), "{}", audited(snapshot));
    }
}

#[test]
fn evictions_wear_the_guard_out_in_no_number_and_count_once() {
    for evictions in [1, 5, 13, 17, 18, 19] {
        let mut snapshot = spot_set(20, 2);
        let guard =
            |confirmation| ScaleInGuard::On { confirmation, autoscaler: Autoscaler::None, recorded: Vec::new() };
        snapshot.scale_in_guard = guard(Confirmation::None);
        if evictions <= 18 {
            evict_one_by_one(&mut snapshot, evictions);
            let plan = audited(&snapshot);
            let held = plan.holds.iter().any(|hold| hold.reason == Reason::ScaleInNotConfirmed);
            let target = usize::try_from(plan.effective.target).ok();
            assert_eq!((target, held), (Some(20 - evictions), evictions < 18), "{evictions}: {plan}");
        } else {
            snapshot.members.iter_mut().take(evictions).for_each(evict);
            let plan = audited(&snapshot);
            assert_eq!(plan.effective.target, 2, "never below the wish: {plan}");
            snapshot.status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
            snapshot.members.drain(..evictions);
        }
        snapshot.scale_in_guard = guard(Confirmation::Target(2));
        let plan = audited(&snapshot);
        assert_eq!(plan.effective.target, 2, "{evictions} evicted, then confirmed: {plan}");
        assert!(plan.evictions.is_empty(), "{:?}", plan.evictions);
    }
}

#[test]
fn another_wish_ends_the_wait_and_what_was_evicted_in_it() {
    for (wish, target, held) in [(20, 20, false), (14, 14, false), (1, 15, true)] {
        let mut snapshot = spot_set(20, 2);
        snapshot.scale_in_guard =
            ScaleInGuard::On { confirmation: Confirmation::None, autoscaler: Autoscaler::None, recorded: Vec::new() };
        evict_one_by_one(&mut snapshot, 5);
        snapshot.set.replicas = Some(wish);
        let plan = audited(&snapshot);
        let waits = plan.holds.iter().any(|hold| hold.reason == Reason::ScaleInNotConfirmed);
        assert_eq!((plan.effective.target, waits, plan.evictions.len()), (target, held, 0), "{wish}: {plan}");
    }
}

#[test]
fn who_was_told_to_go_before_lowers_nothing_more() {
    let mut going = spot_set(5, 5);
    evict(&mut going.members[1]);
    going.members[1].life = MemberLife::Terminating;
    let plan = audited(&going);
    assert_eq!((plan.effective.target, created(&plan).len()), (5, 1), "a person's deletion is replaced");
    assert_eq!((noted(&plan), plan.evictions.as_slice()), (vec!["web-1"], &[note("uid-1", None)][..]));

    let mut asked = spot_set(5, 4);
    evict(&mut asked.members[1]);
    let request = SetRequest::Delete { instances: ["uid-1".to_owned()].into() };
    asked.operations = vec![SetOperation { name: "less".to_owned(), request }];
    let plan = audited(&asked);
    assert_eq!((plan.effective.target, deleted(&plan)), (4, vec!["web-1"]), "the operation has lowered the count");
}

#[test]
fn who_is_evicted_beyond_the_target_lowers_nothing() {
    // Members, wish, how many are protected, evicted ones, target afterwards, how many go.
    let table = [
        (10, 8, 10, vec![0], 8, 1),
        (10, 8, 10, vec![0, 1, 2], 7, 3),
        (10, 8, 0, vec![4], 8, 2),
        (10, 9, 0, vec![4, 5], 8, 2),
        (9, 10, 0, vec![4], 9, 1),
    ];
    for (members, wish, protected, evicted, target, gone) in table {
        let mut snapshot = spot_set(members, wish);
        for member in &mut snapshot.members[..protected] {
            member.protection = Protection::FromScaleIn;
        }
        for index in &evicted {
            evict(&mut snapshot.members[*index]);
        }
        let plan = audited(&snapshot);
        let text = format!("{members} to {wish}, {protected} protected, {evicted:?} evicted: {plan}");
        let counted = plan.evictions.iter().filter(|note| note.replicas.is_some()).count();
        assert_eq!((plan.effective.target, noted(&plan).len()), (target, evicted.len()), "{text}");
        assert_eq!((i32::try_from(counted).ok(), deleted(&plan).len()), (Some(wish - target), gone), "{text}");
        snapshot.status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
        assert_eq!(audited(&snapshot).effective.target, target, "it stays: {text}");
    }
}

#[test]
fn who_was_asked_to_go_makes_no_room_for_an_eviction() {
    let mut snapshot = spot_set(5, 4);
    evict(&mut snapshot.members[3]);
    let request = SetRequest::Delete { instances: ["uid-1".to_owned()].into() };
    snapshot.operations = vec![SetOperation { name: "less".to_owned(), request }];
    let plan = audited(&snapshot);
    assert_eq!((plan.effective.target, deleted(&plan).len(), created(&plan).len()), (3, 2, 0), "{plan}");
}

#[test]
fn protection_keeps_nobody_who_is_gone_and_a_set_that_goes_notes_nothing() {
    let mut snapshot = spot_set(3, 3);
    evict(&mut snapshot.members[0]);
    snapshot.members[0].protection = Protection::FromSetActions;
    let plan = audited(&snapshot);
    let causes: Vec<RemovalCause> = plan.actions.iter().filter_map(Action::removal).map(|one| one.cause).collect();
    assert_eq!(causes, [RemovalCause::Evicted]);
    snapshot.set.life = SetLife::Terminating;
    assert!(noted(&audited(&snapshot)).is_empty());
}

#[test]
fn a_set_is_ready_without_those_that_were_deallocated_and_names_them() {
    let mut snapshot = spot_set(4, 4);
    for member in &mut snapshot.members[..2] {
        member.report.evicted = Evicted::Deallocated(EvictionReason::Price);
        member.report.power = PowerState::Deallocated;
    }
    let plan = audited(&snapshot);
    assert!(plan.actions.is_empty(), "{plan}");
    let status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
    let ready = find(&status.conditions, ScaleSetCondition::Ready.as_str()).expect("it is written");
    assert_eq!((ready.status.as_str(), ready.message.as_str()), ("True", "2 of 4 ready, 2 evicted, 0 stopped by wish"));
    let blocker = &status.blockers[0];
    assert_eq!((blocker.code.as_str(), blocker.count), (Reason::Evicted.as_str(), 2));
    // They spend nothing of the allowance: the others go on with another model.
    change_profile(&mut snapshot, profile("Standard_D4s_v3"));
    let moved = audited(&snapshot).actions.into_iter().filter(|action| action.upgraded().is_some()).count();
    assert!(moved > 0, "nobody is upgraded");
}

/// A set of `regular` and `spot` members with base 10 and half of the rest.
fn mixed(regular: usize, spot: usize, replicas: i32) -> ScaleSetSnapshot {
    let mut snapshot = spot_set(regular + spot, replicas);
    snapshot.set.mode = OrchestrationMode::Flexible;
    snapshot.set.mix = Some(PriorityMix { base: 10, regular_percent_above_base: 50 });
    for member in &mut snapshot.members[..regular] {
        member.priority = Priority::Regular;
    }
    snapshot
}

fn split(priorities: impl Iterator<Item = Priority>) -> (usize, usize) {
    let priorities: Vec<Priority> = priorities.collect();
    let regular = priorities.iter().filter(|priority| **priority == Priority::Regular).count();
    (regular, priorities.len() - regular)
}

#[test]
fn a_mix_grows_on_its_short_side_alone() {
    // Members, wish, new members: regular and Spot.
    let table = [
        ((0, 0), 42, (26, 16)),
        ((26, 0), 26, (0, 0)),
        ((26, 0), 30, (0, 4)),
        ((26, 4), 42, (0, 12)),
        ((26, 16), 44, (1, 1)),
        ((26, 15), 42, (0, 1)),
        ((5, 0), 8, (3, 0)),
        ((0, 8), 12, (4, 0)),
    ];
    for ((regular, spot), wish, expected) in table {
        let plan = audited(&mixed(regular, spot, wish));
        assert_eq!(split(created(&plan).iter().map(|new| new.priority)), expected, "{regular} and {spot} to {wish}");
    }
}

#[test]
fn a_mix_shrinks_on_its_long_side_first_and_who_is_listed_goes() {
    let table = [((26, 16), 30, (6, 6)), ((26, 4), 28, (2, 0)), ((10, 32), 36, (0, 6)), ((12, 0), 9, (3, 0))];
    for ((regular, spot), wish, expected) in table {
        let mut snapshot = mixed(regular, spot, wish);
        let plan = audited(&snapshot);
        let gone = deleted(&plan);
        let priority =
            |name: &&str| snapshot.members.iter().find(|member| member.name == **name).map(|member| member.priority);
        assert_eq!(split(gone.iter().filter_map(priority)), expected, "{regular} and {spot} to {wish}");
        let before = i32::try_from(regular + spot).expect("they are few");
        snapshot.set.replicas = Some(before);
        let listed: Vec<String> = audited(&snapshot).next_victims.into_iter().map(|(name, _)| name).collect();
        let expected: Vec<&str> = gone.iter().copied().take(listed.len()).collect();
        assert_eq!(listed[..expected.len()], expected, "{regular} and {spot} to {wish}");
    }
}

#[test]
fn where_the_long_side_may_not_go_the_other_does() {
    let mut snapshot = mixed(26, 4, 28);
    for member in &mut snapshot.members[..26] {
        member.protection = Protection::FromScaleIn;
    }
    assert_eq!(deleted(&audited(&snapshot)).len(), 2);
}

#[test]
fn the_region_must_offer_the_size_as_spot_and_the_mix_needs_many_placement_groups() {
    let mut snapshot = spot_set(0, 2);
    let size = |snapshot: &mut ScaleSetSnapshot| {
        let region = snapshot.region.as_mut().expect("there is a region");
        region.sizes.get_mut("Standard_D2s_v3").expect("the size is there").clone()
    };
    let mut facts = size(&mut snapshot);
    facts.spot = SpotOffer::NotOffered;
    snapshot.region.as_mut().expect("there is a region").sizes.insert("Standard_D2s_v3".to_owned(), facts);
    let holds = audited(&snapshot).holds;
    assert_eq!(holds[0].reason, Reason::AzureSpotIsNotSupportedForThisVMSize);

    let mut snapshot = mixed(0, 0, 2);
    snapshot.set.platform_fault_domain_count = Some(2);
    let mut facts = size(&mut snapshot);
    facts.maintenance = Maintenance::NotMemoryPreserving;
    snapshot.region.as_mut().expect("there is a region").sizes.insert("Standard_D2s_v3".to_owned(), facts);
    let holds = audited(&snapshot).holds;
    assert_eq!(
        (holds[0].reason, holds[0].message.as_str()),
        (
            Reason::OperationNotAllowed,
            "spec.priorityMixPolicy: regular and Spot VMs cannot be mixed in a single placement group"
        )
    );
}
