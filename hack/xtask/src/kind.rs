//! `make kind`: the same for machines that cannot be a node themselves but have a container engine.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use scaleset_control_plane::workspace_root;

use crate::image;
use crate::say::say;

const CLUSTER: &str = "scaleset";

/// Creates the cluster where it is not there, and loads our image.
pub(crate) fn up() -> anyhow::Result<()> {
    look()?;
    let image = image::make(&image::default_directory())?;
    let clusters = Command::new("kind").args(["get", "clusters"]).output().context("kind could not be run")?;
    let there = String::from_utf8_lossy(&clusters.stdout).lines().any(|name| name == CLUSTER);
    if there {
        say(format_args!("the cluster {CLUSTER} is there already"));
    } else {
        let settings = workspace_root().join("hack/kind.yaml").display().to_string();
        kind(&["create", "cluster", "--name", CLUSTER, "--config", &settings, "--wait", "120s"])?;
    }
    kind(&["load", "image-archive", "--name", CLUSTER, &image.archive.display().to_string()])?;
    say(format_args!("ready: kubectl --context kind-{CLUSTER}; `kind delete cluster --name {CLUSTER}` ends it"));
    Ok(())
}

/// Fails with what is missing, and how to get it.
fn look() -> anyhow::Result<()> {
    let runs = |program: &str, argument: &str| {
        let told = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
        told.is_ok_and(|status| status.success())
    };
    let mut missing = Vec::new();
    if !runs("kind", "version") {
        missing.push("kind: `go install sigs.k8s.io/kind@latest`");
    }
    if !runs("docker", "info") && !runs("podman", "info") {
        missing.push("a container engine that runs: Docker or Podman; without one, `make node` as root on Linux");
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!("something is missing:\n  - {}", missing.join("\n  - "));
}

fn kind(arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("kind").args(arguments).status().context("kind could not be run")?;
    if !status.success() {
        bail!("kind {} failed", arguments.join(" "));
    }
    Ok(())
}
