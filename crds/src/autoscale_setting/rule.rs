//! One rule: which metric is compared with what, and what is done about it.
//!
//! Source: Azure's reference of `Microsoft.Insights/autoscalesettings` (`MetricTrigger`, `ScaleRuleMetricDimension`,
//! `ScaleAction`).

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::vocabulary::{
    DimensionOperator, MetricOperator, MetricStatistic, ScaleActionType, ScaleDirection, TimeAggregation,
};
use crate::rules::autoscale as refuse;

/// Compares a metric with a threshold, and says by how much the count changes when the comparison holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoscaleRule {
    /// Name in the profile, a DNS label of at most 63 characters. Required.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// When the rule fires. Required.
    pub metric_trigger: MetricTrigger,
    /// What it then does to the count. Required.
    pub scale_action: ScaleAction,
}

/// When a rule fires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = refuse::range("timeGrainSeconds", 60, 43_200),
    validation = refuse::range("timeWindowSeconds", 300, 43_200),
    validation = refuse::window_holds_a_grain(),
    validation = refuse::threshold_shape()
)]
pub struct MetricTrigger {
    /// Name of the metric. Required. Metrics that every host reports of its VMs: `Percentage CPU`, `Network In Total`,
    /// `Network Out Total` (bytes a minute), `Disk Read Bytes`, `Disk Write Bytes` (a minute), `Disk Read Operations/Sec`,
    /// `Disk Write Operations/Sec`.
    #[schemars(length(min = 1, max = 127))]
    pub metric_name: String,
    /// Who reports it. Absent: the host, without an agent. `azure.vm.linux.guestmetrics` or `azure.vm.windows.guestmetrics`: an
    /// agent in the guest, which the profile must have as an extension (`AzureMonitorLinuxAgent`, `AzureMonitorWindowsAgent`,
    /// `LinuxDiagnostic` or `IaaSDiagnostics`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 127))]
    pub metric_namespace: Option<String>,
    /// Seconds that one value stands for, 60 (default) to 43200.
    #[serde(default = "minute")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub time_grain_seconds: i32,
    /// How the values of all VMs make the one of a grain: `Average` (default), `Min`, `Max`, `Sum`, or `Count` (how many there
    /// are).
    #[serde(default)]
    pub statistic: MetricStatistic,
    /// Seconds that are looked back over, 300 (default) to 43200, at least timeGrainSeconds.
    #[serde(default = "five_minutes")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub time_window_seconds: i32,
    /// How the grains of the window make the value: `Average` (default), `Minimum`, `Maximum`, `Total`, `Count` (how many there
    /// are), or `Last`.
    #[serde(default)]
    pub time_aggregation: TimeAggregation,
    /// How the value is compared with the threshold. Required.
    pub operator: MetricOperator,
    /// What it is compared with, a decimal number as text with at most 3 digits after the point, -1000000000000 to
    /// 1000000000000, for example `"70"`. Required.
    #[schemars(length(min = 1, max = 20))]
    pub threshold: String,
    /// Whether the value is divided by the number of VMs that the set is to have; false by default. For what is not measured by
    /// VM, as the length of a queue.
    #[serde(default)]
    pub divide_per_instance: bool,
    /// Of which VMs the values are taken, at most 1, by dimensionName; of all by default. The statistic is over the VMs that match;
    /// where none does, the rule has no value, as when the metric cannot be read. dividePerInstance divides by the number of VMs
    /// that the set is to have all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["dimensionName".into()]))]
    pub dimensions: Vec<MetricDimension>,
}

/// Narrows a metric down to some of the VMs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = refuse::dimension_name(), validation = refuse::dimension_values())]
pub struct MetricDimension {
    /// Name of the dimension: `VMName`, the only one that VMs of a set have. Required.
    #[schemars(length(min = 1, max = 127))]
    pub dimension_name: String,
    /// `Equals`: VMs that have one of the values. `NotEquals`: VMs that have none of them. Required.
    pub operator: DimensionOperator,
    /// Names of `ScaleSetVM` or `FlexVM` objects, 1 to 50 of them, each once. Required. A name that no VM has matches none: names
    /// of VMs that a set makes are never used again.
    #[schemars(length(max = 100), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub values: Vec<String>,
}

/// What a rule does to the count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = refuse::range("value", 1, 1_000), validation = refuse::range("cooldownSeconds", 60, 604_800))]
pub struct ScaleAction {
    /// `Increase` or `Decrease`. Required.
    pub direction: ScaleDirection,
    /// `ChangeCount` (default): by so many VMs. `PercentChangeCount`: by so many percent of the count, rounded up when it grows,
    /// down when it shrinks, at least 1. `ExactCount`: to so many VMs.
    #[serde(rename = "type", default)]
    pub action_type: ScaleActionType,
    /// VMs or percent, 1 (default) to 1000.
    #[serde(default = "one")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub value: i32,
    /// Seconds after the action in which no rule acts in either direction, 60 to 604800; 300 by default.
    #[serde(default = "five_minutes")]
    #[schemars(range(min = -10_000_000, max = 10_000_000))]
    pub cooldown_seconds: i32,
}

fn minute() -> i32 {
    60
}

fn five_minutes() -> i32 {
    300
}

fn one() -> i32 {
    1
}
