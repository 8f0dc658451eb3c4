//! Cases of `FlexVM` beyond those of the profile.

use serde_json::{Value, json};

use crate::case::{Case, LegalChange, When, accepting};
use crate::objects::{flex_vm, merged};

/// Every rule that stands on the VM, on its spec, or on the names that only a single VM has.
pub fn cases() -> Vec<Case> {
    [placement(), membership(), names(), windows_names()].concat()
}

/// What people change.
pub fn legal_changes() -> Vec<LegalChange> {
    let member = merged(&flex_vm(), &json!({"spec": {"scaleSetRef": {"name": "web"}, "platformFaultDomain": 1}}));
    let legal = |change: Value| LegalChange { before: member.clone(), change: json!({"spec": change}) };
    vec![
        legal(json!({"powerState": "Stopped"})),
        legal(json!({"protectionPolicy": {"protectFromScaleSetActions": true}})),
    ]
}

#[expect(clippy::needless_pass_by_value, reason = "called with literals")]
fn change(before: Value, refused: Value, field: &str, message: &str) -> Case {
    let accepted = json!({"spec": {"powerState": "Stopped"}});
    accepting(before, When::OnChange, accepted).refusing(json!({"spec": refused}), field, message)
}

fn placement() -> Vec<Case> {
    let zonal = merged(&flex_vm(), &json!({"spec": {"zone": "1"}}));
    let member = merged(&flex_vm(), &json!({"spec": {"scaleSetRef": {"name": "web"}}}));
    let in_domain = merged(&member, &json!({"spec": {"platformFaultDomain": 1}}));
    let zone_message = "PropertyChangeNotAllowed: zone cannot be changed after creation";
    let domain_message = "PropertyChangeNotAllowed: platformFaultDomain cannot be changed after creation";
    let domain = "spec.platformFaultDomain";
    vec![
        accepting(
            flex_vm(),
            When::Always,
            json!({"spec": {"protectionPolicy": {"protectFromScaleSetActions": true}}}),
        )
        .refusing(
            json!({"spec": {"protectionPolicy": {"protectFromScaleSetActions": true, "protectFromScaleIn": false}}}),
            "spec.protectionPolicy.protectFromScaleIn",
            "InvalidParameter: protectFromScaleIn must not be false where protectFromScaleSetActions is true, which \
             includes it",
        ),
        change(
            flex_vm(),
            json!({"location": "westus"}),
            "spec.location",
            "PropertyChangeNotAllowed: location cannot be changed after creation",
        ),
        change(zonal.clone(), json!({"zone": "2"}), "spec.zone", zone_message),
        change(zonal, json!({"zone": null}), "spec.zone", zone_message),
        change(flex_vm(), json!({"zone": "1"}), "spec.zone", zone_message),
        change(in_domain.clone(), json!({"platformFaultDomain": 0}), domain, domain_message),
        change(in_domain, json!({"platformFaultDomain": null}), domain, domain_message),
        change(member, json!({"platformFaultDomain": 0}), domain, domain_message),
        accepting(flex_vm(), When::Always, json!({})).refusing(
            json!({"spec": {"platformFaultDomain": 0}}),
            domain,
            "InvalidParameter: platformFaultDomain must be absent in a VM without scaleSetRef",
        ),
    ]
}

fn membership() -> Vec<Case> {
    let field = "spec.scaleSetRef";
    let member = merged(&flex_vm(), &json!({"spec": {"scaleSetRef": {"name": "web"}}}));
    vec![
        change(
            member.clone(),
            json!({"scaleSetRef": {"name": "other"}}),
            field,
            "PropertyChangeNotAllowed: scaleSetRef cannot change from one set to another; set it to null first, then to the other set",
        ),
        change(
            merged(&member, &json!({"spec": {"platformFaultDomain": 1}})),
            json!({"scaleSetRef": null}),
            field,
            "VmssDoesNotSupportAttachingExistingVMMultiFD: a VM in a fault domain cannot be detached: its set has more than one",
        ),
    ]
}

fn names() -> Vec<Case> {
    let name_message = "InvalidParameter: the name must be a DNS label of at most 63 characters: lower-case letters, \
         digits and '-', starting and ending with a letter or a digit";
    let named = |name: &str| json!({"metadata": {"name": name}});
    let computer = |name: &str| json!({"spec": {"osProfile": {"computerName": name}}});
    let computer_named = merged(&flex_vm(), &computer("host"));
    let field = "spec.osProfile.computerName";
    let characters_message = "InvalidParameter: computerName must consist of letters, digits and '-', and start and end with a letter or a digit";
    let change_message = "PropertyChangeNotAllowed: computerName cannot be changed after creation";
    let longest = "a".repeat(63);
    vec![
        accepting(flex_vm(), When::OnCreation, named(&longest)).refusing(
            named(&format!("{longest}a")),
            "metadata.name",
            name_message,
        ),
        accepting(flex_vm(), When::OnCreation, named("a")).refusing(named("new.vm"), "metadata.name", name_message),
        accepting(flex_vm(), When::OnCreation, computer("Host-1")).refusing(
            computer("host_1"),
            field,
            characters_message,
        ),
        accepting(flex_vm(), When::OnCreation, computer(&"h".repeat(64))).refusing(
            computer("host-"),
            field,
            characters_message,
        ),
        change(computer_named.clone(), json!({"osProfile": {"computerName": "guest"}}), field, change_message),
        change(computer_named, json!({"osProfile": {"computerName": null}}), field, change_message),
        change(flex_vm(), json!({"osProfile": {"computerName": "host"}}), field, change_message),
    ]
}

fn windows_names() -> Vec<Case> {
    let windows = merged(&flex_vm(), &json!({"spec": {"storageProfile": {"osDisk": {"osType": "Windows"}}}}));
    let computer = |name: &str| json!({"spec": {"osProfile": {"computerName": name}}});
    let field = "spec.osProfile.computerName";
    let name_message =
        "InvalidParameter: computerName must have at most 15 characters, not all digits, where osType is Windows";
    let default_message = "InvalidParameter: computerName must be set where osType is Windows and the VM's name has more than \
         15 characters or only digits";
    let of_windows = |accepted: Value, refused: Value, message: &str| {
        accepting(windows.clone(), When::OnCreation, accepted).refusing(refused, field, message)
    };
    let long_name = json!({"metadata": {"name": "sixteen-letters1"}});
    vec![
        of_windows(computer("fifteen-letters"), computer("sixteen-letters1"), name_message),
        of_windows(computer("a123"), computer("123"), name_message),
        of_windows(merged(&long_name, &computer("short")), long_name, default_message),
        of_windows(json!({"metadata": {"name": "a1"}}), json!({"metadata": {"name": "123"}}), default_message),
    ]
}
