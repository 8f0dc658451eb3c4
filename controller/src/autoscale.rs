//! Reconciles an `AutoscaleSetting`: observe → validate → plan → execute → report.
//!
//! A decision is on record before the set is told of it, and what the set was told is on record in the pass after: a process
//! that dies in between goes on where it stopped, and acts once.

mod execute;
mod observe;
mod report;
mod validate;

use scaleset_planning::autoscale::plan;
use tracing::{Instrument, debug, debug_span};

use crate::cluster::{Freshness, ObjectKey};
use crate::context::{Context, Wake};
use crate::error::PassError;
use crate::metrics::Autoscaled;

pub(crate) use validate::{is_enabled, recorded};

/// One pass over the setting named `key`. `Ok` says when to call again although nothing changes; an error is tried again with
/// backoff, after the decision has been put on record where it could be.
pub async fn reconcile(context: &Context, key: &ObjectKey) -> Result<Wake, PassError> {
    let Some(setting) = context.cluster.autoscale_setting(key) else {
        context.metrics.autoscaled(key, Autoscaled::Gone);
        return Ok(Wake::OnChange);
    };
    let uid = setting.metadata.uid.clone().unwrap_or_default();
    if let Freshness::Behind(wait) = context.cluster.freshness(&uid) {
        return Ok(Wake::After(wait));
    }
    if setting.metadata.deletion_timestamp.is_some() {
        context.metrics.autoscaled(key, Autoscaled::Gone);
        return Ok(Wake::OnChange);
    }
    let observed = observe::observe(context, setting).instrument(debug_span!("observe")).await;
    let snapshot = debug_span!("validate").in_scope(|| validate::validate(&observed));
    let plan = debug_span!("plan").in_scope(|| plan(&snapshot));
    debug!(setting = %key.name, namespace = %key.namespace, told = ?plan.told, blocker = ?plan.blocker, "planned");
    let executed = execute::execute(context, &observed, &snapshot, &plan).instrument(debug_span!("execute")).await;
    report::report(context, &observed, &snapshot, &plan, executed).instrument(debug_span!("report")).await
}
