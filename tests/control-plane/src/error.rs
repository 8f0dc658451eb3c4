//! Why a control plane could not be built or started.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a control plane could not be built or started.
#[derive(Debug, Error)]
pub enum ControlPlaneError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program could not be run.
    #[error("cannot run {program}: {source}")]
    Run {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// Go is missing or too old.
    #[error("go {wanted} or newer is needed to build the control plane, found {found}: install it from go.dev/dl")]
    Go {
        /// The version that `hack/control-plane/go.mod` names.
        wanted: String,
        /// What `go env GOVERSION` said.
        found: String,
    },
    /// No module pins that version of Kubernetes.
    #[error("KUBERNETES={asked} is not pinned here: it may be {pinned}")]
    Kubernetes {
        /// What was asked for.
        asked: String,
        /// What there is.
        pinned: String,
    },
    /// A program could not be built.
    #[error("building {binary} failed after {seconds} s:\n{output}")]
    Build {
        /// The program.
        binary: &'static str,
        /// How long it took.
        seconds: u64,
        /// The end of what the compiler said.
        output: String,
    },
    /// A certificate could not be made.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A process ended, or did not become ready in time.
    #[error("{process} is not ready after {seconds} s; the end of {log}:\n{tail}")]
    NotReady {
        /// The process.
        process: &'static str,
        /// How long was waited.
        seconds: u64,
        /// Its log.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// `kubectl` failed.
    #[error("kubectl {arguments}: {output}")]
    Kubectl {
        /// Its arguments.
        arguments: String,
        /// What it said.
        output: String,
    },
    /// This machine cannot be a node.
    #[error("this machine cannot be a node:\n  - {}\n  with Docker or Podman, `make kind` makes one in a container", missing.join("\n  - "))]
    NoNode {
        /// What is missing, and how to get it.
        missing: Vec<String>,
    },
    /// A node was made by root, and only root ends it.
    #[error("the node in {directory} is ended by root, as it was made: run it with sudo; it runs on")]
    NotRoot {
        /// Its files.
        directory: PathBuf,
    },
    /// A short program failed.
    #[error("{command}: {output}")]
    Command {
        /// The program and its arguments.
        command: String,
        /// What it said.
        output: String,
    },
    /// The state directory holds something else.
    #[error("{path} is not the state of a control plane: {message}; remove it with `make down CLEAN=1`")]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> ControlPlaneError {
    let path = path.into();
    move |source| ControlPlaneError::File { path, source }
}
