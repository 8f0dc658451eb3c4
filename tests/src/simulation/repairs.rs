//! Repairs that nobody wrote: a set of forty to sixty VMs, so that two or three may be repaired at once. Applications go bad, one here
//! and one there, most of a zone, all of a host; zones and hosts fail and come back, the model changes, the controller dies. Whom a
//! repair may touch and how many at once is the judge's business; that there were repairs at all, and some at once, that of the test.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use scaleset_controller::cluster::Kind;
use scaleset_crds::vocabulary::PowerState;
use scaleset_hardware::Machine;

use super::checkers::converged;
use super::random::Random;
use super::script::{Setting, Teller};

/// The region that the sets are in: everything takes as long as everything else of its sort, so that few rounds are many changes.
const REGION: &str = "region balanced-region.yaml";
/// How often something goes wrong.
const TROUBLES: usize = 4;

/// Plays the story of a seed to its end. The transcript, and what does not hold at the end. Each command is noted in `told`
/// before it is carried out, so that it is known also when the story panics.
pub fn play_repairs(seed: u64, setting: Setting<'_>, told: &Mutex<Vec<String>>) -> (String, Vec<String>) {
    let random = Random::new(seed ^ 0x7265_7061_6972_7321);
    let mut story = Story { random, teller: Teller::new(REGION, setting), told, versions: 0, operations: 0 };
    story.begin();
    for _ in 0..TROUBLES {
        story.go_wrong();
        let seconds = *story.random.pick(&[60, 300, 650, 650, 900]);
        story.tell(&format!("settle-for {seconds}"));
    }
    story.heal();
    let findings = story.findings();
    story.teller.tell_repairs();
    (story.teller.end(), findings)
}

struct Story<'story> {
    random: Random,
    teller: Teller,
    told: &'story Mutex<Vec<String>>,
    versions: usize,
    operations: usize,
}

impl Story<'_> {
    fn tell(&mut self, line: &str) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
        self.teller.tell(line);
    }

    fn begin(&mut self) {
        let mode = *self.random.pick(&["Manual", "Automatic", "Rolling"]);
        let place = *self.random.pick(&["zones=1,2,3", "zones=1,2", "fd=1"]);
        let health = *self.random.pick(&["probe", "probe", "extension"]);
        let action = *self.random.pick(&["Replace", "Replace", "Reimage", "Restart"]);
        let [replicas, failures] = [40 + self.random.below(21), 1 + self.random.below(3)];
        let batch = *self.random.pick(&[20, 34]);
        self.tell(&format!(
            "set web Uniform fronttown {place} replicas={replicas} mode={mode} health={health} image=22.04.1 batch={batch} \
             repairs={action} failed-repairs={failures}"
        ));
        self.tell("settle");
        // Their grace is over when they go bad.
        self.tell("wait 650");
    }

    fn running(&mut self) -> Vec<Machine> {
        let machines = self.teller.stage().machines();
        machines.into_values().filter(|machine| machine.power == PowerState::Running).collect()
    }

    fn go_wrong(&mut self) {
        match self.random.below(8) {
            0 | 1 => self.some_go_bad(),
            2 => self.go_bad_where(|machine, like| machine.placement.zone == like.placement.zone),
            3 => self.go_bad_where(|machine, like| machine.host == like.host),
            4 => self.fail_for_a_while(),
            5 => self.change_model(),
            6 => {
                let (side, write) = (*self.random.pick(&["before", "after"]), self.random.below(8));
                self.some_go_bad();
                self.tell(&format!("die {side} {write}"));
            }
            _ => {
                self.some_go_bad();
                for action in ["Suspend", "Resume"] {
                    self.operations += 1;
                    let operation = format!("op-{}", self.operations);
                    self.tell(&format!("operate {operation} web SetOrchestrationServiceState repairs={action}"));
                    self.tell("settle-for 60");
                }
            }
        }
    }

    fn some_go_bad(&mut self) {
        for _ in 0..2 + self.random.below(5) {
            let names: Vec<String> = self.running().into_iter().map(|machine| machine.owner.name).collect();
            let name = self.random.pick(&names).clone();
            self.tell(&format!("unwell {name}"));
        }
    }

    /// Everybody who is where one of them is, at most so many as are repaired in a few graces.
    fn go_bad_where(&mut self, is_there: impl Fn(&Machine, &Machine) -> bool) {
        let running = self.running();
        let like = self.random.pick(&running).clone();
        let there = running.iter().filter(|machine| is_there(machine, &like));
        let names: Vec<String> = there.map(|machine| machine.owner.name.clone()).take(16).collect();
        for name in names {
            self.tell(&format!("unwell {name}"));
        }
    }

    /// A zone or a host fails, and comes back.
    fn fail_for_a_while(&mut self) {
        let hosts: BTreeSet<String> = self.running().into_iter().filter_map(|machine| machine.host).collect();
        let hosts: Vec<String> = hosts.into_iter().collect();
        let place = match self.random.below(2) {
            0 => format!("zone fronttown {}", 1 + self.random.below(3)),
            _ => format!("host fronttown {}", self.random.pick(&hosts)),
        };
        let seconds = *self.random.pick(&[30, 700]);
        self.tell(&format!("{place} down"));
        self.tell(&format!("settle-for {seconds}"));
        self.tell(&format!("{place} up"));
    }

    /// While some are repaired, at times.
    fn change_model(&mut self) {
        self.versions += 1;
        self.some_go_bad();
        self.tell("settle-for 20");
        let change = *self.random.pick(&["image=22.04.3", "tag=v"]);
        let change = if change == "tag=v" { format!("tag=v{}", self.versions) } else { change.to_owned() };
        self.tell(&format!("change web {change}"));
    }

    fn heal(&mut self) {
        let names: Vec<String> = self.teller.stage().machines().into_values().map(|one| one.owner.name).collect();
        for name in names {
            self.tell(&format!("well {name}"));
        }
        self.tell("settle");
    }

    /// Whoever is not up to date must say why.
    fn findings(&mut self) -> Vec<String> {
        let findings = converged(self.teller.stage());
        let web = self.teller.stage().cluster.get(Kind::ScaleSet, "web").unwrap_or_default();
        let explained = web["status"]["blockers"].as_array().is_some_and(|blockers| !blockers.is_empty());
        if explained { Vec::new() } else { findings }
    }
}
