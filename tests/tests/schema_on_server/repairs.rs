//! Cases of automatic repairs, and of the operation that suspends and resumes them.

use serde_json::{Value, json};

use crate::case::{Case, LegalChange, When, accepting};
use crate::objects::{merged, operation, uniform_set};

/// Every rule about them.
pub fn cases() -> Vec<Case> {
    [health_source(), ranges(), action(), service()].concat()
}

/// The action changes while repairs are off.
pub fn legal_changes() -> Vec<LegalChange> {
    let change = policy(&json!({"enabled": true, "repairAction": "Restart"}));
    let off = merged(&healthy(), &policy(&json!({"enabled": false, "repairAction": "Replace"})));
    let absent = healthy();
    let on = merged(&healthy(), &policy(&json!({"enabled": true, "repairAction": "Replace"})));
    vec![
        LegalChange { before: off, change: change.clone() },
        LegalChange { before: absent, change },
        // None means Replace.
        LegalChange { before: on.clone(), change: policy(&json!({"repairAction": null})) },
        LegalChange { before: on, change: json!({"spec": {"automaticRepairsPolicy": null}}) },
    ]
}

fn policy(policy: &Value) -> Value {
    json!({"spec": {"automaticRepairsPolicy": policy}})
}

fn extension() -> Value {
    json!({"spec": {"virtualMachineProfile": {"extensions": [{
        "name": "health", "publisher": "Microsoft.ManagedServices", "type": "ApplicationHealthLinux",
        "typeHandlerVersion": "2.0", "settings": {"protocol": "http", "requestPath": "/healthz"},
    }]}}})
}

fn probe() -> Value {
    json!({"spec": {"virtualMachineProfile": {"networkProfile": {
        "healthProbe": {"loadBalancer": "web-lb", "protocol": "Tcp", "port": 8080},
    }}}})
}

/// A set that says who is unhealthy.
fn healthy() -> Value {
    merged(&uniform_set(), &extension())
}

fn health_source() -> Vec<Case> {
    let message = "BadRequest: automatic repairs are not supported for this set because a health probe or health extension \
                   was not provided; add an application-health extension, or a healthProbe (Uniform)";
    let enabled = policy(&json!({"enabled": true}));
    let accepted = [merged(&enabled, &extension()), merged(&enabled, &probe()), policy(&json!({"enabled": false}))];
    let field = "spec.automaticRepairsPolicy.enabled";
    let case = |accepted| accepting(uniform_set(), When::Always, accepted).refusing(enabled.clone(), field, message);
    accepted.into_iter().map(case).collect()
}

fn ranges() -> Vec<Case> {
    let bounds = [("gracePeriodSeconds", 600, 5400), ("maxConsecutiveFailedRepairs", 1, 10)];
    let cases = bounds.into_iter().flat_map(|(field, low, high)| {
        let with = move |value: i32| policy(&json!({field: value}));
        [(low, low - 1), (high, high + 1)].map(move |(accepted, refused)| {
            accepting(uniform_set(), When::Always, with(accepted)).refusing(
                with(refused),
                &format!("spec.automaticRepairsPolicy.{field}"),
                &format!("InvalidParameter: {field} must be {low} to {high}"),
            )
        })
    });
    cases.collect()
}

fn action() -> Vec<Case> {
    let message = "PropertyChangeNotAllowed: repairAction must not change while automatic repairs are enabled; set enabled \
                   to false first, then enable them with the new action";
    let before = merged(&healthy(), &policy(&json!({"enabled": true})));
    let accepted = policy(&json!({"enabled": false, "repairAction": "Restart"}));
    let refused = policy(&json!({"repairAction": "Restart"}));
    let field = "spec.automaticRepairsPolicy.repairAction";
    vec![accepting(before, When::OnChange, accepted).refusing(refused, field, message)]
}

fn service() -> Vec<Case> {
    let whole = json!({
        "type": "SetOrchestrationServiceState",
        "parameters": {"serviceName": "AutomaticRepairs", "action": "Suspend"},
    });
    let case = |refused: Value, field: &str, message: &str| {
        let refused = merged(&whole, &refused);
        accepting(operation(), When::OnCreation, json!({"spec": whole})).refusing(
            json!({"spec": refused}),
            &format!("spec.{field}"),
            message,
        )
    };
    vec![
        case(
            json!({"target": {"kind": "FlexVM"}}),
            "type",
            "OperationNotAllowed: SetOrchestrationServiceState must have a target of kind ScaleSet",
        ),
        case(
            json!({"instanceIds": ["0"]}),
            "instanceIds",
            "InvalidParameter: instanceIds must be absent where type is SetOrchestrationServiceState, which is about the set",
        ),
        case(
            json!({"parameters": {"action": null}}),
            "parameters",
            "InvalidParameter: parameters.serviceName and parameters.action must be set where type is \
             SetOrchestrationServiceState",
        ),
        case(
            json!({"type": "Restart"}),
            "parameters",
            "InvalidParameter: serviceName and action must only be set where type is SetOrchestrationServiceState",
        ),
    ]
}
