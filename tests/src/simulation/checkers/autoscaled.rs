//! What must hold of autoscale settings at every moment: counts stay within the bounds of the profile in force, rules, and the default
//! of lost metrics, wait for the cooldown of the one that fired last in whatever direction, a decision is made from the count that there is, and it is on
//! record before the set has it. Which profile is in force and how long a rule is quiet the judge reads from the spec.

mod calendar;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use scaleset_controller::cluster::Kind;
use scaleset_hardware::Hardware;
use serde_json::Value;

use super::seen::text;
use crate::simulation::stage::Stage;
use calendar::in_force;

/// A count outside the bounds is brought back in the next evaluation; this long it may stand where calls fail meanwhile.
const OUTSIDE_MAX: SignedDuration = SignedDuration::from_mins(10);
/// Time alone says nothing where nobody looked.
const OUTSIDE_ROUNDS: usize = 10;

/// What the judge remembers of settings and their sets.
#[derive(Clone, Debug, Default)]
pub(super) struct Autoscaled {
    /// By setting, the last decision.
    decisions: BTreeMap<String, Value>,
    /// By setting, until when no rule acts.
    quiet_until: BTreeMap<String, Timestamp>,
    /// By set, its count as it is wished, and as it is in force.
    counts: BTreeMap<String, [Option<i64>; 2]>,
    /// By setting, what it left outside the bounds.
    outside: BTreeMap<String, Outside>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Outside {
    count: i64,
    profile: String,
    since: Timestamp,
    rounds: usize,
}

/// What the last decision about each set was made from: a count that a person set, and that was brought back within the bounds in
/// the same round, is a target that was.
pub(super) fn counted(stage: &Stage) -> BTreeMap<String, i64> {
    let settings = stage.cluster.all(Kind::AutoscaleSetting).into_iter();
    let from = |setting: Value| {
        let from = setting["status"]["lastScaleAction"]["from"].as_i64()?;
        Some((text(&setting["spec"]["scaleTargetRef"]["name"]), from))
    };
    settings.filter_map(from).collect()
}

impl Autoscaled {
    /// `touched`: whether a person has changed the object of that name in this round.
    pub(super) fn findings(&mut self, stage: &Stage, touched: impl Fn(&str) -> bool) -> Vec<String> {
        let settings = stage.cluster.all(Kind::AutoscaleSetting);
        let now = stage.hardware.now();
        let mut findings = Vec::new();
        for set in stage.cluster.all(Kind::ScaleSet) {
            let name = text(&set["metadata"]["name"]);
            let counts = [set["spec"]["replicas"].as_i64(), set["status"]["targetReplicas"].as_i64()];
            let before = self.counts.insert(name.clone(), counts);
            let about: Vec<&Value> =
                settings.iter().filter(|setting| setting["spec"]["scaleTargetRef"]["name"] == name.as_str()).collect();
            let on_record = |setting: &&Value| setting["status"]["lastScaleAction"]["to"].as_i64() == counts[0];
            let changed = before.is_some_and(|before| before[0] != counts[0]);
            if changed && !about.is_empty() && !touched(&name) && !about.iter().any(on_record) {
                findings.push(format!("{name} has {counts:?} VMs, and no setting has that on record"));
            }
            for setting in about {
                // A set that says nothing of its count, and that nobody has looked at, has none.
                let none = before.filter(|before| *before == [None, None]).map(|_| 0);
                let known: Vec<i64> = before.into_iter().flatten().chain(counts).flatten().chain(none).collect();
                // A set that a person has just made may have had another count before anybody looked.
                let may_lag = before.is_none() || touched(&name) || stage.cluster.lags();
                findings.extend(self.of_decision(setting, if may_lag { None } else { Some(&known) }));
                findings.extend(self.of_count(setting, counts[1].or(counts[0]), now));
            }
        }
        findings
    }

    /// `counts`: all that the set's count can have been; none where a person has just changed it.
    fn of_decision(&mut self, setting: &Value, counts: Option<&[i64]>) -> Vec<String> {
        let (name, status) = (text(&setting["metadata"]["name"]), &setting["status"]);
        let uid = text(&setting["metadata"]["uid"]);
        let decision = status["lastScaleAction"].clone();
        let known = self.decisions.insert(uid.clone(), decision.clone()).unwrap_or_default();
        if decision == known || decision.is_null() {
            return Vec::new();
        }
        let mut findings = Vec::new();
        let at: Timestamp = text(&decision["time"]).parse().expect("a decision has a time");
        let [from, to] = ["from", "to"].map(|field| decision[field].as_i64().unwrap_or(-1));
        if counts.is_some_and(|counts| !counts.contains(&from)) {
            findings.push(format!("{name}: {decision} is made from a count that the set has not: {counts:?}"));
        }
        let Some(profile) = in_force(setting, at) else {
            findings.push(format!("{name}: {decision} without a profile in force"));
            return findings;
        };
        if !is_within(profile, to) && !follows_evictions(&decision) {
            findings.push(format!("{name}: {decision} is outside profile {}", profile["name"]));
        }
        let rule = rule_of(profile, &decision);
        let quiet_until = self.quiet_until.get(&uid).filter(|until| at < **until);
        if let Some(until) = quiet_until.filter(|_| rule.is_some() || is_default(profile, &decision)) {
            findings.push(format!("{name}: {decision} within the cooldown until {until}"));
        }
        if let Some(rule) = rule {
            let cooldown = rule["scaleAction"]["cooldownSeconds"].as_i64().expect("a rule has a cooldown");
            self.quiet_until.insert(uid, at + SignedDuration::from_secs(cooldown));
        }
        findings
    }

    /// Who scales by hand beyond the bounds, or a profile that begins, is put right before long.
    fn of_count(&mut self, setting: &Value, count: Option<i64>, now: Timestamp) -> Option<String> {
        let uid = text(&setting["metadata"]["uid"]);
        let profile = in_force(setting, now).filter(|_| acts(setting));
        let (Some(count), Some(profile)) = (count, profile) else {
            self.outside.remove(&uid);
            return None;
        };
        if is_within(profile, count) {
            self.outside.remove(&uid);
            return None;
        }
        let seen = Outside { count, profile: text(&profile["name"]), since: now, rounds: 0 };
        let outside = self.outside.entry(uid).or_insert_with(|| seen.clone());
        if (outside.count, &outside.profile) != (count, &seen.profile) {
            *outside = seen;
        }
        outside.rounds += 1;
        let long = now.duration_since(outside.since) > OUTSIDE_MAX && outside.rounds > OUTSIDE_ROUNDS;
        let name = text(&setting["metadata"]["name"]);
        long.then(|| format!("{name}: {count} VMs are outside profile {} since {}", outside.profile, outside.since))
    }
}

/// Whether nothing is known to keep a setting back: another that scales the set, the set itself, or a person.
fn acts(setting: &Value) -> bool {
    let conditions = setting["status"]["conditions"].as_array().into_iter().flatten();
    let active = conditions.into_iter().find(|condition| condition["type"] == "Active");
    let can = active.is_some_and(|active| active["status"] == "True" || active["reason"] == "MetricsLost");
    setting["spec"]["enabled"] == true && can
}

fn is_within(profile: &Value, count: i64) -> bool {
    let bound = |field: &str| profile["capacity"][field].as_i64().expect("a profile has bounds");
    (bound("minimum")..=bound("maximum")).contains(&count)
}

/// Whether a decision says no more than how many members were evicted for good: those are gone, whatever the profile says, and the next
/// decision is about that.
fn follows_evictions(decision: &Value) -> bool {
    let gone = decision["from"].as_i64().zip(decision["to"].as_i64()).map_or(0, |(from, to)| from - to);
    gone > 0 && decision["cause"] == format!("{gone} evicted with policy Delete")
}

/// Whether a decision brings the set up to the profile's default, since its metrics cannot be read: no rule, which waits for the cooldown of
/// one all the same.
fn is_default(profile: &Value, decision: &Value) -> bool {
    let default = format!("; the default is {}", profile["capacity"]["default"]);
    decision["cause"].as_str().is_some_and(|cause| cause.ends_with(&default))
}

/// The rule that a decision names as its cause; none for a bound and for a default.
fn rule_of<'setting>(profile: &'setting Value, decision: &Value) -> Option<&'setting Value> {
    let (named, _) = decision["cause"].as_str()?.split_once(": ")?;
    profile["rules"].as_array()?.iter().find(|rule| rule["name"] == named)
}
