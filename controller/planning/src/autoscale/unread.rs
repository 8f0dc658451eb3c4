//! Metrics that rules compare and that nobody reports, in words.

use super::rule::Finding;

/// So many metrics are named.
const NAMED: usize = 3;

/// Which metrics nobody reports, the first three by name, and how many rules compare them, where these are several; `None` where every
/// rule has a value.
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
    Some(format!("nobody reports {}{more}{rules}", metrics.join(", ")))
}
