//! Restarts, redeployments and (their events) reimages that a person asks for, where they are announced: the first call
//! tells the machine and changes nothing; the same call has its effect once the event is approved or its time is over.
//!
//! Machines that are told for one request have one event where their notices end together, which is why these end at a
//! full minute. Sources: Azure's "Scheduled Events" (minimum notice) and the REST reference of virtual machines
//! (`scheduledEventsPolicy`). That a machine whose guest cannot hear of it is not told is ours.

use jiff::{SignedDuration, Timestamp};
use scaleset_crds::scheduled_event::EventApproval;
use scaleset_crds::vocabulary::PowerState;
use uuid::Uuid;

use super::termination::{hears, until};
use super::{Effect, World, not_found};
use crate::Target;
use crate::error::HardwareError;
use crate::machine::{Disruption, DisruptionCause};
use crate::sim::maintenance::{Announced, Progress};

/// When what somebody asks for may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// Now.
    Now,
    /// Once the notice of it is approved or over, and what the call has done meanwhile.
    AfterNotice(Effect),
}

/// What a person asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'request> {
    /// Uid of the request.
    pub(super) operation: &'request str,
    pub(super) disruption: Disruption,
    pub(super) approval: EventApproval,
}

impl World {
    /// Asks whether it may be done now; otherwise the machine is told of it. A notice that is out keeps its time, whatever is
    /// awaited meanwhile. One that was given for another request, or
    /// for an OS disk, gives way: who asked for that is told that it is off, and announces it anew. Maintenance does not.
    pub(super) fn announce_asked(
        &mut self,
        target: &Target,
        asked: Asked<'_>,
        now: Timestamp,
    ) -> Result<Beginning, HardwareError> {
        let Asked { operation, disruption, approval } = asked;
        let uid = target.uid.as_str();
        let record = self.machines.get(uid).ok_or_else(|| not_found(uid))?;
        let can_be_told = hears(record, now) && record.power(now) == PowerState::Running;
        let own = record.announced.as_deref().filter(|told| told.operation.as_deref() == Some(operation));
        if !can_be_told || own.is_some_and(|told| !told.awaits(now)) {
            return Ok(Beginning::Now);
        }
        if own.is_some() {
            return Ok(Beginning::AfterNotice(self.unchanged(target)));
        }
        if approval == EventApproval::Automatic {
            return Ok(Beginning::Now);
        }
        if let Some(told) = record.announced.as_deref() {
            match told.cause {
                DisruptionCause::Operation | DisruptionCause::OsImage => {}
                DisruptionCause::Maintenance | DisruptionCause::HardwareFailure => return Err(told.occupies(uid)),
            }
        }
        let earliest = until(now, disruption.minimum_notice_seconds());
        let (event_id, not_before) = self.shared_event("asked", operation, earliest);
        let announced = Announced {
            event_id: event_id.hyphenated().to_string(),
            disruption,
            cause: DisruptionCause::Operation,
            not_before,
            progress: Progress::Pending,
            maintenance: None,
            operation: Some(operation.to_owned()),
            duration_seconds: Some(self.expected_seconds(disruption)),
        };
        self.tell(uid, announced, now);
        self.note_generation(target);
        Ok(Beginning::AfterNotice(Effect::Changed))
    }

    /// The event of all machines that are told of what one request asks for and whose notices end together, at the full minute
    /// that `earliest` is in or before.
    pub(super) fn shared_event(&self, purpose: &str, request: &str, earliest: Timestamp) -> (Uuid, Timestamp) {
        let not_before = full_minute(earliest);
        (self.chance.guid(&[purpose, request, &not_before.to_string()]), not_before)
    }

    /// What was announced for a request has begun.
    pub(super) fn note_asked(&mut self, uid: &str, operation: &str, now: Timestamp) {
        let Some(record) = self.machines.get_mut(uid) else { return };
        let told = record.announced.as_mut().filter(|told| told.operation.as_deref() == Some(operation));
        let Some(told) = told else { return };
        told.progress = Progress::Begun;
        self.save(uid);
        self.follow(uid, now);
    }

    /// How long a machine is interrupted, as far as can be said before it is drawn. Extensions that run again, and boots that
    /// are slow or fail, are not foreseen.
    pub(super) fn expected_seconds(&self, disruption: Disruption) -> i32 {
        match disruption {
            Disruption::Freeze => self.latencies.update.expected_seconds(),
            Disruption::Reboot | Disruption::Redeploy => self.latencies.restart.expected_seconds(),
        }
    }
}

impl Announced {
    /// That a machine is about to have this done to it, and is told of nothing else until then.
    pub(super) fn occupies(&self, uid: &str) -> HardwareError {
        let operation = format!("about to have {:?} done to it, event {}", self.disruption, self.event_id);
        HardwareError::Busy { uid: uid.to_owned(), operation }
    }
}

/// The next full minute.
fn full_minute(instant: Timestamp) -> Timestamp {
    let begun = instant.as_second().rem_euclid(60);
    if begun == 0 { instant } else { instant + SignedDuration::from_secs(60 - begun) }
}
