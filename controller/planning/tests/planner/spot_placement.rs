//! Sets of Spot VMs alone stay in one fault domain, in each zone their own.

use std::collections::BTreeSet;

use scaleset_crds::vocabulary::OrchestrationMode;
use scaleset_planning::priority_mix::PriorityMix;
use scaleset_planning::snapshot::ScaleSetSnapshot;

use crate::fleet::{audited, created, member, newest};
use crate::spot::spot_set;

/// A Spot set over `zones` that makes `replicas`.
fn set(zones: &[&str], replicas: i32) -> ScaleSetSnapshot {
    let mut snapshot = spot_set(0, replicas);
    snapshot.set.zones = zones.iter().map(|zone| (*zone).to_owned()).collect();
    snapshot.set.platform_fault_domain_count = Some(5);
    snapshot
}

fn places(snapshot: &ScaleSetSnapshot) -> BTreeSet<(Option<String>, Option<i32>)> {
    created(&audited(snapshot)).into_iter().map(|new| (new.zone.clone(), new.fault_domain)).collect()
}

#[test]
fn new_members_share_a_fault_domain_in_each_zone() {
    assert_eq!(places(&set(&[], 6)), [(None, Some(0))].into());
    let zonal = |zone: &str, domain| (Some(zone.to_owned()), Some(domain));
    let mut spanning = set(&["1", "2"], 6);
    assert_eq!(places(&spanning), [zonal("1", 0), zonal("2", 0)].into());
    let revision = newest(&spanning);
    spanning.members = vec![member(0, Some("2"), Some(3), &revision), member(1, Some("2"), Some(3), &revision)];
    assert_eq!(places(&spanning), [zonal("1", 0), zonal("2", 3)].into(), "each zone has its own");
    let mut regional = set(&[], 8);
    regional.members = [4, 2, 2, 1, 1]
        .into_iter()
        .zip(0..)
        .map(|(domain, number)| member(number, None, Some(domain), &revision))
        .collect();
    assert_eq!(places(&regional), [(None, Some(1))].into(), "where most are, the lowest of equals");
    let plan = audited(&regional);
    assert_eq!(created(&plan)[0].reason, "Spot VMs share fault domain 1 (2)");
}

#[test]
fn sets_that_mix_and_max_spreading_are_as_ever() {
    let mut mixed = set(&[], 6);
    mixed.set.mode = OrchestrationMode::Flexible;
    mixed.set.platform_fault_domain_count = Some(3);
    mixed.set.mix = Some(PriorityMix { base: 2, regular_percent_above_base: 50 });
    assert_eq!(places(&mixed).len(), 3);
    let mut spread = set(&[], 6);
    spread.set.platform_fault_domain_count = Some(1);
    assert_eq!(places(&spread), [(None, None)].into());
}
