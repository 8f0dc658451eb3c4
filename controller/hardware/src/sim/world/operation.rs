//! Beginning an operation on a machine: its course is drawn, written into the record, and followed.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::vocabulary::{PowerState, PowerWish};

use super::World;
use super::disturb::{Boot, Counted, Risk};
use super::not_found;
use crate::Target;
use crate::error::HardwareError;
use crate::sim::extension::{self, ExtensionRun, Runs};
use crate::sim::fault::Subject;
use crate::sim::schedule::{Course, Guest, Scheduler};
use crate::sim::vm::{HostState, Mark, Operation, OperationKind, Record};

/// What is drawn for an operation.
pub(super) struct Drawn {
    pub(super) course: Course,
    pub(super) runs: Runs,
}

/// What an operation is drawn for.
#[derive(Clone, Copy)]
pub(super) struct Occasion<'a> {
    pub(super) now: Timestamp,
    pub(super) subject: Subject<'a>,
    /// Number of the operation on this machine.
    pub(super) number: u32,
    pub(super) boot: Boot,
    /// The model that the machine will have.
    pub(super) model: &'a Arc<VirtualMachineModel>,
    /// Extensions that are to run once the guest does.
    pub(super) extensions: &'a BTreeSet<String>,
    /// Whether the guest runs now.
    pub(super) guest_runs: GuestRuns,
}

/// Whether a guest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GuestRuns {
    Yes,
    No,
}

impl World {
    /// Finds a machine that a call may change, and refuses calls that are stale or come too late: from the notice of its
    /// deletion on nothing is changed of it.
    pub(super) fn fenced(&self, target: &Target) -> Result<&Record, HardwareError> {
        let record = self.not_stale(target)?;
        if record.operation.mark.kind == OperationKind::Delete {
            return Err(busy(record));
        }
        if record.termination.is_some() {
            let operation = "about to be deleted, its notice is out".to_owned();
            return Err(HardwareError::Busy { uid: record.uid.clone(), operation });
        }
        Ok(record)
    }

    /// Finds a machine, and refuses calls that are stale.
    pub(super) fn not_stale(&self, target: &Target) -> Result<&Record, HardwareError> {
        let record = self.machines.get(&target.uid).ok_or_else(|| not_found(&target.uid))?;
        if target.generation < record.generation {
            return Err(HardwareError::Stale {
                uid: target.uid.clone(),
                generation: target.generation,
                seen: record.generation,
            });
        }
        Ok(record)
    }

    /// Refuses work on a machine that nobody can reach.
    pub(super) fn reachable(&self, record: &Record) -> Result<(), HardwareError> {
        match (self.host_state(record), &record.host) {
            (HostState::Down(_), Some(host)) => {
                Err(HardwareError::Transient { message: format!("host {host} of machine {} is down", record.uid) })
            }
            (HostState::Down(_) | HostState::Up(_), _) => Ok(()),
        }
    }

    /// Draws an operation; `course` says what it does.
    pub(super) fn draw(&mut self, occasion: Occasion<'_>, course: impl FnOnce(&Scheduler<'_>) -> Course) -> Drawn {
        let Occasion { now, subject, number, boot, model, extensions, guest_runs } = occasion;
        let risk = Risk { boot, extensions };
        let (disturbance, counted) = Self::disturb(&mut self.faults, self.chance, &subject, number, risk);
        if counted == Counted::Yes {
            self.save_faults();
        }
        let scheduler = Scheduler {
            now,
            uid: subject.uid,
            attempt: number,
            chance: self.chance,
            latencies: &self.latencies,
            disturbance,
        };
        let course = course(&scheduler);
        let runs_at = match (course.guest, guest_runs) {
            (Guest::RunsFrom(instant), _) => Some(instant),
            (Guest::Undisturbed, GuestRuns::Yes) => Some(course.ready_at),
            (Guest::Undisturbed, GuestRuns::No) | (Guest::Lost | Guest::Down, _) => None,
        };
        let runs = match runs_at {
            Some(instant) => {
                let order = extension::ordered(&model.extensions).expect("the model was checked before");
                scheduler.extensions(&order, extensions, instant)
            }
            None => waiting(extensions, course.ready_at),
        };
        Drawn { course, runs }
    }

    /// Writes an operation into a record and lets what it does at once take effect.
    pub(super) fn begin(&mut self, uid: &str, mark: Mark, drawn: Drawn, now: Timestamp) {
        if let Some(record) = self.machines.get_mut(uid) {
            overtake_eviction(record, mark.kind);
        }
        self.begin_at(uid, mark, drawn, (now, now));
    }

    /// The same for one that began some time before now.
    pub(super) fn begin_at(&mut self, uid: &str, mark: Mark, drawn: Drawn, (began, now): (Timestamp, Timestamp)) {
        let Some(record) = self.machines.get_mut(uid) else {
            return;
        };
        let Drawn { course, runs } = drawn;
        record.failed_before = record.failed_attempts(began);
        record.operations = record.operations.saturating_add(1);
        record.generation = mark.generation;
        restart(record, &course);
        let Runs { by_name, until, failure } = runs;
        let model = self.models.get(record.model);
        if model.extensions.iter().any(|extension| extension.is_health() && by_name.contains_key(&extension.name)) {
            record.watch = None;
        }
        record.extensions.extend(by_name);
        record.operation = compose(mark, began, course, until, failure);
        self.listen(uid, now);
        self.save(uid);
        self.follow(uid, now);
    }

    /// Notes that a call asked for what is there or under way.
    pub(super) fn note_generation(&mut self, target: &Target) {
        let raised = self.machines.get_mut(&target.uid).filter(|record| record.generation < target.generation);
        if let Some(record) = raised {
            record.generation = target.generation;
            self.save(&target.uid);
        }
    }
}

/// Somebody's own wish takes the place of what an eviction has done, or is about to do.
fn overtake_eviction(record: &mut Record, kind: OperationKind) {
    match kind {
        OperationKind::Power(PowerWish::Deallocated) | OperationKind::Delete => {
            record.preemption = None;
            record.evicted = None;
        }
        OperationKind::Power(PowerWish::Running | PowerWish::Stopped) => record.evicted = None,
        OperationKind::Create
        | OperationKind::Update(_)
        | OperationKind::Reimage
        | OperationKind::Restart
        | OperationKind::Redeploy
        | OperationKind::Freeze => {}
    }
}

/// Does to a guest what a course does; whoever asks for its health begins anew when it starts.
fn restart(record: &mut Record, course: &Course) {
    let (runs_from, known_from) = match course.guest {
        Guest::Undisturbed => return,
        Guest::RunsFrom(instant) => (course.runs_from(), Some(record.guest_known_from.unwrap_or(instant))),
        Guest::Lost => (course.runs_from(), None),
        Guest::Down => (None, record.guest_known_from),
    };
    record.runs_from = runs_from;
    record.guest_known_from = known_from;
    record.hangs_since = None;
    record.watch = None;
    record.end_drain();
}

/// An operation of this course.
pub(super) fn compose(
    mark: Mark,
    now: Timestamp,
    course: Course,
    extensions_until: Timestamp,
    extensions_failure: Option<crate::sim::vm::Failure>,
) -> Operation {
    let Course { power, ready_at, guest: _, failure } = course;
    Operation {
        mark,
        started_at: now,
        power,
        ends_at: ready_at.max(extensions_until),
        failure: failure.or(extensions_failure),
    }
}

/// Whether the machine is down because somebody wished it so, rather than because it did not start.
pub(super) fn is_down_by_wish(record: &Record, now: Timestamp) -> bool {
    match record.power(now) {
        PowerState::Deallocated => true,
        PowerState::Stopped => record.operation.failure.is_none(),
        PowerState::Creating
        | PowerState::Starting
        | PowerState::Running
        | PowerState::Stopping
        | PowerState::Deallocating
        | PowerState::Unknown => false,
    }
}

pub(super) fn busy(record: &Record) -> HardwareError {
    HardwareError::Busy { uid: record.uid.clone(), operation: record.operation.mark.kind.describe().to_owned() }
}

fn waiting(extensions: &BTreeSet<String>, until: Timestamp) -> Runs {
    let by_name = extensions.iter().map(|name| (name.clone(), ExtensionRun::Waiting)).collect();
    Runs { by_name, until, failure: None }
}
