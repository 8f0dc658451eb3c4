//! Every version of every object of our kinds in a namespace, in the order in which the API server stored them: what a
//! tool could have looked at, not a sample of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams};
use scaleset_crds::{AutoscaleSetting, CapacityReservationGroup, FlexVM, ScaleSet, ScaleSetOperation, ScaleSetVM};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::scene::Scene;

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Stored,
    Removed,
}

/// One version of an object; of a removed one the last.
#[derive(Clone, Debug)]
pub struct Version {
    pub change: Change,
    pub object: Value,
}

impl Version {
    /// Kind and name.
    pub fn key(&self) -> (String, String) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&self.object["kind"]), text(&self.object["metadata"]["name"]))
    }

    /// The revision of the whole store at which it was written: it orders versions of different objects too.
    fn revision(&self) -> u64 {
        let text = self.object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        text.parse().expect("etcd's revisions are numbers")
    }
}

/// The kinds that are followed.
pub fn kinds() -> [ApiResource; 6] {
    [
        ApiResource::erase::<ScaleSet>(&()),
        ApiResource::erase::<ScaleSetVM>(&()),
        ApiResource::erase::<FlexVM>(&()),
        ApiResource::erase::<CapacityReservationGroup>(&()),
        ApiResource::erase::<ScaleSetOperation>(&()),
        ApiResource::erase::<AutoscaleSetting>(&()),
    ]
}

#[test]
fn every_kind_of_ours_is_followed() {
    let definitions = scaleset_crds::manifests::custom_resource_definitions();
    let ours: BTreeSet<String> = definitions.into_iter().map(|definition| definition.spec.names.kind).collect();
    assert_eq!(kinds().into_iter().map(|kind| kind.kind).collect::<BTreeSet<String>>(), ours);
}

/// Watches of every kind, from before the first object.
pub struct Versions {
    seen: Arc<Mutex<Vec<Version>>>,
    watches: Vec<JoinHandle<anyhow::Result<()>>>,
}

impl Versions {
    /// Begins in a namespace that has no objects yet.
    pub async fn begin(scene: &Scene<'_>) -> anyhow::Result<Self> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut watches = Vec::new();
        for kind in kinds() {
            let api: Api<DynamicObject> = Api::namespaced_with(scene.world.client.clone(), &scene.namespace, &kind);
            let list = api.list(&ListParams::default()).await?;
            ensure!(list.items.is_empty(), "there are objects of {} already", kind.kind);
            let from = list.metadata.resource_version.context("a list has a version")?;
            watches.push(tokio::spawn(follow(api, from, Arc::clone(&seen))));
        }
        Ok(Self { seen, watches })
    }

    /// Every version, once all that was ever there is gone.
    pub async fn end(self, scene: &Scene<'_>) -> anyhow::Result<Vec<Version>> {
        let Self { seen, watches } = self;
        let taken = || seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        scene
            .until("the watches have seen everything go", async || {
                for watch in &watches {
                    ensure!(!watch.is_finished(), "a watch has ended and may have missed something");
                }
                let mut last: BTreeMap<(String, String), Change> = BTreeMap::new();
                for version in taken() {
                    last.insert(version.key(), version.change);
                }
                let left: Vec<_> = last.into_iter().filter(|(_, change)| *change == Change::Stored).collect();
                ensure!(left.is_empty(), "{left:?} are left");
                Ok(())
            })
            .await?;
        for watch in watches {
            watch.abort();
        }
        let mut versions = taken();
        versions.sort_by_key(Version::revision);
        Ok(versions)
    }
}

async fn follow(api: Api<DynamicObject>, from: String, seen: Arc<Mutex<Vec<Version>>>) -> anyhow::Result<()> {
    let parameters = WatchParams::default();
    let mut events = api.watch(&parameters, &from).await?.boxed();
    while let Some(event) = events.try_next().await? {
        let (change, object) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (Change::Stored, object),
            WatchEvent::Deleted(object) => (Change::Removed, object),
            WatchEvent::Bookmark(_) => continue,
            WatchEvent::Error(error) => anyhow::bail!("{error:?}"),
        };
        let version = Version { change, object: serde_json::to_value(object)? };
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(version);
    }
    Ok(())
}
