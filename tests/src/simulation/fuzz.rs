//! Stories that nobody wrote: random commands on two sets and a few VMs made by hand, random faults, then healing.
//!
//! The same seed tells the same story. What must hold is the judge's business.

use std::sync::{Mutex, PoisonError};

use scaleset_controller::cluster::Kind;
use scaleset_hardware::Machine;

use super::checkers::converged;
use super::random::Random;
use super::script::{Setting, Teller};
use repairing::Repairing;
use reserving::Reserving;
use shaping::Shaping;

mod repairing;
mod reserving;
mod shaping;

/// How many commands a story has before it heals.
const COMMANDS: usize = 24;

/// Plays the story of a seed to its end: commands, healing, rest. The transcript, and what does not hold at the end.
/// Each command is noted in `told` before it is carried out, so that it is known also when the story panics.
pub fn play_seed(seed: u64, setting: Setting<'_>, told: &Mutex<Vec<String>>) -> (String, Vec<String>) {
    let teller = Teller::new("", setting);
    let mut author = Author {
        random: Random::new(seed),
        teller,
        told,
        broken: Vec::new(),
        vms: 0,
        operations: 0,
        versions: 0,
        maintenances: 0,
        spot: false,
        // Draws of its own, so that what it adds changes nothing else of a story.
        reserving: Reserving::new(seed),
        repairing: Repairing::new(seed),
        shaping: Shaping::new(seed),
    };
    author.begin();
    author.begin_reserving();
    author.begin_repairing();
    author.begin_shaping();
    for _ in 0..COMMANDS {
        author.next_command();
        author.reserve();
        author.repair();
        author.shape();
    }
    author.heal();
    let mut findings = converged(author.teller.stage());
    findings.extend(author.balance());
    author.teller.tell_repairs();
    (author.teller.end(), findings)
}

struct Author<'story> {
    random: Random,
    teller: Teller,
    told: &'story Mutex<Vec<String>>,
    /// How to mend what is broken now.
    broken: Vec<String>,
    vms: usize,
    operations: usize,
    versions: usize,
    maintenances: usize,
    /// Whether there is a set of Spot VMs.
    spot: bool,
    reserving: Reserving,
    repairing: Repairing,
    shaping: Shaping,
}

impl Author<'_> {
    fn begin(&mut self) {
        let mode = *self.random.pick(&["Manual", "Automatic", "Rolling"]);
        let replicas = self.random.below(7);
        let extras = *self.random.pick(&["false", "true", "true extensions-on-kept=true app=./install"]);
        self.tell(&format!(
            "set web Uniform eastus zones=1,2,3 replicas={replicas} mode={mode} health=probe overprovision={extras}"
        ));
        if replicas % 2 == 1 {
            self.tell("change web pool=default:20");
        }
        if replicas % 3 == 1 {
            self.tell("change web restart-notice=true");
        }
        let surge = *self.random.pick(&["0", "1", "50%", "100%"]);
        self.tell(&format!("change web surge={surge}"));
        let rollback = *self.random.pick(&["true", "false"]);
        self.tell(&format!("change web rollback={rollback}"));
        let os_upgrade = *self.random.pick(&["true", "false"]);
        self.tell(&format!("change web os-upgrade={os_upgrade}"));
        let mode = *self.random.pick(&["Manual", "Automatic"]);
        let replicas = self.random.below(5);
        let domains = 1 + 2 * (replicas % 2);
        self.tell(&format!("set demo Flexible centralindia replicas={replicas} mode={mode} fd={domains}"));
        for set in ["web", "demo"] {
            if self.random.below(3) == 0 {
                let seconds = *self.random.pick(&[300, 600, 900]);
                self.tell(&format!("change {set} notice={seconds}"));
            }
        }
        if self.random.below(2) == 0 {
            self.begin_market();
        }
        if self.random.below(2) == 0 {
            let lag = self.random.below(30);
            self.tell(&format!("lag {lag}"));
        }
    }

    /// A set of Spot VMs, perhaps with regular ones among them.
    fn begin_market(&mut self) {
        let mode = *self.random.pick(&["Uniform", "Flexible"]);
        let eviction = *self.random.pick(&["Delete", "Delete", "Deallocate"]);
        let price = *self.random.pick(&["-1", "0.02"]);
        let replicas = 2 + self.random.below(8);
        let terms = format!("priority=Spot eviction={eviction} max-price={price}");
        let extras = if mode == "Uniform" { *self.random.pick(&["", " overprovision=true"]) } else { "" };
        self.tell(&format!("set cheap {mode} eastus replicas={replicas} mode=Automatic {terms}{extras}"));
        if mode == "Flexible" {
            let (base, percent) = (self.random.below(4), *self.random.pick(&[0, 25, 50, 100]));
            self.tell(&format!("change cheap mix={base},{percent}"));
        }
        if self.random.below(2) == 0 {
            let seconds = 60 + self.random.below(300);
            self.tell(&format!("change cheap restore={seconds}"));
        }
        self.spot = true;
    }

    /// Spot VMs are evicted, come back, or are too many.
    fn trade(&mut self) {
        if !self.spot {
            return;
        }
        let evict = 1 + self.random.below(4);
        let line = match self.random.below(8) {
            0 | 1 => format!("spot-pressure eastus evict={evict}"),
            2 | 3 => return self.evict_member(),
            4 => "spot-price eastus Standard_D2s_v3 0.03".to_owned(),
            5 => "spot-price eastus Standard_D2s_v3 usual".to_owned(),
            6 => {
                let price = *self.random.pick(&["-1", "0.02", "0.05"]);
                format!("change cheap max-price={price}")
            }
            _ => format!("change cheap replicas={}", self.random.below(12)),
        };
        if line.starts_with("spot-pressure") && !self.broken.iter().any(|mend| mend == "spot-pressure eastus over") {
            self.broken.push("spot-pressure eastus over".to_owned());
        }
        self.tell(&line);
    }

    fn evict_member(&mut self) {
        let machines = self.teller.stage().machines();
        let spot = machines.values().filter(|machine| machine.model.spot.is_some());
        let names: Vec<String> = spot.map(|machine| machine.owner.name.clone()).collect();
        let Some(name) = (!names.is_empty()).then(|| self.random.pick(&names).clone()) else { return };
        self.operations += 1;
        let id = name.strip_prefix("cheap-").filter(|id| id.parse::<i64>().is_ok() && id.len() < 8).unwrap_or(&name);
        self.tell(&format!("operate op-{} cheap SimulateEviction ids={id}", self.operations));
    }

    fn tell(&mut self, line: &str) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
        self.teller.tell(line);
    }

    fn next_command(&mut self) {
        match self.random.below(26) {
            0..=4 => self.scale(),
            5..=7 => self.change_model(),
            8 => self.change_policy(),
            9..=11 => self.touch_member(),
            12 => self.make_vm(),
            13..=15 => self.break_something(),
            16 => self.die(),
            17 => self.operate(),
            18 => self.approve(),
            19 | 20 => self.publish(),
            21..=24 => self.trade(),
            _ => self.maintain(),
        }
        let pause = match self.random.below(4) {
            0 => "step 1".to_owned(),
            1 => format!("settle-for {}", 1 + self.random.below(20)),
            _ => format!("settle-for {}", 20 + self.random.below(200)),
        };
        self.tell(&pause);
    }

    /// Hosts are maintained, or fail.
    fn maintain(&mut self) {
        self.maintenances += 1;
        let kind = *self.random.pick(&["Freeze", "Reboot", "Redeploy", "HardwareFailure"]);
        let place = *self.random.pick(&["eastus", "eastus zone=1", "eastus zone=2 fd=0", "centralindia"]);
        self.tell(&format!("maintain hosts-{} {kind} {place}", self.maintenances));
    }

    fn set(&mut self) -> &'static str {
        self.random.pick::<&'static str>(&["web", "web", "demo"])
    }

    fn scale(&mut self) {
        let (set, replicas) = (self.set(), self.random.below(12));
        self.tell(&format!("change {set} replicas={replicas}"));
    }

    fn change_model(&mut self) {
        let set = self.set();
        let change = *self.random.pick(&[
            "size=Standard_D2s_v3",
            "size=Standard_D4s_v3",
            "image=latest",
            "image=22.04.202411010",
            "tag=red",
            "tag=blue",
            "disk=32",
            "disk=64",
            "key=ssh-ed25519-one",
            "key=ssh-ed25519-two",
            "app=./install",
            "notice=300",
            "notice=900",
            "notice=0",
            "image-notice=true",
            "image-notice=false",
        ]);
        self.tell(&format!("change {set} {change}"));
    }

    fn change_policy(&mut self) {
        let set = self.set();
        let mut changes =
            vec!["mode=Manual", "mode=Automatic", "paused=true", "paused=false", "ceiling=Online", "ceiling=Restart"];
        if set == "web" {
            changes.extend([
                "overprovision=true",
                "overprovision=false",
                "mode=Rolling",
                "pause=20",
                "cross-zone=true",
                "batch=40",
                "surge=0",
                "surge=2",
                "surge=100%",
                "os-upgrade=true",
                "os-upgrade=false",
                "os-rollback=false",
                "os-own-policy=true",
            ]);
        } else {
            changes.push("spg=false");
        }
        let change = *self.random.pick(&changes);
        self.tell(&format!("change {set} {change}"));
    }

    fn publish(&mut self) {
        self.versions += 1;
        self.tell(&format!("publish Canonical:ubuntu-server:22_04-lts 22.04.{}", self.versions));
    }

    fn touch_member(&mut self) {
        let Some(name) = self.teller.some_vm(&mut self.random) else { return };
        let is_flexible = self.teller.stage().cluster.keys(Kind::FlexVM).iter().any(|key| key.name == name);
        let line = match self.random.below(if is_flexible { 10 } else { 8 }) {
            8 => format!("attach {name} demo"),
            9 => format!("detach {name}"),
            0 | 1 => format!("delete {name}"),
            2 => format!("power {name} Deallocated"),
            3 => format!("power {name} Stopped"),
            4 => format!("power {name} Running"),
            5 => format!("protect {name} scale-in"),
            6 => format!("protect {name} actions"),
            _ => format!("protect {name} none"),
        };
        self.tell(&line);
    }

    fn operate(&mut self) {
        self.operations += 1;
        let name = format!("op-{}", self.operations);
        let kind = *self.random.pick(&[
            "Start",
            "PowerOff",
            "Deallocate",
            "Restart",
            "Redeploy",
            "Reimage",
            "ManualUpgrade",
            "Delete",
            "StartRollingUpgrade",
            "CancelRollingUpgrade",
        ]);
        let all = if ["ManualUpgrade", "Delete"].contains(&kind) { " ids=*" } else { "" };
        let line = match (kind.ends_with("RollingUpgrade"), self.some_member_of_web()) {
            (false, Some(id)) if self.random.below(4) > 0 => format!("operate {name} web {kind} ids={id}"),
            (_, _) => format!("operate {name} web {kind}{all}"),
        };
        self.tell(&line);
    }

    /// Some of those that were told of something, if any was, or one that was not.
    fn approve(&mut self) {
        self.operations += 1;
        let name = format!("op-{}", self.operations);
        let machines = self.teller.stage().machines();
        let is_told = |machine: &&Machine| machine.terminate_notice.is_some() || machine.disruption_notice.is_some();
        let told = machines.values().filter(is_told);
        let told: Vec<String> = told.map(|machine| machine.owner.name.clone()).collect();
        let line = match self.random.below(4) {
            0 => format!("operate {name} web ApproveScheduledEvent ids=*"),
            1 => format!("operate {name} demo ApproveScheduledEvent ids=*"),
            _ if told.is_empty() => return,
            _ => {
                let vm = self.random.pick(&told).clone();
                let set = if vm.starts_with("web-") { "web" } else { "demo" };
                format!("operate {name} {set} ApproveScheduledEvent event-of={vm}")
            }
        };
        self.tell(&line);
    }

    fn some_member_of_web(&mut self) -> Option<String> {
        let cluster = self.teller.stage().cluster.clone();
        let ids = cluster.all(Kind::ScaleSetVM).into_iter();
        let ids: Vec<String> = ids.filter_map(|vm| vm["spec"]["instanceId"].as_str().map(str::to_owned)).collect();
        if ids.is_empty() { None } else { Some(self.random.pick(&ids).clone()) }
    }

    fn make_vm(&mut self) {
        self.vms += 1;
        let line = match self.random.below(3) {
            0 => format!("vm hand-{} centralindia", self.vms),
            _ => format!("vm hand-{} centralindia set=demo", self.vms),
        };
        self.tell(&line);
    }

    fn die(&mut self) {
        let (side, write) = (*self.random.pick(&["before", "after"]), self.random.below(12));
        self.tell(&format!("die {side} {write}"));
        self.broken.retain(|mend| mend != "api reliable");
    }

    fn break_something(&mut self) {
        let zone = 1 + self.random.below(3);
        let percent = 5 + self.random.below(40);
        let seed = self.random.below(1_000);
        let (line, mend) = match self.random.below(8) {
            0 | 1 => return self.break_machine(),
            2 => (format!("zone eastus {zone} down"), format!("zone eastus {zone} up")),
            3 => ("fail-boot web-".to_owned(), "heal-boot".to_owned()),
            4 => (format!("calls any fail {percent}"), "calls heal".to_owned()),
            5 => (format!("calls any lose {percent}"), "calls heal".to_owned()),
            6 => (format!("calls any throttle {percent}"), "calls heal".to_owned()),
            _ => (format!("api unreliable {} {seed}", percent / 4), "api reliable".to_owned()),
        };
        // What is broken is mended by the same command instead.
        if let Some(index) = self.broken.iter().position(|broken| *broken == mend) {
            self.broken.remove(index);
            self.tell(&mend);
        } else {
            self.broken.push(mend);
            self.tell(&line);
        }
    }

    fn break_machine(&mut self) {
        let machines = self.teller.stage().machines();
        // The size of a reserved machine is its reservation's.
        let is_reserved = |name: &str| {
            let mut reserved = machines.values().filter(|machine| machine.capacity_reservation.is_some());
            reserved.any(|machine| machine.owner.name == name)
        };
        let idle: Vec<String> = machines
            .values()
            .filter(|machine| machine.power == scaleset_crds::vocabulary::PowerState::Running)
            .filter(|machine| machine.provisioning == scaleset_hardware::Provisioning::Succeeded)
            .map(|machine| machine.owner.name.clone())
            .collect();
        if idle.is_empty() {
            return;
        }
        let name = self.random.pick(&idle).clone();
        let what =
            *self.random.pick(&["vanish NAME", "crash NAME", "drift NAME size=Standard_D8s_v3", "drift NAME tag=x"]);
        let what = if is_reserved(&name) { what.replace("size=Standard_D8s_v3", "tag=x") } else { what.to_owned() };
        self.tell(&what.replace("NAME", &name));
    }

    fn heal(&mut self) {
        for mend in std::mem::take(&mut self.broken) {
            self.tell(&mend);
        }
        if self.spot {
            self.tell("spot-price eastus Standard_D2s_v3 usual");
        }
        self.tell("api reliable");
        self.tell("lag 0");
        self.end_reserving();
        self.all_well();
        self.end_shaping();
        // A change that the ceiling refuses would wait for a person.
        self.tell("change web ceiling=Replace");
        self.tell("change demo ceiling=Replace");
        self.tell("settle");
        // A rolling upgrade that was stopped, or has left somebody behind, begins anew with the next model.
        for name in ["web", "shape"] {
            let set = self.teller.stage().cluster.get(Kind::ScaleSet, name);
            if set.is_some_and(|set| is_stopped(&set)) {
                self.tell(&format!("change {name} tag=healed"));
                self.tell("settle");
            }
        }
        // A version of the image that was proved bad waits for a newer one.
        self.publish();
        self.tell("settle");
    }
}

/// Whether its rolling upgrade waits for a person, or has left somebody behind.
fn is_stopped(set: &serde_json::Value) -> bool {
    let rolled = &set["status"]["rollingUpgrade"];
    let (code, failed) = (&rolled["runningStatus"]["code"], rolled["progress"]["failedInstanceCount"].as_i64());
    code == "Faulted" || code == "Cancelled" || failed.unwrap_or(0) > 0
}
