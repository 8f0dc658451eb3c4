//! Stories of sets that follow loads and calendars that nobody planned: random rules, profiles and loads, upgrades with surges, repairs
//! and protection beside them, faults of calls, VMs, zones and of the controller, by seed.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use scaleset_controller::cluster::Kind;
use scaleset_crds::vocabulary::PowerState;
use scaleset_hardware::{Hardware, Machine, Provisioning};
use serde_json::Value;

use super::random::Random;
use super::script::{Setting, Teller};

/// How often something changes.
const CHANGES: usize = 14;
/// Least and most VMs at the end.
const BOUNDS: (i64, i64) = (1, 12);
/// Twice there and back is flapping: once is what a zone that fails and comes back can lead to.
const TURNS_MAX: usize = 1;

/// Plays the story of a seed to its end: loads, healing, an outage, rest. The transcript, and what does not hold at the end.
pub fn play_autoscaling(seed: u64, setting: Setting<'_>, told: &Mutex<Vec<String>>) -> (String, Vec<String>) {
    let random = Random::new(seed ^ 0x6175_746f_7363_616c);
    let mut author = Author {
        random,
        teller: Teller::new("", setting),
        told,
        seed,
        unread: false,
        spot: Spot::None,
        zone_down: None,
        health: HealthSource::None,
        tags: 0,
    };
    author.begin();
    for _ in 0..CHANGES {
        let line = author.change();
        author.tell(&line);
        let seconds = 30 + 30 * author.random.below(20);
        author.tell(&format!("settle-for {seconds}"));
    }
    author.heal();
    author.rest();
    let mut findings = settled(&mut author.teller);
    findings.extend(author.outage());
    author.rest();
    findings.extend(settled(&mut author.teller));
    (author.teller.end(), findings)
}

struct Author<'story> {
    random: Random,
    teller: Teller,
    told: &'story Mutex<Vec<String>>,
    seed: u64,
    /// Whether metrics cannot be read.
    unread: bool,
    spot: Spot,
    zone_down: Option<usize>,
    health: HealthSource,
    tags: usize,
}

/// Whether anybody asks the set's applications how they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HealthSource {
    /// Nobody does.
    None,
    /// Their guests' extension does.
    Extension,
}

/// How a set is kept up to date and well; what surges and repairs needs to know who is well.
const UPKEEP: [(&str, HealthSource); 6] = [
    ("mode=Automatic", HealthSource::None),
    ("mode=Automatic", HealthSource::Extension),
    ("mode=Automatic repairs=Replace", HealthSource::Extension),
    ("mode=Rolling surge=1", HealthSource::Extension),
    ("mode=Rolling surge=100% batch=40", HealthSource::Extension),
    ("mode=Rolling surge=2 batch=40 repairs=Restart", HealthSource::Extension),
];

/// Whether the set's VMs can be evicted with policy Delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    /// They cannot.
    None,
    /// They can.
    Quiet,
    /// Their room is needed by others: those that are made wait for it.
    Pressed,
}

impl Author<'_> {
    fn tell(&mut self, line: &str) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
        self.teller.tell(line);
    }

    fn begin(&mut self) {
        let mode = *self.random.pick(&["Uniform", "Flexible"]);
        let zones = *self.random.pick(&["", " zones=1,2,3", " zones=1,2"]);
        // A set that says nothing of its count has none until it is told one.
        let replicas = match self.random.below(16) {
            15 => String::new(),
            count => format!(" replicas={count}"),
        };
        self.spot = *self.random.pick(&[Spot::None, Spot::None, Spot::Quiet]);
        let spot = if self.spot == Spot::None { "" } else { " priority=Spot eviction=Delete" };
        let (upkeep, health) = *self.random.pick(&UPKEEP);
        self.health = health;
        let health = if health == HealthSource::Extension { " health=extension" } else { "" };
        self.tell(&format!("set web {mode} eastus{zones}{replicas}{spot} {upkeep}{health}"));
        let profiles = self.profiles();
        self.tell(&format!("setting auto web {profiles}"));
    }

    /// One profile; or a date, or a night, with bounds and perhaps rules of its own beside it. The usual ones are in force at the
    /// end.
    fn profiles(&mut self) -> String {
        let (least, most) = BOUNDS;
        let usual = format!("usual:{least}:{most}:2 {}", self.rules());
        let start = 5 + self.random.below(60);
        let end = start + 5 + self.random.below(40);
        let time = |minute: usize| format!("{:02}:{:02}", minute / 60, minute % 60);
        let other = *self.random.pick(&["6:9:6", "3:20:4", "1:3:1", "0:0:0"]);
        let rules = if self.random.below(2) == 0 { self.rules() } else { String::new() };
        match self.random.below(3) {
            0 => format!("profile={usual}"),
            // The story begins on Thursday, 1 January 2026.
            1 => {
                let [start, end] = [start, end].map(|minute| format!("2026-01-01T{}:00", time(minute)));
                format!("profile={usual} profile=sale:{other} {rules} from={start},{end},UTC")
            }
            _ => {
                let [start, end] = [start, end].map(time);
                format!("profile={usual} at=Thursday,{end},UTC profile=night:{other} {rules} at=Thursday,{start},UTC")
            }
        }
    }

    fn rules(&mut self) -> String {
        let (out, back) = (*self.random.pick(&["+1", "+3", "+50%", "=8"]), *self.random.pick(&["-1", "-4", "-50%"]));
        let (cooldown, slow) = (60 + 60 * self.random.below(6), 60 + 60 * self.random.below(6));
        // The mean of those that report, or the sum by the count that is wanted.
        let taken = *self.random.pick(&["", "", ",share"]);
        format!("out=busy,Percentage_CPU>70,{out},{cooldown}{taken} in=idle,Percentage_CPU<30,{back},{slow}{taken}")
    }

    fn change(&mut self) -> String {
        match self.random.below(16) {
            8 | 9 if self.spot != Spot::None => self.eviction(),
            0 => {
                self.unread = true;
                "calls metrics fail 60".to_owned()
            }
            // Only what is broken can be healed.
            1 if self.unread => {
                self.unread = false;
                "calls heal".to_owned()
            }
            1 | 2 => format!("api unreliable 10 {}", self.seed),
            3 => format!("die {} {}", self.random.pick(&["before", "after"]), self.random.below(6)),
            4 => format!("change web replicas={}", self.random.below(15)),
            5 => self.zone(),
            6 => self.vm_fault(&["crash", "vanish"]),
            12 => format!("change web size={}", self.random.pick(&["Standard_D2s_v3", "Standard_D4s_v3"])),
            13 => self.protection(),
            14 if self.health == HealthSource::Extension => self.vm_fault(&["unwell", "unwell", "well"]),
            // The set has something else to look at than its count.
            7 => {
                self.tags += 1;
                format!("change web tag=t{}", self.tags)
            }
            _ => format!("load web Percentage_CPU total={}", 10 * self.random.below(100)),
        }
    }

    fn eviction(&mut self) -> String {
        if self.spot == Spot::Pressed {
            self.spot = Spot::Quiet;
            return "spot-pressure eastus over".to_owned();
        }
        self.spot = Spot::Pressed;
        format!("spot-pressure eastus evict={}", 1 + self.random.below(4))
    }

    /// One zone fails at a time.
    fn zone(&mut self) -> String {
        let zone = 1 + self.random.below(3);
        if let Some(down) = self.zone_down.take() {
            return format!("zone eastus {down} up");
        }
        self.zone_down = Some(zone);
        format!("zone eastus {zone} down")
    }

    fn protection(&mut self) -> String {
        let how = *self.random.pick(&["scale-in", "scale-in", "actions", "none"]);
        match self.teller.some_vm(&mut self.random) {
            Some(name) => format!("protect {name} {how}"),
            None => "settle-for 30".to_owned(),
        }
    }

    /// One of the faults happens to one of the VMs.
    fn vm_fault(&mut self, faults: &[&str]) -> String {
        let machines = self.teller.stage().machines();
        // Nothing can happen to a guest that has not come up.
        let is_up = |machine: &&Machine| {
            machine.provisioning == Provisioning::Succeeded && machine.power == PowerState::Running
        };
        let names: Vec<String> = machines.values().filter(is_up).map(|machine| machine.owner.name.clone()).collect();
        if names.is_empty() {
            return "settle-for 30".to_owned();
        }
        let name = self.random.pick(&names).clone();
        format!("{} {name}", self.random.pick(faults))
    }

    fn heal(&mut self) {
        if self.unread {
            self.tell("calls heal");
        }
        if let Some(zone) = self.zone_down.take() {
            self.tell(&format!("zone eastus {zone} up"));
        }
        if self.spot == Spot::Pressed {
            self.tell("spot-pressure eastus over");
        }
        self.tell("api reliable");
        for line in self.mends() {
            self.tell(&line);
        }
        self.tell("load web Percentage_CPU total=250");
    }

    /// Everybody is well again, and nobody is protected any more.
    fn mends(&mut self) -> Vec<String> {
        let stage = self.teller.stage();
        let members: Vec<Value> =
            [Kind::ScaleSetVM, Kind::FlexVM].into_iter().flat_map(|kind| stage.cluster.all(kind)).collect();
        let protected = members.iter().filter(|member| !member["spec"]["protectionPolicy"].is_null());
        let protected =
            protected.map(|member| format!("protect {} none", member["metadata"]["name"].as_str().unwrap_or("")));
        let asked = self.health == HealthSource::Extension;
        let well =
            stage.machines().into_values().filter(|_| asked).map(|machine| format!("well {}", machine.owner.name));
        protected.chain(well).collect()
    }

    fn rest(&mut self) {
        for _ in 0..4 {
            self.tell("settle-for 1800");
        }
    }

    /// A zone fails and comes back, and nothing else changes: decisions may follow that, and must not go to and fro.
    fn outage(&mut self) -> Vec<String> {
        let begun = self.teller.stage().hardware.now();
        for line in ["zone eastus 1 down", "settle-for 1800", "settle-for 1800"] {
            self.tell(line);
        }
        let down = flapping("while a zone is down", &self.decisions(begun));
        let back = self.teller.stage().hardware.now();
        for line in ["zone eastus 1 up", "settle-for 1800", "settle-for 1800"] {
            self.tell(line);
        }
        down.into_iter().chain(flapping("after the zone came back", &self.decisions(back))).collect()
    }

    /// Counts before and after each decision since an instant, the first one first.
    fn decisions(&mut self, since: Timestamp) -> Vec<(i64, i64)> {
        let setting = self.teller.stage().cluster.get(Kind::AutoscaleSetting, "auto").unwrap_or_default();
        let all = setting["status"]["scaleActions"].as_array().cloned().unwrap_or_default();
        let is_new = |action: &&Value| {
            action["time"].as_str().and_then(|time| time.parse::<Timestamp>().ok()).is_some_and(|time| time >= since)
        };
        let count = |action: &Value, field: &str| action[field].as_i64().unwrap_or(-1);
        all.iter().rev().filter(is_new).map(|action| (count(action, "from"), count(action, "to"))).collect()
    }
}

/// Decisions that turn round more often than the world did.
fn flapping(when: &str, decisions: &[(i64, i64)]) -> Option<String> {
    let outward: Vec<bool> = decisions.iter().map(|(from, to)| to > from).collect();
    let turns = outward.windows(2).filter(|pair| pair[0] != pair[1]).count();
    (turns > TURNS_MAX).then(|| format!("{turns} turns {when}: {decisions:?}"))
}

/// 250 % over all VMs: at rest nothing asks for more, and there are as many VMs as are wished.
fn settled(teller: &mut Teller) -> Vec<String> {
    let cluster = &teller.stage().cluster;
    let (Some(set), Some(setting)) = (cluster.get(Kind::ScaleSet, "web"), cluster.get(Kind::AutoscaleSetting, "auto"))
    else {
        return vec!["set and setting are there".to_owned()];
    };
    let count = set["spec"]["replicas"].as_i64().unwrap_or(-1);
    let mut findings = Vec::new();
    if count < BOUNDS.0 || count > BOUNDS.1 || 250 / count.max(1) > 70 {
        findings.push(format!("250 % on {count} VMs is no rest"));
    }
    if setting["status"]["currentReplicas"] != set["spec"]["replicas"] {
        findings.push(format!("the setting counts {}, the set {count}", setting["status"]["currentReplicas"]));
    }
    let results = setting["status"]["scaleActions"].as_array().cloned().unwrap_or_default();
    if results.first().is_some_and(|last| last["time"] != setting["status"]["lastScaleAction"]["time"]) {
        findings.push("the last decision has no end".to_owned());
    }
    findings
}
