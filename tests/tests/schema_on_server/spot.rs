//! Cases of Spot VMs: their terms, getting them back, mixing them with regular ones.

use serde_json::{Value, json};

use crate::case::{Case, LegalChange, When, accepting};
use crate::objects::{flexible_set, merged, uniform_set};
use crate::profile::of_both;

/// Every rule about them.
pub fn cases() -> Vec<Case> {
    [terms(), stays(), restore(), mix(), mix_ranges()].concat()
}

/// What may change.
pub fn legal_changes() -> Vec<LegalChange> {
    let spot = merged(&flexible_set(), &profile(&json!({"priority": "Spot", "maxPrice": "0.5"})));
    let changes = [
        profile(&json!({"maxPrice": "0.75"})),
        profile(&json!({"maxPrice": null})),
        profile(&json!({"evictionPolicy": "Deallocate"})),
        json!({"spec": {"priorityMixPolicy": {"baseRegularPriorityCount": 3}}}),
        json!({"spec": {"spotRestorePolicy": {"enabled": true}}}),
    ];
    let of_spot = changes.into_iter().map(|change| LegalChange { before: spot.clone(), change });
    let regular = LegalChange { before: uniform_set(), change: profile(&json!({"priority": "Regular"})) };
    of_spot.chain([regular]).collect()
}

fn profile(part: &Value) -> Value {
    json!({"spec": {"virtualMachineProfile": part}})
}

fn terms() -> Vec<Case> {
    let spot = json!({"priority": "Spot", "evictionPolicy": "Delete", "maxPrice": "0.01920"});
    let policy = "EvictionPolicyCanBeSetOnlyOnAzureSpotVirtualMachines: evictionPolicy must be absent where priority is not \
                  Spot";
    let price =
        "MaxPriceIsSupportedOnlyForAzureSpotVirtualMachines: maxPrice must be absent where priority is not Spot";
    let value = "MaxPriceValueInvalid: maxPrice must be -1, or above 0 US dollars with at most five digits before and after \
                 the point";
    let of_value = |accepted: &str, refused: &str| {
        let priced = |price: &str| json!({"priority": "Spot", "maxPrice": price});
        of_both(When::OnCreation, &priced(accepted), &priced(refused), "maxPrice", value)
    };
    [
        of_both(When::OnCreation, &spot, &json!({"evictionPolicy": "Delete"}), "evictionPolicy", policy),
        of_both(When::OnCreation, &spot, &json!({"priority": "Regular", "maxPrice": "-1"}), "maxPrice", price),
        of_value("-1", "0"),
        of_value("0.00001", "0.00"),
        of_value("99999", "-2"),
        of_value("12.5", "0.000001"),
        of_value("1", "cheap"),
    ]
    .concat()
}

fn stays() -> Vec<Case> {
    let priority = "VMPriorityCannotBeApplied: priority cannot be changed after creation";
    let policy = "PropertyChangeNotAllowed: evictionPolicy cannot be changed after creation";
    let tagged = json!({"tags": {"team": "web"}});
    let of_spot = of_both(When::OnChange, &tagged, &json!({"evictionPolicy": "Delete"}), "evictionPolicy", policy);
    let of_spot = of_spot.into_iter().map(|mut case| {
        let spot = json!({"priority": "Spot"});
        let uniform = case.before["kind"] == "ScaleSet";
        case.before = merged(&case.before, &if uniform { profile(&spot) } else { json!({"spec": spot}) });
        case
    });
    let of_priority = of_both(When::OnChange, &tagged, &json!({"priority": "Spot"}), "priority", priority);
    of_priority.into_iter().chain(of_spot).collect()
}

fn restore() -> Vec<Case> {
    let place = "SpotRestorationIsSupportedOnlyForAzureSpotScaleSets: spotRestorePolicy must be absent where \
                 virtualMachineProfile.priority is not Spot";
    let range = "InvalidParameter: restoreTimeoutSeconds must be 60 to 86400";
    let policy =
        |seconds: i64| json!({"spec": {"spotRestorePolicy": {"enabled": true, "restoreTimeoutSeconds": seconds}}});
    let spot = |policy: &Value| merged(policy, &profile(&json!({"priority": "Spot"})));
    let field = "spec.spotRestorePolicy";
    let seconds = "spec.spotRestorePolicy.restoreTimeoutSeconds";
    vec![
        accepting(uniform_set(), When::OnCreation, spot(&policy(60))).refusing(policy(60), field, place),
        accepting(uniform_set(), When::OnCreation, spot(&policy(60))).refusing(spot(&policy(59)), seconds, range),
        accepting(uniform_set(), When::OnCreation, spot(&policy(86_400))).refusing(
            spot(&policy(86_401)),
            seconds,
            range,
        ),
    ]
}

fn mix() -> Vec<Case> {
    let mix = json!({"spec": {"priorityMixPolicy": {"baseRegularPriorityCount": 10}}});
    let spot = merged(&mix, &profile(&json!({"priority": "Spot"})));
    let single = merged(&spot, &json!({"spec": {"singlePlacementGroup": true}}));
    let field = "spec.priorityMixPolicy";
    let case = |object: Value, accepted: Value, refused: Value, otherwise: &str| {
        let message = format!("OperationNotAllowed: priorityMixPolicy must be absent where {otherwise}");
        accepting(object, When::OnCreation, accepted).refusing(refused, field, &message)
    };
    let uniform = profile(&json!({"priority": "Spot"}));
    vec![
        case(uniform_set(), uniform, spot.clone(), "orchestrationMode is not Flexible"),
        case(flexible_set(), spot.clone(), mix, "virtualMachineProfile.priority is not Spot"),
        case(flexible_set(), spot, single, "singlePlacementGroup is true"),
    ]
}

fn mix_ranges() -> Vec<Case> {
    let of = |field: &str, most: i64| {
        let message = format!("InvalidParameter: {field} must be 0 to {most}");
        let path = format!("spec.priorityMixPolicy.{field}");
        let with = |value: i64| {
            merged(&profile(&json!({"priority": "Spot"})), &json!({"spec": {"priorityMixPolicy": {field: value}}}))
        };
        [(0, -1), (most, most + 1)].map(|(accepted, refused)| {
            accepting(flexible_set(), When::OnCreation, with(accepted)).refusing(with(refused), &path, &message)
        })
    };
    [of("baseRegularPriorityCount", 1_000), of("regularPriorityPercentageAboveBase", 100)].concat()
}
