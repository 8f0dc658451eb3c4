//! Where new members go.

use scaleset_crds::condition::Reason;
use scaleset_crds::vocabulary::OrchestrationMode;
use scaleset_planning::snapshot::{MemberLife, Protection, ScaleSetSnapshot, ZoneBalance, ZoneFacts};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};

use crate::fleet::{audited, change_profile, created, created_by_zone, deleted, member, newest, snapshot, spread};

const ZONES: [&str; 3] = ["1", "2", "3"];

fn counts(list: &[(&str, usize)]) -> std::collections::BTreeMap<String, usize> {
    list.iter().map(|(zone, count)| ((*zone).to_owned(), *count)).collect()
}

/// What it shows, members by zone that are there, the target, members by zone that are made.
type Case = (&'static str, &'static [(Option<&'static str>, usize)], i32, &'static [(&'static str, usize)]);

#[test]
fn members_are_spread_evenly_and_recover_balance() {
    let table: [Case; 5] = [
        ("75 from nothing", &[], 75, &[("1", 25), ("2", 25), ("3", 25)]),
        ("100 from nothing", &[], 100, &[("1", 34), ("2", 33), ("3", 33)]),
        ("recovery of 0/2/4 to 8", &[(Some("2"), 2), (Some("3"), 4)], 8, &[("1", 2)]),
        ("one more into the emptiest", &[(Some("1"), 2), (Some("2"), 1), (Some("3"), 2)], 6, &[("2", 1)]),
        ("5 regional, zones added, to 10", &[(None, 5)], 10, &[("1", 2), ("2", 2), ("3", 1)]),
    ];
    for (case, existing, target, expected) in table {
        let mut snapshot = snapshot(&ZONES, target);
        snapshot.members = spread(existing, &newest(&snapshot));
        assert_eq!(created_by_zone(&audited(&snapshot)), counts(expected), "{case}");
    }
}

#[test]
fn one_zone_down_is_worked_around_and_two_hold_everything() {
    let mut snapshot = snapshot(&ZONES, 4);
    let mut fail = |zone: &str| snapshot.region.as_mut().unwrap().zones.insert(zone.to_owned(), ZoneFacts::Unavailable);
    fail("2");
    let one_down = audited(&snapshot);
    assert_eq!(created_by_zone(&one_down), counts(&[("1", 2), ("3", 2)]));
    let mut fail = |zone: &str| snapshot.region.as_mut().unwrap().zones.insert(zone.to_owned(), ZoneFacts::Unavailable);
    fail("3");
    let two_down = audited(&snapshot);
    assert!(created_by_zone(&two_down).is_empty());
    assert_eq!(two_down.holds[0].reason, Reason::ZonalAllocationFailed);
    assert_eq!(two_down.holds[0].count, 4);
    assert!(two_down.wake_after.is_some(), "only the region can end it: look again");
}

#[test]
fn fault_domains_placement_groups_and_update_domains_fill_evenly() {
    let mut snapshot = snapshot(&[], 12);
    snapshot.set.platform_fault_domain_count = Some(5);
    let plan = audited(&snapshot);
    let mut domains = [0; 5];
    let mut updates = [0; 5];
    for member in created(&plan) {
        domains[usize::try_from(member.fault_domain.unwrap()).unwrap()] += 1;
        updates[usize::try_from(member.update_domain.unwrap()).unwrap()] += 1;
        assert_eq!(member.placement_group.as_deref(), Some("0"));
    }
    assert_eq!((domains, updates), ([3, 3, 2, 2, 2], [3, 3, 2, 2, 2]));
}

#[test]
fn the_hundred_and_first_member_opens_a_second_placement_group() {
    let mut snapshot = snapshot(&[], 101);
    snapshot.set.single_placement_group = Some(false);
    let plan = audited(&snapshot);
    let groups: Vec<String> = created(&plan).into_iter().filter_map(|member| member.placement_group.clone()).collect();
    assert_eq!(groups.iter().filter(|group| *group == "0").count(), 100);
    assert_eq!(groups.last().map(String::as_str), Some("1"));
}

/// Fault domains and their numbers mean something inside one placement group only.
#[test]
fn each_placement_group_has_its_own_even_fault_domains() {
    let mut set = snapshot(&[], 250);
    (set.set.platform_fault_domain_count, set.set.single_placement_group) = (Some(5), Some(false));
    let grow = |set: &mut ScaleSetSnapshot| {
        let plan = audited(set);
        crate::surging::obey_some(set, &plan, usize::MAX);
        let mut counts = std::collections::BTreeMap::<String, [usize; 5]>::new();
        for member in set.members.iter().filter(|member| member.is_live()) {
            let group = counts.entry(member.placement_group.clone().unwrap_or_default()).or_default();
            group[usize::try_from(member.fault_domain.expect("it has one")).expect("a number")] += 1;
        }
        counts.into_values().collect::<Vec<_>>()
    };
    assert_eq!(grow(&mut set), [[20; 5], [20; 5], [10; 5]]);
    // People delete fault domain 0 out of the first group, and fault domains 1 and 2 out of the second.
    set.members.retain(|member| match member.placement_group.as_deref() {
        Some("0") => member.fault_domain != Some(0),
        Some("1") => !matches!(member.fault_domain, Some(1 | 2)),
        _ => true,
    });
    assert_eq!(grow(&mut set), [[20; 5], [20; 5], [10; 5]], "each is filled where it lacks them");
}

#[test]
fn placement_groups_do_not_span_zones() {
    let plan = audited(&snapshot(&ZONES, 6));
    let places: Vec<(Option<&str>, Option<&str>, Option<i32>)> = created(&plan)
        .into_iter()
        .map(|member| (member.zone.as_deref(), member.placement_group.as_deref(), member.update_domain))
        .collect();
    assert_eq!(places[..2], [(Some("1"), Some("1-0"), Some(0)), (Some("2"), Some("2-0"), Some(0))]);
    assert_eq!(places[3], (Some("1"), Some("1-0"), Some(1)), "each group has its own update domains");
}

#[test]
fn zones_that_the_region_does_not_know_are_not_down() {
    let mut snapshot = snapshot(&["7", "8"], 1);
    snapshot.members = spread(&[(Some("7"), 1), (Some("8"), 1)], &newest(&snapshot));
    assert_eq!(deleted(&audited(&snapshot)).len(), 1, "the set still shrinks");
}

#[test]
fn a_single_placement_group_holds_no_more_than_a_hundred() {
    let mut snapshot = snapshot(&[], 101);
    snapshot.set.platform_fault_domain_count = Some(5);
    let plan = audited(&snapshot);
    assert!(created_by_zone(&plan).is_empty());
    assert_eq!(plan.holds[0].reason, Reason::OperationNotAllowed);
    assert!(plan.holds[0].message.contains("101 is more than 100"), "{}", plan.holds[0].message);
}

#[test]
fn numbers_go_on_after_the_highest_and_never_come_back() {
    let table = [
        ("from the record", Some(20), None, 15, 20),
        ("lost, rebuilt from the cluster", None, None, 15, 15),
        ("lost, rebuilt from the hardware", None, Some(40), 15, 41),
    ];
    for (case, recorded, hardware, existing, first) in table {
        let mut snapshot = snapshot(&[], 18);
        snapshot.set.platform_fault_domain_count = Some(5);
        let revision = newest(&snapshot);
        snapshot.members = (0..existing).map(|number| member(number, None, Some(0), &revision)).collect();
        snapshot.status.next_instance_id = recorded;
        snapshot.highest_hardware_number = hardware;
        let plan = audited(&snapshot);
        let numbers: Vec<i64> = created(&plan).into_iter().map(|member| member.number).collect();
        assert_eq!(numbers, [first, first + 1, first + 2], "{case}");
    }
}

#[test]
fn a_member_that_goes_is_replaced_at_once_and_takes_no_place() {
    let mut snapshot = snapshot(&ZONES, 3);
    snapshot.members = spread(&[(Some("1"), 1), (Some("2"), 1), (Some("3"), 1)], &newest(&snapshot));
    snapshot.members[1].life = MemberLife::Terminating;
    assert_eq!(created_by_zone(&audited(&snapshot)), counts(&[("2", 1)]));
}

#[test]
fn an_unknown_size_starts_nothing() {
    let mut snapshot = snapshot(&ZONES, 3);
    crate::fleet::change_profile(&mut snapshot, crate::fleet::profile("Standard_Nope"));
    snapshot.revisions.clear();
    let plan = audited(&snapshot);
    assert!(created_by_zone(&plan).is_empty());
    assert_eq!(plan.holds[0].reason, Reason::SkuNotAvailable);
    assert!(plan.holds[0].message.starts_with("spec.virtualMachineProfile.vmSize: Standard_Nope"));
}

#[test]
fn new_members_take_the_newest_revision_that_the_region_can_make() {
    let mut snapshot = snapshot(&ZONES, 1);
    let good = newest(&snapshot);
    crate::fleet::change_profile(&mut snapshot, crate::fleet::profile("Standard_Nope"));
    let plan = audited(&snapshot);
    let revisions: Vec<_> = created(&plan).into_iter().map(|member| &member.revision).collect();
    assert_eq!(revisions, [&good]);
}

#[test]
fn a_regional_set_has_no_more_fault_domains_than_its_region() {
    let of_three = || {
        let mut snapshot = snapshot(&[], 4);
        snapshot.region.as_mut().expect("the region is known").fault_domain_count = 3;
        snapshot
    };
    let mut unsaid = of_three();
    unsaid.set.platform_fault_domain_count = None;
    let plan = audited(&unsaid);
    assert_eq!(plan.effective.fault_domain_count, 3, "five by default, the region has three");
    assert_eq!(created(&plan).iter().filter_map(|member| member.fault_domain).max(), Some(2));
    unsaid.region = None;
    let unseen = scale_set_status(&unsaid, &audited(&unsaid), &ScaleSetOutcome::default());
    assert_eq!(unseen.platform_fault_domain_count, None, "nothing is pinned while nobody knows the region");

    let mut said = of_three();
    said.set.platform_fault_domain_count = Some(5);
    let plan = audited(&said);
    assert!(created(&plan).is_empty());
    let message = "spec.platformFaultDomainCount: 5 must fall in the range 1 to 3 in eastus";
    assert!(plan.holds.iter().any(|hold| hold.message == message), "{:?}", plan.holds);
}

#[test]
fn a_zonal_set_has_no_more_fault_domains_than_a_zone_of_its_region() {
    for (there, wished, goes) in [(3, 5, false), (4, 5, false), (5, 5, true), (3, 1, true)] {
        let mut set = snapshot(&ZONES, 3);
        set.region.as_mut().expect("the region is known").fault_domain_count = there;
        set.set.platform_fault_domain_count = Some(wished);
        let plan = audited(&set);
        assert_eq!(created(&plan).len(), if goes { 3 } else { 0 }, "{wished} of {there}: {plan}");
        let message = format!(
            "spec.platformFaultDomainCount: 5 must be 1 in a Uniform set with zones of eastus, where a zone has {there} fault \
             domains"
        );
        let held = plan.holds.iter().find(|hold| hold.reason == Reason::InvalidParameter);
        assert_eq!(held.map(|hold| &hold.message), (!goes).then_some(&message), "{wished} of {there}");
    }
}

#[test]
fn members_made_by_hand_count_in_their_fault_domains() {
    let mut set = snapshot(&[], 3);
    (set.set.mode, set.set.platform_fault_domain_count) = (OrchestrationMode::Flexible, Some(3));
    let by_hand = |number, domain| {
        let mut made = member(number, None, Some(domain), "own");
        (made.origin, made.name) = (scaleset_planning::snapshot::Origin::Hand, format!("by-hand-{number}"));
        (made.placement_group, made.update_domain) = (None, None);
        made
    };
    set.members = vec![by_hand(0, 0), by_hand(1, 0), by_hand(2, 1)];
    let domains: Vec<Option<i32>> = created(&audited(&set)).iter().map(|new| new.fault_domain).collect();
    assert_eq!(domains, [Some(2), Some(1), Some(2)]);
}

#[test]
fn with_two_zones_down_a_strict_set_does_nothing_however_even_it_would_be() {
    for (there, target) in [([2, 2, 2], 9), ([2, 2, 2], 3), ([0, 2, 4], 12), ([1, 2, 3], 4), ([0, 0, 0], 3)] {
        for down in [["1", "2"], ["2", "3"], ["1", "3"]] {
            let mut set = snapshot(&ZONES, target);
            set.set.zone_balance = ZoneBalance::Strict;
            let [one, two, three] = there;
            set.members = spread(&[(Some("1"), one), (Some("2"), two), (Some("3"), three)], &newest(&set));
            let mut turn = |state| {
                let zones = &mut set.region.as_mut().expect("it is known").zones;
                zones.extend(down.map(|zone| (zone.to_owned(), state)));
                audited(&set)
            };
            let held = turn(ZoneFacts::Unavailable);
            assert!(held.actions.is_empty(), "{there:?} to {target} without {down:?}: {held}");
            let held = held.holds.first().map(|hold| (hold.reason, hold.count)).expect("it says why");
            let missing = usize::try_from(target).expect("a count").abs_diff(there.iter().sum());
            assert_eq!(held, (Reason::ZonalAllocationFailed, missing), "{there:?} to {target} without {down:?}");
            let healed = turn(ZoneFacts::Available);
            assert_eq!(created(&healed).len() + deleted(&healed).len(), missing, "{there:?} to {target}: {healed}");
        }
    }
}

/// What it shows, members by zone, the target, whether zone 2 is down, and made, removed or held.
type Balance = (&'static str, [usize; 3], i32, ZoneFacts, Result<usize, Reason>);

#[test]
fn strict_balance_does_nothing_whose_result_is_uneven() {
    use ZoneFacts::{Available, Unavailable};
    let table: [Balance; 7] = [
        ("even", [2, 2, 2], 8, Available, Ok(2)),
        ("one apart", [2, 2, 2], 7, Available, Ok(1)),
        ("a zone down", [2, 2, 2], 8, Unavailable, Ok(2)),
        ("a zone down, two apart", [2, 2, 2], 9, Unavailable, Err(Reason::ZonalAllocationFailed)),
        ("not mended by two", [0, 2, 4], 8, Available, Err(Reason::ZonalAllocationFailed)),
        ("mended by six", [0, 2, 4], 12, Available, Ok(6)),
        ("mended by leaving", [1, 2, 3], 4, Available, Ok(2)),
    ];
    for (case, [one, two, three], target, zone, expected) in table {
        let mut snapshot = snapshot(&ZONES, target);
        snapshot.set.zone_balance = ZoneBalance::Strict;
        snapshot.region.as_mut().expect("it is known").zones.insert("2".to_owned(), zone);
        snapshot.members = spread(&[(Some("1"), one), (Some("2"), two), (Some("3"), three)], &newest(&snapshot));
        let plan = audited(&snapshot);
        let moved = created(&plan).len() + deleted(&plan).len();
        assert_eq!(moved, expected.unwrap_or(0), "{case}: {plan}");
        assert_eq!(plan.holds.first().map(|hold| hold.reason), expected.err(), "{case}: {plan}");
    }
    let mut snapshot = snapshot(&ZONES, 3);
    snapshot.set.zone_balance = ZoneBalance::Strict;
    snapshot.members = spread(&[(Some("1"), 2), (Some("2"), 2), (Some("3"), 2)], &newest(&snapshot));
    snapshot.members.iter_mut().filter(|m| m.zone.as_deref() == Some("3")).for_each(|m| {
        m.protection = Protection::FromScaleIn;
    });
    let plan = audited(&snapshot);
    assert!(deleted(&plan).is_empty(), "{plan}");
    let held = plan.holds.iter().find(|hold| hold.reason == Reason::OperationNotAllowed).expect("it says why");
    assert_eq!(held.message, "spec.zoneBalance is true, zones 1, 2, 3 would have 1, 0, 2: they may differ by 1");
}

/// Members by zone after a plan has been carried out; those without a zone under "".
fn afterwards(snapshot: &ScaleSetSnapshot) -> std::collections::BTreeMap<String, usize> {
    let plan = audited(snapshot);
    let gone = deleted(&plan);
    let mut zones = created_by_zone(&plan);
    for member in snapshot.members.iter().filter(|member| !gone.contains(&member.name.as_str())) {
        *zones.entry(member.zone.clone().unwrap_or_default()).or_default() += 1;
    }
    zones
}

/// Azure's worked examples of zone balance: an outage has left 0, 2 and 4; zones were given to a set of five without.
#[test]
fn best_effort_mends_what_an_outage_left() {
    let mut set = snapshot(&ZONES, 6);
    set.members = spread(&[(Some("2"), 2), (Some("3"), 4)], &newest(&set));
    assert_eq!(afterwards(&set), counts(&[("2", 2), ("3", 4)]), "nobody is moved");
    set.set.replicas = Some(8);
    assert_eq!(afterwards(&set), counts(&[("1", 2), ("2", 2), ("3", 4)]), "grown by two");
    set.members = spread(&[(Some("1"), 2), (Some("2"), 2), (Some("3"), 4)], &newest(&set));
    set.set.replicas = Some(6);
    assert_eq!(afterwards(&set), counts(&[("1", 2), ("2", 2), ("3", 2)]), "and shrunk by two");

    let mut set = snapshot(&ZONES, 10);
    set.members = spread(&[(None, 5)], &newest(&set));
    assert_eq!(afterwards(&set), counts(&[("", 5), ("1", 2), ("2", 2), ("3", 1)]));
    set.members = spread(&[(None, 5), (Some("1"), 2), (Some("2"), 2), (Some("3"), 1)], &newest(&set));
    set.set.replicas = Some(5);
    assert_eq!(afterwards(&set), counts(&[("1", 2), ("2", 2), ("3", 1)]), "those without a zone go first");
}

#[test]
fn a_zone_that_is_down_opens_no_second_group_in_the_others() {
    let mut snapshot = snapshot(&ZONES, 250);
    snapshot.set.platform_fault_domain_count = Some(5);
    snapshot.set.single_placement_group = Some(true);
    let turn = |snapshot: &mut ScaleSetSnapshot, state| {
        snapshot.region.as_mut().expect("it is known").zones.insert("3".to_owned(), state);
    };
    turn(&mut snapshot, ZoneFacts::Unavailable);
    let plan = audited(&snapshot);
    assert_eq!(created_by_zone(&plan), counts(&[("1", 100), ("2", 100)]));
    assert!(created(&plan).iter().all(|member| matches!(member.placement_group.as_deref(), Some("1-0" | "2-0"))));
    let held = plan.holds.first().expect("the rest is held");
    assert_eq!((held.reason, held.count), (Reason::ZonalAllocationFailed, 50), "{held:?}");
    assert_eq!(
        held.message,
        "50 more than single placement groups of 100 have room for in zones 1, 2; spec.singlePlacementGroup is true"
    );
    assert!(plan.wake_after.is_some(), "only the region can end it: look again");
    crate::surging::obey_some(&mut snapshot, &plan, usize::MAX);
    let held = audited(&snapshot);
    assert!(created(&held).is_empty() && held.holds.iter().any(|hold| hold.count == 50), "{held}");
    turn(&mut snapshot, ZoneFacts::Available);
    assert_eq!(created_by_zone(&audited(&snapshot)), counts(&[("3", 50)]));
}

/// Makes a set of some shape.
type Shape = fn(&mut ScaleSetSnapshot);

#[test]
fn a_set_holds_what_its_mode_its_groups_and_its_image_allow() {
    let own_image: Shape = |snapshot| {
        let mut own = crate::fleet::profile("Standard_D2s_v3");
        own.storage_profile.image_reference = serde_json::from_value(serde_json::json!({"id": "images/own"})).unwrap();
        snapshot.region.as_mut().unwrap().images.insert("images/own".to_owned(), vec!["1".to_owned()]);
        change_profile(snapshot, own);
    };
    let one_group: Shape = |snapshot| snapshot.set.platform_fault_domain_count = Some(5);
    let other_size: Shape = |snapshot| {
        snapshot.set.mode = OrchestrationMode::Flexible;
        snapshot.set.platform_fault_domain_count = Some(2);
        snapshot.set.single_placement_group = Some(true);
        change_profile(snapshot, crate::fleet::profile("Standard_M64s"));
    };
    let flexible: Shape = |snapshot| snapshot.set.mode = OrchestrationMode::Flexible;
    let none: Shape = |_| {};
    let unsaid: Shape = |snapshot| {
        snapshot.set.mode = OrchestrationMode::Flexible;
        snapshot.set.platform_fault_domain_count = Some(2);
        change_profile(snapshot, crate::fleet::profile("Standard_M64s"));
    };
    let table: [(&str, usize, Shape); 6] = [
        ("a Uniform set", 1_000, none),
        ("a Flexible set", 1_000, flexible),
        ("an own image", 600, own_image),
        ("a single placement group", 100, one_group),
        ("a size without memory-preserving maintenance over fault domains", 200, other_size),
        ("such a size, before the first VM has decided on the placement group", 200, unsaid),
    ];
    for (case, most, change) in table {
        let with = |target: usize| {
            let mut snapshot = snapshot(&[], i32::try_from(target).expect("a count"));
            change(&mut snapshot);
            audited(&snapshot)
        };
        assert_eq!(created(&with(most)).len(), most, "{case}");
        let plan = with(most + 1);
        assert!(created(&plan).is_empty(), "{case}");
        let held = plan.holds.iter().find(|hold| hold.reason == Reason::OperationNotAllowed).expect("it is refused");
        assert!(held.message.contains(&format!("{} is more than {most}", most + 1)), "{case}: {}", held.message);
    }
}
