//! Members that are not as they should be although nothing is under way on them: what each waits for.
//!
//! Together with what the steps of a pass hold back this is why a set stands still: whenever it is not as it is wished
//! and nothing moves, at least one of its holds says so (`docs/upgrades.md`).

use std::collections::BTreeMap;

use scaleset_crds::condition::Reason;
use scaleset_crds::spot::EvictionReason;
use scaleset_crds::vocabulary::{HealthState, PowerState, ProvisioningState};

use crate::draining;
use crate::notice;
use crate::plan::Hold;
use crate::snapshot::{Evicted, Member, Observation, Pending};
use crate::view::Health;
use crate::wording::some_names;

/// Stories of one reason that are told; there may be as many as members.
const STORIES_MAX: usize = 3;

/// What all members wait for, those that were announced or drain included; `counted` are those that are no extras.
pub(crate) fn of_all(counted: &[Member], all: &[Member], newest: Option<&str>) -> Vec<Hold> {
    let mut holds = holds(counted, newest);
    holds.extend(notice::of_deletions(all));
    holds.extend(notice::of_images(all));
    holds.extend(draining::hold(all));
    holds
}

/// One hold for each reason, with the members that wait for it and what is said of them. Of members that the set made;
/// `newest` is the revision that they should run.
fn holds(members: &[Member], newest: Option<&str>) -> Vec<Hold> {
    let mut waiting: BTreeMap<Reason, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for member in members.iter().filter(|member| member.is_made()) {
        if let Some((reason, message)) = waits_for(member, newest) {
            waiting.entry(reason).or_default().entry(message).or_default().push(&member.name);
        }
    }
    let hold = |(reason, stories): (Reason, BTreeMap<&str, Vec<&str>>)| {
        let count = stories.values().map(Vec::len).sum();
        Hold { reason, count, message: told(count, stories) }
    };
    waiting.into_iter().map(hold).collect()
}

/// The stories with most members first, each with their names.
fn told(count: usize, stories: BTreeMap<&str, Vec<&str>>) -> String {
    let mut stories: Vec<(&str, Vec<&str>)> = stories.into_iter().collect();
    stories.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    if let [(message, names)] = stories.as_slice() {
        return format!("{count} not as wished ({}): {message}", some_names(names));
    }
    let rest: Vec<&str> = stories.iter().skip(STORIES_MAX).flat_map(|(_, names)| names.iter().copied()).collect();
    let mut told: Vec<String> = stories
        .iter()
        .take(STORIES_MAX)
        .map(|(message, names)| format!("{} ({}): {message}", names.len(), some_names(names)))
        .collect();
    if !rest.is_empty() {
        told.push(format!("{} ({}) for other reasons of that kind", rest.len(), some_names(&rest)));
    }
    format!("{count} not as wished: {}", told.join("; "))
}

fn waits_for<'member>(member: &'member Member, newest: Option<&str>) -> Option<(Reason, &'member str)> {
    let report = &member.report;
    if let Some(failure) = &report.failure {
        return Some((failure.reason, &failure.message));
    }
    let unseen = (Reason::HardwareUnavailable, "nobody can tell how they are");
    if report.observation == Observation::Unseen {
        return Some(unseen);
    }
    if !member.is_live() {
        return None;
    }
    let done = report.provisioning == ProvisioningState::Succeeded;
    match report.evicted {
        Evicted::Deallocated(EvictionReason::Capacity) => {
            return Some((
                Reason::Evicted,
                "evicted for capacity; spotRestorePolicy or the operation Start gets it back",
            ));
        }
        Evicted::Deallocated(EvictionReason::Price) => {
            return Some((Reason::Evicted, "evicted for the price; the operation Start gets it back"));
        }
        Evicted::Deallocated(EvictionReason::Simulated) => {
            return Some((Reason::Evicted, "evicted at request; the operation Start gets it back"));
        }
        Evicted::No | Evicted::Deleted => {}
    }
    if done && report.power == PowerState::Unknown {
        return Some(unseen);
    }
    if done && report.power == PowerState::Running && !member.is_stopped_by_wish() {
        match report.health {
            Health::Missing => return Some((Reason::HealthMissing, "the health source says nothing")),
            Health::Known(HealthState::Unhealthy) => return Some((Reason::Unhealthy, "the application answers badly")),
            Health::Known(HealthState::Unknown) => {
                return Some((Reason::HealthUnknown, "the application does not answer"));
            }
            Health::NoSource | Health::Known(HealthState::Healthy | HealthState::Initializing) => {}
        }
    }
    if !done || report.running_revision.as_deref() != newest {
        return None;
    }
    match report.pending {
        Pending::NextReimage => Some((Reason::PendingReimage, "some fields are taken with the next reimage")),
        Pending::NextDeallocation => {
            Some((Reason::MaxPriceChangeNotAllowedForAllocatedVMs, "maxPrice is taken while they are deallocated"))
        }
        Pending::Nothing | Pending::More => None,
    }
}
