//! Cases of the health sources: the application-health extension of both kinds that have a profile, and the load
//! balancer's probe, which only Uniform sets have; and of the rolling upgrades that rely on them.

use serde_json::{Value, json};

use crate::case::{Case, When, accepting};
use crate::objects::{flexible_set, merged, uniform_set};
use crate::profile::of_both;

/// Every rule about where health comes from.
pub fn cases() -> Vec<Case> {
    [settings(), of_the_profile(), probe(), modes(), rolling()].concat()
}

fn health(settings: &Value) -> Value {
    of_type("ApplicationHealthLinux", "2.0", settings)
}

fn of_type(extension_type: &str, version: &str, settings: &Value) -> Value {
    json!({"extensions": [extension("health", extension_type, version, settings)]})
}

fn extension(name: &str, extension_type: &str, version: &str, settings: &Value) -> Value {
    json!({
        "name": name, "publisher": "Microsoft.ManagedServices", "type": extension_type,
        "typeHandlerVersion": version, "settings": settings,
    })
}

fn http() -> Value {
    json!({"protocol": "http", "requestPath": "/healthz"})
}

fn settings() -> Vec<Case> {
    let with = |more: Value| health(&merged(&http(), &more));
    let refuse = |accepted: &Value, refused: &Value, field: &str, message: &str| {
        of_both(When::Always, accepted, refused, &format!("extensions[].{field}"), message)
    };
    let ranges =
        [("port", 1, 65_535), ("intervalInSeconds", 5, 60), ("numberOfProbes", 1, 24), ("gracePeriod", 5, 14_400)];
    let ranges = ranges.iter().flat_map(|(name, low, high)| {
        let message = format!("InvalidParameter: {name} must be {low} to {high}");
        [(low, low - 1), (high, high + 1)].into_iter().flat_map(move |(inside, outside)| {
            refuse(&with(json!({*name: inside})), &with(json!({*name: outside})), &format!("settings.{name}"), &message)
        })
    });
    [
        refuse(
            &with(json!({})),
            &health(&json!({})),
            "settings.protocol",
            "InvalidParameter: protocol must be set for the application-health extension: http, https or tcp",
        ),
        refuse(
            &with(json!({})),
            &of_type("CustomScript", "2.0", &http()),
            "settings",
            "InvalidParameter: protocol, port, requestPath, intervalInSeconds, numberOfProbes and gracePeriod must only \
             be set for the types ApplicationHealthLinux and ApplicationHealthWindows; put settings of other extensions \
             under values",
        ),
        refuse(
            &health(&json!({"protocol": "tcp", "port": 22})),
            &health(&json!({"protocol": "tcp"})),
            "settings.port",
            "InvalidParameter: port must be set where protocol is tcp",
        ),
        refuse(
            &health(&json!({"protocol": "https", "requestPath": "/"})),
            &health(&json!({"protocol": "https"})),
            "settings.requestPath",
            "InvalidParameter: requestPath must be set where protocol is http or https",
        ),
        refuse(
            &health(&json!({"protocol": "tcp", "port": 22})),
            &health(&json!({"protocol": "tcp", "port": 22, "requestPath": "/"})),
            "settings.requestPath",
            "InvalidParameter: requestPath must not be set where protocol is tcp",
        ),
        refuse(
            &of_type("ApplicationHealthLinux", "1.0", &http()),
            &of_type("ApplicationHealthLinux", "1.0", &merged(&http(), &json!({"gracePeriod": 60}))),
            "settings.gracePeriod",
            "InvalidParameter: gracePeriod must only be set where typeHandlerVersion is 2.0: version 1.0 has no \
             initializing state",
        ),
        refuse(
            &of_type("ApplicationHealthLinux", "1.0", &http()),
            &of_type("ApplicationHealthLinux", "3.0", &http()),
            "typeHandlerVersion",
            "InvalidParameter: typeHandlerVersion must be 1.0 (binary health states) or 2.0 (rich health states) for \
             the application-health extension",
        ),
        ranges.collect(),
    ]
    .concat()
}

fn of_the_profile() -> Vec<Case> {
    let two = json!({"extensions": [
        extension("first", "ApplicationHealthLinux", "2.0", &http()),
        extension("second", "ApplicationHealthLinux", "2.0", &http()),
    ]});
    let windows = of_type("ApplicationHealthWindows", "2.0", &http());
    [
        of_both(
            When::Always,
            &health(&http()),
            &two,
            "extensions",
            "InvalidParameter: at most one application-health extension may be set",
        ),
        of_both(
            When::Always,
            &health(&http()),
            &windows,
            "extensions",
            "InvalidParameter: the application-health extension must be ApplicationHealthLinux where osType is Linux, \
             and ApplicationHealthWindows where it is Windows",
        ),
    ]
    .concat()
}

fn of_uniform(profile: &Value) -> Value {
    json!({"spec": {"virtualMachineProfile": profile}})
}

fn with_probe(change: &Value) -> Value {
    let probe = json!({"loadBalancer": "web-lb", "protocol": "Http", "port": 80, "requestPath": "/healthz"});
    json!({"networkProfile": {"healthProbe": merged(&probe, change)}})
}

fn probe() -> Vec<Case> {
    let path = "spec.virtualMachineProfile.networkProfile.healthProbe";
    let refuse = |accepted: Value, refused: Value, field: &str, message: &str| {
        accepting(uniform_set(), When::Always, of_uniform(&with_probe(&accepted))).refusing(
            of_uniform(&with_probe(&refused)),
            &format!("{path}{field}"),
            message,
        )
    };
    let mut cases = vec![
        refuse(
            json!({"requestPath": "/"}),
            json!({"requestPath": null}),
            ".requestPath",
            "InvalidParameter: requestPath must be set where protocol is Http or Https",
        ),
        refuse(
            json!({"protocol": "Tcp", "requestPath": null}),
            json!({"protocol": "Tcp"}),
            ".requestPath",
            "InvalidParameter: requestPath must not be set where protocol is Tcp",
        ),
        refuse(
            json!({"protocol": "Https", "port": 25}),
            json!({"port": 25}),
            ".port",
            "InvalidParameter: port must not be 19, 21, 25, 70, 110, 119, 143, 220 or 993 where protocol is Http",
        ),
        accepting(uniform_set(), When::Always, of_uniform(&with_probe(&json!({})))).refusing(
            of_uniform(&merged(&with_probe(&json!({})), &health(&http()))),
            path,
            "InvalidParameter: either healthProbe or an application-health extension may be set, not both; remove one \
             of them",
        ),
    ];
    for (name, low, high) in [("port", 1, 65_535), ("intervalSeconds", 5, 300), ("numberOfProbes", 1, 24)] {
        let message = format!("InvalidParameter: {name} must be {low} to {high}");
        for (inside, outside) in [(low, low - 1), (high, high + 1)] {
            cases.push(refuse(json!({name: inside}), json!({name: outside}), &format!(".{name}"), &message));
        }
    }
    cases
}

fn modes() -> Vec<Case> {
    let message = "InvalidParameter: healthProbe must only be set where orchestrationMode is Uniform; use the \
                   application-health extension";
    vec![accepting(flexible_set(), When::Always, of_uniform(&health(&http()))).refusing(
        of_uniform(&with_probe(&json!({}))),
        "spec.virtualMachineProfile.networkProfile.healthProbe",
        message,
    )]
}

fn rolling() -> Vec<Case> {
    let policy = |policy: Value| json!({"spec": {"upgradePolicy": {"rollingUpgradePolicy": policy}}});
    let message = "BadRequest: rolling upgrade mode is not supported for this set because no health probe or health \
                   extension was provided; add an application-health extension, or a healthProbe (Uniform)";
    let mode = json!({"spec": {"upgradePolicy": {"mode": "Rolling"}}});
    let mut cases: Vec<Case> = [health(&http()), with_probe(&json!({}))]
        .iter()
        .map(|source| {
            accepting(uniform_set(), When::Always, merged(&mode, &of_uniform(source))).refusing(
                mode.clone(),
                "spec.upgradePolicy.mode",
                message,
            )
        })
        .collect();
    let both = |batch: i32, unhealthy: i32| {
        policy(json!({"maxBatchInstancePercent": batch, "maxUnhealthyInstancePercent": unhealthy}))
    };
    cases.push(accepting(uniform_set(), When::Always, both(30, 30)).refusing(
        both(31, 30),
        "spec.upgradePolicy.rollingUpgradePolicy.maxBatchInstancePercent",
        "InvalidParameter: maxBatchInstancePercent must not exceed maxUnhealthyInstancePercent where both are set",
    ));
    for (inside, outside) in [
        (json!(0), json!(-1)),
        (json!(1000), json!(1001)),
        (json!("0%"), json!("-1%")),
        (json!("100%"), json!("101%")),
        (json!("33%"), json!("33")),
        (json!("5%"), json!("05%")),
    ] {
        cases.push(accepting(uniform_set(), When::Always, policy(json!({"maxSurge": inside}))).refusing(
            policy(json!({"maxSurge": outside})),
            "spec.upgradePolicy.rollingUpgradePolicy.maxSurge",
            "InvalidParameter: maxSurge must be 0 to 1000, or 0% to 100%",
        ));
    }
    for (name, low, high) in [
        ("maxBatchInstancePercent", 5, 100),
        ("maxUnhealthyInstancePercent", 5, 100),
        ("maxUnhealthyUpgradedInstancePercent", 0, 100),
        ("pauseTimeBetweenBatchesSeconds", 0, 86_400),
        ("healthTimeoutSeconds", 10, 86_400),
    ] {
        for (inside, outside) in [(low, low - 1), (high, high + 1)] {
            cases.push(accepting(uniform_set(), When::Always, policy(json!({name: inside}))).refusing(
                policy(json!({name: outside})),
                &format!("spec.upgradePolicy.rollingUpgradePolicy.{name}"),
                &format!("InvalidParameter: {name} must be {low} to {high}"),
            ));
        }
    }
    cases
}
