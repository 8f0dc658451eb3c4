//! What a VM and its capacity reservation group have to do with each other.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A capacity reservation group, maybe of another namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapacityReservationGroupReference {
    /// Name of the group, 1 to 63 characters. Required.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Namespace of the group, 1 to 63 characters; by default the VM's own. Another one must share the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

impl CapacityReservationGroupReference {
    /// The namespace of the group, for a VM of the namespace `own`.
    pub fn namespace_for<'a>(&'a self, own: &'a str) -> &'a str {
        self.namespace.as_deref().unwrap_or(own)
    }
}

/// What a VM has of the reservation that it is associated with.
///
/// Source: Azure's "Overallocate capacity reservation".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ReservationState {
    /// No hardware.
    Associated,
    /// Hardware that is guaranteed: it holds one of the reserved slots.
    Allocated,
    /// Hardware beyond what is reserved, which nothing guarantees after the next deallocation.
    Overallocated,
}
