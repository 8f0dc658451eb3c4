//! What helm tells after an install, for releases of several kinds.

use std::fmt::Write as _;

use anyhow::Context;
use scaleset_tests::chart::{Chart, Helm, NAMESPACE, RELEASE, golden, values_file};
use serde_json::{Value, json};

use crate::rendered::folder;

/// `helm template` renders no notes; an install that is only tried does.
fn notes(helm: &Helm, values: &Value) -> anyhow::Result<String> {
    let (chart, file) = (Chart::Controller.path().display().to_string(), values_file(values)?);
    let values = file.path().display().to_string();
    let said =
        helm.run(&["install", RELEASE, &chart, "--namespace", NAMESPACE, "--values", &values, "--dry-run=client"])?;
    let (_, notes) = said.split_once("\nNOTES:\n").context("no notes")?;
    Ok(notes.trim_end().to_owned())
}

#[test]
fn the_notes_tell_what_is_next_and_what_to_mind() -> anyhow::Result<()> {
    let helm = Helm::offline()?;
    let mut told = String::new();
    for (name, values) in [
        ("defaults", json!({})),
        ("in one namespace", json!({"watchNamespace": "shop", "hardware": {"tokenSecretName": "token"}})),
        ("hardware elsewhere", json!({"hardware": {"enabled": false, "url": "http://hardware.example:9090"}})),
        ("nothing is kept", json!({"hardware": {"persistence": {"enabled": false}}})),
        ("no rights are given", json!({"rbac": {"create": false}})),
        (
            "no rights are given, in one namespace",
            json!({"rbac": {"create": false}, "watchNamespace": "shop", "hardware": {"tokenSecretName": "token"}}),
        ),
        (
            "no guard, and a world that can be broken",
            json!({"uninstallGuard": {"enabled": false}, "hardware": {"control": {"enabled": true}}}),
        ),
    ] {
        writeln!(told, "=== {name}: {values}\n{}\n", notes(&helm, &values).context(name)?)?;
    }
    golden::compare(&folder().join("notes.golden"), &told)
}
