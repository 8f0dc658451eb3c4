//! How long to wait before the next attempt at what has failed.

use std::time::Duration;

/// Waiting times that double from `first` to `ceiling`, each varied by a fifth so that what failed together does not
/// come back together.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// The longest wait, before it is varied.
    pub ceiling: Duration,
}

impl Backoff {
    /// For a pass over one object.
    pub const PASS: Self = Self { first: Duration::from_millis(500), ceiling: Duration::from_mins(1) };
    /// For a watch on one kind.
    pub const WATCH: Self = Self { first: Duration::from_millis(500), ceiling: Duration::from_secs(30) };

    /// The wait after `failures` in a row (at least 1); `random` is from 0 to 1.
    pub fn after(&self, failures: u32, random: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let wait = self.first.saturating_mul(1 << doublings).min(self.ceiling);
        wait.mul_f64(0.8 + 0.4 * random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn middle(failures: u32) -> u128 {
        Backoff::PASS.after(failures, 0.5).as_millis()
    }

    #[test]
    fn doubles_up_to_the_ceiling() {
        let waits: Vec<u128> = (1..=9).map(middle).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(middle(u32::MAX), 60_000);
    }

    #[test]
    fn varies_by_a_fifth() {
        assert_eq!(Backoff::PASS.after(1, 0.0), Duration::from_millis(400));
        assert_eq!(Backoff::PASS.after(1, 1.0), Duration::from_millis(600));
        assert_eq!(Backoff::PASS.after(1, 7.0), Duration::from_millis(600), "an impossible draw is bounded");
    }
}
