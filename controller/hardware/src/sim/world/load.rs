//! What machines measure, and what makes them measure it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::World;
use super::control::{ControlCode, ControlError, missing, room_for};
use crate::metrics::{Among, Grain, MetricSeries, MetricsQuery, SeriesQuery};
use crate::sim::load::{Load, LoadEra, LoadSharing, Reporter, deciding, is_always_reported};
use crate::sim::store::Write;

/// Hosts and agents report at every whole minute.
const MINUTE: i64 = 60;
/// Longest window and grain, in seconds.
const LONGEST_WINDOW: i32 = 43_200;
/// Steps of a load's course.
const LONGEST_COURSE: usize = 1_440;
/// Largest value of a load.
const LARGEST_VALUE: i64 = 1_000_000_000_000;

type Controlled = Result<(), ControlError>;

impl World {
    /// Sets a load; none ends it.
    pub(crate) fn set_load(&mut self, name: &str, load: Option<Load>, now: Timestamp) -> Controlled {
        let current = self.loads.current();
        match &load {
            Some(load) => {
                check_load(load).map_err(|(field, message)| ControlError {
                    code: ControlCode::InvalidParameter,
                    field,
                    message,
                })?;
                room_for(name, &current)?;
            }
            None if !current.contains_key(name) => return Err(missing("load", name, current.keys())),
            None => {}
        }
        self.loads.set(name, load, now);
        self.writes.push(Write::state("loads", self.loads.kept()));
        Ok(())
    }

    /// The loads in force that came through the control endpoint, by name.
    pub(crate) fn loads(&self) -> BTreeMap<String, Load> {
        self.loads.current()
    }

    /// What is asked for, series by series.
    pub(crate) fn metrics(&self, query: &MetricsQuery, now: Timestamp) -> Vec<MetricSeries> {
        let MetricsQuery { set_uid, series } = query;
        let machines: Vec<(&str, &Reporter)> = self.runs.of_set(set_uid).collect();
        series.iter().map(|series| self.series(&machines, series, now)).collect()
    }

    /// Grains end with the last whole minute, so that each is whole.
    fn series(&self, machines: &[(&str, &Reporter)], query: &SeriesQuery, now: Timestamp) -> MetricSeries {
        let SeriesQuery { namespace, name, among, grain_seconds, window_seconds } = query;
        let namespace = namespace.as_deref();
        let reporting = machines.iter().filter(|(_, machine)| machine.reports(namespace));
        let reporting: Vec<(&Reporter, Vec<&LoadEra>)> = reporting
            .map(|(uid, machine)| (*machine, self.loads.of(namespace, name, &machine.subject(uid))))
            .filter(|(_, eras)| !eras.is_empty() || is_always_reported(namespace, name))
            .collect();
        let minutes = |seconds: i32| i64::from(seconds.clamp(60, LONGEST_WINDOW)) / MINUTE;
        let (grain, window) = (minutes(*grain_seconds), minutes(*window_seconds));
        let last = now.as_second().div_euclid(MINUTE);
        let mut grains: Vec<Grain> = Vec::new();
        for back in (0..window).rev() {
            let at = Timestamp::from_second((last - back) * MINUTE).unwrap_or(Timestamp::MIN);
            let start = at - SignedDuration::from_secs((grain - 1 - back % grain) * MINUTE);
            for value in values(&reporting, among, at) {
                match grains.last_mut().filter(|grain| grain.start == start) {
                    Some(grain) => grain.add(value),
                    None => grains.push(Grain { start, count: 1, total: value, minimum: value, maximum: value }),
                }
            }
        }
        MetricSeries { grains }
    }
}

impl Grain {
    fn add(&mut self, value: i64) {
        self.count += 1;
        self.total = self.total.saturating_add(value);
        self.minimum = self.minimum.min(value);
        self.maximum = self.maximum.max(value);
    }
}

/// What those of the machines that ran at an instant measured then. A load is shared by all that ran, also by those that are not
/// asked about.
fn values(machines: &[(&Reporter, Vec<&LoadEra>)], among: &Among, at: Timestamp) -> Vec<i64> {
    let ran = machines.iter().filter(|(machine, _)| machine.ran(at));
    let deciding: Vec<(&Reporter, Option<&LoadEra>)> =
        ran.map(|(machine, eras)| (*machine, deciding(eras, at))).collect();
    let mut sharers: Vec<(&LoadEra, i64, i64)> = Vec::new();
    for era in deciding.iter().filter_map(|(_, era)| *era) {
        match sharers.iter_mut().find(|(other, _, _)| std::ptr::eq(*other, era)) {
            Some((_, count, _)) => *count += 1,
            None => sharers.push((era, 1, 0)),
        }
    }
    let mut share = |era: &LoadEra| {
        let Some((_, count, next)) = sharers.iter_mut().find(|(other, _, _)| std::ptr::eq(*other, era)) else {
            return 0;
        };
        *next += 1;
        era.share(at, *count, *next - 1)
    };
    let all = deciding.into_iter().map(|(machine, era)| (machine, era.map_or(0, &mut share)));
    all.filter(|(machine, _)| among.has(machine.name())).map(|(_, value)| value).collect()
}

/// What is wrong with a load: the field, and in words.
pub(crate) fn check_load(load: &Load) -> Result<(), (&'static str, String)> {
    let Load { selector: _, namespace, metric, sharing, course, repeat_seconds } = load;
    match sharing {
        LoadSharing::Each | LoadSharing::Total => {}
    }
    if metric.is_empty() || namespace.as_ref().is_some_and(String::is_empty) {
        return Err(("metric", "metric and namespace must not be empty".to_owned()));
    }
    if course.is_empty() || course.len() > LONGEST_COURSE {
        return Err(("course", format!("{} steps are out of range: 1 to {LONGEST_COURSE}", course.len())));
    }
    if !course.is_sorted_by(|one, other| one.after_seconds < other.after_seconds) {
        return Err(("course", "afterSeconds must rise from step to step".to_owned()));
    }
    if let Some(step) = course.iter().find(|step| !(0..=LARGEST_VALUE).contains(&step.value)) {
        return Err(("course.value", format!("{} is out of range: 0 to {LARGEST_VALUE}", step.value)));
    }
    let last = course.last().map_or(0, |step| step.after_seconds);
    match repeat_seconds {
        Some(repeat) if *repeat <= last => {
            Err(("repeatSeconds", format!("{repeat} is not after the last step, which is at {last}")))
        }
        Some(_) | None => Ok(()),
    }
}
