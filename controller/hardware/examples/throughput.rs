//! Measures what the simulated hardware costs by itself: 1,000 creates and 1,000 deletes with 16 calls in flight and no
//! latency, in a durable store.
//!
//! `cargo run --release -p scaleset-hardware --example throughput [store]`

use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt, TryStreamExt, stream};
use scaleset_crds::VirtualMachineModel;
use scaleset_hardware::sim::{ClockSource, LatencySource, RegionSource, Simulation, SimulationOptions, Storage};
use scaleset_hardware::{CreateRequest, Hardware, HardwareError, Owner, Placement, QuotaRule, Shutdown, Target};

const MACHINES: usize = 1_000;
const IN_FLIGHT: usize = 16;
const MODEL: &str = r#"{
    "vmSize": "Standard_B1s",
    "credentials": {"adminUsername": "azureuser"},
    "storageProfile": {"imageReference": {"publisher": "Canonical", "offer": "ubuntu-server", "sku": "22_04-lts"}},
    "networkProfile": {"networkInterfaces": [{"name": "nic01", "primary": true, "subnet": "default"}]}
}"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = std::env::args().nth(1).unwrap_or_else(|| "throughput.redb".to_owned());
    let simulation = Simulation::open(SimulationOptions {
        region: RegionSource::Embedded,
        storage: Storage::File(store.into()),
        clock: ClockSource::Wall { time_scale: 1.0 },
        latency: LatencySource::Zero,
    })?;
    let model: Arc<VirtualMachineModel> = Arc::new(serde_json::from_str(MODEL)?);
    let before = resident_kib();
    let creates = measure("create", |number| {
        let (simulation, model) = (simulation.clone(), Arc::clone(&model));
        async move { simulation.create(request(number, model)).await.map(drop) }
    });
    creates.await?;
    println!("resident for {MACHINES} machines: {} KiB", resident_kib().saturating_sub(before));
    let deletes = measure("delete", |number| {
        let simulation = simulation.clone();
        async move { simulation.delete(target(number), Shutdown::Graceful).await.map(drop) }
    });
    deletes.await?;
    Ok(())
}

async fn measure<F>(call: &str, one: impl Fn(usize) -> F) -> Result<(), HardwareError>
where
    F: Future<Output = Result<(), HardwareError>>,
{
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    stream::iter(0..MACHINES).map(one).buffer_unordered(IN_FLIGHT).try_collect::<()>().await?;
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!("{MACHINES} x {call}, {IN_FLIGHT} in flight: {wall:.3} s wall, {cpu:.2} s cpu");
    Ok(())
}

fn request(number: usize, model: Arc<VirtualMachineModel>) -> CreateRequest {
    CreateRequest {
        target: target(number),
        owner: Owner {
            kind: "ScaleSetVM".to_owned(),
            namespace: "default".to_owned(),
            name: format!("web-{number}"),
            set_uid: Some("3d6f8a3e-0c76-4d3c-9d3a-5a6b7c8d9e0f".to_owned()),
            instance_number: i64::try_from(number).ok(),
        },
        computer_name: format!("web{number:06}"),
        placement: Placement {
            location: "eastus".to_owned(),
            zone: Some((number % 3 + 1).to_string()),
            platform_fault_domain: None,
            update_domain: i32::try_from(number % 5).ok(),
            placement_group: Some("0".to_owned()),
        },
        quota: QuotaRule::Counted,
        model_revision: "web-5d9c7f6b8".to_owned(),
        model,
    }
}

fn target(number: usize) -> Target {
    Target { uid: format!("00000000-0000-4000-8000-{number:012}"), generation: 1 }
}

/// Resident memory of this process; 0 where the system does not tell.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// CPU time of this process, in the hundredths of a second that Linux counts; 0 where the system does not tell.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect::<Vec<_>>()).unwrap_or_default();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
