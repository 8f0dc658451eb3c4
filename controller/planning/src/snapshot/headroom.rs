//! What is left of the region for more machines of the size that the set's model names, of one priority.

use std::collections::BTreeMap;

use scaleset_crds::spot::{MaxPrice, Price};

/// A forecast: nothing is reserved by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headroom {
    /// Virtual CPUs of one machine.
    pub vcpus: i64,
    /// Quotas that it counts against.
    pub quotas: Vec<Quota>,
    /// How many more machines fit, by zone (none in a region without zones) and fault domain.
    pub places: BTreeMap<(Option<String>, i32), i64>,
    /// Free addresses by subnet.
    pub free_addresses: BTreeMap<String, i64>,
    /// What an hour costs and the most that the model pays, of Spot machines that cost more than that: there is none.
    pub above_max_price: Option<(Price, MaxPrice)>,
}

/// One vCPU quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Name.
    pub name: String,
    /// vCPUs allowed.
    pub limit: i64,
    /// vCPUs in use.
    pub usage: i64,
}

impl Headroom {
    /// How many more machines fit in a place; without a zone or a fault domain in all of them.
    pub fn machines_in(&self, zone: Option<&str>, fault_domain: Option<i32>) -> i64 {
        let inside = |(place, domain): &(Option<String>, i32)| {
            zone.is_none_or(|zone| place.as_deref() == Some(zone))
                && fault_domain.is_none_or(|wished| wished == *domain)
        };
        self.places.iter().filter(|(place, _)| inside(place)).map(|(_, machines)| machines).sum()
    }
}
