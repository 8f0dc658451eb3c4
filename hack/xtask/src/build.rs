//! Builds what runs: the control plane and the controller.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use scaleset_control_plane::binaries::{BINARIES, Binaries, Progress, object_health};
use scaleset_control_plane::{cargo, workspace_root};

use crate::say::{part, say};

/// Builds the programs of the control plane that are missing, with progress.
pub(crate) fn control_plane() -> anyhow::Result<()> {
    let binaries = Binaries::locate()?;
    binaries.ensure(|progress| show(&progress))?;
    for (directory, names) in by_directory(BINARIES.map(|binary| binaries.path(binary.name)).to_vec()) {
        say(format_args!("ready in {}: {}", directory.display(), names.join(", ")));
    }
    Ok(())
}

/// Builds what tests ask beside the control plane.
pub(crate) fn object_health_judge() -> anyhow::Result<()> {
    let program = object_health(|progress| show(&progress))?;
    say(format_args!("ready: {}", program.display()));
    Ok(())
}

/// The programs' names, by the directory that they lie in: ready-made ones may lie beside those that were built.
fn by_directory(programs: Vec<PathBuf>) -> BTreeMap<PathBuf, Vec<String>> {
    let mut directories: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for program in programs {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        directories.entry(program.parent().unwrap_or(Path::new("")).to_owned()).or_default().push(name);
    }
    directories
}

/// Tells how a build goes on.
pub(crate) fn show(progress: &Progress<'_>) {
    match progress {
        Progress::Planned { missing, directory } => {
            let names: Vec<&str> = missing.iter().map(|binary| binary.name).collect();
            let minutes: u32 = missing.iter().map(|binary| binary.build_minutes).sum();
            say(format_args!(
                "building {} from source, once: up to about {minutes} min on 2 cores, kept in {}",
                names.join(", "),
                directory.display()
            ));
        }
        Progress::WaitingForLock => say("another process builds these programs, waiting for it"),
        Progress::Building { binary, elapsed } if std::io::stdout().is_terminal() => {
            part(format_args!("\r  {} … {} s", binary.name, elapsed.as_secs()));
        }
        Progress::Building { binary, elapsed } if elapsed.as_secs().is_multiple_of(30) => {
            say(format_args!("  {} … {} s", binary.name, elapsed.as_secs()));
        }
        Progress::Building { .. } => {}
        Progress::Built { binary, elapsed } => {
            say(format_args!("\r  {} built in {} s", binary.name, elapsed.as_secs()));
        }
    }
}

/// Builds the controller and returns its path; cargo shows its own progress.
pub(crate) fn controller() -> anyhow::Result<PathBuf> {
    say("compiling the controller with optimization: up to about 8 min on 2 cores the first time");
    let build = ["build", "--release", "--package", "scaleset-controller"];
    let status = cargo().args(build).status().context("cargo could not be run")?;
    if !status.success() {
        bail!("the controller could not be built");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace_root().join("target"), PathBuf::from);
    Ok(target.join("release/scaleset-controller"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_named_by_their_directories() {
        let told = by_directory(vec!["/a/etcd".into(), "/b/kubectl".into(), "/a/helm".into()]);
        let expected =
            [("/a".into(), vec!["etcd".to_owned(), "helm".to_owned()]), ("/b".into(), vec!["kubectl".to_owned()])];
        assert_eq!(told, BTreeMap::from(expected));
    }
}
