//! What must hold in every state that can be reached.

use std::collections::BTreeSet;

use scaleset_crds::vocabulary::UpgradeMode;
use stateright::{Model, Property};

use crate::steps::Step;
use crate::world::{Machine, Profile, REPLICAS, Setting, Vm, World};

impl Model for Setting {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let mut world = World::converged(self.crashes);
        while let Some(step) = self.of_controller(&world).into_iter().next() {
            world = world.after(step);
        }
        vec![world]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        steps.extend(self.possible(world));
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        Some(world.after(step))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut rules = vec![
            Property::always("no plan breaks a rule, no number is given twice", |_, world: &World| {
                world.wrong.is_none()
            }),
            Property::always("no more is unavailable than allowed", |setting: &Self, world: &World| {
                world.working() + setting.allowance() >= REPLICAS
            }),
            Property::always("no more members than target and surge", |setting: &Self, world: &World| {
                world.live().count() <= REPLICAS + setting.surge()
            }),
            Property::always("at most one upgrade, in batches within the allowance", Self::one_upgrade),
            Property::always("the counters add up", |_, world: &World| world.counters_add_up()),
            Property::always("Manual touches nobody", |setting: &Self, world: &World| {
                let untouched = |vm: &Vm| vm.assigned == Profile::Old;
                setting.mode != UpgradeMode::Manual || world.live().all(untouched)
            }),
            Property::always("whoever rests is up to date or says why not", |setting: &Self, world: &World| {
                !setting.rests(world) || world.is_up_to_date() || !world.record.blockers.is_empty()
            }),
            Property::sometimes("it comes to rest", Self::rests),
        ];
        if self.mode != UpgradeMode::Manual {
            rules.push(Property::sometimes("an upgrade gets through", |_, world: &World| world.is_up_to_date()));
        }
        rules
    }
}

impl Setting {
    /// One that is made of the percentage, rounded down, at least one.
    fn allowance(&self) -> usize {
        (REPLICAS * usize::try_from(self.percent).expect("a percentage") / 100).max(1)
    }

    fn surge(&self) -> usize {
        self.max_surge.of(self.allowance())
    }

    fn one_upgrade(&self, world: &World) -> bool {
        let under_way = world.live().filter(|vm| vm.machine != Machine::Well(vm.assigned));
        let numbers: BTreeSet<i64> = under_way.filter_map(|vm| Some(vm.mark.as_ref()?.number)).collect();
        let batch = world.record.rolling.as_ref().and_then(|rolling| rolling.batch.as_ref()).map_or(0, |one| one.size);
        numbers.len() <= 1 && usize::try_from(batch).is_ok_and(|size| size <= self.allowance())
    }

    /// Nobody but a dying controller or time could do anything, once the model has changed.
    fn rests(&self, world: &World) -> bool {
        let still =
            |vm: &Vm| !vm.going && matches!(vm.machine, Machine::Well(_) | Machine::Unwell(_) | Machine::Broken(_));
        let still = world.pass.is_none() && world.members.values().all(still);
        still && world.wish == Profile::New && self.possible(world).is_empty()
    }
}

impl World {
    fn counters_add_up(&self) -> bool {
        let Some(rolling) = &self.record.rolling else { return true };
        let progress = &rolling.progress;
        let sum = progress.successful_instance_count
            + progress.failed_instance_count
            + progress.in_progress_instance_count
            + progress.pending_instance_count;
        usize::try_from(sum) == Ok(REPLICAS)
    }

    fn is_up_to_date(&self) -> bool {
        let newest = |vm: &Vm| vm.machine == Machine::Well(Profile::New);
        self.members.len() == REPLICAS && self.live().all(newest)
    }
}
