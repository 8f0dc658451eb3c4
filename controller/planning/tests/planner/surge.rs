//! Surge: new members before old ones go; how many, where, and what they need first.

use scaleset_crds::vocabulary::MaxDisruption;
use scaleset_planning::snapshot::{Headroom, MaxSurge, ScaleSetSnapshot};
use scaleset_planning::view::Health;

use crate::fleet::{assigned, audited, created, deleted, newest};
use crate::surging::{available, go_on, headroom, live, obey_some, pass, progress, roll, settle, surging, unavailable};

#[test]
fn a_surge_is_a_count_or_a_share_of_the_batch_rounded_up_and_never_above_it() {
    use MaxSurge::{Count, Percent};
    for (surge, batch, expected) in [
        (Count(0), 4, 0),
        (Count(3), 4, 3),
        (Count(1_000), 4, 4),
        (Percent(0), 4, 0),
        (Percent(1), 4, 1),
        (Percent(50), 3, 2),
        (Percent(100), 4, 4),
        (Percent(100), 0, 0),
    ] {
        assert_eq!(surge.of(batch), expected, "{surge:?} of {batch}");
    }
}

#[test]
fn new_members_are_well_before_old_ones_go() {
    let mut snapshot = surging(&[(None, 10)], MaxSurge::Percent(100));
    let plan = pass(&mut snapshot);
    assert_eq!((created(&plan).len(), assigned(&plan).len(), deleted(&plan).len()), (4, 0, 0), "{plan}");
    assert_eq!((progress(&snapshot), live(&snapshot), available(&snapshot)), ([0, 0, 4, 6], 14, 10));
    let waiting = pass(&mut snapshot);
    assert!(waiting.actions.is_empty(), "neither scale-in nor scale-out fights it: {waiting}");
    settle(&mut snapshot);
    snapshot.members.iter_mut().filter(|m| m.number == Some(13)).for_each(|m| m.report.health = Health::Missing);
    let plan = pass(&mut snapshot);
    assert_eq!(deleted(&plan), ["web-0", "web-1", "web-5"], "the last new one is not well yet");
    assert_eq!(progress(&snapshot), [3, 0, 1, 6]);
    assert!(plan.to_string().contains("delete web-0 (Replace): web-10 is healthy in its place"), "{plan}");
}

#[test]
fn capacity_never_drops_and_target_and_surge_are_never_exceeded() {
    for (surge, most, fewest) in [
        (MaxSurge::Percent(100), 14, 10),
        (MaxSurge::Percent(50), 12, 8),
        (MaxSurge::Count(1), 11, 7),
        (MaxSurge::Count(9), 14, 10),
        (MaxSurge::Count(0), 10, 6),
    ] {
        let mut snapshot = surging(&[(None, 10)], surge);
        assert_eq!(roll(&mut snapshot), (most, fewest), "{surge:?}");
        assert_eq!((progress(&snapshot), live(&snapshot)), ([10, 0, 0, 0], 10), "{surge:?}");
        assert!(snapshot.members.iter().all(|m| m.assigned_revision == Some(newest(&snapshot))));
    }
}

#[test]
fn a_growth_beside_a_pair_that_ends_begins_no_batch_of_who_goes() {
    let mut snapshot = surging(&[(None, 10)], MaxSurge::Count(1));
    go_on(&mut snapshot);
    settle(&mut snapshot);
    snapshot.set.replicas = Some(14);
    let grows = pass(&mut snapshot);
    assert_eq!((deleted(&grows), created(&grows).len()), (vec!["web-0"], 4), "{grows}");
    assert!(created(&grows).iter().all(|new| new.roll.as_ref().is_none_or(|mark| mark.replaces.is_none())), "{grows}");
    settle(&mut snapshot);
    for _ in 0..10 {
        let plan = audited(&snapshot);
        obey_some(&mut snapshot, &plan, usize::MAX);
        assert!(live(&snapshot) <= 15, "{} of 14 and a surge of 1", live(&snapshot));
        settle(&mut snapshot);
    }
    assert_eq!((live(&snapshot), progress(&snapshot)), (14, [10, 0, 0, 0]));
}

#[test]
fn a_new_member_stands_in_the_zone_of_its_old_one() {
    let mut snapshot = surging(&[(Some("1"), 4), (Some("2"), 3), (Some("3"), 3)], MaxSurge::Percent(100));
    for zone in ["1", "2", "3"] {
        let plan = pass(&mut snapshot);
        assert!(!created(&plan).is_empty());
        assert!(created(&plan).iter().all(|new| new.zone.as_deref() == Some(zone)), "{plan}");
        settle(&mut snapshot);
        go_on(&mut snapshot);
        settle(&mut snapshot);
    }
    assert_eq!(progress(&snapshot), [10, 0, 0, 0]);
}

#[test]
fn quota_is_looked_at_first_and_a_batch_without_it_goes_in_place() {
    for (left, surges) in [(0, false), (15, false), (16, true), (17, true)] {
        let mut snapshot = surging(&[(None, 10)], MaxSurge::Percent(100));
        snapshot.headroom = Some(headroom(left));
        let plan = pass(&mut snapshot);
        assert_eq!(
            (created(&plan).len(), assigned(&plan).len()),
            if surges { (4, 0) } else { (0, 4) },
            "{left}: {plan}"
        );
        let message =
            format!("surge of 4 needs 16 vCPUs, {left} of 1000 left (regional total): the batch goes in place");
        assert_eq!(unavailable(&plan), (!surges).then_some(message.as_str()));
        assert_eq!(progress(&snapshot), [0, 0, 4, 6]);
        assert_eq!(unavailable(&pass(&mut snapshot)), (!surges).then_some(message.as_str()), "as long as it runs");
    }
}

#[test]
fn members_that_the_target_misses_come_first() {
    let mut snapshot = surging(&[(None, 10)], MaxSurge::Count(1));
    snapshot.set.replicas = Some(11);
    snapshot.headroom = Some(headroom(7));
    let plan = audited(&snapshot);
    let message = "surge of 1 needs 8 vCPUs with 1 missing, 7 of 1000 left (regional total): the batch goes in place";
    assert_eq!(unavailable(&plan), Some(message));
    assert_eq!(created(&plan).len(), 1);
}

fn known(snapshot: &mut ScaleSetSnapshot) -> &mut Headroom {
    snapshot.headroom.as_mut().expect("it is known")
}

#[test]
fn rooms_addresses_and_placement_groups_count_as_well() {
    let zones = [(Some("1"), 4), (Some("2"), 3), (Some("3"), 3)];
    let message = |change: fn(&mut ScaleSetSnapshot)| {
        let mut snapshot = surging(&zones, MaxSurge::Percent(100));
        change(&mut snapshot);
        let plan = audited(&snapshot);
        assert!(created(&plan).is_empty(), "{plan}");
        unavailable(&plan).expect("it is told").to_owned()
    };
    assert_eq!(
        message(|snapshot| known(snapshot).places.extend([((Some("1".to_owned()), 0), 3)])),
        "surge of 4 needs room for 4 in zone 1, there is room for 3: the batch goes in place"
    );
    assert_eq!(
        message(|snapshot| known(snapshot).free_addresses.extend([("default".to_owned(), 3)])),
        "surge of 4 needs 4 addresses, 3 left in subnet default: the batch goes in place"
    );
    assert_eq!(
        message(|snapshot| snapshot.headroom = None),
        "surge of 4 needs to know what is left of the region: the batch goes in place"
    );
    assert_eq!(
        message(|snapshot| snapshot.set.max_disruption = MaxDisruption::Restart),
        "surge of 4 needs maxDisruption Replace, it is Restart: the batch goes in place"
    );
    let mut full = surging(&[(None, 98)], MaxSurge::Percent(100));
    full.set.single_placement_group = Some(true);
    let plan = audited(&full);
    let told = "surge of 39 needs 39 places, 98 of 100 taken in placement group 0: the batch goes in place";
    assert_eq!(unavailable(&plan), Some(told));
    full.set.single_placement_group = Some(false);
    let plan = audited(&full);
    let groups: Vec<&str> = created(&plan).iter().filter_map(|new| new.placement_group.as_deref()).collect();
    assert_eq!((groups.len(), groups.iter().filter(|group| **group == "0").count()), (39, 2), "then the next group");
}

#[test]
fn the_next_batch_waits_until_the_old_ones_are_gone() {
    let mut snapshot = surging(&[(None, 10)], MaxSurge::Percent(100));
    go_on(&mut snapshot);
    settle(&mut snapshot);
    go_on(&mut snapshot);
    let plan = pass(&mut snapshot);
    assert!(plan.actions.is_empty(), "they hold their quota: {plan}");
    assert_eq!(plan.holds[0].message, "6 outdated, wait for web-0, web-1, web-5, web-6 to go");
    settle(&mut snapshot);
    assert_eq!(created(&pass(&mut snapshot)).len(), 4);
}
