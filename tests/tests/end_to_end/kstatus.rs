//! How deployment tools read an object: the order of cli-utils' kstatus, which knows nothing of our kinds.

use std::fmt;

use serde_json::{Value, json};

/// What a tool takes an object for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It is being deleted.
    Terminating,
    /// Somebody is at work.
    InProgress(String),
    /// Nothing more will happen by itself.
    Failed(String),
    /// It is as its spec says.
    Current,
}

/// Deletion, then the generation, then `Reconciling`, then `Stalled`, then `Ready`.
pub fn read(object: &Value) -> Reading {
    let (metadata, status) = (&object["metadata"], &object["status"]);
    if !metadata["deletionTimestamp"].is_null() {
        return Reading::Terminating;
    }
    let observed = &status["observedGeneration"];
    if !observed.is_null() && *observed != metadata["generation"] {
        return Reading::InProgress(format!("generation {}, observed {observed}", metadata["generation"]));
    }
    let condition = |name: &str| {
        let conditions = status["conditions"].as_array().into_iter().flatten();
        conditions.into_iter().find(|condition| condition["type"] == name)
    };
    let says = |name: &str, status: &str| condition(name).filter(|condition| condition["status"] == status);
    let words = |condition: &Value| {
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        format!("{} {}: {}", text("type"), text("reason"), text("message"))
    };
    if let Some(reconciling) = says("Reconciling", "True") {
        return Reading::InProgress(words(reconciling));
    }
    if let Some(stalled) = says("Stalled", "True") {
        return Reading::Failed(words(stalled));
    }
    match condition("Ready") {
        Some(ready) if ready["status"] != "True" => Reading::InProgress(words(ready)),
        Some(_) | None => Reading::Current,
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terminating => write!(formatter, "being deleted"),
            Self::InProgress(words) => write!(formatter, "in progress ({words})"),
            Self::Failed(words) => write!(formatter, "failed ({words})"),
            Self::Current => write!(formatter, "current"),
        }
    }
}

#[test]
fn reads_in_kstatus_order() {
    let object = |reconciling: &str, stalled: &str, ready: &str| {
        let condition = |name: &str, status: &str| json!({"type": name, "status": status, "reason": "R"});
        json!({
            "metadata": {"generation": 2},
            "status": {"observedGeneration": 2, "conditions": [
                condition("Ready", ready), condition("Reconciling", reconciling), condition("Stalled", stalled),
            ]},
        })
    };
    assert_eq!(read(&object("False", "False", "True")), Reading::Current);
    assert_eq!(read(&object("True", "True", "True")), Reading::InProgress("Reconciling R: ".to_owned()));
    assert_eq!(read(&object("False", "True", "True")), Reading::Failed("Stalled R: ".to_owned()));
    assert_eq!(read(&object("Unknown", "Unknown", "Unknown")), Reading::InProgress("Ready R: ".to_owned()));
    let mut behind = object("False", "False", "True");
    behind["metadata"]["generation"] = json!(3);
    assert_eq!(read(&behind), Reading::InProgress("generation 3, observed 2".to_owned()));
    behind["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(read(&behind), Reading::Terminating);
}
