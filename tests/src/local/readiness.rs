//! What `/readyz` answers: status and text, also where it is no success.

use std::net::SocketAddr;

use http::{Request, StatusCode};
use kube::client::Body;
use kube::{Client, Config};

/// Asks `/readyz` at an address once.
pub async fn readiness(address: SocketAddr) -> anyhow::Result<(StatusCode, String)> {
    let mut config = Config::new(format!("http://{address}").parse()?);
    // A 503 is an answer here.
    config.default_retry = false;
    let response = Client::try_from(config)?.send(Request::get("/readyz").body(Body::empty())?).await?;
    let status = response.status();
    let text = response.into_body().collect_bytes().await?;
    Ok((status, String::from_utf8(text.to_vec())?))
}
