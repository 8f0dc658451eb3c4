//! Who ran when: from when on each machine of a set ran without a break, and until when, as far back as anybody may ask.
//!
//! It is in memory. After a restart it knows the machines that there are, since when they run, and nothing of those that went
//! before.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use scaleset_crds::VirtualMachineModel;

use super::REMEMBERED;
use crate::sim::fault::Subject;
use crate::sim::vm::Record;

/// What is forgotten is looked for so often.
const FORGET_EVERY: SignedDuration = SignedDuration::from_mins(10);

/// Extensions that report guest metrics, by type.
const AGENTS: [&str; 4] = ["AzureMonitorLinuxAgent", "AzureMonitorWindowsAgent", "LinuxDiagnostic", "IaaSDiagnostics"];

/// The machines of all sets, by uid of the set and of the machine.
#[derive(Debug, Default)]
pub(crate) struct RunHistory {
    sets: BTreeMap<String, BTreeMap<String, Reporter>>,
    forgotten_at: Option<Timestamp>,
}

/// A machine that runs or ran, as loads select it.
#[derive(Debug)]
pub(crate) struct Reporter {
    name: String,
    namespace: String,
    location: String,
    zone: String,
    vm_size: String,
    has_agent: bool,
    /// From and until, the earliest first; the last one may have no end.
    runs: Vec<(Timestamp, Option<Timestamp>)>,
}

impl Reporter {
    /// What selectors are held against.
    pub(crate) fn subject<'a>(&'a self, uid: &'a str) -> Subject<'a> {
        Subject {
            uid,
            name: &self.name,
            namespace: &self.namespace,
            location: &self.location,
            zone: &self.zone,
            vm_size: &self.vm_size,
        }
    }

    /// Name of the object that it belongs to.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it ran at an instant.
    pub(crate) fn ran(&self, at: Timestamp) -> bool {
        self.runs.iter().any(|(from, until)| *from <= at && until.is_none_or(|until| at < until))
    }

    /// Whether it reports metrics of a namespace: those of the guest need an agent there.
    pub(crate) fn reports(&self, namespace: Option<&str>) -> bool {
        namespace.is_none() || self.has_agent
    }

    fn note(&mut self, runs_from: Option<Timestamp>, now: Timestamp) {
        let open = self.runs.last_mut().filter(|(_, until)| until.is_none());
        match (open, runs_from) {
            (Some((from, _)), Some(since)) if *from == since => return,
            (Some((from, until)), _) => *until = Some(now.max(*from)),
            (None, _) => {}
        }
        self.runs.extend(runs_from.map(|since| (since, None)));
        self.runs
            .retain(|(from, until)| until.is_none_or(|until| *from < until && now.duration_since(until) < REMEMBERED));
    }
}

impl RunHistory {
    /// Notes from when on a machine runs, as its record has it after a change. Machines of no set are not remembered.
    pub(crate) fn note(&mut self, record: &Record, model: &VirtualMachineModel, now: Timestamp) {
        let Some(set_uid) = &record.owner.set_uid else { return };
        // What it did before it joined, it did for another set.
        let runs_from = record.runs_from.map(|since| record.joined_at.map_or(since, |joined| joined.max(since)));
        let of_set = self.sets.entry(set_uid.clone()).or_default();
        let Some(known) = of_set.get_mut(&record.uid) else {
            if runs_from.is_some() {
                let mut reporter = reporter(record, model);
                reporter.note(runs_from, now);
                of_set.insert(record.uid.clone(), reporter);
            }
            return;
        };
        known.has_agent = has_agent(model);
        if known.vm_size != model.vm_size {
            known.vm_size.clone_from(&model.vm_size);
        }
        known.note(runs_from, now);
    }

    /// A machine is no member any more of the set that its record names.
    pub(crate) fn leave(&mut self, record: &Record, now: Timestamp) {
        let of_set = record.owner.set_uid.as_ref().and_then(|set_uid| self.sets.get_mut(set_uid));
        if let Some(known) = of_set.and_then(|of_set| of_set.get_mut(&record.uid)) {
            known.note(None, now);
        }
    }

    /// A machine is gone.
    pub(crate) fn gone(&mut self, record: &Record, now: Timestamp) {
        self.leave(record, now);
        self.forget(now);
    }

    /// The machines of a set that may have run lately, by uid.
    pub(crate) fn of_set(&self, set_uid: &str) -> impl Iterator<Item = (&str, &Reporter)> {
        self.sets.get(set_uid).into_iter().flatten().map(|(uid, reporter)| (uid.as_str(), reporter))
    }

    /// Whoever ended so long ago that nobody can ask for it.
    fn forget(&mut self, now: Timestamp) {
        if self.forgotten_at.is_some_and(|at| now.duration_since(at) < FORGET_EVERY) {
            return;
        }
        self.forgotten_at = Some(now);
        let is_kept = |until: Option<Timestamp>| until.is_none_or(|until| now.duration_since(until) < REMEMBERED);
        for of_set in self.sets.values_mut() {
            of_set.retain(|_, reporter| reporter.runs.last().is_some_and(|(_, until)| is_kept(*until)));
        }
        self.sets.retain(|_, of_set| !of_set.is_empty());
    }
}

fn reporter(record: &Record, model: &VirtualMachineModel) -> Reporter {
    Reporter {
        name: record.owner.name.clone(),
        namespace: record.owner.namespace.clone(),
        location: record.placement.location.clone(),
        zone: record.placement.zone.clone().unwrap_or_default(),
        vm_size: model.vm_size.clone(),
        has_agent: has_agent(model),
        runs: Vec::new(),
    }
}

fn has_agent(model: &VirtualMachineModel) -> bool {
    model.extensions.iter().any(|extension| AGENTS.contains(&extension.extension_type.as_str()))
}
