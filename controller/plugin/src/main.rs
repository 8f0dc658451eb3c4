//! `kubectl scaleset`: what people who know Azure's `az vmss` expect to type, over the objects of this operator.
//!
//! It needs no more than a kubeconfig. What is done once is done by a `ScaleSetOperation`, so that RBAC, the audit log and
//! `kubectl get ssop` know of it as well; everything else reads objects or patches specs.

mod arguments;
mod cluster;
mod complete;
mod diff;
#[cfg(test)]
mod documented;
mod events;
mod history;
mod instance_view;
mod operate;
mod output;
mod overtaken;
mod plan;
mod rolling_upgrade;
mod scale;
mod show;
mod update;
mod why;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use scaleset_crds::operation::{OperationParameters, OperationType};

use arguments::{Arguments, Command, EventsVerb, ReadOrChange, RollingUpgradeVerb};
use cluster::Cluster;
use operate::{Request, Target};
use scale::Confirm;

#[tokio::main]
async fn main() -> ExitCode {
    if complete::is_asked() {
        return complete::answer();
    }
    let Arguments { connection, command } = Arguments::parse();
    if let Command::Completion { shell } = command {
        clap_complete::generate(shell, &mut Arguments::command(), "kubectl-scaleset", &mut std::io::stdout());
        return ExitCode::SUCCESS;
    }
    let result = match Cluster::connect(&connection).await {
        Ok(cluster) => run(&cluster, command).await,
        Err(error) => Err(error),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(cluster: &Cluster, command: Command) -> anyhow::Result<ExitCode> {
    use OperationType::{
        ApproveScheduledEvent, CancelRollingUpgrade, Deallocate, Delete, ManualUpgrade, PowerOff, Redeploy, Reimage,
        ReimageAll, Restart, SetOrchestrationServiceState, SimulateEviction, Start, StartRollingUpgrade,
    };
    let of = |operation_type, target| Request { operation_type, target, parameters: None };
    let request = match command {
        Command::Start(asked) => (of(Start, asked.target.into()), asked.wait),
        Command::SimulateEviction(asked) => (of(SimulateEviction, asked.target.into()), asked.wait),
        Command::Stop { asked, skip_shutdown } => {
            let skip = skip_shutdown.then_some(true);
            let parameters =
                skip.map(|skip| OperationParameters { skip_shutdown: Some(skip), ..OperationParameters::default() });
            (Request { parameters, ..of(PowerOff, asked.target.into()) }, asked.wait)
        }
        Command::Deallocate(asked) => (of(Deallocate, asked.target.into()), asked.wait),
        Command::Restart(asked) => (of(Restart, asked.target.into()), asked.wait),
        Command::Redeploy(asked) => (of(Redeploy, asked.target.into()), asked.wait),
        Command::Reimage { asked, all_disks } => {
            (of(if all_disks { ReimageAll } else { Reimage }, asked.target.into()), asked.wait)
        }
        Command::UpdateInstances(named) => {
            (of(ManualUpgrade, Target::named(named.name, named.instance_ids)), named.wait)
        }
        Command::DeleteInstances(named) => (of(Delete, Target::named(named.name, named.instance_ids)), named.wait),
        Command::RollingUpgrade(RollingUpgradeVerb::Start { name, wait }) => {
            (of(StartRollingUpgrade, Target::set(name)), wait)
        }
        Command::RollingUpgrade(RollingUpgradeVerb::Cancel { name, wait }) => {
            (of(CancelRollingUpgrade, Target::set(name)), wait)
        }
        Command::RollingUpgrade(RollingUpgradeVerb::Status { name, watch, output }) => {
            return rolling_upgrade::status(cluster, &name, watch, output).await;
        }
        Command::Events(EventsVerb::List { target, output }) => {
            return events::list(cluster, target, output).await.map(|()| ExitCode::SUCCESS);
        }
        Command::Events(EventsVerb::Approve { target, event_id, wait }) => {
            let parameters = event_id
                .map(|event_id| OperationParameters { event_id: Some(event_id), ..OperationParameters::default() });
            (Request { parameters, ..of(ApproveScheduledEvent, target.into()) }, wait)
        }
        Command::SetOrchestrationServiceState { name, service_name, action, wait } => {
            let parameters = OperationParameters {
                service_name: Some(service_name.into()),
                action: Some(action.into()),
                ..OperationParameters::default()
            };
            let request = of(SetOrchestrationServiceState, Target::set(name));
            (Request { parameters: Some(parameters), ..request }, wait)
        }
        Command::Read(read) => return read_or_change(cluster, read).await.map(|()| ExitCode::SUCCESS),
        Command::Completion { .. } => return Ok(ExitCode::SUCCESS),
    };
    operate::operate(cluster, request.0, request.1).await
}

async fn read_or_change(cluster: &Cluster, command: ReadOrChange) -> anyhow::Result<()> {
    match command {
        ReadOrChange::Show { name, instance_id, output } => match instance_id {
            Some(id) => show::instance(cluster, &name, &id, output).await,
            None => show::set(cluster, &name, output).await,
        },
        ReadOrChange::ListInstances { name, output } => show::instances(cluster, &name, output).await,
        ReadOrChange::GetInstanceView { name, instance_id, output } => match instance_id {
            Some(id) => instance_view::instance(cluster, &name, &id, output).await,
            None => instance_view::set(cluster, &name, output).await,
        },
        ReadOrChange::Scale { name, capacity, confirm } => {
            let confirm = if confirm { Confirm::Yes } else { Confirm::No };
            scale::scale(cluster, &name, capacity, confirm).await
        }
        ReadOrChange::Update(change) => update::update(cluster, change).await,
        ReadOrChange::Diff { name, output } => diff::diff(cluster, &name, output).await,
        ReadOrChange::Plan { file } => plan::plan(cluster, &file).await,
        ReadOrChange::History { name, output } => history::history(cluster, &name, output).await,
        ReadOrChange::Undo { name, to_revision } => history::undo(cluster, &name, to_revision).await,
        ReadOrChange::Why { name } => why::why(cluster, &name).await,
    }
}
