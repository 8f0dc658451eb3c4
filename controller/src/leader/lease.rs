//! The lease in the API: read, made, written with the version that was read, and watched.

use std::time::Duration;

use futures::future::ready;
use futures::stream::{self, BoxStream, StreamExt};
use k8s_openapi::api::coordination::v1 as coordination;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams, WatchEvent, WatchParams};
use scaleset_crds::FIELD_MANAGER;
use thiserror::Error;
use tokio::time::{sleep, timeout};

use super::timing::Timing;
use crate::cluster::failure::describe;

/// How long a lease lasts that its holder has released: as short as the schema allows.
const RELEASED_SECONDS: i32 = 1;
/// How long one watch lasts at most.
const WATCH_SECONDS: u32 = 60;

/// Why the lease could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum LeaseError {
    /// Somebody has written, made or deleted it since it was read.
    #[error("it has changed meanwhile")]
    Overtaken,
    /// The API did not do it.
    #[error("{0}")]
    Failed(String),
}

/// The lease as it was at one version.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) spec: LeaseSpec,
    resource_version: Option<String>,
}

impl Lease {
    pub(super) fn transitions(&self) -> i32 {
        self.spec.lease_transitions.unwrap_or_default()
    }

    pub(super) fn holder(&self) -> String {
        self.spec.holder_identity.clone().unwrap_or_default()
    }
}

/// One lease in the API, and who would hold it.
pub(super) struct Leases {
    api: Api<coordination::Lease>,
    name: String,
    identity: String,
    timing: Timing,
}

impl Leases {
    pub(super) fn new(client: Client, namespace: &str, name: &str, timing: Timing) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, name: name.to_owned(), identity: identity(), timing }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    pub(super) fn is_ours(&self, lease: &Lease) -> bool {
        lease.holder() == self.identity
    }

    pub(super) async fn get(&self) -> Result<Option<Lease>, LeaseError> {
        Ok(self.within(self.api.get_opt(&self.name)).await?.map(known))
    }

    /// Makes the lease, ours.
    pub(super) async fn create(&self, transitions: i32) -> Result<Lease, LeaseError> {
        let lease = self.object(None, self.held(transitions, now()));
        Ok(known(self.within(self.api.create(&parameters(), &lease)).await?))
    }

    /// Takes it from who has it, or has let it go.
    pub(super) async fn take(&self, found: &Lease, transitions: i32) -> Result<Lease, LeaseError> {
        self.replace(found, self.held(transitions, now())).await
    }

    /// Keeps it.
    pub(super) async fn renew(&self, held: &Lease, transitions: i32) -> Result<Lease, LeaseError> {
        let since = held.spec.acquire_time.clone().unwrap_or_else(now);
        self.replace(held, self.held(transitions, since)).await
    }

    /// Lets it go, if it is still ours. The number of changes stays: the next one goes on counting.
    pub(super) async fn release(&self, held: Lease) -> Result<(), LeaseError> {
        let mut held = held;
        loop {
            let spec = LeaseSpec {
                holder_identity: Some(String::new()),
                lease_duration_seconds: Some(RELEASED_SECONDS),
                renew_time: Some(now()),
                ..held.spec.clone()
            };
            match self.replace(&held, spec).await {
                // A renewal was under way when the leadership ended.
                Err(LeaseError::Overtaken) => match self.get().await? {
                    Some(lease) if self.is_ours(&lease) => held = lease,
                    Some(_) | None => return Ok(()),
                },
                released => return released.map(drop),
            }
        }
    }

    /// Tells of every change of the lease, and now and then of none; never ends. Where it cannot be watched, it tells
    /// after every retry period.
    pub(super) fn changes(&self) -> BoxStream<'static, ()> {
        let fields = format!("metadata.name={}", self.name);
        let parameters = WatchParams::default().fields(&fields).timeout(WATCH_SECONDS);
        let (api, pause) = (self.api.clone(), self.timing.retry_period);
        let watch = move |()| {
            let (api, parameters) = (api.clone(), parameters.clone());
            async move { api.watch(&parameters, "").await.map(StreamExt::boxed) }
        };
        let told = move |opened: kube::Result<BoxStream<'static, kube::Result<WatchEvent<coordination::Lease>>>>| {
            let events = stream::iter(opened.ok()).flatten().take_while(|event| ready(event.is_ok())).map(drop);
            events.chain(stream::once(sleep(pause)))
        };
        stream::repeat(()).then(watch).flat_map(told).boxed()
    }

    async fn replace(&self, found: &Lease, spec: LeaseSpec) -> Result<Lease, LeaseError> {
        let lease = self.object(found.resource_version.clone(), spec);
        Ok(known(self.within(self.api.replace(&self.name, &parameters(), &lease)).await?))
    }

    fn object(&self, resource_version: Option<String>, spec: LeaseSpec) -> coordination::Lease {
        let metadata = ObjectMeta { name: Some(self.name.clone()), resource_version, ..ObjectMeta::default() };
        coordination::Lease { metadata, spec: Some(spec) }
    }

    fn held(&self, transitions: i32, since: MicroTime) -> LeaseSpec {
        let seconds = i32::try_from(self.timing.lease_duration.as_secs()).unwrap_or(i32::MAX);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(seconds),
            lease_transitions: Some(transitions),
            acquire_time: Some(since),
            renew_time: Some(now()),
            ..LeaseSpec::default()
        }
    }

    /// A call that hangs must leave time for a second one before the renew deadline.
    async fn within<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, LeaseError> {
        let limit: Duration = self.timing.renew_deadline / 2;
        match timeout(limit, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) if [404, 409].contains(&status.code) && is_about_the_lease(&status) => {
                Err(LeaseError::Overtaken)
            }
            Ok(Err(error)) => Err(LeaseError::Failed(describe(&error))),
            Err(_) => Err(LeaseError::Failed(format!("no answer within {} s", limit.as_secs_f64()))),
        }
    }
}

/// A namespace that is missing is no change of the lease.
fn is_about_the_lease(status: &kube::core::Status) -> bool {
    let kind = status.details.as_ref().map(|details| details.kind.as_str());
    status.code == 409 || kind == Some("leases")
}

fn known(lease: coordination::Lease) -> Lease {
    let coordination::Lease { metadata, spec } = lease;
    Lease { spec: spec.unwrap_or_default(), resource_version: metadata.resource_version }
}

fn now() -> MicroTime {
    MicroTime(Timestamp::now())
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// Nobody else's, also not that of an earlier process on this host: it has not done what that one has done.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}_{:016x}", host.trim(), rand::random::<u64>())
}
