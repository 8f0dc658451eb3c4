//! Takes keys out of a queue and runs passes over them, several at a time.
//!
//! A pass that fails comes back with backoff of its own; one that panics or never ends counts as failed and takes
//! nothing down with it. Asked to stop, the worker takes no more keys and waits for the passes in flight.

use std::any::Any;
use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use scaleset_hardware::HardwareError;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{Instrument, debug, error, info, info_span, warn};

use super::queue::WorkQueue;
use crate::backoff::Backoff;
use crate::cluster::ClusterError;
use crate::context::Wake;
use crate::error::PassError;
use crate::metrics::{Controller, Ending, Metrics};

/// How long one pass may take: far longer than any should, so that one that hangs does not hold its place for ever.
const PASS_MAX: Duration = Duration::from_mins(5);
/// The soonest that a pass may come back without a change.
const WAKE_MIN: Duration = Duration::from_millis(10);

/// One pass over the object with that key.
pub(crate) type Reconcile<K> = Arc<dyn Fn(K) -> BoxFuture<'static, Result<Wake, PassError>> + Send + Sync>;

/// See the module.
pub(crate) struct Worker<K> {
    /// Whose passes, in logs and metrics.
    pub(crate) controller: Controller,
    pub(crate) queue: Arc<WorkQueue<K>>,
    /// How many passes at a time.
    pub(crate) concurrency: usize,
    pub(crate) reconcile: Reconcile<K>,
    pub(crate) metrics: Arc<Metrics>,
}

/// When a key comes back that nobody asks for.
enum Next {
    /// It went well, or somebody else was faster: after that long, if at all.
    Well(Option<Duration>),
    /// It failed: after that long.
    Failing(Duration),
}

enum Ended {
    Returned(Result<Wake, PassError>),
    Panicked(String),
    TimedOut,
}

impl<K: Clone + Eq + Hash + Ord + Display + Send + Sync + 'static> Worker<K> {
    /// Works until `stop` turns true, then waits at most `grace` for what is in flight.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>, grace: Duration) {
        let mut passes: JoinSet<(K, Ended, Duration)> = JoinSet::new();
        let mut failures: HashMap<K, u32> = HashMap::new();
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(ended) = passes.join_next() => self.finish(ended, &mut failures),
                key = self.queue.next(), if passes.len() < self.concurrency => {
                    // Whatever is logged in a pass says which object it is about, namespace included.
                    let span = info_span!("pass", controller = self.controller.as_str(), object = %key);
                    passes.spawn(attempt(key, Arc::clone(&self.reconcile)).instrument(span));
                }
            }
        }
        self.wind_up(passes, grace).await;
    }

    fn finish(&self, ended: Result<(K, Ended, Duration), tokio::task::JoinError>, failures: &mut HashMap<K, u32>) {
        let (key, ended, took) = match ended {
            Ok(ended) => ended,
            // Panics are caught inside and nobody cancels: this is a defect of this module.
            Err(error) => return error!(controller = self.controller.as_str(), %error, "pass lost"),
        };
        let (ending, next) = match ended {
            Ended::Returned(Ok(wake)) => {
                failures.remove(&key);
                (Ending::Success, Next::Well(wake_after(wake)))
            }
            Ended::Returned(Err(error)) if is_overtaken(&error) => {
                (Ending::Conflict, Next::Well(Some(self.failed(&key, &error, failures))))
            }
            Ended::Returned(Err(error)) => (Ending::Failure, Next::Failing(self.failed(&key, &error, failures))),
            Ended::Panicked(message) => {
                error!(controller = self.controller.as_str(), object = %key, message, "pass panicked");
                (Ending::Broken, Next::Failing(back_off(&key, failures).0))
            }
            Ended::TimedOut => {
                error!(controller = self.controller.as_str(), object = %key, seconds = PASS_MAX.as_secs(), "pass did not end");
                (Ending::Broken, Next::Failing(back_off(&key, failures).0))
            }
        };
        self.metrics.count_pass(self.controller, ending, took);
        match next {
            Next::Well(wait) => self.queue.done(key, wait),
            Next::Failing(wait) => self.queue.failed(key, wait),
        }
    }

    fn failed(&self, key: &K, error: &PassError, failures: &mut HashMap<K, u32>) -> Duration {
        let (wait, attempts) = back_off(key, failures);
        let wait = wait.max(asked_to_wait(error));
        let retry_milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        if is_overtaken(error) {
            debug!(controller = self.controller.as_str(), object = %key, attempts, retry_milliseconds, %error, "pass overtaken");
        } else {
            warn!(controller = self.controller.as_str(), object = %key, attempts, retry_milliseconds, %error, "pass failed");
        }
        wait
    }

    async fn wind_up(&self, mut passes: JoinSet<(K, Ended, Duration)>, grace: Duration) {
        let in_flight = passes.len();
        let finished = timeout(grace, async { while passes.join_next().await.is_some() {} }).await;
        if finished.is_ok() {
            info!(controller = self.controller.as_str(), in_flight, "stopped");
        } else {
            warn!(controller = self.controller.as_str(), cut_off = passes.len(), "stopped, passes in flight cut off");
        }
    }
}

async fn attempt<K: Clone>(key: K, reconcile: Reconcile<K>) -> (K, Ended, Duration) {
    let begun = Instant::now();
    let pass = async { reconcile(key.clone()).await };
    let ended = match timeout(PASS_MAX, AssertUnwindSafe(pass).catch_unwind()).await {
        Ok(Ok(returned)) => Ended::Returned(returned),
        Ok(Err(panic)) => Ended::Panicked(panic_message(panic.as_ref())),
        Err(_) => Ended::TimedOut,
    };
    (key, ended, begun.elapsed())
}

fn wake_after(wake: Wake) -> Option<Duration> {
    match wake {
        Wake::OnChange => None,
        Wake::After(wait) => Some(wait.max(WAKE_MIN)),
    }
}

/// The wait, and how many attempts have failed in a row.
fn back_off<K: Clone + Eq + Hash>(key: &K, failures: &mut HashMap<K, u32>) -> (Duration, u32) {
    let attempts = failures.entry(key.clone()).or_default();
    *attempts = attempts.saturating_add(1);
    (Backoff::PASS.after(*attempts, rand::random()), *attempts)
}

/// Somebody else was faster, which is no fault.
fn is_overtaken(error: &PassError) -> bool {
    matches!(error, PassError::Cluster(ClusterError::Conflict { .. } | ClusterError::Gone { .. }))
}

fn asked_to_wait(error: &PassError) -> Duration {
    match error {
        PassError::Hardware(HardwareError::Throttled { retry_after }) => *retry_after,
        PassError::Hardware(_) | PassError::Cluster(_) | PassError::Malformed { .. } => Duration::ZERO,
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(test)]
mod tests;
