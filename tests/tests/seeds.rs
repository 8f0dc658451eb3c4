//! Many stories that nobody wrote, each by a seed: rules that hold at every moment, and rest once all is healed.
//!
//! `SEEDS=1000..2000` plays others than the usual ones. A failure prints the seed, the commands of its story, and how to
//! play it again.

use std::num::NonZero;
use std::ops::Range;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{iter, thread};

use scaleset_tests::simulation::autoscaling::play_autoscaling;
use scaleset_tests::simulation::brim::play_brim;
use scaleset_tests::simulation::checkers::RepairsSeen;
use scaleset_tests::simulation::fuzz::play_seed;
use scaleset_tests::simulation::repairs::play_repairs;
use scaleset_tests::simulation::rollout::play_rollout;
use scaleset_tests::simulation::script::{Setting, repairs_told};
use scaleset_tests::simulation::stage::Order;

type Play = fn(u64, Setting<'_>, &Mutex<Vec<String>>) -> (String, Vec<String>);

/// One sort of stories.
struct Stories {
    /// Name of the test that plays them.
    test: &'static str,
    play: Play,
    seeds: Range<u64>,
    /// What there must be of repairs in all of them together; fewer than [`FEW`] stories need none.
    repairs_min: RepairsSeen,
}

/// So few stories may happen to have no repair.
const FEW: u64 = 10;
const NO_REPAIRS: RepairsSeen = RepairsSeen { begun: 0, at_once_max: 0 };
const REPAIRS: RepairsSeen = RepairsSeen { begun: 1, at_once_max: 1 };

const OF_EVERYTHING: Stories = Stories {
    test: "every_seed_keeps_the_rules_and_comes_to_rest",
    play: play_seed,
    seeds: 0..200,
    repairs_min: REPAIRS,
};
const ROLLOUTS: Stories = Stories {
    test: "every_rollout_keeps_its_limits_and_ends",
    play: play_rollout,
    seeds: 0..1_000,
    repairs_min: REPAIRS,
};

const AUTOSCALING: Stories = Stories {
    test: "every_load_is_followed_within_bounds_and_cooldowns",
    play: play_autoscaling,
    seeds: 0..200,
    repairs_min: NO_REPAIRS,
};

/// Few: each has a hundred VMs or two.
const AT_THE_LIMIT: Stories = Stories {
    test: "every_set_stops_at_the_limit_of_its_members",
    play: play_brim,
    seeds: 0..6,
    repairs_min: NO_REPAIRS,
};

/// Few: each has forty VMs or more, so that two are repaired at once.
const REPAIRED: Stories = Stories {
    test: "every_repair_keeps_its_grace_and_its_batch",
    play: play_repairs,
    seeds: 0..16,
    repairs_min: RepairsSeen { begun: 20, at_once_max: 2 },
};

impl Stories {
    fn play(&self, seed: u64, told: &Mutex<Vec<String>>) -> (String, Vec<String>) {
        let order = if seed.is_multiple_of(2) { Order::Fixed } else { Order::Seeded(seed) };
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        (self.play)(seed, Setting { directory: &directory, order }, told)
    }

    /// What there was of repairs, or what went wrong with a seed, with the commands of its story.
    fn outcome(&self, seed: u64) -> Result<RepairsSeen, String> {
        let told = Mutex::default();
        let wrong = match catch_unwind(|| self.play(seed, &told)) {
            Ok((transcript, findings)) if findings.is_empty() => return Ok(repairs_told(&transcript)),
            Ok((_, findings)) => findings.join("\n"),
            // The end of a panic's text says what it is about; before it stands the transcript.
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map_or("", String::as_str);
                let end: Vec<&str> = text.lines().rev().take(4).collect();
                end.into_iter().rev().collect::<Vec<&str>>().join("\n")
            }
        };
        let commands = told.into_inner().unwrap_or_else(PoisonError::into_inner);
        let again = format!("SEEDS={seed}..{} cargo test -p scaleset-tests --test seeds {}", seed + 1, self.test);
        Err(format!("seed {seed}: {wrong}\nagain: {again}\nits commands:\n  {}", commands.join("\n  ")))
    }

    fn seeds(&self) -> Range<u64> {
        let Ok(asked) = std::env::var("SEEDS") else { return self.seeds.clone() };
        let (from, to) = asked.split_once("..").expect("SEEDS is a range like 0..200");
        from.parse().expect("SEEDS begins with a number")..to.parse().expect("SEEDS ends with a number")
    }

    /// Plays all of them, the lowest seeds first, and fails with the first few that went wrong.
    fn play_all(&self) {
        let (seeds, next) = (self.seeds(), AtomicU64::new(0));
        let take = || seeds.clone().nth(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).ok()?);
        let play_on = || iter::from_fn(take).map(|seed| self.outcome(seed)).collect::<Vec<_>>();
        let workers = thread::available_parallelism().map_or(1, NonZero::get);
        let outcomes: Vec<Result<RepairsSeen, String>> = thread::scope(|scope| {
            let parts: Vec<_> = (0..workers).map(|_| scope.spawn(play_on)).collect();
            parts.into_iter().flat_map(|part| part.join().expect("failures are caught inside")).collect()
        });
        let failures: Vec<String> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).cloned().collect();
        let shown = failures.iter().take(5).cloned().collect::<Vec<_>>().join("\n\n");
        assert!(failures.is_empty(), "{} of {} seeds failed\n{shown}", failures.len(), seeds.clone().count());
        let repairs: Vec<RepairsSeen> = outcomes.into_iter().filter_map(Result::ok).collect();
        let begun: usize = repairs.iter().map(|seen| seen.begun).sum();
        let at_once_max = repairs.iter().map(|seen| seen.at_once_max).max().unwrap_or(0);
        println!("{}: {begun} repairs, at most {at_once_max} at once", self.test);
        let enough = begun >= self.repairs_min.begun && at_once_max >= self.repairs_min.at_once_max;
        let few = seeds.end - seeds.start < FEW;
        assert!(few || enough, "{begun} repairs, {at_once_max} at once: too few of {:?}", self.repairs_min);
    }
}

#[test]
fn every_seed_keeps_the_rules_and_comes_to_rest() {
    OF_EVERYTHING.play_all();
}

#[test]
fn every_rollout_keeps_its_limits_and_ends() {
    ROLLOUTS.play_all();
}

#[test]
fn every_load_is_followed_within_bounds_and_cooldowns() {
    AUTOSCALING.play_all();
}

#[test]
fn every_set_stops_at_the_limit_of_its_members() {
    AT_THE_LIMIT.play_all();
}

#[test]
fn every_repair_keeps_its_grace_and_its_batch() {
    REPAIRED.play_all();
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for stories in [OF_EVERYTHING, ROLLOUTS, AUTOSCALING] {
        for seed in [3, 14, 15] {
            let told = || stories.play(seed, &Mutex::default()).0;
            assert_eq!(told(), told(), "seed {seed} of {}", stories.test);
        }
    }
}
