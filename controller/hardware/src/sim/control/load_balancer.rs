//! Load balancers: their pools, and the requests that are sent through them.

use axum::Json;
use axum::extract::{Path, State};

use super::extract::Body;
use crate::sim::survey::LoadBalancerView;
use crate::sim::{ControlError, RequestLoad, Simulation};

type Answer<T> = Result<Json<T>, ControlError>;

pub(super) async fn show(
    State(simulation): State<Simulation>,
    Path((location, name)): Path<(String, String)>,
) -> Answer<LoadBalancerView> {
    simulation.load_balancer(&location, &name).map(Json)
}

pub(super) async fn set_requests(
    State(simulation): State<Simulation>,
    Path((location, name)): Path<(String, String)>,
    Body(load): Body<RequestLoad>,
) -> Answer<LoadBalancerView> {
    simulation.set_requests(&location, &name, Some(load)).await?;
    simulation.load_balancer(&location, &name).map(Json)
}

pub(super) async fn clear_requests(
    State(simulation): State<Simulation>,
    Path((location, name)): Path<(String, String)>,
) -> Answer<LoadBalancerView> {
    simulation.set_requests(&location, &name, None).await?;
    simulation.load_balancer(&location, &name).map(Json)
}
