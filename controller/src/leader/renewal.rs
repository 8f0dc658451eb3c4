//! What a leader makes of its attempts to renew the lease: pure, on a clock that it is given.

use std::time::Duration;

use tokio::time::Instant;

use super::timing::Timing;

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The lease is ours, renewed by a request that was sent then.
    Renewed {
        /// Before the request was sent: others may have seen the change that early.
        sent: Instant,
    },
    /// The lease is another's.
    Taken {
        /// Whose.
        holder: String,
    },
    /// It could not be written; whose it is, is unknown.
    Failed {
        /// Why.
        message: String,
    },
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Try again after so long.
    TryAfter(Duration),
    /// Stop at once: from now on another may lead.
    Stop {
        /// Why.
        reason: String,
    },
}

/// The lease as its holder knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renewal {
    timing: Timing,
    renewed_at: Instant,
}

impl Renewal {
    pub(super) const fn new(timing: Timing, renewed_at: Instant) -> Self {
        Self { timing, renewed_at }
    }

    /// Until when the holder may act: earlier than anybody else may take the lease.
    pub(super) fn acts_until(&self) -> Instant {
        self.renewed_at + self.timing.renew_deadline
    }

    /// Judges an attempt that has ended just now.
    pub(super) fn judge(&mut self, attempt: Attempt, now: Instant) -> Next {
        let problem = match attempt {
            Attempt::Renewed { sent } => {
                self.renewed_at = sent;
                "it took too long".to_owned()
            }
            Attempt::Taken { holder } => return Next::Stop { reason: format!("{holder} has taken it") },
            Attempt::Failed { message } => message,
        };
        let left = self.acts_until().saturating_duration_since(now);
        if left.is_zero() {
            let seconds = self.timing.renew_deadline.as_secs();
            return Next::Stop { reason: format!("not renewed within {seconds} s: {problem}") };
        }
        Next::TryAfter(left.min(self.timing.retry_period))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn second(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn a_leader_stops_before_its_lease_can_be_taken() {
        let begun = Instant::now();
        let at = |seconds| begun + second(seconds);
        let timing = Timing::new(second(15), second(10), second(2)).unwrap();
        let mut renewal = Renewal::new(timing, begun);
        let failed = || Attempt::Failed { message: "no answer".to_owned() };
        let table = [
            (at(2), Attempt::Renewed { sent: at(2) }, Next::TryAfter(second(2)), at(12)),
            (at(5), failed(), Next::TryAfter(second(2)), at(12)),
            (at(11), failed(), Next::TryAfter(second(1)), at(12)),
            (at(11), Attempt::Renewed { sent: at(6) }, Next::TryAfter(second(2)), at(16)),
        ];
        for (now, attempt, next, acts_until) in table {
            assert_eq!(renewal.judge(attempt.clone(), now), next, "{attempt:?}");
            assert_eq!(renewal.acts_until(), acts_until, "{attempt:?}");
        }
        let stop = |reason: &str| Next::Stop { reason: reason.to_owned() };
        assert_eq!(renewal.judge(failed(), at(16)), stop("not renewed within 10 s: no answer"));
        let paused = renewal.judge(Attempt::Renewed { sent: at(17) }, at(40));
        assert_eq!(paused, stop("not renewed within 10 s: it took too long"), "nobody knows what was meanwhile");
        assert_eq!(renewal.judge(Attempt::Taken { holder: "b".to_owned() }, at(7)), stop("b has taken it"));
    }
}
