//! The planner's step as the transition of a model, searched exhaustively with stateright.
//!
//! A set of three VMs gets one new model, which is good or bad; the controller dies up to two times, each time between
//! two writes or before the first; VMs, hardware and the health timeout take their turns in every order. What is planned
//! is planned by the real `scale_set::plan`, and its record is read back from the real status. What is left out, so that
//! the world is finite: time is whether the health timeout of a mark is over; VMs that broke are not tried again; nobody
//! but the upgrade touches the set.

#[path = "model_check/ending.rs"]
mod ending;
#[path = "planner/fleet.rs"]
#[expect(dead_code, reason = "the tables use more of it")]
mod fleet;
#[path = "model_check/rules.rs"]
mod rules;
#[path = "model_check/snapshot.rs"]
mod snapshot;
#[path = "model_check/steps.rs"]
mod steps;
#[path = "model_check/world.rs"]
mod world;

use scaleset_crds::vocabulary::UpgradeMode;
use scaleset_planning::snapshot::{BreachRule, MaxSurge};
use stateright::{Checker, Model};

use world::{Change, Content, Setting};

type Policy = (UpgradeMode, MaxSurge, BreachRule);

const MANUAL: Policy = (UpgradeMode::Manual, MaxSurge::Count(0), BreachRule::Stop);
const AUTOMATIC: Policy = (UpgradeMode::Automatic, MaxSurge::Count(0), BreachRule::Stop);
const ROLLING: Policy = (UpgradeMode::Rolling, MaxSurge::Count(0), BreachRule::Stop);
const ROLLING_BACK: Policy = (UpgradeMode::Rolling, MaxSurge::Count(0), BreachRule::RollBack);
const SURGING: Policy = (UpgradeMode::Rolling, MaxSurge::Count(1), BreachRule::Stop);

/// One of three may be down.
const BY_ONE: i32 = 40;
/// Two of three.
const BY_TWO: i32 = 70;

fn settings(policies: &[Policy], change: Change, percent: i32, crashes: u8) -> Vec<Setting> {
    let contents = [Content::Good, Content::Bad];
    let pairs = policies.iter().flat_map(|policy| contents.map(|content| (*policy, content)));
    let setting = |((mode, max_surge, on_breach), content)| Setting {
        mode,
        max_surge,
        on_breach,
        percent,
        change,
        content,
        crashes,
    };
    pairs.map(setting).collect()
}

/// Visits every state that can be reached; a rule that is broken panics with the shortest way to it.
fn search(settings: &[Setting]) {
    for setting in settings {
        let checker = setting.clone().checker().threads(2).spawn_bfs().join();
        println!("{:>8} states, longest way {:>2}: {setting:?}", checker.unique_state_count(), checker.max_depth());
        checker.assert_properties();
    }
}

const ALL: [Policy; 5] = [MANUAL, AUTOMATIC, ROLLING, ROLLING_BACK, SURGING];

#[test]
fn a_change_in_place_keeps_every_rule_in_every_order() {
    search(&settings(&ALL, Change::InPlace, BY_ONE, 2));
    search(&settings(&[AUTOMATIC, ROLLING, SURGING], Change::InPlace, BY_TWO, 2));
    search(&settings(&[ROLLING_BACK], Change::InPlace, BY_TWO, 1));
}

#[test]
fn a_change_that_needs_new_vms_keeps_every_rule_in_every_order() {
    search(&settings(&[MANUAL, AUTOMATIC, ROLLING, SURGING], Change::Replace, BY_ONE, 2));
    search(&settings(&[ROLLING_BACK], Change::Replace, BY_ONE, 1));
}

#[test]
fn a_change_that_needs_new_vms_by_two_keeps_every_rule_in_every_order() {
    // With a way back it is millions of states.
    search(&settings(&[AUTOMATIC, ROLLING, SURGING], Change::Replace, BY_TWO, 1));
}

#[test]
fn every_schedule_comes_to_an_end() {
    for change in [Change::InPlace, Change::Replace] {
        for setting in settings(&[MANUAL, AUTOMATIC, ROLLING, SURGING], change, BY_ONE, 1) {
            assert_eq!(ending::returned_to(&setting), None, "{setting:?}");
        }
    }
}
