//! How long the planner takes, measured by criterion in `controller/planning/benches`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use scaleset_tests::local::cluster::workspace;
use serde_json::Value;

/// Means, in milliseconds.
pub(crate) struct Planning {
    /// A pass over 1,000 members that are as they should be.
    pub(crate) settled: f64,
    /// The same with 10,000.
    pub(crate) settled_tenfold: f64,
    /// A pass that places 1,000 new members.
    pub(crate) made: f64,
    /// One evaluation of each of 1,000 autoscale settings.
    pub(crate) autoscale: f64,
    /// The same as a pass has it: calendars read from their words before, statuses made after.
    pub(crate) autoscale_passes: f64,
}

/// Runs criterion and reads what it found.
pub(crate) fn measure() -> anyhow::Result<Planning> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["bench", "--quiet", "--package", "scaleset-planning", "--bench", "planning"];
    let status = Command::new(cargo).args(arguments).current_dir(workspace()).status()?;
    ensure!(status.success(), "cargo bench ended with {status}");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let mean = |name: &str| mean_ms(&target.join("criterion").join(name).join("new/estimates.json"));
    Ok(Planning {
        settled: mean("settled-1000")?,
        settled_tenfold: mean("settled-10000")?,
        made: mean("made-1000")?,
        autoscale: mean("autoscale-1000-settings")?,
        autoscale_passes: mean("autoscale-1000-settings-read-and-planned")?,
    })
}

fn mean_ms(file: &Path) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let estimates: Value = serde_json::from_str(&text)?;
    let nanoseconds = estimates["mean"]["point_estimate"].as_f64();
    Ok(nanoseconds.with_context(|| format!("{}: no mean", file.display()))? / 1_000_000.0)
}
