//! Where a VM is started: a Uniform instance has its place from its set, which may have given it another one while it had no
//! hardware.

use scaleset_crds::vocabulary::PowerWish;

use super::Step;
use crate::snapshot::{Birth, InstanceSnapshot, MemberKind, ShutdownRule};

/// The place of a Uniform instance within its zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seat {
    /// Fault domain to be in; none lets the hardware spread.
    pub fault_domain: Option<i32>,
    /// Update domain inside the placement group.
    pub update_domain: Option<i32>,
    /// Placement group.
    pub placement_group: Option<String>,
}

/// The step that brings a VM to that power.
pub(super) fn set_power(snapshot: &InstanceSnapshot, wish: PowerWish, rule: ShutdownRule) -> Step {
    match (snapshot.kind, wish) {
        (MemberKind::ScaleSetVM, PowerWish::Running) => Step::StartAt(seat(snapshot)),
        (MemberKind::ScaleSetVM, PowerWish::Stopped | PowerWish::Deallocated) | (MemberKind::FlexVM, _) => {
            Step::SetPower(wish, rule)
        }
    }
}

fn seat(snapshot: &InstanceSnapshot) -> Seat {
    let Birth { computer_name: _, location: _, set_uid: _, number: _, update_domain, placement_group, quota: _ } =
        &snapshot.birth;
    Seat {
        fault_domain: snapshot.fault_domain,
        update_domain: *update_domain,
        placement_group: placement_group.clone(),
    }
}
