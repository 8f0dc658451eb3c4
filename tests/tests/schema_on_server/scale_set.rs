//! Cases of `ScaleSet`.

use serde_json::{Value, json};

use crate::case::{Case, LegalChange, When, accepting};
use crate::objects::{flexible_set, merged, uniform_set};

/// Every rule that stands on the set or on its spec.
pub fn cases() -> Vec<Case> {
    [changes(), zones_and_groups(), fault_domains(), counts(), policies(), prefixes()].concat()
}

/// Changes that stay within the rules although they touch a guarded field.
pub fn legal_changes() -> Vec<LegalChange> {
    let legal = |before: Value, change: Value| LegalChange {
        before: spec(&uniform_set(), before),
        change: json!({"spec": change}),
    };
    vec![
        // An empty list of zones is none.
        legal(json!({"zones": []}), json!({"zones": null})),
        // A regional set gets zones.
        legal(json!({}), json!({"zones": ["1", "2"]})),
        legal(json!({"platformFaultDomainCount": 5}), json!({"zones": ["1"]})),
        legal(json!({"zones": ["2"]}), json!({"zones": ["1", "2", "3"]})),
        legal(json!({"zones": ["1", "2"]}), json!({"zoneBalance": false})),
        // A single placement group opens up, or is no longer mentioned.
        legal(json!({"singlePlacementGroup": true}), json!({"singlePlacementGroup": false, "replicas": 500})),
        legal(json!({"singlePlacementGroup": true}), json!({"singlePlacementGroup": null})),
        legal(json!({"singlePlacementGroup": false}), json!({"singlePlacementGroup": null})),
        // The policy and the count come and go.
        legal(json!({"replicas": 3}), json!({"replicas": null})),
        legal(json!({"upgradePolicy": {"mode": "Automatic", "paused": true}}), json!({"upgradePolicy": null})),
        legal(
            json!({"upgradePolicy": {"maxDisruption": "None"}}),
            json!({"upgradePolicy": {"maxDisruption": "Online"}}),
        ),
        LegalChange {
            before: spec(&flexible_set(), json!({"virtualMachineProfile": null})),
            change: json!({"spec": flexible_set()["spec"]}),
        },
    ]
}

#[expect(clippy::needless_pass_by_value, reason = "called with literals")]
fn spec(before: &Value, change: Value) -> Value {
    merged(before, &json!({"spec": change}))
}

fn changes() -> Vec<Case> {
    let same = json!({});
    let count_message = "PropertyChangeNotAllowed: platformFaultDomainCount cannot be changed after creation";
    let count_field = "spec.platformFaultDomainCount";
    let with_count = spec(&uniform_set(), json!({"platformFaultDomainCount": 3}));
    vec![
        accepting(flexible_set(), When::OnChange, same.clone()).refusing(
            json!({"spec": {"orchestrationMode": "Uniform"}}),
            "spec.orchestrationMode",
            "PropertyChangeNotAllowed: orchestrationMode cannot be changed after creation",
        ),
        accepting(uniform_set(), When::OnChange, same.clone()).refusing(
            json!({"spec": {"location": "westus"}}),
            "spec.location",
            "PropertyChangeNotAllowed: location cannot be changed after creation",
        ),
        accepting(with_count.clone(), When::OnChange, same.clone()).refusing(
            json!({"spec": {"platformFaultDomainCount": 2}}),
            count_field,
            count_message,
        ),
        accepting(with_count, When::OnChange, same.clone()).refusing(
            json!({"spec": {"platformFaultDomainCount": null}}),
            count_field,
            count_message,
        ),
        accepting(uniform_set(), When::OnChange, same.clone()).refusing(
            json!({"spec": {"platformFaultDomainCount": 5}}),
            count_field,
            count_message,
        ),
        accepting(flexible_set(), When::OnChange, same).refusing(
            json!({"spec": {"virtualMachineProfile": null}}),
            "spec.virtualMachineProfile",
            "PropertyChangeNotAllowed: virtualMachineProfile cannot be removed once it is set",
        ),
    ]
}

fn zones_and_groups() -> Vec<Case> {
    let zones_message = "PropertyChangeNotAllowed: zones can be added, but not removed or replaced";
    let zonal = spec(&uniform_set(), json!({"zones": ["1", "2"]}));
    let more_zones = json!({"spec": {"zones": ["2", "3", "1"]}});
    let zones = |refused: Value| {
        accepting(zonal.clone(), When::OnChange, more_zones.clone()).refusing(refused, "spec.zones", zones_message)
    };
    let balanced = |zones: &[&str]| {
        let before = spec(&uniform_set(), json!({"zones": zones, "zoneBalance": true}));
        accepting(before, When::OnChange, json!({"spec": {"zoneBalance": true}}))
    };
    let group_message = "PropertyChangeNotAllowed: singlePlacementGroup can go from true to false, but neither false nor unset can go to true";
    let group = |before: Value, accepted: Value, refused: Value| {
        let field = "spec.singlePlacementGroup";
        let of_spec = |change: Value| json!({"spec": {"singlePlacementGroup": change}});
        accepting(spec(&uniform_set(), before), When::OnChange, of_spec(accepted)).refusing(
            of_spec(refused),
            field,
            group_message,
        )
    };
    vec![
        zones(json!({"spec": {"zones": ["1"]}})),
        zones(json!({"spec": {"zones": ["1", "3"]}})),
        zones(json!({"spec": {"zones": []}})),
        zones(json!({"spec": {"zones": null}})),
        accepting(
            spec(&uniform_set(), json!({"platformFaultDomainCount": 3})),
            When::OnChange,
            json!({"spec": {"replicas": 3}}),
        )
        .refusing(
            more_zones,
            "spec.platformFaultDomainCount",
            "InvalidParameter: platformFaultDomainCount must be 1 or 5 in a Uniform set with zones",
        ),
        balanced(&["1", "2"]).refusing(
            json!({"spec": {"zoneBalance": null}}),
            "spec.zoneBalance",
            "PropertyChangeNotAllowed: zoneBalance cannot be changed after creation",
        ),
        accepting(zonal.clone(), When::OnCreation, json!({"spec": {"zoneBalance": true}})).refusing(
            json!({"spec": {"zoneBalance": true, "zones": ["1"]}}),
            "spec.zoneBalance",
            "InvalidParameter: zoneBalance must be false or absent in a set with fewer than two zones",
        ),
        group(json!({"singlePlacementGroup": false}), Value::Null, json!(true)),
        group(json!({}), json!(false), json!(true)),
    ]
}

fn fault_domains() -> Vec<Case> {
    let field = "spec.platformFaultDomainCount";
    let range = |shape: &Value, legal: i32, illegal: i32, message: &str| {
        let count = |count: i32| json!({"spec": {"platformFaultDomainCount": count}});
        let shaped = |count: Value| merged(shape, &json!({"spec": {"platformFaultDomainCount": count}}));
        accepting(shaped(json!(legal)), When::Always, count(legal)).refusing(count(illegal), field, message)
    };
    let zonal = json!({"zones": ["1", "2", "3"]});
    let uniform_zonal = spec(&uniform_set(), zonal.clone());
    let flexible_zonal = spec(&flexible_set(), zonal);
    let regional_message = "InvalidParameter: platformFaultDomainCount must be 1 to 5 in a Uniform set without zones";
    let zonal_message = "InvalidParameter: platformFaultDomainCount must be 1 or 5 in a Uniform set with zones";
    let flexible_message = "InvalidParameter: platformFaultDomainCount must be 1 to 3 in a Flexible set without zones";
    let flexible_zonal_message = "InvalidParameter: platformFaultDomainCount must be 1 in a Flexible set with zones";
    let spreading_message = "InvalidParameter: singlePlacementGroup must be false where platformFaultDomainCount is 1 \
         (max spreading; the default with zones)";
    let spreading = |before: Value, accepted: Value, refused: Value| {
        accepting(before, When::Always, accepted).refusing(refused, "spec.singlePlacementGroup", spreading_message)
    };
    let grouped = spec(&uniform_set(), json!({"singlePlacementGroup": true}));
    vec![
        range(&uniform_set(), 5, 6, regional_message),
        range(&uniform_set(), 2, 0, regional_message),
        range(&uniform_set(), 1, -1, regional_message),
        range(&uniform_zonal, 5, 4, zonal_message),
        range(&uniform_zonal, 1, 2, zonal_message),
        range(&flexible_set(), 3, 4, flexible_message),
        range(&flexible_set(), 1, 0, flexible_message),
        range(&flexible_zonal, 1, 2, flexible_zonal_message),
        spreading(
            spec(&grouped, json!({"platformFaultDomainCount": 2})),
            json!({}),
            json!({"spec": {"platformFaultDomainCount": 1}}),
        ),
        spreading(grouped, json!({}), json!({"spec": {"zones": ["1"]}})),
        spreading(
            uniform_zonal,
            json!({"spec": {"singlePlacementGroup": false}}),
            json!({"spec": {"singlePlacementGroup": true}}),
        ),
    ]
}

fn counts() -> Vec<Case> {
    let replicas = |count: i32| json!({"spec": {"replicas": count}});
    let single_message = "OperationNotAllowed: replicas must be at most 100 in a single placement group, the default without \
         zones; set singlePlacementGroup to false for more";
    let zonal_message = "OperationNotAllowed: replicas must be at most 100 for each zone in single placement groups; \
         set singlePlacementGroup to false for more";
    let range_message = "InvalidParameter: replicas must be 0 to 1000";
    let counted = |before: Value, legal: i32, illegal: i32, message: &str| {
        accepting(before, When::Always, replicas(legal)).refusing(replicas(illegal), "spec.replicas", message)
    };
    let large = spec(&uniform_set(), json!({"singlePlacementGroup": false}));
    let zonal = json!({"zones": ["1", "2"], "platformFaultDomainCount": 5, "singlePlacementGroup": true});
    let hand_made = spec(&flexible_set(), json!({"virtualMachineProfile": null}));
    vec![
        counted(large.clone(), 1000, 1001, range_message),
        counted(large, 0, -1, range_message),
        counted(spec(&uniform_set(), json!({"singlePlacementGroup": true})), 100, 101, single_message),
        counted(uniform_set(), 100, 101, single_message),
        accepting(uniform_set(), When::Always, json!({"spec": {"replicas": 101, "singlePlacementGroup": false}}))
            .refusing(
                json!({"spec": {"replicas": 101, "platformFaultDomainCount": 2}}),
                "spec.replicas",
                single_message,
            ),
        counted(spec(&uniform_set(), json!({"platformFaultDomainCount": 1})), 1000, 1001, range_message),
        counted(spec(&uniform_set(), zonal), 200, 201, zonal_message),
        counted(spec(&uniform_set(), json!({"zones": ["1"]})), 1000, 1001, range_message),
        counted(
            spec(&flexible_set(), json!({"singlePlacementGroup": true})),
            200,
            201,
            "OperationNotAllowed: replicas must be at most 200 in a Flexible set with a single placement group; \
             set singlePlacementGroup to false for more",
        ),
        counted(flexible_set(), 1000, 1001, range_message),
        counted(
            hand_made,
            0,
            1,
            "OperationNotAllowed: replicas must be 0 or absent in a set without virtualMachineProfile: \
             it has nothing to make VMs from",
        ),
    ]
}

fn policies() -> Vec<Case> {
    let named = |name: &str| json!({"metadata": {"name": name}});
    let name_message = "InvalidParameter: the name must be a DNS label of at most 52 characters: lower-case letters, \
         digits and '-', starting and ending with a letter or a digit";
    let longest = "a".repeat(52);
    let name = |accepted: &str, refused: &str| {
        accepting(uniform_set(), When::OnCreation, named(accepted)).refusing(
            named(refused),
            "metadata.name",
            name_message,
        )
    };
    vec![
        accepting(
            uniform_set(),
            When::OnCreation,
            json!({"spec": {"orchestrationMode": "Flexible", "virtualMachineProfile": null}}),
        )
        .refusing(
            json!({"spec": {"virtualMachineProfile": null}}),
            "spec.virtualMachineProfile",
            "InvalidParameter: virtualMachineProfile is required where orchestrationMode is Uniform",
        ),
        name(&longest, &format!("{longest}a")),
        name("3-web", "web.prod"),
    ]
}

fn prefixes() -> Vec<Case> {
    let prefix =
        |prefix: Value| json!({"spec": {"virtualMachineProfile": {"osProfile": {"computerNamePrefix": prefix}}}});
    let os = json!({"spec": {"virtualMachineProfile": {"storageProfile": {"osDisk": {"osType": "Windows"}}}}});
    let windows = merged(&uniform_set(), &os);
    let field = "spec.virtualMachineProfile.osProfile.computerNamePrefix";
    let change_message = "PropertyChangeNotAllowed: computerNamePrefix cannot be changed after creation";
    let characters_message = "InvalidParameter: computerNamePrefix must consist of letters, digits and '-', and start with a letter or a digit";
    let windows_message =
        "InvalidParameter: computerNamePrefix must have at most 9 characters, not all digits, where osType is Windows";
    let prefixed = merged(&uniform_set(), &prefix(json!("web")));
    let unrelated = json!({"spec": {"replicas": 2}});
    let refuse = |before: &Value, accepted: &str, refused: &str, message: &str| {
        accepting(before.clone(), When::OnCreation, prefix(json!(accepted))).refusing(
            prefix(json!(refused)),
            field,
            message,
        )
    };
    vec![
        accepting(prefixed.clone(), When::OnChange, unrelated.clone()).refusing(
            prefix(json!("app")),
            field,
            change_message,
        ),
        accepting(prefixed, When::OnChange, unrelated.clone()).refusing(prefix(Value::Null), field, change_message),
        accepting(uniform_set(), When::OnChange, unrelated).refusing(prefix(json!("web")), field, change_message),
        refuse(&uniform_set(), "Web-", "web_", characters_message),
        refuse(&uniform_set(), "fifteen-letters", "-web", characters_message),
        refuse(&windows, "ninechars", "ten-chars-", windows_message),
        refuse(&windows, "w1", "123", windows_message),
    ]
}
