//! Flexible sets, their members made by hand, and VMs alone.

use anyhow::ensure;
use kube::ResourceExt;
use scaleset_crds::FlexVM;
use scaleset_crds::labels::{MADE_BY, MADE_BY_SET};
use scaleset_crds::vocabulary::PowerState;
use scaleset_hardware::sim::Call;
use serde_json::json;

use crate::kstatus::Reading;
use crate::scene::{flexible, reading, vm};
use crate::world::run;

#[test]
fn a_member_made_by_hand_is_counted_and_left_alone() {
    run("handmade", async |scene| {
        scene.apply(&flexible("demo", 2, json!({"platformFaultDomainCount": 3})))?;
        scene.apply(&vm("newvm", json!({"scaleSetRef": {"name": "demo"}, "platformFaultDomain": 1})))?;
        let newvm = scene.flex_vm_settled("newvm").await?;
        assert!(newvm.owner_references().is_empty(), "its owner is whoever made it");
        assert_eq!(newvm.status.and_then(|status| status.scale_set).as_deref(), Some("demo"));
        let counted = scene
            .until("the set counts three", async || {
                let status = scene.settled("demo").await?.status.unwrap_or_default();
                ensure!(status.replicas == Some(3), "it counts {:?}", status.replicas);
                Ok(status)
            })
            .await?;
        assert_eq!((counted.target_replicas, counted.capacity, counted.ready_replicas), (Some(2), Some(3), Some(3)));
        let made: Vec<FlexVM> = scene.flex_vms().await?.into_iter().filter(|vm| vm.name_any() != "newvm").collect();
        for member in &made {
            let suffix = member.name_any().strip_prefix("demo-").map(str::len);
            assert_eq!(suffix, Some(8), "{}", member.name_any());
            assert_eq!(member.labels().get(MADE_BY).map(String::as_str), Some(MADE_BY_SET));
        }

        scene.kubectl(&["delete", "fvm", &made[0].name_any(), "--timeout=60s"])?;
        scene
            .until("the set has made another", async || {
                let names: Vec<String> = scene.flex_vms().await?.iter().map(ResourceExt::name_any).collect();
                ensure!(names.len() == 3 && !names.contains(&made[0].name_any()), "there are {names:?}");
                Ok(())
            })
            .await?;

        scene.kubectl(&["scale", "scaleset/demo", "--replicas=0"])?;
        scene.settled("demo").await?;
        let left: Vec<String> = scene.flex_vms().await?.iter().map(ResourceExt::name_any).collect();
        assert_eq!(left, ["newvm"], "scale-in takes what the set made, and nothing else");

        // The set waits for the person who made the member.
        scene.kubectl(&["delete", "sset", "demo", "--wait=false"])?;
        let held = scene.condition("demo", ("Stalled", "True", "OperationNotAllowed")).await?;
        assert_eq!(reading(&held), Reading::Terminating);
        let names =
            held.status.iter().flat_map(|status| &status.blockers).any(|blocker| blocker.message.contains("newvm"));
        assert!(names, "the blocker names it: {:?}", held.status);
        scene.kubectl(&["delete", "fvm", "newvm", "--timeout=60s"])?;
        scene.gone::<scaleset_crds::ScaleSet>("demo").await?;
        scene.no_machines().await
    });
}

#[test]
fn a_vm_alone_runs_stops_and_goes() {
    run("alone", async |scene| {
        let disk = json!({"zone": "2", "storageProfile": {"dataDisks": [{"lun": 0, "diskSizeGB": 64}]}});
        scene.apply(&vm("jumpbox", disk))?;
        scene.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "flexvm/jumpbox"])?;
        let status = scene.flex_vm_settled("jumpbox").await?.status.unwrap_or_default();
        assert_eq!(status.power_state, Some(PowerState::Running));
        assert_eq!(status.computer_name.as_deref(), Some("jumpbox"));
        assert_eq!(status.instance_view.map(|view| view.disks.len()), Some(2));
        // A change of its own model reaches it without any set.
        scene.patch::<FlexVM>("jumpbox", json!({"spec": {"vmSize": "Standard_D4s_v3"}})).await?;
        let status = scene.flex_vm_settled("jumpbox").await?.status.unwrap_or_default();
        assert_eq!((status.vm_size.as_deref(), status.latest_model_applied), (Some("Standard_D4s_v3"), Some(true)));
        scene.patch::<FlexVM>("jumpbox", json!({"spec": {"powerState": "Deallocated"}})).await?;
        let status = scene.flex_vm_settled("jumpbox").await?.status.unwrap_or_default();
        assert_eq!(status.power_state, Some(PowerState::Deallocated));
        scene.kubectl(&["delete", "fvm", "jumpbox", "--timeout=60s"])?;
        scene.no_machines().await
    });
}

#[test]
fn a_reference_that_cannot_be_accepted_waits_without_hardware() {
    run("reference", async |scene| {
        scene.apply(&vm("early", json!({"scaleSetRef": {"name": "later"}})))?;
        let note = scene.event("early", "InvalidParameter").await?;
        assert!(note.contains("scale set later does not exist"), "{note}");
        let early = reading(&scene.flex_vm("early").await?);
        assert!(matches!(early, Reading::Failed(_)), "a person must act: {early}");
        assert_eq!(scene.calls(Call::Create).await?, 0);
        scene.apply(&flexible("later", 0, json!({})))?;
        let accepted = scene.flex_vm_settled("early").await?;
        assert_eq!(accepted.status.and_then(|status| status.scale_set).as_deref(), Some("later"));
        Ok(())
    });
}
