//! Many stories that nobody wrote, each by a seed: rules that hold at every moment, and rest once all is healed.
//!
//! `SEEDS=1000..2000` plays others than the usual ones. A failure prints the seed and the commands of its story.

use std::num::NonZero;
use std::ops::Range;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{iter, thread};

use scaleset_tests::simulation::fuzz::play_seed;
use scaleset_tests::simulation::script::Setting;
use scaleset_tests::simulation::stage::Order;

const SEEDS: Range<u64> = 0..200;

fn play(seed: u64) -> (String, Vec<String>) {
    let order = if seed.is_multiple_of(2) { Order::Fixed } else { Order::Seeded(seed) };
    play_seed(seed, Setting { directory: Path::new("."), order })
}

/// What went wrong with a seed, with the commands of its story.
fn failure(seed: u64) -> Option<String> {
    let told = catch_unwind(|| play(seed));
    let (story, wrong) = match told {
        Ok((_, findings)) if findings.is_empty() => return None,
        Ok((story, findings)) => (story, findings.join("\n")),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            let broken: Vec<&str> = text.lines().filter(|line| line.starts_with("BROKEN")).collect();
            let wrong =
                if broken.is_empty() { text.lines().last().unwrap_or_default().to_owned() } else { broken.join("\n") };
            (text, wrong)
        }
    };
    let commands: Vec<&str> = story.lines().filter_map(|line| line.strip_prefix("> ")).collect();
    Some(format!("seed {seed}: {wrong}\n  {}", commands.join("\n  ")))
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
        assert_eq!(play(seed).0, play(seed).0, "seed {seed}");
    }
}
