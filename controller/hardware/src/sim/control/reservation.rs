//! Capacity reservation groups. A group is named by its uid, or by `namespace:name`.

use axum::Json;
use axum::extract::{Path, State};

use crate::reservation::ReservationGroup;
use crate::sim::{ControlError, Simulation};

pub(super) async fn list(State(simulation): State<Simulation>) -> Json<Vec<ReservationGroup>> {
    Json(simulation.group_views())
}

pub(super) async fn show(
    State(simulation): State<Simulation>,
    Path(group): Path<String>,
) -> Result<Json<ReservationGroup>, ControlError> {
    simulation.group_named(&group).map(Json)
}
