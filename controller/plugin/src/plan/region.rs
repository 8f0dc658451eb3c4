//! What is known here of the regions: what the controller publishes, if it can be read.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::ListParams;
use scaleset_controller::region_maps::{PublishedRegion, REGION_KEY};
use scaleset_crds::labels;
use scaleset_hardware::Catalog;

use crate::cluster::Cluster;

/// How much can be seen.
pub(super) enum Sight {
    /// Regions by location.
    Regions(BTreeMap<String, PublishedRegion>),
    /// Nothing, for this reason.
    Nothing(String),
}

impl Sight {
    pub(super) fn catalog(&self) -> Arc<Catalog> {
        let regions = match self {
            Self::Regions(regions) => {
                regions.iter().map(|(name, region)| (name.clone(), region.offer.clone())).collect()
            }
            Self::Nothing(_) => BTreeMap::new(),
        };
        Arc::new(Catalog { regions })
    }
}

pub(super) async fn look(cluster: &Cluster) -> Sight {
    let controllers = cluster.of_controller();
    match regions(&controllers).await {
        Ok(regions) if regions.is_empty() => {
            Sight::Nothing(format!("no controller publishes them in namespace {}", controllers.namespace))
        }
        Ok(regions) => Sight::Regions(regions),
        Err(error) => Sight::Nothing(format!("{error:#}")),
    }
}

async fn regions(cluster: &Cluster) -> anyhow::Result<BTreeMap<String, PublishedRegion>> {
    let maps: Vec<ConfigMap> = cluster.list(&ListParams::default().labels(labels::LOCATION)).await?;
    let mut regions = BTreeMap::new();
    for map in maps {
        let text = map.data.as_ref().and_then(|data| data.get(REGION_KEY));
        let text = text.with_context(|| format!("ConfigMap {} has no {REGION_KEY}", map.name_any()))?;
        let region = serde_json::from_str(text).with_context(|| format!("ConfigMap {}", map.name_any()))?;
        regions.insert(map.labels().get(labels::LOCATION).cloned().unwrap_or_default(), region);
    }
    Ok(regions)
}
