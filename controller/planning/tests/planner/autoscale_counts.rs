//! What autoscale counts: members that were evicted for good, VMs of a surge, dense calendars.

use jiff::civil::{Time, Weekday};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time as Stamp;
use scaleset_crds::autoscale_setting::{MetricStatistic, ScaleActionRecord, ScaleActionState, TimeAggregation};
use scaleset_planning::autoscale::calendar::{Weekly, time_zone};
use scaleset_planning::autoscale::plan;
use scaleset_planning::autoscale::profile::{Profile, Schedule, in_force, next_change};
use scaleset_planning::autoscale::rule::Rule;
use scaleset_planning::snapshot::{AutoscaleSnapshot, MetricsView, ScaleTarget, SetCount};

use crate::autoscale::outcome;
use crate::settings::{at, back, now, out, profile, snapshot};

/// So many are wished, so many of them are in force since others were evicted with policy Delete.
fn evicted(wished: i32, in_force: i32, profile: Profile, values: &[(&str, &str)]) -> AutoscaleSnapshot {
    let mut snapshot = snapshot(wished, profile, values);
    snapshot.target = ScaleTarget::Found(SetCount { wished: Some(wished), in_force: Some(in_force) });
    snapshot
}

#[test]
fn the_wish_follows_what_evictions_have_left_before_anything_is_decided() {
    let rules = || vec![out("more", "70", 1), back("less", "30", 1)];
    for (what, bounds, value) in [
        ("the minimum is restored from what there is", [10, 20, 10], "50"),
        ("there is room below the maximum again", [1, 10, 1], "90"),
        ("a scale-in begins from what there is", [1, 10, 1], "1"),
        ("nobody asks for anything", [1, 10, 1], "50"),
    ] {
        let mut first = evicted(10, 8, profile("usual", bounds, rules()), &[("more", value), ("less", value)]);
        first.status.cooldown_until = Some(Stamp(at("2026-01-07T11:00:00Z")));
        let followed = plan(&first);
        assert_eq!((outcome(&followed).as_str(), followed.current), ("10 -> 8", Some(8)), "{what}");
        let decision = followed.decision.unwrap();
        assert_eq!(decision.record.cause, "2 evicted with policy Delete", "{what}");
        assert_eq!(decision.cooldown_until, None, "{what}: it begins no cooldown, and waits for none");
    }
    for (bounds, value, expected) in
        [([10, 20, 10], "50", "8 -> 10"), ([1, 10, 1], "90", "8 -> 9"), ([1, 10, 1], "1", "8 -> 7")]
    {
        let then = evicted(8, 8, profile("usual", bounds, rules()), &[("more", value), ("less", value)]);
        assert_eq!(outcome(&plan(&then)), expected, "at {value}");
    }
}

#[test]
fn what_evictions_have_left_is_told_after_a_crash_as_long_as_it_is_so() {
    let record = ScaleActionRecord { from: 10, to: 8, time: Stamp(now()), cause: "evicted".to_owned() };
    let on_record = |wished, in_force| {
        let mut one = evicted(wished, in_force, profile("usual", [1, 20, 1], Vec::new()), &[]);
        one.status.last_scale_action = Some(record.clone());
        one
    };
    let told = on_record(10, 8);
    let again = plan(&told);
    assert_eq!(
        (again.told, again.ended.clone(), again.decision.clone()),
        (Some(8), None, None),
        "the set was not told"
    );
    let fewer = on_record(10, 7);
    let anew = plan(&fewer);
    assert_eq!(anew.ended.as_ref().map(|ended| ended.state), Some(ScaleActionState::Failed), "one more was evicted");
    assert_eq!(outcome(&anew), "10 -> 7");
    let taken = on_record(8, 8);
    let done = plan(&taken);
    assert_eq!(done.ended.as_ref().map(|ended| ended.state), Some(ScaleActionState::Succeeded));
    assert_eq!(outcome(&done), "nothing");
}

/// So many VMs reported in each grain.
fn reported_by(mut snapshot: AutoscaleSnapshot, vms: i64) -> AutoscaleSnapshot {
    let MetricsView::Read(by_rule) = &mut snapshot.metrics else { panic!("they can be read") };
    for point in by_rule.values_mut().flatten() {
        (point.count, point.total) = (vms, point.total * vms);
    }
    snapshot
}

#[test]
fn vms_of_a_surge_carry_load_that_comes_back_when_they_go() {
    // 240 % over 5 VMs and 3 of a surge are 30 each: over 4 they would be 60, above 55, and not 37.5.
    let rules = || vec![out("more", "55", 1), back("less", "35", 1)];
    let five = || snapshot(5, profile("usual", [1, 10, 1], rules()), &[("more", "30"), ("less", "30")]);
    for (vms, expected) in [(8, "Flapping"), (5, "5 -> 4"), (2, "5 -> 4")] {
        assert_eq!(outcome(&plan(&reported_by(five(), vms))), expected, "{vms} VMs report");
    }
}

#[test]
fn a_number_of_grains_is_no_load() {
    let count = |rule: Rule| Rule { aggregation: TimeAggregation::Count, ..rule };
    let by_vms = |rule: Rule| Rule { statistic: MetricStatistic::Average, ..count(rule) };
    // Five grains: projected to one of two VMs they would be ten.
    let rules = vec![by_vms(out("more", "6", 1)), by_vms(back("less", "6", 1))];
    let two = snapshot(2, profile("usual", [1, 10, 1], rules), &[("more", "50"), ("less", "50")]);
    assert_eq!(outcome(&plan(&two)), "2 -> 1");
}

fn weekly(zone: &str, days: &[Weekday], times: Vec<Time>) -> Schedule {
    Schedule::Weekly(Weekly { zone: time_zone(zone).expect("a time zone"), days: days.to_vec(), times })
}

fn times(hours: std::ops::Range<i8>, every_minutes: i8) -> Vec<Time> {
    let of_hour =
        |hour| (0..60 / every_minutes).map(move |part| Time::new(hour, part * every_minutes, 0, 0).expect("a time"));
    hours.flat_map(of_hour).collect()
}

const WEEK: [Weekday; 7] = [
    Weekday::Monday,
    Weekday::Tuesday,
    Weekday::Wednesday,
    Weekday::Thursday,
    Weekday::Friday,
    Weekday::Saturday,
    Weekday::Sunday,
];

#[test]
fn a_profile_that_begins_forty_times_a_day_does_not_hide_the_next() {
    let busy = Profile { schedule: weekly("UTC", &WEEK, times(0..20, 30)), ..profile("busy", [3, 9, 3], Vec::new()) };
    let quiet = weekly("UTC", &[Weekday::Sunday], vec![Time::new(22, 0, 0, 0).unwrap()]);
    let profiles = [busy, Profile { schedule: quiet, ..profile("quiet", [1, 3, 1], Vec::new()) }];
    let (next, instant) = next_change(&profiles, at("2026-01-05T10:00:00Z")).unwrap();
    assert_eq!((next.unwrap().name.as_str(), instant), ("quiet", at("2026-01-11T22:00:00Z")));
    let (next, instant) = next_change(&profiles, at("2026-01-11T22:00:00Z")).unwrap();
    assert_eq!((next.unwrap().name.as_str(), instant), ("busy", at("2026-01-12T00:00:00Z")));
}

#[test]
fn the_largest_calendar_that_the_schema_allows_is_read_at_once() {
    // Nineteen profiles that begin every minute of the week; of those that begin together the first counts. A date ends that.
    let every_minute = |number: usize| Profile {
        schedule: weekly("Europe/Warsaw", &WEEK, times(0..24, 1)),
        ..profile(&format!("p{number}"), [1, 9, 1], Vec::new())
    };
    let mut profiles: Vec<Profile> = (0..19).map(every_minute).collect();
    let (start, end) = (at("2026-06-01T00:00:00Z"), at("2026-06-02T00:00:00Z"));
    profiles.push(Profile { schedule: Schedule::Fixed { start, end }, ..profile("sale", [5, 9, 5], Vec::new()) });
    // Before the clocks change, on that day, and after it.
    for time in ["2026-01-07T10:00:30Z", "2026-03-29T10:00:30Z", "2026-05-31T23:59:30Z"] {
        assert_eq!(in_force(&profiles, at(time)).unwrap().name, "p0", "at {time}");
        let (next, instant) = next_change(&profiles, at(time)).unwrap();
        assert_eq!((next.unwrap().name.as_str(), instant), ("sale", start), "after {time}");
    }
    let (next, instant) = next_change(&profiles, start).unwrap();
    assert_eq!((next.unwrap().name.as_str(), instant), ("p0", end));
}
