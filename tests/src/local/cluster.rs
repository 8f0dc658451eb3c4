//! A control plane with what `make up` installs in it.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use scaleset_control_plane::binaries::Binaries;
use scaleset_control_plane::{ControlPlane, Options};
use scaleset_crds::FIELD_MANAGER;

/// A control plane of its own; it ends when this is dropped, or with the process.
#[derive(Debug)]
pub struct LocalCluster {
    plane: ControlPlane,
}

impl LocalCluster {
    /// A control plane that knows none of our kinds.
    pub fn bare() -> anyhow::Result<Self> {
        Binaries::locate()?.ensure(|_| {})?;
        Ok(Self { plane: ControlPlane::start(Options::default())? })
    }

    /// A control plane that serves our kinds, guards instances and has the controller's role.
    pub fn installed() -> anyhow::Result<Self> {
        let cluster = Self::bare()?;
        cluster.install()?;
        Ok(cluster)
    }

    /// Installs definitions, guard and role from the committed manifests.
    pub fn install(&self) -> anyhow::Result<()> {
        Ok(self.plane.install()?)
    }

    /// The control plane itself.
    pub const fn plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// What kubectl printed as administrator; its error where it failed.
    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        Ok(self.plane.kubectl(arguments)?)
    }

    /// `kubectl` with a manifest as its file.
    pub fn kubectl_with(&self, arguments: &[&str], manifest: &str) -> anyhow::Result<String> {
        let mut file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
        file.write_all(manifest.as_bytes())?;
        let path = file.path().display().to_string();
        self.kubectl(&[arguments, &["-f", &path]].concat())
    }

    /// A client of the administrator.
    pub async fn client(&self) -> anyhow::Result<Client> {
        client_from(&self.plane.admin_kubeconfig()).await
    }

    /// The kubeconfig of the controller's own user, who has the rights of its role and no others.
    pub fn controller_kubeconfig(&self) -> anyhow::Result<PathBuf> {
        Ok(self.plane.kubeconfig_for(FIELD_MANAGER, &[])?)
    }
}

/// The root of the checkout.
pub fn workspace() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().unwrap_or(root)
}

/// A client with the identity of a kubeconfig.
pub async fn client_from(kubeconfig: &Path) -> anyhow::Result<Client> {
    let text = Kubeconfig::read_from(kubeconfig).with_context(|| kubeconfig.display().to_string())?;
    Ok(Client::try_from(Config::from_custom_kubeconfig(text, &KubeConfigOptions::default()).await?)?)
}
