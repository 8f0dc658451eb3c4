//! The Go modules below `hack/` that pin programs, and which of them the Kubernetes version that is asked for comes from.
//!
//! `KUBERNETES=1.37.2` in the environment asks for a version; without it the newest is taken. A version is known by the
//! module that pins it, so that nothing names it twice.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::error::{ControlPlaneError, file};
use crate::workspace::workspace_root;

/// Names the version of Kubernetes to build and to start.
pub const VERSION_VARIABLE: &str = "KUBERNETES";
const KUBERNETES: &str = "k8s.io/kubernetes";

/// A Go module of this checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Module {
    /// The control plane with the newest Kubernetes, and what does not depend on its version.
    ControlPlane,
    /// The oldest Kubernetes that is supported.
    OldestControlPlane,
    /// What runs containers on a node, and the programs of its images.
    Node,
    /// What deployment tools make of objects.
    ObjectHealth,
}

impl Module {
    /// Those that pin a version of Kubernetes, the one that is taken without being asked for first.
    pub const OF_KUBERNETES: [Self; 2] = [Self::ControlPlane, Self::OldestControlPlane];

    /// Where it is.
    pub fn directory(self) -> PathBuf {
        let name = match self {
            Self::ControlPlane => "control-plane",
            Self::OldestControlPlane => "control-plane-oldest",
            Self::Node => "node",
            Self::ObjectHealth => "object-health",
        };
        workspace_root().join("hack").join(name)
    }

    /// The one with the Kubernetes that the environment asks for.
    pub fn of_kubernetes() -> Result<Self, ControlPlaneError> {
        match asked() {
            Some(asked) => Self::with_kubernetes(&asked),
            None => Ok(Self::ControlPlane),
        }
    }

    fn with_kubernetes(asked: &str) -> Result<Self, ControlPlaneError> {
        let mut pinned = Vec::new();
        for module in Self::OF_KUBERNETES {
            let version = module.kubernetes_version()?;
            if version == asked.trim_start_matches('v') {
                return Ok(module);
            }
            pinned.push(version);
        }
        Err(ControlPlaneError::Kubernetes { asked: asked.to_owned(), pinned: pinned.join(" and ") })
    }

    /// The version of Kubernetes that it pins, as in `1.37.2`; empty where it pins none.
    pub fn kubernetes_version(self) -> Result<String, ControlPlaneError> {
        let path = self.directory().join("go.mod");
        let text = fs::read_to_string(&path).map_err(file(&path))?;
        let required = text.lines().find_map(|line| line.trim().strip_prefix(KUBERNETES)?.strip_prefix(" v"));
        Ok(required.and_then(|rest| rest.split_whitespace().next()).unwrap_or_default().to_owned())
    }

    /// What distinguishes its programs from those of other versions and of another Go.
    pub(crate) fn cache_key(self, go_version: &str) -> Result<String, ControlPlaneError> {
        let mut hash = Sha256::new();
        for name in ["go.mod".to_owned(), "go.sum".to_owned()].into_iter().chain(self.sources()?) {
            let path = self.directory().join(name);
            hash.update(fs::read(&path).map_err(file(&path))?);
        }
        hash.update(go_version);
        let mut key = String::new();
        for byte in hash.finalize().iter().take(8) {
            write!(key, "{byte:02x}").expect("writing to a string does not fail");
        }
        Ok(key)
    }

    /// Its own source files by their paths in it, sorted; most modules only pin others.
    fn sources(self) -> Result<Vec<String>, ControlPlaneError> {
        let (mut sources, mut directories) = (Vec::new(), vec![self.directory()]);
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).map_err(file(&directory))? {
                let path = entry.map_err(file(&directory))?.path();
                if path.is_dir() {
                    directories.push(path);
                } else if path.extension().is_some_and(|extension| extension == "go") {
                    let below = path.strip_prefix(self.directory()).expect("it was found below");
                    sources.push(below.to_string_lossy().into_owned());
                }
            }
        }
        sources.sort();
        Ok(sources)
    }
}

/// The version that the environment asks for.
pub(crate) fn asked() -> Option<String> {
    std::env::var(VERSION_VARIABLE).ok().filter(|version| !version.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_by_the_module_that_pins_it() {
        for module in Module::OF_KUBERNETES {
            let version = module.kubernetes_version().unwrap();
            assert!(version.starts_with("1."), "{version:?}");
            assert_eq!(Module::with_kubernetes(&version).unwrap(), module);
            assert_eq!(Module::with_kubernetes(&format!("v{version}")).unwrap(), module);
        }
        let refusal = Module::with_kubernetes("1.2.3").unwrap_err().to_string();
        assert!(refusal.starts_with("KUBERNETES=1.2.3 is not pinned here: it may be 1."), "{refusal}");
    }

    #[test]
    fn the_oldest_version_is_the_one_that_is_promised_and_tested() {
        let oldest = Module::OldestControlPlane.kubernetes_version().unwrap();
        let minor = oldest.rsplit_once('.').unwrap().0;
        for (file, words) in [
            ("Makefile", format!("test KUBERNETES={oldest}\n")),
            ("docs/control-plane.md", format!("make test KUBERNETES={oldest}\n")),
            ("CONTRIBUTING.md", format!("`make test KUBERNETES={oldest}` ")),
            ("charts/scaleset-crds/Chart.yaml", format!("kubeVersion: \">={minor}.0-0\"\n")),
        ] {
            let text = fs::read_to_string(workspace_root().join(file)).unwrap();
            assert!(text.contains(&words), "{file} does not say {words:?}");
        }
    }

    #[test]
    fn programs_of_another_source_or_another_go_have_another_place() {
        let key = |module: Module, go: &str| module.cache_key(go).unwrap();
        let all = [Module::ControlPlane, Module::OldestControlPlane, Module::Node, Module::ObjectHealth];
        let mut keys: Vec<String> = all.iter().map(|module| key(*module, "go1.26.8")).collect();
        keys.push(key(Module::ControlPlane, "go1.27.0"));
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 5);
        assert_eq!(Module::ObjectHealth.sources().unwrap(), ["lua.go", "main.go"]);
    }
}
