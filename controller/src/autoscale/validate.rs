//! From raw objects to the planner's snapshot of a setting, and to what a set has to know of one.

use std::time::Duration;

use jiff::civil::{DateTime, Time, Weekday};
use scaleset_crds::autoscale_setting::{
    AutoscaleProfile, AutoscaleRule, DayOfWeek, FixedDate, MetricTrigger, Recurrence, ScaleAction, ScaleCapacity,
};
use scaleset_crds::{AutoscaleSetting, AutoscaleSettingSpec, ScaleSet};
use scaleset_hardware::{Grain, HardwareError, MetricSeries};
use scaleset_planning::autoscale::among::Among;
use scaleset_planning::autoscale::calendar::{Weekly, instant, time_zone};
use scaleset_planning::autoscale::measure::Measure;
use scaleset_planning::autoscale::profile::{Profile, Schedule};
use scaleset_planning::autoscale::rule::{Division, MetricWish, Rule};
use scaleset_planning::snapshot::{
    AutoscaleSnapshot, MetricPoint, MetricsView, RecordedScaling, Rival, ScaleTarget, SetCount, Switch,
};

use super::observe::Observed;
use crate::error::told;

/// Profiles as the planner takes them, and what of the spec makes no sense, by field.
pub(super) struct Checked {
    pub(super) profiles: Vec<Profile>,
    pub(super) defects: Vec<String>,
}

pub(super) fn validate(observed: &Observed) -> AutoscaleSnapshot {
    let setting = &observed.setting;
    AutoscaleSnapshot {
        now: observed.now,
        wall_now: observed.wall_now,
        generation: setting.metadata.generation.unwrap_or_default(),
        switch: if setting.spec.enabled { Switch::On } else { Switch::Off },
        profiles: observed.checked.profiles.clone(),
        defects: observed.checked.defects.clone(),
        target: target(&setting.spec.scale_target_ref.name, observed.set.as_deref()),
        rival: rival(observed),
        metrics: metrics_view(&observed.metrics),
        status: setting.status.clone().unwrap_or_default(),
    }
}

fn target(name: &str, set: Option<&ScaleSet>) -> ScaleTarget {
    let name = name.to_owned();
    let Some(set) = set else { return ScaleTarget::Missing { name } };
    if set.metadata.deletion_timestamp.is_some() {
        return ScaleTarget::Going { name };
    }
    if set.spec.virtual_machine_profile.is_none() {
        return ScaleTarget::WithoutProfile { name };
    }
    let generation = set.metadata.generation.unwrap_or_default();
    let observed = set.status.as_ref().and_then(|status| status.observed_generation);
    let in_force = set.status.as_ref().and_then(|status| status.target_replicas);
    match (observed, set.spec.replicas, in_force) {
        (Some(observed), _, _) if observed != generation => ScaleTarget::Uncounted { name, generation, observed },
        // Nobody tells how many there are: it was never looked at, or its status was lost.
        (_, None, None) => ScaleTarget::Uncounted { name, generation, observed: 0 },
        (_, wished, in_force) => ScaleTarget::Found(SetCount { wished, in_force }),
    }
}

/// Of several settings that are enabled the oldest acts; of equally old ones the first by name.
fn rival(observed: &Observed) -> Rival {
    let setting = &observed.setting;
    if !setting.spec.enabled {
        return Rival::None;
    }
    let age = |setting: &AutoscaleSetting| {
        let metadata = &setting.metadata;
        (metadata.creation_timestamp.as_ref().map(|time| time.0), metadata.name.clone())
    };
    let acting = observed.settings.iter().filter(|other| is_enabled(other)).min_by_key(|other| age(other));
    if let Some(oldest) = acting.filter(|oldest| age(oldest) < age(setting)) {
        return Rival::OlderSetting { name: oldest.metadata.name.clone().unwrap_or_default() };
    }
    match &observed.autoscaler {
        Ok(true) => Rival::HorizontalPodAutoscaler,
        Ok(false) => Rival::None,
        Err(error) => Rival::Unknown { message: error.to_string() },
    }
}

fn metrics_view(observed: &Result<Vec<(String, MetricSeries)>, HardwareError>) -> MetricsView {
    match observed {
        Ok(series) => {
            let points = |series: &MetricSeries| series.grains.iter().map(point).collect();
            MetricsView::Read(series.iter().map(|(rule, series)| (rule.clone(), points(series))).collect())
        }
        Err(error) => MetricsView::Lost { message: told(error) },
    }
}

fn point(grain: &Grain) -> MetricPoint {
    let Grain { start, count, total, minimum, maximum } = *grain;
    MetricPoint { start, count, total, minimum, maximum }
}

/// Whether a setting acts, as far as it alone can tell.
pub(crate) fn is_enabled(setting: &AutoscaleSetting) -> bool {
    setting.spec.enabled && setting.metadata.deletion_timestamp.is_none()
}

/// What a setting has on record about its set's count.
pub(crate) fn recorded(setting: &AutoscaleSetting) -> Option<RecordedScaling> {
    let switch = if is_enabled(setting) { Switch::On } else { Switch::Off };
    RecordedScaling::of(switch, setting.status.as_ref()?)
}

/// The profiles of a spec. The schema cannot know every time zone, nor every date.
pub(super) fn checked(spec: &AutoscaleSettingSpec) -> Checked {
    let mut defects = Vec::new();
    let profiles = spec.profiles.iter().map(|profile| profile_of(profile, &mut defects)).collect();
    Checked { profiles, defects }
}

fn profile_of(profile: &AutoscaleProfile, defects: &mut Vec<String>) -> Profile {
    let AutoscaleProfile { name, capacity, rules, fixed_date, recurrence } = profile;
    let ScaleCapacity { minimum, maximum, default } = *capacity;
    let schedule = match (fixed_date, recurrence) {
        (Some(date), _) => fixed(date).map_err(|defect| format!("spec.profiles[{name}].fixedDate.{defect}")),
        (None, Some(recurrence)) => {
            weekly(recurrence).map_err(|defect| format!("spec.profiles[{name}].recurrence.{defect}"))
        }
        (None, None) => Ok(Schedule::Otherwise),
    };
    Profile {
        name: name.clone(),
        minimum,
        maximum,
        default,
        rules: rules.iter().filter_map(|rule| rule_of(name, rule, defects)).collect(),
        schedule: schedule.unwrap_or_else(|defect| {
            defects.push(defect);
            Schedule::Never
        }),
    }
}

fn no_zone(name: &str) -> String {
    format!("timeZone: there is no time zone {name}; give an IANA name as Europe/Warsaw")
}

fn fixed(date: &FixedDate) -> Result<Schedule, String> {
    let FixedDate { time_zone: zone, start, end } = date;
    let zone = time_zone(zone).ok_or_else(|| no_zone(zone))?;
    let read = |field: &str, text: &str| {
        let local = text.parse::<DateTime>().ok().and_then(|local| instant(&zone, local));
        local.ok_or_else(|| format!("{field}: there is no {text}"))
    };
    Ok(Schedule::Fixed { start: read("start", start)?, end: read("end", end)? })
}

fn weekly(recurrence: &Recurrence) -> Result<Schedule, String> {
    let Recurrence { time_zone: zone, days, hours, minutes } = recurrence;
    let zone = time_zone(zone).ok_or_else(|| no_zone(zone))?;
    let time = |hour: i32, minute: i32| Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0).ok();
    let all = hours.iter().flat_map(|hour| minutes.iter().map(move |minute| (*hour, *minute)));
    let mut times = Vec::new();
    for (hour, minute) in all {
        times.push(time(hour, minute).ok_or_else(|| format!("hours: there is no {hour}:{minute}"))?);
    }
    times.sort_unstable();
    Ok(Schedule::Weekly(Weekly { zone, days: days.iter().copied().map(weekday).collect(), times }))
}

const fn weekday(day: DayOfWeek) -> Weekday {
    match day {
        DayOfWeek::Monday => Weekday::Monday,
        DayOfWeek::Tuesday => Weekday::Tuesday,
        DayOfWeek::Wednesday => Weekday::Wednesday,
        DayOfWeek::Thursday => Weekday::Thursday,
        DayOfWeek::Friday => Weekday::Friday,
        DayOfWeek::Saturday => Weekday::Saturday,
        DayOfWeek::Sunday => Weekday::Sunday,
    }
}

/// A rule whose threshold is no number would compare nothing: the schema refuses it, and so does this.
fn rule_of(profile: &str, rule: &AutoscaleRule, defects: &mut Vec<String>) -> Option<Rule> {
    let AutoscaleRule { name, metric_trigger, scale_action } = rule;
    let MetricTrigger {
        metric_name,
        metric_namespace,
        time_grain_seconds,
        statistic,
        time_window_seconds,
        time_aggregation,
        operator,
        threshold,
        divide_per_instance,
        dimensions,
    } = metric_trigger.clone();
    let ScaleAction { direction, action_type, value, cooldown_seconds } = *scale_action;
    let Some(number) = Measure::parse(&threshold) else {
        defects
            .push(format!("spec.profiles[{profile}].rules[{name}].metricTrigger.threshold: {threshold} is no number"));
        return None;
    };
    let among = match Among::of(&dimensions) {
        Ok(among) => among,
        Err(problem) => {
            defects.push(format!("spec.profiles[{profile}].rules[{name}].metricTrigger.dimensions: {problem}"));
            return None;
        }
    };
    Some(Rule {
        name: name.clone(),
        metric: MetricWish {
            namespace: metric_namespace,
            name: metric_name,
            among,
            grain_seconds: time_grain_seconds,
            window_seconds: time_window_seconds,
        },
        statistic,
        aggregation: time_aggregation,
        division: if divide_per_instance { Division::PerInstance } else { Division::None },
        operator,
        threshold: number,
        direction,
        action: action_type,
        value,
        cooldown: Duration::from_secs(u64::try_from(cooldown_seconds).unwrap_or(0)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn web(generation: i64, replicas: Option<i32>, status: &Value) -> ScaleSet {
        let profile = json!({
            "vmSize": "Standard_B1s",
            "osProfile": {"computerNamePrefix": "web", "adminUsername": "operator"},
            "storageProfile": {"imageReference": {"id": "image"}},
            "networkProfile": {"networkInterfaces": []},
        });
        let value = json!({
            "apiVersion": scaleset_crds::API_VERSION, "kind": "ScaleSet",
            "metadata": {"namespace": "default", "name": "web", "uid": "web-uid", "generation": generation},
            "spec": {
                "orchestrationMode": "Uniform", "location": "eastus", "replicas": replicas,
                "virtualMachineProfile": profile,
            },
            "status": status,
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_status_that_lags_behind_the_spec_is_no_count_and_a_wish_without_a_status_is_one() {
        let status = json!({"observedGeneration": 3, "targetReplicas": 20});
        let found = |wished, in_force| ScaleTarget::Found(SetCount { wished, in_force });
        let uncounted = ScaleTarget::Uncounted { name: "web".to_owned(), generation: 4, observed: 3 };
        let never_looked_at = ScaleTarget::Uncounted { name: "web".to_owned(), generation: 1, observed: 0 };
        for (set, expected) in [
            (web(3, None, &status), found(None, Some(20))),
            (web(3, Some(2), &status), found(Some(2), Some(20))),
            (web(4, None, &status), uncounted.clone()),
            (web(4, Some(2), &status), uncounted),
            (web(1, Some(2), &Value::Null), found(Some(2), None)),
            (web(1, None, &json!({"conditions": []})), never_looked_at.clone()),
            (web(1, None, &Value::Null), never_looked_at),
        ] {
            assert_eq!(target("web", Some(&set)), expected, "{:?} {:?}", set.metadata.generation, set.spec.replicas);
        }
    }
}
