//! The door to the Kubernetes API: what a pass may read and write.
//!
//! Reads answer from a cache and never wait. A pass that has written may not decide again before the cache has seen
//! what it wrote: [`Cluster::freshness`] says whether it has. Writes are guarded: children are created by POST and
//! changed by a merge patch that carries uid and resourceVersion, deletes carry both as preconditions, and status goes
//! by server-side apply with the uid in the body.

pub mod client;
pub mod kubernetes;

mod autoscaler;
pub(crate) mod cache;
mod events;
pub(crate) mod failure;
mod kind;
mod own_writes;
pub(crate) mod store;
mod watch;
pub mod watched;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::ControllerRevision;
use scaleset_crds::event::EventReason;
use scaleset_crds::{AutoscaleSetting, CapacityReservationGroup, FlexVM, ScaleSet, ScaleSetOperation, ScaleSetVM};
use serde_json::Value;
use thiserror::Error;

/// The kinds that the controller reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `compute.scaleset.io/v1alpha1 ScaleSet`.
    ScaleSet,
    /// `compute.scaleset.io/v1alpha1 ScaleSetVM`.
    ScaleSetVM,
    /// `compute.scaleset.io/v1alpha1 FlexVM`.
    FlexVM,
    /// `compute.scaleset.io/v1alpha1 ScaleSetOperation`.
    ScaleSetOperation,
    /// `compute.scaleset.io/v1alpha1 CapacityReservationGroup`.
    CapacityReservationGroup,
    /// `compute.scaleset.io/v1alpha1 AutoscaleSetting`.
    AutoscaleSetting,
    /// `apps/v1 ControllerRevision`.
    ControllerRevision,
}

/// Namespace and name: the key of a queue and of a cache.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// One object, named so that a recreated one of the same name is not mistaken for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectId {
    /// Kind.
    pub kind: Kind,
    /// Namespace and name.
    pub key: ObjectKey,
    /// Uid.
    pub uid: String,
    /// The version that was read.
    pub resource_version: String,
}

/// An object to create.
#[derive(Clone, Debug)]
pub enum NewObject {
    /// An instance of a Uniform set.
    ScaleSetVM(Box<ScaleSetVM>),
    /// A member that a Flexible set makes.
    FlexVM(Box<FlexVM>),
    /// A revision of a set's profile.
    ControllerRevision(Box<ControllerRevision>),
}

/// The members of one set, as the cache has them: owned by the set's uid, or referring to it by name.
#[derive(Clone, Debug, Default)]
pub struct Members {
    /// Instances that the set owns, sorted by name.
    pub scale_set_vms: Vec<Arc<ScaleSetVM>>,
    /// `FlexVM`s that the set owns or that refer to it, sorted by name.
    pub flex_vms: Vec<Arc<FlexVM>>,
}

/// Whoever names a capacity reservation group, as the cache has them.
#[derive(Clone, Debug, Default)]
pub struct GroupUsers {
    /// Sets, sorted by name.
    pub scale_sets: Vec<Arc<ScaleSet>>,
    /// VMs that carry their own model, sorted by name.
    pub flex_vms: Vec<Arc<FlexVM>>,
}

/// Whether the cache shows what this process wrote on behalf of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It does; a pass may decide.
    Current,
    /// It does not yet; come back after this long, wall time.
    Behind(Duration),
}

/// Severity of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// A decision.
    Normal,
    /// A refusal or a failure.
    Warning,
}

/// An event about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The object that it is about.
    pub regarding: ObjectId,
    /// Severity.
    pub event_type: EventType,
    /// CamelCase, at most 128 characters.
    pub reason: EventReason,
    /// What was done, for example `ScaleOut`.
    pub action: String,
    /// In words, at most 1,000 characters.
    pub note: String,
}

/// Why a call to the API failed.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The object is gone, or another one has its name.
    #[error("{kind:?} {namespace}/{name} is gone")]
    Gone {
        /// Kind.
        kind: Kind,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// The object was changed since it was read.
    #[error("{kind:?} {namespace}/{name} was changed by somebody else")]
    Conflict {
        /// Kind.
        kind: Kind,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// There is an object of that name already.
    #[error("{kind:?} {namespace}/{name} exists already")]
    AlreadyExists {
        /// Kind.
        kind: Kind,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// The API refuses the object: the schema, admission, a quota, a terminating namespace.
    #[error("refused with status {status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What the API said.
        message: String,
    },
    /// The API does not answer, or asks to wait.
    #[error("api unavailable: {message}")]
    Unavailable {
        /// What happened.
        message: String,
    },
}

/// What a pass may read and write.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// The set of that name, from the cache.
    fn scale_set(&self, key: &ObjectKey) -> Option<Arc<ScaleSet>>;
    /// The instance of that name, from the cache.
    fn scale_set_vm(&self, key: &ObjectKey) -> Option<Arc<ScaleSetVM>>;
    /// The `FlexVM` of that name, from the cache.
    fn flex_vm(&self, key: &ObjectKey) -> Option<Arc<FlexVM>>;
    /// The operation of that name, from the cache.
    fn operation(&self, key: &ObjectKey) -> Option<Arc<ScaleSetOperation>>;
    /// The operations whose target has that name, of either kind, from the cache, sorted by name.
    fn operations(&self, target: &ObjectKey) -> Vec<Arc<ScaleSetOperation>>;
    /// The capacity reservation group of that name, from the cache.
    fn reservation_group(&self, key: &ObjectKey) -> Option<Arc<CapacityReservationGroup>>;
    /// The sets and the `FlexVM`s whose model names a group, from the cache, sorted by name.
    fn users_of_group(&self, group: &ObjectKey) -> GroupUsers;
    /// The autoscale setting of that name, from the cache.
    fn autoscale_setting(&self, key: &ObjectKey) -> Option<Arc<AutoscaleSetting>>;
    /// The autoscale settings about a set of that name, from the cache, sorted by name.
    fn autoscale_settings(&self, set: &ObjectKey) -> Vec<Arc<AutoscaleSetting>>;
    /// The members of a set, from the cache.
    fn members(&self, set: &ObjectKey, set_uid: &str) -> Members;
    /// The revisions that a set owns, from the cache, sorted by name.
    fn revisions(&self, set_uid: &str) -> Vec<Arc<ControllerRevision>>;
    /// The revision of that name, from the cache.
    fn revision(&self, key: &ObjectKey) -> Option<Arc<ControllerRevision>>;
    /// How many replicas a `HorizontalPodAutoscaler` on that set wishes for, of several the least, from the cache; `None` without
    /// one. An error where autoscalers cannot be read.
    fn autoscaler_wish(&self, set: &ObjectKey) -> Result<Option<i32>, ClusterError>;
    /// Whether a `HorizontalPodAutoscaler` scales that set, from the cache. An error where autoscalers cannot be read.
    fn has_autoscaler(&self, set: &ObjectKey) -> Result<bool, ClusterError>;
    /// Whether the cache shows every write that was made `on_behalf_of` the object with that uid.
    fn freshness(&self, on_behalf_of: &str) -> Freshness;

    /// Creates an object by POST.
    async fn create(&self, on_behalf_of: &str, object: NewObject) -> Result<(), ClusterError>;
    /// Changes an object by a merge patch; uid and resourceVersion of `target` are added to it as guards.
    async fn patch(&self, on_behalf_of: &str, target: &ObjectId, merge_patch: Value) -> Result<(), ClusterError>;
    /// Sets a set's count through its `scale`, under the field manager of autoscale; the resourceVersion of `set` guards it.
    async fn scale(&self, on_behalf_of: &str, set: &ObjectId, replicas: i32) -> Result<(), ClusterError>;
    /// Writes the whole status by server-side apply. An object that has vanished is not made anew, and one that has
    /// been recreated is told as [`ClusterError::Gone`], though its status is then ours until its own pass.
    async fn apply_status(&self, on_behalf_of: &str, target: &ObjectId, status: Value) -> Result<(), ClusterError>;
    /// Deletes an object in the background; uid and resourceVersion of `target` guard it.
    async fn delete(&self, on_behalf_of: &str, target: &ObjectId) -> Result<(), ClusterError>;
    /// Publishes an event. A failure is logged by the caller and never fails a pass.
    async fn publish(&self, notice: Notice) -> Result<(), ClusterError>;
}
