//! What goes wrong between the controller and the API.

use scaleset_controller::cluster::ClusterError;

use crate::simulation::random::Random;

/// What goes wrong.
#[derive(Clone, Debug, Default)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// So many of 100 writes are refused, and as many are carried out while their answer is lost.
    Unreliable {
        /// Of 100.
        percent: usize,
        /// Which ones.
        seed: u64,
    },
    /// The controller dies at one of its writes, counted from 0.
    Crash {
        /// Which write.
        write: u64,
        /// On which side of it.
        point: CrashPoint,
    },
}

/// On which side of a write the controller dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// It is never sent.
    Before,
    /// It is carried out, and nobody is left to hear the answer.
    After,
}

/// What becomes of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Goes,
    Refused,
    AnswerLost,
    Dies(CrashPoint),
}

#[derive(Debug, Default)]
pub(super) struct Troubles {
    trouble: Trouble,
    attempts: u64,
    since: u64,
}

impl Troubles {
    pub(super) const fn attempts(&self) -> u64 {
        self.attempts
    }

    pub(super) fn set(&mut self, trouble: Trouble) {
        self.trouble = trouble;
        self.since = self.attempts;
    }

    /// What becomes of the next write.
    pub(super) fn next(&mut self) -> Fate {
        let number = self.attempts - self.since;
        self.attempts += 1;
        match &self.trouble {
            Trouble::None => Fate::Goes,
            Trouble::Unreliable { percent, seed } => match Random::new(seed ^ (number << 20)).below(100) {
                drawn if drawn < *percent => Fate::Refused,
                drawn if drawn < 2 * percent => Fate::AnswerLost,
                _ => Fate::Goes,
            },
            Trouble::Crash { write, point } if *write == number => Fate::Dies(*point),
            Trouble::Crash { write, point: _ } if *write > number => Fate::Goes,
            // What was in flight beside the write that died with the controller is never sent either.
            Trouble::Crash { .. } => Fate::Dies(CrashPoint::Before),
        }
    }
}

pub(super) fn unavailable(what: &str) -> ClusterError {
    ClusterError::Unavailable { message: what.to_owned() }
}
