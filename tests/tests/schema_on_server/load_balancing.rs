//! Cases of backend pools.

use serde_json::{Value, json};

use crate::case::{Case, LegalChange, When};
use crate::objects::uniform_set;
use crate::profile::of_both;

fn pools(pools: &Value) -> Value {
    json!({"networkProfile": {"networkInterfaces": [
        {"name": "nic0", "primary": true, "subnet": "default", "loadBalancerBackendPools": pools}
    ]}})
}

/// Every rule about them.
pub fn cases() -> Vec<Case> {
    let field = "networkProfile.networkInterfaces[].loadBalancerBackendPools[].drainTimeoutSeconds";
    let message = "InvalidParameter: drainTimeoutSeconds must be 0 to 3600";
    let of_range = |accepted: i32, refused: i32| {
        let draining = |seconds: i32| pools(&json!([{"name": "web-lb", "drainTimeoutSeconds": seconds}]));
        of_both(When::Always, &draining(accepted), &draining(refused), field, message)
    };
    [of_range(0, -1), of_range(3600, 3601)].concat()
}

/// What may change.
pub fn legal_changes() -> Vec<LegalChange> {
    let joined = [
        json!([{"name": "web-lb"}]),
        json!([{"name": "web-lb"}, {"name": "other", "drainTimeoutSeconds": 5}]),
        json!([]),
    ];
    let change = |joined: &Value| json!({"spec": {"virtualMachineProfile": pools(joined)}});
    joined.iter().map(|joined| LegalChange { before: uniform_set(), change: change(joined) }).collect()
}
