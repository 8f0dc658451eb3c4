//! What is done to a cluster through kubectl.

use std::path::{Path, PathBuf};

use anyhow::Context;
use scaleset_control_plane::{Kubectl, workspace_root};

use crate::say::part;

/// The user that the controller is, wherever it runs from here; its rights are in `controller/manifests`.
pub(crate) const CONTROLLER_USER: &str = "scaleset-controller";

/// A cluster, as the identity of a kubeconfig.
pub(crate) struct Cluster(Kubectl);

impl Cluster {
    pub(crate) fn new(kubeconfig: PathBuf) -> anyhow::Result<Self> {
        Ok(Self(Kubectl::new(kubeconfig, workspace_root().join(".run/kubectl-cache"))?))
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        self.0.kubeconfig()
    }

    /// What kubectl printed; its error where it failed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        Ok(self.0.run(arguments)?)
    }

    /// What tells this cluster from every other one: the uid of its oldest namespace.
    pub(crate) fn uid(&self) -> anyhow::Result<String> {
        let path = "jsonpath={.metadata.uid}";
        self.kubectl(&["get", "namespace", "kube-system", "--request-timeout=10s", "-o", path])
    }

    /// Installs definitions, admission policy and the controller's rights, and waits until the kinds are served.
    pub(crate) fn install(&self) -> anyhow::Result<()> {
        Ok(self.0.install()?)
    }

    pub(crate) fn apply_samples(&self) -> anyhow::Result<()> {
        let directory = workspace_root().join("hack/samples").display().to_string();
        part(self.kubectl(&["apply", "-f", &directory])?);
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
