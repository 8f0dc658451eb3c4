//! One of several replicas leads: who holds the Lease, after client-go's rules, and with an epoch that client-go has not.
//!
//! - A replica takes the lease only when it has itself seen no change of it for the lease's duration, whatever times
//!   stand in it (`candidate`).
//! - Every write carries the resourceVersion that was read: of two replicas that try, one wins.
//! - A leader that could not renew stops before anybody else may take the lease (`renewal`), and its writes with it
//!   (`gate`).
//! - A leader that ends in good order releases the lease last, and the next one, which watches it, takes it at once.
//! - `leaseTransitions` rises with every change of leadership. It is the epoch of the leader: it goes with every call to
//!   the hardware, which refuses smaller ones. So not even a leader that was paused can do harm.

mod candidate;
mod gate;
mod lease;
mod renewal;
mod timing;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use candidate::{Candidate, FIRST_TRANSITION, Step};
use lease::{Lease, LeaseError, Leases};
use renewal::{Attempt, Next, Renewal};

pub use gate::{Gate, NotLeading};
pub use timing::{Timing, TimingError};

/// How long the release of the lease may take: whoever waits for it has the lease's duration to fall back on.
pub(crate) const RELEASE_MAX: Duration = Duration::from_secs(2);

/// Why a leader leads no more.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("lease {name} is lost: {reason}")]
pub struct Lost {
    name: String,
    reason: String,
}

/// What a replica sees that does not lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook<'seen> {
    /// Somebody else leads.
    Held {
        /// Who.
        holder: &'seen str,
    },
    /// Nobody can tell who leads, and this replica could not take over.
    Unreadable {
        /// Why the lease cannot be read or written.
        message: &'seen str,
    },
}

/// A replica that would lead.
pub struct Election {
    leases: Leases,
    timing: Timing,
    gate: Gate,
}

/// The time in which this process leads.
pub struct Tenure {
    election: Election,
    held: Mutex<Held>,
    /// One write at a time: each needs the version that the one before has made.
    writing: tokio::sync::Mutex<()>,
}

struct Held {
    lease: Lease,
    renewal: Renewal,
}

/// What becomes of the number of changes when the lease is written anew. It never falls.
#[derive(Clone, Copy, Debug)]
enum Transitions {
    /// It stays.
    Keep,
    /// It becomes at least this.
    RaiseTo(i32),
}

impl Transitions {
    const fn after(self, known: i32) -> i32 {
        match self {
            Self::RaiseTo(number) if number > known => number,
            Self::Keep | Self::RaiseTo(_) => known,
        }
    }
}

impl Election {
    /// An election by the lease of that name, whose winner writes through `gate`. `client` itself goes through none.
    pub fn new(client: Client, namespace: &str, name: &str, timing: Timing, gate: Gate) -> Self {
        let leases = Leases::new(client, namespace, name, timing);
        Self { leases, timing, gate }
    }

    /// Waits until this process leads. `standing_by` is told what it sees meanwhile.
    pub async fn win(self, standing_by: impl Fn(Outlook<'_>)) -> Tenure {
        let mut candidate = Candidate::new();
        let mut changes = self.leases.changes();
        loop {
            let wait = match self.attempt(&mut candidate).await {
                Ok(Campaign::Won { lease, renewal }) => return self.begin(lease, renewal),
                Ok(Campaign::Held { holder, left }) => {
                    standing_by(Outlook::Held { holder: &holder });
                    left.min(self.timing.retry_period)
                }
                // Another was faster: the next look shows who.
                Err(LeaseError::Overtaken) => Duration::ZERO,
                Err(LeaseError::Failed(message)) => {
                    warn!(lease = self.leases.name(), "the lease cannot be read or written: {message}");
                    standing_by(Outlook::Unreadable { message: &message });
                    self.timing.retry_period
                }
            };
            tokio::select! {
                () = sleep(wait) => {}
                _ = changes.next() => {}
            }
        }
    }

    async fn attempt(&self, candidate: &mut Candidate) -> Result<Campaign, LeaseError> {
        let found = self.leases.get().await?;
        let step = candidate.look(found.as_ref().map(|lease| &lease.spec), Instant::now());
        let sent = Instant::now();
        let lease = match (step, found) {
            (Step::Wait { holder, left }, _) => return Ok(Campaign::Held { holder, left }),
            (Step::Create, _) | (Step::Take { .. }, None) => self.leases.create(FIRST_TRANSITION).await?,
            (Step::Take { transitions }, Some(found)) => self.leases.take(&found, transitions).await?,
        };
        Ok(Campaign::Won { lease, renewal: Renewal::new(self.timing, sent) })
    }

    fn begin(self, lease: Lease, renewal: Renewal) -> Tenure {
        self.gate.open_until(renewal.acts_until());
        info!(lease = self.leases.name(), epoch = lease.transitions(), identity = self.leases.identity(), "leading");
        Tenure { election: self, held: Mutex::new(Held { lease, renewal }), writing: tokio::sync::Mutex::default() }
    }
}

enum Campaign {
    Won { lease: Lease, renewal: Renewal },
    Held { holder: String, left: Duration },
}

impl Tenure {
    /// The number of this leadership: higher than that of every one before.
    pub fn epoch(&self) -> u64 {
        u64::try_from(self.lease().transitions()).unwrap_or_default()
    }

    /// Renews the lease for as long as that works, and says why it does not any more. From then on nothing is written.
    pub async fn keep(&self) -> Lost {
        let mut wait = self.election.timing.retry_period;
        loop {
            sleep(wait).await;
            let left = self.renewal().acts_until().saturating_duration_since(Instant::now());
            let silence = Attempt::Failed { message: "no answer".to_owned() };
            // Who is late sends nothing any more: not even what would arrive in vain.
            let attempt = match left {
                Duration::ZERO => silence,
                left => timeout(left, self.renew(Transitions::Keep)).await.unwrap_or(silence),
            };
            match self.judge(attempt) {
                Next::TryAfter(next) => wait = next,
                Next::Stop { reason } => return self.lost(reason),
            }
        }
    }

    /// Leads on under an epoch above `seen`, which the hardware has been called with: the lease was made anew, and began
    /// to count anew. Only who holds the lease can do so.
    pub async fn raise_above(&self, seen: u64) -> Result<u64, Lost> {
        let transitions = i32::try_from(seen).unwrap_or(i32::MAX).saturating_add(1);
        loop {
            match self.judge_raise(self.renew(Transitions::RaiseTo(transitions)).await) {
                Ok(epoch) => return Ok(epoch),
                Err(Next::TryAfter(wait)) => sleep(wait).await,
                Err(Next::Stop { reason }) => return Err(self.lost(reason)),
            }
        }
    }

    /// Lets the next one lead at once. To be called when nothing of this leadership is under way any more.
    pub async fn release(self) {
        let _writing = self.writing.lock().await;
        self.election.gate.open_until(Instant::now());
        let released = timeout(RELEASE_MAX, self.election.leases.release(self.lease())).await;
        match released {
            Ok(Ok(())) => info!(lease = self.election.leases.name(), "released"),
            Ok(Err(error)) => warn!(lease = self.election.leases.name(), "not released: {error}"),
            Err(_) => warn!(lease = self.election.leases.name(), "not released: no answer"),
        }
    }

    /// One attempt to write the lease anew. What was written by whom is known before anything is concluded from it. The
    /// number of changes is looked at when it is our turn to write: the write before may have raised it.
    async fn renew(&self, transitions: Transitions) -> Attempt {
        let _writing = self.writing.lock().await;
        let leases = &self.election.leases;
        let held = self.lease();
        let kept = held.transitions();
        let mut known = Some(held);
        // A second time where the lease has changed, or vanished, and is not another's.
        for _ in 0..2 {
            let sent = Instant::now();
            let written = match &known {
                Some(lease) => leases.renew(lease, transitions.after(kept.max(lease.transitions()))).await,
                None => leases.create(transitions.after(kept)).await,
            };
            match written {
                Ok(lease) => {
                    self.hold(lease);
                    return Attempt::Renewed { sent };
                }
                Err(LeaseError::Failed(message)) => return Attempt::Failed { message },
                Err(LeaseError::Overtaken) => {}
            }
            known = match leases.get().await {
                Ok(Some(lease)) if !leases.is_ours(&lease) => return Attempt::Taken { holder: lease.holder() },
                Ok(found) => found,
                Err(error) => return Attempt::Failed { message: error.to_string() },
            };
        }
        Attempt::Failed { message: "it changes all the time".to_owned() }
    }

    fn judge_raise(&self, attempt: Attempt) -> Result<u64, Next> {
        let renewed = matches!(attempt, Attempt::Renewed { .. });
        match self.judge(attempt) {
            Next::TryAfter(_) if renewed => Ok(self.epoch()),
            next @ (Next::TryAfter(_) | Next::Stop { .. }) => Err(next),
        }
    }

    fn judge(&self, attempt: Attempt) -> Next {
        debug!(lease = self.election.leases.name(), ?attempt, "renewal");
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let next = held.renewal.judge(attempt, Instant::now());
        self.election.gate.open_until(held.renewal.acts_until());
        next
    }

    fn lost(&self, reason: String) -> Lost {
        self.election.gate.open_until(Instant::now());
        Lost { name: self.election.leases.name().to_owned(), reason }
    }

    fn hold(&self, lease: Lease) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).lease = lease;
    }

    fn lease(&self) -> Lease {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).lease.clone()
    }

    fn renewal(&self) -> Renewal {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).renewal
    }
}

#[cfg(test)]
mod tests;
