//! Processes that outlive no one they should not.
//!
//! A watchdog shell, in a process group of its own so that Ctrl-C does not reach it, starts every process and holds them
//! as its children. It reads commands from a pipe; when the pipe closes, because its parent stopped, panicked or was
//! killed, it ends them all. There is no moment at which a process is running and the watchdog does not know it.
//!
//! What shall outlive its parent is let go of once all of it runs ([`Supervisor::keep`]), so that a start that fails half
//! way takes along what it has started. Such a process is found again by its id and start time: a recycled id is never
//! mistaken for it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::error::ControlPlaneError;

/// How long a process may take to end by itself.
const TERMINATION_GRACE: Duration = Duration::from_secs(10);

/// The watchdog: starts what it is told, one command a line, ends all of it at the end of its input, within three
/// seconds, and removes the control groups that it is given after the directory, and then the directory. At the word
/// [`KEEP`] it goes and leaves all as it is.
const WATCHDOG: &str = r#"
pids=""
while IFS= read -r line; do
  [ "$line" = keep ] && exit
  eval "$line" &
  pids="$! $pids"
  echo "$!"
done
kill -TERM $pids 2>/dev/null
( sleep 3; kill -KILL $pids ) 2>/dev/null &
wait $pids 2>/dev/null
kill $! 2>/dev/null
directory=$1
[ $# -eq 0 ] || shift
for group; do
  find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
done
[ -z "$directory" ] || rm -rf "$directory"
"#;

const KEEP: &str = "keep\n";

/// A process, by id and start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The id.
    pub pid: i32,
    /// Start time in clock ticks since boot, as the kernel tells it.
    pub start_ticks: u64,
}

impl ProcessId {
    /// The process that has `pid` now.
    pub fn of(pid: i32) -> Option<Self> {
        let (_, start_ticks) = stat(pid)?;
        Some(Self { pid, start_ticks })
    }

    /// Whether it runs: it is there, is the same one, and is no zombie. While one of its threads is still ending, its
    /// files and locks are its own, so it runs.
    pub fn is_running(self) -> bool {
        let threads = || fs::read_dir(format!("/proc/{}/task", self.pid)).map_or(0, Iterator::count);
        stat(self.pid)
            .is_some_and(|(state, start_ticks)| start_ticks == self.start_ticks && (state != 'Z' || threads() > 1))
    }

    /// Ends it, by force after ten seconds. Whether it is gone.
    pub fn stop(self) -> bool {
        self.signal(Signal::TERM);
        if !self.is_gone_within(TERMINATION_GRACE) {
            self.signal(Signal::KILL);
        }
        self.is_gone_within(TERMINATION_GRACE)
    }

    /// Ends it at once. Whether it is gone within ten seconds.
    pub(crate) fn kill(self) -> bool {
        self.signal(Signal::KILL);
        self.is_gone_within(TERMINATION_GRACE)
    }

    pub(crate) fn is_gone_within(self, limit: Duration) -> bool {
        let started = Instant::now();
        while self.is_running() {
            if started.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    fn signal(self, signal: Signal) {
        if let (true, Some(pid)) = (self.is_running(), Pid::from_raw(self.pid)) {
            // A process that has just ended needs no signal.
            let _ = kill_process(pid, signal);
        }
    }
}

/// State letter and start time of a process.
fn stat(pid: i32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name may hold anything, but it ends at the last parenthesis.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.first()?.chars().next()?, fields.get(19)?.parse().ok()?))
}

/// Starts processes that end with this one, however it ends, until [`Self::keep`].
#[derive(Debug)]
pub struct Supervisor {
    watchdog: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    started: Vec<ProcessId>,
}

impl Supervisor {
    /// A supervisor of no process yet. Dropping it ends those that it has started.
    pub fn new() -> Result<Self, ControlPlaneError> {
        Self::removing(None)
    }

    /// The same; `leftovers` is removed once the processes have ended.
    pub fn removing(leftovers: Option<&Path>) -> Result<Self, ControlPlaneError> {
        Self::clearing(leftovers, &[])
    }

    /// The same; the control groups, whose processes are all below what it starts, are removed as well.
    pub(crate) fn clearing(leftovers: Option<&Path>, control_groups: &[PathBuf]) -> Result<Self, ControlPlaneError> {
        let mut watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(leftovers.unwrap_or(Path::new("")))
            .args(control_groups)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| ControlPlaneError::Run { program: "sh".to_owned(), source })?;
        let commands = watchdog.stdin.take();
        let answers = BufReader::new(watchdog.stdout.take().expect("stdout is piped"));
        Ok(Self { watchdog, commands, answers, started: Vec::new() })
    }

    /// Starts `program`, its output appended to `log`.
    pub fn start(&mut self, program: &Path, arguments: &[String], log: &Path) -> Result<ProcessId, ControlPlaneError> {
        let cannot = |source| ControlPlaneError::Run { program: program.display().to_string(), source };
        let words = std::iter::once(program.display().to_string()).chain(arguments.iter().cloned());
        let command = words.map(|word| quote(&word)).collect::<Vec<_>>().join(" ");
        if command.contains('\n') {
            // The rest would be commands of their own.
            return Err(cannot(std::io::Error::other("its arguments must be on one line")));
        }
        let line = format!("exec {command} </dev/null >>{} 2>&1\n", quote(&log.display().to_string()));
        let pipe = self.commands.as_mut().expect("the pipe is open until the supervisor is dropped");
        pipe.write_all(line.as_bytes()).and_then(|()| pipe.flush()).map_err(cannot)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).map_err(cannot)?;
        let pid = answer.trim().parse().map_err(|_| cannot(std::io::Error::other("the watchdog does not answer")))?;
        let process = ProcessId::of(pid).ok_or_else(|| cannot(std::io::Error::other("it ended at once")))?;
        self.started.push(process);
        Ok(process)
    }

    /// What it has started and would end, in that order.
    pub(crate) fn started(&self) -> &[ProcessId] {
        &self.started
    }

    /// Lets go of everything that it has started: it goes on, whatever happens to this process.
    pub fn keep(mut self) {
        self.let_go();
    }

    pub(crate) fn let_go(&mut self) {
        if let Some(commands) = &mut self.commands {
            // Where the watchdog is gone there is nobody left who would end them.
            let _ = commands.write_all(KEEP.as_bytes());
        }
        self.started.clear();
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.commands.take());
        // The watchdog ends by itself once its children have; there is nobody to tell if it does not.
        let _ = self.watchdog.wait();
    }
}

/// A word as the shell reads it back.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(supervisor: &mut Supervisor) -> ProcessId {
        supervisor.start(Path::new("sleep"), &["60".to_owned()], Path::new("/dev/null")).unwrap()
    }

    #[test]
    fn a_start_that_is_given_up_takes_along_what_it_has_started_and_nothing_else() {
        let mut before = Supervisor::new().unwrap();
        let mut given_up = Supervisor::new().unwrap();
        let (ran_before, started) = (sleeper(&mut before), sleeper(&mut given_up));
        assert_eq!(given_up.started(), [started]);
        drop(given_up);
        assert!(!started.is_running());
        assert!(ran_before.is_running());
    }

    #[test]
    fn an_argument_of_two_lines_is_refused_and_no_command() {
        let mut supervisor = Supervisor::new().unwrap();
        let two = ["60\ntouch /dev/null".to_owned()];
        let refused = supervisor.start(Path::new("sleep"), &two, Path::new("/dev/null")).unwrap_err();
        assert!(refused.to_string().contains("must be on one line"), "{refused}");
        assert_eq!(supervisor.started(), []);
    }

    #[test]
    fn what_is_kept_goes_on() {
        let mut supervisor = Supervisor::new().unwrap();
        let kept = sleeper(&mut supervisor);
        supervisor.keep();
        assert!(kept.is_running());
        assert!(kept.stop());
    }
}
