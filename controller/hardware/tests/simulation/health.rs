//! What health sources say of machines: by the source, by what the application answers, and through everything that
//! happens to the machine.
//!
//! A machine runs from second 45, its extension has succeeded at 55. Sources ask three times, every 10 seconds.

use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::health::HealthProbe;
use scaleset_crds::profile::{Extension, ExtensionSettings};
use scaleset_crds::vocabulary::{ApplicationProtocol, HealthState, PowerState, PowerWish, ProbeProtocol};
use scaleset_hardware::sim::{
    BootFailure, ClockSource, Drift, Fault, FaultEffect, LatencySource, MachineFault, Outage, RegionFile, RegionSource,
    Selector, Simulation, SimulationOptions, Storage, VirtualClock,
};
use scaleset_hardware::{ApplicationHealthReport, Hardware, Health, Shutdown, UpdateMethod};

use crate::fixture::{Fixture, REGION, extension, image, model, refusal, request_of, target};

/// A model whose health the extension tells.
fn asked_by_extension(handler: &str) -> VirtualMachineModel {
    let settings = ExtensionSettings {
        protocol: Some(ApplicationProtocol::Http),
        request_path: Some("/health".to_owned()),
        interval_in_seconds: Some(10),
        number_of_probes: Some(3),
        grace_period: (handler == "2.0").then_some(100),
        ..ExtensionSettings::default()
    };
    let health = Extension {
        extension_type: "ApplicationHealthLinux".to_owned(),
        type_handler_version: handler.to_owned(),
        settings,
        ..extension("health", &[])
    };
    VirtualMachineModel { extensions: vec![health], ..model() }
}

fn asked_over_tcp() -> VirtualMachineModel {
    let mut wanted = asked_by_extension("2.0");
    let settings = &mut wanted.extensions[0].settings;
    settings.protocol = Some(ApplicationProtocol::Tcp);
    settings.request_path = None;
    settings.port = Some(80);
    wanted
}

/// A model whose health a load balancer's probe tells.
fn asked_by_probe(load_balancer: &str) -> VirtualMachineModel {
    let mut wanted = model();
    wanted.network_profile.health_probe = Some(HealthProbe {
        load_balancer: load_balancer.to_owned(),
        protocol: ProbeProtocol::Http,
        port: 80,
        request_path: Some("/health".to_owned()),
        interval_seconds: 10,
        number_of_probes: 3,
    });
    wanted
}

fn with_command(mut wanted: VirtualMachineModel, command: &str) -> VirtualMachineModel {
    let mut app = extension("app", &[]);
    app.settings.command_to_execute = Some(command.to_owned());
    wanted.extensions.push(app);
    wanted
}

/// A region whose applications follow this script.
fn scripted(rules: &str) -> String {
    format!("{REGION}applications:\n{rules}\n")
}

fn named(report: Option<ApplicationHealthReport>) -> String {
    report.map_or("-".to_owned(), |report| format!("{:?}", report.state))
}

/// Lets everything happen that will happen by itself, and says when machine `a`'s report changed to what.
async fn told(fixture: &Fixture) -> String {
    let mut last = fixture.machine("a").await.application_health;
    let mut changes = Vec::new();
    while let Some(next) = fixture.simulation.next_event_at() {
        fixture.clock.advance_to(next);
        let report = fixture.machine("a").await.application_health;
        if report != last {
            assert!(report.is_none_or(|report| report.since == next), "{report:?}");
            changes.push(format!("{} {}", fixture.seconds(next), named(report)));
        }
        last = report;
    }
    changes.join(", ")
}

async fn created(region: &str, wanted: VirtualMachineModel) -> (Fixture, String) {
    let fixture = Fixture::with(region);
    fixture.simulation.create(request_of("a", wanted)).await.unwrap();
    assert_eq!(fixture.machine("a").await.application_health, None, "it has not booted");
    let told = told(&fixture).await;
    (fixture, told)
}

async fn reported(fixture: &Fixture) -> String {
    named(fixture.machine("a").await.application_health)
}

async fn update(fixture: &Fixture, wanted: VirtualMachineModel, method: UpdateMethod) {
    fixture.simulation.update(target("a", 1), "revision-2", Arc::new(wanted), method).await.unwrap();
}

#[tokio::test]
async fn each_source_takes_its_time_from_the_start_of_the_guest() {
    let (healthy, unhealthy) = ("- {answer: Healthy}", "- {answer: Unhealthy}");
    let (unknown, hangs, late) =
        ("- {answer: Unknown}", "- {answer: Hangs}", "- {answer: Unhealthy, afterSeconds: 100}");
    let table = [
        (model(), healthy, ""),
        (model(), late, ""),
        (asked_by_extension("2.0"), healthy, "55 Initializing, 85 Healthy"),
        (asked_by_extension("2.0"), unhealthy, "55 Initializing, 85 Unhealthy"),
        (asked_by_extension("2.0"), unknown, "55 Initializing, 155 Unknown"),
        (asked_by_extension("2.0"), hangs, ""),
        (asked_by_extension("2.0"), late, "55 Initializing, 85 Healthy, 175 Unhealthy"),
        (asked_over_tcp(), healthy, "55 Initializing, 85 Healthy"),
        (asked_over_tcp(), unknown, "55 Initializing, 85 Unhealthy"),
        (asked_by_extension("1.0"), healthy, "85 Healthy"),
        (asked_by_extension("1.0"), unknown, "85 Unhealthy"),
        (asked_by_extension("1.0"), hangs, ""),
        (asked_by_extension("1.0"), late, "85 Healthy, 175 Unhealthy"),
        (asked_by_probe("front"), healthy, "55 Healthy"),
        (asked_by_probe("front"), unhealthy, "75 Unhealthy"),
        (asked_by_probe("front"), unknown, "75 Unhealthy"),
        (asked_by_probe("front"), hangs, "75 Unhealthy"),
        (asked_by_probe("front"), late, "55 Healthy, 175 Unhealthy"),
    ];
    for (wanted, script, expected) in table {
        let source = format!("{:?}", wanted.health_source());
        let (_, told) = created(&scripted(script), wanted).await;
        assert_eq!(told, expected, "{script} {source}");
    }
}

#[tokio::test]
async fn the_first_rule_that_fits_decides_what_a_machine_answers() {
    let script = scripted(
        "- {commandContains: --good, answer: Healthy}\n\
         - {imageFamily: \"Canonical:ubuntu-server:22_04-lts\", imageVersion: 22.04.2, commandContains: run, answer: Unknown}\n\
         - {imageVersion: 22.04.1, answer: Unhealthy}\n\
         - {imageFamily: golden, answer: Hangs}\n\
         - {commandContains: --late, answer: Unhealthy, afterSeconds: 60}",
    );
    let of_version = |version: &str| {
        let mut wanted = asked_by_extension("1.0");
        wanted.storage_profile.image_reference = image(version);
        wanted
    };
    let mut golden = of_version("latest");
    golden.storage_profile.image_reference =
        scaleset_crds::profile::ImageReference { id: Some("golden".to_owned()), ..Default::default() };
    let table = [
        (of_version("22.04.2"), Health::Healthy, "85 Healthy"),
        (of_version("22.04.1"), Health::Unhealthy, "85 Unhealthy"),
        (with_command(of_version("22.04.1"), "run --good"), Health::Healthy, "85 Healthy"),
        (with_command(of_version("latest"), "run"), Health::Unknown, "85 Unhealthy"),
        (golden, Health::Hangs, ""),
        (with_command(of_version("latest"), "start --late"), Health::Unhealthy, "85 Healthy, 135 Unhealthy"),
    ];
    for (wanted, answer, expected) in table {
        let name = format!("{:?}", wanted.storage_profile.image_reference);
        let (fixture, told) = created(&script, wanted).await;
        assert_eq!((fixture.machine("a").await.health, told.as_str()), (answer, expected), "{name}");
    }
}

#[tokio::test]
async fn what_the_control_endpoint_sets_goes_before_the_script_and_turns_the_state_after_enough_probes() {
    let (fixture, _) =
        created(&scripted("- {imageVersion: 22.04.1, answer: Unhealthy}"), asked_by_extension("2.0")).await;
    fixture.advance(15);
    fixture.simulation.set_health("a", Health::Unhealthy).await.unwrap();
    assert_eq!(reported(&fixture).await, "Healthy");
    assert_eq!(told(&fixture).await, "130 Unhealthy");
    fixture.simulation.set_health("a", Health::Unknown).await.unwrap();
    assert_eq!(told(&fixture).await, "160 Unknown");
    fixture.simulation.heal_machine("a").await.unwrap();
    assert_eq!(told(&fixture).await, "190 Healthy");
    fixture.simulation.set_health("a", Health::Unhealthy).await.unwrap();
    fixture.advance(29);
    fixture.simulation.set_health("a", Health::Healthy).await.unwrap();
    assert_eq!((told(&fixture).await.as_str(), fixture.simulation.next_event_at()), ("", None), "29 of 30 seconds");

    // Through a restart it stays set; a reimage is a new application.
    fixture.simulation.set_health("a", Health::Unhealthy).await.unwrap();
    update(&fixture, asked_by_extension("2.0"), UpdateMethod::Restart).await;
    assert_eq!(told(&fixture).await, "239 Initializing, 269 Unhealthy");
    let mut older = asked_by_extension("2.0");
    older.storage_profile.image_reference = image("22.04.1");
    fixture.simulation.reimage(target("a", 1), "revision-3", Arc::new(older)).await.unwrap();
    assert_eq!(reported(&fixture).await, "-");
    assert_eq!(told(&fixture).await, "319 Initializing, 349 Unhealthy");
    fixture.simulation.set_health("a", Health::Healthy).await.unwrap();
    assert_eq!(told(&fixture).await, "379 Healthy");
    fixture.simulation.clear_health("a").await.unwrap();
    assert_eq!(told(&fixture).await, "409 Unhealthy");
}

#[tokio::test]
async fn a_guest_that_hangs_is_missing_to_its_extension_and_unhealthy_to_a_probe() {
    for fault in [true, false] {
        for (wanted, hanging, healed) in [
            (asked_by_extension("2.0"), ("-", ""), ("Healthy", "")),
            (asked_by_extension("1.0"), ("-", ""), ("Healthy", "")),
            (asked_by_probe("front"), ("Healthy", "30 Unhealthy"), ("Unhealthy", "110 Healthy")),
        ] {
            let (fixture, _) = created(REGION, wanted).await;
            let fixture = Fixture { start: fixture.clock.now(), ..fixture };
            if fault {
                fixture.simulation.fail_machine("a", MachineFault::Hang).await.unwrap();
            } else {
                fixture.simulation.set_health("a", Health::Hangs).await.unwrap();
            }
            assert_eq!((reported(&fixture).await.as_str(), told(&fixture).await.as_str()), hanging);
            fixture.clock.advance_to(fixture.at(100));
            fixture.simulation.heal_machine("a").await.unwrap();
            assert_eq!((reported(&fixture).await.as_str(), told(&fixture).await.as_str()), healed);
            let report = fixture.machine("a").await.application_health.unwrap();
            assert!(report.since >= fixture.at(100), "it says so only since then");
        }
    }
}

#[tokio::test]
async fn a_machine_out_of_sight_is_missing_to_its_extension_and_unhealthy_to_a_probe() {
    for (wanted, during, after) in
        [(asked_by_extension("2.0"), "-", "Healthy"), (asked_by_probe("front"), "Unhealthy", "Healthy")]
    {
        let (fixture, _) = created(REGION, wanted).await;
        let outage = Outage { location: "testland".to_owned(), zone: None, fault_domain: None, host: None };
        fixture.simulation.set_outage("all", outage).await.unwrap();
        fixture.finish();
        assert_eq!(reported(&fixture).await, during);
        fixture.simulation.clear_outage("all").await.unwrap();
        fixture.finish();
        assert_eq!(reported(&fixture).await, after);
    }
}

#[tokio::test]
async fn a_machine_that_does_not_run_has_no_health_and_begins_anew_when_it_starts() {
    for (wanted, initial) in
        [(asked_by_extension("2.0"), "25 Initializing, 55 Healthy"), (asked_by_probe("front"), "35 Healthy")]
    {
        let (fixture, _) = created(REGION, wanted.clone()).await;
        let from_now = |fixture: Fixture| Fixture { start: fixture.clock.now(), ..fixture };
        fixture.simulation.set_power(target("a", 1), PowerWish::Stopped, Shutdown::Graceful).await.unwrap();
        assert_eq!(reported(&fixture).await, "-", "it is stopping");
        assert_eq!(told(&fixture).await, "");
        let fixture = from_now(fixture);
        fixture.simulation.set_power(target("a", 1), PowerWish::Running, Shutdown::Graceful).await.unwrap();
        assert_eq!(told(&fixture).await, initial);

        fixture.simulation.fail_machine("a", MachineFault::Crash).await.unwrap();
        assert_eq!((reported(&fixture).await.as_str(), fixture.simulation.next_event_at()), ("-", None));
        let fixture = from_now(fixture);
        fixture.simulation.set_power(target("a", 1), PowerWish::Running, Shutdown::Graceful).await.unwrap();
        assert_eq!(told(&fixture).await, initial);
        fixture.simulation.delete(target("a", 1), Shutdown::Graceful).await.unwrap();
        assert_eq!(reported(&fixture).await, "-");
    }
}

#[tokio::test]
async fn a_guest_that_never_reports_is_missing_to_its_extension_and_unhealthy_to_a_probe() {
    for (wanted, expected) in [(asked_by_extension("2.0"), ""), (asked_by_probe("front"), "75 Unhealthy")] {
        let fixture = Fixture::new();
        let effect = FaultEffect::FailBoot { code: BootFailure::OSProvisioningTimedOut };
        let fault = Fault { selector: Selector::default(), effect, rate_percent: 100.0, remaining: None };
        fixture.simulation.set_fault("boot", fault).await.unwrap();
        fixture.simulation.create(request_of("a", wanted)).await.unwrap();
        assert_eq!(told(&fixture).await, expected);
        assert_eq!(fixture.machine("a").await.power, PowerState::Running);
    }
}

#[tokio::test]
async fn an_extension_that_fails_tells_nothing() {
    let fixture = Fixture::new();
    let effect = FaultEffect::FailExtension { extension: "health".to_owned() };
    let fault = Fault { selector: Selector::default(), effect, rate_percent: 100.0, remaining: None };
    fixture.simulation.set_fault("extension", fault).await.unwrap();
    fixture.simulation.create(request_of("a", asked_by_extension("2.0"))).await.unwrap();
    assert_eq!(told(&fixture).await, "");
    fixture.simulation.clear_fault("extension").await.unwrap();
    update(&fixture, asked_by_extension("2.0"), UpdateMethod::Online).await;
    assert_eq!(told(&fixture).await, "69 Initializing, 99 Healthy");
}

#[tokio::test]
async fn an_online_update_begins_anew_only_where_it_changes_the_source() {
    let (fixture, _) = created(REGION, asked_by_extension("2.0")).await;
    let mut wanted = asked_by_extension("2.0");
    wanted.tags.insert("tier".to_owned(), "web".to_owned());
    update(&fixture, wanted.clone(), UpdateMethod::Online).await;
    assert_eq!((reported(&fixture).await.as_str(), told(&fixture).await.as_str()), ("Healthy", ""));

    let fixture = Fixture { start: fixture.clock.now(), ..fixture };
    wanted.extensions[0].settings.number_of_probes = Some(6);
    update(&fixture, wanted.clone(), UpdateMethod::Online).await;
    assert_eq!(
        (reported(&fixture).await.as_str(), told(&fixture).await.as_str()),
        ("-", "14 Initializing, 74 Healthy")
    );

    update(&fixture, asked_by_probe("front"), UpdateMethod::Online).await;
    assert_eq!((reported(&fixture).await.as_str(), told(&fixture).await.as_str()), ("-", "84 Healthy"));
    let mut slower = asked_by_probe("front");
    slower.network_profile.health_probe.as_mut().unwrap().interval_seconds = 60;
    update(&fixture, slower, UpdateMethod::Online).await;
    assert_eq!((reported(&fixture).await.as_str(), told(&fixture).await.as_str()), ("-", "144 Healthy"));

    update(&fixture, wanted, UpdateMethod::Online).await;
    assert_eq!(told(&fixture).await, "158 Initializing, 218 Healthy");
    let drift = Drift { vm_size: None, tags: None, remove_extension: Some("health".to_owned()) };
    fixture.simulation.drift("a", drift).await.unwrap();
    assert_eq!((reported(&fixture).await.as_str(), fixture.simulation.next_event_at()), ("-", None));
}

#[tokio::test]
async fn every_change_of_a_report_is_announced_once() {
    let fixture = Fixture::with(&scripted("- {answer: Unhealthy, afterSeconds: 100}"));
    let mut changes = fixture.simulation.changes();
    let mut announced = || std::iter::from_fn(|| changes.next().now_or_never().flatten()).count();
    fixture.simulation.create(request_of("a", asked_by_extension("2.0"))).await.unwrap();
    for (second, report) in [(5, "-"), (45, "-"), (55, "Initializing"), (85, "Healthy"), (175, "Unhealthy")] {
        assert_eq!(fixture.simulation.next_event_at(), Some(fixture.at(second)));
        fixture.clock.advance_to(fixture.at(second));
        assert_eq!((reported(&fixture).await.as_str(), announced()), (report, 1), "at {second}");
    }
    assert_eq!(fixture.simulation.next_event_at(), None);

    fixture.simulation.set_health("a", Health::Healthy).await.unwrap();
    assert_eq!((fixture.simulation.next_event_at(), announced()), (Some(fixture.at(205)), 1));
    fixture.simulation.set_health("a", Health::Unhealthy).await.unwrap();
    assert_eq!((fixture.simulation.next_event_at(), announced()), (None, 1), "what was due will not come");
    fixture.advance(100);
    fixture.simulation.settle();
    assert_eq!(announced(), 0);
}

fn open(path: &std::path::Path, clock: &VirtualClock, region: &str) -> Simulation {
    Simulation::open(SimulationOptions {
        region: RegionSource::Given(Box::new(RegionFile::parse("the test's", region).unwrap())),
        storage: Storage::File(path.to_owned()),
        clock: ClockSource::Virtual(clock.clone()),
        latency: LatencySource::RegionFile,
    })
    .unwrap()
}

#[tokio::test]
async fn a_report_goes_on_after_a_restart_of_the_process_as_if_nothing_had_happened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hardware.redb");
    let clock = VirtualClock::default();
    let region = scripted("- {answer: Unhealthy, afterSeconds: 100}");
    let start = clock.now();
    let reopened = || Fixture { simulation: open(&path, &clock, &region), clock: clock.clone(), start };
    let fixture = reopened();
    fixture.simulation.create(request_of("a", asked_by_extension("2.0"))).await.unwrap();
    let mut seen = Vec::new();
    drop(fixture);
    for second in [50, 60, 84, 85, 150, 174, 175, 300] {
        clock.advance_to(start + jiff::SignedDuration::from_secs(second));
        let fixture = reopened();
        let report = fixture.machine("a").await.application_health;
        seen.push(format!("{} {}", report.map_or(0, |report| fixture.seconds(report.since)), named(report)));
    }
    assert_eq!(
        seen,
        [
            "0 -",
            "55 Initializing",
            "55 Initializing",
            "85 Healthy",
            "85 Healthy",
            "85 Healthy",
            "175 Unhealthy",
            "175 Unhealthy"
        ]
    );
    reopened().simulation.set_health("a", Health::Healthy).await.unwrap();
    clock.advance(std::time::Duration::from_secs(29));
    let fixture = reopened();
    assert_eq!(fixture.simulation.next_event_at(), Some(fixture.at(330)));
    assert_eq!(told(&fixture).await, "330 Healthy");
}

#[tokio::test]
async fn another_script_is_heard_from_the_next_start_of_the_process_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hardware.redb");
    let clock = VirtualClock::default();
    let start = clock.now();
    let simulation = open(&path, &clock, REGION);
    simulation.create(request_of("a", asked_by_extension("2.0"))).await.unwrap();
    clock.advance(std::time::Duration::from_secs(200));
    drop(simulation);
    let simulation = open(&path, &clock, &scripted("- {answer: Unhealthy}"));
    let fixture = Fixture { simulation, clock, start };
    assert_eq!((reported(&fixture).await.as_str(), told(&fixture).await.as_str()), ("Healthy", "230 Unhealthy"));
}

#[tokio::test]
async fn a_load_balancer_that_the_region_does_not_have_is_refused_and_nothing_is_changed() {
    let expected = "InvalidParameter: testland has no load balancer back for the health probe, there are: front";
    let fixture = Fixture::new();
    let create = fixture.simulation.create(request_of("a", asked_by_probe("back"))).await;
    assert_eq!(create.as_ref().unwrap_err().code(), "InvalidParameter");
    assert_eq!(refusal(create), expected);
    assert_eq!(fixture.simulation.observe("a").await.unwrap(), None);

    let before = fixture.running_as(request_of("a", asked_by_probe("front"))).await;
    let wanted = Arc::new(asked_by_probe("back"));
    for method in [UpdateMethod::Online, UpdateMethod::Restart] {
        let update = fixture.simulation.update(target("a", 2), "revision-2", Arc::clone(&wanted), method).await;
        assert_eq!(refusal(update), expected);
    }
    assert_eq!(refusal(fixture.simulation.reimage(target("a", 2), "revision-2", wanted).await), expected);
    assert_eq!(fixture.machine("a").await, before);
    let regions = fixture.simulation.catalog().await.unwrap().regions.clone();
    assert!(regions["testland"].load_balancers.keys().eq(["front"]));
    assert!(regions["plainland"].load_balancers.is_empty());
}

#[tokio::test]
async fn a_report_leaves_alone_when_the_machine_changed_last() {
    let (fixture, _) = created(REGION, asked_by_extension("2.0")).await;
    let machine = fixture.machine("a").await;
    assert_eq!(
        (fixture.seconds(machine.changed_at), machine.application_health.unwrap().state),
        (55, HealthState::Healthy)
    );
}
