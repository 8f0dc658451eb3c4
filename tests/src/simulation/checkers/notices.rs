//! What a notice of deletion promises: a machine that was told goes when its time is over, or because an operation has
//! approved it and nobody of its set stands before it; its time never changes; and who has asked for notice is told.
//!
//! Read from the hardware and its journal alone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use scaleset_crds::vocabulary::PowerState;
use scaleset_hardware::sim::{Call, JournalEntry};
use scaleset_hardware::{Machine, NoticeStage, Provisioning};

use super::seen::Seen;
use crate::simulation::stage::took_effect;

/// What was seen of notices so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Notices {
    /// Machines of the last round in which the hardware answered.
    before: BTreeMap<String, Machine>,
    /// Uids of machines whose journal has an approval, and of those that somebody broke.
    approved: BTreeSet<String>,
    broken: BTreeSet<String>,
    /// Uids of members that an approval was about.
    asked: BTreeSet<String>,
}

impl Notices {
    /// Remembers what the journal says; all of it is given each time.
    pub(super) fn read(&mut self, journal: &[JournalEntry]) {
        for entry in journal.iter().filter(|entry| took_effect(&entry.outcome)) {
            match entry.call {
                Call::ApproveEvent => drop(self.approved.insert(entry.uid.clone())),
                Call::Control => drop(self.broken.insert(entry.uid.clone())),
                Call::Create
                | Call::Update
                | Call::SetPower
                | Call::Count
                | Call::SetMembership
                | Call::Drain
                | Call::Undrain
                | Call::Reimage
                | Call::ReplaceOsDisk
                | Call::Perform
                | Call::Delete
                | Call::Observe
                | Call::PutReservationGroup
                | Call::Reserve
                | Call::ReleaseReservation
                | Call::DeleteReservationGroup
                | Call::ObserveReservationGroup
                | Call::ObserveAll
                | Call::Catalog
                | Call::Headroom
                | Call::Metrics
                | Call::Lead => {}
            }
        }
    }

    /// Every promise that is broken now, one line each.
    pub(super) fn findings(
        &mut self,
        now: Timestamp,
        seen: &Seen,
        machines: Option<&BTreeMap<String, Machine>>,
    ) -> Vec<String> {
        let asked = seen.operations.values().filter(|operation| operation.operation_type == "ApproveScheduledEvent");
        self.asked.extend(asked.flat_map(|operation| operation.instances.iter().cloned()));
        let Some(machines) = machines else {
            // Whatever happens while nobody looks is not judged.
            self.before.clear();
            return Vec::new();
        };
        let mut findings: Vec<String> =
            self.before.values().filter_map(|before| self.broken_promise(now, before, machines)).collect();
        let unasked = self.approved.iter().filter(|uid| !self.asked.contains(*uid));
        findings.extend(unasked.map(|uid| format!("an event of {uid} was approved and nobody has asked for it")));
        self.before.clone_from(machines);
        findings
    }

    fn broken_promise(&self, now: Timestamp, before: &Machine, machines: &BTreeMap<String, Machine>) -> Option<String> {
        let after = machines.get(&before.uid).filter(|after| after.vm_id == before.vm_id);
        let goes = after.is_none_or(|after| after.provisioning == Provisioning::Deleting);
        let name = &before.owner.name;
        if self.broken.contains(&before.uid) {
            return None;
        }
        let Some(told) = &before.terminate_notice else {
            let heard = before.power == PowerState::Running && before.os_name.is_some();
            let promised = heard && before.model.terminate_notification.is_some() && before.eviction.is_none();
            let told = after.is_some_and(|after| after.terminate_notice.is_some());
            let went = goes && before.provisioning == Provisioning::Succeeded;
            return (went && promised && !told).then(|| format!("{name} was deleted without its notice"));
        };
        if let Some(notice) = after.and_then(|after| after.terminate_notice.as_ref())
            && (&notice.event_id, notice.not_before) != (&told.event_id, told.not_before)
        {
            return Some(format!("the notice of {name} has changed"));
        }
        if !goes || told.stage == NoticeStage::Started || now >= told.not_before {
            return None;
        }
        if !self.approved.contains(&before.uid) {
            return Some(format!("{name} goes before its notice is over, and nobody has approved it"));
        }
        let first = machines.values().find(|other| stands_before(other, before, told.not_before))?;
        Some(format!("{name} goes before {}, which stands before it", first.owner.name))
    }
}

/// Whether `other` is of the same set, has a notice that ends no later, and that nobody has approved.
fn stands_before(other: &Machine, machine: &Machine, not_before: Timestamp) -> bool {
    let open = other
        .terminate_notice
        .as_ref()
        .is_some_and(|notice| notice.stage == NoticeStage::Scheduled && notice.not_before <= not_before);
    open && other.uid != machine.uid && other.owner.set_uid.is_some() && other.owner.set_uid == machine.owner.set_uid
}
