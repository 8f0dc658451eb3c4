//! `AutoscaleSetting`: rules by which a scale set follows its load and the calendar.
//!
//! Source: Azure's "Understand autoscale settings", "Autoscale flapping", "Best practices for autoscale" and "Autoscale with
//! multiple profiles".

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::condition::{AutoscaleCondition, unknown_conditions};
use crate::rules::{self, autoscale as refuse};

pub use rule::{AutoscaleRule, MetricDimension, MetricTrigger, ScaleAction};
pub use status::{
    AutoscaleBlocker, AutoscaleSettingStatus, NextProfile, RuleStatus, SCALE_ACTIONS_MAX, ScaleActionRecord,
    ScaleActionResult,
};
pub use vocabulary::{
    DayOfWeek, DimensionOperator, MetricOperator, MetricStatistic, ScaleActionState, ScaleActionType, ScaleDirection,
    TimeAggregation,
};

mod rule;
mod status;
mod vocabulary;

/// What hosts report of every VM without anybody's doing.
///
/// Source: Azure's "Supported metrics for Microsoft.Compute/virtualMachines", those that autoscale's pages use.
pub const HOST_METRICS: [&str; 7] = [
    "Percentage CPU",
    "Network In Total",
    "Network Out Total",
    "Disk Read Bytes",
    "Disk Write Bytes",
    "Disk Read Operations/Sec",
    "Disk Write Operations/Sec",
];

/// Rules that follow a set's load, and profiles that follow the calendar. They act on the number of VMs that the set makes
/// from its profile, every 30 seconds of scenario time, one setting for each set.
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "compute.scaleset.io",
    version = "v1alpha1",
    kind = "AutoscaleSetting",
    plural = "autoscalesettings",
    singular = "autoscalesetting",
    shortname = "asetting",
    category = "vmss",
    namespaced,
    status = "AutoscaleSettingStatus",
    derive = "PartialEq",
    validation = rules::dns_label_name(63),
    selectable = ".spec.scaleTargetRef.name",
    selectable = ".spec.enabled",
    printcolumn(name = "TARGET", type_ = "string", json_path = ".spec.scaleTargetRef.name"),
    printcolumn(name = "ENABLED", type_ = "boolean", json_path = ".spec.enabled"),
    printcolumn(name = "PROFILE", type_ = "string", json_path = ".status.profile"),
    printcolumn(name = "REPLICAS", type_ = "integer", json_path = ".status.currentReplicas"),
    printcolumn(name = "FROM", type_ = "integer", json_path = ".status.lastScaleAction.from"),
    printcolumn(name = "TO", type_ = "integer", json_path = ".status.lastScaleAction.to"),
    printcolumn(name = "STATUS", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "CAUSE", type_ = "string", json_path = ".status.lastScaleAction.cause", priority = 1),
    printcolumn(name = "COOLDOWN-UNTIL", type_ = "string", json_path = ".status.cooldownUntil", priority = 1),
    printcolumn(name = "NEXT-PROFILE", type_ = "string", json_path = ".status.nextProfile.name", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = refuse::target_stays(),
    validation = refuse::profile_count(),
    validation = refuse::one_default()
)]
pub struct AutoscaleSettingSpec {
    /// The set, in the same namespace; it needs a virtualMachineProfile. Required. Immutable. Of several settings on one set
    /// the oldest acts.
    pub scale_target_ref: ScaleTargetReference,
    /// Whether the setting acts; false by default. A setting that is switched off leaves the count as it is.
    #[serde(default)]
    pub enabled: bool,
    /// Profiles, 1 to 20, by name. The first with a fixedDate that covers now is in force, else the one whose recurrence began
    /// last, else the one that has neither; of several equal ones the first. When the profile changes, a count outside its
    /// capacity is brought to the nearest bound: existing VMs are removed, or new ones made.
    #[schemars(length(max = 40))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub profiles: Vec<AutoscaleProfile>,
}

/// Refers to a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleTargetReference {
    /// Name of the `ScaleSet`. Required.
    #[schemars(length(min = 1, max = 52))]
    pub name: String,
}

/// Bounds and rules, and when they are in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = refuse::one_schedule(), validation = refuse::rule_count())]
pub struct AutoscaleProfile {
    /// Name in the setting, a DNS label of at most 63 characters. Required.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Between how many VMs the set is kept while the profile is in force. Required.
    pub capacity: ScaleCapacity,
    /// Rules, at most 10, by name; none by default: the count stays within the capacity. Any rule that asks for more suffices,
    /// and the largest count wins; less is done only when all rules that ask for less agree, and the smallest reduction wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub rules: Vec<AutoscaleRule>,
    /// Between which two instants the profile is in force; not together with recurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_date: Option<FixedDate>,
    /// When in each week the profile comes into force. It has no end: it lasts until the next recurring profile begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurrence: Option<Recurrence>,
}

/// Between how many VMs a set is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = refuse::range("minimum", 0, 1_000),
    validation = refuse::range("maximum", 0, 1_000),
    validation = refuse::bounds_order(),
    validation = refuse::default_between()
)]
pub struct ScaleCapacity {
    /// Fewest VMs, 0 to 1000. Required. A set with fewer gets new VMs at the next evaluation, whatever the cooldown.
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub minimum: i32,
    /// Most VMs, 0 to 1000, at least minimum. Required. A set with more loses VMs at the next evaluation, whatever the cooldown.
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub maximum: i32,
    /// VMs that there are to be when metrics cannot be read, from minimum to maximum. Required. Fewer are brought to it; more are
    /// left alone.
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub default: i32,
}

/// Between two instants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = refuse::fixed_date_order())]
pub struct FixedDate {
    /// Time zone of both instants by its IANA name, for example `Europe/Warsaw`; `UTC` by default. A profile with one that does
    /// not exist is never in force.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// When it begins, local time as `2026-11-27T08:00:00`. Required. A local time that a change of the clocks leaves out is
    /// taken as much later as the clocks go forward; of one that there is twice the first is meant.
    #[schemars(
        length(min = 19, max = 19),
        regex(
            pattern = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$"
        )
    )]
    pub start: String,
    /// When it ends, local time, after start and at most 365 days after it; at that instant the profile is not in force any
    /// more. Required.
    #[schemars(
        length(min = 19, max = 19),
        regex(
            pattern = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$"
        )
    )]
    pub end: String,
}

/// Instants of each week: every minute of `minutes` in every hour of `hours` on every day of `days`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = refuse::hours_of_the_clock(), validation = refuse::minutes_of_the_clock())]
pub struct Recurrence {
    /// Time zone by its IANA name, for example `Europe/Warsaw`; `UTC` by default. A profile with one that does not exist is never
    /// in force. The clock on the wall counts: 06:00 stays 06:00 when the clocks change.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// Days of the week, 1 to 7, each once. Required.
    #[schemars(length(min = 1, max = 7))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub days: Vec<DayOfWeek>,
    /// Hours of the day, 0 to 23, 1 to 24 of them. Required.
    #[schemars(length(min = 1, max = 24), inner(range(min = -1_000, max = 1_000)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub hours: Vec<i32>,
    /// Minutes of the hour, 0 to 59, 1 to 60 of them. Required.
    #[schemars(length(min = 1, max = 60), inner(range(min = -1_000, max = 1_000)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub minutes: Vec<i32>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// The default of `status` in the schema.
pub(crate) fn default_status() -> serde_json::Value {
    let names = AutoscaleCondition::ALL.iter().map(|name| name.as_str());
    serde_json::json!({"conditions": unknown_conditions(names)})
}
