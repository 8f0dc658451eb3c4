//! One control plane: started, waited for, stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::binaries::Binaries;
use crate::certificates::{Authority, Identity, service_account_key, write};
use crate::error::{ControlPlaneError, file};
use crate::kubeconfig;
use crate::kubectl::Kubectl;
use crate::log::{log_length_bytes, log_tail};
use crate::node::Link;
use crate::process::{ProcessId, Supervisor};
use crate::state::{State, TakenPort};

const READY_DEADLINE: Duration = Duration::from_secs(90);
const LOG_TAIL_LINES: usize = 15;
/// A server that accepts a connection and says nothing must not outlast the deadline.
const READY_REQUEST: &str = "--request-timeout=5s";
/// Without a node nothing runs inside the cluster, so the range of service addresses matters to nobody.
const SERVICE_RANGE: &str = "10.0.0.0/24";

/// Whether etcd writes through to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It does: state that is kept survives a power cut.
    Durable,
    /// It does not: for tests, several times faster.
    Volatile,
}

/// How to start a control plane.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where its state is; `None` for a temporary directory that goes with it.
    pub directory: Option<PathBuf>,
    /// Whether etcd writes through.
    pub durability: Durability,
    /// The link to a node, on which the API server listens; `None` for loopback.
    pub link: Option<Link>,
    /// Arguments that kube-apiserver gets after its own; of a flag that is given twice the last one counts.
    pub api_server_arguments: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { directory: None, durability: Durability::Volatile, link: None, api_server_arguments: Vec::new() }
    }
}

/// A running control plane. Dropping it ends the processes that it has started, never those that it found.
#[derive(Debug)]
pub struct ControlPlane {
    directory: PathBuf,
    binaries: Binaries,
    state: State,
    durability: Durability,
    link: Option<Link>,
    more_api_server_arguments: Vec<String>,
    supervisor: Supervisor,
    /// How long each process's log was when it was started.
    log_starts_bytes: BTreeMap<&'static str, u64>,
    /// Dropped last: the processes must be gone before their files are.
    _temporary: Option<TempDir>,
}

impl ControlPlane {
    /// Starts what does not run yet in the directory, and returns when the API server is ready. The programs must have
    /// been built ([`Binaries::ensure`]). A start that fails ends what it has started, and its error carries the end of
    /// what the process that failed has said.
    pub fn start(options: Options) -> Result<Self, ControlPlaneError> {
        let Options { directory, durability, link, api_server_arguments } = options;
        let temporary = match &directory {
            Some(_) => None,
            None => Some(
                tempfile::Builder::new()
                    .prefix("scaleset-control-plane-")
                    .tempdir()
                    .map_err(file("temporary directory"))?,
            ),
        };
        let directory = directory.or_else(|| temporary.as_ref().map(|made| made.path().to_owned())).unwrap_or_default();
        fs::create_dir_all(&directory).map_err(file(&directory))?;
        let directory = directory.canonicalize().map_err(file(&directory))?;
        let mut plane = Self {
            binaries: Binaries::locate()?,
            state: State::open(&directory)?,
            durability,
            link,
            more_api_server_arguments: api_server_arguments,
            supervisor: Supervisor::removing(temporary.as_ref().map(TempDir::path))?,
            log_starts_bytes: BTreeMap::new(),
            directory,
            _temporary: temporary,
        };
        plane.prepare()?;
        plane.start_processes()?;
        Ok(plane)
    }

    /// Lets it go on after this process; [`Self::stop_kept`] ends it.
    pub fn keep(mut self) {
        self.supervisor.let_go();
    }

    /// One control plane for all tests of a process, started by the first that asks. It ends with the process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<ControlPlane> = OnceLock::new();
        SHARED.get_or_init(|| {
            let started = Binaries::locate()
                .and_then(|binaries| binaries.ensure(|_| {}))
                .and_then(|()| Self::start(Options::default()));
            started.unwrap_or_else(|error| panic!("{error}"))
        })
    }

    /// The kubeconfig of a cluster administrator, for people.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.directory.join("admin.kubeconfig")
    }

    /// Writes a kubeconfig for `user` in `groups`, who has the rights that RBAC gives them, and returns its path.
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> Result<PathBuf, ControlPlaneError> {
        let path = self.directory.join(format!("user-{}.kubeconfig", user.replace([':', '/'], "-")));
        let authority = Authority::open(&self.directory)?;
        let text = self.kubeconfig_text(&authority, user, &authority.client(user, groups)?);
        write(&path, &text)?;
        Ok(path)
    }

    /// Runs kubectl as administrator and returns what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, ControlPlaneError> {
        self.kubectl_as(&self.admin_kubeconfig(), arguments)
    }

    /// Runs kubectl with a kubeconfig and returns what it printed.
    pub fn kubectl_as(&self, kubeconfig: &Path, arguments: &[&str]) -> Result<String, ControlPlaneError> {
        self.kubectl_with_identity(kubeconfig).run(arguments)
    }

    /// Installs what [`Kubectl::install`] does, as administrator.
    pub fn install(&self) -> Result<(), ControlPlaneError> {
        self.kubectl_with_identity(&self.admin_kubeconfig()).install()
    }

    fn kubectl_with_identity(&self, kubeconfig: &Path) -> Kubectl {
        Kubectl {
            program: self.binaries.path("kubectl"),
            kubeconfig: kubeconfig.to_owned(),
            // What one control plane serves says nothing of the next one on the same port.
            cache: self.directory.join("kubectl-cache"),
        }
    }

    /// The programs that this control plane runs.
    pub const fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// etcd, kube-apiserver, kube-controller-manager.
    pub fn processes(&self) -> Vec<ProcessId> {
        self.state.processes().into_iter().filter_map(|(_, process)| process).collect()
    }

    /// The names of those that should run and do not.
    pub fn ended(&self) -> Vec<&'static str> {
        let ended = |process: Option<ProcessId>| !process.is_some_and(ProcessId::is_running);
        self.state.processes().into_iter().filter(|(_, process)| ended(*process)).map(|(name, _)| name).collect()
    }

    /// Ends the API server and starts it again, on the same address and state.
    pub fn restart_api_server(&mut self) -> Result<(), ControlPlaneError> {
        if let Some(process) = self.state.api_server {
            process.stop();
        }
        self.start_processes()
    }

    /// The processes last started in `directory`, by name, and whether each is running.
    pub fn known(directory: &Path) -> Result<Vec<(&'static str, bool)>, ControlPlaneError> {
        let runs = |process: Option<ProcessId>| process.is_some_and(ProcessId::is_running);
        Ok(State::open(directory)?.processes().map(|(name, process)| (name, runs(process))).to_vec())
    }

    /// The ports that are kept in `directory` for processes that do not run, and that somebody else listens on: a start
    /// there would fail.
    pub fn taken_ports(directory: &Path) -> Result<Vec<TakenPort>, ControlPlaneError> {
        if !directory.join("state.json").exists() {
            return Ok(Vec::new());
        }
        Ok(State::open(directory)?.taken_ports())
    }

    /// Ends the processes of the control plane that was last started in `directory`, whoever did. Whether there was one.
    pub fn stop_kept(directory: &Path) -> Result<bool, ControlPlaneError> {
        if !directory.join("state.json").exists() {
            return Ok(false);
        }
        let mut state = State::open(directory)?;
        let processes = [state.controller_manager.take(), state.api_server.take(), state.etcd.take()];
        let mut any = false;
        for process in processes.into_iter().flatten() {
            any |= process.is_running();
            process.stop();
        }
        state.save(directory)?;
        Ok(any)
    }

    fn prepare(&self) -> Result<(), ControlPlaneError> {
        let directory = &self.directory;
        let authority = Authority::open(directory)?;
        let server = authority.server("kube-apiserver", self.server_names())?;
        write(&directory.join("apiserver.crt"), &server.certificate)?;
        write(&directory.join("apiserver.key"), &server.key)?;
        if self.link.is_some() {
            let kubelet_client = authority.client("kube-apiserver", &["system:masters"])?;
            write(&directory.join("kubelet-client.crt"), &kubelet_client.certificate)?;
            write(&directory.join("kubelet-client.key"), &kubelet_client.key)?;
        }
        if !directory.join("service-account.key").exists() {
            let (private, public) = service_account_key()?;
            write(&directory.join("service-account.pub"), &public)?;
            write(&directory.join("service-account.key"), &private)?;
        }
        for (name, user, groups) in [
            ("admin", "admin", &["system:masters"][..]),
            ("controller-manager", "system:kube-controller-manager", &[][..]),
        ] {
            let path = directory.join(format!("{name}.kubeconfig"));
            if !path.exists() {
                write(&path, &self.kubeconfig_text(&authority, user, &authority.client(user, groups)?))?;
            }
        }
        Ok(())
    }

    /// The API server's address, as kubeconfigs have it.
    pub(crate) fn server(&self) -> String {
        format!("https://{}:{}", self.address(), self.state.ports.api_server)
    }

    /// Where the API server listens.
    fn address(&self) -> Ipv4Addr {
        self.link.map_or(Ipv4Addr::LOCALHOST, Link::outside)
    }

    /// By what the API server is called.
    fn server_names(&self) -> Vec<String> {
        let service = self.link.map_or(Ipv4Addr::new(10, 0, 0, 1), Link::api_service);
        let addresses = [Ipv4Addr::LOCALHOST, self.address(), service].map(|address| address.to_string());
        let names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(str::to_owned);
        let whole = "kubernetes.default.svc.cluster.local".to_owned();
        // Without a link two of the addresses are the same.
        let each: BTreeSet<String> = addresses.into_iter().chain(names).chain([whole]).collect();
        each.into_iter().collect()
    }

    fn kubeconfig_text(&self, authority: &Authority, user: &str, identity: &Identity) -> String {
        kubeconfig::text(&self.server(), &authority.certificate, user, identity)
    }

    fn start_processes(&mut self) -> Result<(), ControlPlaneError> {
        let runs = |process: Option<ProcessId>| process.is_some_and(ProcessId::is_running);
        if !runs(self.state.etcd) {
            self.state.etcd = Some(self.spawn("etcd", &self.etcd_arguments())?);
            self.state.save(&self.directory)?;
        }
        if !runs(self.state.api_server) {
            self.state.api_server = Some(self.spawn("kube-apiserver", &self.api_server_arguments())?);
        }
        self.state.save(&self.directory)?;
        self.wait_until_ready()?;
        if !runs(self.state.controller_manager) {
            self.state.controller_manager =
                Some(self.spawn("kube-controller-manager", &self.controller_manager_arguments())?);
        }
        self.state.save(&self.directory)
    }

    fn spawn(&mut self, name: &'static str, arguments: &[String]) -> Result<ProcessId, ControlPlaneError> {
        let log = self.log(name);
        self.log_starts_bytes.insert(name, log_length_bytes(&log));
        self.supervisor.start(&self.binaries.path(name), arguments, &log)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.log"))
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn etcd_arguments(&self) -> Vec<String> {
        let ports = self.state.ports;
        let client = format!("http://127.0.0.1:{}", ports.etcd_client);
        let peer = format!("http://127.0.0.1:{}", ports.etcd_peer);
        let fsync = match self.durability {
            Durability::Durable => "false",
            Durability::Volatile => "true",
        };
        vec![
            format!("--data-dir={}", self.path("etcd")),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            format!("--unsafe-no-fsync={fsync}"),
            "--log-level=warn".to_owned(),
        ]
    }

    fn api_server_arguments(&self) -> Vec<String> {
        let ports = self.state.ports;
        let mut arguments = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd_client),
            format!("--secure-port={}", ports.api_server),
            format!("--tls-cert-file={}", self.path("apiserver.crt")),
            format!("--tls-private-key-file={}", self.path("apiserver.key")),
            format!("--client-ca-file={}", self.path("ca.crt")),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", self.path("service-account.pub")),
            format!("--service-account-signing-key-file={}", self.path("service-account.key")),
            "--enable-priority-and-fairness=true".to_owned(),
            "--shutdown-delay-duration=0s".to_owned(),
            "--event-ttl=1h".to_owned(),
        ];
        arguments.extend(self.reach_arguments());
        arguments.extend_from_slice(&self.more_api_server_arguments);
        arguments
    }

    /// Who may reach the API server, and how.
    fn reach_arguments(&self) -> Vec<String> {
        let Some(link) = self.link else {
            return vec![
                "--bind-address=127.0.0.1".to_owned(),
                "--advertise-address=127.0.0.1".to_owned(),
                "--endpoint-reconciler-type=none".to_owned(),
                format!("--service-cluster-ip-range={SERVICE_RANGE}"),
                "--authorization-mode=RBAC".to_owned(),
            ];
        };
        link.api_server_arguments(&self.directory)
    }

    fn controller_manager_arguments(&self) -> Vec<String> {
        let kubeconfig = self.path("controller-manager.kubeconfig");
        vec![
            format!("--kubeconfig={kubeconfig}"),
            format!("--authentication-kubeconfig={kubeconfig}"),
            format!("--authorization-kubeconfig={kubeconfig}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.state.ports.controller_manager),
            "--leader-elect=false".to_owned(),
            // Each controller with its own rights: as one user they may not even collect garbage.
            "--use-service-account-credentials=true".to_owned(),
            format!("--root-ca-file={}", self.path("ca.crt")),
            format!("--service-account-private-key-file={}", self.path("service-account.key")),
            format!("--cert-dir={}", self.path("controller-manager")),
            "--namespace-sync-period=30s".to_owned(),
        ]
    }

    /// Asks until the API server says that it is ready, and the default namespace is there.
    fn wait_until_ready(&self) -> Result<(), ControlPlaneError> {
        let started = Instant::now();
        loop {
            let ready = self.kubectl(&["get", "--raw", "/readyz", READY_REQUEST]).is_ok()
                && self.kubectl(&["get", "namespace", "default", READY_REQUEST]).is_ok();
            if ready {
                return Ok(());
            }
            for (process, id) in [("etcd", self.state.etcd), ("kube-apiserver", self.state.api_server)] {
                let ended = id.is_some_and(|id| !id.is_running());
                if ended || started.elapsed() > READY_DEADLINE {
                    return Err(self.not_ready(process, started.elapsed()));
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn not_ready(&self, process: &'static str, elapsed: Duration) -> ControlPlaneError {
        let log = self.log(process);
        let from = self.log_starts_bytes.get(process).copied().unwrap_or_default();
        let tail = log_tail(&log, from, LOG_TAIL_LINES);
        ControlPlaneError::NotReady { process, seconds: elapsed.as_secs(), log, tail }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // In this order nobody complains of a peer that has gone; the watchdog ends what is left.
        for process in self.supervisor.started().iter().rev() {
            process.stop();
        }
    }
}
