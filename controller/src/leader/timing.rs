//! The durations of an election, and how they have to fit together.
//!
//! Source: client-go, `tools/leaderelection`: a leader has to give up before anybody else may take the lease, and has to
//! have a second try before it gives up.

use std::time::Duration;

use thiserror::Error;

/// The retry period is varied by up to this much where several wait for the same thing.
const JITTER: f64 = 1.2;

/// Durations that fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    pub(super) lease_duration: Duration,
    pub(super) renew_deadline: Duration,
    pub(super) retry_period: Duration,
}

/// Durations that do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TimingError {
    /// The lease could be taken while its holder still acts.
    #[error(
        "--leader-elect-lease-duration-seconds ({}) must be above --leader-elect-renew-deadline-seconds ({})",
        lease_duration.as_secs(), renew_deadline.as_secs()
    )]
    LeaseDuration {
        /// As given.
        lease_duration: Duration,
        /// As given.
        renew_deadline: Duration,
    },
    /// One failed try would end the leadership.
    #[error(
        "--leader-elect-renew-deadline-seconds ({}) must be above 1.2 x --leader-elect-retry-period-seconds ({})",
        renew_deadline.as_secs(), retry_period.as_secs()
    )]
    RenewDeadline {
        /// As given.
        renew_deadline: Duration,
        /// As given.
        retry_period: Duration,
    },
}

impl Timing {
    /// Checks that `lease_duration` > `renew_deadline` > 1.2 x `retry_period`.
    pub fn new(
        lease_duration: Duration,
        renew_deadline: Duration,
        retry_period: Duration,
    ) -> Result<Self, TimingError> {
        if lease_duration <= renew_deadline {
            return Err(TimingError::LeaseDuration { lease_duration, renew_deadline });
        }
        if renew_deadline <= retry_period.mul_f64(JITTER) {
            return Err(TimingError::RenewDeadline { renew_deadline, retry_period });
        }
        Ok(Self { lease_duration, renew_deadline, retry_period })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_durations_that_fit_together_are_taken() {
        let timing = |lease, renew, retry| {
            let [lease, renew, retry] = [lease, renew, retry].map(Duration::from_secs);
            Timing::new(lease, renew, retry).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(timing(15, 10, 2), Ok(()));
        assert_eq!(timing(6, 4, 1), Ok(()));
        let lease =
            "--leader-elect-lease-duration-seconds (10) must be above --leader-elect-renew-deadline-seconds (10)";
        assert_eq!(timing(10, 10, 2), Err(lease.to_owned()));
        assert!(
            timing(15, 12, 10).unwrap_err().starts_with("--leader-elect-renew-deadline-seconds (12) must be above")
        );
        assert_eq!(timing(15, 13, 10), Ok(()));
    }
}
