//! Two that stand by, of which one follows.

use anyhow::{Context, ensure};
use http::StatusCode;
use scaleset_tests::local::controller::LocalController;
use scaleset_tests::local::readiness::readiness;
use scaleset_tests::local::until;
use serde_json::json;

use crate::world::{Durations, LIMIT, run};

/// Which of them leads, once exactly one does and the others say that it is the leader.
async fn leader(replicas: &[LocalController]) -> anyhow::Result<usize> {
    until("one leads and the others say who", LIMIT, async || {
        let mut answers = Vec::new();
        for replica in replicas {
            let (status, text) = readiness(replica.health()).await?;
            ensure!(status == StatusCode::OK, "one says {status} {text}");
            answers.push(text);
        }
        let leads = |answer: &String| answer.starts_with("ok");
        ensure!(answers.iter().filter(|answer| leads(answer)).count() == 1, "they say {answers:?}");
        let led: Vec<&String> = answers.iter().filter(|answer| !leads(answer)).collect();
        ensure!(led.windows(2).all(|pair| pair[0] == pair[1]), "they follow different ones: {answers:?}");
        answers.iter().position(leads).context("there is one")
    })
    .await
}

#[test]
fn of_two_that_stand_by_one_follows_and_the_other_stands_by_for_it() {
    run(async |world| {
        let namespace = "three";
        world.namespace(namespace).await?;
        let durations = Durations(3, 2, 1);
        let mut replicas = Vec::new();
        for _ in 0..3 {
            replicas.push(world.replica(durations).await?);
        }
        world.make_set(namespace, 2, json!({})).await?;
        world.settled(namespace, 2).await?;
        for count in 3..=4 {
            let first = leader(&replicas).await?;
            let led = world.led().await?;
            let (holder, transitions) = world.lease().await?;
            replicas.remove(first).kill().await?;
            world.patch_set(namespace, json!({"spec": {"replicas": count}})).await?;
            let (next, _) = world.led_after(led).await?;
            assert_eq!(next, led.epoch + 1, "one of the others has taken it, once");
            leader(&replicas).await?;
            let after = world.lease().await?;
            assert_eq!(after.1, transitions + 1, "there was one change of leadership");
            assert_ne!(after.0, holder);
            world.settled(namespace, count).await?;
        }
        assert_eq!(replicas.len(), 1, "the last one leads");
        world.remove_set(namespace).await
    });
}
