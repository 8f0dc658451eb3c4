//! Flags that both programs have: the controller with its hardware inside, and the hardware as a process of its own.

use clap::ValueEnum;
use scaleset_hardware::sim::LatencySource;

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How long the hardware takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Latency {
    /// As the region file says.
    RegionFile,
    /// No time at all.
    Zero,
}

impl From<Latency> for LatencySource {
    fn from(latency: Latency) -> Self {
        match latency {
            Latency::RegionFile => Self::RegionFile,
            Latency::Zero => Self::Zero,
        }
    }
}

/// Seconds of the hardware in one second: above 0, up to a day in less than a second. A parser for clap.
pub fn time_scale(text: &str) -> Result<f64, String> {
    let scale: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if scale > 0.0 && scale <= 100_000.0 { Ok(scale) } else { Err("must be above 0 and up to 100000".to_owned()) }
}
