//! What machines measure: loads of their own and shared ones, windows, who went, agents in the guest, and how often it is asked for.

use scaleset_crds::profile::Extension;
use scaleset_hardware::sim::{Call, ControlCode, Load, LoadSharing, LoadStep, RegionFile, Selector};
use scaleset_hardware::{Among, Grain, Hardware, MetricsQuery, SeriesQuery, Shutdown};

use crate::fixture::{Fixture, REGION, extension, model, request_of, target};

const CPU: &str = "Percentage CPU";

fn load(sharing: LoadSharing, value: i64) -> Load {
    Load {
        selector: Selector::default(),
        namespace: None,
        metric: CPU.to_owned(),
        sharing,
        course: vec![LoadStep { after_seconds: 0, value }],
        repeat_seconds: None,
    }
}

fn query(name: &str, grain_seconds: i32, window_seconds: i32) -> MetricsQuery {
    let among = Among::All;
    let series = SeriesQuery { namespace: None, name: name.to_owned(), among, grain_seconds, window_seconds };
    MetricsQuery { set_uid: "set".to_owned(), series: vec![series] }
}

async fn member(fixture: &Fixture, uid: &str) {
    fixture.running(uid).await;
}

async fn measured(fixture: &Fixture, query: &MetricsQuery) -> Vec<Grain> {
    fixture.simulation.metrics(query).await.unwrap().remove(0).grains
}

/// (machines, total in whole numbers) of each grain.
fn told(grains: &[Grain]) -> Vec<(i64, i64)> {
    grains.iter().map(|grain| (grain.count, grain.total / 1_000)).collect()
}

#[tokio::test]
async fn a_total_is_shared_by_those_that_run_and_follows_them_at_once() {
    let fixture = Fixture::new();
    member(&fixture, "a").await;
    member(&fixture, "b").await;
    fixture.simulation.set_load("web", Some(load(LoadSharing::Total, 120))).await.unwrap();
    fixture.advance(300);
    let last = query(CPU, 60, 60);
    assert_eq!(told(&measured(&fixture, &last).await), [(2, 120)]);
    member(&fixture, "c").await;
    fixture.advance(60);
    let grain = measured(&fixture, &last).await.remove(0);
    assert_eq!((grain.count, grain.total, grain.minimum, grain.maximum), (3, 120_000, 40_000, 40_000));
    fixture.simulation.delete(target("a", 1), Shutdown::Skip).await.unwrap();
    fixture.simulation.delete(target("b", 1), Shutdown::Skip).await.unwrap();
    fixture.advance(120);
    let grain = measured(&fixture, &last).await.remove(0);
    assert_eq!((grain.count, grain.total), (1, 100_000), "a processor is full at 100 %");
    let before = measured(&fixture, &query(CPU, 60, 300)).await;
    assert!(told(&before).contains(&(3, 120)), "who went is remembered: {before:?}");
}

#[tokio::test]
async fn some_machines_are_asked_about_by_name_and_share_with_all() {
    let fixture = Fixture::new();
    for uid in ["a", "b", "c"] {
        member(&fixture, uid).await;
    }
    fixture.simulation.set_load("web", Some(load(LoadSharing::Total, 90))).await.unwrap();
    fixture.advance(120);
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    for (among, expected) in [
        (Among::All, vec![(3, 90)]),
        (Among::Named(names(&["a", "c"])), vec![(2, 60)]),
        (Among::Named(names(&["a", "gone"])), vec![(1, 30)]),
        (Among::Named(names(&["gone"])), vec![]),
        (Among::NotNamed(names(&["a", "gone"])), vec![(2, 60)]),
        (Among::NotNamed(names(&["a", "b", "c"])), vec![]),
    ] {
        let mut asked = query(CPU, 60, 60);
        asked.series[0].among = among.clone();
        assert_eq!(told(&measured(&fixture, &asked).await), expected, "{among:?}");
    }
}

#[tokio::test]
async fn grains_are_whole_and_end_with_the_last_minute() {
    let fixture = Fixture::new();
    member(&fixture, "a").await;
    fixture.simulation.set_load("web", Some(load(LoadSharing::Each, 10))).await.unwrap();
    fixture.advance(600);
    fixture.simulation.set_load("web", Some(load(LoadSharing::Each, 50))).await.unwrap();
    fixture.advance(300);
    let grains = measured(&fixture, &query(CPU, 300, 600)).await;
    assert_eq!(told(&grains), [(5, 50), (5, 250)], "five minutes at 10, five at 50");
    assert_eq!(grains[1].start.duration_since(grains[0].start).as_secs(), 300);
    let every_minute = measured(&fixture, &query(CPU, 60, 600)).await;
    assert_eq!(every_minute.len(), 10);
    assert!(every_minute.iter().all(|grain| grain.count == 1));
}

#[tokio::test]
async fn hosts_report_processor_network_and_disk_of_every_machine_with_and_without_load() {
    let fixture = Fixture::new();
    member(&fixture, "a").await;
    fixture.advance(300);
    for (name, value) in [
        (CPU, 11),
        ("Network In Total", 12),
        ("Network Out Total", 13),
        ("Disk Read Bytes", 14),
        ("Disk Write Bytes", 15),
        ("Disk Read Operations/Sec", 16),
        ("Disk Write Operations/Sec", 17),
    ] {
        let asked = query(name, 60, 60);
        assert_eq!(told(&measured(&fixture, &asked).await), [(1, 0)], "{name} without load");
        let driven = Load { metric: name.to_owned(), ..load(LoadSharing::Each, value) };
        fixture.simulation.set_load(name, Some(driven)).await.unwrap();
        fixture.advance(60);
        assert_eq!(told(&measured(&fixture, &asked).await), [(1, value)], "{name} under load");
    }
}

#[tokio::test]
async fn what_nobody_reports_has_no_grains() {
    let fixture = Fixture::new();
    member(&fixture, "a").await;
    fixture.advance(300);
    assert_eq!(told(&measured(&fixture, &query("Network In Total", 60, 60)).await), [(1, 0)], "hosts always report");
    assert_eq!(measured(&fixture, &query("Requests", 60, 300)).await, []);
    let mut guest = query("Requests", 60, 300);
    guest.series[0].namespace = Some("azure.vm.linux.guestmetrics".to_owned());
    let by_guest = Load {
        namespace: guest.series[0].namespace.clone(),
        metric: "Requests".to_owned(),
        ..load(LoadSharing::Each, 7)
    };
    fixture.simulation.set_load("requests", Some(by_guest)).await.unwrap();
    fixture.advance(60);
    assert_eq!(measured(&fixture, &guest).await, [], "there is no agent");
    let mut with_agent = model();
    let agent = Extension { extension_type: "AzureMonitorLinuxAgent".to_owned(), ..extension("agent", &[]) };
    with_agent.extensions = vec![agent];
    for uid in ["b", "c"] {
        fixture.running_as(request_of(uid, with_agent.clone())).await;
    }
    fixture.advance(120);
    guest.series[0].window_seconds = 60;
    assert_eq!(told(&measured(&fixture, &guest).await), [(2, 14)], "those with an agent, and nobody else");
    let other = MetricsQuery { set_uid: "other".to_owned(), ..query(CPU, 60, 300) };
    assert_eq!(measured(&fixture, &other).await, [], "there is no such set");
}

#[tokio::test]
async fn a_course_of_the_region_file_is_one_of_the_time_of_day_and_the_endpoint_goes_before_it() {
    let script = "\nloads:\n- {metric: Percentage CPU, sharing: Each, repeatSeconds: 86400, course: [{afterSeconds: 600, value: 20}, \
                  {afterSeconds: 1200, value: 30}]}\n";
    let fixture = Fixture::with(&format!("{REGION}{script}"));
    let last = query(CPU, 60, 60);
    member(&fixture, "a").await;
    // The virtual clock begins at midnight.
    fixture.clock.advance_to(fixture.at(300));
    assert_eq!(told(&measured(&fixture, &last).await), [(1, 30)], "the course of the day before");
    fixture.clock.advance_to(fixture.at(900));
    assert_eq!(told(&measured(&fixture, &last).await), [(1, 20)]);
    fixture.simulation.set_load("web", Some(load(LoadSharing::Each, 90))).await.unwrap();
    fixture.advance(60);
    assert_eq!(told(&measured(&fixture, &last).await), [(1, 90)]);
    fixture.simulation.set_load("web", None).await.unwrap();
    fixture.clock.advance_to(fixture.at(1_500));
    assert_eq!(told(&measured(&fixture, &last).await), [(1, 30)]);
}

#[tokio::test]
async fn a_load_that_makes_no_sense_is_refused_with_its_field() {
    let fixture = Fixture::new();
    let step = |after_seconds, value| LoadStep { after_seconds, value };
    for (field, wrong) in [
        ("course", Load { course: Vec::new(), ..load(LoadSharing::Each, 1) }),
        ("course", Load { course: vec![step(60, 1), step(60, 2)], ..load(LoadSharing::Each, 1) }),
        ("course.value", load(LoadSharing::Each, -1)),
        ("metric", Load { metric: String::new(), ..load(LoadSharing::Each, 1) }),
        ("repeatSeconds", Load { repeat_seconds: Some(0), ..load(LoadSharing::Each, 1) }),
    ] {
        let refusal = fixture.simulation.set_load("web", Some(wrong)).await.unwrap_err();
        assert_eq!((refusal.code, refusal.field), (ControlCode::InvalidParameter, field));
    }
    let unknown = fixture.simulation.set_load("web", None).await.unwrap_err();
    assert_eq!(unknown.code, ControlCode::NotFound);
    let script = "\nloads: [{metric: CPU, sharing: Each, course: []}]\n";
    let refusal = RegionFile::parse("the test's", &format!("{REGION}{script}")).unwrap_err().to_string();
    assert!(refusal.contains("loads[0].course"), "{refusal}");
}

#[tokio::test]
async fn one_question_is_one_call_however_many_series() {
    let fixture = Fixture::new();
    member(&fixture, "a").await;
    fixture.advance(300);
    let mut many = query(CPU, 60, 300);
    many.series = vec![many.series[0].clone(); 10];
    assert_eq!(fixture.simulation.metrics(&many).await.unwrap().len(), 10);
    let calls = fixture.simulation.calls();
    assert_eq!(calls.get(&Call::Metrics).map(|count| count.accepted), Some(1));
    assert_eq!(calls.get(&Call::Observe).map_or(0, |count| count.failed), 0);
}
