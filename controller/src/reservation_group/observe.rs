//! Reads the group, the hardware and the clocks, once.

use std::sync::Arc;

use jiff::Timestamp;
use scaleset_crds::CapacityReservationGroup;
use scaleset_hardware::{HardwareError, ReservationGroup};

use crate::cluster::{Kind, ObjectId, ObjectKey};
use crate::context::Context;

/// What one pass over a group has seen.
pub(super) struct Observed {
    pub(super) id: ObjectId,
    pub(super) group: Arc<CapacityReservationGroup>,
    /// The hardware's failure to answer is an observation like any other.
    pub(super) hardware: Result<Option<ReservationGroup>, HardwareError>,
    pub(super) now: Timestamp,
    pub(super) wall_now: Timestamp,
}

pub(super) async fn observe(context: &Context, group: Arc<CapacityReservationGroup>) -> Observed {
    let metadata = &group.metadata;
    let id = ObjectId {
        kind: Kind::CapacityReservationGroup,
        key: ObjectKey {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        },
        uid: metadata.uid.clone().unwrap_or_default(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
    };
    Observed {
        hardware: context.hardware.observe_reservation_group(&id.uid).await,
        now: context.hardware.now(),
        wall_now: Timestamp::now(),
        id,
        group,
    }
}
