//! Azure's table of what the size of a VM allows in a Flexible set ("Orchestration modes"), row by row: a memory-preserving
//! size, or any with one fault domain, beside a size that is not, over several.

use scaleset_crds::condition::Reason;
use scaleset_crds::spot::{Priority, SpotProfile};
use scaleset_crds::vocabulary::OrchestrationMode;
use scaleset_planning::limits::{profile_refusal, single_placement_group};
use scaleset_planning::membership::{MemberShape, MemberStanding, SetShape, refusal};
use scaleset_planning::plan::Action;
use scaleset_planning::priority_mix::{PriorityMix, Split};
use scaleset_planning::snapshot::{Maintenance, Origin, ScaleSetSnapshot, SizeMaintenance};

use crate::fleet::{audited, change_profile, created, member, profile, snapshot};
use crate::membership::{open_set, told, vm};

const PRESERVING: &str = "Standard_D2s_v3";
const OTHER: &str = "Standard_M64s";

/// A column of the table: a size over so many fault domains.
#[derive(Clone, Copy, Debug)]
struct Column {
    size: &'static str,
    domains: i32,
}

const LEFT: [Column; 3] = [
    Column { size: PRESERVING, domains: 1 },
    Column { size: PRESERVING, domains: 3 },
    Column { size: OTHER, domains: 1 },
];
const RIGHT: Column = Column { size: OTHER, domains: 3 };

impl Column {
    fn vm(self) -> MemberShape<'static> {
        let maintenance =
            if self.size == OTHER { Maintenance::NotMemoryPreserving } else { Maintenance::MemoryPreserving };
        let maintenance = SizeMaintenance::Known(maintenance);
        MemberShape { size: self.size, maintenance, ..vm(MemberStanding::Newcomer) }
    }

    fn needs_group(self) -> bool {
        self.size == OTHER && self.domains > 1
    }

    /// A set that one of the column has joined first.
    fn set(self) -> SetShape<'static> {
        let single_placement_group = Some(self.needs_group());
        SetShape { fault_domain_count: self.domains, single_placement_group, members: 1, ..open_set() }
    }

    /// The set as its own pass sees it, with `replicas` of the column to make.
    fn snapshot(self, replicas: i32) -> ScaleSetSnapshot {
        let mut snapshot = snapshot(&[], replicas);
        snapshot.set.mode = OrchestrationMode::Flexible;
        snapshot.set.platform_fault_domain_count = Some(self.domains);
        change_profile(&mut snapshot, profile(self.size));
        snapshot
    }
}

fn all() -> impl Iterator<Item = (Column, bool)> {
    LEFT.into_iter().map(|column| (column, true)).chain([(RIGHT, false)])
}

fn accepted(set: &SetShape<'_>, vm: &MemberShape<'_>) -> bool {
    told(refusal(Some(set), "demo", vm)).is_none()
}

#[test]
fn most_members() {
    for (column, left) in all() {
        let most = if left { 1_000 } else { 200 };
        let holding = |members| SetShape { members, ..column.set() };
        assert!(accepted(&holding(most - 1), &column.vm()), "{column:?}");
        let (reason, message) = told(refusal(Some(&holding(most)), "demo", &column.vm())).expect("it is full");
        assert_eq!(reason, Reason::OperationNotAllowed);
        let said = format!("spec.scaleSetRef.name: scale set demo has {most} members, the most are {most}");
        assert_eq!(message, said, "{column:?}");
        let made = |replicas: usize| {
            let snapshot = column.snapshot(i32::try_from(replicas).expect("a count"));
            created(&audited(&snapshot)).len()
        };
        assert_eq!((made(most), made(most + 1)), (most, 0), "{column:?}");
    }
}

#[test]
fn spot_and_regular_are_mixed() {
    for (column, mixes) in all() {
        for (there, joins) in [(Priority::Regular, Priority::Spot), (Priority::Spot, Priority::Regular)] {
            let set = SetShape { priorities: Split::default().with(there), ..column.set() };
            let of = |priority| MemberShape { priority, ..column.vm() };
            assert_eq!(accepted(&set, &of(joins)), mixes, "{column:?}: {joins:?} beside {there:?}");
            assert!(accepted(&set, &of(there)), "{column:?}: {there:?} beside {there:?}");
        }
        // The set does not make what would not go with those that a person has put into it, and mixes none itself.
        let mut snapshot = column.snapshot(2);
        let mut by_hand = member(9, None, None, "own");
        (by_hand.origin, by_hand.priority) = (Origin::Hand, Priority::Spot);
        by_hand.vm_size = Some(column.size.to_owned());
        snapshot.members = vec![by_hand];
        let plan = audited(&snapshot);
        assert_eq!(!created(&plan).is_empty(), mixes, "{column:?}: {plan}");
        if !mixes {
            let held = plan.holds.iter().find(|hold| hold.reason == Reason::OperationNotAllowed).expect("it says why");
            let message = "spec.virtualMachineProfile.priority: Regular, and 1 of 1 made by hand are not; with Standard_M64s \
                           over 3 fault domains, a size without memory-preserving maintenance, regular and Spot VMs are not \
                           mixed";
            assert_eq!(held.message, message);
        }
        let mut spot = profile(column.size);
        spot.spot = SpotProfile { priority: Priority::Spot, ..SpotProfile::default() };
        let mut mixing = column.snapshot(0);
        mixing.set.mix = Some(PriorityMix { base: 1, regular_percent_above_base: 50 });
        assert_eq!(profile_refusal(&mixing, &spot).is_none(), mixes, "{column:?}");
    }
}

#[test]
fn general_purpose_and_specialty_sizes_are_mixed_over_one_fault_domain_only() {
    for (column, _) in all() {
        for other in LEFT.into_iter().chain([RIGHT]).filter(|other| other.domains == column.domains) {
            let goes = column.domains == 1 || column.size == other.size;
            assert_eq!(accepted(&column.set(), &other.vm()), goes, "{other:?} into a set of {column:?}");
        }
    }
}

#[test]
fn fault_domains_are_as_many_as_the_region_has_and_zones_are_one_each() {
    for size in [PRESERVING, OTHER] {
        for (count, in_region, goes) in [(3, 3, true), (3, 2, false), (2, 2, true)] {
            let mut snapshot = Column { size, domains: count }.snapshot(0);
            snapshot.region.as_mut().expect("it is known").fault_domain_count = in_region;
            let refused = profile_refusal(&snapshot, &profile(size)).map(|refusal| refusal.message);
            let message = "spec.platformFaultDomainCount: 3 must fall in the range 1 to 2 in eastus".to_owned();
            assert_eq!(refused, (!goes).then_some(message), "{size}: {count} of {in_region}");
        }
        let mut zonal = Column { size, domains: 1 }.snapshot(3);
        zonal.set.zones = ["1", "2", "3"].map(str::to_owned).to_vec();
        let zones: Vec<Option<String>> = created(&audited(&zonal)).into_iter().map(|new| new.zone.clone()).collect();
        assert_eq!(zones, ["1", "2", "3"].map(|zone| Some(zone.to_owned())), "{size} spans zones");
    }
}

#[test]
fn every_vm_picks_its_zone_and_most_their_fault_domain() {
    let zones = ["1".to_owned(), "2".to_owned()];
    for (column, left) in all() {
        if column.domains == 1 {
            let zonal = SetShape { zones: &zones, ..column.set() };
            assert!(accepted(&zonal, &MemberShape { zone: Some("2"), ..column.vm() }), "{column:?}");
        } else {
            let choosing = MemberShape { fault_domain: Some(1), ..column.vm() };
            assert_eq!(accepted(&column.set(), &choosing), left, "{column:?}");
            let undecided = SetShape { single_placement_group: None, members: 0, ..column.set() };
            assert_eq!(accepted(&undecided, &choosing), left, "{column:?}");
        }
    }
}

#[test]
fn nobody_has_an_update_domain() {
    for (column, _) in all() {
        let plan = audited(&column.snapshot(7));
        let made = created(&plan);
        assert_eq!(made.len(), 7, "{column:?}");
        assert!(made.iter().all(|new| new.update_domain.is_none() && new.placement_group.is_none()), "{column:?}");
        assert!(plan.actions.iter().all(|action| !matches!(action, Action::SeatMember(_))), "{column:?}");
    }
}

#[test]
fn the_first_vm_decides_on_the_single_placement_group() {
    for (column, left) in all() {
        let mut snapshot = column.snapshot(1);
        assert_eq!(single_placement_group(&snapshot, column.domains), None, "nobody is there");
        let mut first = member(0, None, Some(0), "own");
        first.vm_size = Some(column.size.to_owned());
        snapshot.members = vec![first];
        assert_eq!(single_placement_group(&snapshot, column.domains), Some(!left), "{column:?}");
        let undecided = SetShape { single_placement_group: None, members: 0, ..column.set() };
        assert!(accepted(&undecided, &column.vm()), "whoever is first decides");
    }
}
