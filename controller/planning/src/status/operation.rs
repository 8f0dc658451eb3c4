//! Status of a `ScaleSetOperation`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use scaleset_crds::OperationStatus;
use scaleset_crds::condition::{OperationCondition, Reason, keep_transition_times};
use scaleset_crds::operation::{FAILURES_MAX, OperationFailure, OperationType};

use super::{Truth, Verdict, cut, whole_seconds};
use crate::operation::{Beginning, InstanceProgress, OperationStep, Progress, RollOutcome};
use crate::snapshot::{Failure, OperationSnapshot};

/// VMs that a message names.
const NAMED_MAX: usize = 3;

/// How an operation stands, in words.
enum Standing {
    /// It has not begun.
    Waiting(Reason, String),
    /// It is under way.
    UnderWay(String),
    /// It has succeeded.
    Succeeded(String),
    /// It has failed.
    Failed(Failure),
}

/// The whole status after a pass; `None` where there is nothing to say that has not been said.
pub fn operation_status(snapshot: &OperationSnapshot, step: &OperationStep) -> Option<OperationStatus> {
    let mut status = snapshot.status.clone();
    let standing = match step {
        OperationStep::None | OperationStep::Expire => return None,
        OperationStep::Wait { reason, message } => Standing::Waiting(*reason, message.clone()),
        OperationStep::Refuse(failure) => Standing::Failed(failure.clone()),
        OperationStep::Begin(beginning) => begin(snapshot, &mut status, beginning),
        OperationStep::GoOn { writes: _, progress } => count(&mut status, progress),
    };
    status.observed_generation = Some(snapshot.generation);
    match &standing {
        Standing::Waiting(_, _) | Standing::UnderWay(_) => {}
        Standing::Succeeded(_) | Standing::Failed(_) => {
            let now = Time(whole_seconds(snapshot.wall_now));
            status.start_time.get_or_insert_with(|| now.clone());
            status.completion_time = Some(now);
        }
    }
    status.conditions = conditions(snapshot, &standing);
    keep_transition_times(&mut status.conditions, &snapshot.status.conditions);
    Some(status)
}

fn begin(snapshot: &OperationSnapshot, status: &mut OperationStatus, beginning: &Beginning) -> Standing {
    let Beginning { instances, model_revision, rolling_upgrade_number } = beginning.clone();
    let total = number(instances.len());
    status.start_time = Some(Time(whole_seconds(snapshot.wall_now)));
    (status.total, status.succeeded, status.failed, status.in_progress) = (Some(total), Some(0), Some(0), Some(total));
    status.instances = instances;
    status.model_revision = model_revision;
    status.rolling_upgrade_number = rolling_upgrade_number;
    let of_set = snapshot.spec.operation_type == OperationType::SetOrchestrationServiceState;
    if total == 0 && rolling_upgrade_number.is_none() && !of_set {
        return Standing::Succeeded("there is no VM that it is about".to_owned());
    }
    Standing::UnderWay("has begun".to_owned())
}

fn count(status: &mut OperationStatus, progress: &Progress) -> Standing {
    match progress {
        Progress::Instances(each) => count_instances(status, each),
        Progress::RollingUpgrade { total, succeeded, failed, outcome } => {
            status.total = Some(*total);
            status.succeeded = Some(*succeeded);
            status.failed = Some(*failed);
            status.in_progress = Some(total - succeeded - failed);
            standing_of(outcome)
        }
        Progress::Service(outcome) => standing_of(outcome),
    }
}

fn standing_of(outcome: &RollOutcome) -> Standing {
    match outcome {
        RollOutcome::UnderWay(message) => Standing::UnderWay(message.clone()),
        RollOutcome::Succeeded(message) => Standing::Succeeded(message.clone()),
        RollOutcome::Failed(failure) => Standing::Failed(failure.clone()),
    }
}

fn count_instances(
    status: &mut OperationStatus,
    each: &[(scaleset_crds::operation::OperationInstance, InstanceProgress)],
) -> Standing {
    let (mut succeeded, mut failures, mut waiting) = (0, Vec::new(), Vec::new());
    for (instance, progress) in each {
        match progress {
            InstanceProgress::Succeeded => succeeded += 1,
            InstanceProgress::Failed(Failure { reason, message }) => failures.push(OperationFailure {
                instance_id: instance.instance_id.clone(),
                code: reason.as_str().to_owned(),
                message: cut(message),
            }),
            InstanceProgress::UnderWay(trouble) => waiting.push((instance.name.as_str(), trouble.as_deref())),
        }
    }
    status.total = Some(number(each.len()));
    status.succeeded = Some(number(succeeded));
    status.failed = Some(number(failures.len()));
    status.in_progress = Some(number(waiting.len()));
    let standing = if !waiting.is_empty() {
        Standing::UnderWay(format!("{succeeded} of {} done, waits for {}", each.len(), names(&waiting)))
    } else if let Some(first) = failures.first() {
        let OperationFailure { instance_id, code, message } = first;
        let message = format!("{} of {} failed; {instance_id}: {code}: {message}", failures.len(), each.len());
        Standing::Failed(Failure { reason: Reason::ResourceOperationFailure, message })
    } else {
        Standing::Succeeded(format!("{succeeded} of {} done", each.len()))
    };
    failures.truncate(FAILURES_MAX);
    status.failures = failures;
    standing
}

/// The first few, with what is known of why they take so long.
fn names(waiting: &[(&str, Option<&str>)]) -> String {
    let named = waiting.iter().take(NAMED_MAX).map(|(name, trouble)| match trouble {
        Some(trouble) => format!("{name} ({trouble})"),
        None => (*name).to_owned(),
    });
    let rest = waiting.len().saturating_sub(NAMED_MAX);
    let named: Vec<String> = named.collect();
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{}{more}", named.join(", "))
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn conditions(snapshot: &OperationSnapshot, standing: &Standing) -> Vec<Condition> {
    let verdict = |condition: &OperationCondition| match (standing, condition) {
        (Standing::Waiting(reason, message), OperationCondition::Reconciling) => {
            Verdict::new(Truth::True, *reason, message.clone())
        }
        (Standing::Waiting(reason, message), _) => Verdict::new(Truth::False, *reason, message.clone()),
        (Standing::UnderWay(message), OperationCondition::Reconciling) => {
            Verdict::new(Truth::True, Reason::InProgress, message.clone())
        }
        (Standing::UnderWay(message), _) => Verdict::new(Truth::False, Reason::InProgress, message.clone()),
        (Standing::Succeeded(message), OperationCondition::Ready | OperationCondition::Complete) => {
            Verdict::new(Truth::True, Reason::Succeeded, message.clone())
        }
        (Standing::Succeeded(message), _) => Verdict::new(Truth::False, Reason::Succeeded, message.clone()),
        (Standing::Failed(failure), OperationCondition::Failed | OperationCondition::Stalled) => {
            Verdict::new(Truth::True, failure.reason, failure.message.clone())
        }
        (Standing::Failed(failure), _) => Verdict::new(Truth::False, failure.reason, failure.message.clone()),
    };
    OperationCondition::ALL
        .iter()
        .map(|condition| {
            let Verdict { truth, reason, message } = verdict(condition);
            let verdict = Verdict { truth, reason, message: cut(&message) };
            verdict.into_condition(condition.as_str(), snapshot.generation, snapshot.wall_now)
        })
        .collect()
}
