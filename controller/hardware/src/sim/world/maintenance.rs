//! Maintenance of hosts, machine by machine: who is told when, what is done, who comes next.
//!
//! Maintenance goes through each set by itself: all machines of one update domain (Uniform) or fault domain (Flexible)
//! have one event. The next domain is told half an hour after the last machine of the one before is done, so that
//! an approval can make it no shorter. All of it follows from what is stored and from instants, event ids included, so it
//! happens just so after a restart.
//!
//! Who does not run, or has no guest that could hear, when its turn comes has nothing done to it. Who is restarted leaves
//! its backend pools so long before that its requests end in time, also where an approval brings it forward.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use scaleset_crds::vocabulary::PowerState;

use super::asked::Beginning;
use super::control::{ControlCode, ControlError, missing, room_for};
use super::disturb::{Boot, Risk};
use super::spot::interrupt;
use super::termination::{hears, until};
use super::{Effect, World, not_found};
use crate::Target;
use crate::error::HardwareError;
use crate::machine::{Disruption, DisruptionCause};
use crate::sim::extension::ExtensionRun;
use crate::sim::maintenance::{
    Announced, BETWEEN_GROUPS, Group, GroupDomain, Maintenance, Ongoing, Progress, RELEASED_FOR, Walk,
};
use crate::sim::schedule::Work;
use crate::sim::store::Write;
use crate::sim::vm::{Mark, OperationKind, Record};

type Controlled = Result<(), ControlError>;

impl World {
    pub(crate) fn maintenances(&self) -> &BTreeMap<String, Ongoing> {
        &self.maintenances
    }

    /// Begins maintenance of hosts, or lets their hardware fail.
    pub(crate) fn begin_maintenance(&mut self, name: &str, maintenance: Maintenance, now: Timestamp) -> Controlled {
        if self.maintenances.contains_key(name) {
            let message = format!("maintenance {name} is under way; end it first, or take another name");
            return Err(ControlError { code: ControlCode::Conflict, field: "name", message });
        }
        room_for(name, &self.maintenances)?;
        let machines = self.machines_on(&maintenance, now)?;
        let walks = self.walks(&machines, now);
        let Some(disruption) = maintenance.kind.announced() else {
            for walk in walks.into_values() {
                self.fail_hardware(name, &walk, now);
            }
            return Ok(());
        };
        if !walks.is_empty() {
            let ongoing = Ongoing { maintenance, disruption, began_at: now, walks };
            self.maintenances.insert(name.to_owned(), ongoing);
            self.walk_on(name, now, now);
        }
        Ok(())
    }

    /// Ends maintenance; nobody is told any more.
    pub(crate) fn end_maintenance(&mut self, name: &str, now: Timestamp) -> Controlled {
        let known = self.maintenances.remove(name);
        known.ok_or_else(|| missing("maintenance", name, self.maintenances.keys()))?;
        let of_it = |record: &&Record| {
            let announced = record.announced.as_ref().filter(|announced| announced.progress == Progress::Pending);
            announced.is_some_and(|announced| announced.maintenance.as_deref() == Some(name))
        };
        let told: Vec<String> = self.records().filter(of_it).map(|record| record.uid.clone()).collect();
        for uid in &told {
            self.withdraw(uid, now);
        }
        self.save_maintenances(name);
        Ok(())
    }

    /// Looks at the maintenance that is due first.
    pub(super) fn maintain_due(&mut self, now: Timestamp) {
        let Some(at) = self.rounds.next().filter(|at| *at <= now) else { return };
        if let Some(name) = self.rounds.pop_due(now) {
            self.walk_on(&name, at, now);
        }
    }

    /// Does to a machine what it was told of, or takes it back where nobody has made use of it.
    pub(super) fn disrupt_due(&mut self, uid: &str, now: Timestamp) {
        let Some(record) = self.machines.get(uid) else { return };
        let Some(announced) = record.announced.as_deref().filter(|told| told.progress == Progress::Pending) else {
            return;
        };
        match announced.cause {
            DisruptionCause::OsImage | DisruptionCause::Operation => {
                if announced.not_before + RELEASED_FOR <= now {
                    self.withdraw(uid, now);
                }
            }
            DisruptionCause::Maintenance | DisruptionCause::HardwareFailure => {
                let at = announced.begins_at(&record.operation);
                if at <= now {
                    self.disrupt(uid, (at, now));
                } else if record.leaves_pools_at(self.models.get(record.model)).is_some_and(|at| at <= now) {
                    self.drain_before_maintenance(uid, now);
                }
            }
        }
    }

    /// What an event announces begins on every machine that has it: now, or when a machine that is to leave its pools first
    /// has drained.
    pub(super) fn release_event(&mut self, event_id: &str, now: Timestamp) {
        let has_it = |record: &&Record| record.announced.as_ref().is_some_and(|told| told.event_id == event_id);
        let uids: Vec<String> = self.records().filter(has_it).map(|record| record.uid.clone()).collect();
        for uid in &uids {
            let begins_at = self.record(uid).map_or(now, |record| self.drained_if_approved_at(record, now));
            let Some(record) = self.machines.get_mut(uid) else { continue };
            record.approved_event = Some(event_id.to_owned());
            record.announced.iter_mut().for_each(|told| told.not_before = told.not_before.min(begins_at));
            self.save(uid);
            self.disrupt_due(uid, now);
            self.follow(uid, now);
            self.announce(uid);
        }
    }

    /// Asks whether the OS disk of a machine may be replaced now; otherwise the machine is told of it, with one event for all
    /// that are told in the same minute of what one `request` asks for.
    pub(super) fn announce_replacement(
        &mut self,
        target: &Target,
        request: Option<&str>,
        now: Timestamp,
    ) -> Result<Beginning, HardwareError> {
        let uid = target.uid.as_str();
        let record = self.machines.get(uid).ok_or_else(|| not_found(uid))?;
        let notification = self.models.get(record.model).os_image_notification;
        let can_be_told = hears(record, now) && record.power(now) == PowerState::Running;
        let Some(notification) = notification.filter(|_| can_be_told && record.operation.failure.is_none()) else {
            return Ok(Beginning::Now);
        };
        match record.announced.as_deref() {
            Some(told) if told.cause == DisruptionCause::OsImage && told.awaits(now) => {
                return Ok(Beginning::AfterNotice(self.unchanged(target)));
            }
            Some(told) if told.cause == DisruptionCause::OsImage => return Ok(Beginning::Now),
            Some(told) => return Err(told.occupies(uid)),
            None => {}
        }
        let not_before = until(now, notification.not_before_timeout_seconds);
        let (event_id, not_before) = request.map_or_else(
            || (self.guid("image", uid, ""), not_before),
            |request| self.shared_event("image", request, not_before),
        );
        let announced = Announced {
            event_id: event_id.hyphenated().to_string(),
            disruption: Disruption::Reboot,
            cause: DisruptionCause::OsImage,
            not_before,
            progress: Progress::Pending,
            maintenance: None,
            operation: None,
            duration_seconds: Some(self.latencies.reimage.expected_seconds()),
        };
        self.tell(uid, announced, now);
        self.note_generation(target);
        Ok(Beginning::AfterNotice(Effect::Changed))
    }

    /// The replacement of an OS disk that was announced has begun.
    pub(super) fn note_replacement(&mut self, uid: &str, now: Timestamp) {
        let Some(record) = self.machines.get_mut(uid) else { return };
        let told = record.announced.as_mut().filter(|told| told.cause == DisruptionCause::OsImage);
        let Some(told) = told else { return };
        told.progress = Progress::Begun;
        self.save(uid);
        self.follow(uid, now);
    }

    pub(super) fn tell(&mut self, uid: &str, announced: Announced, now: Timestamp) {
        let Some(record) = self.machines.get_mut(uid) else { return };
        record.announced = Some(Box::new(announced));
        self.save(uid);
        self.follow(uid, now);
        self.announce(uid);
    }

    fn withdraw(&mut self, uid: &str, now: Timestamp) {
        let Some(record) = self.machines.get_mut(uid) else { return };
        record.announced = None;
        self.save(uid);
        self.follow(uid, now);
        self.announce(uid);
    }

    /// Machines with hardware in a place.
    fn machines_on(&self, maintenance: &Maintenance, now: Timestamp) -> Result<Vec<String>, ControlError> {
        let invalid = |field, message| ControlError { code: ControlCode::InvalidParameter, field, message };
        let place = maintenance.place();
        let region = self.regions.get(&place.location);
        let region = region.ok_or_else(|| invalid("location", format!("there is no region {}", place.location)))?;
        let covered = region.hosts.iter().filter(|(host, state)| place.covers(&place.location, &state.domain, host));
        let covered: BTreeSet<&String> = covered.map(|(host, _)| host).collect();
        if covered.is_empty() {
            return Err(invalid("zone", "no host is in that zone, fault domain and host".to_owned()));
        }
        let there = |record: &&Record| {
            let here = record.host.as_ref().is_some_and(|host| covered.contains(host));
            record.placement.location == place.location && here && is_allocated(record, now)
        };
        Ok(self.records().filter(there).map(|record| record.uid.clone()).collect())
    }

    /// Machines by set and, in it, by the domains that are maintained one after the other.
    fn walks(&self, machines: &[String], now: Timestamp) -> BTreeMap<String, Walk> {
        let mut domains: BTreeMap<String, BTreeMap<GroupDomain, BTreeSet<String>>> = BTreeMap::new();
        for record in machines.iter().filter_map(|uid| self.record(uid)) {
            let walk = record.owner.set_uid.clone().unwrap_or_else(|| record.uid.clone());
            let group = domains.entry(walk).or_default().entry(self.domain_of(record)).or_default();
            group.insert(record.uid.clone());
        }
        let walk = |groups: BTreeMap<GroupDomain, BTreeSet<String>>| Walk {
            groups: groups.into_iter().map(|(domain, machines)| Group { domain, machines }).collect(),
            event_id: None,
            ends_at: now,
            next_at: now,
        };
        domains.into_iter().map(|(set, groups)| (set, walk(groups))).collect()
    }

    fn domain_of(&self, record: &Record) -> GroupDomain {
        if let ("ScaleSetVM", Some(update_domain)) = (record.owner.kind.as_str(), record.placement.update_domain) {
            GroupDomain::UpdateDomain(update_domain)
        } else {
            let region = self.regions.get(&record.placement.location);
            let host = record.host.as_ref().and_then(|host| region?.hosts.get(host));
            let fault_domain = host.map_or(0, |host| host.domain.fault_domain);
            GroupDomain::FaultDomain { zone: record.placement.zone.clone(), fault_domain }
        }
    }

    /// Looks at every walk of a maintenance whose time has come: `at`, which may be some time before now.
    fn walk_on(&mut self, name: &str, at: Timestamp, now: Timestamp) {
        let Some(mut ongoing) = self.maintenances.remove(name) else { return };
        let walks = std::mem::take(&mut ongoing.walks);
        for (set, walk) in walks {
            let next = if walk.next_at <= at { self.advanced(name, &ongoing, walk, (at, now)) } else { Some(walk) };
            ongoing.walks.extend(next.map(|walk| (set, walk)));
        }
        if !ongoing.walks.is_empty() {
            self.maintenances.insert(name.to_owned(), ongoing);
        }
        self.save_maintenances(name);
    }

    /// A walk after a look at it; none when everybody of the set has had his turn.
    fn advanced(
        &mut self,
        name: &str,
        ongoing: &Ongoing,
        mut walk: Walk,
        (at, now): (Timestamp, Timestamp),
    ) -> Option<Walk> {
        if let Some(event_id) = walk.event_id.take() {
            let pending = self.records().filter_map(|record| {
                let told = record.announced.as_ref().filter(|told| told.event_id == event_id)?;
                (told.progress == Progress::Pending).then(|| told.begins_at(&record.operation))
            });
            if let Some(last) = pending.max() {
                let next_at = last.max(at + SignedDuration::from_secs(1));
                return Some(Walk { event_id: Some(event_id), next_at, ..walk });
            }
            walk.next_at = at.max(walk.ends_at + BETWEEN_GROUPS);
            return (!walk.groups.is_empty()).then_some(walk);
        }
        while !walk.groups.is_empty() {
            let Group { domain, machines } = walk.groups.remove(0);
            let (told, occupied): (Vec<String>, Vec<String>) = machines
                .into_iter()
                .filter(|uid| self.record(uid).is_some_and(|record| can_be_told(record, at)))
                .partition(|uid| self.record(uid).is_some_and(|record| record.announced.is_none()));
            if !occupied.is_empty() {
                walk.groups.insert(0, Group { domain, machines: occupied.into_iter().collect() });
            }
            if let Some(first) = told.first() {
                let announced = self.announcement(name, ongoing, first, at);
                (walk.next_at, walk.event_id) = (announced.not_before, Some(announced.event_id.clone()));
                for uid in &told {
                    self.tell(uid, announced.clone(), now);
                }
                return Some(walk);
            }
            if !walk.groups.is_empty() {
                // Somebody was told of something else: that comes first.
                walk.next_at = at + BETWEEN_GROUPS;
                return Some(walk);
            }
        }
        None
    }

    fn announcement(&self, name: &str, ongoing: &Ongoing, first: &str, at: Timestamp) -> Announced {
        let disruption = ongoing.disruption;
        let purpose = ["maintenance", name, &ongoing.began_at.to_string(), first];
        Announced {
            event_id: self.chance.guid(&purpose).hyphenated().to_string(),
            disruption,
            cause: DisruptionCause::Maintenance,
            not_before: until(at, disruption.minimum_notice_seconds()),
            progress: Progress::Pending,
            maintenance: Some(name.to_owned()),
            operation: None,
            duration_seconds: Some(self.expected_seconds(disruption)),
        }
    }

    /// The hardware under the machines of a set has failed: whoever runs restarts now, whatever it was doing.
    fn fail_hardware(&mut self, name: &str, walk: &Walk, now: Timestamp) {
        let machines = walk.groups.iter().flat_map(|group| group.machines.iter().cloned());
        let struck: Vec<String> =
            machines.filter(|uid| self.record(uid).is_some_and(|record| can_be_told(record, now))).collect();
        let Some(first) = struck.first() else { return };
        let announced = Announced {
            event_id: self.guid("failure", first, name).hyphenated().to_string(),
            disruption: Disruption::Reboot,
            cause: DisruptionCause::HardwareFailure,
            not_before: now,
            progress: Progress::Pending,
            maintenance: None,
            operation: None,
            duration_seconds: Some(self.expected_seconds(Disruption::Reboot)),
        };
        for uid in &struck {
            if let Some(record) = self.machines.get_mut(uid) {
                interrupt(record, now);
                record.announced = Some(Box::new(announced.clone()));
            }
            self.disrupt(uid, (now, now));
            self.announce(uid);
        }
    }

    /// Does what was announced, where there is anything to do it to.
    fn disrupt(&mut self, uid: &str, (at, now): (Timestamp, Timestamp)) {
        let Some(record) = self.machines.get_mut(uid) else { return };
        let Some(told) = record.announced.clone() else { return };
        if !is_allocated(record, at) || record.power(at) != PowerState::Running {
            self.withdraw(uid, now);
            return;
        }
        record.announced.iter_mut().for_each(|told| told.progress = Progress::Begun);
        let (before, failed_before) = (record.operation.failure.clone(), record.failed_before);
        let record = record.clone();
        let model = Arc::clone(self.models.get(record.model));
        let elsewhere = match (told.disruption, told.cause) {
            (Disruption::Redeploy, _) | (_, DisruptionCause::HardwareFailure) => self.other_place(&record, &model).ok(),
            (Disruption::Freeze | Disruption::Reboot, _) => None,
        };
        let kind = operation_of(told.disruption);
        let boot = if kind == OperationKind::Freeze { Boot::None } else { Boot::Boots };
        let waiting = record.extensions.iter().filter(|(_, run)| **run == ExtensionRun::Waiting);
        let waiting: BTreeSet<String> = waiting.map(|(name, _)| name.clone()).collect();
        let nothing = BTreeSet::new();
        let extensions = if boot == Boot::Boots { &waiting } else { &nothing };
        let power = record.power(at);
        let drawn = self.draw_for(uid, at, Risk { boot, extensions }, |scheduler| match boot {
            Boot::None => scheduler.steady(Work::Update, power),
            Boot::Boots => scheduler.restart(),
        });
        let generation = record.generation;
        self.begin_at(uid, Mark { kind, generation, model_revision: String::new(), wanted: 0 }, drawn, (at, now));
        if let Some(place) = elsewhere {
            self.move_to(uid, place);
        }
        if let Some(record) = self.machines.get_mut(uid) {
            // A pause mends nothing, and a restart runs no extension again that has failed.
            let kept = before.filter(|failure| boot == Boot::None || failure.is_of_extension());
            if kept.is_some() && record.operation.failure.is_none() {
                (record.operation.failure, record.failed_before) = (kept, failed_before);
            }
        }
        self.note_end(uid, &told);
        self.save(uid);
        self.follow(uid, now);
        self.announce(uid);
    }

    /// The walk that a machine belongs to ends no sooner than the machine's operation.
    fn note_end(&mut self, uid: &str, told: &Announced) {
        let Some(ends_at) = self.record(uid).map(|record| record.operation.ends_at) else { return };
        let ongoing = told.maintenance.as_ref().and_then(|name| self.maintenances.get_mut(name));
        let walks = ongoing.into_iter().flat_map(|ongoing| ongoing.walks.values_mut());
        for walk in walks.filter(|walk| walk.event_id.as_deref() == Some(told.event_id.as_str())) {
            walk.ends_at = walk.ends_at.max(ends_at);
        }
        self.writes.push(Write::state("maintenances", &self.maintenances));
    }

    fn save_maintenances(&mut self, name: &str) {
        self.rounds.set(name, self.maintenances.get(name).and_then(Ongoing::next_at));
        self.writes.push(Write::state("maintenances", &self.maintenances));
    }

    /// Goes on with the maintenance that a store holds.
    pub(super) fn resume_maintenances(&mut self) {
        for (name, ongoing) in &self.maintenances {
            self.rounds.set(name, ongoing.next_at());
        }
    }
}

/// Whether it has hardware, and keeps it for now.
fn is_allocated(record: &Record, at: Timestamp) -> bool {
    let going = record.operation.mark.kind == OperationKind::Delete;
    record.host.is_some() && !going && !record.has_released_host(at)
}

/// Whether something can be done to its guest, and the guest can hear of it.
fn can_be_told(record: &Record, at: Timestamp) -> bool {
    is_allocated(record, at) && hears(record, at)
}

const fn operation_of(disruption: Disruption) -> OperationKind {
    match disruption {
        Disruption::Freeze => OperationKind::Freeze,
        Disruption::Reboot => OperationKind::Restart,
        Disruption::Redeploy => OperationKind::Redeploy,
    }
}
