//! What a set may be: the values in force, and what the region says of them.
//!
//! Sources: Azure's "Choosing the right number of fault domains" (counts by mode and shape), "Working with large
//! Virtual Machine Scale Sets" (100 per placement group), "Orchestration modes" (Flexible and memory-preserving sizes).

use std::collections::BTreeSet;

use scaleset_crds::VirtualMachineProfile;
use scaleset_crds::condition::Reason;
use scaleset_crds::profile::Extension;
use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::OrchestrationMode;

use crate::load_balancer;
use crate::reservation;
use crate::snapshot::{Failure, Maintenance, Member, RegionFacts, ScaleSetSnapshot, SetFacts, SpotOffer};

/// VMs in one placement group.
pub const PLACEMENT_GROUP_MAX: usize = 100;
/// Members of a set.
pub const MEMBERS_MAX: usize = 1_000;
/// Members of a set that are made of an own image.
pub const OWN_IMAGE_MAX: usize = 600;
/// Members of a Flexible set of a size without memory-preserving maintenance, spread over several fault domains.
pub const NOT_PRESERVING_MAX: usize = 200;
/// Update domains in one placement group.
pub const UPDATE_DOMAIN_COUNT: i32 = 5;

/// Fault domains in force: the pinned ones, else the spec's, else the default by mode and shape, which is never more than
/// the region has.
pub fn fault_domain_count(snapshot: &ScaleSetSnapshot) -> i32 {
    let set = &snapshot.set;
    let default = match (set.mode, set.zones.is_empty()) {
        (OrchestrationMode::Uniform, true) => {
            snapshot.region.as_ref().map_or(5, |region| region.fault_domain_count.min(5))
        }
        (OrchestrationMode::Uniform, false) | (OrchestrationMode::Flexible, _) => 1,
    };
    snapshot.status.platform_fault_domain_count.or(set.platform_fault_domain_count).unwrap_or(default)
}

/// Whether that number is final: the default of a set without zones depends on its region.
pub fn is_fault_domain_count_known(snapshot: &ScaleSetSnapshot) -> bool {
    let said = snapshot.status.platform_fault_domain_count.or(snapshot.set.platform_fault_domain_count);
    said.is_some() || snapshot.region.is_some() || !snapshot.set.zones.is_empty()
}

/// Whether the set has a single placement group. True never comes back once it is false. A Flexible set that does not
/// say is decided by its first VM: a size that is not memory-preserving, spread over several fault domains, needs one.
pub fn single_placement_group(snapshot: &ScaleSetSnapshot, fault_domain_count: i32) -> Option<bool> {
    let set = &snapshot.set;
    if snapshot.status.single_placement_group == Some(false) || set.single_placement_group == Some(false) {
        return Some(false);
    }
    if let Some(pinned) = snapshot.status.single_placement_group {
        return Some(pinned);
    }
    match (set.mode, set.single_placement_group) {
        (_, Some(wished)) => Some(wished),
        (OrchestrationMode::Uniform, None) => Some(set.zones.is_empty() && fault_domain_count > 1),
        (OrchestrationMode::Flexible, None) => first_vm_decides(snapshot, fault_domain_count),
    }
}

/// The first of those whose size the region knows: of another nobody can tell what it needs.
fn first_vm_decides(snapshot: &ScaleSetSnapshot, fault_domain_count: i32) -> Option<bool> {
    let profile = snapshot.set.profile.as_ref().map(|profile| &profile.vm_size);
    let sizes = &snapshot.region.as_ref()?.sizes;
    let known = |member: &Member| Some(sizes.get(member.vm_size.as_ref().or(profile)?)?.maintenance);
    let known = snapshot.members.iter().filter_map(|member| Some(((member.created, &member.name), known(member)?)));
    let (_, first) = known.min_by_key(|(age, _)| *age)?;
    Some(needs_single_group(first, fault_domain_count))
}

/// What the first VM of a Flexible set will decide, if that is one of `profile`.
fn first_of(snapshot: &ScaleSetSnapshot, profile: &VirtualMachineProfile) -> Option<bool> {
    let size = snapshot.region.as_ref()?.sizes.get(&profile.vm_size)?;
    Some(needs_single_group(size.maintenance, fault_domain_count(snapshot)))
}

/// Why the set cannot make `target` members of `profile`, with those made by hand beside them.
pub fn size_refusal(
    snapshot: &ScaleSetSnapshot,
    profile: &VirtualMachineProfile,
    target: usize,
    single_placement_group: Option<bool>,
) -> Option<Failure> {
    let set = &snapshot.set;
    let by_hand = snapshot.members.iter().filter(|member| !member.is_made() && member.is_live()).count();
    let too_many = |limit: usize, what: &str| {
        let beside = if by_hand > 0 { format!(" and {by_hand} made by hand") } else { String::new() };
        let message = format!("spec.replicas: {target}{beside} is more than {limit}, the most {what}");
        (target + by_hand > limit).then_some(Failure { reason: Reason::OperationNotAllowed, message })
    };
    let groups = set.zones.len().max(1);
    let in_groups = match (set.mode, single_placement_group.or_else(|| first_of(snapshot, profile))) {
        (OrchestrationMode::Uniform, Some(true)) => too_many(
            PLACEMENT_GROUP_MAX * groups,
            &format!(
                "that single placement groups hold (100 in each of {groups}); set spec.singlePlacementGroup to false"
            ),
        ),
        (OrchestrationMode::Flexible, Some(true)) => too_many(
            NOT_PRESERVING_MAX,
            &format!("of {}, a size without memory-preserving maintenance over several fault domains", profile.vm_size),
        ),
        (OrchestrationMode::Uniform | OrchestrationMode::Flexible, Some(false) | None) => None,
    };
    let of_image = match image_members_max(Some(profile)) {
        OWN_IMAGE_MAX => too_many(OWN_IMAGE_MAX, "of an own image (imageReference.id)"),
        _ => None,
    };
    in_groups
        .or(of_image)
        .or_else(|| too_many(MEMBERS_MAX, "members of a set"))
        .or_else(|| priority_refusal(snapshot, profile))
}

/// Members that a set may have by the image of its profile, whoever made them.
pub fn image_members_max(profile: Option<&VirtualMachineProfile>) -> usize {
    let own_image = profile.is_some_and(|profile| profile.storage_profile.image_reference.id.is_some());
    if own_image { OWN_IMAGE_MAX } else { MEMBERS_MAX }
}

/// Over several fault domains VMs of a size without memory-preserving maintenance are all regular or all Spot, those made
/// by hand among them.
fn priority_refusal(snapshot: &ScaleSetSnapshot, profile: &VirtualMachineProfile) -> Option<Failure> {
    let count = fault_domain_count(snapshot);
    let size = snapshot.region.as_ref()?.sizes.get(&profile.vm_size)?;
    if snapshot.set.mode != OrchestrationMode::Flexible || !needs_single_group(size.maintenance, count) {
        return None;
    }
    let wished = profile.spot.priority;
    let by_hand = || snapshot.members.iter().filter(|member| !member.is_made() && member.is_live());
    let others = by_hand().filter(|member| member.priority != wished).count();
    let message = format!(
        "spec.virtualMachineProfile.priority: {wished:?}, and {others} of {} made by hand are not; with {} over {count} fault \
         domains, a size without memory-preserving maintenance, regular and Spot VMs are not mixed",
        by_hand().count(),
        profile.vm_size
    );
    (others > 0).then_some(Failure { reason: Reason::OperationNotAllowed, message })
}

/// Members that a Uniform set can have, extras included.
pub(crate) fn uniform_members_max(
    set: &SetFacts,
    profile: &VirtualMachineProfile,
    single_placement_group: Option<bool>,
) -> usize {
    let in_groups = match single_placement_group {
        Some(true) => PLACEMENT_GROUP_MAX * set.zones.len().max(1),
        Some(false) | None => MEMBERS_MAX,
    };
    in_groups.min(image_members_max(Some(profile)))
}

/// Members that a set may have, whoever made them: a single placement group of a Flexible set is for sizes without
/// memory-preserving maintenance.
pub const fn members_max(mode: OrchestrationMode, single_placement_group: Option<bool>) -> usize {
    match (mode, single_placement_group) {
        (OrchestrationMode::Flexible, Some(true)) => NOT_PRESERVING_MAX,
        (OrchestrationMode::Flexible, Some(false) | None) | (OrchestrationMode::Uniform, _) => MEMBERS_MAX,
    }
}

/// Why the region cannot make VMs of `profile` for the set; `None` when it can.
pub fn profile_refusal(snapshot: &ScaleSetSnapshot, profile: &VirtualMachineProfile) -> Option<Failure> {
    let set = &snapshot.set;
    let Some(region) = &snapshot.region else {
        let message = format!(
            "spec.location: {} is not a region here; there are {}",
            set.location,
            snapshot.locations.join(", ")
        );
        return refused(Reason::InvalidParameter, message);
    };
    let single_group = single_placement_group(snapshot, fault_domain_count(snapshot));
    zones_refusal(set, region)
        .or_else(|| fault_domains_refusal(set, region))
        .or_else(|| placement_group_refusal(snapshot, region, profile))
        .or_else(|| size_of_vm_refusal(set, region, profile))
        .or_else(|| mix_refusal(snapshot, region, profile))
        .or_else(|| image_refusal(region, profile))
        .or_else(|| subnet_refusal(region, profile))
        .or_else(|| security_group_refusal(region, profile))
        .or_else(|| load_balancer::refusal(set, single_group, region, profile))
        .or_else(|| reservation::refusal(snapshot, profile))
        .or_else(|| extensions_refusal("spec.virtualMachineProfile.extensions", &profile.extensions))
}

fn zones_refusal(set: &SetFacts, region: &RegionFacts) -> Option<Failure> {
    let unknown = set.zones.iter().find(|zone| !region.zones.contains_key(*zone))?;
    let known: Vec<&str> = region.zones.keys().map(String::as_str).collect();
    let there_are = if known.is_empty() { "no zones".to_owned() } else { format!("zones {}", known.join(", ")) };
    refused(Reason::InvalidParameter, format!("spec.zones: {} has no zone {unknown}; it has {there_are}", set.location))
}

fn fault_domains_refusal(set: &SetFacts, region: &RegionFacts) -> Option<Failure> {
    let (wished, there, location) = (set.platform_fault_domain_count?, region.fault_domain_count, &set.location);
    if wished <= there {
        return None;
    }
    let message = match (set.mode, set.zones.is_empty()) {
        (OrchestrationMode::Uniform, false) => format!(
            "spec.platformFaultDomainCount: {wished} must be 1 in a Uniform set with zones of {location}, where a zone has \
             {there} fault domains"
        ),
        (OrchestrationMode::Uniform, true) | (OrchestrationMode::Flexible, _) => {
            format!("spec.platformFaultDomainCount: {wished} must fall in the range 1 to {there} in {location}")
        }
    };
    refused(Reason::InvalidParameter, message)
}

/// A Flexible set over several fault domains has a single placement group for sizes without memory-preserving
/// maintenance, and none for the others.
fn placement_group_refusal(
    snapshot: &ScaleSetSnapshot,
    region: &RegionFacts,
    profile: &VirtualMachineProfile,
) -> Option<Failure> {
    let count = fault_domain_count(snapshot);
    let maintenance = region.sizes.get(&profile.vm_size)?.maintenance;
    if snapshot.set.mode != OrchestrationMode::Flexible {
        return None;
    }
    let (size, said) = (&profile.vm_size, single_placement_group(snapshot, count));
    match (needs_single_group(maintenance, count), said) {
        (true, Some(false)) => refused(
            Reason::OperationNotAllowed,
            format!(
                "spec.singlePlacementGroup: {size} over {count} fault domains needs true, it is false; \
                 choose a memory-preserving size, or platformFaultDomainCount 1"
            ),
        ),
        (false, Some(true)) => refused(
            Reason::InvalidParameter,
            format!("spec.singlePlacementGroup: must be false for {size} and platformFaultDomainCount {count}"),
        ),
        (true, Some(true) | None) | (false, Some(false) | None) => None,
    }
}

/// Whether a VM of a Flexible set needs the set to have a single placement group.
pub fn needs_single_group(maintenance: Maintenance, fault_domain_count: i32) -> bool {
    match maintenance {
        Maintenance::NotMemoryPreserving => fault_domain_count > 1,
        Maintenance::MemoryPreserving => false,
    }
}

fn size_of_vm_refusal(set: &SetFacts, region: &RegionFacts, profile: &VirtualMachineProfile) -> Option<Failure> {
    let path = "spec.virtualMachineProfile.vmSize";
    let size = &profile.vm_size;
    let Some(facts) = region.sizes.get(size) else {
        let known: Vec<&str> = region.sizes.keys().map(String::as_str).collect();
        let message = format!("{path}: {size} is not offered in {}; there are {}", set.location, known.join(", "));
        return refused(Reason::SkuNotAvailable, message);
    };
    if let Some(missing) = set.zones.iter().find(|zone| !facts.zones.contains(zone)) {
        let message = format!("{path}: {size} is not offered in zone {missing} of {}", set.location);
        return refused(Reason::SkuNotAvailable, message);
    }
    match (profile.spot.priority, facts.spot) {
        (Priority::Spot, SpotOffer::NotOffered) => {
            let message = format!("{path}: {size} is not offered as Spot VM");
            refused(Reason::AzureSpotIsNotSupportedForThisVMSize, message)
        }
        (Priority::Regular, _) | (Priority::Spot, SpotOffer::Offered) => None,
    }
}

/// A placement group is of one priority, and sizes that are not memory-preserving need a single one over several fault
/// domains.
fn mix_refusal(snapshot: &ScaleSetSnapshot, region: &RegionFacts, profile: &VirtualMachineProfile) -> Option<Failure> {
    snapshot.set.mix?;
    let count = fault_domain_count(snapshot);
    let size = region.sizes.get(&profile.vm_size)?;
    let needs_one = size.maintenance == Maintenance::NotMemoryPreserving && count > 1;
    if !needs_one && single_placement_group(snapshot, count) != Some(true) {
        return None;
    }
    let message = "spec.priorityMixPolicy: regular and Spot VMs cannot be mixed in a single placement group".to_owned();
    refused(Reason::OperationNotAllowed, message)
}

fn image_refusal(region: &RegionFacts, profile: &VirtualMachineProfile) -> Option<Failure> {
    let path = "spec.virtualMachineProfile.storageProfile.imageReference";
    let image = &profile.storage_profile.image_reference;
    let family = image.family();
    let Some(versions) = region.images.get(&family) else {
        let known: Vec<&str> = region.images.keys().map(String::as_str).collect();
        return refused(
            Reason::ImageNotFound,
            format!("{path}: {family} does not exist; there are {}", known.join(", ")),
        );
    };
    let version = image.requested_version();
    if version == "latest" || versions.iter().any(|known| known == version) {
        return None;
    }
    let known = versions.join(", ");
    refused(Reason::ImageNotFound, format!("{path}.version: {family} has no version {version}; there are {known}"))
}

fn subnet_refusal(region: &RegionFacts, profile: &VirtualMachineProfile) -> Option<Failure> {
    let interfaces = &profile.network_profile.network_interfaces;
    let unknown = interfaces.iter().find(|interface| !region.subnets.contains(&interface.subnet))?;
    let message = format!(
        "spec.virtualMachineProfile.networkProfile.networkInterfaces[{}].subnet: {} does not exist; there are {}",
        unknown.name,
        unknown.subnet,
        region.subnets.join(", ")
    );
    refused(Reason::SubnetNotFound, message)
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn security_group_refusal(region: &RegionFacts, profile: &VirtualMachineProfile) -> Option<Failure> {
    let interfaces = profile.network_profile.network_interfaces.iter();
    let named = interfaces.filter_map(|interface| Some((interface, interface.network_security_group.as_ref()?)));
    let (interface, group) = named.into_iter().find(|(_, group)| !region.network_security_groups.contains(group))?;
    let message = format!(
        "spec.virtualMachineProfile.networkProfile.networkInterfaces[{}].networkSecurityGroup: {group} does not exist; \
         there are {}",
        interface.name,
        listed(&region.network_security_groups)
    );
    refused(Reason::InvalidParameter, message)
}

/// Why the extensions can never all run: some wait for each other (Azure: sequence extension provisioning). `path` is
/// where they stand in the spec.
pub fn extensions_refusal(path: &str, extensions: &[Extension]) -> Option<Failure> {
    let mut waiting: Vec<&Extension> = extensions.iter().collect();
    loop {
        let names: BTreeSet<&str> = waiting.iter().map(|extension| extension.name.as_str()).collect();
        let blocked = |extension: &&Extension| {
            extension.provision_after_extensions.iter().any(|name| names.contains(name.as_str()))
        };
        let still: Vec<&Extension> = waiting.iter().copied().filter(blocked).collect();
        if still.is_empty() {
            return None;
        }
        if still.len() == waiting.len() {
            let names = still.iter().map(|extension| extension.name.as_str()).collect::<Vec<_>>().join(", ");
            let message = format!("{path}: {names} wait for each other in provisionAfterExtensions; break the cycle");
            return refused(Reason::InvalidParameter, message);
        }
        waiting = still;
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is the answer of functions that may have none")]
fn refused(reason: Reason, message: String) -> Option<Failure> {
    Some(Failure { reason, message })
}
