//! The live table of `make run`.

use std::fmt::Write;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::say::{nobody_reads, part, say};

const KINDS: &str = "scalesets,scalesetvms,flexvms";
const INTERVAL: Duration = Duration::from_secs(1);

/// Why the table is not shown any longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Ctrl-C.
    Asked,
    /// The output is closed.
    NobodyReads,
    /// These processes have ended, and not through us.
    Ended(Vec<&'static str>),
}

/// Shows sets and instances once a second: redrawn on a terminal, printed on change otherwise. Ends when `stop` says
/// so, when nobody reads, or when `ended` names a process.
pub(crate) fn show(
    cluster: &Cluster,
    kubeconfig: &Path,
    ended: impl Fn() -> Vec<&'static str>,
    stop: &Receiver<()>,
) -> End {
    let redraw = std::io::stdout().is_terminal();
    let mut shown = String::new();
    while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(INTERVAL) {
        if nobody_reads() {
            return End::NobodyReads;
        }
        let mut table = match cluster.kubectl(&["get", KINDS, "--all-namespaces"]) {
            Ok(table) => table,
            Err(error) => error.to_string(),
        };
        // Asked after kubectl, whose complaint that nobody answers would say less.
        let ended = ended();
        if !ended.is_empty() {
            return End::Ended(ended);
        }
        let comparable = without_age(&table);
        if redraw {
            let _ = write!(table, "\nkubeconfig: {}   Ctrl-C stops everything\n", kubeconfig.display());
            part(format_args!("\x1b[H\x1b[2J{table}"));
        } else if comparable != shown {
            say(&table);
        }
        shown = comparable;
    }
    End::Asked
}

/// The last column changes every second and says nothing new.
fn without_age(table: &str) -> String {
    let cut =
        |line: &str| line.trim_end().rsplit_once(' ').map_or_else(|| line.to_owned(), |(rest, _)| rest.to_owned());
    table.lines().map(cut).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::without_age;

    #[test]
    fn only_a_change_besides_the_age_is_a_change() {
        let at_first = "NAME   READY   AGE\nweb    3/3     9s\n";
        assert_eq!(without_age(at_first), without_age("NAME   READY   AGE\nweb    3/3     10s\n"));
        assert_ne!(without_age(at_first), without_age("NAME   READY   AGE\nweb    2/3     9s\n"));
    }
}
