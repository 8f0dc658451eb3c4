//! Flexible sets, their members made by hand, and VMs alone.

use anyhow::ensure;
use kube::ResourceExt;
use scaleset_crds::condition::find;
use scaleset_crds::labels::{MADE_BY, MADE_BY_SET, SCALE_SET};
use scaleset_crds::vocabulary::PowerState;
use scaleset_crds::{FlexVM, InstanceStatus, ScaleSet};
use scaleset_hardware::sim::Call;
use serde_json::json;

use crate::kstatus::Reading;
use crate::scene::{Scene, flexible, reading, uniform, vm};
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
        scene.gone::<ScaleSet>("demo").await?;
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
        // The event comes before the status that tells the same.
        scene
            .until("a person must act", async || {
                let early = reading(&scene.flex_vm("early").await?);
                ensure!(matches!(early, Reading::Failed(_)), "it is {early}");
                Ok(())
            })
            .await?;
        assert_eq!(scene.calls(Call::Create).await?, 0);
        scene.apply(&flexible("later", 0, json!({})))?;
        let accepted = scene.flex_vm_settled("early").await?;
        assert_eq!(accepted.status.and_then(|status| status.scale_set).as_deref(), Some("later"));
        Ok(())
    });
}

#[test]
fn a_vm_that_runs_joins_and_leaves_a_set_without_downtime() {
    run("attach", async |scene| {
        scene.apply(&flexible("demo", 2, json!({"singlePlacementGroup": false})))?;
        scene.settled("demo").await?;
        scene.apply(&vm("newvm", json!({})))?;
        let alone = scene.flex_vm_settled("newvm").await?;
        let calls = scene.journal().await?.len();
        scene.patch::<FlexVM>("newvm", json!({"spec": {"scaleSetRef": {"name": "demo"}}})).await?;
        counted(scene, 3).await?;
        let attached = scene.flex_vm_settled("newvm").await?;
        assert_eq!(attached.status.as_ref().and_then(|status| status.scale_set.as_deref()), Some("demo"));
        assert_eq!(attached.labels().get(SCALE_SET).map(String::as_str), Some("demo"));
        assert!(attached.owner_references().is_empty() && !attached.labels().contains_key(MADE_BY));
        // Its hardware knows of the set.
        scene.called(Call::SetMembership, 1).await?;

        scene.patch::<FlexVM>("newvm", json!({"spec": {"scaleSetRef": null}})).await?;
        counted(scene, 2).await?;
        let detached = scene.flex_vm_settled("newvm").await?;
        assert!(!detached.labels().contains_key(SCALE_SET));
        let id = |vm: &FlexVM| vm.status.as_ref().and_then(|status| status.vm_id.clone());
        assert_eq!(id(&detached), id(&alone), "one machine for all its life");
        // And that it has left.
        scene.called(Call::SetMembership, 2).await?;
        assert_eq!(scene.journal().await?.len(), calls + 2, "nothing else was asked of the hardware");
        assert_eq!(scene.set("demo").await?.spec.replicas, Some(2));

        // Detached and attached elsewhere in one go: it leaves first, and joins then.
        scene.apply(&flexible("other", 0, json!({"singlePlacementGroup": false})))?;
        scene.settled("other").await?;
        scene.patch::<FlexVM>("newvm", json!({"spec": {"scaleSetRef": {"name": "demo"}}})).await?;
        counted(scene, 3).await?;
        scene.patch::<FlexVM>("newvm", json!({"spec": {"scaleSetRef": null}})).await?;
        scene.patch::<FlexVM>("newvm", json!({"spec": {"scaleSetRef": {"name": "other"}}})).await?;
        scene
            .until("it is a member of the other one", async || {
                let found = scene.flex_vm("newvm").await?.status.and_then(|status| status.scale_set);
                ensure!(found.as_deref() == Some("other"), "it is of {found:?}");
                Ok(())
            })
            .await?;
        counted(scene, 2).await?;

        // A member that the set made is nobody's from then on, and is replaced.
        let made: Vec<FlexVM> = scene.flex_vms().await?.into_iter().filter(|vm| vm.name_any() != "newvm").collect();
        let name = made[0].name_any();
        scene.patch::<FlexVM>(&name, json!({"spec": {"scaleSetRef": null}})).await?;
        scene
            .until("another is made in its place", async || {
                let vms = scene.flex_vms().await?;
                ensure!(vms.len() == 4, "there are {}", vms.len());
                Ok(())
            })
            .await?;
        let free = scene.flex_vm_settled(&name).await?;
        assert!(free.owner_references().is_empty() && !free.labels().contains_key(MADE_BY), "{:?}", free.metadata);
        scene.settled("demo").await?;
        scene.kubectl(&["delete", "sset", "demo", "--timeout=60s"])?;
        let mut left: Vec<String> = scene.flex_vms().await?.iter().map(ResourceExt::name_any).collect();
        left.sort();
        let mut expected = vec![name, "newvm".to_owned()];
        expected.sort();
        assert_eq!(left, expected, "who has left stays when the set goes");
        Ok(())
    });
}

async fn counted(scene: &Scene<'_>, count: i32) -> anyhow::Result<()> {
    scene
        .until(&format!("the set counts {count}"), async || {
            let status = scene.set("demo").await?.status.unwrap_or_default();
            ensure!(status.replicas == Some(count), "it counts {:?}", status.replicas);
            Ok(())
        })
        .await
}

#[test]
fn a_vm_that_may_not_join_or_leave_stays_as_it_is_and_says_why() {
    run("attach-refused", async |scene| {
        scene.apply(&flexible("closed", 0, json!({})))?;
        scene.apply(&flexible("domains", 0, json!({"platformFaultDomainCount": 2, "singlePlacementGroup": false})))?;
        scene.apply(&uniform("uniform", 0, json!({})))?;
        for set in ["closed", "domains", "uniform"] {
            scene.settled(set).await?;
        }
        scene.apply(&vm("lone", json!({})))?;
        scene.flex_vm_settled("lone").await?;
        let refusals = [
            ("closed", "VmssDoesNotSupportAttachingWithSpg"),
            ("domains", "VmssDoesNotSupportAttachingExistingVMMultiFD"),
            ("uniform", "OperationNotAllowed"),
            ("nowhere", "InvalidParameter"),
        ];
        for (set, code) in refusals {
            scene.patch::<FlexVM>("lone", json!({"spec": {"scaleSetRef": {"name": set}}})).await?;
            let status = member_says(scene, "lone", ("False", code)).await?;
            assert_eq!((status.power_state, status.scale_set), (Some(PowerState::Running), None), "it runs on alone");
            scene.event("lone", code).await?;
            scene.patch::<FlexVM>("lone", json!({"spec": {"scaleSetRef": null}})).await?;
            member_says(scene, "lone", ("False", "NoScaleSet")).await?;
        }
        scene.apply(&vm("member", json!({"scaleSetRef": {"name": "closed"}})))?;
        member_says(scene, "member", ("True", "Accepted")).await?;
        scene.patch::<FlexVM>("member", json!({"spec": {"scaleSetRef": null}})).await?;
        let kept = member_says(scene, "member", ("True", "VmssDoesNotSupportAttachingWithSpg")).await?;
        assert_eq!(kept.scale_set.as_deref(), Some("closed"), "it stays a member");
        scene.patch::<FlexVM>("member", json!({"spec": {"scaleSetRef": {"name": "domains"}}})).await?;
        let kept = member_says(scene, "member", ("True", "PropertyChangeNotAllowed")).await?;
        assert_eq!(kept.scale_set.as_deref(), Some("closed"));
        // The set says false, and the wish to leave is heard.
        scene.patch::<FlexVM>("member", json!({"spec": {"scaleSetRef": null}})).await?;
        scene.patch::<ScaleSet>("closed", json!({"spec": {"singlePlacementGroup": false}})).await?;
        let left = member_says(scene, "member", ("False", "NoScaleSet")).await?;
        assert_eq!(left.scale_set, None);
        Ok(())
    });
}

async fn member_says(scene: &Scene<'_>, name: &str, (status, reason): (&str, &str)) -> anyhow::Result<InstanceStatus> {
    scene
        .until(&format!("{name} says {status} {reason}"), async || {
            let found = scene.flex_vm(name).await?.status.unwrap_or_default();
            let member = find(&found.conditions, "Member").map(|it| (it.status.clone(), it.reason.clone()));
            ensure!(member == Some((status.to_owned(), reason.to_owned())), "it says {member:?}");
            Ok(found)
        })
        .await
}
