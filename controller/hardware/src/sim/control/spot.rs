//! The market of Spot machines: prices and pressures.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use scaleset_crds::spot::Price;
use serde::Deserialize;

use super::extract::Body;
use crate::sim::{ControlError, Simulation, SpotPressure};

type Answer<T> = Result<Json<T>, ControlError>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PriceWish {
    price: Price,
}

pub(super) async fn prices(
    State(simulation): State<Simulation>,
    Path(location): Path<String>,
) -> Answer<BTreeMap<String, Price>> {
    simulation.spot_price_views(&location).map(Json)
}

pub(super) async fn set_price(
    State(simulation): State<Simulation>,
    Path((location, size)): Path<(String, String)>,
    Body(PriceWish { price }): Body<PriceWish>,
) -> Answer<BTreeMap<String, Price>> {
    simulation.set_spot_price(&location, &size, Some(price)).await?;
    simulation.spot_price_views(&location).map(Json)
}

pub(super) async fn clear_price(
    State(simulation): State<Simulation>,
    Path((location, size)): Path<(String, String)>,
) -> Answer<BTreeMap<String, Price>> {
    simulation.set_spot_price(&location, &size, None).await?;
    simulation.spot_price_views(&location).map(Json)
}

pub(super) async fn pressures(State(simulation): State<Simulation>) -> Json<BTreeMap<String, SpotPressure>> {
    Json(simulation.spot_pressure_views())
}

pub(super) async fn set_pressure(
    State(simulation): State<Simulation>,
    Path(name): Path<String>,
    Body(pressure): Body<SpotPressure>,
) -> Answer<BTreeMap<String, SpotPressure>> {
    simulation.set_spot_pressure(&name, pressure).await?;
    Ok(Json(simulation.spot_pressure_views()))
}

pub(super) async fn clear_pressure(
    State(simulation): State<Simulation>,
    Path(name): Path<String>,
) -> Answer<BTreeMap<String, SpotPressure>> {
    simulation.clear_spot_pressure(&name).await?;
    Ok(Json(simulation.spot_pressure_views()))
}
