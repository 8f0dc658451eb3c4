//! A control plane with what `make up` installs in it.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use scaleset_control_plane::binaries::Binaries;
use scaleset_control_plane::{ControlPlane, Node, NodeOptions, NodePrograms, Options};
use scaleset_crds::FIELD_MANAGER;

use super::audit;
use super::product::Mode;
use super::release::{self, image_archive};
use crate::chart::Helm;

/// A control plane of its own, with a node where the product is a release; it ends when this is dropped, or with the
/// process.
#[derive(Debug)]
pub struct LocalCluster {
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Nothing runs in it.
    Plane(Box<ControlPlane>),
    /// Pods run in it.
    Node(Box<Node>),
}

impl LocalCluster {
    /// A control plane that knows none of our kinds.
    pub fn bare() -> anyhow::Result<Self> {
        Self::bare_with(&[])
    }

    /// The same with further flags of the API server.
    pub fn bare_with(api_server_flags: &[&str]) -> anyhow::Result<Self> {
        Binaries::locate()?.ensure(|_| {})?;
        let mut api_server_arguments = audit::api_server_arguments()?;
        api_server_arguments.extend(api_server_flags.iter().map(ToString::to_string));
        let options = Options { api_server_arguments, ..Options::default() };
        Ok(Self { place: Place::Plane(Box::new(ControlPlane::start(options)?)) })
    }

    /// A control plane with a node that has the product's image, and that knows none of our kinds.
    pub fn with_node() -> anyhow::Result<Self> {
        let image = image_archive()?;
        NodePrograms::locate()?.ensure(|_| {})?;
        let node = Node::start(NodeOptions { directory: None, api_server_arguments: audit::api_server_arguments()? })?;
        node.load_images(&image)?;
        Ok(Self { place: Place::Node(Box::new(node)) })
    }

    /// What the product under test is installed in: for a process, what it needs is there already; a release brings it.
    pub fn for_product() -> anyhow::Result<Self> {
        match Mode::of_environment()? {
            Mode::Process => Self::installed(),
            Mode::Chart => Self::with_node(),
        }
    }

    /// A control plane that serves our kinds, guards instances and has the controller's role.
    pub fn installed() -> anyhow::Result<Self> {
        Self::installed_in(Self::bare()?)
    }

    /// The same, whose API server writes what the controller asks for into that file.
    pub fn installed_with_audit(log: &Path) -> anyhow::Result<Self> {
        Binaries::locate()?.ensure(|_| {})?;
        let options = Options { api_server_arguments: audit::arguments(log), ..Options::default() };
        Self::installed_in(Self { place: Place::Plane(Box::new(ControlPlane::start(options)?)) })
    }

    fn installed_in(cluster: Self) -> anyhow::Result<Self> {
        cluster.install()?;
        Ok(cluster)
    }

    /// Installs definitions, guard and role: from the committed manifests, or from the charts where pods run.
    pub fn install(&self) -> anyhow::Result<()> {
        match &self.place {
            Place::Plane(plane) => Ok(plane.install()?),
            Place::Node(node) => release::install_definitions(&Helm::of_cluster(node.plane().admin_kubeconfig())?),
        }
    }

    /// The control plane itself.
    pub fn plane(&self) -> &ControlPlane {
        match &self.place {
            Place::Plane(plane) => plane,
            Place::Node(node) => node.plane(),
        }
    }

    /// The user that the controller is to the API server.
    pub const fn controller_user(&self) -> &'static str {
        match &self.place {
            Place::Plane(_) => FIELD_MANAGER,
            Place::Node(_) => release::USER,
        }
    }

    /// What kubectl printed as administrator; its error where it failed.
    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        Ok(self.plane().kubectl(arguments)?)
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
        client_from(&self.plane().admin_kubeconfig()).await
    }

    /// The kubeconfig of the controller's own user, who has the rights of its role and no others.
    pub fn controller_kubeconfig(&self) -> anyhow::Result<PathBuf> {
        Ok(self.plane().kubeconfig_for(FIELD_MANAGER, &[])?)
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
