//! Capacity reservation groups: sets and VMs that use one, from every side, and a controller that is killed meanwhile.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use http::Method;
use kube::ResourceExt;
use scaleset_crds::condition::find;
use scaleset_crds::labels;
use scaleset_crds::reservation::ReservationState;
use scaleset_crds::reservation_group::ReservationTotals;
use scaleset_crds::vocabulary::{PowerState, StatusLevel};
use scaleset_crds::{CapacityReservationGroup, FlexVM, ScaleSet};
use scaleset_hardware::sim::Call;
use scaleset_tests::local::hardware::effective;
use scaleset_tests::local::plugin::{Answer, Plugin};
use serde_json::{Value, json};

use crate::scene::{Scene, flexible, profile, uniform, vm};
use crate::world::{run, run_alone};

const SIZE: &str = "Standard_D2s_v3";

/// A group in eastus with a reservation of so many VMs in each zone.
fn zonal(name: &str, capacities: &[(&str, i32)]) -> Value {
    let reservation = |(zone, capacity): &(&str, i32)| json!({"name": format!("z{zone}"), "vmSize": SIZE, "zone": zone, "capacity": capacity});
    let zones: Vec<&str> = capacities.iter().map(|(zone, _)| *zone).collect();
    let reservations: Vec<Value> = capacities.iter().map(reservation).collect();
    group(name, json!({"zones": zones, "reservations": reservations}))
}

/// A group in eastus without zones.
fn regional(name: &str, capacity: i32) -> Value {
    group(name, json!({"reservations": [{"name": "room", "vmSize": SIZE, "capacity": capacity}]}))
}

fn group(name: &str, mut spec: Value) -> Value {
    spec["location"] = json!("eastus");
    json!({
        "apiVersion": scaleset_crds::API_VERSION, "kind": "CapacityReservationGroup", "metadata": {"name": name},
        "spec": spec,
    })
}

fn reference(name: &str) -> Value {
    json!({"capacityReservationGroupRef": {"name": name}})
}

async fn plugin(scene: &Scene<'_>) -> anyhow::Result<Plugin> {
    Plugin::new(&scene.world.cluster.plane().admin_kubeconfig(), &scene.namespace).await
}

async fn get(scene: &Scene<'_>, name: &str) -> anyhow::Result<CapacityReservationGroup> {
    Ok(scene.api().get(name).await?)
}

/// Waits until a condition of the group is as expected, reason included; answers its message.
async fn condition(scene: &Scene<'_>, name: &str, expected: (&str, &str, &str)) -> anyhow::Result<String> {
    let (condition, status, reason) = expected;
    scene
        .until(&format!("group {name} has {condition}={status}, reason {reason}"), async || {
            let group = get(scene, name).await?;
            let conditions = group.status.map(|status| status.conditions).unwrap_or_default();
            let found = find(&conditions, condition).context("no such condition")?;
            ensure!(
                found.status == status && found.reason == reason,
                "it is {}, reason {}: {}",
                found.status,
                found.reason,
                found.message
            );
            ensure!(found.observed_generation == group.metadata.generation, "it is of an older generation");
            Ok(found.message.clone())
        })
        .await
}

/// Waits until a group counts so many: current capacity, associated, allocated, unused, overallocated.
async fn counts(scene: &Scene<'_>, name: &str, expected: [i32; 5]) -> anyhow::Result<()> {
    scene
        .until(&format!("group {name} counts {expected:?}"), async || {
            let totals = get(scene, name).await?.status.and_then(|status| status.totals).unwrap_or_default();
            let ReservationTotals { current_capacity, associated, allocated, unused, overallocated } = totals;
            let found = [current_capacity, associated, allocated, unused, overallocated];
            ensure!(found == expected, "it counts {found:?}");
            Ok(())
        })
        .await
}

/// How the machines of the namespace stand with reservations: so many hold a slot, so many run beyond.
async fn holders(scene: &Scene<'_>) -> anyhow::Result<(usize, usize)> {
    let machines = scene.machines().await?;
    let of = |state: ReservationState| {
        let uses = machines.iter().filter_map(|machine| machine.capacity_reservation.as_ref());
        uses.filter(|reservation| reservation.state == state).count()
    };
    Ok((of(ReservationState::Allocated), of(ReservationState::Overallocated)))
}

#[test]
fn a_new_set_uses_its_group_and_runs_on_beyond_it() {
    run("reserve-new", async |scene| {
        let plugin = plugin(scene).await?;
        scene.apply(&zonal("d2s", &[("1", 3), ("2", 1), ("3", 0)]))?;
        condition(scene, "d2s", ("Ready", "True", "Ready")).await?;
        let set = uniform("web", 6, json!({"zones": ["1", "2", "3"], "virtualMachineProfile": reference("d2s")}));
        let Answer { code, said, complained } = plugin.answer(&["plan", "-f", "-"], &set.to_string())?;
        let forecast = "capacity reservation group d2s: zone 1: 3 reserved, 2 wished, 1 unused, 0 uncovered; zone 2: 1 reserved, \
                        2 wished, 0 unused, 1 uncovered; zone 3: 0 reserved, 2 wished, 0 unused, 2 uncovered";
        assert!(code == 0 && said.contains(forecast), "{said}{complained}");
        scene.apply(&set)?;
        scene.settled("web").await?;
        counts(scene, "d2s", [4, 6, 6, 1, 3]).await?;
        assert_eq!(holders(scene).await?, (3, 3));
        condition(scene, "d2s", ("Overallocated", "True", "Overallocated")).await?;
        let capacity = scene.condition("web", ("CapacitySatisfied", "True", "Allocated")).await?;
        let conditions = capacity.status.map(|status| status.conditions).unwrap_or_default();
        let told = &find(&conditions, "CapacitySatisfied").context("it is there")?.message;
        assert!(told.contains("zone 3: 0 reserved, 2 wished, 0 unused, 2 uncovered"), "{told}");
        for instance in scene.instances().await? {
            assert_eq!(instance.labels().get(labels::CAPACITY_RESERVATION_GROUP).map(String::as_str), Some("d2s"));
            let uses = instance.status.and_then(|status| status.capacity_reservation).context("it uses one")?;
            let zone = instance.spec.zone.context("it has a zone")?;
            assert_eq!((uses.group.as_str(), uses.reservation), ("d2s", format!("z{zone}")));
        }
        let status = get(scene, "d2s").await?.status.context("it has one")?;
        let names: Vec<String> = (0..6).map(|id| format!("reserve-new/ScaleSetVM/web-{id}")).collect();
        assert_eq!(status.virtual_machines_associated, names);
        for (view, reservation) in
            status.instance_view.iter().flat_map(|view| &view.capacity_reservations).zip(&status.capacity_reservations)
        {
            let line = view.statuses.first().context("it says what became of it")?;
            let said = (line.code.as_str(), line.display_status.as_str(), line.level);
            assert_eq!(said, ("ProvisioningState/succeeded", "Provisioning succeeded", StatusLevel::Info));
            assert!(line.time.is_some() && line.time == reservation.provisioning_time, "{line:?}");
        }
        let table = scene.kubectl(&["get", "crg", "d2s", "--no-headers"])?;
        let columns: Vec<&str> = table.split_whitespace().collect();
        assert_eq!(columns[..7], ["d2s", "4", "6", "6", "1", "3", "Ready"]);

        scene.apply(&zonal("d2s", &[("1", 2), ("2", 2), ("3", 2)]))?;
        counts(scene, "d2s", [6, 6, 6, 0, 0]).await?;
        condition(scene, "d2s", ("Overallocated", "False", "Consumed")).await?;
        assert_eq!(holders(scene).await?, (6, 0));
        let create = effective(&scene.journal().await?, Call::Create).len();
        assert_eq!(create, 6, "nobody was disturbed");

        scene.kubectl(&["delete", "crg", "d2s", "--wait=false"])?;
        let told = condition(scene, "d2s", ("Ready", "False", "OperationNotAllowed")).await?;
        assert!(told.contains("reserve-new/ScaleSetVM/web-0"), "{told}");
        scene.kubectl(&["delete", "sset", "web", "--timeout=60s"])?;
        scene.gone::<CapacityReservationGroup>("d2s").await?;
        scene.no_machines().await
    });
}

#[test]
fn a_regional_set_is_deallocated_associated_and_started() {
    run("reserve-regional", async |scene| {
        let plugin = plugin(scene).await?;
        let spec = json!({"singlePlacementGroup": false, "platformFaultDomainCount": 1, "upgradePolicy": {"mode": "Automatic"}});
        scene.apply(&regional("d2s", 2))?;
        scene.apply(&uniform("web", 3, spec))?;
        scene.settled("web").await?;
        scene.patch::<ScaleSet>("web", profile(reference("d2s"))).await?;
        scene.condition("web", ("UpToDate", "False", "OperationNotAllowed")).await?;
        assert_eq!((holders(scene).await?, scene.calls(Call::Update).await?), ((0, 0), 0), "nothing is half done");

        plugin.run(&["deallocate", "web"])?;
        scene
            .until("all are deallocated and associated", async || {
                let machines = scene.machines().await?;
                let down = machines.iter().filter(|machine| machine.power == PowerState::Deallocated).count();
                let associated = machines.iter().filter(|machine| machine.capacity_reservation.is_some()).count();
                ensure!((down, associated) == (3, 3), "{down} are down, {associated} associated");
                Ok(())
            })
            .await?;
        counts(scene, "d2s", [2, 3, 0, 2, 0]).await?;
        plugin.run(&["start", "web"])?;
        scene.settled("web").await?;
        counts(scene, "d2s", [2, 3, 3, 0, 1]).await?;
        assert_eq!(holders(scene).await?, (2, 1));
        scene.kubectl(&["delete", "sset", "web", "--timeout=60s"])?;
        scene.kubectl(&["delete", "crg", "d2s", "--timeout=60s"])?;
        scene.no_machines().await
    });
}

#[test]
fn members_of_a_set_without_a_profile_use_a_group_each_for_itself() {
    run("reserve-members", async |scene| {
        scene.apply(&regional("d2s", 2))?;
        condition(scene, "d2s", ("Ready", "True", "Ready")).await?;
        let bare = json!({
            "virtualMachineProfile": null, "platformFaultDomainCount": 1, "singlePlacementGroup": false,
        });
        scene.apply(&flexible("demo", 0, bare))?;
        let mut told = Vec::new();
        for name in ["one", "two", "three"] {
            let mut change = reference("d2s");
            change["scaleSetRef"] = json!({"name": "demo"});
            scene.apply(&vm(name, change))?;
            let status = scene.flex_vm_settled(name).await?.status.context("it has one")?;
            assert_eq!(status.scale_set.as_deref(), Some("demo"), "{name} is a member");
            told.push(status.capacity_reservation.context("it uses one")?.state);
        }
        let (allocated, beyond) = (ReservationState::Allocated, ReservationState::Overallocated);
        assert_eq!(told, [allocated, allocated, beyond], "a full reservation blocks nobody");
        counts(scene, "d2s", [2, 3, 3, 0, 1]).await?;
        let listed = get(scene, "d2s").await?.status.context("it has one")?.virtual_machines_associated;
        assert_eq!(listed, ["one", "three", "two"].map(|name| format!("reserve-members/FlexVM/{name}")));

        // The slot of one that is deallocated goes to the one that runs beyond.
        scene.patch::<FlexVM>("one", json!({"spec": {"powerState": "Deallocated"}})).await?;
        counts(scene, "d2s", [2, 3, 2, 0, 0]).await?;
        let expected = [("one", ReservationState::Associated), ("two", allocated), ("three", allocated)];
        for (name, wanted) in expected {
            scene
                .until(&format!("{name} is told as {wanted:?}"), async || {
                    let vm = scene.flex_vm(name).await?;
                    let told = vm.status.and_then(|status| status.capacity_reservation).context("it uses one")?.state;
                    ensure!(told == wanted, "it is {told:?}");
                    Ok(())
                })
                .await?;
        }
        scene.kubectl(&["delete", "fvm", "--all", "--timeout=60s"])?;
        scene.kubectl(&["delete", "crg", "d2s", "--timeout=60s"])?;
        scene.kubectl(&["delete", "sset", "demo", "--timeout=60s"])?;
        scene.no_machines().await
    });
}

#[test]
fn running_vms_with_zones_get_their_promise_without_a_gap() {
    run("reserve-zero", async |scene| {
        let spec = json!({"zones": ["1", "2"], "upgradePolicy": {"mode": "Automatic"}});
        scene.apply(&uniform("web", 4, spec))?;
        scene.settled("web").await?;
        let ids = async || -> anyhow::Result<BTreeSet<String>> {
            Ok(scene.machines().await?.into_iter().map(|machine| machine.vm_id).collect())
        };
        let before = ids().await?;
        scene.apply(&zonal("d2s", &[("1", 0), ("2", 0)]))?;
        condition(scene, "d2s", ("Ready", "True", "Ready")).await?;
        scene.patch::<ScaleSet>("web", profile(reference("d2s"))).await?;
        counts(scene, "d2s", [0, 4, 4, 0, 4]).await?;
        scene.apply(&zonal("d2s", &[("1", 2), ("2", 2)]))?;
        counts(scene, "d2s", [4, 4, 4, 0, 0]).await?;
        scene.settled("web").await?;
        assert_eq!((holders(scene).await?, ids().await?), ((4, 0), before));
        // Whoever holds a slot does not leave.
        let leave = profile(json!({"capacityReservationGroupRef": null}));
        scene.patch::<ScaleSet>("web", leave).await?;
        scene.condition("web", ("UpToDate", "False", "OperationNotAllowed")).await?;
        scene.apply(&zonal("d2s", &[("1", 0), ("2", 0)]))?;
        counts(scene, "d2s", [0, 0, 0, 0, 0]).await?;
        scene.settled("web").await?;
        assert_eq!(holders(scene).await?, (0, 0));
        scene.kubectl(&["delete", "crg", "d2s", "--timeout=60s"])?;
        scene.kubectl(&["delete", "sset", "web", "--timeout=60s"])?;
        scene.no_machines().await
    });
}

#[test]
fn a_raise_that_fails_is_told_and_a_size_that_cannot_be_reserved_too() {
    run("reserve-raise", async |scene| {
        scene.apply(&regional("d2s", 2))?;
        condition(scene, "d2s", ("Ready", "True", "Ready")).await?;
        scene.apply(&vm("one", reference("d2s")))?;
        scene.flex_vm_settled("one").await?;
        scene.apply(&regional("d2s", 10_000))?;
        let failed = scene
            .until("the raise has failed", async || {
                let status = get(scene, "d2s").await?.status.context("it has one")?;
                let ready = find(&status.conditions, "Ready").context("it is there")?.clone();
                ensure!(ready.status == "False" && ready.reason != "Creating", "{}: {}", ready.reason, ready.message);
                Ok(status)
            })
            .await?;
        let reservation = &failed.capacity_reservations[0];
        assert_eq!((reservation.current_capacity, reservation.allocated), (2, 1));
        assert_eq!(format!("{:?}", reservation.provisioning_state), "Failed");
        scene.flex_vm_settled("one").await?;
        scene.apply(&regional("d2s", 2))?;
        condition(scene, "d2s", ("Ready", "True", "Ready")).await?;
        let burstable = json!({"reservations": [{"name": "b1s", "vmSize": "Standard_B1s", "capacity": 1}]});
        scene.apply(&group("small", burstable))?;
        condition(scene, "small", ("Reserved", "False", "NotSupported")).await?;
        condition(scene, "small", ("Stalled", "True", "NotSupported")).await?;
        scene.kubectl(&["delete", "crg", "small", "--timeout=60s"])?;
        scene.kubectl(&["delete", "fvm", "one", "--timeout=60s"])?;
        scene.kubectl(&["delete", "crg", "d2s", "--timeout=60s"])?;
        Ok(())
    });
}

#[test]
fn a_group_is_used_from_where_it_is_shared_and_looks_missing_from_elsewhere() {
    run("reserve-owner", async |scene| {
        let tenant = Scene::new(scene.world, "reserve-tenant").await;
        scene.apply(&regional("d2s", 1))?;
        condition(scene, "d2s", ("Ready", "True", "Ready")).await?;
        let shared = |name: &str| json!({"capacityReservationGroupRef": {"name": name, "namespace": "reserve-owner"}});
        tenant.apply(&vm("one", shared("d2s")))?;
        tenant.apply(&vm("two", shared("nothing")))?;
        let refusal = async |name: &str| {
            tenant
                .until(&format!("{name} is refused"), async || {
                    let status = tenant.flex_vm(name).await?.status.unwrap_or_default();
                    let provisioned = find(&status.conditions, "Provisioned").context("it is there")?.clone();
                    ensure!(provisioned.reason == "ResourceNotFound", "{}", provisioned.reason);
                    Ok(provisioned.message)
                })
                .await
        };
        assert_eq!(refusal("one").await?.replace("d2s", "nothing"), refusal("two").await?, "they are told alike");
        tenant.kubectl(&["delete", "fvm", "two", "--timeout=60s"])?;

        let sharing = json!({"spec": {"sharedWith": {"namespaces": ["reserve-tenant"]}}});
        scene.patch::<CapacityReservationGroup>("d2s", sharing).await?;
        let status = tenant.flex_vm_settled("one").await?.status;
        let uses = status.and_then(|status| status.capacity_reservation).context("it uses one")?;
        assert_eq!((uses.group.as_str(), uses.state), ("reserve-owner/d2s", ReservationState::Allocated));
        counts(scene, "d2s", [1, 1, 1, 0, 0]).await?;
        let listed = get(scene, "d2s").await?.status.context("it has one")?.virtual_machines_associated;
        assert_eq!(listed, ["reserve-tenant/FlexVM/one"]);

        // Revoked: who is in stays in, nobody comes in.
        scene.patch::<CapacityReservationGroup>("d2s", json!({"spec": {"sharedWith": null}})).await?;
        condition(scene, "d2s", ("Ready", "True", "Ready")).await?;
        tenant.apply(&vm("late", shared("d2s")))?;
        refusal("late").await?;
        counts(scene, "d2s", [1, 1, 1, 0, 0]).await?;
        tenant.kubectl(&["delete", "fvm", "late", "--timeout=60s"])?;
        // It does not hold the group's deletion, and runs on.
        scene.kubectl(&["delete", "crg", "d2s", "--timeout=60s"])?;
        tenant
            .until("it runs on as general capacity", async || {
                let machine = tenant.machines().await?.into_iter().next().context("it is there")?;
                ensure!(machine.capacity_reservation.is_none(), "{:?}", machine.capacity_reservation);
                ensure!(machine.power == PowerState::Running, "it is {:?}", machine.power);
                Ok(())
            })
            .await?;
        tenant.kubectl(&["delete", "fvm", "one", "--timeout=60s"])?;
        tenant.no_machines().await
    });
}

/// Why a set does not grow: the message of the blocker with the code of a group that does not exist.
async fn lost(scene: &Scene<'_>, set: &str) -> anyhow::Result<String> {
    scene
        .until(&format!("{set} finds no group"), async || {
            let blockers = scene.set(set).await?.status.unwrap_or_default().blockers;
            let found = blockers.into_iter().find(|blocker| blocker.code == "ResourceNotFound");
            Ok(found.context("nothing of the kind holds it")?.message)
        })
        .await
}

#[test]
fn a_set_of_another_namespace_grows_on_a_group_while_that_is_shared() {
    run("reserve-lender", async |scene| {
        let tenant = Scene::new(scene.world, "reserve-borrower").await;
        scene.apply(&zonal("d2s", &[("1", 3)]))?;
        condition(scene, "d2s", ("Ready", "True", "Ready")).await?;
        let naming = |name: &str| {
            let reference = json!({"name": name, "namespace": "reserve-lender"});
            json!({"zones": ["1"], "virtualMachineProfile": {"capacityReservationGroupRef": reference}})
        };
        tenant.apply(&uniform("web", 2, naming("d2s")))?;
        tenant.apply(&uniform("stray", 2, naming("nothing")))?;
        let told = lost(&tenant, "stray").await?;
        assert_eq!(lost(&tenant, "web").await?.replace("d2s", "nothing"), told, "they are told alike");
        assert!(told.contains("reserve-lender/nothing does not exist, or is not shared with"), "{told}");
        tenant.no_machines().await?;
        tenant.kubectl(&["delete", "sset", "stray", "--timeout=60s"])?;

        let sharing = json!({"spec": {"sharedWith": {"namespaces": ["reserve-borrower"]}}});
        scene.patch::<CapacityReservationGroup>("d2s", sharing).await?;
        tenant.settled("web").await?;
        counts(scene, "d2s", [3, 2, 2, 1, 0]).await?;
        assert_eq!(holders(&tenant).await?, (2, 0));
        let listed = get(scene, "d2s").await?.status.context("it has one")?.virtual_machines_associated;
        assert_eq!(listed, ["reserve-borrower/ScaleSetVM/web-0", "reserve-borrower/ScaleSetVM/web-1"]);

        // Revoked: nobody more comes in, although there is a slot left; who is in keeps what it has.
        scene.patch::<CapacityReservationGroup>("d2s", json!({"spec": {"sharedWith": null}})).await?;
        condition(scene, "d2s", ("Ready", "True", "Ready")).await?;
        tenant.patch::<ScaleSet>("web", json!({"spec": {"replicas": 3}})).await?;
        assert_eq!(lost(&tenant, "web").await?.replace("d2s", "nothing"), told);
        counts(scene, "d2s", [3, 2, 2, 1, 0]).await?;
        let machines = tenant.machines().await?;
        let running = machines.iter().filter(|machine| machine.power == PowerState::Running).count();
        assert_eq!((machines.len(), running, holders(&tenant).await?), (2, 2, (2, 0)));
        assert_eq!(tenant.calls(Call::Create).await?, 2);

        // Shared again it goes on.
        let sharing = json!({"spec": {"sharedWith": {"namespaces": ["reserve-borrower"]}}});
        scene.patch::<CapacityReservationGroup>("d2s", sharing).await?;
        counts(scene, "d2s", [3, 3, 3, 0, 0]).await?;
        tenant.kubectl(&["delete", "sset", "web", "--timeout=60s"])?;
        scene.kubectl(&["delete", "crg", "d2s", "--timeout=60s"])?;
        tenant.no_machines().await
    });
}

#[test]
fn killed_between_taking_a_slot_and_telling_of_it_nothing_is_taken_twice() {
    run_alone(async |world| {
        let namespace = "reserve-crash";
        let first = Scene::new(world, namespace).await;
        first.apply(&zonal("d2s", &[("1", 4)]))?;
        condition(&first, "d2s", ("Ready", "True", "Ready")).await?;
        let spec = json!({"zones": ["1"], "virtualMachineProfile": reference("d2s")});
        // The controller does not get to see what is taken, so that it cannot tell of it before it is killed.
        let unseen = json!({"selector": {}, "effect": {"type": "failCalls", "calls": ["observeReservationGroup"]}});
        first.world.hardware.send::<Value>(Method::PUT, "/faults/unseen", &unseen).await?;
        first.apply(&uniform("web", 6, spec))?;
        first
            .until("every slot is taken, and two VMs are beyond", async || {
                let found = holders(&first).await?;
                ensure!(found == (4, 2), "{found:?}");
                Ok(())
            })
            .await?;
        first.world.controller.kill().await?;
        let told = get(&first, "d2s").await?.status.and_then(|status| status.totals).unwrap_or_default();
        assert_eq!((told.associated, told.allocated, told.overallocated), (0, 0, 0), "nothing was told of yet");
        drop(first);
        world.restart_controller().await?;
        let scene = Scene { world, namespace: namespace.to_owned() };
        scene.world.hardware.send::<Value>(Method::DELETE, "/faults/unseen", &Value::Null).await?;
        scene.settled("web").await?;
        counts(&scene, "d2s", [4, 6, 6, 0, 2]).await?;
        assert_eq!(holders(&scene).await?, (4, 2));
        scene.one_machine_for_each_instance().await?;
        scene.kubectl(&["delete", "sset", "web", "--timeout=60s"])?;
        scene.kubectl(&["delete", "crg", "d2s", "--timeout=60s"])?;
        scene.no_machines().await
    });
}
