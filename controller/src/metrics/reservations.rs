//! Gauges of capacity reservation groups, by group, size and zone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use scaleset_crds::reservation_group::CapacityReservationStatus;

use crate::cluster::ObjectKey;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct ReservationLabels {
    namespace: String,
    group: String,
    size: String,
    zone: String,
}

/// VMs by reservation.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    reserved: Family<ReservationLabels, Gauge>,
    allocated: Family<ReservationLabels, Gauge>,
    overallocated: Family<ReservationLabels, Gauge>,
    unused: Family<ReservationLabels, Gauge>,
    /// What each group has gauges for.
    known: Mutex<BTreeMap<ObjectKey, BTreeSet<ReservationLabels>>>,
}

impl Reservations {
    pub(super) fn register(&self, registry: &mut Registry) {
        let reservations = "by capacity reservation group, size and zone";
        for (name, what, family) in [
            ("reserved", "VMs that there is reserved room for", &self.reserved),
            ("reservation_allocated", "VMs that hold hardware of a reservation or beyond it", &self.allocated),
            ("reservation_overallocated", "VMs that hold hardware beyond a reservation", &self.overallocated),
            ("reservation_unused", "Reserved room that no VM uses", &self.unused),
        ] {
            registry.register(name, format!("{what}, {reservations}"), family.clone());
        }
    }

    fn families(&self) -> [&Family<ReservationLabels, Gauge>; 4] {
        [&self.reserved, &self.allocated, &self.overallocated, &self.unused]
    }

    pub(super) fn tell(&self, group: &ObjectKey, reservations: &[CapacityReservationStatus]) {
        let mut told = BTreeSet::new();
        for reservation in reservations {
            let labels = ReservationLabels {
                namespace: group.namespace.clone(),
                group: group.name.clone(),
                size: reservation.vm_size.clone(),
                zone: reservation.zone.clone().unwrap_or_default(),
            };
            let numbers =
                [reservation.current_capacity, reservation.allocated, reservation.overallocated, reservation.unused];
            for (family, number) in self.families().into_iter().zip(numbers) {
                family.get_or_create(&labels).set(i64::from(number));
            }
            told.insert(labels);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = if told.is_empty() { known.remove(group) } else { known.insert(group.clone(), told.clone()) };
        for gone in before.iter().flatten().filter(|labels| !told.contains(*labels)) {
            for family in self.families() {
                family.remove(gone);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use scaleset_crds::vocabulary::ProvisioningState;

    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn reservations_are_told_by_group_size_and_zone_and_vanish_with_them() {
        let metrics = Metrics::default();
        let group = ObjectKey { namespace: "default".to_owned(), name: "d2s".to_owned() };
        let in_zone = |zone: &str, current_capacity, allocated, unused, overallocated| CapacityReservationStatus {
            name: format!("d2s-z{zone}"),
            reservation_id: None,
            vm_size: "Standard_D2s_v3".to_owned(),
            zone: Some(zone.to_owned()),
            provisioning_state: ProvisioningState::Succeeded,
            provisioning_time: None,
            platform_fault_domain_count: None,
            current_capacity,
            associated: allocated,
            allocated,
            unused,
            overallocated,
        };
        let line = |name: &str, zone: &str, count: usize| {
            let labels = format!(r#"namespace="default",group="d2s",size="Standard_D2s_v3",zone="{zone}""#);
            format!("scaleset_{name}{{{labels}}} {count}\n")
        };
        metrics.reserved(&group, &[in_zone("1", 40, 25, 15, 0), in_zone("2", 20, 25, 0, 5)]);
        let text = metrics.text();
        for (name, in_one, in_two) in [
            ("reserved", 40, 20),
            ("reservation_allocated", 25, 25),
            ("reservation_overallocated", 0, 5),
            ("reservation_unused", 15, 0),
        ] {
            assert!(
                text.contains(&line(name, "1", in_one)) && text.contains(&line(name, "2", in_two)),
                "{name}: {text}"
            );
        }
        metrics.reserved(&group, &[in_zone("1", 40, 25, 15, 0)]);
        let text = metrics.text();
        assert!(text.contains(&line("reserved", "1", 40)) && !text.contains(r#"zone="2""#), "{text}");
    }
}
