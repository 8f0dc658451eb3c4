//! Which command a directory of the local run belongs to: a `make run` for as long as it lives, and what `make up` left
//! running there until `make down`. Neither takes over what the other has started.
//!
//! The mark of a run is a lock on a file: the system takes it back however the run ends.

use std::fs::{File, TryLockError};
use std::path::Path;

use anyhow::{Context, bail};

/// What is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To go on in the background; what runs already is left alone.
    Up,
    /// To end with the live table; nothing may run yet.
    Run,
}

/// That a directory is this run's, for as long as this is held.
#[derive(Debug)]
pub(crate) struct Claim {
    _lock: Option<File>,
}

impl Claim {
    /// Claims `directory`, in which `running` runs already, or says who has it and what to do. To be called by one
    /// start at a time.
    pub(crate) fn take(directory: &Path, purpose: Purpose, running: &[&str]) -> anyhow::Result<Self> {
        let path = directory.join("run.lock");
        let lock = File::create(&path).with_context(|| path.display().to_string())?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "a `make run` is alive here: end it with Ctrl-C where it runs, or with `make down`, and try again"
                )
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| path.display().to_string()),
        }
        match (purpose, running) {
            (Purpose::Up, _) => Ok(Self { _lock: None }),
            (Purpose::Run, []) => Ok(Self { _lock: Some(lock) }),
            (Purpose::Run, running) => bail!(
                "an earlier `make up` runs here ({}) and is left alone: `make down` first, or watch it with \
                 `kubectl get ssvm --all-namespaces --watch`",
                running.join(", ")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> std::path::PathBuf {
        let directory = std::env::temp_dir().join(format!("scaleset-xtask-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[test]
    fn a_run_that_is_alive_lets_nobody_start_beside_it() {
        let directory = directory("alive");
        let run = Claim::take(&directory, Purpose::Run, &[]).unwrap();
        for purpose in [Purpose::Up, Purpose::Run] {
            let refused = Claim::take(&directory, purpose, &[]).unwrap_err().to_string();
            assert!(refused.contains("a `make run` is alive"), "{refused}");
        }
        drop(run);
        Claim::take(&directory, Purpose::Run, &[]).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn what_up_has_left_running_is_no_runs_but_up_finds_it_again() {
        let directory = directory("left");
        let running = ["etcd", "controller"];
        let refused = Claim::take(&directory, Purpose::Run, &running).unwrap_err().to_string();
        assert!(refused.starts_with("an earlier `make up` runs here (etcd, controller)"), "{refused}");
        let _first = Claim::take(&directory, Purpose::Up, &running).unwrap();
        Claim::take(&directory, Purpose::Up, &running).expect("up holds nothing back");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
