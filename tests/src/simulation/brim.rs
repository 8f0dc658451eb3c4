//! Sets that are as large as they may be: a Uniform set in its one placement group, a Flexible set in its own with members that
//! a person made. Whatever makes VMs goes on at the limit: surges, extras, repairs, people. That none is made beyond it is the
//! judge's business; that the limit was reached is told at the end.

use std::sync::{Mutex, PoisonError};

use scaleset_controller::cluster::Kind;
use serde_json::Value;

use super::random::Random;
use super::script::{Setting, Teller};

/// The region that the sets are in.
const REGION: &str = "region limits-region.yaml";
/// VMs in a placement group of a Uniform set.
const UNIFORM_MAX: usize = 100;
/// VMs of a Flexible set in a single placement group.
const FLEXIBLE_MAX: usize = 200;

/// Plays the story of a seed to its end. The transcript, and what does not hold at the end. Each command is noted in `told`
/// before it is carried out, so that it is known also when the story panics.
pub fn play_brim(seed: u64, setting: Setting<'_>, told: &Mutex<Vec<String>>) -> (String, Vec<String>) {
    let random = Random::new(seed ^ 0x6272_696D);
    let mut brim = Brim { random, teller: Teller::new(REGION, setting), told, vms: 0 };
    let findings = if seed.is_multiple_of(3) { brim.fill_flexible() } else { brim.fill_uniform() };
    (brim.teller.end(), findings)
}

struct Brim<'story> {
    random: Random,
    teller: Teller,
    told: &'story Mutex<Vec<String>>,
    vms: usize,
}

impl Brim<'_> {
    fn tell(&mut self, line: &str) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
        self.teller.tell(line);
    }

    fn members(&mut self) -> Vec<String> {
        let cluster = &self.teller.stage().cluster;
        let keys = [Kind::ScaleSetVM, Kind::FlexVM].into_iter().flat_map(|kind| cluster.all(kind));
        let live = keys.filter(|vm| vm["metadata"]["deletionTimestamp"].is_null());
        let is_made = |vm: &Value| !vm["metadata"]["ownerReferences"].is_null();
        let member = live.filter(|vm| is_made(vm) || vm["status"]["scaleSet"] == "full");
        member.filter_map(|vm| Some(vm["metadata"]["name"].as_str()?.to_owned())).collect()
    }

    /// Whether the set was full, without which the story proves nothing.
    fn not_full(&mut self, most: usize) -> Option<String> {
        let count = self.members().len();
        (count != most).then(|| format!("the set has {count} members, it was to have {most}"))
    }

    fn fill_uniform(&mut self) -> Vec<String> {
        let mode = *self.random.pick(&["Automatic", "Rolling", "Rolling"]);
        let [extras, rollback] = [(); 2].map(|()| *self.random.pick(&["true", "false"]));
        let replicas = UNIFORM_MAX - self.random.below(12);
        let surge = *self.random.pick(&["1", "50%", "100%"]);
        self.tell(&format!(
            "set full Uniform widetown replicas={replicas} fd=5 spg=true mode={mode} health=probe overprovision={extras} \
             surge={surge} rollback={rollback} repairs=Replace"
        ));
        let early = self.random.below(40);
        self.tell(&format!("settle-for {early}"));
        self.tell(&format!("change full replicas={UNIFORM_MAX}"));
        self.tell("settle");
        let findings: Vec<String> = self.not_full(UNIFORM_MAX).into_iter().collect();
        let change = *self.random.pick(&["tag=blue", "size=Standard_D4s_v3"]);
        self.tell(&format!("change full {change}"));
        self.tell("settle-for 60");
        self.disturb();
        self.tell("settle-for 60");
        // Such a number is refused by the API server. Here it reaches the planner, which makes nobody.
        let too_many = UNIFORM_MAX + 1 + self.random.below(9);
        self.tell(&format!("change full replicas={too_many}"));
        self.tell("settle-for 300");
        self.disturb();
        self.tell(&format!("change full replicas={UNIFORM_MAX}"));
        self.tell("settle-for 900");
        self.end(findings, UNIFORM_MAX)
    }

    fn fill_flexible(&mut self) -> Vec<String> {
        let by_hand = 1 + self.random.below(4);
        self.tell("set full Flexible widetown replicas=190 fd=2 size=Standard_M8ms mode=Automatic");
        self.tell("settle");
        for _ in 0..by_hand {
            self.make_vm();
        }
        // One of those that come now is one too many.
        self.tell("settle");
        self.tell(&format!("change full replicas={}", FLEXIBLE_MAX - by_hand - 1));
        self.tell("settle");
        self.make_vm();
        self.tell(&format!("change full replicas={}", FLEXIBLE_MAX - by_hand));
        self.tell("settle");
        let findings: Vec<String> = self.not_full(FLEXIBLE_MAX).into_iter().collect();
        self.make_vm();
        self.tell("step 2");
        self.disturb();
        self.tell("settle-for 120");
        let too_many = FLEXIBLE_MAX + self.random.below(5);
        self.tell(&format!("change full replicas={too_many}"));
        self.tell("settle-for 120");
        let made = FLEXIBLE_MAX - self.members().iter().filter(|name| name.starts_with("hand-")).count();
        self.tell(&format!("change full replicas={made}"));
        self.end(findings, FLEXIBLE_MAX)
    }

    fn end(&mut self, mut findings: Vec<String>, most: usize) -> Vec<String> {
        for name in self.members() {
            self.tell(&format!("well {name}"));
        }
        self.tell("settle");
        findings.extend(self.not_full(most));
        findings
    }

    fn make_vm(&mut self) {
        self.vms += 1;
        self.tell(&format!("vm hand-{} widetown set=full size=Standard_M8ms", self.vms));
    }

    /// Somebody is deleted, and some are unwell.
    fn disturb(&mut self) {
        let members: Vec<String> = self.members().into_iter().filter(|name| !name.starts_with("hand-")).collect();
        let machines = self.teller.stage().machines();
        let there = |name: &&String| machines.values().any(|machine| machine.owner.name == **name);
        let running: Vec<String> = members.iter().filter(there).cloned().collect();
        for _ in 0..3 {
            let name = self.random.pick(&running).clone();
            self.tell(&format!("unwell {name}"));
        }
        let name = self.random.pick(&members).clone();
        self.tell(&format!("delete {name}"));
    }
}
