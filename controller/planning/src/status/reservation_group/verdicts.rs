//! The conditions of a `CapacityReservationGroup`.

use scaleset_crds::condition::{Reason, ReservationGroupCondition};

use super::super::{Truth, Verdict};
use super::ReservationGroupOutcome;
use crate::plan::Hold;
use crate::remedy::needs_a_person;
use crate::reservation_group::ReservationGroupPlan;
use crate::snapshot::{Failure, GroupView, MemberLife, ReservationFacts, ReservationGroupSnapshot, ReservationWish};

/// What the conditions are made from.
pub(super) struct Verdicts<'pass> {
    pub(super) snapshot: &'pass ReservationGroupSnapshot,
    pub(super) plan: &'pass ReservationGroupPlan,
    pub(super) outcome: &'pass ReservationGroupOutcome,
}

impl Verdicts<'_> {
    pub(super) fn verdict(&self, condition: ReservationGroupCondition) -> Verdict {
        match condition {
            ReservationGroupCondition::Ready => self.ready(),
            ReservationGroupCondition::Reserved => self.reserved(),
            ReservationGroupCondition::Overallocated => self.overallocated(),
            ReservationGroupCondition::Reconciling => self.reconciling(),
            ReservationGroupCondition::Stalled => self.stalled(),
        }
    }

    fn unknown(&self) -> Option<Verdict> {
        match &self.outcome.hardware {
            GroupView::Unknown { message } => {
                Some(Verdict::new(Truth::Unknown, Reason::HardwareUnavailable, message.clone()))
            }
            GroupView::Absent | GroupView::Present(_) => None,
        }
    }

    fn ready(&self) -> Verdict {
        if let Some(unknown) = self.unknown() {
            return unknown;
        }
        match self.unfinished() {
            Some(Failure { reason, message }) => Verdict::new(Truth::False, reason, message),
            None => Verdict::new(Truth::True, Reason::Ready, self.counts()),
        }
    }

    /// What keeps the group from being as it is wished; what waits for a person first.
    fn unfinished(&self) -> Option<Failure> {
        self.stalls().or_else(|| self.held()).or_else(|| match self.snapshot.life {
            MemberLife::Terminating => {
                Some(Failure { reason: Reason::Deleting, message: "the group is being deleted".to_owned() })
            }
            MemberLife::Live => self.refused().or_else(|| self.missing()),
        })
    }

    fn stalls(&self) -> Option<Failure> {
        self.held().filter(|held| needs_a_person(held.reason)).or_else(|| {
            self.refusals().into_iter().find(|(_, failure)| needs_a_person(failure.reason)).map(|(_, failure)| failure)
        })
    }

    fn held(&self) -> Option<Failure> {
        let Hold { reason, count: _, message } = self.plan.holds.first()?;
        let more = self.plan.holds.len() - 1;
        let more = if more > 0 { format!("; and {more} more reservations") } else { String::new() };
        Some(Failure { reason: *reason, message: format!("{message}{more}") })
    }

    fn refused(&self) -> Option<Failure> {
        let refusals = self.refusals();
        let (_, first) = refusals.first()?;
        let more = refusals.len() - 1;
        let more = if more > 0 { format!("; and {more} more reservations") } else { String::new() };
        Some(Failure { reason: first.reason, message: format!("{}{more}", first.message) })
    }

    /// What the hardware has refused, by reservation, in this pass or before.
    fn refusals(&self) -> Vec<(String, Failure)> {
        let mut found = self.outcome.refusals.clone();
        // A call whose answer was lost has done what it was for.
        found.retain(|name, _| !self.is_satisfied(name));
        for there in self.there() {
            if let Some(failure) = &there.failure {
                found.entry(there.name.clone()).or_insert_with(|| failure.clone());
            }
        }
        let told = |(name, failure): (String, Failure)| {
            let current =
                self.there().iter().find(|there| there.name == name).map_or(0, |there| there.current_capacity);
            let wished = self.snapshot.reservations.iter().find(|wish| wish.name == name);
            let message = wished.map_or_else(
                || failure.message.clone(),
                |wish| format!("reservation {name}: {current} of {} reserved: {}", wish.capacity, failure.message),
            );
            (name, Failure { reason: failure.reason, message })
        };
        found.into_iter().map(told).collect()
    }

    fn is_satisfied(&self, name: &str) -> bool {
        let Some(wish) = self.snapshot.reservations.iter().find(|wish| wish.name == name) else { return false };
        let there = self.there().iter().find(|there| wish.is_for(there) && there.failure.is_none());
        there.is_some_and(|there| wish.capacity == there.current_capacity)
    }

    /// Reservations that do not have what is wished, and nobody has refused it.
    fn missing(&self) -> Option<Failure> {
        let lacks = |wish: &&ReservationWish| {
            let there = self.there().iter().find(|there| wish.is_for(there));
            there.is_none_or(|there| there.current_capacity != wish.capacity)
        };
        let lacking = self.snapshot.reservations.iter().filter(lacks).count();
        let message = format!("{lacking} of {} reservations are being made", self.snapshot.reservations.len());
        let absent = matches!(self.outcome.hardware, GroupView::Absent);
        (lacking > 0 || absent).then_some(Failure { reason: Reason::Creating, message })
    }

    fn there(&self) -> &[ReservationFacts] {
        match &self.outcome.hardware {
            GroupView::Present(facts) => &facts.reservations,
            GroupView::Absent | GroupView::Unknown { message: _ } => &[],
        }
    }

    fn counts(&self) -> String {
        let wished: i64 = self.snapshot.reservations.iter().map(|wish| i64::from(wish.capacity)).sum();
        let current = self.snapshot.reservations.iter().filter_map(|wish| {
            self.there().iter().find(|there| wish.is_for(there)).map(|there| i64::from(there.current_capacity))
        });
        let current: i64 = current.sum();
        format!("{current} of {wished} reserved in {} reservations", self.snapshot.reservations.len())
    }

    fn reserved(&self) -> Verdict {
        if let Some(unknown) = self.unknown() {
            return unknown;
        }
        match self.refused().or_else(|| self.missing()) {
            _ if self.snapshot.life == MemberLife::Terminating => {
                Verdict::new(Truth::False, Reason::Deleting, "the group is being deleted")
            }
            Some(Failure { reason, message }) => Verdict::new(Truth::False, reason, message),
            None => Verdict::new(Truth::True, Reason::Allocated, self.counts()),
        }
    }

    fn overallocated(&self) -> Verdict {
        if let Some(unknown) = self.unknown() {
            return unknown;
        }
        let beyond: Vec<String> = self
            .there()
            .iter()
            .filter(|there| there.overallocated() > 0)
            .map(|there| {
                let (over, capacity) = (there.overallocated(), there.current_capacity);
                format!("{}: {over} beyond its capacity of {capacity}", there.name)
            })
            .collect();
        if !beyond.is_empty() {
            return Verdict::new(Truth::True, Reason::Overallocated, beyond.join("; "));
        }
        let unused: i64 = self.there().iter().map(|there| i64::from(there.unused())).sum();
        let reason = if unused > 0 { Reason::Available } else { Reason::Consumed };
        Verdict::new(Truth::False, reason, format!("{unused} unused"))
    }

    fn reconciling(&self) -> Verdict {
        if self.stalls().is_some() {
            return Verdict::new(Truth::False, Reason::Waiting, "a person must act first");
        }
        match self
            .unknown()
            .map(|unknown| (unknown.reason, unknown.message))
            .or_else(|| self.unfinished().map(|Failure { reason, message }| (reason, message)))
        {
            Some((reason, message)) => Verdict::new(Truth::True, reason, message),
            None => Verdict::new(Truth::False, Reason::Converged, "nothing to do"),
        }
    }

    fn stalled(&self) -> Verdict {
        match self.stalls() {
            Some(Failure { reason, message }) => Verdict::new(Truth::True, reason, message),
            None => Verdict::new(Truth::False, Reason::Converged, "nothing is known to wait for a person"),
        }
    }
}
