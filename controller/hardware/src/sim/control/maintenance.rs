//! Maintenance of hosts.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};

use super::extract::Body;
use crate::sim::maintenance::OngoingView;
use crate::sim::{ControlError, Maintenance, Simulation};

type Answer = Result<Json<BTreeMap<String, OngoingView>>, ControlError>;

pub(super) async fn list(State(simulation): State<Simulation>) -> Json<BTreeMap<String, OngoingView>> {
    Json(simulation.maintenance_views())
}

pub(super) async fn begin(
    State(simulation): State<Simulation>,
    Path(name): Path<String>,
    Body(maintenance): Body<Maintenance>,
) -> Answer {
    simulation.begin_maintenance(&name, maintenance).await?;
    Ok(Json(simulation.maintenance_views()))
}

pub(super) async fn end(State(simulation): State<Simulation>, Path(name): Path<String>) -> Answer {
    simulation.end_maintenance(&name).await?;
    Ok(Json(simulation.maintenance_views()))
}
