//! What the hardware announces, over whatever breaks.
//!
//! Every connection tells first that anything may have changed, and everything is looked at then. So one that breaks as soon
//! as it is made is made ever more seldom, as one that cannot be made.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{self, BoxStream, StreamExt};
use scaleset_hardware::Change;
use tokio::time::sleep;

use super::Inner;
use super::connection::Items;
use super::reach::wait_after;
use crate::rpc::CHANGES;

/// A connection that has lasted this long has not broken at once: several times as long as the longest wait.
const LASTING: Duration = Duration::from_secs(10);

/// Never ends.
pub(super) fn over(inner: Arc<Inner>) -> BoxStream<'static, Change> {
    let listener = Listener { inner, failures: Failures::default(), opened: None };
    stream::unfold(listener, async |mut listener| Some((listener.next().await, listener))).boxed()
}

struct Listener {
    inner: Arc<Inner>,
    failures: Failures,
    opened: Option<Opened>,
}

/// A connection that is listened to.
struct Opened {
    changes: Items<Change>,
    since: Instant,
    told: u64,
}

impl Listener {
    async fn next(&mut self) -> Change {
        loop {
            let Some(opened) = &mut self.opened else {
                self.open().await;
                continue;
            };
            if let Some(Ok(change)) = opened.changes.next().await {
                opened.told = opened.told.saturating_add(1);
                return change;
            }
            self.failures.broken(opened.told, opened.since.elapsed());
            self.opened = None;
        }
    }

    async fn open(&mut self) {
        if let Some(wait) = self.failures.wait() {
            sleep(wait).await;
        }
        match self.inner.connection.listen::<Change>(CHANGES).await {
            Ok(changes) => self.opened = Some(Opened { changes, since: Instant::now(), told: 0 }),
            Err(_) => self.failures.not_made(),
        }
    }
}

/// Connections in a row that could not be made, or broke at once.
#[derive(Debug, Default)]
struct Failures(u32);

impl Failures {
    /// How long to wait until the next.
    fn wait(&self) -> Option<Duration> {
        (self.0 > 0).then(|| wait_after(self.0))
    }

    fn not_made(&mut self) {
        self.0 = self.0.saturating_add(1);
    }

    /// One has broken that told so many changes, the first of them that anything may have changed, and lasted so long.
    fn broken(&mut self, told: u64, lasted: Duration) {
        if told > 1 || lasted >= LASTING {
            self.0 = 0;
        }
        self.0 = self.0.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_that_told_something_or_lasted_begins_the_waits_anew() {
        let mut failures = Failures::default();
        assert_eq!(failures.wait(), None, "the first one is made at once");
        let at_once = Duration::from_millis(1);
        let table = [
            // Changes told, how long it lasted, wait in milliseconds.
            (1, at_once, 100),
            (1, at_once, 200),
            (0, at_once, 400),
            (1, Duration::from_millis(9_999), 800),
            (2, at_once, 100),
            (1, at_once, 200),
            (1, LASTING, 100),
            (1, at_once, 200),
        ];
        for (told, lasted, milliseconds) in table {
            failures.broken(told, lasted);
            assert_eq!(failures.wait(), Some(Duration::from_millis(milliseconds)), "{told} told in {lasted:?}");
        }
        failures.not_made();
        assert_eq!(failures.wait(), Some(Duration::from_millis(400)), "both are failures in a row");
    }
}
