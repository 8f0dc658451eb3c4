//! Whether the process lives (`/healthz`) and serves (`/readyz`).

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;

/// Serves both until this is dropped. The hardware is open and its address bound when this exists, so both answer alike.
pub(crate) async fn serve(listener: TcpListener) -> std::io::Result<()> {
    let ok = async || "ok\n";
    axum::serve(listener, Router::new().route("/healthz", get(ok)).route("/readyz", get(ok))).await
}
