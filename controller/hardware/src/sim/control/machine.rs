//! Machines: looking at them, and doing to them what no controller asked for. A machine is named by its uid, or by
//! `namespace:name` of its owner.

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};

use super::extract::{Body, Parameters};
use crate::machine::{Health, Machine};
use crate::sim::world::ControlCode;
use crate::sim::{ControlError, Drift, MachineFault, Simulation};

/// Machines in one page, unless fewer are asked for.
const LONGEST_PAGE: usize = 500;

type Answer<T> = Result<Json<T>, ControlError>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Filter {
    location: Option<String>,
    namespace: Option<String>,
    name_prefix: Option<String>,
    #[serde(default)]
    after: String,
    limit: Option<usize>,
}

/// A page of machines, in the order of their uids.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MachinePage {
    machines: Vec<Machine>,
    /// What to ask for next; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_after: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Failing {
    #[serde(default, rename = "as")]
    fault: MachineFault,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HealthWish {
    health: Health,
}

pub(super) async fn list(
    State(simulation): State<Simulation>,
    Parameters(filter): Parameters<Filter>,
) -> Json<MachinePage> {
    let Filter { location, namespace, name_prefix, after, limit } = filter;
    let limit = limit.unwrap_or(LONGEST_PAGE).clamp(1, LONGEST_PAGE);
    let mut machines = simulation.machines_after(&after, limit + 1, |machine| {
        location.as_ref().is_none_or(|location| machine.placement.location == *location)
            && namespace.as_ref().is_none_or(|namespace| machine.owner.namespace == *namespace)
            && name_prefix.as_ref().is_none_or(|prefix| machine.owner.name.starts_with(prefix.as_str()))
    });
    let more = machines.len() > limit;
    machines.truncate(limit);
    let next_after = machines.last().filter(|_| more).map(|machine| machine.uid.clone());
    Json(MachinePage { machines, next_after })
}

pub(super) async fn show(State(simulation): State<Simulation>, Path(machine): Path<String>) -> Answer<Machine> {
    seen(&simulation, &simulation.machine_uid(&machine)?)
}

pub(super) async fn fail(
    State(simulation): State<Simulation>,
    Path(machine): Path<String>,
    Body(Failing { fault }): Body<Failing>,
) -> Answer<Machine> {
    let uid = simulation.machine_uid(&machine)?;
    simulation.fail_machine(&uid, fault).await?;
    seen(&simulation, &uid)
}

pub(super) async fn heal(State(simulation): State<Simulation>, Path(machine): Path<String>) -> Answer<Machine> {
    let uid = simulation.machine_uid(&machine)?;
    simulation.heal_machine(&uid).await?;
    seen(&simulation, &uid)
}

pub(super) async fn set_health(
    State(simulation): State<Simulation>,
    Path(machine): Path<String>,
    Body(HealthWish { health }): Body<HealthWish>,
) -> Answer<Machine> {
    let uid = simulation.machine_uid(&machine)?;
    simulation.set_health(&uid, health).await?;
    seen(&simulation, &uid)
}

pub(super) async fn clear_health(State(simulation): State<Simulation>, Path(machine): Path<String>) -> Answer<Machine> {
    let uid = simulation.machine_uid(&machine)?;
    simulation.clear_health(&uid).await?;
    seen(&simulation, &uid)
}

pub(super) async fn drift(
    State(simulation): State<Simulation>,
    Path(machine): Path<String>,
    Body(drift): Body<Drift>,
) -> Answer<Machine> {
    let uid = simulation.machine_uid(&machine)?;
    simulation.drift(&uid, drift).await?;
    seen(&simulation, &uid)
}

pub(super) async fn vanish(
    State(simulation): State<Simulation>,
    Path(machine): Path<String>,
) -> Answer<serde_json::Value> {
    let uid = simulation.machine_uid(&machine)?;
    simulation.vanish(&uid).await?;
    Ok(Json(serde_json::json!({"vanished": uid})))
}

fn seen(simulation: &Simulation, uid: &str) -> Answer<Machine> {
    let machine = simulation.machine_view(uid);
    machine.map(Json).ok_or_else(|| ControlError {
        code: ControlCode::NotFound,
        field: "machine",
        message: format!("no machine {uid}"),
    })
}
