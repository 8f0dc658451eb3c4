//! The models that a set has had: each is a `ControllerRevision` that keeps the profile.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::Patch;
use scaleset_controller::merge_patch::merge_patch;
use scaleset_controller::scale_set::revision;
use scaleset_crds::{ScaleSet, VirtualMachineProfile};
use scaleset_planning::snapshot::Revision;
use scaleset_planning::view::diff_models;
use serde_json::{Value, json};

use crate::arguments::Output;
use crate::cluster::{Cluster, patch_parameters};
use crate::output::{age, print, table};
use crate::overtaken::{Written, insist};

/// The models of a set, the oldest first.
async fn models(cluster: &Cluster, set: &ScaleSet) -> anyhow::Result<Vec<Revision>> {
    let kept = cluster.revisions(set).await?;
    let mut models = kept.iter().map(revision).collect::<Result<Vec<Revision>, _>>()?;
    models.sort_by(|one, two| (one.number, &one.name).cmp(&(two.number, &two.name)));
    Ok(models)
}

pub(crate) async fn history(cluster: &Cluster, name: &str, output: Output) -> anyhow::Result<()> {
    let set = cluster.set(name).await?;
    let models = models(cluster, &set).await?;
    let mut running: BTreeMap<String, usize> = BTreeMap::new();
    for instance in cluster.instances(&set).await? {
        *running.entry(instance.status().model_revision.unwrap_or_default()).or_default() += 1;
    }
    let is_first = models.first().is_none_or(|model| model.number == 1);
    let oldest = if is_first { "the first" } else { "the oldest that is kept" }.to_owned();
    let changes: Vec<String> = std::iter::once(oldest)
        .chain(
            models.windows(2).map(|pair| diff_models(&pair[0].profile.model(), &pair[1].profile.model()).to_string()),
        )
        .collect();
    match output {
        Output::Json | Output::Yaml => {
            let values = models.iter().zip(&changes).map(|(model, change)| {
                json!({
                    "revision": model.number, "name": model.name, "vms": running.get(&model.name).copied().unwrap_or(0),
                    "marks": marks(&set, &model.name), "change": change,
                })
            });
            print(&Value::Array(values.collect()), output)
        }
        Output::Table if models.is_empty() => {
            println!("scale set {name} has had no model: it has no virtualMachineProfile");
            Ok(())
        }
        Output::Table => {
            let row = |(model, change): (&Revision, &String)| {
                vec![
                    model.number.to_string(),
                    model.name.clone(),
                    running.get(&model.name).copied().unwrap_or(0).to_string(),
                    marks(&set, &model.name).join(", "),
                    age(model.created, Timestamp::now()),
                    change.clone(),
                ]
            };
            let rows: Vec<Vec<String>> = models.iter().zip(&changes).map(row).collect();
            println!("{}", table(&["REVISION", "NAME", "VMS", "MARKS", "AGE", "CHANGE"], &rows));
            Ok(())
        }
    }
}

fn marks(set: &ScaleSet, revision: &str) -> Vec<String> {
    let status = set.status.clone().unwrap_or_default();
    let revisions = status.revisions.unwrap_or_default();
    let mut marks = Vec::new();
    if status.model_revision.as_deref() == Some(revision) {
        marks.push("newest".to_owned());
    }
    if revisions.current.as_deref() == Some(revision) && status.model_revision.as_deref() != Some(revision) {
        marks.push("for new VMs".to_owned());
    }
    if revisions.last_healthy.as_deref() == Some(revision) {
        marks.push("last healthy".to_owned());
    }
    let failed = revisions.failed.iter().find(|failed| failed.name == revision);
    marks.extend(failed.map(|failed| format!("failed ({})", failed.code)));
    marks
}

/// The model before the present one. A profile that was just applied may not be kept yet: the newest that is kept is then
/// the one before it.
fn before<'models>(models: &'models [Revision], present: &VirtualMachineProfile) -> Option<&'models Revision> {
    models.iter().rev().find(|model| model.profile.as_ref() != present)
}

/// Puts an earlier profile into the spec; the set then follows it by its policy like any change.
pub(crate) async fn undo(cluster: &Cluster, name: &str, to_revision: Option<i64>) -> anyhow::Result<()> {
    // The controller may write the set in between, mostly just after an apply.
    insist(|error| cluster.explain(error), async || undo_once(cluster, name, to_revision).await).await
}

async fn undo_once(cluster: &Cluster, name: &str, to_revision: Option<i64>) -> anyhow::Result<Written> {
    let set = cluster.set(name).await?;
    let present = set.spec.virtual_machine_profile.as_ref().context("the set has no virtualMachineProfile")?;
    let models = models(cluster, &set).await?;
    let numbers: Vec<String> = models.iter().map(|model| model.number.to_string()).collect();
    let wanted = match to_revision {
        Some(number) => models.iter().find(|model| model.number == number),
        None => before(&models, present),
    };
    let Some(wanted) = wanted else {
        match to_revision {
            Some(number) => bail!("scale set {name} has no revision {number}; there are: {}", numbers.join(", ")),
            None => bail!("scale set {name} has had no model before this one"),
        }
    };
    let change = diff_models(&present.model(), &wanted.profile.model());
    let patch = merge_patch(&serde_json::to_value(present)?, &serde_json::to_value(wanted.profile.as_ref())?);
    if patch == json!({}) {
        println!("scaleset/{name} has the model of revision {} already", wanted.number);
        return Ok(Written::Yes);
    }
    let guard = json!({"resourceVersion": set.resource_version()});
    let patch = Patch::Merge(json!({"metadata": guard, "spec": {"virtualMachineProfile": patch}}));
    let written = Written::of(cluster, cluster.api::<ScaleSet>().patch(name, &patch_parameters(), &patch).await)?;
    match &written {
        Written::Yes => {}
        Written::Overtaken(_) => return Ok(written),
    }
    println!("scaleset/{name} goes back to revision {} ({}): {change}", wanted.number, wanted.name);
    let failed = set.status.unwrap_or_default().revisions.unwrap_or_default().failed;
    if let Some(failed) = failed.iter().find(|failed| failed.name == wanted.name) {
        eprintln!("an upgrade to that model failed ({}); it is not started again", failed.code);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn profile(size: &str) -> VirtualMachineProfile {
        serde_json::from_value(json!({
            "vmSize": size,
            "osProfile": {"adminUsername": "azureuser"},
            "storageProfile": {"imageReference": {"publisher": "Canonical", "offer": "ubuntu-server", "sku": "22_04-lts"}},
            "networkProfile": {"networkInterfaces": [{"name": "nic0", "primary": true, "subnet": "default"}]},
        }))
        .expect("the profile is whole")
    }

    fn model(number: i64, size: &str) -> Revision {
        Revision {
            name: format!("web-{number}"),
            uid: String::new(),
            resource_version: String::new(),
            number,
            created: Timestamp::UNIX_EPOCH,
            profile: Arc::new(profile(size)),
        }
    }

    #[test]
    fn what_was_just_applied_goes_back_one_model_whether_it_is_kept_yet_or_not() {
        let models = [model(1, "Standard_D2s_v3"), model(2, "Standard_D4s_v3")];
        let number = |present: &str| before(&models, &profile(present)).map(|model| model.number);
        assert_eq!(number("Standard_D4s_v3"), Some(1));
        assert_eq!(number("Standard_M64s"), Some(2));
        assert_eq!(before(&models[..1], &profile("Standard_D2s_v3")).map(|model| model.number), None);
    }
}
