//! One rule: what it finds, and what it asks for (Azure: "Understand autoscale settings").

use std::cmp::Ordering;
use std::time::Duration;

use scaleset_crds::autoscale_setting::{
    MetricOperator, MetricStatistic, ScaleActionType, ScaleDirection, TimeAggregation,
};

use super::among::Among;
use super::measure::Measure;
use super::unrounded::Unrounded;
use crate::snapshot::MetricPoint;

/// A rule of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Name.
    pub name: String,
    /// What is measured.
    pub metric: MetricWish,
    /// How the values of the VMs that they are taken of make the one of a grain.
    pub statistic: MetricStatistic,
    /// How the grains of the window make the value.
    pub aggregation: TimeAggregation,
    /// Whether the value is divided by the count.
    pub division: Division,
    /// How the value is compared.
    pub operator: MetricOperator,
    /// With what.
    pub threshold: Measure,
    /// More or less.
    pub direction: ScaleDirection,
    /// What `value` counts.
    pub action: ScaleActionType,
    /// VMs or percent.
    pub value: i32,
    /// How long no rule acts after it.
    pub cooldown: Duration,
}

/// A metric over a window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricWish {
    /// Who reports it; `None`: the host.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Whose values are taken.
    pub among: Among,
    /// Seconds of a grain.
    pub grain_seconds: i32,
    /// Seconds that are looked back over.
    pub window_seconds: i32,
}

/// Whether a value is divided by the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Division {
    /// It is not.
    None,
    /// It is.
    PerInstance,
}

/// What a rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding<'rule> {
    /// The rule.
    pub rule: &'rule Rule,
    /// The value; none where the metric cannot be read.
    pub value: Option<Measure>,
    /// What all VMs carry together, not rounded: the value of each grain times the VMs that reported then, and not fewer than are
    /// wanted; of a value that is divided by the count, what is divided.
    pub carried: Option<Unrounded>,
}

impl Finding<'_> {
    /// Whether the comparison holds; what cannot be read never fires.
    pub fn fires(&self) -> bool {
        self.value.is_some_and(|value| self.rule.compares(value))
    }

    /// The count that the rule asks for, before bounds; none where it does not fire.
    pub fn proposed(&self, current: i32) -> Option<i32> {
        self.fires().then(|| self.rule.proposes(current))
    }

    /// Metric, value and threshold in words.
    pub fn told(&self) -> String {
        let Rule { name, metric, operator, threshold, .. } = self.rule;
        let value = self.value.map_or_else(|| "unknown".to_owned(), |value| value.to_string());
        format!("{name}: {} {value} {} {threshold}", metric.told(), operator.sign())
    }
}

impl MetricWish {
    /// In words.
    pub(crate) fn told(&self) -> String {
        self.among.told(&self.name)
    }
}

impl Rule {
    /// What the rule finds in the grains of its metric. A window without a value is none.
    pub fn find(&self, points: &[MetricPoint], current: i32) -> Finding<'_> {
        let current = i64::from(current);
        let undivided = self.aggregated(points, |_| 1);
        let (divisor, carried) = match self.division {
            Division::None => (1, self.aggregated(points, |reported_by| reported_by.max(current))),
            Division::PerInstance => (current, undivided),
        };
        Finding { rule: self, value: undivided.map(|value| value.over(divisor)), carried }
    }

    /// The value of the window where that of each grain counts so many times, by how many VMs reported in it.
    fn aggregated(&self, points: &[MetricPoint], times: impl Fn(i64) -> i64) -> Option<Unrounded> {
        let grains: Vec<Unrounded> =
            points.iter().filter_map(|point| self.value_of(point, times(point.count))).collect();
        let last = *grains.last()?;
        Some(match self.aggregation {
            TimeAggregation::Average => Unrounded::mean(&grains),
            TimeAggregation::Minimum => grains.iter().copied().min().unwrap_or(last),
            TimeAggregation::Maximum => grains.iter().copied().max().unwrap_or(last),
            TimeAggregation::Total => Unrounded::sum(&grains),
            TimeAggregation::Count => Unrounded::whole(grains.len()),
            TimeAggregation::Last => last,
        })
    }

    fn value_of(&self, point: &MetricPoint, times: i64) -> Option<Unrounded> {
        let MetricPoint { start: _, count, total, minimum, maximum } = *point;
        if count < 1 {
            return None;
        }
        Some(match self.statistic {
            MetricStatistic::Average => Unrounded::of(total, times, count),
            MetricStatistic::Min => Unrounded::of(minimum, times, 1),
            MetricStatistic::Max => Unrounded::of(maximum, times, 1),
            MetricStatistic::Sum => Unrounded::of(total, times, 1),
            MetricStatistic::Count => Unrounded::of(count.saturating_mul(1_000), times, 1),
        })
    }

    /// Whether the rule fires at a value.
    pub fn compares(&self, value: Measure) -> bool {
        let order = value.cmp(&self.threshold);
        match self.operator {
            MetricOperator::Equals => order == Ordering::Equal,
            MetricOperator::NotEquals => order != Ordering::Equal,
            MetricOperator::GreaterThan => order == Ordering::Greater,
            MetricOperator::GreaterThanOrEqual => order != Ordering::Less,
            MetricOperator::LessThan => order == Ordering::Less,
            MetricOperator::LessThanOrEqual => order != Ordering::Greater,
        }
    }

    /// The count that it asks for. A percentage is at least one VM: 20 % of 3 is no standstill.
    fn proposes(&self, current: i32) -> i32 {
        let (current, value) = (i64::from(current), i64::from(self.value));
        let hundredths = current * value;
        let proposed = match (self.action, self.direction) {
            (ScaleActionType::ExactCount, ScaleDirection::Increase | ScaleDirection::Decrease) => value,
            (ScaleActionType::ChangeCount, ScaleDirection::Increase) => current + value,
            (ScaleActionType::ChangeCount, ScaleDirection::Decrease) => current - value,
            (ScaleActionType::PercentChangeCount, ScaleDirection::Increase) => {
                current + (hundredths + 99).div_euclid(100).max(1)
            }
            (ScaleActionType::PercentChangeCount, ScaleDirection::Decrease) => {
                current - hundredths.div_euclid(100).max(1)
            }
        };
        i32::try_from(proposed.max(0)).unwrap_or(i32::MAX)
    }
}
