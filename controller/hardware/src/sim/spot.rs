//! The market of Spot machines: what they cost, where their capacity is needed by others, who has been told to go.

use jiff::{SignedDuration, Timestamp};
use scaleset_crds::spot::EvictionReason;
use serde::{Deserialize, Serialize};

use crate::machine::Placement;

/// Between the notice of an eviction and the eviction (Azure: scheduled events, `Preempt`).
pub(crate) const NOTICE: SignedDuration = SignedDuration::from_secs(30);

/// A place and a size whose spare capacity is needed by others: no Spot machine is allocated there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SpotPressure {
    /// Region.
    pub location: String,
    /// Zone; the whole region when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Size; every size when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_size: Option<String>,
    /// How many Spot machines are evicted, the oldest first; all that are there when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evict: Option<u32>,
}

/// A Spot machine that has been told to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Preemption {
    pub(crate) event_id: String,
    pub(crate) reason: EvictionReason,
    /// When it goes.
    pub(crate) at: Timestamp,
}

/// A Spot machine that has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Evicted {
    pub(crate) at: Timestamp,
    pub(crate) reason: EvictionReason,
}

impl SpotPressure {
    /// Whether a machine of a size in a place is under it.
    pub(crate) fn covers(&self, placement: &Placement, size: &str) -> bool {
        self.covers_place(&placement.location, placement.zone.as_deref(), size)
    }

    /// Whether machines of a size in a zone, or in none, are under it.
    pub(crate) fn covers_place(&self, place: &str, in_zone: Option<&str>, size: &str) -> bool {
        let Self { location, zone, vm_size, evict: _ } = self;
        location == place
            && (zone.is_none() || zone.as_deref() == in_zone)
            && vm_size.as_ref().is_none_or(|wanted| wanted == size)
    }
}
