//! Extensions of a machine: in which order they run, when each starts and ends, and what a failure does.
//!
//! An extension starts when the guest runs and all extensions that it names have succeeded; those that name none run
//! side by side (Azure: sequence extension provisioning). A failed extension fails the ones after it, and the
//! machine's provisioning unless it suppresses failures. One whose guest does not run waits for the guest's next start.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use scaleset_crds::profile::Extension;
use serde::{Deserialize, Serialize};

use crate::error::Code;
use crate::machine::ExtensionState;
use crate::sim::vm::Failure;

/// Code of the failure of an extension (Azure).
pub(crate) const EXTENSION_FAILURE: Code = "VMExtensionProvisioningError";

/// One run of one extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ExtensionRun {
    /// The guest does not run.
    Waiting,
    /// It runs, or ran, until `until`.
    Until { until: Timestamp, result: RunResult },
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RunResult {
    Succeeded,
    Failed,
}

/// The runs of some extensions, when the last ends, and the failure that they make of the operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Runs {
    pub(crate) by_name: BTreeMap<String, ExtensionRun>,
    pub(crate) until: Timestamp,
    pub(crate) failure: Option<Failure>,
}

impl ExtensionRun {
    pub(crate) fn state(&self, now: Timestamp) -> ExtensionState {
        match self {
            Self::Until { until, result: RunResult::Succeeded } if *until <= now => ExtensionState::Succeeded,
            Self::Until { until, result: RunResult::Failed } if *until <= now => ExtensionState::Failed,
            Self::Waiting | Self::Until { .. } => ExtensionState::Transitioning,
        }
    }

    pub(crate) fn ends_at(&self) -> Option<Timestamp> {
        match self {
            Self::Waiting => None,
            Self::Until { until, result: _ } => Some(*until),
        }
    }
}

/// The extensions in an order in which each comes after those that it names.
pub(crate) fn ordered(extensions: &[Extension]) -> Result<Vec<&Extension>, String> {
    let names: BTreeSet<&str> = extensions.iter().map(|extension| extension.name.as_str()).collect();
    for extension in extensions {
        let unknown = extension.provision_after_extensions.iter().find(|name| !names.contains(name.as_str()));
        if let Some(unknown) = unknown {
            return Err(format!(
                "extension {} is to run after {unknown}, which the model does not have",
                extension.name
            ));
        }
    }
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut order = Vec::with_capacity(extensions.len());
    while order.len() < extensions.len() {
        let ready: Vec<&Extension> = extensions
            .iter()
            .filter(|extension| !done.contains(extension.name.as_str()))
            .filter(|extension| extension.provision_after_extensions.iter().all(|name| done.contains(name.as_str())))
            .collect();
        if ready.is_empty() {
            let rest: Vec<&str> = names.difference(&done).copied().collect();
            return Err(format!("extensions {} wait for each other", rest.join(", ")));
        }
        done.extend(ready.iter().map(|extension| extension.name.as_str()));
        order.extend(ready);
    }
    Ok(order)
}

/// Runs those of `order` that `chosen` names, from the instant at which the guest runs. The others count as done.
pub(crate) fn run(
    order: &[&Extension],
    chosen: &BTreeSet<String>,
    guest_runs_at: Timestamp,
    duration: impl Fn(&str) -> SignedDuration,
    failing: &[String],
) -> Runs {
    let mut outcome = Runs { by_name: BTreeMap::new(), until: guest_runs_at, failure: None };
    let mut suppressed: BTreeSet<&str> = BTreeSet::new();
    for extension in order.iter().filter(|extension| chosen.contains(&extension.name)) {
        let before =
            || extension.provision_after_extensions.iter().filter_map(|name| Some((name, outcome.by_name.get(name)?)));
        let starts_at = before().filter_map(|(_, run)| run.ends_at()).max().unwrap_or(guest_runs_at);
        let blocked_by = before()
            .find(|(name, run)| {
                matches!(run, ExtensionRun::Until { result: RunResult::Failed, .. })
                    && !suppressed.contains(name.as_str())
            })
            .map(|(name, _)| name.clone());
        let fails = failing.contains(&extension.name);
        let until = if blocked_by.is_some() { starts_at } else { starts_at + duration(&extension.name) };
        let result = if fails || blocked_by.is_some() { RunResult::Failed } else { RunResult::Succeeded };
        if result == RunResult::Failed && extension.suppress_failures {
            suppressed.insert(&extension.name);
        } else if result == RunResult::Failed && outcome.failure.is_none() {
            outcome.failure = Some(failure(&extension.name, blocked_by.as_deref()));
        }
        outcome.until = outcome.until.max(until);
        outcome.by_name.insert(extension.name.clone(), ExtensionRun::Until { until, result });
    }
    outcome
}

fn failure(name: &str, blocked_by: Option<&str>) -> Failure {
    let message = match blocked_by {
        Some(other) => format!("extension {name} did not run because {other} failed"),
        None => format!("extension {name} failed"),
    };
    Failure { code: EXTENSION_FAILURE.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scaleset_crds::profile::ExtensionSettings;

    fn extension(name: &str, after: &[&str]) -> Extension {
        Extension {
            name: name.to_owned(),
            publisher: "Example".to_owned(),
            extension_type: "CustomScript".to_owned(),
            type_handler_version: "1.0".to_owned(),
            settings: ExtensionSettings::default(),
            provision_after_extensions: after.iter().map(ToString::to_string).collect(),
            force_update_tag: None,
            suppress_failures: false,
        }
    }

    fn run_all(extensions: &[Extension], failing: &[&str]) -> Runs {
        let order = ordered(extensions).unwrap();
        let chosen = extensions.iter().map(|extension| extension.name.clone()).collect();
        let failing: Vec<String> = failing.iter().map(ToString::to_string).collect();
        run(&order, &chosen, Timestamp::UNIX_EPOCH, |_| SignedDuration::from_secs(10), &failing)
    }

    fn states(runs: &Runs, second: i64) -> Vec<(String, ExtensionState)> {
        let now = Timestamp::from_second(second).unwrap();
        runs.by_name.iter().map(|(name, run)| (name.clone(), run.state(now))).collect()
    }

    #[test]
    fn extensions_run_after_those_that_they_name_and_else_side_by_side() {
        let runs = run_all(&[extension("c", &["a", "b"]), extension("a", &[]), extension("b", &["a"])], &[]);
        let ends: Vec<i64> = runs.by_name.values().map(|run| run.ends_at().unwrap().as_second()).collect();
        assert_eq!(ends, [10, 20, 30]);
        assert_eq!(runs.until.as_second(), 30);
        assert_eq!(states(&runs, 10)[0].1, ExtensionState::Succeeded);
        assert_eq!(states(&runs, 10)[1].1, ExtensionState::Transitioning);
        assert_eq!(runs.failure, None);
    }

    #[test]
    fn a_failure_fails_what_comes_after_it_and_the_machine() {
        let runs = run_all(&[extension("a", &[]), extension("b", &["a"]), extension("c", &[])], &["a"]);
        let failed: Vec<ExtensionState> = states(&runs, 10).into_iter().map(|(_, state)| state).collect();
        assert_eq!(failed, [ExtensionState::Failed, ExtensionState::Failed, ExtensionState::Succeeded]);
        let failure = runs.failure.unwrap();
        assert_eq!(
            (failure.code.as_str(), failure.message.as_str()),
            ("VMExtensionProvisioningError", "extension a failed")
        );
    }

    #[test]
    fn a_suppressed_failure_stops_nothing() {
        let first = Extension { suppress_failures: true, ..extension("a", &[]) };
        let runs = run_all(&[first, extension("b", &["a"])], &["a"]);
        assert_eq!(runs.failure, None);
        assert_eq!(states(&runs, 20)[0].1, ExtensionState::Failed);
        assert_eq!(states(&runs, 20)[1].1, ExtensionState::Succeeded);
    }

    #[test]
    fn circles_and_unknown_names_are_refused() {
        let circle = [extension("a", &["b"]), extension("b", &["a"]), extension("c", &[])];
        assert_eq!(ordered(&circle).unwrap_err(), "extensions a, b wait for each other");
        let unknown = [extension("a", &["x"])];
        assert_eq!(ordered(&unknown).unwrap_err(), "extension a is to run after x, which the model does not have");
    }
}
