//! What is remembered of tokens that were asked about. Tokens themselves are not kept, only their hashes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

/// How long a token that was found good is believed. One that is withdrawn is refused after this long at the latest.
const BELIEVED_FOR: Duration = Duration::from_mins(1);
/// How long a refusal stands: who shows a wrong token again and again costs the API one question in this time.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// Most tokens that are remembered.
const REMEMBERED_MAX: usize = 64;

/// A token, as it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(super) fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

/// What was found of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It lets in.
    Good,
    /// It does not.
    Refused {
        /// Why.
        reason: String,
    },
}

impl Verdict {
    const fn stands_for(&self) -> Duration {
        match self {
            Self::Good => BELIEVED_FOR,
            Self::Refused { reason: _ } => REFUSED_FOR,
        }
    }
}

/// What was found of the last tokens, and when.
#[derive(Debug, Default)]
pub(super) struct Verdicts(BTreeMap<TokenHash, (Verdict, Instant)>);

impl Verdicts {
    /// What still stands.
    pub(super) fn of(&self, token: TokenHash, now: Instant) -> Option<Verdict> {
        let (verdict, since) = self.0.get(&token)?;
        stands(verdict, *since, now).then(|| verdict.clone())
    }

    /// Where there is no room, a good token takes that of the oldest refusal, and anything else is forgotten: however many
    /// wrong tokens are shown, those that let in are remembered.
    pub(super) fn remember(&mut self, token: TokenHash, verdict: Verdict, now: Instant) {
        self.0.retain(|_, (verdict, since)| stands(verdict, *since, now));
        if self.0.len() >= REMEMBERED_MAX && verdict == Verdict::Good {
            let refusals = self.0.iter().filter(|(_, (verdict, _))| *verdict != Verdict::Good);
            let oldest = refusals.min_by_key(|(token, (_, since))| (*since, **token)).map(|(token, _)| *token);
            oldest.and_then(|oldest| self.0.remove(&oldest));
        }
        if self.0.len() < REMEMBERED_MAX || self.0.contains_key(&token) {
            self.0.insert(token, (verdict, now));
        }
    }
}

fn stands(verdict: &Verdict, since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < verdict.stands_for()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Verdict {
        Verdict::Refused { reason: "it is another's".to_owned() }
    }

    #[test]
    fn a_verdict_stands_for_its_time() {
        let (mut verdicts, begun) = (Verdicts::default(), Instant::now());
        let after = |seconds: u64| begun + Duration::from_secs(seconds);
        let (good, bad) = (TokenHash::of("good"), TokenHash::of("bad"));
        verdicts.remember(good, Verdict::Good, begun);
        verdicts.remember(bad, refused(), begun);
        assert_eq!(verdicts.of(good, after(59)), Some(Verdict::Good));
        assert_eq!(verdicts.of(good, after(60)), None);
        assert_eq!(verdicts.of(bad, after(4)), Some(refused()));
        assert_eq!(verdicts.of(bad, after(5)), None);
        assert_eq!(verdicts.of(TokenHash::of("unknown"), begun), None);
    }

    #[test]
    fn wrong_tokens_take_no_room_from_good_ones() {
        let (mut verdicts, now) = (Verdicts::default(), Instant::now());
        let hash = |kind: &str, number: usize| TokenHash::of(&format!("{kind}-{number}"));
        for number in 0..2 * REMEMBERED_MAX {
            verdicts.remember(hash("bad", number), refused(), now);
        }
        assert_eq!(verdicts.0.len(), REMEMBERED_MAX);
        for number in 0..2 * REMEMBERED_MAX {
            verdicts.remember(hash("good", number), Verdict::Good, now);
        }
        assert_eq!(verdicts.0.len(), REMEMBERED_MAX);
        assert!(verdicts.0.values().all(|(verdict, _)| *verdict == Verdict::Good), "{verdicts:?}");
        verdicts.remember(hash("good", 0), refused(), now);
        assert_eq!(verdicts.of(hash("good", 0), now), Some(refused()), "what is known by now replaces what was");
    }
}
