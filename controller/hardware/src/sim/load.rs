//! The load of machines: a script of the region file, and what the control endpoint sets.
//!
//! What a machine measures at a whole minute follows from the loads that were in force then and from who ran then, and from
//! nothing else: no sample is stored, and the answer to a question does not depend on when it is asked.

mod history;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use scaleset_crds::autoscale_setting::HOST_METRICS;
use serde::{Deserialize, Serialize};

use super::fault::{Selector, Subject};
pub(crate) use history::{Reporter, RunHistory};

/// How long what was is remembered: the longest window, and what a late question may add.
pub(crate) const REMEMBERED: SignedDuration = SignedDuration::from_hours(13);
/// A percentage of a machine ends here, in thousandths.
const FULL: i64 = 100_000;

const CPU: &str = "Percentage CPU";

/// What makes machines measure something. The first that fits a machine and a metric decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Load {
    /// Machines that it is on; every machine when empty.
    #[serde(default)]
    pub selector: Selector,
    /// Who reports the metric; absent: the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Metric that it makes.
    pub metric: String,
    /// Whether the value is each machine's own, or shared by those of a set that run.
    pub sharing: LoadSharing,
    /// The course: from so many seconds on, this value. The last one lasts.
    pub course: Vec<LoadStep>,
    /// After so many seconds the course begins again; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_seconds: Option<u32>,
}

/// Who has the value of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadSharing {
    /// Every machine has it.
    Each,
    /// The running machines of a set that it is on share it equally: with more of them, each has less.
    Total,
}

/// A step of a load's course.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadStep {
    /// Scenario seconds since the load was set; of a load of the region file, since the beginning of 1970 in UTC, so that a
    /// course that repeats every 86,400 seconds is one of the time of day.
    #[serde(default)]
    pub after_seconds: u32,
    /// The value, 0 to 10^12; of a percentage that each machine has, at most 100 is measured.
    pub value: i64,
}

/// A load, and between which instants it was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoadEra {
    pub(crate) from: Timestamp,
    pub(crate) until: Option<Timestamp>,
    pub(crate) load: Load,
}

/// Every load that there is, or was a while ago.
#[derive(Debug)]
pub(crate) struct Loads {
    script: Vec<LoadEra>,
    set: BTreeMap<String, Vec<LoadEra>>,
}

impl Load {
    /// In thousandths, so many seconds after its beginning; nothing before the first step of a course that begins later.
    fn value(&self, elapsed: SignedDuration) -> i64 {
        let seconds = elapsed.as_secs().max(0);
        let seconds = self.repeat_seconds.map_or(seconds, |repeat| seconds % i64::from(repeat.max(1)));
        let step = self.course.iter().rev().find(|step| i64::from(step.after_seconds) <= seconds);
        // A course that begins again goes on with its end until its first step.
        let before = self.course.last().filter(|_| self.repeat_seconds.is_some());
        step.or(before).map_or(0, |step| step.value.saturating_mul(1_000))
    }

    /// Whether it makes a metric of a machine.
    pub(crate) fn makes(&self, namespace: Option<&str>, metric: &str, subject: &Subject<'_>) -> bool {
        self.namespace.as_deref() == namespace && self.metric == metric && self.selector.matches(subject)
    }
}

impl LoadEra {
    fn covers(&self, at: Timestamp) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }

    /// What one of so many machines that share it measures at an instant. What cannot be divided falls to the first of them, so
    /// that all together measure exactly the total.
    pub(crate) fn share(&self, at: Timestamp, sharers: i64, number: i64) -> i64 {
        let value = self.load.value(at.duration_since(self.from));
        let share = match self.load.sharing {
            LoadSharing::Each => value,
            LoadSharing::Total => {
                let sharers = sharers.max(1);
                value / sharers + i64::from(number < value % sharers)
            }
        };
        if self.load.metric == CPU && self.load.namespace.is_none() { share.min(FULL) } else { share }
    }
}

impl Loads {
    pub(crate) fn new(script: Vec<Load>, set: BTreeMap<String, Vec<LoadEra>>) -> Self {
        let script = script.into_iter().map(|load| LoadEra { from: Timestamp::UNIX_EPOCH, until: None, load });
        Self { script: script.collect(), set }
    }

    /// Those in force, by name.
    pub(crate) fn current(&self) -> BTreeMap<String, Load> {
        let current = |eras: &Vec<LoadEra>| eras.last().filter(|era| era.until.is_none()).map(|era| era.load.clone());
        self.set.iter().filter_map(|(name, eras)| Some((name.clone(), current(eras)?))).collect()
    }

    /// Everything that was set, to be kept.
    pub(crate) fn kept(&self) -> &BTreeMap<String, Vec<LoadEra>> {
        &self.set
    }

    /// Sets a load under a name from an instant on, in the place of the one before; none ends it.
    pub(crate) fn set(&mut self, name: &str, load: Option<Load>, now: Timestamp) {
        let eras = self.set.entry(name.to_owned()).or_default();
        if let Some(last) = eras.last_mut().filter(|era| era.until.is_none()) {
            last.until = Some(now);
        }
        eras.extend(load.map(|load| LoadEra { from: now, until: None, load }));
        for eras in self.set.values_mut() {
            eras.retain(|era| era.until.is_none_or(|until| now.duration_since(until) < REMEMBERED));
        }
        self.set.retain(|_, eras| !eras.is_empty());
    }

    /// The eras that may make a metric of a machine, in the order in which they are looked at.
    pub(crate) fn of(&self, namespace: Option<&str>, metric: &str, subject: &Subject<'_>) -> Vec<&LoadEra> {
        let all = self.set.values().flatten().chain(&self.script);
        all.filter(|era| era.load.makes(namespace, metric, subject)).collect()
    }
}

/// Which of the eras of a machine decides at an instant.
pub(crate) fn deciding<'era>(eras: &[&'era LoadEra], at: Timestamp) -> Option<&'era LoadEra> {
    eras.iter().copied().find(|era| era.covers(at))
}

/// Whether a machine reports a metric even where no load makes it.
pub(crate) fn is_always_reported(namespace: Option<&str>, metric: &str) -> bool {
    namespace.is_none() && HOST_METRICS.contains(&metric)
}
