//! From the command line to hardware that is served, and to one clear line where that is not possible.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use scaleset_hardware::sim::{
    ClockSource, OpenError, RegionFileError, RegionSource, Simulation, SimulationOptions, Storage, control,
};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};
use tracing::{info, warn};

use crate::args::{Access, Args};
use crate::server::{self, Guard, TokenReviewer};
use crate::token::{TokenError, TokenFile};
use crate::{health, telemetry};

/// Why the hardware is not served; each is one line that names the thing and the mend.
#[derive(Debug, Error)]
pub enum StartError {
    /// Flags that do not fit together, or the log level.
    #[error("{0}")]
    Flags(String),
    /// The region file.
    #[error(transparent)]
    Region(#[from] RegionFileError),
    /// The store, or what is in it.
    #[error(transparent)]
    Hardware(#[from] OpenError),
    /// The shared token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A certificate or key.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// The client that verifies tokens.
    #[error("kubernetes client for token reviews: {0}; name a kubeconfig with --kubeconfig, or run in a cluster")]
    Kubernetes(String),
    /// An address.
    #[error("cannot listen on {address}: {source}; choose another with {flag}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Which flag it came from.
        flag: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The gRPC server.
    #[error("serving failed: {0}")]
    Serve(#[from] tonic::transport::Error),
    /// One of the HTTP endpoints, or signals.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Serves until the process is asked to stop. What was answered is durable, so that no more is needed for a clean end.
pub async fn run(args: Args) -> Result<(), StartError> {
    telemetry::start(args.log_format, &args.log_level).map_err(StartError::Flags)?;
    if let Some(refusal) = args.is_open_to_all() {
        return Err(StartError::Flags(refusal));
    }
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let hardware = open(&args)?;
    let (guard, tls) = (guard(&args.access).await?, tls(&args.access)?);
    if tls.is_none() && !args.listen.ip().is_loopback() {
        warn!("tokens travel in the clear; give --tls-cert-file and --tls-key-file where others can listen");
    }
    let listener = bind(args.listen, "--listen").await?;
    let health = bind(args.health_listen, "--health-listen").await?;
    let control = match args.control_listen {
        Some(address) => Some(bind(address, "--control-listen").await?),
        None => None,
    };
    info!(
        version = env!("CARGO_PKG_VERSION"), listen = %args.listen, store = %args.store.display(),
        time_scale = args.time_scale, guard = ?guard, tls = tls.is_some(), "serving"
    );
    tokio::select! {
        served = server::serve(listener, tls, Arc::new(hardware.clone()), guard) => Ok(served?),
        ended = health::serve(health) => Ok(ended?),
        ended = serve_world(control, hardware.clone()) => Ok(ended?),
        _ = interrupt.recv() => {
            info!(signal = "SIGINT", "stopping");
            Ok(())
        }
        _ = terminate.recv() => {
            info!(signal = "SIGTERM", "stopping");
            Ok(())
        }
    }
}

fn open(args: &Args) -> Result<Simulation, StartError> {
    let region = RegionSource::chosen(args.region_file.as_deref(), args.seed)?;
    let latency = args.latency.into();
    let storage = Storage::File(args.store.clone());
    let clock = ClockSource::Wall { time_scale: args.time_scale };
    Ok(Simulation::open(SimulationOptions { region, storage, clock, latency })?)
}

async fn guard(access: &Access) -> Result<Guard, StartError> {
    match access {
        Access { token_file: Some(path), .. } => Ok(Guard::Token(TokenFile::open(path.clone())?)),
        Access { token_audience: Some(audience), token_user: Some(user), kubeconfig, .. } => {
            let client = client(kubeconfig.as_deref().filter(|path| *path != Path::new(""))).await;
            let client = client.map_err(|error| StartError::Kubernetes(error.to_string()))?;
            Ok(Guard::Review(TokenReviewer::new(client, audience.clone(), user.clone())))
        }
        Access { .. } => Ok(Guard::Open),
    }
}

async fn client(kubeconfig: Option<&Path>) -> Result<Client, Box<dyn std::error::Error>> {
    let config = match kubeconfig {
        Some(path) => {
            Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &KubeConfigOptions::default()).await?
        }
        None => Config::incluster()?,
    };
    Ok(Client::try_from(config)?)
}

fn tls(access: &Access) -> Result<Option<ServerTlsConfig>, StartError> {
    let (Some(certificate), Some(key)) = (&access.tls_cert_file, &access.tls_key_file) else { return Ok(None) };
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(read(certificate)?, read(key)?));
    Ok(Some(match &access.client_ca_file {
        Some(authority) => tls.client_ca_root(Certificate::from_pem(read(authority)?)),
        None => tls,
    }))
}

fn read(path: &Path) -> Result<String, StartError> {
    std::fs::read_to_string(path).map_err(|source| StartError::File { path: path.to_owned(), source })
}

async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, flag, source })
}

/// Lets the simulated world be changed where an address is given for it; ends only when that fails.
async fn serve_world(listener: Option<TcpListener>, hardware: Simulation) -> std::io::Result<()> {
    match listener {
        Some(listener) => control::serve(listener, hardware, std::future::pending()).await,
        None => std::future::pending().await,
    }
}
