//! Whether the controller may be taken away: not while there are objects whose machines nobody else would release, and
//! whose finalizers nobody else would remove.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use kube::api::{Api, ApiResource, ListParams};
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::{Client, ResourceExt};
use scaleset_crds::{AutoscaleSetting, CapacityReservationGroup, FlexVM, ScaleSet, ScaleSetOperation, ScaleSetVM};
use thiserror::Error;

use crate::cluster::client::{ConnectError, connect};
use crate::cluster::failure::describe;
use crate::cluster::watched::{WatchedNamespaces, namespace_name};

/// So many objects of a kind are named; the others are counted.
const NAMED_MAX: u32 = 3;

/// What is asked, and for which release.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Kubeconfig of the API server; without it the pod's own account is used.
    #[arg(long, env = "KUBECONFIG", value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
    /// Name of the Helm release, for the way past the refusal.
    #[arg(long, value_name = "NAME")]
    release: String,
    /// Its namespace.
    #[arg(long, value_name = "NAME")]
    namespace: String,
    /// The one namespace that its controller works in, where it is one.
    #[arg(long, value_name = "NAME", value_parser = namespace_name)]
    watch_namespace: Option<String>,
}

/// It must stay, or nobody knows.
#[derive(Debug, Error)]
pub enum Refusal {
    /// Objects are there.
    #[error(
        "uninstall refused: there are {found}; without the controller their machines stay and they cannot be deleted. \
         Delete them first: kubectl delete scalesets,flexvms,scalesetoperations,capacityreservationgroups,autoscalesettings --all \
         {watched}. To leave them as they are, for a controller that is installed later: helm uninstall \
         {release} --namespace {namespace} --no-hooks"
    )]
    InUse {
        /// What there is.
        found: Found,
        /// Where they were looked for.
        watched: WatchedNamespaces,
        /// Helm's release.
        release: String,
        /// Its namespace.
        namespace: String,
    },
    /// No client.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A kind could not be listed.
    #[error("uninstall refused: {resource} cannot be listed: {message}; try again")]
    Unknown {
        /// The kind's resource.
        resource: String,
        /// Why.
        message: String,
    },
}

/// Objects of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Objects {
    resource: String,
    count: u64,
    /// The first of them, as `namespace/name`.
    named: Vec<String>,
}

/// The objects that are there, by kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found(Vec<Objects>);

/// Asks for objects of every kind.
pub(super) async fn ask(arguments: Arguments) -> Result<String, Refusal> {
    let Arguments { kubeconfig, release, namespace, watch_namespace } = arguments;
    let watched = WatchedNamespaces::named(watch_namespace.as_deref());
    let kubeconfig = kubeconfig.as_deref().filter(|path| *path != Path::new(""));
    let client = connect(kubeconfig).await?.client;
    let mut found = Vec::new();
    for resource in resources() {
        found.extend(objects(&client, &watched, &resource).await?);
    }
    if found.is_empty() {
        return Ok("there is nothing that needs the controller".to_owned());
    }
    Err(Refusal::InUse { found: Found(found), watched, release, namespace })
}

fn resources() -> [ApiResource; 6] {
    [
        ApiResource::erase::<ScaleSet>(&()),
        ApiResource::erase::<ScaleSetVM>(&()),
        ApiResource::erase::<FlexVM>(&()),
        ApiResource::erase::<ScaleSetOperation>(&()),
        ApiResource::erase::<CapacityReservationGroup>(&()),
        ApiResource::erase::<AutoscaleSetting>(&()),
    ]
}

/// `None` where there are none, or the kind is not served.
async fn objects(
    client: &Client,
    watched: &WatchedNamespaces,
    resource: &ApiResource,
) -> Result<Option<Objects>, Refusal> {
    let api: Api<DynamicObject> = match watched {
        WatchedNamespaces::All => Api::all_with(client.clone(), resource),
        WatchedNamespaces::One(name) => Api::namespaced_with(client.clone(), name, resource),
    };
    let list = match api.list_metadata(&ListParams::default().limit(NAMED_MAX)).await {
        Ok(list) => list,
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
        Err(error) => {
            return Err(Refusal::Unknown { resource: resource.plural.clone(), message: describe(&error) });
        }
    };
    let named: Vec<String> = list.items.iter().map(key).collect();
    let further = u64::try_from(list.metadata.remaining_item_count.unwrap_or_default()).unwrap_or_default();
    let count = named.len() as u64 + further;
    Ok((count > 0).then(|| Objects { resource: resource.plural.clone(), count, named }))
}

fn key(object: &PartialObjectMeta<DynamicObject>) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Objects { resource, count, named }) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let more = if *count > named.len() as u64 { ", …" } else { "" };
            write!(formatter, "{comma}{count} {resource} ({}{more})", named.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(resource: &str, count: u64, named: &[&str]) -> Objects {
        Objects { resource: resource.to_owned(), count, named: named.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn a_refusal_names_the_objects_and_both_ways_on() {
        let found = Found(vec![
            objects("scalesets", 1, &["shop/web"]),
            objects("scalesetvms", 12, &["shop/web-0", "shop/web-1", "shop/web-10"]),
        ]);
        let refusal = |watched: WatchedNamespaces| {
            let (release, namespace) = ("sets".to_owned(), "system".to_owned());
            Refusal::InUse { found: found.clone(), watched, release, namespace }.to_string()
        };
        let of_one = refusal(WatchedNamespaces::named(Some("shop")));
        assert!(of_one.contains("autoscalesettings --all --namespace shop. To leave"), "{of_one}");
        let text = refusal(WatchedNamespaces::All);
        for phrase in [
            "1 scalesets (shop/web), 12 scalesetvms (shop/web-0, shop/web-1, shop/web-10, …)",
            "kubectl delete scalesets,flexvms,scalesetoperations,capacityreservationgroups,autoscalesettings --all --all-namespaces",
            "helm uninstall sets --namespace system --no-hooks",
        ] {
            assert!(text.contains(phrase), "{phrase:?} is not in: {text}");
        }
    }

    #[test]
    fn every_kind_of_ours_is_asked_for() {
        let served: Vec<String> = scaleset_crds::manifests::custom_resource_definitions()
            .into_iter()
            .map(|definition| definition.spec.names.plural)
            .collect();
        let asked: Vec<String> = resources().into_iter().map(|resource| resource.plural).collect();
        assert_eq!(asked, served);
    }
}
