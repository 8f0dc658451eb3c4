//! Surges of Spot sets: who is evicted in the middle, and a market that has no room.

use scaleset_crds::condition::Reason;
use scaleset_crds::spot::{MaxPrice, Priority};
use scaleset_crds::vocabulary::{OrchestrationMode, ProvisioningState, RollingUpgradeCode};
use scaleset_planning::priority_mix::PriorityMix;
use scaleset_planning::snapshot::{Evicted, Failure, MaxSurge, MemberKind, ScaleSetSnapshot};

use crate::fleet::{assigned, audited, created, deleted};
use crate::surging::{code, go_on, headroom, live, pass, progress, settle, surging, unavailable};

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

/// What the Spot market may say.
type Market = fn(&mut ScaleSetSnapshot);

fn pressed(snapshot: &mut ScaleSetSnapshot) {
    let headroom = snapshot.headroom.as_mut().expect("it is known");
    headroom.places.values_mut().for_each(|machines| *machines = 0);
}

fn dear(snapshot: &mut ScaleSetSnapshot) {
    let headroom = snapshot.headroom.as_mut().expect("it is known");
    let price = |text: &str| text.parse().expect("it is a price");
    headroom.above_max_price = Some((price("0.03"), MaxPrice::AtMost(price("0.02"))));
}

#[test]
fn a_market_that_has_no_room_is_looked_at_first() {
    let told: [(Market, &str); 2] = [
        (pressed, "surge of 4 needs room for 4 in the region, there is room for 0: the batch goes in place"),
        (dear, "surge of 4 needs a price of at most maxPrice 0.02, an hour costs 0.03: the batch goes in place"),
    ];
    for (market, message) in told {
        let mut snapshot = surging(&[(None, 10)], MaxSurge::Percent(100));
        market(&mut snapshot);
        let plan = pass(&mut snapshot);
        assert_eq!((unavailable(&plan), created(&plan).len(), assigned(&plan).len()), (Some(message), 0, 4), "{plan}");
    }
}

#[test]
fn a_market_that_refuses_is_no_failure_of_the_model() {
    let refusals: [(Reason, Market); 2] =
        [(Reason::AllocationFailed, pressed), (Reason::SpotPriceGreaterThanProvidedMaxPrice, dear)];
    for (reason, market) in refusals {
        let mut snapshot = surging(&[(None, 10)], MaxSurge::Count(1));
        go_on(&mut snapshot);
        for member in snapshot.members.iter_mut().filter(|member| member.number == Some(10)) {
            member.report.provisioning = ProvisioningState::Failed;
            member.report.failure = Some(Failure { reason, message: "the market".to_owned() });
        }
        settle(&mut snapshot);
        market(&mut snapshot);
        let plan = pass(&mut snapshot);
        assert_eq!((deleted(&plan), progress(&snapshot)), (vec!["web-10"], [3, 0, 0, 7]), "{plan}");
        settle(&mut snapshot);
        let plan = pass(&mut snapshot);
        assert!(assigned(&plan).contains(&"web-0") && created(&plan).is_empty(), "in place: {plan}");
        assert_eq!(code(&snapshot), RollingUpgradeCode::RollingForward);
    }
}

/// Ten members of which six are regular, as a mix has them: all of the first batch but web-3.
fn mixed() -> ScaleSetSnapshot {
    let mut snapshot = surging(&[(None, 10)], MaxSurge::Percent(100));
    snapshot.set.mode = OrchestrationMode::Flexible;
    snapshot.set.mix = Some(PriorityMix { base: 2, regular_percent_above_base: 50 });
    for member in &mut snapshot.members {
        let regular = member.number.is_some_and(|number| ![3, 7, 8, 9].contains(&number));
        member.priority = if regular { Priority::Regular } else { Priority::Spot };
        (member.kind, member.placement_group, member.update_domain) = (MemberKind::FlexVM, None, None);
    }
    snapshot.regular_headroom.clone_from(&snapshot.headroom);
    snapshot
}

#[test]
fn of_a_mix_each_priority_needs_its_own_room() {
    // The first batch has web-0, web-1 and web-2, which are regular, and web-3.
    assert_eq!(unavailable(&audited(&mixed())), None);
    let table = [
        (headroom(1_000), headroom(11), Some("needs 12 vCPUs, 11 of 1000 left (regional total)")),
        (headroom(1_000), headroom(12), None),
        (headroom(3), headroom(1_000), Some("needs 4 vCPUs, 3 of 1000 left (regional total)")),
        (headroom(4), headroom(12), None),
    ];
    for (spot, regular, expected) in table {
        let mut snapshot = mixed();
        (snapshot.headroom, snapshot.regular_headroom) = (Some(spot), Some(regular));
        let expected = expected.map(|why| format!("surge of 4 {why}: the batch goes in place"));
        assert_eq!(unavailable(&audited(&snapshot)), expected.as_deref());
    }
    let mut snapshot = mixed();
    let regular = snapshot.regular_headroom.as_mut().expect("it is known");
    regular.places.values_mut().for_each(|machines| *machines = 0);
    regular.places.insert((None, 0), 3);
    assert_eq!(
        unavailable(&audited(&snapshot)),
        Some("surge of 4 needs room for 4 in the region, there is room for 3: the batch goes in place"),
        "they stand on the same hosts"
    );
}
