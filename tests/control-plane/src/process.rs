//! Processes that outlive no one they should not.
//!
//! [`Lifetime::WithParent`]: a watchdog shell, in a process group of its own so that Ctrl-C does not reach it, starts
//! every process and holds them as its children. It reads commands from a pipe; when the pipe closes, because its
//! parent stopped, panicked or was killed, it ends them all. There is no moment at which a process is running and the
//! watchdog does not know it.
//!
//! [`Lifetime::Detached`]: the process goes on after its parent; it is found again by its id and start time, so that a
//! recycled id is never mistaken for it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::error::{ControlPlaneError, file};

/// How long a process may take to end by itself.
const TERMINATION_GRACE: Duration = Duration::from_secs(10);

/// The watchdog: starts what it is told, one command a line, ends all of it at the end of its input, within three
/// seconds, and removes the directory that it is given.
const WATCHDOG: &str = r#"
pids=""
while IFS= read -r line; do
  eval "$line" &
  pids="$! $pids"
  echo "$!"
done
kill -TERM $pids 2>/dev/null
( sleep 3; kill -KILL $pids ) 2>/dev/null &
wait $pids 2>/dev/null
kill $! 2>/dev/null
[ -z "$1" ] || rm -rf "$1"
"#;

/// Whether a process ends with the one that started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It ends with its parent, however that ends.
    WithParent,
    /// It goes on.
    Detached,
}

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

    fn signal(self, signal: Signal) {
        if let (true, Some(pid)) = (self.is_running(), Pid::from_raw(self.pid)) {
            // A process that has just ended needs no signal.
            let _ = kill_process(pid, signal);
        }
    }

    fn is_gone_within(self, limit: Duration) -> bool {
        let started = Instant::now();
        while self.is_running() {
            if started.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }
}

/// State letter and start time of a process.
fn stat(pid: i32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name may hold anything, but it ends at the last parenthesis.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.first()?.chars().next()?, fields.get(19)?.parse().ok()?))
}

/// Starts processes with one lifetime.
#[derive(Debug)]
pub struct Supervisor(Kind);

#[derive(Debug)]
enum Kind {
    Watchdog { child: Child, commands: Option<ChildStdin>, answers: BufReader<ChildStdout> },
    Detached,
}

impl Supervisor {
    /// A supervisor of processes with that lifetime. Dropping it ends those that do not outlive it.
    pub fn new(lifetime: Lifetime) -> Result<Self, ControlPlaneError> {
        Self::removing(lifetime, None)
    }

    /// The same; with [`Lifetime::WithParent`], `leftovers` is removed once the processes have ended.
    pub fn removing(lifetime: Lifetime, leftovers: Option<&Path>) -> Result<Self, ControlPlaneError> {
        match lifetime {
            Lifetime::Detached => Ok(Self(Kind::Detached)),
            Lifetime::WithParent => {
                let mut child = Command::new("sh")
                    .args(["-c", WATCHDOG, "watchdog"])
                    .args(leftovers)
                    .process_group(0)
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()
                    .map_err(|source| ControlPlaneError::Run { program: "sh".to_owned(), source })?;
                let commands = child.stdin.take();
                let answers = BufReader::new(child.stdout.take().expect("stdout is piped"));
                Ok(Self(Kind::Watchdog { child, commands, answers }))
            }
        }
    }

    /// Starts `program`, its output appended to `log`.
    pub fn start(&mut self, program: &Path, arguments: &[String], log: &Path) -> Result<ProcessId, ControlPlaneError> {
        let cannot = |source| ControlPlaneError::Run { program: program.display().to_string(), source };
        let pid = match &mut self.0 {
            Kind::Detached => {
                let output = fs::OpenOptions::new().create(true).append(true).open(log).map_err(file(log))?;
                let errors = output.try_clone().map_err(file(log))?;
                let mut command = Command::new(program);
                command.args(arguments).process_group(0).stdin(Stdio::null()).stdout(output).stderr(errors);
                i32::try_from(command.spawn().map_err(cannot)?.id()).expect("a process id fits")
            }
            Kind::Watchdog { child: _, commands, answers } => {
                let words = std::iter::once(program.display().to_string()).chain(arguments.iter().cloned());
                let command = words.map(|word| quote(&word)).collect::<Vec<_>>().join(" ");
                let line = format!("exec {command} </dev/null >>{} 2>&1\n", quote(&log.display().to_string()));
                let pipe = commands.as_mut().expect("the pipe is open until the supervisor is dropped");
                pipe.write_all(line.as_bytes()).and_then(|()| pipe.flush()).map_err(cannot)?;
                let mut answer = String::new();
                answers.read_line(&mut answer).map_err(cannot)?;
                answer.trim().parse().map_err(|_| cannot(std::io::Error::other("the watchdog does not answer")))?
            }
        };
        ProcessId::of(pid).ok_or_else(|| cannot(std::io::Error::other("it ended at once")))
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        match &mut self.0 {
            Kind::Detached => {}
            Kind::Watchdog { child, commands, answers: _ } => {
                drop(commands.take());
                // The watchdog ends by itself once its children have; there is nobody to tell if it does not.
                let _ = child.wait();
            }
        }
    }
}

/// A word as the shell reads it back.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
