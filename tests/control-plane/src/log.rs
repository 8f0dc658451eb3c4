//! Logs of processes, for messages about what went wrong.
//!
//! A log is appended to over many starts; what is shown of it belongs to one start, and holds no stacks: those are for
//! whoever opens the file.

use std::fs;
use std::path::Path;

/// With these words a line begins that starts a stack, in Go and in Rust.
const STACK_BEGINS: [&str; 2] = ["goroutine ", "stack backtrace:"];
/// Where etcd puts the stack into the line itself, last.
const STACK_FIELD: &str = ",\"stacktrace\":";
const LINE_CHARS_MAX: usize = 600;

/// How long a log is now, in bytes; 0 where there is none. What is appended later begins there.
pub fn log_length_bytes(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// The last lines of what a log holds from `from_bytes` on, without stacks and the rest of endless lines; nothing where
/// there is no log.
pub fn log_tail(path: &Path, from_bytes: u64, lines: usize) -> String {
    let all = fs::read(path).unwrap_or_default();
    // A log that is shorter than it was has been begun anew.
    let new = usize::try_from(from_bytes).ok().and_then(|from| all.get(from..)).unwrap_or(&all);
    let text = String::from_utf8_lossy(new);
    let said: Vec<String> = text
        .lines()
        .take_while(|line| !STACK_BEGINS.iter().any(|begin| line.starts_with(begin)))
        .map(without_stack)
        .collect();
    said[said.len().saturating_sub(lines)..].join("\n")
}

fn without_stack(line: &str) -> String {
    let said = line.split(STACK_FIELD).next().unwrap_or_default();
    said.chars().take(LINE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str) -> tempfile::NamedTempFile {
        let log = tempfile::NamedTempFile::new().unwrap();
        fs::write(log.path(), text).unwrap();
        log
    }

    #[test]
    fn the_tail_is_the_last_lines_or_all_there_are() {
        let log = log("one\ntwo\nthree\n");
        assert_eq!(log_tail(log.path(), 0, 2), "two\nthree");
        assert_eq!(log_tail(log.path(), 0, 9), "one\ntwo\nthree");
        assert_eq!(log_tail(&log.path().with_extension("missing"), 0, 2), "");
    }

    #[test]
    fn what_an_earlier_start_said_is_not_shown() {
        let log = log("old\n");
        let from = log_length_bytes(log.path());
        assert_eq!(log_tail(log.path(), from, 9), "");
        fs::write(log.path(), "old\nnew\n").unwrap();
        assert_eq!(log_tail(log.path(), from, 9), "new");
        assert_eq!(log_tail(log.path(), 99, 9), "old\nnew", "begun anew");
    }

    #[test]
    fn stacks_are_left_in_the_log() {
        let go = log("panic: no\n\ngoroutine 1 [running]:\nmain.main()\n");
        assert_eq!(log_tail(go.path(), 0, 9), "panic: no\n");
        let rust = log("panicked at a.rs:1\nstack backtrace:\n   0: main\n");
        assert_eq!(log_tail(rust.path(), 0, 9), "panicked at a.rs:1");
        let etcd = log("{\"msg\":\"address in use\",\"stacktrace\":\"main.main\"}\n");
        assert_eq!(log_tail(etcd.path(), 0, 9), "{\"msg\":\"address in use\"");
    }
}
