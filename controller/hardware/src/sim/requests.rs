//! Requests that the simulation sends through a load balancer, and what becomes of them.
//!
//! They come in even steps of scenario time, and go to the healthy members of the pool in turn. One is lost when it reaches a
//! machine that is down, or whose machine goes down before its time is over. Counts live with the process; the load is
//! kept in the store.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Most requests in a second.
const MOST_PER_SECOND: u32 = 100;
/// Longest request.
const LONGEST_SECONDS: u32 = 600;

/// How many requests are sent, and how long each takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestLoad {
    /// Requests in a second of scenario time, 1 to 100.
    pub per_second: u32,
    /// Seconds of scenario time that each is under way, 0 to 600.
    #[serde(default)]
    pub each_seconds: u32,
}

impl RequestLoad {
    /// The field that is out of range, with what is wrong.
    pub(crate) fn problem(self) -> Option<(&'static str, String)> {
        let Self { per_second, each_seconds } = self;
        if !(1..=MOST_PER_SECOND).contains(&per_second) {
            return Some(("perSecond", format!("{per_second} is out of range: 1 to {MOST_PER_SECOND}")));
        }
        let message = format!("{each_seconds} is out of range: 0 to {LONGEST_SECONDS}");
        (each_seconds > LONGEST_SECONDS).then_some(("eachSeconds", message))
    }
}

/// What has become of the requests of a load balancer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestCounts {
    /// All.
    pub sent: u64,
    /// Answered well.
    pub answered: u64,
    /// Answered badly by an application that is up.
    pub failed: u64,
    /// Sent to a machine that was down.
    pub hit_down: u64,
    /// Cut off by a machine that went down.
    pub cut: u64,
    /// Sent to nobody: the pool had no healthy member.
    pub unrouted: u64,
    /// Under way.
    pub under_way: u64,
}

impl RequestCounts {
    /// Requests that hit a machine that is down, or was when they had not ended.
    pub const fn lost(&self) -> u64 {
        self.hit_down + self.cut
    }
}

/// The requests of one load balancer.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    pub(crate) load: RequestLoad,
    begun_at: Timestamp,
    /// Number of the next request.
    next: u64,
    /// Until when everything is counted.
    settled_at: Timestamp,
    under_way: VecDeque<UnderWay>,
    counts: RequestCounts,
}

#[derive(Clone, Debug)]
struct UnderWay {
    uid: Arc<str>,
    sent_at: Timestamp,
    ends_at: Timestamp,
}

/// A healthy member of the pool, and how it answers.
#[derive(Clone, Debug)]
pub(crate) struct Routed {
    pub(crate) uid: Arc<str>,
    pub(crate) answers: Answers,
}

/// How a member answers that the load balancer takes for healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    Well,
    Badly,
    NotAtAll,
}

impl Requests {
    pub(crate) fn new(load: RequestLoad, now: Timestamp) -> Self {
        let counts = RequestCounts::default();
        Self { load, begun_at: now, next: 0, settled_at: now, under_way: VecDeque::new(), counts }
    }

    /// Another load from now on; what was counted stays.
    pub(crate) fn change(&mut self, load: RequestLoad, now: Timestamp) {
        (self.load, self.begun_at, self.next) = (load, now, 0);
    }

    pub(crate) const fn settled_at(&self) -> Timestamp {
        self.settled_at
    }

    pub(crate) fn counts(&self) -> RequestCounts {
        let ended = self.under_way.iter().filter(|request| request.ends_at <= self.settled_at).count() as u64;
        let under_way = self.under_way.len() as u64 - ended;
        RequestCounts { answered: self.counts.answered + ended, under_way, ..self.counts }
    }

    /// Lets time pass in which no machine changes. `routed` are the healthy members, `up_since` says since when a machine
    /// has been up.
    pub(crate) fn pass(&mut self, until: Timestamp, routed: &[Routed], up_since: impl Fn(&str) -> Option<Timestamp>) {
        self.end_or_cut(up_since);
        self.send(until, routed);
        self.settled_at = until;
    }

    fn end_or_cut(&mut self, up_since: impl Fn(&str) -> Option<Timestamp>) {
        let Self { settled_at, under_way, counts, .. } = self;
        under_way.retain(|request| {
            let ended = request.ends_at <= *settled_at;
            let up = up_since(&request.uid).is_some_and(|since| since <= request.sent_at);
            counts.answered += u64::from(ended);
            counts.cut += u64::from(!ended && !up);
            !ended && up
        });
    }

    fn send(&mut self, until: Timestamp, routed: &[Routed]) {
        let (first, end) = (self.next, self.number_at(until));
        if end <= first {
            return;
        }
        self.next = end;
        self.counts.sent += end - first;
        if routed.is_empty() {
            self.counts.unrouted += end - first;
            return;
        }
        let each = SignedDuration::from_secs(i64::from(self.load.each_seconds));
        // Those before it have ended by then.
        let lasting = self.number_at(until - each).clamp(first, end);
        let in_turn = routed.len() as u64;
        for (turn, Routed { uid: _, answers }) in (0..).zip(routed) {
            match answers {
                Answers::Well => self.counts.answered += share(first..lasting, turn, in_turn),
                Answers::Badly => self.counts.failed += share(first..end, turn, in_turn),
                Answers::NotAtAll => self.counts.hit_down += share(first..end, turn, in_turn),
            }
        }
        for number in lasting..end {
            let Routed { uid, answers } = &routed[usize::try_from(number % in_turn).expect("it is below a length")];
            if *answers == Answers::Well {
                let sent_at = self.sent_at(number);
                self.under_way.push_back(UnderWay { uid: Arc::clone(uid), sent_at, ends_at: sent_at + each });
            }
        }
    }

    /// The first request that is sent at `instant` or later.
    fn number_at(&self, instant: Timestamp) -> u64 {
        let nanoseconds = instant.duration_since(self.begun_at).as_nanos().max(0).unsigned_abs();
        let number = (nanoseconds * u128::from(self.load.per_second)).div_ceil(NANOSECONDS);
        u64::try_from(number).unwrap_or(u64::MAX)
    }

    fn sent_at(&self, number: u64) -> Timestamp {
        let nanoseconds = u128::from(number) * NANOSECONDS / u128::from(self.load.per_second);
        self.begun_at + SignedDuration::from_nanos(i64::try_from(nanoseconds).unwrap_or(i64::MAX))
    }
}

/// Nanoseconds of a second.
const NANOSECONDS: u128 = 1_000_000_000;

/// How many of the numbers are `turn` modulo `in_turn`.
fn share(numbers: std::ops::Range<u64>, turn: u64, in_turn: u64) -> u64 {
    let below = |end: u64| (end + in_turn - 1 - turn) / in_turn;
    below(numbers.end) - below(numbers.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn routed(members: &[(&str, Answers)]) -> Vec<Routed> {
        members.iter().map(|(uid, answers)| Routed { uid: Arc::from(*uid), answers: *answers }).collect()
    }

    #[test]
    fn numbers_are_shared_out_in_turn() {
        for (numbers, expected) in [(0..10, [4, 3, 3]), (1..4, [1, 1, 1]), (4..6, [0, 1, 1]), (5..5, [0, 0, 0])] {
            let shares: Vec<u64> = (0..3).map(|turn| share(numbers.clone(), turn, 3)).collect();
            assert_eq!(shares, expected, "{numbers:?}");
        }
    }

    #[test]
    fn every_request_is_counted_once_however_time_is_cut() {
        let load = RequestLoad { per_second: 3, each_seconds: 4 };
        let members = routed(&[("a", Answers::Well), ("b", Answers::Badly), ("c", Answers::NotAtAll)]);
        let ends = [vec![60], vec![1, 2, 3, 20, 60], (1..=60).collect::<Vec<i64>>()];
        let counted = ends.map(|ends| {
            let mut requests = Requests::new(load, at(0));
            for end in ends {
                requests.pass(at(end), &members, |_| Some(at(0)));
            }
            requests.counts()
        });
        let expected =
            RequestCounts { sent: 180, answered: 57, failed: 60, hit_down: 60, cut: 0, unrouted: 0, under_way: 3 };
        assert_eq!(counted, [expected; 3]);
    }

    #[test]
    fn a_machine_that_goes_down_or_restarts_cuts_what_is_under_way() {
        for (since, cut) in [(Some(at(0)), 0), (None, 3), (Some(at(8)), 3)] {
            let mut requests = Requests::new(RequestLoad { per_second: 1, each_seconds: 4 }, at(0));
            requests.pass(at(8), &routed(&[("a", Answers::Well)]), |_| Some(at(0)));
            requests.pass(at(9), &[], |_| since);
            let counts = requests.counts();
            assert_eq!((counts.cut, counts.unrouted), (cut, 1), "up since {since:?}");
        }
    }
}
