//! Whether every schedule comes to an end: the graph of the states has no cycle.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use stateright::Model;

use crate::steps::Step;
use crate::world::{Setting, World};

/// A state, and the steps from it that are yet to be tried.
struct Visit {
    world: World,
    id: u64,
    steps: Vec<Step>,
}

impl Visit {
    fn of(setting: &Setting, world: World) -> Self {
        let mut hasher = DefaultHasher::new();
        world.hash(&mut hasher);
        Self { id: hasher.finish(), steps: setting.possible(&world), world }
    }
}

/// A state that some steps lead back to; `None` where there is none.
pub(crate) fn returned_to(setting: &Setting) -> Option<World> {
    let mut path: Vec<Visit> = setting.init_states().into_iter().map(|world| Visit::of(setting, world)).collect();
    let mut on_path: BTreeSet<u64> = path.iter().map(|visit| visit.id).collect();
    let mut done = BTreeSet::new();
    while let Some(visit) = path.last_mut() {
        let Some(step) = visit.steps.pop() else {
            on_path.remove(&visit.id);
            done.insert(visit.id);
            path.pop();
            continue;
        };
        let next = Visit::of(setting, visit.world.after(step));
        if on_path.contains(&next.id) {
            return Some(next.world);
        }
        if !done.contains(&next.id) {
            on_path.insert(next.id);
            path.push(next);
        }
    }
    None
}
