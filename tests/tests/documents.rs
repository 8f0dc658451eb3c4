//! What the documents promise to list is listed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use scaleset_crds::condition::{AutoscaleBlock, Reason};
use scaleset_crds::event::Occurrence;
use serde_json::Value;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn parse(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The codes that have a row of their own, with a meaning and something to do.
fn rows(runbook: &str) -> BTreeSet<String> {
    let row = |line: &str| -> Option<String> {
        let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let [code, means, to_do] = cells.as_slice() else { return None };
        let code = code.strip_prefix('`')?.strip_suffix('`')?;
        (!means.is_empty() && !to_do.is_empty()).then(|| code.to_owned())
    };
    runbook.lines().filter_map(row).collect()
}

/// The codes at the start of the messages of the rules that the API server checks.
fn refusal_codes(manifest: &Value, codes: &mut BTreeSet<String>) {
    match manifest {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let ("message", Some(message)) = (name.as_str(), value.as_str())
                    && let Some((code, _)) = message.split_once(": ")
                    && code.starts_with(|letter: char| letter.is_ascii_uppercase())
                    && code.chars().all(|letter| letter.is_ascii_alphanumeric())
                {
                    codes.insert(code.to_owned());
                }
                refusal_codes(value, codes);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| refusal_codes(value, codes)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_reason_has_its_row_in_the_runbook() {
    let rows = rows(&read("docs/runbook.md"));
    let missing: Vec<&str> =
        Reason::ALL.iter().map(|reason| reason.as_str()).filter(|reason| !rows.contains(*reason)).collect();
    assert!(missing.is_empty(), "docs/runbook.md does not say what to do about {missing:?}");
}

#[test]
fn every_event_and_every_blocker_of_a_setting_has_its_row_in_the_runbook() {
    let rows = rows(&read("docs/runbook.md"));
    let events = Occurrence::ALL.iter().map(|occurrence| occurrence.as_str());
    let blocks = AutoscaleBlock::ALL.iter().map(|block| block.as_str());
    let missing: Vec<&str> = events.chain(blocks).filter(|code| !rows.contains(*code)).collect();
    assert!(missing.is_empty(), "docs/runbook.md does not say what to do about {missing:?}");
}

#[test]
fn every_refusal_of_the_schema_has_its_row_in_the_runbook() {
    let mut codes = BTreeSet::new();
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/manifests");
    for entry in fs::read_dir(manifests).expect("the manifests are there") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("it can be read");
        for document in text.split("\n---\n") {
            refusal_codes(&serde_saphyr::from_str(document).expect("it is YAML"), &mut codes);
        }
    }
    assert!(codes.len() > 5, "{codes:?}");
    let rows = rows(&read("docs/runbook.md"));
    let missing: Vec<&String> = codes.iter().filter(|code| !rows.contains(*code)).collect();
    assert!(missing.is_empty(), "docs/runbook.md does not say what to do about {missing:?}");
}

/// Every source of the hardware, without white space: how a formatter breaks lines must not matter.
fn sources_of_the_hardware() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../controller/hardware/src");
    let (mut open, mut sources) = (vec![root], Vec::new());
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else {
            sources.push(fs::read_to_string(&path).expect("a source").split_whitespace().collect());
        }
    }
    sources
}

/// What stands in quotes right behind `before`, wherever that is.
fn quoted_behind<'text>(text: &'text str, before: &str) -> Vec<&'text str> {
    let before = format!("{before}\"");
    text.split(&before).skip(1).filter_map(|rest| rest.split_once('"')).map(|(quoted, _)| quoted).collect()
}

/// Codes are written out in three ways: where they are used, as a constant, or in the arms of a function that answers one.
fn codes_of_the_hardware(sources: &[String]) -> BTreeSet<&str> {
    let written = ["code:", "refused(", ":Code="];
    let written = written.map(|before| sources.iter().flat_map(move |source| quoted_behind(source, before)));
    let functions = sources.iter().flat_map(|source| source.split("->Code{").skip(1));
    let arms = functions.filter_map(|rest| rest.split_once("}}")).flat_map(|(body, _)| quoted_behind(body, "=>"));
    written.into_iter().flatten().chain(arms).collect()
}

/// These say that a call came at the wrong moment, and nothing of the VM.
const LOG_ONLY: [&str; 4] = ["Busy", "NotFound", "Stale", "StaleEpoch"];

#[test]
fn every_code_of_the_hardware_has_its_row_in_the_runbook_and_is_a_reason() {
    let sources = sources_of_the_hardware();
    let codes = codes_of_the_hardware(&sources);
    let ways = [
        "PublicIPCountLimitReached",
        "SkuNotAvailable",
        "VMExtensionProvisioningError",
        "OverconstrainedZonalAllocationRequest",
        "VMStartTimedOut",
        "TooManyRequests",
    ];
    let unseen: Vec<&str> = ways.into_iter().chain(LOG_ONLY).filter(|code| !codes.contains(code)).collect();
    assert!(unseen.is_empty() && codes.len() > 20, "{unseen:?} are not found among {codes:?}");
    let rows = rows(&read("docs/runbook.md"));
    let missing: Vec<&&str> = codes.iter().filter(|code| !rows.contains(**code)).collect();
    assert!(missing.is_empty(), "docs/runbook.md does not say what to do about {missing:?}");
    let is_reason = |code: &str| Reason::from_code(code).as_str() == code;
    let lost: Vec<&&str> = codes.iter().filter(|code| !LOG_ONLY.contains(code) && !is_reason(code)).collect();
    assert!(lost.is_empty(), "{lost:?} would be told as {}", Reason::InternalExecutionError);
}

/// A code that is chosen in between, such as by an `if`, would be missed by the test above.
#[test]
fn every_code_of_the_hardware_is_written_where_it_is_found() {
    let sources = sources_of_the_hardware();
    let made = sources.iter().flat_map(|source| {
        let kinds = ["NoCapacity{code:", "NotOffered{code:", "Failure{code:"];
        kinds.into_iter().flat_map(move |kind| source.split(kind).skip(1))
    });
    // Written out, a function or a constant that is found, handed on, bound by a pattern, or the type of the field.
    let found = ["\"", "code::of_", "code.code()", "EXTENSION_FAILURE", "error.code()", "code@", "_", "Code", "String"];
    let hidden: Vec<&str> = made
        .filter(|rest| !found.iter().any(|found| rest.starts_with(found)))
        .map(|rest| rest.split_at(rest.len().min(60)).0)
        .collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}

#[test]
fn every_alert_has_its_section_in_the_runbook() {
    let alerts = parse("charts/scaleset-controller/alerts/scaleset.yaml");
    let rules = alerts["groups"].as_array().expect("groups").iter().filter_map(|group| group["rules"].as_array());
    let rules: Vec<&Value> = rules.flatten().collect();
    assert!(rules.len() > 5, "{}", rules.len());
    let runbook = read("docs/runbook.md");
    for rule in rules {
        let name = rule["alert"].as_str().expect("a name");
        assert!(runbook.contains(&format!("\n### {name}\n")), "docs/runbook.md has no section {name}");
        let link = rule["annotations"]["runbook_url"].as_str().expect("a link");
        assert_eq!(link, format!("docs/runbook.md#{}", name.to_lowercase()), "it leads to its section");
    }
}
