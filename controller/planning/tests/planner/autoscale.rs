//! What an autoscale setting decides: the worked examples of Azure's pages, and the order of the steps.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time as Stamp;
use scaleset_crds::autoscale_setting::{
    MetricOperator, MetricStatistic, ScaleActionRecord, ScaleActionState, ScaleActionType, ScaleDirection,
    TimeAggregation,
};
use scaleset_crds::condition::{AutoscaleCondition, Reason, find};
use scaleset_planning::autoscale::among::Among;
use scaleset_planning::autoscale::profile::{Profile, Schedule, in_force, next_change};
use scaleset_planning::autoscale::rule::{Division, MetricWish, Rule};
use scaleset_planning::autoscale::{AutoscalePlan, plan};
use scaleset_planning::snapshot::{AutoscaleSnapshot, MetricPoint, MetricsView, Rival, ScaleTarget, SetCount, Switch};
use scaleset_planning::status::autoscale::{Worth, autoscale_status, worth};

use crate::settings::{at, back, now, out, profile, rule, snapshot, week};

/// `before -> after`, or why not.
pub(crate) fn outcome(plan: &AutoscalePlan<'_>) -> String {
    let decision = plan.decision.as_ref().map(|decision| format!("{} -> {}", decision.record.from, decision.record.to));
    let blocked = plan.blocker.as_ref().map(|blocker| blocker.code.clone());
    decision.or(blocked).unwrap_or_else(|| "nothing".to_owned())
}

#[test]
fn the_worked_examples() {
    let threads =
        |in_below: &str| vec![rule("more", MetricOperator::GreaterThanOrEqual, "600", 1), back("less", in_below, 1)];
    let cpu = || vec![out("more", "70", 10), back("less", "70", 10)];
    let two = || vec![out("busy", "80", 1), back("cpu", "30", 1), back("memory", "50", 1)];
    for (what, count, bounds, rules, values, expected) in [
        ("1250 threads on 2", 2, [1, 10, 1], threads("600"), [("more", "625"), ("less", "625")], "2 -> 3"),
        (
            "1250 threads on 3 would be 625 on 2",
            3,
            [1, 10, 1],
            threads("600"),
            [("more", "416.667"), ("less", "416.667")],
            "Flapping",
        ),
        (
            "1250 threads on 3 are above 400",
            3,
            [1, 10, 1],
            threads("400"),
            [("more", "416.667"), ("less", "416.667")],
            "nothing",
        ),
        (
            "1180 threads on 3 are 590 on 2",
            3,
            [1, 10, 1],
            threads("400"),
            [("more", "393.333"), ("less", "393.333")],
            "3 -> 2",
        ),
        (
            "65 % on 30: 97.5 at 20, 72.2 at 27, 69.6 at 28",
            30,
            [1, 50, 1],
            cpu(),
            [("more", "65"), ("less", "65")],
            "30 -> 28",
        ),
        ("CPU 25 and memory 51: not both agree", 5, [1, 10, 1], two(), [("cpu", "25"), ("memory", "51")], "nothing"),
        ("3 to 6, count 1", 1, [3, 6, 3], Vec::new(), [("", "0"), ("", "0")], "1 -> 3"),
        ("3 to 6, count 8", 8, [3, 6, 3], Vec::new(), [("", "0"), ("", "0")], "8 -> 6"),
    ] {
        let mut all = values.to_vec();
        all.push(("busy", "25"));
        let snapshot = snapshot(count, profile("usual", bounds, rules), &all);
        assert_eq!(outcome(&plan(&snapshot)), expected, "{what}");
    }
}

/// The same rule about some VMs by name.
fn of_some(among: Among, rule: Rule) -> Rule {
    Rule { metric: MetricWish { among, ..rule.metric }, ..rule }
}

#[test]
fn a_rule_about_some_vms_is_one_like_any_other_and_says_about_whom() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let (first, others) = (|| Among::Named(names(&["web-0"])), || Among::NotNamed(names(&["web-0"])));
    let rules = || vec![of_some(first(), out("canary", "70", 1)), of_some(others(), back("rest", "30", 1))];
    for (what, values, expected, said) in [
        ("it fires", vec![("canary", "90"), ("rest", "50")], "5 -> 6", "canary: Percentage CPU of web-0 90 > 70"),
        (
            "nobody of that name",
            vec![("rest", "1")],
            "MetricsLost",
            "nobody reports Percentage CPU of web-0; 5 VMs stay",
        ),
        (
            "what the others measure",
            vec![("canary", "50"), ("rest", "20")],
            "5 -> 4",
            "rest: Percentage CPU of all but web-0 20 < 30",
        ),
        // 60 on 5 VMs would be 75 on 4: projected as if the load were shared by all.
        (
            "what it would be with fewer VMs",
            vec![("canary", "60"), ("rest", "20")],
            "Flapping",
            "rest: Percentage CPU of all but web-0 20 < 30; 4 would bring Percentage CPU of web-0 to 75, and canary fires at > 70",
        ),
    ] {
        let snapshot = snapshot(5, profile("usual", [2, 10, 2], rules()), &values);
        let plan = plan(&snapshot);
        assert_eq!(outcome(&plan), expected, "{what}");
        let cause = plan.decision.as_ref().map(|decision| decision.record.cause.clone());
        assert_eq!(cause.or(plan.blocker.map(|blocker| blocker.message)).as_deref(), Some(said), "{what}");
    }
    // Divided by the count, not by those that are asked about: 300 of one VM are 60 on each of five.
    let divided = Rule { division: Division::PerInstance, ..of_some(first(), out("canary", "59", 1)) };
    let snapshot = snapshot(5, profile("usual", [2, 10, 2], vec![divided]), &[("canary", "300")]);
    assert_eq!(outcome(&plan(&snapshot)), "5 -> 6");
}

#[test]
fn of_those_that_ask_for_more_the_largest_wins_and_of_those_that_agree_on_less_the_smallest() {
    let percent = Rule { action: ScaleActionType::PercentChangeCount, ..back("half", "30", 50) };
    let exact = |name: &str, to: i32| Rule { action: ScaleActionType::ExactCount, value: to, ..out(name, "70", 1) };
    for (what, count, rules, value, expected) in [
        ("+3 and +5", 2, vec![out("a", "70", 3), out("b", "70", 5)], "90", "2 -> 7"),
        ("+3 and +5, at most 6", 2, vec![out("a", "70", 3), out("b", "70", 5)], "90", "2 -> 6"),
        ("-50 % leads to 5, -3 to 7", 10, vec![percent.clone(), back("b", "30", 3)], "1", "10 -> 7"),
        ("20 % of 3 is one", 3, vec![Rule { value: 20, ..percent.clone() }], "1", "3 -> 2"),
        (
            "50 % of 5 more is rounded up",
            5,
            vec![Rule { direction: ScaleDirection::Increase, operator: MetricOperator::GreaterThan, ..percent }],
            "90",
            "5 -> 8",
        ),
        ("exactly 8", 2, vec![exact("a", 8)], "90", "2 -> 8"),
        ("exactly 8 is no less", 9, vec![exact("a", 8)], "90", "nothing"),
        ("already the most", 10, vec![out("a", "70", 1)], "90", "AtMaximum"),
        ("already the least", 2, vec![back("a", "30", 1)], "1", "AtMinimum"),
        ("nobody asks for less", 5, vec![out("a", "70", 1)], "1", "nothing"),
    ] {
        let most = if what.contains("at most 6") { 6 } else { 10 };
        let values: Vec<(&str, &str)> = ["a", "b", "half"].into_iter().map(|name| (name, value)).collect();
        let snapshot = snapshot(count, profile("usual", [2, most, 2], rules), &values);
        assert_eq!(outcome(&plan(&snapshot)), expected, "{what}");
    }
}

#[test]
fn a_cooldown_holds_both_directions_and_no_bound() {
    // Out at 10:00 with an hour blocks until 11:00; in at 13:00 with 40 min blocks a scale-out until 13:40.
    let rules = || vec![out("more", "70", 1), back("less", "30", 1)];
    for (value, until, time, expected) in [
        ("90", "2026-01-07T11:00:00Z", "2026-01-07T10:59:59Z", "CoolingDown"),
        ("1", "2026-01-07T11:00:00Z", "2026-01-07T10:59:59Z", "CoolingDown"),
        ("90", "2026-01-07T11:00:00Z", "2026-01-07T11:00:00Z", "5 -> 6"),
        ("90", "2026-01-07T13:40:00Z", "2026-01-07T13:39:30Z", "CoolingDown"),
        ("1", "2026-01-07T13:40:00Z", "2026-01-07T13:40:00Z", "5 -> 4"),
    ] {
        let mut snapshot = snapshot(5, profile("usual", [2, 10, 2], rules()), &[("more", value), ("less", value)]);
        snapshot.now = at(time);
        snapshot.status.cooldown_until = Some(Stamp(at(until)));
        assert_eq!(outcome(&plan(&snapshot)), expected, "{value} at {time}, cooldown until {until}");
    }
    let mut outside = snapshot(12, profile("usual", [2, 10, 2], rules()), &[("more", "50"), ("less", "50")]);
    outside.status.cooldown_until = Some(Stamp(at("2026-01-07T11:00:00Z")));
    let plan = plan(&outside);
    assert_eq!(outcome(&plan), "12 -> 10", "bounds wait for no cooldown");
    assert_eq!(plan.decision.unwrap().cooldown_until, None, "and begin none");
}

#[test]
fn a_cooldown_holds_back_the_default_of_lost_metrics_too() {
    for (until, expected) in [("2026-01-07T10:00:01Z", "CoolingDown"), ("2026-01-07T10:00:00Z", "2 -> 4")] {
        let mut lost = snapshot(2, profile("usual", [1, 10, 4], vec![out("more", "70", 1)]), &[]);
        lost.status.cooldown_until = Some(Stamp(at(until)));
        let plan = plan(&lost);
        assert_eq!(outcome(&plan), expected, "cooldown until {until}");
        assert_eq!(plan.decision.and_then(|decision| decision.cooldown_until), None, "no rule has fired");
    }
}

#[test]
fn a_setting_is_evaluated_every_thirty_seconds_as_long_as_it_acts() {
    for (value, cooldown) in [("50", None), ("90", None), ("90", Some("2026-01-07T11:00:00Z"))] {
        let mut snapshot = snapshot(5, profile("usual", [2, 10, 2], vec![out("more", "70", 1)]), &[("more", value)]);
        snapshot.status.cooldown_until = cooldown.map(|until| Stamp(at(until)));
        assert_eq!(plan(&snapshot).wake_after, Some(Duration::from_secs(30)), "at {value}, cooldown {cooldown:?}");
        snapshot.switch = Switch::Off;
        assert_eq!(plan(&snapshot).wake_after, None, "nobody asks for it");
    }
}

#[test]
fn the_cooldown_is_that_of_the_rule_that_won() {
    let slow = Rule { cooldown: Duration::from_hours(1), ..out("slow", "70", 5) };
    let snapshot = snapshot(
        2,
        profile("usual", [2, 10, 2], vec![out("quick", "70", 1), slow]),
        &[("quick", "90"), ("slow", "90")],
    );
    let decision = plan(&snapshot).decision.unwrap();
    assert_eq!((decision.record.to, decision.cooldown_until), (7, Some(at("2026-01-07T11:00:00Z"))));
    assert_eq!(decision.record.cause, "slow: Percentage CPU 90 > 70");
}

#[test]
fn without_metrics_the_default_is_a_floor_and_never_a_ceiling() {
    let rules = || vec![out("more", "70", 1), back("less", "30", 1)];
    let lost = MetricsView::Lost { message: "the hardware does not answer".to_owned() };
    for (count, metrics, expected) in [
        (2, lost.clone(), "2 -> 4"),
        (4, lost.clone(), "MetricsLost"),
        (9, lost, "MetricsLost"),
        (2, MetricsView::Read(BTreeMap::new()), "2 -> 4"),
    ] {
        let mut snapshot = snapshot(count, profile("usual", [1, 10, 4], rules()), &[]);
        snapshot.metrics = metrics;
        assert_eq!(outcome(&plan(&snapshot)), expected, "{count} VMs");
    }
    let some = snapshot(2, profile("usual", [1, 10, 4], rules()), &[("more", "90")]);
    assert_eq!(outcome(&plan(&some)), "2 -> 3", "one that asks for more suffices");
    let some = snapshot(5, profile("usual", [1, 10, 4], rules()), &[("more", "1")]);
    assert_eq!(outcome(&plan(&some)), "MetricsLost", "less needs all of them");
    let none = snapshot(2, profile("usual", [1, 10, 4], Vec::new()), &[]);
    assert_eq!(outcome(&plan(&none)), "nothing", "a profile without rules needs no metrics");
}

/// A change, and what it is called.
type Change = (&'static str, fn(&mut AutoscaleSnapshot));

#[test]
fn a_decision_on_record_is_carried_out_once_and_then_has_an_end() {
    let record = ScaleActionRecord { from: 2, to: 3, time: Stamp(now()), cause: "more".to_owned() };
    let busy = |count| {
        let mut snapshot = snapshot(count, profile("usual", [1, 10, 1], vec![out("more", "70", 1)]), &[("more", "90")]);
        snapshot.status.last_scale_action = Some(record.clone());
        snapshot.status.cooldown_until = Some(Stamp(now() + Duration::from_mins(5)));
        snapshot
    };
    let again = busy(2);
    let told = plan(&again);
    assert_eq!((told.told, told.decision.clone(), told.ended.clone()), (Some(3), None, None), "the set was not told");
    let done = busy(3);
    let ended = plan(&done);
    assert_eq!(ended.ended.as_ref().map(|ended| ended.state), Some(ScaleActionState::Succeeded));
    assert_eq!(outcome(&ended), "CoolingDown");
    let mut settled = done.clone();
    settled.status = autoscale_status(&done, &ended);
    assert_eq!(plan(&settled).ended, None, "once");
    let changes: [Change; 4] = [
        ("somebody else changed the count", |one| {
            one.target = ScaleTarget::Found(SetCount { wished: Some(7), in_force: Some(7) });
        }),
        ("it is switched off", |one| one.switch = Switch::Off),
        ("the set is gone", |one| one.target = ScaleTarget::Missing { name: "web".to_owned() }),
        ("it took too long", |one| one.now += Duration::from_mins(31)),
    ];
    for (what, change) in changes {
        let mut snapshot = busy(2);
        change(&mut snapshot);
        let plan = plan(&snapshot);
        assert_eq!(plan.ended.as_ref().map(|ended| ended.state), Some(ScaleActionState::Failed), "{what}");
    }
}

#[test]
fn a_drop_that_waits_for_a_person_is_not_confirmed_by_accident() {
    let mut snapshot = snapshot(20, profile("usual", [5, 30, 5], vec![out("more", "70", 1)]), &[("more", "50")]);
    snapshot.target = ScaleTarget::Found(SetCount { wished: Some(2), in_force: Some(20) });
    assert_eq!(outcome(&plan(&snapshot)), "nothing", "5 would be recorded, and let the drop through");
}

#[test]
fn a_set_that_lags_behind_its_spec_has_no_count_to_decide_from() {
    // 20 in force, spec.replicas absent, and another image in its spec: its status is about the spec before.
    let lagging = || {
        let mut lagging = snapshot(20, profile("usual", [2, 10, 2], vec![back("less", "30", 5)]), &[("less", "1")]);
        lagging.target = ScaleTarget::Uncounted { name: "web".to_owned(), generation: 4, observed: 3 };
        lagging
    };
    let first = lagging();
    let waits = plan(&first);
    assert_eq!((waits.told, waits.decision.clone(), waits.current), (None, None, None), "no bound, no rule");
    assert_eq!(waits.wake_after, Some(Duration::from_secs(5)));
    let status = autoscale_status(&first, &waits);
    let ready = find(&status.conditions, AutoscaleCondition::Ready.as_str()).unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "Waiting"));
    assert_eq!(ready.message, "set web has looked at its generation 3, 4 is the newest");

    // Once something was found it stands; only what is waited for shows.
    let settled = snapshot(5, profile("usual", [2, 10, 2], vec![back("less", "30", 5)]), &[("less", "50")]);
    let before = autoscale_status(&settled, &plan(&settled));
    let mut later = lagging();
    later.status = before.clone();
    let mut after = autoscale_status(&later, &plan(&later));
    let name = AutoscaleCondition::Reconciling.as_str();
    let waiting = find(&after.conditions, name).unwrap();
    assert_eq!((waiting.status.as_str(), waiting.reason.as_str()), ("True", "Waiting"));
    let kept = find(&before.conditions, name).unwrap().clone();
    after.conditions.iter_mut().filter(|one| one.type_ == name).for_each(|one| *one = kept.clone());
    assert_eq!(after, before);
}

#[test]
fn a_decision_on_record_waits_for_a_set_that_lags_behind_its_spec() {
    let record = ScaleActionRecord { from: 20, to: 8, time: Stamp(now()), cause: "less".to_owned() };
    let drops = |target| {
        let mut one = snapshot(20, profile("usual", [2, 30, 2], vec![back("less", "30", 12)]), &[("less", "1")]);
        one.status.last_scale_action = Some(record.clone());
        one.target = target;
        one
    };
    let lagging = drops(ScaleTarget::Uncounted { name: "web".to_owned(), generation: 4, observed: 3 });
    let waits = plan(&lagging);
    assert_eq!((waits.told, waits.ended.clone(), waits.decision.clone()), (None, None, None));

    let counted = |wished, in_force| ScaleTarget::Found(SetCount { wished: Some(wished), in_force: Some(in_force) });
    let held = drops(counted(8, 20));
    let waits = plan(&held);
    assert_eq!((waits.told, waits.ended.clone(), waits.decision.clone()), (None, None, None), "it confirms the drop");
    assert_eq!(waits.wake_after, Some(Duration::from_secs(5)));
    let mut late = drops(counted(8, 20));
    late.now += Duration::from_mins(31);
    let given_up = plan(&late).ended.unwrap();
    assert_eq!(given_up.state, ScaleActionState::Failed);
    assert_eq!(given_up.message.as_deref(), Some("20 were still in force after 1800 s"));
    for in_force in [8, 7] {
        let taken = drops(counted(8, in_force));
        assert_eq!(plan(&taken).ended.unwrap().state, ScaleActionState::Succeeded, "{in_force} in force");
    }
}

#[test]
fn a_set_that_was_never_looked_at_counts_by_its_wish_alone() {
    let of = |wished| {
        let mut new = snapshot(0, profile("usual", [2, 10, 2], Vec::new()), &[]);
        new.target = ScaleTarget::Found(SetCount { wished, in_force: None });
        new
    };
    for (wished, expected) in [(None, "0 -> 2"), (Some(0), "0 -> 2"), (Some(12), "12 -> 10"), (Some(5), "nothing")] {
        assert_eq!(outcome(&plan(&of(wished))), expected, "{wished:?}");
    }
}

#[test]
fn whoever_else_decides_keeps_the_setting_back() {
    let refused = |change: fn(&mut AutoscaleSnapshot)| {
        let mut snapshot = snapshot(2, profile("usual", [1, 10, 1], vec![out("more", "70", 1)]), &[("more", "90")]);
        change(&mut snapshot);
        let plan = plan(&snapshot);
        assert_eq!((plan.told, plan.decision.is_none()), (None, true));
        let status = autoscale_status(&snapshot, &plan);
        let of = |name: AutoscaleCondition| {
            let found = find(&status.conditions, name.as_str()).unwrap();
            format!("{} {}", found.status, found.reason)
        };
        [of(AutoscaleCondition::Ready), of(AutoscaleCondition::Active), of(AutoscaleCondition::Stalled)]
    };
    let not_allowed = ["False OperationNotAllowed", "False OperationNotAllowed", "True OperationNotAllowed"];
    assert_eq!(refused(|one| one.rival = Rival::OlderSetting { name: "first".to_owned() }), not_allowed);
    assert_eq!(refused(|one| one.rival = Rival::HorizontalPodAutoscaler), not_allowed);
    assert_eq!(refused(|one| one.target = ScaleTarget::WithoutProfile { name: "web".to_owned() }), not_allowed);
    let missing = ["False ResourceNotFound", "False ResourceNotFound", "True ResourceNotFound"];
    assert_eq!(refused(|one| one.target = ScaleTarget::Missing { name: "web".to_owned() }), missing);
    let waiting = ["False Waiting", "False Waiting", "False Converged"];
    let behind = |one: &mut AutoscaleSnapshot| {
        one.target = ScaleTarget::Uncounted { name: "web".to_owned(), generation: 2, observed: 1 };
    };
    assert_eq!(refused(behind), waiting);
    assert_eq!(refused(|one| one.rival = Rival::Unknown { message: "no answer".to_owned() }), waiting);
    let off = ["True Disabled", "False Disabled", "False Converged"];
    assert_eq!(refused(|one| one.switch = Switch::Off), off);
}

#[test]
fn values_alone_are_written_every_five_minutes() {
    let rules = || vec![out("more", "70", 1)];
    let first = snapshot(2, profile("usual", [1, 10, 1], rules()), &[("more", "50")]);
    let before = autoscale_status(&first, &plan(&first));
    let after = |value: &str, minutes: u64| {
        let mut next = snapshot(2, profile("usual", [1, 10, 1], rules()), &[("more", value)]);
        next.now += Duration::from_mins(minutes);
        next.status = before.clone();
        worth(&autoscale_status(&next, &plan(&next)), &before, next.now)
    };
    assert_eq!(after("50", 1), Worth::Never);
    assert_eq!(after("60", 1), Worth::NotYet);
    assert_eq!(after("60", 5), Worth::Now);
    assert_eq!(after("90", 1), Worth::Now, "it fires");
}

#[test]
fn a_recurring_profile_lasts_until_the_next_begins() {
    let profiles = week();
    for (time, current, next, when) in [
        ("2026-01-07T10:00:00Z", "weekdays", "weekend", "2026-01-09T23:01:00Z"),
        ("2026-01-09T23:00:59Z", "weekdays", "weekend", "2026-01-09T23:01:00Z"),
        ("2026-01-09T23:01:00Z", "weekend", "weekdays", "2026-01-12T03:00:00Z"),
        // The clocks change on Sunday 29 March and on Sunday 25 October 2026: 04:00 stays 04:00.
        ("2026-03-29T12:00:00Z", "weekend", "weekdays", "2026-03-30T02:00:00Z"),
        ("2026-10-25T12:00:00Z", "weekend", "weekdays", "2026-10-26T03:00:00Z"),
    ] {
        assert_eq!(in_force(&profiles, at(time)).unwrap().name, current, "at {time}");
        let (following, instant) = next_change(&profiles, at(time)).unwrap();
        assert_eq!((following.unwrap().name.as_str(), instant), (next, at(when)), "after {time}");
    }
}

#[test]
fn a_fixed_date_goes_before_and_what_makes_no_sense_is_never_in_force() {
    let (start, end) = (at("2026-01-08T00:00:00Z"), at("2026-01-09T00:00:00Z"));
    let mut profiles = week();
    profiles.push(Profile { schedule: Schedule::Fixed { start, end }, ..profile("sale", [20, 50, 20], Vec::new()) });
    profiles.push(Profile { schedule: Schedule::Never, ..profile("broken", [0, 0, 0], Vec::new()) });
    for (time, current, next) in [
        ("2026-01-07T23:59:59Z", "weekdays", Some("sale")),
        ("2026-01-08T00:00:00Z", "sale", Some("weekdays")),
        ("2026-01-08T23:59:59Z", "sale", Some("weekdays")),
        ("2026-01-09T00:00:00Z", "weekdays", Some("weekend")),
    ] {
        assert_eq!(in_force(&profiles, at(time)).unwrap().name, current, "at {time}");
        let following = next_change(&profiles, at(time)).and_then(|(next, _)| next.map(|next| next.name.as_str()));
        assert_eq!(following, next, "after {time}");
    }
    let alone = [Profile { schedule: Schedule::Never, ..profile("broken", [0, 0, 0], Vec::new()) }];
    assert_eq!((in_force(&alone, now()), next_change(&alone, now())), (None, None));
    let mut snapshot = snapshot(5, alone[0].clone(), &[]);
    snapshot.defects = vec!["spec.profiles[broken].recurrence.timeZone: there is no time zone X".to_owned()];
    let plan = plan(&snapshot);
    let status = autoscale_status(&snapshot, &plan);
    assert_eq!(outcome(&plan), "nothing");
    let ready = find(&status.conditions, AutoscaleCondition::Ready.as_str()).unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", Reason::InvalidParameter.as_str()));
}

#[test]
fn statistics_and_aggregations() {
    // Two grains of two VMs each: 10 and 30, then 20 and 60.
    let points = [(10, 30), (20, 60)].map(|(one, two): (i64, i64)| MetricPoint {
        start: now(),
        count: 2,
        total: (one + two) * 1_000,
        minimum: one * 1_000,
        maximum: two * 1_000,
    });
    for (statistic, aggregation, expected) in [
        (MetricStatistic::Average, TimeAggregation::Average, "30"),
        (MetricStatistic::Average, TimeAggregation::Minimum, "20"),
        (MetricStatistic::Average, TimeAggregation::Maximum, "40"),
        (MetricStatistic::Min, TimeAggregation::Average, "15"),
        (MetricStatistic::Max, TimeAggregation::Last, "60"),
        (MetricStatistic::Sum, TimeAggregation::Total, "120"),
        (MetricStatistic::Sum, TimeAggregation::Average, "60"),
        (MetricStatistic::Count, TimeAggregation::Average, "2"),
        (MetricStatistic::Average, TimeAggregation::Count, "2"),
    ] {
        let rule = Rule { statistic, aggregation, ..out("more", "70", 1) };
        let value = rule.find(&points, 4).value.unwrap();
        assert_eq!(value.to_string(), expected, "{statistic:?} {aggregation:?}");
    }
    let queue = Rule {
        statistic: MetricStatistic::Sum,
        aggregation: TimeAggregation::Last,
        division: Division::PerInstance,
        ..out("more", "70", 1)
    };
    assert_eq!(queue.find(&points, 4).value.unwrap().to_string(), "20", "80 on 4 VMs");
    assert_eq!(queue.find(&[], 4).value, None);
}
