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
    /// Make the lease: there is none.
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

    /// Looks at the lease as it is now.
    pub(super) fn look(&mut self, lease: Option<&LeaseSpec>, now: Instant) -> Step {
        let Some(lease) = lease else {
            self.seen = None;
            return Step::Create;
        };
        let since = match &self.seen {
            Some((seen, since)) if seen == lease => *since,
            Some(_) | None => {
                self.seen = Some((lease.clone(), now));
                now
            }
        };
        let take = Step::Take { transitions: lease.lease_transitions.unwrap_or(0).saturating_add(1) };
        let Some(holder) = lease.holder_identity.as_deref().filter(|holder| !holder.is_empty()) else { return take };
        let silent = u64::try_from(lease.lease_duration_seconds.unwrap_or(0)).unwrap_or(0);
        let left = (since + Duration::from_secs(silent)).saturating_duration_since(now);
        if left.is_zero() { take } else { Step::Wait { holder: holder.to_owned(), left } }
    }
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
        let table: [(u64, Option<LeaseSpec>, Step, &str); 8] = [
            (0, Some(lease("a", 1)), wait("a", 15), "its renewal is ages ago by this clock: that says nothing"),
            (14, Some(lease("a", 1)), wait("a", 1), ""),
            (15, Some(lease("a", 2_000_000_000)), wait("a", 15), "it was renewed, by a clock that is ahead"),
            (29, Some(lease("a", 2_000_000_000)), wait("a", 1), ""),
            (30, Some(lease("a", 2_000_000_000)), take.clone(), "silent for 15 s"),
            (31, Some(lease("b", 5)), wait("b", 15), "another was faster"),
            (32, Some(lease("", 5)), take, "it was released"),
            (33, None, Step::Create, "it was deleted"),
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
