//! Cases of the VM profile: each is put to a `ScaleSet`, which has it under `virtualMachineProfile`, and to a `FlexVM`,
//! which has it at the top of its spec.

use serde_json::{Value, json};

use crate::case::{Case, LegalChange, When, accepting};
use crate::objects::{flex_vm, merged, uniform_set};

/// Every rule that stands inside the profile.
pub fn cases() -> Vec<Case> {
    [administrators(), storage(), interfaces(), extensions(), maps()].concat()
}

/// Every field of the profile that may change does.
pub fn legal_changes() -> Vec<LegalChange> {
    let before = json!({"storageProfile": {"dataDisks": [{"lun": 0, "diskSizeGB": 8}, {"lun": 1, "diskSizeGB": 8}]}});
    let changes = [
        json!({"vmSize": "Standard_D4s_v3"}),
        json!({"osProfile": {"adminPasswordSecretRef": {"name": "web", "key": "password"}, "sshPublicKeys": ["ssh-ed25519 AAAA"]}}),
        json!({"osProfile": {"customDataSecretRef": {"name": "web", "key": "userdata"}}}),
        json!({"storageProfile": {"imageReference": {"publisher": null, "offer": null, "sku": null, "id": "golden"}}}),
        json!({"storageProfile": {"osDisk": {"diskSizeGB": 64}}}),
        json!({"storageProfile": {"dataDisks": [{"lun": 1, "diskSizeGB": 4, "storageAccountType": "Standard_LRS"}]}}),
        json!({"networkProfile": {"networkInterfaces": [{"name": "nic1", "primary": true, "subnet": "other"}]}}),
        json!({"tags": {"team": "web"}}),
    ];
    changes.iter().flat_map(|change| hosts().map(|host| host.legal_change(&before, change))).collect()
}

/// A kind that has a profile, and where.
struct Host {
    object: Value,
    path: &'static str,
}

fn hosts() -> [Host; 2] {
    [Host { object: uniform_set(), path: "spec.virtualMachineProfile" }, Host { object: flex_vm(), path: "spec" }]
}

impl Host {
    fn patch(&self, profile: &Value) -> Value {
        self.path.rsplit('.').fold(profile.clone(), |inner, name| json!({name: inner}))
    }

    fn legal_change(&self, before: &Value, change: &Value) -> LegalChange {
        LegalChange { before: merged(&self.object, &self.patch(before)), change: self.patch(change) }
    }
}

/// The case for both kinds; `field` and the patches are relative to the profile.
pub fn of_both(when: When, accepted: &Value, refused: &Value, field: &str, message: &str) -> Vec<Case> {
    hosts()
        .iter()
        .map(|host| {
            let field = format!("{}.{field}", host.path);
            accepting(host.object.clone(), when, host.patch(accepted)).refusing(host.patch(refused), &field, message)
        })
        .collect()
}

fn windows(os_profile: &Value) -> Value {
    json!({"osProfile": os_profile, "storageProfile": {"osDisk": {"osType": "Windows"}}})
}

fn administrators() -> Vec<Case> {
    let field = "osProfile.adminUsername";
    let user = |name: &str| json!({"osProfile": {"adminUsername": name}});
    let of_windows = |name: &str| windows(&json!({"adminUsername": name}));
    let longest = "a".repeat(20);
    let reserved_message =
        "InvalidParameter: adminUsername must not be a reserved name such as root, admin, administrator, user or test";
    let windows_message =
        "InvalidParameter: adminUsername must have at most 20 characters and not end with '.' where osType is Windows";
    let mut cases = of_both(
        When::OnChange,
        &json!({}),
        &user("operator"),
        field,
        "PropertyChangeNotAllowed: adminUsername cannot be changed after creation",
    );
    for reserved in ["root", "Administrator", "user5", "1"] {
        cases.extend(of_both(When::OnCreation, &user("rooty"), &user(reserved), field, reserved_message));
    }
    for refused in [format!("{longest}a"), "ops.".to_owned()] {
        cases.extend(of_both(When::OnCreation, &of_windows(&longest), &of_windows(&refused), field, windows_message));
    }
    cases
}

fn storage() -> Vec<Case> {
    let disks = |luns: &[i32]| {
        let disks: Vec<Value> = luns.iter().map(|lun| json!({"lun": lun, "diskSizeGB": 8})).collect();
        json!({"storageProfile": {"dataDisks": disks}})
    };
    let image = |change: Value| json!({"storageProfile": {"imageReference": change}});
    let os_disk = |change: Value| json!({"storageProfile": {"osDisk": change}});
    let by_id = image(json!({"publisher": null, "offer": null, "sku": null, "id": "golden"}));
    let both_message =
        "InvalidParameter: imageReference must have either id, or publisher, offer and sku, but not both";
    let part_message = "InvalidParameter: imageReference must have publisher, offer and sku, or else id";
    let reference = "storageProfile.imageReference";
    let bigger = os_disk(json!({"diskSizeGB": 64}));
    [
        of_both(
            When::OnChange,
            &bigger,
            &os_disk(json!({"osType": "Windows"})),
            "storageProfile.osDisk.osType",
            "PropertyChangeNotAllowed: osType cannot be changed after creation",
        ),
        of_both(
            When::OnChange,
            &os_disk(json!(null)),
            &os_disk(json!({"storageAccountType": "Standard_LRS"})),
            "storageProfile.osDisk.storageAccountType",
            "PropertyChangeNotAllowed: storageAccountType cannot be changed after creation",
        ),
        of_both(When::Always, &by_id, &image(json!({"id": "golden"})), reference, both_message),
        of_both(
            When::Always,
            &image(json!({"version": "1.0.0"})),
            &merged(&by_id, &image(json!({"version": "1.0.0"}))),
            reference,
            both_message,
        ),
        of_both(When::Always, &by_id, &image(json!({"sku": null})), reference, part_message),
        of_both(
            When::Always,
            &image(json!({"version": "latest"})),
            &image(json!({"publisher": null, "offer": null, "sku": null})),
            reference,
            part_message,
        ),
        of_both(
            When::Always,
            &disks(&[0, 1, 63]),
            &disks(&[0, 1, 0]),
            "storageProfile.dataDisks",
            "InvalidParameter: each data disk must have a lun of its own",
        ),
    ]
    .concat()
}

fn interfaces() -> Vec<Case> {
    let field = "networkProfile.networkInterfaces";
    let interfaces = |interfaces: &[(&str, bool)]| {
        let interfaces: Vec<Value> = interfaces
            .iter()
            .map(|(name, primary)| json!({"name": name, "primary": primary, "subnet": "default"}))
            .collect();
        json!({"networkProfile": {"networkInterfaces": interfaces}})
    };
    let two = interfaces(&[("nic0", false), ("nic1", true)]);
    let primary_message = "InvalidParameter: exactly one network interface must have primary: true";
    let refuse = |refused: &Value, message: &str| of_both(When::Always, &two, refused, field, message);
    [
        refuse(
            &interfaces(&[("nic0", true), ("nic0", false)]),
            "InvalidParameter: each network interface must have a name of its own",
        ),
        refuse(&interfaces(&[("nic0", false)]), primary_message),
        refuse(&interfaces(&[("nic0", true), ("nic1", true)]), primary_message),
    ]
    .concat()
}

fn extensions() -> Vec<Case> {
    let extensions = |extensions: &[(&str, &[&str])]| {
        let extensions: Vec<Value> = extensions
            .iter()
            .map(|(name, after)| {
                json!({
                    "name": name, "publisher": "Microsoft.Azure.Extensions", "type": "CustomScript",
                    "typeHandlerVersion": "2.0", "provisionAfterExtensions": after,
                })
            })
            .collect();
        json!({"extensions": extensions})
    };
    let legal = extensions(&[("first", &[]), ("second", &["first"]), ("third", &["first", "second"])]);
    let refuse = |refused: &Value, message: &str| of_both(When::Always, &legal, refused, "extensions", message);
    [
        refuse(
            &extensions(&[("first", &[]), ("first", &[])]),
            "InvalidParameter: each extension must have a name of its own",
        ),
        refuse(
            &extensions(&[("first", &["second"])]),
            "InvalidParameter: provisionAfterExtensions must name extensions of the same profile",
        ),
        refuse(
            &extensions(&[("first", &[]), ("second", &["first", "second"])]),
            "InvalidParameter: provisionAfterExtensions must not name the extension itself",
        ),
    ]
    .concat()
}

fn maps() -> Vec<Case> {
    let tags = |length: usize| json!({"tags": {"t".repeat(length): "web"}});
    let settings = |length: usize| {
        let settings = json!({"values": {"s".repeat(length): "1"}});
        json!({"extensions": [{"name": "first", "publisher": "Contoso", "type": "Agent", "typeHandlerVersion": "1.0", "settings": settings}]})
    };
    [
        of_both(
            When::Always,
            &tags(512),
            &tags(513),
            "tags",
            "InvalidParameter: tag names must have at most 512 characters",
        ),
        of_both(
            When::Always,
            &settings(256),
            &settings(257),
            "extensions[].settings.values",
            "InvalidParameter: names of settings must have at most 256 characters",
        ),
    ]
    .concat()
}
