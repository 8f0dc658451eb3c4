//! How long one pass of the planner takes over a set that is as it should be, and over one that is to be made.
#![expect(missing_docs, reason = "criterion's macro makes a public function")]

#[expect(dead_code, reason = "the planner's tests use the rest")]
#[path = "../tests/planner/fleet.rs"]
mod fleet;

#[path = "../tests/planner/settings.rs"]
mod settings;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use scaleset_planning::autoscale;
use scaleset_planning::scale_set::plan;
use scaleset_planning::snapshot::ScaleSetSnapshot;
use scaleset_planning::status::autoscale::{Worth, autoscale_status, worth};

/// Zones that the members are spread over.
const ZONES: [&str; 3] = ["1", "2", "3"];

fn wished(count: usize) -> ScaleSetSnapshot {
    fleet::snapshot(&ZONES, i32::try_from(count).expect("a count fits"))
}

/// A set with `count` members, all of them well.
fn settled(count: usize) -> ScaleSetSnapshot {
    let mut snapshot = wished(count);
    let newest = fleet::newest(&snapshot);
    let zones = ZONES.iter().enumerate().map(|(index, zone)| (Some(*zone), (count + 2 - index) / 3));
    snapshot.members = fleet::spread(&zones.collect::<Vec<_>>(), &newest);
    assert_eq!(snapshot.members.len(), count);
    snapshot
}

fn planning(criterion: &mut Criterion) {
    for count in [1_000, 10_000] {
        let snapshot = settled(count);
        assert!(plan(&snapshot).actions.is_empty(), "there is nothing to do");
        criterion.bench_function(&format!("settled-{count}"), |bencher| bencher.iter(|| plan(black_box(&snapshot))));
    }
    let snapshot = wished(1_000);
    assert_eq!(fleet::created(&plan(&snapshot)).len(), 1_000);
    criterion.bench_function("made-1000", |bencher| bencher.iter(|| plan(black_box(&snapshot))));
}

/// A thousand settings that follow load and calendar, each with a rule for more and one for less.
fn autoscaling(criterion: &mut Criterion) {
    let rules = || vec![settings::out("more", "70", 1), settings::back("less", "30", 1)];
    let setting = |count: i32| {
        let usual = settings::profile("usual", [2, 10, 2], rules());
        let mut snapshot = settings::snapshot(count, usual, &[("more", "50"), ("less", "50")]);
        snapshot.profiles.extend(settings::week());
        snapshot
    };
    let settings: Vec<_> = (0..1_000).map(|number| setting(2 + number % 9)).collect();
    criterion.bench_function("autoscale-1000-settings", |bencher| {
        bencher.iter(|| settings.iter().filter(|one| autoscale::plan(black_box(one)).told.is_some()).count());
    });
    // As a pass has it: the calendar is read from its words first, time zones among them, and the status is made and held against the
    // one before.
    criterion.bench_function("autoscale-1000-settings-read-and-planned", |bencher| {
        let is_told = |number: i32| {
            let setting = setting(2 + number % 9);
            let plan = autoscale::plan(&setting);
            let status = autoscale_status(&setting, &plan);
            worth(&status, &setting.status, setting.now) == Worth::Now && plan.told.is_some()
        };
        bencher.iter(|| (0..1_000).filter(|number| is_told(black_box(*number))).count());
    });
}

criterion_group!(benches, planning, autoscaling);
criterion_main!(benches);
