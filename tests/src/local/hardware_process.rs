//! The simulated hardware as a process of its own, which controllers come and go around.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use scaleset_control_plane::{ProcessId, Supervisor, free_addresses, log_tail};
use tempfile::TempDir;

use super::binary::Program;
use super::controller::{HardwarePlace, Latency, http};
use super::hardware::HardwareEndpoint;
use super::until;

const LIMIT: Duration = Duration::from_secs(30);

/// Hardware that has been started; it ends when this is dropped, or with the process.
#[derive(Debug)]
pub struct LocalHardware {
    arguments: Vec<String>,
    supervisor: Supervisor,
    process: ProcessId,
    addresses: Addresses,
    /// Log, store and token; goes with the process, also where nobody drops this.
    directory: TempDir,
}

#[derive(Clone, Copy, Debug)]
struct Addresses {
    listen: SocketAddr,
    control: SocketAddr,
    health: SocketAddr,
}

impl LocalHardware {
    /// Builds and starts it, behind a token, and returns when it serves.
    pub async fn start(region_file: Option<PathBuf>, latency: Latency) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("scaleset-hardware-").tempdir()?;
        let supervisor = Supervisor::removing(Some(directory.path()))?;
        let [listen, control, health] = free_addresses()?;
        std::fs::write(directory.path().join("token"), "token-of-a-test")?;
        let mut arguments = vec![
            format!("--listen={listen}"),
            format!("--control-listen={control}"),
            format!("--health-listen={health}"),
            format!("--store={}", directory.path().join("hardware.redb").display()),
            format!("--token-file={}", directory.path().join("token").display()),
        ];
        arguments.extend(region_file.iter().map(|path| format!("--region-file={}", path.display())));
        arguments.push(match latency {
            Latency::TimesFaster(scale) => format!("--time-scale={scale}"),
            Latency::Zero => "--latency=zero".to_owned(),
        });
        let addresses = Addresses { listen, control, health };
        let mut hardware =
            Self { arguments, supervisor, process: ProcessId { pid: 0, start_ticks: 0 }, addresses, directory };
        hardware.spawn().await?;
        Ok(hardware)
    }

    /// What a controller is told about it.
    pub fn place(&self, more_flags: &[&str]) -> HardwarePlace {
        let token = self.directory.path().join("token");
        let flags = [
            format!("--hardware-url=http://{}", self.addresses.listen),
            format!("--hardware-token-file={}", token.display()),
        ];
        HardwarePlace::Elsewhere(flags.into_iter().chain(more_flags.iter().map(ToString::to_string)).collect())
    }

    /// Its control endpoint.
    pub fn endpoint(&self) -> anyhow::Result<HardwareEndpoint> {
        Ok(HardwareEndpoint::new(http(self.addresses.control)?))
    }

    /// Ends it as `kill -9` does, and returns when it is gone.
    pub async fn kill(&self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.process.pid).context("a process id is above 0")?;
        ensure!(self.process.is_running(), "the hardware has ended by itself:\n{}", self.log_tail(20));
        kill_process(pid, Signal::KILL)?;
        until("the killed hardware is gone", LIMIT, async || {
            ensure!(!self.process.is_running(), "process {} is there", self.process.pid);
            Ok(())
        })
        .await
    }

    /// Starts it again after [`Self::kill`], on the same store and addresses, and returns when it serves.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        ensure!(!self.process.is_running(), "the hardware is running");
        self.spawn().await
    }

    /// Its process.
    pub const fn process(&self) -> ProcessId {
        self.process
    }

    /// The end of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        log_tail(&self.directory.path().join("hardware.log"), 0, lines)
    }

    async fn spawn(&mut self) -> anyhow::Result<()> {
        let log = self.directory.path().join("hardware.log");
        self.process = self.supervisor.start(&Program::Hardware.binary().await?, &self.arguments, &log)?;
        let client = http(self.addresses.health)?;
        until("the hardware serves", LIMIT, async || {
            let answer = client.request_text(http::Request::get("/readyz").body(Vec::new())?).await;
            answer.with_context(|| format!("the end of its log:\n{}", self.log_tail(20)))
        })
        .await?;
        Ok(())
    }
}
