//! Calls of a leader that does not lead any more are refused, also after a restart.

use scaleset_hardware::sim::{Call, Outcome, VirtualClock};
use scaleset_hardware::{Hardware, HardwareError, epoch};

use crate::durable::open;
use crate::fixture::{Fixture, request};

#[tokio::test]
async fn a_call_of_an_earlier_leader_is_refused_and_changes_nothing() {
    let fixture = Fixture::new();
    let hardware = &fixture.simulation;
    epoch::within(3, hardware.create(request("a"))).await.unwrap();
    epoch::within(4, hardware.catalog()).await.unwrap();
    let stale = HardwareError::StaleEpoch { epoch: 3, seen: 4 };
    assert_eq!(epoch::within(3, hardware.create(request("b"))).await.unwrap_err(), stale);
    assert_eq!(epoch::within(3, hardware.observe("a")).await.unwrap_err(), stale);
    assert_eq!(stale.to_string(), "stale epoch 3 < 4: another controller leads");
    let unelected = epoch::within(0, hardware.observe("a")).await.unwrap_err();
    assert_eq!(unelected, HardwareError::StaleEpoch { epoch: 0, seen: 4 });
    assert!(hardware.observe("a").await.unwrap().is_some(), "who owns the hardware is never refused");
    assert!(hardware.observe("b").await.unwrap().is_none());
    let told: Vec<(Call, Option<u64>, bool)> = hardware
        .journal()
        .unwrap()
        .iter()
        .map(|entry| (entry.call, entry.epoch, entry.outcome == Outcome::Accepted))
        .collect();
    let expected = [
        (Call::Lead, Some(3), true),
        (Call::Create, Some(3), true),
        (Call::Lead, Some(4), true),
        (Call::Create, Some(3), false),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn who_has_led_is_known_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hardware.redb");
    let clock = VirtualClock::default();
    let hardware = open(&path, &clock);
    epoch::within(7, hardware.observe("a")).await.unwrap();
    drop(hardware);
    let hardware = open(&path, &clock);
    let stale = HardwareError::StaleEpoch { epoch: 6, seen: 7 };
    assert_eq!(epoch::within(6, hardware.create(request("a"))).await.unwrap_err(), stale);
    epoch::within(7, hardware.create(request("a"))).await.unwrap();
}
