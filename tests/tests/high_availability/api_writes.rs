//! What a replica has written to the API, as the API server's audit log tells it. Each replica is in a group of its own there,
//! which has the name of its kubeconfig.

use std::fs;

use anyhow::Context;
use jiff::Timestamp;
use scaleset_tests::local::controller::LocalController;
use serde_json::Value;

use crate::world::World;

/// How many writes of a replica the API server has received from `since` on, whether it has taken or refused them. What was
/// received and is not answered yet is not among them.
pub fn writes_since(world: &World, replica: &LocalController, since: Timestamp) -> anyhow::Result<usize> {
    Ok(writes(world, replica)?.iter().filter(|write| write.received >= since).count())
}

/// When a replica that has ended let its lease go: that is the last it wrote about it.
pub fn released(world: &World, replica: &LocalController) -> anyhow::Result<Timestamp> {
    let of_lease = |write: &&Write| write.resource == "leases";
    let last = writes(world, replica)?.iter().rfind(of_lease).map(|write| write.received);
    last.context("it has never written its lease")
}

struct Write {
    received: Timestamp,
    resource: String,
}

/// All of a replica, the earliest first.
fn writes(world: &World, replica: &LocalController) -> anyhow::Result<Vec<Write>> {
    let group =
        replica.kubeconfig().file_stem().and_then(|stem| stem.to_str()).context("its kubeconfig has no name")?;
    let log = fs::read_to_string(&world.audit_log)?;
    // The last line may be half written.
    let (whole, _) = log.rsplit_once('\n').unwrap_or_default();
    let mut writes = Vec::new();
    for line in whole.lines() {
        let event: Value = serde_json::from_str(line)?;
        let received = event["requestReceivedTimestamp"].as_str().context("a request without a time")?;
        let received: Timestamp = received.parse()?;
        let is_write = !matches!(event["verb"].as_str(), Some("get" | "list" | "watch"));
        let is_its_own = event["user"]["groups"].as_array().is_some_and(|groups| groups.iter().any(|it| it == group));
        if is_write && is_its_own {
            writes.push(Write {
                received,
                resource: event["objectRef"]["resource"].as_str().unwrap_or_default().to_owned(),
            });
        }
    }
    Ok(writes)
}
