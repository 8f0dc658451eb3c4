//! An independent judge: what must hold after every round, read from the hardware's journal and the objects as they are
//! stored, without a line of the planner. What must hold once everything is healed and at rest is in [`converged`].

mod autoscaled;
mod drained;
mod evictions;
mod held;
mod joined;
mod limited;
mod maintenance;
mod notices;
mod performed;
mod placed;
mod repaired;
mod reserved;
mod rest;
mod scaled_in;
mod seen;
mod steady;
mod surplus;

use std::collections::{BTreeMap, BTreeSet};

use scaleset_hardware::sim::Call;
use scaleset_hardware::{Hardware, Machine};

use super::stage::{Stage, took_effect};
use autoscaled::Autoscaled;
use drained::Drained;
use evictions::{Evictions, beyond_their_share};
use held::unexplained;
use joined::strayed;
use limited::beyond_their_limit;
use maintenance::Maintenances;
use notices::Notices;
use performed::operations_are_performed_once;
use placed::misplaced;
use repaired::Repairs;
pub use repaired::RepairsSeen;
use reserved::overpromised;
pub use rest::{balanced, converged};
use scaled_in::wrong_victims;
use seen::{MemberSeen, Protected, Seen, text};
use steady::Steady;

/// What the judge remembers between rounds.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    before: Seen,
    highest_ids: BTreeMap<String, i64>,
    members_known: BTreeSet<String>,
    /// Objects that a person touched since the round before.
    by_hand: BTreeSet<String>,
    /// The set whose members nobody but its upgrade may take down.
    steady: Option<Steady>,
    evictions: Evictions,
    notices: Notices,
    maintenances: Maintenances,
    drained: Drained,
    repairs: Repairs,
    autoscaled: Autoscaled,
    /// Whether the cache was behind in the round before.
    lagged: bool,
    journalled: u64,
}

impl Judge {
    /// A person has changed or deleted the object of that name: for this round it proves nothing against the controller.
    pub fn touched_by_hand(&mut self, name: &str) {
        self.by_hand.insert(name.to_owned());
    }

    /// From now on nothing but its upgrade takes down members of the set: what the upgrade policy allows is all that may be
    /// missing, but for those that are [`Self::struck`].
    pub fn expect_steady(&mut self, set: &str) {
        self.steady = Some(Steady::of(set));
    }

    /// That member is not well on the model that it has when it gets another: it costs nothing once it fails on that one too.
    pub fn doubted(&mut self, name: &str) {
        self.steady.iter_mut().for_each(|steady| steady.doubt(name));
    }

    /// Something else takes that member down.
    pub fn struck(&mut self, name: &str) {
        self.steady.iter_mut().for_each(|steady| steady.strike(name));
    }

    /// What there was of repairs so far.
    pub const fn repairs_seen(&self) -> RepairsSeen {
        self.repairs.seen()
    }

    /// Every rule that is broken now, one line each.
    pub fn findings(&mut self, stage: &Stage) -> Vec<String> {
        let now = Seen::of(stage);
        let observed = stage.observed();
        let mut findings = self.evictions.findings(&self.before, &now, observed.as_ref());
        findings.extend(beyond_their_share(&self.before, &now));
        // Who decides on an old view decides well on that.
        let lags = stage.cluster.lags();
        if !lags && !self.lagged {
            findings.extend(misplaced(&self.before, &now));
            let by_hand = &self.by_hand;
            findings.extend(self.repairs.findings(stage.hardware.now(), &self.before, &now, by_hand));
            findings.extend(strayed(&self.before, &now, observed.as_ref().unwrap_or(&BTreeMap::new())));
            findings.extend(wrong_victims(&self.before, &now, by_hand, &self.evictions));
        }
        self.repairs.see(observed.as_ref());
        self.lagged = lags;
        findings.extend(surplus::too_many(&self.before, &now));
        findings.extend(beyond_their_limit(&self.before, &now));
        self.ids_only_rise(&now, &mut findings);
        self.counts_stay_in_target(&now, &autoscaled::counted(stage), &mut findings);
        self.still_sets_touch_nobody(&now, &mut findings);
        self.removals_are_allowed(&now, &mut findings);
        self.successors_come_first(&now, &mut findings);
        if stage.journalled() != self.journalled {
            one_create_for_each_object(stage, &mut findings);
            operations_are_performed_once(stage, &mut findings);
            self.notices.read(&stage.journal());
            self.maintenances.read(&stage.journal());
            findings.extend(self.drained.findings(&stage.journal(), observed.as_ref()));
        }
        self.drained.remember(observed.as_ref());
        findings.extend(self.notices.findings(stage.hardware.now(), &now, observed.as_ref()));
        findings.extend(self.maintenances.findings(stage.hardware.now(), observed.as_ref()));
        self.journalled = stage.journalled();
        if let Some(machines) = observed.as_ref().filter(|_| stage.is_still()) {
            findings.extend(unexplained(&now, machines));
        }
        if let (Some(machines), Some(steady)) = (&observed, &self.steady) {
            findings.extend(steady.findings(stage.hardware.now(), machines, &now));
        }
        if let Some(machines) = &observed {
            findings.extend(overpromised(stage, machines));
        }
        findings.extend(self.autoscaled.findings(stage, |name| self.by_hand.contains(name)));
        let machines = observed.unwrap_or_default();
        findings.extend(surplus::extensions_too_early(&now, &machines));
        machines_have_objects(&machines, &now, &mut findings);
        self.before = now;
        self.by_hand.clear();
        findings
    }

    /// A member that was not there before has a higher id than all that were.
    fn ids_only_rise(&mut self, now: &Seen, findings: &mut Vec<String>) {
        let before = self.highest_ids.clone();
        for member in now.members.values() {
            let Some(id) = member.id else { continue };
            let given = before.get(&member.set).copied().unwrap_or(-1);
            if self.members_known.insert(member.uid.clone()) && id <= given {
                findings.push(format!("{} has id {id}, {given} was given before", member.name));
            }
            let highest = self.highest_ids.entry(member.set.clone()).or_insert(-1);
            *highest = id.max(*highest);
        }
    }

    /// A set never makes more members than it is told to, than may surge and than wait for the ones that they replace to go.
    fn counts_stay_in_target(&self, now: &Seen, counted: &BTreeMap<String, i64>, findings: &mut Vec<String>) {
        for (uid, set) in &now.sets {
            let Some(before) = self.before.sets.get(uid) else { continue };
            let (were, are) = (self.before.live_made(uid).count(), now.live_made(uid).count());
            let most = set.target.max(before.target) + set.surge.max(before.surge);
            let most = most.max(counted.get(&set.name).copied().unwrap_or(0));
            let allowed = usize::try_from(most).unwrap_or(0) + now.beside_their_predecessors(uid);
            if are > were && are > allowed {
                findings.push(format!("{} grew from {were} to {are} members, {allowed} are allowed", set.name));
            }
        }
    }

    /// In Manual, and while paused, no member is given another model; nor is one that a person made, ever.
    fn still_sets_touch_nobody(&self, now: &Seen, findings: &mut Vec<String>) {
        for (uid, member) in &now.members {
            let Some(before) = self.before.members.get(uid) else { continue };
            if self.by_hand.contains(&member.name) || member.terminating {
                continue;
            }
            let still = |seen: &Seen| seen.sets.get(&member.owner).is_some_and(|set| set.still);
            // A member that has no VM yet is made from the newest model in every mode.
            let has_vm = !before.object["status"]["modelRevision"].is_null();
            let asked = self.is_asked_for(now, uid, &["ManualUpgrade"]);
            if has_vm && before.revision != member.revision && still(&self.before) && still(now) && !asked {
                findings.push(format!("{} was given a model although its set is Manual or paused", member.name));
            }
            let powered = self.is_asked_for(now, uid, &["Start", "PowerOff", "Deallocate"]);
            if member.owner.is_empty() && before.generation != member.generation && !powered {
                findings.push(format!("{} was made by hand and its spec was changed", member.name));
            }
            if member.protected == Protected::FromActions
                && before.protected == Protected::FromActions
                && before.revision != member.revision
                && !asked
            {
                findings.push(format!("{} was given a model in spite of its protection", member.name));
            }
        }
    }

    /// While a set lives, it deletes no protected member and none that a person made.
    fn removals_are_allowed(&self, now: &Seen, findings: &mut Vec<String>) {
        for (uid, before) in &self.before.members {
            let going = now.members.get(uid).is_none_or(|member| member.terminating);
            let asked = self.is_asked_for(now, uid, &["Delete", "ManualUpgrade"]);
            let evicted = self.evictions.has_deleted(uid);
            if before.terminating || !going || self.by_hand.contains(&before.name) || asked || evicted {
                continue;
            }
            if before.owner.is_empty() {
                findings.push(format!("{} was made by hand and is deleted", before.name));
            }
            let lives = now.sets.get(&before.owner).is_some_and(|set| set.live);
            if lives && self.is_kept(before, now) {
                findings.push(format!("{} is protected ({:?}) and is deleted", before.name, before.protected));
            }
        }
    }

    /// Whether an operation has settled on that member, if only in this round.
    fn is_asked_for(&self, now: &Seen, uid: &str, types: &[&str]) -> bool {
        self.before.is_asked_for(uid, types) || now.is_asked_for(uid, types)
    }

    /// A member that another was made to replace goes only after that one was well.
    fn successors_come_first(&self, now: &Seen, findings: &mut Vec<String>) {
        for (uid, before) in &self.before.members {
            let going = now.members.get(uid).is_none_or(|member| member.terminating);
            let grew = |seen: &Seen| seen.sets.get(&before.owner).map(|set| (set.target, set.newest.clone()));
            if before.terminating || !going || self.by_hand.contains(&before.name) || grew(&self.before) != grew(now) {
                continue;
            }
            for new in
                now.live_made(&before.owner).filter(|new| new.replaces == before.name && new.protected == Protected::No)
            {
                if text(&new.object["status"]["healthyOnRevision"]) != new.revision {
                    findings.push(format!("{} is deleted before {} was well in its place", before.name, new.name));
                }
            }
        }
    }

    /// What protects from scale-in alone does not protect from being replaced by a newer model.
    fn is_kept(&self, member: &MemberSeen, now: &Seen) -> bool {
        let shrinks = |seen: &Seen| {
            let target = seen.sets.get(&member.owner).map_or(0, |set| set.target);
            seen.live_made(&member.owner).count() > usize::try_from(target).unwrap_or(0)
        };
        let outdated = |seen: &Seen| seen.sets.get(&member.owner).is_some_and(|set| set.newest != member.revision);
        match member.protected {
            Protected::No => false,
            Protected::FromScaleIn => (shrinks(&self.before) || shrinks(now)) && !outdated(now),
            Protected::FromActions => true,
        }
    }
}

/// The hardware has created one machine for an object, unless it was deleted or vanished in between.
fn one_create_for_each_object(stage: &Stage, findings: &mut Vec<String>) {
    let mut there: BTreeSet<String> = BTreeSet::new();
    for entry in stage.journal() {
        if !took_effect(&entry.outcome) {
            continue;
        }
        match entry.call {
            Call::Create if !there.insert(entry.uid.clone()) => {
                findings.push(format!("a machine of {} was created twice", entry.owner));
            }
            Call::Delete => drop(there.remove(&entry.uid)),
            Call::Control if entry.detail == "vanish" => drop(there.remove(&entry.uid)),
            Call::Create
            | Call::Control
            | Call::Update
            | Call::SetPower
            | Call::Count
            | Call::SetMembership
            | Call::Drain
            | Call::Undrain
            | Call::Reimage
            | Call::ReplaceOsDisk
            | Call::Perform
            | Call::ApproveEvent
            | Call::Observe
            | Call::ObserveAll
            | Call::Catalog
            | Call::Headroom
            | Call::Metrics
            | Call::PutReservationGroup
            | Call::Reserve
            | Call::ReleaseReservation
            | Call::DeleteReservationGroup
            | Call::ObserveReservationGroup
            | Call::Lead => {}
        }
    }
}

/// A machine belongs to an object that is there.
fn machines_have_objects(machines: &BTreeMap<String, Machine>, now: &Seen, findings: &mut Vec<String>) {
    for (uid, machine) in machines {
        if !now.members.contains_key(uid) {
            findings.push(format!("machine {uid} ({}) belongs to nobody", machine.owner));
        }
    }
}
