//! Members that a person made and that name a capacity reservation group: what the group asks of their set.

use std::sync::Arc;

use scaleset_crds::condition::Reason;
use scaleset_crds::reservation::CapacityReservationGroupReference;
use scaleset_crds::vocabulary::{PowerState, PowerWish};
use scaleset_planning::instance::{Step, plan};
use scaleset_planning::membership::{
    Applicant, MemberShape, MemberStanding, NamedGroup, NamedReservation, SetShape, group_refusal, refusal,
    refusal_among,
};
use scaleset_planning::snapshot::{
    Assigned, Belonging, Failure, InstanceSnapshot, Maintenance, Origin, ShutdownRule, SizeMaintenance,
};
use scaleset_planning::view::{HardwareView, ModelView};

use crate::instance::{flexible_snapshot, old, running_hardware};
use crate::membership::{open_set, vm};

/// A VM that names the group `kept`, whose reservation spreads over so many fault domains, where it is known.
fn naming(size: &'static str, maintenance: Maintenance, domains: Option<i32>) -> MemberShape<'static> {
    let reservation = domains.map(|count| NamedReservation { name: "room".to_owned(), fault_domain_count: count });
    let group = Some(NamedGroup { name: "kept".to_owned(), reservation });
    MemberShape { size, maintenance: SizeMaintenance::Known(maintenance), group, ..vm(MemberStanding::Newcomer) }
}

fn over(count: i32, single: Option<bool>) -> SetShape<'static> {
    SetShape {
        fault_domain_count: count,
        single_placement_group: single,
        wished_single_placement_group: None,
        ..open_set()
    }
}

/// A set, a VM that would join it, and why it may not.
type Row<'set> = (SetShape<'set>, MemberShape<'set>, Option<(Reason, &'static str)>);

#[test]
fn no_single_placement_group_and_no_more_domains_than_the_reservation_has() {
    let preserving = |domains| naming("Standard_D2s_v3", Maintenance::MemoryPreserving, domains);
    let other = |domains| naming("Standard_M64s", Maintenance::NotMemoryPreserving, domains);
    let single = "spec.capacityReservationGroupRef: Standard_M64s in scale set demo of 2 fault domains is in a single \
                  placement group, which uses no reserved capacity (group kept); leave the field out, or choose a set with \
                  platformFaultDomainCount 1";
    let spread = "spec.capacityReservationGroupRef: scale set demo has 2 fault domains, more than 1, the most with reservation \
                  room of group kept";
    let table: [Row<'_>; 9] = [
        (over(2, Some(true)), other(Some(3)), Some((Reason::OperationNotAllowed, single))),
        (over(2, None), other(None), Some((Reason::OperationNotAllowed, single))),
        (over(1, None), other(Some(1)), None),
        (over(2, Some(false)), preserving(Some(1)), Some((Reason::InvalidParameter, spread))),
        (over(2, None), preserving(Some(1)), Some((Reason::InvalidParameter, spread))),
        (over(2, None), preserving(Some(2)), None),
        (over(2, Some(false)), preserving(Some(3)), None),
        (over(2, Some(false)), preserving(None), None),
        (over(2, Some(false)), vm(MemberStanding::Newcomer), None),
    ];
    for (set, vm, expected) in table {
        let expected = expected.map(|(reason, message)| Failure { reason, message: message.to_owned() });
        assert_eq!(group_refusal(&set, &vm), expected, "{set:?} {vm:?}");
        assert_eq!(refusal(Some(&set), "demo", &vm), expected, "it does not join");
        let member = MemberShape { standing: MemberStanding::Accepted, ..vm };
        assert_eq!(refusal(Some(&set), "demo", &member), None, "a member stays one");
    }
}

#[test]
fn one_that_cannot_join_for_its_group_decides_nothing() {
    let older = naming("Standard_M64s", Maintenance::NotMemoryPreserving, Some(1));
    let younger = vm(MemberStanding::Newcomer);
    let created = jiff::Timestamp::UNIX_EPOCH;
    let applicant = |name, shape| Applicant { created, name, origin: Origin::Hand, shape, placed: None };
    let all = [applicant("a", older), applicant("b", younger)];
    let refused = all.iter().map(|one| refusal_among(Some(&over(2, None)), "demo", one, &all).is_some());
    assert_eq!(refused.collect::<Vec<bool>>(), [true, false]);
}

fn withheld() -> Failure {
    Failure { reason: Reason::InvalidParameter, message: "2 fault domains, more than 1".to_owned() }
}

/// A member whose model names a group that it cannot use, and has a tag that its hardware lacks where `tagged` says so.
fn member(hardware: HardwareView, tag: Option<&str>) -> InstanceSnapshot {
    let mut changed = (*old().model).clone();
    changed.capacity_reservation_group_ref =
        Some(CapacityReservationGroupReference { name: "kept".to_owned(), namespace: None });
    changed.tags.extend(tag.map(|tag| ("team".to_owned(), tag.to_owned())));
    InstanceSnapshot {
        assigned: Assigned::Known(ModelView { revision: "r2".to_owned(), model: Arc::new(changed) }),
        belonging: Belonging::HandMade { scale_set: "web".to_owned() },
        marked_group: Some("kept".to_owned()),
        group_refusal: Some(withheld()),
        ..flexible_snapshot(hardware)
    }
}

#[test]
fn a_group_that_a_member_cannot_use_is_withheld_and_holds_nothing_else_up() {
    assert_eq!(plan(&member(HardwareView::Absent, None)).step, Step::Hold(withheld()), "it does not boot");
    assert_eq!(plan(&member(running_hardware(), None)).step, Step::Hold(withheld()));
    let Step::UpdateOnline(given) = plan(&member(running_hardware(), Some("red"))).step else {
        panic!("its tag is applied")
    };
    assert_eq!(given.model.tags.get("team").map(String::as_str), Some("red"));
    assert_eq!(given.model.capacity_reservation_group_ref, None);
    let mut down = member(running_hardware(), None);
    down.power_wish = PowerWish::Stopped;
    assert_eq!(plan(&down).step, Step::SetPower(PowerWish::Stopped, ShutdownRule::Graceful));
    let mut allowed = member(running_hardware(), None);
    allowed.group_refusal = None;
    assert!(matches!(plan(&allowed).step, Step::UpdateOnline(_)));
    let mut failed = running_hardware();
    if let HardwareView::Present(view) = &mut failed {
        view.power = PowerState::Stopped;
    }
    assert!(matches!(plan(&member(failed, None)).step, Step::SetPower(PowerWish::Running, _)), "it is started");
}
