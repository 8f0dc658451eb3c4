//! The control endpoint: HTTP and JSON to look at a simulated world and to change it while it runs.
//!
//! Every change is journalled and durable like a call of the controller. A refusal is
//! `{"error": {"code", "field", "message"}}`. There is no authentication: it listens on loopback only.

mod extract;
mod load;
mod load_balancer;
mod machine;
mod maintenance;
mod reservation;
mod spot;
mod world;

use std::io;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};
use serde_json::json;
use tokio::net::TcpListener;

use super::Simulation;

/// Longest body of a request, in bytes.
const LONGEST_BODY_BYTES: usize = 64 * 1_024;

/// The endpoint as a router, to be served or nested anywhere.
pub fn router(simulation: Simulation) -> Router {
    Router::new()
        .route("/", get(world::index))
        .route("/clock", get(world::clock))
        .route("/regions", get(world::regions))
        .route("/regions/{location}", get(world::region))
        .route("/regions/{location}/load-balancers/{name}", get(load_balancer::show))
        .route(
            "/regions/{location}/load-balancers/{name}/requests",
            put(load_balancer::set_requests).merge(delete(load_balancer::clear_requests)),
        )
        .route("/outages", get(world::outages))
        .route("/outages/{name}", put(world::set_outage).merge(delete(world::clear_outage)))
        .route("/regions/{location}/spot-prices", get(spot::prices))
        .route("/regions/{location}/spot-prices/{size}", put(spot::set_price).merge(delete(spot::clear_price)))
        .route("/spot-pressures", get(spot::pressures))
        .route("/spot-pressures/{name}", put(spot::set_pressure).merge(delete(spot::clear_pressure)))
        .route("/maintenances", get(maintenance::list))
        .route("/maintenances/{name}", put(maintenance::begin).merge(delete(maintenance::end)))
        .route("/faults", get(world::faults))
        .route("/faults/{name}", put(world::set_fault).merge(delete(world::clear_fault)))
        .route("/loads", get(load::list))
        .route("/loads/{name}", put(load::set).merge(delete(load::clear)))
        .route("/images", post(world::publish))
        .route("/journal", get(world::journal))
        .route("/calls", get(world::calls))
        .route("/reservation-groups", get(reservation::list))
        .route("/reservation-groups/{group}", get(reservation::show))
        .route("/machines", get(machine::list))
        .route("/machines/{machine}", get(machine::show).merge(delete(machine::vanish)))
        .route("/machines/{machine}/fail", post(machine::fail))
        .route("/machines/{machine}/heal", post(machine::heal))
        .route("/machines/{machine}/health", put(machine::set_health).merge(delete(machine::clear_health)))
        .route("/machines/{machine}/model", patch(machine::drift))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(LONGEST_BODY_BYTES))
        .with_state(simulation)
}

/// Serves the endpoint until `shutdown` is ready. The listener has to be on loopback.
pub async fn serve(
    listener: TcpListener,
    simulation: Simulation,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        let message =
            format!("the control endpoint cannot listen on {address}: it has no authentication; use 127.0.0.1");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    axum::serve(listener, router(simulation)).with_graceful_shutdown(shutdown).await
}

async fn unknown_path(uri: Uri) -> Response {
    let message = format!("nothing is at {}; GET / lists what there is", uri.path());
    refusal(StatusCode::NOT_FOUND, "NotFound", &message)
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let message = format!("{} does not take {method}; GET / lists what there is", uri.path());
    refusal(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", &message)
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    (status, axum::Json(json!({"error": {"code": code, "message": message}}))).into_response()
}
