//! Which metrics nobody reports, in words.

use scaleset_planning::autoscale::plan;
use scaleset_planning::autoscale::rule::{MetricWish, Rule};

use crate::settings::{back, out, profile, snapshot};

#[test]
fn metrics_that_nobody_reports_are_named_and_their_rules_counted() {
    const SENT: &str = "Network Out Total";
    const READ: &str = "Disk Read Bytes";
    const WRITTEN: &str = "Disk Write Bytes";
    let of = |metric: &str, rule: Rule| Rule { metric: MetricWish { name: metric.to_owned(), ..rule.metric }, ..rule };
    let on = |metric: &str| of(metric, out(metric, "70", 1));
    let in_guest = |metric: &str| {
        let rule = on(metric);
        Rule { metric: MetricWish { namespace: Some("guest".to_owned()), ..rule.metric }, ..rule }
    };
    let cpu = || vec![out("more", "70", 1), back("less", "30", 1)];
    let with = |metrics: &[&str]| cpu().into_iter().chain(metrics.iter().map(|metric| on(metric))).collect();
    for (rules, read, expected) in [
        (cpu(), vec![("more", "50")], "nobody reports Percentage CPU"),
        (cpu(), vec![], "nobody reports Percentage CPU (2 rules)"),
        (with(&[SENT]), vec![], "nobody reports Percentage CPU, Network Out Total (3 rules)"),
        (with(&[SENT, READ]), vec![], "nobody reports Percentage CPU, Network Out Total, Disk Read Bytes (4 rules)"),
        (
            with(&[SENT, READ, WRITTEN]),
            vec![],
            "nobody reports Percentage CPU, Network Out Total, Disk Read Bytes and 1 other (5 rules)",
        ),
        (
            with(&[SENT, READ, WRITTEN, "Network In Total"]),
            vec![(SENT, "1")],
            "nobody reports Percentage CPU, Disk Read Bytes, Disk Write Bytes and 1 other (5 rules)",
        ),
        (
            vec![on("CPU Percentage")],
            vec![],
            "nobody reports CPU Percentage; CPU Percentage is none of what hosts report: Percentage CPU, Network In Total, \
             Network Out Total, Disk Read Bytes, Disk Write Bytes, Disk Read Operations/Sec, Disk Write Operations/Sec",
        ),
        (vec![in_guest("Requests")], vec![], "nobody reports Requests"),
    ] {
        let snapshot = snapshot(5, profile("usual", [1, 10, 4], rules), &read);
        assert_eq!(plan(&snapshot).lost.as_deref(), Some(expected));
    }
}
