//! How often the counters of a set's status are written: at most twice a second. What changes a condition is written
//! at once.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When each set's status was written last, wall time.
#[derive(Debug)]
pub struct StatusPace {
    interval: Duration,
    written: Mutex<BTreeMap<String, Instant>>,
}

impl StatusPace {
    /// At most one write of counters for each `interval`.
    pub const fn new(interval: Duration) -> Self {
        Self { interval, written: Mutex::new(BTreeMap::new()) }
    }

    /// How long counters of the set have to wait; zero when they may be written.
    pub fn wait(&self, set_uid: &str, now: Instant) -> Duration {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = written.get(set_uid).map(|last| now.saturating_duration_since(*last));
        elapsed.map_or(Duration::ZERO, |elapsed| self.interval.saturating_sub(elapsed))
    }

    /// Notes a write, and forgets sets that have not been written for a while.
    pub fn note(&self, set_uid: &str, now: Instant) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.retain(|_, last| now.saturating_duration_since(*last) < self.interval);
        written.insert(set_uid.to_owned(), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_wait_for_the_rest_of_the_interval() {
        let pace = StatusPace::new(Duration::from_millis(500));
        let start = Instant::now();
        assert_eq!(pace.wait("a", start), Duration::ZERO);
        pace.note("a", start);
        assert_eq!(pace.wait("a", start + Duration::from_millis(200)), Duration::from_millis(300));
        assert_eq!(pace.wait("a", start + Duration::from_millis(600)), Duration::ZERO);
        assert_eq!(pace.wait("b", start), Duration::ZERO, "sets do not wait for each other");
    }
}
