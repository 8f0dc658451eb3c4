//! What the scenario clock of the hardware shows, for who is not in its process.
//!
//! The server tells what the clock shows and how fast it runs; the client goes on from there by its own monotonic clock
//! until it is told again. So it is right at once after a change of the speed, and drifts by nothing in between.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How long the clock is asked about, to see how fast it runs.
const SPAN: Duration = Duration::from_secs(1_000);
/// A clock that needs longer for that stands still.
const STANDSTILL: Duration = Duration::from_hours(1_000_000);

/// The clock at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reading {
    /// What it shows.
    pub(crate) scenario: Timestamp,
    /// Scenario seconds in one second of wall time; 0 while it stands still.
    pub(crate) time_scale: f64,
}

impl Reading {
    /// Of a clock that shows `scenario` and needs `wall_duration` for a scenario duration.
    pub(crate) fn of(scenario: Timestamp, wall_duration: impl Fn(Duration) -> Duration) -> Self {
        let wall = wall_duration(SPAN);
        let time_scale = if wall >= STANDSTILL { 0.0 } else { SPAN.as_secs_f64() / wall.as_secs_f64() };
        Self { scenario, time_scale }
    }

    /// What the clock shows so long after the reading.
    pub(crate) fn after(&self, elapsed: Duration) -> Timestamp {
        let scaled = SignedDuration::try_from_secs_f64(elapsed.as_secs_f64() * self.time_scale);
        self.scenario.checked_add(scaled.unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
    }

    /// Wall time until the clock has moved on by `scenario`.
    pub(crate) fn wall_duration(&self, scenario: Duration) -> Duration {
        if scenario.is_zero() {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(scenario.as_secs_f64() / self.time_scale).unwrap_or(Duration::MAX)
    }
}

/// The clock as a client shows it.
#[derive(Debug)]
pub(crate) struct FollowedClock {
    reading: Reading,
    read_at: Instant,
    /// The latest that was shown: time never runs backwards.
    shown: Timestamp,
}

impl FollowedClock {
    pub(crate) fn new(reading: Reading, read_at: Instant) -> Self {
        Self { shown: reading.scenario, reading, read_at }
    }

    /// Goes on from a newer reading.
    pub(crate) fn follow(&mut self, reading: Reading, read_at: Instant) {
        (self.reading, self.read_at) = (reading, read_at);
    }

    pub(crate) fn show(&mut self, at: Instant) -> Timestamp {
        self.shown = self.shown.max(self.reading.after(at.duration_since(self.read_at)));
        self.shown
    }

    pub(crate) fn wall_duration(&self, scenario: Duration) -> Duration {
        self.reading.wall_duration(scenario)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn goes_on_by_the_scale_and_never_backwards() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut clock = FollowedClock::new(Reading { scenario: second(1_000), time_scale: 15.0 }, start);
        assert_eq!(clock.show(later(2)), second(1_030));
        clock.follow(Reading { scenario: second(1_010), time_scale: 1.0 }, later(3));
        assert_eq!(clock.show(later(4)), second(1_030), "it waits until the other has caught up");
        assert_eq!(clock.show(later(33)), second(1_040));
        clock.follow(Reading { scenario: second(1_040), time_scale: 0.0 }, later(33));
        assert_eq!(clock.show(later(1_000)), second(1_040), "it stands still");
    }

    #[test]
    fn the_speed_is_seen_from_outside() {
        let reading = Reading::of(second(5), |scenario| scenario / 20);
        assert!((reading.time_scale - 20.0).abs() < 1e-9, "{reading:?}");
        assert_eq!(reading.wall_duration(Duration::from_secs(40)), Duration::from_secs(2));
        let still = Reading::of(second(5), |_| Duration::MAX);
        assert!(still.time_scale.abs() < f64::EPSILON);
        assert_eq!(still.wall_duration(Duration::from_secs(1)), Duration::MAX);
        assert_eq!(still.wall_duration(Duration::ZERO), Duration::ZERO);
    }
}
