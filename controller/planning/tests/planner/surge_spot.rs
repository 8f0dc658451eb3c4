//! Surges of Spot sets: who is evicted in the middle, and a market that has no room.

use scaleset_planning::snapshot::{Evicted, MaxSurge, ScaleSetSnapshot};

use crate::fleet::{audited, created, deleted};
use crate::surging::{go_on, live, surging};

/// The members that were evicted with policy Delete since the last pass.
fn evict(snapshot: &mut ScaleSetSnapshot, numbers: &[i64]) {
    for member in snapshot.members.iter_mut().filter(|m| m.number.is_some_and(|number| numbers.contains(&number))) {
        member.report.evicted = Evicted::Deleted;
    }
}

#[test]
fn a_pair_counts_as_one_when_half_of_it_is_evicted() {
    // Of ten members the first batch has the pairs 0 and 10, 1 and 11, 5 and 12, 6 and 13.
    let table: [(&[i64], i32); 6] =
        [(&[10], 10), (&[0], 10), (&[0, 10], 9), (&[2], 9), (&[2, 10], 9), (&[2, 3, 13], 8)];
    for (evicted, target) in table {
        let mut snapshot = surging(&[(None, 10)], MaxSurge::Percent(100));
        go_on(&mut snapshot);
        assert_eq!(live(&snapshot), 14);
        evict(&mut snapshot, evicted);
        let plan = audited(&snapshot);
        assert_eq!(plan.effective.target, target, "{evicted:?}: {plan}");
        assert_eq!((deleted(&plan).len(), created(&plan).len()), (evicted.len(), 0), "{evicted:?}: {plan}");
    }
}
