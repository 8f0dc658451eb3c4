//! What must hold of every generated schema, whatever fields it gets: bounds, descriptions, costs, freshness.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use scaleset_crds::condition::{
    AutoscaleCondition, FlexVMCondition, InstanceCondition, Reason, ReservationGroupCondition, ScaleSetCondition,
};
use scaleset_crds::impact::{IMPACT_TABLE, ImpactRow, markdown_table};
use scaleset_crds::manifests::{chart_templates, custom_resource_definitions, files};
use scaleset_crds::vocabulary::Impact;
use serde_json::Value;

/// Every schema below `schema` with its path: properties by name, list items as `[]`, map values as `{}`.
fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        let separator = if path.is_empty() { "" } else { "." };
        walk(&format!("{path}{separator}{name}"), child, visit);
    }
    if let Some(items) = schema.get("items") {
        walk(&format!("{path}[]"), items, visit);
    }
    if let Some(values) = schema.get("additionalProperties") {
        walk(&format!("{path}{{}}"), values, visit);
    }
}

fn roots() -> Vec<(String, Value)> {
    custom_resource_definitions()
        .into_iter()
        .map(|definition| {
            let schema = serde_json::to_value(&definition.spec.versions[0].schema).expect("a schema is plain data");
            (definition.spec.names.kind, schema["openAPIV3Schema"].clone())
        })
        .collect()
}

fn offenders(top: &str, mut offends: impl FnMut(&str, &Value) -> Option<&'static str>) -> Vec<String> {
    let mut found = Vec::new();
    for (kind, root) in roots() {
        walk(top, &root["properties"][top], &mut |path, schema| {
            if let Some(offence) = offends(path, schema) {
                found.push(format!("{kind} {path}: {offence}"));
            }
        });
    }
    found
}

#[test]
fn everything_in_spec_is_bounded() {
    let unbounded = offenders("spec", |_, schema| match schema["type"].as_str() {
        Some("string") if schema.get("maxLength").is_none() && schema.get("enum").is_none() => {
            Some("string without maxLength")
        }
        Some("array") if schema.get("maxItems").is_none() => Some("list without maxItems"),
        Some("array") if schema.get("x-kubernetes-list-type").is_none() => Some("list without a list type"),
        Some("integer") if schema.get("minimum").is_none() || schema.get("maximum").is_none() => {
            Some("number without bounds")
        }
        Some("number") => Some("a float"),
        Some("object") if schema.get("additionalProperties").is_some() && schema.get("maxProperties").is_none() => {
            Some("map without maxProperties")
        }
        Some("object") if schema.get("additionalProperties").is_some() && !bounds_keys(schema) => {
            Some("map without bounded keys")
        }
        Some("object") if schema.get("x-kubernetes-preserve-unknown-fields").is_some() => Some("anything goes"),
        Some(_) => None,
        None if schema["x-kubernetes-int-or-string"] == true => {
            let bounds = ["maxLength", "minimum", "maximum"];
            bounds.iter().any(|bound| schema.get(bound).is_none()).then_some("number or text without bounds")
        }
        None => Some("no type"),
    });
    assert_eq!(unbounded, Vec::<String>::new());
}

fn bounds_keys(schema: &Value) -> bool {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    rules.filter_map(|rule| rule["rule"].as_str()).any(|rule| rule.contains("size(name) <="))
}

#[test]
fn every_list_in_status_is_bounded() {
    let unbounded = offenders("status", |_, schema| match schema["type"].as_str() {
        Some("array") if schema.get("maxItems").is_none() => Some("list without maxItems"),
        Some("array") if schema.get("x-kubernetes-list-type").is_none() => Some("list without a list type"),
        Some("object") if schema.get("additionalProperties").is_some() => Some("a map"),
        Some(_) | None => None,
    });
    assert_eq!(unbounded, Vec::<String>::new());
}

#[test]
fn every_field_is_described_and_none_is_nullable() {
    for top in ["spec", "status"] {
        let poor = offenders(top, |path, schema| {
            let is_field = !path.ends_with("[]") && !path.ends_with("{}");
            let description = schema["description"].as_str().unwrap_or_default();
            let offences = [
                (schema.get("nullable").is_some(), "nullable"),
                (is_field && description.is_empty(), "no description"),
                (description.contains("Auto-generated"), "a generated description"),
            ];
            offences.into_iter().find_map(|(offends, offence)| offends.then_some(offence))
        });
        assert_eq!(poor, Vec::<String>::new());
    }
    for (kind, root) in roots() {
        let description = root["description"].as_str().unwrap_or_default();
        assert!(description.len() > 40 && !description.contains("Auto-generated"), "{kind}: {description}");
    }
}

#[test]
fn every_rule_answers_with_a_code_that_azure_has() {
    let codes = [
        "BadRequest: ",
        "InvalidParameter: ",
        "OperationNotAllowed: ",
        "PropertyChangeNotAllowed: ",
        "VmssDoesNotSupportAttachingExistingVMMultiFD: ",
        "EvictionPolicyCanBeSetOnlyOnAzureSpotVirtualMachines: ",
        "MaxPriceIsSupportedOnlyForAzureSpotVirtualMachines: ",
        "MaxPriceValueInvalid: ",
        "VMPriorityCannotBeApplied: ",
        "SpotRestorationIsSupportedOnlyForAzureSpotScaleSets: ",
    ];
    for (kind, root) in roots() {
        walk("", &root, &mut |path, schema| {
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let message = rule["message"].as_str().unwrap_or_default();
                assert!(codes.iter().any(|code| message.starts_with(code)), "{kind} {path}: {message:?} has no code");
                assert!(!message.ends_with('.'), "{kind} {path}: {message:?} ends with a stop");
            }
        });
    }
}

/// The profile of each kind that has one, and where it is.
fn profile_paths() -> Vec<String> {
    let mut paths = Vec::new();
    for (kind, root) in roots() {
        let spec = &root["properties"]["spec"];
        let (profile, not_of_the_profile): (&Value, &[&str]) = match kind.as_str() {
            "ScaleSet" => (&spec["properties"]["virtualMachineProfile"], &[]),
            "FlexVM" => (
                spec,
                &[
                    "scaleSetRef",
                    "location",
                    "zone",
                    "platformFaultDomain",
                    "powerState",
                    "protectionPolicy",
                    "scheduledEventsPolicy",
                ],
            ),
            _ => continue,
        };
        walk("", profile, &mut |path, _| {
            let top = path.split('.').next().unwrap_or_default();
            if !path.is_empty() && !not_of_the_profile.contains(&top) {
                paths.push(path.to_owned());
            }
        });
    }
    paths
}

#[test]
fn every_field_of_the_profile_has_a_cost() {
    let paths = profile_paths();
    let covered = |path: &str| {
        IMPACT_TABLE.iter().any(|row| {
            let field = row.field().trim_end_matches("[]");
            // A field is covered by its own row, by the row of an object above it, or by the rows of its fields.
            path == field || inside(path, field) || inside(field, path)
        })
    };
    let uncovered: Vec<&String> = paths.iter().filter(|path| !covered(path)).collect();
    assert_eq!(uncovered, Vec::<&String>::new(), "fields without a row in the impact table");

    let unknown: Vec<&str> =
        IMPACT_TABLE.iter().map(ImpactRow::field).filter(|field| !paths.iter().any(|path| path == field)).collect();
    assert_eq!(unknown, Vec::<&str>::new(), "rows of the impact table without a field");
}

fn inside(path: &str, object: &str) -> bool {
    path.strip_prefix(object).is_some_and(|rest| rest.starts_with(['.', '[', '{']))
}

#[test]
fn what_a_change_costs_is_in_the_description() {
    let (_, scale_set) = roots().into_iter().find(|(kind, _)| kind == "ScaleSet").expect("there is a ScaleSet");
    let mut descriptions = BTreeMap::new();
    walk("", &scale_set["properties"]["spec"]["properties"]["virtualMachineProfile"], &mut |path, schema| {
        descriptions.insert(path.to_owned(), schema["description"].as_str().unwrap_or_default().to_owned());
    });
    for row in IMPACT_TABLE.iter().filter(|row| row.path != "osProfile.computerName") {
        let description = &descriptions[row.field().trim_end_matches("[]")];
        assert!(
            description.contains(&row.sentence()),
            "{}: {description:?} does not say {:?}",
            row.path,
            row.sentence()
        );
    }
}

#[test]
fn immutable_fields_have_a_rule() {
    let mut guarded = Vec::new();
    for (_, root) in roots() {
        walk("", &root, &mut |path, schema| {
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let expression = rule["rule"].as_str().unwrap_or_default();
                if expression.contains("oldSelf") {
                    guarded.push(format!("{path}{}", rule["fieldPath"].as_str().unwrap_or_default()));
                }
            }
        });
    }
    for row in IMPACT_TABLE.iter().filter(|row| row.impact == Impact::Immutable) {
        assert!(guarded.iter().any(|path| path.ends_with(row.path)), "{} is immutable, but no rule keeps it", row.path);
    }
}

#[test]
fn the_committed_manifests_are_the_generated_ones() {
    assert_committed("manifests", &files(), &[]);
}

#[test]
fn the_committed_chart_is_the_generated_one() {
    // What helm puts together, and what people may do, comes from no type.
    let by_hand = ["_controllers.tpl", "user-roles.yaml"];
    assert_committed("../charts/scaleset-crds/templates", &chart_templates(), &by_hand);
}

#[test]
fn the_committed_reference_is_the_generated_one() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference.md");
    let committed = fs::read_to_string(page).expect("docs/reference.md is there");
    assert!(committed == scaleset_crds::reference::reference(), "docs/reference.md is stale: run `make generate`");
}

fn assert_committed(directory: &str, generated: &[(String, String)], by_hand: &[&str]) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut expected: Vec<String> = generated.iter().map(|(name, _)| name.clone()).collect();
    expected.extend(by_hand.iter().map(ToString::to_string));
    expected.sort();
    let entries = fs::read_dir(&directory).expect("the directory is there");
    let mut found: Vec<String> = entries
        .map(|entry| entry.expect("the directory can be read").file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, expected, "{}: run `make generate`", directory.display());
    for (name, text) in generated {
        let committed = fs::read_to_string(directory.join(name)).expect("the manifest can be read");
        assert!(committed == *text, "{}/{name} is stale: run `make generate`", directory.display());
    }
}

#[test]
fn documented_costs_are_those_of_the_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/model-changes.md");
    let text = std::fs::read_to_string(page).expect("docs/model-changes.md is there");
    assert!(text.contains(&markdown_table()), "docs/model-changes.md must contain this table:\n{}", markdown_table());
}

#[test]
fn the_reference_names_everything() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
    let text = std::fs::read_to_string(page).expect("docs/api.md is there");
    let mut names = BTreeSet::new();
    for (kind, root) in roots() {
        names.insert(kind);
        walk("spec", &root["properties"]["spec"], &mut |path, _| {
            names.insert(
                path.rsplit('.').next().unwrap_or_default().trim_end_matches("[]").trim_end_matches("{}").to_owned(),
            );
        });
        // Of the status, what stands at its top; the rest is told in words.
        names.extend(
            root["properties"]["status"]["properties"]
                .as_object()
                .into_iter()
                .flat_map(|fields| fields.keys().cloned()),
        );
    }
    names.extend(Reason::ALL.iter().map(|reason| format!("`{reason}`")));
    names.extend(ScaleSetCondition::ALL.iter().map(|condition| format!("`{condition}`")));
    names.extend(InstanceCondition::ALL.iter().map(|condition| format!("`{condition}`")));
    names.extend(FlexVMCondition::ALL.iter().map(|condition| format!("`{condition}`")));
    names.extend(ReservationGroupCondition::ALL.iter().map(|condition| format!("`{condition}`")));
    names.extend(AutoscaleCondition::ALL.iter().map(|condition| format!("`{condition}`")));
    let silent: Vec<&String> = names.iter().filter(|name| !text.contains(name.as_str())).collect();
    assert_eq!(silent, Vec::<&String>::new(), "docs/api.md says nothing of these");
}
