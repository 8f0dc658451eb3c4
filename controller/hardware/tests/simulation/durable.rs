//! What survives in a store: machines, faults, the journal and the clock; and stores that cannot be used.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition};
use scaleset_crds::vocabulary::PowerWish;
use scaleset_hardware::sim::{
    Call, ClockSource, Drift, Fault, FaultEffect, LatencySource, OpenError, Outage, RegionFile, RegionSource, Selector,
    Simulation, SimulationOptions, Storage, VirtualClock,
};
use scaleset_hardware::{Change, Hardware, Inventory, Provisioning, Shutdown};

use crate::fixture::{REGION, model, request, request_of, target};

pub fn open_with(path: &Path, clock: ClockSource, region: &str) -> Result<Simulation, OpenError> {
    Simulation::open(SimulationOptions {
        region: RegionSource::Given(Box::new(RegionFile::parse("the test's", region)?)),
        storage: Storage::File(path.to_owned()),
        clock,
        latency: LatencySource::RegionFile,
    })
}

pub fn open(path: &Path, clock: &VirtualClock) -> Simulation {
    open_with(path, ClockSource::Virtual(clock.clone()), REGION).unwrap()
}

async fn everything(simulation: &Simulation) -> Inventory {
    simulation.observe_all().await.unwrap()
}

#[tokio::test]
async fn a_simulation_goes_on_where_it_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made/for/it/hardware.redb");
    let clock = VirtualClock::default();
    let simulation = open(&path, &clock);
    let mut other = model();
    other.tags.insert("tier".to_owned(), "web".to_owned());
    for wanted in [request("a"), request("b"), request_of("c", other), request("gone"), request("stopping")] {
        simulation.create(wanted).await.unwrap();
    }
    clock.advance(Duration::from_secs(45));
    simulation.delete(target("gone", 1), Shutdown::Graceful).await.unwrap();
    simulation.set_power(target("stopping", 1), PowerWish::Deallocated, Shutdown::Graceful).await.unwrap();
    simulation.drift("b", Drift { vm_size: Some("Medium".to_owned()), ..Drift::default() }).await.unwrap();
    let fault = Fault {
        selector: Selector::default(),
        effect: FaultEffect::SlowBoot { factor: 2.0 },
        rate_percent: 100.0,
        remaining: Some(3),
    };
    simulation.set_fault("slow", fault).await.unwrap();
    let outage = Outage { location: "testland".to_owned(), zone: Some("2".to_owned()), fault_domain: None, host: None };
    simulation.set_outage("zone", outage).await.unwrap();
    simulation.publish_image("golden", "2").await.unwrap();
    let before = everything(&simulation).await;
    let journal = simulation.journal().unwrap();
    drop(simulation);

    let reopened = open(&path, &clock);
    assert_eq!(everything(&reopened).await, before);
    assert_eq!(reopened.journal().unwrap(), journal);
    assert_eq!(reopened.calls()[&Call::Create].accepted, 5);
    assert_eq!(reopened.catalog().await.unwrap().regions["testland"].images["golden"], ["1", "2"]);
    assert_eq!(reopened.clear_outage("zone").await, Ok(()));
    drop(reopened);

    clock.advance(Duration::from_mins(1));
    let later = open(&path, &clock);
    let after = everything(&later).await;
    assert_eq!(after.machines.keys().collect::<Vec<_>>(), ["a", "b", "c", "stopping"], "time went on meanwhile");
    assert_eq!(after.machines["stopping"].host, None);
    assert_eq!(later.next_event_at(), None);
    let numbers: Vec<u64> = later.journal().unwrap().iter().map(|entry| entry.sequence).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    later.create(request("d")).await.unwrap();
    assert_eq!(later.next_event_at().unwrap(), clock.now() + jiff::SignedDuration::from_secs(5));
    clock.advance(Duration::from_secs(5));
    assert_eq!(later.next_event_at().unwrap(), clock.now() + jiff::SignedDuration::from_secs(80), "the fault is there");
}

#[tokio::test]
async fn scenario_time_goes_on_from_run_to_run_whatever_the_scale() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hardware.redb");
    let at_scale = |time_scale| open_with(&path, ClockSource::Wall { time_scale }, REGION).unwrap();
    let born = Timestamp::now();
    let fast = at_scale(100_000.0);
    fast.create(request("a")).await.unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while fast.now().duration_since(born).as_hours() < 1 {
        assert!(std::time::Instant::now() < deadline, "an hour takes 36 ms");
        tokio::task::yield_now().await;
    }
    fast.create(request("b")).await.unwrap();
    let reached = fast.now();
    drop(fast);
    let slow = at_scale(1.0);
    let resumed = slow.now();
    assert!(resumed >= reached - jiff::SignedDuration::from_secs(1), "{resumed} after {reached}");
    let wall = Timestamp::now();
    assert!(slow.now().duration_since(wall).as_mins() >= 59, "the slow clock is still ahead of wall time");
    assert_eq!(slow.wall_duration(Duration::from_secs(3)), Duration::from_secs(3));
}

#[tokio::test]
async fn under_a_scaled_clock_changes_are_announced_in_time() {
    let simulation = Simulation::open(SimulationOptions {
        region: RegionSource::Given(Box::new(RegionFile::parse("the test's", REGION).unwrap())),
        storage: Storage::Memory,
        clock: ClockSource::Wall { time_scale: 1_000.0 },
        latency: LatencySource::RegionFile,
    })
    .unwrap();
    let mut changes = simulation.changes();
    let created = simulation.create(request("a")).await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while simulation.observe("a").await.unwrap().unwrap().provisioning != Provisioning::Succeeded {
        let change = tokio::time::timeout_at(deadline, changes.next()).await.expect("45 seconds take 45 ms").unwrap();
        assert_eq!(change, Change::Machine { uid: created.uid.clone(), owner: created.owner.clone() });
    }
    assert!(simulation.now().duration_since(created.created_at).as_secs() >= 45);
}

#[test]
fn a_time_scale_out_of_range_is_refused() {
    for time_scale in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
        let refused = Simulation::open(SimulationOptions {
            region: RegionSource::Embedded,
            storage: Storage::Memory,
            clock: ClockSource::Wall { time_scale },
            latency: LatencySource::Zero,
        });
        assert!(matches!(refused, Err(OpenError::TimeScale { .. })), "{time_scale}");
    }
}

#[tokio::test]
async fn a_store_that_is_open_is_locked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hardware.redb");
    let clock = VirtualClock::default();
    let _first = open(&path, &clock);
    let refused = open_with(&path, ClockSource::Virtual(clock), REGION).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "hardware store {} is locked: another process has it open; stop that process, or name another file",
            path.display()
        )
    );
}

/// Makes a store of another format. Left open while it is copied, the copy looks like one of a killed process.
fn store_of_format(format: u64, path: &Path, copy: &Path) {
    let database = Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<&str, u64>::new("meta")).unwrap().insert("format", format).unwrap();
    transaction.commit().unwrap();
    std::fs::copy(path, copy).unwrap();
}

#[test]
fn a_store_of_another_format_is_left_untouched() {
    let mends = [
        (1, "use the older version, or remove the file to begin with an empty region"),
        (6, "use the newer version, or name another file"),
    ];
    for (format, mend) in mends {
        let directory = tempfile::tempdir().unwrap();
        let closed = directory.path().join("closed.redb");
        let killed = directory.path().join("killed.redb");
        store_of_format(format, &closed, &killed);
        for path in [closed, killed] {
            let before = std::fs::read(&path).unwrap();
            let refused = open_with(&path, ClockSource::Virtual(VirtualClock::default()), REGION).unwrap_err();
            let expected = format!(
                "hardware store {} has format {format}, this version knows 5: it was left untouched; {mend}",
                path.display()
            );
            assert_eq!(refused.to_string(), expected);
            assert!(std::fs::read(&path).unwrap() == before, "{} was changed", path.display());
        }
    }
}

#[tokio::test]
async fn a_store_from_before_reservations_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hardware.redb");
    let clock = VirtualClock::default();
    let simulation = open(&path, &clock);
    simulation.create(request("a")).await.unwrap();
    let before = everything(&simulation).await;
    drop(simulation);
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.delete_table(TableDefinition::<&str, &[u8]>::new("reservation_groups")).unwrap();
    transaction.open_table(TableDefinition::<&str, u64>::new("meta")).unwrap().insert("format", 3).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert_eq!(everything(&open(&path, &clock)).await, before);
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    let text = "not a store\n".repeat(1_000);
    std::fs::write(&path, &text).unwrap();
    let refused = open_with(&path, ClockSource::Virtual(VirtualClock::default()), REGION).unwrap_err().to_string();
    assert!(refused.starts_with(&format!("{} is no usable hardware store: ", path.display())), "{refused}");
    assert!(refused.ends_with("; name another file, or remove this one"), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    let refused = open_with(directory.path(), ClockSource::Virtual(VirtualClock::default()), REGION).unwrap_err();
    assert!(refused.to_string().contains("cannot be opened: "), "{refused}");
}

#[tokio::test]
async fn a_store_of_another_region_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hardware.redb");
    let clock = VirtualClock::default();
    let simulation = open(&path, &clock);
    simulation.create(request("a")).await.unwrap();
    drop(simulation);
    let table = BTreeMap::from([
        ("name: testland", ("name: elsewhere", "machine a is in location testland")),
        (
            "name: general, count: 2",
            ("name: other, count: 2", "machine a is on host testland-z1-fd0-general-00, which has no room for it"),
        ),
        ("name: Small", ("name: Mini", "machine a has size Small")),
        ("10.0.0.0/24", ("10.5.0.0/24", "machine a has address 10.0.0.4 of subnet default")),
    ]);
    for (good, (other, problem)) in table {
        let region = REGION.replacen(good, other, 1);
        let refused = open_with(&path, ClockSource::Virtual(clock.clone()), &region).unwrap_err().to_string();
        assert_eq!(
            refused,
            format!(
                "the hardware store does not fit the region file: {problem}; use the region file that it was made with, or remove the store"
            )
        );
    }
    assert_eq!(everything(&open(&path, &clock)).await.machines.len(), 1);
}

#[tokio::test]
async fn models_without_machines_do_not_stay_in_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hardware.redb");
    let clock = VirtualClock::default();
    let simulation = open(&path, &clock);
    for number in 0..5 {
        let mut wanted = model();
        wanted.tags.insert("number".to_owned(), number.to_string());
        simulation.create(request_of(&format!("m{number}"), wanted)).await.unwrap();
    }
    for number in 0..4 {
        simulation.delete(target(&format!("m{number}"), 1), Shutdown::Graceful).await.unwrap();
    }
    clock.advance(Duration::from_mins(1));
    drop(simulation);
    drop(open(&path, &clock));
    let reopened = open(&path, &clock);
    reopened.create(request("last")).await.unwrap();
    drop(reopened);
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_read().unwrap();
    let machines = transaction.open_table(TableDefinition::<&str, &[u8]>::new("machines")).unwrap();
    let models = transaction.open_table(TableDefinition::<u64, &[u8]>::new("models")).unwrap();
    assert_eq!((machines.len().unwrap(), models.len().unwrap()), (2, 2));
}
