//! Publishes what the regions offer, each as a `ConfigMap` in the controller's namespace, for those who have a kubeconfig
//! and no way to the hardware: sizes, zones, images, networks, and vCPU quotas with their usage.
//!
//! It is a forecast like everything that is read from elsewhere, at most ten seconds old. What has not changed is not
//! written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use scaleset_crds::spot::Priority;
use scaleset_crds::{FIELD_MANAGER, labels};
use scaleset_hardware::catalog::Region;
use scaleset_hardware::headroom::Quota;
use scaleset_hardware::{Hardware, HardwareError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::cluster::failure::describe;

/// Key of the region's description in such a `ConfigMap`.
pub const REGION_KEY: &str = "region.json";

const LOOK_EVERY: Duration = Duration::from_secs(10);
/// After so many looks a region is written although it is the same: somebody may have changed or deleted it.
const LOOKS_BETWEEN_REPEATS: u32 = 60;

/// What is told of a region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedRegion {
    /// What it offers.
    #[serde(flatten)]
    pub offer: Region,
    /// vCPU quotas that are limited, by name: a size's family, or `regional total`.
    pub quotas: Vec<Quota>,
}

/// Name of a region's `ConfigMap`.
pub fn config_map_name(location: &str) -> String {
    format!("scaleset-region-{location}")
}

/// Publishes for ever.
pub async fn publish(client: Client, namespace: String, hardware: Arc<dyn Hardware>) {
    let maps: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut published: BTreeMap<String, PublishedRegion> = BTreeMap::new();
    let mut failure: Option<String> = None;
    for look in (0..LOOKS_BETWEEN_REPEATS).cycle() {
        looks.tick().await;
        if look == 0 {
            published.clear();
        }
        let told = look_and_write(&maps, hardware.as_ref(), &mut published).await.err();
        match &told {
            // Not again while it stays the same.
            Some(message) if failure != told => warn!(namespace, "regions are not published: {message}"),
            None if failure.is_some() => info!(namespace, "regions are published"),
            Some(_) | None => {}
        }
        failure = told;
    }
}

async fn look_and_write(
    maps: &Api<ConfigMap>,
    hardware: &dyn Hardware,
    published: &mut BTreeMap<String, PublishedRegion>,
) -> Result<(), String> {
    let regions = regions(hardware).await.map_err(|error| error.to_string())?;
    let mut failure = Ok(());
    for (location, region) in regions {
        if published.get(&location) == Some(&region) {
            continue;
        }
        match write(maps, &location, &region).await {
            Ok(()) => drop(published.insert(location, region)),
            Err(error) => failure = Err(error),
        }
    }
    failure
}

async fn regions(hardware: &dyn Hardware) -> Result<BTreeMap<String, PublishedRegion>, HardwareError> {
    let catalog = hardware.catalog().await?;
    let mut regions = BTreeMap::new();
    for (location, offer) in &catalog.regions {
        let mut quotas: BTreeMap<String, Quota> = BTreeMap::new();
        // Sizes of one family count against the same quotas.
        let of_families: BTreeMap<&str, &str> =
            offer.sizes.iter().map(|(name, size)| (size.family.as_str(), name.as_str())).collect();
        for (size, priority) in
            of_families.values().flat_map(|size| [(size, Priority::Regular), (size, Priority::Spot)])
        {
            let headroom = hardware.headroom(location, size, priority).await?.unwrap_or_default();
            quotas.extend(headroom.quotas.into_iter().map(|quota| (quota.name.clone(), quota)));
        }
        let region = PublishedRegion { offer: offer.clone(), quotas: quotas.into_values().collect() };
        regions.insert(location.clone(), region);
    }
    Ok(regions)
}

async fn write(maps: &Api<ConfigMap>, location: &str, region: &PublishedRegion) -> Result<(), String> {
    let name = config_map_name(location);
    let text = serde_json::to_string_pretty(region).map_err(|error| error.to_string())?;
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {labels::LOCATION: location, "app.kubernetes.io/managed-by": FIELD_MANAGER}},
        "data": {REGION_KEY: text},
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    maps.patch(&name, &parameters, &Patch::Apply(&map)).await.map(drop).map_err(|error| describe(&error))
}
