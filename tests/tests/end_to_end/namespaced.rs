//! Two controllers in one cluster, each for one namespace: with the rights that the chart gives it there and no other,
//! with hardware and a lease of its own.

use anyhow::{Context, ensure};
use scaleset_control_plane::ControlPlane;
use scaleset_tests::chart::{Chart, Helm};
use scaleset_tests::local::cluster::LocalCluster;
use scaleset_tests::local::controller::{Latency, LocalController, Settings};
use scaleset_tests::local::hardware_process::LocalHardware;
use scaleset_tests::local::until;
use serde_json::{Value, json};

use crate::scene::{LIMIT, uniform, vm};
use crate::world::{TIMES_FASTER, run_bare};

const ACCOUNT: &str = "scaleset-controller";
/// Where nobody works.
const UNWATCHED: &str = "attic";

/// A controller for the namespace.
struct Install {
    watched: &'static str,
    hardware: LocalHardware,
    controller: LocalController,
}

fn system(watched: &str) -> String {
    format!("{watched}-system")
}

fn username(watched: &str) -> String {
    format!("system:serviceaccount:{}:{ACCOUNT}", system(watched))
}

/// The kinds and the policy, by helm.
fn definitions(plane: &ControlPlane, watched: [&str; 2]) -> anyhow::Result<()> {
    let [first, second] = watched.map(username);
    let chart = Chart::Definitions.path().display().to_string();
    Helm::of_cluster(plane.admin_kubeconfig())?.run(&[
        "install",
        "scaleset-crds",
        &chart,
        "--set",
        &format!("controllerUsername={first},furtherControllerUsernames[0]={second}"),
    ])?;
    plane.kubectl(&["wait", "crd", "--all", "--for=condition=Established", "--timeout=60s"])?;
    Ok(())
}

/// Account and rights of a release, without its pods.
fn rights(cluster: &LocalCluster, watched: &str) -> anyhow::Result<()> {
    for namespace in [watched, &system(watched)] {
        cluster.kubectl(&["create", "namespace", namespace])?;
    }
    let values = json!({"watchNamespace": watched, "hardware": {"tokenSecretName": "hardware-token"}});
    let mut objects = Helm::offline()?.objects_in(&system(watched), Chart::Controller, &values)?;
    let wanted = ["ServiceAccount", "Role", "RoleBinding"];
    objects.retain(|object| wanted.iter().any(|kind| object["kind"] == **kind));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    cluster.kubectl_with(&["apply", "--server-side"], &list.to_string())?;
    Ok(())
}

impl Install {
    /// Starts hardware, and a controller under the release's account.
    async fn start(cluster: &LocalCluster, watched: &'static str) -> anyhow::Result<Self> {
        rights(cluster, watched)?;
        let latency = Latency::TimesFaster(TIMES_FASTER);
        let hardware = LocalHardware::start(None, latency).await?;
        let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{}", system(watched))];
        let own = format!("--namespace={}", system(watched));
        let place = hardware.place(&["--leader-elect", &own, &format!("--watch-namespace={watched}")]);
        let kubeconfig = cluster.plane().kubeconfig_for(&username(watched), &groups)?;
        let controller = LocalController::start(Settings { kubeconfig, region_file: None, latency, place }).await?;
        Ok(Self { watched, hardware, controller })
    }

    /// It has done its work, nobody else's, and was refused nothing.
    async fn is_at_home(&self, cluster: &LocalCluster, sets: f64) -> anyhow::Result<()> {
        let Self { watched, hardware, controller } = self;
        let refused = controller.log_about("orbidden", 5);
        assert!(refused.is_empty(), "{watched}: {refused}");
        assert_eq!(controller.readiness().await?.trim(), "ok", "{watched}");
        assert!(controller.counter("scaleset_leader", &[]).await? >= 1.0, "{watched}: it leads");
        assert!(
            (controller.counter("scaleset_desired_replicas", &[]).await? - sets).abs() < 0.1,
            "{watched}: its sets"
        );
        let machines = hardware.endpoint()?.machines(watched).await?.len();
        let all = hardware.endpoint()?.journal_after(0).await?;
        let prefix = format!("{watched}/");
        let strange = all.iter().filter(|entry| !entry.owner.is_empty() && !entry.owner.starts_with(&prefix));
        assert_eq!(strange.count(), 0, "{watched}: nothing was asked for another namespace");
        assert!(machines >= 2, "{watched} has {machines} machines");
        let system = system(watched);
        let holder =
            cluster.kubectl(&["get", "lease", ACCOUNT, "-n", &system, "-o", "jsonpath={.spec.holderIdentity}"])?;
        assert!(!holder.is_empty(), "{watched}: its lease");
        let regions = cluster.kubectl(&["get", "configmaps", "-n", &system, "-o", "name"])?;
        assert!(regions.contains("scaleset-region-eastus"), "{watched}: {regions}");
        Ok(())
    }
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    let mut object = json!({"apiVersion": scaleset_crds::API_VERSION, "kind": kind, "metadata": {"name": name}});
    object["spec"] = spec;
    object
}

/// One of each kind that people make, but an operation.
fn objects() -> Vec<Value> {
    vec![
        uniform("web", 2, json!({})),
        vm("jumpbox", json!({})),
        object(
            "CapacityReservationGroup",
            "room",
            json!({"location": "eastus", "reservations": [{"name": "d2s", "vmSize": "Standard_D2s_v3", "capacity": 1}]}),
        ),
        object(
            "AutoscaleSetting",
            "web",
            json!({"scaleTargetRef": {"name": "web"}, "enabled": true, "profiles": [
                {"name": "always", "capacity": {"minimum": 3, "maximum": 4, "default": 3}}]}),
        ),
    ]
}

#[test]
fn two_controllers_each_serve_one_namespace_with_the_rights_of_a_role_there() {
    run_bare(async || {
        let cluster = tokio::task::spawn_blocking(LocalCluster::bare).await??;
        definitions(cluster.plane(), ["shop", "bank"])?;
        let shop = Install::start(&cluster, "shop").await?;
        let bank = Install::start(&cluster, "bank").await?;
        cluster.kubectl(&["create", "namespace", UNWATCHED])?;
        cluster.kubectl_with(&["apply", "-n", "shop"], &as_list(&objects()))?;
        for namespace in ["bank", UNWATCHED] {
            cluster.kubectl_with(&["apply", "-n", namespace], &as_list(&[uniform("web", 2, json!({}))]))?;
        }
        let wait = |namespace: &str, condition: &str, object: &str| {
            cluster.kubectl(&["wait", &format!("--for={condition}"), object, "-n", namespace, "--timeout=60s"])
        };
        wait("shop", "condition=Ready", "crg/room")?;
        wait("shop", "condition=Ready", "fvm/jumpbox")?;
        wait("bank", "condition=Ready", "sset/web")?;
        until("the setting has raised the count, and the set is as it should be", LIMIT, async || {
            let path = "jsonpath={.status.readyReplicas} {.status.capacity}";
            let counts = cluster.kubectl(&["get", "sset", "web", "-n", "shop", "-o", path])?;
            ensure!(counts == "3 3", "ready and capacity are {counts}");
            Ok(())
        })
        .await?;
        let restart = json!({"target": {"kind": "ScaleSet", "name": "web"}, "type": "Restart"});
        cluster.kubectl_with(&["apply", "-n", "shop"], &object("ScaleSetOperation", "restart", restart).to_string())?;
        wait("shop", "condition=Complete", "ssop/restart")?;
        wait("shop", "condition=Ready", "sset/web")?;
        shop.is_at_home(&cluster, 3.0).await?;
        bank.is_at_home(&cluster, 2.0).await?;
        let left = cluster.kubectl(&["get", "sset", "web", "-n", UNWATCHED, "-o", "json"])?;
        let left: Value = serde_json::from_str(&left).context("a set")?;
        assert!(left["metadata"]["finalizers"].is_null(), "nobody has taken it up: {left}");
        let kinds = "asetting,ssop,sset,fvm,crg";
        cluster.kubectl(&["delete", kinds, "--all", "-n", "shop", "--timeout=60s"])?;
        let refused = shop.controller.log_about("orbidden", 5);
        assert!(refused.is_empty(), "{refused}");
        Ok(())
    });
}

fn as_list(objects: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}
