//! The load of machines.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};

use super::extract::Body;
use crate::sim::{ControlError, Load, Simulation};

type Answer<T> = Result<Json<T>, ControlError>;

pub(super) async fn list(State(simulation): State<Simulation>) -> Json<BTreeMap<String, Load>> {
    Json(simulation.load_views())
}

pub(super) async fn set(
    State(simulation): State<Simulation>,
    Path(name): Path<String>,
    Body(load): Body<Load>,
) -> Answer<BTreeMap<String, Load>> {
    simulation.set_load(&name, Some(load)).await?;
    Ok(Json(simulation.load_views()))
}

pub(super) async fn clear(
    State(simulation): State<Simulation>,
    Path(name): Path<String>,
) -> Answer<BTreeMap<String, Load>> {
    simulation.set_load(&name, None).await?;
    Ok(Json(simulation.load_views()))
}
