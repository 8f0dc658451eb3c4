//! The capacity reservation groups that a set names, as far as they can be read from here.

use std::sync::Arc;

use kube::api::{Api, ObjectMeta};
use scaleset_controller::scale_set::{SetObjects, named_groups};
use scaleset_crds::reservation_group::{
    CapacityReservationGroupSpec, CapacityReservationStatus, ReservationGroupStatus, SharedWith,
};
use scaleset_crds::vocabulary::ProvisioningState;
use scaleset_crds::{CapacityReservationGroup, ScaleSet};

use crate::cluster::Cluster;

const FORBIDDEN: u16 = 403;

/// What there is, and what nobody here may look at.
#[derive(Debug, Default)]
pub(super) struct Groups {
    seen: Vec<Arc<CapacityReservationGroup>>,
    unseen: Vec<String>,
}

impl Groups {
    /// Groups that exist, and those that cannot be seen as if they had what the set needs.
    pub(super) fn seen(&self) -> Vec<Arc<CapacityReservationGroup>> {
        self.seen.clone()
    }

    /// Which groups cannot be seen.
    pub(super) fn unseen(&self) -> Option<String> {
        let names = self.unseen.join(", ");
        (!self.unseen.is_empty())
            .then(|| format!("not seen from here: capacity reservation group {names}; it is taken to exist and to fit"))
    }
}

/// Looks at the groups that the set and its revisions name.
pub(super) async fn look(cluster: &Cluster, objects: &SetObjects) -> anyhow::Result<Groups> {
    let mut groups = Groups::default();
    for key in named_groups(objects) {
        let api: Api<CapacityReservationGroup> = cluster.in_namespace(&key.namespace).api();
        match api.get_opt(&key.name).await {
            Ok(group) => groups.seen.extend(group.map(Arc::new)),
            Err(kube::Error::Api(status)) if status.code == FORBIDDEN => {
                groups.unseen.push(key.to_string());
                groups.seen.push(Arc::new(stand_in(&objects.set, &key.namespace, &key.name)));
            }
            Err(error) => return Err(cluster.explain(error)),
        }
    }
    Ok(groups)
}

/// A group that has what the set needs, of which nothing is told.
fn stand_in(set: &ScaleSet, namespace: &str, name: &str) -> CapacityReservationGroup {
    let size = set.spec.virtual_machine_profile.as_ref().map(|profile| profile.vm_size.clone()).unwrap_or_default();
    let zones = set.spec.zones.clone().filter(|zones| !zones.is_empty());
    let places: Vec<Option<String>> =
        zones.clone().map_or_else(|| vec![None], |zones| zones.into_iter().map(Some).collect());
    let reservation = |zone: Option<String>| CapacityReservationStatus {
        name: zone.clone().unwrap_or_default(),
        reservation_id: Some(String::new()),
        vm_size: size.clone(),
        zone,
        provisioning_state: ProvisioningState::Succeeded,
        provisioning_time: None,
        platform_fault_domain_count: Some(i32::MAX),
        current_capacity: 0,
        associated: 0,
        allocated: 0,
        unused: 0,
        overallocated: 0,
    };
    let shared = SharedWith { namespaces: set.metadata.namespace.iter().cloned().collect() };
    let location = set.spec.location.clone();
    CapacityReservationGroup {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        spec: CapacityReservationGroupSpec { location, zones, reservations: Vec::new(), shared_with: Some(shared) },
        status: Some(ReservationGroupStatus {
            capacity_reservations: places.into_iter().map(reservation).collect(),
            ..ReservationGroupStatus::default()
        }),
    }
}
