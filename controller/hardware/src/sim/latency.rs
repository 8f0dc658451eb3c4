//! How long operations take: distributions of scenario time, drawn from the seed.

use jiff::SignedDuration;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

/// No operation takes longer than this, whatever was drawn.
const LONGEST_SECONDS: f64 = 86_400.0;
/// Draws beyond so many standard deviations are cut off.
const WIDEST_DEVIATION: f64 = 4.0;

/// How long something takes, in seconds of scenario time.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(tag = "distribution", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Distribution {
    /// Always the same.
    Constant {
        /// That time.
        seconds: f64,
    },
    /// Anything between two bounds, all equally likely.
    Uniform {
        /// Lower bound.
        minimum_seconds: f64,
        /// Upper bound.
        maximum_seconds: f64,
    },
    /// Half the draws below the median, with a long tail above it.
    LogNormal {
        /// The median.
        median_seconds: f64,
        /// Standard deviation of the logarithm: 0.1 is narrow, 0.5 is wide.
        sigma: f64,
    },
}

/// How long each operation takes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Latencies {
    /// Finding a host and making the disks of a new machine.
    pub allocate: Distribution,
    /// First boot of a new machine, after its allocation.
    pub boot: Distribution,
    /// Starting a stopped machine.
    pub start: Distribution,
    /// Stopping a machine.
    pub stop: Distribution,
    /// Stopping a machine and giving its hardware back.
    pub deallocate: Distribution,
    /// Stopping and starting a machine for an update.
    pub restart: Distribution,
    /// Stopping a machine, replacing its OS disk and starting it.
    pub reimage: Distribution,
    /// Changing a machine without disturbing it.
    pub update: Distribution,
    /// Deleting a machine.
    pub delete: Distribution,
    /// One run of one extension.
    pub extension: Distribution,
    /// From the start of a boot that fails to the moment at which it is called failed.
    pub provisioning_timeout: Distribution,
}

impl Distribution {
    /// One draw, rounded to milliseconds. The generator is made only where there is something to draw.
    pub(crate) fn draw(self, generator: impl FnOnce() -> ChaCha8Rng) -> SignedDuration {
        let seconds = match self {
            Self::Constant { seconds } => seconds,
            Self::Uniform { minimum_seconds, maximum_seconds } => {
                minimum_seconds + (maximum_seconds - minimum_seconds) * generator().random::<f64>()
            }
            Self::LogNormal { median_seconds, sigma } => {
                median_seconds * (sigma * standard_normal(&mut generator())).exp()
            }
        };
        in_milliseconds(seconds)
    }

    /// What is expected of a draw: the middle, in whole seconds, rounded up.
    pub(crate) fn expected_seconds(self) -> i32 {
        let seconds = match self {
            Self::Constant { seconds } => seconds,
            Self::Uniform { minimum_seconds, maximum_seconds } => f64::midpoint(minimum_seconds, maximum_seconds),
            Self::LogNormal { median_seconds, sigma: _ } => median_seconds,
        };
        #[expect(clippy::cast_possible_truncation, reason = "at most 86,400 after the clamp")]
        let whole = seconds.clamp(0.0, LONGEST_SECONDS).ceil() as i32;
        whole
    }

    fn check(self) -> Result<(), String> {
        let (shortest, longest, sigma) = match self {
            Self::Constant { seconds } => (seconds, seconds, 0.0),
            Self::Uniform { minimum_seconds, maximum_seconds } => (minimum_seconds, maximum_seconds, 0.0),
            Self::LogNormal { median_seconds, sigma } => (median_seconds, median_seconds, sigma),
        };
        if !(0.0..=LONGEST_SECONDS).contains(&shortest) || !(0.0..=LONGEST_SECONDS).contains(&longest) {
            return Err(format!("{shortest} to {longest} seconds are out of range"));
        }
        if shortest > longest {
            return Err(format!("the minimum {shortest} is above the maximum {longest}"));
        }
        if (0.0..=2.0).contains(&sigma) { Ok(()) } else { Err(format!("sigma {sigma} is out of range")) }
    }
}

impl Latencies {
    /// Every operation is complete when its call returns.
    pub fn zero() -> Self {
        let none = Distribution::Constant { seconds: 0.0 };
        Self {
            allocate: none,
            boot: none,
            start: none,
            stop: none,
            deallocate: none,
            restart: none,
            reimage: none,
            update: none,
            delete: none,
            extension: none,
            provisioning_timeout: none,
        }
    }

    /// The first field that is out of range, and why.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        let Self {
            allocate,
            boot,
            start,
            stop,
            deallocate,
            restart,
            reimage,
            update,
            delete,
            extension,
            provisioning_timeout,
        } = self;
        [
            ("allocate", allocate),
            ("boot", boot),
            ("start", start),
            ("stop", stop),
            ("deallocate", deallocate),
            ("restart", restart),
            ("reimage", reimage),
            ("update", update),
            ("delete", delete),
            ("extension", extension),
            ("provisioningTimeout", provisioning_timeout),
        ]
        .into_iter()
        .try_for_each(|(field, distribution)| distribution.check().map_err(|problem| (field, problem)))
    }
}

/// `seconds`, rounded to milliseconds and cut to what an operation may take.
pub(crate) fn in_milliseconds(seconds: f64) -> SignedDuration {
    let milliseconds = (seconds.clamp(0.0, LONGEST_SECONDS) * 1_000.0).round();
    #[expect(clippy::cast_possible_truncation, reason = "at most 86,400,000 after the clamp")]
    SignedDuration::from_millis(milliseconds as i64)
}

/// A draw of the standard normal distribution, by Box and Muller's transform.
fn standard_normal(generator: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - generator.random::<f64>()).ln()).sqrt();
    let angle = std::f64::consts::TAU * generator.random::<f64>();
    (radius * angle.cos()).clamp(-WIDEST_DEVIATION, WIDEST_DEVIATION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::random::Chance;

    fn draws(distribution: Distribution) -> Vec<f64> {
        let chance = Chance::new(3);
        let draw = |index: usize| distribution.draw(|| chance.generator(&[&index.to_string()])).as_secs_f64();
        let mut all: Vec<f64> = (0..1_001).map(draw).collect();
        all.sort_by(f64::total_cmp);
        all
    }

    #[test]
    fn draws_follow_their_distribution() {
        let constant = Distribution::Constant { seconds: 2.5 }.draw(|| Chance::new(3).generator(&[]));
        assert_eq!(constant, SignedDuration::from_millis(2_500));
        let uniform = draws(Distribution::Uniform { minimum_seconds: 8.0, maximum_seconds: 12.0 });
        assert!(uniform[0] >= 8.0 && uniform[1_000] <= 12.0 && (9.8..10.2).contains(&uniform[500]), "{uniform:?}");
        let lognormal = draws(Distribution::LogNormal { median_seconds: 40.0, sigma: 0.1 });
        assert!((39.0..41.0).contains(&lognormal[500]), "median {}", lognormal[500]);
        assert!(lognormal[0] > 25.0 && lognormal[1_000] < 60.0, "{} to {}", lognormal[0], lognormal[1_000]);
    }

    #[test]
    fn the_middle_of_a_distribution_is_expected() {
        let table = [
            (Distribution::Constant { seconds: 2.5 }, 3),
            (Distribution::Uniform { minimum_seconds: 3.0, maximum_seconds: 5.0 }, 4),
            (Distribution::LogNormal { median_seconds: 20.0, sigma: 0.1 }, 20),
            (Distribution::Constant { seconds: 0.0 }, 0),
        ];
        for (distribution, seconds) in table {
            assert_eq!(distribution.expected_seconds(), seconds, "{distribution:?}");
        }
    }

    #[test]
    fn distributions_out_of_range_are_refused() {
        let table = [
            Distribution::Constant { seconds: -1.0 },
            Distribution::Constant { seconds: f64::NAN },
            Distribution::Uniform { minimum_seconds: 3.0, maximum_seconds: 2.0 },
            Distribution::LogNormal { median_seconds: 1e9, sigma: 0.1 },
            Distribution::LogNormal { median_seconds: 1.0, sigma: 3.0 },
        ];
        for distribution in table {
            assert!(distribution.check().is_err(), "{distribution:?} was accepted");
        }
    }
}
