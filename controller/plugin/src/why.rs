//! What is held back and by which numbers; what is not as it should be.

use kube::ResourceExt;
use scaleset_crds::condition::{InstanceCondition, ScaleSetCondition, find};
use scaleset_crds::{ScaleSet, ScaleSetStatus};

use crate::cluster::{Cluster, Instance};
use crate::output::table;

pub(crate) async fn why(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    let set = cluster.set(name).await?;
    let instances = cluster.instances(&set).await?;
    println!("{}", explained(&set, &instances));
    Ok(())
}

fn explained(set: &ScaleSet, instances: &[Instance]) -> String {
    let status = set.status.clone().unwrap_or_default();
    let mut parts = Vec::new();
    if status.observed_generation != set.metadata.generation {
        parts.push("the controller has not looked at the last change yet".to_owned());
    }
    parts.extend(of_set(&status));
    if !status.blockers.is_empty() {
        let rows: Vec<Vec<String>> = status
            .blockers
            .iter()
            .map(|blocker| vec![blocker.code.clone(), blocker.count.to_string(), blocker.message.clone()])
            .collect();
        parts.push(table(&["HELD BACK BY", "VMS", "BECAUSE"], &rows));
    }
    let rows: Vec<Vec<String>> = instances.iter().filter_map(of_instance).collect();
    if !rows.is_empty() {
        parts.push(table(&["VM", "REASON", "MESSAGE"], &rows));
    }
    if parts.is_empty() {
        return format!("nothing is held back: scale set {} is as it should be", set.name_any());
    }
    parts.join("\n\n")
}

/// Conditions that are not good news; those that only say that nothing is paused or stalled are left out.
fn of_set(status: &ScaleSetStatus) -> Option<String> {
    let bad = |condition: &&ScaleSetCondition| {
        let Some(found) = find(&status.conditions, condition.as_str()) else { return false };
        match condition {
            ScaleSetCondition::Ready
            | ScaleSetCondition::Available
            | ScaleSetCondition::UpToDate
            | ScaleSetCondition::CapacitySatisfied => found.status != "True",
            ScaleSetCondition::Healthy => found.status == "False",
            ScaleSetCondition::Paused | ScaleSetCondition::Stalled => found.status == "True",
            ScaleSetCondition::Progressing | ScaleSetCondition::Reconciling => false,
        }
    };
    let row = |condition: &ScaleSetCondition| {
        let found = find(&status.conditions, condition.as_str())?;
        Some(vec![format!("{}={}", found.type_, found.status), found.reason.clone(), found.message.clone()])
    };
    let rows: Vec<Vec<String>> = ScaleSetCondition::ALL.iter().filter(bad).filter_map(row).collect();
    (!rows.is_empty()).then(|| table(&["CONDITION", "REASON", "MESSAGE"], &rows))
}

fn of_instance(instance: &Instance) -> Option<Vec<String>> {
    let status = instance.status();
    let ready = find(&status.conditions, InstanceCondition::Ready.as_str()).filter(|ready| ready.status != "True")?;
    Some(vec![instance.name(), ready.reason.clone(), ready.message.clone()])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(status: &serde_json::Value) -> ScaleSet {
        serde_json::from_value(json!({
            "apiVersion": "compute.scaleset.io/v1alpha1", "kind": "ScaleSet",
            "metadata": {"name": "web", "generation": 2},
            "spec": {"orchestrationMode": "Uniform", "location": "eastus", "upgradePolicy": {"mode": "Manual", "paused": false}},
            "status": status,
        }))
        .expect("the set is whole")
    }

    fn condition(name: &str, status: &str) -> serde_json::Value {
        json!({"type": name, "status": status, "reason": "Upgrading", "message": "3 of 5", "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    #[test]
    fn what_is_well_says_so() {
        let well = set(
            &json!({"observedGeneration": 2, "conditions": [condition("Ready", "True"), condition("Stalled", "False")]}),
        );
        assert_eq!(explained(&well, &[]), "nothing is held back: scale set web is as it should be");
    }

    #[test]
    fn what_is_held_back_says_by_which_numbers() {
        let blocker = json!({"code": "AllowanceSpent", "count": 2, "since": "2026-01-01T00:00:00Z", "message": "2 outdated, 1 of 1"});
        let held = set(
            &json!({"observedGeneration": 1, "conditions": [condition("UpToDate", "False")], "blockers": [blocker]}),
        );
        let expected = "the controller has not looked at the last change yet\n\n\
            CONDITION        REASON      MESSAGE\nUpToDate=False   Upgrading   3 of 5\n\n\
            HELD BACK BY     VMS   BECAUSE\nAllowanceSpent   2     2 outdated, 1 of 1";
        assert_eq!(explained(&held, &[]), expected);
    }
}
