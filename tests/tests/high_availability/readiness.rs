//! What `/readyz` of a real process says while something is missing: no 200, and the name of what is missing.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use anyhow::ensure;
use http::StatusCode;
use rustix::process::Signal;
use scaleset_control_plane::{Supervisor, free_addresses, log_tail};
use scaleset_tests::local::binary::Program;
use scaleset_tests::local::readiness::{metrics, readiness};
use scaleset_tests::local::until;
use serde_json::Value;
use tempfile::TempDir;

use crate::world::{Durations, LIMIT, World, run};

/// A controller that need not become ready; it ends when this is dropped.
struct Waiting {
    health: SocketAddr,
    directory: TempDir,
    _supervisor: Supervisor,
}

impl Waiting {
    async fn start(kubeconfig: &Path, flags: &[&str]) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut supervisor = Supervisor::removing(None)?;
        let [health] = free_addresses()?;
        let mut arguments = vec![format!("--kubeconfig={}", kubeconfig.display()), format!("--health-listen={health}")];
        if !flags.iter().any(|flag| flag.starts_with("--hardware-url")) {
            arguments.push(format!("--hardware-store={}", directory.path().join("hardware.redb").display()));
        }
        arguments.extend(flags.iter().map(ToString::to_string));
        supervisor.start(&Program::Controller.binary().await?, &arguments, &directory.path().join("log"))?;
        Ok(Self { health, directory, _supervisor: supervisor })
    }

    /// Waits until it names what it waits for in these words.
    async fn names(&self, phrases: &[&str]) -> anyhow::Result<()> {
        until(&format!("/readyz names {phrases:?}"), LIMIT, async || {
            let log = log_tail(&self.directory.path().join("log"), 0, 10);
            let (status, text) = readiness(self.health).await.map_err(|error| error.context(log.clone()))?;
            ensure!(status == StatusCode::SERVICE_UNAVAILABLE, "it says {status} {text}; its log:\n{log}");
            ensure!(text.starts_with("waiting for "), "it says {text}");
            ensure!(phrases.iter().all(|phrase| text.contains(phrase)), "it says {text}; its log:\n{log}");
            Ok(())
        })
        .await
    }
}

/// Nobody listens on a port that was free a moment ago.
fn nobody() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// A user of whom no role knows.
fn without_rights(world: &World) -> anyhow::Result<std::path::PathBuf> {
    Ok(world.cluster.plane().kubeconfig_for("somebody-without-rights", &[])?)
}

#[test]
fn an_api_server_that_does_not_answer_is_named() {
    run(async |world| {
        let directory = tempfile::tempdir()?;
        let mut config: Value =
            serde_json::from_str(&std::fs::read_to_string(world.cluster.controller_kubeconfig()?)?)?;
        config["clusters"][0]["cluster"]["server"] = format!("https://{}", nobody()?).into();
        let nowhere = directory.path().join("kubeconfig");
        std::fs::write(&nowhere, config.to_string())?;
        let url = format!("--hardware-url=http://{}", nobody()?);
        // Who is alone leads from the start; who would be elected does not before it is.
        for (flags, leaders) in [(&[][..], 1), (&["--leader-elect", &url], 0)] {
            let waiting = Waiting::start(&nowhere, flags).await?;
            waiting.names(&["the kubernetes api"]).await?;
            let metrics = metrics(waiting.health).await?;
            ensure!(metrics.lines().any(|line| line == format!("scaleset_leader {leaders}")), "{flags:?}: {metrics}");
        }
        Ok(())
    });
}

#[test]
fn lists_that_are_missing_are_named_with_the_failure() {
    run(async |world| {
        let waiting = Waiting::start(&without_rights(world)?, &["--hardware-latency=zero"]).await?;
        waiting.names(&["the first list of ScaleSet", "AutoscaleSetting", "forbidden"]).await
    });
}

#[test]
fn hardware_that_does_not_answer_is_named_with_its_address() {
    run(async |world| {
        let url = format!("http://{}", nobody()?);
        let kubeconfig = world.cluster.controller_kubeconfig()?;
        let waiting = Waiting::start(&kubeconfig, &[&format!("--hardware-url={url}")]).await?;
        waiting.names(&[&format!("the hardware at {url}"), "refused"]).await
    });
}

/// It would stand by for nobody: it cannot even see who leads.
#[test]
fn a_lease_that_cannot_be_read_is_named_and_is_no_standing_by() {
    run(async |world| {
        let url = format!("--hardware-url=http://{}", nobody()?);
        let waiting = Waiting::start(&without_rights(world)?, &[&url, "--leader-elect"]).await?;
        waiting.names(&["lease scaleset-controller: ", "forbidden"]).await
    });
}

/// Readiness is no promise of the start: a leader says so when its hardware dies under it, leads on, and is ready again
/// with it.
#[test]
fn a_leader_is_ready_as_long_as_its_hardware_answers() {
    run(async |world| {
        let leader = world.replica(Durations(15, 10, 2)).await?;
        let before = world.lease().await?;
        let says = async |wanted: StatusCode, phrase: &str| {
            until(&format!("/readyz is {wanted}"), LIMIT, async || {
                let (status, text) = readiness(leader.health()).await?;
                ensure!(status == wanted && text.starts_with(phrase), "it says {status} {text}");
                Ok(())
            })
            .await
        };
        says(StatusCode::OK, "ok").await?;
        world.hardware.kill().await?;
        says(StatusCode::SERVICE_UNAVAILABLE, "waiting for the hardware at http://").await?;
        world.hardware.restart().await?;
        says(StatusCode::OK, "ok").await?;
        assert_eq!(world.lease().await?, before, "it has led all the time");
        leader.signal(Signal::TERM)?;
        leader.gone().await
    });
}
