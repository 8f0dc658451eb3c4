//! The product under test: a process of this machine, or a release of the chart on a node.

use std::path::PathBuf;

use anyhow::bail;

use super::cluster::LocalCluster;
use super::controller::{LocalController, Settings};
use super::hardware::HardwareEndpoint;
use super::release::Release;

/// How the product is run, as `SCALESET_END_TO_END` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The controller as a process with hardware in it; nothing or `process`.
    Process,
    /// `chart`: what the charts install, as pods of a node.
    Chart,
}

/// The product, installed and ready.
#[derive(Debug)]
pub enum Product {
    /// A process.
    Process(Box<LocalController>),
    /// A release.
    Release(Box<Release>),
}

impl Mode {
    /// What the environment asks for.
    pub fn of_environment() -> anyhow::Result<Self> {
        match std::env::var("SCALESET_END_TO_END").as_deref() {
            Err(_) | Ok("" | "process") => Ok(Self::Process),
            Ok("chart") => Ok(Self::Chart),
            Ok(other) => bail!("SCALESET_END_TO_END is {other}; it must be process or chart"),
        }
    }
}

impl Product {
    /// Runs in the cluster what the cluster was made for, and returns when it is ready.
    pub async fn start(cluster: &LocalCluster, settings: Settings) -> anyhow::Result<Self> {
        match Mode::of_environment()? {
            Mode::Process => Ok(Self::Process(Box::new(LocalController::start(settings).await?))),
            Mode::Chart => Ok(Self::Release(Box::new(Release::install(cluster, &settings).await?))),
        }
    }

    /// Ends the controller as `kill -9` does, and returns when it is gone; it stays away until [`Self::restart`].
    pub async fn kill(&self) -> anyhow::Result<()> {
        match self {
            Self::Process(controller) => controller.kill().await,
            Self::Release(release) => release.kill().await,
        }
    }

    /// Starts it again after [`Self::kill`], on the same hardware, and returns when it is ready.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Process(controller) => controller.restart().await,
            Self::Release(release) => release.restart().await,
        }
    }

    /// Its simulated hardware.
    pub fn hardware(&self) -> anyhow::Result<HardwareEndpoint> {
        match self {
            Self::Process(controller) => controller.hardware(),
            Self::Release(release) => release.hardware(),
        }
    }

    /// The file in which its simulated hardware lives; none where that is in a volume of a pod.
    pub fn hardware_store(&self) -> Option<PathBuf> {
        match self {
            Self::Process(controller) => Some(controller.hardware_store()),
            Self::Release(_) => None,
        }
    }

    /// One counter of its `/metrics`: all series with these labels together.
    pub async fn counter(&self, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<f64> {
        match self {
            Self::Process(controller) => controller.counter(name, labels).await,
            Self::Release(release) => release.counter(name, labels).await,
        }
    }

    /// The end of the controller's log.
    pub fn log_tail(&self, lines: usize) -> String {
        match self {
            Self::Process(controller) => controller.log_tail(lines),
            Self::Release(release) => release.log_tail(lines),
        }
    }

    /// The last lines of its log that hold `text`.
    pub fn log_about(&self, text: &str, lines: usize) -> String {
        match self {
            Self::Process(controller) => controller.log_about(text, lines),
            Self::Release(release) => release.log_about(text, lines),
        }
    }
}
