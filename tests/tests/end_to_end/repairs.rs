//! Automatic repairs: unhealthy VMs are replaced one by one, what the hardware answers for a moment repairs nobody, and the
//! service is suspended and resumed.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use http::Method;
use jiff::SignedDuration;
use kube::ResourceExt;
use scaleset_crds::ScaleSet;
use scaleset_crds::repairs::OrchestrationServiceState;
use scaleset_hardware::sim::Call;
use scaleset_tests::local::hardware::effective;
use scaleset_tests::local::plugin::Plugin;
use serde_json::{Value, json};

use crate::rolling::application;
use crate::scene::{Scene, uniform};
use crate::upgrade::never_more_at_once;
use crate::world::run;

// What the region file says: how long a new VM comes up.
const CREATE: SignedDuration = SignedDuration::from_secs(10);

fn repaired(replicas: i32, policy: &Value) -> Value {
    let change = json!({"automaticRepairsPolicy": policy, "virtualMachineProfile": application("./nginx")});
    uniform("web", replicas, change)
}

async fn answer(scene: &Scene<'_>, id: u32, health: &str) -> anyhow::Result<()> {
    let path = format!("/machines/{}:web-{id}/health", scene.namespace);
    scene.world.hardware.send::<Value>(Method::PUT, &path, &json!({"health": health})).await?;
    Ok(())
}

/// The state of the service, as the status tells it.
async fn service(scene: &Scene<'_>) -> anyhow::Result<OrchestrationServiceState> {
    let status = scene.set("web").await?.status.unwrap_or_default();
    let service = status.orchestration_services.first().context("there is no service")?;
    Ok(service.service_state)
}

#[test]
fn three_unhealthy_of_ten_are_replaced_one_by_one() {
    run("repairs", async |scene| {
        scene.apply(&repaired(10, &json!({"enabled": true})))?;
        scene.settled("web").await?;
        assert_eq!(service(scene).await?, OrchestrationServiceState::Running);
        for id in [1, 4, 7] {
            answer(scene, id, "Unhealthy").await?;
        }
        scene
            .until("the three are replaced", async || {
                let ids = scene.ids().await?;
                ensure!(ids == [0, 2, 3, 5, 6, 8, 9, 10, 11, 12], "there are {ids:?}");
                Ok(())
            })
            .await?;
        scene.settled("web").await?;
        let journal = scene.journal().await?;
        let created = effective(&journal, Call::Create);
        assert_eq!(created.len(), 13);
        never_more_at_once(&created[10..], 1, CREATE);
        assert_eq!(effective(&journal, Call::Delete).len(), 3);
        let note = scene.event("web", "Repairing").await?;
        assert!(note.contains("a new VM takes its place"), "{note}");
        scene.one_machine_for_each_instance().await
    });
}

#[test]
fn an_empty_answer_of_the_hardware_deletes_nothing() {
    run("repairs-empty", async |scene| {
        scene.apply(&repaired(3, &json!({"enabled": true})))?;
        scene.settled("web").await?;
        let machines = async || -> anyhow::Result<BTreeSet<String>> {
            Ok(scene.machines().await?.into_iter().map(|machine| machine.vm_id).collect())
        };
        let before = machines().await?;
        let fault = json!({
            "effect": {"type": "emptyAnswers", "calls": ["observe", "observeAll"]},
            "selector": {"namespace": scene.namespace},
            "remaining": 12,
        });
        scene.world.hardware.send::<Value>(Method::PUT, "/faults/repairs-empty", &fault).await?;
        let mut look = 0;
        scene
            .until("it has answered so twelve times", async || {
                look += 1;
                for instance in scene.instances().await? {
                    // Whatever changes on the object calls its pass, which looks at the hardware.
                    let annotation = format!("look={look}");
                    let vm = instance.name_any();
                    scene.kubectl(&["annotate", "--overwrite", "scalesetvm", &vm, &annotation])?;
                }
                let faults = scene.world.hardware.send::<Value>(Method::GET, "/faults", &Value::Null).await?;
                ensure!(faults.get("repairs-empty").is_none(), "{} remain", faults["repairs-empty"]["remaining"]);
                Ok(())
            })
            .await?;
        scene.settled("web").await?;
        assert_eq!(machines().await?, before, "the same machines");
        assert_eq!(scene.ids().await?, [0, 1, 2], "under the same objects");
        let journal = scene.journal().await?;
        assert_eq!((effective(&journal, Call::Create).len(), effective(&journal, Call::Delete).len()), (3, 0));
        Ok(())
    });
}

#[test]
fn a_person_suspends_repairs_and_resumes_them() {
    run("repairs-suspended", async |scene| {
        scene.apply(&repaired(3, &json!({"enabled": true, "repairAction": "Reimage"})))?;
        scene.settled("web").await?;
        scene.apply(&json!({
            "apiVersion": "compute.scaleset.io/v1alpha1",
            "kind": "ScaleSetOperation",
            "metadata": {"name": "suspend"},
            "spec": {
                "target": {"kind": "ScaleSet", "name": "web"},
                "type": "SetOrchestrationServiceState",
                "parameters": {"serviceName": "AutomaticRepairs", "action": "Suspend"},
            },
        }))?;
        scene.kubectl(&["wait", "--for=condition=Complete", "ssop/suspend", "--timeout=30s"])?;
        assert_eq!(service(scene).await?, OrchestrationServiceState::Suspended);
        answer(scene, 1, "Unhealthy").await?;
        scene
            .until("it is said that nobody is repaired", async || {
                let blockers = scene.set("web").await?.status.unwrap_or_default().blockers;
                let codes: Vec<&str> = blockers.iter().map(|blocker| blocker.code.as_str()).collect();
                ensure!(codes.contains(&"RepairsSuspendedByUser"), "there are {codes:?}");
                Ok(())
            })
            .await?;
        let plugin = Plugin::new(&scene.world.cluster.plane().admin_kubeconfig(), &scene.namespace).await?;
        plugin.run(&["set-orchestration-service-state", "web", "--action", "Resume"])?;
        assert_eq!(service(scene).await?, OrchestrationServiceState::Running);
        // It is reimaged.
        scene.called(Call::Perform, 1).await?;
        let set: ScaleSet = scene.settled("web").await?;
        assert_eq!(set.status.unwrap_or_default().ready_replicas, Some(3));
        assert_eq!(scene.ids().await?, [0, 1, 2], "it keeps its id");
        Ok(())
    });
}
