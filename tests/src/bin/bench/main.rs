//! `make bench`: how fast and how large the controller is, against the same API server in the same run.
//!
//! Two arms take turns (floor, ours, ours, floor, …), so that a machine that gets slower or faster meanwhile does so for
//! both. The floor is a writer that makes only the writes that nobody can do without. What is judged are ratios and
//! counts, never seconds. The report goes to standard output and to `docs/benchmarks.md`; the exit code says whether
//! every target was met.
//!
//! `bench rollouts` measures upgrades alone, on a simulated cluster: it needs no API server. `bench reservations` measures
//! capacity reservation groups alone, `bench separate` the controller's memory with hardware in a process of its own, `bench
//! readings` how often the hardware is asked for metrics. None of them writes a page.

mod floor;
mod ours;
mod planning;
mod readings;
mod report;
mod reserved;
mod rollout;
mod separate;

use std::env;
use std::fs;
use std::process::ExitCode;

use kube::Client;
use scaleset_tests::local::cluster::{LocalCluster, client_from, workspace};

use floor::Floor;
use ours::{Ours, Round};
use report::{
    Report, Simulated, planning_verdicts, readings_met, readings_verdict, reservation_verdicts, reservations_met,
    rollout_verdicts, rollouts_met, separate_met, separate_verdict,
};

/// Instances in each round.
const INSTANCES: usize = 1_000;
/// Instances of the rounds that only warm up the API server.
const WARM_UP: usize = 100;

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
enum Arm {
    Floor,
    Ours,
}

/// Each arm four times, the middle of each half in the other order.
const ORDER: [Arm; 8] = [Arm::Floor, Arm::Ours, Arm::Ours, Arm::Floor, Arm::Floor, Arm::Ours, Arm::Ours, Arm::Floor];

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    if env::args().nth(1).as_deref() == Some("reservations") {
        return reservations().await;
    }
    if env::args().nth(1).as_deref() == Some("separate") {
        return separate().await;
    }
    if env::args().nth(1).as_deref() == Some("readings") {
        let readings = tokio::task::spawn_blocking(readings::measure).await??;
        println!("{}", readings_verdict(&readings));
        return Ok(if readings_met(&readings) { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    println!("upgrading simulated fleets");
    let rollouts = tokio::task::spawn_blocking(rollout::measure).await??;
    println!("\n{}", rollout_verdicts(&rollouts));
    if env::args().nth(1).as_deref() == Some("rollouts") {
        return Ok(if rollouts_met(&rollouts) { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    println!("planning");
    let planning = tokio::task::spawn_blocking(planning::measure).await??;
    println!("\n{}", planning_verdicts(&planning));
    let readings = tokio::task::spawn_blocking(readings::measure).await??;
    println!("starting a control plane, building the controller");
    let cluster = tokio::task::spawn_blocking(LocalCluster::installed).await??;
    let admin = cluster.client().await?;
    // As fast as the API server lets it: the same identity, so the same share of the server.
    let writer = client_from(&cluster.controller_kubeconfig()?).await?;
    let report = measure(&cluster, &admin, &writer, Simulated { rollouts, planning, readings }).await?;
    println!("\n{}", report.verdicts());
    fs::write(workspace().join("docs/benchmarks.md"), report.page())?;
    println!("written to docs/benchmarks.md");
    Ok(if report.all_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn reservations() -> anyhow::Result<ExitCode> {
    println!("starting a control plane, building the controller");
    let cluster = tokio::task::spawn_blocking(LocalCluster::installed).await??;
    let admin = cluster.client().await?;
    let reserved = Ours { cluster: &cluster, admin: &admin }.reserved("reserved", INSTANCES).await?;
    println!("\n{}", reservation_verdicts(&reserved));
    Ok(if reservations_met(&reserved) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn separate() -> anyhow::Result<ExitCode> {
    println!("starting a control plane, building the controller and the hardware");
    let cluster = tokio::task::spawn_blocking(LocalCluster::installed).await??;
    let admin = cluster.client().await?;
    let separate = Ours { cluster: &cluster, admin: &admin }.separate("separate", INSTANCES).await?;
    println!("\n{}", separate_verdict(&separate));
    Ok(if separate_met(&separate) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(
    cluster: &LocalCluster,
    admin: &Client,
    writer: &Client,
    simulated: Simulated,
) -> anyhow::Result<Report> {
    let ours = Ours { cluster, admin };
    println!("warming up");
    let warm = ours.run("warm-ours", WARM_UP, Round::Plain).await?;
    let floor = Floor { admin, writer, template: warm.template };
    floor.run("warm-floor", WARM_UP).await?;
    let mut report = Report::new(INSTANCES, simulated);
    for (turn, arm) in ORDER.into_iter().enumerate() {
        match arm {
            Arm::Floor => {
                let measured = floor.run(&format!("floor-{turn}"), INSTANCES).await?;
                println!("floor  {INSTANCES} ready in {:.2} s", measured.seconds);
                report.floors.push(measured);
            }
            Arm::Ours => {
                let last = report.ours.len() + 1 == ORDER.len() / 2;
                let round = if last { Round::WithQuietMinute } else { Round::Plain };
                let measured = ours.run(&format!("ours-{turn}"), INSTANCES, round).await?;
                println!("ours   {INSTANCES} ready in {:.2} s", measured.seconds);
                report.ours.push(measured);
            }
        }
    }
    report.separate = Some(ours.separate("separate", INSTANCES).await?);
    report.reserved = Some(ours.reserved("reserved", INSTANCES).await?);
    Ok(report)
}
