//! From the command line to a running controller, and to one clear line where that is not possible.
//!
//! What needs no network is checked first. An API server that does not answer, or does not serve our kinds, is waited
//! for as long as a person or a deployment tool may need to put it right, and then named.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use scaleset_hardware::Hardware;
use scaleset_hardware::sim::{
    ClockSource, LatencySource, OpenError, RegionFile, RegionFileError, RegionSource, Simulation, SimulationOptions,
    Storage, control,
};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, interval_at};
use tracing::{info, warn};

use crate::args::{Args, HardwareLatency};
use crate::cluster::Kind;
use crate::cluster::client::{ConnectError, Connection, connect, wait_until_usable};
use crate::cluster::kubernetes::KubernetesCluster;
use crate::health::{self, Health, ListenError};
use crate::metered::Metered;
use crate::region_maps;
use crate::runtime::{self, Parts};
use crate::telemetry::{self, TelemetryError};

const API_PATIENCE: Duration = Duration::from_secs(30);
const LIST_PATIENCE: Duration = Duration::from_mins(1);
const MESSAGE_SPACING: Duration = Duration::from_secs(10);

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
    let telemetry = telemetry::start(args.log_format, &args.log_level, args.otlp_endpoint.as_deref())?;
    let ended = if args.check { check(&args) } else { serve(args).await };
    telemetry.end();
    ended
}

async fn serve(args: Args) -> Result<(), StartError> {
    let mut signals = Signals::new().map_err(StartError::Signals)?;
    let hardware = open_hardware(&args)?;
    let health = Health::default();
    let endpoints = health::listen(args.health_listen, health.clone()).await?;
    let control = match args.control_listen {
        Some(address) => Some(health::bind(address, "--control-listen").await?),
        None => None,
    };
    let world = serve_world(control, hardware.clone());
    let kubeconfig = args.kubeconfig.as_deref().filter(|path| *path != Path::new(""));
    let connection = connect(kubeconfig).await?;
    info!(
        version = env!("CARGO_PKG_VERSION"), api = %connection.url, hardware_store = %args.hardware_store.display(),
        time_scale = args.time_scale, health = %args.health_listen, "starting"
    );
    let (stop, stopping) = watch::channel(false);
    let work = work(connection, args, hardware, health, stopping);
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
    Ok(())
}

async fn work(
    connection: Connection,
    args: Args,
    hardware: Simulation,
    health: Health,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), StartError> {
    tokio::select! {
        usable = wait_until_usable(&connection, API_PATIENCE) => usable?,
        _ = stopping.wait_for(|stop| *stop) => return Ok(()),
    }
    let metrics = health.metrics();
    let hardware: Arc<dyn Hardware> = Arc::new(Metered::new(hardware, Arc::clone(&metrics)));
    let region_maps = region_maps::publish(connection.client.clone(), args.namespace, Arc::clone(&hardware));
    let (cluster, changes, mut watches) = KubernetesCluster::start(connection.client, Arc::clone(&metrics));
    health.connected(cluster.clone());
    let sudden_scale_in = args.sudden_scale_in;
    let parts = Parts { cluster: cluster.clone(), changes, hardware, metrics, sudden_scale_in };
    tokio::select! {
        () = runtime::run(parts, stopping) => Ok(()),
        message = watches.broken() => Err(StartError::Broken(message)),
        error = never_listed(&cluster) => Err(error),
        () = region_maps => Err(StartError::Broken("the regions are no longer published".to_owned())),
    }
}

/// Waits for the first lists and says what they fail with; ends only when they do not come.
async fn never_listed(cluster: &KubernetesCluster) -> StartError {
    let begun = Instant::now();
    let mut messages = interval_at(begun + MESSAGE_SPACING, MESSAGE_SPACING);
    loop {
        tokio::select! {
            () = cluster.synced() => return std::future::pending().await,
            _ = messages.tick() => {}
        }
        let kinds: Vec<&str> = cluster.unsynced().into_iter().map(Kind::as_str).collect();
        let kinds = kinds.join(", ");
        let failures: Vec<String> = cluster.watch_failures().into_iter().map(|(_, failure)| failure).collect();
        let failures = if failures.is_empty() { "the API is slow".to_owned() } else { failures.join("; ") };
        if begun.elapsed() >= LIST_PATIENCE {
            return StartError::NotListed { kinds, seconds: begun.elapsed().as_secs(), failures };
        }
        warn!(kinds, failures, "waiting for the first lists");
    }
}

/// Lets the simulated world be changed where an address is given for it; ends only when that fails.
async fn serve_world(listener: Option<TcpListener>, hardware: Simulation) -> StartError {
    let Some(listener) = listener else { return std::future::pending().await };
    match control::serve(listener, hardware, std::future::pending()).await {
        Ok(()) => StartError::Broken("the control endpoint stopped".to_owned()),
        Err(error) => StartError::Control(error),
    }
}

fn open_hardware(args: &Args) -> Result<Simulation, StartError> {
    let region = match (&args.region_file, args.seed) {
        (None, None) => RegionSource::Embedded,
        (Some(path), None) => RegionSource::File(path.clone()),
        (path, Some(seed)) => {
            let mut file = path.as_deref().map_or_else(|| Ok(RegionFile::embedded()), RegionFile::read)?;
            file.seed = seed;
            RegionSource::Given(Box::new(file))
        }
    };
    let latency = match args.hardware_latency {
        HardwareLatency::RegionFile => LatencySource::RegionFile,
        HardwareLatency::Zero => LatencySource::Zero,
    };
    let options = SimulationOptions {
        region,
        storage: Storage::File(args.hardware_store.clone()),
        clock: ClockSource::Wall { time_scale: args.time_scale },
        latency,
    };
    Ok(Simulation::open(options)?)
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
