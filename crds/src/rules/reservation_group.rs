//! Rules of `CapacityReservationGroup`.
//!
//! Source: Azure's "Create a Capacity Reservation" (one reservation for each size and zone, all of one location) and "Modify
//! a Capacity Reservation" (only the quantity can change).

use kube::core::Rule;

use super::{Code, require};

/// An absent list and an empty one are the same, and so is any order.
pub(crate) fn zones_stay() -> Rule {
    let within = |one: &str, other: &str| {
        format!("(!has({one}.zones) || {one}.zones.all(zone, has({other}.zones) && zone in {other}.zones))")
    };
    require(
        &format!("{} && {}", within("self", "oldSelf"), within("oldSelf", "self")),
        Code::PropertyChangeNotAllowed,
        ".zones",
        "zones cannot be changed after creation",
    )
}

/// A VM of a size in a zone has one reservation to draw on.
pub(crate) fn one_for_each_size_and_zone() -> Rule {
    let zone = |of: &str| format!("(has({of}.zone) ? {of}.zone : '')");
    require(
        &format!(
            "!has(self.reservations) || self.reservations.all(one, self.reservations.exists_one(other, \
             other.vmSize == one.vmSize && {} == {}))",
            zone("other"),
            zone("one")
        ),
        Code::OperationNotAllowed,
        ".reservations",
        "each size must be reserved at most once in each zone, and in a group without zones at most once",
    )
}

/// A zonal group has zonal reservations only, a regional one none.
pub(crate) fn zone_of_the_group() -> Rule {
    require(
        "!has(self.reservations) || self.reservations.all(one, has(self.zones) && size(self.zones) > 0 ? \
         has(one.zone) && one.zone in self.zones : !has(one.zone))",
        Code::InvalidParameter,
        ".reservations",
        "the zone of each reservation must be one of the group's zones, and absent in a group without zones",
    )
}

/// How many VMs one reservation is for.
pub(crate) fn capacity_range() -> Rule {
    require(
        "self.capacity >= 0 && self.capacity <= 10000",
        Code::InvalidParameter,
        ".capacity",
        "capacity must be 0 to 10000",
    )
}
