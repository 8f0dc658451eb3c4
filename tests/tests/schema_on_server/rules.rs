//! Every rule of the schemas: for each, one object that is accepted and one that is refused, with Azure's code and the
//! field in the answer, at creation and at change where the rule applies to both.

use std::collections::BTreeSet;

use scaleset_crds::manifests::custom_resource_definitions;
use serde_json::Value;

use crate::case::{Case, LegalChange, Refusal, check, check_legal_change};
use crate::{
    flex_vm, health, operation, os_upgrade, overprovision, profile, repairs, reservation_group, scale_set,
    scale_set_vm, scheduled_events, server, spot,
};

fn cases() -> Vec<Case> {
    [
        scale_set::cases(),
        profile::cases(),
        health::cases(),
        os_upgrade::cases(),
        overprovision::cases(),
        repairs::cases(),
        spot::cases(),
        scheduled_events::cases(),
        scale_set_vm::cases(),
        flex_vm::cases(),
        operation::cases(),
        reservation_group::cases(),
        reservation_group::user_cases(),
    ]
    .concat()
}

fn legal_changes() -> Vec<LegalChange> {
    [
        scale_set::legal_changes(),
        profile::legal_changes(),
        overprovision::legal_changes(),
        repairs::legal_changes(),
        spot::legal_changes(),
        scheduled_events::legal_changes(),
        scale_set_vm::legal_changes(),
        flex_vm::legal_changes(),
        reservation_group::legal_changes(),
    ]
    .concat()
}

#[test]
fn every_case_is_answered_as_the_table_says() {
    server::run(async |server| {
        let mut wrong = Vec::new();
        for (number, case) in cases().iter().enumerate() {
            wrong.extend(check(server, case, &format!("case-{number}")).await);
        }
        for (number, change) in legal_changes().iter().enumerate() {
            wrong.extend(check_legal_change(server, change, &format!("legal-{number}")).await);
        }
        assert!(wrong.is_empty(), "{} answers differ from the table:\n{}", wrong.len(), wrong.join("\n"));
    });
}

#[test]
fn every_rule_has_a_case() {
    let in_table: BTreeSet<Refusal> = cases().iter().map(Case::refusal).collect();
    let in_schemas: BTreeSet<Refusal> = custom_resource_definitions()
        .into_iter()
        .flat_map(|definition| {
            let schema = serde_json::to_value(&definition.spec.versions[0].schema).expect("a schema is plain data");
            refusals(&definition.spec.names.kind, "", &schema["openAPIV3Schema"])
        })
        .collect();
    let untested: Vec<&Refusal> = in_schemas.difference(&in_table).collect();
    let unknown: Vec<&Refusal> = in_table.difference(&in_schemas).collect();
    assert!(
        untested.is_empty() && unknown.is_empty(),
        "rules without a case: {untested:#?}\ncases without a rule: {unknown:#?}"
    );
}

/// What each rule of a schema answers.
fn refusals(kind: &str, path: &str, schema: &Value) -> Vec<Refusal> {
    let own = schema["x-kubernetes-validations"].as_array().into_iter().flatten().map(|rule| Refusal {
        kind: kind.to_owned(),
        field: format!("{path}{}", rule["fieldPath"].as_str().unwrap_or_default()).trim_start_matches('.').to_owned(),
        message: rule["message"].as_str().unwrap_or_default().to_owned(),
    });
    let properties = schema["properties"].as_object().into_iter().flatten();
    let below = properties.flat_map(|(name, child)| refusals(kind, &format!("{path}.{name}"), child));
    let items = schema.get("items").into_iter().flat_map(|items| refusals(kind, &format!("{path}[]"), items));
    own.chain(below).chain(items).collect()
}
