//! What goes with a set, how, and what stays.

use anyhow::{Context, ensure};
use http::Method;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use scaleset_crds::condition::find;
use scaleset_crds::{FINALIZER, FlexVM, ScaleSet, ScaleSetVM};
use scaleset_hardware::sim::Call;
use serde_json::{Value, json};

use crate::kstatus::Reading;
use crate::scene::{Scene, flexible, reading, uniform, vm};
use crate::versions::{Change, Versions};
use crate::world::run;

async fn nothing_is_left(scene: &Scene<'_>) -> anyhow::Result<()> {
    scene.gone::<ScaleSet>("web").await?;
    scene.no_machines().await?;
    assert_eq!(scene.ids().await?, Vec::<u32>::new());
    scene
        .until("the revisions are collected", async || {
            let revisions = scene.api::<ControllerRevision>().list(&ListParams::default()).await?.items;
            ensure!(revisions.is_empty(), "{} are left", revisions.len());
            Ok(())
        })
        .await
}

/// The garbage collector looks for new kinds twice a minute; what it does not know it neither collects nor orphans. A VM
/// whose owner never was is collected once it does.
async fn garbage_is_collected(scene: &Scene<'_>) -> anyhow::Result<()> {
    let owner = json!({
        "apiVersion": scaleset_crds::API_VERSION, "kind": "ScaleSet", "name": "never", "uid": "00000000-0000-0000-0000-000000000000",
    });
    let mut garbage = vm("garbage", json!({"powerState": "Stopped"}));
    garbage["metadata"]["ownerReferences"] = json!([owner]);
    scene.apply(&garbage)?;
    scene.gone::<FlexVM>("garbage").await
}

#[test]
fn in_the_background_the_set_goes_when_its_members_and_machines_have() {
    run("background", async |scene| {
        scene.apply(&uniform("web", 5, json!({})))?;
        scene.settled("web").await?;
        // The answer of the server itself: a moment later the set may be gone.
        let going = scene.api::<ScaleSet>().delete("web", &DeleteParams::background()).await?;
        let going = going.left().context("it waits for its members")?;
        assert_eq!(reading(&going), Reading::Terminating);
        nothing_is_left(scene).await?;
        assert_eq!(scene.calls(Call::Delete).await?, 5, "each machine once");
        assert_eq!(scene.calls(Call::Create).await?, 5, "nothing was made for a set that goes");
        Ok(())
    });
}

#[test]
fn in_the_foreground_the_members_go_first() {
    run("foreground", async |scene| {
        let versions = Versions::begin(scene).await?;
        scene.apply(&uniform("web", 5, json!({})))?;
        scene.settled("web").await?;
        scene.kubectl(&["delete", "sset", "web", "--cascade=foreground", "--timeout=60s"])?;
        nothing_is_left(scene).await?;
        let versions = versions.end(scene).await?;
        let removed = versions.iter().filter(|version| version.change == Change::Removed);
        let kinds: Vec<String> = removed.map(|version| version.key().0).collect();
        assert_eq!(kinds, [vec!["ScaleSetVM"; 5], vec!["ScaleSet"]].concat(), "the set goes last");
        assert_eq!(scene.calls(Call::Create).await?, 5, "nothing was made for a set that goes");
        Ok(())
    });
}

#[test]
fn orphans_run_on_and_can_be_deleted_by_hand() {
    run("orphan", async |scene| {
        garbage_is_collected(scene).await?;
        scene.apply(&uniform("web", 2, json!({})))?;
        scene.settled("web").await?;
        scene.kubectl(&["delete", "sset", "web", "--cascade=orphan", "--timeout=60s"])?;
        scene
            .until("the instances have no owner", async || {
                let instances = scene.instances().await?;
                let owned = instances.iter().filter(|instance| !instance.owner_references().is_empty()).count();
                ensure!(instances.len() == 2 && owned == 0, "{owned} of {} have", instances.len());
                Ok(())
            })
            .await?;
        let instances = scene.instances().await?;
        assert!(instances.iter().all(|instance| instance.finalizers().contains(&FINALIZER.to_owned())));
        scene.patch::<ScaleSetVM>("web-0", json!({"spec": {"powerState": "Stopped"}})).await?;
        scene
            .until("an orphan is still powered as wished", async || {
                let machines = scene.machines().await?;
                ensure!(machines.len() == 2, "{} machines are left", machines.len());
                let stopped = machines.iter().filter(|machine| machine.power.code() == "stopped").count();
                ensure!(stopped == 1, "{stopped} are stopped");
                Ok(())
            })
            .await?;
        assert_eq!(scene.machines().await?.len(), 2);
        scene.kubectl(&["delete", "ssvm", "--all", "--timeout=60s"])?;
        scene.no_machines().await
    });
}

#[test]
fn a_set_of_the_same_name_does_not_take_the_orphans_of_the_last_one() {
    run("reborn", async |scene| {
        garbage_is_collected(scene).await?;
        scene.apply(&uniform("web", 1, json!({})))?;
        scene.settled("web").await?;
        scene.kubectl(&["delete", "sset", "web", "--cascade=orphan", "--timeout=60s"])?;
        scene.apply(&uniform("web", 1, json!({})))?;
        let set = scene.settled("web").await?;
        let owners: Vec<Option<String>> = scene
            .instances()
            .await?
            .iter()
            .map(|instance| instance.owner_references().first().map(|owner| owner.uid.clone()))
            .collect();
        assert_eq!(owners, [None, set.uid()], "the orphan keeps its name, the new member takes the next");
        Ok(())
    });
}

#[test]
fn hardware_that_does_not_let_go_is_named_and_can_be_left_behind() {
    run("stuck", async |scene| {
        scene.apply(&uniform("web", 2, json!({})))?;
        scene.settled("web").await?;
        let fault = json!({
            "selector": {"namespace": scene.namespace, "namePrefix": "web-0"},
            "effect": {"type": "failCalls", "calls": ["delete"]},
        });
        scene.world.hardware.send::<Value>(Method::PUT, "/faults/stuck", &fault).await?;
        scene.kubectl(&["delete", "sset", "web", "--wait=false"])?;
        scene
            .until("only web-0 is left, and says what holds it", async || {
                let ids = scene.ids().await?;
                ensure!(ids == [0], "ids are {ids:?}");
                let instance: ScaleSetVM = scene.api().get("web-0").await?;
                let conditions = instance.status.unwrap_or_default().conditions;
                let provisioned = find(&conditions, "Provisioned").context("it has no such condition")?;
                ensure!(provisioned.message.contains("the hardware is not released"), "{}", provisioned.message);
                Ok(())
            })
            .await?;
        assert_eq!(reading(&scene.set("web").await?), Reading::Terminating);
        scene.kubectl(&["annotate", "ssvm", "web-0", "compute.scaleset.io/abandon-hardware=true"])?;
        scene.gone::<ScaleSet>("web").await?;
        scene.event("web-0", "HardwareAbandoned").await?;
        assert_eq!(scene.machines().await?.len(), 1, "it was left behind, as the person asked");
        scene.world.hardware.send::<Value>(Method::DELETE, "/faults/stuck", &Value::Null).await?;
        Ok(())
    });
}

#[test]
fn with_the_namespace_everything_goes() {
    run("namespace", async |scene| {
        scene.apply(&uniform("web", 10, json!({})))?;
        scene.apply(&flexible("demo", 3, json!({})))?;
        scene.apply(&vm("member", json!({"scaleSetRef": {"name": "demo"}})))?;
        scene.apply(&vm("alone", json!({})))?;
        scene.settled("web").await?;
        scene.settled("demo").await?;
        scene.flex_vm_settled("member").await?;
        scene.flex_vm_settled("alone").await?;
        assert_eq!(scene.machines().await?.len(), 15);
        let namespaces: Api<Namespace> = Api::all(scene.world.client.clone());
        namespaces.delete(&scene.namespace, &DeleteParams::default()).await?;
        scene
            .until("the namespace is gone", async || {
                let status = namespaces.get_opt(&scene.namespace).await?.map(|namespace| namespace.status);
                ensure!(status.is_none(), "{status:?}");
                Ok(())
            })
            .await?;
        assert_eq!(scene.machines().await?.len(), 0, "it is held until the last machine is gone");
        Ok(())
    });
}
