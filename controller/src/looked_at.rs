//! Which instances a pass of this process has looked at. What an instance's status says was seen by whoever wrote it: after
//! a start it may be as old as the last process, and nobody is to count as late for the time in which nobody looked.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Uids of instances that a pass of this process has reported on. They are few bytes each, and are forgotten with the
/// process.
#[derive(Debug, Default)]
pub struct LookedAt {
    uids: Mutex<BTreeSet<String>>,
}

impl LookedAt {
    /// Notes that a pass has reported on the instance.
    pub fn note(&self, uid: &str) {
        let mut uids = self.uids.lock().unwrap_or_else(PoisonError::into_inner);
        if !uids.contains(uid) {
            uids.insert(uid.to_owned());
        }
    }

    /// Whether one has.
    pub fn has(&self, uid: &str) -> bool {
        self.uids.lock().unwrap_or_else(PoisonError::into_inner).contains(uid)
    }

    /// Forgets an instance whose object goes.
    pub fn forget(&self, uid: &str) {
        self.uids.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}
