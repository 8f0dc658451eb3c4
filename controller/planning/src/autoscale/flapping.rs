//! Whether a scale-in would be undone at once (Azure: "Autoscale flapping").
//!
//! The load that is measured stays when VMs go: each of those that stay has more of it. So the value of every rule that asks
//! for more is projected to the new count, value × VMs now / VMs then; where one would fire, the counts between are tried, and
//! the nearest to what is wanted that is safe is taken. VMs of a surge report as well, and carry load as long as they are there: a
//! grain in which more VMs reported than are wanted is projected from their number. A sum over all VMs that is not divided does not change
//! with the count, and neither does the number of grains; they are not projected. What some VMs by name measure is projected like any
//! other: it is a guess that those that stay share the load of those that go in equal parts.

use scaleset_crds::autoscale_setting::{MetricStatistic, ScaleDirection, TimeAggregation};

use super::measure::Measure;
use super::rule::{Division, Finding};

/// What becomes of a scale-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// Nothing would undo it.
    Safe,
    /// So many VMs fewer would be undone; this count would not.
    Adjusted {
        /// The count.
        to: i32,
        /// What would happen at the count that was wanted.
        otherwise: String,
    },
    /// Every count below the current one would be undone.
    Flaps {
        /// What would happen at the count that was wanted.
        otherwise: String,
    },
}

/// What becomes of a scale-in from `current` to `wanted`.
pub(super) fn outlook(findings: &[Finding<'_>], current: i32, wanted: i32) -> Outlook {
    let Some(otherwise) = undone(findings, wanted) else { return Outlook::Safe };
    match (wanted + 1..current).find(|count| undone(findings, *count).is_none()) {
        Some(to) => Outlook::Adjusted { to, otherwise },
        None => Outlook::Flaps { otherwise },
    }
}

/// The rule that would undo a scale-in to `count`, in words.
fn undone(findings: &[Finding<'_>], count: i32) -> Option<String> {
    let scales_out = |finding: &&Finding<'_>| finding.rule.direction == ScaleDirection::Increase;
    findings.iter().filter(scales_out).find_map(|finding| {
        let value = projected(finding, count)?;
        let rule = finding.rule;
        let told = if value == Measure::UNBOUNDED { "beyond all bounds".to_owned() } else { value.to_string() };
        rule.compares(value).then(|| {
            format!(
                "{count} would bring {} to {told}, and {} fires at {} {}",
                rule.metric.told(),
                rule.name,
                rule.operator.sign(),
                rule.threshold
            )
        })
    })
}

/// The value that a rule would find with so many VMs.
fn projected(finding: &Finding<'_>, count: i32) -> Option<Measure> {
    let Finding { rule, value, carried } = finding;
    match (rule.division, rule.aggregation, rule.statistic) {
        (Division::None, TimeAggregation::Count, _)
        | (Division::None, _, MetricStatistic::Sum | MetricStatistic::Count) => *value,
        (Division::PerInstance, _, _)
        | (Division::None, _, MetricStatistic::Average | MetricStatistic::Min | MetricStatistic::Max) => {
            Some((*carried)?.over(i64::from(count)))
        }
    }
}
