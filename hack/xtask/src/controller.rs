//! The controller as a process of this machine: its files, its start, its readiness.
//!
//! One directory belongs to one cluster: hardware that serves two would hold machines that each of them lacks.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use scaleset_control_plane::{ProcessId, Supervisor, free_addresses, log_length_bytes, log_tail};
use serde::{Deserialize, Serialize};

use crate::say::say;
use crate::settings::Settings;

const READY_DEADLINE: Duration = Duration::from_mins(1);
const LOG_TAIL_LINES: usize = 15;

/// The controller's process, addresses and settings, kept in `controller.json`.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Controller {
    process: ProcessId,
    /// Where the hardware's control endpoint listens.
    pub(crate) control: SocketAddr,
    health: SocketAddr,
    settings: Settings,
    /// How long the log was when it was started: what stands before is of earlier ones.
    #[serde(default)]
    log_start_bytes: u64,
}

impl Controller {
    /// The controller last started in `directory`.
    pub(crate) fn read(directory: &Path) -> anyhow::Result<Option<Self>> {
        let path = directory.join("controller.json");
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let message = || format!("{} is damaged; remove it with `make down CLEAN=1`", path.display());
        Ok(Some(serde_json::from_str(&text).with_context(message)?))
    }

    /// The one that runs in `directory`, whatever it was started with, or a new one; ready when this returns.
    pub(crate) fn ensure(directory: &Path, settings: Settings, supervisor: &mut Supervisor) -> anyhow::Result<Self> {
        let log = directory.join("controller.log");
        let running = Self::read(directory)?.filter(Self::is_running);
        let controller = if let Some(controller) = running {
            say(controller.runs_already(&settings));
            controller
        } else {
            say("starting the controller");
            let controller = Self::spawn(directory, settings, supervisor, &log)?;
            // Kept before it is ready: a `down` elsewhere must find it.
            let path = directory.join("controller.json");
            fs::write(&path, serde_json::to_string(&controller)?).with_context(|| path.display().to_string())?;
            controller
        };
        controller.wait_until_ready(&log)?;
        Ok(controller)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// Ends it. Whether it was running.
    pub(crate) fn stop(&self) -> bool {
        self.is_running() && self.process.stop()
    }

    fn runs_already(&self, asked: &Settings) -> String {
        let differences = self.settings.differences(asked);
        if differences.is_empty() {
            return "the controller runs already".to_owned();
        }
        let differences = differences.join("\n  - ");
        format!(
            "the controller runs already, and is left as it is:\n  - {differences}\n  `make down` first starts it anew"
        )
    }

    fn spawn(directory: &Path, settings: Settings, supervisor: &mut Supervisor, log: &Path) -> anyhow::Result<Self> {
        let Settings { program, time_scale, region_file } = &settings;
        let [control, health] = free_addresses()?;
        let mut arguments = vec![
            format!("--kubeconfig={}", kubeconfig(directory).display()),
            format!("--hardware-store={}", directory.join("hardware.redb").display()),
            format!("--time-scale={time_scale}"),
            format!("--control-listen={control}"),
            format!("--health-listen={health}"),
        ];
        arguments.extend(region_file.iter().map(|file| format!("--region-file={}", file.path.display())));
        let log_start_bytes = log_length_bytes(log);
        let process = supervisor.start(&program.path, &arguments, log)?;
        Ok(Self { process, control, health, settings, log_start_bytes })
    }

    fn wait_until_ready(&self, log: &Path) -> anyhow::Result<()> {
        let started = Instant::now();
        while !is_ready(self.health) {
            if !self.is_running() || started.elapsed() > READY_DEADLINE {
                let tail = log_tail(log, self.log_start_bytes, LOG_TAIL_LINES);
                bail!("the controller is not ready; the end of {}:\n{tail}", log.display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// The kubeconfig that the controller of `directory` uses: never an administrator's.
pub(crate) fn kubeconfig(directory: &Path) -> PathBuf {
    directory.join("controller.kubeconfig")
}

fn is_ready(health: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&health, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.split_whitespace().nth(1) == Some("200"))
}
