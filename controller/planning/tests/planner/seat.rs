//! Where a VM is started.

use scaleset_crds::vocabulary::{PowerState, PowerWish};
use scaleset_planning::instance::{Seat, Step, plan};
use scaleset_planning::snapshot::{Birth, InstanceSnapshot, MemberKind, ShutdownRule};
use scaleset_planning::view::{HardwareView, OperationState};

use crate::instance::{old, snapshot, view};

fn seated(kind: MemberKind, wish: PowerWish, power: PowerState) -> InstanceSnapshot {
    let hardware = HardwareView::Present(Box::new(view(&old(), OperationState::Succeeded, power)));
    let birth = Birth { update_domain: Some(3), placement_group: Some("1".to_owned()), ..Birth::default() };
    InstanceSnapshot { kind, birth, fault_domain: Some(2), power_wish: wish, ..snapshot(hardware) }
}

#[test]
fn a_uniform_instance_starts_where_its_set_has_put_it() {
    let seat = Seat { fault_domain: Some(2), update_domain: Some(3), placement_group: Some("1".to_owned()) };
    let power = |wish| Step::SetPower(wish, ShutdownRule::Graceful);
    let table = [
        (MemberKind::ScaleSetVM, PowerWish::Running, PowerState::Deallocated, Step::StartAt(seat.clone())),
        (MemberKind::ScaleSetVM, PowerWish::Running, PowerState::Stopped, Step::StartAt(seat)),
        (MemberKind::ScaleSetVM, PowerWish::Stopped, PowerState::Running, power(PowerWish::Stopped)),
        (MemberKind::ScaleSetVM, PowerWish::Deallocated, PowerState::Running, power(PowerWish::Deallocated)),
        (MemberKind::FlexVM, PowerWish::Running, PowerState::Deallocated, power(PowerWish::Running)),
        (MemberKind::FlexVM, PowerWish::Deallocated, PowerState::Running, power(PowerWish::Deallocated)),
    ];
    for (kind, wish, now, step) in table {
        assert_eq!(plan(&seated(kind, wish, now)).step, step, "{kind:?} {wish:?} {now:?}");
    }
}
