//! What settings of autoscale decide, in numbers.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::cluster::ObjectKey;

/// What a pass over a setting tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Autoscaled {
    /// There is no such setting any more.
    Gone,
    /// It decides nothing: it is switched off, or something keeps it back. What it decided before is still counted.
    Idle,
    /// It waits for a moment; what it told before stands.
    Waiting,
    /// It looked at its rules.
    Evaluated(Evaluated),
}

/// What a setting that acts has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// VMs that the set is to make.
    pub current: i32,
    /// Fewest VMs of the profile in force.
    pub minimum: i32,
    /// Most VMs of the profile in force.
    pub maximum: i32,
    /// The counts before and after a decision that was made in the pass.
    pub decided: Option<(i32, i32)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SettingLabels {
    namespace: String,
    setting: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    namespace: String,
    setting: String,
    direction: &'static str,
}

/// By setting.
#[derive(Debug, Default)]
pub(super) struct Settings {
    current: Family<SettingLabels, Gauge>,
    minimum: Family<SettingLabels, Gauge>,
    maximum: Family<SettingLabels, Gauge>,
    decisions: Family<DecisionLabels, Counter>,
}

impl Settings {
    pub(super) fn register(&self, registry: &mut Registry) {
        for (name, what, family) in [
            ("autoscale_current", "VMs that the set is to make", &self.current),
            ("autoscale_minimum", "Fewest VMs of the profile in force", &self.minimum),
            ("autoscale_maximum", "Most VMs of the profile in force", &self.maximum),
        ] {
            registry.register(name, format!("{what}, by autoscale setting"), family.clone());
        }
        let help = "Decisions of autoscale settings by direction";
        registry.register("autoscale_decisions", help, self.decisions.clone());
    }

    pub(super) fn tell(&self, setting: &ObjectKey, told: Autoscaled) {
        match told {
            Autoscaled::Gone => {
                self.forget_gauges(setting);
                for direction in ["out", "in"] {
                    self.decisions.remove(&of_decision(setting, direction));
                }
            }
            Autoscaled::Idle => self.forget_gauges(setting),
            Autoscaled::Waiting => {}
            Autoscaled::Evaluated(evaluated) => self.evaluated(setting, evaluated),
        }
    }

    fn evaluated(&self, setting: &ObjectKey, Evaluated { current, minimum, maximum, decided }: Evaluated) {
        let labels = labels_of(setting);
        for (family, number) in [(&self.current, current), (&self.minimum, minimum), (&self.maximum, maximum)] {
            family.get_or_create(&labels).set(i64::from(number));
        }
        if let Some((from, to)) = decided {
            let direction = if to > from { "out" } else { "in" };
            self.decisions.get_or_create(&of_decision(setting, direction)).inc();
        }
    }

    fn forget_gauges(&self, setting: &ObjectKey) {
        let labels = labels_of(setting);
        for family in [&self.current, &self.minimum, &self.maximum] {
            family.remove(&labels);
        }
    }
}

fn labels_of(setting: &ObjectKey) -> SettingLabels {
    SettingLabels { namespace: setting.namespace.clone(), setting: setting.name.clone() }
}

fn of_decision(setting: &ObjectKey, direction: &'static str) -> DecisionLabels {
    DecisionLabels { namespace: setting.namespace.clone(), setting: setting.name.clone(), direction }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn a_setting_is_told_keeps_its_count_of_decisions_and_vanishes() {
        let (settings, mut registry) = (Settings::default(), Registry::default());
        settings.register(&mut registry);
        let text = || {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text
        };
        let key = ObjectKey { namespace: "default".to_owned(), name: "web".to_owned() };
        let decided = |decided| Autoscaled::Evaluated(Evaluated { current: 3, minimum: 2, maximum: 10, decided });
        settings.tell(&key, decided(Some((2, 3))));
        let labels = r#"namespace="default",setting="web""#;
        for line in [
            format!("autoscale_current{{{labels}}} 3\n"),
            format!("autoscale_maximum{{{labels}}} 10\n"),
            format!("autoscale_decisions_total{{{labels},direction=\"out\"}} 1\n"),
        ] {
            assert!(text().contains(&line), "{line} in {}", text());
        }
        settings.tell(&key, Autoscaled::Waiting);
        assert!(text().contains(&format!("autoscale_current{{{labels}}} 3\n")), "{}", text());
        settings.tell(&key, Autoscaled::Idle);
        let outs = |count: u32| format!("autoscale_decisions_total{{{labels},direction=\"out\"}} {count}\n");
        assert!(!text().contains("autoscale_current{") && text().contains(&outs(1)), "{}", text());
        settings.tell(&key, decided(Some((3, 4))));
        assert!(text().contains(&outs(2)), "a refusal in between begins no new count: {}", text());
        settings.tell(&key, Autoscaled::Gone);
        assert!(!text().contains("web"), "{}", text());
    }
}
