//! A `HorizontalPodAutoscaler` of the real controller manager moves a set by a metric, through `scale`.

use anyhow::{Context, ensure};
use k8s_openapi::ByteString;
use kube::api::ListParams;
use scaleset_crds::{ScaleSet, condition::find};
use scaleset_tests::local::external_metrics::{ExternalMetrics, GROUP_VERSION, METRIC};
use serde_json::{Value, json};

use crate::rolling::application;
use crate::scene::{Scene, profile, uniform};
use crate::world::{World, run_alone};

const SERVICE: &str = "external-metrics";

/// The metric as the API server knows it, until this is dropped: an API that nobody answers for would be in the way of
/// whoever asks what the server has.
struct Published<'scene> {
    scene: &'scene Scene<'scene>,
    metrics: ExternalMetrics,
}

impl<'scene> Published<'scene> {
    async fn new(scene: &'scene Scene<'scene>) -> anyhow::Result<Self> {
        let metrics = ExternalMetrics::serve(&format!("{SERVICE}.{}.svc", scene.namespace)).await?;
        // No Pod serves it: the name leads to a process of this machine.
        scene.apply(&json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVICE},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        }))?;
        let (group, version) = GROUP_VERSION.split_once('/').context("a group and a version")?;
        scene.apply(&json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": api_service()?},
            "spec": {
                "group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100,
                "caBundle": ByteString(metrics.certificate.clone().into_bytes()),
                "service": {"namespace": scene.namespace, "name": SERVICE, "port": metrics.address.port()},
            },
        }))?;
        let published = Self { scene, metrics };
        let name = format!("apiservice/{}", api_service()?);
        scene.kubectl(&["wait", "--for=condition=Available", "--timeout=60s", &name])?;
        Ok(published)
    }
}

impl Drop for Published<'_> {
    fn drop(&mut self) {
        if let Ok(name) = api_service() {
            // Where even that fails the test has failed before.
            let _ = self.scene.kubectl(&["delete", "apiservice", &name]);
        }
    }
}

fn api_service() -> anyhow::Result<String> {
    let (group, version) = GROUP_VERSION.split_once('/').context("a group and a version")?;
    Ok(format!("{version}.{group}"))
}

/// As docs/autoscaling-with-hpa.md has it: one VM for ten requests that wait, as fast as the metric says.
fn autoscaler() -> Value {
    let at_once = json!([{"type": "Percent", "value": 900, "periodSeconds": 15}]);
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {
            "scaleTargetRef": {"apiVersion": scaleset_crds::API_VERSION, "kind": "ScaleSet", "name": "web"},
            "minReplicas": 2, "maxReplicas": 20,
            "metrics": [{"type": "External", "external": {
                "metric": {"name": METRIC}, "target": {"type": "AverageValue", "averageValue": "10"},
            }}],
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 0, "policies": at_once},
                "scaleDown": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]},
            },
        },
    })
}

/// Waits until the autoscaler has moved the set, and the set is there.
async fn moved_to(scene: &Scene<'_>, count: i32) -> anyhow::Result<ScaleSet> {
    scene
        .until(&format!("the autoscaler wishes for {count}"), async || {
            let wished = scene.set("web").await?.spec.replicas;
            ensure!(
                wished == Some(count),
                "spec.replicas is {wished:?}; {}",
                scene.kubectl(&["describe", "hpa", "web"])?
            );
            Ok(())
        })
        .await?;
    let set = scene.settled("web").await?;
    let status = set.status.clone().unwrap_or_default();
    assert_eq!((status.target_replicas, status.ready_replicas), (Some(count), Some(count)));
    Ok(set)
}

async fn moves(world: &World) -> anyhow::Result<()> {
    let scene = Scene::new(world, "hpa").await;
    let published = Published::new(&scene).await?;
    scene.apply(&uniform("web", 4, json!({})))?;
    scene.settled("web").await?;
    published.metrics.set(40);
    scene.apply(&autoscaler())?;
    scene.kubectl(&["wait", "--for=condition=ScalingActive", "--timeout=60s", "hpa/web"])?;
    assert_eq!(scene.set("web").await?.spec.replicas, Some(4), "four VMs for forty requests");

    published.metrics.set(131);
    moved_to(&scene, 14).await?;
    // Less than half, and more than five less: what a person would have to confirm is the autoscaler's own wish.
    published.metrics.set(31);
    let set = moved_to(&scene, 4).await?;
    let conditions = set.status.map(|status| status.conditions).unwrap_or_default();
    assert_eq!(find(&conditions, "Stalled").map(|stalled| stalled.status.as_str()), Some("False"));
    // Nothing is asked of the autoscaler beyond its own bounds.
    published.metrics.set(0);
    moved_to(&scene, 2).await?;
    scene.one_machine_for_each_instance().await?;

    scene.kubectl(&["delete", "hpa", "web"])?;
    scene.kubectl(&["delete", "sset", "web", "--timeout=60s"])?;
    let left = scene.api::<ScaleSet>().list(&ListParams::default()).await?.items.len();
    assert_eq!(left, 0);
    Ok(())
}

#[test]
fn an_autoscaler_moves_a_set_up_and_down_by_more_than_half_as_its_metric_says() {
    run_alone(async |world| moves(world).await);
}

/// Ten VMs for a hundred requests, just what the metric asks for: a surge would be within the autoscaler's tolerance of a tenth.
async fn stays(world: &World) -> anyhow::Result<()> {
    let scene = Scene::new(world, "hpa-surge").await;
    let published = Published::new(&scene).await?;
    let rolling = json!({"maxBatchInstancePercent": 10, "maxSurge": 1, "healthTimeoutSeconds": 7_200});
    let set = json!({
        "upgradePolicy": {"mode": "Rolling", "rollingUpgradePolicy": rolling},
        "virtualMachineProfile": application("./nginx v1"),
    });
    scene.apply(&uniform("web", 10, set))?;
    scene.settled("web").await?;
    published.metrics.set(100);
    scene.apply(&autoscaler())?;
    scene.kubectl(&["wait", "--for=condition=ScalingActive", "--timeout=60s", "hpa/web"])?;

    // The new VM never becomes healthy: the old one stays beside it.
    let mut changed = application("./broken v2");
    changed["storageProfile"] = json!({"imageReference": {"sku": "20_04-lts-gen2"}});
    scene.patch::<ScaleSet>("web", profile(changed)).await?;
    let beside = async || {
        let instances = scene.instances().await?.len();
        ensure!(instances == 11, "there are {instances}");
        Ok(())
    };
    scene.until("a new VM is beside an old one", beside).await?;
    let before = published.metrics.reads();
    scene
        .until("the autoscaler has looked three times", async || {
            let set = scene.set("web").await?;
            assert_eq!(set.spec.replicas, Some(10), "{}", scene.kubectl(&["describe", "hpa", "web"])?);
            let looked = published.metrics.reads() - before;
            ensure!(looked >= 3, "it has {looked} times");
            Ok(())
        })
        .await?;
    beside().await?;
    let status = scene.set("web").await?.status.unwrap_or_default();
    assert_eq!((status.target_replicas, status.replicas), (Some(10), Some(10)));

    scene.kubectl(&["delete", "hpa", "web"])?;
    scene.kubectl(&["delete", "sset", "web", "--timeout=60s"])?;
    Ok(())
}

#[test]
fn an_autoscaler_leaves_a_set_as_large_as_it_is_while_it_surges() {
    run_alone(async |world| stays(world).await);
}
