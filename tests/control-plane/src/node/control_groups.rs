//! The control groups below which a node's pods run: one directory of the same name in each hierarchy.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::error::{ControlPlaneError, file};

/// How many names are tried before something else must be wrong.
const TRIES_MAX: u32 = 1_000;

/// The groups of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ControlGroups {
    /// The path below every hierarchy's root, as kubelet wants it.
    pub(crate) root: String,
    pub(crate) directories: Vec<PathBuf>,
}

impl ControlGroups {
    /// Makes groups of a name that nobody has.
    pub(crate) fn make() -> Result<Self, ControlPlaneError> {
        let mounts = Path::new("/proc/mounts");
        let hierarchies = hierarchies(&fs::read_to_string(mounts).map_err(file(mounts))?);
        let missing = || file("/sys/fs/cgroup")(std::io::Error::new(ErrorKind::NotFound, "no control groups here"));
        let first = hierarchies.first().ok_or_else(missing)?;
        for number in 0..TRIES_MAX {
            let root = format!("/scaleset-node-{}-{number}", std::process::id());
            match fs::create_dir(first.join(&root[1..])) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => {
                    made.map_err(file(first))?;
                    return Self { directories: Vec::new(), root }.in_each(&hierarchies);
                }
            }
        }
        Err(file(first)(std::io::Error::other(format!("{TRIES_MAX} names for control groups are taken"))))
    }

    fn in_each(mut self, hierarchies: &[PathBuf]) -> Result<Self, ControlPlaneError> {
        for hierarchy in hierarchies {
            let directory = hierarchy.join(&self.root[1..]);
            fs::create_dir_all(&directory).map_err(file(&directory))?;
            self.directories.push(directory);
        }
        Ok(self)
    }

    /// Removes them; their processes must be gone. What is not there any more is fine.
    pub(crate) fn remove(&self) {
        for directory in &self.directories {
            // A group holds no files of ours; what cannot be removed shows itself in the next listing.
            let _ = Command::new("find").arg(directory).args(["-depth", "-type", "d", "-delete"]).output();
        }
    }
}

/// Where the hierarchies are mounted: one on a unified machine, one for each controller on an older one.
fn hierarchies(mounts: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (directory, kind) = (fields.next()?, fields.next()?);
            let ours = matches!(kind, "cgroup" | "cgroup2") && directory.starts_with("/sys/fs/cgroup");
            ours.then(|| directory.into())
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hierarchy_counts_once() {
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n";
        assert_eq!(hierarchies(hybrid), [Path::new("/sys/fs/cgroup/cpu"), Path::new("/sys/fs/cgroup/unified")]);
        assert_eq!(hierarchies("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"), [Path::new("/sys/fs/cgroup")]);
    }
}
