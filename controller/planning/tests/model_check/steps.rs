//! Who may do what next.

use crate::world::{Age, Content, Machine, Mark, Pass, Profile, Setting, Vm, World, Write};

/// One step of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A person changes the model.
    ChangeModel,
    /// The controller plans.
    Plan(Box<Pass>),
    /// The controller plans something that the audit forbids.
    PlanWrongly(String),
    /// The first write that is left of the plan.
    Write,
    /// The controller dies, and is started again.
    Die,
    /// The hardware begins to make the machine, or to change it.
    Begin(i64),
    /// The machine comes to that.
    End(i64, Machine),
    /// The member is gone.
    Vanish(i64),
    /// The health timeout of all that was marked so far is over.
    TimeOut,
}

impl Setting {
    pub(crate) fn possible(&self, world: &World) -> Vec<Step> {
        let mut steps = self.of_controller(world);
        if world.wish == Profile::Old {
            steps.push(Step::ChangeModel);
        }
        steps.extend(world.members.iter().flat_map(|(number, vm)| self.of_machine(*number, vm)));
        let waited_for = |vm: &Vm| vm.mark.as_ref().is_some_and(|mark| mark.age == Age::Fresh) && !is_done(vm);
        if world.live().any(waited_for) {
            steps.push(Step::TimeOut);
        }
        steps
    }

    pub(crate) fn of_controller(&self, world: &World) -> Vec<Step> {
        if world.pass.is_some() {
            let dies = (world.crashes_left > 0).then_some(Step::Die);
            return [Step::Write].into_iter().chain(dies).collect();
        }
        match self.next_pass(world) {
            Ok(pass) => pass.into_iter().map(|pass| Step::Plan(Box::new(pass))).collect(),
            Err(findings) => vec![Step::PlanWrongly(findings)],
        }
    }

    fn of_machine(&self, number: i64, vm: &Vm) -> Vec<Step> {
        if vm.going {
            return vec![Step::Vanish(number)];
        }
        match vm.machine {
            Machine::None => vec![Step::Begin(number)],
            Machine::Well(on) | Machine::Unwell(on) | Machine::Broken(on) if on != vm.assigned => {
                vec![Step::Begin(number)]
            }
            Machine::Well(_) | Machine::Unwell(_) | Machine::Broken(_) => Vec::new(),
            Machine::Works { from: _, to } => self.ends(to).into_iter().map(|end| Step::End(number, end)).collect(),
        }
    }

    fn ends(&self, on: Profile) -> Vec<Machine> {
        match (on, self.content) {
            (Profile::Old, Content::Good | Content::Bad) | (Profile::New, Content::Good) => vec![Machine::Well(on)],
            (Profile::New, Content::Bad) => vec![Machine::Well(on), Machine::Unwell(on), Machine::Broken(on)],
        }
    }
}

fn is_done(vm: &Vm) -> bool {
    vm.machine == Machine::Well(vm.assigned)
}

impl World {
    pub(crate) fn after(&self, step: Step) -> Self {
        let mut next = self.clone();
        match step {
            Step::ChangeModel => next.wish = Profile::New,
            Step::Plan(pass) => next.pass = Some(*pass),
            Step::PlanWrongly(findings) => next.wrong = Some(findings),
            Step::Write => next.write_next(),
            Step::Die => {
                next.pass = None;
                next.crashes_left -= 1;
            }
            Step::Begin(number) => next.vm(number).begin(),
            Step::End(number, machine) => next.vm(number).end(machine),
            Step::Vanish(number) => drop(next.members.remove(&number)),
            Step::TimeOut => {
                let marks = next.members.values_mut().filter_map(|vm| vm.mark.as_mut());
                let planned = next.pass.iter_mut().flat_map(|pass| &mut pass.writes).filter_map(Write::mark);
                marks.chain(planned).for_each(|mark| mark.age = Age::Over);
                next.refresh_seen();
            }
        }
        next
    }

    fn vm(&mut self, number: i64) -> &mut Vm {
        self.members.get_mut(&number).expect("a step is of a member that is there")
    }

    fn write_next(&mut self) {
        let Some(mut pass) = self.pass.take() else { return };
        let write = pass.writes.remove(0);
        self.carry_out(write, &pass);
        self.pass = if pass.writes.is_empty() { None } else { Some(pass) };
    }

    fn carry_out(&mut self, write: Write, pass: &Pass) {
        match write {
            Write::KeepRevision(profile) => drop(self.kept.insert(profile)),
            Write::Status => self.record = pass.record.clone(),
            Write::Create { number, profile, mark } => {
                let new = Vm {
                    assigned: profile,
                    made_on: self.wish,
                    mark,
                    going: false,
                    reported: false,
                    machine: Machine::None,
                    well_on: None,
                };
                self.members.insert(number, new);
                if self.given >= number {
                    self.wrong = Some(format!("number {number} is given twice"));
                }
                self.given = number;
            }
            Write::Assign { number, profile, mark } => self.guarded(number, pass, |vm| {
                vm.reported = false;
                vm.assigned = profile;
                vm.mark = mark.or(vm.mark.take());
            }),
            Write::Mark { number, mark } => self.guarded(number, pass, |vm| vm.mark = Some(mark)),
            Write::Delete { number } => self.guarded(number, pass, |vm| {
                vm.going = true;
                vm.reported = false;
            }),
        }
    }

    /// Time alone makes no write be refused.
    fn refresh_seen(&mut self) {
        let Some(pass) = &mut self.pass else { return };
        let marks = pass.seen.values_mut().filter_map(|vm| vm.mark.as_mut());
        marks.for_each(|mark| mark.age = Age::Over);
    }

    /// A write of a member that has changed since it was seen is refused, and the pass goes on.
    fn guarded(&mut self, number: i64, pass: &Pass, change: impl FnOnce(&mut Vm)) {
        if let Some(vm) = self.members.get_mut(&number)
            && pass.seen.get(&number) == Some(vm)
        {
            change(vm);
        }
    }
}

impl Write {
    fn mark(&mut self) -> Option<&mut Mark> {
        match self {
            Self::Create { mark, .. } | Self::Assign { mark, .. } => mark.as_mut(),
            Self::Mark { number: _, mark } => Some(mark),
            Self::KeepRevision(_) | Self::Status | Self::Delete { number: _ } => None,
        }
    }
}

impl Vm {
    fn begin(&mut self) {
        let from = match self.machine {
            Machine::None => None,
            Machine::Works { from, to: _ } => from,
            Machine::Well(on) | Machine::Unwell(on) | Machine::Broken(on) => Some(on),
        };
        self.reported = true;
        self.machine = Machine::Works { from, to: self.assigned };
    }

    fn end(&mut self, machine: Machine) {
        self.machine = machine;
        if let Machine::Well(on) = machine {
            self.well_on = Some(on);
        }
    }
}
