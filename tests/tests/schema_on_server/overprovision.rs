//! Cases of overprovisioning.

use serde_json::{Value, json};

use crate::case::{Case, LegalChange, When, accepting};
use crate::objects::{flexible_set, uniform_set};

/// The fields are for Uniform sets, whatever they say.
pub fn cases() -> Vec<Case> {
    ["overprovision", "doNotRunExtensionsOnOverprovisionedVMs"]
        .into_iter()
        .flat_map(|field| {
            let message = format!("OperationNotAllowed: {field} must be absent where orchestrationMode is not Uniform");
            let path = format!("spec.{field}");
            [true, false].map(|value| {
                accepting(flexible_set(), When::Always, json!({})).refusing(
                    json!({"spec": {field: value}}),
                    &path,
                    &message,
                )
            })
        })
        .collect()
}

/// In a Uniform set they come, change and go.
pub fn legal_changes() -> Vec<LegalChange> {
    let legal = |change: Value| LegalChange { before: uniform_set(), change: json!({"spec": change}) };
    vec![
        legal(json!({"overprovision": false})),
        legal(json!({"overprovision": true, "doNotRunExtensionsOnOverprovisionedVMs": true})),
        legal(json!({"overprovision": null, "doNotRunExtensionsOnOverprovisionedVMs": false})),
    ]
}
