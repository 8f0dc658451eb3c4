//! The programs of the control plane and of the node: built once from the Go modules in `hack/` and kept in the user's
//! cache directory under the hash of the module's sources and the Go version.
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

/// One program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binary {
    /// File name.
    pub name: &'static str,
    package: &'static str,
    /// How long its build takes on two cores when nothing is cached, in minutes.
    pub build_minutes: u32,
}

/// Every program of the control plane, in the order in which they are built.
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

/// What of Kubernetes runs on a node and beside it, from the module of the control plane.
const NODE_BINARIES: [Binary; 3] = [
    Binary { name: "kube-scheduler", package: "k8s.io/kubernetes/cmd/kube-scheduler", build_minutes: 1 },
    Binary { name: "kubelet", package: "k8s.io/kubernetes/cmd/kubelet", build_minutes: 2 },
    Binary { name: "kube-proxy", package: "k8s.io/kubernetes/cmd/kube-proxy", build_minutes: 1 },
];

/// What runs containers, what answers for names, and the programs of the images that every node needs.
const RUNTIME_BINARIES: [Binary; 6] = [
    Binary { name: "containerd", package: "github.com/containerd/containerd/v2/cmd/containerd", build_minutes: 2 },
    Binary {
        name: "containerd-shim-runc-v2",
        package: "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        build_minutes: 1,
    },
    Binary { name: "ctr", package: "github.com/containerd/containerd/v2/cmd/ctr", build_minutes: 1 },
    Binary { name: "cluster-dns", package: "./dns", build_minutes: 3 },
    Binary { name: "pause", package: "./pause", build_minutes: 1 },
    Binary { name: "probe", package: "./probe", build_minutes: 1 },
];

/// Says what deployment tools make of objects; tests ask it, no cluster needs it.
const OBJECT_HEALTH: Binary = Binary { name: "object-health", package: ".", build_minutes: 1 };

/// Programs that are needed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramSet {
    /// [`BINARIES`].
    ControlPlane,
    /// kubelet, kube-proxy, kube-scheduler.
    Node,
    /// containerd, its shim and its client, the name server, and the programs of the images `pause` and `probe`.
    Runtime,
    /// What tells how deployment tools read objects.
    ObjectHealth,
}

impl ProgramSet {
    /// The programs, in the order in which they are built.
    pub const fn programs(self) -> &'static [Binary] {
        match self {
            Self::ControlPlane => &BINARIES,
            Self::Node => &NODE_BINARIES,
            Self::Runtime => &RUNTIME_BINARIES,
            Self::ObjectHealth => &[OBJECT_HEALTH],
        }
    }

    /// The module that pins one of them where Kubernetes comes from `kubernetes`.
    fn module(self, binary: Binary, kubernetes: Module) -> Module {
        match self {
            Self::ControlPlane | Self::Node if binary.package.starts_with("k8s.io/kubernetes/") => kubernetes,
            Self::ControlPlane | Self::Node => Module::ControlPlane,
            Self::Runtime => Module::Node,
            Self::ObjectHealth => Module::ObjectHealth,
        }
    }

    /// Every module that pins one of them.
    fn modules(self, kubernetes: Module) -> Vec<Module> {
        self.programs().iter().map(|binary| self.module(*binary, kubernetes)).collect()
    }

    /// File systems that nobody uses here would need C libraries.
    const fn build_tags(self) -> &'static str {
        match self {
            Self::ControlPlane | Self::Node | Self::ObjectHealth => "",
            Self::Runtime => "no_btrfs,no_devmapper,no_zfs",
        }
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Binaries {
    set: ProgramSet,
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
    /// Finds out where the programs of the control plane are, or will be.
    pub fn locate() -> Result<Self, ControlPlaneError> {
        Self::of(ProgramSet::ControlPlane)
    }

    /// Finds out where the programs of a set are, or will be.
    pub fn of(set: ProgramSet) -> Result<Self, ControlPlaneError> {
        let kubernetes = Module::of_kubernetes()?;
        // Ready programs are of some version, not of the one that is asked for.
        let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from).filter(|_| asked().is_none());
        Self::beside(set, assets, kubernetes, || caches(set.modules(kubernetes)))
    }

    fn beside(
        set: ProgramSet,
        assets: Option<PathBuf>,
        kubernetes: Module,
        caches: impl FnOnce() -> Result<BTreeMap<Module, PathBuf>, ControlPlaneError>,
    ) -> Result<Self, ControlPlaneError> {
        let holds_all = |assets: &PathBuf| set.programs().iter().all(|binary| assets.join(binary.name).is_file());
        let caches = if assets.as_ref().is_some_and(holds_all) { BTreeMap::new() } else { caches()? };
        Ok(Self { set, assets, caches, kubernetes })
    }

    /// The program's path; it may not have been built yet.
    pub fn path(&self, name: &str) -> PathBuf {
        let binary = self.set.programs().iter().find(|binary| binary.name == name);
        let cache = binary.and_then(|binary| self.caches.get(&self.set.module(*binary, self.kubernetes)));
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
        self.set.programs().iter().copied().filter(|binary| !self.path(binary.name).is_file()).collect()
    }

    fn missing_of(&self, module: Module) -> Vec<Binary> {
        let mut missing = self.missing();
        missing.retain(|binary| self.set.module(*binary, self.kubernetes) == module);
        missing
    }

    /// Builds what is missing, telling `progress` about once a second.
    pub fn ensure(&self, mut progress: impl FnMut(Progress<'_>)) -> Result<(), ControlPlaneError> {
        self.caches.iter().try_for_each(|(module, cache)| self.ensure_of(*module, cache, &mut progress))
    }

    /// Builds what is missing of a module; of two that do so at once the second waits and finds nothing missing.
    fn ensure_of(
        &self,
        module: Module,
        cache: &Path,
        progress: &mut impl FnMut(Progress<'_>),
    ) -> Result<(), ControlPlaneError> {
        if self.missing_of(module).is_empty() {
            return Ok(());
        }
        fs::create_dir_all(cache).map_err(file(cache))?;
        let lock_path = cache.join(".lock");
        let lock = File::create(&lock_path).map_err(file(&lock_path))?;
        if lock.try_lock().is_err() {
            progress(Progress::WaitingForLock);
            lock.lock().map_err(file(&lock_path))?;
        }
        let missing = self.missing_of(module);
        if missing.is_empty() {
            return Ok(());
        }
        progress(Progress::Planned { missing: &missing, directory: cache });
        for binary in missing {
            build(binary, (self.set, module), cache, progress)?;
        }
        Ok(())
    }
}

/// Builds what tells how deployment tools read objects where it is missing, and answers where it is.
pub fn object_health(progress: impl FnMut(Progress<'_>)) -> Result<PathBuf, ControlPlaneError> {
    let binaries = Binaries::of(ProgramSet::ObjectHealth)?;
    binaries.ensure(progress)?;
    Ok(binaries.path(OBJECT_HEALTH.name))
}

fn build(
    binary: Binary,
    (set, module): (ProgramSet, Module),
    cache: &Path,
    progress: &mut impl FnMut(Progress<'_>),
) -> Result<(), ControlPlaneError> {
    let unfinished = cache.join(format!(".{}.unfinished", binary.name));
    let started = Instant::now();
    let version = module.kubernetes_version()?;
    let flags = format!("-s -w -X k8s.io/component-base/version.gitVersion=v{version}");
    let mut build = Command::new("go")
        .args(["build", "-trimpath", "-tags", set.build_tags(), "-ldflags", &flags, "-o"])
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
fn caches(modules: Vec<Module>) -> Result<BTreeMap<Module, PathBuf>, ControlPlaneError> {
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

    use super::{BINARIES, Binaries, Module, ProgramSet};

    #[test]
    fn complete_ready_made_programs_ask_nothing_of_go() {
        let assets = tempfile::tempdir().unwrap();
        let (last, others) = BINARIES.split_last().unwrap();
        for binary in others {
            std::fs::write(assets.path().join(binary.name), "").unwrap();
        }
        let cache = assets.path().join("cache");
        let caches = || Ok(BTreeMap::from([(Module::ControlPlane, cache.clone())]));
        let of_assets = |caches: &dyn Fn() -> Result<BTreeMap<_, _>, _>| {
            Binaries::beside(ProgramSet::ControlPlane, Some(assets.path().to_owned()), Module::ControlPlane, caches)
        };
        let incomplete = of_assets(&caches).unwrap();
        assert_eq!(incomplete.missing(), [*last]);
        assert_eq!(incomplete.path(last.name), cache.join(last.name));
        assert_eq!(incomplete.path("etcd"), assets.path().join("etcd"));
        std::fs::write(assets.path().join(last.name), "").unwrap();
        let complete = of_assets(&|| panic!("Go was asked")).unwrap();
        assert_eq!(complete.missing(), []);
        complete.ensure(|progress| panic!("{progress:?}")).unwrap();
    }

    #[test]
    fn only_kubernetes_comes_from_the_module_of_its_version() {
        let oldest = Module::OldestControlPlane;
        let caches = || Ok(BTreeMap::from([(Module::ControlPlane, "/newest".into()), (oldest, "/oldest".into())]));
        let control_plane = Binaries::beside(ProgramSet::ControlPlane, None, oldest, caches).unwrap();
        for (name, path) in [
            ("etcd", "/newest/etcd"),
            ("helm", "/newest/helm"),
            ("kube-apiserver", "/oldest/kube-apiserver"),
            ("kubectl", "/oldest/kubectl"),
        ] {
            assert_eq!(control_plane.path(name).to_str(), Some(path));
        }
        assert_eq!(ProgramSet::Node.modules(oldest), [oldest; 3]);
        assert_eq!(ProgramSet::ObjectHealth.modules(oldest), [Module::ObjectHealth]);
    }
}
