//! A real node beside a control plane, without a container engine: kubelet, kube-proxy, kube-scheduler, containerd and a
//! name server as plain processes of this machine, in namespaces of their own.
//!
//! Everything that they make (mounts, devices, addresses, routes, packet filters, the pods' processes) belongs to the
//! namespaces and ends with them; what does not, the control groups and the files, is removed by the watchdog of
//! [`Supervisor`]. See `docs/node.md`.

mod control_groups;
mod link;
mod namespace;
mod programs;
mod requirements;
mod settings;
mod storage;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::certificates::{Authority, write};
use crate::error::{ControlPlaneError, file};
use crate::image::{Image, ImageFile};
use crate::log::log_tail;
use crate::node::control_groups::ControlGroups;
pub use crate::node::link::Link;
use crate::node::link::run;
use crate::node::namespace::Namespace;
pub use crate::node::programs::NodePrograms;
use crate::node::requirements::{Machine, program_directories};
use crate::node::settings::{DNS_READY_PORT, NODE_NAME, PROXY_HEALTH_PORT, Settings};
use crate::plane::{ControlPlane, Durability, Options};
use crate::process::{ProcessId, Supervisor};

const READY_DEADLINE: Duration = Duration::from_secs(90);
const LOG_TAIL_LINES: usize = 15;
/// Between two looks at what is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Group and owner of files of images do not matter; their age is that of nobody.
const IMAGE_CREATED_SECONDS: u32 = 0;
const STATE_FILE: &str = "node.json";

/// How to start a node and its control plane.
#[derive(Clone, Debug, Default)]
pub struct NodeOptions {
    /// Where its state is; `None` for a temporary directory that goes with it. It must be empty or absent.
    pub directory: Option<PathBuf>,
    /// Arguments that kube-apiserver gets after its own.
    pub api_server_arguments: Vec<String>,
}

/// A running node with its control plane. Dropping it ends all of it, and so does the end of the process, however it
/// ends.
#[derive(Debug)]
pub struct Node {
    directory: PathBuf,
    machine: Machine,
    programs: NodePrograms,
    state: State,
    /// Dropped first: the node's processes end before their API server does.
    supervisor: Option<Supervisor>,
    plane: Option<ControlPlane>,
    /// Dropped last, should the watchdog not have removed it.
    _temporary: Option<TempDir>,
}

/// What is kept of a node that outlives whoever started it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    namespace: Namespace,
    control_groups: ControlGroups,
    link: Link,
}

impl Node {
    /// Starts a control plane and a node beside it, and returns when pods can run: the node is ready, services are
    /// routed and names are answered. The programs must have been built ([`NodePrograms::ensure`]). A start that fails
    /// ends what it has started.
    pub fn start(options: NodeOptions) -> Result<Self, ControlPlaneError> {
        let NodeOptions { directory, api_server_arguments } = options;
        let machine = Machine::look()?;
        let programs = NodePrograms::locate()?;
        if let Some(kept) = &directory
            && Self::is_kept(kept)?
        {
            return Err(file(kept)(std::io::Error::other("a node runs there already; stop it first")));
        }
        let temporary = match &directory {
            Some(_) => None,
            None => Some(temporary_directory()?),
        };
        let directory = directory.or_else(|| temporary.as_ref().map(|made| made.path().to_owned())).unwrap_or_default();
        fs::create_dir_all(&directory).map_err(file(&directory))?;
        let directory = directory.canonicalize().map_err(file(&directory))?;
        let control_groups = ControlGroups::make()?;
        let leftovers = temporary.as_ref().map(TempDir::path);
        let mut supervisor = Supervisor::clearing(leftovers, &control_groups.directories)?;
        let namespace = Namespace::make(&directory, &mut supervisor)?;
        let link = Link::make(namespace.holder)?;
        let state = State { namespace, control_groups, link };
        state.save(&directory)?;
        let plane = ControlPlane::start(Options {
            directory: temporary.is_none().then(|| directory.join("control-plane")),
            durability: Durability::Volatile,
            link: Some(link),
            api_server_arguments,
        })?;
        let mut node = Self {
            directory,
            machine,
            programs,
            state,
            supervisor: Some(supervisor),
            plane: Some(plane),
            _temporary: temporary,
        };
        node.bring_up()?;
        Ok(node)
    }

    /// The control plane beside it.
    pub fn plane(&self) -> &ControlPlane {
        self.plane.as_ref().expect("it is there until it is kept or dropped")
    }

    /// The node's address: node ports are reached by it, and so is every pod by its own address.
    pub const fn address(&self) -> Ipv4Addr {
        self.state.link.inside()
    }

    /// The addresses that it and this machine have for each other.
    pub const fn link(&self) -> Link {
        self.state.link
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The first process of the node; the others end with it.
    pub const fn holder(&self) -> ProcessId {
        self.state.namespace.holder
    }

    /// Loads the images of an archive (of `docker save`, or of an OCI layout), so that pods find them.
    pub fn load_images(&self, archive: &Path) -> Result<(), ControlPlaneError> {
        load(&self.programs, &self.directory, archive)
    }

    /// Loads images into the node that is kept in `directory`.
    pub fn load_kept(directory: &Path, archive: &Path) -> Result<(), ControlPlaneError> {
        load(&NodePrograms::locate()?, directory, archive)
    }

    /// Loads an image of one static program, `/name` in it, under the name `localhost/{name}:1`.
    pub fn load_program(&self, name: &str, program: &Path) -> Result<(), ControlPlaneError> {
        let image = Image {
            name: format!("localhost/{name}:1"),
            files: vec![ImageFile { path: name.to_owned(), source: program.to_owned(), mode: 0o755 }],
            entrypoint: vec![format!("/{name}")],
            user: "65532:65532".to_owned(),
            labels: std::collections::BTreeMap::new(),
            created_seconds: IMAGE_CREATED_SECONDS,
        };
        let packed = tempfile::tempdir_in(&self.directory).map_err(file(&self.directory))?;
        let archive = packed.path().join("image.tar");
        image.write(&packed.path().join("layout"), &archive)?;
        self.load_images(&archive)
    }

    /// The programs that it runs.
    pub const fn programs(&self) -> &NodePrograms {
        &self.programs
    }

    /// Lets it go on after this process; [`Self::stop_kept`] ends it.
    pub fn keep(mut self) {
        if let Some(plane) = self.plane.take() {
            plane.keep();
        }
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.keep();
        }
    }

    /// Whether a node that was kept in `directory` is there.
    pub fn is_kept(directory: &Path) -> Result<bool, ControlPlaneError> {
        Ok(State::open(directory)?.is_some_and(|state| state.namespace.is_there()))
    }

    /// Ends the node that was kept in `directory` with its control plane, and removes the directory. Whether there was
    /// one.
    pub fn stop_kept(directory: &Path) -> Result<bool, ControlPlaneError> {
        let Some(state) = State::open(directory)? else { return Ok(false) };
        if !requirements::is_root() {
            return Err(ControlPlaneError::NotRoot { directory: directory.to_owned() });
        }
        let ended = state.namespace.end();
        state.control_groups.remove();
        ControlPlane::stop_kept(&directory.join("control-plane"))?;
        fs::remove_dir_all(directory).map_err(file(directory))?;
        Ok(ended)
    }

    fn settings(&self) -> Settings<'_> {
        let Self { directory, machine, state, programs: _, supervisor: _, plane: _, _temporary: _ } = self;
        Settings { directory, link: state.link, machine, control_groups: &state.control_groups.root }
    }

    fn bring_up(&mut self) -> Result<(), ControlPlaneError> {
        let authority = Authority::open(self.plane().directory())?;
        self.settings().write(&authority, &self.plane().server())?;
        let arguments = self.settings().containerd_arguments();
        self.spawn("containerd", &arguments)?;
        self.until("containerd", |node| node.ctr(&["version"]).is_ok())?;
        self.load_program("pause", &self.programs.path("pause"))?;
        let settings = self.settings();
        for (name, arguments) in [
            ("kube-scheduler", settings.scheduler_arguments()),
            ("kubelet", settings.kubelet_arguments()),
            ("kube-proxy", settings.proxy_arguments()),
        ] {
            self.spawn(name, &arguments)?;
        }
        self.apply_objects()?;
        let arguments = self.settings().dns_arguments();
        self.spawn("cluster-dns", &arguments)?;
        self.until("kubelet", Self::is_ready)?;
        self.until("kube-proxy", |node| node.answers(PROXY_HEALTH_PORT, "/healthz"))?;
        self.until("cluster-dns", |node| node.answers(DNS_READY_PORT, "/ready"))
    }

    /// Starts a program inside, its log beside the others.
    fn spawn(&mut self, name: &'static str, arguments: &[String]) -> Result<(), ControlPlaneError> {
        let program = self.programs.path(name);
        let beside = program.parent().unwrap_or(Path::new("")).to_owned();
        let path = std::env::join_paths(std::iter::once(beside).chain(program_directories())).unwrap_or_default();
        let (enter, words) = self.state.namespace.entering(&program, arguments, &path.to_string_lossy());
        let log = self.log(name);
        self.supervisor.as_mut().expect("it is there until it is kept").start(&enter, &words, &log)?;
        Ok(())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.log"))
    }

    fn ctr(&self, arguments: &[&str]) -> Result<String, ControlPlaneError> {
        ctr(&self.programs, &self.directory, arguments)
    }

    fn apply_objects(&self) -> Result<(), ControlPlaneError> {
        let volumes = self.directory.join("volumes");
        for number in 0..storage::VOLUMES {
            let volume = volumes.join(number.to_string());
            fs::create_dir_all(&volume).map_err(file(&volume))?;
        }
        let path = self.directory.join("objects.json");
        write(&path, &storage::objects(&volumes))?;
        self.plane().kubectl(&["apply", "-f", &path.display().to_string()]).map(drop)
    }

    /// Whether pods can run: the node says so, and the default namespace has the account that they run as.
    fn is_ready(&self) -> bool {
        let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
        let status = self.plane().kubectl(&["get", "node", NODE_NAME, "-o", path]);
        status.is_ok_and(|status| status == "True")
            && self.plane().kubectl(&["get", "serviceaccount", "default"]).is_ok()
    }

    /// Whether a process of the node says on a port that all is well.
    fn answers(&self, port: u16, path: &str) -> bool {
        let ask = || -> std::io::Result<String> {
            let address = SocketAddr::from((self.address(), port));
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.split_whitespace().nth(1) == Some("200"))
    }

    fn until(&self, process: &'static str, is_so: impl Fn(&Self) -> bool) -> Result<(), ControlPlaneError> {
        let started = Instant::now();
        while !is_so(self) {
            let (log, elapsed) = (self.log(process), started.elapsed());
            if elapsed > READY_DEADLINE || !self.state.namespace.is_there() {
                let tail = log_tail(&log, 0, LOG_TAIL_LINES);
                return Err(ControlPlaneError::NotReady { process, seconds: elapsed.as_secs(), log, tail });
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

impl State {
    fn open(directory: &Path) -> Result<Option<Self>, ControlPlaneError> {
        let path = directory.join(STATE_FILE);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(file(&path))?;
        let damaged = |error: serde_json::Error| ControlPlaneError::State { path, message: error.to_string() };
        serde_json::from_str(&text).map(Some).map_err(damaged)
    }

    fn save(&self, directory: &Path) -> Result<(), ControlPlaneError> {
        write(&directory.join(STATE_FILE), &serde_json::to_string_pretty(self).expect("a state is plain data"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.supervisor.is_some() {
            // In this order nobody complains of an API server that has gone.
            self.state.namespace.end();
        }
    }
}

fn temporary_directory() -> Result<TempDir, ControlPlaneError> {
    tempfile::Builder::new().prefix("scaleset-node-").tempdir().map_err(file("temporary directory"))
}

fn load(programs: &NodePrograms, directory: &Path, archive: &Path) -> Result<(), ControlPlaneError> {
    ctr(programs, directory, &["images", "import", &archive.display().to_string()]).map(drop)
}

/// Asks the containerd of the node in `directory`, in the namespace of its kubelet's images.
fn ctr(programs: &NodePrograms, directory: &Path, arguments: &[&str]) -> Result<String, ControlPlaneError> {
    let (program, socket) = (programs.path("ctr"), directory.join("c.sock"));
    let (program, socket) = (program.display().to_string(), socket.display().to_string());
    run(&program, &[&["--address", &socket, "--namespace", "k8s.io"], arguments].concat())
}
