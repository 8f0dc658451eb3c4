//! Writes the status once, tells the beginning and the end as events, says when to look again.

use std::time::Instant;

use scaleset_crds::OperationStatus;
use scaleset_crds::condition::{OperationCondition, Reason, find};
use scaleset_crds::event::{EventReason, Occurrence};
use scaleset_planning::operation::{OperationPlan, OperationStep};
use scaleset_planning::snapshot::OperationSnapshot;
use scaleset_planning::status::operation::operation_status;
use tracing::warn;

use super::execute::Executed;
use super::observe::Observed;
use crate::cluster::{ClusterError, EventType, Notice};
use crate::context::{Context, Wake};
use crate::error::PassError;

/// Counters alone wait for the pace; a condition that turns does not.
pub(super) async fn report(
    context: &Context,
    observed: &Observed,
    snapshot: &OperationSnapshot,
    plan: &OperationPlan,
    executed: Executed,
) -> Result<Wake, PassError> {
    let mut wake = plan.wake_after.map_or(Wake::OnChange, Wake::After);
    if let Some(status) = operation_status(snapshot, &plan.step).filter(|status| *status != snapshot.status) {
        let wait = context.pace.wait(&observed.id.uid, Instant::now());
        if wait.is_zero() || turned(&status, &snapshot.status) {
            write(context, observed, &status).await?;
            if let Some(notice) = notice(observed, &plan.step, &status, &snapshot.status)
                && let Err(error) = context.cluster.publish(notice).await
            {
                warn!(operation = %observed.id.key.name, error = %error, "event lost");
            }
        } else {
            wake = wake.sooner(Wake::After(wait));
        }
    }
    executed.retry.map_or(Ok(wake), |error| Err(error.into()))
}

async fn write(context: &Context, observed: &Observed, status: &OperationStatus) -> Result<(), ClusterError> {
    let value = serde_json::to_value(status).expect("a status is plain data");
    match context.cluster.apply_status(&observed.id.uid, &observed.id, value).await {
        Ok(()) => context.pace.note(&observed.id.uid, Instant::now()),
        Err(ClusterError::Gone { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Whether more than counters changed.
fn turned(status: &OperationStatus, before: &OperationStatus) -> bool {
    let condition = |status: &OperationStatus| -> Vec<(String, String)> {
        let pairs = status.conditions.iter();
        pairs.map(|condition| (condition.status.clone(), condition.reason.clone())).collect()
    };
    status.start_time != before.start_time
        || status.completion_time != before.completion_time
        || condition(status) != condition(before)
}

fn notice(
    observed: &Observed,
    step: &OperationStep,
    status: &OperationStatus,
    before: &OperationStatus,
) -> Option<Notice> {
    let ready = find(&status.conditions, OperationCondition::Ready.as_str())?;
    let failed = find(&status.conditions, OperationCondition::Failed.as_str())?.status == "True";
    let ended = status.completion_time.is_some() && before.completion_time.is_none();
    let begun = matches!(step, OperationStep::Begin(_));
    let of_condition = || EventReason::from(Reason::from_code(&ready.reason));
    let (event_type, reason, note) = match (ended, begun) {
        (true, _) if failed => (EventType::Warning, of_condition(), ready.message.clone()),
        (true, _) => (EventType::Normal, of_condition(), ready.message.clone()),
        (false, true) => {
            let note = match status.instances.len() {
                0 => "its turn has come".to_owned(),
                count => format!("on {count} VMs"),
            };
            (EventType::Normal, Occurrence::Begun.into(), note)
        }
        (false, false) => return None,
    };
    Some(Notice {
        regarding: observed.id.clone(),
        event_type,
        reason,
        action: format!("{:?}", observed.operation.spec.operation_type),
        note,
    })
}
