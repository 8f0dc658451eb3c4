//! Whether the other side can be reached: while it cannot, calls fail at once, and one after a while tries again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// How long to wait after so many failures in a row (at least 1): doubling, up to two seconds.
pub(super) fn wait_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT)
}

/// How the last attempts to reach it ended.
#[derive(Debug, Default)]
pub(super) struct Reach {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Why it was not reached, and until when that is taken for true.
    closed: Option<(String, Instant)>,
}

impl Reach {
    /// Why it is not tried now.
    pub(super) fn closed(&self, now: Instant) -> Option<String> {
        let state = self.state();
        state.closed.as_ref().filter(|(_, until)| now < *until).map(|(reason, _)| reason.clone())
    }

    pub(super) fn reached(&self) {
        *self.state() = State::default();
    }

    /// Calls that were under way together fail together, and count as one failure.
    pub(super) fn failed(&self, reason: &str, now: Instant) {
        let mut state = self.state();
        if state.closed.as_ref().is_none_or(|(_, until)| *until <= now) {
            state.failures = state.failures.saturating_add(1);
            state.closed = Some((reason.to_owned(), now + wait_after(state.failures)));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_tried_again_after_waits_that_double() {
        let reach = Reach::default();
        let mut now = Instant::now();
        assert_eq!(reach.closed(now), None);
        for milliseconds in [100, 200, 400, 800, 1_600, 2_000, 2_000] {
            reach.failed("refused", now);
            reach.failed("refused, too", now);
            let wait = Duration::from_millis(milliseconds);
            let shortly_before = now + Duration::from_millis(milliseconds - 1);
            assert_eq!(reach.closed(shortly_before).as_deref(), Some("refused"), "{wait:?}");
            now += wait;
            assert_eq!(reach.closed(now), None, "{wait:?}");
        }
        reach.reached();
        reach.failed("again", now);
        assert_eq!(reach.closed(now + Duration::from_millis(100)), None, "it begins anew");
    }
}
