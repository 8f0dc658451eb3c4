//! Rollouts that nobody wrote: a random fleet at rest, one change of its model, sometimes a second one, and some trouble
//! on the way. Nothing but the upgrade, the trouble and in some of them automatic repairs touches the fleet, so that the judge knows
//! what may be missing.

use std::sync::{Mutex, PoisonError};

use scaleset_controller::cluster::Kind;
use scaleset_crds::labels;
use scaleset_crds::vocabulary::PowerState;
use scaleset_hardware::Provisioning;
use serde_json::Value;

use super::checkers::converged;
use super::random::Random;
use super::script::{Setting, Teller};

/// The region that the fleets are in.
const REGION: &str = "region web-region.yaml";

/// Plays the rollout of a seed to its end. The transcript, and what does not hold at the end. Each command is noted in
/// `told` before it is carried out, so that it is known also when the story panics.
pub fn play_rollout(seed: u64, setting: Setting<'_>, told: &Mutex<Vec<String>>) -> (String, Vec<String>) {
    let random = Random::new(seed ^ 0x0052_4F4C_4C4F_5554);
    // Draws of its own, so that a story without repairs is told as if there were none anywhere.
    let repairing = Random::new(seed ^ 0x7265_7061_6972);
    let mut rollout = Rollout {
        random,
        repairing,
        repairs: Repairs::None,
        teller: Teller::new(REGION, setting),
        told,
        mends: Vec::new(),
        verdict: Verdict::UpToDate,
    };
    rollout.make_fleet();
    rollout.repair();
    rollout.tell("settle");
    rollout.teller.judge().expect_steady("web");
    rollout.protect();
    rollout.begin_repair();
    rollout.change_model();
    rollout.go_on();
    rollout.heal();
    let findings = rollout.findings();
    rollout.teller.tell_repairs();
    (rollout.teller.end(), findings)
}

/// How a rollout must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Everybody has the newest model.
    UpToDate,
    /// That, or a reason why not.
    OrExplained,
}

/// Whether whoever is unwell is repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repairs {
    None,
    Automatic,
}

struct Rollout<'story> {
    random: Random,
    repairing: Random,
    repairs: Repairs,
    teller: Teller,
    told: &'story Mutex<Vec<String>>,
    /// How to mend what is broken now.
    mends: Vec<String>,
    verdict: Verdict,
}

impl Rollout<'_> {
    fn tell(&mut self, line: &str) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
        self.teller.tell(line);
    }

    fn make_fleet(&mut self) {
        let mode = *self.random.pick(&["Uniform", "Uniform", "Flexible"]);
        let health = if mode == "Uniform" { *self.random.pick(&["probe", "extension"]) } else { "extension" };
        let policy = *self.random.pick(&["Rolling", "Rolling", "Rolling", "Automatic", "Automatic", "Manual"]);
        if policy == "Manual" {
            self.verdict = Verdict::OrExplained;
        }
        let place = *self.random.pick(&["fd=1", "fd=3", "zones=1,2", "zones=1,2,3"]);
        let replicas = 1 + self.random.below(12);
        self.tell(&format!(
            "set web {mode} webtown {place} replicas={replicas} mode={policy} health={health} image=22.04.1 disk=64"
        ));
        if replicas.is_multiple_of(3) {
            self.tell("change web pool=default:15");
        }
        let batch = *self.random.pick(&[20, 20, 34, 50, 100]);
        let surge = *self.random.pick(&["0", "0", "1", "2", "50%", "100%"]);
        let upgraded = *self.random.pick(&[0, 20, 50, 100]);
        let [rollback, cross_zone] = [(); 2].map(|()| *self.random.pick(&["true", "false"]));
        let pause = *self.random.pick(&[0, 0, 30]);
        self.tell(&format!(
            "change web batch={batch} surge={surge} unhealthy-upgraded={upgraded} rollback={rollback} \
             cross-zone={cross_zone} pause={pause}"
        ));
    }

    /// A quarter of the fleets repair themselves.
    fn repair(&mut self) {
        if self.repairing.below(4) > 0 {
            return;
        }
        self.repairs = Repairs::Automatic;
        let action = *self.repairing.pick(&["Replace", "Reimage", "Restart"]);
        let failures = 1 + self.repairing.below(3);
        self.tell(&format!("change web repairs={action} failed-repairs={failures}"));
    }

    /// Some that have been well for longer than their grace go bad, and the repair of one begins.
    fn begin_repair(&mut self) {
        if self.repairs == Repairs::None {
            return;
        }
        self.tell("wait 650");
        for _ in 0..=self.repairing.below(3) {
            let running = self.untouched();
            if !running.is_empty() {
                let name = self.repairing.pick(&running).clone();
                self.go_bad(&name);
            }
        }
        let seconds = 12 + self.repairing.below(40);
        self.tell(&format!("settle-for {seconds}"));
    }

    fn go_bad(&mut self, name: &str) {
        self.verdict = Verdict::OrExplained;
        self.teller.judge().struck(name);
        self.tell(&format!("unwell {name}"));
        self.mends.push(format!("well {name}"));
    }

    /// VMs that run and that no repair has marked: what else goes wrong with one that is repaired makes it no second repair.
    fn untouched(&mut self) -> Vec<String> {
        let machines = self.teller.stage().machines();
        let well = machines
            .values()
            .filter(|machine| machine.power == PowerState::Running && machine.provisioning == Provisioning::Succeeded);
        let names: Vec<String> = well.map(|machine| machine.owner.name.clone()).collect();
        let cluster = self.teller.stage().cluster.clone();
        let members = [Kind::ScaleSetVM, Kind::FlexVM].into_iter().flat_map(|kind| cluster.all(kind));
        let marked = members.filter(|member| !member["metadata"]["annotations"][labels::REPAIR].is_null());
        let marked: Vec<Value> = marked.map(|member| member["metadata"]["name"].clone()).collect();
        names.into_iter().filter(|name| !marked.contains(&Value::from(name.as_str()))).collect()
    }

    fn protect(&mut self) {
        if self.random.below(4) == 0
            && let Some(name) = self.teller.some_vm(&mut self.random)
        {
            self.verdict = Verdict::OrExplained;
            self.tell(&format!("protect {name} actions"));
        }
    }

    fn change_model(&mut self) {
        self.doubt_the_unwell();
        let change = *self.random.pick(&[
            "image=22.04.3",
            "image=22.04.3",
            "image=22.04.2",
            "size=Standard_D4s_v3",
            "tag=blue",
            "disk=32",
            "disk=128",
        ]);
        if change == "image=22.04.2" {
            self.verdict = Verdict::OrExplained;
        }
        self.tell(&format!("change web {change}"));
    }

    /// Whoever was not yet well on the model that it had costs nothing when it fails on the next one too
    /// (`docs/upgrades.md`).
    fn doubt_the_unwell(&mut self) {
        let cluster = self.teller.stage().cluster.clone();
        let members = [Kind::ScaleSetVM, Kind::FlexVM].into_iter().flat_map(|kind| cluster.all(kind));
        let follows = |member: &Value| member["metadata"]["labels"][labels::MODEL_REVISION].clone();
        for member in members.filter(|member| member["status"]["healthyOnRevision"] != follows(member)) {
            self.teller.judge().doubted(member["metadata"]["name"].as_str().unwrap_or_default());
        }
    }

    /// Some trouble, and sometimes another model in the middle of it.
    fn go_on(&mut self) {
        for _ in 0..self.random.below(4) {
            if self.random.below(2) == 0 {
                let rounds = 1 + self.random.below(4);
                self.tell(&format!("step {rounds}"));
            } else {
                let seconds = 1 + self.random.below(150);
                self.tell(&format!("settle-for {seconds}"));
            }
            match self.random.below(6) {
                0 => self.change_model(),
                1 => self.die(),
                2 | 3 => self.strike(),
                4 => self.disturb(),
                _ => {}
            }
            if self.repairs == Repairs::Automatic && self.repairing.below(3) == 0 {
                // In parts: with troubles under way a part alone takes many rounds.
                (0..3).for_each(|_| self.tell("settle-for 210"));
            }
        }
    }

    fn die(&mut self) {
        let (side, write) = (*self.random.pick(&["before", "after"]), self.random.below(8));
        self.tell(&format!("die {side} {write}"));
    }

    fn disturb(&mut self) {
        let (percent, seed) = (5 + self.random.below(30), self.random.below(1_000));
        let (line, mend) = match self.random.below(4) {
            0 => (format!("lag {}", self.random.below(20)), "lag 0"),
            1 => (format!("api unreliable {} {seed}", percent / 4), "api reliable"),
            2 => (format!("calls any lose {percent}"), "calls heal"),
            _ => (format!("calls any throttle {percent}"), "calls heal"),
        };
        if !self.mends.iter().any(|known| known == mend) {
            self.mends.push(mend.to_owned());
            self.tell(&line);
        }
    }

    /// A member is taken down by something else than the upgrade.
    fn strike(&mut self) {
        let names = self.untouched();
        if names.is_empty() {
            return;
        }
        let name = self.random.pick(&names).clone();
        self.verdict = Verdict::OrExplained;
        self.teller.judge().struck(&name);
        match self.random.below(3) {
            0 => self.tell(&format!("vanish {name}")),
            1 => self.tell(&format!("crash {name}")),
            _ => self.go_bad(&name),
        }
    }

    fn heal(&mut self) {
        for mend in std::mem::take(&mut self.mends) {
            let gone = mend.strip_prefix("well ").is_some_and(|name| !self.is_there(name));
            if !gone {
                self.tell(&mend);
            }
        }
        self.tell("settle");
    }

    fn is_there(&mut self, name: &str) -> bool {
        self.teller.stage().machines().values().any(|machine| machine.owner.name == name)
    }

    /// Whoever is not up to date must say why; where nothing stood in the way, nothing is an excuse.
    fn findings(&mut self) -> Vec<String> {
        let findings = converged(self.teller.stage());
        let web = self.teller.stage().cluster.get(Kind::ScaleSet, "web").unwrap_or_default();
        let explained = web["status"]["blockers"].as_array().is_some_and(|blockers| !blockers.is_empty());
        if explained && self.verdict == Verdict::OrExplained { Vec::new() } else { findings }
    }
}
