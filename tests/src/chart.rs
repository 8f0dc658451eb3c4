//! The charts as helm sees them.

pub mod golden;
pub mod kustomize;
pub mod rights;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use scaleset_control_plane::binaries::Binaries;
use serde_json::Value;
use tempfile::TempDir;

use crate::local::cluster::workspace;

/// Name of the release in tests, as the documents have it.
pub const RELEASE: &str = "scaleset-controller";
/// Its namespace.
pub const NAMESPACE: &str = "scaleset-system";

/// A chart of this checkout.
#[derive(Clone, Copy, Debug)]
pub enum Chart {
    /// `charts/scaleset-crds`.
    Definitions,
    /// `charts/scaleset-controller`.
    Controller,
}

impl Chart {
    /// Its folder.
    pub fn path(self) -> PathBuf {
        workspace().join("charts").join(match self {
            Self::Definitions => "scaleset-crds",
            Self::Controller => "scaleset-controller",
        })
    }
}

/// The helm of the control plane's programs; what it keeps goes with this.
#[derive(Debug)]
pub struct Helm {
    program: PathBuf,
    kubeconfig: Option<PathBuf>,
    home: TempDir,
}

impl Helm {
    /// Helm without a cluster, for rendering.
    pub fn offline() -> anyhow::Result<Self> {
        let binaries = Binaries::locate()?;
        binaries.ensure(|_| {})?;
        Ok(Self { program: binaries.path("helm"), kubeconfig: None, home: tempfile::tempdir()? })
    }

    /// Helm as administrator of a cluster.
    pub fn of_cluster(kubeconfig: PathBuf) -> anyhow::Result<Self> {
        Ok(Self { kubeconfig: Some(kubeconfig), ..Self::offline()? })
    }

    /// What it printed; where it failed, what it said on both channels.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.program);
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(variable, self.home.path());
        }
        match &self.kubeconfig {
            Some(kubeconfig) => command.env("KUBECONFIG", kubeconfig),
            None => command.env_remove("KUBECONFIG"),
        };
        let output = command.args(arguments).output().with_context(|| self.program.display().to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (said, complained) = (text(&output.stdout), text(&output.stderr));
        ensure!(output.status.success(), "helm {}: {said}{complained}", arguments.join(" "));
        Ok(said)
    }

    /// The manifests of a chart with values beside its own, as text, hooks included.
    pub fn render(&self, chart: Chart, values: &Value) -> anyhow::Result<String> {
        self.render_in(NAMESPACE, chart, values)
    }

    /// The same for a release in another namespace.
    pub fn render_in(&self, namespace: &str, chart: Chart, values: &Value) -> anyhow::Result<String> {
        let file = values_file(values)?;
        let (path, values) = (chart.path().display().to_string(), file.path().display().to_string());
        self.run(&["template", RELEASE, &path, "--namespace", namespace, "--values", &values])
    }

    /// The manifests as objects.
    pub fn objects(&self, chart: Chart, values: &Value) -> anyhow::Result<Vec<Value>> {
        self.objects_in(NAMESPACE, chart, values)
    }

    /// The same for a release in another namespace.
    pub fn objects_in(&self, namespace: &str, chart: Chart, values: &Value) -> anyhow::Result<Vec<Value>> {
        let text = self.render_in(namespace, chart, values)?;
        let mut objects: Vec<Value> = serde_saphyr::from_multiple(&text).context("what helm renders")?;
        objects.retain(|object| !object.is_null());
        Ok(objects)
    }
}

/// Values in a file that goes when this is dropped.
pub fn values_file(values: &Value) -> anyhow::Result<tempfile::NamedTempFile> {
    use std::io::Write;
    let mut file = tempfile::Builder::new().suffix(".json").tempfile()?;
    file.write_all(values.to_string().as_bytes())?;
    Ok(file)
}
