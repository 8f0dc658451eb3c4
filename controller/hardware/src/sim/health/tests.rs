//! Every row of the state machine at exact seconds, and that it does not matter when a watch is brought up to date.

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scaleset_crds::health::HealthProbe;
use scaleset_crds::vocabulary::ProbeProtocol;

use super::*;
use ApplicationProtocol::{Http, Https, Tcp};
use Health::{Hangs, Healthy, Unhealthy, Unknown};
use HealthStates::{Binary, Rich};

/// Asks 10 s after the guest has started, three times at an interval of 10 s, with 100 s of grace.
const BEGINS_AT: i64 = 10;

fn extension(states: HealthStates, protocol: ApplicationProtocol) -> HealthSource<'static> {
    HealthSource::Extension(ApplicationHealth {
        name: "health",
        protocol,
        states,
        interval_seconds: 10,
        number_of_probes: 3,
        grace_period_seconds: 100,
    })
}

fn with_grace(grace_period_seconds: i32, source: HealthSource<'_>) -> HealthSource<'_> {
    match source {
        HealthSource::Extension(extension) => {
            HealthSource::Extension(ApplicationHealth { grace_period_seconds, ..extension })
        }
        HealthSource::Probe(probe) => HealthSource::Probe(probe),
    }
}

fn probe() -> HealthProbe {
    HealthProbe {
        load_balancer: "front".to_owned(),
        protocol: ProbeProtocol::Tcp,
        port: 80,
        request_path: None,
        interval_seconds: 10,
        number_of_probes: 3,
    }
}

/// Answers by the second from which on they are given.
type Timeline<'a> = &'a [(i64, Health)];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn answers(timeline: Timeline<'_>) -> Vec<Answer> {
    timeline.iter().map(|(second, health)| Answer { at: at(*second), health: *health }).collect()
}

/// What is seen of a watch second by second, for ten minutes.
#[derive(Default)]
struct Seen {
    /// Each report with its first second; `-` for none.
    changes: Vec<String>,
    last: Option<ApplicationHealthReport>,
}

impl Seen {
    fn look(&mut self, second: i64, report: Option<ApplicationHealthReport>) {
        if report == self.last {
            return;
        }
        let state = report.map_or("-".to_owned(), |report| format!("{:?}", report.state));
        assert!(report.is_none_or(|report| report.since == at(second)), "{second}: {report:?}");
        self.changes.push(format!("{second} {state}"));
        self.last = report;
    }
}

/// What a source says of a timeline that it knows from the start.
fn told(source: HealthSource<'_>, timeline: Timeline<'_>) -> String {
    let watch = Watch::new(at(BEGINS_AT), answers(timeline));
    let mut seen = Seen::default();
    let mut expected = watch.next_change(source, at(-1));
    for second in 0..600 {
        if Some(at(second)) == expected {
            expected = watch.next_change(source, at(second));
        } else {
            assert_eq!(watch.report(source, at(second)), seen.last, "second {second} was not awaited");
        }
        seen.look(second, watch.report(source, at(second)));
    }
    seen.changes.join(", ")
}

#[test]
fn an_extension_with_rich_states_is_initializing_first() {
    let table: [(HealthSource<'_>, Timeline<'_>, &str); 14] = [
        (extension(Rich, Http), &[(0, Healthy)], "10 Initializing, 40 Healthy"),
        (extension(Rich, Https), &[(0, Unhealthy)], "10 Initializing, 40 Unhealthy"),
        (extension(Rich, Http), &[(0, Unknown)], "10 Initializing, 110 Unknown"),
        (extension(Rich, Tcp), &[(0, Healthy)], "10 Initializing, 40 Healthy"),
        (extension(Rich, Tcp), &[(0, Unknown)], "10 Initializing, 40 Unhealthy"),
        (with_grace(20, extension(Rich, Tcp)), &[(0, Unknown)], "10 Initializing, 30 Unhealthy"),
        (with_grace(30, extension(Rich, Http)), &[(0, Healthy)], "10 Initializing, 40 Healthy"),
        (with_grace(20, extension(Rich, Http)), &[(0, Healthy)], "10 Initializing, 30 Unknown, 40 Healthy"),
        // An application that comes up late, within the grace period and after it.
        (extension(Rich, Http), &[(0, Unknown), (60, Healthy)], "10 Initializing, 90 Healthy"),
        (extension(Rich, Http), &[(0, Unknown), (90, Healthy)], "10 Initializing, 110 Unknown, 120 Healthy"),
        // Later changes need as many equal answers.
        (extension(Rich, Http), &[(0, Healthy), (100, Unhealthy)], "10 Initializing, 40 Healthy, 130 Unhealthy"),
        (extension(Rich, Http), &[(0, Healthy), (100, Unknown)], "10 Initializing, 40 Healthy, 130 Unknown"),
        (extension(Rich, Tcp), &[(0, Healthy), (100, Unknown)], "10 Initializing, 40 Healthy, 130 Unhealthy"),
        (extension(Rich, Http), &[(0, Healthy), (100, Unknown), (129, Healthy)], "10 Initializing, 40 Healthy"),
    ];
    for (source, timeline, expected) in table {
        assert_eq!(told(source, timeline), expected, "{source:?} {timeline:?}");
    }
}

#[test]
fn an_extension_with_binary_states_says_nothing_until_it_has_asked_often_enough() {
    let table: [(Timeline<'_>, &str); 6] = [
        (&[(0, Healthy)], "40 Healthy"),
        (&[(0, Unhealthy)], "40 Unhealthy"),
        (&[(0, Unknown)], "40 Unhealthy"),
        (&[(0, Unhealthy), (30, Unknown)], "40 Unhealthy"),
        (&[(0, Healthy), (20, Unhealthy), (45, Healthy)], "75 Healthy"),
        (&[(0, Healthy), (100, Unknown), (200, Healthy)], "40 Healthy, 130 Unhealthy, 230 Healthy"),
    ];
    for (timeline, expected) in table {
        assert_eq!(told(extension(Binary, Http), timeline), expected, "{timeline:?}");
    }
}

#[test]
fn a_probe_believes_one_success_and_several_failures() {
    let probe = probe();
    let table: [(Timeline<'_>, &str); 6] = [
        (&[(0, Healthy)], "20 Healthy"),
        (&[(0, Unhealthy)], "40 Unhealthy"),
        (&[(0, Unknown)], "40 Unhealthy"),
        (&[(0, Hangs)], "40 Unhealthy"),
        (&[(0, Healthy), (100, Hangs), (200, Healthy)], "20 Healthy, 130 Unhealthy, 210 Healthy"),
        (&[(0, Healthy), (100, Unhealthy), (115, Hangs), (129, Healthy)], "20 Healthy"),
    ];
    for (timeline, expected) in table {
        assert_eq!(told(HealthSource::Probe(&probe), timeline), expected, "{timeline:?}");
    }
}

#[test]
fn a_probe_keeps_out_for_longer_who_flaps() {
    let probe = probe();
    let timeline: Timeline<'_> = &[
        (0, Healthy),
        (100, Unhealthy),
        (140, Healthy),
        (200, Unhealthy),
        (240, Healthy),
        (300, Hangs),
        (340, Healthy),
        (400, Unhealthy),
        (440, Healthy),
    ];
    let expected = "20 Healthy, 130 Unhealthy, 150 Healthy, 230 Unhealthy, 260 Healthy, 330 Unhealthy, 380 Healthy, \
                    430 Unhealthy, 520 Healthy";
    assert_eq!(told(HealthSource::Probe(&probe), timeline), expected);
    // A bad answer among the good ones begins the count anew, and is no drop.
    let timeline: Timeline<'_> = &[
        (0, Healthy),
        (100, Unhealthy),
        (140, Healthy),
        (200, Unhealthy),
        (240, Healthy),
        (255, Hangs),
        (256, Healthy),
    ];
    let expected = "20 Healthy, 130 Unhealthy, 150 Healthy, 230 Unhealthy, 276 Healthy";
    assert_eq!(told(HealthSource::Probe(&probe), timeline), expected);
}

#[test]
fn drops_count_for_ten_minutes() {
    let table: [(&[i64], i64, i32); 9] = [
        (&[], 0, 1),
        (&[100], 110, 1),
        (&[0, 100], 110, 2),
        (&[0, 100, 200], 210, 4),
        (&[0, 100, 200, 300, 400], 410, 16),
        (&[0, 100, 200, 300, 400, 500], 510, 16),
        (&[0, 100], 599, 2),
        (&[0, 100], 600, 1),
        (&[0, 100], 10_000, 1),
    ];
    for (drops, from, expected) in table {
        let times: Vec<Timestamp> = drops.iter().map(|second| at(*second)).collect();
        assert_eq!(good_answers(&times, at(from)), expected, "{drops:?} at {from}");
    }
}

#[test]
fn a_guest_that_hangs_silences_its_extension_which_goes_on_from_where_it_was() {
    let table: [(HealthStates, Timeline<'_>, &str); 5] = [
        (Rich, &[(0, Hangs)], ""),
        (Rich, &[(0, Healthy), (100, Hangs), (200, Healthy)], "10 Initializing, 40 Healthy, 100 -, 200 Healthy"),
        (
            Rich,
            &[(0, Healthy), (100, Hangs), (200, Unhealthy)],
            "10 Initializing, 40 Healthy, 100 -, 200 Healthy, 230 Unhealthy",
        ),
        (Rich, &[(0, Unknown), (50, Hangs), (200, Healthy)], "10 Initializing, 50 -, 200 Unknown, 230 Healthy"),
        (Binary, &[(0, Healthy), (30, Hangs), (50, Healthy), (100, Hangs)], "80 Healthy, 100 -"),
    ];
    for (states, timeline, expected) in table {
        assert_eq!(told(extension(states, Http), timeline), expected, "{states:?} {timeline:?}");
    }
}

#[test]
fn what_was_awaited_until_the_instant_of_another_answer_has_come() {
    assert_eq!(told(extension(Binary, Http), &[(0, Healthy), (40, Unhealthy)]), "40 Healthy, 70 Unhealthy");
    assert_eq!(told(extension(Binary, Http), &[(0, Healthy), (39, Unhealthy)]), "69 Unhealthy");
}

#[test]
fn it_makes_no_difference_when_a_watch_is_brought_up_to_date() {
    let probe = probe();
    let sources = [
        extension(Rich, Http),
        extension(Rich, Tcp),
        with_grace(25, extension(Rich, Http)),
        extension(Binary, Http),
        HealthSource::Probe(&probe),
    ];
    for seed in 0..300 {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        let source = sources[usize::try_from(seed).unwrap() % sources.len()];
        let mut timeline = vec![(0, Healthy)];
        let mut second = 0;
        while second < 550 {
            second += chance.random_range(1..60);
            timeline.push((second, *[Healthy, Unhealthy, Unknown, Hangs].choose(&mut chance).unwrap()));
        }
        let expected = told(source, &timeline);

        let heard = answers(&timeline);
        let mut watch = Watch::new(at(BEGINS_AT), heard[..1].to_vec());
        let mut seen = Seen::default();
        for second in 0..600 {
            let known: Vec<Answer> = heard.iter().filter(|answer| answer.at <= at(second)).copied().collect();
            let changed = known.last().is_some_and(|answer| answer.at == at(second));
            if changed || chance.random_bool(0.1) {
                watch = watch.hearing(&known[known.len() - 1..], source, at(second));
                assert_eq!(watch.answers.len(), 1);
            }
            seen.look(second, watch.report(source, at(second)));
        }
        assert_eq!(seen.changes.join(", "), expected, "seed {seed}, {source:?}, {timeline:?}");
    }
}
