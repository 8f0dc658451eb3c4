//! What the process does and finds in numbers, as Prometheus reads them. `docs/metrics.md` lists every name.
//!
//! Nothing is told by VM: the number of series grows with the sets, never with the fleet.

mod autoscale;
mod calls;
#[cfg(test)]
mod names;
mod reservations;
mod scale_sets;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use scaleset_crds::reservation_group::CapacityReservationStatus;

use crate::cluster::ObjectKey;
use calls::Durations;
use reservations::Reservations;
use scale_sets::ScaleSets;

pub use autoscale::{Autoscaled, Evaluated};
pub use scale_sets::SetNumbers;

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// POST.
    Create,
    /// Merge patch.
    Patch,
    /// Merge patch of a set's `scale`.
    Scale,
    /// Server-side apply of a status.
    ApplyStatus,
    /// DELETE.
    Delete,
}

impl Verb {
    /// As it stands in logs and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Patch => "patch",
            Self::Scale => "scale",
            Self::ApplyStatus => "apply_status",
            Self::Delete => "delete",
        }
    }
}

/// Whose pass it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// Of sets.
    ScaleSet,
    /// Of instances.
    Instance,
    /// Of operations.
    Operation,
    /// Of capacity reservation groups.
    ReservationGroup,
    /// Of autoscale settings.
    Autoscale,
}

impl Controller {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::ScaleSet, Self::Instance, Self::Operation, Self::ReservationGroup, Self::Autoscale];

    /// As it stands in logs and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ScaleSet => "scale_set",
            Self::Instance => "instance",
            Self::Operation => "operation",
            Self::ReservationGroup => "reservation_group",
            Self::Autoscale => "autoscale",
        }
    }
}

/// How a call or a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Well.
    Success,
    /// With an error.
    Failure,
    /// Somebody else had written first.
    Conflict,
    /// The pass panicked, or took too long.
    Broken,
}

impl Ending {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Conflict => "conflict",
            Self::Broken => "broken",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    kind: &'static str,
    verb: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PassLabels {
    controller: &'static str,
    result: &'static str,
}

impl PassLabels {
    const fn new(controller: Controller, ending: Ending) -> Self {
        Self { controller: controller.as_str(), result: ending.as_str() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BlockedLabels {
    namespace: String,
    scale_set: String,
    code: &'static str,
}

/// See the module.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    writes: Family<WriteLabels, Counter>,
    passes: Family<PassLabels, Counter>,
    lists: Family<KindLabels, Counter>,
    stale_skips: Counter,
    stray_machines: Gauge,
    leader: Gauge,
    blocked: Family<BlockedLabels, Gauge>,
    /// The codes that each set has a gauge for.
    blocked_codes: Mutex<BTreeMap<ObjectKey, BTreeSet<&'static str>>>,
    reservations: Reservations,
    scale_sets: ScaleSets,
    durations: Durations,
    settings: autoscale::Settings,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("scaleset");
        let (writes, lists) = (Family::default(), Family::default());
        let passes = Family::<PassLabels, Counter>::default();
        let (stale_skips, stray_machines, leader) = (Counter::default(), Gauge::default(), Gauge::default());
        registry.register("leader", "1 while this process leads, 0 while it stands by", leader.clone());
        // Without an election there is nobody else.
        leader.set(1);
        registry.register("api_writes", "Writes to the Kubernetes API by kind, verb and result", writes.clone());
        registry.register("passes", "Passes over one object by controller and result", passes.clone());
        // An increase is only seen from a number that was there before: the first broken pass has to be one.
        for controller in Controller::ALL {
            drop(passes.get_or_create(&PassLabels::new(controller, Ending::Broken)));
        }
        registry.register("api_lists", "Lists of all objects of a kind", lists.clone());
        registry.register(
            "stale_skips",
            "Passes put off because the cache does not show our own writes yet",
            stale_skips.clone(),
        );
        registry.register(
            "stray_machine_count",
            "Machines at the last sweep that belong to no object",
            stray_machines.clone(),
        );
        let blocked = Family::default();
        registry.register("blocked", "Members that are held back, by set and code of the blocker", blocked.clone());
        let blocked_codes = Mutex::default();
        let reservations = Reservations::default();
        reservations.register(&mut registry);
        let (scale_sets, durations) = (ScaleSets::default(), Durations::default());
        scale_sets.register(&mut registry);
        durations.register(&mut registry);
        let settings = autoscale::Settings::default();
        settings.register(&mut registry);
        Self {
            registry,
            writes,
            passes,
            lists,
            stale_skips,
            stray_machines,
            leader,
            blocked,
            blocked_codes,
            reservations,
            scale_sets,
            durations,
            settings,
        }
    }
}

impl Metrics {
    /// The text that a scraper reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }

    /// A write has ended; events count too.
    pub fn count_write(&self, kind: &'static str, verb: Verb, ending: Ending) {
        self.writes.get_or_create(&WriteLabels { kind, verb: verb.as_str(), result: ending.as_str() }).inc();
    }

    /// A pass of that controller has ended after so long, wall time.
    pub fn count_pass(&self, controller: Controller, ending: Ending, took: Duration) {
        self.passes.get_or_create(&PassLabels::new(controller, ending)).inc();
        self.durations.pass(controller.as_str(), took);
    }

    /// A call to the hardware has ended after so long, wall time.
    pub fn count_call(&self, call: &'static str, ending: Ending, took: Duration) {
        self.durations.call(call, ending.as_str(), took);
    }

    /// What a set has, and what may be disturbed of it.
    pub fn counted(&self, set: &ObjectKey, numbers: &SetNumbers) {
        self.scale_sets.tell(set, numbers);
    }

    /// A decision about so many members of a set was carried out; `decision` is the reason of its event.
    pub fn decided(&self, set: &ObjectKey, decision: &'static str, members: usize) {
        self.scale_sets.decided(set, decision, members);
    }

    /// A batch of a rolling upgrade has ended after so long, scenario time.
    pub fn batch_ended(&self, set: &ObjectKey, took: Duration) {
        self.scale_sets.batch_ended(set, took);
    }

    /// A set is gone: nothing is told of it any more.
    pub fn forget_set(&self, set: &ObjectKey) {
        self.blocked(set, &BTreeMap::new());
        self.scale_sets.forget(set);
    }

    /// A list of a whole kind has begun.
    pub fn listed(&self, kind: &'static str) {
        self.lists.get_or_create(&KindLabels { kind }).inc();
    }

    /// A pass was put off.
    pub fn skipped_stale(&self) {
        self.stale_skips.inc();
    }

    /// So many members of a set are held back, by code; a code that is not among them any more is not reported any more.
    /// A set that is gone is held back by nothing.
    pub fn blocked(&self, set: &ObjectKey, held: &BTreeMap<&'static str, usize>) {
        let mut known = self.blocked_codes.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = |code| BlockedLabels { namespace: set.namespace.clone(), scale_set: set.name.clone(), code };
        for (code, count) in held {
            self.blocked.get_or_create(&labels(code)).set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
        let codes: BTreeSet<&'static str> = held.keys().copied().collect();
        let before = if codes.is_empty() { known.remove(set) } else { known.insert(set.clone(), codes) };
        for code in before.into_iter().flatten().filter(|code| !held.contains_key(code)) {
            self.blocked.remove(&labels(code));
        }
    }

    /// What a group reserves and who uses it; a reservation that is not among them any more is not reported any more.
    pub fn reserved(&self, group: &ObjectKey, reservations: &[CapacityReservationStatus]) {
        self.reservations.tell(group, reservations);
    }

    /// How many leaders this process is: 1 or 0.
    pub fn leads(&self, leaders: i64) {
        self.leader.set(leaders);
    }

    /// What a pass over an autoscale setting found and decided.
    pub fn autoscaled(&self, setting: &ObjectKey, told: Autoscaled) {
        self.settings.tell(setting, told);
    }

    /// A sweep found so many machines that belong to no object.
    pub fn found_strays(&self, count: usize) {
        self.stray_machines.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_kind_and_verb() {
        let metrics = Metrics::default();
        metrics.count_write("ScaleSetVM", Verb::Create, Ending::Success);
        metrics.count_write("ScaleSetVM", Verb::Create, Ending::Success);
        metrics.skipped_stale();
        let text = metrics.text();
        let line = r#"scaleset_api_writes_total{kind="ScaleSetVM",verb="create",result="success"} 2"#;
        assert!(text.contains(line), "{text}");
        assert!(text.contains("scaleset_stale_skips_total 1"), "{text}");
    }

    #[test]
    fn no_broken_pass_is_a_number_from_the_start() {
        let text = Metrics::default().text();
        for controller in Controller::ALL {
            let name = controller.as_str();
            let line = format!(r#"scaleset_passes_total{{controller="{name}",result="broken"}} 0"#);
            assert!(text.contains(&line), "{line} is not in {text}");
        }
        let others = text.lines().filter(|line| line.starts_with("scaleset_passes_total") && !line.contains("broken"));
        assert_eq!(others.count(), 0, "what has not happened is not told: {text}");
    }

    #[test]
    fn what_is_held_back_is_counted_by_set_and_code_and_vanishes_when_it_ends() {
        let metrics = Metrics::default();
        let set = |name: &str| ObjectKey { namespace: "default".to_owned(), name: name.to_owned() };
        let line = |name: &str, code: &str, count: usize| {
            format!(r#"scaleset_blocked{{namespace="default",scale_set="{name}",code="{code}"}} {count}"#)
        };
        metrics.blocked(&set("web"), &[("AllowanceSpent", 8), ("Protected", 1)].into());
        metrics.blocked(&set("db"), &[("AllowanceSpent", 2)].into());
        metrics.blocked(&set("web"), &[("AllowanceSpent", 7)].into());
        let text = metrics.text();
        assert!(text.contains(&line("web", "AllowanceSpent", 7)) && text.contains(&line("db", "AllowanceSpent", 2)));
        assert!(!text.contains("Protected"), "it ended: {text}");
        metrics.blocked(&set("web"), &BTreeMap::new());
        let text = metrics.text();
        assert!(!text.contains("web") && text.contains(&line("db", "AllowanceSpent", 2)), "the set is gone: {text}");
    }
}
