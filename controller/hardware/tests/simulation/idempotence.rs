//! Repeats, fences and calls on busy machines.

use std::sync::Arc;

use scaleset_crds::vocabulary::PowerWish;
use scaleset_hardware::sim::{Call, Outcome};
use scaleset_hardware::{Deletion, Hardware, HardwareError, Health, Provisioning, Shutdown, UpdateMethod};

use crate::fixture::{Fixture, image, model, refusal, request, target};

/// Results of the journalled calls, in order.
fn outcomes(fixture: &Fixture) -> Vec<(Call, String)> {
    let entries = fixture.simulation.journal().unwrap();
    let sequences: Vec<u64> = entries.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, (1..=entries.len() as u64).collect::<Vec<_>>(), "the journal has no gaps");
    let text = |outcome: &Outcome| match outcome {
        Outcome::Accepted => "accepted".to_owned(),
        Outcome::Unchanged => "unchanged".to_owned(),
        Outcome::Refused { code, message: _ } => code.clone(),
        Outcome::AnswerLost => "answer lost".to_owned(),
    };
    entries.iter().map(|entry| (entry.call, text(&entry.outcome))).collect()
}

#[tokio::test]
async fn the_same_call_twice_has_the_effect_of_one() {
    let fixture = Fixture::new();
    let first = fixture.simulation.create(request("a")).await.unwrap();
    let second = fixture.simulation.create(request("a")).await.unwrap();
    assert_eq!(first, second);
    fixture.finish();

    let mut wanted = model();
    wanted.tags.insert("tier".to_owned(), "web".to_owned());
    let wanted = Arc::new(wanted);
    for method in [UpdateMethod::Online, UpdateMethod::Restart] {
        let revision = format!("{method:?}");
        for _ in 0..2 {
            fixture.simulation.update(target("a", 2), &revision, wanted.clone(), method).await.unwrap();
        }
        fixture.finish();
        let after = fixture.simulation.update(target("a", 2), &revision, wanted.clone(), method).await.unwrap();
        assert_eq!(after.provisioning, Provisioning::Succeeded, "{method:?}");
    }
    for _ in 0..2 {
        fixture.simulation.reimage(target("a", 3), "reimage", wanted.clone()).await.unwrap();
    }
    fixture.finish();
    fixture.simulation.reimage(target("a", 3), "reimage", wanted).await.unwrap();
    for _ in 0..2 {
        fixture.simulation.set_power(target("a", 3), PowerWish::Stopped, Shutdown::Graceful).await.unwrap();
    }
    fixture.finish();
    fixture.simulation.set_power(target("a", 3), PowerWish::Stopped, Shutdown::Graceful).await.unwrap();
    for _ in 0..2 {
        fixture.simulation.delete(target("a", 3), Shutdown::Graceful).await.unwrap();
    }
    fixture.finish();
    assert_eq!(fixture.simulation.delete(target("a", 3), Shutdown::Graceful).await.unwrap(), Deletion::Gone);

    let expected = [
        (Call::Create, 1, 1),
        (Call::Update, 2, 4),
        (Call::SetPower, 1, 2),
        (Call::Reimage, 1, 2),
        (Call::Delete, 1, 2),
    ];
    for (call, accepted, unchanged) in expected {
        let of_call =
            |result: &str| outcomes(&fixture).iter().filter(|(made, text)| *made == call && text == result).count();
        assert_eq!((of_call("accepted"), of_call("unchanged")), (accepted, unchanged), "{call:?}");
    }
}

#[tokio::test]
async fn an_update_that_changes_only_the_revision_disturbs_nothing() {
    let fixture = Fixture::new();
    let before = fixture.running("a").await;
    let mut wanted = model();
    wanted.credentials.ssh_public_keys = vec!["ssh-ed25519 AAAA".to_owned()];
    let update = fixture.simulation.update(target("a", 1), "revision-2", Arc::new(wanted), UpdateMethod::Online);
    let after = update.await.unwrap();
    assert_eq!((after.model_revision.as_str(), &after.provisioning), ("revision-2", &Provisioning::Succeeded));
    assert_eq!((after.model, after.changed_at), (before.model, before.changed_at));
}

#[tokio::test]
async fn a_reimage_is_made_again_when_there_is_a_reason() {
    let fixture = Fixture::new();
    fixture.running("a").await;
    let wanted = Arc::new(model());
    let reimage = || fixture.simulation.reimage(target("a", 1), "revision-1", wanted.clone());
    reimage().await.unwrap();
    fixture.finish();
    fixture.simulation.publish_image("Canonical:ubuntu-server:22_04-lts", "22.04.3").await.unwrap();
    assert_eq!(fixture.machine("a").await.image_version, "22.04.2", "a running machine is not moved");
    assert_eq!(reimage().await.unwrap().image_version, "22.04.3");
    fixture.finish();
    fixture.simulation.set_health("a", Health::Unhealthy).await.unwrap();
    assert_eq!(reimage().await.unwrap().provisioning, Provisioning::Updating);
    fixture.finish();
    assert_eq!(fixture.machine("a").await.health, Health::Healthy);
    assert_eq!(reimage().await.unwrap().provisioning, Provisioning::Succeeded);
}

#[tokio::test]
async fn a_call_of_an_older_generation_is_stale_and_changes_nothing() {
    let fixture = Fixture::new();
    fixture.running("a").await;
    fixture.simulation.set_power(target("a", 5), PowerWish::Running, Shutdown::Graceful).await.unwrap();
    let wanted = Arc::new(model());
    let before = fixture.machine("a").await;
    assert_eq!(before.generation, 5);
    let stale = HardwareError::Stale { uid: "a".to_owned(), generation: 4, seen: 5 };
    let old = || target("a", 4);
    let mut create = request("a");
    create.target = old();
    let refused = [
        fixture.simulation.create(create).await.unwrap_err(),
        fixture.simulation.update(old(), "r", wanted.clone(), UpdateMethod::Restart).await.unwrap_err(),
        fixture.simulation.reimage(old(), "r", wanted).await.unwrap_err(),
        fixture.simulation.set_power(old(), PowerWish::Stopped, Shutdown::Graceful).await.unwrap_err(),
        fixture.simulation.delete(old(), Shutdown::Graceful).await.unwrap_err(),
    ];
    assert_eq!(refused, [stale.clone(), stale.clone(), stale.clone(), stale.clone(), stale.clone()]);
    assert_eq!(fixture.machine("a").await, before);
    fixture.simulation.delete(target("a", 6), Shutdown::Graceful).await.unwrap();
    assert_eq!(
        fixture.simulation.delete(old(), Shutdown::Graceful).await.unwrap_err(),
        HardwareError::Stale { seen: 6, generation: 4, uid: "a".to_owned() }
    );
}

#[tokio::test]
async fn a_busy_machine_takes_a_delete_and_nothing_else() {
    let fixture = Fixture::new();
    fixture.simulation.create(request("a")).await.unwrap();
    let wanted = Arc::new(model());
    let update = fixture.simulation.update(target("a", 1), "r", wanted.clone(), UpdateMethod::Online).await;
    assert_eq!(refusal(update), "machine a is busy: being created");
    let reimage = fixture.simulation.reimage(target("a", 1), "r", wanted.clone()).await;
    assert_eq!(refusal(reimage), "machine a is busy: being created");
    let power = fixture.simulation.set_power(target("a", 1), PowerWish::Stopped, Shutdown::Graceful).await;
    assert_eq!(refusal(power), "machine a is busy: being created");
    assert_eq!(fixture.simulation.delete(target("a", 1), Shutdown::Graceful).await.unwrap(), Deletion::InProgress);
    let again = fixture.simulation.create(request("a")).await;
    assert_eq!(refusal(again), "machine a is busy: being deleted");
    fixture.finish();
    let anew = fixture.running("a").await;
    assert_eq!(anew.generation, 1);
}

#[tokio::test]
async fn a_machine_that_does_not_exist_is_not_found() {
    let fixture = Fixture::new();
    let update = fixture.simulation.update(target("x", 1), "r", Arc::new(model()), UpdateMethod::Online).await;
    assert_eq!(update.unwrap_err(), HardwareError::NotFound { uid: "x".to_owned() });
    let power = fixture.simulation.set_power(target("x", 1), PowerWish::Stopped, Shutdown::Graceful).await;
    assert_eq!(power.unwrap_err(), HardwareError::NotFound { uid: "x".to_owned() });
    assert_eq!(fixture.simulation.delete(target("x", 1), Shutdown::Graceful).await.unwrap(), Deletion::Gone);
    assert_eq!(fixture.simulation.observe("x").await.unwrap(), None);
}

#[tokio::test]
async fn a_machine_made_anew_is_another_machine() {
    let fixture = Fixture::new();
    let first = fixture.running("a").await;
    fixture.simulation.delete(target("a", 1), Shutdown::Graceful).await.unwrap();
    fixture.finish();
    let mut wanted = request("a");
    let mut model = model();
    model.storage_profile.image_reference = image("22.04.1");
    wanted.model = Arc::new(model);
    let second = fixture.running_as(wanted).await;
    assert_ne!(first.vm_id, second.vm_id);
    assert_ne!(first.disks, second.disks);
    assert_eq!(second.image_version, "22.04.1");
}
