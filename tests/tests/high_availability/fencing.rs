//! A leader that is paused for longer than its lease, and goes on as if nothing had been.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Context;
use http::Method;
use jiff::Timestamp;
use rustix::process::Signal;
use scaleset_hardware::sim::{Call, JournalEntry, Outcome};
use serde_json::{Value, json};

use crate::api_writes::writes_since;
use crate::world::{Durations, World, by_standing, run, seconds};

const TRIES: usize = 10;
/// So many objects does a controller work on at a time, sets and VMs together.
const PASSES_AT_A_TIME: usize = 40;
/// The transcript comes behind this line of a page.
const MARK: &str = "<!-- transcript -->\n";

/// Wishes for so many VMs, and returns when the leader has begun with them.
async fn scaled_at_work(world: &World, namespace: &str, replicas: i32, since: u64) -> anyhow::Result<()> {
    let confirmed = json!({scaleset_crds::labels::CONFIRM_SCALE_IN: replicas.to_string()});
    world.patch_set(namespace, json!({"metadata": {"annotations": confirmed}, "spec": {"replicas": replicas}})).await?;
    scaleset_tests::local::until("it works", crate::world::LIMIT, async || {
        let called = world.endpoint.journal_after(since).await?;
        anyhow::ensure!(called.iter().any(|entry| entry.call != Call::Control), "it has called nothing");
        Ok(())
    })
    .await
}

#[test]
fn a_leader_that_was_paused_past_its_lease_can_do_nothing_more() {
    let tries = std::env::var("TRIES").ok().map_or(TRIES, |tries| tries.parse().expect("TRIES is a number"));
    run(async |world| {
        let namespace = "fenced";
        world.namespace(namespace).await?;
        let durations = Durations(3, 2, 1);
        let (mut leader, mut standby) =
            by_standing(world.replica(durations).await?, world.replica(durations).await?).await?;
        world.make_set(namespace, 10, json!({})).await?;
        world.settled(namespace, 10).await?;
        let mut transcript = String::new();
        let (mut accepted_in_all, mut refused_in_all, mut written_late) = (0, 0, 0);
        let looks_before = looks_refused(world).await?;
        for number in 1..=tries {
            let led = world.led().await?;
            // In the middle of its work: machines come and go, and each call is asked to come back in a while. So whoever is
            // paused goes on with calls that are due, and no try is one in which there was nothing to refuse.
            let _: Value = world.endpoint.send(Method::PUT, "/faults/come-back", &come_back(namespace)).await?;
            let replicas = if number % 2 == 0 { 10 } else { 30 };
            scaled_at_work(world, namespace, replicas, led.sequence).await?;
            assert!(writes_since(world, &leader, Timestamp::MIN)? > 0, "its writes are not found");
            let paused = Timestamp::now();
            leader.signal(Signal::STOP)?;
            let (next, called) = world.led_after(led).await?;
            let resumed = Timestamp::now();
            leader.signal(Signal::CONT)?;
            leader.gone().await?;
            let ended = Timestamp::now();
            let _: Value = world.endpoint.send(Method::DELETE, "/faults/come-back", &Value::Null).await?;
            world.settled(namespace, replicas).await?;
            let (accepted, refused) = of_old_leaders(&world.journal().await?);
            accepted_in_all += accepted;
            refused_in_all = refused;
            let late = writes_since(world, &leader, resumed)?;
            // The gate is asked right before a write is sent. Each pass sends one at a time, and the pause can fall in between.
            assert!(late <= PASSES_AT_A_TIME, "after its lease it has written {late} times to the API:\n{transcript}");
            written_late += late;
            writeln!(
                transcript,
                "try {number}: epoch {} paused at work, epoch {next} led after {:.2} s; resumed, it ended after \
                 {:.0} ms; calls of old leaders so far: {accepted} accepted, {refused} refused",
                led.epoch,
                seconds(paused, called),
                seconds(resumed, ended) * 1_000.0,
            )?;
            leader.restart().await?;
            (leader, standby) = by_standing(standby, leader).await?;
        }
        let looks = looks_refused(world).await? - looks_before;
        writeln!(
            transcript,
            "{tries} tries, {accepted_in_all} calls accepted under an old epoch; refused {refused_in_all} that would have changed \
             something and {looks} that only look; the API has received {written_late} writes of old leaders",
        )?;
        println!("{transcript}");
        if let Some(path) = std::env::var_os("TRANSCRIPT") {
            let page = std::fs::read_to_string(&path)?;
            let (page, _) = page.split_once(MARK).context("the page has no mark for the transcript")?;
            std::fs::write(&path, format!("{page}{MARK}\n```text\n{transcript}```\n"))?;
        }
        assert_eq!(accepted_in_all, 0, "{transcript}");
        assert!(written_late <= 2 * tries, "{written_late} are more than a pause catches now and then:\n{transcript}");
        assert!(refused_in_all + looks > 0, "no old leader has tried anything, so nothing is proved:\n{transcript}");
        let machines = world.endpoint.machines(namespace).await?.len();
        assert_eq!(machines, if tries.is_multiple_of(2) { 10 } else { 30 });
        drop(standby);
        world.remove_set(namespace).await
    });
}

/// How often the hardware has refused to be looked at. These calls are in no journal, and a pass begins with one: what an old
/// leader tries ends there. Nothing else in this test has them fail.
async fn looks_refused(world: &World) -> anyhow::Result<usize> {
    let calls: BTreeMap<Call, Value> = world.endpoint.send(Method::GET, "/calls", &Value::Null).await?;
    let looks = [Call::Observe, Call::ObserveAll, Call::ObserveReservationGroup, Call::Catalog];
    let failed = looks.iter().filter_map(|call| calls.get(call)?["failed"].as_u64());
    Ok(usize::try_from(failed.sum::<u64>())?)
}

/// Calls that make or take away a machine are refused as too many, for half a second each.
fn come_back(namespace: &str) -> Value {
    let calls = [Call::Create, Call::Delete];
    json!({
        "selector": {"namespace": namespace},
        "effect": {"type": "throttleCalls", "calls": calls, "retryAfterSeconds": 0.5},
    })
}

/// Calls that were made under an epoch when a higher one had been seen: how many were accepted, how many refused.
fn of_old_leaders(journal: &[JournalEntry]) -> (usize, usize) {
    let (mut highest, mut accepted, mut refused) = (0, 0, 0);
    for entry in journal.iter().filter(|entry| entry.call != Call::Control) {
        let epoch = entry.epoch.unwrap_or_default();
        if epoch >= highest {
            highest = epoch;
            continue;
        }
        match &entry.outcome {
            Outcome::Refused { code, message: _ } if code == "StaleEpoch" => refused += 1,
            Outcome::Accepted | Outcome::Unchanged | Outcome::AnswerLost | Outcome::Refused { .. } => accepted += 1,
        }
    }
    (accepted, refused)
}
