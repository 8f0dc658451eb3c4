//! The programs of a node.

use std::path::PathBuf;

use crate::binaries::{Binaries, ProgramSet, Progress};
use crate::error::ControlPlaneError;
use crate::node::requirements::Machine;

/// The programs that a node and its control plane are made of.
#[derive(Clone, Debug)]
pub struct NodePrograms {
    sets: [Binaries; 3],
}

impl NodePrograms {
    /// Finds out where they are, or will be.
    pub fn locate() -> Result<Self, ControlPlaneError> {
        let of = Binaries::of;
        Ok(Self { sets: [of(ProgramSet::ControlPlane)?, of(ProgramSet::Node)?, of(ProgramSet::Runtime)?] })
    }

    /// Builds what is missing, telling `progress` about once a second; refuses first where this machine cannot be a node.
    pub fn ensure(&self, mut progress: impl FnMut(Progress<'_>)) -> Result<(), ControlPlaneError> {
        Machine::look()?;
        self.sets.iter().try_for_each(|set| set.ensure(&mut progress))
    }

    /// The program's path; it may not have been built yet.
    pub fn path(&self, name: &str) -> PathBuf {
        let mut path = PathBuf::from(name);
        for set in &self.sets {
            path = set.path(name);
            if path.is_file() {
                break;
            }
        }
        path
    }
}
