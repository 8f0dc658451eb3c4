//! Reconciles a `ScaleSetVM` or a `FlexVM`: observe → validate → plan → execute → report.
//!
//! One VM, one step a pass. Which revision it is to follow is its set's decision; here it is brought to that revision,
//! kept there when the hardware drifts, powered as wished, and released.

mod execute;
mod machine_view;
mod observe;
mod report;
mod validate;

use scaleset_planning::instance::plan;
use tracing::{Instrument, debug, debug_span};

use crate::cluster::{Freshness, ObjectKey};
use crate::context::{Context, Wake};
use crate::error::PassError;

/// Which of the two kinds of instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstanceKind {
    /// Uniform.
    ScaleSetVM,
    /// Flexible, or alone.
    FlexVM,
}

/// One pass over the instance named `key`. `Ok` says when to call again although nothing changes; an error is tried
/// again with backoff, after the status has been written where it could be.
pub async fn reconcile(context: &Context, kind: InstanceKind, key: &ObjectKey) -> Result<Wake, PassError> {
    let Some(instance) = observe::find(context, kind, key) else { return Ok(Wake::OnChange) };
    if let Freshness::Behind(wait) = context.cluster.freshness(instance.uid()) {
        return Ok(Wake::After(wait));
    }
    let observed = observe::observe(context, instance).instrument(debug_span!("observe")).await;
    let snapshot = debug_span!("validate").in_scope(|| validate::validate(&observed));
    let plan = debug_span!("plan").in_scope(|| plan(&snapshot));
    debug!(vm = %key.name, namespace = %key.namespace, step = ?plan.step, reason = %plan.reason, "planned");
    let executed = execute::execute(context, &observed, &snapshot, &plan).instrument(debug_span!("execute")).await;
    report::report(context, &observed, &snapshot, &plan, executed).instrument(debug_span!("report")).await
}
