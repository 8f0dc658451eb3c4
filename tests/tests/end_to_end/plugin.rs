//! `kubectl scaleset`: every verb does what it says, its views tell what is there, a plan tells what an apply then does,
//! and whatever is wrong is named.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use http::Method;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams};

use scaleset_crds::ScaleSet;
use scaleset_crds::vocabulary::{PowerState, RollingUpgradeCode};
use scaleset_hardware::sim::Call;
use scaleset_tests::local::hardware::effective;
use scaleset_tests::local::plugin::{Answer, Plugin};
use serde_json::{Value, json};

use crate::rolling::{rolling, upgrade};
use crate::scene::{Scene, flexible, uniform, vm};
use crate::world::{peaceful, run, run_bare};

async fn plugin(scene: &Scene<'_>) -> anyhow::Result<Plugin> {
    Plugin::new(&scene.world.cluster.plane().admin_kubeconfig(), &scene.namespace).await
}

/// The rows of a table without its heading, split at blanks.
fn rows(table: &str) -> Vec<Vec<&str>> {
    table.lines().skip(1).map(|line| line.split_whitespace().collect()).collect()
}

async fn powers(scene: &Scene<'_>) -> anyhow::Result<Vec<Option<PowerState>>> {
    let instances = scene.instances().await?;
    Ok(instances.into_iter().map(|instance| instance.status.and_then(|status| status.power_state)).collect())
}

#[test]
fn every_verb_does_what_it_says_and_returns_when_it_is_done() {
    run("plugin-verbs", async |scene| {
        let plugin = plugin(scene).await?;
        scene.apply(&uniform("web", 3, json!({})))?;
        scene.settled("web").await?;
        assert_eq!(plugin.run(&["scale", "web", "--capacity", "4"])?, "scaleset/web scaled from 3 to 4\n");
        scene.settled("web").await?;
        let (up, off, down) = (Some(PowerState::Running), Some(PowerState::Stopped), Some(PowerState::Deallocated));
        plugin.run(&["stop", "web", "--instance-ids", "1", "--skip-shutdown"])?;
        assert_eq!(powers(scene).await?, [up, off, up, up]);
        plugin.run(&["deallocate", "web", "--instance-ids", "0,2"])?;
        assert_eq!(powers(scene).await?, [down, off, down, up]);
        plugin.run(&["start", "web"])?;
        assert_eq!(powers(scene).await?, [up; 4]);
        plugin.run(&["restart", "web", "--instance-ids", "3"])?;
        plugin.run(&["redeploy", "web", "--instance-ids", "3"])?;
        plugin.run(&["reimage", "web", "--instance-ids", "2", "3"])?;
        plugin.run(&["reimage", "web", "--instance-ids", "1", "--all-disks"])?;
        assert_eq!(scene.calls(Call::Perform).await?, 5, "one restart, one move, three reimages");
        assert_eq!(
            plugin.run(&["delete-instances", "web", "--instance-ids", "0"])?.lines().last(),
            Some("Succeeded: 1 of 1 done")
        );
        assert_eq!(scene.settled("web").await?.spec.replicas, Some(3), "the capacity goes with the VM");
        assert_eq!(scene.ids().await?, [1, 2, 3]);
        let name = plugin.run(&["restart", "web", "--no-wait"])?;
        let name = name.strip_prefix("scalesetoperation/").and_then(|rest| rest.strip_suffix(" created\n"));
        let name = name.context("it names what it made")?;
        scene.kubectl(&["wait", "--for=condition=Complete", "--timeout=60s", &format!("ssop/{name}")])?;
        Ok(())
    });
}

#[test]
fn views_show_what_is_there_in_azures_shape() {
    run("plugin-views", async |scene| {
        let plugin = plugin(scene).await?;
        scene.apply(&rolling(3, "./nginx v1"))?;
        scene.apply(&vm("lone", json!({})))?;
        scene.settled("web").await?;
        scene.flex_vm_settled("lone").await?;
        let table = plugin.run(&["list-instances", "web"])?;
        let ids: Vec<&str> = rows(&table).iter().filter_map(|row| row.first().copied()).collect();
        assert_eq!(ids, ["0", "1", "2"], "{table}");
        let first: Vec<&str> = rows(&table).iter().take(1).flat_map(|row| row[..4].to_vec()).collect();
        assert_eq!(first, ["0", "web-0", "web000000", "ScaleSetVM"], "{table}");
        let shown = plugin.run(&["show", "web"])?;
        for line in ["Capacity:           3", "Upgrade policy:     Rolling", "UpToDate"] {
            assert!(shown.contains(line), "{shown}");
        }
        let yaml = plugin.run(&["show", "web", "--instance-id", "1", "-o", "yaml"])?;
        assert!(yaml.contains("kind: ScaleSetVM") && yaml.contains("name: web-1"), "{yaml}");
        let view: Value = serde_json::from_str(&plugin.run(&["get-instance-view", "web", "-o", "json"])?)?;
        let summary = &view["virtualMachine"]["statusesSummary"];
        let running = json!({"code": "PowerState/running", "count": 3});
        assert!(summary.as_array().is_some_and(|codes| codes.contains(&running)), "{view:#}");
        let view = plugin.run(&["get-instance-view", "web", "--instance-id", "2", "-o", "json"])?;
        let view: Value = serde_json::from_str(&view)?;
        assert_eq!(view["vmHealth"]["status"]["code"], "HealthState/healthy", "{view:#}");
        assert_eq!(view["statuses"][1]["code"], "PowerState/running", "{view:#}");
        assert_eq!(plugin.run(&["why", "web"])?, "nothing is held back: scale set web is as it should be\n");
        plugin.run(&["deallocate", "--vm", "lone"])?;
        let lone = scene.flex_vm("lone").await?.status.unwrap_or_default();
        assert_eq!(lone.power_state, Some(PowerState::Deallocated), "a VM without a set has the verbs as well");
        Ok(())
    });
}

#[test]
fn a_model_is_changed_compared_taken_by_hand_and_taken_back() {
    run("plugin-model", async |scene| {
        let plugin = plugin(scene).await?;
        scene.apply(&uniform("web", 2, json!({"upgradePolicy": {"mode": "Manual"}})))?;
        scene.settled("web").await?;
        let first = scene.set("web").await?.status.unwrap_or_default().model_revision.context("it has a model")?;
        plugin.run(&["update", "web", "--set", "virtualMachineProfile.vmSize=Standard_D4s_v3"])?;
        scene
            .until("both differ from the model", async || {
                let table = plugin.run(&["diff", "web"])?;
                let lines = rows(&table).into_iter().map(|row| row.join(" ")).collect::<Vec<_>>();
                ensure!(
                    lines
                        == [
                            "0 vmSize Standard_D2s_v3 Standard_D4s_v3 Restart",
                            "1 vmSize Standard_D2s_v3 Standard_D4s_v3 Restart"
                        ],
                    "{table}"
                );
                Ok(())
            })
            .await?;
        scene
            .until("the set says why", async || {
                let why = plugin.run(&["why", "web"])?;
                ensure!(why.contains("ManualUpgradePolicy"), "{why}");
                Ok(())
            })
            .await?;
        plugin.run(&["update-instances", "web", "--instance-ids", "0"])?;
        let sizes: Vec<Option<String>> =
            scene.instances().await?.into_iter().map(|one| one.status.and_then(|status| status.vm_size)).collect();
        assert_eq!(sizes, [Some("Standard_D4s_v3".to_owned()), Some("Standard_D2s_v3".to_owned())]);
        let history = plugin.run(&["history", "web"])?;
        assert!(history.contains("vmSize: Standard_D2s_v3 -> Standard_D4s_v3"), "{history}");
        let undone = plugin.run(&["undo", "web"])?;
        assert!(undone.contains("goes back to revision 1"), "{undone}");
        scene
            .until("the first model is the newest again", async || {
                let status = scene.set("web").await?.status.unwrap_or_default();
                ensure!(status.model_revision.as_ref() == Some(&first), "it is {:?}", status.model_revision);
                Ok(())
            })
            .await?;
        plugin.run(&["update", "web", "--instance-id", "1", "--set", "protectionPolicy.protectFromScaleIn=true"])?;
        let protected = scene.instances().await?[1].spec.protection_policy.clone().unwrap_or_default();
        assert_eq!(protected.protect_from_scale_in, Some(true));
        Ok(())
    });
}

/// VMs by batch, as a plan tells them.
fn planned_batches(plan: &str) -> Vec<Vec<String>> {
    let mut batches: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for row in rows(plan).iter().filter(|row| row.get(3) == Some(&"upgrade")) {
        let number = row[2].trim_end_matches(')').parse().expect("a batch has a number");
        batches.entry(number).or_default().push(row[4].to_owned());
    }
    batches.into_values().map(sorted).collect()
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[test]
fn a_plan_changes_nothing_and_tells_what_the_apply_then_does() {
    run("plugin-plan", async |scene| {
        let plugin = plugin(scene).await?;
        scene.apply(&rolling(10, "./nginx v1"))?;
        scene.settled("web").await?;
        let (before, calls) = (scene.set("web").await?, scene.journal().await?.len());
        let changed = rolling(10, "./nginx v2");
        let Answer { code, said, complained } = plugin.answer(&["plan", "-f", "-"], &changed.to_string())?;
        assert_eq!(code, 0, "{complained}");
        let planned = planned_batches(&said);
        assert_eq!(planned.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2, 1, 2, 1], "{said}");
        let after = scene.set("web").await?;
        assert_eq!(after.metadata.resource_version, before.metadata.resource_version, "nothing was written");
        assert_eq!(scene.journal().await?.len(), calls, "nothing was done");
        scene.apply(&changed)?;
        upgrade(scene, 1, RollingUpgradeCode::Completed).await?;
        let journal = scene.journal().await?;
        let names: BTreeMap<String, String> =
            scene.machines().await?.into_iter().map(|machine| (machine.uid, machine.owner.name)).collect();
        let updates: Vec<(Timestamp, &String)> = effective(&journal, Call::Update)
            .into_iter()
            .filter_map(|entry| Some((entry.scenario_time, names.get(entry.uid.as_str())?)))
            .collect();
        let mut done = updates.iter();
        let done: Vec<Vec<String>> = planned
            .iter()
            .map(|batch| sorted(done.by_ref().take(batch.len()).map(|(_, name)| (*name).clone()).collect()))
            .collect();
        assert_eq!(done, planned, "batch by batch");
        Ok(())
    });
}

#[test]
fn a_plan_in_the_middle_of_an_upgrade_tells_what_is_left_of_it() {
    run("plugin-plan-again", async |scene| {
        let plugin = plugin(scene).await?;
        scene.apply(&rolling(10, "./nginx v1"))?;
        scene.settled("web").await?;
        let slow = json!({"effect": {"type": "slowBoot", "factor": 1_000}, "selector": {"namespace": scene.namespace}});
        scene.world.hardware.send::<Value>(Method::PUT, "/faults/slow", &slow).await?;
        let mut resized = rolling(10, "./nginx v1");
        resized["spec"]["virtualMachineProfile"]["vmSize"] = json!("Standard_D4s_v3");
        scene.apply(&resized)?;
        scene
            .until("the first batch is under way", async || {
                let record = scene.set("web").await?.status.and_then(|status| status.rolling_upgrade);
                ensure!(record.is_some_and(|record| record.progress.in_progress_instance_count == 2));
                // The batch is chosen before its VMs begin.
                let begun = scene.calls(Call::Update).await?;
                ensure!(begun == 2, "{begun} have begun");
                Ok(())
            })
            .await?;
        let Answer { code, said, complained } = plugin.answer(&["plan", "-f", "-"], &resized.to_string())?;
        assert_eq!(code, 0, "{complained}");
        assert_eq!(planned_batches(&said).iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1, 2, 1], "{said}");
        assert!(!said.contains("HELD BACK"), "{said}");
        scene.world.hardware.send::<Value>(Method::DELETE, "/faults/slow", &Value::Null).await?;
        Ok(())
    });
}

#[test]
fn a_plan_tells_what_a_manifest_no_longer_says() {
    run("plugin-plan-less", async |scene| {
        let plugin = plugin(scene).await?;
        let spec = |zones: &[&str], profile: &Value| json!({"zones": zones, "virtualMachineProfile": profile, "upgradePolicy": {"mode": "Automatic"}});
        let with = |profile: Value| uniform("web", 2, spec(&["1", "2"], &profile));
        let disk = |lun: i32| json!({"lun": lun, "diskSizeGB": 32});
        let before = json!({"tags": {"team": "a", "cost": "1"}, "storageProfile": {"dataDisks": [disk(0), disk(1)]}});
        let after = with(json!({"tags": {"team": "a"}, "storageProfile": {"dataDisks": [disk(0)]}}));
        scene.apply(&with(before.clone()))?;
        scene.settled("web").await?;
        let answer = plugin.answer(&["plan", "-f", "-"], &after.to_string())?;
        for gone in ["cost", "dataDisks"] {
            assert!(answer.said.contains(gone), "{gone}: {} {}", answer.said, answer.complained);
        }
        let fewer_zones = uniform("web", 2, spec(&["1"], &before));
        let refused = plugin.answer(&["plan", "-f", "-"], &fewer_zones.to_string())?;
        assert!(refused.complained.contains("PropertyChangeNotAllowed: zones can be added"), "{}", refused.complained);
        // The same of a set that is kept by server-side apply.
        let mut kept = uniform("kept", 2, spec(&["1", "2"], &json!({"tags": {"team": "a", "cost": "1"}})));
        let arguments = ["--namespace", &scene.namespace, "apply", "--server-side"];
        scene.world.cluster.kubectl_with(&arguments, &kept.to_string())?;
        scene.settled("kept").await?;
        kept["spec"]["virtualMachineProfile"]["tags"] = json!({"team": "a"});
        let answer = plugin.answer(&["plan", "-f", "-"], &kept.to_string())?;
        assert!(answer.said.contains("cost"), "{} {}", answer.said, answer.complained);
        Ok(())
    });
}

#[test]
fn a_plan_knows_what_the_region_offers_and_which_quota_is_too_small() {
    run("plugin-region", async |scene| {
        let plugin = plugin(scene).await?;
        let plan = |set: &Value| -> anyhow::Result<String> {
            let Answer { code, said, complained } = plugin.answer(&["plan", "-f", "-"], &set.to_string())?;
            ensure!(code == 0, "{complained}");
            Ok(said)
        };
        let unknown = uniform("web", 2, json!({"virtualMachineProfile": {"vmSize": "Standard_None"}}));
        scene
            .until("the regions are published", async || {
                let said = plan(&unknown)?;
                ensure!(said.contains("Standard_None is not offered in eastus"), "{said}");
                Ok(())
            })
            .await?;
        let elsewhere = plan(&uniform("web", 2, json!({"location": "mars"})))?;
        let seen = seen_by_a_planner(scene, &unknown).await?;
        assert!(seen.contains("Standard_None is not offered in eastus"), "{seen}");
        assert!(elsewhere.contains("mars is not a region here; there are"), "{elsewhere}");
        let small = json!({"location": "strict", "virtualMachineProfile": {"vmSize": "Standard_B1s"}});
        let scarce = plan(&flexible("web", 5, small))?;
        let line = "quota standardBSFamily: 0 of 3 vCPUs used, 5 after this: 2 too many";
        assert!(scarce.contains(line), "{scarce}");
        assert!(scene.api::<ScaleSet>().list(&ListParams::default()).await?.items.is_empty(), "nothing was made");
        Ok(())
    });
}

/// A plan for somebody who may edit in the namespace of the set, and has no right elsewhere but everybody's.
async fn seen_by_a_planner(scene: &Scene<'_>, set: &Value) -> anyhow::Result<String> {
    scene.kubectl(&["create", "rolebinding", "edits", "--clusterrole=edit", "--user=planner"])?;
    // The built-in role gains our kinds by chart scaleset-crds, which is not everywhere.
    let kinds = ["scalesets", "scalesetvms", "flexvms", "capacityreservationgroups"];
    let kinds = kinds.map(|kind| format!("--resource={kind}.{}", scaleset_crds::GROUP));
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    scene.kubectl(&[&["create", "role", "plans", "--verb=get,list,create,patch"], &kinds[..]].concat())?;
    scene.kubectl(&["create", "rolebinding", "plans", "--role=plans", "--user=planner"])?;
    let kubeconfig = scene.world.cluster.plane().kubeconfig_for("planner", &[])?;
    let plugin = Plugin::new(&kubeconfig, &scene.namespace).await?;
    scene
        .until("the planner's rights are heeded", async || {
            let Answer { code, said, complained } = plugin.answer(&["plan", "-f", "-"], &set.to_string())?;
            ensure!(code == 0, "{complained}");
            Ok(said)
        })
        .await
}

#[test]
fn a_rolling_upgrade_is_cancelled_started_again_and_followed_to_its_end() {
    run("plugin-rolling", async |scene| {
        let plugin = plugin(scene).await?;
        let mut set = rolling(5, "./nginx v1");
        set["spec"]["upgradePolicy"]["rollingUpgradePolicy"]["pauseTimeBetweenBatchesSeconds"] = json!(60);
        scene.apply(&set)?;
        scene.settled("web").await?;
        let none = plugin.refused(&["rolling-upgrade", "status", "web"])?;
        assert_eq!(none, "error: scale set web has had no rolling upgrade\n");
        plugin.run(&["update", "web", "--set", "virtualMachineProfile.vmSize=Standard_D4s_v3"])?;
        upgrade(scene, 1, RollingUpgradeCode::RollingForward).await?;
        plugin.run(&["rolling-upgrade", "cancel", "web"])?;
        upgrade(scene, 1, RollingUpgradeCode::Cancelled).await?;
        let why = plugin.run(&["why", "web"])?;
        assert!(why.contains("RollingUpgradeCancelled"), "{why}");
        plugin.run(&[
            "update",
            "web",
            "--set",
            "upgradePolicy.rollingUpgradePolicy.pauseTimeBetweenBatchesSeconds=0",
        ])?;
        plugin.run(&["rolling-upgrade", "start", "web", "--no-wait"])?;
        upgrade_begun(scene, 2).await?;
        let told = plugin.run(&["rolling-upgrade", "status", "web", "--watch"])?;
        assert!(told.contains("Completed"), "{told}");
        let done = upgrade(scene, 2, RollingUpgradeCode::Completed).await?;
        assert_eq!(done.progress.failed_instance_count, 0);
        Ok(())
    });
}

async fn upgrade_begun(scene: &Scene<'_>, number: i64) -> anyhow::Result<()> {
    scene
        .until(&format!("upgrade {number} has begun"), async || {
            let upgrade =
                scene.set("web").await?.status.unwrap_or_default().rolling_upgrade.context("there is none")?;
            ensure!(upgrade.number == number, "it is number {}", upgrade.number);
            Ok(())
        })
        .await
}

#[test]
fn what_is_wrong_is_named_with_what_there_is_instead() {
    run("plugin-wrong", async |scene| {
        let plugin = plugin(scene).await?;
        let nobody = plugin.refused(&["show", "web"])?;
        assert_eq!(nobody, "error: no scale set web in namespace plugin-wrong; there is none\n");
        scene.apply(&uniform("web", 1, json!({})))?;
        scene.settled("web").await?;
        let wrong: &[(&[&str], &str)] = &[
            (&["scale", "wep", "--capacity", "2"], "no scale set wep in namespace plugin-wrong; there are: web"),
            (&["scale", "web", "--capacity", "-1"], "-1 is not in 0..=1000"),
            (&["scale", "web", "--capacity", "1001"], "1001 is not in 0..=1000"),
            (&["show", "web", "--instance-id", "7"], "scale set web has no instance 7; there are: 0"),
            (&["restart", "web", "--instance-ids", "7"], "spec.instanceIds: the set has no instance 7"),
            (
                &["update", "web", "--set", "virtualMachineProfile.vmsize=x"],
                "unknown field \"spec.virtualMachineProfile.vmsize\"",
            ),
            (&["update", "web", "--set", "zones[3]=1"], "spec.zones"),
            (&["update", "web", "--set", "location=mars"], "PropertyChangeNotAllowed"),
            (&["undo", "web"], "scale set web has had no model before this one"),
            (&["rolling-upgrade", "cancel", "web"], "upgradePolicy.mode of the set is Manual, it must be Rolling"),
            (&["plan", "-f", "/nowhere.yaml"], "/nowhere.yaml: No such file"),
            (&["--context", "none", "show", "web"], "none"),
        ];
        for (arguments, expected) in wrong {
            let complaint = plugin.refused(arguments)?;
            assert!(complaint.contains(expected), "{arguments:?}: {complaint}");
        }
        let unsaid = plugin.answer(&["update", "web"], "")?;
        assert_eq!(unsaid.code, 2, "a wrong command line");
        assert!(unsaid.complained.contains("--set <PATH=VALUE>"), "{}", unsaid.complained);
        let nothing = plugin.answer(&["plan", "-f", "-"], "kind: ConfigMap\napiVersion: v1\n")?;
        assert_eq!((nothing.code, nothing.complained.as_str()), (1, "error: -: there is no ScaleSet in it\n"));
        assert_eq!(scene.settled("web").await?.spec.replicas, Some(1), "nothing of that was done");
        Ok(())
    });
}

#[test]
fn kubectl_completes_verbs_options_and_names_of_sets() {
    run("plugin-complete", async |scene| {
        let plugin = plugin(scene).await?;
        scene.apply(&uniform("web", 1, json!({})))?;
        let directory = tempfile::tempdir()?;
        let link = directory.path().join("kubectl_complete-scaleset");
        std::os::unix::fs::symlink(plugin.program(), &link)?;
        let complete = |words: &[&str]| plugin.answer_as(&link, words, "").map(|answer| answer.said);
        let verbs = complete(&["roll"])?;
        assert_eq!(verbs, "rolling-upgrade\tStart, cancel or follow a rolling upgrade\n:4\n");
        assert_eq!(complete(&["--namespace", &scene.namespace, "show", ""])?, "web\t\n:4\n");
        let options = complete(&["scale", "web", "--cap"])?;
        assert!(options.starts_with("--capacity\t"), "{options}");
        Ok(())
    });
}

#[test]
fn the_regions_are_published_for_everybody_to_read() {
    run_bare(async || {
        let world = peaceful().await;
        let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), "scaleset-system");
        let published = scaleset_tests::local::until("eastus is published", crate::scene::LIMIT, async || {
            maps.get("scaleset-region-eastus").await.map_err(anyhow::Error::from)
        });
        let text = published.await?.data.unwrap_or_default().remove("region.json").context("it tells the region")?;
        let region: Value = serde_json::from_str(&text)?;
        assert_eq!(region["sizes"]["Standard_D2s_v3"]["vcpus"], 2, "{region:#}");
        assert!(region["quotas"].as_array().is_some_and(|quotas| !quotas.is_empty()), "{region:#}");
        let anybody = ["--as", "somebody", "--as-group", "system:authenticated", "-n", "scaleset-system"];
        let by_label = ["get", "configmaps", "-l", scaleset_crds::labels::LOCATION, "-o", "name"];
        let read = world.cluster.kubectl(&[&by_label[..], &anybody[..]].concat());
        let read = read.context("whoever is known to the cluster may read it")?;
        assert!(read.contains("configmap/scaleset-region-eastus"), "{read}");
        Ok(())
    });
}
