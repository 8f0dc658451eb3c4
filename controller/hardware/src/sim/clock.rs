//! The scenario clock: virtual, moved by a test, or wall time multiplied by a scale.
//!
//! Scaled, it shows `scenario anchor + (wall − wall anchor) × time scale`. The first start of a store anchors both at
//! the same instant, the store's birth, and keeps them; a start with another scale anchors anew at the instant that
//! the old scale has reached, so that scenario time never jumps. Within a process it follows the monotonic clock:
//! scenario time never runs backwards.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// A clock that only its owner moves. Clones show the same time.
#[derive(Clone, Debug)]
pub struct VirtualClock {
    now: watch::Sender<Timestamp>,
}

impl VirtualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self { now: watch::Sender::new(start) }
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        let by = SignedDuration::try_from(by).expect("a test advances by less than 292 billion years");
        self.now.send_modify(|now| *now += by);
    }

    /// Moves it forward to an instant; an instant in the past leaves it where it is.
    pub fn advance_to(&self, instant: Timestamp) {
        self.now.send_if_modified(|now| {
            let later = instant > *now;
            *now = instant.max(*now);
            later
        });
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Timestamp> {
        self.now.subscribe()
    }
}

impl Default for VirtualClock {
    /// A clock that shows the first second of 2026.
    fn default() -> Self {
        Self::new(Timestamp::from_second(1_767_225_600).expect("the year 2026 is in range"))
    }
}

/// Where the scenario clock stood at one instant of wall time, and how fast it runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Anchor {
    pub(crate) wall: Timestamp,
    pub(crate) scenario: Timestamp,
    pub(crate) time_scale: f64,
}

impl Anchor {
    /// The anchor of a store at its birth.
    pub(crate) fn at(wall: Timestamp, time_scale: f64) -> Self {
        Self { wall, scenario: wall, time_scale }
    }

    /// Scenario time at an instant of wall time.
    pub(crate) fn scenario_at(&self, wall: Timestamp) -> Timestamp {
        self.scenario + scaled(wall.duration_since(self.wall).max(SignedDuration::ZERO), self.time_scale)
    }

    /// The same clock from `wall` on at another scale; the same anchor when the scale is the same.
    pub(crate) fn rescaled(self, wall: Timestamp, time_scale: f64) -> Self {
        if (self.time_scale - time_scale).abs() < f64::EPSILON {
            return self;
        }
        Self { wall, scenario: self.scenario_at(wall), time_scale }
    }
}

/// The clock of a running simulation.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    Virtual(VirtualClock),
    Scaled { anchor: Anchor, opened: Instant, scenario_at_opening: Timestamp },
}

impl Clock {
    /// A scaled clock; it shows no time before `latest`, which was seen in an earlier run.
    pub(crate) fn scaled(anchor: Anchor, latest: Option<Timestamp>) -> Self {
        let scenario = anchor.scenario_at(Timestamp::now());
        let scenario_at_opening = latest.map_or(scenario, |latest| latest.max(scenario));
        Self::Scaled { anchor, opened: Instant::now(), scenario_at_opening }
    }

    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::Virtual(clock) => clock.now(),
            Self::Scaled { anchor, opened, scenario_at_opening } => {
                let elapsed = SignedDuration::try_from(opened.elapsed()).unwrap_or(SignedDuration::MAX);
                *scenario_at_opening + scaled(elapsed, anchor.time_scale)
            }
        }
    }

    /// Wall time in which the scenario clock moves on by `scenario`; a virtual clock counts as unscaled.
    pub(crate) fn wall_duration(&self, scenario: Duration) -> Duration {
        Duration::try_from_secs_f64(scenario.as_secs_f64() / self.time_scale()).unwrap_or(Duration::MAX)
    }

    pub(crate) fn time_scale(&self) -> f64 {
        match self {
            Self::Virtual(_) => 1.0,
            Self::Scaled { anchor, .. } => anchor.time_scale,
        }
    }
}

fn scaled(wall: SignedDuration, time_scale: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(wall.as_secs_f64() * time_scale).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn scenario_time_is_wall_time_scaled_from_the_birth_of_the_store() {
        let anchor = Anchor::at(at(1_000), 15.0);
        assert_eq!(anchor.scenario_at(at(1_000)), at(1_000));
        assert_eq!(anchor.scenario_at(at(1_010)), at(1_150));
        assert_eq!(anchor.scenario_at(at(900)), at(1_000), "a wall clock that was set back stops it");
    }

    #[test]
    fn another_scale_goes_on_where_the_old_one_stood() {
        let anchor = Anchor::at(at(1_000), 15.0);
        assert_eq!(anchor.rescaled(at(1_010), 15.0), anchor);
        let slower = anchor.rescaled(at(1_010), 1.0);
        assert_eq!(slower.scenario_at(at(1_010)), at(1_150));
        assert_eq!(slower.scenario_at(at(1_020)), at(1_160));
    }

    #[test]
    fn a_start_shows_no_time_before_the_last_one() {
        let anchor = Anchor::at(Timestamp::now(), 1.0);
        let latest = Timestamp::now() + SignedDuration::from_hours(5);
        assert!(Clock::scaled(anchor, Some(latest)).now() >= latest);
    }

    #[test]
    fn wall_durations_shrink_with_the_scale() {
        let clock = Clock::scaled(Anchor::at(Timestamp::now(), 15.0), None);
        assert_eq!(clock.wall_duration(Duration::from_secs(45)), Duration::from_secs(3));
    }

    #[test]
    fn a_virtual_clock_moves_forward_only() {
        let clock = VirtualClock::new(at(100));
        clock.advance(Duration::from_secs(5));
        clock.advance_to(at(50));
        assert_eq!(clock.clone().now(), at(105));
    }
}
