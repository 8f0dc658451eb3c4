//! Cases of automatic OS image upgrade.

use serde_json::{Value, json};

use crate::case::{Case, When, accepting};
use crate::objects::{flexible_set, merged, uniform_set};

/// Every rule about it.
pub fn cases() -> Vec<Case> {
    [health_source(), version(), surge()].concat()
}

fn policy(policy: &Value) -> Value {
    json!({"spec": {"upgradePolicy": {"automaticOSUpgradePolicy": policy}}})
}

fn enabled() -> Value {
    policy(&json!({"enableAutomaticOSUpgrade": true}))
}

fn profile(part: &Value) -> Value {
    json!({"spec": {"virtualMachineProfile": part}})
}

fn extension() -> Value {
    profile(&json!({"extensions": [{
        "name": "health", "publisher": "Microsoft.ManagedServices", "type": "ApplicationHealthLinux",
        "typeHandlerVersion": "2.0", "settings": {"protocol": "http", "requestPath": "/healthz"},
    }]}))
}

fn probe() -> Value {
    profile(&json!({"networkProfile": {"healthProbe": {"loadBalancer": "web-lb", "protocol": "Tcp", "port": 8080}}}))
}

fn image(version: &str) -> Value {
    profile(&json!({"storageProfile": {"imageReference": {"version": version}}}))
}

fn health_source() -> Vec<Case> {
    let message = "BadRequest: automatic OS upgrade is not supported for this set because a health probe or health \
                   extension was not specified; add an application-health extension, or a healthProbe (Uniform)";
    let with = [merged(&enabled(), &extension()), merged(&enabled(), &probe())];
    let off = policy(&json!({"enableAutomaticOSUpgrade": false, "disableAutomaticRollback": true}));
    let accepted = with.into_iter().chain([off]);
    let path = "spec.upgradePolicy.automaticOSUpgradePolicy.enableAutomaticOSUpgrade";
    accepted
        .map(|accepted| accepting(uniform_set(), When::Always, accepted).refusing(enabled(), path, message))
        .collect()
}

fn version() -> Vec<Case> {
    let message = "BadRequest: automatic OS upgrade is not supported for this set because its image version is not \
                   latest";
    let path = "spec.upgradePolicy.automaticOSUpgradePolicy.enableAutomaticOSUpgrade";
    let well = merged(&enabled(), &extension());
    let exact = merged(&well, &image("22.04.1"));
    let off = policy(&json!({"enableAutomaticOSUpgrade": false}));
    let accepted = [well.clone(), merged(&well, &image("latest")), merged(&exact, &off)];
    let case = |accepted| accepting(uniform_set(), When::Always, accepted).refusing(exact.clone(), path, message);
    accepted.into_iter().map(case).collect()
}

fn surge() -> Vec<Case> {
    let message = "BadRequest: automatic OS upgrade with maxSurge is not supported where orchestrationMode is Flexible; \
                   set useRollingUpgradePolicy to false or maxSurge to 0";
    let with = |own: bool, surge: Value| {
        let policy = policy(&json!({"enableAutomaticOSUpgrade": true, "useRollingUpgradePolicy": own}));
        let surge = json!({"spec": {"upgradePolicy": {"rollingUpgradePolicy": {"maxSurge": surge}}}});
        merged(&merged(&policy, &surge), &extension())
    };
    let path = "spec.upgradePolicy.automaticOSUpgradePolicy.useRollingUpgradePolicy";
    let cases = [
        (with(false, json!(2)), with(true, json!(2))),
        (with(true, json!(0)), with(true, json!("1%"))),
        (with(true, json!("0%")), with(true, json!("100%"))),
    ];
    let case = |(accepted, refused)| accepting(flexible_set(), When::Always, accepted).refusing(refused, path, message);
    cases.into_iter().map(case).collect()
}
