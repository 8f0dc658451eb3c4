//! From raw objects to the planner's snapshot: total, typed, sorted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use scaleset_crds::condition::{InstanceCondition, Reason, find};
use scaleset_crds::instance::ProtectionPolicy;
use scaleset_crds::rolling_upgrade::RollingUpgradePolicy;
use scaleset_crds::vocabulary::{HealthState, OrchestrationMode, PowerState, ProvisioningState};
use scaleset_crds::{FINALIZER, FlexVM, InstanceStatus, ScaleSet, ScaleSetVM, VirtualMachineProfile, labels};
use scaleset_hardware::catalog::{Region, ZoneState};
use scaleset_planning::membership::{MemberShape, SetShape, refusal};
use scaleset_planning::snapshot::{
    BreachRule, Failure, FinalizerState, GuestAgent, Maintenance, Member, MemberKind, MemberLife, MemberReport,
    Observation, Origin, Protection, RegionFacts, Revision, RollMark, RollingPolicy, ScaleSetSnapshot, SetFacts,
    SetLife, SizeFacts, UnhealthyRule, UpgradeSwitch, ZoneFacts, ZoneRule,
};
use scaleset_planning::view::Health;

use super::observe::Observed;
use crate::error::PassError;

pub(super) fn validate(observed: &Observed) -> Result<ScaleSetSnapshot, PassError> {
    let set = &observed.set;
    let mut revisions = observed.revisions.iter().map(|object| revision(object)).collect::<Result<Vec<_>, _>>()?;
    revisions.sort_by(|one, two| (one.number, &one.name).cmp(&(two.number, &two.name)));
    let region = observed.catalog.regions.get(&set.spec.location);
    Ok(ScaleSetSnapshot {
        now: observed.now,
        wall_now: observed.wall_now,
        set: facts(set),
        members: members(observed),
        revisions,
        region: region.map(region_facts),
        locations: observed.catalog.regions.keys().cloned().collect(),
        highest_hardware_number: observed.highest_hardware_number,
        status: set.status.clone().unwrap_or_default(),
    })
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
        platform_fault_domain_count: spec.platform_fault_domain_count,
        single_placement_group: spec.single_placement_group,
        replicas: spec.replicas,
        upgrade_mode: spec.upgrade_policy.mode,
        rolling_policy: rolling_policy(spec.upgrade_policy.rolling_upgrade_policy.as_ref()),
        upgrades: if spec.upgrade_policy.paused { UpgradeSwitch::Paused } else { UpgradeSwitch::On },
        profile: spec.virtual_machine_profile.clone().map(Arc::new),
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
        health_timeout: seconds(health_timeout_seconds).unwrap_or(default.health_timeout),
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

fn revision(object: &ControllerRevision) -> Result<Revision, PassError> {
    Ok(Revision {
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        resource_version: object.resource_version().unwrap_or_default(),
        number: object.revision,
        profile: Arc::new(profile_of(object)?),
    })
}

/// The set, as far as membership depends on it.
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
    }
}

fn members(observed: &Observed) -> Vec<Member> {
    let set_uid = &observed.id.uid;
    // The owner counts, not the name: an instance that was left behind with cascade=orphan still names its set.
    let owned = observed.members.scale_set_vms.iter().filter(|vm| is_owned_by(&vm.metadata, set_uid));
    let uniform = owned.map(|vm| uniform_member(vm));
    let flexible = observed.members.flex_vms.iter().filter_map(|vm| flexible_member(&observed.set, set_uid, vm));
    let mut members: Vec<Member> = match observed.set.spec.orchestration_mode {
        OrchestrationMode::Uniform => uniform.collect(),
        OrchestrationMode::Flexible => flexible.collect(),
    };
    members.sort_by(|one, two| one.name.cmp(&two.name));
    members
}

fn uniform_member(vm: &ScaleSetVM) -> Member {
    let spec = &vm.spec;
    let placed = Placed {
        zone: spec.zone.clone(),
        fault_domain: spec.platform_fault_domain,
        placement_group: spec.placement_group.clone(),
        update_domain: spec.update_domain,
    };
    Member {
        number: spec.instance_id.parse().ok(),
        assigned_revision: Some(spec.model_revision.clone()),
        protection: protection(spec.protection_policy.as_ref()),
        power_wish: spec.power_state.unwrap_or_default(),
        ..member(MemberKind::ScaleSetVM, Origin::Set, &vm.metadata, vm.status.as_ref(), placed)
    }
}

/// A FlexVM that refers to the set and is not accepted is no member; nor is one that another set made and left behind.
fn flexible_member(set: &ScaleSet, set_uid: &str, vm: &FlexVM) -> Option<Member> {
    let spec = &vm.spec;
    let origin = origin(&vm.metadata, set_uid)?;
    let shape =
        MemberShape { location: &spec.location, zone: spec.zone.as_deref(), fault_domain: spec.platform_fault_domain };
    if origin == Origin::Hand && refusal(Some(&set_shape(set)), set.metadata.name.as_deref()?, &shape).is_some() {
        return None;
    }
    let placed = Placed {
        zone: spec.zone.clone(),
        fault_domain: spec.platform_fault_domain,
        placement_group: None,
        update_domain: None,
    };
    Some(Member {
        number: None,
        assigned_revision: vm.labels().get(labels::MODEL_REVISION).cloned(),
        protection: protection(spec.protection_policy.as_ref()),
        power_wish: spec.power_state.unwrap_or_default(),
        ..member(MemberKind::FlexVM, origin, &vm.metadata, vm.status.as_ref(), placed)
    })
}

/// Who made a member of the set with `set_uid`; `None` for one that a set made and left behind when it was deleted with
/// cascade=orphan: it runs on alone.
pub(crate) fn origin(metadata: &ObjectMeta, set_uid: &str) -> Option<Origin> {
    let made_by_a_set =
        metadata.labels.iter().flatten().any(|(label, value)| label == labels::MADE_BY && value == labels::MADE_BY_SET);
    match (is_owned_by(metadata, set_uid), made_by_a_set) {
        (true, _) => Some(Origin::Set),
        (false, false) => Some(Origin::Hand),
        (false, true) => None,
    }
}

/// Whether the object's controller is the one with `uid`.
pub(crate) fn is_owned_by(metadata: &ObjectMeta, uid: &str) -> bool {
    metadata.owner_references.iter().flatten().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

struct Placed {
    zone: Option<String>,
    fault_domain: Option<i32>,
    placement_group: Option<String>,
    update_domain: Option<i32>,
}

fn member(
    kind: MemberKind,
    origin: Origin,
    metadata: &ObjectMeta,
    status: Option<&InstanceStatus>,
    placed: Placed,
) -> Member {
    let Placed { zone, fault_domain, placement_group, update_domain } = placed;
    Member {
        kind,
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
        origin,
        number: None,
        life: if metadata.deletion_timestamp.is_some() { MemberLife::Terminating } else { MemberLife::Live },
        created: metadata.creation_timestamp.as_ref().map(|time| time.0).unwrap_or_default(),
        zone,
        fault_domain,
        placement_group,
        update_domain,
        assigned_revision: None,
        protection: Protection::None,
        roll: metadata
            .annotations
            .iter()
            .flatten()
            .find_map(|(name, value)| if name == labels::ROLLING_UPGRADE { RollMark::parse(value) } else { None }),
        power_wish: scaleset_crds::vocabulary::PowerWish::Running,
        report: report(metadata, status),
    }
}

fn protection(policy: Option<&ProtectionPolicy>) -> Protection {
    let Some(ProtectionPolicy { protect_from_scale_in, protect_from_scale_set_actions }) = policy else {
        return Protection::None;
    };
    match (protect_from_scale_set_actions, protect_from_scale_in) {
        (Some(true), _) => Protection::FromSetActions,
        (_, Some(true)) => Protection::FromScaleIn,
        (_, Some(false) | None) => Protection::None,
    }
}

/// What is known of the application of a VM; that its source says nothing is told by the condition alone.
fn health(status: Option<&InstanceStatus>) -> Health {
    let Some(status) = status else { return Health::NoSource };
    let said = status.instance_view.as_ref().and_then(|view| view.vm_health.as_ref());
    let condition = find(&status.conditions, InstanceCondition::ApplicationHealthy.as_str());
    let missing = condition.is_some_and(|condition| condition.reason == Reason::HealthMissing.as_str());
    match said.and_then(|health| HealthState::from_code(&health.status.code)) {
        Some(state) => Health::Known(state),
        None if missing => Health::Missing,
        None => Health::NoSource,
    }
}

fn report(metadata: &ObjectMeta, status: Option<&InstanceStatus>) -> MemberReport {
    let observed = status.and_then(|status| status.observed_generation);
    let provisioning = status.and_then(|status| status.provisioning_state).unwrap_or(ProvisioningState::Unknown);
    let view = status.and_then(|status| status.instance_view.as_ref());
    let extensions: BTreeMap<String, String> = view
        .map(|view| view.extensions.iter().map(|state| (state.name.clone(), state.code.clone())).collect())
        .unwrap_or_default();
    let seen = status.is_none_or(|status| {
        find(&status.conditions, InstanceCondition::Provisioned.as_str())
            .is_none_or(|provisioned| provisioned.status != "Unknown")
    });
    MemberReport {
        observation: match (observed.is_some() && observed == metadata.generation, seen) {
            (true, true) => Observation::Current,
            (true, false) => Observation::Unseen,
            (false, _) => Observation::Behind,
        },
        provisioning,
        power: status.and_then(|status| status.power_state).unwrap_or(PowerState::Unknown),
        agent: match view.and_then(|view| view.vm_agent.as_ref()) {
            Some(_) => GuestAgent::Reports,
            None => GuestAgent::Silent,
        },
        running_revision: status.and_then(|status| status.model_revision.clone()),
        healthy_on_revision: status.and_then(|status| status.healthy_on_revision.clone()),
        nothing_pending: status.is_some_and(|status| status.pending_changes.is_empty()),
        failure: if provisioning == ProvisioningState::Failed { status.and_then(failure) } else { None },
        extensions,
        health: health(status),
    }
}

fn failure(status: &InstanceStatus) -> Option<Failure> {
    let provisioned = find(&status.conditions, InstanceCondition::Provisioned.as_str())?;
    Some(Failure { reason: Reason::from_code(&provisioned.reason), message: provisioned.message.clone() })
}

fn region_facts(region: &Region) -> RegionFacts {
    let Region { zones, fault_domain_count, sizes, images, subnets } = region;
    let zone = |state: &ZoneState| match state {
        ZoneState::Available => ZoneFacts::Available,
        ZoneState::Unavailable => ZoneFacts::Unavailable,
    };
    let maintenance = |memory_preserving: bool| {
        if memory_preserving { Maintenance::MemoryPreserving } else { Maintenance::NotMemoryPreserving }
    };
    RegionFacts {
        zones: zones.iter().map(|(name, state)| (name.clone(), zone(state))).collect(),
        fault_domain_count: *fault_domain_count,
        sizes: sizes
            .iter()
            .map(|(name, size)| {
                let facts = SizeFacts { zones: size.zones.clone(), maintenance: maintenance(size.memory_preserving) };
                (name.clone(), facts)
            })
            .collect(),
        images: images.clone(),
        subnets: subnets.clone(),
    }
}
