//! The diff engine: every field, its path, both values and what it costs.

use std::collections::BTreeSet;

use scaleset_crds::impact::IMPACT_TABLE;
use scaleset_crds::vocabulary::Impact;
use scaleset_crds::{VirtualMachineModel, VirtualMachineProfile};
use scaleset_planning::view::{Difference, diff_models};
use serde_json::{Value, json};

fn full() -> Value {
    json!({
        "vmSize": "Standard_D2s_v3",
        "capacityReservationGroupRef": {"name": "reserved"},
        "osProfile": {
            "adminUsername": "azureuser",
            "adminPasswordSecretRef": {"name": "s", "key": "password"},
            "sshPublicKeys": ["ssh-ed25519 A"],
            "customDataSecretRef": {"name": "s", "key": "data"},
        },
        "storageProfile": {
            "imageReference": {"publisher": "Canonical", "offer": "ubuntu-server", "sku": "22_04-lts", "version": "latest"},
            "osDisk": {"osType": "Linux", "diskSizeGB": 30, "storageAccountType": "Premium_LRS"},
            "dataDisks": [{"lun": 0, "diskSizeGB": 64, "storageAccountType": "Premium_LRS"}],
        },
        "networkProfile": {"networkInterfaces": [{"name": "nic0", "primary": true, "subnet": "default"}]},
        "extensions": [{"name": "app", "publisher": "P", "type": "CustomScript", "typeHandlerVersion": "2.0"}],
        "tags": {"team": "web"},
    })
}

fn model(profile: Value) -> VirtualMachineModel {
    serde_json::from_value::<VirtualMachineProfile>(profile).expect("the profile is whole").model()
}

fn changed(pointer: &str, value: Value) -> Vec<Difference> {
    let mut profile = full();
    *profile.pointer_mut(pointer).expect("the field is there") = value;
    diff_models(&model(full()), &model(profile)).differences
}

#[test]
fn each_changed_field_is_one_difference_with_its_cost() {
    let storage = "/storageProfile";
    let nic = "/networkProfile/networkInterfaces/0";
    let table = [
        ("/vmSize".to_owned(), json!("Standard_D4s_v3"), "vmSize", Impact::Restart),
        ("/capacityReservationGroupRef/name".to_owned(), json!("other"), "capacityReservationGroupRef", Impact::Online),
        ("/osProfile/adminUsername".to_owned(), json!("other"), "osProfile.adminUsername", Impact::Immutable),
        (
            "/osProfile/adminPasswordSecretRef/key".to_owned(),
            json!("k"),
            "osProfile.adminPasswordSecretRef",
            Impact::NextReimage,
        ),
        ("/osProfile/sshPublicKeys".to_owned(), json!([]), "osProfile.sshPublicKeys", Impact::NextReimage),
        (
            "/osProfile/customDataSecretRef/name".to_owned(),
            json!("t"),
            "osProfile.customDataSecretRef",
            Impact::NextReimage,
        ),
        (
            format!("{storage}/imageReference/version"),
            json!("22.04.2"),
            "storageProfile.imageReference",
            Impact::Reimage,
        ),
        (format!("{storage}/osDisk/osType"), json!("Windows"), "storageProfile.osDisk.osType", Impact::Immutable),
        (format!("{storage}/osDisk/diskSizeGB"), json!(60), "storageProfile.osDisk.diskSizeGB", Impact::Reimage),
        (
            format!("{storage}/osDisk/storageAccountType"),
            json!("Standard_LRS"),
            "storageProfile.osDisk.storageAccountType",
            Impact::Immutable,
        ),
        (
            format!("{storage}/dataDisks/0/diskSizeGB"),
            json!(128),
            "storageProfile.dataDisks[lun=0].diskSizeGB",
            Impact::Online,
        ),
        (
            format!("{storage}/dataDisks/0/diskSizeGB"),
            json!(32),
            "storageProfile.dataDisks[lun=0].diskSizeGB",
            Impact::Replace,
        ),
        (
            format!("{storage}/dataDisks/0/storageAccountType"),
            json!("Standard_LRS"),
            "storageProfile.dataDisks[lun=0].storageAccountType",
            Impact::Replace,
        ),
        (format!("{storage}/dataDisks"), json!([]), "storageProfile.dataDisks[lun=0]", Impact::Online),
        (format!("{nic}/subnet"), json!("other"), "networkProfile.networkInterfaces[nic0].subnet", Impact::Online),
        (format!("{nic}/primary"), json!(false), "networkProfile.networkInterfaces[nic0].primary", Impact::Online),
        ("/extensions/0/typeHandlerVersion".to_owned(), json!("3.0"), "extensions[app]", Impact::Online),
        ("/tags".to_owned(), json!({}), "tags", Impact::None),
    ];
    for (pointer, value, path, impact) in table {
        let found = changed(&pointer, value);
        let summary: Vec<(&str, Impact)> = found.iter().map(|found| (found.path.as_str(), found.impact)).collect();
        assert_eq!(summary, [(path, impact)], "{pointer}");
        assert_ne!(found[0].from, found[0].to, "{pointer}");
    }
}

#[test]
fn a_difference_reads_as_a_sentence() {
    let found = changed("/vmSize", json!("Standard_D4s_v3"));
    assert_eq!(
        found[0].to_string(),
        "vmSize: Standard_D2s_v3 -> Standard_D4s_v3 (Restart: the VM restarts with the new size)"
    );
    let added = changed("/storageProfile/dataDisks", json!([]));
    assert_eq!(added[0].to, "(none)");
}

#[test]
fn what_waits_for_a_reimage_asks_for_nothing_now() {
    let mut profile = full();
    profile["osProfile"]["sshPublicKeys"] = json!(["ssh-ed25519 B"]);
    let keys = diff_models(&model(full()), &model(profile.clone()));
    assert_eq!((keys.impact(), keys.impact_now()), (Impact::NextReimage, Impact::None));
    profile["vmSize"] = json!("Standard_D4s_v3");
    let both = diff_models(&model(full()), &model(profile));
    assert_eq!((both.impact(), both.impact_now()), (Impact::Restart, Impact::Restart));
}

#[test]
fn the_order_of_lists_means_nothing() {
    let mut one = full();
    one["storageProfile"]["dataDisks"] = json!([{"lun": 0, "diskSizeGB": 1}, {"lun": 1, "diskSizeGB": 2}]);
    let mut other = one.clone();
    other["storageProfile"]["dataDisks"].as_array_mut().unwrap().reverse();
    assert!(diff_models(&model(one), &model(other)).is_empty());
}

#[test]
fn long_values_are_cut() {
    let found = changed("/osProfile/sshPublicKeys", json!(["x".repeat(2_000)]));
    assert_eq!(found[0].to.chars().count(), 256);
    assert!(found[0].to.ends_with('…'));
}

/// The table is what documentation and schema read; a field that the diff knows and the table does not would be missed.
#[test]
fn every_field_of_the_profile_has_a_row() {
    let rows: BTreeSet<&str> =
        IMPACT_TABLE.iter().map(|row| row.path.split(['[', '(']).next().unwrap_or_default()).collect();
    let mut fields = BTreeSet::new();
    let mut profile = full();
    profile["osProfile"]["computerNamePrefix"] = json!("web");
    leaves(&profile, "", &mut fields);
    for field in fields {
        let covered = rows
            .iter()
            .any(|row| field == *row || field.starts_with(&format!("{row}.")) || row.starts_with(&format!("{field}.")));
        assert!(covered, "{field} has no row in the impact table");
    }
}

fn leaves(value: &Value, path: &str, fields: &mut BTreeSet<String>) {
    match value.as_object() {
        Some(object) if path != "tags" => {
            for (key, child) in object {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(child, &path, fields);
            }
        }
        Some(_) | None => {
            fields.insert(path.to_owned());
        }
    }
}
