//! Alerts of one release among several, and where they lead to. What they fire at is in `tests/alerts`.

use std::fs;

use anyhow::Context;
use scaleset_tests::chart::{Chart, Helm};
use serde_json::{Value, json};

const URL: &str = "https://docs.example/v1/runbook.md";

/// The rules of a value that has groups of them.
fn rules(groups: &Value) -> anyhow::Result<Vec<Value>> {
    let groups = groups.as_array().context("no groups")?;
    Ok(groups.iter().filter_map(|group| group["rules"].as_array()).flatten().cloned().collect())
}

fn of_the_file() -> anyhow::Result<Vec<Value>> {
    let text = fs::read_to_string(Chart::Controller.path().join("alerts/scaleset.yaml"))?;
    rules(&serde_saphyr::from_str::<Value>(&text)?["groups"])
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The file is what promtool tests; a release differs from it in where it looks for itself, and in where it leads to.
#[test]
fn a_release_misses_its_own_controller_and_leads_to_a_runbook_that_can_be_opened() -> anyhow::Result<()> {
    let values = json!({"alerts": {"enabled": true, "runbookUrl": URL}});
    let objects = Helm::offline()?.objects_in("shop-system", Chart::Controller, &values)?;
    let rule = objects.iter().find(|object| object["kind"] == "PrometheusRule").context("no PrometheusRule")?;
    let (rendered, file) = (rules(&rule["spec"]["groups"])?, of_the_file()?);
    assert!(rendered.len() == file.len() && file.len() > 10, "{} {}", rendered.len(), file.len());
    for (rendered, mut expected) in rendered.into_iter().zip(file) {
        let name = text(&expected["alert"]).to_owned();
        expected["annotations"]["runbook_url"] = json!(format!("{URL}#{}", name.to_lowercase()));
        if name == "ScaleSetControllerAbsent" {
            expected["expr"] = json!(r#"absent(scaleset_leader{namespace="shop-system"})"#);
        }
        assert_eq!(rendered, expected, "{name}");
    }
    Ok(())
}

/// Series of several releases that are added up, or of which one is chosen, would hide the one that is broken.
#[test]
fn whatever_joins_series_keeps_releases_apart() -> anyhow::Result<()> {
    let mut joins = 0;
    for rule in of_the_file()? {
        let expression = text(&rule["expr"]);
        for join in ["sum", "max", "min", "avg", "count"] {
            let words = expression.match_indices(join).filter(|(at, _)| {
                let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
                let (before, after) = (&expression[..*at], &expression[at + join.len()..]);
                !before.ends_with(is_part) && !after.starts_with(is_part)
            });
            for (at, _) in words {
                let rest = &expression[at + join.len()..];
                assert!(rest.starts_with(" by (namespace, job"), "{}: {join}{rest}", rule["alert"]);
                joins += 1;
            }
        }
    }
    assert!(joins > 5, "{joins} joins were found");
    Ok(())
}
