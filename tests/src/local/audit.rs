//! The API server's audit log, where `SCALESET_AUDIT_LOGS` names a directory for it.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;

use super::cluster::workspace;

/// Arguments with which an API server writes what the product's accounts ask for into a file of its own in that
/// directory; none where no directory is named.
pub fn api_server_arguments() -> anyhow::Result<Vec<String>> {
    static SERVERS: AtomicU32 = AtomicU32::new(0);
    let Some(directory) = std::env::var_os("SCALESET_AUDIT_LOGS").map(PathBuf::from) else { return Ok(Vec::new()) };
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let name = format!("{}-{}.log", std::process::id(), SERVERS.fetch_add(1, Ordering::Relaxed));
    Ok(vec![
        format!("--audit-policy-file={}", workspace().join("tests/control-plane/audit-policy.yaml").display()),
        format!("--audit-log-path={}", directory.join(name).display()),
    ])
}
