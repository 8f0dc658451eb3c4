//! Every metric is documented, and whatever is named in documents, dashboard and alerts is told.

use std::collections::BTreeSet;
use std::time::Duration;

use scaleset_crds::reservation_group::CapacityReservationStatus;
use scaleset_crds::vocabulary::ProvisioningState;

use super::*;

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
    metrics.count_pass("scale_set", Ending::Success, Duration::ZERO);
    metrics.count_call("create", Ending::Success, Duration::ZERO);
    metrics.listed(Kind::ScaleSet);
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
