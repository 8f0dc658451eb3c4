//! Load balancing: requests come through a load balancer all the time, and none is lost over a rolling upgrade and a
//! scale-in; a failure of a host loses some, and the counter says so.

use anyhow::ensure;
use http::Method;
use scaleset_crds::ScaleSet;
use scaleset_crds::load_balancing::PoolSummary;
use scaleset_crds::vocabulary::RollingUpgradeCode;
use scaleset_hardware::sim::Call;
use scaleset_tests::local::cluster::workspace;
use scaleset_tests::local::plugin::Plugin;
use serde_json::{Value, json};

use crate::scene::{Scene, profile, uniform};
use crate::world::run;

fn behind(location: &str) -> Value {
    json!({
        "location": location,
        "upgradePolicy": {"mode": "Rolling", "rollingUpgradePolicy": {
            "maxBatchInstancePercent": 20, "maxUnhealthyInstancePercent": 20,
        }},
        "virtualMachineProfile": {"networkProfile": {
            "networkInterfaces": [{
                "name": "nic0", "primary": true, "subnet": "default",
                "loadBalancerBackendPools": [{"name": "default", "drainTimeoutSeconds": 20}],
            }],
            "healthProbe": {"loadBalancer": "default", "protocol": "Tcp", "port": 80},
        }},
    })
}

async fn balancer(scene: &Scene<'_>, location: &str) -> anyhow::Result<Value> {
    scene.world.hardware.send(Method::GET, &format!("/regions/{location}/load-balancers/default"), &Value::Null).await
}

async fn send_requests(scene: &Scene<'_>, location: &str) -> anyhow::Result<()> {
    let path = format!("/regions/{location}/load-balancers/default/requests");
    let load = json!({"perSecond": 10, "eachSeconds": 10});
    let _: Value = scene.world.hardware.send(Method::PUT, &path, &load).await?;
    Ok(())
}

/// Waits until all members of the set get requests.
async fn all_healthy(scene: &Scene<'_>, count: i32) -> anyhow::Result<ScaleSet> {
    scene
        .until(&format!("{count} members are healthy"), async || {
            let set = scene.settled("web").await?;
            let pools = set.status.clone().unwrap_or_default().load_balancer_pools;
            let expected = PoolSummary { name: "default".to_owned(), healthy: count, draining: 0, total: count };
            ensure!(pools == [expected], "there are {pools:?}");
            Ok(set)
        })
        .await
}

#[test]
fn no_request_is_lost_over_a_rolling_upgrade_and_a_scale_in() {
    run("load-balancing", async |scene| {
        let location = "eastus";
        let plugin = Plugin::new(&scene.world.cluster.plane().admin_kubeconfig(), &scene.namespace).await?;
        let sample = workspace().join("hack/samples/load-balancing").display().to_string();
        scene.kubectl(&["apply", "--dry-run=server", "--validate=strict", "-f", &sample])?;
        scene.apply(&uniform("web", 5, behind(location)))?;
        all_healthy(scene, 5).await?;
        let view: Value = serde_json::from_str(&plugin.run(&["get-instance-view", "web", "-o", "json"])?)?;
        let members = view["loadBalancerPools"][0]["members"].as_array().cloned().unwrap_or_default();
        assert_eq!(members.len(), 5, "{view}");
        assert!(members.iter().all(|member| member["state"] == "Healthy"), "{members:?}");
        send_requests(scene, location).await?;

        scene.patch::<ScaleSet>("web", profile(json!({"vmSize": "Standard_D4s_v3"}))).await?;
        scene
            .until("somebody drains", async || {
                let view = plugin.run(&["get-instance-view", "web"])?;
                ensure!(view.contains("LOAD BALANCER"), "{view}");
                let set = scene.set("web").await?.status.unwrap_or_default();
                ensure!(
                    set.blockers.iter().any(|blocker| blocker.code == "Draining"),
                    "nobody waits: {:?}",
                    set.blockers
                );
                ensure!(set.load_balancer_pools.iter().any(|pool| pool.draining > 0), "{:?}", set.load_balancer_pools);
                Ok(())
            })
            .await?;
        scene
            .until("the rolling upgrade is complete", async || {
                let status = scene.set("web").await?.status.unwrap_or_default();
                let code = status.rolling_upgrade.as_ref().map(|upgrade| upgrade.running_status.code);
                ensure!(code == Some(RollingUpgradeCode::Completed), "it is {code:?}: {:?}", status.blockers);
                Ok(())
            })
            .await?;
        all_healthy(scene, 5).await?;
        let upgraded = balancer(scene, location).await?["requests"].clone();
        assert_eq!((&upgraded["lost"], &upgraded["unrouted"]), (&json!(0), &json!(0)), "{upgraded}");
        assert!(upgraded["answered"].as_u64() > Some(100), "{upgraded}");
        assert!(scene.calls(Call::Drain).await? >= 5, "each left its pool first");

        scene.kubectl(&["scale", "scaleset/web", "--replicas=2"])?;
        all_healthy(scene, 2).await?;
        let shrunk = balancer(scene, location).await?["requests"].clone();
        assert_eq!((&shrunk["lost"], &shrunk["unrouted"]), (&json!(0), &json!(0)), "{shrunk}");
        assert!(shrunk["answered"].as_u64() > upgraded["answered"].as_u64(), "{shrunk}");
        Ok(())
    });
}

#[test]
fn a_failing_machine_loses_requests_and_the_counter_says_so() {
    run("load-balancing-failure", async |scene| {
        let location = "centralindia";
        let plugin = Plugin::new(&scene.world.cluster.plane().admin_kubeconfig(), &scene.namespace).await?;
        scene.apply(&uniform("web", 2, behind(location)))?;
        all_healthy(scene, 2).await?;
        send_requests(scene, location).await?;
        scene
            .until("both VMs have requests under way", async || {
                let requests = balancer(scene, location).await?["requests"].clone();
                ensure!(requests["underWay"].as_u64() >= Some(20), "{requests}");
                Ok(())
            })
            .await?;
        let path = format!("/machines/{}:web-0/fail", scene.namespace);
        let _: Value = scene.world.hardware.send(Method::POST, &path, &json!({"as": "Hang"})).await?;
        scene
            .until("requests are lost", async || {
                let requests = balancer(scene, location).await?["requests"].clone();
                ensure!(requests["hitDown"].as_u64() > Some(0) && requests["cut"].as_u64() > Some(0), "{requests}");
                Ok(())
            })
            .await?;
        scene
            .until("the view of the VM says so", async || {
                let view = plugin.run(&["get-instance-view", "web", "--instance-id", "0"])?;
                ensure!(view.contains("Unhealthy"), "{view}");
                Ok(())
            })
            .await?;
        Ok(())
    });
}
