//! Builds what runs: the control plane and the controller.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use scaleset_control_plane::binaries::{Binaries, Progress};
use scaleset_control_plane::{cargo, workspace_root};

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
    let build = ["build", "--release", "--package", "scaleset-controller"];
    let status = cargo().args(build).status().context("cargo could not be run")?;
    if !status.success() {
        bail!("the controller could not be built");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace_root().join("target"), PathBuf::from);
    Ok(target.join("release/scaleset-controller"))
}
