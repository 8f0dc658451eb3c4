//! Metrics that rules compare and that nobody reports, in words.

use scaleset_crds::autoscale_setting::HOST_METRICS;

use super::rule::{Finding, MetricWish};

/// So many metrics are named.
const NAMED: usize = 3;

/// Which metrics nobody reports, the first three by name, and how many rules compare them, where these are several; `None` where every
/// rule has a value. Where a host is asked for what hosts do not report by themselves, a name may be wrong: those that they do are told.
pub(super) fn told(findings: &[Finding<'_>]) -> Option<String> {
    let unread = || findings.iter().filter(|finding| finding.value.is_none());
    let mut metrics: Vec<String> = Vec::new();
    for metric in unread().map(|finding| finding.rule.metric.told()) {
        if !metrics.contains(&metric) {
            metrics.push(metric);
        }
    }
    let rules = match unread().count() {
        0 => return None,
        1 => String::new(),
        rules => format!(" ({rules} rules)"),
    };
    let more = match metrics.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} other"),
    };
    metrics.truncate(NAMED);
    let foreign = unread().map(|finding| &finding.rule.metric).find(|metric| is_foreign(metric));
    let offered = foreign.map_or_else(String::new, |metric| {
        format!("; {} is none of what hosts report: {}", metric.name, HOST_METRICS.join(", "))
    });
    Some(format!("nobody reports {}{more}{rules}{offered}", metrics.join(", ")))
}

/// Whether hosts are asked for what they do not report by themselves.
fn is_foreign(metric: &MetricWish) -> bool {
    metric.namespace.is_none() && !HOST_METRICS.contains(&metric.name.as_str())
}
