//! kubectl with one identity, and what is installed through it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binaries::Binaries;
use crate::error::ControlPlaneError;
use crate::workspace::workspace_root;

const DEFINITIONS: [&str; 3] = ["scalesets", "scalesetvms", "flexvms"];

/// kubectl with a kubeconfig.
#[derive(Clone, Debug)]
pub struct Kubectl {
    pub(crate) program: PathBuf,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) cache: PathBuf,
}

impl Kubectl {
    /// The kubectl of the control plane's programs, as the identity of `kubeconfig`. What it caches goes to `cache`:
    /// the cache in the user's home is for the user's clusters.
    pub fn new(kubeconfig: PathBuf, cache: PathBuf) -> Result<Self, ControlPlaneError> {
        Ok(Self { program: Binaries::locate()?.path("kubectl"), kubeconfig, cache })
    }

    /// Whose identity it has.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// What it printed; where it failed, what it complained of.
    pub fn run(&self, arguments: &[&str]) -> Result<String, ControlPlaneError> {
        let Self { program, kubeconfig, cache } = self;
        let output = Command::new(program)
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .arg("--cache-dir")
            .arg(cache)
            .args(arguments)
            .output()
            .map_err(|source| ControlPlaneError::Run { program: program.display().to_string(), source })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(ControlPlaneError::Kubectl { arguments: arguments.join(" "), output: said })
    }

    /// Installs this checkout's definitions, admission policy and controller's rights, also over older ones, and waits
    /// until the kinds are served.
    pub fn install(&self) -> Result<(), ControlPlaneError> {
        for directory in ["crds/manifests", "controller/manifests"] {
            let directory = workspace_root().join(directory).display().to_string();
            self.run(&["apply", "--server-side", "--force-conflicts", "-f", &directory])?;
        }
        for definition in DEFINITIONS {
            let name = format!("customresourcedefinition/{definition}.compute.scaleset.io");
            self.run(&["wait", "--for=condition=Established", "--timeout=60s", &name])?;
        }
        Ok(())
    }
}
