//! Strict zone balance: what would leave two zones more than one member apart is not done at all.
//!
//! Source: Azure's "Use zone balance in Virtual Machine Scale Sets": every VM that exists counts, deallocated and failed ones
//! included; VMs without a zone do not. Best effort needs no rule of its own: the order in which zones are filled and
//! emptied is enough.

use scaleset_crds::condition::Reason;

use crate::snapshot::{Failure, SetFacts, ZoneBalance};

/// Why a scaling whose result has members in these zones is not done. A best effort does not ask where they would be.
pub(crate) fn refusal(set: &SetFacts, result: impl Iterator<Item = Option<String>>, reason: Reason) -> Option<Failure> {
    match set.zone_balance {
        ZoneBalance::BestEffort => return None,
        ZoneBalance::Strict => {}
    }
    let placed: Vec<String> = result.flatten().collect();
    let count = |zone: &String| placed.iter().filter(|placed| *placed == zone).count();
    let counts: Vec<usize> = set.zones.iter().map(count).collect();
    let (most, fewest) = (counts.iter().max()?, counts.iter().min()?);
    (most - fewest > 1).then(|| {
        let counts: Vec<String> = counts.iter().map(ToString::to_string).collect();
        let message = format!(
            "spec.zoneBalance is true, zones {} would have {}: they may differ by 1",
            set.zones.join(", "),
            counts.join(", ")
        );
        Failure { reason, message }
    })
}
