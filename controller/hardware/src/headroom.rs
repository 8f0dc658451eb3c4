//! What is left of a region for more machines of one size: a forecast, not a reservation.

use scaleset_crds::spot::Price;
use serde::{Deserialize, Serialize};

/// How much room there is for one more machine of a size, by everything that bounds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headroom {
    /// Virtual CPUs of one machine of the size.
    pub vcpus: i64,
    /// Quotas that such a machine counts against: its family's, where that is limited, and the region's; of a Spot machine
    /// the Spot quota alone, where there is one.
    pub quotas: Vec<Quota>,
    /// How many more such machines the hosts of each place can take; no Spot machine where others need the capacity.
    pub places: Vec<Room>,
    /// What an hour of a Spot machine costs now; none of a regular one.
    pub spot_price: Option<Price>,
    /// Addresses that are free in each subnet, by its name.
    pub free_addresses: Vec<(String, i64)>,
}

/// One vCPU quota (Azure: virtual machine vCPU quotas).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// A family, `regional total`, or `spot`.
    pub name: String,
    /// vCPUs allowed.
    pub limit: i64,
    /// vCPUs in use.
    pub usage: i64,
}

/// The room in one fault domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Zone; none in a region without zones.
    pub zone: Option<String>,
    /// Fault domain in it.
    pub fault_domain: i32,
    /// Machines of the size that still fit, were there nobody else.
    pub machines: i64,
}
