//! The model view of each VM against its instance view, field by field.

use serde_json::{Value, json};

use crate::arguments::Output;
use crate::cluster::Cluster;
use crate::output::{print, table};

pub(crate) async fn diff(cluster: &Cluster, name: &str, output: Output) -> anyhow::Result<()> {
    let set = cluster.set(name).await?;
    let newest = set.status.clone().and_then(|status| status.model_revision).unwrap_or_default();
    let instances = cluster.instances(&set).await?;
    let (mut rows, mut values) = (Vec::new(), Vec::new());
    for instance in &instances {
        let status = instance.status();
        let runs = status.model_revision.clone().unwrap_or_default();
        for change in &status.pending_changes {
            rows.push(vec![
                instance.id(),
                change.path.clone(),
                change.from.clone(),
                change.to.clone(),
                change.impact.as_str().to_owned(),
            ]);
        }
        values.push(json!({
            "instanceId": instance.id(), "runs": runs, "newest": newest,
            "latestModelApplied": status.latest_model_applied, "pendingChanges": status.pending_changes,
        }));
    }
    match output {
        Output::Json | Output::Yaml => print(&Value::Array(values), output),
        Output::Table if rows.is_empty() => {
            println!("no VM of {name} differs from the newest model {newest} ({} VMs)", instances.len());
            Ok(())
        }
        Output::Table => {
            println!("{}", table(&["ID", "FIELD", "IS", "SHOULD BE", "COSTS"], &rows));
            Ok(())
        }
    }
}
