//! The local run: a control plane and the controller as processes of this machine, with their state in `.run/`.
//!
//! Our own cluster's files lie in `.run/` itself, those of an existing cluster in `.run/cluster-{uid of kube-system}`,
//! so that a controller and its hardware never serve two clusters.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use anyhow::{Context, bail};
use clap::Args;
use scaleset_control_plane::{ControlPlane, Durability, Supervisor, workspace_root};

use crate::claim::{Claim, Purpose};
use crate::cluster::{CONTROLLER_USER, Cluster};
use crate::controller::{self, Controller};
use crate::say::say;
use crate::settings::Settings;
use crate::table::End;
use crate::{build, check, table};

/// How to run locally.
#[derive(Args)]
pub(crate) struct Options {
    /// How much faster than wall time the hardware's clock runs; at 15 a VM boots in about 3 s.
    #[arg(long, env = "TIME_SCALE", default_value = "15")]
    time_scale: String,
    /// A region file instead of the embedded regions.
    #[arg(long, env = "REGION_FILE")]
    region_file: Option<PathBuf>,
    /// An existing cluster, instead of a control plane of our own.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
}

/// What `down` does with the state.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Keep,
    Remove,
}

/// What runs, and what of it was started now: dropping it stops the latter, the controller first.
struct Running {
    controller: Controller,
    supervisor: Supervisor,
    place: Place,
}

/// A cluster, and where its controller's files are.
struct Place {
    directory: PathBuf,
    /// As the one that installs and looks.
    cluster: Cluster,
    /// For people.
    kubeconfig: PathBuf,
    /// Our own control plane.
    plane: Option<ControlPlane>,
    _claim: Claim,
}

pub(crate) fn up(options: &Options) -> anyhow::Result<()> {
    let Running { controller, supervisor, place } = start(options, Purpose::Up)?;
    supervisor.keep();
    if let Some(plane) = place.plane {
        plane.keep();
    }
    say(format_args!("ready: export KUBECONFIG={}", place.kubeconfig.display()));
    say(format_args!("the hardware's control endpoint: http://{}", controller.control));
    Ok(())
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let (tell, told) = mpsc::channel();
    ctrlc::set_handler(move || {
        // Nobody listens any more when we are stopping already.
        let _ = tell.send(());
    })?;
    let running = start(options, Purpose::Run)?;
    let Running { controller, supervisor: _, place } = &running;
    place.cluster.apply_samples()?;
    say(format_args!("kubeconfig: {}", place.kubeconfig.display()));
    say(format_args!("the hardware's control endpoint: http://{}", controller.control));
    let end = table::show(&place.cluster, &place.kubeconfig, || running.ended(), &told);
    say("stopping");
    controller.stop();
    drop(running);
    match end {
        End::Asked | End::NobodyReads => Ok(()),
        End::Ended(names) => bail!(
            "{} ended, by `make down` elsewhere or by itself; this run has stopped the rest; `make run` and `make up` go on from the kept \
             state; the logs are in {}",
            names.join(", "),
            root().display()
        ),
    }
}

impl Running {
    /// What should run and does not.
    fn ended(&self) -> Vec<&'static str> {
        let mut ended = self.place.plane.as_ref().map(ControlPlane::ended).unwrap_or_default();
        if !self.controller.is_running() {
            ended.push("the controller");
        }
        ended
    }
}

pub(crate) fn down(state: State) -> anyhow::Result<()> {
    let root = root();
    if state == State::Remove {
        crate::node::refuse_while_it_runs()?;
    }
    let any = match (stop(&root), state) {
        (Err(error), State::Remove) => {
            say(format_args!("{error:#}\nwhat it tells of may still be running"));
            false
        }
        (stopped, State::Keep | State::Remove) => stopped?,
    };
    say(format_args!("{}", if any { "stopped" } else { "nothing was running" }));
    if state == State::Remove && root.exists() {
        fs::remove_dir_all(&root).with_context(|| root.display().to_string())?;
        say(format_args!("removed {}", root.display()));
    }
    Ok(())
}

/// Ends everything that is known under `root`, also when something is damaged. Whether anything was running.
fn stop(root: &Path) -> anyhow::Result<bool> {
    let stop_controller = |directory: PathBuf| -> anyhow::Result<bool> {
        Ok(Controller::read(&directory)?.is_some_and(|controller| controller.stop()))
    };
    let mut stopped: Vec<anyhow::Result<bool>> = directories(root)?.into_iter().map(stop_controller).collect();
    stopped.push(ControlPlane::stop_kept(&root.join("control-plane")).map_err(Into::into));
    stopped.into_iter().try_fold(false, |any, one| Ok(one? || any))
}

/// Says what runs.
pub(crate) fn status() -> anyhow::Result<()> {
    let root = root();
    let plane = ControlPlane::known(&control_plane_directory())?;
    for (name, runs) in plane {
        say(format_args!("{name}: {}", if runs { "running" } else { "stopped" }));
    }
    for directory in directories(&root)? {
        let controller = Controller::read(&directory)?;
        let state = match controller.filter(Controller::is_running) {
            Some(controller) => format!("running, hardware's control endpoint http://{}", controller.control),
            None => "stopped".to_owned(),
        };
        say(format_args!("controller in {}: {state}", directory.display()));
    }
    Ok(())
}

fn root() -> PathBuf {
    workspace_root().join(".run")
}

/// Where the state of our own control plane is kept.
pub(crate) fn control_plane_directory() -> PathBuf {
    root().join("control-plane")
}

/// The directory of our own cluster and those of existing ones, as far as they are there.
fn directories(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !root.exists() {
        return Ok(Vec::new());
    }
    let mut found = vec![root.to_owned()];
    for entry in fs::read_dir(root).with_context(|| root.display().to_string())? {
        let entry = entry.with_context(|| root.display().to_string())?;
        if entry.file_name().to_string_lossy().starts_with("cluster-") {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn start(options: &Options, purpose: Purpose) -> anyhow::Result<Running> {
    let Options { time_scale, region_file, kubeconfig } = options;
    // Held until all of it runs: two that start at once would each find nothing and start their own.
    let _starting = lock_start()?;
    // What can be refused at once is, before anything is built.
    let target = Target::of(kubeconfig.as_deref(), purpose)?;
    let program = build::controller()?;
    let settings = Settings::checked(&program, time_scale, region_file.as_deref())?;
    build::control_plane()?;
    let place = match target {
        Target::Own(claim) => own_cluster(claim)?,
        Target::Existing(kubeconfig) => existing_cluster(kubeconfig, purpose)?,
    };
    say("installing the definitions and the controller's rights");
    place.cluster.install()?;
    let of_controller = controller::kubeconfig(&place.directory);
    match &place.plane {
        Some(ours) => copy(&ours.kubeconfig_for(CONTROLLER_USER, &[])?, &of_controller)?,
        None => place.cluster.impersonating_kubeconfig(&of_controller)?,
    }
    let mut supervisor = Supervisor::new()?;
    let controller = Controller::ensure(&place.directory, settings, &mut supervisor)?;
    Ok(Running { controller, supervisor, place })
}

/// The cluster that is asked for.
enum Target {
    Own(Claim),
    Existing(PathBuf),
}

impl Target {
    fn of(kubeconfig: Option<&Path>, purpose: Purpose) -> anyhow::Result<Self> {
        if let Some(kubeconfig) = kubeconfig {
            let readable = || fs::File::open(kubeconfig).and_then(|_| kubeconfig.canonicalize());
            let message =
                || format!("nothing has been started, for KUBECONFIG={} cannot be read", kubeconfig.display());
            return readable().map(Self::Existing).with_context(message);
        }
        let root = make(root())?;
        let plane = ControlPlane::known(&control_plane_directory())?;
        let running = plane.into_iter().filter(|(_, runs)| *runs).map(|(name, _)| name);
        let claim = Claim::take(&root, purpose, &running.chain(controller_of(&root)?).collect::<Vec<_>>())?;
        check::ports()?;
        Ok(Self::Own(claim))
    }
}

/// The controller's name where it runs in `directory`.
fn controller_of(directory: &Path) -> anyhow::Result<Option<&'static str>> {
    Ok(Controller::read(directory)?.filter(Controller::is_running).map(|_| "the controller"))
}

/// Our own cluster, with a kubeconfig for people that keeps what they have set in it.
fn own_cluster(claim: Claim) -> anyhow::Result<Place> {
    let directory = root();
    let plane = start_control_plane()?;
    let cluster = Cluster::new(plane.admin_kubeconfig())?;
    let kubeconfig = directory.join("kubeconfig");
    let uid = cluster.uid()?;
    let leads_here = kubeconfig.exists() && Cluster::new(kubeconfig.clone())?.uid().is_ok_and(|of| of == uid);
    if !leads_here {
        copy(cluster.kubeconfig(), &kubeconfig)?;
    }
    Ok(Place { directory, cluster, kubeconfig, plane: Some(plane), _claim: claim })
}

/// An existing cluster and the directory that is its own.
fn existing_cluster(kubeconfig: PathBuf, purpose: Purpose) -> anyhow::Result<Place> {
    let cluster = Cluster::new(kubeconfig.clone())?;
    say(format_args!("asking the cluster of {}", kubeconfig.display()));
    let directory = make(root().join(format!("cluster-{}", cluster.uid()?)))?;
    let running: Vec<&str> = controller_of(&directory)?.into_iter().collect();
    let claim = Claim::take(&directory, purpose, &running)?;
    Ok(Place { directory, cluster, kubeconfig, plane: None, _claim: claim })
}

fn start_control_plane() -> anyhow::Result<ControlPlane> {
    let directory = control_plane_directory();
    let known = ControlPlane::known(&directory)?;
    let missing: Vec<&str> = known.into_iter().filter(|(_, runs)| !runs).map(|(name, _)| name).collect();
    if missing.is_empty() {
        say("the control plane runs already");
    } else {
        say(format_args!("starting {} (about 8 s)", missing.join(", ")));
    }
    let (directory, durability) = (Some(directory), Durability::Durable);
    let options = scaleset_control_plane::Options { directory, durability, ..Default::default() };
    Ok(ControlPlane::start(options)?)
}

/// One start at a time in this checkout.
pub(crate) fn lock_start() -> anyhow::Result<fs::File> {
    let path = make(root())?.join("start.lock");
    let lock = fs::File::create(&path).with_context(|| path.display().to_string())?;
    if lock.try_lock().is_err() {
        say("another `make up`, `make run` or `make node` is starting, waiting for it");
        lock.lock().with_context(|| path.display().to_string())?;
    }
    Ok(lock)
}

fn make(directory: PathBuf) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    Ok(directory)
}

/// Copies a file with its permissions.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::copy(from, to).map(drop).with_context(|| to.display().to_string())
}
