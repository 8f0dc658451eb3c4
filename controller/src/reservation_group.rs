//! Reconciles a `CapacityReservationGroup`: observe → validate → plan → execute → report.
//!
//! The hardware holds what is reserved and who has which slot; here it is told what is wished, and what it says is shown.

mod execute;
mod observe;
mod report;
mod validate;

use scaleset_planning::reservation_group::plan;
use tracing::{Instrument, debug, debug_span};

use crate::cluster::{Freshness, ObjectKey};
use crate::context::{Context, Wake};
use crate::error::PassError;

pub(crate) use validate::{named_group, referenced, reserved_group};

/// One pass over the group named `key`. `Ok` says when to call again although nothing changes; an error is tried again with
/// backoff, after the status has been written where it could be.
pub async fn reconcile(context: &Context, key: &ObjectKey) -> Result<Wake, PassError> {
    let Some(group) = context.cluster.reservation_group(key) else {
        context.metrics.reserved(key, &[]);
        return Ok(Wake::OnChange);
    };
    let uid = group.metadata.uid.clone().unwrap_or_default();
    if let Freshness::Behind(wait) = context.cluster.freshness(&uid) {
        return Ok(Wake::After(wait));
    }
    let observed = observe::observe(context, group).instrument(debug_span!("observe")).await;
    let snapshot = debug_span!("validate").in_scope(|| validate::validate(&observed));
    let plan = debug_span!("plan").in_scope(|| plan(&snapshot));
    debug!(group = %key.name, namespace = %key.namespace, actions = ?plan.actions, "planned");
    let executed = execute::execute(context, &observed, &snapshot, &plan).instrument(debug_span!("execute")).await;
    report::report(context, &observed, &snapshot, &plan, executed).instrument(debug_span!("report")).await
}
