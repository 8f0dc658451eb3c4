//! What a set's capacity reservation group leaves unused and uncovered, and when a model that names one is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use scaleset_crds::condition::{Reason, ScaleSetCondition, find};
use scaleset_crds::reservation::{CapacityReservationGroupReference, ReservationState};
use scaleset_crds::reservation_group::InstanceReservation;
use scaleset_crds::vocabulary::{OrchestrationMode, PowerState, PowerWish, UpgradeMode};
use scaleset_planning::instance::{self, Step};
use scaleset_planning::plan::Action;
use scaleset_planning::reservation::{self, Coverage, Forecast, ReservedGroup, ReservedRoom, coverage};
use scaleset_planning::revision;
use scaleset_planning::scale_set::plan;
use scaleset_planning::snapshot::{Assigned, MemberLife, Overprovision, Revision, ScaleSetSnapshot, ShutdownRule};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};
use scaleset_planning::view::HardwareView;

use crate::fleet::{keep_revision, member, newest, snapshot, spread};
use crate::instance::{flexible_snapshot, running_hardware};

const SIZE: &str = "Standard_D2s_v3";

fn room(zone: Option<&str>, capacity: i64, allocated: i64) -> ReservedRoom {
    ReservedRoom {
        name: zone.map_or_else(|| "d2s".to_owned(), |zone| format!("d2s-z{zone}")),
        vm_size: SIZE.to_owned(),
        zone: zone.map(str::to_owned),
        current_capacity: capacity,
        allocated,
        fault_domain_count: 3,
    }
}

fn group(rooms: &[ReservedRoom]) -> ReservedGroup {
    ReservedGroup {
        location: "eastus".to_owned(),
        zones: rooms.iter().filter_map(|room| room.zone.clone()).collect(),
        reservations: rooms.to_vec(),
        pending: Vec::new(),
    }
}

fn article() -> ReservedGroup {
    group(&[room(Some("1"), 40, 0), room(Some("2"), 20, 0), room(Some("3"), 15, 0)])
}

/// A set whose newest model names the group `reserved`, which is `known` under that name.
fn naming(zones: &[&str], replicas: i32, known: Option<ReservedGroup>) -> ScaleSetSnapshot {
    let mut snapshot = snapshot(zones, replicas);
    name_group(&mut snapshot);
    let key = ("default".to_owned(), "reserved".to_owned());
    snapshot.reservation_groups.extend(known.map(|known| (key, known)));
    snapshot
}

/// The profile becomes another revision, the newest.
fn name_group(snapshot: &mut ScaleSetSnapshot) {
    let mut profile = snapshot.set.profile.as_deref().expect("it has one").clone();
    profile.capacity_reservation_group_ref =
        Some(CapacityReservationGroupReference { name: "reserved".to_owned(), namespace: None });
    let profile = Arc::new(profile);
    let first = &snapshot.revisions[0];
    let name = revision::name("web", "set-uid", &profile);
    let second = Revision { name, number: 2, profile: Arc::clone(&profile), ..first.clone() };
    snapshot.revisions.push(second);
    snapshot.set.profile = Some(profile);
}

fn creations(snapshot: &ScaleSetSnapshot) -> usize {
    plan(snapshot).actions.iter().filter(|action| matches!(action, Action::CreateMember(_))).count()
}

/// The hold of a model that is refused; nothing follows it then.
fn refusal(snapshot: &ScaleSetSnapshot) -> Option<(Reason, String)> {
    let plan = plan(snapshot);
    let newest = newest(snapshot);
    let follows = |action: &Action| {
        let made = if let Action::CreateMember(member) = action { Some(&member.revision) } else { None };
        let given = if let Action::AssignRevision(assignment) = action { Some(&assignment.revision) } else { None };
        made.or(given) == Some(&newest)
    };
    let paths = ["capacityReservationGroupRef", "platformFaultDomainCount"];
    let hold = plan.holds.iter().find(|hold| paths.iter().any(|path| hold.message.contains(path)))?;
    assert!(!plan.actions.iter().any(follows), "half done: {plan}");
    Some((hold.reason, hold.message.clone()))
}

#[test]
fn nobody_extra_takes_a_slot_that_is_set_aside() {
    let mut snapshot = naming(&[], 10, Some(group(&[room(None, 12, 0)])));
    snapshot.set.overprovision = Overprovision::On;
    assert_eq!(creations(&snapshot), 10);
}

fn using(state: ReservationState) -> InstanceReservation {
    InstanceReservation { group: "reserved".to_owned(), reservation: "d2s-z1".to_owned(), state }
}

#[test]
fn forty_twenty_fifteen_for_seventy_five_leaves_fifteen_unused_and_five_and_ten_uncovered() {
    let wished: BTreeMap<Option<String>, i64> =
        ["1", "2", "3"].into_iter().map(|zone| (Some(zone.to_owned()), 25)).collect();
    let zones = coverage(&article(), SIZE, &wished, &BTreeMap::new());
    let numbers: Vec<(i64, i64)> = zones.iter().map(|zone| (zone.unused(), zone.uncovered())).collect();
    assert_eq!(numbers, [(15, 0), (0, 5), (0, 10)]);
    let equal = group(&[room(Some("1"), 25, 0), room(Some("2"), 25, 0), room(Some("3"), 25, 0)]);
    let numbers: Vec<(i64, i64)> = coverage(&equal, SIZE, &wished, &BTreeMap::new())
        .iter()
        .map(|zone| (zone.unused(), zone.uncovered()))
        .collect();
    assert_eq!(numbers, [(0, 0), (0, 0), (0, 0)]);
}

#[test]
fn what_others_use_covers_nobody_else() {
    for (reserved, others, wished, unused, uncovered) in
        [(10, 0, 4, 6, 0), (10, 8, 4, 0, 2), (10, 12, 4, 0, 4), (0, 0, 3, 0, 3), (5, 0, 0, 5, 0), (0, 0, 0, 0, 0)]
    {
        let coverage = Coverage { zone: None, reserved, others, wished };
        assert_eq!((coverage.unused(), coverage.uncovered()), (unused, uncovered), "{coverage:?}");
    }
    let own = BTreeMap::from([("d2s".to_owned(), 3)]);
    let zones = coverage(&group(&[room(None, 10, 7)]), SIZE, &BTreeMap::from([(None, 5)]), &own);
    assert_eq!(zones, [Coverage { zone: None, reserved: 10, others: 4, wished: 5 }]);
    let other_size = coverage(&group(&[room(None, 10, 0)]), "Standard_D4s_v3", &BTreeMap::from([(None, 5)]), &own);
    assert_eq!(other_size, [Coverage { zone: None, reserved: 0, others: 0, wished: 5 }]);
}

#[test]
fn the_set_says_what_its_growth_would_leave_unused_and_uncovered() {
    let snapshot = naming(&["1", "2", "3"], 75, Some(article()));
    let status = scale_set_status(&snapshot, &plan(&snapshot), &ScaleSetOutcome::default());
    let capacity = find(&status.conditions, ScaleSetCondition::CapacitySatisfied.as_str()).expect("it is there");
    assert_eq!(
        (capacity.status.as_str(), capacity.message.as_str()),
        (
            "True",
            "nothing waits for room; capacity reservation group reserved: zone 1: 40 reserved, 25 wished, 15 unused, 0 \
             uncovered; zone 2: 20 reserved, 25 wished, 0 unused, 5 uncovered; zone 3: 15 reserved, 25 wished, 0 unused, 10 \
             uncovered"
        )
    );
}

#[test]
fn deallocated_members_need_no_slot() {
    let mut snapshot = naming(&["1"], 3, Some(group(&[room(Some("1"), 2, 2)])));
    let newest = newest(&snapshot);
    snapshot.members = spread(&[(Some("1"), 3)], &newest);
    for member in &mut snapshot.members {
        member.report.reservation = Some(using(ReservationState::Allocated));
    }
    snapshot.members[2].power_wish = PowerWish::Deallocated;
    snapshot.members[2].report.reservation = Some(using(ReservationState::Associated));
    assert_eq!(forecast(&snapshot), Forecast { zones: vec![zone_1(2, 2)], apart: 0 });
}

fn zone_1(reserved: i64, wished: i64) -> Coverage {
    Coverage { zone: Some("1".to_owned()), reserved, others: 0, wished }
}

fn forecast(snapshot: &ScaleSetSnapshot) -> Forecast {
    let own = reservation::own_use(snapshot);
    reservation::forecast(snapshot, &plan(snapshot), &own).expect("it names a group")
}

/// The policy Manual never carries a new model out: who follows the old one needs no slot, and is told apart.
#[test]
fn members_count_by_the_model_that_they_follow() {
    let fleet = |mode: UpgradeMode| {
        let mut snapshot = naming(&["1"], 5, Some(group(&[room(Some("1"), 2, 1)])));
        snapshot.set.upgrade_mode = mode;
        let (old, new) = (snapshot.revisions[0].name.clone(), newest(&snapshot));
        snapshot.members = spread(&[(Some("1"), 5)], &old);
        snapshot.members[0].assigned_revision = Some(new.clone());
        snapshot.members[0].report.running_revision = Some(new.clone());
        snapshot.members[0].report.healthy_on_revision = Some(new);
        snapshot.members[0].report.reservation = Some(using(ReservationState::Allocated));
        snapshot
    };
    let manual = fleet(UpgradeMode::Manual);
    assert_eq!(forecast(&manual), Forecast { zones: vec![zone_1(2, 1)], apart: 4 });
    let told = reservation::forecast_told(&manual, &plan(&manual), &reservation::own_use(&manual));
    assert_eq!(
        told.expect("it names a group"),
        "capacity reservation group reserved: zone 1: 2 reserved, 1 wished, 1 unused, 0 uncovered; 4 VMs follow another \
         model, and draw on none of these"
    );
    let automatic = fleet(UpgradeMode::Automatic);
    let given = plan(&automatic).actions.iter().filter(|action| action.upgraded().is_some()).count();
    assert_eq!(given, 1, "one at a time");
    assert_eq!(forecast(&automatic), Forecast { zones: vec![zone_1(2, 2)], apart: 3 });
    // One that a person has edited follows none: what it uses is what counts.
    let mut edited = fleet(UpgradeMode::Manual);
    edited.members[0].assigned_revision = None;
    edited.members[1].assigned_revision = None;
    assert_eq!(forecast(&edited), Forecast { zones: vec![zone_1(2, 1)], apart: 4 });
}

#[test]
fn a_model_with_another_size_draws_on_another_reservation() {
    let mut snapshot = naming(&["1"], 2, Some(group(&[room(Some("1"), 2, 2)])));
    snapshot.set.upgrade_mode = UpgradeMode::Manual;
    let mut larger = snapshot.set.profile.as_deref().expect("it has one").clone();
    larger.vm_size = "Standard_D4s_v3".to_owned();
    let larger = Arc::new(larger);
    let name = revision::name("web", "set-uid", &larger);
    keep_revision(&mut snapshot, &name, 3, &larger);
    snapshot.members = spread(&[(Some("1"), 2)], &newest(&snapshot));
    snapshot.members[1].assigned_revision = Some(name);
    snapshot.revisions[2].number = 0;
    snapshot.revisions.sort_by_key(|revision| revision.number);
    let own = BTreeMap::from([("d2s-z1".to_owned(), 2)]);
    let forecast = reservation::forecast(&snapshot, &plan(&snapshot), &own).expect("it names a group");
    assert_eq!(forecast, Forecast { zones: vec![zone_1(2, 1)], apart: 1 });
}

/// Zones were added to the set: while a VM without one remains, reserved capacity is not for it.
#[test]
fn a_set_with_members_without_a_zone_uses_no_zonal_group() {
    for (zoneless, refused) in [(3, true), (1, true), (0, false)] {
        let mut snapshot = naming(&["1", "2", "3"], 6, Some(article()));
        let old = snapshot.revisions[0].name.clone();
        snapshot.members = spread(&[(None, zoneless), (Some("1"), 2), (Some("2"), 1)], &old);
        let told = refusal(&snapshot);
        assert_eq!(told.is_some(), refused, "{told:?}");
        if zoneless == 3 {
            let (reason, message) = told.expect("it is refused");
            assert_eq!(reason, Reason::OperationNotAllowed);
            assert_eq!(
                message,
                "spec.virtualMachineProfile.capacityReservationGroupRef: 3 of 6 VMs have no zone (web-0, web-1, web-2); they must be \
                 deleted, or scaled in, before the set uses the zonal group reserved"
            );
        }
    }
    let mut going = naming(&["1"], 1, Some(group(&[room(Some("1"), 5, 0)])));
    let old = going.revisions[0].name.clone();
    going.members = spread(&[(None, 1), (Some("1"), 1)], &old);
    going.members[0].life = MemberLife::Terminating;
    assert_eq!(refusal(&going), None, "it goes");
}

#[test]
fn a_group_that_may_be_used_is_used() {
    let snapshot = naming(&["1", "2", "3"], 6, Some(article()));
    assert_eq!((refusal(&snapshot), creations(&snapshot)), (None, 6));
}

#[test]
fn a_missing_group_and_one_that_is_not_shared_are_told_alike() {
    let snapshot = naming(&["1"], 3, None);
    let (reason, message) = refusal(&snapshot).expect("it is refused");
    assert_eq!(reason, Reason::ResourceNotFound);
    assert_eq!(
        message,
        "spec.virtualMachineProfile.capacityReservationGroupRef: capacity reservation group default/reserved does not exist, \
         or is not shared with namespace default"
    );
}

#[test]
fn place_size_and_spreading_must_fit() {
    let elsewhere = ReservedGroup { location: "centralindia".to_owned(), ..article() };
    let regional = group(&[room(None, 5, 0)]);
    let two = group(&[room(Some("1"), 5, 0), room(Some("2"), 5, 0)]);
    let mut unreserved = article();
    unreserved.reservations.retain(|room| room.zone.as_deref() != Some("3"));
    let cases = [
        (elsewhere, Reason::InvalidParameter, "group reserved is in centralindia, the set in eastus"),
        (regional, Reason::InvalidParameter, "group reserved has no zones, the set zones 1, 2, 3"),
        (two, Reason::InvalidParameter, "group reserved has zones 1, 2, the set zones 1, 2, 3"),
        (
            unreserved,
            Reason::OperationNotAllowed,
            "group reserved has no reservation of Standard_D2s_v3 in zone 3; add one, 0 is enough",
        ),
    ];
    for (group, reason, message) in cases {
        let snapshot = naming(&["1", "2", "3"], 3, Some(group));
        let message = format!("spec.virtualMachineProfile.capacityReservationGroupRef: {message}");
        assert_eq!(refusal(&snapshot), Some((reason, message)));
    }
    let pending = vec![(SIZE.to_owned(), Some("3".to_owned()))];
    let not_yet = ReservedGroup { reservations: article().reservations[..2].to_vec(), pending, ..article() };
    let (reason, message) = refusal(&naming(&["1", "2", "3"], 3, Some(not_yet))).expect("it waits");
    assert_eq!(reason, Reason::Waiting);
    assert!(message.contains("group reserved has not reserved Standard_D2s_v3 in zone 3 yet"), "{message}");
    let mut fixed = naming(&["1", "2", "3"], 3, Some(article()));
    fixed.set.platform_fault_domain_count = Some(5);
    let message = "spec.platformFaultDomainCount: 5 is more than 1, the most with reservation d2s-z1 of group reserved";
    assert_eq!(refusal(&fixed), Some((Reason::InvalidParameter, message.to_owned())));
    for (count, refused) in [(1, false), (2, false), (3, false), (4, true), (5, true)] {
        let mut spreading = naming(&[], 3, Some(group(&[room(None, 5, 0)])));
        spreading.set.single_placement_group = Some(false);
        spreading.set.platform_fault_domain_count = Some(count);
        assert_eq!(refusal(&spreading).is_some(), refused, "{count}");
    }
    // Of some sizes nothing is reserved over several domains, which the schema cannot know.
    let narrow = ReservedRoom { fault_domain_count: 1, ..room(None, 5, 0) };
    let mut spreading = naming(&[], 3, Some(group(&[narrow])));
    spreading.set.single_placement_group = Some(false);
    assert_eq!(refusal(&spreading), None);
    spreading.set.platform_fault_domain_count = Some(2);
    let message = "spec.platformFaultDomainCount: 2 is more than 1, the most with reservation d2s of group reserved";
    assert_eq!(refusal(&spreading), Some((Reason::InvalidParameter, message.to_owned())));
}

#[test]
fn a_single_placement_group_uses_no_reserved_capacity() {
    let mut snapshot = naming(&[], 3, Some(group(&[room(None, 5, 0)])));
    snapshot.set.platform_fault_domain_count = Some(3);
    let (reason, message) = refusal(&snapshot).expect("one placement group is the default");
    assert_eq!(reason, Reason::OperationNotAllowed);
    assert!(message.contains("singlePlacementGroup is true; it must be false"), "{message}");
    snapshot.set.single_placement_group = Some(false);
    assert_eq!(refusal(&snapshot), None);
}

#[test]
fn only_a_uniform_set_without_zones_must_be_deallocated_first() {
    let regional = || naming(&[], 2, Some(group(&[room(None, 5, 0)])));
    let zonal = || naming(&["1"], 2, Some(group(&[room(Some("1"), 5, 0)])));
    for (mut snapshot, mode, zone, refused) in [
        (regional(), OrchestrationMode::Uniform, None, true),
        (zonal(), OrchestrationMode::Uniform, Some("1"), false),
        (regional(), OrchestrationMode::Flexible, None, false),
    ] {
        snapshot.set.mode = mode;
        snapshot.set.single_placement_group = Some(false);
        let old = snapshot.revisions[0].name.clone();
        snapshot.members = spread(&[(zone, 2)], &old);
        let told = refusal(&snapshot);
        assert_eq!(told.is_some(), refused, "{mode:?} {zone:?}: {told:?}");
        if let Some((reason, message)) = told {
            assert_eq!(reason, Reason::OperationNotAllowed);
            assert!(message.contains("2 of 2 VMs hold hardware (web-0, web-1)"), "{message}");
        }
        for member in &mut snapshot.members {
            member.power_wish = PowerWish::Deallocated;
            member.report.power = PowerState::Deallocated;
        }
        assert_eq!(refusal(&snapshot), None, "deallocated, it may be associated");
    }
}

#[test]
fn a_new_regional_set_that_boots_is_not_in_its_own_way() {
    let mut snapshot = naming(&[], 2, Some(group(&[room(None, 5, 0)])));
    snapshot.set.single_placement_group = Some(false);
    let newest = newest(&snapshot);
    snapshot.members = vec![member(0, None, None, &newest)];
    assert_eq!(refusal(&snapshot), None);
}

#[test]
fn whoever_runs_leaves_its_group_only_without_hardware_or_without_capacity() {
    for (state, capacity, refused) in [
        (ReservationState::Allocated, 1, true),
        (ReservationState::Overallocated, 1, true),
        (ReservationState::Overallocated, 0, false),
        (ReservationState::Associated, 1, false),
    ] {
        let mut snapshot = naming(&["1"], 1, Some(group(&[room(Some("1"), capacity, 1)])));
        let with_group = newest(&snapshot);
        snapshot.set.profile = Some(Arc::clone(&snapshot.revisions[0].profile));
        snapshot.revisions[0].number = 3;
        snapshot.revisions.sort_by_key(|revision| revision.number);
        let mut holder = member(0, Some("1"), None, &with_group);
        holder.report.reservation = Some(using(state));
        snapshot.members = vec![holder];
        let told = refusal(&snapshot);
        assert_eq!(told.is_some(), refused, "{state:?} of {capacity}: {told:?}");
    }
}

/// With hardware it may not be let go, and would wait for what waits for it.
#[test]
fn a_vm_that_is_wished_down_goes_down_before_it_changes_its_group() {
    let mut hardware = running_hardware();
    if let HardwareView::Present(view) = &mut hardware {
        view.host = Some("host".to_owned());
    }
    let mut snapshot = flexible_snapshot(hardware);
    let Assigned::Known(model) = &mut snapshot.assigned else { panic!("its model is known") };
    let mut changed = (*model.model).clone();
    changed.capacity_reservation_group_ref =
        Some(CapacityReservationGroupReference { name: "reserved".to_owned(), namespace: None });
    model.model = Arc::new(changed);
    assert!(matches!(instance::plan(&snapshot).step, Step::UpdateOnline(_)));
    snapshot.power_wish = PowerWish::Deallocated;
    assert_eq!(instance::plan(&snapshot).step, Step::SetPower(PowerWish::Deallocated, ShutdownRule::Graceful));
}
