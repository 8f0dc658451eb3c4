//! The state machines of power and provisioning, by the clock.

use scaleset_crds::vocabulary::{PowerState, PowerWish};
use scaleset_hardware::sim::{BootFailure, Fault, FaultEffect, Selector};
use scaleset_hardware::{Deletion, ExtensionState, Hardware, Machine, Provisioning, Shutdown, UpdateMethod};

use crate::fixture::{Fixture, extension, model, request, request_of, target};

/// Seconds since the start, provisioning and power at every instant at which something changes.
async fn story(fixture: &Fixture, uid: &str) -> Vec<String> {
    let mut lines = vec![line(fixture, &fixture.machine(uid).await)];
    while let Some(next) = fixture.simulation.next_event_at() {
        fixture.clock.advance_to(next);
        let machine = fixture.simulation.observe(uid).await.unwrap();
        let gone = || format!("{} gone", fixture.seconds(next));
        lines.push(machine.map_or_else(gone, |machine| line(fixture, &machine)));
    }
    lines
}

fn line(fixture: &Fixture, machine: &Machine) -> String {
    let provisioning = match &machine.provisioning {
        Provisioning::Failed { code, message: _ } => format!("Failed {code}"),
        other
        @ (Provisioning::Creating | Provisioning::Updating | Provisioning::Succeeded | Provisioning::Deleting) => {
            format!("{other:?}")
        }
    };
    format!("{} {provisioning} {:?}", fixture.seconds(fixture.clock.now()), machine.power)
}

fn boot_fault(code: BootFailure) -> Fault {
    Fault {
        selector: Selector::default(),
        effect: FaultEffect::FailBoot { code },
        rate_percent: 100.0,
        remaining: Some(1),
    }
}

#[tokio::test]
async fn a_machine_is_created_then_starts_then_runs() {
    let fixture = Fixture::new();
    let accepted = fixture.simulation.create(request("a")).await.unwrap();
    assert_eq!(accepted.provisioning, Provisioning::Creating);
    assert_eq!((accepted.os_name.as_deref(), accepted.changed_at), (None, fixture.start));
    assert_eq!(story(&fixture, "a").await, ["0 Creating Creating", "5 Creating Starting", "45 Succeeded Running"]);
    let machine = fixture.machine("a").await;
    assert_eq!(machine.os_name.as_deref(), Some("ubuntu"));
    assert_eq!(machine.changed_at, fixture.at(45));
    assert_eq!(machine.image_version, "22.04.2");
    assert_eq!(machine.failed_attempts, 0);
}

#[tokio::test]
async fn power_goes_down_and_up_by_wish() {
    let fixture = Fixture::new();
    fixture.running("a").await;
    let table = [
        (PowerWish::Stopped, vec!["45 Updating Stopping", "53 Succeeded Stopped"]),
        (PowerWish::Running, vec!["53 Updating Starting", "78 Succeeded Running"]),
        (PowerWish::Deallocated, vec!["78 Updating Deallocating", "93 Succeeded Deallocated"]),
        (PowerWish::Stopped, vec!["93 Updating Deallocated", "101 Succeeded Stopped"]),
        (PowerWish::Deallocated, vec!["101 Updating Deallocating", "116 Succeeded Deallocated"]),
        (PowerWish::Running, vec!["116 Updating Starting", "141 Succeeded Running"]),
    ];
    for (wish, expected) in table {
        fixture.simulation.set_power(target("a", 1), wish, Shutdown::Graceful).await.unwrap();
        assert_eq!(story(&fixture, "a").await, expected, "{wish:?}");
    }
}

#[tokio::test]
async fn a_deallocated_machine_has_no_host_and_no_placement_group_but_keeps_its_address() {
    let fixture = Fixture::new();
    let before = fixture.running("a").await;
    fixture.simulation.set_power(target("a", 1), PowerWish::Deallocated, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    let machine = fixture.machine("a").await;
    assert_eq!((machine.host, machine.placement.placement_group), (None, None));
    assert_eq!(machine.private_ip_address, before.private_ip_address);
    assert_eq!(machine.vm_id, before.vm_id);
    fixture.simulation.set_power(target("a", 1), PowerWish::Running, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    let machine = fixture.machine("a").await;
    assert!(machine.host.is_some());
    assert_eq!(machine.placement, before.placement);
}

#[tokio::test]
async fn restart_and_reimage_stop_and_start_the_machine() {
    let fixture = Fixture::new();
    let before = fixture.running("a").await;
    let wanted = std::sync::Arc::new(model());
    let update = fixture.simulation.update(target("a", 1), "revision-2", wanted.clone(), UpdateMethod::Restart);
    assert_eq!(update.await.unwrap().model_revision, "revision-2");
    assert_eq!(story(&fixture, "a").await, ["45 Updating Stopping", "50 Updating Starting", "65 Succeeded Running"]);
    fixture.simulation.reimage(target("a", 1), "revision-2", wanted).await.unwrap();
    assert_eq!(fixture.machine("a").await.os_name, None, "the new disk has not booted");
    assert_eq!(story(&fixture, "a").await, ["65 Updating Stopping", "75 Updating Starting", "105 Succeeded Running"]);
    let after = fixture.machine("a").await;
    assert_eq!((&after.vm_id, &after.private_ip_address), (&before.vm_id, &before.private_ip_address));
    assert_ne!(after.disks[0], before.disks[0], "the OS disk is a fresh one");
}

#[tokio::test]
async fn an_online_update_leaves_the_machine_running() {
    let fixture = Fixture::new();
    fixture.running("a").await;
    let mut wanted = model();
    wanted.tags.insert("tier".to_owned(), "web".to_owned());
    let update =
        fixture.simulation.update(target("a", 1), "revision-2", std::sync::Arc::new(wanted), UpdateMethod::Online);
    update.await.unwrap();
    assert_eq!(story(&fixture, "a").await, ["45 Updating Running", "49 Succeeded Running"]);
}

#[tokio::test]
async fn a_deleted_machine_holds_its_place_until_it_is_gone() {
    let fixture = Fixture::new();
    fixture.running("a").await;
    assert_eq!(fixture.simulation.delete(target("a", 1), Shutdown::Graceful).await.unwrap(), Deletion::InProgress);
    assert_eq!(fixture.simulation.delete(target("a", 1), Shutdown::Graceful).await.unwrap(), Deletion::InProgress);
    assert_eq!(story(&fixture, "a").await, ["45 Deleting Stopping", "55 gone"]);
    assert_eq!(fixture.simulation.delete(target("a", 1), Shutdown::Graceful).await.unwrap(), Deletion::Gone);
    assert_eq!(fixture.simulation.observe("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_boot_that_fails_stays_failed_until_a_reimage_succeeds() {
    let fixture = Fixture::new();
    fixture.simulation.set_fault("boot", boot_fault(BootFailure::OSProvisioningTimedOut)).await.unwrap();
    fixture.simulation.create(request("a")).await.unwrap();
    assert_eq!(
        story(&fixture, "a").await,
        [
            "0 Creating Creating",
            "5 Creating Starting",
            "45 Creating Running",
            "125 Failed OSProvisioningTimedOut Running"
        ]
    );
    let failed = fixture.machine("a").await;
    assert_eq!((failed.failed_attempts, failed.os_name), (1, None));

    fixture.simulation.set_fault("boot", boot_fault(BootFailure::OSProvisioningTimedOut)).await.unwrap();
    let wanted = std::sync::Arc::new(model());
    fixture.simulation.reimage(target("a", 1), "revision-1", wanted.clone()).await.unwrap();
    fixture.finish();
    assert_eq!(fixture.machine("a").await.failed_attempts, 2);

    fixture.simulation.reimage(target("a", 1), "revision-1", wanted).await.unwrap();
    fixture.finish();
    let healed = fixture.machine("a").await;
    assert_eq!((healed.failed_attempts, healed.provisioning), (0, Provisioning::Succeeded));
    assert_eq!(healed.os_name.as_deref(), Some("ubuntu"));
}

#[tokio::test]
async fn a_machine_that_does_not_start_is_stopped_and_an_update_tries_again() {
    let fixture = Fixture::new();
    fixture.simulation.set_fault("boot", boot_fault(BootFailure::VMStartTimedOut)).await.unwrap();
    fixture.simulation.create(request("a")).await.unwrap();
    fixture.finish();
    let failed = fixture.machine("a").await;
    assert_eq!(failed.power, PowerState::Stopped);
    assert!(matches!(&failed.provisioning, Provisioning::Failed { code, .. } if code == "VMStartTimedOut"));
    let wanted = std::sync::Arc::new(model());
    fixture.simulation.update(target("a", 1), "revision-1", wanted, UpdateMethod::Online).await.unwrap();
    fixture.finish();
    let healed = fixture.machine("a").await;
    assert_eq!((healed.power, healed.provisioning), (PowerState::Running, Provisioning::Succeeded));
}

#[tokio::test]
async fn extensions_run_after_the_boot_in_their_order() {
    let fixture = Fixture::new();
    let mut wanted = model();
    wanted.extensions = vec![extension("app", &["base"]), extension("base", &[])];
    fixture.simulation.create(request_of("a", wanted)).await.unwrap();
    assert_eq!(
        story(&fixture, "a").await,
        [
            "0 Creating Creating",
            "5 Creating Starting",
            "45 Creating Running",
            "55 Creating Running",
            "65 Succeeded Running"
        ]
    );
    let states: Vec<ExtensionState> = fixture.machine("a").await.extensions.into_values().collect();
    assert_eq!(states, [ExtensionState::Succeeded; 2]);
}

#[tokio::test]
async fn a_failed_extension_fails_the_machine_and_an_update_runs_it_again() {
    let fixture = Fixture::new();
    let fault = Fault {
        selector: Selector::default(),
        effect: FaultEffect::FailExtension { extension: "base".to_owned() },
        rate_percent: 100.0,
        remaining: Some(1),
    };
    fixture.simulation.set_fault("extension", fault).await.unwrap();
    let mut wanted = model();
    wanted.extensions = vec![extension("app", &["base"]), extension("base", &[])];
    let failed = fixture.running_as(request_of("a", wanted.clone())).await;
    assert_eq!(
        failed.provisioning,
        Provisioning::Failed {
            code: "VMExtensionProvisioningError".to_owned(),
            message: "extension base failed".to_owned()
        }
    );
    assert_eq!(failed.extensions["app"], ExtensionState::Failed);
    assert_eq!(failed.power, PowerState::Running);
    let update =
        fixture.simulation.update(target("a", 1), "revision-1", std::sync::Arc::new(wanted), UpdateMethod::Online);
    update.await.unwrap();
    fixture.finish();
    let healed = fixture.machine("a").await;
    assert_eq!((healed.provisioning, healed.extensions["app"]), (Provisioning::Succeeded, ExtensionState::Succeeded));
}

#[tokio::test]
async fn an_extension_of_a_stopped_machine_waits_for_its_start() {
    let fixture = Fixture::new();
    fixture.running("a").await;
    fixture.simulation.set_power(target("a", 1), PowerWish::Stopped, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    let mut wanted = model();
    wanted.extensions = vec![extension("app", &[])];
    let update =
        fixture.simulation.update(target("a", 1), "revision-2", std::sync::Arc::new(wanted), UpdateMethod::Online);
    update.await.unwrap();
    fixture.finish();
    let stopped = fixture.machine("a").await;
    assert_eq!((stopped.power, stopped.extensions["app"]), (PowerState::Stopped, ExtensionState::Transitioning));
    fixture.simulation.set_power(target("a", 1), PowerWish::Running, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    assert_eq!(fixture.machine("a").await.extensions["app"], ExtensionState::Succeeded);
}

#[tokio::test]
async fn without_latency_every_call_is_complete_when_it_returns() {
    let clock = scaleset_hardware::sim::VirtualClock::default();
    let file = scaleset_hardware::sim::RegionFile::parse("the test's", crate::fixture::REGION).unwrap();
    let simulation = scaleset_hardware::sim::Simulation::in_memory_with(file.without_latency(), clock);
    let created = simulation.create(request("a")).await.unwrap();
    assert_eq!((created.provisioning, created.power), (Provisioning::Succeeded, PowerState::Running));
    assert_eq!(created.os_name.as_deref(), Some("ubuntu"));
    let stopped = simulation.set_power(target("a", 1), PowerWish::Deallocated, Shutdown::Graceful).await.unwrap();
    assert_eq!((stopped.power, stopped.host), (PowerState::Deallocated, None));
    assert_eq!(simulation.delete(target("a", 1), Shutdown::Graceful).await.unwrap(), Deletion::Gone);
    assert_eq!(simulation.next_event_at(), None);
}
