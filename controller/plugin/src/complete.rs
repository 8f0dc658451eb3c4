//! What follows the words typed so far. kubectl runs `kubectl_complete-scaleset` with them when Tab is pressed, and reads
//! a candidate a line, with its help after a tab, and a last line that says how to go on (kubectl's "Plugin completion").

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};
use clap_complete::engine::{CompletionCandidate, complete};
use kube::ResourceExt;
use kube::api::ListParams;
use scaleset_crds::ScaleSet;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::arguments::{Arguments, Connection};
use crate::cluster::Cluster;

/// The name that kubectl looks for: a link to this program.
const ASKED_AS: &str = "kubectl_complete-scaleset";
/// Tells kubectl's shell script not to offer files.
const NO_FILES: &str = ":4";
/// Nobody waits longer for Tab.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Whether kubectl asks.
pub(crate) fn is_asked() -> bool {
    let program = std::env::args_os().next().unwrap_or_default();
    Path::new(&program).file_name().is_some_and(|name| name == ASKED_AS)
}

/// Answers kubectl.
pub(crate) fn answer() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let last = words.len().saturating_sub(1).max(1);
    let wants_option = words.get(last).is_some_and(|word| word.to_string_lossy().starts_with('-'));
    let candidates = complete(&mut Arguments::command(), words, last, None).unwrap_or_default();
    for candidate in candidates {
        let value = candidate.get_value().to_string_lossy();
        if wants_option || !value.starts_with('-') {
            println!("{value}\t{}", candidate.get_help().map(ToString::to_string).unwrap_or_default());
        }
    }
    println!("{NO_FILES}");
    ExitCode::SUCCESS
}

/// Names of the sets in the namespace that the words name; none where the cluster does not answer soon.
pub(crate) fn set_names() -> Vec<CompletionCandidate> {
    let listed = || Handle::current().block_on(timeout(ANSWER_MAX, names_in_cluster()));
    let names = tokio::task::block_in_place(listed).ok().flatten().unwrap_or_default();
    names.into_iter().map(CompletionCandidate::new).collect()
}

async fn names_in_cluster() -> Option<Vec<String>> {
    let matches = Arguments::command().ignore_errors(true).try_get_matches().ok()?;
    let connection = Connection::from_arg_matches(&matches).ok()?;
    let cluster = Cluster::connect(&connection).await.ok()?;
    let sets: Vec<ScaleSet> = cluster.list(&ListParams::default()).await.ok()?;
    Some(sets.iter().map(ResourceExt::name_any).collect())
}
