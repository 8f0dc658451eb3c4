//! What breaks, and how it is found again: connections, announcements, the clock.

use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};

use scaleset_hardware::sim::{
    ClockSource, LatencySource, RegionFile, RegionSource, Simulation, SimulationOptions, Storage,
};
use scaleset_hardware::{Change, Hardware, HardwareError};
use scaleset_hardware_wire::client::{RemoteHardware, RemoteOptions};

use crate::fixture::{Server, request, simulation, until};

#[tokio::test(flavor = "multi_thread")]
async fn hardware_that_is_away_is_unknown_and_found_again_by_itself() {
    let (simulation, _) = simulation();
    let server = Server::start(&simulation);
    let remote = server.client(1).await;
    remote.create(request("a")).await.unwrap();
    let address = server.address;
    drop(server);
    let error = until("it is missed", async || remote.observe("a").await.err()).await;
    let HardwareError::Transient { message } = &error else { panic!("{error}") };
    assert!(message.starts_with(&format!("waiting for the hardware at http://{address}: ")), "{message}");
    let refused = until("the connection is refused", async || {
        remote.observe("a").await.err().filter(|error| error.to_string().contains("refused"))
    })
    .await;
    let begun = Instant::now();
    assert_eq!(remote.observe("a").await.unwrap_err(), refused, "the words stay the same");
    assert!(begun.elapsed() < Duration::from_secs(1), "it fails at once");
    let _server = Server::start_at(&simulation, address);
    let machine = until("it is found again", async || remote.observe("a").await.ok()).await;
    assert_eq!(machine, simulation.observe("a").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_hardware_and_says_for_what() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = RemoteOptions { url: format!("http://{address}"), ..RemoteOptions::default() };
    let told = std::sync::Mutex::new(Vec::new());
    let waiting = |reason: &str| told.lock().unwrap().push(reason.to_owned());
    let connected = RemoteHardware::connect(&options, 1, waiting);
    tokio::pin!(connected);
    let twice = until("it was tried twice", async || (told.lock().unwrap().len() >= 2).then_some(()));
    tokio::select! {
        _ = &mut connected => panic!("there is nobody"),
        () = twice => {}
    }
    let (simulation, _) = simulation();
    let _server = Server::start_at(&simulation, address);
    let remote = connected.await.unwrap().unwrap();
    assert_eq!(remote.observe("a").await, Ok(None));
    let told = told.lock().unwrap();
    assert!(told[0].starts_with(&format!("waiting for the hardware at {}: ", options.url)), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_listens_is_told_first_that_anything_may_have_changed() {
    let (simulation, clock) = simulation();
    let server = Server::start(&simulation);
    let remote = server.client(0).await;
    let created = remote.create(request("a")).await.unwrap();
    let mut changes = remote.changes();
    assert_eq!(changes.next().await, Some(Change::Everything));
    clock.advance(Duration::from_secs(5));
    assert_eq!(changes.next().await, Some(Change::Machine { uid: "a".to_owned(), owner: created.owner }));
    let address = server.address;
    drop(server);
    until("nobody is there", async || remote.observe("a").await.err()).await;
    assert_eq!(changes.next().now_or_never(), None, "nothing is told, and the stream goes on");
    let _server = Server::start_at(&simulation, address);
    assert_eq!(changes.next().await, Some(Change::Everything), "what was meanwhile, nobody knows");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_is_the_one_of_the_hardware() {
    let (simulation, clock) = simulation();
    let server = Server::start(&simulation);
    let remote = server.client(0).await;
    clock.advance(Duration::from_hours(1));
    let ahead = until("the jump is seen", async || Some(remote.now()).filter(|now| *now >= clock.now())).await;
    assert!(ahead.duration_since(clock.now()).as_secs() < 5, "it runs like a wall clock in between");
    assert_eq!(remote.wall_duration(Duration::from_secs(40)), Duration::from_secs(40));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scaled_clock_is_followed_within_a_tick() {
    let simulation = Simulation::open(SimulationOptions {
        region: RegionSource::Given(Box::new(RegionFile::embedded())),
        storage: Storage::Memory,
        clock: ClockSource::Wall { time_scale: 20.0 },
        latency: LatencySource::Zero,
    })
    .unwrap();
    let server = Server::start(&simulation);
    let remote = server.client(0).await;
    let scaled = remote.wall_duration(Duration::from_secs(40));
    assert!((scaled.as_secs_f64() - 2.0).abs() < 1e-6, "{scaled:?}");
    let mut last = remote.now();
    for _ in 0..50 {
        let (now, there) = (remote.now(), simulation.now());
        assert!(now >= last, "it never runs backwards");
        let off = there.duration_since(now).as_secs_f64().abs();
        assert!(off < 20.0, "{off} s of scenario time off, 1 s of wall time is 20");
        last = now;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
