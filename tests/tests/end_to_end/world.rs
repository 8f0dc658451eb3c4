//! What the tests run in: control planes with a controller, and a namespace of its own for each test.

use std::path::PathBuf;
use std::sync::LazyLock;

use kube::Client;
use scaleset_tests::local::cluster::{LocalCluster, workspace};
use scaleset_tests::local::controller::{HardwarePlace, Latency, Settings};
use scaleset_tests::local::hardware::HardwareEndpoint;
use scaleset_tests::local::object_health;
use scaleset_tests::local::product::Product;
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::scene::Scene;

/// How much faster than the wall scenario time runs.
pub const TIMES_FASTER: f64 = 20.0;

/// A control plane and the controller in it.
pub struct World {
    pub cluster: LocalCluster,
    pub client: Client,
    pub hardware: HardwareEndpoint,
    pub controller: Product,
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime can be built"));

/// Whatever runs in here leaves the controller alone.
static PEACEFUL: OnceCell<World> = OnceCell::const_new();
/// Whatever runs in here has controller and API server for itself.
static LONELY: OnceCell<Mutex<World>> = OnceCell::const_new();

/// The region file of these tests.
pub fn region_file() -> PathBuf {
    workspace().join("tests/tests/end_to_end/region.yaml")
}

/// Runs a test in a namespace of its own, beside others.
pub fn run(namespace: &str, test: impl AsyncFnOnce(&Scene<'_>) -> anyhow::Result<()>) {
    RUNTIME.block_on(async {
        let world = PEACEFUL.get_or_init(World::start).await;
        let scene = Scene::new(world, namespace).await;
        let result = test(&scene).await;
        // The scene is there while this panics, and tells what it looks like.
        result.unwrap_or_else(|error| panic!("{error:#}"));
    });
}

/// Runs a test in a world that it has for itself meanwhile.
pub fn run_alone(test: impl AsyncFnOnce(&mut World) -> anyhow::Result<()>) {
    RUNTIME.block_on(async {
        let mut world = lonely().await;
        let result = test(&mut world).await;
        if result.is_err() {
            eprintln!("the end of the controller's log:\n{}", world.controller.log_tail(60));
        }
        // The lock is let go before the panic, so that other tests can go on.
        drop(world);
        result.unwrap_or_else(|error| panic!("{error:#}"));
    });
}

/// Runs a test that needs no controller.
pub fn run_bare(test: impl AsyncFnOnce() -> anyhow::Result<()>) {
    RUNTIME.block_on(async { test().await.unwrap_or_else(|error| panic!("{error:#}")) });
}

/// The world that others run in, for what only looks at it.
pub async fn peaceful() -> &'static World {
    PEACEFUL.get_or_init(World::start).await
}

async fn lonely() -> MutexGuard<'static, World> {
    LONELY.get_or_init(async || Mutex::new(World::start().await)).await.lock().await
}

impl World {
    async fn start() -> Self {
        let start = || object_health::prepare().and_then(|()| LocalCluster::for_product());
        let cluster = tokio::task::spawn_blocking(start).await.expect("starting does not panic");
        let cluster = cluster.unwrap_or_else(|error| panic!("{error:#}"));
        Self::with_controller(cluster).await.unwrap_or_else(|error| panic!("{error:#}"))
    }

    async fn with_controller(cluster: LocalCluster) -> anyhow::Result<Self> {
        let settings = Settings {
            kubeconfig: cluster.controller_kubeconfig()?,
            region_file: Some(region_file()),
            latency: Latency::TimesFaster(TIMES_FASTER),
            place: HardwarePlace::Inside,
        };
        let controller = Product::start(&cluster, settings).await?;
        Ok(Self { client: cluster.client().await?, hardware: controller.hardware()?, cluster, controller })
    }

    /// Starts the controller again after it was killed.
    pub async fn restart_controller(&mut self) -> anyhow::Result<()> {
        self.controller.restart().await?;
        self.hardware = self.controller.hardware()?;
        Ok(())
    }
}
