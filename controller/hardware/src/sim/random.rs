//! Random draws that depend on nothing but the seed and what is drawn for, so that the order of calls changes no draw.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The source of all draws of one simulation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chance {
    seed: u64,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// A generator for what `purpose` names; the same purpose always draws the same numbers.
    pub(crate) fn generator(self, purpose: &[&str]) -> ChaCha8Rng {
        let mut digest = Sha256::new();
        digest.update(self.seed.to_le_bytes());
        for part in purpose {
            digest.update(part.len().to_le_bytes());
            digest.update(part.as_bytes());
        }
        ChaCha8Rng::from_seed(digest.finalize().into())
    }

    /// Whether something that happens in `percent` of all cases happens in this one.
    pub(crate) fn happens(self, percent: f64, purpose: &[&str]) -> bool {
        percent >= 100.0 || self.generator(purpose).random::<f64>() * 100.0 < percent
    }

    /// A GUID.
    pub(crate) fn guid(self, purpose: &[&str]) -> Uuid {
        uuid::Builder::from_random_bytes(self.generator(purpose).random()).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_seed_and_purpose_alone() {
        let chance = Chance::new(7);
        assert_eq!(chance.guid(&["vm", "a"]), chance.guid(&["vm", "a"]));
        assert_ne!(chance.guid(&["vm", "a"]), chance.guid(&["vm", "b"]));
        assert_ne!(chance.guid(&["vm", "a"]), chance.guid(&["vma"]));
        assert_ne!(chance.guid(&["vm", "a"]), Chance::new(8).guid(&["vm", "a"]));
    }

    #[test]
    fn a_rate_is_kept_over_many_draws() {
        let chance = Chance::new(1);
        let hits = (0..2_000).filter(|draw| chance.happens(25.0, &["rate", &draw.to_string()])).count();
        assert!((400..600).contains(&hits), "{hits} of 2000 at 25 %");
        assert!(chance.happens(100.0, &["always"]));
        assert!(!chance.happens(0.0, &["never"]));
    }
}
