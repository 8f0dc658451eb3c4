//! A cluster that asks whether who names an owner may hold up that owner's deletion. No request uses the right, so no audit
//! log shows it: here it is missing first.

use anyhow::{Context, ensure};
use scaleset_tests::local::cluster::LocalCluster;
use scaleset_tests::local::controller::{HardwarePlace, Latency, LocalController, Settings};
use scaleset_tests::local::until;
use serde_json::{Value, json};

use crate::scene::{LIMIT, uniform};
use crate::world::run_bare;

const ENFORCE: &str = "--enable-admission-plugins=OwnerReferencesPermissionEnforcement";
const RIGHT: &str = "scalesets/finalizers";

fn role(cluster: &LocalCluster) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&cluster.kubectl(&["get", "clusterrole", "scaleset-controller", "-o", "json"])?)?)
}

/// Takes the right away, and waits until the server heeds that.
async fn take_away(cluster: &LocalCluster, role: &Value) -> anyhow::Result<()> {
    let mut less = role.clone();
    let rules = less["rules"].as_array_mut().context("rules")?;
    let before = rules.len();
    rules.retain(|rule| rule["resources"] != json!([RIGHT]));
    ensure!(rules.len() + 1 == before, "one rule is about {RIGHT}");
    cluster.kubectl_with(&["replace"], &less.to_string())?;
    let group = scaleset_crds::GROUP;
    let resource = format!("scalesets.{group}");
    let asked = ["auth", "can-i", "update", &resource, "--subresource=finalizers", "--as", cluster.controller_user()];
    until("the right is gone", LIMIT, async || {
        ensure!(cluster.kubectl(&asked).is_err(), "it is there");
        Ok(())
    })
    .await
}

#[test]
fn where_owner_references_are_enforced_the_right_to_finalizers_is_needed_and_enough() {
    run_bare(async || {
        let start = || LocalCluster::bare_with(&[ENFORCE]).and_then(|cluster| cluster.install().map(|()| cluster));
        let cluster = tokio::task::spawn_blocking(start).await??;
        let whole = role(&cluster)?;
        take_away(&cluster, &whole).await?;
        let kubeconfig = cluster.controller_kubeconfig()?;
        let settings = Settings { kubeconfig, region_file: None, latency: Latency::Zero, place: HardwarePlace::Inside };
        let controller = LocalController::start(settings).await?;
        cluster.kubectl_with(&["apply"], &uniform("web", 2, json!({})).to_string())?;
        until("it was refused", LIMIT, async || {
            let refused = controller.log_about("blockOwnerDeletion", 1);
            ensure!(!refused.is_empty(), "the end of its log:\n{}", controller.log_tail(10));
            Ok(())
        })
        .await?;
        assert_eq!(cluster.kubectl(&["get", "ssvm,controllerrevisions", "-o", "name"])?.trim(), "", "nothing was made");
        let mut rules = role(&cluster)?;
        rules["rules"] = whole["rules"].clone();
        cluster.kubectl_with(&["replace"], &rules.to_string())?;
        cluster.kubectl(&["wait", "--for=condition=Ready", "sset/web", "--timeout=60s"])?;
        cluster.kubectl(&["delete", "sset", "web", "--timeout=60s"])?;
        Ok(())
    });
}
