//! What notices of maintenance and of new OS disks promise: nothing begins before its time unless somebody has approved the
//! event, a notice keeps its id and its time, and members of a set that are maintained at once have one event.
//!
//! Read from the hardware and its journal alone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use scaleset_hardware::sim::{Call, JournalEntry};
use scaleset_hardware::{DisruptionCause, DisruptionNotice, Machine, NoticeStage};

use crate::simulation::stage::took_effect;

/// What was seen of notices so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Maintenances {
    /// Machines of the last round in which the hardware answered.
    before: BTreeMap<String, Machine>,
    /// Uids of machines whose journal has an approval.
    approved: BTreeSet<String>,
    /// Uids of machines that were told of an event, by its id.
    told: BTreeMap<String, BTreeSet<String>>,
}

impl Maintenances {
    /// Remembers what the journal says; all of it is given each time.
    pub(super) fn read(&mut self, journal: &[JournalEntry]) {
        let approvals = journal.iter().filter(|entry| entry.call == Call::ApproveEvent && took_effect(&entry.outcome));
        self.approved.extend(approvals.map(|entry| entry.uid.clone()));
    }

    /// Every promise that is broken now, one line each.
    pub(super) fn findings(&mut self, now: Timestamp, machines: Option<&BTreeMap<String, Machine>>) -> Vec<String> {
        let Some(machines) = machines else {
            self.before.clear();
            return Vec::new();
        };
        for machine in machines.values() {
            if let Some(notice) = &machine.disruption_notice {
                self.told.entry(notice.event_id.clone()).or_default().insert(machine.uid.clone());
            }
        }
        let mut findings: Vec<String> =
            self.before.values().filter_map(|before| self.broken_promise(now, before, machines)).collect();
        findings.extend(shared(machines));
        self.before.clone_from(machines);
        findings
    }

    fn broken_promise(&self, now: Timestamp, before: &Machine, machines: &BTreeMap<String, Machine>) -> Option<String> {
        let told = before.disruption_notice.as_ref().filter(|notice| notice.stage == NoticeStage::Scheduled)?;
        let after = machines.get(&before.uid).filter(|after| after.vm_id == before.vm_id)?;
        let after = after.disruption_notice.as_ref().filter(|notice| notice.event_id == told.event_id)?;
        let name = &before.owner.name;
        let approved = self.told.get(&told.event_id).into_iter().flatten().any(|uid| self.approved.contains(uid));
        if approved {
            return None;
        }
        if after.not_before != told.not_before {
            return Some(format!("the notice of {name} has another time and nobody has approved it"));
        }
        let began = after.stage != NoticeStage::Scheduled && now < told.not_before;
        began.then(|| format!("{:?} of {name} began before its time and nobody has approved it", told.disruption))
    }
}

/// Machines of one set that were told of one event and wait have the same notice.
fn shared(machines: &BTreeMap<String, Machine>) -> Vec<String> {
    let mut by_event: BTreeMap<&str, &DisruptionNotice> = BTreeMap::new();
    let mut findings = Vec::new();
    for machine in machines.values() {
        let Some(notice) = machine.disruption_notice.as_ref().filter(|notice| notice.stage == NoticeStage::Scheduled)
        else {
            continue;
        };
        let first = by_event.entry(&notice.event_id).or_insert(notice);
        // Of a new OS disk only those are told together whom one request is about: its notices end at a full minute.
        let alone = notice.cause == DisruptionCause::OsImage && notice.not_before.as_second() % 60 != 0;
        if *first != notice || (alone && !std::ptr::eq(*first, notice)) {
            findings.push(format!("{} has a notice that differs from others of its event", machine.owner.name));
        }
    }
    findings
}
