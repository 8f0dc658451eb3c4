//! What each set has, what may be disturbed of it, and what was decided about its members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::cluster::ObjectKey;

/// A batch restarts in seconds and may wait for health for many minutes.
const BATCH_SECONDS: [f64; 8] = [5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SetLabels {
    namespace: String,
    scale_set: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    namespace: String,
    scale_set: String,
    decision: &'static str,
}

/// The numbers of a set after a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetNumbers {
    /// Members that it is to have, those made by hand included.
    pub desired: i32,
    /// Members that hold a place.
    pub replicas: i32,
    /// Of these, ready.
    pub ready: i32,
    /// Of these, available.
    pub available: i32,
    /// Of these, on the newest model.
    pub updated: i32,
    /// Members that may be disturbed at a time; `None` where nothing was to be decided.
    pub allowance: Option<usize>,
    /// What of it is spent.
    pub allowance_spent: Option<usize>,
}

type Made = fn() -> Histogram;

/// See the module.
#[derive(Debug)]
pub(super) struct ScaleSets {
    gauges: BTreeMap<&'static str, (&'static str, Family<SetLabels, Gauge>)>,
    decisions: Family<DecisionLabels, Counter>,
    batches: Family<SetLabels, Histogram, Made>,
    /// The decisions that each set has a counter for.
    known: Mutex<BTreeMap<ObjectKey, BTreeSet<&'static str>>>,
}

impl Default for ScaleSets {
    fn default() -> Self {
        let gauges = [
            ("desired_replicas", "Members that the set is to have, those made by hand included"),
            ("replicas", "Members that hold a place"),
            ("ready_replicas", "Members that are as they should be"),
            ("available_replicas", "Members that are provisioned, running and not known to be unhealthy"),
            ("updated_replicas", "Members that have the newest model"),
            ("allowance", "Members that may be disturbed at a time"),
            ("allowance_spent", "Members that are disturbed or not available now"),
        ];
        Self {
            gauges: gauges.into_iter().map(|(name, help)| (name, (help, Family::default()))).collect(),
            decisions: Family::default(),
            batches: Family::new_with_constructor(|| Histogram::new(BATCH_SECONDS)),
            known: Mutex::default(),
        }
    }
}

impl ScaleSets {
    pub(super) fn register(&self, registry: &mut Registry) {
        for (name, (help, family)) in &self.gauges {
            registry.register(*name, format!("{help}, by set"), family.clone());
        }
        let decisions = "Members about which something was decided and carried out, by set and reason of the event";
        registry.register("decisions", decisions, self.decisions.clone());
        let batches = "How long a batch of a rolling upgrade took, scenario time, by set";
        registry.register_with_unit("batch_duration", batches, Unit::Seconds, self.batches.clone());
    }

    pub(super) fn tell(&self, set: &ObjectKey, numbers: &SetNumbers) {
        let SetNumbers { desired, replicas, ready, available, updated, allowance, allowance_spent } = *numbers;
        let spent = |number: Option<usize>| number.map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        let numbers = [
            ("desired_replicas", Some(i64::from(desired))),
            ("replicas", Some(i64::from(replicas))),
            ("ready_replicas", Some(i64::from(ready))),
            ("available_replicas", Some(i64::from(available))),
            ("updated_replicas", Some(i64::from(updated))),
            ("allowance", spent(allowance)),
            ("allowance_spent", spent(allowance_spent)),
        ];
        for (name, number) in numbers {
            let (_, family) = &self.gauges[name];
            match number {
                Some(number) => {
                    family.get_or_create(&labels(set)).set(number);
                }
                None => {
                    family.remove(&labels(set));
                }
            }
        }
        self.known.lock().unwrap_or_else(PoisonError::into_inner).entry(set.clone()).or_default();
    }

    pub(super) fn decided(&self, set: &ObjectKey, decision: &'static str, members: usize) {
        let members = u64::try_from(members).unwrap_or(u64::MAX);
        self.decisions.get_or_create(&of_decision(set, decision)).inc_by(members);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(set.clone()).or_default().insert(decision);
    }

    pub(super) fn batch_ended(&self, set: &ObjectKey, took: Duration) {
        self.batches.get_or_create(&labels(set)).observe(took.as_secs_f64());
    }

    pub(super) fn forget(&self, set: &ObjectKey) {
        let Some(decisions) = self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(set) else { return };
        for (_, family) in self.gauges.values() {
            family.remove(&labels(set));
        }
        self.batches.remove(&labels(set));
        for decision in decisions {
            self.decisions.remove(&of_decision(set, decision));
        }
    }
}

fn labels(set: &ObjectKey) -> SetLabels {
    SetLabels { namespace: set.namespace.clone(), scale_set: set.name.clone() }
}

fn of_decision(set: &ObjectKey, decision: &'static str) -> DecisionLabels {
    DecisionLabels { namespace: set.namespace.clone(), scale_set: set.name.clone(), decision }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn a_set_is_told_whole_and_vanishes_with_all_its_series() {
        let metrics = Metrics::default();
        let set = ObjectKey { namespace: "default".to_owned(), name: "web".to_owned() };
        let numbers = SetNumbers {
            desired: 10,
            replicas: 9,
            ready: 8,
            available: 7,
            updated: 6,
            allowance: Some(2),
            allowance_spent: Some(1),
        };
        metrics.counted(&set, &numbers);
        metrics.decided(&set, "ScaledOut", 9);
        metrics.batch_ended(&set, Duration::from_secs(20));
        let text = metrics.text();
        let of_web = r#"{namespace="default",scale_set="web"}"#;
        for line in [
            format!("scaleset_desired_replicas{of_web} 10"),
            format!("scaleset_available_replicas{of_web} 7"),
            format!("scaleset_allowance{of_web} 2"),
            format!("scaleset_allowance_spent{of_web} 1"),
            r#"scaleset_decisions_total{namespace="default",scale_set="web",decision="ScaledOut"} 9"#.to_owned(),
            format!("scaleset_batch_duration_seconds_sum{of_web} 20.0"),
        ] {
            assert!(text.contains(&line), "{line} is not in {text}");
        }
        metrics.counted(&set, &SetNumbers { allowance: None, allowance_spent: None, ..numbers });
        assert!(!metrics.text().contains("scaleset_allowance{"), "nothing may be disturbed, and nothing is to be");
        metrics.forget_set(&set);
        assert!(!metrics.text().contains("web"), "{}", metrics.text());
    }
}
