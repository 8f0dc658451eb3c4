//! The programs of the control plane: built once from the modules in `hack/` and kept in the user's cache directory
//! under the hash of `go.mod`, `go.sum`, the module's own sources and the Go version.
//!
//! A directory of ready programs named by `KUBEBUILDER_ASSETS` comes first, unless a version of Kubernetes is asked for;
//! only what it lacks is built. A program is
//! built under another name and renamed, so an interrupted build goes on where it stopped, and a lock file keeps two
//! builds apart. When everything has been built, Go is asked for its version only, and where the ready programs are
//! complete, for nothing: it need not be there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{ControlPlaneError, file};
use crate::module::{Module, asked};

const OUTPUT_BYTES_MAX: usize = 4_000;

/// One program of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binary {
    /// File name.
    pub name: &'static str,
    package: &'static str,
    /// How long its build takes on two cores when nothing is cached, in minutes.
    pub build_minutes: u32,
}

impl Binary {
    /// The module that pins it where Kubernetes comes from `kubernetes`.
    fn module(self, kubernetes: Module) -> Module {
        if self.package.starts_with("k8s.io/kubernetes/") {
            kubernetes
        } else if self == OBJECT_HEALTH {
            Module::ObjectHealth
        } else {
            Module::ControlPlane
        }
    }
}

/// Says what deployment tools make of objects; tests ask it, no cluster needs it.
pub const OBJECT_HEALTH: Binary = Binary { name: "object-health", package: ".", build_minutes: 1 };

/// Every program of a control plane, in the order in which they are built.
pub const BINARIES: [Binary; 5] = [
    Binary { name: "etcd", package: "go.etcd.io/etcd/server/v3", build_minutes: 1 },
    Binary { name: "kube-apiserver", package: "k8s.io/kubernetes/cmd/kube-apiserver", build_minutes: 7 },
    Binary {
        name: "kube-controller-manager",
        package: "k8s.io/kubernetes/cmd/kube-controller-manager",
        build_minutes: 2,
    },
    Binary { name: "kubectl", package: "k8s.io/kubernetes/cmd/kubectl", build_minutes: 1 },
    Binary { name: "helm", package: "helm.sh/helm/v4/cmd/helm", build_minutes: 1 },
];

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// Looked in first.
    assets: Option<PathBuf>,
    /// Where they are built, by module; empty where `assets` has them all.
    caches: BTreeMap<Module, PathBuf>,
    /// Where Kubernetes comes from.
    kubernetes: Module,
}

/// What a build tells while it goes on.
#[derive(Clone, Debug)]
pub enum Progress<'build> {
    /// These programs are missing and will be built into that directory.
    Planned {
        /// The programs.
        missing: &'build [Binary],
        /// The directory.
        directory: &'build Path,
    },
    /// Another process is building; this one waits for it.
    WaitingForLock,
    /// This program is being built, for so long already.
    Building {
        /// The program.
        binary: Binary,
        /// Since its build began.
        elapsed: Duration,
    },
    /// This program has been built.
    Built {
        /// The program.
        binary: Binary,
        /// How long it took.
        elapsed: Duration,
    },
}

impl Binaries {
    /// Finds out where the programs are, or will be.
    pub fn locate() -> Result<Self, ControlPlaneError> {
        let kubernetes = Module::of_kubernetes()?;
        // Ready programs are of some version, not of the one that is asked for.
        let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from).filter(|_| asked().is_none());
        Self::beside(assets, kubernetes, || caches([Module::ControlPlane, kubernetes]))
    }

    fn beside(
        assets: Option<PathBuf>,
        kubernetes: Module,
        caches: impl FnOnce() -> Result<BTreeMap<Module, PathBuf>, ControlPlaneError>,
    ) -> Result<Self, ControlPlaneError> {
        let holds_all = |assets: &PathBuf| BINARIES.iter().all(|binary| assets.join(binary.name).is_file());
        let caches = if assets.as_ref().is_some_and(holds_all) { BTreeMap::new() } else { caches()? };
        Ok(Self { assets, caches, kubernetes })
    }

    /// The program's path; it may not have been built yet.
    pub fn path(&self, name: &str) -> PathBuf {
        let binary = BINARIES.into_iter().find(|binary| binary.name == name);
        let cache = binary.and_then(|binary| self.caches.get(&binary.module(self.kubernetes)));
        let mut path = PathBuf::from(name);
        for directory in self.assets.iter().chain(cache) {
            path = directory.join(name);
            if path.is_file() {
                break;
            }
        }
        path
    }

    /// The programs that are not there.
    pub fn missing(&self) -> Vec<Binary> {
        BINARIES.into_iter().filter(|binary| !self.path(binary.name).is_file()).collect()
    }

    /// Builds what is missing, telling `progress` about once a second.
    pub fn ensure(&self, mut progress: impl FnMut(Progress<'_>)) -> Result<(), ControlPlaneError> {
        for (module, cache) in &self.caches {
            let missing = || -> Vec<Binary> {
                self.missing().into_iter().filter(|binary| binary.module(self.kubernetes) == *module).collect()
            };
            ensure_in(cache, *module, missing, &mut progress)?;
        }
        Ok(())
    }
}

/// Builds [`OBJECT_HEALTH`] where it is missing, and answers where it is.
pub fn object_health(mut progress: impl FnMut(Progress<'_>)) -> Result<PathBuf, ControlPlaneError> {
    let module = Module::ObjectHealth;
    let cache = cache_root()?.join(module.cache_key(&go_version()?)?);
    let path = cache.join(OBJECT_HEALTH.name);
    let missing = || if path.is_file() { Vec::new() } else { vec![OBJECT_HEALTH] };
    ensure_in(&cache, module, missing, &mut progress)?;
    Ok(path)
}

/// Builds what is missing of a module; of two that do so at once the second waits and finds nothing missing.
fn ensure_in(
    cache: &Path,
    module: Module,
    missing: impl Fn() -> Vec<Binary>,
    progress: &mut impl FnMut(Progress<'_>),
) -> Result<(), ControlPlaneError> {
    if missing().is_empty() {
        return Ok(());
    }
    fs::create_dir_all(cache).map_err(file(cache))?;
    let lock_path = cache.join(".lock");
    let lock = File::create(&lock_path).map_err(file(&lock_path))?;
    if lock.try_lock().is_err() {
        progress(Progress::WaitingForLock);
        lock.lock().map_err(file(&lock_path))?;
    }
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    progress(Progress::Planned { missing: &missing, directory: cache });
    for binary in missing {
        build(binary, module, cache, progress)?;
    }
    Ok(())
}

fn build(
    binary: Binary,
    module: Module,
    cache: &Path,
    progress: &mut impl FnMut(Progress<'_>),
) -> Result<(), ControlPlaneError> {
    let unfinished = cache.join(format!(".{}.unfinished", binary.name));
    let started = Instant::now();
    let version = module.kubernetes_version()?;
    let flags = format!("-s -w -X k8s.io/component-base/version.gitVersion=v{version}");
    let mut build = Command::new("go")
        .args(["build", "-trimpath", "-ldflags", &flags, "-o"])
        .arg(&unfinished)
        .arg(binary.package)
        .current_dir(module.directory())
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=readonly")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| ControlPlaneError::Run { program: "go".to_owned(), source })?;
    let output = watch(&mut build, |elapsed| progress(Progress::Building { binary, elapsed }))?;
    if let Some(output) = output {
        return Err(ControlPlaneError::Build { binary: binary.name, seconds: started.elapsed().as_secs(), output });
    }
    let finished = cache.join(binary.name);
    fs::rename(&unfinished, &finished).map_err(file(&finished))?;
    progress(Progress::Built { binary, elapsed: started.elapsed() });
    Ok(())
}

/// Waits for a build; what it said where it failed.
fn watch(build: &mut Child, mut tell: impl FnMut(Duration)) -> Result<Option<String>, ControlPlaneError> {
    let mut stderr = build.stderr.take().expect("stderr is piped");
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        // A broken pipe only shortens what is shown.
        let _ = stderr.read_to_end(&mut said);
        said
    });
    let started = Instant::now();
    let mut told = Duration::ZERO;
    let status = loop {
        if let Some(status) =
            build.try_wait().map_err(|source| ControlPlaneError::Run { program: "go".to_owned(), source })?
        {
            break status;
        }
        if started.elapsed() >= told + Duration::from_secs(1) {
            told = started.elapsed();
            tell(told);
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let said = reader.join().unwrap_or_default();
    if status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&said);
    let cut = said.len().saturating_sub(OUTPUT_BYTES_MAX);
    let start = (cut..said.len()).find(|index| said.is_char_boundary(*index)).unwrap_or(said.len());
    Ok(Some(said[start..].to_owned()))
}

/// Where the programs of each module are kept.
fn caches(modules: [Module; 2]) -> Result<BTreeMap<Module, PathBuf>, ControlPlaneError> {
    let (root, go_version) = (cache_root()?, go_version()?);
    let place = |module: Module| Ok((module, root.join(module.cache_key(&go_version)?)));
    modules.into_iter().map(place).collect()
}

fn cache_root() -> Result<PathBuf, ControlPlaneError> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")));
    let missing = || std::io::Error::new(std::io::ErrorKind::NotFound, "neither XDG_CACHE_HOME nor HOME is set");
    Ok(base.ok_or_else(missing).map_err(file("cache directory"))?.join("scaleset-control-plane"))
}

/// The version of the Go that would build, for example `go1.26.8`.
pub fn go_version() -> Result<String, ControlPlaneError> {
    let output = Command::new("go")
        .args(["env", "GOVERSION"])
        .current_dir(Module::ControlPlane.directory())
        .env("GOTOOLCHAIN", "local")
        .output()
        .map_err(|source| ControlPlaneError::Run {
            program: "go (1.26 or newer, from go.dev/dl)".to_owned(),
            source,
        })?;
    let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !found.is_empty() {
        return Ok(found);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ControlPlaneError::Go {
        wanted: "1.26".to_owned(),
        found: if said.is_empty() { "nothing".to_owned() } else { said },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{BINARIES, Binaries, Module};

    #[test]
    fn complete_ready_made_programs_ask_nothing_of_go() {
        let assets = tempfile::tempdir().unwrap();
        let directory = || Some(assets.path().to_owned());
        let (last, others) = BINARIES.split_last().unwrap();
        for binary in others {
            std::fs::write(assets.path().join(binary.name), "").unwrap();
        }
        let cache = assets.path().join("cache");
        let caches = || Ok(BTreeMap::from([(Module::ControlPlane, cache.clone())]));
        let incomplete = Binaries::beside(directory(), Module::ControlPlane, caches).unwrap();
        assert_eq!(incomplete.missing(), [*last]);
        assert_eq!(incomplete.path(last.name), cache.join(last.name));
        assert_eq!(incomplete.path("etcd"), assets.path().join("etcd"));
        std::fs::write(assets.path().join(last.name), "").unwrap();
        let complete = Binaries::beside(directory(), Module::ControlPlane, || panic!("Go was asked")).unwrap();
        assert_eq!(complete.missing(), []);
        complete.ensure(|progress| panic!("{progress:?}")).unwrap();
    }

    #[test]
    fn only_kubernetes_comes_from_the_module_of_its_version() {
        let caches = [(Module::ControlPlane, "/newest".into()), (Module::OldestControlPlane, "/oldest".into())];
        let oldest = Binaries::beside(None, Module::OldestControlPlane, || Ok(BTreeMap::from(caches))).unwrap();
        for (name, path) in [
            ("etcd", "/newest/etcd"),
            ("helm", "/newest/helm"),
            ("kube-apiserver", "/oldest/kube-apiserver"),
            ("kubectl", "/oldest/kubectl"),
        ] {
            assert_eq!(oldest.path(name).to_str(), Some(path));
        }
    }
}
