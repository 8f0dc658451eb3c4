//! The real passes with both doors simulated: a cluster in memory and simulated regions under a virtual clock.
//!
//! [`script`] reads a story, [`stage`] plays it, [`cluster`] is the API, [`checkers`] judge. What a story prints are the
//! log lines of the real passes, one for each decision, so a transcript cannot tell anything else than what was done.

pub mod autoscaling;
pub mod brim;
pub mod checkers;
pub mod cluster;
mod collector;
pub mod fuzz;
pub mod random;
pub mod repairs;
pub mod rollout;
pub mod script;
pub mod stage;
