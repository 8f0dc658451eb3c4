//! Metrics that rules compare and that nobody reports, in words.

use scaleset_crds::autoscale_setting::HOST_METRICS;

use super::rule::Finding;

/// So many metrics are named.
const NAMED: usize = 3;

/// Which metrics nobody reports, the first three by name, and how many rules compare them, where these are several; `None` where every
/// rule has a value. Where a host is asked for what hosts do not report by themselves, a name may be wrong: those that they do are told.
pub(super) fn told(findings: &[Finding<'_>]) -> Option<String> {
    let unread = || findings.iter().filter(|finding| finding.value.is_none());
    let mut metrics: Vec<String> = Vec::new();
    let is_foreign = |finding: &&Finding<'_>| {
        let metric = &finding.rule.metric;
        metric.namespace.is_none() && !HOST_METRICS.contains(&metric.name.as_str())
    };
    let offered = match unread().find(is_foreign) {
        Some(finding) => {
            format!("; {} is none of what hosts report: {}", finding.rule.metric.name, HOST_METRICS.join(", "))
        }
        None => String::new(),
    };
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
    Some(format!("nobody reports {}{more}{rules}{offered}", metrics.join(", ")))
}
