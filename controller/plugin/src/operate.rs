//! Asks for something once and waits until it is done, as far as the person stays.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use futures::{Stream, StreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use kube::ResourceExt;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::watcher::{self, watch_object};
use scaleset_crds::condition::{OperationCondition, find};
use scaleset_crds::operation::{
    OperationParameters, OperationTarget, OperationTargetKind, OperationType, ScaleSetOperation, ScaleSetOperationSpec,
};
use tokio::time::{Instant, sleep_until};

use crate::arguments::{AskedTarget, WaitOptions};
use crate::cluster::Cluster;

/// How long the object is kept after its end, seconds.
const KEPT_SECONDS: i32 = 3_600;
/// Nobody looks at the operation for so long: the controller may not be there.
const UNSEEN_MAX: Duration = Duration::from_secs(10);

/// What is asked for.
pub(crate) struct Request {
    pub(crate) operation_type: OperationType,
    pub(crate) target: Target,
    pub(crate) parameters: Option<OperationParameters>,
}

/// Of whom.
pub(crate) struct Target {
    kind: OperationTargetKind,
    name: String,
    instance_ids: Vec<String>,
}

impl Target {
    pub(crate) fn set(name: String) -> Self {
        Self::named(name, Vec::new())
    }

    pub(crate) const fn named(name: String, instance_ids: Vec<String>) -> Self {
        Self { kind: OperationTargetKind::ScaleSet, name, instance_ids }
    }
}

impl From<AskedTarget> for Target {
    fn from(AskedTarget { name, instance_ids, vm }: AskedTarget) -> Self {
        match (vm, name) {
            (Some(vm), _) => Self { kind: OperationTargetKind::FlexVM, name: vm, instance_ids },
            (None, name) => Self::named(name.unwrap_or_default(), instance_ids),
        }
    }
}

/// Creates the operation; unless asked not to, stays until it has ended.
pub(crate) async fn operate(cluster: &Cluster, request: Request, wait: WaitOptions) -> anyhow::Result<ExitCode> {
    if request.target.kind == OperationTargetKind::ScaleSet {
        // A set that is not there is told with those that are.
        cluster.set(&request.target.name).await?;
    }
    let api = cluster.api::<ScaleSetOperation>();
    let created = api.create(&PostParams::default(), &object(request)).await;
    let created = created.map_err(|error| cluster.explain(error))?;
    let name = created.name_any();
    if wait.no_wait {
        println!("scalesetoperation/{name} created");
        return Ok(ExitCode::SUCCESS);
    }
    tokio::select! {
        ended = follow(watch_object(api, &name), &name) => ended,
        _ = tokio::signal::ctrl_c() => {
            eprintln!("scalesetoperation/{name} goes on; kubectl get ssop {name} -w follows it, deleting it stops it");
            Ok(ExitCode::from(130))
        }
    }
}

fn object(request: Request) -> ScaleSetOperation {
    let Request { operation_type, target: Target { kind, name, instance_ids }, parameters } = request;
    let prefix: String = name.chars().take(40).collect();
    let verb = format!("{operation_type:?}").to_lowercase();
    let spec = ScaleSetOperationSpec {
        target: OperationTarget { kind, name },
        operation_type,
        instance_ids,
        parameters,
        ttl_seconds_after_finished: Some(KEPT_SECONDS),
    };
    let metadata = ObjectMeta { generate_name: Some(format!("{prefix}-{verb}-")), ..ObjectMeta::default() };
    ScaleSetOperation { metadata, spec, status: None }
}

/// Shows how far it is, until it has ended.
async fn follow(
    changes: impl Stream<Item = Result<Option<ScaleSetOperation>, watcher::Error>>,
    name: &str,
) -> anyhow::Result<ExitCode> {
    let bar = progress_bar();
    let mut told = String::new();
    let warn_at = Instant::now() + UNSEEN_MAX;
    let mut seen = false;
    futures::pin_mut!(changes);
    loop {
        let change = tokio::select! {
            change = changes.next() => change.context("the watch ended")?,
            () = sleep_until(warn_at), if !seen => {
                seen = true;
                bar.println(format!(
                    "nobody has looked at scalesetoperation/{name} for {} s; is the controller running? still waiting",
                    UNSEEN_MAX.as_secs()
                ));
                continue;
            }
        };
        let operation = match change {
            Ok(Some(operation)) => operation,
            Ok(None) => anyhow::bail!("scalesetoperation/{name} was deleted before its end; what had begun goes on"),
            Err(error) => {
                bar.set_message(format!("the watch failed, trying again: {error}"));
                continue;
            }
        };
        let status = operation.status.unwrap_or_default();
        seen |= status.observed_generation.is_some();
        bar.set_length(u64::try_from(status.total.unwrap_or(0)).unwrap_or(0));
        bar.set_position(u64::try_from(status.succeeded.unwrap_or(0) + status.failed.unwrap_or(0)).unwrap_or(0));
        let Some(ready) = find(&status.conditions, OperationCondition::Ready.as_str()) else { continue };
        if status.completion_time.is_none() {
            if ready.message != told && bar.is_hidden() {
                println!("{}: {}", ready.reason, ready.message);
            }
            told.clone_from(&ready.message);
            bar.set_message(ready.message.clone());
            continue;
        }
        bar.finish_and_clear();
        println!("{}: {}", ready.reason, ready.message);
        for failure in &status.failures {
            println!("  {}: {}: {}", failure.instance_id, failure.code, failure.message);
        }
        let well = ready.status == "True";
        return Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
}

/// Hidden where nobody looks: indicatif draws on terminals only.
pub(crate) fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}").expect("the template is right");
    ProgressBar::new(0).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_says_what_was_typed() {
        let target = AskedTarget { name: None, instance_ids: Vec::new(), vm: Some("jumpbox".to_owned()) };
        let asked = object(Request {
            operation_type: OperationType::PowerOff,
            target: target.into(),
            parameters: Some(OperationParameters { skip_shutdown: Some(true), ..OperationParameters::default() }),
        });
        assert_eq!(asked.metadata.generate_name.as_deref(), Some("jumpbox-poweroff-"));
        assert_eq!(asked.spec.target.kind, OperationTargetKind::FlexVM);
        assert_eq!(asked.spec.parameters.and_then(|parameters| parameters.skip_shutdown), Some(true));
    }
}
