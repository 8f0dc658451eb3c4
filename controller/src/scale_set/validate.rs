//! From raw objects to the planner's snapshot: total, typed, sorted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

mod member;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use scaleset_crds::os_upgrade::AutomaticOsUpgradePolicy;
use scaleset_crds::repairs::AutomaticRepairsPolicy;
use scaleset_crds::rolling_upgrade::RollingUpgradePolicy;
use scaleset_crds::scale_set::UpgradePolicy;
use scaleset_crds::spot::PriorityMixPolicy;
use scaleset_crds::vocabulary::OrchestrationMode;
use scaleset_crds::{FINALIZER, ScaleSet, ScaleSetSpec, VirtualMachineProfile, labels};
use scaleset_hardware::catalog::{Region, ZoneState};
use scaleset_hardware::headroom::Room;
use scaleset_planning::limits::image_members_max;
use scaleset_planning::membership::SetShape;
use scaleset_planning::priority_mix::{PriorityMix, Split};
use scaleset_planning::reservation::ReservedGroup;
use scaleset_planning::snapshot::{
    BreachRule, Confirmation, FinalizerState, Headroom, Maintenance, MaxSurge, MemberLife, NewImages, OsUpgradePolicy,
    Overprovision, Quota, RegionFacts, RepairPolicy, RepairSwitch, Revision, RollbackRule, RollingPolicy,
    ScaleSetSnapshot, SetFacts, SetLife, ShutdownRule, SizeFacts, SpotOffer, UnhealthyRule, UpgradeSwitch, ZoneBalance,
    ZoneFacts, ZoneRule,
};

use super::observe::{Observed, Offer};
use crate::error::{PassError, told};
use crate::operation::set_operation;
use crate::reservation_group::reserved_group;

pub(crate) use member::{
    failure_of, fault_domain_on, is_owned_by, member_count, member_shape, origin, protection, repair_of, shutdown_of,
};

pub(super) fn validate(observed: &Observed) -> ScaleSetSnapshot {
    let set = &observed.set;
    let (mut revisions, mut unreadable_revisions) = (Vec::new(), Vec::new());
    for object in &observed.revisions {
        match revision(object) {
            Ok(revision) => revisions.push(revision),
            Err(error) => unreadable_revisions.push((object.name_any(), error.to_string())),
        }
    }
    revisions.sort_by(|one, two| (one.number, &one.name).cmp(&(two.number, &two.name)));
    unreadable_revisions.sort();
    let offer: Option<&Offer> = observed.offer.as_ref().ok();
    ScaleSetSnapshot {
        operations: observed.operations.iter().filter_map(|operation| set_operation(set, operation)).collect(),
        now: observed.now,
        wall_now: observed.wall_now,
        set: facts(set),
        members: member::members(observed, &revisions),
        leaving: match set.spec.orchestration_mode {
            OrchestrationMode::Uniform => Vec::new(),
            OrchestrationMode::Flexible => member::leaving(observed),
        },
        revisions,
        unreadable_revisions,
        region: offer.and_then(|offer| offer.catalog.regions.get(&set.spec.location)).map(region_facts),
        headroom: offer.and_then(|offer| offer.headroom.as_ref()).map(|left| headroom(left, set)),
        regular_headroom: offer.and_then(|offer| offer.regular_headroom.as_ref()).map(|left| headroom(left, set)),
        reservation_groups: reservation_groups(observed),
        scale_in_guard: observed.scale_in_guard.clone(),
        locations: offer.into_iter().flat_map(|offer| offer.catalog.regions.keys().cloned()).collect(),
        highest_hardware_number: offer.and_then(|offer| offer.highest_number),
        hardware_silence: observed.offer.as_ref().err().map(told),
        status: set.status.clone().unwrap_or_default(),
    }
}

/// Those that the set may use.
fn reservation_groups(observed: &Observed) -> BTreeMap<(String, String), ReservedGroup> {
    let own = &observed.id.key.namespace;
    let known = observed.reservation_groups.iter().filter_map(|group| {
        let key = (group.namespace().unwrap_or_default(), group.name_any());
        Some((key, reserved_group(group, own)?))
    });
    known.collect()
}

fn facts(set: &ScaleSet) -> SetFacts {
    let spec = &set.spec;
    let mut zones = spec.zones.clone().unwrap_or_default();
    zones.sort();
    SetFacts {
        namespace: set.namespace().unwrap_or_default(),
        name: set.name_any(),
        uid: set.uid().unwrap_or_default(),
        generation: set.metadata.generation.unwrap_or_default(),
        life: life(&set.metadata),
        finalizer: finalizer(&set.metadata),
        mode: spec.orchestration_mode,
        location: spec.location.clone(),
        zones,
        zone_balance: if spec.zone_balance == Some(true) { ZoneBalance::Strict } else { ZoneBalance::BestEffort },
        platform_fault_domain_count: spec.platform_fault_domain_count,
        single_placement_group: spec.single_placement_group,
        replicas: spec.replicas,
        overprovision: overprovision(spec),
        upgrade_mode: spec.upgrade_policy.mode,
        rolling_policy: rolling_policy(spec.upgrade_policy.rolling_upgrade_policy.as_ref()),
        scale_in_rule: spec.scale_in_policy.rules.first().copied().unwrap_or_default(),
        scale_in_shutdown: if spec.scale_in_policy.force_deletion {
            ShutdownRule::Skip
        } else {
            ShutdownRule::Graceful
        },
        scale_in_unhealthy: if spec.scale_in_policy.prioritize_unhealthy_vms {
            UnhealthyRule::First
        } else {
            UnhealthyRule::InOrder
        },
        max_disruption: spec.upgrade_policy.max_disruption,
        upgrades: if spec.upgrade_policy.paused { UpgradeSwitch::Paused } else { UpgradeSwitch::On },
        os_upgrades: os_upgrades(&spec.upgrade_policy),
        repairs: repairs(spec.automatic_repairs_policy.as_ref()),
        mix: spec.priority_mix_policy.as_ref().map(priority_mix),
        profile: spec.virtual_machine_profile.clone().map(Arc::new),
    }
}

/// Azure's defaults stand where the spec is silent. A Flexible set makes what it is asked for.
fn overprovision(spec: &ScaleSetSpec) -> Overprovision {
    let extensions_wait = spec.do_not_run_extensions_on_overprovisioned_vms == Some(true);
    match (spec.orchestration_mode, spec.overprovision) {
        (OrchestrationMode::Flexible, _) | (OrchestrationMode::Uniform, Some(false)) => Overprovision::Off,
        (OrchestrationMode::Uniform, Some(true) | None) if extensions_wait => Overprovision::ExtensionsOnKept,
        (OrchestrationMode::Uniform, Some(true) | None) => Overprovision::On,
    }
}

/// Azure's defaults stand where the spec is silent.
fn repairs(policy: Option<&AutomaticRepairsPolicy>) -> RepairPolicy {
    let default = RepairPolicy::default();
    let Some(policy) = policy else { return default };
    let AutomaticRepairsPolicy { enabled, grace_period_seconds, repair_action, max_consecutive_failed_repairs } =
        policy;
    let seconds = grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let failures = max_consecutive_failed_repairs.and_then(|failures| u32::try_from(failures).ok());
    RepairPolicy {
        switch: if *enabled { RepairSwitch::On } else { RepairSwitch::Off },
        grace: seconds.map_or(default.grace, Duration::from_secs),
        action: repair_action.unwrap_or_default(),
        failures_max: failures.unwrap_or(default.failures_max),
    }
}

fn priority_mix(policy: &PriorityMixPolicy) -> PriorityMix {
    let PriorityMixPolicy { base_regular_priority_count, regular_priority_percentage_above_base } = policy;
    let count = |wished: &Option<i32>| wished.and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    PriorityMix {
        base: count(base_regular_priority_count),
        regular_percent_above_base: count(regular_priority_percentage_above_base),
    }
}

/// Batches follow Azure's defaults, unless the set's own policy is to be used. OS disks are replaced in place.
fn os_upgrades(policy: &UpgradePolicy) -> OsUpgradePolicy {
    let AutomaticOsUpgradePolicy {
        enable_automatic_os_upgrade,
        disable_automatic_rollback,
        use_rolling_upgrade_policy,
    } = policy.automatic_os_upgrade_policy.clone().unwrap_or_default();
    let own = policy.rolling_upgrade_policy.as_ref().filter(|_| use_rolling_upgrade_policy == Some(true));
    OsUpgradePolicy {
        new_images: if enable_automatic_os_upgrade == Some(true) { NewImages::Roll } else { NewImages::Wait },
        on_failure: if disable_automatic_rollback == Some(true) { RollbackRule::Keep } else { RollbackRule::Restore },
        rolling: RollingPolicy { max_surge: MaxSurge::Count(0), ..rolling_policy(own) },
    }
}

/// Azure's defaults stand where the spec is silent.
fn rolling_policy(policy: Option<&RollingUpgradePolicy>) -> RollingPolicy {
    let default = RollingPolicy::default();
    let Some(policy) = policy else { return default };
    let RollingUpgradePolicy {
        max_batch_instance_percent,
        max_unhealthy_instance_percent,
        max_unhealthy_upgraded_instance_percent,
        pause_time_between_batches_seconds,
        enable_cross_zone_upgrade,
        prioritize_unhealthy_instances,
        rollback_failed_instances_on_policy_breach,
        max_surge,
        health_timeout_seconds,
    } = policy;
    let seconds =
        |wished: &Option<i32>| wished.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    RollingPolicy {
        max_batch_percent: max_batch_instance_percent.unwrap_or(default.max_batch_percent),
        max_unhealthy_percent: max_unhealthy_instance_percent.unwrap_or(default.max_unhealthy_percent),
        max_unhealthy_upgraded_percent: max_unhealthy_upgraded_instance_percent
            .unwrap_or(default.max_unhealthy_upgraded_percent),
        pause: seconds(pause_time_between_batches_seconds).unwrap_or(default.pause),
        zones: if *enable_cross_zone_upgrade == Some(true) { ZoneRule::Mixed } else { ZoneRule::OneByOne },
        unhealthy: match prioritize_unhealthy_instances {
            Some(true) => UnhealthyRule::First,
            Some(false) | None => UnhealthyRule::InOrder,
        },
        on_breach: match rollback_failed_instances_on_policy_breach {
            Some(true) => BreachRule::RollBack,
            Some(false) | None => BreachRule::Stop,
        },
        max_surge: max_surge.as_ref().and_then(surge).unwrap_or(default.max_surge),
        health_timeout: seconds(health_timeout_seconds).unwrap_or(default.health_timeout),
    }
}

/// What the schema lets through; `None` for anything else.
fn surge(wished: &IntOrString) -> Option<MaxSurge> {
    match wished {
        IntOrString::Int(count) => usize::try_from(*count).ok().map(MaxSurge::Count),
        IntOrString::String(percent) => percent.strip_suffix('%')?.parse().ok().map(MaxSurge::Percent),
    }
}

fn headroom(headroom: &scaleset_hardware::Headroom, set: &ScaleSet) -> Headroom {
    let scaleset_hardware::Headroom { vcpus, quotas, places, free_addresses, spot_price } = headroom;
    let terms = set.spec.virtual_machine_profile.as_ref().and_then(|profile| profile.spot.terms());
    let priced = spot_price.zip(terms.map(|terms| terms.max_price));
    let quota = |quota: &scaleset_hardware::headroom::Quota| {
        let scaleset_hardware::headroom::Quota { name, limit, usage } = quota;
        Quota { name: name.clone(), limit: *limit, usage: *usage }
    };
    let place = |room: &Room| {
        let Room { zone, fault_domain, machines } = room;
        ((zone.clone(), *fault_domain), *machines)
    };
    Headroom {
        vcpus: *vcpus,
        quotas: quotas.iter().map(quota).collect(),
        places: places.iter().map(place).collect(),
        free_addresses: free_addresses.iter().cloned().collect(),
        above_max_price: priced.filter(|(price, most)| !most.allows(*price)),
    }
}

/// What a person has confirmed; what is no number confirms nothing.
pub fn confirmation(metadata: &ObjectMeta) -> Confirmation {
    match metadata.annotations.as_ref().and_then(|annotations| annotations.get(labels::CONFIRM_SCALE_IN)) {
        Some(word) if word == "Any" => Confirmation::Any,
        Some(number) => number.parse().map_or(Confirmation::None, Confirmation::Target),
        None => Confirmation::None,
    }
}

fn life(metadata: &ObjectMeta) -> SetLife {
    let orphan = metadata.finalizers.iter().flatten().any(|finalizer| finalizer == "orphan");
    match (metadata.deletion_timestamp.is_some(), orphan) {
        (false, _) => SetLife::Live,
        (true, true) => SetLife::Orphaning,
        (true, false) => SetLife::Terminating,
    }
}

/// Whether our finalizer is on an object.
pub(crate) fn finalizer(metadata: &ObjectMeta) -> FinalizerState {
    if metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER) {
        FinalizerState::Held
    } else {
        FinalizerState::Absent
    }
}

/// The profile that a revision keeps.
pub(crate) fn profile_of(object: &ControllerRevision) -> Result<VirtualMachineProfile, PassError> {
    let malformed = |message: String| PassError::Malformed {
        object: format!("ControllerRevision {}/{}", object.namespace().unwrap_or_default(), object.name_any()),
        message,
    };
    let data = object.data.as_ref().ok_or_else(|| malformed("data is missing".to_owned()))?;
    serde_json::from_value(data.0.clone()).map_err(|error| malformed(format!("data is no profile: {error}")))
}

/// A revision with its profile. An object that keeps none is an error that names it.
pub fn revision(object: &ControllerRevision) -> Result<Revision, PassError> {
    Ok(Revision {
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        resource_version: object.resource_version().unwrap_or_default(),
        number: object.revision,
        created: object.metadata.creation_timestamp.as_ref().map(|time| time.0).unwrap_or_default(),
        profile: Arc::new(profile_of(object)?),
    })
}

/// The set, as far as membership depends on it, without its members: whoever judges a VM that would join counts them
/// ([`member_count`]), since the counts of a status leave some out.
pub(crate) fn set_shape(set: &ScaleSet) -> SetShape<'_> {
    let status = set.status.as_ref();
    SetShape {
        name: set.metadata.name.as_deref().unwrap_or_default(),
        mode: set.spec.orchestration_mode,
        location: &set.spec.location,
        zones: set.spec.zones.as_deref().unwrap_or_default(),
        fault_domain_count: status
            .and_then(|status| status.platform_fault_domain_count)
            .or(set.spec.platform_fault_domain_count)
            .unwrap_or(1),
        single_placement_group: status
            .and_then(|status| status.single_placement_group)
            .or(set.spec.single_placement_group),
        wished_single_placement_group: set.spec.single_placement_group,
        members: 0,
        image_members_max: image_members_max(set.spec.virtual_machine_profile.as_ref()),
        priorities: Split::default(),
        wished: to_be_made(set),
        life: if set.metadata.deletion_timestamp.is_some() { MemberLife::Terminating } else { MemberLife::Live },
    }
}

/// VMs that a set is to make from its profile.
fn to_be_made(set: &ScaleSet) -> usize {
    let target = set.status.as_ref().and_then(|status| status.target_replicas);
    let wished = set.spec.replicas.or(target).filter(|_| set.spec.virtual_machine_profile.is_some());
    wished.and_then(|count| count.try_into().ok()).unwrap_or(0)
}

/// What the region says of a size.
pub(crate) const fn maintenance_of(memory_preserving: bool) -> Maintenance {
    if memory_preserving { Maintenance::MemoryPreserving } else { Maintenance::NotMemoryPreserving }
}

fn region_facts(region: &Region) -> RegionFacts {
    let Region { zones, fault_domain_count, sizes, images, subnets, network_security_groups, load_balancers } = region;
    let zone = |state: &ZoneState| match state {
        ZoneState::Available => ZoneFacts::Available,
        ZoneState::Unavailable => ZoneFacts::Unavailable,
    };
    RegionFacts {
        zones: zones.iter().map(|(name, state)| (name.clone(), zone(state))).collect(),
        fault_domain_count: *fault_domain_count,
        sizes: sizes
            .iter()
            .map(|(name, size)| {
                let facts = SizeFacts {
                    zones: size.zones.clone(),
                    maintenance: maintenance_of(size.memory_preserving),
                    spot: if size.spot_price.is_some() { SpotOffer::Offered } else { SpotOffer::NotOffered },
                };
                (name.clone(), facts)
            })
            .collect(),
        images: images.clone(),
        subnets: subnets.clone(),
        network_security_groups: network_security_groups.clone(),
        load_balancers: load_balancers.clone(),
    }
}
