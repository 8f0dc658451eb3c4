use super::FailureKind::{GoneAtStart, Passing};
use super::*;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[tokio::test(start_paused = true)]
async fn three_restarts_answered_with_gone_build_the_watcher_anew() {
    let (mut history, now) = (History::default(), Instant::now());
    assert_eq!(history.failed(GoneAtStart, now), Next::Continue);
    assert_eq!(history.failed(GoneAtStart, now), Next::Continue);
    assert_eq!(history.failed(GoneAtStart, now), Next::Rebuild);
    assert_eq!(history.failed(GoneAtStart, now), Next::Continue, "the new one is given its chance");
}

#[tokio::test(start_paused = true)]
async fn gone_counts_only_in_a_row() {
    let (mut history, now) = (History::default(), Instant::now());
    for _ in 0..10 {
        assert_eq!(history.failed(GoneAtStart, now), Next::Continue);
        assert_eq!(history.failed(GoneAtStart, now), Next::Continue);
        assert_eq!(history.failed(Passing, now), Next::Continue);
    }
}

#[tokio::test(start_paused = true)]
async fn failures_add_up_until_something_is_delivered_or_a_while_has_passed() {
    let (mut history, now) = (History::default(), Instant::now());
    for _ in 0..5 {
        history.failed(Passing, now);
    }
    assert_eq!(history.failures, 5);
    history.recovered();
    assert_eq!(history.failures, 0);
    history.failed(Passing, now);
    history.failed(Passing, now + FAILURE_MEMORY + seconds(1));
    assert_eq!(history.failures, 1);
}

#[tokio::test(start_paused = true)]
async fn lists_are_spaced_ever_wider_and_afresh_after_a_quiet_while() {
    let (mut history, mut now) = (History::default(), Instant::now());
    assert_eq!(history.list_allowed_at(now), None, "the first does not wait");
    let mut waits = Vec::new();
    for _ in 0..9 {
        history.list_done(now);
        let at = history.list_allowed_at(now).unwrap();
        waits.push((at - now).as_secs());
        now = at;
        assert_eq!(history.list_allowed_at(now), None);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    now += LIST_SPACING_RESET + seconds(1);
    history.list_done(now);
    assert_eq!(history.list_allowed_at(now), Some(now + seconds(1)));
}
