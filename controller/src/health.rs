//! Whether the process lives (`/healthz`), whether it works (`/readyz`), and what it counts (`/metrics`).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use scaleset_hardware::{Hardware, HardwareError};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::cluster::kubernetes::KubernetesCluster;
use crate::metrics::Metrics;

/// How long the hardware may take to answer whoever asks for `/readyz`: less than the kubelet waits.
const HARDWARE_MAX: Duration = Duration::from_secs(3);
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What `/readyz` names first.
const KUBERNETES_API: &str = "the kubernetes api";

/// What the endpoints tell of.
#[derive(Clone, Default)]
pub struct Health {
    cluster: Arc<OnceLock<KubernetesCluster>>,
    standing: Arc<Mutex<Standing>>,
    hardware: Arc<OnceLock<Arc<dyn Hardware>>>,
    metrics: Arc<Metrics>,
}

/// The address cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {source}; choose another with {flag}")]
pub struct ListenError {
    address: SocketAddr,
    flag: &'static str,
    source: std::io::Error,
}

/// Opens the address that `flag` names.
pub async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, flag, source })
}

/// What this process is among the replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It leads, or there is no election.
    #[default]
    Leading,
    /// It takes part in an election that has not begun: the API server is waited for.
    Candidate,
    /// It leads, and waits for hardware that does not answer.
    WithoutHardware(String),
    /// It would lead if whoever does would not; ready for that.
    Standby(String),
    /// It would lead, and cannot: who leads stands in a lease that it cannot read or write.
    WithoutLease(String),
}

impl Health {
    /// What this process is from now on. Whether it was something else before.
    pub fn stands(&self, standing: Standing) -> bool {
        self.metrics.leads(match standing {
            Standing::Leading | Standing::WithoutHardware(_) => 1,
            Standing::Candidate | Standing::Standby(_) | Standing::WithoutLease(_) => 0,
        });
        let mut before = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *before != standing;
        *before = standing;
        changed
    }

    fn standing(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is counted.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// The caches are being filled from now on. Until then `/readyz` says that the API server is waited for, unless something
    /// else is: another leader, or the hardware.
    pub fn connected(&self, cluster: KubernetesCluster) {
        // Said twice, the first one stays.
        let _ = self.cluster.set(cluster);
    }

    /// What `/readyz` answers.
    pub(crate) async fn readiness(&self) -> (StatusCode, String) {
        let waiting_for = match self.standing() {
            Standing::Standby(leader) => return (StatusCode::OK, format!("standby: {leader}\n")),
            Standing::Candidate => Some(KUBERNETES_API.to_owned()),
            Standing::WithoutHardware(reason) | Standing::WithoutLease(reason) => Some(reason),
            Standing::Leading => match self.waiting_for() {
                Some(reason) => Some(reason),
                None => self.unreached().await,
            },
        };
        match waiting_for {
            None => (StatusCode::OK, "ok\n".to_owned()),
            Some(waiting_for) => (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {waiting_for}\n")),
        }
    }

    /// Hardware in another process has let this one in. From now on it is asked whether it still answers.
    pub fn reached(&self, hardware: Arc<dyn Hardware>) {
        let _ = self.hardware.set(hardware);
    }

    /// Why the hardware of another process does not answer, where there is one. What it refuses, it answers.
    async fn unreached(&self) -> Option<String> {
        let hardware = self.hardware.get()?;
        match timeout(HARDWARE_MAX, hardware.catalog()).await {
            Err(_) => Some(format!("the hardware: no answer within {} s", HARDWARE_MAX.as_secs())),
            Ok(Err(HardwareError::Transient { message })) => {
                Some(message.trim_start_matches("waiting for ").to_owned())
            }
            Ok(Err(error @ HardwareError::StaleEpoch { .. })) => Some(format!("the hardware: {error}")),
            Ok(
                Ok(_)
                | Err(
                    HardwareError::NotFound { .. }
                    | HardwareError::NoCapacity { .. }
                    | HardwareError::Quota { .. }
                    | HardwareError::NotOffered { .. }
                    | HardwareError::Throttled { .. }
                    | HardwareError::Stale { .. }
                    | HardwareError::Busy { .. },
                ),
            ) => None,
        }
    }

    fn waiting_for(&self) -> Option<String> {
        let Some(cluster) = self.cluster.get() else { return Some(KUBERNETES_API.to_owned()) };
        let unsynced = cluster.unsynced();
        if unsynced.is_empty() {
            return None;
        }
        let failures = cluster.watch_failures().into_iter().map(|(kind, failure)| format!("; {kind}: {failure}"));
        Some(format!("the first list of {}{}", unsynced.join(", "), failures.collect::<String>()))
    }
}

/// Opens the address; what is returned serves it until it is dropped.
pub async fn listen(address: SocketAddr, health: Health) -> Result<impl Future<Output = ()>, ListenError> {
    let listener = bind(address, "--health-listen").await?;
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health);
    Ok(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "health endpoints stopped");
        }
    })
}

async fn ready(State(health): State<Health>) -> (StatusCode, String) {
    health.readiness().await
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], health.metrics.text())
}
