//! What can be typed. Verbs and options are named as those of `az vmss`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use clap_complete::engine::ArgValueCandidates;
use scaleset_crds::repairs::{OrchestrationServiceName, ServiceAction};

use crate::complete::set_names;

/// Scale sets, their VMs and what is done with them.
#[derive(Debug, Parser)]
#[command(name = "kubectl-scaleset", bin_name = "kubectl scaleset", version, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which cluster.
#[derive(Args, Debug)]
pub(crate) struct Connection {
    /// Kubeconfig file; else KUBECONFIG, ~/.kube/config, or the pod's own account.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig, instead of the current one.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Namespace, instead of the context's.
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Namespace of the controller, where it tells what the regions offer.
    #[arg(long, global = true, value_name = "NAME", default_value = "scaleset-system")]
    pub(crate) controller_namespace: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Read(ReadOrChange),
    /// Start VMs.
    Start(Asked),
    /// Stop VMs; their hardware is kept.
    Stop {
        #[command(flatten)]
        asked: Asked,
        /// Cut the power instead of shutting the guest down.
        #[arg(long)]
        skip_shutdown: bool,
    },
    /// Stop VMs and release their hardware.
    Deallocate(Asked),
    /// Restart VMs.
    Restart(Asked),
    /// Move VMs to other hosts.
    Redeploy(Asked),
    /// Give VMs fresh OS disks.
    Reimage {
        #[command(flatten)]
        asked: Asked,
        /// Data disks too; Uniform sets only.
        #[arg(long)]
        all_disks: bool,
    },
    /// Bring VMs to the newest model (manual upgrade).
    UpdateInstances(Named),
    /// Delete VMs and lower the set's capacity with them.
    DeleteInstances(Named),
    /// Evict Spot VMs as if their capacity were needed: they are told, and go 30 seconds later.
    SimulateEviction(Asked),
    /// Start, cancel or follow a rolling upgrade.
    #[command(subcommand)]
    RollingUpgrade(RollingUpgradeVerb),
    /// Suspend or resume automatic repairs of a set.
    SetOrchestrationServiceState {
        /// The set.
        #[arg(add = ArgValueCandidates::new(set_names))]
        name: String,
        /// The service.
        #[arg(long, default_value = "AutomaticRepairs")]
        service_name: ServiceName,
        /// What to do with it.
        #[arg(long)]
        action: ServiceVerb,
        #[command(flatten)]
        wait: WaitOptions,
    },
    /// List what VMs were told of, or approve it.
    #[command(subcommand)]
    Events(EventsVerb),
    /// Print a completion script.
    Completion {
        /// The shell.
        shell: Shell,
    },
}

/// What reads objects, or changes a spec.
#[derive(Debug, Subcommand)]
pub(crate) enum ReadOrChange {
    /// Show a set, or one of its VMs with --instance-id.
    Show {
        /// The set.
        #[arg(add = ArgValueCandidates::new(set_names))]
        name: String,
        /// One VM: the id of a Uniform instance, the name of a Flexible VM.
        #[arg(long)]
        instance_id: Option<String>,
        #[arg(short, long, default_value = "table")]
        output: Output,
    },
    /// List the VMs of a set.
    ListInstances {
        /// The set.
        #[arg(add = ArgValueCandidates::new(set_names))]
        name: String,
        #[arg(short, long, default_value = "table")]
        output: Output,
    },
    /// Show what runs: of a set, or of one of its VMs with --instance-id. With -o json in Azure's shape.
    GetInstanceView {
        /// The set.
        #[arg(add = ArgValueCandidates::new(set_names))]
        name: String,
        /// One VM: the id of a Uniform instance, the name of a Flexible VM.
        #[arg(long)]
        instance_id: Option<String>,
        #[arg(short, long, default_value = "table")]
        output: Output,
    },
    /// Set how many VMs the set makes.
    Scale {
        /// The set.
        #[arg(add = ArgValueCandidates::new(set_names))]
        name: String,
        /// 0 to 1000.
        #[arg(long, visible_alias = "new-capacity", value_name = "COUNT", allow_negative_numbers = true,
              value_parser = clap::value_parser!(i32).range(0..=1000))]
        capacity: i32,
        /// Confirm a drop to less than half, which waits otherwise.
        #[arg(long)]
        confirm: bool,
    },
    /// Change a set, or one VM with --instance-id, by property paths.
    Update(Change),
    /// Compare what each VM should be with what it is, field by field.
    Diff {
        /// The set.
        #[arg(add = ArgValueCandidates::new(set_names))]
        name: String,
        #[arg(short, long, default_value = "table")]
        output: Output,
    },
    /// Say what applying a manifest would do, VM by VM; nothing is changed.
    Plan {
        /// The manifest; - reads standard input.
        #[arg(short, long = "filename", value_name = "FILE")]
        file: PathBuf,
    },
    /// List the models that the set has had, and what changed between them.
    History {
        /// The set.
        #[arg(add = ArgValueCandidates::new(set_names))]
        name: String,
        #[arg(short, long, default_value = "table")]
        output: Output,
    },
    /// Go back to an earlier model.
    Undo {
        /// The set.
        #[arg(add = ArgValueCandidates::new(set_names))]
        name: String,
        /// Number of the model in `history`; without it, the one before the newest.
        #[arg(long)]
        to_revision: Option<i64>,
    },
    /// Say what is held back, and by which numbers.
    Why {
        /// The set.
        #[arg(add = ArgValueCandidates::new(set_names))]
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RollingUpgradeVerb {
    /// Begin one, also after one that was cancelled or has stopped; waits until it is complete.
    Start {
        /// The set.
        #[arg(add = ArgValueCandidates::new(set_names))]
        name: String,
        #[command(flatten)]
        wait: WaitOptions,
    },
    /// Begin no further batch of the one that runs.
    Cancel {
        /// The set.
        #[arg(add = ArgValueCandidates::new(set_names))]
        name: String,
        #[command(flatten)]
        wait: WaitOptions,
    },
    /// How far the latest one is.
    Status {
        /// The set.
        #[arg(add = ArgValueCandidates::new(set_names))]
        name: String,
        /// Follow it to its end.
        #[arg(short, long)]
        watch: bool,
        #[arg(short, long, default_value = "table")]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventsVerb {
    /// List scheduled events: of the VMs of a set, or of one FlexVM with --vm.
    List {
        #[command(flatten)]
        target: SetOrVm,
        #[arg(short, long, default_value = "table")]
        output: Output,
    },
    /// Approve scheduled events: what was announced begins at once, on every VM of the event. Also of VMs that are being deleted.
    #[command(group(ArgGroup::new("which").args(["event_id", "instance_ids", "vm"]).required(true).multiple(true)))]
    Approve {
        #[command(flatten)]
        target: AskedTarget,
        /// The event, as in `events list`; without it, every event of the VMs of --instance-ids or --vm.
        #[arg(long, value_name = "ID")]
        event_id: Option<String>,
        #[command(flatten)]
        wait: WaitOptions,
    },
}

/// A set, or one VM by itself.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct SetOrVm {
    /// The set.
    #[arg(add = ArgValueCandidates::new(set_names))]
    pub(crate) name: Option<String>,
    /// One FlexVM by its own name, in a set or alone.
    #[arg(long, value_name = "NAME")]
    pub(crate) vm: Option<String>,
}

/// What an action is about.
#[derive(Args, Debug)]
pub(crate) struct Asked {
    #[command(flatten)]
    pub(crate) target: AskedTarget,
    #[command(flatten)]
    pub(crate) wait: WaitOptions,
}

/// A set, some of its VMs, or one VM by itself.
#[derive(Args, Debug)]
pub(crate) struct AskedTarget {
    /// The set; all of its VMs that are not protected, unless --instance-ids names some.
    #[arg(required_unless_present = "vm", add = ArgValueCandidates::new(set_names))]
    pub(crate) name: Option<String>,
    /// VMs of the set: ids of Uniform instances, names of Flexible VMs.
    #[arg(long, num_args = 1.., value_delimiter = ',', requires = "name")]
    pub(crate) instance_ids: Vec<String>,
    /// One FlexVM by its own name, in a set or alone.
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    pub(crate) vm: Option<String>,
}

/// VMs of a set that must be named.
#[derive(Args, Debug)]
pub(crate) struct Named {
    /// The set.
    #[arg(add = ArgValueCandidates::new(set_names))]
    pub(crate) name: String,
    /// Ids of Uniform instances, names of Flexible VMs, or * for all.
    #[arg(long, num_args = 1.., value_delimiter = ',', required = true)]
    pub(crate) instance_ids: Vec<String>,
    #[command(flatten)]
    pub(crate) wait: WaitOptions,
}

/// How long to stay.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct WaitOptions {
    /// Do not wait; print the operation's name.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// Changes by property path.
#[derive(Args, Debug)]
pub(crate) struct Change {
    /// The set.
    #[arg(add = ArgValueCandidates::new(set_names))]
    pub(crate) name: String,
    /// One VM: the id of a Uniform instance, the name of a Flexible VM.
    #[arg(long)]
    pub(crate) instance_id: Option<String>,
    /// PATH=VALUE; a path like virtualMachineProfile.vmSize, zones[0] or extensions[name=app].forceUpdateTag.
    #[arg(long, value_name = "PATH=VALUE", num_args = 1.., required_unless_present_any = ["add", "remove"])]
    pub(crate) set: Vec<String>,
    /// PATH=VALUE or PATH KEY=VALUE,…: append to a list; an object is written as JSON or as KEY=VALUE,KEY=VALUE.
    #[arg(long, value_name = "PATH=VALUE", num_args = 1..)]
    pub(crate) add: Vec<String>,
    /// PATH: take a property or an item of a list away.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(crate) remove: Vec<String>,
}

/// What works on a set by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub(crate) enum ServiceName {
    /// Repairs of unhealthy VMs.
    AutomaticRepairs,
}

/// What is done with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub(crate) enum ServiceVerb {
    /// It begins nothing any more.
    Suspend,
    /// It goes on, and failures begin to count anew.
    Resume,
}

impl From<ServiceName> for OrchestrationServiceName {
    fn from(name: ServiceName) -> Self {
        match name {
            ServiceName::AutomaticRepairs => Self::AutomaticRepairs,
        }
    }
}

impl From<ServiceVerb> for ServiceAction {
    fn from(verb: ServiceVerb) -> Self {
        match verb {
            ServiceVerb::Suspend => Self::Suspend,
            ServiceVerb::Resume => Self::Resume,
        }
    }
}

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For both.
    Yaml,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_vm_is_named_with_its_set_or_alone() {
        let parse = |words: &[&str]| Arguments::try_parse_from([&["kubectl-scaleset"], words].concat());
        for legal in [
            &["restart", "web"][..],
            &["restart", "web", "--instance-ids", "0", "3"],
            &["restart", "--vm", "jumpbox", "--no-wait"],
            &["delete-instances", "web", "--instance-ids", "*"],
            &["-n", "shop", "rolling-upgrade", "start", "web"],
            &["events", "list", "web", "-o", "yaml"],
            &["events", "list", "--vm", "jumpbox"],
            &["events", "approve", "web", "--event-id", "e"],
            &["events", "approve", "web", "--instance-ids", "*"],
            &["events", "approve", "--vm", "jumpbox"],
            &["rolling-upgrade", "status", "web", "--context", "kind", "-w"],
            &["set-orchestration-service-state", "web", "--action", "Suspend"],
            &["set-orchestration-service-state", "web", "--service-name", "AutomaticRepairs", "--action", "Resume"],
        ] {
            assert!(parse(legal).is_ok(), "{legal:?}: {:?}", parse(legal).err());
        }
        for illegal in [
            &["restart"][..],
            &["restart", "web", "--vm", "jumpbox"],
            &["restart", "--instance-ids", "0"],
            &["update-instances", "web"],
            &["scale", "web"],
            &["set-orchestration-service-state", "web"],
            &["events", "list"],
            &["events", "approve", "web"],
        ] {
            assert!(parse(illegal).is_err(), "{illegal:?}");
        }
    }

    #[test]
    fn what_is_missing_is_told_with_every_way_to_say_it() {
        for (words, ways) in [
            (&["events", "list"][..], "<NAME|--vm <NAME>>"),
            (&["events", "approve", "web"], "<--event-id <ID>|--instance-ids <INSTANCE_IDS>...|--vm <NAME>>"),
        ] {
            let refused = Arguments::try_parse_from([&["kubectl-scaleset"], words].concat());
            let message = refused.expect_err("something is missing").to_string();
            assert!(message.contains(ways), "{message}");
        }
    }
}
