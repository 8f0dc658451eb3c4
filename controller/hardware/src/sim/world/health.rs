//! What the health sources of machines hear, brought up to date whenever a call, the control endpoint or an outage may
//! have changed it. In between it follows by itself.

use jiff::Timestamp;
use scaleset_crds::VirtualMachineModel;

use super::World;
use crate::sim::health::Watch;
use crate::sim::vm::Record;

/// Whether a machine's health source hears something else than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Same,
    Changed,
}

impl World {
    /// Lets a machine's health source, and the load balancers of its pools, hear what there is to hear from `now` on.
    pub(super) fn listen(&mut self, uid: &str, now: Timestamp) -> Heard {
        let Some(record) = self.machines.get(uid) else { return Heard::Same };
        let watch = self.watch_of(record, now).map(Box::new);
        let pools = self.pool_watches_of(record, now);
        // Whoever is in no pool any more has nothing to come back to.
        let drain = record.drain.filter(|_| !pools.is_empty());
        if record.watch == watch && record.pools == pools && record.drain == drain {
            return Heard::Same;
        }
        if let Some(record) = self.machines.get_mut(uid) {
            (record.watch, record.pools, record.drain) = (watch, pools, drain);
        }
        Heard::Changed
    }

    /// The same for a machine that is not written anyway.
    pub(super) fn listen_again(&mut self, uid: &str, now: Timestamp) {
        match self.listen(uid, now) {
            Heard::Same => {}
            Heard::Changed => {
                self.save(uid);
                self.follow(uid, now);
            }
        }
    }

    fn watch_of(&self, record: &Record, now: Timestamp) -> Option<Watch> {
        let surroundings = self.surroundings(record);
        let source = surroundings.model.health_source()?;
        let asked_from = record.asked_from(source)?;
        let heard = record.heard(surroundings);
        Some(match &record.watch {
            Some(watch) => watch.hearing(&heard, source, now),
            None => Watch::new(asked_from.max(now), heard),
        })
    }
}

/// Whether two models have their health told by the same source with the same settings.
pub(super) fn same_source(one: &VirtualMachineModel, other: &VirtualMachineModel) -> bool {
    one.health_source() == other.health_source()
}
