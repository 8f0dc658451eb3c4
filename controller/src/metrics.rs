//! What the process does and finds in numbers, as Prometheus reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use scaleset_crds::reservation_group::CapacityReservationStatus;

use crate::cluster::{Kind, ObjectKey};

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// POST.
    Create,
    /// Merge patch.
    Patch,
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
            Self::ApplyStatus => "apply_status",
            Self::Delete => "delete",
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
    /// The pass panicked, or took too long.
    Broken,
}

impl Ending {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
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

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct ReservationLabels {
    namespace: String,
    group: String,
    size: String,
    zone: String,
}

/// VMs by reservation.
#[derive(Debug, Default)]
struct Reservations {
    reserved: Family<ReservationLabels, Gauge>,
    allocated: Family<ReservationLabels, Gauge>,
    overallocated: Family<ReservationLabels, Gauge>,
    unused: Family<ReservationLabels, Gauge>,
    /// What each group has gauges for.
    known: Mutex<BTreeMap<ObjectKey, BTreeSet<ReservationLabels>>>,
}

impl Reservations {
    fn register(&self, registry: &mut Registry) {
        let reservations = "by capacity reservation group, size and zone";
        for (name, what, family) in [
            ("reserved", "VMs that there is reserved room for", &self.reserved),
            ("reservation_allocated", "VMs that hold hardware of a reservation or beyond it", &self.allocated),
            ("reservation_overallocated", "VMs that hold hardware beyond a reservation", &self.overallocated),
            ("reservation_unused", "Reserved room that no VM uses", &self.unused),
        ] {
            registry.register(name, format!("{what}, {reservations}"), family.clone());
        }
    }

    fn families(&self) -> [&Family<ReservationLabels, Gauge>; 4] {
        [&self.reserved, &self.allocated, &self.overallocated, &self.unused]
    }

    fn tell(&self, group: &ObjectKey, reservations: &[CapacityReservationStatus]) {
        let mut told = BTreeSet::new();
        for reservation in reservations {
            let labels = ReservationLabels {
                namespace: group.namespace.clone(),
                group: group.name.clone(),
                size: reservation.vm_size.clone(),
                zone: reservation.zone.clone().unwrap_or_default(),
            };
            let numbers =
                [reservation.current_capacity, reservation.allocated, reservation.overallocated, reservation.unused];
            for (family, number) in self.families().into_iter().zip(numbers) {
                family.get_or_create(&labels).set(i64::from(number));
            }
            told.insert(labels);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = if told.is_empty() { known.remove(group) } else { known.insert(group.clone(), told.clone()) };
        for gone in before.iter().flatten().filter(|labels| !told.contains(*labels)) {
            for family in self.families() {
                family.remove(gone);
            }
        }
    }
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
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("scaleset");
        let (writes, passes, lists) = (Family::default(), Family::default(), Family::default());
        let (stale_skips, stray_machines, leader) = (Counter::default(), Gauge::default(), Gauge::default());
        registry.register("leader", "1 while this process leads, 0 while it stands by", leader.clone());
        // Without an election there is nobody else.
        leader.set(1);
        registry.register("api_writes", "Writes to the Kubernetes API by kind, verb and result", writes.clone());
        registry.register("passes", "Passes over one object by controller and result", passes.clone());
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

    /// A pass of that controller has ended.
    pub fn count_pass(&self, controller: &'static str, ending: Ending) {
        self.passes.get_or_create(&PassLabels { controller, result: ending.as_str() }).inc();
    }

    /// A list of a whole kind has begun.
    pub fn listed(&self, kind: Kind) {
        self.lists.get_or_create(&KindLabels { kind: kind.as_str() }).inc();
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

    /// A sweep found so many machines that belong to no object.
    pub fn found_strays(&self, count: usize) {
        self.stray_machines.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use scaleset_crds::vocabulary::ProvisioningState;

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

    #[test]
    fn reservations_are_told_by_group_size_and_zone_and_vanish_with_them() {
        let metrics = Metrics::default();
        let group = ObjectKey { namespace: "default".to_owned(), name: "d2s".to_owned() };
        let in_zone = |zone: &str, current_capacity, allocated, unused, overallocated| CapacityReservationStatus {
            name: format!("d2s-z{zone}"),
            reservation_id: None,
            vm_size: "Standard_D2s_v3".to_owned(),
            zone: Some(zone.to_owned()),
            provisioning_state: ProvisioningState::Succeeded,
            provisioning_time: None,
            platform_fault_domain_count: None,
            current_capacity,
            associated: allocated,
            allocated,
            unused,
            overallocated,
        };
        let line = |name: &str, zone: &str, count: usize| {
            let labels = format!(r#"namespace="default",group="d2s",size="Standard_D2s_v3",zone="{zone}""#);
            format!("scaleset_{name}{{{labels}}} {count}\n")
        };
        metrics.reserved(&group, &[in_zone("1", 40, 25, 15, 0), in_zone("2", 20, 25, 0, 5)]);
        let text = metrics.text();
        for (name, in_one, in_two) in [
            ("reserved", 40, 20),
            ("reservation_allocated", 25, 25),
            ("reservation_overallocated", 0, 5),
            ("reservation_unused", 15, 0),
        ] {
            assert!(
                text.contains(&line(name, "1", in_one)) && text.contains(&line(name, "2", in_two)),
                "{name}: {text}"
            );
        }
        metrics.reserved(&group, &[in_zone("1", 40, 25, 15, 0)]);
        let text = metrics.text();
        assert!(text.contains(&line("reserved", "1", 40)) && !text.contains(r#"zone="2""#), "{text}");
    }
}
