//! From types to manifests: one CustomResourceDefinition for each kind, as `crds/manifests` holds them.
//!
//! Three adjustments that the derive cannot express are made here, once, for every kind: optional fields are not
//! nullable (an explicit null would be stored and mean neither absent nor set), integer formats that Kubernetes does
//! not know are dropped, and `status` gets its default with every condition `Unknown`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use crate::{FlexVM, ScaleSet, ScaleSetVM, flex_vm, scale_set, scale_set_vm};

/// Every CustomResourceDefinition, in the order in which they are installed.
pub fn custom_resource_definitions() -> Vec<CustomResourceDefinition> {
    vec![
        finish(ScaleSet::crd(), scale_set::default_status()),
        finish(ScaleSetVM::crd(), scale_set_vm::default_status()),
        finish(FlexVM::crd(), flex_vm::default_status()),
    ]
}

fn finish(definition: CustomResourceDefinition, default_status: Value) -> CustomResourceDefinition {
    let mut value = serde_json::to_value(definition).expect("a definition is plain data");
    let versions = value["spec"]["versions"].as_array_mut().expect("a definition has versions");
    for version in versions {
        let schema = &mut version["schema"]["openAPIV3Schema"];
        tidy(schema);
        schema["properties"]["status"]["default"] = default_status.clone();
    }
    serde_json::from_value(value).expect("the adjusted definition keeps its shape")
}

/// Removes `nullable`, the `null` that optional enums carry, and formats unknown to Kubernetes.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.remove("nullable");
            if let Some(Value::Array(values)) = object.get_mut("enum") {
                values.retain(|value| !value.is_null());
            }
            for child in object.values_mut() {
                tidy(child);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Every manifest as (file name, text): one file for each kind.
pub fn files() -> Vec<(String, String)> {
    let header = "# Generated from crds/src by `make generate`; do not edit.\n";
    custom_resource_definitions()
        .into_iter()
        .map(|definition| {
            let name = format!("{}.yaml", definition.spec.names.plural);
            let text = serde_saphyr::to_string(&definition).expect("a definition is plain data");
            (name, format!("{header}{text}"))
        })
        .collect()
}
