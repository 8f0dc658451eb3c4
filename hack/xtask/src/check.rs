//! Looks for what every command needs before anything long starts.

use std::process::Command;

use anyhow::bail;
use scaleset_control_plane::binaries::{Binaries, go_version};
use scaleset_control_plane::{ControlPlane, Module, TakenPort, workspace_root};

use crate::local::control_plane_directory;

const DISK_GIB_MIN: u64 = 6;
const GO_MIN: (u32, u32) = (1, 26);

/// Fails with one line for each thing that is missing, and how to get it.
pub(crate) fn check() -> anyhow::Result<()> {
    let missing: Vec<String> = [rust(), go(), compiler(), disk()].into_iter().flatten().collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("something is missing:\n  - {}", missing.join("\n  - "));
}

/// The pinned toolchain is fetched by rustup; without rustup the version must fit.
fn rust() -> Option<String> {
    let pinned = env!("CARGO_PKG_RUST_VERSION");
    let said = output("rustc", &["--version"]).unwrap_or_else(|| "no rustc that runs".to_owned());
    let found = said.split_whitespace().nth(1).and_then(version);
    if found.is_some() && found >= version(pinned) {
        return None;
    }
    Some(format!("Rust {pinned} or newer, found {}: `rustup toolchain install {pinned}`", said.trim()))
}

fn go() -> Option<String> {
    let wanted = format!("Go {}.{} or newer, from go.dev/dl", GO_MIN.0, GO_MIN.1);
    let module = Module::ControlPlane.directory();
    if !module.join("go.mod").exists() {
        return Some(format!("{} (is this a whole checkout?)", module.display()));
    }
    if Binaries::locate().is_ok_and(|binaries| binaries.missing().is_empty()) {
        return None;
    }
    match go_version() {
        Ok(found) if version(found.trim_start_matches("go")) >= Some(GO_MIN) => None,
        Ok(found) => Some(format!("{wanted}: found {found}")),
        Err(error) => Some(format!("{wanted}: {error}")),
    }
}

fn compiler() -> Option<String> {
    match output("cc", &["--version"]) {
        Some(_) => None,
        None => Some("a C compiler named cc: `apt-get install gcc`, or your system's".to_owned()),
    }
}

fn disk() -> Option<String> {
    let directory = workspace_root();
    let free = match rustix::fs::statvfs(&directory) {
        Ok(free) => free,
        Err(error) => return Some(format!("disk: cannot tell what is free at {}: {error}", directory.display())),
    };
    let gib = free.f_bavail.saturating_mul(free.f_frsize) / (1 << 30);
    if gib >= DISK_GIB_MIN {
        return None;
    }
    Some(format!("disk: {gib} GiB free at {}, builds need {DISK_GIB_MIN}", directory.display()))
}

/// Fails where the kept control plane of the local run could not start, because somebody else listens on its ports.
pub(crate) fn ports() -> anyhow::Result<()> {
    let taken = ControlPlane::taken_ports(&control_plane_directory())?;
    if taken.is_empty() {
        return Ok(());
    }
    let taken: Vec<String> = taken.into_iter().map(told).collect();
    bail!("{}", taken.join("; "));
}

fn told(TakenPort { program, port }: TakenPort) -> String {
    format!(
        "port {port} of our {program} is taken by another process: end it (`ss -ltnp 'sport = :{port}'` names it), or \
         `make down CLEAN=1` for new ports and an empty cluster"
    )
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(version("1.95.0"), Some((1, 95)));
        assert!(version("1.100.0") > version("1.95"));
        assert!(version("2.0") > version("1.95"));
        assert_eq!(version("nightly"), None);
    }
}
