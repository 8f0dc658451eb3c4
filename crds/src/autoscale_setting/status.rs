//! What a setting has found and done.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::vocabulary::ScaleActionState;

/// Scale actions that the status holds.
pub const SCALE_ACTIONS_MAX: usize = 10;

/// What the setting has found and done. Written when a decision changes, else at most every 5 minutes of scenario time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoscaleSettingStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the values below were found, scenario time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluated_at: Option<Time>,
    /// VMs that the set is to make from its profile, as the evaluation counted them; those of a surge are not among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_replicas: Option<i32>,
    /// The profile in force; none where no profile is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub profile: Option<String>,
    /// The profile that comes next, and when; none where the one in force stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_profile: Option<NextProfile>,
    /// The rules of the profile in force. At most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub rules: Vec<RuleStatus>,
    /// What keeps the setting from an action that a rule asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocker: Option<AutoscaleBlocker>,
    /// Until when no rule acts, scenario time; set by the rule that fired last, for both directions. A record: it is read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown_until: Option<Time>,
    /// What was decided last. It is on record before the set is changed. A record: it is read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scale_action: Option<ScaleActionRecord>,
    /// What was done last, the latest first. At most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub scale_actions: Vec<ScaleActionResult>,
    /// Conditions; all are written on the first pass.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// A profile that is to come into force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NextProfile {
    /// Its name; none where none is in force then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub name: Option<String>,
    /// When, scenario time.
    pub time: Time,
}

/// What one rule found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleStatus {
    /// Its name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Value of the metric, as text; none where it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub value: Option<String>,
    /// What it was compared with, with the operator.
    #[schemars(length(max = 64))]
    pub threshold: String,
    /// Whether the comparison holds.
    pub fires: bool,
    /// The count that the rule asks for, before bounds; none where it does not fire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed: Option<i32>,
}

/// What keeps a setting from an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoscaleBlocker {
    /// `CoolingDown`, `Flapping`, `AtMaximum`, `AtMinimum` or `MetricsLost`.
    #[schemars(length(max = 63))]
    pub code: String,
    /// In words, with numbers.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleActionRecord {
    /// VMs before.
    pub from: i32,
    /// VMs that it asks for.
    pub to: i32,
    /// When it was decided, scenario time.
    pub time: Time,
    /// Why, with numbers.
    #[schemars(length(max = 1024))]
    pub cause: String,
}

/// What came of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleActionResult {
    /// VMs before.
    pub from: i32,
    /// VMs that were asked for.
    pub to: i32,
    /// When it was decided, scenario time.
    pub time: Time,
    /// Why, with numbers.
    #[schemars(length(max = 1024))]
    pub cause: String,
    /// `Succeeded`: the set was told. `Failed`: it was not, and message says why.
    pub state: ScaleActionState,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}
