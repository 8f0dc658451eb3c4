//! What autoscale computes with is rounded once, and what it decides can be told from what it decided before.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time as Stamp;
use scaleset_crds::autoscale_setting::{
    MetricOperator, MetricStatistic, ScaleActionRecord, ScaleActionResult, ScaleActionState, TimeAggregation,
};
use scaleset_planning::autoscale::plan;
use scaleset_planning::autoscale::rule::{Division, Rule};
use scaleset_planning::snapshot::{AutoscaleSnapshot, MetricPoint, MetricsView};
use scaleset_planning::status::autoscale::autoscale_status;

use crate::autoscale::outcome;
use crate::settings::{back, now, out, profile, rule, snapshot};

/// Both rules are about grains of so many VMs that measured `totals` together.
fn measured(count: i32, rules: [Rule; 2], vms: i64, totals: &[i64]) -> AutoscaleSnapshot {
    let points = totals.iter().map(|total| {
        let total = total * 1_000;
        MetricPoint { start: now(), count: vms, total, minimum: total / vms, maximum: total / vms + total % vms }
    });
    let points: Vec<MetricPoint> = points.collect();
    let mut snapshot = snapshot(count, profile("usual", [1, 10, 1], rules.to_vec()), &[]);
    snapshot.metrics = MetricsView::Read(rules.map(|rule| (rule.name, points.clone())).into());
    snapshot
}

#[test]
fn a_projection_is_made_from_the_total_and_rounded_once() {
    let at_least = |threshold: &str| rule("more", MetricOperator::GreaterThanOrEqual, threshold, 1);
    let divided = |rule: Rule| Rule { statistic: MetricStatistic::Sum, division: Division::PerInstance, ..rule };
    let last = |rule: Rule| Rule { aggregation: TimeAggregation::Last, ..rule };
    for (what, rules, totals, expected) in [
        // 333.333 on each of three: on one it is 1000, and not 999.999.
        ("1000 on 3 are 1000 on 1", [at_least("1000"), back("less", "400", 2)], vec![1_000], "3 -> 2"),
        ("1000 on 3 are 500 on 2", [at_least("500"), back("less", "400", 1)], vec![1_000], "Flapping"),
        // 416.667 on each of three: on two it is 625, and not 625.001.
        ("1250 on 3 are 625 on 2", [out("more", "625", 1), back("less", "600", 1)], vec![1_250], "3 -> 2"),
        ("1250 on 3 are 625 on 2, at least", [at_least("625"), back("less", "600", 1)], vec![1_250], "Flapping"),
        ("the same in every grain", [out("more", "625", 1), back("less", "600", 1)], vec![1_250; 5], "3 -> 2"),
        ("of the last grain", [last(at_least("1000")), last(back("less", "400", 2))], vec![7, 1_000], "3 -> 2"),
        // A sum that is divided by the count.
        (
            "1000 by 3 are 1000 by 1",
            [divided(at_least("1000")), divided(back("less", "400", 2))],
            vec![1_000],
            "3 -> 2",
        ),
        (
            "1250 by 3 are 625 by 2",
            [divided(out("more", "625", 1)), divided(back("less", "600", 1))],
            vec![1_250],
            "3 -> 2",
        ),
    ] {
        assert_eq!(outcome(&plan(&measured(3, rules, 3, &totals))), expected, "{what}");
    }
}

#[test]
fn a_mean_of_grains_is_rounded_once() {
    let rule = |aggregation| Rule { aggregation, ..out("more", "70", 1) };
    let grain = |count: i64, total: i64| MetricPoint { start: now(), count, total, minimum: total, maximum: total };
    // 0.0004 and 0.0004 and 0.0004: each is nothing, together they are 0.001.
    let small = [grain(5, 2), grain(5, 2), grain(5, 2)];
    let value = |aggregation| rule(aggregation).find(&small, 5).value.map(|value| value.to_string());
    assert_eq!(value(TimeAggregation::Total).as_deref(), Some("0.001"));
    assert_eq!(value(TimeAggregation::Average).as_deref(), Some("0"));
    assert_eq!(value(TimeAggregation::Count).as_deref(), Some("3"));
    // Nobody is there to share: beyond all bounds, unless there is nothing to share.
    let queue =
        Rule { division: Division::PerInstance, statistic: MetricStatistic::Sum, ..rule(TimeAggregation::Last) };
    assert!(queue.find(&[grain(1, 1)], 0).fires(), "one waits, and nobody is there");
    assert!(!queue.find(&[grain(1, 0)], 0).fires());
}

#[test]
fn no_two_decisions_are_alike_from_count_to_count_and_second_for_second() {
    // A person wishes for 20 twice within a second; the maximum is 6.
    let above = || snapshot(20, profile("usual", [1, 6, 1], Vec::new()), &[]);
    let record = |time| ScaleActionRecord { from: 20, to: 6, time: Stamp(time), cause: "at most 6 VMs".to_owned() };
    let done = |time| {
        let ScaleActionRecord { from, to, time, cause } = record(time);
        ScaleActionResult { from, to, time, cause, state: ScaleActionState::Succeeded, message: None }
    };
    for (what, last, ended, expected) in [
        ("the first", None, Vec::new(), "20 -> 6"),
        ("the same again", Some(record(now())), vec![done(now())], "CoolingDown"),
        ("the one before the last", None, vec![done(now())], "CoolingDown"),
        (
            "a second later",
            Some(record(now() - Duration::from_secs(1))),
            vec![done(now() - Duration::from_secs(1))],
            "20 -> 6",
        ),
    ] {
        let mut snapshot = above();
        snapshot.status.last_scale_action = last;
        snapshot.status.scale_actions = ended;
        let planned = plan(&snapshot);
        assert_eq!(outcome(&planned), expected, "{what}");
        let told = planned.told;
        assert_eq!(told.is_some(), expected != "CoolingDown", "{what}");
        if told.is_none() {
            assert_eq!(planned.wake_after, Some(Duration::from_secs(1)), "{what}");
            let held = planned.blocker.as_ref().map(|blocker| blocker.message.as_str());
            let why = "20 -> 6 is on record for this second, the next can come a second later";
            assert!(held.is_some_and(|held| held.ends_with(why)), "{what}: {held:?}");
            let mut later = snapshot.clone();
            later.status = autoscale_status(&snapshot, &planned);
            later.now += Duration::from_secs(1);
            assert_eq!(outcome(&plan(&later)), "20 -> 6", "{what}, a second later");
        }
    }
}

#[test]
fn each_operator_compares_as_its_name_says() {
    for (operator, below, equal, above) in [
        (MetricOperator::Equals, false, true, false),
        (MetricOperator::NotEquals, true, false, true),
        (MetricOperator::GreaterThan, false, false, true),
        (MetricOperator::GreaterThanOrEqual, false, true, true),
        (MetricOperator::LessThan, true, false, false),
        (MetricOperator::LessThanOrEqual, true, true, false),
    ] {
        for (value, fires) in [("49.999", below), ("50", equal), ("50.001", above)] {
            let only = profile("usual", [1, 10, 1], vec![rule("only", operator, "50", 1)]);
            let expected = if fires { "2 -> 3" } else { "nothing" };
            assert_eq!(outcome(&plan(&snapshot(2, only, &[("only", value)]))), expected, "{value} {operator:?} 50");
        }
    }
}

#[test]
fn a_queue_is_divided_by_the_count() {
    for (count, threshold, expected) in [(2, "24", "2 -> 3"), (2, "25", "nothing"), (3, "16", "3 -> 4")] {
        let divided = Rule { division: Division::PerInstance, ..out("queue", threshold, 1) };
        let only = profile("usual", [1, 10, 1], vec![divided]);
        let queue = snapshot(count, only, &[("queue", "50")]);
        assert_eq!(outcome(&plan(&queue)), expected, "50 messages on {count} against {threshold}");
    }
}
