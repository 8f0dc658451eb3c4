//! Settings of autoscale, loads and calendars, as stories write them.
//!
//! ```text
//! setting auto web profile=usual:2:10:2 out=busy,Percentage_CPU>70,+1,300 in=idle,Percentage_CPU<30,-50%,300
//! setting days web profile=weekdays:3:20:3 at=Monday,04:00,Europe/Warsaw profile=weekend:1:3:1 at=Saturday,00:01,Europe/Warsaw
//! ```
//!
//! A profile is `NAME:MINIMUM:MAXIMUM:DEFAULT`; the words after it are about it. `_` stands for a space in the name of a metric,
//! `namespace/metric` for one that the guest reports; `+3`, `-3`, `+20%`, `=5` are actions; a fifth part of a rule is
//! `sum`, `max`, `per-instance`, `share` (a sum by the count), `of:web-0+web-1` or `but:web-0` (whose values are taken), or its window in seconds.

use scaleset_hardware::sim::{Load, LoadSharing, LoadStep, Selector};
use serde_json::{Value, json};

use super::spec::option;

/// The spec of a setting.
pub(super) fn setting_spec(set: &str, words: &[&str]) -> Value {
    let mut profiles: Vec<Value> = Vec::new();
    let mut enabled = true;
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or_else(|| panic!("{word} is not name=value"));
        if name == "profile" {
            profiles.push(profile(value));
            continue;
        }
        if name == "enabled" {
            enabled = value == "true";
            continue;
        }
        let current = profiles.last_mut().expect("a rule stands after its profile");
        match name {
            "out" | "in" => {
                let direction = if name == "out" { "Increase" } else { "Decrease" };
                current["rules"].as_array_mut().expect("it is one").push(rule(direction, value));
            }
            "at" => current["recurrence"] = recurrence(value),
            "from" => current["fixedDate"] = fixed_date(value),
            other => panic!("a setting has no {other}"),
        }
    }
    json!({"scaleTargetRef": {"name": set}, "enabled": enabled, "profiles": profiles})
}

fn profile(value: &str) -> Value {
    let parts: Vec<&str> = value.split(':').collect();
    let count = |index: usize| parts[index].parse::<i32>().expect("a count is a number");
    json!({
        "name": parts[0],
        "capacity": {"minimum": count(1), "maximum": count(2), "default": count(3)},
        "rules": [],
    })
}

fn rule(direction: &str, value: &str) -> Value {
    let parts: Vec<&str> = value.split(',').collect();
    let at = parts[1].find(['<', '>']).expect("a rule compares");
    let (metric, compared) = parts[1].split_at(at);
    let (operator, threshold) = match (compared.strip_prefix(">="), compared.strip_prefix('>')) {
        (Some(threshold), _) => ("GreaterThanOrEqual", threshold),
        (None, Some(threshold)) => ("GreaterThan", threshold),
        (None, None) => ("LessThan", &compared[1..]),
    };
    let mut trigger = json!({
        "metricName": metric.replace('_', " "), "operator": operator, "threshold": threshold,
        "timeGrainSeconds": 60, "statistic": "Average", "timeWindowSeconds": 300, "timeAggregation": "Average",
        "dividePerInstance": false,
    });
    if let Some((namespace, metric)) = metric.split_once('/') {
        trigger["metricNamespace"] = json!(namespace);
        trigger["metricName"] = json!(metric.replace('_', " "));
    }
    match parts.get(4) {
        None => {}
        Some(&"sum") => trigger["statistic"] = json!("Sum"),
        Some(&"max") => trigger["statistic"] = json!("Max"),
        Some(&"share") => {
            trigger["statistic"] = json!("Sum");
            trigger["dividePerInstance"] = json!(true);
        }
        Some(&"per-instance") => trigger["dividePerInstance"] = json!(true),
        Some(of) if of.starts_with("of:") => trigger["dimensions"] = names("Equals", &of[3..]),
        Some(but) if but.starts_with("but:") => trigger["dimensions"] = names("NotEquals", &but[4..]),
        Some(window) => trigger["timeWindowSeconds"] = json!(window.parse::<i32>().expect("a window is in seconds")),
    }
    let (kind, number) = match parts[2].strip_prefix('=') {
        Some(number) => ("ExactCount", number),
        None => match parts[2].strip_suffix('%') {
            Some(percent) => ("PercentChangeCount", percent),
            None => ("ChangeCount", parts[2]),
        },
    };
    let number: i32 = number.trim_start_matches(['+', '-']).parse().expect("an action has a number");
    let cooldown: i32 = parts[3].parse().expect("a cooldown is in seconds");
    let action = json!({"direction": direction, "type": kind, "value": number, "cooldownSeconds": cooldown});
    json!({"name": parts[0], "metricTrigger": trigger, "scaleAction": action})
}

fn names(operator: &str, names: &str) -> Value {
    let values: Vec<&str> = names.split('+').collect();
    json!([{"dimensionName": "VMName", "operator": operator, "values": values}])
}

fn recurrence(value: &str) -> Value {
    let parts: Vec<&str> = value.split(',').collect();
    let days: Vec<&str> = parts[0].split('+').collect();
    let (hour, minute) = parts[1].split_once(':').expect("a time of the day");
    let number = |text: &str| text.parse::<i32>().expect("a time of the day");
    json!({"timeZone": parts[2], "days": days, "hours": [number(hour)], "minutes": [number(minute)]})
}

fn fixed_date(value: &str) -> Value {
    let parts: Vec<&str> = value.split(',').collect();
    json!({"start": parts[0], "end": parts[1], "timeZone": parts[2]})
}

/// A load: `total=650` or `each=50`, and after so many seconds another value: `total=0:200,600:650`. `on=web-` is on machines
/// whose names begin so.
pub(super) fn load(metric: &str, words: &[&str]) -> Load {
    let (sharing, course) = match (option(words, "total"), option(words, "each")) {
        (Some(course), _) => (LoadSharing::Total, course),
        (None, Some(course)) => (LoadSharing::Each, course),
        (None, None) => panic!("a load is total=… or each=…"),
    };
    let step = |step: &str| {
        let (after, value) = step.split_once(':').unwrap_or(("0", step));
        let number = |text: &str| text.parse::<u32>().expect("a load is a number");
        LoadStep { after_seconds: number(after), value: i64::from(number(value)) }
    };
    let (namespace, metric) = metric.split_once('/').map_or((None, metric), |(one, two)| (Some(one.to_owned()), two));
    let selector = Selector { name_prefix: option(words, "on").map(str::to_owned), ..Selector::default() };
    Load {
        selector,
        namespace,
        metric: metric.replace('_', " "),
        sharing,
        course: course.split(',').map(step).collect(),
        repeat_seconds: None,
    }
}

/// What a setting says of itself.
pub(super) fn told(setting: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    };
    let status = &setting["status"];
    let name = text(&setting["metadata"]["name"]);
    let condition = |name: &str| {
        let all = status["conditions"].as_array().into_iter().flatten();
        let found = all.into_iter().find(|condition| condition["type"] == name);
        found.map_or_else(String::new, |one| format!("{name}={} {}", text(&one["status"]), text(&one["reason"])))
    };
    let next = &status["nextProfile"];
    let next = if next.is_null() {
        String::new()
    } else {
        format!(", next {} at {}", text(&next["name"]), text(&next["time"]))
    };
    let mut lines = vec![format!(
        "{name}: {} VMs, profile {}{next}; {}, {}",
        text(&status["currentReplicas"]),
        text(&status["profile"]),
        condition("Ready"),
        condition("Active")
    )];
    for rule in status["rules"].as_array().into_iter().flatten() {
        let fires = if rule["fires"] == true { format!("fires, {}", text(&rule["proposed"])) } else { "-".to_owned() };
        lines.push(format!(
            "  {}: {} {}: {fires}",
            text(&rule["name"]),
            text(&rule["value"]),
            text(&rule["threshold"])
        ));
    }
    if !status["blocker"].is_null() {
        lines.push(format!("  held: {}: {}", text(&status["blocker"]["code"]), text(&status["blocker"]["message"])));
    }
    if !status["cooldownUntil"].is_null() {
        lines.push(format!("  cools down until {}", text(&status["cooldownUntil"])));
    }
    for action in status["scaleActions"].as_array().into_iter().flatten() {
        let [from, to, time, state, cause] = ["from", "to", "time", "state", "cause"].map(|field| text(&action[field]));
        lines.push(format!("  {time} {from} -> {to} {state}: {cause}"));
    }
    lines
}
