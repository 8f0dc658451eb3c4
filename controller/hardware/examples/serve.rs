//! A simulated region alone, without any controller: three machines whose health an extension tells, and the control
//! endpoint, until Ctrl-C.
//!
//! `cargo run -p scaleset-hardware --example serve [store [port]]`

use std::process::ExitCode;
use std::sync::Arc;

use scaleset_crds::VirtualMachineModel;
use scaleset_hardware::sim::{
    ClockSource, LatencySource, RegionSource, Simulation, SimulationOptions, Storage, control,
};
use scaleset_hardware::{CreateRequest, Hardware, Owner, Placement, QuotaRule, Target};

const MODEL: &str = r#"{
    "vmSize": "Standard_D2s_v3",
    "credentials": {"adminUsername": "azureuser"},
    "storageProfile": {"imageReference": {"publisher": "Canonical", "offer": "ubuntu-server", "sku": "22_04-lts"}},
    "networkProfile": {"networkInterfaces": [{"name": "nic01", "primary": true, "subnet": "default"}]},
    "extensions": [{
        "name": "health",
        "publisher": "Microsoft.ManagedServices",
        "type": "ApplicationHealthLinux",
        "typeHandlerVersion": "2.0",
        "settings": {"protocol": "http", "requestPath": "/health", "intervalInSeconds": 5, "numberOfProbes": 3}
    }]
}"#;

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let store = std::env::args().nth(1).unwrap_or_else(|| "region.redb".to_owned());
    let port: u16 = std::env::args().nth(2).map_or(Ok(0), |port| port.parse())?;
    let simulation = Simulation::open(SimulationOptions {
        region: RegionSource::Embedded,
        storage: Storage::File(store.into()),
        clock: ClockSource::Wall { time_scale: 15.0 },
        latency: LatencySource::RegionFile,
    })?;
    let model: Arc<VirtualMachineModel> = Arc::new(serde_json::from_str(MODEL)?);
    for number in 0..3 {
        simulation.create(request(number, Arc::clone(&model))).await?;
    }
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("control endpoint: http://{}", listener.local_addr()?);
    let interrupted = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            eprintln!("cannot wait for ctrl-c: {error}");
        }
    };
    Ok(control::serve(listener, simulation, interrupted).await?)
}

fn request(number: i64, model: Arc<VirtualMachineModel>) -> CreateRequest {
    CreateRequest {
        target: Target { uid: format!("00000000-0000-4000-8000-{number:012}"), generation: 1 },
        owner: Owner {
            kind: "ScaleSetVM".to_owned(),
            namespace: "default".to_owned(),
            name: format!("web-{number}"),
            set_uid: Some("3d6f8a3e-0c76-4d3c-9d3a-5a6b7c8d9e0f".to_owned()),
            instance_number: Some(number),
        },
        computer_name: format!("web{number:06}"),
        placement: Placement {
            location: "eastus".to_owned(),
            zone: Some((number % 3 + 1).to_string()),
            platform_fault_domain: None,
            update_domain: Some(0),
            placement_group: Some("0".to_owned()),
        },
        quota: QuotaRule::Counted,
        model_revision: "web-5d9c7f6b8".to_owned(),
        model,
    }
}
