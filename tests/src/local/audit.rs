//! The API server's audit log, where `SCALESET_AUDIT_LOGS` names a directory for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;

use super::cluster::workspace;

/// Arguments with which an API server writes what the product's accounts ask for into a file of its own in that
/// directory; none where no directory is named.
pub fn api_server_arguments() -> anyhow::Result<Vec<String>> {
    let Some(directory) = std::env::var_os("SCALESET_AUDIT_LOGS").map(PathBuf::from) else { return Ok(Vec::new()) };
    Ok(arguments(&file_in(&directory)?))
}

/// The file for the log of an API server whose log is read by its test: in that directory too, else in `otherwise`.
pub fn file(otherwise: &Path) -> anyhow::Result<PathBuf> {
    let named = std::env::var_os("SCALESET_AUDIT_LOGS").map(PathBuf::from);
    file_in(named.as_deref().unwrap_or(otherwise))
}

/// Arguments with which an API server writes that file.
pub fn arguments(log: &Path) -> Vec<String> {
    vec![
        format!("--audit-policy-file={}", workspace().join("tests/control-plane/audit-policy.yaml").display()),
        format!("--audit-log-path={}", log.display()),
    ]
}

fn file_in(directory: &Path) -> anyhow::Result<PathBuf> {
    static SERVERS: AtomicU32 = AtomicU32::new(0);
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    Ok(directory.join(format!("{}-{}.log", std::process::id(), SERVERS.fetch_add(1, Ordering::Relaxed))))
}
