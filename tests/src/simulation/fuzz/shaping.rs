//! A set of any shape that the API takes: zones or none, given later too, fault domains, placement groups, strict balance;
//! and what decides who goes when it shrinks. And whatever is balanced over zones comes to be even in the end.

use std::collections::BTreeMap;

use scaleset_controller::cluster::Kind;
use scaleset_crds::vocabulary::PowerState;
use serde_json::Value;

use super::Author;
use crate::simulation::checkers::balanced;
use crate::simulation::random::Random;

/// Sets that may have zones, by name.
const SPREAD: [&str; 3] = ["web", "safe", "shape"];

/// What a story knows of the set's shape.
pub(super) struct Shaping {
    random: Random,
    /// Whether there is such a set.
    on: bool,
    /// Zones that it has not got yet and may get.
    zones_to_come: Vec<&'static str>,
    /// Whether its single placement group can be given up.
    single: bool,
}

impl Shaping {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed ^ 0x7368_6170_6564), on: false, zones_to_come: Vec::new(), single: false }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random.below(limit)
    }

    fn pick(&mut self, words: &[&'static str]) -> &'static str {
        self.random.pick::<&'static str>(words)
    }
}

impl Author<'_> {
    /// A third of the stories have the set, and a third another policy for the set `web`.
    pub(super) fn begin_shaping(&mut self) {
        if self.shaping.below(3) == 0 {
            let policy = self.scale_in_policy();
            self.tell(&format!("change web {policy}"));
        }
        if self.shaping.below(3) > 0 {
            return;
        }
        let mode = self.shaping.pick(&["Uniform", "Uniform", "Flexible"]);
        let zones = self.shaping.pick(&["", "", "1", "1,2", "1,2,3", "1,2,3"]);
        let domains = match (mode, zones) {
            ("Uniform", "") => self.shaping.pick(&["1", "2", "3", "5", "5"]),
            ("Uniform", _) => self.shaping.pick(&["1", "5"]),
            (_, "") => self.shaping.pick(&["1", "2", "3"]),
            (_, _) => "1",
        };
        // Max spreading needs many placement groups; of a Flexible set the sizes here do.
        let groups = match (mode, domains) {
            ("Uniform", "2" | "3" | "5") => self.shaping.pick(&["", "spg=true", "spg=false"]),
            (_, _) => self.shaping.pick(&["", "spg=false"]),
        };
        let balance = if zones.len() > 1 { self.shaping.pick(&["", "balance=strict"]) } else { "" };
        let upgrades = match mode {
            "Uniform" => self.shaping.pick(&["Manual", "Automatic", "Rolling"]),
            _ => self.shaping.pick(&["Manual", "Automatic"]),
        };
        let health = if mode == "Uniform" { "health=probe" } else { "" };
        let policy = self.scale_in_policy();
        let replicas = self.shaping.below(9);
        let spread = if zones.is_empty() { String::new() } else { format!("zones={zones}") };
        let words = [spread.as_str(), &format!("fd={domains}"), groups, balance, health, &policy];
        let words = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        self.tell(&format!("set shape {mode} eastus replicas={replicas} mode={upgrades} {words}"));
        self.shaping.on = true;
        self.shaping.single = groups == "spg=true";
        // Only over 1 or 5 fault domains.
        self.shaping.zones_to_come = match (zones, mode, domains) {
            ("", "Uniform", "1" | "5") | ("", _, "1") => vec!["1", "1,2,3"],
            ("1,2,3" | "", _, _) => Vec::new(),
            ("1", _, _) => vec!["1,2", "1,2,3"],
            (_, _, _) => vec!["1,2,3"],
        };
    }

    fn scale_in_policy(&mut self) -> String {
        let rule = self.shaping.pick(&["Default", "NewestVM", "OldestVM"]);
        let [force, unhealthy] = [(); 2].map(|()| self.shaping.pick(&["true", "false"]));
        format!("scale-in={rule} force={force} unhealthy-first={unhealthy}")
    }

    /// Now and then something of it changes.
    pub(super) fn shape(&mut self) {
        if !self.shaping.on || self.shaping.below(2) > 0 {
            return;
        }
        let line = match self.shaping.below(12) {
            0..=3 => format!("change shape replicas={}", self.shaping.below(13)),
            4 => {
                let policy = self.scale_in_policy();
                format!("change shape {policy}")
            }
            5 if !self.shaping.zones_to_come.is_empty() => {
                let zones = self.shaping.zones_to_come.remove(0);
                format!("change shape zones={zones}")
            }
            6 if self.shaping.single => {
                self.shaping.single = false;
                "change shape spg=false".to_owned()
            }
            7 => format!("change shape tag={}", self.shaping.pick(&["red", "blue", "green"])),
            8 => format!("change shape size={}", self.shaping.pick(&["Standard_D2s_v3", "Standard_D4s_v3"])),
            _ => return self.touch_member_of_shape(),
        };
        self.tell(&line);
    }

    fn touch_member_of_shape(&mut self) {
        let machines = self.teller.stage().machines();
        let is_there = |name: &String| machines.values().any(|machine| machine.owner.name == *name);
        let names: Vec<String> = self.members_of("shape").into_iter().filter(is_there).collect();
        if names.is_empty() {
            return;
        }
        let name = self.shaping.random.pick(&names).clone();
        let running = machines.values().any(|it| it.owner.name == name && it.power == PowerState::Running);
        let line = match self.shaping.below(6) {
            0 => format!("delete {name}"),
            1 => format!("protect {name} scale-in"),
            2 => format!("protect {name} none"),
            3 => format!("power {name} Stopped"),
            4 => format!("power {name} Running"),
            _ if running => format!("crash {name}"),
            _ => return,
        };
        self.tell(&line);
    }

    /// Names of live members that the set of that name made.
    fn members_of(&mut self, set: &str) -> Vec<String> {
        self.objects_of(set).iter().filter_map(|member| Some(member["metadata"]["name"].as_str()?.to_owned())).collect()
    }

    fn objects_of(&mut self, set: &str) -> Vec<Value> {
        let cluster = &self.teller.stage().cluster;
        let Some(uid) = cluster.get(Kind::ScaleSet, set).map(|set| set["metadata"]["uid"].clone()) else {
            return Vec::new();
        };
        let made = [Kind::ScaleSetVM, Kind::FlexVM].into_iter().flat_map(|kind| cluster.all(kind));
        let live = |member: &Value| {
            member["metadata"]["ownerReferences"][0]["uid"] == uid && member["metadata"]["deletionTimestamp"].is_null()
        };
        made.filter(live).collect()
    }

    /// Nobody is kept any more, and each set over zones is to have as many members as make it even: three times its fullest
    /// zone. A strict balance is else in its own way, after an outage or a deletion by hand.
    pub(super) fn end_shaping(&mut self) {
        for set in SPREAD {
            self.even_out(set);
        }
    }

    fn even_out(&mut self, set: &str) {
        let members = self.objects_of(set);
        for member in members.iter().filter(|member| !member["spec"]["protectionPolicy"].is_null()) {
            self.tell(&format!("protect {} none", member["metadata"]["name"].as_str().unwrap_or_default()));
        }
        let spec =
            self.teller.stage().cluster.get(Kind::ScaleSet, set).map(|set| set["spec"].clone()).unwrap_or_default();
        let zones = spec["zones"].as_array().map_or(0, Vec::len);
        if zones == 0 {
            return;
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for member in &members {
            // Those without a zone are the first to go, and leave their places to the zones.
            *counts.entry(member["spec"]["zone"].as_str().unwrap_or_default()).or_default() += 1;
        }
        let zoneless = counts.remove("").unwrap_or(0);
        let fullest = counts.values().max().copied().unwrap_or(0).max(1);
        self.tell(&format!("change {set} replicas={}", fullest * zones + zoneless));
    }

    /// Once it is at rest: even, and so again after it has shrunk.
    pub(super) fn balance(&mut self) -> Vec<String> {
        let mut findings = balanced(self.teller.stage());
        for set in SPREAD {
            let members = self.members_of(set).len();
            if members > 0 {
                let replicas = self.shaping.below(members);
                self.tell(&format!("change {set} replicas={replicas}"));
            }
        }
        self.tell("settle");
        findings.extend(balanced(self.teller.stage()));
        findings
    }
}
