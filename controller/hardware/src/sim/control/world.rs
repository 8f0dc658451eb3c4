//! Regions, places, faults, images, the journal and the clock.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::{Body, Parameters};
use crate::sim::store::JournalPage;
use crate::sim::survey::{ClockView, RegionDetail, RegionView};
use crate::sim::{Call, CallCount, ControlError, Fault, Outage, Simulation};

/// Entries of the journal in one page, unless another number is asked for.
const USUAL_PAGE: usize = 100;

type Answer<T> = Result<Json<T>, ControlError>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Publication {
    image: String,
    version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct JournalFilter {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
    machine: Option<String>,
}

pub(super) async fn index() -> Json<Value> {
    Json(json!({
        "GET /clock": "scenario and wall time, time scale, next event",
        "GET /regions": "regions with room, quotas and subnets",
        "GET /regions/{location}": "the same with sizes, images and every host",
        "GET /regions/{location}/load-balancers/{name}": "what its probe hears of each machine, its pool, its requests",
        "PUT /regions/{location}/load-balancers/{name}/requests": "{\"perSecond\", \"eachSeconds\"}: requests are sent",
        "DELETE /regions/{location}/load-balancers/{name}/requests": "no more requests are sent",
        "GET /machines?location=&namespace=&namePrefix=&after=&limit=": "machines, paged",
        "GET /machines/{machine}": "one machine, by uid or namespace:name",
        "POST /machines/{machine}/fail": "{\"as\": \"Hang\" | \"Crash\"}",
        "POST /machines/{machine}/heal": "heal a machine that hangs or was made to answer badly",
        "PUT /machines/{machine}/health": "{\"health\": \"Healthy\" | \"Unhealthy\" | \"Unknown\" | \"Hangs\"}",
        "DELETE /machines/{machine}/health": "the script decides again what the application answers",
        "PATCH /machines/{machine}/model": "drift: {\"vmSize\", \"tags\", \"removeExtension\"}",
        "DELETE /machines/{machine}": "the machine vanishes",
        "GET /reservation-groups": "capacity reservation groups with their machines",
        "GET /reservation-groups/{group}": "one group, by uid or namespace:name",
        "GET /outages": "places that are down",
        "PUT /outages/{name}": "{\"location\", \"zone\", \"faultDomain\", \"host\"}",
        "DELETE /outages/{name}": "the place comes back",
        "GET /regions/{location}/spot-prices": "what an hour of a Spot machine costs now, by size",
        "PUT /regions/{location}/spot-prices/{size}": "{\"price\": \"0.05\"}; who has agreed to less is evicted",
        "DELETE /regions/{location}/spot-prices/{size}": "the price of the region file again",
        "GET /spot-pressures": "places where Spot capacity is needed by others",
        "PUT /spot-pressures/{name}": "{\"location\", \"zone\", \"vmSize\", \"evict\"}: some are evicted, none is allocated",
        "DELETE /spot-pressures/{name}": "there is Spot capacity again",
        "GET /maintenances": "maintenance of hosts that goes on",
        "PUT /maintenances/{name}": "{\"kind\": \"Freeze\" | \"Reboot\" | \"Redeploy\" | \"HardwareFailure\", \"location\", \"zone\", \"faultDomain\", \"host\"}",
        "DELETE /maintenances/{name}": "nobody else is told of it",
        "GET /faults": "scripted faults",
        "PUT /faults/{name}": "{\"effect\": {\"type\": …}, \"selector\", \"ratePercent\", \"remaining\"}",
        "DELETE /faults/{name}": "the fault is over",
        "GET /loads": "what makes machines measure something",
        "PUT /loads/{name}": "{\"selector\", \"namespace\", \"metric\", \"sharing\": \"Each\" | \"Total\", \"course\": [{\"afterSeconds\", \"value\"}], \"repeatSeconds\"}",
        "DELETE /loads/{name}": "the load is over",
        "POST /images": "publish a version: {\"image\", \"version\"}",
        "GET /journal?after=&limit=&machine=": "every call that could change something, paged",
        "GET /calls": "how often each call was made",
    }))
}

pub(super) async fn clock(State(simulation): State<Simulation>) -> Json<ClockView> {
    Json(simulation.clock_view())
}

pub(super) async fn regions(State(simulation): State<Simulation>) -> Json<Vec<RegionView>> {
    Json(simulation.region_views())
}

pub(super) async fn region(State(simulation): State<Simulation>, Path(location): Path<String>) -> Answer<RegionDetail> {
    simulation.region_detail(&location).map(Json)
}

pub(super) async fn outages(State(simulation): State<Simulation>) -> Json<BTreeMap<String, Outage>> {
    Json(simulation.outage_views())
}

pub(super) async fn set_outage(
    State(simulation): State<Simulation>,
    Path(name): Path<String>,
    Body(outage): Body<Outage>,
) -> Answer<BTreeMap<String, Outage>> {
    simulation.set_outage(&name, outage).await?;
    Ok(Json(simulation.outage_views()))
}

pub(super) async fn clear_outage(
    State(simulation): State<Simulation>,
    Path(name): Path<String>,
) -> Answer<BTreeMap<String, Outage>> {
    simulation.clear_outage(&name).await?;
    Ok(Json(simulation.outage_views()))
}

pub(super) async fn faults(State(simulation): State<Simulation>) -> Json<BTreeMap<String, Fault>> {
    Json(simulation.fault_views())
}

pub(super) async fn set_fault(
    State(simulation): State<Simulation>,
    Path(name): Path<String>,
    Body(fault): Body<Fault>,
) -> Answer<BTreeMap<String, Fault>> {
    simulation.set_fault(&name, fault).await?;
    Ok(Json(simulation.fault_views()))
}

pub(super) async fn clear_fault(
    State(simulation): State<Simulation>,
    Path(name): Path<String>,
) -> Answer<BTreeMap<String, Fault>> {
    simulation.clear_fault(&name).await?;
    Ok(Json(simulation.fault_views()))
}

pub(super) async fn publish(
    State(simulation): State<Simulation>,
    Body(Publication { image, version }): Body<Publication>,
) -> Answer<Value> {
    simulation.publish_image(&image, &version).await?;
    Ok(Json(json!({"image": image, "latest": version})))
}

pub(super) async fn journal(
    State(simulation): State<Simulation>,
    Parameters(filter): Parameters<JournalFilter>,
) -> Answer<JournalPage> {
    let JournalFilter { after, limit, machine } = filter;
    let page = simulation.journal_page(after, limit.unwrap_or(USUAL_PAGE), machine.as_deref()).await;
    page.map(Json)
}

pub(super) async fn calls(State(simulation): State<Simulation>) -> Json<BTreeMap<Call, CallCount>> {
    Json(simulation.calls())
}
