//! Keeps out who does not lead any more: the highest epoch that has called is kept with the machines, and a call of a
//! smaller one is refused before it does anything.

use jiff::Timestamp;

use super::hardware::{Draft, journal};
use super::journal::{Call, Outcome};
use super::world::World;
use crate::epoch;
use crate::error::HardwareError;

/// Lets the caller in, or refuses it. Answers the number of the journal entry that has to be durable before anything is
/// answered: a leader that has been let in once must be known after a restart.
pub(super) fn admit(world: &mut World, now: Timestamp) -> Result<u64, HardwareError> {
    let Some(epoch) = epoch::current() else { return Ok(0) };
    let seen = world.epoch();
    if epoch < seen {
        return Err(HardwareError::StaleEpoch { epoch, seen });
    }
    if epoch == seen {
        return Ok(0);
    }
    world.raise_epoch(epoch);
    let sequence = world.next_sequence();
    let draft = Draft { detail: format!("epoch {epoch} after {seen}"), ..Draft::default() };
    journal(world, Call::Lead, draft, Outcome::Accepted, now);
    Ok(sequence)
}
