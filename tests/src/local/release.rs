//! The product as the charts install it, on a node of this machine.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use scaleset_control_plane::{Kubectl, Supervisor, cargo, free_addresses};
use serde_json::{Value, json};

use super::cluster::LocalCluster;
use super::controller::{Latency, Settings, counter, http};
use super::hardware::HardwareEndpoint;
use super::until;
use crate::chart::{Chart, Helm, NAMESPACE, RELEASE, values_file};

/// The user that the controller is to the API server.
pub const USER: &str = "system:serviceaccount:scaleset-system:scaleset-controller";
/// Port of the controller's /metrics, as the chart has it.
const HEALTH_PORT: u16 = 8081;
/// Port of the hardware's control endpoint, as the chart has it.
const CONTROL_PORT: u16 = 9091;
const LIMIT: Duration = Duration::from_mins(1);

/// A release of the charts. What it runs ends with the node.
#[derive(Debug)]
pub struct Release {
    kubectl: Kubectl,
    /// Leads to the hardware's control endpoint, which listens on its pod's loopback only.
    _forward: Supervisor,
    control: SocketAddr,
}

/// A pod.
struct Pod {
    name: String,
    uid: String,
    address: String,
    is_going: bool,
}

impl Release {
    /// Installs both charts and returns when helm says that all of it is ready.
    pub async fn install(cluster: &LocalCluster, settings: &Settings) -> anyhow::Result<Self> {
        let helm = Helm::of_cluster(cluster.plane().admin_kubeconfig())?;
        install_definitions(&helm)?;
        upgrade(&helm, &Chart::Controller.path(), &values(settings)?)?;
        Self::open(cluster).await
    }

    /// The release that is installed, whose hardware lets itself be looked at.
    pub async fn open(cluster: &LocalCluster) -> anyhow::Result<Self> {
        let kubectl =
            Kubectl::new(cluster.plane().admin_kubeconfig(), cluster.plane().directory().join("kubectl-cache"))?;
        let [control] = free_addresses()?;
        let mut forward = Supervisor::new()?;
        let log = cluster.plane().directory().join("port-forward.log");
        let arguments = [
            format!("--kubeconfig={}", cluster.plane().admin_kubeconfig().display()),
            format!("--namespace={NAMESPACE}"),
            "port-forward".to_owned(),
            format!("statefulset/{RELEASE}-hardware"),
            format!("{}:{CONTROL_PORT}", control.port()),
        ];
        forward.start(&cluster.plane().binaries().path("kubectl"), &arguments, &log)?;
        until("the control endpoint answers", LIMIT, async || {
            let told = fs::read_to_string(&log).unwrap_or_default();
            std::net::TcpStream::connect(control).map(drop).with_context(|| told)
        })
        .await?;
        Ok(Self { kubectl, _forward: forward, control })
    }

    /// Stops the controller's process where it is, takes the pod away so that nobody starts it again, kills the process
    /// before it could say goodbye, and returns when the pod is gone. From the stop on it does nothing more.
    pub async fn kill(&self) -> anyhow::Result<()> {
        let pod = self.controller()?;
        let process = process_of(&pod.uid, "/scaleset-controller")?;
        kill_process(process, Signal::STOP)?;
        self.scale(0)?;
        until("the pod is going", LIMIT, async || {
            ensure!(self.controllers()?.iter().all(|pod| pod.is_going), "nobody has deleted it");
            Ok(())
        })
        .await?;
        kill_process(process, Signal::KILL)?;
        until("the pod is gone", LIMIT, async || {
            ensure!(self.controllers()?.is_empty(), "{} is there", pod.name);
            Ok(())
        })
        .await
    }

    /// Starts it again after [`Self::kill`], and returns when it is ready.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.scale(1)?;
        self.run(&["rollout", "status", &format!("deployment/{RELEASE}"), "--timeout=120s"])?;
        // It is ready when it stands by; what was killed has not given up its lease.
        until("it leads", LIMIT, async || {
            ensure!(self.counter("scaleset_leader", &[]).await? >= 1.0, "it stands by");
            Ok(())
        })
        .await
    }

    /// The simulated hardware.
    pub fn hardware(&self) -> anyhow::Result<HardwareEndpoint> {
        Ok(HardwareEndpoint::new(http(self.control)?))
    }

    /// One counter of the controller's `/metrics`: all series with these labels together.
    pub async fn counter(&self, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<f64> {
        counter(format!("{}:{HEALTH_PORT}", self.controller()?.address).parse()?, name, labels).await
    }

    /// The end of the controller's log.
    pub fn log_tail(&self, lines: usize) -> String {
        self.log(&format!("--tail={lines}"))
    }

    /// The last lines of its log that hold `text`.
    pub fn log_about(&self, text: &str, lines: usize) -> String {
        let log = self.log("--tail=-1");
        let found: Vec<&str> = log.lines().filter(|line| line.contains(text)).collect();
        found[found.len().saturating_sub(lines)..].join("\n")
    }

    fn log(&self, how_much: &str) -> String {
        let arguments = ["logs", &format!("deployment/{RELEASE}"), how_much];
        self.run(&arguments).unwrap_or_else(|error| format!("{error:#}"))
    }

    fn scale(&self, replicas: u32) -> anyhow::Result<()> {
        self.run(&["scale", &format!("deployment/{RELEASE}"), &format!("--replicas={replicas}")]).map(drop)
    }

    fn controller(&self) -> anyhow::Result<Pod> {
        let mut pods = self.controllers()?;
        pods.retain(|pod| !pod.is_going);
        pods.pop().context("there is no pod of the controller")
    }

    fn controllers(&self) -> anyhow::Result<Vec<Pod>> {
        let text = self.run(&["get", "pods", "-l", "app.kubernetes.io/component=controller", "-o", "json"])?;
        let list: Value = serde_json::from_str(&text)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pod = |pod: &Value| Pod {
            name: text(&pod["metadata"]["name"]),
            uid: text(&pod["metadata"]["uid"]),
            address: text(&pod["status"]["podIP"]),
            is_going: !pod["metadata"]["deletionTimestamp"].is_null(),
        };
        Ok(list["items"].as_array().context("a list")?.iter().map(pod).collect())
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        Ok(self.kubectl.run(&[&["--namespace", NAMESPACE], arguments].concat())?)
    }
}

/// Installs chart scaleset-crds, also where somebody has deleted what it had installed.
pub fn install_definitions(helm: &Helm) -> anyhow::Result<()> {
    let chart = Chart::Definitions.path().display().to_string();
    helm.run(&[
        "upgrade",
        "--install",
        "scaleset-crds",
        &chart,
        "--namespace",
        NAMESPACE,
        "--create-namespace",
        "--wait",
    ])?;
    Ok(())
}

/// Installs a chart of the controller, or brings the release to it and to other values, and returns when all of it is ready;
/// answers what helm tells.
pub fn upgrade(helm: &Helm, chart: &Path, values: &Value) -> anyhow::Result<String> {
    bring(helm, chart, values, &["--wait", "--timeout=3m"])
}

/// The same, and returns when the API server has taken it.
pub fn upgrade_without_waiting(helm: &Helm, chart: &Path, values: &Value) -> anyhow::Result<String> {
    bring(helm, chart, values, &[])
}

fn bring(helm: &Helm, chart: &Path, values: &Value, more: &[&str]) -> anyhow::Result<String> {
    let (chart, file) = (chart.display().to_string(), values_file(values)?);
    let values = file.path().display().to_string();
    let arguments = ["upgrade", "--install", RELEASE, &chart, "--namespace", NAMESPACE, "--values", &values];
    helm.run(&[&arguments[..], more].concat())
}

/// The archive of `make image`, by `SCALESET_IMAGE` or where that puts it.
pub fn image_archive() -> anyhow::Result<PathBuf> {
    let named = std::env::var_os("SCALESET_IMAGE").map(PathBuf::from);
    let path = match named {
        Some(path) => path,
        None => target_directory()?.join("scaleset-image/image.tar"),
    };
    ensure!(path.is_file(), "{} is not there; build it first: make image", path.display());
    Ok(path)
}

fn target_directory() -> anyhow::Result<PathBuf> {
    let output = cargo().args(["metadata", "--no-deps", "--format-version=1"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("what cargo metadata prints")?;
    Ok(PathBuf::from(metadata["target_directory"].as_str().context("no target directory")?))
}

/// What a test's settings are as values: an image that is there, and a lease that whoever was killed loses soon.
pub fn values(settings: &Settings) -> anyhow::Result<Value> {
    // The chart has its own place for the hardware.
    let Settings { kubeconfig: _, region_file, latency, place: _ } = settings;
    let region_file = region_file.as_ref().map(fs::read_to_string).transpose()?.unwrap_or_default();
    let (time_scale, latency) = match latency {
        Latency::TimesFaster(times) => (*times, "region-file"),
        Latency::Zero => (1.0, "zero"),
    };
    Ok(json!({
        "image": {"pullPolicy": "Never"},
        "logFormat": "text",
        "leaderElection": {"leaseDurationSeconds": 8, "renewDeadlineSeconds": 6, "retryPeriodSeconds": 1},
        "hardware": {
            "timeScale": time_scale, "latency": latency, "regionFile": region_file, "control": {"enabled": true},
        },
    }))
}

/// The process of a pod's container that runs `program`, by the pod's name in its control groups.
fn process_of(pod_uid: &str, program: &str) -> anyhow::Result<Pid> {
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let Some(id) = path.file_name().and_then(|name| name.to_str()?.parse::<i32>().ok()) else { continue };
        // A process may end while it is looked at.
        let groups = fs::read_to_string(path.join("cgroup")).unwrap_or_default();
        let command = fs::read(path.join("cmdline")).unwrap_or_default();
        let runs = command.split(|byte| *byte == 0).next() == Some(program.as_bytes());
        if runs && groups.contains(pod_uid) {
            return Pid::from_raw(id).context("a process id is above 0");
        }
    }
    bail!("no process {program} is in a control group of pod {pod_uid}")
}
