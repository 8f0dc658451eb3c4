//! How upgrades of a set go, with nothing left open.
//!
//! Source: Azure's REST reference of `RollingUpgradePolicy` for ranges and defaults.

use std::time::Duration;

/// `spec.upgradePolicy.rollingUpgradePolicy` with Azure's defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollingPolicy {
    /// Percent of the set.
    pub max_batch_percent: i32,
    /// Percent of the set.
    pub max_unhealthy_percent: i32,
    /// Percent of the upgraded members.
    pub max_unhealthy_upgraded_percent: i32,
    /// Between the end of a batch and the start of the next.
    pub pause: Duration,
    /// Whether a batch may mix zones.
    pub zones: ZoneRule,
    /// Whether unhealthy members go first.
    pub unhealthy: UnhealthyRule,
    /// What follows when a threshold is exceeded.
    pub on_breach: BreachRule,
    /// How many members of a batch are replaced by new ones before they go.
    pub max_surge: MaxSurge,
    /// Within which an upgraded member must be healthy.
    pub health_timeout: Duration,
}

/// Whether a batch may mix zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneRule {
    /// Zone by zone.
    OneByOne,
    /// Across zones.
    Mixed,
}

/// Whether unhealthy members are upgraded first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnhealthyRule {
    /// Before the others.
    First,
    /// Like the others.
    InOrder,
}

/// What follows when a threshold is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreachRule {
    /// The upgrade stops.
    Stop,
    /// Failed members go back first.
    RollBack,
}

/// How many members of a batch are replaced by new ones before they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxSurge {
    /// So many.
    Count(usize),
    /// Percent of the batch.
    Percent(usize),
}

impl MaxSurge {
    /// So many of a batch of `size`: percent are rounded up, and it is never more than the batch.
    pub fn of(self, size: usize) -> usize {
        match self {
            Self::Count(count) => count.min(size),
            Self::Percent(percent) => (size * percent).div_ceil(100).min(size),
        }
    }
}

impl Default for RollingPolicy {
    fn default() -> Self {
        Self {
            max_batch_percent: 20,
            max_unhealthy_percent: 20,
            max_unhealthy_upgraded_percent: 20,
            pause: Duration::ZERO,
            zones: ZoneRule::OneByOne,
            unhealthy: UnhealthyRule::InOrder,
            on_breach: BreachRule::Stop,
            max_surge: MaxSurge::Count(0),
            health_timeout: Duration::from_mins(5),
        }
    }
}
