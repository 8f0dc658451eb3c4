//! A set that repairs its members: applications go bad and come back, the policy and the service are switched.

use scaleset_crds::vocabulary::PowerState;

use super::Author;
use crate::simulation::random::Random;

/// What a story knows of its repairs.
pub(super) struct Repairing {
    random: Random,
    on: bool,
}

impl Repairing {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed ^ 0x7265_7061_6972_6564), on: false }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random.below(limit)
    }
}

impl Author<'_> {
    /// Half of the stories have a policy.
    pub(super) fn begin_repairing(&mut self) {
        if self.repairing.below(2) == 0 {
            return;
        }
        let action = *self.repairing.random.pick(&["Replace", "Replace", "Reimage", "Restart"]);
        let failures = 1 + self.repairing.below(3);
        self.tell(&format!("change web repairs={action} failed-repairs={failures}"));
        self.repairing.on = true;
    }

    /// Now and then something goes bad, or somebody intervenes.
    pub(super) fn repair(&mut self) {
        if !self.repairing.on || self.repairing.below(2) > 0 {
            return;
        }
        match self.repairing.below(10) {
            0..=4 => self.go_bad(),
            5 => self.all_well(),
            // In parts: with troubles under way a part alone takes many rounds.
            6 => (0..3).for_each(|_| self.tell("settle-for 300")),
            7 | 8 => {
                self.operations += 1;
                let action = *self.repairing.random.pick(&["Suspend", "Resume", "Resume"]);
                let name = format!("op-{}", self.operations);
                self.tell(&format!("operate {name} web SetOrchestrationServiceState repairs={action}"));
            }
            _ => {
                let change = *self.repairing.random.pick(&["repairs=off", "grace=900", "repairs=Reimage"]);
                // The action changes only while the policy is off.
                self.tell("change web repairs=off");
                self.tell(&format!("change web {change}"));
            }
        }
    }

    fn go_bad(&mut self) {
        let machines = self.teller.stage().machines();
        let running = machines.values().filter(|machine| machine.power == PowerState::Running);
        let names: Vec<String> = running.map(|machine| machine.owner.name.clone()).collect();
        let names: Vec<String> = names.into_iter().filter(|name| name.starts_with("web-")).collect();
        if !names.is_empty() {
            let name = self.repairing.random.pick(&names).clone();
            self.tell(&format!("unwell {name}"));
        }
    }

    /// Every application of the set answers as scripted.
    pub(super) fn all_well(&mut self) {
        if !self.repairing.on {
            return;
        }
        let machines = self.teller.stage().machines();
        let names: Vec<String> = machines.values().map(|machine| machine.owner.name.clone()).collect();
        for name in names.into_iter().filter(|name| name.starts_with("web-")) {
            self.tell(&format!("well {name}"));
        }
    }
}
