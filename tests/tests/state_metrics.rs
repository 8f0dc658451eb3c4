//! The samples for tools that make metrics of the state of objects name fields that there are.
//!
//! The tools take a path that leads nowhere for a field that is not set: nothing but this would tell.

use std::fs;

use anyhow::{Context, bail, ensure};
use scaleset_crds::manifests::custom_resource_definitions;
use scaleset_tests::local::cluster::workspace;
use serde_json::{Value, json};

fn sample(name: &str) -> anyhow::Result<Value> {
    let path = workspace().join("hack/state-metrics").join(name);
    serde_saphyr::from_str(&fs::read_to_string(&path)?).with_context(|| path.display().to_string())
}

/// The schema of a kind, with the metadata that every object has.
fn schema(group: &Value, version: &Value, kind: &Value) -> anyhow::Result<Value> {
    ensure!(group == scaleset_crds::GROUP && version == scaleset_crds::VERSION, "{kind} of {group}/{version}");
    let definitions = custom_resource_definitions();
    let found = definitions.iter().find(|definition| kind == &json!(definition.spec.names.kind));
    let version = &found.with_context(|| format!("there is no kind {kind}"))?.spec.versions[0];
    let mut schema = serde_json::to_value(&version.schema)?["openAPIV3Schema"].take();
    let metadata = ["name", "namespace", "uid", "generation", "creationTimestamp"];
    let fields = metadata.map(|name| (name.to_owned(), json!({"type": "string"})));
    schema["properties"]["metadata"]["properties"] = Value::Object(fields.into_iter().collect());
    Ok(schema)
}

/// What the path leads to.
fn field<'schema>(schema: &'schema Value, path: &[&str]) -> anyhow::Result<&'schema Value> {
    path.iter().try_fold(schema, |schema, name| {
        schema["properties"].get(name).with_context(|| format!("{}: there is no {name}", path.join(".")))
    })
}

/// What one sample is made of: an item where the path leads to a list.
fn element(schema: &Value) -> &Value {
    schema.get("items").unwrap_or(schema)
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn labels(schema: &Value, from_path: &Value) -> anyhow::Result<()> {
    for path in from_path.as_object().into_iter().flat_map(|paths| paths.values()) {
        field(schema, &words(path))?;
    }
    Ok(())
}

/// One metric of kube-state-metrics: the path, and relative to what it leads to the labels and the value.
fn metric(schema: &Value, metric: &Value) -> anyhow::Result<()> {
    let each = &metric["each"];
    let kind = each["type"].as_str().context("a type")?;
    match kind {
        "Info" => labels(schema, &each["info"]["labelsFromPath"]),
        "Gauge" => {
            let gauge = &each["gauge"];
            let found = element(field(schema, &words(&gauge["path"]))?);
            labels(found, &gauge["labelsFromPath"])?;
            let value = field(found, &words(&gauge["valueFrom"]))?;
            ensure!(value["type"] != "object" && value["type"] != "array", "{} is no number", gauge["path"]);
            Ok(())
        }
        "StateSet" => {
            let set = &each["stateSet"];
            let known = &field(schema, &words(&set["path"]))?["enum"];
            ensure!(known == &set["list"], "{}: the list is {}, the schema's {known}", set["path"], set["list"]);
            Ok(())
        }
        other => bail!("{other} is no type of a metric"),
    }
}

#[test]
fn what_kube_state_metrics_is_to_tell_is_there() -> anyhow::Result<()> {
    let sample = sample("kube-state-metrics.yaml")?;
    let mut kinds = Vec::new();
    for resource in sample["spec"]["resources"].as_array().context("resources")? {
        let named = &resource["groupVersionKind"];
        let schema = schema(&named["group"], &named["version"], &named["kind"])?;
        labels(&schema, &resource["labelsFromPath"])?;
        for one in resource["metrics"].as_array().context("metrics")? {
            metric(&schema, one).with_context(|| format!("{} {}", named["kind"], one["name"]))?;
        }
        kinds.push(named["kind"].clone());
    }
    all_kinds(&kinds);
    Ok(())
}

/// The fields that an expression of resource-state-metrics names: below `o` the object's, and in `o.list.map(i, …)` below `i`
/// those of the list's items.
fn expression(schema: &Value, text: &str) -> anyhow::Result<()> {
    let (list, body) = match text.split_once(".map(") {
        Some((list, body)) => (Some(list), body),
        None => (None, text),
    };
    let mut open = vec![("o", schema, list.unwrap_or(body))];
    if let Some(list) = list {
        let path: Vec<&str> = list.split('.').skip(1).collect();
        let variable = body.split(',').next().context("a variable")?;
        open.push((variable, element(field(schema, &path)?), body));
    }
    let is_word = |character: char| character.is_ascii_alphanumeric() || character == '.';
    for (variable, schema, text) in open {
        for word in text.split(|character| !is_word(character)) {
            if let Some(path) = word.strip_prefix(&format!("{variable}.")) {
                field(schema, &path.split('.').collect::<Vec<_>>()).with_context(|| text.to_owned())?;
            }
        }
    }
    Ok(())
}

#[test]
fn what_resource_state_metrics_is_to_tell_is_there() -> anyhow::Result<()> {
    let sample = sample("resource-state-metrics.yaml")?;
    let mut kinds = Vec::new();
    for store in sample["spec"]["configuration"]["stores"].as_array().context("stores")? {
        let schema = schema(&store["group"], &store["version"], &store["kind"])?;
        assert_eq!(store["resolver"], "cel");
        for family in store["families"].as_array().context("families")? {
            for one in family["metrics"].as_array().context("metrics")? {
                let labels = one["labels"].as_array().into_iter().flatten();
                for text in labels.map(|label| &label["value"]).chain([&one["value"]]) {
                    let text = text.as_str().context("an expression")?;
                    expression(&schema, text).with_context(|| family["name"].to_string())?;
                }
            }
        }
        kinds.push(store["kind"].clone());
    }
    all_kinds(&kinds);
    Ok(())
}

fn all_kinds(kinds: &[Value]) {
    let all: Vec<String> =
        custom_resource_definitions().into_iter().map(|definition| definition.spec.names.kind).collect();
    assert_eq!(json!(kinds), json!(all), "each kind is there once");
}

#[test]
fn a_path_that_leads_nowhere_is_found() -> anyhow::Result<()> {
    let schema = schema(&json!(scaleset_crds::GROUP), &json!(scaleset_crds::VERSION), &json!("ScaleSet"))?;
    for text in
        ["o.status.replica", "o.status.zones.map(z, z.count)", "o.status.zone.map(z, 1.0)", "o.spec.x ? 1.0 : 0.0"]
    {
        assert!(expression(&schema, text).is_err(), "{text}");
    }
    expression(&schema, "o.status.zones.map(z, z.replicas)")?;
    for gauge in [
        json!({"path": ["status", "replica"]}),
        json!({"path": ["status", "zones"], "valueFrom": ["count"]}),
        json!({"path": ["status", "zones"]}),
        json!({"path": ["status", "zones"], "valueFrom": ["replicas"], "labelsFromPath": {"zone": ["name"]}}),
    ] {
        assert!(metric(&schema, &json!({"each": {"type": "Gauge", "gauge": gauge}})).is_err(), "{gauge}");
    }
    let states = json!({"path": ["spec", "orchestrationMode"], "list": ["Uniform"]});
    assert!(metric(&schema, &json!({"each": {"type": "StateSet", "stateSet": states}})).is_err(), "a state is missing");
    Ok(())
}
