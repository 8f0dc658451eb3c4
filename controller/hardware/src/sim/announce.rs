//! Announcing changes in time: a task that sleeps until something is due.
//!
//! It starts with the first listener and ends with the simulation. A listener that falls behind is told of every
//! machine; of one that has gone meanwhile it hears nothing more, and finds out by observing everything.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

use super::clock::Clock;
use super::{Inner, Simulation};
use crate::Change;

/// Whether the task has been started.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    started: OnceLock<()>,
}

impl Simulation {
    /// Listens to changes, and sees to it that they are announced in time.
    pub(super) fn listen(&self) -> BoxStream<'static, Change> {
        let received = BroadcastStream::new(self.inner.changes.subscribe());
        self.start_announcer();
        let inner = Arc::downgrade(&self.inner);
        received
            .flat_map(move |announcement| {
                stream::iter(match announcement {
                    Ok(change) => vec![change],
                    Err(BroadcastStreamRecvError::Lagged(_)) => everything(&inner),
                })
            })
            .boxed()
    }

    fn start_announcer(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        self.inner.announcer.started.get_or_init(|| {
            let inner = &self.inner;
            drop(runtime.spawn(run(Arc::downgrade(inner), Arc::clone(&inner.wake), inner.clock.clone())));
        });
    }
}

async fn run(inner: Weak<Inner>, wake: Arc<Notify>, clock: Clock) {
    loop {
        let Some(next) = inner.upgrade().map(|inner| inner.settled().0.next_event_at()) else {
            return;
        };
        tokio::select! {
            () = reached(&clock, next) => {}
            () = wake.notified() => {}
        }
    }
}

/// Waits until the clock shows an instant; a virtual clock is looked at whenever it moves.
async fn reached(clock: &Clock, instant: Option<Timestamp>) {
    let Some(instant) = instant else {
        return std::future::pending().await;
    };
    match clock {
        Clock::Virtual(clock) => {
            let moved = clock.subscribe().wait_for(|now| *now >= instant).await.is_ok();
            if !moved {
                std::future::pending::<()>().await;
            }
        }
        Clock::Scaled { .. } => {
            let left = instant.duration_since(clock.now());
            let left = Duration::try_from(left).unwrap_or(Duration::ZERO);
            tokio::time::sleep(clock.wall_duration(left)).await;
        }
    }
}

fn everything(inner: &Weak<Inner>) -> Vec<Change> {
    inner.upgrade().map(|inner| inner.settled().0.everything()).unwrap_or_default()
}
