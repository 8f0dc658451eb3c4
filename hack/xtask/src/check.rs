//! Looks for what every command needs before anything long starts.

use std::net::TcpListener;
use std::process::Command;

use anyhow::bail;
use scaleset_control_plane::binaries::{go_version, module_directory};
use scaleset_control_plane::workspace_root;

const DISK_GIB_MIN: u64 = 6;
const GO_MIN: (u32, u32) = (1, 26);

/// Fails with one line for each thing that is missing, and how to get it.
pub(crate) fn check() -> anyhow::Result<()> {
    let missing: Vec<String> = [rust(), go(), compiler(), disk(), ports()].into_iter().flatten().collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("something is missing:\n  - {}", missing.join("\n  - "));
}

/// The pinned toolchain is fetched by rustup; without rustup the version must fit.
fn rust() -> Option<String> {
    let pinned = env!("CARGO_PKG_RUST_VERSION");
    let said = output("rustc", &["--version"])?;
    let found = said.split_whitespace().nth(1).map(str::to_owned)?;
    let fits = version(&found) >= version(pinned);
    if fits {
        None
    } else {
        Some(format!("Rust {pinned} or newer, found {found}: `rustup toolchain install {pinned}`"))
    }
}

fn go() -> Option<String> {
    let wanted = format!("Go {}.{} or newer, from go.dev/dl", GO_MIN.0, GO_MIN.1);
    if !module_directory().join("go.mod").exists() {
        return Some(format!("{} (is this a whole checkout?)", module_directory().display()));
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
    let free = rustix::fs::statvfs(&directory).ok()?;
    let gib = free.f_bavail.saturating_mul(free.f_frsize) / (1 << 30);
    if gib >= DISK_GIB_MIN {
        return None;
    }
    Some(format!("disk: {gib} GiB free at {}, builds need {DISK_GIB_MIN}", directory.display()))
}

fn ports() -> Option<String> {
    match TcpListener::bind(("127.0.0.1", 0)) {
        Ok(_) => None,
        Err(error) => Some(format!("a free port on 127.0.0.1: {error}")),
    }
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
