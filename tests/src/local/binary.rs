//! Programs of this workspace, each built once for each process, in the profile of the caller; or those that stand ready in the
//! folder that `SCALESET_PROGRAMS` names, such as those of the image.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use scaleset_control_plane::cargo;
use serde::Deserialize;
use tokio::sync::OnceCell;

/// A program that people run.
#[derive(Clone, Copy, Debug)]
pub enum Program {
    /// `scaleset-controller`.
    Controller,
    /// `kubectl-scaleset`.
    Plugin,
    /// `scaleset-hardware`.
    Hardware,
}

impl Program {
    const fn package(self) -> &'static str {
        match self {
            Self::Controller => "scaleset-controller",
            Self::Plugin => "scaleset-plugin",
            Self::Hardware => "scaleset-hardware-wire",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Controller => "scaleset-controller",
            Self::Plugin => "kubectl-scaleset",
            Self::Hardware => "scaleset-hardware",
        }
    }

    /// Path of its binary, which is built first where none stands ready.
    pub async fn binary(self) -> anyhow::Result<PathBuf> {
        static CONTROLLER: OnceCell<PathBuf> = OnceCell::const_new();
        static PLUGIN: OnceCell<PathBuf> = OnceCell::const_new();
        static HARDWARE: OnceCell<PathBuf> = OnceCell::const_new();
        if let Some(folder) = env::var_os("SCALESET_PROGRAMS") {
            return Ok(Path::new(&folder).join(self.name()));
        }
        let built = match self {
            Self::Controller => &CONTROLLER,
            Self::Plugin => &PLUGIN,
            Self::Hardware => &HARDWARE,
        };
        let make = async || tokio::task::spawn_blocking(move || build(self.package())).await?;
        Ok(built.get_or_try_init(make).await?.clone())
    }
}

/// What the programs of the image have as well (hack/xtask).
fn as_in_the_image(package: &str) -> &'static [&'static str] {
    if package == Program::Controller.package() { &["--release", "--features", "jemalloc"] } else { &["--release"] }
}

fn build(package: &str) -> anyhow::Result<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
    }
    let output = cargo()
        .args(["build", "--package", package, "--bins"])
        .arg("--message-format=json-render-diagnostics")
        .args(if cfg!(debug_assertions) { &[][..] } else { as_in_the_image(package) })
        .stderr(Stdio::inherit())
        .output()
        .context("cargo could not be run")?;
    if !output.status.success() {
        bail!("{package} could not be built");
    }
    let messages = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Message>();
    let executable = messages.filter_map(Result::ok).filter_map(|message| message.executable).last();
    executable.with_context(|| format!("cargo names no executable of {package}"))
}
