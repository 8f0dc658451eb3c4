//! Reconciles a `ScaleSet`: observe → validate → plan → execute → report.
//!
//! A pass is given a key and nothing else: it never learns what woke it. It decides only when the cache shows what the
//! passes before it wrote.

mod children;
mod decisions;
mod execute;
mod observe;
mod report;
mod validate;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use scaleset_crds::{CapacityReservationGroup, ScaleSet};
use scaleset_hardware::Catalog;
use scaleset_planning::audit::audit;
use scaleset_planning::scale_set::plan;
use scaleset_planning::snapshot::ScaleSetSnapshot;
use tracing::{Instrument, debug, debug_span};

use crate::cluster::{Freshness, Members, ObjectKey};
use crate::context::{Context, Wake};
use crate::error::PassError;
use crate::reservation_group::referenced;

pub use validate::{confirmation, revision};
pub(crate) use validate::{
    failure_of, fault_domain_on, finalizer, is_owned_by, maintenance_of, member_count, member_shape, origin,
    profile_of, protection, repair_of, set_shape, shutdown_of,
};

/// A set and what belongs to it, as the API server has them.
#[derive(Clone, Debug)]
pub struct SetObjects {
    /// The set.
    pub set: Arc<ScaleSet>,
    /// Its members.
    pub members: Members,
    /// Its revisions.
    pub revisions: Vec<Arc<ControllerRevision>>,
    /// The capacity reservation groups that they name, as far as they exist.
    pub reservation_groups: Vec<Arc<CapacityReservationGroup>>,
}

/// The planner's snapshot of a set from its objects and what the regions offer, for whoever wants to know what a pass
/// would do.
pub fn snapshot(objects: SetObjects, catalog: Arc<Catalog>, now: Timestamp) -> ScaleSetSnapshot {
    validate::validate(&observe::without_hardware(objects, catalog, now))
}

/// The capacity reservation groups that a set and its revisions name, sorted.
pub fn named_groups(objects: &SetObjects) -> Vec<ObjectKey> {
    referenced(&objects.set, objects.revisions.iter().map(AsRef::as_ref)).into_iter().collect()
}

/// One pass over the set named `key`. `Ok` says when to call again although nothing changes; an error is tried again
/// with backoff, after the status has been written where it could be.
pub async fn reconcile(context: &Context, key: &ObjectKey) -> Result<Wake, PassError> {
    let Some(set) = context.cluster.scale_set(key) else {
        context.metrics.forget_set(key);
        return Ok(Wake::OnChange);
    };
    let uid = set.metadata.uid.clone().unwrap_or_default();
    if let Freshness::Behind(wait) = context.cluster.freshness(&uid) {
        return Ok(Wake::After(wait));
    }
    let observed = observe::observe(context, set).instrument(debug_span!("observe")).await;
    let snapshot = debug_span!("validate").in_scope(|| validate::validate(&observed));
    let plan = debug_span!("plan").in_scope(|| plan(&snapshot));
    debug_assert_eq!(audit(&snapshot, &plan), Vec::<String>::new(), "the plan breaks a rule: {plan}");
    debug!(set = %key.name, namespace = %key.namespace, plan = %plan, "planned");
    let executed = execute::execute(context, &observed, &snapshot, &plan).instrument(debug_span!("execute")).await;
    report::report(context, &observed, &snapshot, &plan, executed).instrument(debug_span!("report")).await
}
