//! The whole product on this machine, for tests and benchmarks: a real control plane, the controller as a child process
//! under its own identity or as a release of the chart on a node, and the endpoint through which a test looks at the simulated hardware and changes it.
//!
//! Nothing here knows what a test expects. Waiting is asking again until a deadline, and what was seen last is part of the
//! failure.

pub mod audit;
pub mod binary;
pub mod cluster;
pub mod controller;
pub mod external_metrics;
pub mod hardware;
pub mod hardware_process;
pub mod object_health;
pub mod plugin;
pub mod process;
pub mod product;
pub mod readiness;
pub mod release;
pub mod requests;

use std::time::{Duration, Instant};

use anyhow::bail;

/// Between two questions of [`until`].
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Asks again until the answer is no error, and answers it. After `limit` the last error says what was missing.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if started.elapsed() > limit => {
                bail!("{what}: not within {} s; at last: {error:#}", limit.as_secs())
            }
            Err(_) => tokio::time::sleep(ASK_EVERY).await,
        }
    }
}
