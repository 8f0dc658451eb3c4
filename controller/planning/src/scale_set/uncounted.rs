//! Members that are there and have no place of their own where places are counted.

use scaleset_crds::condition::Reason;

use super::{leaving, surge_of};
use crate::placement::Occupancy;
use crate::plan::ScaleSetPlan;
use crate::snapshot::{Failure, Member, ScaleSetSnapshot};
use crate::zone_balance;

/// The new ones of pairs, which stand in the places of the old ones until these go, and those that the plan removes. A set
/// that misses members has no others that outnumber its target.
pub(super) fn uncounted<'pass>(snapshot: &'pass ScaleSetSnapshot, plan: &ScaleSetPlan) -> Vec<&'pass Member> {
    let gone = leaving(plan);
    let staying: Vec<Member> = snapshot.members.iter().filter(|member| !gone.contains(&member.name)).cloned().collect();
    let surge = surge_of(snapshot, plan, &staying);
    let new: Vec<&str> = surge.pairs.iter().map(|pair| pair.new.name.as_str()).collect();
    let live = snapshot.members.iter().filter(|member| member.is_live());
    live.filter(|member| gone.contains(&member.name) || new.contains(&member.name.as_str())).collect()
}

/// Why a strict balance does not let `missing` members be made.
pub(super) fn unbalanced(
    snapshot: &ScaleSetSnapshot,
    uncounted: &[&Member],
    occupancy: &Occupancy,
    missing: usize,
) -> Option<Failure> {
    let mut forecast = occupancy.clone();
    let places = (0..missing).map_while(|_| Some(forecast.place_next()?.zone));
    let counts = |member: &&Member| member.is_live() && !uncounted.iter().any(|other| other.name == member.name);
    let live = snapshot.members.iter().filter(counts).map(|member| member.zone.clone());
    zone_balance::refusal(&snapshot.set, live.chain(places), Reason::ZonalAllocationFailed)
}
