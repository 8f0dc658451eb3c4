//! From the command line to a running controller, and to one clear line where that is not possible.
//!
//! What needs no network is checked first. An API server that does not answer, or does not serve our kinds, is waited
//! for as long as a person or a deployment tool may need to put it right, and then named.

use std::path::Path;

use scaleset_hardware::sim::{OpenError, RegionFile, RegionFileError};
use scaleset_hardware_wire::client::OptionsError;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

mod hardware;
mod lead;

use crate::args::Args;
use crate::cluster::client::{ConnectError, connect_through};
use crate::health::{self, Health, ListenError, Standing};
use crate::leader::{Gate, Lost, TimingError};
use crate::telemetry::{self, TelemetryError};
use hardware::HardwareSource;

/// Why the controller does not run; each is one line that names the thing and the mend.
#[derive(Debug, Error)]
pub enum StartError {
    /// A flag.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The region file.
    #[error(transparent)]
    Region(#[from] RegionFileError),
    /// The simulated hardware.
    #[error(transparent)]
    Hardware(#[from] OpenError),
    /// Hardware in another process.
    #[error(transparent)]
    Remote(#[from] OptionsError),
    /// The hardware is called by who has been elected.
    #[error(
        "the hardware has been called by leader {seen} of an election, and this controller takes part in none; give \
         --leader-elect"
    )]
    Unelected {
        /// Highest epoch that it has seen.
        seen: u64,
    },
    /// Several replicas would each have hardware of their own.
    #[error("--leader-elect needs hardware that all replicas reach; start scaleset-hardware and give --hardware-url")]
    HardwareNotShared,
    /// Durations of the election that do not fit together.
    #[error(transparent)]
    Timing(#[from] TimingError),
    /// Another replica may lead by now.
    #[error("{0}; stopping, so that nothing is done twice")]
    NotLeading(#[from] Lost),
    /// An address to listen on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The endpoint at which the simulated world can be changed.
    #[error("{0}; choose another address with --control-listen")]
    Control(#[source] std::io::Error),
    /// The API server.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The API server answers, but not with what we must see.
    #[error("no complete list of {kinds} within {seconds} s: {failures}")]
    NotListed {
        /// What is missing.
        kinds: String,
        /// How long it was tried.
        seconds: u64,
        /// Why.
        failures: String,
    },
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] std::io::Error),
    /// A defect of this program.
    #[error("{0}; this is a defect, please report it")]
    Broken(String),
}

/// Runs until the process is asked to stop; with `--check`, only sees whether it could.
pub async fn run(args: Args) -> Result<(), StartError> {
    let telemetry = telemetry::start(args.log_format, &args.log_level, args.collector())?;
    let ended = serve(args).await;
    telemetry.end();
    ended
}

async fn serve(args: Args) -> Result<(), StartError> {
    check(&args)?;
    if args.check {
        return Ok(());
    }
    let mut signals = Signals::new().map_err(StartError::Signals)?;
    let hardware = HardwareSource::open(&args)?;
    let health = Health::default();
    if args.election.leader_elect {
        health.stands(Standing::Candidate);
    }
    let endpoints = health::listen(args.health_listen, health.clone()).await?;
    let control = match args.control_listen {
        Some(address) => Some(health::bind(address, "--control-listen").await?),
        None => None,
    };
    let world = hardware.serve_world(control);
    let gate = if args.election.leader_elect { Gate::closed() } else { Gate::open() };
    let kubeconfig = args.kubeconfig.as_deref().filter(|path| *path != Path::new(""));
    let connection = connect_through(kubeconfig, &gate).await?;
    info!(
        version = env!("CARGO_PKG_VERSION"), api = %connection.url, hardware = %hardware, health = %args.health_listen,
        watch_namespace = args.watch_namespace.as_deref().unwrap_or("all"), "starting"
    );
    let (stop, stopping) = watch::channel(false);
    let work = lead::run(lead::Start { connection, args, gate, hardware, health }, stopping);
    tokio::pin!(work, endpoints, world);
    loop {
        tokio::select! {
            ended = &mut work => return ended,
            () = &mut endpoints => return Err(StartError::Broken("the health endpoints stopped".to_owned())),
            error = &mut world => return Err(error),
            name = signals.next() => {
                info!(signal = name, "stopping");
                // Whoever listens is part of `work`, which is polled until it ends.
                let _ = stop.send(true);
            }
        }
    }
}

/// What the parser of the flags cannot see.
fn check(args: &Args) -> Result<(), StartError> {
    if let Some(path) = &args.region_file {
        RegionFile::read(path)?;
    }
    if args.election.leader_elect && args.remote.hardware_url.is_none() {
        return Err(StartError::HardwareNotShared);
    }
    args.election.timing()?;
    if let Some(options) = args.remote.options() {
        options.check()?;
    }
    Ok(())
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::leader::RELEASE_MAX;
    use crate::runtime::GRACE;

    const VALUES: &str = include_str!("../../charts/scaleset-controller/values.yaml");
    const SCHEMA: &str = include_str!("../../charts/scaleset-controller/values.schema.json");

    /// The controller's value stands at the margin, the hardware's is indented.
    #[test]
    fn the_kubelet_waits_until_a_leader_has_released() {
        let seconds = VALUES.lines().find_map(|line| line.strip_prefix("terminationGracePeriodSeconds: "));
        let seconds: u64 = seconds.expect("the chart has it").parse().expect("a number");
        let needed = GRACE + RELEASE_MAX;
        assert!(Duration::from_secs(seconds) > needed, "{seconds} s, and {needed:?} may pass");
        let (_, bounds) = SCHEMA.split_once(r#""terminationGracePeriodSeconds": {"#).expect("the schema has it");
        let (_, minimum) = bounds.split_once(r#""minimum": "#).expect("it has a bound");
        let minimum: u64 = minimum.split(',').next().expect("a number").parse().expect("a number");
        assert!(Duration::from_secs(minimum) > needed, "{minimum} s is let through, and {needed:?} may pass");
    }
}
