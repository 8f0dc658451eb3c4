//! Who leads next, and how soon.

use anyhow::ensure;
use jiff::Timestamp;
use rustix::process::Signal;
use scaleset_hardware::sim::{Call, Outcome};
use scaleset_tests::local::hardware::effective;
use scaleset_tests::local::until;
use serde_json::json;

use crate::api_writes::released;
use crate::world::{Durations, LIMIT, by_standing, run, seconds};

/// How often an idle leader is asked to end, and how often one is killed.
const TRIES: usize = 10;
/// How often a leader is asked to end in the middle of its work.
const HAND_OVERS: usize = 3;
/// VMs that are being made when it is asked.
const IN_FLIGHT: i32 = 30;
/// From the signal to the first call of the next leader; in the middle of its work from when the passes under way have ended.
const HAND_OVER_SECONDS_MAX: f64 = 1.0;
/// From the signal to the release of the lease, as long as a leader waits for its passes.
const PASSES_SECONDS_MAX: f64 = 10.0;

#[test]
fn a_leader_that_ends_in_good_order_is_followed_within_a_second() {
    run(async |world| {
        let namespace = "graceful";
        world.namespace(namespace).await?;
        let durations = Durations(15, 10, 2);
        let (mut leader, mut standby) =
            by_standing(world.replica(durations).await?, world.replica(durations).await?).await?;
        world.make_set(namespace, 4, json!({})).await?;
        world.settled(namespace, 4).await?;
        let mut took = Vec::new();
        for turn in 0..TRIES {
            let led = world.led().await?;
            let asked = Timestamp::now();
            leader.signal(Signal::TERM)?;
            let (next, called) = world.led_after(led).await?;
            took.push(seconds(asked, called));
            assert_eq!(next, led.epoch + 1, "one change of leadership");
            leader.gone().await?;
            leader.restart().await?;
            (leader, standby) = by_standing(standby, leader).await?;
            let replicas = 5 + i32::try_from(turn)?;
            world.patch_set(namespace, json!({"spec": {"replicas": replicas}})).await?;
            world.settled(namespace, replicas).await?;
        }
        println!("hand-overs took {took:.3?} s");
        assert!(took.iter().all(|seconds| *seconds < HAND_OVER_SECONDS_MAX), "hand-overs took {took:?} s");
        assert!(standby.readiness().await?.starts_with("standby: "), "who waits is ready, and says so");
        assert!((standby.counter("scaleset_leader", &[]).await?).abs() < f64::EPSILON);
        assert!((leader.counter("scaleset_leader", &[]).await? - 1.0).abs() < f64::EPSILON);
        assert!(standby.counter("scaleset_passes_total", &[]).await?.abs() < f64::EPSILON, "it does nothing");
        let journal = world.endpoint.journal(namespace).await?;
        let created = journal.iter().filter(|it| it.call == Call::Create && it.outcome == Outcome::Accepted).count();
        assert_eq!(created, 4 + TRIES, "nothing was made twice");
        world.remove_set(namespace).await
    });
}

/// It is asked to end while passes are under way: they end first, and whatever was not begun the next one does, once.
#[test]
fn a_leader_that_ends_in_the_middle_of_its_work_leaves_the_rest_to_the_next() {
    run(async |world| {
        let namespace = "busy";
        world.namespace(namespace).await?;
        let durations = Durations(15, 10, 2);
        let (mut leader, mut standby) =
            by_standing(world.replica(durations).await?, world.replica(durations).await?).await?;
        world.make_set(namespace, 1, json!({})).await?;
        world.settled(namespace, 1).await?;
        let (mut took, mut busy) = (Vec::new(), 0);
        for turn in 1..=HAND_OVERS {
            let led = world.led().await?;
            let replicas = 1 + IN_FLIGHT * i32::try_from(turn)?;
            world.patch_set(namespace, json!({"spec": {"replicas": replicas}})).await?;
            until("it is at work", LIMIT, async || {
                let called = world.endpoint.journal_after(led.sequence).await?;
                ensure!(called.iter().any(|entry| entry.call == Call::Create), "it has made nothing");
                Ok(())
            })
            .await?;
            let asked = Timestamp::now();
            leader.signal(Signal::TERM)?;
            let (next, called) = world.led_after(led).await?;
            leader.gone().await?;
            let released = released(world, &leader)?;
            assert!(seconds(asked, released) < PASSES_SECONDS_MAX, "passes may take so long and no longer");
            took.push(seconds(released, called));
            let stopped = leader.log_about("in_flight=", usize::MAX);
            world.settled(namespace, replicas).await?;
            let journal = world.endpoint.journal(namespace).await?;
            let made =
                |epoch: u64| effective(&journal, Call::Create).iter().filter(|it| it.epoch == Some(epoch)).count();
            let (before, after) = (made(led.epoch), made(next));
            println!(
                "turn {turn}: {before} made before, {after} after the hand-over; released {:.3} s after it was asked; {stopped}",
                seconds(asked, released)
            );
            assert!(before > 0 && after > 0, "it ended in the middle: {before} before, {after} after");
            busy += stopped.lines().filter(|line| line.contains("instance") && !line.ends_with("in_flight=0")).count();
            assert!(!stopped.contains("cut off"), "what was begun was ended: {stopped}");
            leader.restart().await?;
            (leader, standby) = by_standing(standby, leader).await?;
        }
        println!("hand-overs took {took:.3?} s from the release");
        assert!(busy > 0, "no pass was under way when a leader was asked to end, so nothing is proved");
        assert!(took.iter().all(|seconds| *seconds < HAND_OVER_SECONDS_MAX), "hand-overs took {took:?} s");
        let journal = world.endpoint.journal(namespace).await?;
        let made = i32::try_from(effective(&journal, Call::Create).len())?;
        assert_eq!(made, 1 + IN_FLIGHT * i32::try_from(HAND_OVERS)?, "nothing was made twice");
        drop(standby);
        world.remove_set(namespace).await
    });
}

#[test]
fn a_leader_that_is_killed_is_followed_within_its_lease_and_two_seconds() {
    run(async |world| {
        let namespace = "killed";
        world.namespace(namespace).await?;
        let (lease_seconds, retry_seconds) = (3, 1);
        let durations = Durations(lease_seconds, 2, retry_seconds);
        let (mut leader, mut standby) =
            by_standing(world.replica(durations).await?, world.replica(durations).await?).await?;
        world.make_set(namespace, 2, json!({})).await?;
        world.settled(namespace, 2).await?;
        let mut took = Vec::new();
        for turn in 0..TRIES {
            let led = world.led().await?;
            let killed = Timestamp::now();
            leader.kill().await?;
            let replicas = 3 + i32::try_from(turn)?;
            world.patch_set(namespace, json!({"spec": {"replicas": replicas}})).await?;
            let (next, called) = world.led_after(led).await?;
            took.push(seconds(killed, called));
            assert_eq!(next, led.epoch + 1, "one change of leadership");
            world.settled(namespace, replicas).await?;
            leader.restart().await?;
            (leader, standby) = by_standing(standby, leader).await?;
            let said = standby.readiness().await?;
            let log = || standby.log_tail(30);
            assert!(said.starts_with("standby: "), "who comes back waits, it says {said}; its log:\n{}", log());
        }
        println!("took over {took:.3?} s after the kill, with a lease of {lease_seconds} s");
        #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
        let (soonest, latest) = ((lease_seconds - retry_seconds) as f64 - 0.5, lease_seconds as f64 + 2.0);
        assert!(took.iter().all(|seconds| *seconds <= latest), "took over after {took:?} s");
        assert!(took.iter().all(|seconds| *seconds >= soonest), "{took:?} s: nobody could know that it was dead");
        let journal = world.endpoint.journal(namespace).await?;
        assert_eq!(effective(&journal, Call::Create).len(), 2 + TRIES, "nothing was made twice");
        world.remove_set(namespace).await
    });
}

#[test]
fn a_lease_that_was_deleted_and_made_anew_goes_on_counting() {
    run(async |world| {
        let namespace = "renewed";
        world.namespace(namespace).await?;
        let durations = Durations(3, 2, 1);
        let replica = world.replica(durations).await?;
        world.make_set(namespace, 1, json!({})).await?;
        world.settled(namespace, 1).await?;
        let (_, before) = world.lease().await?;
        let delete = ["--namespace", "scaleset-system", "delete", "lease", "scaleset-controller"];
        world.cluster.kubectl(&delete)?;
        let made_anew = async || -> anyhow::Result<(String, u64)> {
            until("the lease is there again", LIMIT, async || world.lease().await).await
        };
        assert_eq!(made_anew().await?.1, before, "whoever leads knows how far the count is");
        replica.kill().await?;
        world.cluster.kubectl(&delete)?;
        let led = world.led().await?;
        let replica = world.replica(durations).await?;
        let (next, _) = world.led_after(led).await?;
        assert_eq!(next, led.epoch + 1, "the count began anew, the hardware knows better");
        assert_eq!(world.lease().await?.1, next, "and the lease says so");
        world.patch_set(namespace, json!({"spec": {"replicas": 2}})).await?;
        world.settled(namespace, 2).await?;
        world.remove_set(namespace).await?;
        drop(replica);
        Ok(())
    });
}

#[test]
fn a_lease_that_was_deleted_stays_with_its_leader_while_another_stands_by() {
    run(async |world| {
        let durations = Durations(3, 2, 1);
        let led = world.led().await?;
        let leader = world.replica(durations).await?;
        world.led_after(led).await?;
        let held = world.lease().await?;
        let standby = world.replica(durations).await?;
        world.cluster.kubectl(&["--namespace", "scaleset-system", "delete", "lease", "scaleset-controller"])?;
        let made_anew = until("the lease is there again", LIMIT, async || world.lease().await).await?;
        assert_eq!(made_anew, held, "nobody takes it while its holder may still act");
        assert!((leader.counter("scaleset_leader", &[]).await? - 1.0).abs() < f64::EPSILON);
        assert!(standby.counter("scaleset_leader", &[]).await?.abs() < f64::EPSILON);
        Ok(())
    });
}
