//! What a process of this machine takes, from `/proc`.

use std::fs;

use anyhow::Context;
use scaleset_control_plane::ProcessId;

/// Ticks of the kernel's clock in a second, as `/proc` counts them on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// What it holds in memory now, in KiB.
pub fn resident_kib(process: ProcessId) -> anyhow::Result<u64> {
    status_kib(process, "VmRSS:")
}

/// The most that it has held in memory since it was started, in KiB.
pub fn peak_resident_kib(process: ProcessId) -> anyhow::Result<u64> {
    status_kib(process, "VmHWM:")
}

fn status_kib(process: ProcessId, field: &str) -> anyhow::Result<u64> {
    let path = format!("/proc/{}/status", process.pid);
    let text = fs::read_to_string(&path).context(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)).with_context(|| format!("no {field}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Seconds of one core that it has spent so far, in itself and in the kernel.
pub fn cpu_seconds(process: ProcessId) -> anyhow::Result<f64> {
    let path = format!("/proc/{}/stat", process.pid);
    let text = fs::read_to_string(&path).context(path)?;
    // The command's name may hold anything, but it ends at the last parenthesis.
    let (_, fields) = text.rsplit_once(')').context("no command")?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<f64>);
    let (user, system) = (ticks.next().context("no user time")??, ticks.next().context("no system time")??);
    Ok((user + system) / TICKS_PER_SECOND)
}
