//! What the machines of a set measure: one question for all series that a pass wants to know.
//!
//! Values are in thousandths, so that they are compared exactly. Answers are series of grains over all machines of the set that
//! reported, never one row for each machine: their size follows the window, not the set.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Which series of which set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsQuery {
    /// Uid of the set: its machines are those that carry it as their owner's set.
    pub set_uid: String,
    /// What is asked for; answers come in the same order.
    pub series: Vec<SeriesQuery>,
}

/// One metric over one window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeriesQuery {
    /// Who reports it; absent: the host, without an agent in the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the metric, for example `Percentage CPU`.
    pub name: String,
    /// Whose values make it.
    #[serde(default, skip_serializing_if = "Among::is_all")]
    pub among: Among,
    /// Seconds of a grain, 60 to 43200.
    pub grain_seconds: i32,
    /// Seconds that are looked back over, 60 to 43200.
    pub window_seconds: i32,
}

/// Machines of a set, by the names of the objects that they belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Among {
    /// All of them.
    #[default]
    All,
    /// Those that have one of the names.
    Named(BTreeSet<String>),
    /// Those that have none of the names.
    NotNamed(BTreeSet<String>),
}

impl Among {
    /// Whether it is all of them, for what is told in the usual case only by its absence.
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }

    /// Whether a machine of that name is one of them.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(name),
            Self::NotNamed(names) => !names.contains(name),
        }
    }
}

/// One series; empty where nobody of those that are asked about reports the metric.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricSeries {
    /// Grains in which anybody reported, the earliest first.
    pub grains: Vec<Grain>,
}

/// One grain: the values of all machines in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grain {
    /// When it began, scenario time.
    pub start: Timestamp,
    /// Values in it, at least 1.
    pub count: i64,
    /// Their sum, thousandths.
    pub total: i64,
    /// The least, thousandths.
    pub minimum: i64,
    /// The largest, thousandths.
    pub maximum: i64,
}
