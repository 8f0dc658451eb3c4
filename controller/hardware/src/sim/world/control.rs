//! What the control endpoint does to the world behind the controller's back.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use scaleset_crds::vocabulary::PowerState;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::health::same_source;
use super::{World, priority_of};
use crate::machine::{Change, Health};
use crate::sim::fault::{Fault, FaultEffect, Outage};
use crate::sim::journal::Call;
use crate::sim::placement::Need;
use crate::sim::store::Write;
use crate::sim::vm::{OperationKind, PowerStep, Record};

/// Longest list of faults, outages or published versions.
const LONGEST_LIST: usize = 1_000;
/// Slowest boots.
const LARGEST_FACTOR: f64 = 1_000.0;
/// Longest wait that a throttled call is told, in seconds.
const LONGEST_WAIT_SECONDS: f64 = 3_600.0;

/// Why the control endpoint refuses something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Error)]
#[error("{code:?}: {message}")]
pub struct ControlError {
    /// Kind of the refusal.
    pub code: ControlCode,
    /// The field that is wrong; empty where none is.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub field: &'static str,
    /// What is wrong.
    pub message: String,
}

/// Kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ControlCode {
    /// There is no such thing.
    NotFound,
    /// A value makes no sense.
    InvalidParameter,
    /// Not now.
    Conflict,
    /// The store cannot be written.
    Unavailable,
}

/// How a machine fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MachineFault {
    /// It runs, but nobody can reach it: power unknown until it is healed, restarted, stopped or reimaged.
    #[default]
    Hang,
    /// Its guest stops by itself.
    Crash,
}

/// A change of a machine that no controller asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drift {
    /// New size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_size: Option<String>,
    /// New tags, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// Name of an extension that is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove_extension: Option<String>,
}

type Controlled = Result<(), ControlError>;

impl World {
    /// Sets a scripted fault.
    pub(crate) fn set_fault(&mut self, name: &str, fault: Fault) -> Controlled {
        check_fault(&fault)?;
        room_for(name, &self.faults)?;
        self.faults.insert(name.to_owned(), fault);
        self.save_faults();
        Ok(())
    }

    /// Takes a scripted fault away.
    pub(crate) fn clear_fault(&mut self, name: &str) -> Controlled {
        self.faults.remove(name).ok_or_else(|| missing("fault", name, self.faults.keys()))?;
        self.save_faults();
        Ok(())
    }

    /// Takes a place down.
    pub(crate) fn set_outage(&mut self, name: &str, outage: Outage, now: Timestamp) -> Controlled {
        room_for(name, &self.outages)?;
        let region = self.regions.get(&outage.location);
        let region = region.ok_or_else(|| invalid("location", format!("there is no region {}", outage.location)))?;
        let covered = region.hosts.iter().any(|(host, state)| outage.covers(&outage.location, &state.domain, host));
        if !covered {
            return Err(invalid("zone", "no host is in that zone, fault domain and host".to_owned()));
        }
        self.outages.insert(name.to_owned(), outage);
        self.settle_outages(now);
        Ok(())
    }

    /// Brings a place back.
    pub(crate) fn clear_outage(&mut self, name: &str, now: Timestamp) -> Controlled {
        self.outages.remove(name).ok_or_else(|| missing("outage", name, self.outages.keys()))?;
        self.settle_outages(now);
        Ok(())
    }

    /// Publishes a version of an image, which is the latest from now on.
    pub(crate) fn publish(&mut self, family: &str, version: &str) -> Controlled {
        let families: Vec<String> = self.images.keys().cloned().collect();
        let offer = self.images.get_mut(family).ok_or_else(|| missing("image", family, families.iter()))?;
        if version.is_empty() || version == "latest" {
            return Err(invalid("version", format!("{version:?} is no version")));
        }
        if offer.versions.iter().any(|known| known == version) {
            return Err(ControlError {
                code: ControlCode::Conflict,
                field: "version",
                message: format!("image {family} has version {version} already"),
            });
        }
        let published = self.published.entry(family.to_owned()).or_default();
        if published.len() >= LONGEST_LIST {
            return Err(invalid("version", format!("{LONGEST_LIST} versions were published already")));
        }
        offer.versions.push(version.to_owned());
        published.push(version.to_owned());
        self.writes.push(Write::state("published", &self.published));
        self.refresh_catalog();
        self.announcements.push(Change::Catalog);
        Ok(())
    }

    /// Lets a machine fail.
    pub(crate) fn fail_machine(&mut self, uid: &str, fault: MachineFault, now: Timestamp) -> Controlled {
        let record = self.machine_at_rest(uid, now)?;
        if record.power(now) != PowerState::Running {
            return Err(conflict(format!("machine {uid} does not run")));
        }
        match fault {
            MachineFault::Hang => record.hangs_since = Some(now),
            MachineFault::Crash => {
                record.operation.power.push(PowerStep { at: now, power: PowerState::Stopped });
                record.hangs_since = None;
                record.runs_from = None;
            }
        }
        self.look_anew(uid, now);
        Ok(())
    }

    /// Heals a machine that hangs or was made to answer badly: the script alone decides what it answers.
    pub(crate) fn heal_machine(&mut self, uid: &str, now: Timestamp) -> Controlled {
        let record = self.machine(uid)?;
        if record.hangs_since.take().is_some() {
            record.reached_again_at = Some(now);
        }
        record.answer = None;
        self.look_anew(uid, now);
        Ok(())
    }

    /// Sets what the application in a machine answers; none leaves it to the script again.
    pub(crate) fn set_health(&mut self, uid: &str, answer: Option<Health>, now: Timestamp) -> Controlled {
        self.machine(uid)?.answer = answer;
        self.look_anew(uid, now);
        Ok(())
    }

    /// Takes a machine away as if it had never been.
    pub(crate) fn vanish(&mut self, uid: &str, now: Timestamp) -> Controlled {
        let set_uid = self.machine(uid)?.owner.set_uid.clone();
        self.announce(uid);
        self.remove(uid, now);
        self.begin_approved(uid, set_uid.as_deref(), (now, now));
        Ok(())
    }

    /// Changes what a machine is.
    pub(crate) fn drift(&mut self, uid: &str, drift: &Drift, now: Timestamp) -> Controlled {
        let record = self.machine_at_rest(uid, now)?.clone();
        let Drift { vm_size, tags, remove_extension } = drift;
        let mut model = self.models.get(record.model).as_ref().clone();
        if let Some(tags) = tags {
            model.tags.clone_from(tags);
        }
        if let Some(name) = remove_extension {
            let needed = model.extensions.iter().any(|other| other.provision_after_extensions.contains(name));
            if needed || !model.extensions.iter().any(|extension| extension.name == *name) {
                return Err(invalid("removeExtension", format!("machine {uid} has no extension {name} that can go")));
            }
            model.extensions.retain(|extension| extension.name != *name);
        }
        if let Some(size) = vm_size {
            model.vm_size.clone_from(size);
            self.move_to_size(&record, size)?;
        }
        let same_source = same_source(self.models.get(record.model), &model);
        let key = self.acquire_model(&Arc::new(model));
        let record = self.machine(uid)?;
        if !same_source {
            record.watch = None;
        }
        let former = std::mem::replace(&mut record.model, key);
        if let Some(name) = remove_extension {
            record.extensions.remove(name);
        }
        self.release_model(former);
        self.look_anew(uid, now);
        Ok(())
    }

    fn move_to_size(&mut self, record: &Record, size: &str) -> Controlled {
        let refused = |error: crate::HardwareError| invalid("vmSize", error.to_string());
        let model = self.models.get(record.model);
        let priority = priority_of(model);
        if record.reservation.is_some() {
            return Err(invalid("vmSize", format!("machine {} is associated with a reservation", record.uid)));
        }
        let claim = self.claim(size, priority, &record.placement).map_err(refused)?;
        let Some(current) = &record.host else {
            return Ok(());
        };
        let held = self.claim(&model.vm_size, priority, &record.placement).map_err(refused)?;
        let need = Need {
            asks: &record.uid,
            size,
            claim: &claim,
            placement: &record.placement,
            set_uid: record.owner.set_uid.as_deref(),
            current: Some((current, &held)),
        };
        let region = self.region(&record.placement.location).map_err(refused)?;
        self.check_quota(record.quota, &record.placement.location, &claim, Some(&held)).map_err(refused)?;
        let host = region.hosts.choose(&need).map_err(refused)?;
        self.release_host(&record.uid);
        self.take_host(&record.uid, host, &claim);
        Ok(())
    }

    fn machine(&mut self, uid: &str) -> Result<&mut Record, ControlError> {
        self.machines.get_mut(uid).map(Box::as_mut).ok_or_else(|| ControlError {
            code: ControlCode::NotFound,
            field: "uid",
            message: format!("no machine {uid}"),
        })
    }

    fn machine_at_rest(&mut self, uid: &str, now: Timestamp) -> Result<&mut Record, ControlError> {
        let record = self.machine(uid)?;
        if !record.is_idle(now) || record.operation.mark.kind == OperationKind::Delete {
            return Err(conflict(format!("machine {uid} is {}", record.operation.mark.kind.describe())));
        }
        Ok(record)
    }

    /// What a machine looks like may be another now.
    fn look_anew(&mut self, uid: &str, now: Timestamp) {
        self.listen(uid, now);
        self.save(uid);
        self.follow(uid, now);
        self.announce(uid);
    }

    fn settle_outages(&mut self, now: Timestamp) {
        let changed = self.apply_outages();
        self.host_changes.extend(changed.iter().map(|host| (host.clone(), now)));
        self.writes.push(Write::state("outages", &self.outages));
        self.writes.push(Write::state("hostChanges", &self.host_changes));
        let struck =
            self.machines.values().filter(|record| record.host.as_ref().is_some_and(|host| changed.contains(host)));
        let struck: Vec<String> = struck.map(|record| record.uid.clone()).collect();
        for uid in &struck {
            self.listen_again(uid, now);
            self.announce(uid);
        }
    }
}

fn check_fault(fault: &Fault) -> Controlled {
    let Fault { selector: _, effect, rate_percent, remaining } = fault;
    if !(0.0..=100.0).contains(rate_percent) {
        return Err(invalid("ratePercent", format!("{rate_percent} is out of range: 0 to 100")));
    }
    if *remaining == Some(0) {
        return Err(invalid("remaining", "0 strikes: leave it out for no end".to_owned()));
    }
    match effect {
        FaultEffect::SlowBoot { factor } if !(1.0..=LARGEST_FACTOR).contains(factor) => {
            Err(invalid("effect.factor", format!("{factor} is out of range: 1 to {LARGEST_FACTOR}")))
        }
        FaultEffect::ThrottleCalls { calls: _, retry_after_seconds }
            if !(0.0..=LONGEST_WAIT_SECONDS).contains(retry_after_seconds) =>
        {
            let message = format!("{retry_after_seconds} is out of range: 0 to {LONGEST_WAIT_SECONDS}");
            Err(invalid("effect.retryAfterSeconds", message))
        }
        FaultEffect::ThrottleCalls { calls, retry_after_seconds: _ }
        | FaultEffect::FailCalls { calls }
        | FaultEffect::LoseAnswers { calls }
        | FaultEffect::EmptyAnswers { calls }
            if calls.contains(&Call::Control) =>
        {
            Err(invalid("effect.calls", "the control endpoint itself cannot be disturbed".to_owned()))
        }
        FaultEffect::SlowBoot { factor: _ }
        | FaultEffect::FailBoot { code: _ }
        | FaultEffect::FailExtension { extension: _ }
        | FaultEffect::ThrottleCalls { .. }
        | FaultEffect::FailCalls { calls: _ }
        | FaultEffect::LoseAnswers { calls: _ }
        | FaultEffect::EmptyAnswers { calls: _ } => Ok(()),
    }
}

pub(super) fn room_for<T>(name: &str, list: &BTreeMap<String, T>) -> Controlled {
    if list.len() >= LONGEST_LIST && !list.contains_key(name) {
        return Err(invalid("name", format!("there are {LONGEST_LIST} already")));
    }
    Ok(())
}

pub(super) fn missing<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a String>) -> ControlError {
    let known: Vec<&str> = known.map(String::as_str).collect();
    ControlError {
        code: ControlCode::NotFound,
        field: "name",
        message: format!(
            "no {kind} {name}, there are: {}",
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        ),
    }
}

fn invalid(field: &'static str, message: String) -> ControlError {
    ControlError { code: ControlCode::InvalidParameter, field, message }
}

fn conflict(message: String) -> ControlError {
    ControlError { code: ControlCode::Conflict, field: "", message }
}
