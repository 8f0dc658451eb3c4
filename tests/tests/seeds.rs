//! Many stories that nobody wrote, each by a seed: rules that hold at every moment, and rest once all is healed.
//!
//! `SEEDS=1000..2000` plays others than the usual ones. A failure prints the seed and the commands of its story.

use std::num::NonZero;
use std::ops::Range;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{iter, thread};

use scaleset_tests::simulation::fuzz::play_seed;
use scaleset_tests::simulation::script::Setting;
use scaleset_tests::simulation::stage::Order;

const SEEDS: Range<u64> = 0..200;

fn play(seed: u64, told: &Mutex<Vec<String>>) -> (String, Vec<String>) {
    let order = if seed.is_multiple_of(2) { Order::Fixed } else { Order::Seeded(seed) };
    play_seed(seed, Setting { directory: Path::new("."), order }, told)
}

/// What went wrong with a seed, with the commands of its story.
fn failure(seed: u64) -> Option<String> {
    let told = Mutex::default();
    let wrong = match catch_unwind(|| play(seed, &told)) {
        Ok((_, findings)) if findings.is_empty() => return None,
        Ok((_, findings)) => findings.join("\n"),
        // The end of a panic's text says what it is about; before it stands the transcript.
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map_or("", String::as_str);
            let end: Vec<&str> = text.lines().rev().take(4).collect();
            end.into_iter().rev().collect::<Vec<&str>>().join("\n")
        }
    };
    let commands = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    Some(format!("seed {seed}: {wrong}\nits commands:\n  {}", commands.join("\n  ")))
}

fn seeds() -> Range<u64> {
    let Ok(asked) = std::env::var("SEEDS") else { return SEEDS };
    let (from, to) = asked.split_once("..").expect("SEEDS is a range like 0..200");
    from.parse().expect("SEEDS begins with a number")..to.parse().expect("SEEDS ends with a number")
}

#[test]
fn every_seed_keeps_the_rules_and_comes_to_rest() {
    let (seeds, next) = (seeds(), AtomicU64::new(0));
    let take = || seeds.clone().nth(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).ok()?);
    let play_on = || iter::from_fn(take).filter_map(failure).collect::<Vec<String>>();
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let failures: Vec<String> = thread::scope(|scope| {
        let parts: Vec<_> = (0..workers).map(|_| scope.spawn(play_on)).collect();
        parts.into_iter().flat_map(|part| part.join().expect("failures are caught inside")).collect()
    });
    let shown = failures.iter().take(5).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(failures.is_empty(), "{} of {} seeds failed\n{shown}", failures.len(), seeds.count());
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in [3, 14, 15] {
        assert_eq!(play(seed, &Mutex::default()).0, play(seed, &Mutex::default()).0, "seed {seed}");
    }
}
