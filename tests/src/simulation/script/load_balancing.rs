//! Load balancers as stories tell them.

use scaleset_hardware::sim::RequestCounts;
use serde_json::{Value, json};

/// What has become of the requests of a load balancer.
pub(super) fn told(name: &str, counts: Option<RequestCounts>) -> String {
    let Some(counts) = counts else { return format!("no requests come through {name}") };
    let RequestCounts { sent, answered, failed, hit_down, cut, unrouted, under_way } = counts;
    format!(
        "{sent} requests came through {name}: {answered} answered well, {failed} badly, {under_way} under way; \
         {} lost ({hit_down} hit a VM that was down, {cut} were cut off), {unrouted} found nobody",
        counts.lost()
    )
}

/// The pools of a set, as its status tells them.
pub(super) fn pools(status: &Value) -> String {
    let pools = status["loadBalancerPools"].as_array().into_iter().flatten();
    let lines = pools.map(|pool| {
        let (name, healthy) = (pool["name"].as_str().unwrap_or_default(), &pool["healthy"]);
        format!("{name}: {healthy} healthy, {} draining, {} in all", pool["draining"], pool["total"])
    });
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() { "in no pool".to_owned() } else { lines.join("\n") }
}

/// Interfaces of which the one joins the pool `name:seconds`, with so many seconds to drain, or none.
pub(super) fn interfaces(pool: &str) -> Value {
    let pools = match pool.split_once(':') {
        Some((name, seconds)) => {
            let seconds: i32 = seconds.parse().expect("seconds are a number");
            json!([{"name": name, "drainTimeoutSeconds": seconds}])
        }
        None => json!([]),
    };
    json!({"networkProfile": {"networkInterfaces": [{
        "name": "nic0", "primary": true, "subnet": "default", "publicIPAddress": false, "loadBalancerBackendPools": pools,
    }]}})
}
