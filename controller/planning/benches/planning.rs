//! How long one pass of the planner takes over a set that is as it should be, and over one that is to be made.
#![expect(missing_docs, reason = "criterion's macro makes a public function")]

#[expect(dead_code, reason = "the planner's tests use the rest")]
#[path = "../tests/planner/fleet.rs"]
mod fleet;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use scaleset_planning::scale_set::plan;
use scaleset_planning::snapshot::ScaleSetSnapshot;

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

criterion_group!(benches, planning);
criterion_main!(benches);
