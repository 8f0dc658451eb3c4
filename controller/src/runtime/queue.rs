//! The keys that are to be worked on, and when.
//!
//! A key is in here at most once, however often it is asked for, at the earliest time asked for; it is never handed
//! out while it is being worked on, and what is asked for meanwhile comes after. So the queue is never longer than
//! there are objects. One task takes keys out.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// When a key is to be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// As soon as there is room.
    Now,
    /// The same, unless its last pass has failed: then when it is tried again. For changes that a pass makes to its own object,
    /// which would otherwise call each failure back at once.
    NowUnlessFailing,
    /// As soon as the queue's spacing since its last start has passed.
    Spaced,
    /// After this long.
    After(Duration),
}

#[derive(Debug)]
struct State<K> {
    due: BTreeSet<(Instant, K)>,
    due_at: HashMap<K, Instant>,
    running: HashSet<K>,
    /// Asked for while running.
    again: HashMap<K, Instant>,
    /// Asked for while running, should that pass not fail.
    again_unless_failing: HashSet<K>,
    /// Those whose last pass failed; each is due again.
    failing: HashSet<K>,
    /// Starts within the last spacing.
    started: HashMap<K, Instant>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct WorkQueue<K> {
    state: Mutex<State<K>>,
    changed: Notify,
    spacing: Duration,
}

impl<K: Clone + Eq + Hash + Ord> WorkQueue<K> {
    /// `spacing` is the least time between two starts of a key that is asked for with [`When::Spaced`].
    pub(crate) fn new(spacing: Duration) -> Self {
        let state = State {
            due: BTreeSet::new(),
            due_at: HashMap::new(),
            running: HashSet::new(),
            again: HashMap::new(),
            again_unless_failing: HashSet::new(),
            failing: HashSet::new(),
            started: HashMap::new(),
        };
        Self { state: Mutex::new(state), changed: Notify::new(), spacing }
    }

    /// Asks for a key.
    pub(crate) fn add(&self, key: K, when: When) {
        let now = Instant::now();
        let mut state = self.state();
        let at = match when {
            When::NowUnlessFailing if state.running.contains(&key) => {
                state.again_unless_failing.insert(key);
                return;
            }
            When::NowUnlessFailing if state.failing.contains(&key) => return,
            When::Now | When::NowUnlessFailing => now,
            When::After(wait) => now + wait,
            When::Spaced => state.started.get(&key).map_or(now, |started| now.max(*started + self.spacing)),
        };
        if state.running.contains(&key) {
            let again = state.again.entry(key).or_insert(at);
            *again = at.min(*again);
        } else {
            state.schedule(key, at);
            self.changed.notify_one();
        }
    }

    /// Waits for the next key and marks it as being worked on, until [`Self::done`]. Dropping the future loses nothing.
    pub(crate) async fn next(&self) -> K {
        loop {
            let next_at = {
                let mut state = self.state();
                match state.take(Instant::now(), self.spacing) {
                    Ok(key) => return key,
                    Err(next_at) => next_at,
                }
            };
            match next_at {
                Some(at) => {
                    tokio::select! {
                        () = sleep_until(at) => {}
                        () = self.changed.notified() => {}
                    }
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// A key has been worked on; it comes back after `retry`, or sooner where it was asked for meanwhile.
    pub(crate) fn done(&self, key: K, retry: Option<Duration>) {
        let mut state = self.state();
        state.failing.remove(&key);
        let now = Instant::now();
        let called_back = state.again_unless_failing.remove(&key).then_some(now);
        let at = called_back.into_iter().chain(retry.map(|wait| now + wait)).min();
        self.ended(state, key, at);
    }

    /// The key's pass has failed and comes back after `wait`, or as soon as something changes that is not its own doing.
    pub(crate) fn failed(&self, key: K, wait: Duration) {
        let mut state = self.state();
        state.failing.insert(key.clone());
        state.again_unless_failing.remove(&key);
        self.ended(state, key, Some(Instant::now() + wait));
    }

    fn ended(&self, mut state: MutexGuard<'_, State<K>>, key: K, at: Option<Instant>) {
        state.running.remove(&key);
        let again = state.again.remove(&key);
        if let Some(at) = again.into_iter().chain(at).min() {
            state.schedule(key, at);
            self.changed.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash + Ord> State<K> {
    fn schedule(&mut self, key: K, at: Instant) {
        if let Some(known) = self.due_at.get(&key).copied() {
            if known <= at {
                return;
            }
            self.due.remove(&(known, key.clone()));
        }
        self.due_at.insert(key.clone(), at);
        self.due.insert((at, key));
    }

    /// The first key that is due, or when the first will be.
    fn take(&mut self, now: Instant, spacing: Duration) -> Result<K, Option<Instant>> {
        let Some((at, _)) = self.due.first() else { return Err(None) };
        if *at > now {
            return Err(Some(*at));
        }
        let (_, key) = self.due.pop_first().ok_or(None)?;
        self.due_at.remove(&key);
        self.running.insert(key.clone());
        if !spacing.is_zero() {
            self.started.retain(|_, started| now.duration_since(*started) < spacing);
            self.started.insert(key.clone(), now);
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACING: Duration = Duration::from_millis(100);

    fn queue() -> WorkQueue<&'static str> {
        WorkQueue::new(SPACING)
    }

    /// Milliseconds of virtual time until the next key.
    async fn next(queue: &WorkQueue<&'static str>) -> (&'static str, u128) {
        let begun = Instant::now();
        let key = queue.next().await;
        (key, begun.elapsed().as_millis())
    }

    async fn nothing_for(queue: &WorkQueue<&'static str>, wait: Duration) -> bool {
        tokio::time::timeout(wait, queue.next()).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_handed_out_once_however_often_it_is_asked_for() {
        let queue = queue();
        for _ in 0..1_000 {
            queue.add("a", When::Now);
        }
        assert_eq!(next(&queue).await, ("a", 0));
        queue.done("a", None);
        assert!(nothing_for(&queue, Duration::from_hours(1)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_time_wins() {
        let queue = queue();
        queue.add("a", When::After(Duration::from_mins(1)));
        queue.add("a", When::After(Duration::from_secs(2)));
        queue.add("a", When::After(Duration::from_secs(30)));
        assert_eq!(next(&queue).await, ("a", 2_000));
        queue.done("a", None);
        assert!(nothing_for(&queue, Duration::from_hours(1)).await, "the later times are gone with it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_never_worked_on_twice_at_a_time() {
        let queue = queue();
        queue.add("a", When::Now);
        assert_eq!(next(&queue).await.0, "a");
        queue.add("a", When::Now);
        queue.add("b", When::Now);
        assert_eq!(next(&queue).await.0, "b");
        assert!(nothing_for(&queue, Duration::from_mins(1)).await);
        queue.done("a", None);
        assert_eq!(next(&queue).await, ("a", 0), "what was asked for meanwhile is not lost");
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_waits_unless_something_changes() {
        let queue = queue();
        queue.add("a", When::Now);
        queue.next().await;
        queue.done("a", Some(Duration::from_secs(8)));
        assert!(nothing_for(&queue, Duration::from_secs(7)).await);
        queue.add("a", When::Now);
        assert_eq!(next(&queue).await, ("a", 0));
        queue.done("a", Some(Duration::from_secs(8)));
        assert_eq!(next(&queue).await, ("a", 8_000));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_failing_pass_has_changed_itself_does_not_call_it_back() {
        let queue = queue();
        let wait = Duration::from_secs(8);
        queue.add("a", When::NowUnlessFailing);
        assert_eq!(next(&queue).await, ("a", 0));
        queue.add("a", When::NowUnlessFailing);
        queue.failed("a", wait);
        queue.add("a", When::NowUnlessFailing);
        assert_eq!(next(&queue).await, ("a", 8_000), "neither during the pass nor after it");
        queue.failed("a", wait);
        queue.add("a", When::Now);
        assert_eq!(next(&queue).await, ("a", 0), "what others change does");
        queue.add("a", When::NowUnlessFailing);
        queue.done("a", None);
        assert_eq!(next(&queue).await, ("a", 0), "what it changed in a pass that went well is looked at");
        queue.done("a", None);
        queue.add("a", When::NowUnlessFailing);
        assert_eq!(next(&queue).await, ("a", 0), "the failures are over");
        queue.done("a", None);
        assert!(nothing_for(&queue, Duration::from_hours(1)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn spaced_requests_run_at_once_and_then_once_per_spacing() {
        let queue = queue();
        queue.add("set", When::Spaced);
        assert_eq!(next(&queue).await, ("set", 0), "the first does not wait");
        for _ in 0..1_000 {
            queue.add("set", When::Spaced);
        }
        queue.done("set", None);
        assert_eq!(next(&queue).await, ("set", 100));
        queue.done("set", None);
        queue.add("set", When::Spaced);
        queue.add("set", When::Now);
        assert_eq!(next(&queue).await, ("set", 0), "its own change does not wait");
        queue.done("set", None);
        assert!(nothing_for(&queue, Duration::from_mins(1)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn spacing_is_kept_for_each_key_and_forgotten_after_it() {
        let queue = queue();
        for key in ["a", "b"] {
            queue.add(key, When::Spaced);
            assert_eq!(next(&queue).await, (key, 0));
            queue.done(key, None);
        }
        tokio::time::advance(SPACING).await;
        queue.add("c", When::Spaced);
        assert_eq!(next(&queue).await, ("c", 0));
        assert_eq!(queue.state().started.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_taker_hears_of_an_earlier_key() {
        let queue = std::sync::Arc::new(queue());
        queue.add("late", When::After(Duration::from_mins(1)));
        let taker = tokio::spawn({
            let queue = std::sync::Arc::clone(&queue);
            async move { next(&queue).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        queue.add("early", When::Now);
        assert_eq!(taker.await.unwrap(), ("early", 1_000));
    }
}
