//! One row of the table, and how it is put to the server.

use kube::Error;
use kube::core::response::StatusCause;
use serde_json::{Value, json};

use crate::objects::merged;
use crate::server::{DryRun, Server};

/// When a rule is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At creation and at every change.
    Always,
    /// At creation; a change cannot get there.
    OnCreation,
    /// Only at a change, against the object before it.
    OnChange,
}

/// What the server answers: about which kind and field, in which words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// Kind of the object.
    pub kind: String,
    /// Path of the field, items of lists as `[]`.
    pub field: String,
    /// The rule's message, code first.
    pub message: String,
}

/// One rule with an object that it accepts and one that it refuses.
#[derive(Clone, Debug)]
pub struct Case {
    /// A legal object, as it is before the change.
    pub before: Value,
    /// When the rule is asked.
    pub when: When,
    /// Merge patch that leads from the object before to a legal one.
    pub accepted: Value,
    /// Merge patch that leads from the object before to one that the rule refuses.
    pub refused: Value,
    /// The refused field.
    pub field: String,
    /// The rule's message.
    pub message: String,
}

/// A change that looks like a forbidden one and is not.
#[derive(Clone, Debug)]
pub struct LegalChange {
    /// The object before the change.
    pub before: Value,
    /// Merge patch that leads to the object after it.
    pub change: Value,
}

/// The legal half of a case: the object before, when its rule is asked, and the merge patch to a legal object.
pub struct Accepting {
    before: Value,
    when: When,
    accepted: Value,
}

/// Starts a case with what is legal.
pub fn accepting(before: Value, when: When, accepted: Value) -> Accepting {
    Accepting { before, when, accepted }
}

impl Accepting {
    /// Completes the case with the merge patch that is refused, at which field, in which words.
    pub fn refusing(self, refused: Value, field: &str, message: &str) -> Case {
        let Self { before, when, accepted } = self;
        Case { before, when, accepted, refused, field: field.to_owned(), message: message.to_owned() }
    }
}

impl Case {
    /// The refusal that is expected.
    pub fn refusal(&self) -> Refusal {
        Refusal { kind: kind(&self.before).to_owned(), field: self.field.clone(), message: self.message.clone() }
    }

    fn label(&self, verb: &str) -> String {
        format!("{} {verb}, {:?}", kind(&self.before), self.message)
    }
}

fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

/// Puts a case to the server, with `name` for its object; answers what is not as expected.
pub async fn check(server: &Server, case: &Case, name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let before = named(&case.before, name);
    if case.when != When::OnChange {
        let accepted = server.create(&merged(&before, &case.accepted), DryRun::Yes).await;
        wrong.extend(expect_accepted(&case.label("create"), &case.accepted, accepted));
        let refused = server.create(&merged(&before, &case.refused), DryRun::Yes).await;
        wrong.extend(expect_refused("create", case, refused));
    }
    if case.when != When::OnCreation {
        match server.create(&before, DryRun::No).await {
            Err(error) => wrong.push(format!("{}: the object before is refused: {error}", case.label("change"))),
            Ok(stored) => {
                let accepted = server.replace(&merged(&stored, &case.accepted), DryRun::Yes).await;
                wrong.extend(expect_accepted(&case.label("change"), &case.accepted, accepted));
                let refused = server.replace(&merged(&stored, &case.refused), DryRun::Yes).await;
                wrong.extend(expect_refused("change", case, refused));
                server.delete(&stored).await;
            }
        }
    }
    wrong
}

/// Puts a legal change to the server; answers what is not as expected.
pub async fn check_legal_change(server: &Server, case: &LegalChange, name: &str) -> Vec<String> {
    let LegalChange { before, change } = case;
    let label = format!("{} legal change of {}", kind(before), before["spec"]);
    let stored = match server.create(&named(before, name), DryRun::No).await {
        Ok(stored) => stored,
        Err(error) => return vec![format!("{label}: the object before is refused: {error}")],
    };
    let answer = server.replace(&merged(&stored, change), DryRun::Yes).await;
    server.delete(&stored).await;
    expect_accepted(&label, change, answer).into_iter().collect()
}

/// Instances of a set are named by the set and their id; everything else can have any name.
fn named(object: &Value, name: &str) -> Value {
    let name = match object["spec"]["instanceId"].as_str() {
        Some(id) => format!("web-{id}"),
        None => name.to_owned(),
    };
    merged(object, &json!({"metadata": {"name": name}}))
}

fn expect_accepted(label: &str, change: &Value, answer: Result<Value, Error>) -> Option<String> {
    answer.err().map(|error| format!("{label} refuses {change}: {error}"))
}

fn expect_refused(verb: &str, case: &Case, answer: Result<Value, Error>) -> Option<String> {
    let label = case.label(verb);
    let Case { message, field, refused, .. } = case;
    match answer {
        Ok(_) => Some(format!("{label} accepts {refused}")),
        Err(Error::Api(status)) => {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            let named = causes.into_iter().any(|cause| cause.message.contains(message) && is_field(cause, field));
            let answer = &status.message;
            (!named).then(|| format!("{label} is not in the answer about {field:?}: {answer}"))
        }
        Err(error) => Some(format!("{label}: no answer: {error}")),
    }
}

/// The server numbers list items.
fn is_field(cause: &StatusCause, field: &str) -> bool {
    let mut unnumbered = String::new();
    let mut inside_brackets = false;
    for character in cause.field.chars() {
        inside_brackets = character == '[' || (inside_brackets && character != ']');
        if !inside_brackets || character == '[' {
            unnumbered.push(character);
        }
    }
    unnumbered == field
}
