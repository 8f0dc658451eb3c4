//! From definitions to `docs/reference.md`: every field of every kind with type, bounds, default and meaning, as the API
//! server has them.

use std::fmt::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use crate::manifests::custom_resource_definitions;

const HEADER: &str = "\
<!-- Generated from crds/src by `make generate`; do not edit. -->

# Reference

Every field of every kind, as the API server has it: what `kubectl explain` shows, on one page. What the fields mean
together is told in the [API](api.md) and in the pages of the concepts. `[]` is an item of a list.
";

/// The whole page.
pub fn reference() -> String {
    let mut page = HEADER.to_owned();
    for definition in custom_resource_definitions() {
        describe(&definition, &mut page);
    }
    page
}

fn describe(definition: &CustomResourceDefinition, page: &mut String) {
    let value = serde_json::to_value(definition).expect("a definition is plain data");
    let names = &value["spec"]["names"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let short: Vec<String> = names["shortNames"].as_array().into_iter().flatten().map(text).collect();
    for version in value["spec"]["versions"].as_array().into_iter().flatten() {
        let schema = &version["schema"]["openAPIV3Schema"];
        line(page, &format!("\n## {}\n", text(&names["kind"])));
        line(page, &text(&schema["description"]));
        let api = format!("{}/{}", text(&value["spec"]["group"]), text(&version["name"]));
        let short = if short.is_empty() { String::new() } else { format!(", short `{}`", short.join("`, `")) };
        line(page, &format!("\n`{api}`, plural `{}`{short}.", text(&names["plural"])));
        for part in ["spec", "status"] {
            line(page, &format!("\n### {} {part}\n", text(&names["kind"])));
            line(page, "| field | type | default | meaning |\n|---|---|---|---|");
            fields(&schema["properties"][part], part, page);
        }
    }
}

/// One row for each field below `schema`, depth first.
fn fields(schema: &Value, path: &str, page: &mut String) {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let needed = if required.contains(&name.as_str()) { ", required" } else { "" };
        let default = field.get("default").map(|default| format!("`{default}`")).unwrap_or_default();
        let default = if default.len() > 60 { "set".to_owned() } else { default };
        let meaning = field["description"].as_str().unwrap_or_default().replace("\n\n", " ").replace('|', "\\|");
        line(page, &format!("| `{path}` | {}{needed} | {default} | {meaning} |", kind(field)));
        match field["type"].as_str() {
            Some("array") => fields(&field["items"], &format!("{path}[]"), page),
            _ => fields(field, &path, page),
        }
    }
}

/// The type with what it is bounded by.
fn kind(field: &Value) -> String {
    if let Some(values) = field["enum"].as_array() {
        let values: Vec<String> = values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect();
        return values.join(", ");
    }
    if field["x-kubernetes-int-or-string"] == Value::Bool(true) {
        return "integer or percent".to_owned();
    }
    let between = |least: &str, most: &str| match (bound(&field[least]), bound(&field[most])) {
        (Some(least), Some(most)) => format!(" {least}…{most}"),
        (None, Some(most)) => format!(" ≤ {most}"),
        (Some(least), None) => format!(" ≥ {least}"),
        (None, None) => String::new(),
    };
    match field["type"].as_str() {
        Some("array") => format!("list of {}{}", kind(&field["items"]), between("minItems", "maxItems")),
        Some("integer") => format!("integer{}", between("minimum", "maximum")),
        Some("string") => match field["format"].as_str() {
            Some("date-time") => "time".to_owned(),
            Some(_) | None => format!("string{}", between("minLength", "maxLength")),
        },
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    }
}

/// Bounds are floats in the type of a schema; whole ones are written whole.
fn bound(value: &Value) -> Option<String> {
    value.is_number().then(|| value.to_string().trim_end_matches(".0").to_owned())
}

fn line(page: &mut String, text: &str) {
    writeln!(page, "{text}").expect("a string takes everything");
}
