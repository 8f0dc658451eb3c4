//! An operation is done once on each machine.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use scaleset_hardware::sim::{Call, JournalEntry};

use crate::simulation::stage::{Stage, took_effect};

/// What the machines are told at least before what comes with the same call again: a reimage, and what waits for its notice.
const NOTICE: SignedDuration = SignedDuration::from_secs(900);
const NOTICE_OF_REDEPLOYMENT: SignedDuration = SignedDuration::from_secs(600);

/// The hardware carries out each operation once on each machine; it may be announced by the same call before.
pub(super) fn operations_are_performed_once(stage: &Stage, findings: &mut Vec<String>) {
    let mut announced: BTreeMap<(String, String), Timestamp> = BTreeMap::new();
    let mut done: BTreeSet<(String, String)> = BTreeSet::new();
    for entry in stage.journal().iter().filter(|entry| took_effect(&entry.outcome)) {
        let what = (entry.uid.clone(), entry.detail.clone());
        match entry.call {
            // The machine that follows knows nothing of what was done to this one.
            Call::Control if entry.detail == "vanish" => done.retain(|(uid, _)| *uid != entry.uid),
            // Who was told and restarts for something else, or goes down, is told anew.
            Call::Control | Call::SetPower => {
                let fails = entry.detail.contains("HardwareFailure");
                let forgets = |(uid, detail): &(String, String)| fails || (*uid == entry.uid && waits(detail));
                done.retain(|what| !announced.contains_key(what) || !forgets(what));
                announced.retain(|what, _| !forgets(what));
            }
            // What was announced may begin at once, on every machine that was told of the same.
            Call::ApproveEvent | Call::Update => {
                let of_it = announced.keys().filter(|(uid, _)| *uid == entry.uid);
                let details: BTreeSet<String> = of_it.map(|(_, detail)| detail.clone()).collect();
                let released = announced.iter_mut().filter(|((_, detail), _)| details.contains(detail));
                released.for_each(|(_, since)| *since = entry.scenario_time - NOTICE);
            }
            Call::Perform if may_follow_its_notice(entry, announced.get(&what).copied()) => {
                announced.remove(&what);
            }
            Call::Perform if !done.insert(what.clone()) => {
                findings.push(format!("{}: {} was done twice", entry.owner, entry.detail));
            }
            Call::Perform if is_announced(&entry.detail) => {
                announced.insert(what, entry.scenario_time);
            }
            Call::Perform
            | Call::Create
            | Call::Count
            | Call::SetMembership
            | Call::Drain
            | Call::Undrain
            | Call::Reimage
            | Call::ReplaceOsDisk
            | Call::Delete
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
            | Call::ObserveReservationGroup => {}
        }
    }
}

fn is_announced(detail: &str) -> bool {
    detail.starts_with("reimage") || waits(detail)
}

fn waits(detail: &str) -> bool {
    detail.contains("after its notice")
}

fn may_follow_its_notice(entry: &JournalEntry, announced: Option<Timestamp>) -> bool {
    let notice = if entry.detail.starts_with("redeploy") { NOTICE_OF_REDEPLOYMENT } else { NOTICE };
    announced.is_some_and(|since| entry.scenario_time.duration_since(since) >= notice)
}
