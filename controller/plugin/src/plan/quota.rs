//! Whether the vCPU quotas suffice for what a plan ends with.

use std::collections::BTreeMap;

use scaleset_controller::region_maps::PublishedRegion;
use scaleset_crds::spot::Priority;
use scaleset_planning::snapshot::{Member, ScaleSetSnapshot};

/// The quota over all families.
const REGIONAL_TOTAL: &str = "regional total";
/// The quota over all Spot VMs, which count against no other.
const SPOT: &str = "spot";

/// vCPUs by quota.
type Usage = BTreeMap<String, i64>;

/// What the members of a set use of each quota.
pub(super) fn usage(snapshot: &ScaleSetSnapshot, region: &PublishedRegion) -> Usage {
    let sizes: BTreeMap<&str, &str> =
        snapshot.revisions.iter().map(|revision| (revision.name.as_str(), revision.profile.vm_size.as_str())).collect();
    let mut usage = Usage::new();
    // Extras of a scale-out need no quota.
    let counts = |member: &&Member| member.is_made() && member.is_live() && !member.is_extra();
    let made = snapshot.members.iter().filter(counts);
    for member in made {
        let size = member.assigned_revision.as_deref().and_then(|revision| sizes.get(revision));
        let Some(size) = size.and_then(|size| region.offer.sizes.get(*size)) else { continue };
        let quotas = match member.priority {
            Priority::Regular => vec![size.family.as_str(), REGIONAL_TOTAL],
            Priority::Spot => vec![SPOT],
        };
        for quota in quotas {
            *usage.entry(quota.to_owned()).or_default() += i64::from(size.vcpus);
        }
    }
    usage
}

/// A line for each quota of which the plan takes more.
pub(super) fn told(before: &Usage, after: &Usage, region: &PublishedRegion) -> Vec<String> {
    let of = |usage: &Usage, name: &String| usage.get(name).copied().unwrap_or(0);
    let line = |quota: &scaleset_hardware::headroom::Quota| {
        let more = of(after, &quota.name) - of(before, &quota.name);
        let then = quota.usage + more;
        let lacks = then - quota.limit;
        let end = if lacks > 0 { format!(": {lacks} too many, some VMs will not come up") } else { String::new() };
        (more > 0).then(|| {
            format!("quota {}: {} of {} vCPUs used, {then} after this{end}", quota.name, quota.usage, quota.limit)
        })
    };
    region.quotas.iter().filter_map(line).collect()
}
