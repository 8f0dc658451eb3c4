//! `ScaleSet`: the set itself, with capacity, policies and the profile of its VMs.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::condition::{ScaleSetCondition, unknown_conditions};
use crate::instance::InstanceViewStatus;
use crate::load_balancing::PoolSummary;
use crate::os_upgrade::{AutomaticOsUpgradePolicy, FailedImageVersion, OsUpgradeHistoryEntry};
use crate::profile::VirtualMachineProfile;
use crate::repairs::{AutomaticRepairsPolicy, OrchestrationService, OrchestrationServiceSummary};
use crate::rolling_upgrade::{FailedRevision, RollingUpgradePolicy, RollingUpgradeStatus};
use crate::rules::{
    self, health, os_upgrade, overprovision, repairs, reservation, rolling_upgrade, scale_set as refuse, spot,
};
use crate::scheduled_event::{ScheduledEventsPolicy, ScheduledEventsSummary};
use crate::spot::{EvictedMember, PriorityMixPolicy, SpotRestorePolicy};
use crate::vocabulary::{MaxDisruption, OrchestrationMode, ScaleInRule, UpgradeMode};

/// A set of VMs made from one profile (Uniform), or grouping ordinary VMs (Flexible), after Azure's Virtual Machine
/// Scale Sets.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "compute.scaleset.io",
    version = "v1alpha1",
    kind = "ScaleSet",
    plural = "scalesets",
    singular = "scaleset",
    shortname = "sset",
    category = "vmss",
    namespaced,
    status = "ScaleSetStatus",
    derive = "PartialEq",
    validation = rules::dns_label_name(52),
    validation = refuse::max_spreading_needs_many_groups(),
    validation = refuse::zones_suit_pinned_fault_domains(),
    validation = refuse::single_placement_group_limit(),
    validation = refuse::zonal_placement_group_limit(),
    validation = reservation::many_placement_groups(),
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "MODE", type_ = "string", json_path = ".spec.orchestrationMode"),
    printcolumn(name = "DESIRED", type_ = "integer", json_path = ".status.capacity"),
    printcolumn(name = "READY", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "UP-TO-DATE", type_ = "integer", json_path = ".status.updatedReplicas"),
    printcolumn(name = "AVAILABLE", type_ = "integer", json_path = ".status.availableReplicas"),
    printcolumn(name = "POLICY", type_ = "string", json_path = ".spec.upgradePolicy.mode"),
    printcolumn(name = "STATUS", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "ZONES", type_ = "string", json_path = ".status.zonesSummary", priority = 1),
    printcolumn(name = "REVISION", type_ = "string", json_path = ".status.modelRevision", priority = 1),
    printcolumn(
        name = "RESERVATION",
        type_ = "string",
        json_path = ".spec.virtualMachineProfile.capacityReservationGroupRef.name",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::immutable("orchestrationMode"),
    validation = rules::immutable("location"),
    validation = rules::immutable_optional("platformFaultDomainCount"),
    validation = refuse::zones_add_only(),
    validation = refuse::single_placement_group_one_way(),
    validation = refuse::profile_stays(),
    validation = refuse::profile_required(),
    validation = refuse::replicas_need_profile(),
    validation = refuse::zone_balance_needs_zones(),
    validation = refuse::zone_balance_stays(),
    validation = refuse::replicas_range(),
    validation = refuse::uniform_regional_fault_domains(),
    validation = refuse::uniform_zonal_fault_domains(),
    validation = refuse::flexible_regional_fault_domains(),
    validation = refuse::flexible_zonal_fault_domains(),
    validation = refuse::flexible_placement_group_limit(),
    validation = health::probe_of_uniform(),
    validation = overprovision::of_uniform(),
    validation = overprovision::extensions_of_uniform(),
    validation = reservation::few_fault_domains(),
    validation = spot::restore_of_spot(),
    validation = spot::mix_of_flexible(),
    validation = spot::mix_of_spot(),
    validation = spot::mix_needs_many_groups(),
    validation = rolling_upgrade::rolling_needs_health(),
    validation = os_upgrade::needs_health(),
    validation = os_upgrade::needs_latest(),
    validation = os_upgrade::no_surge_in_flexible(),
    validation = repairs::needs_health()
)]
pub struct ScaleSetSpec {
    /// Uniform: instances are children made from the profile. Flexible: instances are `FlexVM`s, made from the profile or
    /// by hand. Required. Immutable.
    pub orchestration_mode: OrchestrationMode,
    /// Region. Required. Immutable.
    #[schemars(length(min = 1, max = 63))]
    pub location: String,
    /// Zones to spread over, at most 3, for example `["1", "2", "3"]`; none by default: a regional set. Zones can be
    /// added, also to a regional set whose fault-domain count is 1 or 5, but never removed; existing VMs stay where
    /// they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 3), inner(length(min = 1, max = 8)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub zones: Option<Vec<String>>,
    /// Whether zones may never differ by more than one VM: a scale-out or scale-in whose result would is then not done.
    /// False (default): best effort. May be true only with more than one zone. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_balance: Option<bool>,
    /// Fault domains per placement group (per zone in a zonal set). Uniform regional: 1 to 5, default 5; Uniform with
    /// zones: 1 (default) or 5; Flexible regional: 1 (default) to 3; Flexible with zones: 1. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1000, max = 1000))]
    pub platform_fault_domain_count: Option<i32>,
    /// Whether all VMs stay in one placement group of at most 100 (with zones: one in each; Flexible: at most 200).
    /// Absent means at creation: true for a Uniform set without zones and with more than one fault domain, false for
    /// any other Uniform set, and for a Flexible set what its first VM needs. Absent later keeps what is in force, see
    /// `status.singlePlacementGroup`. Can go from true to false, but neither false nor absent can go to true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single_placement_group: Option<bool>,
    /// Number of VMs that the set makes from its profile, 0 to 1000 (100 in a single placement group). Absent keeps the
    /// count that is in force, 0 at creation. Autoscalers write it through the `scale` subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub replicas: Option<i32>,
    /// Whether a set that grows makes more VMs than it is asked for, at least 2 and a fifth of them, keeps the first that
    /// come up in each zone and deletes the rest. Extras count nowhere and need no quota; ids have gaps afterwards. Uniform
    /// only; absent means true. A change costs existing VMs nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overprovision: Option<bool>,
    /// Whether extensions run only on the VMs that are kept: those of a growing set then wait until that is settled. Uniform
    /// only; absent means false. A change costs existing VMs nothing; it holds from the next growth on.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "doNotRunExtensionsOnOverprovisionedVMs")]
    pub do_not_run_extensions_on_overprovisioned_vms: Option<bool>,
    /// How existing VMs catch up with a changed profile. New VMs always take the newest one. A change of the policy
    /// itself costs existing VMs nothing.
    #[serde(default)]
    pub upgrade_policy: UpgradePolicy,
    /// Which VMs go first when the set shrinks. A change costs existing VMs nothing.
    #[serde(default)]
    pub scale_in_policy: ScaleInPolicy,
    /// Whether and how unhealthy VMs are repaired. A change costs existing VMs nothing by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic_repairs_policy: Option<AutomaticRepairsPolicy>,
    /// How many VMs of a Spot profile are of regular priority. Flexible only, and not in a single placement group. A change
    /// makes and removes no VM: the next that are made or removed lead towards it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_mix_policy: Option<PriorityMixPolicy>,
    /// Whether Spot VMs that were evicted for capacity, and stay, are started again. A change costs existing VMs nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot_restore_policy: Option<SpotRestorePolicy>,
    /// Whether restarts and redeployments that an operation asks for wait until the VM's event is approved; they wait for
    /// nobody by default. It holds for every member that has no policy of its own. A change costs existing VMs nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_events_policy: Option<ScheduledEventsPolicy>,
    /// What each VM that the set makes should be. Required for Uniform; a Flexible set without it only groups VMs made
    /// by hand. It can be changed, but not removed; what each change costs is said at its fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_machine_profile: Option<VirtualMachineProfile>,
}

/// How existing VMs catch up with a changed profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rolling_upgrade::batch_range(),
    validation = rolling_upgrade::unhealthy_range(),
    validation = rolling_upgrade::unhealthy_upgraded_range(),
    validation = rolling_upgrade::pause_range(),
    validation = rolling_upgrade::surge_range(),
    validation = rolling_upgrade::health_timeout_range(),
    validation = rolling_upgrade::batch_not_above_unhealthy()
)]
pub struct UpgradePolicy {
    /// Manual (default): existing VMs stay as they are until they are reimaged or replaced; new VMs take the new
    /// profile. Automatic: every outdated VM is brought up to date by the cheapest action that the difference allows
    /// (in place, restart, reimage, new VM), within the allowance. Rolling: in batches, each of which must be healthy
    /// before the next; it needs a health source in the profile. The allowance is
    /// rollingUpgradePolicy.maxBatchInstancePercent of the set in every mode, at least one VM.
    #[serde(default)]
    pub mode: UpgradeMode,
    /// Holds every upgrade that has not started, default false. Scaling and the mending of broken VMs go on.
    #[serde(default)]
    pub paused: bool,
    /// The most that a changed profile may cost existing VMs: None, Online, Restart, Reimage or Replace (default: no
    /// limit). A change that needs more is started on none of them, in any mode, until the profile or this ceiling is
    /// changed; `UpToDate` then says `UpdateRefused`. New VMs take the newest profile all the same. What waits for the next
    /// reimage costs nothing.
    #[serde(default)]
    pub max_disruption: MaxDisruption,
    /// How a rolling upgrade goes. Its maxBatchInstancePercent also bounds the mode Automatic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_upgrade_policy: Option<RollingUpgradePolicy>,
    /// Whether and how VMs follow newer versions of their image.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "automaticOSUpgradePolicy")]
    pub automatic_os_upgrade_policy: Option<AutomaticOsUpgradePolicy>,
}

/// Which VMs go first when the set shrinks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleInPolicy {
    /// The rule, one entry, inside the fullest zones. Default: from the fullest fault domains the highest instance id
    /// (Uniform) or the newest VM (Flexible). `NewestVM`, `OldestVM`: by age alone.
    #[serde(default = "default_scale_in_rules")]
    #[schemars(length(min = 1, max = 1))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub rules: Vec<ScaleInRule>,
    /// Unhealthy and stopped VMs go before the others of the fullest zones, whatever the rule says. Default false.
    #[serde(default, rename = "prioritizeUnhealthyVMs")]
    pub prioritize_unhealthy_vms: bool,
    /// VMs that leave in scale-in are deleted without asking their guests to shut down: their power is cut, and their place
    /// is free at once. Other deletions ask. Default false.
    #[serde(default)]
    pub force_deletion: bool,
}

impl Default for ScaleInPolicy {
    fn default() -> Self {
        Self { rules: default_scale_in_rules(), prioritize_unhealthy_vms: false, force_deletion: false }
    }
}

fn default_scale_in_rules() -> Vec<ScaleInRule> {
    vec![ScaleInRule::Default]
}

/// What the set is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleSetStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Selector of the members, for the `scale` subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub selector: Option<String>,
    /// Number of VMs made from the profile that is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_replicas: Option<i32>,
    /// The target that the set had made all its members for when it was looked at last, where it overprovisions: what it
    /// misses above is new, what it misses below was lost and is made one for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached_replicas: Option<i32>,
    /// The target in force and the members made by hand (Azure's `sku.capacity`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<i32>,
    /// Members that hold a place: those that are not being deleted, without VMs of a surge and of a repair while the ones that
    /// they are to replace are there, and without extras of a scale-out. Autoscalers count with it, through `scale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Of `replicas`, those that are as they should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Of `replicas`, those that are provisioned and running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<i32>,
    /// Of `replicas`, those that run the newest model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_replicas: Option<i32>,
    /// Name of the newest `ControllerRevision`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub model_revision: Option<String>,
    /// Revisions that matter beside the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revisions: Option<RevisionsStatus>,
    /// The latest rolling upgrade; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_upgrade: Option<RollingUpgradeStatus>,
    /// The last attempts to bring VMs to newer versions of their image within two months, the newest first; at most 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["number".into()]))]
    pub os_upgrade_history: Vec<OsUpgradeHistoryEntry>,
    /// What works on the set by itself, and whether it may; a policy that is there has an entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["serviceName".into()]))]
    pub orchestration_services: Vec<OrchestrationService>,
    /// Number that the next member gets; written before the members that use it are created, and never lowered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_instance_id: Option<i64>,
    /// The fault-domain count in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_fault_domain_count: Option<i32>,
    /// Whether the set has a single placement group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single_placement_group: Option<bool>,
    /// Members that were evicted with policy Delete and count no more; at most 2000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2000))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["uid".into()]))]
    pub evictions: Vec<EvictedMember>,
    /// Events that members have been told of; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_events: Option<ScheduledEventsSummary>,
    /// Run-time summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_view: Option<ScaleSetInstanceView>,
    /// Of `replicas`, how many are in each zone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["zone".into()]))]
    pub zones: Vec<ZoneCount>,
    /// The same in one line, for the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub zones_summary: Option<String>,
    /// Members by backend pool, the first 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub load_balancer_pools: Vec<PoolSummary>,
    /// What is held back, and by which numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["code".into()]))]
    pub blockers: Vec<Blocker>,
    /// What scale-in would do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_in: Option<ScaleInPreview>,
    /// Conditions; all are written on the first pass.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Revisions that matter beside the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionsStatus {
    /// The revision that new members take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub current: Option<String>,
    /// The last revision on which every member was well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub last_healthy: Option<String>,
    /// Revisions that a rolling upgrade was rolled back from: not started again; the last 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub failed: Vec<FailedRevision>,
    /// Versions of the newest revision's image that an upgrade has proved bad: not started again; the last 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["version".into()]))]
    pub failed_image_versions: Vec<FailedImageVersion>,
}

/// Run-time summary of a set, as Azure's instance view has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleSetInstanceView {
    /// How many members have each code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["code".into()]))]
    pub statuses_summary: Vec<StatusCount>,
    /// How many members have each code, by extension.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub extensions: Vec<ExtensionSummary>,
    /// What works on the set by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["serviceName".into()]))]
    pub orchestration_services: Vec<OrchestrationServiceSummary>,
    /// The set's own provisioning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub statuses: Vec<InstanceViewStatus>,
}

/// How many members have a code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusCount {
    /// `Category/value`.
    #[schemars(length(max = 128))]
    pub code: String,
    /// Number of members.
    pub count: i32,
}

/// How the members stand with one extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExtensionSummary {
    /// Name of the extension.
    #[schemars(length(max = 64))]
    pub name: String,
    /// How many members have each code.
    #[serde(default)]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["code".into()]))]
    pub statuses_summary: Vec<StatusCount>,
}

/// Members that hold a place in one zone; regional members are counted under an empty name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ZoneCount {
    /// The zone.
    #[schemars(length(max = 8))]
    pub zone: String,
    /// Members in it.
    pub replicas: i32,
}

/// Something that is held back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Blocker {
    /// Why, as a code.
    #[schemars(length(max = 64))]
    pub code: String,
    /// How many members are held back by it.
    pub count: i32,
    /// Since when.
    pub since: Time,
    /// In words, with the numbers compared.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// What scale-in would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleInPreview {
    /// The next victims, in order; at most 5.
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub next: Vec<ScaleInCandidate>,
}

/// One member that scale-in would take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleInCandidate {
    /// Name of the member.
    #[schemars(length(max = 63))]
    pub name: String,
    /// What chose it.
    #[schemars(length(max = 256))]
    pub rank: String,
}

/// The default of `status` in the schema.
pub(crate) fn default_status() -> serde_json::Value {
    serde_json::json!({"conditions": unknown_conditions(ScaleSetCondition::ALL.iter().map(|name| name.as_str()))})
}
