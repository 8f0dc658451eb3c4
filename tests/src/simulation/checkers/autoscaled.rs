//! What must hold of autoscale settings at every moment: decisions stay within the bounds of the profile in force, rules wait for
//! the cooldown of the one that fired last in whatever direction, and a decision is on record before the set has it.

use std::collections::BTreeMap;

use scaleset_controller::cluster::Kind;
use serde_json::Value;

use super::seen::text;
use crate::simulation::stage::Stage;

/// What the judge remembers of each setting: its last decision, and until when no rule acts.
#[derive(Clone, Debug, Default)]
pub(super) struct Autoscaled {
    known: BTreeMap<String, (Value, String)>,
    /// The count of each set.
    counts: BTreeMap<String, Value>,
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
    /// `by_hand`: whether a person has changed an object in this round.
    pub(super) fn findings(&mut self, stage: &Stage, touched: impl Fn(&str) -> bool) -> Vec<String> {
        let settings = stage.cluster.all(Kind::AutoscaleSetting);
        let sets = stage.cluster.all(Kind::ScaleSet);
        let mut findings = Vec::new();
        for set in &sets {
            let name = text(&set["metadata"]["name"]);
            let count = set["spec"]["replicas"].clone();
            let before = self.counts.insert(name.clone(), count.clone());
            let changed = before.is_some_and(|before| before != count);
            let on_record = |setting: &&Value| {
                setting["spec"]["scaleTargetRef"]["name"] == name.as_str()
                    && setting["status"]["lastScaleAction"]["to"] == count
            };
            let scaled = settings.iter().any(|setting| setting["spec"]["scaleTargetRef"]["name"] == name.as_str());
            if changed && scaled && !touched(&name) && !settings.iter().any(|setting| on_record(&setting)) {
                findings.push(format!("{name} has {count} VMs, and no setting has that on record"));
            }
        }
        for setting in &settings {
            findings.extend(self.of_setting(setting));
        }
        findings
    }

    fn of_setting(&mut self, setting: &Value) -> Vec<String> {
        let (name, status) = (text(&setting["metadata"]["name"]), &setting["status"]);
        let uid = text(&setting["metadata"]["uid"]);
        let decision = status["lastScaleAction"].clone();
        let until = text(&status["cooldownUntil"]);
        let Some((known, quiet_until)) = self.known.insert(uid, (decision.clone(), until)) else { return Vec::new() };
        if decision == known || decision.is_null() {
            return Vec::new();
        }
        let mut findings = Vec::new();
        let of_rule = !text(&decision["cause"]).starts_with("profile ");
        // Both are written alike, so that they compare as text.
        if of_rule && !quiet_until.is_empty() && text(&decision["time"]) < quiet_until {
            findings.push(format!("{name}: {decision} within the cooldown until {quiet_until}"));
        }
        let profiles = setting["spec"]["profiles"].as_array().into_iter().flatten();
        let in_force = profiles.into_iter().find(|profile| profile["name"] == status["profile"]);
        let bound = |field: &str| in_force.and_then(|profile| profile["capacity"][field].as_i64());
        let to = decision["to"].as_i64().unwrap_or(-1);
        if bound("minimum").is_none_or(|least| to < least) || bound("maximum").is_none_or(|most| to > most) {
            findings.push(format!("{name}: {decision} is outside profile {}", status["profile"]));
        }
        findings
    }
}
