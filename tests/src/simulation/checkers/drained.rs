//! Nobody takes down a machine that requests come to: it has left its backend pools before, and what was under way has had
//! its time. Whoever is refused what it has drained for gets requests again. Judged from the hardware's journal and from the machines as they were before the calls. Where power is cut, and
//! where the hardware fails, nobody waits.

use std::collections::{BTreeMap, BTreeSet};

use scaleset_crds::load_balancing::PoolMemberState;
use scaleset_hardware::sim::{Call, JournalEntry, Outcome};
use scaleset_hardware::{DisruptionCause, Machine};

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

    /// Every machine that was taken down too early since the last time, or that is out of its pools for what was refused, one line
    /// each. All of the journal is given, and the machines as they are now where anybody can look.
    pub(super) fn findings(
        &mut self,
        journal: &[JournalEntry],
        machines: Option<&BTreeMap<String, Machine>>,
    ) -> Vec<String> {
        let fresh: Vec<&JournalEntry> = journal.iter().filter(|entry| entry.sequence > self.read).collect();
        self.read = journal.last().map_or(self.read, |entry| entry.sequence);
        let disturbed = fresh.iter().filter(|entry| entry.call == Call::Control);
        self.disturbed.extend(disturbed.map(|entry| (entry.uid.clone(), Heard::AsBefore)));
        let left: BTreeSet<&str> =
            fresh.iter().filter(|entry| entry.call == Call::Drain).map(|entry| entry.uid.as_str()).collect();
        let down = fresh.iter().filter(|entry| takes_down(entry) && !self.disturbed.contains_key(&entry.uid));
        let findings = down.filter_map(|entry| {
            let before = self.before.get(&entry.uid).filter(|before| !only_tells(entry, before))?;
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
        findings.chain(machines.iter().flat_map(|machines| out_in_vain(&fresh, machines))).collect()
    }
}

/// Whether the call has only told the machine of what waits for its notice: it had none of it before.
fn only_tells(entry: &JournalEntry, before: &Machine) -> bool {
    let told = before.disruption_notice.as_ref().and_then(|notice| notice.operation.as_deref());
    let told_of_disk = before.disruption_notice.as_ref().is_some_and(|notice| notice.cause == DisruptionCause::OsImage);
    let is_told_of_disks = before.model.os_image_notification.is_some() && before.failed_attempts == 0;
    let of_disk = entry.call == Call::Reimage
        || (entry.call == Call::ReplaceOsDisk && entry.detail.starts_with("fresh"))
        || (entry.call == Call::Perform && entry.detail.starts_with("reimage"));
    (entry.detail.contains("after its notice") && told.is_none_or(|operation| !entry.detail.ends_with(operation)))
        || (of_disk && is_told_of_disks && !told_of_disk)
}

/// Machines that are out of their pools although the last that was asked of them was refused for good.
fn out_in_vain(fresh: &[&JournalEntry], machines: &BTreeMap<String, Machine>) -> Vec<String> {
    let mut latest: BTreeMap<&str, &JournalEntry> = BTreeMap::new();
    for entry in fresh.iter().filter(|entry| asks_its_guest(entry) || entry.call == Call::Drain) {
        latest.insert(&entry.uid, entry);
    }
    // Somebody may have failed to put it back: it is tried again with what was refused.
    let not_put_back = |uid: &str| {
        let failed = |entry: &&&JournalEntry| match &entry.outcome {
            Outcome::Refused { .. } | Outcome::AnswerLost => true,
            Outcome::Accepted | Outcome::Unchanged => false,
        };
        fresh.iter().filter(|entry| entry.call == Call::Undrain && entry.uid == uid).any(|entry| failed(&entry))
    };
    let goes_anyway = |machine: &Machine| {
        let Machine { preempt_notice, disruption_notice, terminate_notice, .. } = machine;
        preempt_notice.is_some() || disruption_notice.is_some() || terminate_notice.is_some()
    };
    let out = latest.into_iter().filter_map(|(uid, entry)| {
        let Outcome::Refused { code, .. } = &entry.outcome else { return None };
        let machine = machines.get(uid).filter(|machine| machine.drain.is_some() && !goes_anyway(machine))?;
        (LASTS.contains(&code.as_str()) && !not_put_back(uid))
            .then(|| format!("{} is out of its pools although {:?} was refused: {code}", machine.owner, entry.call))
    });
    out.collect()
}

/// Refusals that are not over in a moment.
const LASTS: [&str; 9] = [
    "QuotaExceeded",
    "AllocationFailed",
    "ZonalAllocationFailed",
    "OverconstrainedAllocationRequest",
    "OverconstrainedZonalAllocationRequest",
    "SkuNotAvailable",
    "ImageNotFound",
    "SubnetIsFull",
    "SubnetNotFound",
];

/// Whether the call has taken a machine down, and its guest was asked first.
fn takes_down(entry: &JournalEntry) -> bool {
    let began = match &entry.outcome {
        Outcome::Accepted => true,
        Outcome::Unchanged | Outcome::Refused { .. } | Outcome::AnswerLost => false,
    };
    began && asks_its_guest(entry)
}

/// Whether the call takes a machine down, and asks its guest first.
fn asks_its_guest(entry: &JournalEntry) -> bool {
    match entry.call {
        Call::Update => entry.detail.starts_with("Restart"),
        Call::SetPower => matches!(entry.detail.as_str(), "Stopped" | "Deallocated"),
        Call::Reimage | Call::ReplaceOsDisk => true,
        Call::Perform => !entry.detail.starts_with("simulate eviction"),
        Call::Delete => entry.detail.is_empty(),
        Call::Create
        | Call::Count
        | Call::SetMembership
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
    }
}
