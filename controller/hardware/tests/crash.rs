//! A process that works on a store is killed, again and again, and nothing that it was told is lost.
//!
//! This test is its own child: started with [`STORE`] in its environment it works on that store until it is killed, and
//! writes a line for each call that has returned. The parent reads the lines, kills it at some line, opens the store
//! and compares.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use scaleset_crds::VirtualMachineModel;
use scaleset_crds::reservation::{CapacityReservationGroupReference, ReservationState};
use scaleset_hardware::sim::{
    Call, ClockSource, LatencySource, Outcome, RegionSource, Simulation, SimulationOptions, Storage,
};
use scaleset_hardware::{
    CreateRequest, Hardware, Machine, Owner, Placement, ReservationGroupRequest, ReservationRequest, Target,
};

/// Names the store that the child works on.
const STORE: &str = "SCALESET_HARDWARE_CRASH_STORE";
/// Names the first machine that the child creates.
const FIRST: &str = "SCALESET_HARDWARE_CRASH_FIRST";
/// Tasks of the child, each with one call in flight.
const TASKS: usize = 16;
/// Machines of one child; it is killed long before.
const MACHINES: usize = 100_000;
/// The group that some of them draw on, and how many it has reserved.
const GROUP: &str = "group";
const RESERVED: i32 = 40;
/// Lines after which the child is killed, round by round.
const KILLED_AFTER: [usize; 8] = [1, 2, 17, 64, 131, 250, 401, 703];

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        println!("nothing_that_was_answered_is_lost: test");
        return;
    }
    match std::env::var(STORE) {
        Ok(store) => work_until_killed(Path::new(&store)),
        Err(_) => nothing_that_was_answered_is_lost(),
    }
}

fn nothing_that_was_answered_is_lost() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = directory.path().join("hardware.redb");
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (round, lines) in KILLED_AFTER.into_iter().enumerate() {
        for line in killed_after(&store, round * MACHINES, lines) {
            let (call, uid) = line.split_once(' ').expect("the child writes a call and a uid");
            told.entry(uid.to_owned()).or_default().push(call.to_owned());
        }
        compare(&store, &told);
    }
    println!("test nothing_that_was_answered_is_lost ... ok ({} kills, {} machines)", KILLED_AFTER.len(), told.len());
}

/// Starts a child, kills it when it has written so many lines, and returns every line that it has written.
fn killed_after(store: &Path, first: usize, lines: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().expect("this program has a path"))
        .env(STORE, store)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program starts");
    let mut output = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
    let mut written: Vec<String> = output.by_ref().take(lines).map(|line| line.expect("lines are text")).collect();
    // SIGKILL on Unix: the child gets no chance to tidy up.
    child.kill().expect("the child can be killed");
    child.wait().expect("the child has ended");
    assert_eq!(written.len(), lines, "the child ended by itself after {written:?}");
    written.extend(output.map(|line| line.expect("lines are text")));
    written
}

/// What the child was told has to be in the store, and what is in the store has to be in the journal, once.
fn compare(store: &Path, told: &BTreeMap<String, Vec<String>>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let simulation = open(store);
    let machines = runtime.block_on(simulation.observe_all()).expect("everything can be observed").machines;
    compare_slots(&runtime, &simulation, &machines);
    let journal = simulation.journal().expect("the journal can be read");
    let sequences: Vec<u64> = journal.iter().map(|entry| entry.sequence).collect();
    assert!(sequences.iter().copied().eq(1..=journal.len() as u64), "the journal has gaps: {sequences:?}");
    let accepted = |call: Call| {
        let of_call = journal.iter().filter(|entry| entry.call == call && entry.outcome == Outcome::Accepted);
        of_call.map(|entry| entry.uid.clone()).collect::<Vec<_>>()
    };
    let created = accepted(Call::Create);
    let deleted: BTreeSet<String> = accepted(Call::Delete).into_iter().collect();
    let distinct: BTreeSet<String> = created.iter().cloned().collect();
    assert_eq!(distinct.len(), created.len(), "a machine was created twice");
    let expected: BTreeSet<&String> = distinct.difference(&deleted).collect();
    assert_eq!(machines.keys().collect::<BTreeSet<_>>(), expected, "machines and journal differ");
    for (uid, calls) in told {
        let is_deleted = calls.iter().any(|call| call == "deleted");
        assert!(distinct.contains(uid), "the answer that {uid} was created is lost");
        assert!(!is_deleted || deleted.contains(uid), "the answer that {uid} was deleted is lost");
    }
}

/// Every slot is held by one machine or set aside, and every machine that draws on the group is listed once.
fn compare_slots(runtime: &tokio::runtime::Runtime, simulation: &Simulation, machines: &BTreeMap<String, Machine>) {
    let draws = |(uid, machine): (&String, &Machine)| Some((uid.clone(), machine.capacity_reservation.as_ref()?.state));
    let drawing: BTreeMap<String, ReservationState> = machines.iter().filter_map(draws).collect();
    let group = runtime.block_on(simulation.observe_reservation_group(GROUP)).expect("the group can be observed");
    let reservations = group.map(|group| group.reservations).unwrap_or_default();
    let Some(reservation) = reservations.first() else {
        assert!(drawing.is_empty(), "machines draw on a reservation that is gone: {drawing:?}");
        return;
    };
    assert_eq!(reservation.current_capacity, RESERVED);
    let listed = reservation.machines.iter().map(|machine| (machine.uid.clone(), machine.state));
    assert_eq!(listed.collect::<BTreeMap<_, _>>(), drawing, "machines and group differ");
    let guaranteed = drawing.values().filter(|state| **state == ReservationState::Allocated).count();
    assert_eq!(guaranteed, drawing.len().min(RESERVED.unsigned_abs() as usize), "slots are lost, or given out twice");
    let named = machines.keys().filter(|uid| uid.starts_with("slot-"));
    assert!(named.eq(drawing.keys()), "a machine has lost its reservation");
}

fn work_until_killed(store: &Path) {
    let first: usize = std::env::var(FIRST).ok().and_then(|first| first.parse().ok()).unwrap_or(0);
    let simulation = open(store);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        reserve(&simulation).await;
        let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(work(simulation.clone(), first + task))).collect();
        for task in tasks {
            task.await.expect("no call panics");
        }
    });
}

/// Makes the group and its reservation, where they are not there yet.
async fn reserve(simulation: &Simulation) {
    let target = Target { uid: GROUP.to_owned(), generation: 1 };
    let group = ReservationGroupRequest {
        namespace: "default".to_owned(),
        name: GROUP.to_owned(),
        location: "eastus".to_owned(),
        zones: Vec::new(),
        shared_with: Vec::new(),
    };
    simulation.put_reservation_group(target.clone(), group).await.expect("the group can be made");
    let wanted = ReservationRequest {
        name: "small".to_owned(),
        vm_size: "Standard_D2s_v3".to_owned(),
        zone: None,
        capacity: RESERVED,
    };
    simulation.reserve(target, wanted).await.expect("there is room");
}

/// Creates machines, and deletes every other one.
async fn work(simulation: Simulation, first: usize) {
    for number in (first..first + MACHINES).step_by(TASKS) {
        let uid = format!("machine-{number:07}");
        let target = Target { uid: uid.clone(), generation: 1 };
        simulation.create(request(target.clone())).await.expect("there is room");
        tell("created", &uid);
        simulation.delete(target).await.expect("a machine can be deleted");
        tell("deleted", &uid);
        if number % 4 == 2 {
            let drawing = format!("slot-{number:07}");
            let target = Target { uid: drawing.clone(), generation: 1 };
            let request = CreateRequest { model: drawing_model(), ..request(target.clone()) };
            simulation.create(request).await.expect("there is room");
            tell("created", &drawing);
            if number % 8 == 2 {
                simulation.delete(target).await.expect("a machine can be deleted");
                tell("deleted", &drawing);
            }
        }
        if number % 4 == 0 {
            let kept = format!("kept-{number:07}");
            simulation.create(request(Target { uid: kept.clone(), generation: 1 })).await.expect("there is room");
            tell("created", &kept);
        }
    }
}

fn tell(call: &str, uid: &str) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{call} {uid}").expect("the parent listens");
    output.flush().expect("the parent listens");
}

fn open(store: &Path) -> Simulation {
    Simulation::open(SimulationOptions {
        region: RegionSource::Embedded,
        storage: Storage::File(store.to_owned()),
        clock: ClockSource::Wall { time_scale: 1.0 },
        latency: LatencySource::Zero,
    })
    .expect("a store that was left behind can be opened")
}

fn request(target: Target) -> CreateRequest {
    CreateRequest {
        owner: Owner {
            kind: "ScaleSetVM".to_owned(),
            namespace: "default".to_owned(),
            name: target.uid.clone(),
            set_uid: Some("set".to_owned()),
            instance_number: None,
        },
        target,
        computer_name: "web000000".to_owned(),
        placement: Placement {
            location: "eastus".to_owned(),
            zone: None,
            platform_fault_domain: None,
            update_domain: None,
            placement_group: None,
        },
        model_revision: "web-1".to_owned(),
        model: model(),
    }
}

/// The model of a machine that draws on the group.
fn drawing_model() -> Arc<VirtualMachineModel> {
    let group = CapacityReservationGroupReference { name: GROUP.to_owned(), namespace: None };
    Arc::new(VirtualMachineModel {
        vm_size: "Standard_D2s_v3".to_owned(),
        capacity_reservation_group_ref: Some(group),
        ..VirtualMachineModel::clone(&model())
    })
}

fn model() -> Arc<VirtualMachineModel> {
    let text = r#"{
        "vmSize": "Standard_B1s",
        "credentials": {"adminUsername": "azureuser"},
        "storageProfile": {"imageReference": {"publisher": "Canonical", "offer": "ubuntu-server", "sku": "22_04-lts"}},
        "networkProfile": {"networkInterfaces": [{"name": "nic01", "primary": true, "subnet": "default"}]}
    }"#;
    Arc::new(serde_json::from_str(text).expect("the model is written above"))
}
