//! What a region offers, as far as validation and placement have to know it.

use std::collections::BTreeMap;

use scaleset_crds::spot::Price;
use serde::{Deserialize, Serialize};

/// What the regions offer, by location.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// Regions by location name, for example `eastus`.
    pub regions: BTreeMap<String, Region>,
}

/// One region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Region {
    /// Zones by name with whether each is usable now; empty in a region without zones.
    pub zones: BTreeMap<String, ZoneState>,
    /// Fault domains of a regional placement.
    pub fault_domain_count: i32,
    /// Sizes by name, for example `Standard_D2s_v3`.
    pub sizes: BTreeMap<String, Size>,
    /// Versions by image family (`publisher:offer:sku`, or an image's id), oldest first.
    pub images: BTreeMap<String, Vec<String>>,
    /// Names of subnets.
    pub subnets: Vec<String>,
    /// Names of network security groups.
    pub network_security_groups: Vec<String>,
    /// Names of the load balancers that a health probe may name.
    pub load_balancers: Vec<String>,
}

/// Whether a zone can take machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ZoneState {
    /// It can.
    Available,
    /// It is down.
    Unavailable,
}

/// One size of machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Size {
    /// Family, which quotas are counted by.
    pub family: String,
    /// Virtual CPUs.
    pub vcpus: i32,
    /// Memory in MiB.
    pub memory_mib: i64,
    /// Whether maintenance preserves memory, which decides the limits of Flexible sets.
    pub memory_preserving: bool,
    /// What an hour of it costs now as a Spot machine, in US dollars; none where it is not offered as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot_price: Option<Price>,
    /// Fault domains that a reservation of this size knows (1: it knows none); none where the size cannot be reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation_fault_domain_count: Option<i32>,
    /// Zones that offer it.
    pub zones: Vec<String>,
}
