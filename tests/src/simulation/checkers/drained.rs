//! Nobody takes down a machine that requests come to: it has left its backend pools before, and what was under way has had
//! its time. Judged from the hardware's journal and from the machines as they were before the calls. Where power is cut, and
//! where the hardware fails, nobody waits.

use std::collections::{BTreeMap, BTreeSet};

use scaleset_crds::load_balancing::PoolMemberState;
use scaleset_hardware::Machine;
use scaleset_hardware::sim::{Call, JournalEntry, Outcome};

/// What is remembered between rounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Drained {
    /// Machines as they were seen last.
    before: BTreeMap<String, Machine>,
    /// Number of the last entry that was read.
    read: u64,
    /// Machines that were disturbed from outside, until their load balancers have heard them again: before, what those hear may
    /// change at any moment.
    disturbed: BTreeMap<String, Heard>,
}

/// What load balancers have heard of a machine since it was disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// Nothing else than before, as far as it was seen.
    AsBefore,
    /// That it is not well, or takes no requests.
    Otherwise,
}

impl Drained {
    /// How machines are now; nobody knows while nobody can look.
    pub(super) fn remember(&mut self, machines: Option<&BTreeMap<String, Machine>>) {
        self.before = machines.cloned().unwrap_or_default();
        for (uid, heard) in &mut self.disturbed {
            let pools = self.before.get(uid).map(|machine| machine.backend_pools.as_slice()).unwrap_or_default();
            if pools.iter().any(|member| member.state != PoolMemberState::Healthy) {
                *heard = Heard::Otherwise;
            }
        }
        let before = &self.before;
        self.disturbed.retain(|uid, heard| {
            let pools = before.get(uid).map(|machine| machine.backend_pools.as_slice()).unwrap_or_default();
            let serves = !pools.is_empty() && pools.iter().all(|member| member.state == PoolMemberState::Healthy);
            *heard == Heard::AsBefore || !serves
        });
    }

    /// Every machine that was taken down too early since the last time, one line each. All of the journal is given.
    pub(super) fn findings(&mut self, journal: &[JournalEntry]) -> Vec<String> {
        let fresh: Vec<&JournalEntry> = journal.iter().filter(|entry| entry.sequence > self.read).collect();
        self.read = journal.last().map_or(self.read, |entry| entry.sequence);
        let disturbed = fresh.iter().filter(|entry| entry.call == Call::Control);
        self.disturbed.extend(disturbed.map(|entry| (entry.uid.clone(), Heard::AsBefore)));
        let left: BTreeSet<&str> =
            fresh.iter().filter(|entry| entry.call == Call::Drain).map(|entry| entry.uid.as_str()).collect();
        let down = fresh.iter().filter(|entry| takes_down(entry) && !self.disturbed.contains_key(&entry.uid));
        let findings = down.filter_map(|entry| {
            let before = self.before.get(&entry.uid)?;
            let served = before.backend_pools.iter().any(|member| member.state == PoolMemberState::Healthy);
            let drains = before.drain.filter(|drain| drain.drained_at > entry.scenario_time);
            let what = format!("{:?} {} of {}", entry.call, entry.detail, entry.owner);
            match drains {
                Some(drain) => Some(format!("{what} before it has drained at {}", drain.drained_at)),
                None if served && !left.contains(entry.uid.as_str()) => {
                    Some(format!("{what} while requests come to it"))
                }
                None => None,
            }
        });
        findings.collect()
    }
}

/// Whether the call has taken a machine down, and its guest was asked first.
fn takes_down(entry: &JournalEntry) -> bool {
    let began = match &entry.outcome {
        Outcome::Accepted => true,
        Outcome::Unchanged | Outcome::Refused { .. } | Outcome::AnswerLost => false,
    };
    let asks = match entry.call {
        Call::Update => entry.detail.starts_with("Restart"),
        Call::SetPower => matches!(entry.detail.as_str(), "Stopped" | "Deallocated"),
        Call::Reimage | Call::ReplaceOsDisk => true,
        Call::Perform => !entry.detail.starts_with("simulate eviction"),
        Call::Delete => entry.detail.is_empty(),
        Call::Create
        | Call::Count
        | Call::Drain
        | Call::Undrain
        | Call::ApproveEvent
        | Call::Observe
        | Call::ObserveAll
        | Call::Catalog
        | Call::Headroom
        | Call::Metrics
        | Call::Lead
        | Call::PutReservationGroup
        | Call::Reserve
        | Call::ReleaseReservation
        | Call::DeleteReservationGroup
        | Call::ObserveReservationGroup
        | Call::Control => false,
    };
    began && asks
}
