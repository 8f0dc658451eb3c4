//! What a replica that does not lead makes of the lease: pure, on a clock that it is given.
//!
//! It never believes a time that stands in the lease, which is another machine's: it takes the lease only when it has
//! itself seen no change of it for as long as the lease says that its holder may be silent. (client-go does the same.)

use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;
use tokio::time::Instant;

/// A replica that does not lead.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The lease as it was last, and when it was first seen so.
    seen: Option<(LeaseSpec, Instant)>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Make the lease: there is none, and nobody can still hold one that was there.
    Create,
    /// Take it, as the change of leadership of that number.
    Take {
        /// `leaseTransitions` of whoever leads then.
        transitions: i32,
    },
    /// Wait: it is held, and may be taken after so long unless it changes.
    Wait {
        /// Who holds it.
        holder: String,
        /// How long.
        left: Duration,
    },
}

/// Changes of leadership begin with 1: 0 is who was never elected.
pub(super) const FIRST_TRANSITION: i32 = 1;

impl Candidate {
    pub(super) const fn new() -> Self {
        Self { seen: None }
    }

    /// Looks at the lease as it is now. One that somebody has deleted says nothing about its holder, who may still act:
    /// he is given the time to make it anew.
    pub(super) fn look(&mut self, lease: Option<&LeaseSpec>, now: Instant) -> Step {
        let Some(lease) = lease else {
            let held = self.seen.as_ref().and_then(|(seen, since)| held(seen, *since, now));
            if held.is_none() {
                self.seen = None;
            }
            return held.unwrap_or(Step::Create);
        };
        let since = match &self.seen {
            Some((seen, since)) if seen == lease => *since,
            Some(_) | None => {
                self.seen = Some((lease.clone(), now));
                now
            }
        };
        let take = Step::Take { transitions: lease.lease_transitions.unwrap_or(0).saturating_add(1) };
        held(lease, since, now).unwrap_or(take)
    }
}

/// For how long a lease that has not changed since then is still its holder's; `None` if it is nobody's.
fn held(lease: &LeaseSpec, since: Instant, now: Instant) -> Option<Step> {
    let holder = lease.holder_identity.as_deref().filter(|holder| !holder.is_empty())?;
    let silent = u64::try_from(lease.lease_duration_seconds.unwrap_or(0)).unwrap_or(0);
    let left = (since + Duration::from_secs(silent)).saturating_duration_since(now);
    (!left.is_zero()).then(|| Step::Wait { holder: holder.to_owned(), left })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn lease(holder: &str, renewed_at: i64) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(3),
            renew_time: Some(MicroTime(Timestamp::from_second(renewed_at).unwrap())),
            ..LeaseSpec::default()
        }
    }

    fn wait(holder: &str, seconds: u64) -> Step {
        Step::Wait { holder: holder.to_owned(), left: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_lease_is_taken_when_nothing_of_it_has_changed_for_its_duration() {
        let begun = Instant::now();
        let take = Step::Take { transitions: 4 };
        let table: [(u64, Option<LeaseSpec>, Step, &str); 13] = [
            (0, Some(lease("a", 1)), wait("a", 15), "its renewal is ages ago by this clock: that says nothing"),
            (14, Some(lease("a", 1)), wait("a", 1), ""),
            (15, Some(lease("a", 2_000_000_000)), wait("a", 15), "it was renewed, by a clock that is ahead"),
            (29, Some(lease("a", 2_000_000_000)), wait("a", 1), ""),
            (30, Some(lease("a", 2_000_000_000)), take.clone(), "silent for 15 s"),
            (31, Some(lease("b", 5)), wait("b", 15), "another was faster"),
            (32, Some(lease("", 5)), take, "it was released"),
            (33, None, Step::Create, "it was deleted, and was nobody's"),
            (34, Some(lease("c", 6)), wait("c", 15), ""),
            (35, None, wait("c", 14), "it was deleted, and its holder may not know yet"),
            (40, Some(lease("c", 7)), wait("c", 15), "he has made it anew"),
            (54, None, wait("c", 1), ""),
            (55, None, Step::Create, "he has not made it anew"),
        ];
        let mut candidate = Candidate::new();
        for (second, lease, step, why) in table {
            let now = begun + Duration::from_secs(second);
            assert_eq!(candidate.look(lease.as_ref(), now), step, "second {second}: {why}");
        }
    }

    #[test]
    fn what_is_missing_in_a_lease_is_no_reason_to_wait_for_ever() {
        let mut candidate = Candidate::new();
        assert_eq!(candidate.look(Some(&LeaseSpec::default()), Instant::now()), Step::Take { transitions: 1 });
        let half = LeaseSpec { holder_identity: Some("a".to_owned()), ..LeaseSpec::default() };
        assert_eq!(candidate.look(Some(&half), Instant::now()), Step::Take { transitions: 1 });
    }
}
