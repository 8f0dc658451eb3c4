//! Every metric is documented, and whatever is named in documents, dashboard and alerts is told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use scaleset_crds::reservation_group::CapacityReservationStatus;
use scaleset_crds::vocabulary::ProvisioningState;

use super::*;
use crate::cluster::Kind;

const DOCUMENT: &str = include_str!("../../../docs/metrics.md");
const DASHBOARD: &str = include_str!("../../../charts/scaleset-controller/dashboards/scaleset.json");
const ALERTS: &str = include_str!("../../../charts/scaleset-controller/alerts/scaleset.yaml");

/// Metrics with a series in every family.
fn told() -> String {
    let metrics = Metrics::default();
    let key = ObjectKey { namespace: "default".to_owned(), name: "web".to_owned() };
    let reservation = CapacityReservationStatus {
        name: "room".to_owned(),
        reservation_id: None,
        vm_size: "Standard_D2s_v3".to_owned(),
        zone: None,
        provisioning_state: ProvisioningState::Succeeded,
        provisioning_time: None,
        platform_fault_domain_count: None,
        current_capacity: 1,
        associated: 1,
        allocated: 1,
        unused: 0,
        overallocated: 0,
    };
    metrics.count_write("ScaleSet", Verb::Patch, Ending::Success);
    metrics.count_pass(Controller::ScaleSet, Ending::Success, Duration::ZERO);
    metrics.count_call("create", Ending::Success, Duration::ZERO);
    metrics.listed(Kind::ScaleSet.as_str());
    metrics.blocked(&key, &[("AllowanceSpent", 1)].into());
    metrics.reserved(&key, &[reservation]);
    metrics.counted(&key, &SetNumbers { allowance: Some(1), allowance_spent: Some(0), ..SetNumbers::default() });
    metrics.decided(&key, "ScaledOut", 1);
    metrics.batch_ended(&key, Duration::ZERO);
    let evaluated = Evaluated { current: 1, minimum: 1, maximum: 2, decided: Some((1, 2)) };
    metrics.autoscaled(&key, Autoscaled::Evaluated(evaluated));
    metrics.text()
}

/// The names of the metrics, counters with the suffix that a query needs.
fn names(text: &str) -> BTreeSet<String> {
    let described = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let name = |line: &str| {
        let (name, kind) = line.split_once(' ').expect("a name and a type");
        if kind == "counter" { format!("{name}_total") } else { name.to_owned() }
    };
    described.map(name).collect()
}

/// Every word that begins as our metrics do.
fn mentioned(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("scaleset_") && *word != "scaleset_controller").map(str::to_owned).collect()
}

fn family(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

#[test]
fn every_metric_has_its_line_in_the_document() {
    let told = names(&told());
    assert!(told.len() > 15, "{told:?}");
    let documented: BTreeSet<String> = mentioned(DOCUMENT);
    assert_eq!(told, documented, "docs/metrics.md and the registry differ");
}

#[test]
fn what_dashboard_and_alerts_ask_for_is_told() {
    let told = names(&told());
    for (place, text) in [("the dashboard", DASHBOARD), ("the alerts", ALERTS)] {
        let mentioned = mentioned(text);
        assert!(mentioned.len() > 5, "{place} mentions {mentioned:?}");
        for name in &mentioned {
            let is_told = told.contains(name) || told.contains(family(name));
            assert!(is_told, "{place} asks for {name}, which nothing tells");
        }
    }
}

/// What a label may be about. A VM is not among them: the number of series must not grow with the fleet.
const LABELS: [&str; 14] = [
    "call",
    "code",
    "controller",
    "decision",
    "direction",
    "group",
    "kind",
    "namespace",
    "result",
    "scale_set",
    "setting",
    "size",
    "verb",
    "zone",
];

type Labels = BTreeMap<String, BTreeSet<String>>;

/// The labels of each metric, from the series of a scrape. `le` belongs to histograms.
fn labels_told(text: &str) -> Labels {
    let mut labels = Labels::new();
    let names = names(text);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').expect("a series and its value");
        let (name, of_series) = series.split_once('{').unwrap_or((series, ""));
        let pairs = of_series.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('='));
        let name = if names.contains(name) { name } else { family(name) };
        let of_metric = labels.entry(name.to_owned()).or_default();
        of_metric.extend(pairs.map(|(label, _)| label.to_owned()).filter(|label| label != "le"));
    }
    labels
}

/// The same from the table of the document.
fn labels_documented() -> Labels {
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let [name, _, labels, _] = cells.as_slice() else { return None };
        let name = name.trim_matches('`');
        let labels = labels.split(", ").map(|label| label.trim_matches('`').to_owned());
        name.starts_with("scaleset_").then(|| (name.to_owned(), labels.filter(|label| !label.is_empty()).collect()))
    };
    DOCUMENT.lines().filter_map(row).collect()
}

#[test]
fn a_series_has_the_labels_that_are_documented_and_none_is_about_a_vm() {
    let told = labels_told(&told());
    assert_eq!(told, labels_documented(), "docs/metrics.md and a scrape differ");
    let used: BTreeSet<&str> = told.values().flatten().map(String::as_str).collect();
    assert_eq!(used, BTreeSet::from(LABELS));
}
