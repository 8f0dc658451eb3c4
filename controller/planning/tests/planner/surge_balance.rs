//! A pair of a surge has one place, also where zones are counted.

use scaleset_planning::audit::audit;
use scaleset_planning::plan::Action;
use scaleset_planning::snapshot::{MaxSurge, ScaleSetSnapshot, ZoneBalance};

use crate::fleet::{audited, created, created_by_zone};
use crate::surging::{pass, surging};

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
