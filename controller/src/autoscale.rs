//! Reconciles an `AutoscaleSetting`: observe → validate → plan → execute → report.
//!
//! A decision is on record before the set is told of it, and what the set was told is on record in the pass after: a process
//! that dies in between goes on where it stopped, and acts once.

mod execute;
mod observe;
mod report;
mod validate;

use scaleset_planning::autoscale::plan;
use tracing::debug;

use crate::cluster::{Freshness, ObjectKey};
use crate::context::{Context, Wake};
use crate::error::PassError;

pub(crate) use validate::{confirms, is_enabled};

/// One pass over the setting named `key`. `Ok` says when to call again although nothing changes; an error is tried again with
/// backoff, after the decision has been put on record where it could be.
pub async fn reconcile(context: &Context, key: &ObjectKey) -> Result<Wake, PassError> {
    let Some(setting) = context.cluster.autoscale_setting(key) else {
        context.metrics.autoscaled(key, None);
        return Ok(Wake::OnChange);
    };
    let uid = setting.metadata.uid.clone().unwrap_or_default();
    if let Freshness::Behind(wait) = context.cluster.freshness(&uid) {
        return Ok(Wake::After(wait));
    }
    if setting.metadata.deletion_timestamp.is_some() {
        context.metrics.autoscaled(key, None);
        return Ok(Wake::OnChange);
    }
    let observed = observe::observe(context, setting).await;
    let snapshot = validate::validate(&observed);
    let plan = plan(&snapshot);
    debug!(setting = %key.name, namespace = %key.namespace, told = ?plan.told, blocker = ?plan.blocker, "planned");
    let executed = execute::execute(context, &observed, &snapshot, &plan).await;
    report::report(context, &observed, &snapshot, &plan, executed).await
}
