//! Leaf enums of a setting, spelled as Azure spells them.
//!
//! As those that several kinds share, they carry no doc comments: see [`crate::vocabulary`].
#![expect(missing_docs, reason = "documented at the fields: documented variants would become `oneOf` branches")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

// How the values of all VMs make one (Azure: MetricStatisticType).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum MetricStatistic {
    #[default]
    Average,
    Min,
    Max,
    Sum,
    Count,
}

// How the grains of a window make one value (Azure: TimeAggregationType).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum TimeAggregation {
    #[default]
    Average,
    Minimum,
    Maximum,
    Total,
    Count,
    Last,
}

// How a value is compared with a threshold (Azure: ComparisonOperationType).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum MetricOperator {
    Equals,
    NotEquals,
    GreaterThan,
    GreaterThanOrEqual,
    LessThan,
    LessThanOrEqual,
}

// Whether a dimension has one of the values or none of them (Azure: ScaleRuleMetricDimensionOperationType).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum DimensionOperator {
    Equals,
    NotEquals,
}

// Whether a rule asks for more or for less (Azure: ScaleDirection, without None, which does nothing).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ScaleDirection {
    Increase,
    Decrease,
}

// What the value of an action counts (Azure: ScaleType, without ServiceAllowedNextValue, which sets do not have).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ScaleActionType {
    #[default]
    ChangeCount,
    PercentChangeCount,
    ExactCount,
}

// What came of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ScaleActionState {
    Succeeded,
    Failed,
}

// Azure: RecurrentSchedule, days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum DayOfWeek {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl MetricOperator {
    /// As a person writes it.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Equals => "=",
            Self::NotEquals => "≠",
            Self::GreaterThan => ">",
            Self::GreaterThanOrEqual => "≥",
            Self::LessThan => "<",
            Self::LessThanOrEqual => "≤",
        }
    }
}
