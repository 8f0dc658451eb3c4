//! The live table of `make run`.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::cluster::Cluster;

const KINDS: &str = "scalesets,scalesetvms,flexvms";
const INTERVAL: Duration = Duration::from_secs(1);

/// Shows sets and instances once a second until `stop` says so: redrawn on a terminal, printed on change otherwise.
pub(crate) fn show(cluster: &Cluster, stop: &Receiver<()>) {
    let redraw = std::io::stdout().is_terminal();
    let mut shown = String::new();
    while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(INTERVAL) {
        let table = match cluster.kubectl(&["get", KINDS, "--all-namespaces"]) {
            Ok(table) => table,
            Err(error) => error.to_string(),
        };
        let comparable = without_age(&table);
        if redraw {
            print!("\x1b[H\x1b[2J{table}\nkubeconfig: {}   Ctrl-C stops everything\n", cluster.kubeconfig().display());
        } else if comparable != shown {
            println!("{table}");
        }
        shown = comparable;
        // A broken terminal is noticed by Ctrl-C, not here.
        let _ = std::io::stdout().flush();
    }
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
