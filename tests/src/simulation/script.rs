//! The language of stories: one command a line, read by a person first.
//!
//! ```text
//! region small.yaml                               first of all: other regions than the embedded ones
//! set web Uniform eastus zones=1,2,3 replicas=3   a person creates a set
//! vm newvm centralindia set=demo                  … creates a FlexVM
//! change web replicas=5 mode=Automatic size=…     … changes a set or a FlexVM; `spec` lists the names
//! group d2s eastus zones=1,2,3 z1=SIZE:40:1       … creates a capacity reservation group, a word for each reservation
//! setting auto web profile=usual:2:10:2 out=busy,Percentage_CPU>70,+1,300 … creates an autoscale setting, see `autoscale`
//! switch auto off | on                            … switches it
//! load web Percentage_CPU total=650 on=web- | over  what VMs measure: shared by those that run, or `each=`
//! another-autoscaler web on | off                 a HorizontalPodAutoscaler scales the set
//! at 2026-03-29T00:59:00Z                         time passes, and nobody looks meanwhile
//! regroup d2s z1=20 z2=gone share=team-b          … changes capacities, takes one out, shares it
//! power web-1 Deallocated                         … the wished power of an instance
//! protect web-1 scale-in | actions | none         … its protection
//! attach newvm demo   detach newvm                … a VM that runs joins a set, or leaves it
//! operate again web Restart ids=0,1              … creates an operation of that name; without ids it is on the whole target
//! operate fine web ApproveScheduledEvent event-of=web-2   … approves the event that a VM was told of
//! operate stop web SetOrchestrationServiceState repairs=Suspend   … suspends automatic repairs, or resumes them
//! delete web-1 | delete web foreground | orphan   … deletes an object
//! forget web | forget web everything              … loses the record of the next number in a set's status, or all of it
//! vanish web-1   drift web-1 size=…               the hardware loses or changes a VM
//! crash web-1   hang web-1 | hang web-1 over      … its guest stops by itself, or nobody can reach it any more, and again
//! unwell web-1 | well web-1                       … its application answers badly, and as scripted again
//! zone eastus 2 down | up                         … a zone fails and comes back
//! domain eastus 2 down | up                       … the same of a fault domain, and of a host by its name:
//! host eastus eastus-z1-fd0-general-00 down | up
//! fail-boot web-3 | heal-boot                     … boots fail, by the beginning of the name
//! calls observe fail | calls any lose 20          … calls fail, are throttled, lose their answer, or answer that there is
//!                                                 nothing (empty), in so many of 100 cases
//! calls heal                                      … and work again
//! spot-price eastus Standard_D2s_v3 0.05 | usual  what an hour of a Spot VM costs
//! spot-pressure eastus zone=2 evict=3 | over      Spot capacity is needed by others: so many VMs are evicted, none gets in
//! maintain hosts Reboot eastus zone=2 host=…      hosts are maintained, or fail (HardwareFailure): by region, zone, fd, host
//! maintain hosts over                             nobody else is told of it
//! publish Canonical:ubuntu-server:22_04-lts 22.04.9
//! requests eastus default 4 10                    so many requests a second come through a load balancer, each takes 10 s
//! requests eastus default | pools web             … what has become of them; the pools of a set
//! settle                                          passes run, and time between them, until nothing moves
//! settle-for 90 | wait 90                         the same, for so many seconds of scenario time at most, or just so many
//! step 2                                          so many rounds of all passes, no time between them
//! lag 20                                          the cache is so many writes behind
//! api unreliable 5 7 | api reliable               so many of 100 writes are refused, as many lose their answer, by a seed
//! die before 3 | die after 0                      the controller dies at the write of that number, and is started again
//! show | revisions web                            the objects, as a table; the revisions of a set
//! services web                                    what works on a set by itself; marks of repairs on its VMs
//! settings                                        what each autoscale setting finds and has done
//! machines                                        what each machine is: its own id, its private address, its disks
//! layouts                                         what each machine is: operating system, disks, interfaces
//! covered web                                     what the capacity reservation group of a set covers of it, by its status
//! images | history web                            the image and the disks of each machine; upgrades of a set's OS image
//! ```
//!
//! A story is told by the log lines of the passes, events, and conditions that turn, each with the seconds since the
//! beginning. It ends with one more round of all passes, which must do nothing.

mod autoscale;
mod group;
mod load_balancing;
mod spec;
mod table;

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use super::random::Random;
use scaleset_controller::cluster::Kind;
use scaleset_hardware::sim::{
    BootFailure, ControlError, Drift, Fault, FaultEffect, MachineFault, Outage, RegionFile, RequestLoad, Selector,
    SpotPressure,
};
use scaleset_hardware::{Hardware, Health};
use serde_json::{Value, json};

use super::checkers::{Judge, RepairsSeen};
use super::cluster::{Cascade, CrashPoint, Presence, Trouble};
use super::stage::{Limit, Order, Rest, Stage};
use spec::{flex_vm_spec, maintenance, merge, operation_spec, option, profile, spec_of};

/// What a story is played with.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'story> {
    /// Where region files are.
    pub directory: &'story Path,
    /// In which order the passes run.
    pub order: Order,
}

/// Plays a story and returns its transcript. Panics, with the transcript so far, where the story is wrong, where an
/// invariant is broken, or where the passes do not come to rest.
pub fn play(story: &str, setting: Setting<'_>) -> String {
    let mut teller = Teller::new(story, setting);
    for line in story.lines() {
        teller.tell(line);
    }
    teller.end()
}

/// Tells one story, command by command.
pub struct Teller {
    stage: Stage,
    judge: Judge,
    transcript: String,
}

impl Teller {
    /// The beginning of a story.
    pub fn new(story: &str, setting: Setting<'_>) -> Self {
        let named = story.lines().find_map(|line| line.strip_prefix("region "));
        let region = named.map_or_else(RegionFile::embedded, |name| {
            RegionFile::read(&setting.directory.join(name.trim())).expect("the region file can be read")
        });
        Self { stage: Stage::new(region, setting.order), judge: Judge::default(), transcript: String::new() }
    }

    /// The name of a member or of another VM, where there is any.
    pub fn some_vm(&mut self, random: &mut Random) -> Option<String> {
        let cluster = &self.stage.cluster;
        let keys = [Kind::ScaleSetVM, Kind::FlexVM].into_iter().flat_map(|kind| cluster.keys(kind));
        let names: Vec<String> = keys.map(|key| key.name).collect();
        if names.is_empty() { None } else { Some(random.pick(&names).clone()) }
    }

    /// What the story is played on.
    pub const fn stage(&mut self) -> &mut Stage {
        &mut self.stage
    }

    /// Who judges it.
    pub const fn judge(&mut self) -> &mut Judge {
        &mut self.judge
    }

    /// What has been told so far.
    pub fn transcript(&self) -> &str {
        &self.transcript
    }

    /// Carries out one line.
    pub fn tell(&mut self, line: &str) {
        let line = line.trim();
        if line.starts_with('#') || line.starts_with("region ") {
            self.say(line);
        } else if !line.is_empty() {
            self.say(&format!("\n> {line}"));
            let words: Vec<&str> = line.split_whitespace().collect();
            self.run(words[0], &words[1..]);
        }
    }

    /// Writes down what there was of repairs: see [`repairs_told`].
    pub fn tell_repairs(&mut self) {
        let RepairsSeen { begun, at_once_max } = self.judge.repairs_seen();
        self.say(&format!("repairs: {begun} begun, {at_once_max} at once"));
    }

    /// One more round of all passes, which must do nothing; the transcript.
    pub fn end(mut self) -> String {
        self.say("\n> plan again, expect nothing");
        self.stage.stir();
        let round = self.stage.round();
        let lines = self.stage.take_lines();
        self.require(!round.moved, &format!("a settled story moves again:\n{}", lines.join("\n")));
        self.transcript
    }

    fn say(&mut self, line: &str) {
        writeln!(self.transcript, "{line}").expect("writing to a string cannot fail");
    }

    fn require(&self, holds: bool, otherwise: &str) {
        assert!(holds, "{}\n{otherwise}", self.transcript);
    }

    fn run(&mut self, verb: &str, words: &[&str]) {
        match (verb, words) {
            ("set", [name, mode, location, options @ ..]) => self.create_set(name, [*mode, *location], options),
            ("vm", [name, location, options @ ..]) => {
                self.stage.cluster.create_by_hand(Kind::FlexVM, name, flex_vm_spec(location, options));
            }
            ("change", [name, options @ ..]) => self.change_spec(name, options),
            ("group", [name, location, options @ ..]) => {
                let spec = group::group_spec(location, options);
                self.stage.cluster.create_by_hand(Kind::CapacityReservationGroup, name, spec);
            }
            ("setting", [name, set, options @ ..]) => {
                let spec = autoscale::setting_spec(set, options);
                self.stage.cluster.create_by_hand(Kind::AutoscaleSetting, name, spec);
            }
            ("switch", [name, to]) => self.patch(name, &json!({"spec": {"enabled": *to == "on"}})),
            ("another-autoscaler", [set, to]) => {
                let presence = if *to == "on" { Presence::There } else { Presence::Gone };
                self.stage.cluster.autoscale_by_another(set, presence);
                self.stage.stir();
            }
            ("at", [instant]) => {
                self.stage.clock.advance_to(instant.parse().expect("it is an instant"));
                self.stage.stir();
            }
            ("regroup", [name, options @ ..]) => {
                let group = self.stage.cluster.get(Kind::CapacityReservationGroup, name).unwrap_or_default();
                self.patch(name, &json!({"spec": group::changed(&group["spec"], options)}));
            }
            ("power", [name, wish]) => self.patch(name, &json!({"spec": {"powerState": wish}})),
            ("protect", [name, from]) => self.protect(name, from),
            ("attach", [name, set]) => self.patch(name, &json!({"spec": {"scaleSetRef": {"name": set}}})),
            ("detach", [name]) => self.patch(name, &json!({"spec": {"scaleSetRef": null}})),
            ("operate", [name, target, operation_type, options @ ..]) => {
                let kind = if self.kind_of(target) == Kind::FlexVM { "FlexVM" } else { "ScaleSet" };
                let event = option(options, "event-of").map(|name| format!("event={}", self.event_of(name)));
                let options: Vec<&str> = options.iter().copied().chain(event.as_deref()).collect();
                let spec = operation_spec(kind, target, operation_type, &options);
                self.stage.cluster.create_by_hand(Kind::ScaleSetOperation, name, spec);
            }
            _ => self.go_on(verb, words),
        }
    }

    /// What goes on, and what is in its way.
    fn go_on(&mut self, verb: &str, words: &[&str]) {
        match (verb, words) {
            ("delete", [name]) => self.delete(name, Cascade::Background),
            ("delete", [name, "foreground"]) => self.delete(name, Cascade::Foreground),
            ("delete", [name, "orphan"]) => self.delete(name, Cascade::Orphan),
            ("forget", [name, "everything"]) => self.patch(name, &json!({"status": null})),
            ("forget", [name]) => self.patch(name, &json!({"status": {"nextInstanceId": null}})),
            ("settle", []) => self.settle(Limit::None),
            ("settle-for", [seconds]) => self.settle(Limit::Seconds(number(seconds))),
            ("wait", [seconds]) => {
                let end = self.stage.hardware.now() + Duration::from_secs(number(seconds));
                self.settle(Limit::Seconds(number(seconds)));
                self.stage.idle_until(end);
            }
            ("step", [rounds]) => (0..number(rounds)).for_each(|_| self.step()),
            ("away", [seconds]) => self.stage.away(Duration::from_secs(number(seconds))),
            ("lag", [writes]) => self.stage.cluster.lag(usize::try_from(number(writes)).expect("a small number")),
            ("api", ["reliable"]) => self.stage.cluster.trouble(Trouble::None),
            ("api", ["unreliable", percent, seed]) => {
                let percent = usize::try_from(number(percent)).expect("a percentage");
                self.stage.cluster.trouble(Trouble::Unreliable { percent, seed: number(seed) });
            }
            ("die", [side, write]) => {
                let point = match *side {
                    "before" => CrashPoint::Before,
                    "after" => CrashPoint::After,
                    other => panic!("it dies before or after a write, not {other}"),
                };
                self.stage.cluster.trouble(Trouble::Crash { write: number(write), point });
            }
            _ => self.look(verb, words),
        }
    }

    /// What is looked at; anything else is done by the hardware.
    fn look(&mut self, verb: &str, words: &[&str]) {
        match (verb, words) {
            ("settings", []) => {
                let all = self.stage.cluster.all(Kind::AutoscaleSetting);
                let lines: Vec<String> = all.iter().flat_map(autoscale::told).map(|line| format!("  {line}")).collect();
                self.say(&lines.join("\n"));
            }
            ("requests", [location, name]) => {
                let counts = self.stage.hardware.request_counts(location, name);
                self.say(&load_balancing::told(name, counts));
            }
            ("pools", [set]) => {
                let set = self.stage.cluster.get(Kind::ScaleSet, set).unwrap_or_default();
                self.say(&load_balancing::pools(&set["status"]));
            }
            ("show", []) => self.say(&table::objects(&self.stage)),
            ("revisions", [set]) => self.say(&table::revisions(&self.stage, set)),
            ("services", [set]) => self.say(&table::services(&self.stage, set)),
            ("covered", [set]) => self.say(&table::covered(&self.stage, set)),
            ("images", []) => self.say(&table::images(&self.stage)),
            ("machines", []) => self.say(&table::machines(&self.stage)),
            ("layouts", []) => self.say(&table::layouts(&self.stage)),
            ("history", [set]) => self.say(&table::os_upgrades(&self.stage, set)),
            _ => {
                let done = self.disturb(verb, words);
                // Hardware that works again does not say so.
                if words != ["heal"] {
                    self.stage.stir();
                }
                self.require(done.is_ok(), &format!("{verb} {words:?}: {done:?}"));
            }
        }
    }

    /// What the hardware does without being asked.
    fn disturb(&self, verb: &str, words: &[&str]) -> Result<(), ControlError> {
        let stage = &self.stage;
        let hardware = &stage.hardware;
        match (verb, words) {
            ("vanish", [name]) => stage.block_on(hardware.vanish(&self.uid_of(name))),
            ("drift", [name, options @ ..]) => {
                let vm_size = option(options, "size").map(str::to_owned);
                let tags = option(options, "tag").map(|team| [("team".to_owned(), team.to_owned())].into());
                stage.block_on(hardware.drift(&self.uid_of(name), Drift { vm_size, tags, remove_extension: None }))
            }
            ("crash", [name]) => stage.block_on(hardware.fail_machine(&self.uid_of(name), MachineFault::Crash)),
            ("unwell", [name]) => stage.block_on(hardware.set_health(&self.uid_of(name), Health::Unhealthy)),
            ("well", [name]) => stage.block_on(hardware.clear_health(&self.uid_of(name))),
            ("spot-price", [location, size, price]) => {
                let price = (*price != "usual").then(|| price.parse().expect("it is a price"));
                stage.block_on(hardware.set_spot_price(location, size, price))
            }
            ("spot-pressure", [location, "over"]) => stage.block_on(hardware.clear_spot_pressure(location)),
            ("spot-pressure", [location, options @ ..]) => {
                let pressure = SpotPressure {
                    location: (*location).to_owned(),
                    zone: option(options, "zone").map(str::to_owned),
                    vm_size: option(options, "size").map(str::to_owned),
                    evict: option(options, "evict").map(|count| count.parse().expect("it is a count")),
                };
                stage.block_on(hardware.set_spot_pressure(location, pressure))
            }
            ("maintain", [name, "over"]) => stage.block_on(hardware.end_maintenance(name)),
            ("maintain", [name, kind, location, options @ ..]) => {
                stage.block_on(hardware.begin_maintenance(name, maintenance([kind, location], options)))
            }
            ("requests", [location, name, per_second, each_seconds]) => {
                let number = |word: &str| u32::try_from(number(word)).expect("a small number");
                let load = RequestLoad { per_second: number(per_second), each_seconds: number(each_seconds) };
                stage.block_on(hardware.set_requests(location, name, Some(load)))
            }
            ("hang", [name]) => stage.block_on(hardware.fail_machine(&self.uid_of(name), MachineFault::Hang)),
            ("hang", [name, "over"]) => stage.block_on(hardware.heal_machine(&self.uid_of(name))),
            ("load", [name, "over"]) => stage.block_on(hardware.set_load(name, None)),
            ("load", [name, metric, options @ ..]) => {
                stage.block_on(hardware.set_load(name, Some(autoscale::load(metric, options))))
            }
            ("publish", [image, version]) => stage.block_on(hardware.publish_image(image, version)),
            ("zone" | "domain" | "host", [location, place, "down"]) => {
                stage.block_on(hardware.set_outage(place, outage(verb, location, place)))
            }
            ("zone" | "domain" | "host", [_, place, "up"]) => stage.block_on(hardware.clear_outage(place)),
            ("fail-boot", [prefix]) => {
                let selector = Selector { name_prefix: Some((*prefix).to_owned()), ..Selector::default() };
                let effect = FaultEffect::FailBoot { code: BootFailure::OSProvisioningTimedOut };
                stage.block_on(
                    hardware.set_fault("boot", Fault { selector, effect, rate_percent: 100.0, remaining: None }),
                )
            }
            ("calls", ["heal"]) => stage.block_on(hardware.clear_fault("calls")),
            ("calls", [calls, how, percent @ ..]) => {
                stage.block_on(hardware.set_fault("calls", calls_fault(calls, how, percent)))
            }
            ("heal-boot", []) => stage.block_on(hardware.clear_fault("boot")),
            _ => panic!("{}\nthere is no command {verb} {words:?}", self.transcript),
        }
    }

    /// Id of the event that a VM has been told of.
    fn event_of(&self, name: &str) -> String {
        let vm = self.stage.cluster.get(self.kind_of(name), name).unwrap_or_default();
        vm["status"]["scheduledEvents"][0]["eventId"].as_str().unwrap_or("none").to_owned()
    }

    fn create_set(&self, name: &str, [mode, location]: [&str; 2], options: &[&str]) {
        let mut spec = json!({
            "orchestrationMode": mode,
            "location": location,
            "upgradePolicy": {"mode": "Manual", "paused": false},
            "virtualMachineProfile": profile(),
        });
        // A story that is about something else has no extras.
        if mode == "Uniform" {
            spec["overprovision"] = json!(false);
        }
        merge(&mut spec, &spec_of(options));
        if spec["virtualMachineProfile"].is_null() {
            spec.as_object_mut().expect("it is one").remove("virtualMachineProfile");
        }
        self.stage.cluster.create_by_hand(Kind::ScaleSet, name, spec);
    }

    fn change_spec(&mut self, name: &str, options: &[&str]) {
        let spec = match self.kind_of(name) {
            Kind::FlexVM => spec_of(options)["virtualMachineProfile"].take(),
            Kind::ScaleSet
            | Kind::ScaleSetVM
            | Kind::ScaleSetOperation
            | Kind::CapacityReservationGroup
            | Kind::AutoscaleSetting
            | Kind::ControllerRevision => spec_of(options),
        };
        self.patch(name, &json!({"spec": spec}));
    }

    fn patch(&mut self, name: &str, patch: &Value) {
        self.judge.touched_by_hand(name);
        self.stage.cluster.change_by_hand(self.kind_of(name), name, patch);
    }

    fn protect(&mut self, name: &str, from: &str) {
        let policy = match from {
            "scale-in" => json!({"protectFromScaleIn": true}),
            "actions" => json!({"protectFromScaleSetActions": true}),
            "none" => Value::Null,
            other => panic!("protection is from scale-in or actions, not {other}"),
        };
        self.patch(name, &json!({"spec": {"protectionPolicy": policy}}));
    }

    fn delete(&mut self, name: &str, cascade: Cascade) {
        self.judge.touched_by_hand(name);
        self.stage.cluster.delete_by_hand(self.kind_of(name), name, cascade);
    }

    fn step(&mut self) {
        self.stage.round();
        let lines = self.stage.take_lines();
        hear(&mut self.judge, &mut self.transcript, &self.stage, lines);
    }

    fn settle(&mut self, limit: Limit) {
        let Self { stage, judge, transcript } = self;
        let rest = stage.settle(limit, |stage, lines| hear(judge, transcript, stage, lines));
        assert!(rest != Rest::Never, "{transcript}\nBROKEN: it does not come to rest");
    }

    fn kind_of(&self, name: &str) -> Kind {
        Kind::ALL
            .into_iter()
            .find(|kind| self.stage.cluster.get(*kind, name).is_some())
            .unwrap_or_else(|| panic!("{}\nthere is no {name}", self.transcript))
    }

    fn uid_of(&self, name: &str) -> String {
        let object = self.stage.cluster.get(self.kind_of(name), name).expect("it was found");
        object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
    }
}

/// Writes down what was said in a round, and lets the judge look.
fn hear(judge: &mut Judge, transcript: &mut String, stage: &Stage, lines: Vec<String>) {
    for line in lines {
        writeln!(transcript, "{:>5}s  {line}", stage.elapsed_seconds()).expect("writing to a string cannot fail");
    }
    let findings = judge.findings(stage);
    assert!(findings.is_empty(), "{transcript}\nBROKEN: {}", findings.join("\nBROKEN: "));
}

/// Of a zone, of a fault domain wherever it is, or of a host.
fn outage(what: &str, location: &str, place: &str) -> Outage {
    let domain = || place.parse().expect("a fault domain is a number");
    Outage {
        location: location.to_owned(),
        zone: (what == "zone").then(|| place.to_owned()),
        fault_domain: (what == "domain").then(domain),
        host: (what == "host").then(|| place.to_owned()),
    }
}

fn calls_fault(calls: &str, how: &str, percent: &[&str]) -> Fault {
    let calls = match calls {
        "any" => Vec::new(),
        call => vec![serde_json::from_value(json!(call)).expect("it is a call of the hardware")],
    };
    let effect = match how {
        "fail" => FaultEffect::FailCalls { calls },
        "lose" => FaultEffect::LoseAnswers { calls },
        "empty" => FaultEffect::EmptyAnswers { calls },
        "throttle" => FaultEffect::ThrottleCalls { calls, retry_after_seconds: 2.0 },
        other => panic!("calls fail, lose, empty or throttle, they do not {other}"),
    };
    let rate_percent = percent.first().map_or(100.0, |percent| percent.parse().expect("a percentage"));
    Fault { selector: Selector::default(), effect, rate_percent, remaining: None }
}

/// What a transcript says that there was of repairs; nothing where the story does not tell it.
pub fn repairs_told(transcript: &str) -> RepairsSeen {
    let told = transcript.lines().rev().find_map(|line| line.strip_prefix("repairs: ")?.split_once(" begun, "));
    let Some((begun, at_once)) = told else { return RepairsSeen::default() };
    let count = |word: &str| usize::try_from(number(word)).expect("a small number");
    RepairsSeen { begun: count(begun), at_once_max: count(at_once.trim_end_matches(" at once")) }
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("{word} is not a number"))
}
