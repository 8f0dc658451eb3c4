//! What the health endpoints answer: status and text, also where it is no success.

use std::net::SocketAddr;

use http::{Request, StatusCode};
use kube::client::Body;
use kube::{Client, Config};

/// Asks `/readyz` at an address once.
pub async fn readiness(address: SocketAddr) -> anyhow::Result<(StatusCode, String)> {
    ask(address, "/readyz").await
}

/// Reads `/metrics` at an address once.
pub async fn metrics(address: SocketAddr) -> anyhow::Result<String> {
    Ok(ask(address, "/metrics").await?.1)
}

async fn ask(address: SocketAddr, path: &str) -> anyhow::Result<(StatusCode, String)> {
    let mut config = Config::new(format!("http://{address}").parse()?);
    // A 503 is an answer here.
    config.default_retry = false;
    let response = Client::try_from(config)?.send(Request::get(path).body(Body::empty())?).await?;
    let status = response.status();
    let text = response.into_body().collect_bytes().await?;
    Ok((status, String::from_utf8(text.to_vec())?))
}
