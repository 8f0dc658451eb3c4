//! What evictions may do to a set: each that deletes a member is noted once, lowers the target by one, and nobody is made
//! in its place; those that do not delete leave the member in its set.

use std::collections::{BTreeMap, BTreeSet};

use scaleset_crds::spot::EvictionPolicy;
use scaleset_hardware::{Machine, Provisioning};

use super::seen::{MemberSeen, Seen, SetSeen, text};

/// Who was seen evicted so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Evictions {
    /// Uids of machines that an eviction has deleted.
    deleted: BTreeSet<String>,
    /// Uids of members that some set has noted.
    noted: BTreeSet<String>,
    /// The hardware was silent for a round: an eviction may have gone by.
    blind: bool,
}

impl Evictions {
    /// Whether an eviction has deleted the machine of that member, as far as it was seen.
    pub(super) fn has_deleted(&self, uid: &str) -> bool {
        self.blind || self.deleted.contains(uid)
    }

    /// Every rule that is broken now, one line each.
    pub(super) fn findings(
        &mut self,
        before: &Seen,
        now: &Seen,
        machines: Option<&BTreeMap<String, Machine>>,
    ) -> Vec<String> {
        match machines {
            None => self.blind = true,
            Some(machines) => {
                let deleted = machines.values().filter(|machine| is_deleted(machine));
                self.deleted.extend(deleted.map(|machine| machine.uid.clone()));
            }
        }
        let mut findings = Vec::new();
        for set in now.sets.values() {
            let notes: Vec<String> = set.object["status"]["evictions"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|note| text(&note["uid"]))
                .collect();
            let unique: BTreeSet<&String> = notes.iter().collect();
            if unique.len() < notes.len() {
                findings.push(format!("{} has noted an eviction twice", set.name));
            }
            for uid in notes.iter().filter(|uid| !self.has_deleted(uid)) {
                findings.push(format!("{} has noted that {uid} was evicted, which was not", set.name));
            }
            self.noted.extend(notes);
        }
        for (uid, member) in &before.members {
            let gone = !now.members.contains_key(uid);
            let lives = now.sets.get(&member.owner).is_some_and(|set| set.live);
            let counted = member.surplus != "Overprovisioned";
            if counted && gone && lives && self.deleted.contains(uid) && !self.noted.contains(uid) {
                findings.push(format!("{} was evicted and let go before its set has noted it", member.name));
            }
        }
        findings
    }
}

fn is_deleted(machine: &Machine) -> bool {
    let policy = machine.model.spot.as_ref().map(|terms| terms.eviction_policy);
    machine.eviction.is_some()
        && machine.provisioning == Provisioning::Deleting
        && policy == Some(EvictionPolicy::Delete)
}

/// A set that mixes priorities makes nobody on a side that has its share already.
pub(super) fn beyond_their_share(before: &Seen, now: &Seen) -> Vec<String> {
    let mut findings = Vec::new();
    for (uid, set) in &now.sets {
        let Some(was) = before.sets.get(uid) else { continue };
        let shares: Vec<Split> = [was, set].into_iter().filter_map(share).collect();
        let (Some(regular), Some(spot)) =
            (shares.iter().map(|share| share.regular).max(), shares.iter().map(|share| share.spot).max())
        else {
            continue;
        };
        let (then, are) = (split(before, uid), split(now, uid));
        if are.regular > then.regular && are.regular > regular {
            findings.push(format!("{} has {} regular members, {regular} are to be", set.name, are.regular));
        }
        if are.spot > then.spot && are.spot > spot {
            findings.push(format!("{} has {} Spot members, {spot} are to be", set.name, are.spot));
        }
    }
    findings
}

#[derive(Clone, Copy)]
struct Split {
    regular: i64,
    spot: i64,
}

/// Azure's arithmetic, of the target in force; none for a set that mixes nothing.
fn share(set: &SetSeen) -> Option<Split> {
    let mix = &set.object["spec"]["priorityMixPolicy"];
    let number = |field: &str| mix[field].as_i64().unwrap_or(0);
    let base = number("baseRegularPriorityCount").min(set.target);
    let above = (set.target - base) * number("regularPriorityPercentageAboveBase") / 100;
    (!mix.is_null()).then_some(Split { regular: base + above, spot: set.target - base - above })
}

fn split(seen: &Seen, set_uid: &str) -> Split {
    let (spot, regular): (Vec<&MemberSeen>, Vec<&MemberSeen>) =
        seen.live_made(set_uid).partition(|member| member.object["spec"]["priority"] == "Spot");
    let count = |members: Vec<&MemberSeen>| i64::try_from(members.len()).unwrap_or(i64::MAX);
    Split { regular: count(regular), spot: count(spot) }
}
