//! The local run: a control plane and the controller as processes of this machine, with their state in `.run/`.
//!
//! Our own cluster's files lie in `.run/` itself, those of an existing cluster in `.run/cluster-{uid of kube-system}`,
//! so that a controller and its hardware never serve two clusters.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use anyhow::Context;
use clap::Args;
use scaleset_control_plane::{ControlPlane, Durability, Lifetime, Supervisor, workspace_root};

use crate::cluster::{CONTROLLER_USER, Cluster};
use crate::controller::{self, Controller};
use crate::settings::{FileVersion, Settings};
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

/// Everything that was started; dropping it stops what was started with this process, the controller first.
struct Running {
    cluster: Cluster,
    controller: Controller,
    supervisor: Supervisor,
    plane: Option<ControlPlane>,
}

pub(crate) fn up(options: &Options) -> anyhow::Result<()> {
    let running = start(options, Lifetime::Detached)?;
    println!("ready: export KUBECONFIG={}", running.cluster.kubeconfig().display());
    println!("the hardware's control endpoint: http://{}", running.controller.control);
    Ok(())
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let (tell, told) = mpsc::channel();
    ctrlc::set_handler(move || {
        // Nobody listens any more when we are stopping already.
        let _ = tell.send(());
    })?;
    let Running { cluster, controller, supervisor, plane } = start(options, Lifetime::WithParent)?;
    cluster.apply_samples()?;
    println!("kubeconfig: {}", cluster.kubeconfig().display());
    println!("the hardware's control endpoint: http://{}", controller.control);
    table::show(&cluster, &told);
    println!("stopping");
    controller.stop();
    drop(supervisor);
    if plane.is_none() {
        return Ok(());
    }
    drop(plane);
    // What an earlier `up` had started was used by this run, and ends with it.
    stop(&root())?;
    Ok(())
}

pub(crate) fn down(state: State) -> anyhow::Result<()> {
    let root = root();
    let any = match (stop(&root), state) {
        (Err(error), State::Remove) => {
            println!("{error:#}\nwhat it tells of may still be running");
            false
        }
        (stopped, State::Keep | State::Remove) => stopped?,
    };
    println!("{}", if any { "stopped" } else { "nothing was running" });
    if state == State::Remove && root.exists() {
        fs::remove_dir_all(&root).with_context(|| root.display().to_string())?;
        println!("removed {}", root.display());
    }
    Ok(())
}

/// Ends everything that is known under `root`, also when something is damaged. Whether anything was running.
fn stop(root: &Path) -> anyhow::Result<bool> {
    let stop_controller = |directory: PathBuf| -> anyhow::Result<bool> {
        Ok(Controller::read(&directory)?.is_some_and(|controller| controller.stop()))
    };
    let mut stopped: Vec<anyhow::Result<bool>> = directories(root)?.into_iter().map(stop_controller).collect();
    stopped.push(ControlPlane::stop_detached(&root.join("control-plane")).map_err(Into::into));
    stopped.into_iter().try_fold(false, |any, one| Ok(one? || any))
}

/// Says what runs.
pub(crate) fn status() -> anyhow::Result<()> {
    let root = root();
    let plane = ControlPlane::detached(&control_plane_directory())?;
    for (name, runs) in plane {
        println!("{name}: {}", if runs { "running" } else { "stopped" });
    }
    for directory in directories(&root)? {
        let controller = Controller::read(&directory)?;
        let state = match controller.filter(Controller::is_running) {
            Some(controller) => format!("running, hardware's control endpoint http://{}", controller.control),
            None => "stopped".to_owned(),
        };
        println!("controller in {}: {state}", directory.display());
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

fn start(options: &Options, lifetime: Lifetime) -> anyhow::Result<Running> {
    let Options { time_scale, region_file, kubeconfig } = options;
    if kubeconfig.is_none() {
        check::ports()?;
    }
    build::control_plane()?;
    let program = build::controller()?;
    // Held until all of it runs: two that start at once would each find nothing and start their own.
    let _starting = lock_start()?;
    let (directory, cluster, plane) = if let Some(kubeconfig) = kubeconfig {
        let (directory, cluster) = existing_cluster(kubeconfig)?;
        (directory, cluster, None)
    } else {
        let directory = make(root())?;
        let plane = start_control_plane(lifetime)?;
        let kubeconfig = copy(&plane.admin_kubeconfig(), directory.join("kubeconfig"))?;
        (directory, Cluster::new(kubeconfig)?, Some(plane))
    };
    println!("installing the definitions and the controller's rights");
    cluster.install()?;
    let of_controller = controller::kubeconfig(&directory);
    match &plane {
        Some(plane) => drop(copy(&plane.kubeconfig_for(CONTROLLER_USER, &[])?, of_controller)?),
        None => cluster.impersonating_kubeconfig(&of_controller)?,
    }
    let mut supervisor = Supervisor::new(lifetime)?;
    let settings = Settings {
        program: FileVersion::of(&program)?,
        time_scale: time_scale.clone(),
        region_file: region_file.as_deref().map(FileVersion::of).transpose()?,
    };
    let controller = Controller::ensure(&directory, settings, &mut supervisor)?;
    Ok(Running { cluster, controller, supervisor, plane })
}

/// An existing cluster and the directory that is its own.
fn existing_cluster(kubeconfig: &Path) -> anyhow::Result<(PathBuf, Cluster)> {
    let kubeconfig = kubeconfig.canonicalize().with_context(|| kubeconfig.display().to_string())?;
    let cluster = Cluster::new(kubeconfig)?;
    println!("asking the cluster of {}", cluster.kubeconfig().display());
    let uid = cluster.uid()?;
    Ok((make(root().join(format!("cluster-{uid}")))?, cluster))
}

fn start_control_plane(lifetime: Lifetime) -> anyhow::Result<ControlPlane> {
    println!("starting etcd, kube-apiserver and kube-controller-manager (about 8 s)");
    let directory = Some(control_plane_directory());
    let options = scaleset_control_plane::Options { directory, lifetime, durability: Durability::Durable };
    Ok(ControlPlane::start(options)?)
}

fn lock_start() -> anyhow::Result<fs::File> {
    let path = make(root())?.join("start.lock");
    let lock = fs::File::create(&path).with_context(|| path.display().to_string())?;
    if lock.try_lock().is_err() {
        println!("another `make up` or `make run` is starting, waiting for it");
        lock.lock().with_context(|| path.display().to_string())?;
    }
    Ok(lock)
}

fn make(directory: PathBuf) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    Ok(directory)
}

/// Copies a file with its permissions and returns where to.
fn copy(from: &Path, to: PathBuf) -> anyhow::Result<PathBuf> {
    fs::copy(from, &to).with_context(|| to.display().to_string())?;
    Ok(to)
}
