//! A metric that a `HorizontalPodAutoscaler` is moved by: `external.metrics.k8s.io`, served over TLS as an adapter of a
//! monitoring system serves it. An `APIService` leads the API server here.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use anyhow::Context;
use axum::extract::{Path, State};
use axum::routing::get;
use axum::serve::Listener;
use axum::{Json, Router};
use jiff::Timestamp;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::server::TlsStream;

/// Group and version of the API.
pub const GROUP_VERSION: &str = "external.metrics.k8s.io/v1beta1";
/// The name of the only metric.
pub const METRIC: &str = "requests_waiting";

/// The server; it ends when this is dropped.
#[derive(Debug)]
pub struct ExternalMetrics {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate, PEM, which signs itself.
    pub certificate: String,
    metric: Arc<Metric>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Metric {
    value: AtomicI64,
    /// How often it was read.
    reads: AtomicU64,
}

impl ExternalMetrics {
    /// Serves under a name that the certificate is for; the metric is 0.
    pub async fn serve(server_name: &str) -> anyhow::Result<Self> {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([server_name.to_owned()])?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], PrivatePkcs8KeyDer::from(signing_key.serialize_der()).into())?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr().context("it listens")?;
        let metric = Arc::new(Metric::default());
        let routes = Router::new()
            .route(&format!("/apis/{GROUP_VERSION}"), get(resources))
            .route(&format!("/apis/{GROUP_VERSION}/namespaces/{{namespace}}/{{metric}}"), get(values))
            .with_state(Arc::clone(&metric));
        let listener = TlsListener { listener, acceptor: TlsAcceptor::from(Arc::new(config)) };
        let task = tokio::spawn(async move {
            // It serves until it is aborted.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self { address, certificate: cert.pem(), metric, task })
    }

    /// What it is from now on.
    pub fn set(&self, value: i64) {
        self.metric.value.store(value, Ordering::SeqCst);
    }

    /// How often it was read so far: an autoscaler reads it each time that it looks.
    pub fn reads(&self) -> u64 {
        self.metric.reads.load(Ordering::SeqCst)
    }
}

impl Drop for ExternalMetrics {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn resources() -> Json<Value> {
    Json(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP_VERSION,
        "resources": [{
            "name": METRIC, "singularName": METRIC, "namespaced": true, "kind": "ExternalMetricValueList", "verbs": ["get"],
        }],
    }))
}

async fn values(State(known): State<Arc<Metric>>, Path((_, metric)): Path<(String, String)>) -> Json<Value> {
    known.reads.fetch_add(1, Ordering::SeqCst);
    Json(json!({
        "kind": "ExternalMetricValueList", "apiVersion": GROUP_VERSION, "metadata": {},
        "items": [{
            "metricName": metric, "metricLabels": {}, "timestamp": Timestamp::now().to_string(),
            "value": known.value.load(Ordering::SeqCst).to_string(),
        }],
    }))
}

/// Connections that have agreed on TLS.
struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // Who does not agree is not served; the next may.
            let Ok((connection, peer)) = self.listener.accept().await else { continue };
            if let Ok(connection) = self.acceptor.accept(connection).await {
                return (connection, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
