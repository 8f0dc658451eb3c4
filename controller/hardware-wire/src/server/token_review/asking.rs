//! Who asks the API now: one for each token, so that a wrong one delays nobody else, and only so many in all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard, Semaphore, SemaphorePermit};

use super::TokenHash;

/// Questions under way: whoever shows many wrong tokens does not flood the API through us.
pub(super) const MOST_AT_ONCE: usize = 8;

/// The questions that are under way.
#[derive(Debug)]
pub(super) struct Asking {
    turns: Mutex<BTreeMap<TokenHash, Weak<Turn<()>>>>,
    places: Semaphore,
}

impl Default for Asking {
    fn default() -> Self {
        Self { turns: Mutex::default(), places: Semaphore::new(MOST_AT_ONCE) }
    }
}

impl Asking {
    /// Waits for whoever asks about the same token.
    pub(super) async fn turn(&self, token: TokenHash) -> OwnedMutexGuard<()> {
        self.turn_of(token).lock_owned().await
    }

    /// Waits until the API may be asked one more question.
    pub(super) async fn place(&self) -> SemaphorePermit<'_> {
        self.places.acquire().await.expect("the semaphore is never closed")
    }

    /// What nobody waits for any more is forgotten whenever another token comes.
    fn turn_of(&self, token: TokenHash) -> Arc<Turn<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&token).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Turn::new(()));
        turns.insert(token, Arc::downgrade(&turn));
        turn
    }
}
