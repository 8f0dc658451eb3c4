//! Settings of autoscale that tests and the benchmark start from.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::{Time, Weekday};
use jiff::{SignedDuration, Timestamp};
use scaleset_crds::AutoscaleSettingStatus;
use scaleset_crds::autoscale_setting::{
    MetricOperator, MetricStatistic, ScaleActionType, ScaleDirection, TimeAggregation,
};
use scaleset_planning::autoscale::among::Among;
use scaleset_planning::autoscale::calendar::{Weekly, time_zone};
use scaleset_planning::autoscale::measure::Measure;
use scaleset_planning::autoscale::profile::{Profile, Schedule};
use scaleset_planning::autoscale::rule::{Division, MetricWish, Rule};
use scaleset_planning::snapshot::{AutoscaleSnapshot, MetricPoint, MetricsView, Rival, ScaleTarget, SetCount, Switch};

pub fn at(text: &str) -> Timestamp {
    text.parse().expect("it is one")
}

pub fn now() -> Timestamp {
    at("2026-01-07T10:00:00Z")
}

/// `CPU > 70: +1`, and a cooldown of five minutes.
pub fn rule(name: &str, operator: MetricOperator, threshold: &str, change: i32) -> Rule {
    Rule {
        name: name.to_owned(),
        metric: MetricWish {
            namespace: None,
            name: "Percentage CPU".to_owned(),
            among: Among::All,
            grain_seconds: 60,
            window_seconds: 300,
        },
        statistic: MetricStatistic::Average,
        aggregation: TimeAggregation::Average,
        division: Division::None,
        operator,
        threshold: Measure::parse(threshold).expect("it is one"),
        direction: if change > 0 { ScaleDirection::Increase } else { ScaleDirection::Decrease },
        action: ScaleActionType::ChangeCount,
        value: change.abs(),
        cooldown: Duration::from_mins(5),
    }
}

pub fn out(name: &str, above: &str, by: i32) -> Rule {
    rule(name, MetricOperator::GreaterThan, above, by)
}

pub fn back(name: &str, below: &str, by: i32) -> Rule {
    rule(name, MetricOperator::LessThan, below, -by)
}

pub fn profile(name: &str, bounds: [i32; 3], rules: Vec<Rule>) -> Profile {
    let [minimum, maximum, default] = bounds;
    Profile { name: name.to_owned(), minimum, maximum, default, rules, schedule: Schedule::Otherwise }
}

/// Five grains in which every rule's metric had the value that is given by the rule's name, on one VM.
pub fn snapshot(count: i32, profile: Profile, values: &[(&str, &str)]) -> AutoscaleSnapshot {
    let point = |minute: i64, value: i64| MetricPoint {
        start: now() - SignedDuration::from_mins(5 - minute),
        count: 1,
        total: value,
        minimum: value,
        maximum: value,
    };
    let read = |(name, value): &(&str, &str)| {
        let value = Measure::parse(value).expect("it is one").thousandths();
        ((*name).to_owned(), (0..5).map(|minute| point(minute, value)).collect())
    };
    AutoscaleSnapshot {
        now: now(),
        wall_now: now(),
        generation: 1,
        switch: Switch::On,
        profiles: vec![profile],
        defects: Vec::new(),
        target: ScaleTarget::Found(SetCount { wished: Some(count), in_force: Some(count) }),
        rival: Rival::None,
        metrics: MetricsView::Read(values.iter().map(read).collect::<BTreeMap<_, _>>()),
        status: AutoscaleSettingStatus::default(),
    }
}

/// Weekdays from Monday 04:00 on 3 to 20, weekends from Saturday 00:01 on 1 to 3, in Warsaw.
pub fn week() -> Vec<Profile> {
    let weekly = |day: Weekday, hour: i8, minute: i8| {
        let zone = time_zone("Europe/Warsaw").expect("it is one");
        Schedule::Weekly(Weekly {
            zone,
            days: vec![day],
            times: vec![Time::new(hour, minute, 0, 0).expect("it is one")],
        })
    };
    vec![
        profile("usual", [2, 10, 2], Vec::new()),
        Profile { schedule: weekly(Weekday::Monday, 4, 0), ..profile("weekdays", [3, 20, 3], Vec::new()) },
        Profile { schedule: weekly(Weekday::Saturday, 0, 1), ..profile("weekend", [1, 3, 1], Vec::new()) },
    ]
}
