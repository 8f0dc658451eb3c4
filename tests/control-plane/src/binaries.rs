//! The programs of the control plane and of the node: built once from the Go modules in `hack/` and kept in the user's
//! cache directory under the hash of the module's sources and the Go version.
//!
//! A directory of ready programs named by `KUBEBUILDER_ASSETS` comes first; only what it lacks is built. A program is
//! built under another name and renamed, so an interrupted build goes on where it stopped, and a lock file keeps two
//! builds apart. When everything has been built, Go is asked for its version only, and where the ready programs are
//! complete, for nothing: it need not be there.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::error::{ControlPlaneError, file};
use crate::workspace::workspace_root;

/// Kubernetes version that the programs report.
const KUBERNETES_VERSION: &str = "v1.37.2";
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

/// Programs that are built from one module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramSet {
    /// [`BINARIES`].
    ControlPlane,
    /// kubelet, kube-proxy, kube-scheduler.
    Node,
    /// containerd, its shim and its client, the name server, and the programs of the images `pause` and `probe`.
    Runtime,
}

impl ProgramSet {
    /// The programs, in the order in which they are built.
    pub const fn programs(self) -> &'static [Binary] {
        match self {
            Self::ControlPlane => &BINARIES,
            Self::Node => &NODE_BINARIES,
            Self::Runtime => &RUNTIME_BINARIES,
        }
    }

    fn module(self) -> PathBuf {
        match self {
            Self::ControlPlane | Self::Node => module_directory(),
            Self::Runtime => workspace_root().join("hack/node"),
        }
    }

    /// The files of the module that decide what is built.
    const fn sources(self) -> &'static [&'static str] {
        match self {
            Self::ControlPlane | Self::Node => &["go.mod", "go.sum"],
            Self::Runtime => &["go.mod", "go.sum", "dns/main.go", "pause/main.go", "probe/main.go"],
        }
    }

    /// File systems that nobody uses here would need C libraries.
    const fn build_tags(self) -> &'static str {
        match self {
            Self::ControlPlane | Self::Node => "",
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
    /// Where they are built; `None` where `assets` has them all.
    cache: Option<PathBuf>,
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
        let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
        Self::beside(set, assets, || Ok(cache_root()?.join(cache_key(set)?)))
    }

    fn beside(
        set: ProgramSet,
        assets: Option<PathBuf>,
        cache: impl FnOnce() -> Result<PathBuf, ControlPlaneError>,
    ) -> Result<Self, ControlPlaneError> {
        let holds_all = |assets: &PathBuf| set.programs().iter().all(|binary| assets.join(binary.name).is_file());
        let cache = if assets.as_ref().is_some_and(holds_all) { None } else { Some(cache()?) };
        Ok(Self { set, assets, cache })
    }

    /// The program's path; it may not have been built yet.
    pub fn path(&self, name: &str) -> PathBuf {
        let mut path = PathBuf::from(name);
        for directory in self.assets.iter().chain(&self.cache) {
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

    /// Builds what is missing, telling `progress` about once a second.
    pub fn ensure(&self, mut progress: impl FnMut(Progress<'_>)) -> Result<(), ControlPlaneError> {
        let Some(cache) = &self.cache else { return Ok(()) };
        if self.missing().is_empty() {
            return Ok(());
        }
        fs::create_dir_all(cache).map_err(file(cache))?;
        let lock_path = cache.join(".lock");
        let lock = File::create(&lock_path).map_err(file(&lock_path))?;
        if lock.try_lock().is_err() {
            progress(Progress::WaitingForLock);
            lock.lock().map_err(file(&lock_path))?;
        }
        let missing = self.missing();
        if missing.is_empty() {
            return Ok(());
        }
        progress(Progress::Planned { missing: &missing, directory: cache });
        for binary in missing {
            build(binary, self.set, cache, &mut progress)?;
        }
        Ok(())
    }
}

fn build(
    binary: Binary,
    set: ProgramSet,
    cache: &Path,
    progress: &mut impl FnMut(Progress<'_>),
) -> Result<(), ControlPlaneError> {
    let unfinished = cache.join(format!(".{}.unfinished", binary.name));
    let started = Instant::now();
    let flags = format!("-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}");
    let mut build = Command::new("go")
        .args(["build", "-trimpath", "-tags", set.build_tags(), "-ldflags", &flags, "-o"])
        .arg(&unfinished)
        .arg(binary.package)
        .current_dir(set.module())
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

/// The Go module that pins the programs of Kubernetes.
pub fn module_directory() -> PathBuf {
    workspace_root().join("hack/control-plane")
}

fn cache_root() -> Result<PathBuf, ControlPlaneError> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")));
    let missing = || std::io::Error::new(std::io::ErrorKind::NotFound, "neither XDG_CACHE_HOME nor HOME is set");
    Ok(base.ok_or_else(missing).map_err(file("cache directory"))?.join("scaleset-control-plane"))
}

fn cache_key(set: ProgramSet) -> Result<String, ControlPlaneError> {
    let mut hash = Sha256::new();
    for name in set.sources() {
        let path = set.module().join(name);
        hash.update(fs::read(&path).map_err(file(&path))?);
    }
    hash.update(go_version()?);
    let mut key = String::new();
    for byte in hash.finalize().iter().take(8) {
        write!(key, "{byte:02x}").expect("writing to a string does not fail");
    }
    Ok(key)
}

/// The version of the Go that would build, for example `go1.26.8`.
pub fn go_version() -> Result<String, ControlPlaneError> {
    let output = Command::new("go")
        .args(["env", "GOVERSION"])
        .current_dir(module_directory())
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
    use super::{BINARIES, Binaries, ProgramSet};

    #[test]
    fn complete_ready_made_programs_ask_nothing_of_go() {
        let assets = tempfile::tempdir().unwrap();
        let directory = || Some(assets.path().to_owned());
        let (last, others) = BINARIES.split_last().unwrap();
        for binary in others {
            std::fs::write(assets.path().join(binary.name), "").unwrap();
        }
        let cache = assets.path().join("cache");
        let incomplete = Binaries::beside(ProgramSet::ControlPlane, directory(), || Ok(cache.clone())).unwrap();
        assert_eq!(incomplete.missing(), [*last]);
        assert_eq!(incomplete.path(last.name), cache.join(last.name));
        assert_eq!(incomplete.path("etcd"), assets.path().join("etcd"));
        std::fs::write(assets.path().join(last.name), "").unwrap();
        let complete = Binaries::beside(ProgramSet::ControlPlane, directory(), || panic!("Go was asked")).unwrap();
        assert_eq!(complete.missing(), []);
        complete.ensure(|progress| panic!("{progress:?}")).unwrap();
    }
}
