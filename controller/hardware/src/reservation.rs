//! Capacity that is reserved: groups, their reservations, and the machines that draw on them.
//!
//! Source: Azure's "On-demand capacity reservation", "Overallocate capacity reservation", "Modify a capacity reservation",
//! "Share a capacity reservation group"; that namespaces stand for subscriptions is ours.

use jiff::Timestamp;
use scaleset_crds::reservation::ReservationState;
use serde::{Deserialize, Serialize};

use crate::machine::Owner;

/// What a group is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationGroupRequest {
    /// Namespace of the group.
    pub namespace: String,
    /// Name of the group.
    pub name: String,
    /// Region. Immutable.
    pub location: String,
    /// Zones that its reservations can be in; none for a regional group. Immutable.
    pub zones: Vec<String>,
    /// Other namespaces whose machines may draw on it. The only thing that can change.
    pub shared_with: Vec<String>,
}

/// What a reservation is to be. `vm_size` and `zone` are immutable, and no two reservations of a group share both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationRequest {
    /// Name inside the group.
    pub name: String,
    /// Size of the machines that it is for.
    pub vm_size: String,
    /// Zone, one of the group's; none in a regional group.
    pub zone: Option<String>,
    /// Machines that there is to be room for, 0 and up.
    pub capacity: i32,
}

/// A group as the hardware knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReservationGroup {
    /// Uid of the Kubernetes object that it stands for.
    pub uid: String,
    /// Namespace of that object.
    pub namespace: String,
    /// Name of that object.
    pub name: String,
    /// Highest generation that a call carried.
    pub generation: i64,
    /// Region.
    pub location: String,
    /// Zones that its reservations can be in; none for a regional group.
    pub zones: Vec<String>,
    /// Other namespaces whose machines may draw on it.
    pub shared_with: Vec<String>,
    /// Its reservations, by name.
    pub reservations: Vec<Reservation>,
}

/// A reservation as the hardware knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// Name inside the group.
    pub name: String,
    /// Its own id, a GUID; one that is made anew has a new one.
    pub reservation_id: String,
    /// Size of the machines that it is for.
    pub vm_size: String,
    /// Zone; none in a regional group.
    pub zone: Option<String>,
    /// Fault domains that it is spread over; 1 where it knows none.
    pub platform_fault_domain_count: i32,
    /// Machines that room was asked for last.
    pub capacity: i32,
    /// Machines that there really is room for, used or not.
    pub current_capacity: i32,
    /// What became of the last request.
    pub provisioning: ReservationProvisioning,
    /// When the last request was decided, scenario time.
    pub provisioning_time: Timestamp,
    /// Every machine that is associated with it, by uid.
    pub machines: Vec<AssociatedMachine>,
}

/// What became of the last request for a capacity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReservationProvisioning {
    /// It has the capacity that was asked for.
    Succeeded,
    /// It could not be raised; it has what it had, and nobody is allocated from it.
    Failed {
        /// Azure's code, for example `QuotaExceeded` or `ZonalAllocationFailed`.
        code: String,
        /// What was missing.
        message: String,
    },
}

/// A machine that is associated with a reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssociatedMachine {
    /// Uid of the machine.
    pub uid: String,
    /// The object that it belongs to.
    pub owner: Owner,
    /// What it has of the reservation.
    pub state: ReservationState,
}

/// The reservation that a machine is associated with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineReservation {
    /// Namespace of the group.
    pub group_namespace: String,
    /// Name of the group.
    pub group: String,
    /// Name of the reservation in it.
    pub reservation: String,
    /// What the machine has of it.
    pub state: ReservationState,
}
