//! Obeys the plan: the operation's own writes, each guarded.

use futures::StreamExt;
use scaleset_crds::labels;
use scaleset_planning::operation::{MemberId, OperationPlan, OperationStep, OperationWrite};
use scaleset_planning::snapshot::{Confirmation, MemberKind};
use serde_json::json;
use tracing::{info, warn};

use super::observe::Observed;
use crate::cluster::{ClusterError, Kind, ObjectId, ObjectKey};
use crate::context::Context;

const WRITES_IN_FLIGHT_MAX: usize = 16;

/// What came of the plan.
#[derive(Default)]
pub(super) struct Executed {
    /// The first failure; the pass is then tried again with backoff.
    pub(super) retry: Option<ClusterError>,
}

pub(super) async fn execute(context: &Context, observed: &Observed, plan: &OperationPlan) -> Executed {
    match &plan.step {
        OperationStep::None | OperationStep::Wait { .. } | OperationStep::Refuse(_) | OperationStep::Begin(_) => {
            Executed::default()
        }
        OperationStep::Expire => {
            info!(operation = %observed.id.key.name, "time to live is over");
            let result = context.cluster.delete(&observed.id.uid, &observed.id).await;
            Executed { retry: result.err().filter(|error| !matches!(error, ClusterError::Gone { .. })) }
        }
        OperationStep::GoOn { writes, progress: _ } => {
            let attempts: Vec<_> = writes.iter().map(|write| carry_out(context, observed, write)).collect();
            let results: Vec<_> = futures::stream::iter(attempts).buffered(WRITES_IN_FLIGHT_MAX).collect().await;
            let mut executed = Executed::default();
            for error in results.into_iter().filter_map(Result::err) {
                warn!(operation = %observed.id.key.name, error = %error, "write failed");
                executed.retry.get_or_insert(error);
            }
            executed
        }
    }
}

async fn carry_out(context: &Context, observed: &Observed, write: &OperationWrite) -> Result<(), ClusterError> {
    let Observed { id, operation: _, target: _, others: _, wall_now: _ } = observed;
    let namespace = &id.key.namespace;
    let result = match write {
        OperationWrite::SetPower { member, wish } => {
            let patch = json!({
                "metadata": {"annotations": {labels::POWER_OPERATION: id.uid}},
                "spec": {"powerState": wish},
            });
            context.cluster.patch(&id.uid, &object(namespace, member), patch).await
        }
        OperationWrite::LowerReplicas { uid, resource_version, replicas, confirmation } => {
            let set = ObjectId {
                kind: Kind::ScaleSet,
                key: ObjectKey { namespace: namespace.clone(), name: observed.operation.spec.target.name.clone() },
                uid: uid.clone(),
                resource_version: resource_version.clone(),
            };
            let mut annotations = json!({labels::LAST_DELETE: id.uid});
            if let Confirmation::Target(target) = confirmation {
                annotations[labels::CONFIRM_SCALE_IN] = json!(target.to_string());
            }
            let patch = json!({"metadata": {"annotations": annotations}, "spec": {"replicas": replicas}});
            context.cluster.patch(&id.uid, &set, patch).await
        }
        OperationWrite::DeleteVm(member) => context.cluster.delete(&id.uid, &object(namespace, member)).await,
    };
    match result {
        // It is gone, which the next pass sees.
        Err(ClusterError::Gone { .. }) => Ok(()),
        other => other,
    }
}

fn object(namespace: &str, member: &MemberId) -> ObjectId {
    let MemberId { kind, name, uid, resource_version } = member;
    ObjectId {
        kind: match kind {
            MemberKind::ScaleSetVM => Kind::ScaleSetVM,
            MemberKind::FlexVM => Kind::FlexVM,
        },
        key: ObjectKey { namespace: namespace.to_owned(), name: name.clone() },
        uid: uid.clone(),
        resource_version: resource_version.clone(),
    }
}
