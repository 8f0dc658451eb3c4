//! Simulated hardware behind a server, requests to it, and waiting for what another task does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use scaleset_crds::VirtualMachineModel;
use scaleset_hardware::sim::{RegionFile, Simulation, VirtualClock};
use scaleset_hardware::{CreateRequest, Owner, Placement, QuotaRule, Target};
use scaleset_hardware_wire::client::{RemoteHardware, RemoteOptions};
use scaleset_hardware_wire::server::{self, Guard};
use tokio::runtime::Runtime;
use tonic::transport::ServerTlsConfig;

/// One region whose zone takes so many small machines; times are constant.
const REGION: &str = include_str!("region.yaml");
const LIMIT: Duration = Duration::from_secs(30);

/// A server on a runtime of its own: with it end all of its connections, as with a process.
pub struct Server {
    runtime: Option<Runtime>,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(simulation: &Simulation) -> Self {
        Self::guarded(simulation, Guard::Open, None, "127.0.0.1:0".parse().unwrap())
    }

    /// Starts again where one has ended.
    pub fn start_at(simulation: &Simulation, address: SocketAddr) -> Self {
        Self::guarded(simulation, Guard::Open, None, address)
    }

    pub fn guarded(simulation: &Simulation, guard: Guard, tls: Option<ServerTlsConfig>, address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let hardware = Arc::new(simulation.clone());
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            server::serve(listener, tls, hardware, guard).await.unwrap();
        });
        Self { runtime: Some(runtime), address }
    }

    pub fn options(&self) -> RemoteOptions {
        RemoteOptions { url: format!("http://{}", self.address), ..RemoteOptions::default() }
    }

    /// Connects as the leader of an epoch.
    pub async fn client(&self, epoch: u64) -> RemoteHardware {
        let silent = |reason: &str| panic!("it is there: {reason}");
        RemoteHardware::connect(&self.options(), epoch, silent).await.unwrap().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A simulation under a clock that the test moves.
pub fn simulation() -> (Simulation, VirtualClock) {
    let clock = VirtualClock::default();
    let file = RegionFile::parse("the test's", REGION).unwrap();
    (Simulation::in_memory_with(file, clock.clone()), clock)
}

pub fn target(uid: &str, generation: i64) -> Target {
    Target { uid: uid.to_owned(), generation }
}

pub fn request(uid: &str) -> CreateRequest {
    CreateRequest {
        target: target(uid, 1),
        owner: Owner {
            kind: "ScaleSetVM".to_owned(),
            namespace: "default".to_owned(),
            name: uid.to_owned(),
            set_uid: Some("set".to_owned()),
            instance_number: Some(7),
        },
        computer_name: uid.to_owned(),
        placement: Placement {
            location: "testland".to_owned(),
            zone: Some("1".to_owned()),
            platform_fault_domain: None,
            update_domain: Some(0),
            placement_group: Some("0".to_owned()),
        },
        quota: QuotaRule::Counted,
        model_revision: "revision-1".to_owned(),
        model: Arc::new(model()),
    }
}

pub fn model() -> VirtualMachineModel {
    serde_json::from_str(
        r#"{
            "vmSize": "Small",
            "credentials": {"adminUsername": "azureuser"},
            "storageProfile": {"imageReference": {"id": "golden"}},
            "networkProfile": {"networkInterfaces": [{"name": "nic01", "primary": true, "subnet": "default"}]}
        }"#,
    )
    .unwrap()
}

/// Asks again until the answer is there.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < LIMIT, "{what}: not within {} s", LIMIT.as_secs());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
