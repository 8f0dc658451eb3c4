//! Which instances a pass of this process has looked at. What an instance's status says was seen by whoever wrote it: after
//! a start it may be as old as the last process, and nobody is to count as late for the time in which nobody looked.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

/// Uids of instances that a pass of this process has reported on, with when the first did. They are few bytes each, and are
/// forgotten with the process.
#[derive(Debug, Default)]
pub struct LookedAt {
    uids: Mutex<BTreeMap<String, Timestamp>>,
}

impl LookedAt {
    /// Notes that a pass has reported on the instance at a scenario time.
    pub fn note(&self, uid: &str, now: Timestamp) {
        let mut uids = self.uids.lock().unwrap_or_else(PoisonError::into_inner);
        if !uids.contains_key(uid) {
            uids.insert(uid.to_owned(), now);
        }
    }

    /// The scenario time of the first that has.
    pub fn first(&self, uid: &str) -> Option<Timestamp> {
        self.uids.lock().unwrap_or_else(PoisonError::into_inner).get(uid).copied()
    }

    /// Forgets an instance whose object goes.
    pub fn forget(&self, uid: &str) {
        self.uids.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}
