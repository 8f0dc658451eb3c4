//! Which scripted faults strike a call or an operation, drawn from the seed.

use std::collections::{BTreeMap, BTreeSet};

use super::World;
use crate::CreateRequest;
use crate::sim::fault::{Disturbance, Fault, FaultEffect, Subject, Verdict};
use crate::sim::journal::Call;
use crate::sim::random::Chance;
use crate::sim::store::Write;

/// What an operation does that a fault could strike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Risk<'a> {
    pub(super) boot: Boot,
    pub(super) extensions: &'a BTreeSet<String>,
}

/// What a call is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum About<'a> {
    Request(&'a CreateRequest),
    Machine(&'a str),
    Nothing,
}

/// Whether an operation boots the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boot {
    Boots,
    None,
}

impl World {
    /// What the faults do to a call.
    pub(crate) fn verdict(&mut self, call: Call, about: About<'_>) -> Verdict {
        let nth = self.calls.get(&call).map_or(0, |count| count.accepted + count.unchanged + count.failed).to_string();
        let subject = match about {
            About::Request(request) => subject_of(request),
            About::Machine(uid) => self
                .machines
                .get(uid)
                .map_or(Subject { uid, ..Subject::default() }, |record| record.subject(self.models.get(record.model))),
            About::Nothing => Subject::default(),
        };
        let chance = self.chance;
        let struck = self.faults.iter_mut().find_map(|(name, fault)| {
            let verdict = fault.effect.verdict(call);
            let strikes = verdict != Verdict::Pass
                && fault.selector.matches(&subject)
                && chance.happens(fault.rate_percent, &["call", name, &format!("{call:?}"), &nth]);
            strikes.then(|| (verdict, strike(fault)))
        });
        let Some((verdict, counted)) = struck else {
            return Verdict::Pass;
        };
        if counted == Counted::Yes {
            self.save_faults();
        }
        verdict
    }

    /// What the faults do to the operation with this number on the machine `subject`.
    pub(super) fn disturb(
        faults: &mut BTreeMap<String, Fault>,
        chance: Chance,
        subject: &Subject<'_>,
        operation: u32,
        risk: Risk<'_>,
    ) -> (Disturbance, Counted) {
        let mut disturbance = Disturbance::default();
        let mut counted = Counted::No;
        for (name, fault) in faults.iter_mut().filter(|(_, fault)| fault.selector.matches(subject)) {
            let concerned = match &fault.effect {
                FaultEffect::SlowBoot { factor: _ } | FaultEffect::FailBoot { code: _ } => risk.boot == Boot::Boots,
                FaultEffect::FailExtension { extension } => risk.extensions.contains(extension),
                FaultEffect::ThrottleCalls { .. }
                | FaultEffect::FailCalls { .. }
                | FaultEffect::LoseAnswers { .. }
                | FaultEffect::EmptyAnswers { .. } => false,
            };
            let purpose = ["operation", name.as_str(), subject.uid, &operation.to_string()];
            if !concerned || !chance.happens(fault.rate_percent, &purpose) {
                continue;
            }
            match &fault.effect {
                FaultEffect::SlowBoot { factor } => disturbance.slow_factor = Some(*factor),
                FaultEffect::FailBoot { code } => disturbance.boot_failure = Some(*code),
                FaultEffect::FailExtension { extension } => disturbance.failing_extensions.push(extension.clone()),
                FaultEffect::ThrottleCalls { .. }
                | FaultEffect::FailCalls { .. }
                | FaultEffect::LoseAnswers { .. }
                | FaultEffect::EmptyAnswers { .. } => {}
            }
            if strike(fault) == Counted::Yes {
                counted = Counted::Yes;
            }
        }
        (disturbance, counted)
    }

    /// Collects the write of the faults, without those that are over.
    pub(super) fn save_faults(&mut self) {
        self.faults.retain(|_, fault| !fault.is_over());
        self.writes.push(Write::state("faults", &self.faults));
    }
}

pub(super) fn subject_of(request: &CreateRequest) -> Subject<'_> {
    let CreateRequest { target, owner, computer_name: _, placement, quota: _, model_revision: _, model } = request;
    Subject {
        uid: &target.uid,
        name: &owner.name,
        namespace: &owner.namespace,
        location: &placement.location,
        zone: placement.zone.as_deref().unwrap_or_default(),
        vm_size: &model.vm_size,
    }
}

/// Whether a strike changed the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Yes,
    No,
}

fn strike(fault: &mut Fault) -> Counted {
    fault.strike();
    if fault.remaining.is_some() { Counted::Yes } else { Counted::No }
}
