//! Reconciles a `ScaleSetOperation`: observe → validate → plan → execute → report.
//!
//! It decides when the operation's turn comes and what it is about, writes what is its own to write, and counts what
//! others have done. Restarts, reimages and the like are carried out by the passes of the instances, upgrades and
//! removals by those of the set.

mod execute;
mod observe;
mod report;
mod validate;

use scaleset_planning::operation::plan;
use tracing::{Instrument, debug, debug_span};

use crate::cluster::{Freshness, ObjectKey};
use crate::context::{Context, Wake};
use crate::error::PassError;

pub(crate) use validate::{order, set_operation};

/// One pass over the operation named `key`. `Ok` says when to call again although nothing changes; an error is tried
/// again with backoff.
pub async fn reconcile(context: &Context, key: &ObjectKey) -> Result<Wake, PassError> {
    let Some(operation) = context.cluster.operation(key) else { return Ok(Wake::OnChange) };
    let uid = operation.metadata.uid.clone().unwrap_or_default();
    if let Freshness::Behind(wait) = context.cluster.freshness(&uid) {
        return Ok(Wake::After(wait));
    }
    let observed = debug_span!("observe").in_scope(|| observe::observe(context, operation));
    let snapshot = debug_span!("validate").in_scope(|| validate::validate(&observed));
    let plan = debug_span!("plan").in_scope(|| plan(&snapshot));
    debug!(operation = %key.name, namespace = %key.namespace, step = ?plan.step, "planned");
    let executed = execute::execute(context, &observed, &plan).instrument(debug_span!("execute")).await;
    report::report(context, &observed, &snapshot, &plan, executed).instrument(debug_span!("report")).await
}
