//! What the types of a region file cannot say: names that must be unique or known, and numbers in range.

use std::collections::BTreeSet;

use super::error::Problem;
use super::{ImageDefinition, LoadBalancerDefinition, ProbeDefinition, RegionDefinition, RegionFile, SizeDefinition};
use crate::sim::application::ApplicationRule;
use crate::sim::load::Load;
use crate::sim::requests::RequestLoad;
use crate::sim::world::check_load;

/// Hosts of one region; placement looks at each of them for each allocation.
const MAXIMUM_HOSTS: u64 = 10_000;
/// Widest prefix: one bit for each address is held in memory.
const SHORTEST_PREFIX: u8 = 12;
/// Narrowest prefix: five addresses of each are the network's own.
const LONGEST_PREFIX: u8 = 29;
/// Rules for applications; each observation of a machine looks for the first that fits.
const MAXIMUM_RULES: usize = 100;
/// A day: nobody waits longer for an application to turn.
const LATEST_ANSWER_SECONDS: u32 = 86_400;

/// Fault domains that a reservation can be spread over: as many as a set can ask for.
const MOST_RESERVED_DOMAINS: i32 = 5;

type Checked = Result<(), Problem>;

pub(super) fn check(file: &RegionFile) -> Checked {
    let RegionFile { seed: _, latencies, sizes, images, regions, applications, loads } = file;
    latencies.check().map_err(|(field, problem)| Problem {
        field: format!("latencies.{field}"),
        what: problem,
        mend: "give seconds from 0 to 86400 and a sigma from 0 to 2".to_owned(),
    })?;
    not_empty("sizes", sizes.len())?;
    not_empty("images", images.len())?;
    not_empty("regions", regions.len())?;
    unique("sizes", sizes.iter().map(|size| size.name.clone()))?;
    unique("images", images.iter().map(ImageDefinition::family))?;
    unique("regions", regions.iter().map(|region| region.name.clone()))?;
    sizes.iter().try_for_each(check_size)?;
    images.iter().try_for_each(check_image)?;
    regions.iter().try_for_each(|region| check_region(region, sizes))?;
    check_applications(applications, images)?;
    check_loads(loads)
}

fn check_loads(loads: &[Load]) -> Checked {
    require(
        loads.len() <= MAXIMUM_RULES,
        "loads",
        &format!("has {} entries", loads.len()),
        &format!("keep to {MAXIMUM_RULES}"),
    )?;
    for (index, load) in loads.iter().enumerate() {
        check_load(load).map_err(|(field, what)| Problem {
            field: format!("loads[{index}].{field}"),
            what,
            mend: "docs/hardware.md lists the fields".to_owned(),
        })?;
    }
    Ok(())
}

fn check_applications(applications: &[ApplicationRule], images: &[ImageDefinition]) -> Checked {
    require(
        applications.len() <= MAXIMUM_RULES,
        "applications",
        &format!("has {} entries", applications.len()),
        &format!("keep to {MAXIMUM_RULES}"),
    )?;
    for (index, rule) in applications.iter().enumerate() {
        let field = format!("applications[{index}]");
        let ApplicationRule { image_family, image_version, command_contains, answer: _, after_seconds } = rule;
        for (name, text) in [("imageVersion", image_version), ("commandContains", command_contains)] {
            let given = text.as_ref().is_none_or(|text| !text.is_empty());
            require(given, &format!("{field}.{name}"), "is empty", "give a text, or leave it out")?;
        }
        if let Some(family) = image_family {
            require(
                images.iter().any(|image| image.family() == *family),
                &format!("{field}.imageFamily"),
                &format!("{family} is not one of the images"),
                "give publisher:offer:sku, or the id, of an image of this file",
            )?;
        }
        require(
            *after_seconds <= LATEST_ANSWER_SECONDS,
            &format!("{field}.afterSeconds"),
            &format!("is {after_seconds}"),
            &format!("give 0 to {LATEST_ANSWER_SECONDS}"),
        )?;
    }
    Ok(())
}

fn check_size(size: &SizeDefinition) -> Checked {
    let field = format!("sizes[{}]", size.name);
    at_least_one(&format!("{field}.vcpus"), i64::from(size.vcpus))?;
    at_least_one(&format!("{field}.memoryMiB"), size.memory_mib)?;
    let domains = size.reservation_fault_domain_count;
    require(
        domains.is_none_or(|domains| (1..=MOST_RESERVED_DOMAINS).contains(&domains)),
        &format!("{field}.reservationFaultDomainCount"),
        &format!("is {}", domains.unwrap_or_default()),
        &format!("give 1 to {MOST_RESERVED_DOMAINS}, or leave it out where the size cannot be reserved"),
    )
}

fn check_image(image: &ImageDefinition) -> Checked {
    let field = format!("images[{}]", image.family());
    let parts = [&image.publisher, &image.offer, &image.sku];
    let whole = match &image.id {
        Some(_) => parts.iter().all(|part| part.is_none()),
        None => parts.iter().all(|part| part.is_some()),
    };
    require(whole, &field, "is not named in one way", "give publisher, offer and sku, or id alone")?;
    not_empty(&format!("{field}.versions"), image.versions.len())?;
    unique(&format!("{field}.versions"), image.versions.iter().cloned())
}

fn check_region(region: &RegionDefinition, sizes: &[SizeDefinition]) -> Checked {
    let field = format!("regions[{}]", region.name);
    unique(&format!("{field}.zones"), region.zones.iter().cloned())?;
    unique(&format!("{field}.hosts"), region.hosts.iter().map(|group| group.name.clone()))?;
    unique(&format!("{field}.subnets"), region.subnets.iter().map(|subnet| subnet.name.clone()))?;
    unique(&format!("{field}.loadBalancers"), region.load_balancers.iter().map(|balancer| balancer.name.clone()))?;
    unique(&format!("{field}.restrictions"), region.restrictions.iter().map(|restriction| restriction.size.clone()))?;
    check_hosts(&field, region, sizes)?;
    check_network(&field, region)?;
    for restriction in &region.restrictions {
        let field = format!("{field}.restrictions[{}]", restriction.size);
        require(
            sizes.iter().any(|size| size.name == restriction.size),
            &field,
            "is not one of the sizes",
            "name a size of this file",
        )?;
        require(
            restriction.zones.iter().all(|zone| region.zones.contains(zone)),
            &field,
            "names a zone that the region does not have",
            "name zones of this region",
        )?;
    }
    at_least_one(&format!("{field}.quotas.regionalTotal"), region.quotas.regional_total)?;
    let spot = region.quotas.spot.map(|limit| ("spot".to_owned(), limit));
    let families = region.quotas.families.iter().map(|(family, limit)| (format!("families.{family}"), *limit));
    families.chain(spot).try_for_each(|(quota, limit)| {
        require(
            limit >= 0,
            &format!("{field}.quotas.{quota}"),
            "is negative",
            "give the number of vCPUs that may be used",
        )
    })
}

fn check_hosts(field: &str, region: &RegionDefinition, sizes: &[SizeDefinition]) -> Checked {
    require(
        (1..=20).contains(&region.fault_domain_count),
        &format!("{field}.faultDomainCount"),
        &format!("is {}", region.fault_domain_count),
        "give 1 to 20",
    )?;
    not_empty(&format!("{field}.hosts"), region.hosts.len())?;
    for group in &region.hosts {
        let field = format!("{field}.hosts[{}]", group.name);
        at_least_one(&format!("{field}.count"), i64::from(group.count))?;
        at_least_one(&format!("{field}.vcpus"), i64::from(group.vcpus))?;
        at_least_one(&format!("{field}.memoryMiB"), group.memory_mib)?;
        for family in &group.families {
            require(
                sizes.iter().any(|size| size.family == *family),
                &format!("{field}.families"),
                &format!("no size has the family {family}"),
                "name families of the sizes of this file",
            )?;
        }
    }
    let in_domain: u64 = region.hosts.iter().map(|group| u64::from(group.count)).sum();
    let domains = region.zones.len().max(1) as u64 * u64::try_from(region.fault_domain_count).unwrap_or(1);
    require(
        in_domain.saturating_mul(domains) <= MAXIMUM_HOSTS,
        &format!("{field}.hosts"),
        &format!("makes {} hosts", in_domain.saturating_mul(domains)),
        &format!("keep to {MAXIMUM_HOSTS}"),
    )
}

fn check_network(field: &str, region: &RegionDefinition) -> Checked {
    not_empty(&format!("{field}.subnets"), region.subnets.len())?;
    let subnets = region.subnets.iter().map(|subnet| (format!("subnets[{}]", subnet.name), subnet.address_prefix));
    let public = [("publicAddressPrefix".to_owned(), region.public_address_prefix)];
    for (name, prefix) in subnets.chain(public) {
        require(
            (SHORTEST_PREFIX..=LONGEST_PREFIX).contains(&prefix.length()),
            &format!("{field}.{name}"),
            &format!("{prefix} has a prefix of {} bits", prefix.length()),
            &format!("give {SHORTEST_PREFIX} to {LONGEST_PREFIX} bits"),
        )?;
    }
    for balancer in &region.load_balancers {
        let field = format!("{field}.loadBalancers[{}]", balancer.name);
        require(
            region.subnets.iter().any(|subnet| subnet.name == balancer.subnet),
            &format!("{field}.subnet"),
            &format!("{} is not a subnet of the region", balancer.subnet),
            "name one of the region's subnets",
        )?;
        require(balancer.probe.port > 0, &format!("{field}.probe.port"), "is 0", "give 1 to 65535")?;
        check_asking(&field, balancer)?;
    }
    Ok(())
}

/// How often a load balancer asks, and what is sent through it.
fn check_asking(field: &str, balancer: &LoadBalancerDefinition) -> Checked {
    let ProbeDefinition { protocol: _, port: _, request_path: _, interval_seconds, number_of_probes } = &balancer.probe;
    require(
        (5..=300).contains(interval_seconds),
        &format!("{field}.probe.intervalSeconds"),
        &format!("is {interval_seconds}"),
        "give 5 to 300",
    )?;
    require(
        (1..=24).contains(number_of_probes),
        &format!("{field}.probe.numberOfProbes"),
        &format!("is {number_of_probes}"),
        "give 1 to 24",
    )?;
    let problem = balancer.requests.and_then(RequestLoad::problem);
    problem.map_or(Ok(()), |(part, problem)| {
        require(false, &format!("{field}.requests.{part}"), &problem, "give a number in that range")
    })
}

fn require(holds: bool, field: &str, problem: &str, mend: &str) -> Checked {
    if holds {
        return Ok(());
    }
    Err(Problem { field: field.to_owned(), what: problem.to_owned(), mend: mend.to_owned() })
}

fn not_empty(field: &str, count: usize) -> Checked {
    require(count > 0, field, "is empty", "give at least one")
}

fn at_least_one(field: &str, value: i64) -> Checked {
    require(value >= 1, field, &format!("is {value}"), "give at least 1")
}

fn unique(field: &str, names: impl Iterator<Item = String>) -> Checked {
    let mut seen = BTreeSet::new();
    for name in names {
        require(!name.is_empty(), field, "has an empty name", "give it a name")?;
        require(!seen.contains(&name), field, &format!("{name} stands there twice"), "keep one of them")?;
        seen.insert(name);
    }
    Ok(())
}
