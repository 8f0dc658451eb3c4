//! What is done to a cluster through kubectl.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use scaleset_control_plane::binaries::Binaries;
use scaleset_control_plane::workspace_root;

const KINDS: [&str; 3] = ["scalesets", "scalesetvms", "flexvms"];
/// The user that the controller is, wherever it runs from here; its rights are in `controller/manifests`.
pub(crate) const CONTROLLER_USER: &str = "scaleset-controller";

/// kubectl with a kubeconfig.
pub(crate) struct Cluster {
    kubectl: PathBuf,
    pub(crate) kubeconfig: PathBuf,
}

impl Cluster {
    pub(crate) fn new(kubeconfig: PathBuf) -> anyhow::Result<Self> {
        Ok(Self { kubectl: Binaries::locate()?.path("kubectl"), kubeconfig })
    }

    /// What kubectl printed; its error where it failed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.kubectl)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            // The cache in the user's home is for the user's clusters.
            .arg("--cache-dir")
            .arg(workspace_root().join(".run/kubectl-cache"))
            .args(arguments)
            .output()
            .with_context(|| format!("{} could not be run", self.kubectl.display()))?;
        if !output.status.success() {
            bail!("kubectl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What tells this cluster from every other one: the uid of its oldest namespace.
    pub(crate) fn uid(&self) -> anyhow::Result<String> {
        let path = "jsonpath={.metadata.uid}";
        self.kubectl(&["get", "namespace", "kube-system", "--request-timeout=10s", "-o", path])
    }

    /// Installs definitions, admission policy and the controller's rights, and waits until the kinds are served.
    pub(crate) fn install(&self) -> anyhow::Result<()> {
        for directory in ["crds/manifests", "controller/manifests"] {
            let directory = workspace_root().join(directory).display().to_string();
            self.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &directory])?;
        }
        for kind in KINDS {
            let name = format!("customresourcedefinition/{kind}.compute.scaleset.io");
            self.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", &name])?;
        }
        Ok(())
    }

    pub(crate) fn apply_samples(&self) -> anyhow::Result<()> {
        let directory = workspace_root().join("hack/samples").display().to_string();
        print!("{}", self.kubectl(&["apply", "-f", &directory])?);
        Ok(())
    }

    /// A kubeconfig for a cluster that is not ours: the given one, impersonating the controller's user, so that the
    /// controller has its own rights there as well.
    pub(crate) fn impersonating_kubeconfig(&self, path: &Path) -> anyhow::Result<()> {
        let text = self.kubectl(&["config", "view", "--raw", "--flatten", "--minify", "-o", "json"])?;
        let mut config: serde_json::Value =
            serde_json::from_str(&text).context("kubectl config view printed no JSON")?;
        for user in config["users"].as_array_mut().into_iter().flatten() {
            user["user"]["as"] = CONTROLLER_USER.into();
        }
        std::fs::write(path, config.to_string()).with_context(|| path.display().to_string())
    }
}
