//! The fault domain of a VM that joins a set with several and names none.
//!
//! Source: Azure's "Orchestration modes" and "Choosing the right number of fault domains": the platform spreads the VMs of a
//! Flexible set evenly over the fault domains that the set has, which may be fewer than the region has, whoever made them.
//! Those who join in the same moment are placed in the order in which they are taken, so that every pass comes to the same.

use std::collections::BTreeMap;

use super::{Applicant, SetShape, joined_before};

/// The domain with the fewest members of the set, the lowest on a tie; none in a set without several, and for a VM that
/// has its place.
pub fn fault_domain_among(set: &SetShape<'_>, applicant: &Applicant<'_>, others: &[Applicant<'_>]) -> Option<i32> {
    if set.fault_domain_count <= 1 || applicant.placed.is_some() {
        return None;
    }
    let zone = applicant.shape.zone;
    let (_, mut before) = joined_before(set, applicant, others);
    before.retain(|other| other.placed.is_none() && other.shape.zone == zone && other.age() < applicant.age());
    before.sort_by_key(|other| other.age());
    let mut members: BTreeMap<i32, usize> = (0..set.fault_domain_count).map(|domain| (domain, 0)).collect();
    for domain in others.iter().filter(|other| other.shape.zone == zone).filter_map(|other| other.placed) {
        members.entry(domain).and_modify(|count| *count += 1);
    }
    for _ in before {
        let domain = emptiest(&members)?;
        members.entry(domain).and_modify(|count| *count += 1);
    }
    emptiest(&members)
}

fn emptiest(members: &BTreeMap<i32, usize>) -> Option<i32> {
    members.iter().min_by_key(|(domain, count)| (**count, **domain)).map(|(domain, _)| *domain)
}
