use std::sync::Arc;

use jiff::Timestamp;
use scaleset_hardware::sim::{Simulation, VirtualClock};
use scaleset_hardware::{CreateRequest, Owner, Placement, QuotaRule, Target};
use serde_json::json;

use super::*;

fn request(uid: &str) -> CreateRequest {
    let model = json!({
        "vmSize": "Standard_D2s_v3",
        "credentials": {"adminUsername": "azureuser"},
        "storageProfile": {"imageReference": {"publisher": "Canonical", "offer": "ubuntu-server", "sku": "22_04-lts"}},
        "networkProfile": {"networkInterfaces": [{"name": "nic0", "primary": true, "subnet": "default"}]},
    });
    let owner = Owner {
        kind: "FlexVM".to_owned(),
        namespace: "default".to_owned(),
        name: uid.to_owned(),
        set_uid: None,
        instance_number: None,
    };
    let placement = Placement {
        location: "eastus".to_owned(),
        zone: None,
        platform_fault_domain: None,
        update_domain: None,
        placement_group: None,
    };
    CreateRequest {
        target: Target { uid: uid.to_owned(), generation: 1 },
        owner,
        computer_name: uid.to_owned(),
        placement,
        quota: QuotaRule::Counted,
        model_revision: "revision".to_owned(),
        model: Arc::new(serde_json::from_value(model).unwrap()),
    }
}

/// What the metrics tell of the strays.
async fn told(uids: &[&str], hardware: &Simulation) -> String {
    told_of(&WatchedNamespaces::All, uids, hardware).await
}

async fn told_of(namespaces: &WatchedNamespaces, uids: &[&str], hardware: &Simulation) -> String {
    let metrics = Metrics::default();
    report(uids.iter().map(|uid| (*uid).to_owned()).collect(), namespaces, hardware, &metrics).await;
    let text = metrics.text();
    text.lines().find(|line| line.starts_with("scaleset_stray_machine_count ")).expect("a gauge").to_owned()
}

#[tokio::test]
async fn a_machine_whose_uid_belongs_to_no_object_is_a_stray_once_it_is_old() {
    let clock = VirtualClock::new(Timestamp::UNIX_EPOCH);
    let hardware = Simulation::in_memory(clock.clone());
    for uid in ["kept", "lost"] {
        hardware.create(request(uid)).await.unwrap();
    }
    let last_moment = Duration::from_secs(1);
    clock.advance(AGE_MIN.saturating_sub(last_moment));
    assert_eq!(told(&["kept"], &hardware).await, "scaleset_stray_machine_count 0", "the cache may lag behind");
    clock.advance(last_moment);
    assert_eq!(told(&["kept"], &hardware).await, "scaleset_stray_machine_count 1");
    assert_eq!(told(&["kept", "lost"], &hardware).await, "scaleset_stray_machine_count 0");
    let inventory = hardware.observe_all().await.unwrap();
    let found = find(&BTreeSet::from(["kept".to_owned()]), &inventory, &hardware);
    assert_eq!(found.iter().map(|machine| machine.owner.to_string()).collect::<Vec<_>>(), ["default/FlexVM/lost"]);
    assert_eq!(inventory.machines.len(), 2, "nothing is released");
    for (namespace, count) in [("default", 2), ("shop", 0)] {
        let watched = WatchedNamespaces::named(Some(namespace));
        let told = told_of(&watched, &[], &hardware).await;
        assert_eq!(told, format!("scaleset_stray_machine_count {count}"), "{namespace}");
    }
}
