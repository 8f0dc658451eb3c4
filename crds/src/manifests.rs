//! From types to manifests: one `CustomResourceDefinition` for each kind and the admission policy, as `crds/manifests`
//! holds them.
//!
//! What the derive cannot express is adjusted here, once, for every kind: optional fields are not nullable (an explicit
//! null would be stored and mean neither absent nor set), `status` gets its default with every condition `Unknown`, the
//! kind's own text describes the kind, and each field of the VM profile says what its change costs, from the table in
//! [`crate::impact`].

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde::Serialize;
use serde_json::{Value, json};

use crate::admission::instance_guard;
use crate::impact::IMPACT_TABLE;
use crate::{
    AutoscaleSetting, CapacityReservationGroup, FIELD_MANAGER, FlexVM, ScaleSet, ScaleSetOperation, ScaleSetVM,
    autoscale_setting, flex_vm, operation, reservation_group, scale_set, scale_set_vm,
};

const HEADER: &str = "# Generated from crds/src by `make generate`; do not edit.\n";

/// Every `CustomResourceDefinition`, in the order in which they are installed.
pub fn custom_resource_definitions() -> Vec<CustomResourceDefinition> {
    vec![
        finish(ScaleSet::crd(), &scale_set::default_status(), &["spec", "virtualMachineProfile"]),
        finish(ScaleSetVM::crd(), &scale_set_vm::default_status(), &[]),
        finish(FlexVM::crd(), &flex_vm::default_status(), &["spec"]),
        finish(ScaleSetOperation::crd(), &operation::default_status(), &[]),
        finish(CapacityReservationGroup::crd(), &reservation_group::default_status(), &[]),
        finish(AutoscaleSetting::crd(), &autoscale_setting::default_status(), &[]),
    ]
}

/// Every manifest as (file name, text): one file for each kind, and one for the admission policy and its binding with
/// the user name that a local run gives to the controller.
pub fn files() -> Vec<(String, String)> {
    render(&custom_resource_definitions(), FIELD_MANAGER)
}

/// The same as templates of the chart `scaleset-crds`: definitions outlive the release, so that uninstalling it deletes
/// no set, and the user names of controllers are values.
pub fn chart_templates() -> Vec<(String, String)> {
    let mut definitions = custom_resource_definitions();
    for definition in &mut definitions {
        let annotations = definition.metadata.annotations.get_or_insert_default();
        annotations.insert("helm.sh/resource-policy".to_owned(), "keep".to_owned());
    }
    render(&definitions, "{{ include `scaleset.controllers` . }}")
}

fn render(definitions: &[CustomResourceDefinition], controller_username: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = definitions
        .iter()
        .map(|definition| {
            (format!("{}.yaml", definition.spec.names.plural), format!("{HEADER}{}", to_yaml(definition)))
        })
        .collect();
    let (policy, binding) = instance_guard(controller_username);
    let text = format!("{HEADER}{}---\n{}", to_yaml(&policy), to_yaml(&binding));
    files.push(("admission-policy.yaml".to_owned(), text));
    files
}

fn to_yaml(manifest: &impl Serialize) -> String {
    let mut value = serde_json::to_value(manifest).expect("a manifest is plain data");
    write_whole_numbers_whole(&mut value);
    serde_saphyr::to_string(&value).expect("a manifest is plain data")
}

/// Bounds are floats in the type of a schema; `100` reads better than `100.0`.
fn write_whole_numbers_whole(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Ok(whole) = number.to_string().trim_end_matches(".0").parse::<i64>() {
                *value = json!(whole);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(write_whole_numbers_whole),
        Value::Object(object) => object.values_mut().for_each(write_whole_numbers_whole),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// `profile` is the path of properties from the root to the VM profile; empty where the kind has none.
fn finish(definition: CustomResourceDefinition, default_status: &Value, profile: &[&str]) -> CustomResourceDefinition {
    let mut value = serde_json::to_value(definition).expect("a definition is plain data");
    let versions = value["spec"]["versions"].as_array_mut().expect("a definition has versions");
    for version in versions {
        let schema = &mut version["schema"]["openAPIV3Schema"];
        tidy(schema);
        describe_kind(schema);
        if !profile.is_empty() {
            describe_costs(profile.iter().fold(&mut *schema, |parent, name| &mut parent["properties"][name]));
        }
        schema["properties"]["status"]["default"] = default_status.clone();
    }
    serde_json::from_value(value).expect("the adjusted definition keeps its shape")
}

/// Removes `nullable` and the `null` that optional enums carry, and joins the lines of each paragraph of a description:
/// readers wrap text to their own width.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.remove("nullable");
            if let Some(Value::Array(values)) = object.get_mut("enum") {
                values.retain(|value| !value.is_null());
            }
            if let Some(Value::String(description)) = object.get_mut("description") {
                let paragraphs: Vec<String> = description.split("\n\n").map(|text| text.replace('\n', " ")).collect();
                *description = paragraphs.join("\n\n");
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The derive puts the text of the type on `spec`; it belongs to the kind. The name is declared, so that a rule about it
/// can name it.
fn describe_kind(schema: &mut Value) {
    schema["properties"]["metadata"] = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    schema["description"] = schema["properties"]["spec"]["description"].take();
    schema["properties"]["spec"]["description"] = json!("What is wished for.");
    schema["properties"]["status"]["description"] = json!("What is there, as the controller sees it.");
}

/// Adds to each field of the profile what its change costs.
fn describe_costs(profile: &mut Value) {
    for row in IMPACT_TABLE {
        if let Some(Value::String(description)) = field(profile, row.field()).map(|field| &mut field["description"]) {
            description.push(' ');
            description.push_str(&row.sentence());
        }
    }
}

/// The schema of the field at `path`, where `[]` at the end of a part stands for a list: its last part is the list
/// itself, an inner part the list's items.
fn field<'schema>(profile: &'schema mut Value, path: &str) -> Option<&'schema mut Value> {
    let mut schema = profile;
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        schema = schema.get_mut("properties")?.get_mut(part.trim_end_matches("[]"))?;
        if part.ends_with("[]") && parts.peek().is_some() {
            schema = schema.get_mut("items")?;
        }
    }
    Some(schema)
}
