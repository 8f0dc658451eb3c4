//! Notices before deletions, and what approves an event.
//!
//! A machine whose model asks for it is told of its deletion and goes when the notice is approved, or when its time is
//! over. Notices within one set are coupled: who was approved waits as long as another one of the set, whose notice ends
//! no later, is neither approved nor over; then both go.
//!
//! What is stored is the notice and its stage; that time is over follows from it, so it happens just so after a restart.
//! Sources: Azure's "Terminate notification for Azure Virtual Machine Scale Set instances", "Scheduled Events". That a
//! machine whose guest cannot hear of it goes without a notice is ours.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::disturb::{Boot, Risk};
use super::offer::refused;
use super::{Effect, World, not_found};
use crate::error::HardwareError;
use crate::machine::NoticeStage;
use crate::sim::maintenance::Announced;
use crate::sim::termination::Termination;
use crate::sim::vm::{Mark, OperationKind, Record};
use crate::{Deletion, Target};

impl World {
    /// Tells a machine that it is to be deleted; `None` where it goes without a notice. A notice that is out stays as it is.
    pub(super) fn give_notice(
        &mut self,
        target: &Target,
        now: Timestamp,
    ) -> Result<Option<(Deletion, Effect)>, HardwareError> {
        let told = self.machines.get(&target.uid).filter(|record| record.termination.is_some());
        if told.is_some_and(|record| record.generation <= target.generation) {
            self.note_generation(target);
            return Ok(Some((Deletion::InProgress, Effect::Unchanged)));
        }
        let record = self.fenced(target)?;
        let Some(notification) = self.models.get(record.model).terminate_notification.filter(|_| hears(record, now))
        else {
            return Ok(None);
        };
        let not_before = until(now, notification.not_before_timeout_seconds);
        let event_id = self.guid("terminate", &target.uid, "").hyphenated().to_string();
        if let Some(record) = self.machines.get_mut(&target.uid) {
            record.generation = target.generation;
            record.termination = Some(Box::new(Termination { event_id, not_before, stage: NoticeStage::Scheduled }));
        }
        self.save(&target.uid);
        self.follow(&target.uid, now);
        self.announce(&target.uid);
        Ok(Some((Deletion::InProgress, Effect::Changed)))
    }

    /// Approves an event of a machine, or every event that it has: what was announced begins. Twice is as good as once.
    pub(crate) fn approve(
        &mut self,
        target: &Target,
        event_id: Option<&str>,
        now: Timestamp,
    ) -> Result<Effect, HardwareError> {
        let record = self.not_stale(target)?;
        let meant = |id: &str| event_id.is_none_or(|wanted| wanted == id);
        let terminates = record.termination.as_ref().filter(|termination| meant(&termination.event_id));
        let terminates = terminates.map(|termination| termination.stage);
        let preempted = record.preemption.as_ref().filter(|preemption| meant(&preemption.event_id));
        let preempted = preempted.map(|preemption| preemption.event_id.clone());
        let announced = record.announced.as_deref().filter(|announced| meant(&announced.event_id));
        let known = terminates.is_some() || announced.is_some() || was_approved(record, event_id);
        let open = |told: &&Announced| told.awaits(now) && record.approved_event.as_ref() != Some(&told.event_id);
        let announced = announced.filter(open).map(|announced| announced.event_id.clone());
        let effect = match (terminates, &preempted, &announced) {
            (Some(NoticeStage::Scheduled), _, _) | (_, Some(_), _) | (_, _, Some(_)) => Effect::Changed,
            (Some(NoticeStage::Approved | NoticeStage::Started) | None, None, None) if known => Effect::Unchanged,
            (Some(NoticeStage::Approved | NoticeStage::Started) | None, None, None) => {
                return Err(unknown_event(record, event_id));
            }
        };
        if effect == Effect::Unchanged {
            self.note_generation(target);
            return Ok(effect);
        }
        let Some(record) = self.machines.get_mut(&target.uid) else { return Err(not_found(&target.uid)) };
        record.generation = target.generation;
        if let Some(termination) = record.termination.as_mut().filter(|_| terminates == Some(NoticeStage::Scheduled)) {
            termination.stage = NoticeStage::Approved;
        }
        if let Some(preemption) = record.preemption.as_mut().filter(|_| preempted.is_some()) {
            preemption.at = preemption.at.min(now);
            record.approved_event = preempted;
        }
        let set_uid = record.owner.set_uid.clone();
        self.save(&target.uid);
        self.announce(&target.uid);
        if let Some(event_id) = &announced {
            self.release_event(event_id, now);
        }
        self.follow(&target.uid, now);
        self.begin_approved(&target.uid, set_uid.as_deref(), (now, now));
        Ok(effect)
    }

    /// Begins the deletion of a machine whose notice is over, and of those that have waited for it.
    pub(super) fn terminate_due(&mut self, uid: &str, now: Timestamp) {
        let Some(record) = self.machines.get(uid) else { return };
        let Some(termination) = record.termination.as_ref().filter(|termination| termination.is_pending()) else {
            return;
        };
        let (at, set_uid) = (termination.not_before, record.owner.set_uid.clone());
        if at <= now {
            self.terminate(uid, (at, now));
            self.begin_approved(uid, set_uid.as_deref(), (at, now));
        }
    }

    /// Begins the deletions that were approved and wait for nobody: of a set, or of the machine alone that is in none.
    pub(super) fn begin_approved(&mut self, uid: &str, set_uid: Option<&str>, (at, now): (Timestamp, Timestamp)) {
        let coupled = |record: &&Record| match set_uid {
            Some(_) => record.owner.set_uid.as_deref() == set_uid,
            None => record.uid == uid,
        };
        let pending: Vec<(String, Termination)> = self
            .records()
            .filter(coupled)
            .filter_map(|record| Some((record.uid.clone(), record.termination.as_deref()?.clone())))
            .filter(|(_, termination)| termination.is_pending())
            .collect();
        let open = pending.iter().filter(|(_, termination)| termination.stage == NoticeStage::Scheduled);
        let first_open = open.map(|(_, termination)| termination.not_before).min();
        for (uid, Termination { event_id: _, not_before, stage }) in &pending {
            if *stage == NoticeStage::Approved && first_open.is_none_or(|open| open > *not_before) {
                self.announce(uid);
                self.terminate(uid, (at, now));
            }
        }
    }

    fn terminate(&mut self, uid: &str, (at, now): (Timestamp, Timestamp)) {
        let going = |record: &&mut Box<Record>| record.operation.mark.kind == OperationKind::Delete;
        let Some(record) = self.machines.get_mut(uid).filter(|record| !going(record)) else { return };
        record.termination.iter_mut().for_each(|termination| termination.stage = NoticeStage::Started);
        (record.preemption, record.evicted) = (None, None);
        let (generation, power) = (record.generation, record.power(at));
        let nothing = BTreeSet::new();
        let risk = Risk { boot: Boot::None, extensions: &nothing };
        let drawn = self.draw_for(uid, at, risk, |scheduler| scheduler.delete(power));
        let mark = Mark { kind: OperationKind::Delete, generation, model_revision: String::new(), wanted: 0 };
        self.begin_at(uid, mark, drawn, (at, now));
    }
}

/// When a notice ends that is given now: a whole second, as events tell it, so that notices of the same deletion end together.
pub(super) fn until(now: Timestamp, seconds: i32) -> Timestamp {
    let end = now + SignedDuration::from_secs(i64::from(seconds));
    let begun = SignedDuration::from_nanos(i64::from(end.subsec_nanosecond()));
    if begun.is_zero() { end } else { end - begun + SignedDuration::from_secs(1) }
}

/// Whether somebody in the guest can hear of an event: it has booted, and runs or is about to run again. Whether it hangs,
/// or its host is down, does not matter.
pub(super) fn hears(record: &Record, now: Timestamp) -> bool {
    record.runs_from.is_some() && record.guest_is_known(now)
}

/// Whether that is what was approved last and has come about since.
fn was_approved(record: &Record, event_id: Option<&str>) -> bool {
    match (&record.approved_event, event_id) {
        (Some(approved), Some(event_id)) => approved == event_id,
        (Some(_), None) => {
            let restarted = [OperationKind::Freeze, OperationKind::Restart, OperationKind::Redeploy];
            record.evicted.is_some() || restarted.contains(&record.operation.mark.kind)
        }
        (None, _) => false,
    }
}

fn unknown_event(record: &Record, event_id: Option<&str>) -> HardwareError {
    let terminates = record.termination.as_ref().map(|termination| &termination.event_id);
    let preempted = record.preemption.as_ref().map(|preemption| &preemption.event_id);
    let announced = record.announced.as_ref().map(|announced| &announced.event_id);
    let known: Vec<&str> = terminates.into_iter().chain(preempted).chain(announced).map(String::as_str).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let unknown = event_id.map(|event_id| format!(" {event_id}")).unwrap_or_default();
    refused("InvalidParameter", format!("the VM has no scheduled event{unknown} to approve, it has: {known}"))
}
