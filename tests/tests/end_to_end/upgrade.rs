//! A changed model, in Manual and in Automatic.

use anyhow::ensure;
use jiff::SignedDuration;
use scaleset_crds::ScaleSet;
use scaleset_crds::instance::PendingChange;
use scaleset_crds::vocabulary::Impact;
use scaleset_hardware::Machine;
use scaleset_hardware::sim::{Call, JournalEntry};
use scaleset_tests::local::hardware::effective;
use serde_json::{Value, json};

use crate::scene::{Scene, profile, uniform};
use crate::world::run;

// What the region file says.
const CREATION: SignedDuration = SignedDuration::from_secs(10);
const RESTART: SignedDuration = SignedDuration::from_secs(10);
const REIMAGE: SignedDuration = SignedDuration::from_secs(12);

fn automatic(replicas: i32) -> Value {
    uniform("web", replicas, json!({"upgradePolicy": {"mode": "Automatic"}}))
}

async fn change(scene: &Scene<'_>, patch: Value) -> anyhow::Result<()> {
    scene.patch::<ScaleSet>("web", patch).await?;
    Ok(())
}

/// Waits until every instance says whether it has the newest model, and answers what it lacks.
async fn each_lacks(scene: &Scene<'_>, expected: &[PendingChange]) -> anyhow::Result<()> {
    scene
        .until(&format!("every instance lacks {expected:?}"), async || {
            for instance in scene.instances().await? {
                let status = instance.status.unwrap_or_default();
                let name = instance.metadata.name;
                ensure!(status.latest_model_applied == Some(expected.is_empty()), "{name:?}: {status:?}");
                ensure!(status.pending_changes == expected, "{name:?} lacks {:?}", status.pending_changes);
            }
            Ok(())
        })
        .await
}

#[test]
fn in_manual_nothing_happens_to_what_runs_and_new_instances_take_the_newest_model() {
    run("manual", async |scene| {
        scene.apply(&uniform("web", 3, json!({})))?;
        scene.settled("web").await?;
        let before = scene.journal().await?.len();
        change(scene, profile(json!({"vmSize": "Standard_D4s_v3"}))).await?;
        let (path, from, to) = ("vmSize", "Standard_D2s_v3", "Standard_D4s_v3");
        let size =
            PendingChange { path: path.to_owned(), from: from.to_owned(), to: to.to_owned(), impact: Impact::Restart };
        each_lacks(scene, std::slice::from_ref(&size)).await?;
        scene.condition("web", ("UpToDate", "False", "ManualUpgradePolicy")).await?;
        let set = scene.settled("web").await?;
        assert_eq!(set.status.and_then(|status| status.updated_replicas), Some(0), "Ready, and outdated");
        assert_eq!(scene.journal().await?.len(), before, "the hardware was asked for nothing");

        scene.kubectl(&["scale", "scaleset/web", "--replicas=4"])?;
        scene.settled("web").await?;
        let mut sizes: Vec<(u32, String)> = scene.machines().await?.iter().map(sized).collect();
        sizes.sort();
        assert_eq!(sizes, [(0, from), (1, from), (2, from), (3, to)].map(|(id, size)| (id, size.to_owned())));

        change(scene, profile(json!({"vmSize": from}))).await?;
        change(scene, json!({"spec": {"replicas": 3}})).await?;
        each_lacks(scene, &[]).await?;
        scene.condition("web", ("UpToDate", "True", "ModelApplied")).await?;
        assert_eq!(scene.calls(Call::Update).await?, 0, "what runs was never touched");
        Ok(())
    });
}

fn sized(machine: &Machine) -> (u32, String) {
    let number = machine.owner.instance_number.and_then(|number| u32::try_from(number).ok());
    (number.expect("a member that the set made has a number"), machine.model.vm_size.clone())
}

#[test]
fn in_automatic_all_are_brought_up_to_date_never_more_than_the_allowance_at_once() {
    run("automatic", async |scene| {
        scene.apply(&automatic(10))?;
        scene.settled("web").await?;
        change(scene, profile(json!({"vmSize": "Standard_D4s_v3"}))).await?;
        scene.settled("web").await?;
        each_lacks(scene, &[]).await?;
        let journal = scene.journal().await?;
        let updates = effective(&journal, Call::Update);
        assert_eq!(distinct(&updates), 10);
        assert_eq!(updates.len(), 10, "each once");
        never_more_at_once(&updates, 2, RESTART);
        assert_eq!(effective(&journal, Call::Create).len(), 10, "a restart makes no new machine");
        assert_eq!(effective(&journal, Call::Reimage).len() + effective(&journal, Call::Delete).len(), 0);
        scene.event("web", "Upgrading").await?;

        let image = json!({"storageProfile": {"imageReference": {"sku": "20_04-lts-gen2"}}});
        change(scene, profile(image)).await?;
        scene.settled("web").await?;
        let journal = scene.journal().await?;
        let reimages = effective(&journal, Call::Reimage);
        assert_eq!((reimages.len(), distinct(&reimages)), (10, 10), "each once");
        never_more_at_once(&reimages, 2, REIMAGE);
        Ok(())
    });
}

fn distinct(calls: &[&JournalEntry]) -> usize {
    calls.iter().map(|call| &call.uid).collect::<std::collections::BTreeSet<_>>().len()
}

/// Every operation takes at least `least`, so that a call begins only when the one `allowance` places before it, and all
/// before that, can have ended.
pub fn never_more_at_once(calls: &[&JournalEntry], allowance: usize, least: SignedDuration) {
    for pair in calls.windows(allowance + 1) {
        let [earlier, .., later] = pair else { continue };
        let passed = later.scenario_time.duration_since(earlier.scenario_time);
        assert!(passed >= least, "more than {allowance} at once: {earlier:?} and {later:?} are {passed:?} apart");
    }
}

#[test]
fn what_disturbs_nothing_goes_to_all_at_once_and_in_place() {
    run("tags", async |scene| {
        scene.apply(&automatic(5))?;
        scene.settled("web").await?;
        change(scene, profile(json!({"tags": {"team": "web"}}))).await?;
        scene.settled("web").await?;
        let machines = scene.machines().await?;
        assert!(machines.iter().all(|machine| machine.model.tags["team"] == "web"), "{machines:?}");
        let journal = scene.journal().await?;
        assert_eq!(effective(&journal, Call::Update).len(), 5);
        let others = [Call::Reimage, Call::SetPower, Call::Delete].map(|call| effective(&journal, call).len());
        assert_eq!(others, [0; 3]);
        Ok(())
    });
}

#[test]
fn an_application_goes_from_v1_to_v2_by_its_custom_script_and_every_vm_runs_it() {
    run("nginx", async |scene| {
        let script = |file: &str| {
            json!({"extensions": [{
                "name": "app", "publisher": "Microsoft.Azure.Extensions", "type": "CustomScript",
                "typeHandlerVersion": "2.0",
                "settings": {"fileUris": [file], "commandToExecute": format!("./{file}")},
            }]})
        };
        let commands = async || -> anyhow::Result<Vec<Option<String>>> {
            let machines = scene.machines().await?;
            let command = |machine: &Machine| machine.model.extensions[0].settings.command_to_execute.clone();
            Ok(machines.iter().map(command).collect())
        };
        let mut set = automatic(4);
        set["spec"]["virtualMachineProfile"]["extensions"] = script("automate_nginx.sh")["extensions"].clone();
        scene.apply(&set)?;
        scene.settled("web").await?;
        assert_eq!(commands().await?, vec![Some("./automate_nginx.sh".to_owned()); 4]);
        let before = identities(&scene.machines().await?);
        change(scene, profile(script("automate_nginx_v2.sh"))).await?;
        scene.settled("web").await?;
        assert_eq!(commands().await?, vec![Some("./automate_nginx_v2.sh".to_owned()); 4]);
        assert_eq!(identities(&scene.machines().await?), before, "the same VMs, on the same disks");
        let journal = scene.journal().await?;
        let updates = effective(&journal, Call::Update);
        assert_eq!((updates.len(), distinct(&updates)), (4, 4), "the script ran once more on each");
        for instance in scene.instances().await? {
            let status = instance.status.unwrap_or_default();
            let view = status.instance_view.unwrap_or_default();
            let codes: Vec<&str> = view.extensions.iter().map(|extension| extension.code.as_str()).collect();
            assert_eq!(codes, ["ProvisioningState/succeeded"]);
            assert_eq!(status.latest_model_applied, Some(true));
        }
        Ok(())
    });
}

fn identities(machines: &[Machine]) -> std::collections::BTreeMap<String, (String, Vec<String>)> {
    let identity = |machine: &Machine| (machine.uid.clone(), (machine.vm_id.clone(), machine.disks.clone()));
    machines.iter().map(identity).collect()
}

#[test]
fn what_needs_a_new_vm_replaces_members_within_the_allowance() {
    run("replacing", async |scene| {
        let disk = |size| json!({"storageProfile": {"dataDisks": [{"lun": 0, "diskSizeGB": size}]}});
        let large = json!({"upgradePolicy": {"mode": "Automatic"}, "virtualMachineProfile": disk(64)});
        scene.apply(&uniform("web", 3, large))?;
        scene.settled("web").await?;
        change(scene, profile(disk(32))).await?;
        scene.settled("web").await?;
        assert_eq!(scene.ids().await?, [3, 4, 5], "each was replaced under a new id");
        scene.one_machine_for_each_instance().await?;
        let journal = scene.journal().await?;
        let (creates, deletes) = (effective(&journal, Call::Create), effective(&journal, Call::Delete));
        assert_eq!((creates.len(), deletes.len()), (6, 3));
        for (replacement, next) in creates[3..].iter().zip(&deletes[1..]) {
            let passed = next.scenario_time.duration_since(replacement.scenario_time);
            assert!(
                passed >= CREATION,
                "{next:?} went before the replacement of the one before it ran: {replacement:?}"
            );
        }
        Ok(())
    });
}

#[test]
fn paused_holds_upgrades_and_nothing_else() {
    run("paused", async |scene| {
        scene.apply(&uniform("web", 2, json!({"upgradePolicy": {"mode": "Automatic", "paused": true}})))?;
        scene.settled("web").await?;
        change(scene, profile(json!({"vmSize": "Standard_D4s_v3"}))).await?;
        change(scene, json!({"spec": {"replicas": 3}})).await?;
        scene.condition("web", ("UpToDate", "False", "Paused")).await?;
        let set = scene.settled("web").await?;
        assert_eq!(set.status.and_then(|status| status.ready_replicas), Some(3), "scaling goes on");
        assert_eq!(scene.calls(Call::Update).await?, 0);
        change(scene, json!({"spec": {"upgradePolicy": {"paused": false}}})).await?;
        scene.condition("web", ("UpToDate", "True", "ModelApplied")).await?;
        assert_eq!(scene.calls(Call::Update).await?, 2);
        Ok(())
    });
}
