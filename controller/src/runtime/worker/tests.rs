use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use tokio::time::{Instant, sleep};

use super::*;
use crate::runtime::queue::When;

type Runs = Arc<Mutex<Vec<(String, u128)>>>;

struct Bench {
    queue: Arc<WorkQueue<String>>,
    runs: Runs,
    stop: watch::Sender<bool>,
    worker: tokio::task::JoinHandle<()>,
}

/// A worker with two places whose passes are noted with the millisecond of their start.
fn bench(pass: impl Fn(String) -> BoxFuture<'static, Result<Wake, PassError>> + Send + Sync + 'static) -> Bench {
    let queue = Arc::new(WorkQueue::new(Duration::ZERO));
    let (stop, stopping) = watch::channel(false);
    let (runs, begun) = (Runs::default(), Instant::now());
    let noted = Arc::clone(&runs);
    let worker = Worker {
        controller: Controller::ScaleSet,
        queue: Arc::clone(&queue),
        concurrency: 2,
        reconcile: Arc::new(move |key: String| {
            noted.lock().unwrap().push((key.clone(), begun.elapsed().as_millis()));
            pass(key)
        }),
        metrics: Arc::default(),
    };
    let worker = tokio::spawn(worker.run(stopping, Duration::from_secs(10)));
    Bench { queue, runs, stop, worker }
}

impl Bench {
    fn add(&self, key: &str) {
        self.queue.add(key.to_owned(), When::Now);
    }

    fn starts(&self, key: &str) -> Vec<u128> {
        self.runs.lock().unwrap().iter().filter(|(run, _)| run == key).map(|(_, at)| *at).collect()
    }
}

fn unavailable() -> PassError {
    PassError::Cluster(ClusterError::Unavailable { message: "down".to_owned() })
}

fn within(value: u128, middle: u128) -> bool {
    (middle * 8 / 10..=middle * 12 / 10 + 1).contains(&value)
}

/// Each failure of a set is a new status of that set.
#[tokio::test(start_paused = true)]
async fn a_pass_that_changes_its_object_and_fails_is_not_called_back_by_that() {
    let own_queue: Arc<OnceLock<Arc<WorkQueue<String>>>> = Arc::default();
    let changed = Arc::clone(&own_queue);
    let bench = bench(move |key| {
        if let Some(queue) = changed.get() {
            queue.add(key, When::NowUnlessFailing);
        }
        Box::pin(async { Err(unavailable()) })
    });
    own_queue.set(Arc::clone(&bench.queue)).unwrap();
    bench.add("set");
    for _ in 0..60 {
        sleep(Duration::from_secs(1)).await;
        bench.queue.add("set".to_owned(), When::NowUnlessFailing);
    }
    let starts = bench.starts("set");
    assert!((5..=9).contains(&starts.len()), "in a minute: {starts:?}");
}

#[tokio::test(start_paused = true)]
async fn what_fails_comes_back_with_growing_waits_of_its_own() {
    let bench =
        bench(|key| Box::pin(async move { if key == "bad" { Err(unavailable()) } else { Ok(Wake::OnChange) } }));
    bench.add("bad");
    bench.add("good");
    sleep(Duration::from_secs(20)).await;
    let starts = bench.starts("bad");
    let waits: Vec<u128> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.len() >= 4, "{waits:?}");
    for (wait, middle) in waits.iter().zip([500, 1_000, 2_000, 4_000, 8_000]) {
        assert!(within(*wait, middle), "{waits:?}");
    }
    assert_eq!(bench.starts("good"), [0], "another's failure is not its own");
}

#[tokio::test(start_paused = true)]
async fn a_success_forgets_the_failures() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let bench = bench(move |_| {
        let attempt = attempts.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move { if attempt == 3 { Ok(Wake::OnChange) } else { Err(unavailable()) } })
    });
    bench.add("a");
    sleep(Duration::from_mins(1)).await;
    assert_eq!(bench.starts("a").len(), 4, "three failures, one success, then nothing");
    bench.add("a");
    sleep(Duration::from_secs(1)).await;
    let starts = bench.starts("a");
    assert!(within(starts[5] - starts[4], 500), "{starts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wake_comes_when_asked_for_and_never_hot() {
    let bench = bench(|key| {
        let wait = if key == "soon" { Duration::ZERO } else { Duration::from_secs(3) };
        Box::pin(async move { Ok(Wake::After(wait)) })
    });
    bench.add("later");
    bench.add("soon");
    sleep(Duration::from_millis(9_500)).await;
    assert_eq!(bench.starts("later"), [0, 3_000, 6_000, 9_000]);
    assert!(bench.starts("soon").len() <= 951, "at most once in ten milliseconds");
}

#[tokio::test(start_paused = true)]
async fn a_panic_counts_as_a_failure_and_takes_nothing_down() {
    let bench = bench(|key| {
        Box::pin(async move {
            assert!(key != "bad", "on purpose");
            Ok(Wake::OnChange)
        })
    });
    bench.add("bad");
    sleep(Duration::from_secs(2)).await;
    bench.add("good");
    sleep(Duration::from_secs(2)).await;
    let starts = bench.starts("bad");
    assert!(starts.len() >= 3 && within(starts[1], 500), "{starts:?}");
    assert_eq!(bench.starts("good"), [2_000]);
    assert!(!bench.worker.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_never_ends_gives_its_place_back() {
    let bench = bench(|_| Box::pin(std::future::pending()));
    bench.add("a");
    bench.add("b");
    sleep(Duration::from_millis(1)).await;
    bench.add("c");
    sleep(PASS_MAX.saturating_sub(Duration::from_secs(1))).await;
    assert!(bench.starts("c").is_empty(), "two at a time");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.starts("c").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn hardware_that_asks_to_wait_is_left_alone_for_so_long() {
    let bench = bench(|_| {
        let retry_after = Duration::from_secs(17);
        Box::pin(async move { Err(PassError::Hardware(HardwareError::Throttled { retry_after })) })
    });
    bench.add("a");
    sleep(Duration::from_secs(20)).await;
    assert_eq!(bench.starts("a"), [0, 17_000]);
}

#[tokio::test(start_paused = true)]
async fn asked_to_stop_it_finishes_what_it_has_begun_and_begins_nothing() {
    let bench = bench(|_| {
        Box::pin(async {
            sleep(Duration::from_secs(3)).await;
            Ok(Wake::OnChange)
        })
    });
    bench.add("a");
    sleep(Duration::from_millis(1)).await;
    bench.stop.send(true).unwrap();
    bench.add("b");
    let begun = Instant::now();
    bench.worker.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 2, "the pass in flight ended");
    assert_eq!(bench.runs.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn asked_to_stop_it_does_not_wait_for_ever() {
    let bench = bench(|_| Box::pin(std::future::pending()));
    bench.add("a");
    sleep(Duration::from_millis(1)).await;
    bench.stop.send(true).unwrap();
    let begun = Instant::now();
    bench.worker.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 10);
}
