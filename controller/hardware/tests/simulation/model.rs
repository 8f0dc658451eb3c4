//! What updates and reimages make of a machine's model, disks and addresses.

use std::collections::BTreeMap;
use std::sync::Arc;

use scaleset_crds::VirtualMachineModel;
use scaleset_hardware::{Hardware, Machine, UpdateMethod};

use crate::fixture::{Fixture, disk, extension, image, interface, model, request_of, target};

/// A model that differs from the first one in everything.
fn everything_else() -> VirtualMachineModel {
    let mut wanted = model();
    "Medium".clone_into(&mut wanted.vm_size);
    wanted.credentials.ssh_public_keys = vec!["ssh-ed25519 AAAA".to_owned()];
    wanted.storage_profile.image_reference = image("22.04.1");
    wanted.storage_profile.os_disk.disk_size_gb = 64;
    wanted.storage_profile.data_disks = vec![disk(0, 64), disk(2, 8)];
    wanted.network_profile.network_interfaces = vec![interface("nic01", "tiny"), interface("nic02", "default")];
    wanted.extensions = vec![extension("app", &[])];
    wanted.tags = BTreeMap::from([("tier".to_owned(), "web".to_owned())]);
    wanted
}

fn first() -> VirtualMachineModel {
    let mut wanted = model();
    wanted.storage_profile.data_disks = vec![disk(0, 128), disk(1, 32)];
    wanted
}

async fn updated(fixture: &Fixture, method: UpdateMethod) -> Machine {
    let update = fixture.simulation.update(target("a", 1), "revision-2", Arc::new(everything_else()), method);
    update.await.unwrap();
    fixture.finish();
    fixture.machine("a").await
}

#[tokio::test]
async fn each_method_applies_what_it_may_and_leaves_the_rest() {
    for method in [UpdateMethod::Online, UpdateMethod::Restart] {
        let fixture = Fixture::new();
        let before = fixture.running_as(request_of("a", first())).await;
        let after = updated(&fixture, method).await;
        let mut expected = everything_else();
        expected.credentials = first().credentials;
        expected.storage_profile.image_reference = image("latest");
        expected.storage_profile.os_disk = first().storage_profile.os_disk;
        expected.storage_profile.data_disks = vec![disk(0, 128), disk(2, 8)];
        if method == UpdateMethod::Online {
            "Small".clone_into(&mut expected.vm_size);
        }
        assert_eq!(*after.model, expected, "{method:?}");
        assert_eq!(after.model_revision, "revision-2");
        assert_eq!((&after.vm_id, &after.image_version), (&before.vm_id, &before.image_version));
        assert_eq!(after.disks[..2], before.disks[..2], "the OS disk and lun 0 are the same");
        assert_eq!(after.disks.len(), 3);
        assert_ne!(after.disks[2], before.disks[2], "lun 1 went, lun 2 came");
        assert_eq!(after.private_ip_address.as_deref(), Some("10.0.1.4"), "the interface moved to another subnet");
        assert_eq!(after.public_ip_address, before.public_ip_address.as_ref().map(|_| "20.0.0.4".to_owned()));
    }
}

#[tokio::test]
async fn a_reimage_applies_everything() {
    let fixture = Fixture::new();
    let before = fixture.running_as(request_of("a", first())).await;
    let wanted = Arc::new(everything_else());
    fixture.simulation.reimage(target("a", 1), "revision-2", wanted.clone()).await.unwrap();
    fixture.finish();
    let after = fixture.machine("a").await;
    assert_eq!(after.model, wanted);
    assert_eq!(after.image_version, "22.04.1");
    assert_eq!(after.vm_id, before.vm_id);
    assert_ne!(after.disks[0], before.disks[0]);
    assert_eq!(after.disks[1], before.disks[1], "data disks stay");
}

#[tokio::test]
async fn an_interface_keeps_its_address_as_long_as_it_keeps_its_subnet() {
    let fixture = Fixture::new();
    let before = fixture.running("a").await;
    let mut wanted = model();
    wanted.network_profile.network_interfaces[0].public_ip_address = false;
    let update = |wanted: &VirtualMachineModel, revision: &'static str| {
        fixture.simulation.update(target("a", 1), revision, Arc::new(wanted.clone()), UpdateMethod::Online)
    };
    update(&wanted, "revision-2").await.unwrap();
    fixture.finish();
    let without = fixture.machine("a").await;
    assert_eq!(without.private_ip_address, before.private_ip_address);
    assert_eq!(without.public_ip_address, None);
    wanted.network_profile.network_interfaces = vec![interface("nic01", "default"), interface("nic02", "tiny")];
    update(&wanted, "revision-3").await.unwrap();
    fixture.finish();
    let with = fixture.machine("a").await;
    assert_eq!(
        (with.private_ip_address, with.public_ip_address),
        (before.private_ip_address, before.public_ip_address)
    );
}

#[tokio::test]
async fn a_change_of_an_extension_runs_only_that_extension() {
    let fixture = Fixture::new();
    let mut wanted = model();
    wanted.extensions = vec![extension("one", &[]), extension("two", &[])];
    fixture.running_as(request_of("a", wanted.clone())).await;
    wanted.extensions[1].force_update_tag = Some("again".to_owned());
    let update = fixture.simulation.update(target("a", 1), "revision-2", Arc::new(wanted), UpdateMethod::Online);
    let updating = update.await.unwrap();
    let states: Vec<String> = updating.extensions.iter().map(|(name, state)| format!("{name} {state:?}")).collect();
    assert_eq!(states, ["one Succeeded", "two Transitioning"]);
}

#[tokio::test]
async fn equal_models_are_held_once() {
    let fixture = Fixture::new();
    for uid in ["a", "b"] {
        fixture.simulation.create(request_of(uid, first())).await.unwrap();
    }
    let (a, b) = (fixture.machine("a").await, fixture.machine("b").await);
    assert!(Arc::ptr_eq(&a.model, &b.model));
}
