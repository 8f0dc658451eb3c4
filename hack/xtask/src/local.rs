//! The local run: a control plane and the controller as processes of this machine, with their state in `.run/`.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use scaleset_control_plane::{ControlPlane, Durability, Lifetime, ProcessId, Supervisor};
use serde::{Deserialize, Serialize};

use crate::build;
use crate::cluster::{CONTROLLER_USER, Cluster};
use crate::table;

const READY_DEADLINE: Duration = Duration::from_secs(60);
const LOG_TAIL_LINES: usize = 15;

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

/// The controller's process and addresses, kept in `.run/controller.json`.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Controller {
    process: Option<ProcessId>,
    control: SocketAddr,
    health: SocketAddr,
}

/// Everything that was started; dropping it stops what was started with this process.
struct Running {
    cluster: Cluster,
    controller: Controller,
    _supervisor: Supervisor,
    _plane: Option<ControlPlane>,
}

pub(crate) fn up(options: &Options) -> anyhow::Result<()> {
    let running = start(options, Lifetime::Detached)?;
    println!("ready: export KUBECONFIG={}", running.cluster.kubeconfig.display());
    println!("the hardware's control endpoint: http://{}", running.controller.control);
    Ok(())
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let (tell, stop) = mpsc::channel();
    ctrlc::set_handler(move || {
        // Nobody listens any more when we are stopping already.
        let _ = tell.send(());
    })?;
    let running = start(options, Lifetime::WithParent)?;
    running.cluster.apply_samples()?;
    println!("kubeconfig: {}", running.cluster.kubeconfig.display());
    println!("the hardware's control endpoint: http://{}", running.controller.control);
    table::show(&running.cluster, &stop);
    println!("stopping");
    drop(running);
    down(State::Keep)
}

pub(crate) fn down(state: State) -> anyhow::Result<()> {
    let directory = directory();
    let mut any = false;
    if let Some(controller) = read_controller(&directory)? {
        any |= controller.process.is_some_and(|process| process.is_running() && process.stop());
    }
    any |= ControlPlane::stop_detached(&directory.join("control-plane"))?;
    println!("{}", if any { "stopped" } else { "nothing was running" });
    if state == State::Remove && directory.exists() {
        fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())?;
        println!("removed {}", directory.display());
    }
    Ok(())
}

fn directory() -> PathBuf {
    build::workspace().join(".run")
}

fn start(options: &Options, lifetime: Lifetime) -> anyhow::Result<Running> {
    println!("looking for what has to be built");
    build::control_plane()?;
    let program = build::controller()?;
    let directory = directory();
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let (cluster, plane) = match &options.kubeconfig {
        Some(kubeconfig) => (Cluster::new(kubeconfig.clone())?, None),
        None => {
            let plane = start_control_plane(&directory, lifetime)?;
            let kubeconfig = directory.join("kubeconfig");
            fs::copy(plane.admin_kubeconfig(), &kubeconfig).with_context(|| kubeconfig.display().to_string())?;
            (Cluster::new(kubeconfig)?, Some(plane))
        }
    };
    println!("installing the definitions and the controller's rights");
    cluster.install()?;
    let controller_kubeconfig = directory.join("controller.kubeconfig");
    match &plane {
        Some(plane) => {
            let own = plane.kubeconfig_for(CONTROLLER_USER, &[])?;
            fs::copy(own, &controller_kubeconfig).with_context(|| controller_kubeconfig.display().to_string())?;
        }
        None => cluster.impersonating_kubeconfig(&controller_kubeconfig)?,
    }
    let mut supervisor = Supervisor::new(lifetime)?;
    let controller = start_controller(options, &program, &directory, &mut supervisor)?;
    Ok(Running { cluster, controller, _supervisor: supervisor, _plane: plane })
}

fn start_control_plane(directory: &Path, lifetime: Lifetime) -> anyhow::Result<ControlPlane> {
    println!("starting etcd, kube-apiserver and kube-controller-manager (about 8 s)");
    let directory = Some(directory.join("control-plane"));
    let options = scaleset_control_plane::Options { directory, lifetime, durability: Durability::Durable };
    Ok(ControlPlane::start(options)?)
}

fn start_controller(
    options: &Options,
    program: &Path,
    directory: &Path,
    supervisor: &mut Supervisor,
) -> anyhow::Result<Controller> {
    if let Some(controller) = read_controller(directory)?
        && controller.process.is_some_and(ProcessId::is_running)
    {
        println!("the controller runs already");
        return Ok(controller);
    }
    println!("starting the controller");
    let (control, health) = free_addresses()?;
    let log = directory.join("controller.log");
    let mut arguments = vec![
        format!("--kubeconfig={}", directory.join("controller.kubeconfig").display()),
        format!("--hardware-store={}", directory.join("hardware.redb").display()),
        format!("--time-scale={}", options.time_scale),
        format!("--control-listen={control}"),
        format!("--health-listen={health}"),
    ];
    arguments.extend(options.region_file.iter().map(|path| format!("--region-file={}", path.display())));
    let process = supervisor.start(program, &arguments, &log)?;
    let controller = Controller { process: Some(process), control, health };
    let path = directory.join("controller.json");
    fs::write(&path, serde_json::to_string(&controller)?).with_context(|| path.display().to_string())?;
    wait_until_ready(process, health, &log)?;
    Ok(controller)
}

fn read_controller(directory: &Path) -> anyhow::Result<Option<Controller>> {
    let path = directory.join("controller.json");
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let message = || format!("{} is damaged; remove it with `make down CLEAN=1`", path.display());
    Ok(Some(serde_json::from_str(&text).with_context(message)?))
}

fn free_addresses() -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let listener = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a free port on 127.0.0.1");
    let (one, two) = (listener()?, listener()?);
    Ok((one.local_addr()?, two.local_addr()?))
}

fn wait_until_ready(process: ProcessId, health: SocketAddr, log: &Path) -> anyhow::Result<()> {
    let started = Instant::now();
    while !is_ready(health) {
        if !process.is_running() || started.elapsed() > READY_DEADLINE {
            let text = fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n");
            bail!("the controller is not ready; the end of {}:\n{tail}", log.display());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn is_ready(health: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&health, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.split_whitespace().nth(1) == Some("200"))
}
