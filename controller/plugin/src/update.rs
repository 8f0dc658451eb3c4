//! Changes of a set or of one VM by property paths, as `az … update --set --add --remove` has them.

mod path;

use anyhow::Context;
use kube::ResourceExt;
use kube::api::Patch;
use scaleset_controller::merge_patch::merge_patch;
use scaleset_crds::{FlexVM, ScaleSet, ScaleSetVM};
use serde_json::{Map, Value, json};

use crate::arguments::Change;
use crate::cluster::{Cluster, Instance, patch_parameters};
use crate::output::object;
use crate::overtaken::{Written, insist};
use path::Path;

pub(crate) async fn update(cluster: &Cluster, change: Change) -> anyhow::Result<()> {
    insist(|error| cluster.explain(error), async || update_once(cluster, &change).await).await
}

async fn update_once(cluster: &Cluster, change: &Change) -> anyhow::Result<Written> {
    let set = cluster.set(&change.name).await?;
    let instance = match &change.instance_id {
        Some(id) => Some(cluster.instance(&set, id).await?),
        None => None,
    };
    let before = instance.as_ref().map_or_else(|| object(&set), Instance::json);
    let after = changed(&before, change)?;
    let mut patch = merge_patch(&before, &after);
    let what = match &instance {
        None => format!("scaleset/{}", set.name_any()),
        Some(Instance::Uniform(vm)) => format!("scalesetvm/{}", vm.name_any()),
        Some(Instance::Flexible(vm)) => format!("flexvm/{}", vm.name_any()),
    };
    if patch == json!({}) {
        println!("{what} unchanged");
        return Ok(Written::Yes);
    }
    patch["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
    let (parameters, patch) = (patch_parameters(), Patch::Merge(patch));
    let result = match &instance {
        None => cluster.api::<ScaleSet>().patch(&set.name_any(), &parameters, &patch).await.map(drop),
        Some(Instance::Uniform(vm)) => {
            cluster.api::<ScaleSetVM>().patch(&vm.name_any(), &parameters, &patch).await.map(drop)
        }
        Some(Instance::Flexible(vm)) => {
            cluster.api::<FlexVM>().patch(&vm.name_any(), &parameters, &patch).await.map(drop)
        }
    };
    let written = Written::of(cluster, result)?;
    match &written {
        Written::Yes => println!("{what} updated"),
        Written::Overtaken(_) => {}
    }
    Ok(written)
}

/// The object after every change, in the order removals, sets, additions.
fn changed(before: &Value, change: &Change) -> anyhow::Result<Value> {
    let mut after = before.clone();
    for path in &change.remove {
        Path::parse(path)?.remove(&mut after)?;
    }
    for assignment in &change.set {
        let (path, value) = split(assignment, "--set")?;
        let path = Path::parse(path)?;
        let value = typed(value, path.get(&after));
        path.set(&mut after, value)?;
    }
    for assignment in &change.add {
        let (path, value) = split(assignment, "--add")?;
        Path::parse(path)?.append(&mut after, item(value))?;
    }
    Ok(after)
}

/// At the first `=` outside of brackets.
fn split<'text>(assignment: &'text str, option: &str) -> anyhow::Result<(&'text str, &'text str)> {
    let mut depth = 0_usize;
    let at = assignment.char_indices().find(|(_, character)| {
        match character {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        *character == '=' && depth == 0
    });
    let (at, _) = at.with_context(|| format!("{option} {assignment}: write PATH=VALUE"))?;
    Ok((&assignment[..at], &assignment[at + 1..]))
}

/// What is text stays text; otherwise what reads as JSON is JSON.
fn typed(value: &str, before: Option<&Value>) -> Value {
    match before {
        Some(Value::String(_)) if !value.starts_with('"') => json!(value),
        _ => serde_json::from_str(value).unwrap_or_else(|_| json!(value)),
    }
}

/// JSON, or `KEY=VALUE,KEY=VALUE`, or text.
fn item(value: &str) -> Value {
    if let Ok(parsed) = serde_json::from_str(value) {
        return parsed;
    }
    let pairs: Option<Map<String, Value>> = value
        .split(',')
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            Some((key.to_owned(), typed(value, None)))
        })
        .collect();
    pairs.map_or_else(|| json!(value), Value::Object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> Value {
        json!({"spec": {
            "zones": ["1"], "replicas": 3,
            "virtualMachineProfile": {
                "vmSize": "Standard_D2s_v3",
                "extensions": [{"name": "app", "typeHandlerVersion": "2.0"}, {"name": "health"}],
            },
        }})
    }

    fn change(set: &[&str], add: &[&str], remove: &[&str]) -> Change {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Change { name: "web".to_owned(), instance_id: None, set: owned(set), add: owned(add), remove: owned(remove) }
    }

    fn spec_after(set_words: &[&str], add: &[&str], remove: &[&str]) -> Value {
        changed(&set(), &change(set_words, add, remove)).expect("the paths are right")["spec"].clone()
    }

    #[test]
    fn paths_reach_properties_items_by_index_and_by_name() {
        let after = spec_after(
            &[
                "virtualMachineProfile.vmSize=Standard_D4s_v3",
                "spec.replicas=5",
                "zones[0]=2",
                "virtualMachineProfile.extensions[name=app].typeHandlerVersion=2.1",
                "virtualMachineProfile.tags.team=web",
                "upgradePolicy.paused=true",
            ],
            &[],
            &[],
        );
        assert_eq!(after["virtualMachineProfile"]["vmSize"], "Standard_D4s_v3");
        assert_eq!(after["replicas"], 5);
        assert_eq!(after["zones"], json!(["2"]), "what was text stays text");
        assert_eq!(after["virtualMachineProfile"]["extensions"][0]["typeHandlerVersion"], "2.1");
        assert_eq!(after["virtualMachineProfile"]["tags"], json!({"team": "web"}));
        assert_eq!(after["upgradePolicy"]["paused"], true);
    }

    #[test]
    fn items_are_added_and_removed() {
        let after = spec_after(
            &[],
            &["zones=\"2\"", "virtualMachineProfile.storageProfile.dataDisks=lun=0,diskSizeGB=64"],
            &["virtualMachineProfile.extensions[name=health]"],
        );
        assert_eq!(after["zones"], json!(["1", "2"]));
        let disks = json!([{"lun": 0, "diskSizeGB": 64}]);
        assert_eq!(after["virtualMachineProfile"]["storageProfile"]["dataDisks"], disks);
        assert_eq!(after["virtualMachineProfile"]["extensions"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let wrong = |set_words: &[&str], remove: &[&str]| {
            changed(&set(), &change(set_words, &[], remove)).expect_err("it is wrong").to_string()
        };
        let missing = "spec.virtualMachineProfile.extensions[name=none]: no item has name none; there are: app, health";
        assert_eq!(wrong(&["virtualMachineProfile.extensions[name=none].x=1"], &[]), missing);
        assert_eq!(wrong(&["zones[4]=1"], &[]), "spec.zones[4]: the list has 1 items");
        assert_eq!(
            wrong(&[], &["virtualMachineProfile.tags"]),
            "spec.virtualMachineProfile.tags: there is no such property"
        );
        assert_eq!(wrong(&["replicas"], &[]), "--set replicas: write PATH=VALUE");
    }
}
