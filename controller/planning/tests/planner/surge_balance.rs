//! A pair of a surge has one place, also where zones are counted.

use scaleset_planning::audit::audit;
use scaleset_planning::plan::{Action, ScaleSetPlan};
use scaleset_planning::snapshot::{MaxSurge, Overprovision, ScaleSetSnapshot, ZoneBalance};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};

use crate::fleet::{audited, created, created_by_zone, deleted};
use crate::surging::{obey_some, pass, surging};

/// Ten members in each of three zones, six of zone 1 with a new one beside them.
fn in_zone_one() -> ScaleSetSnapshot {
    let mut snapshot = surging(&[(Some("1"), 10), (Some("2"), 10), (Some("3"), 10)], MaxSurge::Percent(100));
    snapshot.set.rolling_policy.max_batch_percent = 20;
    assert_eq!(created_by_zone(&pass(&mut snapshot)), [("1".to_owned(), 6)].into());
    snapshot
}

#[test]
fn a_set_that_grows_during_a_surge_is_even_after_it() {
    let mut snapshot = in_zone_one();
    snapshot.set.replicas = Some(40);
    let mut plan = audited(&snapshot);
    assert_eq!(
        created_by_zone(&plan),
        [("1", 4), ("2", 3), ("3", 3)].map(|(zone, count)| (zone.to_owned(), count)).into()
    );
    // The audit counts by itself: by its count, too, more in zones 2 and 3 are too many there.
    for member in plan.actions.iter_mut().filter_map(Action::creation_mut) {
        member.zone = Some(if member.number % 2 == 0 { "2" } else { "3" }.to_owned());
    }
    plan.actions.extend(created(&audited(&snapshot)).first().map(|member| {
        let mut late = (*member).clone();
        (late.number, late.name) = (late.number - 1_000, "late".to_owned());
        Action::CreateMember(late)
    }));
    assert!(audit(&snapshot, &plan).iter().any(|finding| finding.starts_with("placed into zone 2")));
}

#[test]
fn strict_balance_counts_a_pair_once() {
    let mut snapshot = in_zone_one();
    snapshot.set.zone_balance = ZoneBalance::Strict;
    snapshot.set.replicas = Some(32);
    let plan = audited(&snapshot);
    assert_eq!(created_by_zone(&plan), [("1".to_owned(), 1), ("2".to_owned(), 1)].into(), "{plan}");
}

/// A set that grows in the middle of a surge does not count both of a pair as staying: its extras race.
#[test]
fn extras_of_a_growth_are_not_too_many_because_of_pairs() {
    let mut snapshot = surging(&[(None, 10)], MaxSurge::Count(2));
    snapshot.set.overprovision = Overprovision::On;
    snapshot.status.reached_replicas = Some(10);
    assert_eq!(created(&pass(&mut snapshot)).len(), 2, "two pairs");
    snapshot.set.replicas = Some(15);
    let grown = audited(&snapshot);
    let extras = |plan: &ScaleSetPlan| created(plan).into_iter().filter(|new| new.surplus.is_some()).count();
    assert_eq!((created(&grown).len(), extras(&grown)), (7, 2), "{grown}");
    obey_some(&mut snapshot, &grown, usize::MAX);
    let next = audited(&snapshot);
    assert_eq!(deleted(&next), Vec::<&str>::new(), "{next}");
    let status = scale_set_status(&snapshot, &grown, &ScaleSetOutcome::default());
    assert_eq!(status.reached_replicas, Some(15), "all are there");
    snapshot.members.retain(|member| member.number != Some(14));
    snapshot.status.reached_replicas = Some(10);
    let status = scale_set_status(&snapshot, &grown, &ScaleSetOutcome::default());
    assert_eq!(status.reached_replicas, Some(10), "16 are there, of whom two have the places of two others");
}
