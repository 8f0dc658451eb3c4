//! What was measured against what was promised, for the terminal and for `docs/benchmarks.md`.

use std::fmt::Write;

use scaleset_tests::local::requests::RequestKind;

use crate::floor::FloorRound;
use crate::ours::OursRound;
use crate::planning::Planning;
use crate::readings::Readings;
use crate::reserved::Reserved;
use crate::rollout::{Online, Rolling, Rollouts};
use crate::separate::Separate;

const READING: &str = "\
# Benchmarks

`make bench` writes this page. It starts a control plane and takes turns between two arms on it: a raw writer (*floor*)
and the controller (*ours*), each with a fresh namespace and 1,000 instances. The API server, etcd and both arms share 2
cores; etcd does not write through to the disk. The simulated hardware, in the controller's own process, takes no time,
so what is left is the cost of control.

The *floor* makes only the writes that no controller can do without: one create with the finalizer in its body and one
status for each instance, to remove it one delete and one patch that takes the finalizer off. It has no watch, no cache
and no logic, writes objects of the same size as ours, and has 16 writes in flight.

How to read it:

- **Ratios and counts are judged, seconds are not**: seconds depend on the machine and on what else it does; the ratio
  of two medians of the same run hardly does.
- **Writes** are counted by the API server (`apiserver_request_total`), events included, tries in vain included, over the
  whole life of an instance: created, Ready, gone. Four is the least that is possible.
- **A converged set** is watched for a minute, in which nothing may be written and nothing listed.
- **Resident memory** is `VmRSS` of the whole process, its simulated hardware and allocator included. With hardware in a
  process of its own the controller runs as the chart runs it, with one heap that gives back what is not used ([40](decisions/0040-heap.md)).

";

const UPGRADES: &str = "\
Measured on a simulated cluster, in scenario time: the same figures on every machine. `cargo run --package scaleset-tests
--bin bench -- rollouts` measures these alone. The floor of a rolling upgrade is its 5 batches of 20 instances, each of
which restarts (2 s) and has to answer well for 5 s until it is healthy. Writes to the API are counted as they are asked
for, events included; two are the least that is possible, one for the instance's model and one for its status. An instance
that has to wait for its turn makes a third one, since its status says that it is outdated, and by what.

";

const PLANNING: &str = "\
One pass of the planner, from the snapshot to the plan, measured by criterion (`cargo bench --package scaleset-planning`);
means in a release build. These are seconds of the machine that wrote the page, with room to the target.

";

const READINGS: &str = "\
Ten sets of 1,000 VMs on a simulated cluster, each with an autoscale setting whose rule asks for the load of all of them, for
300 s of scenario time. `bench readings` measures this alone.

";

/// What needs no API server.
pub(crate) struct Simulated {
    pub(crate) rollouts: Rollouts,
    pub(crate) planning: Planning,
    pub(crate) readings: Readings,
}

/// One promise.
struct Verdict {
    measure: &'static str,
    target: &'static str,
    measured: String,
    met: bool,
}

/// Everything that was measured.
pub(crate) struct Report {
    instances: usize,
    pub(crate) floors: Vec<FloorRound>,
    pub(crate) ours: Vec<OursRound>,
    pub(crate) reserved: Option<Reserved>,
    pub(crate) separate: Option<Separate>,
    simulated: Simulated,
}

impl Report {
    pub(crate) const fn new(instances: usize, simulated: Simulated) -> Self {
        Self { instances, floors: Vec::new(), ours: Vec::new(), reserved: None, separate: None, simulated }
    }

    pub(crate) fn all_met(&self) -> bool {
        let Simulated { rollouts, planning, readings } = &self.simulated;
        let reserved = self.reserved.iter().flat_map(judged_reservations).collect::<Vec<Verdict>>();
        self.judged()
            .iter()
            .chain(&reserved)
            .chain(&self.separate.iter().flat_map(judged_separate).collect::<Vec<Verdict>>())
            .chain(&judged(rollouts))
            .chain(&judged_planning(planning))
            .chain(&[judged_readings(readings)])
            .all(|verdict| verdict.met)
    }

    /// One line for each promise.
    pub(crate) fn verdicts(&self) -> String {
        let reserved = self.reserved.iter().flat_map(judged_reservations);
        let separate = self.separate.iter().flat_map(judged_separate);
        table(&self.judged().into_iter().chain(separate).chain(reserved).collect::<Vec<Verdict>>())
    }

    /// The whole page.
    pub(crate) fn page(&self) -> String {
        format!(
            "{READING}## Promises\n\n{}\n## Upgrades\n\n{UPGRADES}{}\n## Planning\n\n{PLANNING}{}\n## Metrics\n\n{READINGS}{}\n\
             ## Rounds\n\n{}",
            self.verdicts(),
            rollout_verdicts(&self.simulated.rollouts),
            planning_verdicts(&self.simulated.planning),
            readings_verdict(&self.simulated.readings),
            self.rounds()
        )
    }

    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn judged(&self) -> Vec<Verdict> {
        let ratio = self.ratio();
        let per_instance = |count: u64| count as f64 / self.instances as f64;
        let writes = median(self.ours.iter().map(|round| per_instance(round.write_count)));
        let of_set = |round: &OursRound| round.writes.only(|kind| kind.resource == "scalesets/status").total();
        let set_status = median(self.ours.iter().map(|round| per_instance(of_set(round))));
        let quiet = self.ours.iter().find_map(|round| round.quiet.as_ref());
        let quiet_writes = quiet.map(|asked| asked.only(RequestKind::is_write).total());
        let quiet_lists = quiet.map(|asked| asked.only(RequestKind::is_list).total());
        let resident = self.ours.iter().map(|round| round.resident_kib).max().unwrap_or(0) as f64 / 1_024.0;
        let counted = |count: Option<u64>| count.map_or("not measured".to_owned(), |count| count.to_string());
        vec![
            verdict("time from creation to 1,000 Ready, ours ÷ floor", "≤ 1.5", format!("{ratio:.2}"), ratio <= 1.5),
            verdict("API writes for each instance's life", "≤ 5.0", format!("{writes:.3}"), writes <= 5.0),
            verdict("of these, writes of the set's status", "< 0.05", format!("{set_status:.3}"), set_status < 0.05),
            verdict("writes of a converged set in 60 s", "0", counted(quiet_writes), quiet_writes == Some(0)),
            verdict("list calls of a converged set in 60 s", "0", counted(quiet_lists), quiet_lists == Some(0)),
            verdict("resident memory at 1,000 instances", "< 45 MiB", format!("{resident:.1} MiB"), resident < 45.0),
        ]
    }

    fn ratio(&self) -> f64 {
        median(self.ours.iter().map(|round| round.seconds)) / median(self.floors.iter().map(|round| round.seconds))
    }

    fn rounds(&self) -> String {
        let seconds =
            |values: Vec<f64>| values.iter().map(|value| format!("{value:.2}")).collect::<Vec<_>>().join(", ");
        let floors = seconds(self.floors.iter().map(|round| round.seconds).collect());
        let ours = seconds(self.ours.iter().map(|round| round.seconds).collect());
        let floor_removals = seconds(self.floors.iter().map(|round| round.removal_seconds).collect());
        let removals = seconds(self.ours.iter().map(|round| round.removal_seconds).collect());
        let mut text = String::new();
        let rows = [
            ("floor, 0 to 1,000 Ready, s", floors),
            ("ours, 0 to 1,000 Ready, s", ours),
            ("floor, 1,000 to 0, s", floor_removals),
            ("ours, 1,000 to 0, s", removals),
        ];
        text.push_str("In the order floor, ours, ours, floor, and the same again.\n\n| | each round |\n|---|---|\n");
        for (what, values) in rows {
            writeln!(text, "| {what} | {values} |").expect("a string takes everything");
        }
        if let Some(last) = self.ours.last() {
            let cpu = last.cpu_seconds.iter().map(|(name, seconds)| format!("{name} {seconds:.2}"));
            let cpu: Vec<String> = cpu.collect();
            writeln!(text, "\nCore seconds from creation to Ready, last round: {}.", cpu.join(", ")).expect("as above");
            writeln!(text, "\nWrites of the last round, with the two of the benchmark itself: {}.", last.writes)
                .expect("as above");
        }
        text
    }
}

/// One line for each promise about upgrades.
pub(crate) fn rollout_verdicts(rollouts: &Rollouts) -> String {
    table(&judged(rollouts))
}

/// Whether each of them is kept.
pub(crate) fn rollouts_met(rollouts: &Rollouts) -> bool {
    judged(rollouts).iter().all(|verdict| verdict.met)
}

fn judged(rollouts: &Rollouts) -> Vec<Verdict> {
    let Rollouts { rolling: Rolling { floor_seconds, seconds }, disk, disk_in_batches, tag } = rollouts;
    let ratio = seconds / f64::from(*floor_seconds);
    let time = format!("{ratio:.3} ({seconds:.1} s ÷ {floor_seconds} s)");
    let mut verdicts =
        vec![verdict("rolling upgrade of 100 instances, ours ÷ floor in scenario time", "≤ 1.05", time, ratio <= 1.05)];
    let online = [
        ("larger data disk for 1,000 instances at once", "0 creates, 0 deletes, ≤ 2 writes each", 2.0, disk),
        ("the same, 200 at a time", "0 creates, 0 deletes, ≤ 3 writes each", 3.0, disk_in_batches),
        ("tag for 1,000 instances", "0 creates, 0 deletes, ≤ 2 writes each", 2.0, tag),
    ];
    for (what, target, most, online) in online {
        let Online { creates, deletes, writes_per_instance, writes_of_set } = online;
        let measured = format!("{creates}, {deletes}, {writes_per_instance:.3} ({writes_of_set} of the set)");
        let met = *creates == 0 && *deletes == 0 && *writes_per_instance <= most;
        verdicts.push(verdict(what, target, measured, met));
    }
    verdicts
}

/// The line about the controller alone.
pub(crate) fn separate_verdict(separate: &Separate) -> String {
    table(&judged_separate(separate))
}

/// Whether it is kept.
pub(crate) fn separate_met(separate: &Separate) -> bool {
    judged_separate(separate).iter().all(|verdict| verdict.met)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn judged_separate(separate: &Separate) -> [Verdict; 2] {
    let Separate { seconds, controller_kib, hardware_kib, roll_seconds, upgraded_kib, peak_kib } = separate;
    let mib = |kib: u64| kib as f64 / 1_024.0;
    let (controller, upgraded) = (mib(*controller_kib), mib(*upgraded_kib));
    let told = format!("{controller:.1} MiB (Ready in {seconds:.2} s; the hardware has {:.1} MiB)", mib(*hardware_kib));
    let after = format!(
        "{upgraded:.1} MiB (all have it in {roll_seconds:.2} s; the most until then: {:.1} MiB)",
        mib(*peak_kib)
    );
    let what = "resident memory of the controller at 1,000 instances, hardware in its own process";
    let rolled = "the same after an upgrade that has restarted all of them, a fifth at a time";
    [verdict(what, "< 30 MiB", told, controller < 30.0), verdict(rolled, "< 30 MiB", after, upgraded < 30.0)]
}

/// One line for each promise about capacity reservation groups.
pub(crate) fn reservation_verdicts(reserved: &Reserved) -> String {
    table(&judged_reservations(reserved))
}

/// Whether each of them is kept.
pub(crate) fn reservations_met(reserved: &Reserved) -> bool {
    judged_reservations(reserved).iter().all(|verdict| verdict.met)
}

/// One write more than there are seconds: the first comes at once.
fn judged_reservations(reserved: &Reserved) -> Vec<Verdict> {
    let Reserved { seconds, writes, quiet_writes, longest_behind_seconds } = reserved;
    let most = seconds.ceil() + 1.0;
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let met = *writes as f64 <= most;
    let told = format!("{writes} in {seconds:.2} s");
    vec![
        verdict("status writes of a reservation group while 1,000 VMs that use it boot", "≤ 1 a second", told, met),
        verdict("the same in 60 s in which nothing changes", "0", quiet_writes.to_string(), *quiet_writes == 0),
        verdict(
            "longest time for which its count of allocated VMs is behind the hardware",
            "≤ 1 s between two writes, and ≤ 0.5 s for the write",
            format!("{longest_behind_seconds:.2} s"),
            *longest_behind_seconds <= 1.5,
        ),
    ]
}

/// One line for each promise about planning.
pub(crate) fn planning_verdicts(planning: &Planning) -> String {
    table(&judged_planning(planning))
}

fn judged_planning(planning: &Planning) -> Vec<Verdict> {
    let Planning { settled, settled_tenfold, made, autoscale, autoscale_passes } = planning;
    let line = |what, target, most: f64, taken: &f64| verdict(what, target, format!("{taken:.2} ms"), *taken < most);
    vec![
        line("a pass over 1,000 members, nothing to do", "< 5 ms", 5.0, settled),
        line("a pass over 10,000 members, nothing to do", "< 60 ms", 60.0, settled_tenfold),
        line("a pass that places 1,000 new members", "< 5 ms", 5.0, made),
        line("an evaluation of 1,000 autoscale settings", "< 10 ms", 10.0, autoscale),
        line("the same with calendars read before and statuses made after", "< 10 ms", 10.0, autoscale_passes),
    ]
}

/// The line about metrics that are read.
pub(crate) fn readings_verdict(readings: &Readings) -> String {
    table(&[judged_readings(readings)])
}

/// Whether it is kept.
pub(crate) fn readings_met(readings: &Readings) -> bool {
    judged_readings(readings).met
}

fn judged_readings(readings: &Readings) -> Verdict {
    let Readings { instances, settings, passes, calls } = readings;
    let told = format!("{calls} in {passes} passes over {settings} settings, {instances} VMs");
    let met = *calls > 0 && calls <= passes;
    verdict("calls of the hardware for metrics, for each setting and pass", "≤ 1", told, met)
}

fn table(verdicts: &[Verdict]) -> String {
    let mut table = "| measure | target | measured | verdict |\n|---|---|---|---|\n".to_owned();
    for Verdict { measure, target, measured, met } in verdicts {
        let verdict = if *met { "met" } else { "**missed**" };
        writeln!(table, "| {measure} | {target} | {measured} | {verdict} |").expect("a string takes everything");
    }
    table
}

fn verdict(measure: &'static str, target: &'static str, measured: String, met: bool) -> Verdict {
    Verdict { measure, target, measured, met }
}

/// The middle value; of an even number the mean of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}
