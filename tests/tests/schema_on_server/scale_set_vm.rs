//! Cases of `ScaleSetVM`.

use serde_json::{Value, json};

use crate::case::{Case, LegalChange, When, accepting};
use crate::objects::{merged, scale_set_vm};

/// Every rule of the kind.
pub fn cases() -> Vec<Case> {
    let change = |before: Value, refused: Value, field: &str, message: &str| {
        let stopped = json!({"spec": {"powerState": "Stopped"}});
        accepting(before, When::OnChange, stopped).refusing(json!({"spec": refused}), field, message)
    };
    let zonal = merged(&scale_set_vm(), &json!({"spec": {"zone": "1"}}));
    let zone_message = "PropertyChangeNotAllowed: zone cannot be changed after creation";
    vec![
        accepting(scale_set_vm(), When::OnCreation, json!({})).refusing(
            json!({"metadata": {"name": "web-4"}}),
            "metadata.name",
            "InvalidParameter: the name must be {spec.scaleSetRef.name}-{spec.instanceId}",
        ),
        accepting(
            scale_set_vm(),
            When::Always,
            json!({"spec": {"protectionPolicy": {"protectFromScaleSetActions": true}}}),
        )
        .refusing(
            json!({"spec": {"protectionPolicy": {"protectFromScaleSetActions": true, "protectFromScaleIn": false}}}),
            "spec.protectionPolicy.protectFromScaleIn",
            "InvalidParameter: protectFromScaleIn must not be false where protectFromScaleSetActions is true, which \
             includes it",
        ),
        change(
            scale_set_vm(),
            json!({"scaleSetRef": {"name": "other"}}),
            "spec.scaleSetRef",
            "PropertyChangeNotAllowed: scaleSetRef cannot be changed after creation",
        ),
        change(
            scale_set_vm(),
            json!({"instanceId": "4"}),
            "spec.instanceId",
            "PropertyChangeNotAllowed: instanceId cannot be changed after creation",
        ),
        change(zonal.clone(), json!({"zone": "2"}), "spec.zone", zone_message),
        change(zonal, json!({"zone": null}), "spec.zone", zone_message),
        change(scale_set_vm(), json!({"zone": "1"}), "spec.zone", zone_message),
    ]
}

/// What people change, and what the controller does.
pub fn legal_changes() -> Vec<LegalChange> {
    let changes = [
        json!({"powerState": "Deallocated"}),
        json!({"powerState": null}),
        json!({"protectionPolicy": {"protectFromScaleIn": true}}),
        json!({"modelRevision": "web-2", "platformFaultDomain": 1, "updateDomain": 2, "placementGroup": "0"}),
    ];
    changes.map(|change| LegalChange { before: scale_set_vm(), change: json!({"spec": change}) }).to_vec()
}
