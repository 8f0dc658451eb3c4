//! Compares what the chart's accounts, and everybody by its roles, may do with what the audit logs in a directory say that they did: nothing missing,
//! nothing unused, nothing wide. `make test-chart` runs it after the suite that wrote the logs.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use scaleset_tests::chart::rights::Rights;
use scaleset_tests::chart::{Chart, Helm};
use serde_json::json;

fn main() -> anyhow::Result<()> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).context("usage: rights-used DIRECTORY")?;
    let granted = Rights::granted(&Helm::offline()?.objects(Chart::Controller, &json!({}))?)?;
    let mut used = granted.nobody_has_used();
    let (mut refused, mut logs) = (Vec::new(), 0);
    for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        let log = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        refused.extend(used.add_used(&log).with_context(|| path.display().to_string())?);
        logs += 1;
    }
    refused.sort();
    refused.dedup();
    let (wide, unused, missing) = (granted.too_wide(), granted.beyond(&used), used.beyond(&granted));
    for (holder, count) in granted.counts() {
        println!("{holder}: {count} rights");
    }
    println!(
        "{logs} audit logs: {} missing, {} refused, {} unused, {} too wide",
        missing.len(),
        refused.len(),
        unused.len(),
        wide.len()
    );
    let told: Vec<String> = [("used, not granted", missing), ("refused", refused), ("unused", unused), ("wide", wide)]
        .into_iter()
        .flat_map(|(what, rights)| rights.into_iter().map(move |right| format!("{what}: {right}")))
        .collect();
    ensure!(told.is_empty(), "the roles are not what is used:\n{}", told.join("\n"));
    ensure!(logs > 0, "{} holds no audit log", directory.display());
    Ok(())
}
