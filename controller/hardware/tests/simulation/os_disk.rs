//! OS disks: fresh ones at an exact version, former ones that come back.

use std::sync::Arc;
use std::time::Duration;

use scaleset_crds::VirtualMachineModel;
use scaleset_hardware::sim::VirtualClock;
use scaleset_hardware::{ExtensionState, Hardware, HardwareError, Machine, OsDiskWish, Provisioning};

use crate::durable::open;
use crate::fixture::{Fixture, disk, extension, model, refusal, request, request_of, target};

const IMAGE: &str = "Canonical:ubuntu-server:22_04-lts";

fn fresh(version: &str, after: &str) -> OsDiskWish {
    OsDiskWish::Fresh { version: version.to_owned(), after: after.to_owned() }
}

fn former(disk: &str) -> OsDiskWish {
    OsDiskWish::Former { disk: disk.to_owned() }
}

async fn replace(fixture: &Fixture, wish: OsDiskWish, model: VirtualMachineModel) -> Result<Machine, HardwareError> {
    fixture.simulation.replace_os_disk(target("a", 1), "revision-1", Arc::new(model), wish).await
}

fn rich() -> VirtualMachineModel {
    let mut model = model();
    model.storage_profile.data_disks = vec![disk(0, 8)];
    model.extensions = vec![extension("app", &[])];
    model
}

#[tokio::test]
async fn a_fresh_disk_is_of_the_exact_version_and_everything_else_stays() {
    let fixture = Fixture::new();
    let before = fixture.running_as(request_of("a", rich())).await;
    for version in ["22.04.3", "22.04.4"] {
        fixture.simulation.publish_image(IMAGE, version).await.unwrap();
    }
    let accepted = replace(&fixture, fresh("22.04.3", &before.disks[0]), rich()).await.unwrap();
    assert_eq!(accepted.provisioning, Provisioning::Updating);
    fixture.finish();
    let after = fixture.machine("a").await;
    assert_eq!((before.image_version.as_str(), after.image_version.as_str()), ("22.04.2", "22.04.3"));
    assert_eq!(after.former_os_disk.as_ref(), Some(&before.disks[0]));
    assert_ne!(after.disks[0], before.disks[0]);
    assert_eq!(after.disks[1..], before.disks[1..], "data disks are kept");
    assert_eq!((after.vm_id, after.private_ip_address), (before.vm_id, before.private_ip_address));
    assert_eq!(after.model, before.model, "the model still says latest");
    assert_eq!(after.extensions["app"], ExtensionState::Succeeded);
}

#[tokio::test]
async fn the_same_wish_again_changes_nothing() {
    let fixture = Fixture::new();
    let before = fixture.running("a").await;
    let wish = fresh("22.04.2", &before.disks[0]);
    let accepted = replace(&fixture, wish.clone(), model()).await.unwrap();
    let again = replace(&fixture, wish.clone(), model()).await.unwrap();
    assert_eq!(accepted, again, "while it is under way");
    fixture.finish();
    let after = fixture.machine("a").await;
    replace(&fixture, wish, model()).await.unwrap();
    assert_eq!(fixture.machine("a").await, after);
}

#[tokio::test]
async fn the_former_disk_comes_back_once() {
    let fixture = Fixture::new();
    let before = fixture.running("a").await;
    fixture.simulation.publish_image(IMAGE, "22.04.3").await.unwrap();
    let mut other = model();
    other.credentials.ssh_public_keys = vec!["ssh-ed25519 other".to_owned()];
    replace(&fixture, fresh("22.04.3", &before.disks[0]), other.clone()).await.unwrap();
    fixture.finish();
    assert_eq!(fixture.machine("a").await.model.credentials, other.credentials);
    replace(&fixture, former(&before.disks[0]), other.clone()).await.unwrap();
    fixture.finish();
    let after = fixture.machine("a").await;
    assert_eq!((&after.disks, &after.image_version), (&before.disks, &before.image_version));
    assert_eq!(after.provisioning, Provisioning::Succeeded);
    assert_eq!(after.os_version, before.os_version);
    assert_eq!(after.model.credentials, before.model.credentials, "they are on the disk");
    assert_eq!(after.former_os_disk, None);
    replace(&fixture, former(&before.disks[0]), other).await.unwrap();
    assert_eq!(fixture.machine("a").await, after);
}

#[tokio::test]
async fn a_disk_that_is_not_kept_or_a_version_that_is_not_offered_is_refused() {
    let fixture = Fixture::new();
    let before = fixture.running("a").await;
    assert_eq!(
        refusal(replace(&fixture, former("a_disk1_0"), model()).await),
        "OperationNotAllowed: machine a does not keep OS disk a_disk1_0, it keeps: none"
    );
    let message = refusal(replace(&fixture, fresh("9", &before.disks[0]), model()).await);
    assert!(
        message.starts_with("ImageNotFound: image Canonical:ubuntu-server:22_04-lts has no version 9"),
        "{message}"
    );
    assert_eq!(fixture.machine("a").await, before);
}

#[tokio::test]
async fn at_most_one_disk_is_kept_and_a_reimage_drops_it() {
    let fixture = Fixture::new();
    let first = fixture.running("a").await;
    replace(&fixture, fresh("22.04.2", &first.disks[0]), model()).await.unwrap();
    fixture.finish();
    let second = fixture.machine("a").await;
    replace(&fixture, fresh("22.04.1", &second.disks[0]), model()).await.unwrap();
    fixture.finish();
    assert_eq!(fixture.machine("a").await.former_os_disk.as_ref(), Some(&second.disks[0]));
    fixture.simulation.reimage(target("a", 1), "revision-2", Arc::new(model())).await.unwrap();
    fixture.finish();
    let reimaged = fixture.machine("a").await;
    assert_eq!((reimaged.former_os_disk, reimaged.image_version.as_str()), (None, "22.04.2"));
}

#[tokio::test]
async fn the_disk_that_is_kept_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hardware.redb");
    let clock = VirtualClock::default();
    let simulation = open(&path, &clock);
    let before = simulation.create(request("a")).await.unwrap();
    clock.advance(Duration::from_mins(1));
    let wish = fresh("22.04.1", &before.disks[0]);
    simulation.replace_os_disk(target("a", 1), "revision-1", Arc::new(model()), wish).await.unwrap();
    drop(simulation);
    let simulation = open(&path, &clock);
    clock.advance(Duration::from_mins(5));
    let wish = former(&before.disks[0]);
    let after = simulation.replace_os_disk(target("a", 1), "revision-1", Arc::new(model()), wish).await.unwrap();
    assert_eq!((after.disks, after.image_version), (before.disks, before.image_version));
}
