//! When which machine next changes by itself: at most one instant for each machine, and none for one at rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

/// The next instant of every machine that changes by itself.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    by_time: BTreeSet<(Timestamp, Arc<str>)>,
    by_machine: BTreeMap<Arc<str>, Timestamp>,
}

impl Agenda {
    /// The first instant of all.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Puts a machine's instant in the place of the one that it had.
    pub(crate) fn set(&mut self, uid: &str, at: Option<Timestamp>) {
        if let Some((uid, former)) = self.by_machine.remove_entry(uid) {
            self.by_time.remove(&(former, uid));
        }
        if let Some(at) = at {
            let uid: Arc<str> = uid.into();
            self.by_time.insert((at, Arc::clone(&uid)));
            self.by_machine.insert(uid, at);
        }
    }

    /// Takes out the machine that is due first, if its instant is not after `now`.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<Arc<str>> {
        self.next().filter(|at| *at <= now)?;
        let (_, uid) = self.by_time.pop_first()?;
        self.by_machine.remove(&uid);
        Some(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_machine_has_one_instant_and_the_last_one_counts() {
        let mut agenda = Agenda::default();
        agenda.set("a", Some(at(5)));
        agenda.set("b", Some(at(6)));
        agenda.set("a", Some(at(9)));
        assert_eq!(agenda.next(), Some(at(6)));
        assert_eq!(agenda.pop_due(at(5)), None);
        assert_eq!(agenda.pop_due(at(9)).as_deref(), Some("b"));
        assert_eq!(agenda.pop_due(at(9)).as_deref(), Some("a"));
        agenda.set("a", Some(at(10)));
        agenda.set("a", None);
        assert_eq!((agenda.next(), agenda.by_machine.len()), (None, 0));
    }
}
