//! What a machine's health source says of its application: the application-health extension, or a load balancer's
//! probe.
//!
//! Like the course of an operation, what a source will say follows from what it hears: a [`Watch`] keeps the answers,
//! from when on each, and the state that it had come to when the first of them became the current one. Nothing is
//! written when time passes, and nothing is asked again while an answer stays.
//!
//! ```text
//! extension, 2.0   Initializing ──► Healthy | Unhealthy     numberOfProbes equal answers
//!                  Initializing ──► Unknown (tcp: Unhealthy)  gracePeriod over
//!                  any ──► x                                numberOfProbes answers x, Unknown among them (not tcp)
//! extension, 1.0   nothing ──► Healthy | Unhealthy          numberOfProbes equal answers; what is not good is bad
//! probe            nothing ──► Healthy | Unhealthy          one good answer, more from who flaps; numberOfProbes bad ones
//! ```
//!
//! A number of probes takes that number of intervals. A guest that hangs silences its extension, which goes on from
//! where it was once the guest does; a probe finds such a guest unhealthy.
//!
//! A probe keeps an application whose answers go to and fro out for longer: after its second drop from healthy within
//! [`CALM`] it takes 2 good answers in a row, after the third 4, and so on up to [`MOST_GOOD_ANSWERS`].
//!
//! Source: Azure's "Using Application Health extension with Virtual Machine Scale Sets" and "Load Balancer health
//! probes"; the numbers of who flaps are ours, Azure gives none.

use jiff::{SignedDuration, Timestamp};
use scaleset_crds::health::{ApplicationHealth, HealthSource, HealthStates};
use scaleset_crds::vocabulary::{ApplicationProtocol, HealthState};
use serde::{Deserialize, Serialize};

use crate::machine::{ApplicationHealthReport, Health};
use crate::sim::application::Answer;

/// A drop counts for so long: who has had none for that time is taken back after one good answer.
const CALM: SignedDuration = SignedDuration::from_mins(10);
/// Most good answers in a row that a probe wants to hear.
const MOST_GOOD_ANSWERS: i32 = 16;
/// Drops that make it as many; older ones say nothing more.
const DROPS_KEPT: usize = 5;

/// What a health source has heard of a machine since it began to ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Watch {
    /// From when on it asks.
    begins_at: Timestamp,
    /// What it had come to while the first of `answers` was the current one; none if nothing yet.
    reached: Option<ApplicationHealthReport>,
    /// What it hears, in the order of time.
    answers: Vec<Answer>,
    /// When a probe last found it unhealthy that was healthy before, in the order of time, up to the first of `answers`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    drops: Vec<Timestamp>,
}

/// Time in which a source hears the same.
struct Segment {
    from: Timestamp,
    until: Timestamp,
    /// The state that this leads to; none where nothing is reported.
    verdict: Option<HealthState>,
}

/// What a source says from when on; none where it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    at: Timestamp,
    state: Option<HealthState>,
}

/// Everything that a source says and comes to.
#[derive(Default)]
struct Course {
    /// What it says, in the order of time.
    said: Vec<Step>,
    /// What it has come to, said or not.
    reached: Vec<Step>,
    /// When a probe found it unhealthy that was healthy before, the earlier ones included.
    drops: Vec<Timestamp>,
}

impl Watch {
    /// A source that begins to ask at `begins_at`, or as soon as the first answer is there.
    pub(crate) fn new(begins_at: Timestamp, answers: Vec<Answer>) -> Self {
        Self { begins_at, reached: None, answers, drops: Vec::new() }
    }

    /// The same source, which hears `answers` from `now` on. An answer that means the same goes on unbroken.
    pub(crate) fn hearing(&self, answers: &[Answer], source: HealthSource<'_>, now: Timestamp) -> Self {
        let current = |answers: &[Answer]| answers.iter().rposition(|answer| answer.at <= now);
        let heard = current(&self.answers);
        let mut fresh = answers[current(answers).unwrap_or(0)..].to_vec();
        if let Some(first) = fresh.first_mut().filter(|first| first.at <= now) {
            let heard = heard.map(|index| self.answers[index]);
            let same = heard.filter(|heard| verdict(source, heard.health) == verdict(source, first.health));
            first.at = same.map_or(now, |heard| heard.at);
        }
        if fresh == self.answers[heard.unwrap_or(0)..] {
            return self.clone();
        }
        let course = self.course(source);
        let silent = || course.reached_at(now).map(|reached| ApplicationHealthReport { since: now, ..reached });
        let reached = course.said_at(now).or_else(silent);
        let mut drops: Vec<Timestamp> = course.drops.into_iter().filter(|at| *at <= now).collect();
        drops.drain(..drops.len().saturating_sub(DROPS_KEPT));
        Self { begins_at: self.begins_at, reached, answers: fresh, drops }
    }

    /// What the source says at `now`.
    pub(crate) fn report(&self, source: HealthSource<'_>, now: Timestamp) -> Option<ApplicationHealthReport> {
        self.course(source).said_at(now)
    }

    /// The next instant after `now` at which it says something else.
    pub(crate) fn next_change(&self, source: HealthSource<'_>, now: Timestamp) -> Option<Timestamp> {
        self.course(source).said.iter().map(|step| step.at).find(|at| *at > now)
    }

    fn course(&self, source: HealthSource<'_>) -> Course {
        let mut course = Course { drops: self.drops.clone(), ..Course::default() };
        match self.reached {
            Some(ApplicationHealthReport { state, since }) => course.reach(since, Some(state)),
            None => course.reach(self.begins_at, grace(source).map(|_| HealthState::Initializing)),
        }
        for segment in self.segments(source) {
            let Segment { from, until: _, verdict } = segment;
            course.say(from, verdict.and(course.state()));
            let wait = verdict.map(|verdict| patience(source, verdict, good_answers(&course.drops, from)));
            for (at, state) in self.changes_in(&segment, (source, wait), course.state()) {
                course.drops.extend(dropped(source, course.state(), state).then_some(at));
                course.reached.push(Step { at, state: Some(state) });
                if verdict.is_some() {
                    course.say(at, Some(state));
                }
            }
        }
        course
    }

    /// The answers as time in which they lead to the same, without what was before the source asked.
    fn segments(&self, source: HealthSource<'_>) -> Vec<Segment> {
        let mut segments: Vec<Segment> = Vec::new();
        let ends = self.answers.iter().skip(1).map(|answer| answer.at).chain([Timestamp::MAX]);
        for (Answer { at, health }, until) in self.answers.iter().zip(ends) {
            let verdict = verdict(source, *health);
            match segments.last_mut() {
                _ if until <= self.begins_at => {}
                Some(last) if last.verdict == verdict => last.until = until,
                Some(_) | None => segments.push(Segment { from: self.begins_at.max(*at), until, verdict }),
            }
        }
        segments
    }

    /// What the source, which waits for so long until an answer is the state, comes to in a segment that it enters in `state`.
    fn changes_in(
        &self,
        segment: &Segment,
        (source, wait): (HealthSource<'_>, Option<SignedDuration>),
        state: Option<HealthState>,
    ) -> impl Iterator<Item = (Timestamp, HealthState)> {
        let Segment { from, until, verdict } = *segment;
        let settled = verdict.zip(wait).map(|(verdict, wait)| (from + wait, verdict));
        let expired = grace(source).filter(|_| state == Some(HealthState::Initializing));
        let expired = expired.map(|(grace, state)| (self.begins_at + grace, state));
        let (first, second) = match (expired, settled) {
            (Some(expired), Some((_, HealthState::Unknown)) | None) => (Some(expired), None),
            (Some(expired), Some(settled)) if expired.0 < settled.0 => (Some(expired), Some(settled)),
            (Some(_) | None, settled) => (settled, None),
        };
        // What was awaited until the very instant of another answer has come.
        [first, second].into_iter().flatten().filter(move |(at, _)| *at <= until)
    }
}

impl Course {
    /// Begins in a state that is said.
    fn reach(&mut self, at: Timestamp, state: Option<HealthState>) {
        let step = Step { at, state };
        self.reached.push(step);
        self.said.push(step);
    }

    fn state(&self) -> Option<HealthState> {
        self.reached.last().and_then(|step| step.state)
    }

    fn say(&mut self, at: Timestamp, state: Option<HealthState>) {
        if self.said.last().is_some_and(|last| last.at == at) {
            self.said.pop();
        }
        if self.said.last().is_none_or(|last| last.state != state) {
            self.said.push(Step { at, state });
        }
    }

    fn said_at(&self, now: Timestamp) -> Option<ApplicationHealthReport> {
        report_at(&self.said, now)
    }

    fn reached_at(&self, now: Timestamp) -> Option<ApplicationHealthReport> {
        report_at(&self.reached, now)
    }
}

fn report_at(steps: &[Step], now: Timestamp) -> Option<ApplicationHealthReport> {
    let Step { at, state } = *steps.iter().rev().find(|step| step.at <= now)?;
    Some(ApplicationHealthReport { state: state?, since: at })
}

/// What an answer means to a source; none where the source itself is silenced.
fn verdict(source: HealthSource<'_>, answer: Health) -> Option<HealthState> {
    match (source, answer) {
        (HealthSource::Extension(_) | HealthSource::Probe(_), Health::Healthy) => Some(HealthState::Healthy),
        (HealthSource::Extension(_), Health::Hangs) => None,
        (HealthSource::Extension(extension), Health::Unknown) if knows_unknown(&extension) => {
            Some(HealthState::Unknown)
        }
        (HealthSource::Extension(_), Health::Unhealthy | Health::Unknown)
        | (HealthSource::Probe(_), Health::Unhealthy | Health::Unknown | Health::Hangs) => Some(HealthState::Unhealthy),
    }
}

/// Whether an extension tells an application that cannot be reached from one that answers badly.
fn knows_unknown(extension: &ApplicationHealth<'_>) -> bool {
    match (extension.states, extension.protocol) {
        (HealthStates::Rich, ApplicationProtocol::Http | ApplicationProtocol::Https) => true,
        (HealthStates::Rich, ApplicationProtocol::Tcp) | (HealthStates::Binary, _) => false,
    }
}

/// Whether a probe finds it unhealthy that was healthy until now.
fn dropped(source: HealthSource<'_>, before: Option<HealthState>, now: HealthState) -> bool {
    match source {
        HealthSource::Probe(_) => (before, now) == (Some(HealthState::Healthy), HealthState::Unhealthy),
        HealthSource::Extension(_) => false,
    }
}

/// How many good answers in a row, the first of them at `from`, bring it back after those drops.
fn good_answers(drops: &[Timestamp], from: Timestamp) -> i32 {
    let recent = drops.iter().filter(|at| from.duration_since(**at) < CALM).count();
    let doublings = recent.saturating_sub(1).min(DROPS_KEPT);
    (1 << doublings).min(MOST_GOOD_ANSWERS)
}

/// How long an answer has to stay until it becomes the state, where a probe takes so many good ones.
fn patience(source: HealthSource<'_>, verdict: HealthState, good_answers: i32) -> SignedDuration {
    let (interval_seconds, number_of_probes) = match source {
        HealthSource::Extension(extension) => (extension.interval_seconds, extension.number_of_probes),
        HealthSource::Probe(probe) if verdict == HealthState::Healthy => (probe.interval_seconds, good_answers),
        HealthSource::Probe(probe) => (probe.interval_seconds, probe.number_of_probes),
    };
    SignedDuration::from_secs(i64::from(interval_seconds.max(1)) * i64::from(number_of_probes.max(1)))
}

/// How long a source may be initializing, and in which state it is then; none where it never is.
fn grace(source: HealthSource<'_>) -> Option<(SignedDuration, HealthState)> {
    let HealthSource::Extension(extension) = source else {
        return None;
    };
    let after = if knows_unknown(&extension) { HealthState::Unknown } else { HealthState::Unhealthy };
    let grace = SignedDuration::from_secs(i64::from(extension.grace_period_seconds.max(1)));
    match extension.states {
        HealthStates::Rich => Some((grace, after)),
        HealthStates::Binary => None,
    }
}

#[cfg(test)]
mod tests;
