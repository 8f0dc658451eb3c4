//! Builds what runs: the control plane and the controller.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};
use scaleset_control_plane::binaries::{Binaries, Progress};
use scaleset_control_plane::workspace_root;

/// Builds the programs of the control plane that are missing, with progress.
pub(crate) fn control_plane() -> anyhow::Result<()> {
    let binaries = Binaries::locate()?;
    binaries.ensure(|progress| show(&progress))?;
    println!("the control plane's programs are ready: {}", binaries.path("kube-apiserver").display());
    Ok(())
}

fn show(progress: &Progress<'_>) {
    match progress {
        Progress::Planned { missing, directory } => {
            let names: Vec<&str> = missing.iter().map(|binary| binary.name).collect();
            let minutes: u32 = missing.iter().map(|binary| binary.build_minutes).sum();
            println!(
                "building {} from source, once: up to about {minutes} min on 2 cores, kept in {}",
                names.join(", "),
                directory.display()
            );
        }
        Progress::WaitingForLock => println!("another process builds the control plane, waiting for it"),
        Progress::Building { binary, elapsed } if std::io::stdout().is_terminal() => {
            print!("\r  {} … {} s", binary.name, elapsed.as_secs());
        }
        Progress::Building { binary, elapsed } if elapsed.as_secs().is_multiple_of(30) => {
            println!("  {} … {} s", binary.name, elapsed.as_secs());
        }
        Progress::Building { .. } => {}
        Progress::Built { binary, elapsed } => println!("\r  {} built in {} s", binary.name, elapsed.as_secs()),
    }
    // A broken terminal stops no build.
    let _ = std::io::stdout().flush();
}

/// Builds the controller and returns its path; cargo shows its own progress.
pub(crate) fn controller() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--package", "scaleset-controller"]).current_dir(workspace_root());
    // `cargo run` describes this package in variables that build scripts watch. Handed on, they would make every crate
    // above such a script be built again whenever this build and one from the shell take turns.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            build.env_remove(name);
        }
    }
    let status = build.status().context("cargo could not be run")?;
    if !status.success() {
        bail!("the controller could not be built");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace_root().join("target"), PathBuf::from);
    Ok(target.join("release/scaleset-controller"))
}
