//! The controller as a child process that ends with its parent, and can be killed and started again on the same state.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use kube::{Client, Config};
use rustix::process::{Pid, Signal, kill_process};
use scaleset_control_plane::{ProcessId, Supervisor, free_addresses, log_tail};
use tempfile::TempDir;

use super::binary::Program;
use super::hardware::HardwareEndpoint;
use super::until;

const READY_LIMIT: Duration = Duration::from_mins(1);
const GONE_LIMIT: Duration = Duration::from_secs(30);

/// What the chart tells the allocator of the controller: one heap, which gives back what is not used (docs/install.md). A
/// controller that runs as in the cluster, with its hardware elsewhere, has the same here.
pub const HEAP: (&str, &str) = ("_RJEM_MALLOC_CONF", "narenas:1,tcache:false,dirty_decay_ms:1000,muzzy_decay_ms:0");

/// How long the simulated hardware takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Latency {
    /// As the region file says, in scenario time that runs so much faster than wall time.
    TimesFaster(f64),
    /// No time at all.
    Zero,
}

/// What a controller runs with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose API server, and as whom.
    pub kubeconfig: PathBuf,
    /// Instead of the embedded regions.
    pub region_file: Option<PathBuf>,
    /// How long the hardware takes.
    pub latency: Latency,
    /// Where the hardware is.
    pub place: HardwarePlace,
}

/// Where a controller's hardware is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HardwarePlace {
    /// In its own process.
    #[default]
    Inside,
    /// In another one, with these flags of the controller; what else is said of the hardware does not count then.
    Elsewhere(Vec<String>),
}

/// A controller that has been started; it ends when this is dropped, or with the process.
#[derive(Debug)]
pub struct LocalController {
    settings: Settings,
    supervisor: Supervisor,
    process: ProcessId,
    endpoints: Endpoints,
    /// Log and hardware store; goes with the process, also where nobody drops this.
    directory: TempDir,
}

#[derive(Clone, Copy, Debug)]
struct Endpoints {
    control: SocketAddr,
    health: SocketAddr,
}

impl LocalController {
    /// Builds and starts the controller, and returns when it is ready.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("scaleset-controller-").tempdir()?;
        let mut supervisor = Supervisor::removing(Some(directory.path()))?;
        let (process, endpoints) = spawn(&settings, directory.path(), &mut supervisor).await?;
        let controller = Self { settings, supervisor, process, endpoints, directory };
        controller.wait_until_ready().await?;
        Ok(controller)
    }

    /// Ends it as `kill -9` does, and returns when it is gone.
    pub async fn kill(&self) -> anyhow::Result<()> {
        self.signal(Signal::KILL)?;
        self.gone().await
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.process.pid).context("a process id is above 0")?;
        ensure!(self.process.is_running(), "the controller has ended by itself:\n{}", self.log_tail(20));
        Ok(kill_process(pid, signal)?)
    }

    /// Waits until it has ended.
    pub async fn gone(&self) -> anyhow::Result<()> {
        until("the controller is gone", GONE_LIMIT, async || {
            ensure!(!self.process.is_running(), "process {} is there", self.process.pid);
            Ok(())
        })
        .await
    }

    /// Starts it again after [`Self::kill`], on the same hardware, and returns when it is ready.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        ensure!(!self.process.is_running(), "the controller is running");
        (self.process, self.endpoints) = spawn(&self.settings, self.directory.path(), &mut self.supervisor).await?;
        self.wait_until_ready().await
    }

    /// As whom it is known to the API server.
    pub fn kubeconfig(&self) -> &Path {
        &self.settings.kubeconfig
    }

    /// Its simulated hardware.
    pub fn hardware(&self) -> anyhow::Result<HardwareEndpoint> {
        Ok(HardwareEndpoint::new(http(self.endpoints.control)?))
    }

    /// The file in which its simulated hardware lives.
    pub fn hardware_store(&self) -> PathBuf {
        store(self.directory.path())
    }

    /// What `/readyz` says.
    pub async fn readiness(&self) -> anyhow::Result<String> {
        Ok(http(self.endpoints.health)?.request_text(http::Request::get("/readyz").body(Vec::new())?).await?)
    }

    /// Where it tells its health and its metrics.
    pub const fn health(&self) -> SocketAddr {
        self.endpoints.health
    }

    /// One counter of its `/metrics`: all series with these labels together.
    pub async fn counter(&self, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<f64> {
        counter(self.endpoints.health, name, labels).await
    }

    /// Its process.
    pub const fn process(&self) -> ProcessId {
        self.process
    }

    /// The end of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        log_tail(&log(self.directory.path()), 0, lines)
    }

    /// The last lines of its log that hold `text`.
    pub fn log_about(&self, text: &str, lines: usize) -> String {
        let log = fs::read_to_string(log(self.directory.path())).unwrap_or_default();
        let found: Vec<&str> = log.lines().filter(|line| line.contains(text)).collect();
        found[found.len().saturating_sub(lines)..].join("\n")
    }

    async fn wait_until_ready(&self) -> anyhow::Result<()> {
        let client = http(self.endpoints.health)?;
        until("the controller is ready", READY_LIMIT, async || {
            let answer = client.request_text(http::Request::get("/readyz").body(Vec::new())?).await;
            answer.with_context(|| format!("the end of its log:\n{}", self.log_tail(20)))
        })
        .await?;
        Ok(())
    }
}

async fn spawn(
    settings: &Settings,
    directory: &Path,
    supervisor: &mut Supervisor,
) -> anyhow::Result<(ProcessId, Endpoints)> {
    let Settings { kubeconfig, region_file, latency, place } = settings;
    let [control, health] = free_addresses()?;
    let endpoints = Endpoints { control, health };
    let mut arguments =
        vec![format!("--kubeconfig={}", kubeconfig.display()), format!("--health-listen={}", endpoints.health)];
    arguments.extend(match place {
        HardwarePlace::Elsewhere(flags) => flags.clone(),
        HardwarePlace::Inside => {
            let store = format!("--hardware-store={}", store(directory).display());
            let region_file = region_file.iter().map(|path| format!("--region-file={}", path.display()));
            let latency = match latency {
                Latency::TimesFaster(scale) => format!("--time-scale={scale}"),
                Latency::Zero => "--hardware-latency=zero".to_owned(),
            };
            region_file.chain([store, latency, format!("--control-listen={}", endpoints.control)]).collect()
        }
    });
    let binary = Program::Controller.binary().await?;
    let process = match place {
        HardwarePlace::Inside => supervisor.start(&binary, &arguments, &log(directory))?,
        HardwarePlace::Elsewhere(_) => {
            let (name, value) = HEAP;
            let heap = [format!("{name}={value}"), binary.display().to_string()];
            let all: Vec<String> = heap.into_iter().chain(arguments).collect();
            supervisor.start(Path::new("/usr/bin/env"), &all, &log(directory))?
        }
    };
    Ok((process, endpoints))
}

/// One counter of the `/metrics` at an address, all label values together.
pub(super) async fn counter(address: SocketAddr, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<f64> {
    let request = http::Request::get("/metrics").body(Vec::new())?;
    let text = http(address)?.request_text(request).await?;
    let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    let of_counter = |line: &&str| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']));
        rest.is_some_and(|rest| labels.iter().all(|label| rest.contains(label)))
    };
    let values = text.lines().filter(of_counter).filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    Ok(values.sum())
}

pub(super) fn http(address: SocketAddr) -> anyhow::Result<Client> {
    Ok(Client::try_from(Config::new(format!("http://{address}").parse()?))?)
}

fn store(directory: &Path) -> PathBuf {
    directory.join("hardware.redb")
}

fn log(directory: &Path) -> PathBuf {
    directory.join("controller.log")
}
