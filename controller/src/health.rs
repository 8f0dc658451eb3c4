//! Whether the process lives (`/healthz`), whether it works (`/readyz`), and what it counts (`/metrics`).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use thiserror::Error;
use tokio::net::TcpListener;

use crate::cluster::Kind;
use crate::cluster::kubernetes::KubernetesCluster;
use crate::metrics::Metrics;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the endpoints tell of.
#[derive(Clone, Default)]
pub struct Health {
    cluster: Arc<OnceLock<KubernetesCluster>>,
    standing: Arc<Mutex<Standing>>,
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
    /// It leads, and waits for hardware that does not answer.
    WithoutHardware(String),
    /// It would lead if whoever does would not; ready for that.
    Standby(String),
}

impl Health {
    /// What this process is from now on. Whether it was something else before.
    pub fn stands(&self, standing: Standing) -> bool {
        self.metrics.leads(match standing {
            Standing::Leading | Standing::WithoutHardware(_) => 1,
            Standing::Standby(_) => 0,
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
    pub(crate) fn readiness(&self) -> (StatusCode, String) {
        let waiting_for = match self.standing() {
            Standing::Standby(leader) => return (StatusCode::OK, format!("standby: {leader}\n")),
            Standing::WithoutHardware(reason) => Some(reason),
            Standing::Leading => self.waiting_for(),
        };
        match waiting_for {
            None => (StatusCode::OK, "ok\n".to_owned()),
            Some(waiting_for) => (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {waiting_for}\n")),
        }
    }

    fn waiting_for(&self) -> Option<String> {
        let Some(cluster) = self.cluster.get() else { return Some("the kubernetes api".to_owned()) };
        let unsynced: Vec<&str> = cluster.unsynced().into_iter().map(Kind::as_str).collect();
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
    health.readiness()
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], health.metrics.text())
}
