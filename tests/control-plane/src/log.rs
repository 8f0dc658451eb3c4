//! Logs of processes, for messages about what went wrong.

use std::fs;
use std::path::Path;

/// The last lines of a log; nothing where there is none.
pub fn log_tail(path: &Path, lines: usize) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::log_tail;

    #[test]
    fn the_tail_is_the_last_lines_or_all_there_are() {
        let log = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(log.path(), "one\ntwo\nthree\n").unwrap();
        assert_eq!(log_tail(log.path(), 2), "two\nthree");
        assert_eq!(log_tail(log.path(), 9), "one\ntwo\nthree");
        assert_eq!(log_tail(&log.path().with_extension("missing"), 2), "");
    }
}
